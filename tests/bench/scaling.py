#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""scaling.py MODEL.gguf [--threads 1,2,4,8,16] [--rivals llama.cpp,torch] [--reps N]: how the CPU policy grows with cores.

Each count of threads runs on as many processors of this machine (the first ones that may be used: sched_setaffinity),
and measures in the same process what the hardware itself can do there: independent products of the kernels' own kind
in cache (no thread waits for another), and bytes a second of a read of memory. A row's *share* is its own growth
from one thread over the growth of those products; memory's growth is printed beside, and how much of its bound (`vegttt
bench`) a row reached. Bars: 0.7, decode32 0.55. Rivals run at the same counts, where
they can be had (rival_llama.py, rival_torch.py: packages of --python): "x N" is our speed over theirs.
"""
import argparse
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROWS = {"decode32": 0.55, "score": 0.7, "lora": 0.7, "prefill": 0.7}
RIVALS = {"llama.cpp": ("rival_llama.py", [], {"decode32": "decode32", "prefill": "prefill"}),
          "torch": ("rival_torch.py", ["bf16"], {"score": "score_shared", "lora": "lora"})}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--threads", default="1,2,4,8,16")
parser.add_argument("--rivals", default="")
parser.add_argument("--reps", type=int, default=2)
parser.add_argument("--rows", default=",".join(ROWS))
parser.add_argument("--vegttt", default="build/vegttt")
parser.add_argument("--python", default=sys.executable)
args = parser.parse_args()
usable = sorted(os.sched_getaffinity(0))
counts = [n for n in map(int, args.threads.split(",")) if n <= len(usable)]
rows = [row for row in args.rows.split(",") if row]


def confined(n):
    return lambda: os.sched_setaffinity(0, usable[:n])


def ours(row, n):
    done = subprocess.run([args.vegttt, "bench", args.model, "--row", row, "--reps", str(args.reps), "--json"], preexec_fn=confined(n),
                          capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"vegttt bench --row {row} on {n} processors: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def theirs(name, n):
    """Row of ours -> tokens a second; empty where the rival cannot be had."""
    script, more, calls = RIVALS[name]
    child = subprocess.Popen([args.python, os.path.join(HERE, script), args.model, str(n), *more], preexec_fn=confined(n), text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    first = json.loads(child.stdout.readline() or '{"error": "it ended"}')
    speed = {}
    if "error" in first:
        print(f"{name} on {n}: not available ({first['error']})")
    for row, call in calls.items():
        for _ in range(2 if row in rows and "error" not in first else 0):  # the first is the warm one
            child.stdin.write(call + "\n")
            child.stdin.flush()
            said = json.loads(child.stdout.readline() or "{}")
            if "seconds" in said:
                speed[row] = max(speed.get(row, 0), said["tokens"] / said["seconds"])
    child.stdin.close()
    child.wait()
    return speed


measured, rival = {}, {}
for n in counts:
    for row in rows:
        r = measured[row, n] = ours(row, n)
        print(f"{row} on {n}: {r['tokens'] / r['seconds']:.0f} tok/s, {100 * r['bound_share']:.0f} % of {r['bound']}; products "
              f"{r['bound_gflops']:.0f} GFLOP/s, memory {r['bound_gbytes']:.1f} GB/s", flush=True)
    for name in filter(None, args.rivals.split(",")):
        rival[name, n] = theirs(name, n)


def best(key, n):
    return max(measured[row, n][key] for row in rows)


def speed(row, n):
    return measured[row, n]["tokens"] / measured[row, n]["seconds"]


one = counts[0]
print(f"\n{'':22}" + "".join(f"{n:>18}" for n in counts) + "  threads")
for label, key in (("products, GFLOP/s", "bound_gflops"), ("memory, GB/s", "bound_gbytes")):
    print(f"{label:22}" + "".join(f"{best(key, n):>9.0f} {best(key, n) / best(key, one):>7.2f}x" for n in counts))
for row in rows:
    print(f"{row + ', tok/s':22}" + "".join(f"{speed(row, n):>9.0f} {speed(row, n) / speed(row, one):>7.2f}x" for n in counts))
    shares = [speed(row, n) / speed(row, one) / (best("bound_gflops", n) / best("bound_gflops", one)) for n in counts]
    print(f"{'  share, bar ' + str(ROWS[row]):22}" + "".join(f"{share:>18.2f}" for share in shares))
    print(f"{'  of the bound, %':22}" + "".join(f"{100 * measured[row, n]['bound_share']:>18.0f}" for n in counts))
    for name in filter(None, args.rivals.split(",")):
        if any(row in rival[name, n] for n in counts):
            cells = (f"{rival[name, n][row]:.0f} x {speed(row, n) / rival[name, n][row]:.1f}" if row in rival[name, n] else "-" for n in counts)
            print(f"{'  ' + name:22}" + "".join(f"{cell:>18}" for cell in cells))
