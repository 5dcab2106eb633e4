#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""circles.py: files of one folder of engine/ that need each other in a circle cannot be read one after the other.

A file needs another when it uses a function or an object that the other defines; the built libraries say so (nm). A
circle is allowed where the opening essay of one of its files says why: it has a sentence that begins with "Circle:" and
names every other file of the circle. The include law between folders is tests/unit/arrows.py.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
BUILD = pathlib.Path(os.environ.get("VEGTTT") or ROOT / "build" / "vegttt").parent


def needs(library):
    """{object: objects of the same library that define what it uses}."""
    listing = subprocess.run(["nm", "-A", str(library)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
    defined, used = {}, {}
    for line in listing.splitlines():
        found = re.match(r"[^:]+:([^:]+)\.c\.o:\s*[0-9a-f]*\s+([A-Za-z]) (\S+)$", line)
        if found and found[2] == "U":
            used.setdefault(found[1], set()).add(found[3])
        elif found and found[2].isupper():
            defined[found[3]] = found[1]
    graph = {name: set() for name in defined.values()}
    for name, symbols in used.items():
        graph[name] = {defined[s] for s in symbols if s in defined and defined[s] != name}
    return graph


def reached(graph, start):
    found, todo = set(), [start]
    while todo:
        for name in graph.get(todo.pop(), ()):
            if name not in found:
                found.add(name)
                todo.append(name)
    return found


def circles(graph):
    reach = {name: reached(graph, name) for name in graph}
    found = {frozenset(m for m in graph if m in reach[name] and name in reach[m]) for name in graph if name in reach[name]}
    return sorted(sorted(c) for c in found)


def essay_of(path):
    """The opening comment of a file."""
    found = re.match(r"\s*/\*.*?\*/", path.read_text(), re.S)
    return found[0] if found else ""


def excuse(folder, circle):
    """The sentence that allows it, or an empty text."""
    for name in circle:
        for path in [p for suffix in ("c", "h") for p in folder.rglob(f"{name}.{suffix}")]:
            said = re.search(r"Circle: .*?(?=\*/|\n \*\n|\n\n)", essay_of(path), re.S)
            if said and all(re.search(rf"\b{re.escape(other)}\b", said[0]) for other in circle if other != name):
                return re.sub(r"\s*\n \* ?", " ", said[0]).strip()
    return ""


def main():
    passed = failed = 0
    for library in sorted(BUILD.glob("libvegttt_*.a")):
        folder = ROOT / "engine" / library.stem.removeprefix("libvegttt_")
        graph, bad = needs(library), 0
        for circle in circles(graph):
            why = excuse(folder, circle)
            bad += not why
            print(f"{'' if why else 'FAIL '}engine/{folder.name}: {', '.join(circle)}: {why or 'a circle that no essay explains'}")
            for name in circle if not why else []:
                print(f"    {name} needs {', '.join(sorted(graph[name] & set(circle)))}")
        passed, failed = passed + (not bad), failed + bad
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
