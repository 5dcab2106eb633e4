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


def seed_of(root):
    commit = subprocess.run(["git", "-C", str(root), "rev-parse", "HEAD"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return commit.stdout.decode().strip()[:12] if commit.returncode == 0 else time.strftime("%Y-%m-%d")


def is_cheap(mutant, seconds):
    """seconds: of each test that passed."""
    name = f"test_{mutant.tests[0][0]}"
    return name in seconds and seconds[name] <= LONGEST_S and all(target.endswith(".c") for target, *_ in mutant.hunks)


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


def main(runner, results):
    """results: {test: Result} of this selftest. Returns (passed, failed)."""
    began, seed = time.monotonic(), seed_of(runner.root)
    seconds = {name: r.seconds for name, r in results.items() if r.passed and not r.failed}
    chosen = [m for m in map(mutants.Mutant, HERE.glob("*.patch")) if is_cheap(m, seconds)]
    chosen = sorted(chosen, key=lambda m: hashlib.sha256(f"{seed} {m.name}".encode()).digest())[:FEW]
    print(f"a rotation of {len(chosen)} mutants, chosen by {seed}", flush=True)
    relinker, passed, failed = Relinker(runner.root, runner.build), 0, 0
    is_root, deadline_s = os.geteuid() == 0, runner.deadline_s
    for mutant in chosen:
        if time.monotonic() - began > TOGETHER_S:
            print(f"{mutant.name}: left to another time, {TOGETHER_S} s are over")
            continue
        name, case = mutant.tests[0]
        is_guarded = not mutants.JAILED.match(name) and mutants.landlock.version() > 0
        if is_root and not is_guarded and not mutants.JAILED.match(name):
            print(f"skip {mutant.name}: there is no landlock here to keep a broken program from harm")
            continue
        program, trouble = relinker.make(mutant, f"test_{name}")
        what = trouble
        if not trouble:
            runner.deadline_s = 10 + 4 * seconds[f"test_{name}"]
            guard = (lambda: mutants.landlock.restrict_writes(mutants.writable(runner.build))) if is_guarded else None
            result = runner.run(mutants.testrun.Test(program.name, [str(program)], True), [case] if case else [], guard)
            runner.deadline_s = deadline_s
            what = "" if result.failed else f"SURVIVED {name}"
            program.unlink(missing_ok=True)
        passed, failed = passed + (not what), failed + bool(what)
        print(f"{mutant.name:40} {what or 'caught by ' + name}", flush=True)
        if what:
            print(f"    {mutant.why}")
    print(f"{time.monotonic() - began:.0f} s for mutants", flush=True)
    return passed, failed
