# SPDX-License-Identifier: Apache-2.0
"""What the rivals of policy_rivals.py share: the workload, and the loop in which a rival's process answers.

A rival is a program of its own (rival_llama.py, rival_torch.py, rival_vllm.py), because each wants its own packages.
policy_rivals.py starts it, writes one line per measurement to its standard input and reads one line of JSON: tokens and
seconds of that one call, or an error. Nothing else may reach its standard output, so that is moved aside first.
"""
import json
import os
import resource
import sys

PROMPT, NEW, SEQS, PREFILL = 256, 128, 32, 512


def token_ids(n, seed):
    import numpy
    return numpy.random.default_rng(seed).integers(300, 49000, n).tolist()


def serve(start):
    """start() -> {row: call}, call() -> (counted tokens, seconds). Answers until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**record):
        print(json.dumps(record), file=answers, flush=True)

    try:
        rows = start()
    except Exception as error:  # a rival that cannot be had is a line of the table, not the end of the run
        answer(error=f"{type(error).__name__}: {error}"[:300])
        return
    answer(rows=sorted(rows))
    for line in sys.stdin:
        try:
            tokens, seconds = rows[line.strip()]()
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}"[:300])
            continue
        answer(tokens=tokens, seconds=seconds, peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
