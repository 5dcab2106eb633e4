#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""build_id.py: what a program says it was built from (engine/build/build_id.py) follows the sources and git, and the
file is left alone while they are the same, so that a build that changes nothing compiles nothing.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
passed = failed = 0


def check(name, is_right):
    global passed, failed
    passed, failed = passed + bool(is_right), failed + (not is_right)
    if not is_right:
        print(f"FAIL {name}")


def texts(source, out):
    subprocess.run([sys.executable, ROOT / "engine/build/build_id.py", source, out], check=True)
    return re.findall(r'\[\] = "([^"]*)";', out.read_text())


def git(source, *words):
    subprocess.run(["git", "-C", source, "-c", "user.name=t", "-c", "user.email=t@t", *words], check=True,
                   capture_output=True)


with tempfile.TemporaryDirectory() as folder:
    source, out = pathlib.Path(folder) / "tree", pathlib.Path(folder) / "id.c"
    (source / "engine" / "a").mkdir(parents=True)
    (source / "include").mkdir()
    (source / "engine/a/x.c").write_text("int x;\n")
    (source / "include/x.h").write_text("extern int x;\n")
    commit, first = texts(source, out)
    check("no commit outside git", commit == "unknown")
    check("a digest", re.fullmatch("[0-9a-f]{64}", first))
    os.utime(out, ns=(1, 1))
    check("the same again", texts(source, out) == ["unknown", first] and out.stat().st_mtime_ns == 1)
    (source / "README.md").write_text("words\n")
    check("what is not compiled does not count", texts(source, out)[1] == first and out.stat().st_mtime_ns == 1)
    (source / "engine/a/x.c").write_text("int x = 1;\n")
    edited = texts(source, out)[1]
    check("an edited source is another engine", edited != first)
    (source / "engine/a/x.c").rename(source / "engine/a/y.c")
    check("a renamed source is another engine", texts(source, out)[1] not in (first, edited))
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "around it")
    check("the commit of a repository around it is not its own", texts(source, out)[0] == "unknown")
    git(source, "init", "-q")
    git(source, "add", "-A")
    git(source, "commit", "-qm", "its own")
    clean = texts(source, out)[0]
    check("its own commit", re.fullmatch("[0-9a-f]{12,}", clean))
    (source / "include/x.h").write_text("extern int y;\n")
    check("edited since", texts(source, out)[0] == clean + "-dirty")

print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
