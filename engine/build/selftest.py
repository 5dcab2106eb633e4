#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""selftest.py ROOT BUILD [--full] [--mutants] [--sanitize] [NAME…]: the tests of the project.

Without options every test runs once (testrun.py says what a test is), and then a few of the mutants, others with every
commit (tests/mutants/few.py). --full also runs what a rotation leaves out, and a longer round of fuzzing. --mutants
breaks the sources on purpose, one line at a time, and expects the named test to notice (tests/mutants/run.py: all of
them, or those with a NAME). --sanitize builds and runs the tests
of threads and memory under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer (sanitize.py). A NAME
selects what has it in its name. The last line is `N passed, N failed[, N skipped]`, and the exit code agrees with it.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import testrun  # noqa: E402

OPTIONS = ("--full", "--mutants", "--sanitize")


def usage(problem):
    print(f"vegttt: {problem}; usage: ./vegttt selftest [--full] [--mutants] [--sanitize] [NAME…]", file=sys.stderr)
    sys.exit(2)


def parse(arguments):
    options = [a for a in arguments if a.startswith("-")]
    names = [a for a in arguments if not a.startswith("-")]
    for option in options:
        if option not in OPTIONS:
            usage(f"selftest has no option {option}")
    if "--mutants" in options and "--sanitize" in options:
        usage("one of --mutants and --sanitize at a time")
    return options, names


def rotation(root, runner):
    """What run_all does afterwards: a few mutants; None in a tree without any."""
    if not (pathlib.Path(root) / "tests" / "mutants" / "few.py").exists():
        return None
    sys.path.insert(0, f"{root}/tests/mutants")
    import few
    return lambda results: few.main(runner, results)


def main():
    root, build = sys.argv[1], sys.argv[2]
    options, names = parse(sys.argv[3:])
    is_full = "--full" in options
    if "--mutants" in options:
        sys.path.insert(0, f"{root}/tests/mutants")
        import run as mutants
        return mutants.main(root, build, names)
    if "--sanitize" in options:
        import sanitize
        return sanitize.main(root, build, names, is_full)
    tests = [t for t in testrun.discover(root, build, is_full) if not names or any(n in t.name for n in names)]
    for name in names:
        if not any(name in t.name for t in tests):
            usage(f"no test has '{name}' in its name")
    runner = testrun.Runner(root, build, f"{build}/selftest", is_full)
    runner.fetch_model()
    return testrun.run_all(runner, tests, None if names else rotation(root, runner))


if __name__ == "__main__":
    if sys.argv[1] == "usage":  # the launcher asks before it builds
        parse(sys.argv[2:])
    else:
        sys.exit(main())
