#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rival_vllm.py THREADS: vLLM for CPUs on the shapes of SmolLM2-135M in bf16, weights random: speed does not see values.

decodeB: the time of 1 + NEW tokens less that of 1, as ours, log-probability of the drawn token on, the prompt's cache
shared. score: prompt_logprobs of the 32 rows (the engine computes the prompt of every row then).
"""
import json
import os
import sys
import tempfile
import time

import rival

SHAPE = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
         "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "vocab_size": 49152, "max_position_embeddings": 8192,
         "rms_norm_eps": 1e-5, "rope_theta": 1e5, "tie_word_embeddings": True, "hidden_act": "silu", "torch_dtype": "bfloat16",
         "bos_token_id": 1, "eos_token_id": 2}


class Vllm:
    def __init__(self, threads):
        os.environ.update(VLLM_TARGET_DEVICE="cpu", VLLM_ENABLE_V1_MULTIPROCESSING="0", VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1",
                          VLLM_CPU_KVCACHE_SPACE="2", VLLM_CPU_OMP_THREADS_BIND=f"0-{threads - 1}", VLLM_CPU_NUM_OF_RESERVED_CPU="0",
                          VLLM_LOGGING_LEVEL="ERROR")
        import vllm
        self.vllm, self.folder = vllm, tempfile.TemporaryDirectory()
        json.dump(SHAPE, open(os.path.join(self.folder.name, "config.json"), "w"))
        self.engine = vllm.LLM(model=self.folder.name, skip_tokenizer_init=True, load_format="dummy", dtype="bfloat16", max_model_len=1024,
                               max_num_seqs=64, enable_prefix_caching=True, seed=0)
        self.n_calls = 0

    def prompt(self, more=()):
        return {"prompt_token_ids": rival.token_ids(rival.PROMPT, 1000 + self.n_calls) + list(more)}

    def sample(self, width, new):
        p = self.vllm.SamplingParams(n=width, temperature=1.0, max_tokens=new, ignore_eos=True, logprobs=0, detokenize=False)
        self.n_calls += 1  # a new prompt, so that no cache of an earlier call serves it
        start = time.perf_counter()
        out = self.engine.generate([self.prompt()], p, use_tqdm=False)
        seconds = time.perf_counter() - start
        if sum(len(c.token_ids) for c in out[0].outputs) != width * new:
            raise RuntimeError("vLLM returned fewer tokens than asked for")
        return seconds

    def decode(self, width):
        first = self.sample(width, 1)
        return width * rival.NEW, self.sample(width, 1 + rival.NEW) - first

    def score(self):
        p = self.vllm.SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False, flat_logprobs=True)
        self.n_calls += 1
        rows = [self.prompt(rival.token_ids(rival.NEW, 100 + i)) for i in range(rival.SEQS)]
        start = time.perf_counter()
        out = self.engine.generate(rows, p, use_tqdm=False)
        seconds = time.perf_counter() - start
        if any(len(o.prompt_logprobs) != rival.PROMPT + rival.NEW for o in out):
            raise RuntimeError("vLLM returned fewer log-probabilities than asked for")
        return rival.SEQS * (rival.PROMPT + rival.NEW), seconds


def start():
    engine = Vllm(int(sys.argv[1]))
    rows = {f"decode{b}": (lambda width=b: engine.decode(width)) for b in (1, 8, 16, 32, 64)}
    rows["score"] = engine.score
    return rows


if __name__ == "__main__":
    rival.serve(start)
