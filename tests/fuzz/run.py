#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--runs N] [--seed S] [NAME…]: builds the fuzzers of this folder with clang, makes their start inputs and runs
each N times (20,000) from seed S (1), with AddressSanitizer and UndefinedBehaviorSanitizer. A finding is a failure; the
input that gave it stays in the build folder, and `fuzz_NAME FILE` shows it again. `selftest --full` runs this.

What base_json has met is held against Python's own reader afterwards: both take the same texts (but for what a value in
the engine cannot hold), and the text that the engine writes is the same value.
"""
import argparse
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "engine" / "build"))
import testrun  # noqa: E402

SLOWEST_S = 20  # one input may take that long under the sanitizers
OPTIONS = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DVEGTTT_SANITIZE=address,undefined,fuzzer-no-link", "-DVEGTTT_FUZZ=ON"]


def fuzz(build, name, runs, seed):
    """(what is wrong, the last lines of the log); nothing is wrong when the first is empty."""
    findings, corpus, model = build / "findings", build / "corpus" / name, build / "model"
    for folder in (findings, corpus, model):
        folder.mkdir(parents=True, exist_ok=True)
    for weights in ("model.safetensors", "adapter/adapter_model.safetensors"):
        shutil.copy(ROOT / "tests/golden/tiny/llama" / weights, model)
    env = dict(os.environ, VEGTTT_FUZZ_TOKENIZER=str(ROOT / "tests/golden/tokenizers/llama3.json"), VEGTTT_FUZZ_FOLDER=str(model),
               ASAN_OPTIONS="allocator_may_return_null=1:detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1")
    done = subprocess.run([str(build / "fuzz" / f"fuzz_{name}"), str(corpus), str(build / "seeds" / name), f"-runs={runs}", f"-seed={seed}",
                           f"-timeout={SLOWEST_S}", "-rss_limit_mb=4096", "-malloc_limit_mb=2048", "-max_len=8192", "-print_final_stats=1",
                           f"-artifact_prefix={findings}/{name}-"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=env)
    log = done.stdout.decode(errors="replace")
    ran = re.search(r"number_of_executed_units: (\d+)", log)
    (build / f"{name}.log").write_text(log)
    if done.returncode:
        saved = re.findall(r"Test unit written to (\S+)", log)
        return f"a finding, {saved[-1] if saved else 'see its log'}", log.splitlines()[-40:]
    if not ran or int(ran.group(1)) < runs:
        return f"ran {ran.group(1) if ran else 0} of {runs} times", log.splitlines()[-5:]
    return "", []


class TwiceError(ValueError):
    """A key that an object has twice."""


def unique(pairs):
    if len(dict(pairs)) < len(pairs):
        raise TwiceError
    return dict(pairs)


def no_number(word):
    raise ValueError(word)


def python_reads(text):
    """The value that Python's strict reader makes of the bytes; ValueError when they are no JSON."""
    return json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_number, parse_int=float)


def can_be_held(value, depth=0):
    """Has the engine a value for it?"""
    if isinstance(value, str):
        return "\0" not in value and not any(0xD800 <= ord(c) < 0xE000 for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return depth < 64 and all(can_be_held(k) and can_be_held(v, depth + 1) for k, v in value.items())
    return not isinstance(value, list) or (depth < 64 and all(can_be_held(v, depth + 1) for v in value))


def against_python(build):
    """What is wrong with what base_json said about its corpus."""
    verdicts = build / "base_json.verdicts"
    verdicts.unlink(missing_ok=True)
    subprocess.run([str(build / "fuzz/fuzz_base_json"), "-runs=0", str(build / "corpus/base_json"), str(build / "seeds/base_json")], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ, VEGTTT_FUZZ_VERDICTS=str(verdicts)))
    lines = verdicts.read_text().splitlines()
    for line in lines:
        text, said = line.split(" ", 1)
        text = bytes.fromhex(text)
        try:
            value = python_reads(text)
        except (ValueError, RecursionError):
            value = None
            if said != "refused":
                return f"the engine takes {text!r} and Python does not", []
        else:
            if said == "refused" and can_be_held(value):
                return f"Python takes {text!r} and the engine does not", []
        if said != "refused" and python_reads(bytes.fromhex(said)) != value:
            return f"{text!r} is written as another value, {bytes.fromhex(said)!r}", []
    print(f"{len(lines)} texts held against Python's reader", flush=True)
    return ("", []) if lines else ("no text was held against Python's reader", [])


def main():
    options = argparse.ArgumentParser(usage=__doc__)
    options.add_argument("--runs", type=int, default=20000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("names", nargs="*")
    o = options.parse_args()
    main_build = pathlib.Path(os.environ.get("VEGTTT", ROOT / "build" / "vegttt")).parent
    build = main_build / "fuzz"
    clang = next((c for c in ("clang", "clang-16", "clang-15", "clang-14") if shutil.which(c)), None)
    if not clang:
        print("skip fuzz: there is no clang here")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    names = [p.stem for p in sorted(HERE.glob("*.c")) if not o.names or any(n in p.stem for n in o.names)]
    trouble = testrun.make(ROOT, build, [f"fuzz_{n}" for n in names], OPTIONS, clang)
    if trouble:
        print(trouble[-3000:] + "\nthe fuzzers do not build\n0 passed, 1 failed")
        return 1
    subprocess.run([sys.executable, str(HERE / "make_seeds.py"), str(build / "seeds")], check=True)
    passed = 0
    for name in names:
        began = time.monotonic()
        wrong, tail = fuzz(build, name, o.runs, o.seed)
        if name == "base_json" and not wrong:
            wrong, tail = against_python(build)
        print(f"{name:24} {o.runs} runs from seed {o.seed} in {time.monotonic() - began:.0f} s: {wrong or 'no finding'}", flush=True)
        print("".join(f"    {line}\n" for line in tail), end="", flush=True)
        passed += not wrong
    print(f"logs in {build}")
    print(testrun.closing_line(passed, len(names) - passed, 0))
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
