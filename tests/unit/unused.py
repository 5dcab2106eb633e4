#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""unused.py: a function that other files may call is called by one.

It is dead when nothing in engine/ uses it, and should be static when only its own file does; the public headers may
offer what the engine itself does not need. A use by a test keeps nothing alive, unless it looks at a part that the
function's own file uses as well. What is there for others stands in KEPT with the reason. The built libraries and
programs say who uses what (nm), the source says whether a file uses its own.
"""
import collections
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
BUILD = pathlib.Path(os.environ.get("VEGTTT") or ROOT / "build" / "vegttt").parent
KEPT = {
    "vt_alloc_fail_at": "tests let allocations fail",
    "vt_policy_backend_add": "a program that embeds the engine adds a policy of its own",
    "vt_lease_poll": "backends of devices poll, and not every build has one",
    "vt_lm_grad_read": "tests compare gradients of backends",
    "vt_adapter_load": "tests of formats read what vt_adapter_save wrote under a model's config",
    "vt_tokenizer_from_json": "tests and the fuzzer read a tokenizer without a model",
    "vt_content_list": "what the collection of the content store is built on",
    "vt_content_listing_free": "the same",
    "vt_content_trim": "the same",
    "vt_loop_http": "how a client of a remote service shares the loop's transfers, the reason why the loop waits in curl",
}
LEFT_OUT = ("_gpu", "_cuda")  # compiled with kernels, whose uses nm does not see


def objects():
    """Every object of the engine: those in libraries as (library, member), those of programs by path."""
    yield from sorted(BUILD.glob("libvegttt_*.a"))
    for program in ("vegttt", "vegttt-worker", "vegttt-cuda"):
        folder = BUILD / "CMakeFiles" / f"{program}.dir"
        yield from (p for p in sorted(folder.rglob("*.c.o")) if (ROOT / p.relative_to(folder).with_suffix("")).exists())


def symbols():
    """{function: file that defines it}, {function: files that use it}."""
    defined, used = {}, {}
    for path in objects():
        listing = subprocess.run(["nm", "-A", str(path)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout.decode()
        for line in listing.splitlines():
            found = re.match(r"(\S+\.c\.o):\s*[0-9a-f]*\s+([A-Za-z]) (vt_\S+)$", line)
            if not found:
                continue
            name = re.sub(r"^.*[:/]", "", found[1])
            if found[2] == "U":
                used.setdefault(found[3], set()).add(name)
            elif found[2] in "TDRB" and not path.stem.endswith(LEFT_OUT):
                defined.setdefault(found[3], name)
    return defined, used


def words(folder, pattern):
    """How often each of our names stands in the files."""
    count = collections.Counter()
    for path in sorted((ROOT / folder).rglob(pattern)):
        count.update(re.findall(r"\bvt_\w+", path.read_text()))
    return count


def named_again():
    """{file name: the names that stand in such a file more than once, comments aside}."""
    out = {}
    for path in (ROOT / "engine").rglob("*.c"):
        count = collections.Counter(re.findall(r"\bvt_\w+", re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.S)))
        out.setdefault(path.name, set()).update(name for name, n in count.items() if n > 1)
    return out


def main():
    public, tested = words("include", "*.h"), words("tests", "*.[ch]")
    defined, used = symbols()
    again = named_again()
    passed = failed = 0
    for name, member in sorted(defined.items()):
        is_tested, is_own = name in tested, name in again.get(member.removesuffix(".o"), set())
        if used.get(name, set()) - {member} or name in public or name in KEPT or (is_tested and is_own):
            passed += 1
            continue
        failed += 1
        print(f"{name} of {member.removesuffix('.o')}: " + ("only its own file uses it: make it static" if is_own else
              "only tests use it" if is_tested else "nothing uses it"))
    for name in sorted(KEPT.keys() - defined.keys()):
        print(f"{name} is to be kept and is not there")
        failed += 1
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
