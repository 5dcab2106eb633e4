#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""eval_rate.py RUN [RUN …] [--n 500] [--distinct] [--vegttt build/vegttt]: verdicts per second on a policy's own candidates.

Draws n candidates of recorded runs at random, in the mix the policy wrote them. The evaluator would judge an identical
text once; here every text gets a numbered comment, so that each is built, checked and timed. --distinct draws each
text at most once instead, which is a harder mix to write and an easier one to time: fewer of them are correct. Prints,
one after the other on the same machine:

  gcc      the compiler alone, with the evaluator's flags, on all cores, over the candidates that were found valid
  vegttt   `vegttt eval --serve` at protocol fast with an empty cache
  python   a plain harness that does the same honest work: gcc by subprocess, ctypes in a forked child, the baseline in
           double as truth, one input set a distribution, every timed output compared with numpy, as many timed runs as
           our verdict used; one worker a core for building and checking, one timing at a time

and the two ratios: vegttt / gcc (aim 0.6) and vegttt / python (aim 10), with what an evaluator could reach at most
against that Python harness if all it did were to compile each candidate. Needs numpy and lua5.4. Run it alone.
"""
import argparse
import concurrent.futures
import ctypes
import json
import multiprocessing
import os
import pathlib
import random
import re
import subprocess
import tempfile
import time

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLAGS = ["-std=gnu17", "-O3", "-march=native", "-fopenmp-simd", "-shared", "-fPIC", "-Werror=implicit-function-declaration"]
HEAD = "#include <math.h>\n#include <float.h>\n#include <stddef.h>\n#include <string.h>\n#include <stdlib.h>\n#include <stdint.h>\n#include <limits.h>\n"
C_TYPE = {"f32": "float", "i32": "int", "i64": "long long", "u8": "unsigned char"}
NUMPY_TYPE = {"f32": numpy.float32, "i32": numpy.int32, "i64": numpy.int64, "u8": numpy.uint8}

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("runs", nargs="+")
parser.add_argument("--n", type=int, default=500)
parser.add_argument("--distinct", action="store_true")
parser.add_argument("--vegttt", default=str(ROOT / "build/vegttt"))
parser.add_argument("--python-n", type=int, default=100, help="candidates for the Python rival, which is slow")
args = parser.parse_args()


class Watch:
    """Seconds of a stretch of work, and the share of the machine that others used meanwhile."""

    @staticmethod
    def busy():
        ticks = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
        mine = os.times()
        return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK"), sum(mine[:4])

    def __enter__(self):
        self.start, self.before = time.perf_counter(), self.busy()
        return self

    def __exit__(self, *_):
        self.seconds = time.perf_counter() - self.start
        (all_before, mine_before), (all_after, mine_after) = self.before, self.busy()
        self.others = max(0, all_after - all_before - mine_after + mine_before) / self.seconds / os.cpu_count()


def tasks():
    lines = subprocess.run(["lua5.4", ROOT / "tests/lua/tasks_json.lua", ROOT / "lua/tasks/l1"], check=True, capture_output=True, text=True).stdout
    return {task["id"]: task for task in map(json.loads, lines.splitlines())}


def recorded(task_of):
    """n (task id, code) drawn from the runs with a fixed seed, each under a number of its own; how many texts differ."""
    rows = []
    for run in args.runs:
        for line in open(os.path.join(run, "rollouts.jsonl")):
            row = json.loads(line)
            if row.get("code") and row["task"] in task_of:
                rows.append((row["task"], row["code"]))
    rows = sorted(set(rows)) if args.distinct else sorted(rows)
    if len(rows) < args.n:
        raise SystemExit(f"the runs hold {len(rows)} candidates{' that differ' if args.distinct else ''}; record more, or ask for fewer by --n")
    drawn = random.Random(0).sample(rows, args.n)
    return [(task, f"/* {i} */\n{code}") for i, (task, code) in enumerate(drawn)], len(set(drawn))


def signature(task, real="float"):
    parts = []
    for array in task["arrays"]:
        kind = C_TYPE[array["dtype"]].replace("float", real)
        constant = "const " if array["role"] in ("in", "weight") else ""
        parts.append(f"{constant}{kind} *restrict {array['name']}")
    parts += [f"{'int' if s['type'] == 'i32' else real} {s['name']}" for s in task.get("scalars", [])]
    parts += [f"int {name}" for name in task["size_order"]]
    return f"void {task['name']}({', '.join(parts)})"


def source(task, body, real="float"):
    text = body if re.search(rf"\bvoid\s+{task['name']}\s*\(", body) else f"{signature(task, real)} {{\n{body}\n}}\n"
    return HEAD + task.get("helpers", "") + "\n" + (text if real == "float" else re.sub(r"\bfloat\b", "double", text))


def build(folder, name, text):
    path = os.path.join(folder, name)
    with open(path + ".c", "w") as f:
        f.write(text)
    done = subprocess.run(["gcc", *FLAGS, path + ".c", "-o", path + ".so", "-lm"], capture_output=True)
    return path + ".so" if done.returncode == 0 else None


# ── gcc alone, and vegttt ────────────────────────────────────────────────────────────────────────────────────────────

def rate_gcc(task_of, candidates):
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        with Watch() as watch:
            list(pool.map(lambda job: build(folder, f"c{job[0]}", source(task_of[job[1][0]], job[1][1])), enumerate(candidates)))
        return watch


def rate_vegttt(candidates):
    """(watch, verdicts in the order of the candidates)."""
    with tempfile.TemporaryDirectory() as cache:
        requests = "".join(json.dumps({"id": i, "task": task, "code": code}) + "\n" for i, (task, code) in enumerate(candidates))
        with Watch() as watch:
            out = subprocess.run([args.vegttt, "eval", "--serve"], input=requests, capture_output=True, text=True, cwd=ROOT,
                                 env={**os.environ, "VEGTTT_CACHE": cache})
    verdicts = [None] * len(candidates)
    for line in out.stdout.splitlines():
        row = json.loads(line)
        verdicts[row["id"]] = row
    if out.returncode or None in verdicts:
        raise SystemExit(f"vegttt eval --serve ended with {out.returncode}: {out.stderr[-400:]}")
    return watch, verdicts


# ── the Python rival ─────────────────────────────────────────────────────────────────────────────────────────────────

def shape_of(task, array):
    env = {**task["sizes"]["cpu"], "min": min, "max": max, "ceil_div": lambda a, b: -(-a // b)}
    return [int(eval(e.replace("/", "//"), {"__builtins__": {}}, env)) for e in array["shape"]]  # our own task files


def inputs(task, rng, real):
    arrays = []
    for array in task["arrays"]:
        n = int(numpy.prod(shape_of(task, array)))
        if array["role"] == "out":
            arrays.append(numpy.full(n, 7, NUMPY_TYPE[array["dtype"]]))
        elif array["dtype"] == "f32":
            arrays.append(rng.standard_normal(n).astype(numpy.float32))
        else:
            arrays.append(rng.integers(0, 2, n).astype(NUMPY_TYPE[array["dtype"]]))
    return [a.astype(numpy.float64) if real == "double" and a.dtype == numpy.float32 else a for a in arrays]


def call(task, library, arrays, real="float"):
    number = ctypes.c_double if real == "double" else ctypes.c_float
    arguments = [a.ctypes.data_as(ctypes.c_void_p) for a in arrays]
    arguments += [ctypes.c_int(int(s["value"])) if s["type"] == "i32" else number(s["value"]) for s in task.get("scalars", [])]
    arguments += [ctypes.c_int(task["sizes"]["cpu"][name]) for name in task["size_order"]]
    function = getattr(library, task["name"])
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def judge(job, pipe):
    """In a forked child, so that a crash ends only the child: checks every distribution's set, then timed pairs."""
    task, candidate, baseline, truth, n_pairs, lock = job
    ours, theirs, exact = ctypes.CDLL(candidate), ctypes.CDLL(baseline), ctypes.CDLL(truth)
    n_sets = max(4, max(len(a.get("dist", [])) for a in task["arrays"]))
    sets = []
    for s in range(n_sets):
        given = inputs(task, numpy.random.default_rng(s), "float")
        expected = inputs(task, numpy.random.default_rng(s), "double")
        call(task, exact, expected, "double")
        sets.append((given, [e for e, a in zip(expected, task["arrays"]) if a["role"] in ("out", "state")]))

    def is_right(index, library):
        given, expected = sets[index]
        arrays = [a.copy() for a in given]
        seconds = call(task, library, arrays)
        outputs = [a for a, d in zip(arrays, task["arrays"]) if d["role"] in ("out", "state")]
        return all(numpy.allclose(o, e, rtol=1e-4, atol=1e-4) for o, e in zip(outputs, expected)), seconds

    if not all(is_right(i, ours)[0] for i in range(n_sets)):
        pipe.send("wrong")
        return
    with lock:
        ratios = [is_right(i % n_sets, theirs)[1] / max(1e-9, is_right(i % n_sets, ours)[1]) for i in range(n_pairs)]
    pipe.send(float(numpy.median(ratios)) if ratios else "ok")


def rate_python(task_of, candidates, verdicts):
    context, lock = multiprocessing.get_context("fork"), multiprocessing.Lock()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        references = {}
        for id_ in {task for task, _ in candidates}:
            task = task_of[id_]
            references[id_] = (build(folder, f"b{id_}", source(task, task["body"])), build(folder, f"t{id_}", source(task, task["body"], "double")))

        def one(job):
            i, (id_, code) = job
            candidate = build(folder, f"c{i}", source(task_of[id_], code))
            if not candidate or None in references[id_]:
                return
            receiver, sender = context.Pipe(False)
            child = context.Process(target=judge, args=((task_of[id_], candidate, *references[id_], verdicts[i], lock), sender))
            child.start()
            sender.close()
            child.join(20)
            if child.is_alive():
                child.kill()
                child.join()

        with Watch() as watch:
            list(pool.map(one, enumerate(candidates)))
        return watch


def n_timed_pairs(verdict):
    """Timed pairs of our verdict; 0 when it was not timed."""
    trials = verdict.get("trials") or []
    return len(trials) if verdict.get("correct") else 0


def main():
    task_of = tasks()
    candidates, n_differ = recorded(task_of)
    rates = {}

    def note(name, n, watch):
        rates[name] = max(rates.get(name, 0), n / watch.seconds)
        print(f"{name:8s}{n / watch.seconds:7.2f} per second ({n} in {watch.seconds:.1f} s; others used {100 * watch.others:.0f} % of the machine)", flush=True)

    watch, verdicts = rate_vegttt(candidates)
    note("vegttt", len(candidates), watch)
    valid = [c for c, v in zip(candidates, verdicts) if v["status"] != "compile_error"]
    for _ in range(2):
        note("gcc", len(valid), rate_gcc(task_of, valid))
    note("gcc all", len(candidates), rate_gcc(task_of, candidates))
    note("vegttt", len(candidates), rate_vegttt(candidates)[0])
    some = slice(0, args.python_n)
    note("python", len(candidates[some]), rate_python(task_of, candidates[some], [n_timed_pairs(v) for v in verdicts[some]]))
    counts = {}
    for v in verdicts:
        counts[v["status"]] = counts.get(v["status"], 0) + 1
    print(f"{len(candidates)} candidates, {n_differ} differ in more than their number; {len(valid)} compile; " + ", ".join(f"{n} {s}" for s, n in sorted(counts.items())))
    print(f"best of each: vegttt / gcc {rates['vegttt'] / rates['gcc']:.2f} (aim 0.6), vegttt / python {rates['vegttt'] / rates['python']:.1f} (aim 10)")
    print(f"compiling alone, all {len(candidates)} of them, would be {rates['gcc all'] / rates['python']:.1f} times the Python harness")
    report_stages(verdicts)


def report_stages(verdicts):
    """Where the evaluator's time went: what it spent in compilers, in checks, and in timing with the machine to itself."""
    builds = [v["build"] for v in verdicts if v.get("build")]
    timed = [v for v in verdicts if v.get("time_ms")]
    seconds = lambda values: sum(x or 0 for x in values) / 1e3
    print(f"stages: {len(builds)} builds {seconds(b['cpu_ms'] for b in builds):.1f} CPU s; checks {seconds(v.get('check_ms') for v in verdicts):.1f} s; "
          f"{len(timed)} timed {seconds(v['time_ms'] for v in timed):.1f} s, {sum(len(v['trials']) for v in timed)} pairs")


if __name__ == "__main__":
    main()
