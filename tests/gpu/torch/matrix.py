#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""matrix.py TORCH_EVAL [KERNELBENCH_SRC]: the candidates of candidates.py judged by the torch tier (TORCH_EVAL is
build/gpu/torch_eval) and by KernelBench's own evaluator (its folder src, if given), one row each: what it is, what each
says, what speedup each gives, how long each took. Fails where the torch tier accepts a cheat or refuses an honest one.
Two cheats lie about time only: refused or not, they may not seem faster than 1.2."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import types

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from candidates import CANDIDATES, text_of  # noqa: E402

TIME_ONLY = {"cheat: another clock", "cheat: on another stream"}  # right answers; only their time is a lie


def ours(check):
    """name -> (correct, speedup, seconds, feedback): one process for all, as an experiment has it."""
    with tempfile.TemporaryDirectory() as folder:
        lines = []
        for i, name in enumerate(CANDIDATES):
            path = os.path.join(folder, f"{i}.py")
            pathlib.Path(path).write_text(text_of(name))
            lines.append(f"{HERE / (CANDIDATES[name][0] + '.py')}\t{path}")
        out = subprocess.run([check], input="\n".join(lines), capture_output=True, text=True, timeout=500)
        rows = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
        if len(rows) != len(CANDIDATES):
            print(out.stdout[-2000:], out.stderr[-2000:])
    return dict(zip(CANDIDATES, rows))


class Anything:
    """A package that KernelBench imports and its evaluator does not use."""

    def __init__(self, **fields):
        for name, value in [*vars(type(self)).items(), *fields.items()]:
            if not name.startswith("_"):
                setattr(self, name, value)


def do_without(names):
    for name in names:
        try:
            __import__(name)
        except ImportError:
            module = types.ModuleType(name)
            module.BaseModel = Anything
            module.__getattr__ = lambda attribute: lambda *args, **more: None
            sys.modules[name] = module


def theirs(src, name):
    import torch  # before its inspection meets modules that are none
    sys.path.insert(0, src)
    do_without(["requests", "datasets", "tomli", "litellm", "dotenv", "openai", "together", "anthropic", "tqdm", "pydantic"])
    from kernelbench.eval import eval_kernel_against_ref
    problem = (HERE / (CANDIDATES[name][0] + ".py")).read_text()
    keep, began = (torch.allclose, torch.cuda.Event.elapsed_time), time.time()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            r = eval_kernel_against_ref(problem, text_of(name), measure_performance=True, num_correct_trials=5,
                                        num_perf_trials=20, device=torch.device("cuda:0"))
            row = {"correct": bool(r and r.correctness), "us": 1e3 * r.runtime if r else 0,
                   "ref_us": 1e3 * (getattr(r, "ref_runtime", 0) or 0) if r else 0}
    except BaseException as e:
        row = {"correct": False, "us": 0, "ref_us": 0, "error": str(e)[:80]}
    torch.allclose, torch.cuda.Event.elapsed_time = keep
    row["s"] = time.time() - began
    return row


def main():
    mine, n_bad = ours(sys.argv[1]), 0
    print(f"{'candidate':32} {'torch tier':28} {'s':>6}   {'KernelBench':28} {'s':>6}")
    for name, (_, is_honest, _, _) in CANDIDATES.items():
        m = mine.get(name, {"correct": None, "status": "not judged", "speedup": 0, "s": 0})
        is_fine = not (m["correct"] and m["speedup"] > 1.2) if name in TIME_ONLY else m["correct"] is is_honest
        n_bad += not is_fine
        shown = f"{m['status']}" + (f" {m['speedup']:.2f}x" if m["correct"] else "")
        k, other = None, ""
        if len(sys.argv) > 2:
            k = theirs(sys.argv[2], name)
            speed = k["ref_us"] / k["us"] if k["us"] > 0 else 0
            other = ("correct" if k["correct"] else "refused") + (f" {k['us']:.0f} us" if k["us"] > 0 else "") + \
                (f" {speed:.2f}x" if speed > 0 else "")
        print(f"{name:32} {shown:28} {m['s']:6.2f}   {other:28} {k['s'] if k else 0:6.2f}{'' if is_fine else '   <- BAD'}",
              flush=True)
    print(f"{len(CANDIDATES)} candidates, {n_bad} judged as they must not be by the torch tier")
    return n_bad != 0


sys.exit(main())
