#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""coverage.py ROOT BUILD [NAME…]: lines and branches of engine/ that the tests reach, by folder.

Builds the tree with gcov's counters in BUILD/coverage, runs the tests (those with a NAME in their name; --full is not
needed), and prints for each folder the share of lines and of branches that were taken; then the functions that nobody
called and, for each file, the lines nobody reached. Counters of processes that end by SIGKILL or _exit are lost, and so
are those of the jailed worker: what only runs there counts as not reached.
"""
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import testrun  # noqa: E402

OPTIONS = ["-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_C_FLAGS=--coverage -O1 -fprofile-update=atomic", "-DCMAKE_EXE_LINKER_FLAGS=--coverage",
           "-DCMAKE_SHARED_LINKER_FLAGS=--coverage"]


class File:
    def __init__(self):
        self.lines = collections.Counter()  # line number -> times reached, summed over programs
        self.branches = collections.Counter()  # (line, index) -> times taken
        self.functions = collections.Counter()


def collect(root, build):
    """{path below engine/: File} of all counters in the build."""
    files = collections.defaultdict(File)
    notes = [str(p) for p in pathlib.Path(build).rglob("*.gcda")]
    with tempfile.TemporaryDirectory() as work:
        for i in range(0, len(notes), 50):
            done = subprocess.run(["gcov", "--json-format", "--branch-probabilities", "--stdout", *notes[i:i + 50]], cwd=work, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL)
            for text in done.stdout.decode(errors="replace").splitlines():
                if not text.startswith("{"):
                    continue
                for entry in json.loads(text)["files"]:
                    path = os.path.relpath(os.path.join(build, entry["file"]), os.path.join(root, "engine"))
                    if path.startswith(".."):
                        continue
                    file = files[path]
                    for f in entry["functions"]:
                        file.functions[(f["start_line"], f["name"])] += f["execution_count"]
                    for line in entry["lines"]:
                        file.lines[line["line_number"]] += line["count"]
                        for k, branch in enumerate(line.get("branches", [])):
                            file.branches[(line["line_number"], k)] += branch["count"]
    return files


def share(counter):
    return f"{sum(v > 0 for v in counter.values()):6} of {len(counter):6} {100 * sum(v > 0 for v in counter.values()) / max(len(counter), 1):5.1f} %"


def runs(numbers):
    """12-14 17 … of a sorted list."""
    out = []
    for n in numbers:
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return " ".join(f"{a}-{b}" if a != b else str(a) for a, b in out)


def main():
    root, build, names = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3:]
    own = (build / "coverage").resolve()
    trouble = testrun.make(root, own, ["all", "tests"], OPTIONS, testrun.compiler_of(build))
    if trouble:
        sys.exit(trouble[-3000:])
    for old in own.rglob("*.gcda"):
        old.unlink()
    runner = testrun.Runner(root, own, own / "logs")
    runner.fetch_model(str(build / "vegttt"))
    testrun.run_all(runner, [t for t in testrun.discover(root, own) if not names or any(n in t.name for n in names)])
    files = collect(root, own)
    folders = collections.defaultdict(File)
    for path, file in files.items():
        for target in (os.path.dirname(path), "all of engine"):
            for counter in ("lines", "branches", "functions"):
                getattr(folders[target], counter).update({(path, k): v for k, v in getattr(file, counter).items()})
    print(f"\n{'folder':16} {'lines':>24} {'branches':>24} {'functions':>24}")
    for folder in sorted(folders):
        f = folders[folder]
        print(f"{folder:16} {share(f.lines)} {share(f.branches)} {share(f.functions)}")
    print("\nfunctions that nobody called")
    for path in sorted(files):
        for (line, name), count in sorted(files[path].functions.items()):
            if count == 0:
                print(f"    {path}:{line} {name}")
    print("\nlines that nobody reached")
    for path in sorted(files):
        missing = sorted(n for n, count in files[path].lines.items() if count == 0)
        if missing:
            print(f"    {path}: {runs(missing)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
