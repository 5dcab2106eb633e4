#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""arrows.py [REPOSITORY]: the dependency law between the folders of engine/, read from their #includes.

The law is the table below: a folder may include itself and the folders after its name, and nothing else. bind and cli
may include every folder. The evaluator's tiers (eval/c, eval/cuda, eval/torch) build on the evaluator's core, which does
not know them: it knows tier.h, and only tiers.c, the list of tiers, names one. eval/c/worker is a program of its own that shares nothing but its protocol.
lua.h and its companions belong to bind.
"""
import os
import pathlib
import re
import sys

ROOT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
LAW = {
    "base": "",
    "loop": "base",
    "stats": "base",
    "plot": "base",
    "store": "base",
    "model": "base",
    "gpu": "base",
    "net": "base loop",
    "cpu": "base model",
    "cuda": "base model gpu",
    "policy": "base loop net store model cpu cuda",
    "eval": "base loop store stats",
    "eval/c": "base loop store stats eval eval/c/worker",
    "eval/c/worker": "",
    "eval/cuda": "base loop store stats gpu eval",
    "eval/torch": "base loop store stats eval",
    "farm": "base loop net eval store",
    "bind": "*",
    "cli": "*",
}
LUA = {"lua.h", "lualib.h", "lauxlib.h", "luaconf.h"}


def folder_of(path):
    """The folder of the law that a path below engine/ lies in: the longest that the table knows, else its first part."""
    parts = path.split("/")[:-1]
    for n in range(len(parts), 0, -1):
        if "/".join(parts[:n]) in LAW:
            return "/".join(parts[:n])
    return parts[0] if parts else ""


def wrong_includes(path):
    where = str(path.relative_to(ROOT / "engine"))
    folder = folder_of(where)
    allowed = LAW.get(folder, "").split() + [folder]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*["<]([^">]+)[">]', line)
        target = include[1] if include else ""
        if target in LUA and folder != "bind":
            yield f"engine/{where}:{number}: only bind/ includes {target}"
        elif where == "eval/tiers.c" and target.startswith("eval/"):
            continue
        elif "/" in target and (ROOT / "engine" / target).exists() and "*" not in allowed and folder_of(target) not in allowed:
            yield f"engine/{where}:{number}: {folder} may not include {target}"


def main():
    failures = {}
    for path in sorted(p for p in (ROOT / "engine").rglob("*") if p.suffix in (".c", ".h", ".cu", ".cuh")):
        folder = folder_of(str(path.relative_to(ROOT / "engine")))
        wrong = failures.setdefault(folder, [])
        if folder not in LAW and not wrong:
            wrong.append(f"engine/{folder}: the dependency law does not know this folder")
        wrong.extend(wrong_includes(path))
    for lines in failures.values():
        for line in lines:
            print(line)
    failed = sum(bool(lines) for lines in failures.values())
    print(f"{len(failures) - failed} passed, {failed} failed")
    return 0 if failures and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
