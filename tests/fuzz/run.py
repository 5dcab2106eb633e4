#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py [--runs N] [--seed S] [NAME…]: builds the fuzzers of this folder with clang, makes their start inputs and runs
each N times (20,000) from seed S (1), with AddressSanitizer and UndefinedBehaviorSanitizer. A finding is a failure; the
input that gave it stays in the build folder, and `fuzz_NAME FILE` shows it again. `selftest --full` runs this.
"""
import argparse
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
        print(f"{name:24} {o.runs} runs from seed {o.seed} in {time.monotonic() - began:.0f} s: {wrong or 'no finding'}", flush=True)
        print("".join(f"    {line}\n" for line in tail), end="", flush=True)
        passed += not wrong
    print(f"logs in {build}")
    print(testrun.closing_line(passed, len(names) - passed, 0))
    return 0 if passed == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
