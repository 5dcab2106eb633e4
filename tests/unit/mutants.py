#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutants.py: every mutant of tests/mutants still has its one place in the sources and names tests that exist, and there
are mutants of every folder. Whether they are caught takes long and is `selftest --mutants`.
"""
import os
import pathlib
import sys

ROOT = pathlib.Path(os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
sys.path.insert(0, str(ROOT / "tests" / "mutants"))
import run  # noqa: E402

FEWEST = 80
FOLDERS = "base loop store stats plot model cpu policy eval farm bind"


def has_test(name):
    kind, _, rest = name.partition("_")
    if name == "lua":
        return True
    if kind in ("unit", "kill", "readme"):
        return any((ROOT / "tests" / kind / f"{rest}.{suffix}").exists() for suffix in ("sh", "py"))
    if kind == "cli":
        return (ROOT / "tests" / "cli" / f"{rest}.case").exists()
    return (ROOT / "tests" / "unit" / f"{name}.c").exists()


def main():
    failed, seen = 0, set()
    paths = sorted((ROOT / "tests" / "mutants").glob("*.patch"))
    for path in paths:
        try:
            mutant = run.Mutant(path)
            seen.update(str(p.relative_to(ROOT / "engine")).split("/")[0] for p in mutant.edit(ROOT) if p.is_relative_to(ROOT / "engine"))
            absent = [name for name, _ in mutant.tests if not has_test(name)]
            if absent:
                raise ValueError(f"there is no test {' '.join(absent)}")
        except ValueError as e:
            print(f"{path.name}: {e}")
            failed += 1
    for folder in FOLDERS.split():
        if folder not in seen and (ROOT / "engine" / folder).is_dir():
            print(f"there is no mutant of engine/{folder}")
            failed += 1
    if len(paths) < FEWEST:
        print(f"{len(paths)} mutants; at least {FEWEST} are needed")
        failed += 1
    print(f"{len(paths) - min(failed, len(paths))} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
