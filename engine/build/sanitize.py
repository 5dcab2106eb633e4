# SPDX-License-Identifier: Apache-2.0
"""sanitize.py: the unit tests of threads and memory in two further builds, `selftest --sanitize`.

  address  AddressSanitizer with leaks, and UndefinedBehaviorSanitizer: all unit tests
  thread   ThreadSanitizer: the tests of folders that have threads

A program in which a sanitizer finds something ends with another exit code than its closing line promises, which makes
its test fail and shows the report. The worker that runs candidates is built without them (engine/build/programs.cmake).
Both builds lie in the build folder and are kept, so that a second run compiles only what has changed.
"""
import pathlib

import testrun

OPTIONS = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo"]
KINDS = {
    "address": ("address,undefined", "base loop store stats plot model cpu policy eval farm bind net",
                {"ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1"}),
    "thread": ("thread", "base loop store model cpu policy eval farm net", {"TSAN_OPTIONS": "second_deadlock_stack=1:history_size=4"}),
}


def main(root, build, names, is_full):
    passed = failed = skipped = 0
    bad = []
    for kind, (flags, folders, env) in KINDS.items():
        own = pathlib.Path(build) / "sanitize" / kind
        sources = [p.stem for folder in folders.split() for p in sorted(pathlib.Path(root).glob(f"tests/unit/{folder}_*.c"))]
        wanted = [s for s in sources if not names or any(n in f"{kind}_{s}" for n in names)]
        if not wanted:
            continue
        trouble = testrun.make(root, own, ["vegttt-worker", *(f"test_{s}" for s in wanted)], [*OPTIONS, f"-DVEGTTT_SANITIZE={flags}"],
                               testrun.compiler_of(build))
        if trouble:
            print(f"the {kind} sanitizer's build failed:\n{trouble[-3000:]}")
            failed += 1
            bad.append(kind)
            continue
        runner = testrun.Runner(root, own, own / "logs", is_full, env)
        runner.deadline_s *= testrun.FULL_FACTOR  # a sanitized program takes up to twenty times as long
        runner.fetch_model(f"{build}/vegttt")
        for test in testrun.discover(root, own):
            if test.is_program and test.name.removeprefix("test_") in wanted:
                result = runner.run(test)
                testrun.report(f"{kind}_{test.name.removeprefix('test_')}", result)
                passed, failed, skipped = passed + result.passed, failed + result.failed, skipped + result.skipped
                bad += [f"{kind}_{test.name.removeprefix('test_')}"] if result.failed else []
    if bad:
        print("failed: " + " ".join(bad))
    print(testrun.closing_line(passed, failed, skipped), flush=True)
    return 0 if passed and not failed else 1
