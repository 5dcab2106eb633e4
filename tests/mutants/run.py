#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""run.py: every *.patch of this folder is a mistake somebody could make; the test it names must notice.

    Test: store_content                      (or store_content/case; several: the first that fails will do)
    Why: trims an object too many
    --- a/engine/store/content.c
    @@ vt_content_trim                       (optional: look from the line on that starts with a definition of this)
    -    for (size_t i = 0; i < l->n && n_bytes > max_bytes; i++) {
    +    for (size_t i = 0; i < l->n && n_bytes >= max_bytes; i++) {

It is a unified diff without line numbers: the lines that begin with '-' or a space must stand together at exactly one
place of the file (below the definition named after @@), and are replaced by those that begin with '+' or a space.

The mutants are applied one at a time to a copy of the tree, which is built and tested in a build folder of its own. A
test first has to pass on the unchanged copy. A mutant that survives, does not build or finds no place is a failure: the
mistake it stands for would not be noticed. (That each has its place and its test is tried by tests/unit/mutants.py.) A test that hangs until its deadline has noticed.

A broken program may do harm, and the tests are often run by root. Where a mutant's tests need no jail they run under
landlock, which lets them write below scratch folders only; without landlock such a mutant is skipped for root. Mutants
of the evaluator and of scripts run unguarded: none may touch code that removes or writes files outside its own folder.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "engine" / "build"))
import landlock  # noqa: E402
import testrun  # noqa: E402

JAILED = re.compile(r"eval_|unit_|cli_|kill_|readme_|lua")  # tests that make jails, which landlock would forbid


class Mutant:
    def __init__(self, path):
        self.name, self.tests, self.why, self.hunks = path.stem, [], "", []
        target = None
        for line in path.read_text().splitlines():
            if line.startswith("--- a/"):
                target = line[6:]
            elif line.startswith("+++ b/"):
                continue
            elif line.startswith("@@"):
                self.hunks.append((target, line[2:].strip(), [], []))
            elif self.hunks and line[:1] in ("-", "+", " "):
                if line[0] in "- ":
                    self.hunks[-1][2].append(line[1:])
                if line[0] in "+ ":
                    self.hunks[-1][3].append(line[1:])
            elif line.startswith("Test:"):
                self.tests = [tuple(t.split("/", 1)) if "/" in t else (t, None) for t in line[5:].split()]
            elif line.startswith("Why:"):
                self.why = line[4:].strip()
            elif line.strip():
                raise ValueError(f"{path.name}: cannot read the line '{line}'")
        if not self.tests or not self.why or not self.hunks or any(not h[0] or h[2] == h[3] for h in self.hunks):
            raise ValueError(f"{path.name}: a mutant has lines Test:, Why:, --- a/FILE, @@ and a change")

    def edit(self, tree):
        """{path: (text, changed text)}; ValueError when a hunk has no place or several."""
        texts = {}
        for target, definition, old, new in self.hunks:
            path = tree / target
            if not path.exists():
                raise ValueError(f"there is no {target}")
            original, text = texts.get(path) or 2 * (path.read_text(),)
            lines = text.split("\n")
            first = 0
            if definition:
                starts = [i for i, line in enumerate(lines) if re.match(rf"[A-Za-z].*\b{re.escape(definition)}\b", line) and
                          not line.endswith(";")]
                if not starts:
                    raise ValueError(f"{target} has no definition of {definition}")
                first = starts[0]
            places = [i for i in range(first, len(lines) - len(old) + 1) if lines[i:i + len(old)] == old]
            if definition:
                places = places[:1]
            if len(places) != 1:
                raise ValueError(f"its lines stand at {len(places)} places of {target}")
            lines[places[0]:places[0] + len(old)] = new
            texts[path] = (original, "\n".join(lines))
        return texts

    def apply(self, tree):
        """Changes the tree; {path: original text}."""
        texts = self.edit(tree)
        for path, (_, changed) in texts.items():
            path.write_text(changed)
        return {path: original for path, (original, _) in texts.items()}


def copy_tree(root, tree):
    """Brings the copy up to date; a file that has not changed keeps its time, so that nothing is built for it."""
    listed = subprocess.run(["git", "-C", str(root), "ls-files", "-coz", "--exclude-standard"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL)
    if listed.returncode == 0:
        names = {n.decode() for n in listed.stdout.split(b"\0") if n}
    else:
        names = {str(p.relative_to(root)) for p in root.rglob("*") if p.is_file() and
                 not re.match(r"(build|runs|\.git)", str(p.relative_to(root)))}
    names = {n for n in names if (root / n).is_file()}
    for folder, subfolders, files in os.walk(tree):
        if pathlib.Path(folder) == tree and "build" in subfolders:
            subfolders.remove("build")
        for path in (pathlib.Path(folder) / f for f in files):
            if str(path.relative_to(tree)) not in names:
                path.unlink()
    for name in names:
        source, copy = root / name, tree / name
        if not copy.exists() or copy.read_bytes() != source.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, copy)
            shutil.copymode(source, copy)


def targets_of(tests):
    """What has to be built for these tests."""
    wanted = {"vegttt-worker"}
    for name, _ in tests:
        wanted.add("vegttt" if name == "lua" or name.startswith(("unit_", "cli_", "kill_", "readme_")) else f"test_{name}")
    return sorted(wanted)


def writable(build):
    """The folders that a broken program may write to."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return [str(build), os.environ.get("TMPDIR", "/tmp"), "/tmp", "/dev", "/proc", f"{cache}/vegttt"]


class Bench:
    """The copy, its build and its tests."""

    def __init__(self, root, build):
        self.root, self.tree = pathlib.Path(root), build / "mutants" / "tree"
        self.build = self.tree / "build"  # programs look for experiments/ and the like beside their build folder
        self.compiler = testrun.compiler_of(build)
        copy_tree(self.root, self.tree)
        self.runner = testrun.Runner(self.tree, self.build, build / "mutants" / "logs")
        self.runner.fetch_model(str(build / "vegttt"))
        self.seconds = {}  # of each test on the unchanged copy
        self.writable = writable(build)

    def is_safe(self, test):
        return JAILED.match(test) or landlock.version() > 0 or os.geteuid() != 0

    def make(self, tests):
        return testrun.make(self.tree, self.build, targets_of(tests), ["-DCMAKE_BUILD_TYPE=Release"], self.compiler)

    def run(self, name, case):
        found = [t for t in testrun.discover(self.tree, self.build) if t.name in (name, f"test_{name}")]
        if not found:
            return testrun.Result(0, 1, 0, 0, f"there is no test {name}", "")
        arguments = [] if not case else ["--only", case] if name == "lua" else [case]
        known = self.seconds.get((name, case))
        self.runner.deadline_s = 30 + 4 * known if known is not None else testrun.DEADLINE_S
        is_guarded = not JAILED.match(name) and landlock.version() > 0
        return self.runner.run(found[0], arguments, (lambda: landlock.restrict_writes(self.writable)) if is_guarded else None)


def check_unchanged(bench, mutants):
    """Runs every named test on the unchanged copy; what is wrong with them, by test."""
    tests, wrong = sorted({t for m in mutants for t in m.tests}, key=str), {}
    trouble = bench.make(tests)
    if trouble:
        sys.exit("vegttt: the copy does not build:\n" + trouble[-2000:])
    for test in tests:
        result = bench.run(*test)
        if result.failed:
            wrong[test] = f"{test[0]} fails on the unchanged sources: {result.why}"
        elif result.passed == 0:
            wrong[test] = f"skip: {test[0]} is skipped here" if result.skipped else f"{test[0]} has no case '{test[1]}'"
        bench.seconds[test] = result.seconds
    return wrong


def try_mutant(bench, mutant):
    """(is caught, what happened)."""
    try:
        originals = mutant.apply(bench.tree)
    except ValueError as e:
        return False, f"DOES NOT APPLY: {e}"
    try:
        trouble = bench.make(mutant.tests)
        if trouble:
            errors = [line for line in trouble.splitlines() if "error" in line or "FAILED" in line]
            return False, "DOES NOT BUILD: " + (errors[-1] if errors else trouble[-200:])
        for name, case in mutant.tests:
            result = bench.run(name, case)
            if result.failed:
                return True, f"by {name}: {result.why}"
        return False, "SURVIVED " + " and ".join(name for name, _ in mutant.tests)
    finally:
        for path, text in originals.items():
            path.write_text(text)


def main(root, build, names):
    began = time.monotonic()
    mutants = [Mutant(p) for p in sorted(HERE.glob("*.patch")) if not names or any(n in p.stem for n in names)]
    if not mutants:
        sys.exit("vegttt: no mutant has such a name")
    bench = Bench(root, pathlib.Path(build))
    wrong = check_unchanged(bench, mutants)
    caught, survived, skipped = 0, [], 0
    for mutant in mutants:
        problems = [wrong[t] for t in mutant.tests if t in wrong]
        if not all(bench.is_safe(name) for name, _ in mutant.tests):
            problems = ["skip: there is no landlock here to keep a broken program from harm"]
        if problems and problems[0].startswith("skip"):
            print(f"skip {mutant.name}: {problems[0][6:]}", flush=True)
            skipped += 1
            continue
        is_caught, what = (False, problems[0]) if problems else try_mutant(bench, mutant)
        caught += is_caught
        if not is_caught:
            survived.append(mutant)
        print(f"{mutant.name:40} {'caught ' if is_caught else ''}{what}", flush=True)
        if not is_caught:
            print(f"    {mutant.why}", flush=True)
    print(f"{time.monotonic() - began:.0f} s; {caught} of {len(mutants) - skipped} mutants caught; logs in {bench.runner.logs}")
    if survived:
        print("not caught: " + " ".join(m.name for m in survived))
    print(testrun.closing_line(caught, len(survived), skipped), flush=True)
    return 0 if caught and not survived else 1


if __name__ == "__main__":
    here_root = HERE.parent.parent
    sys.exit(main(here_root, os.environ.get("VEGTTT_BUILD", here_root / "build"), sys.argv[1:]))
