#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""few.py: a handful of the mutants in every selftest, others with every commit, in seconds.

run.py builds a copy of the tree and can try any mutant. Here one compilation is enough: the changed source is compiled
with the command that the build used for it, and the test's own link is repeated with that object in front of the
libraries, so that none of them gives the old one. It goes for mutants of C files whose test is a C program; that
program has just run and passed, and its time says which mutants are cheap. Nothing but the build folder is written.
"""
import hashlib
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import run as mutants  # noqa: E402

FEW, LONGEST_S, TOGETHER_S = 6, 5, 45
ROTATING = {"eval_hacks", "eval_matrix", "eval_null"}  # they run a part of their cases, which may leave the mutant's out


def seed_of(root):
    commit = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return commit.stdout.decode().strip()[:12] if commit.returncode == 0 else time.strftime("%Y-%m-%d")


def is_cheap(mutant, seconds):
    """seconds: of each test that passed."""
    return sum(seconds.get(f"test_{name}", LONGEST_S + 1) for name, _ in mutant.tests) <= LONGEST_S and \
        all(target.endswith(".c") for target, *_ in mutant.hunks) and not ROTATING & {name for name, _ in mutant.tests}


def commands_of(build, target):
    done = subprocess.run(["ninja", "-C", str(build), "-t", "commands", target], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return done.stdout.decode().splitlines() if done.returncode == 0 else []


class Relinker:
    """A test program with some of its sources changed."""

    def __init__(self, root, build):
        self.root, self.build, self.folder = pathlib.Path(root), pathlib.Path(build), pathlib.Path(build) / "few"
        self.folder.mkdir(exist_ok=True)

    def call(self, command):
        done = subprocess.run(command, shell=True, cwd=self.build, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        return done.stdout.decode(errors="replace") if done.returncode else ""

    def make(self, mutant, test):
        """(the program, what went wrong)"""
        lines, objects = commands_of(self.build, f"tests/{test}"), []
        if not lines:
            return None, f"the build has no {test}"
        for number, (path, (_, text)) in enumerate(mutant.edit(self.root).items()):
            changed, compiled = self.folder / f"{number}_{path.name}", self.folder / f"{number}_{path.name}.o"
            changed.write_text(text)
            found = [line for line in lines if line.endswith(f" -c {path}")]
            if not found:
                return None, f"{test} is not built from {path.relative_to(self.root)}"
            command = re.sub(r" -MD .*$", "", found[0])
            trouble = self.call(f"{command} -w -o {shlex.quote(str(compiled))} -c {shlex.quote(str(changed))}")
            if trouble:
                return None, "DOES NOT BUILD: " + trouble[-300:]
            objects.append(shlex.quote(str(compiled)))
        program = self.build / "tests" / f"mutant_{test}"
        link = lines[-1].replace(f" -o tests/{test} ", f" {' '.join(objects)} -o tests/{program.name} ")
        return program, self.call(link)


def is_guarded(name):
    return not mutants.JAILED.match(name) and mutants.landlock.version() > 0


def try_mutant(relinker, runner, mutant, seconds):
    """What went wrong; empty when one of its tests noticed it."""
    for name, case in mutant.tests:
        program, trouble = relinker.make(mutant, f"test_{name}")
        if trouble:
            return trouble
        guard = (lambda: mutants.landlock.restrict_writes(mutants.writable(runner.build))) if is_guarded(name) else None
        runner.deadline_s = 10 + 4 * seconds[f"test_{name}"]
        result = runner.run(mutants.testrun.Test(program.name, [str(program)], True), [case] if case else [], guard)
        program.unlink(missing_ok=True)
        if result.failed:
            return ""
    return "SURVIVED " + " and ".join(name for name, _ in mutant.tests)


def main(runner, results):
    """results: {test: Result} of this selftest. Returns (passed, failed)."""
    began, seed, deadline_s = time.monotonic(), seed_of(runner.root), runner.deadline_s
    seconds = {name: r.seconds for name, r in results.items() if r.passed and not r.failed}
    chosen = [m for m in map(mutants.Mutant, HERE.glob("*.patch")) if is_cheap(m, seconds)]
    chosen = sorted(chosen, key=lambda m: hashlib.sha256(f"{seed} {m.name}".encode()).digest())[:FEW]
    print(f"a rotation of {len(chosen)} mutants, chosen by {seed}", flush=True)
    relinker, passed, failed = Relinker(runner.root, runner.build), 0, 0
    for mutant in chosen:
        if time.monotonic() - began > TOGETHER_S:
            print(f"{mutant.name}: left to another time, {TOGETHER_S} s are over")
            continue
        if os.geteuid() == 0 and not all(is_guarded(name) or mutants.JAILED.match(name) for name, _ in mutant.tests):
            print(f"skip {mutant.name}: there is no landlock here to keep a broken program from harm")
            continue
        what = try_mutant(relinker, runner, mutant, seconds)
        runner.deadline_s = deadline_s
        if "multiple definition" in what:
            print(f"{mutant.name}: left to run.py, since the test has the changed source in its own")
            continue
        passed, failed = passed + (not what), failed + bool(what)
        print(f"{mutant.name:40} {what or 'caught'}", flush=True)
        if what:
            print(f"    {mutant.why}")
    print(f"{time.monotonic() - began:.0f} s for mutants", flush=True)
    return passed, failed
