#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build_id.py SOURCE OUT: writes the C file of engine/bind/build_id.h, when it would be another than it is.

The commit is that of the repository whose top is SOURCE: sources unpacked inside another repository are nobody's
commit. The digest is over what is compiled, by name and content, so two builds of equal sources have equal ones,
whatever git says, and a build of an edited tree has another.
"""
import hashlib
import pathlib
import subprocess
import sys

SUFFIXES = {".c", ".h", ".cu", ".cuh"}


def git(source, *words):
    try:
        done = subprocess.run(["git", "-C", source, *words], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def commit(source):
    top = git(source, "rev-parse", "--show-toplevel")
    if not top or pathlib.Path(top).resolve() != pathlib.Path(source).resolve():
        return "unknown"
    return git(source, "describe", "--always", "--dirty", "--abbrev=12") or "unknown"


def engine_digest(source):
    h = hashlib.sha256()
    root = pathlib.Path(source)
    files = [p for folder in ("engine", "include") for p in (root / folder).rglob("*") if p.suffix in SUFFIXES]
    for path in sorted(files):
        data = path.read_bytes()
        h.update(f"{path.relative_to(root)}\0{len(data)}\0".encode())
        h.update(data)
    return h.hexdigest()


def main():
    source, out = sys.argv[1], pathlib.Path(sys.argv[2])
    text = ('#include "bind/build_id.h"\n'
            f'const char vt_build_commit[] = "{commit(source)}";\n'
            f'const char vt_build_engine[] = "{engine_digest(source)}";\n')
    if not out.exists() or out.read_text() != text:
        out.write_text(text)


main()
