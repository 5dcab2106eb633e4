#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# commands.sh: every command line of README.md is executed, in their order, in a folder of its own beside links to what the
# project has. Experiments that name their run (--run) are carried out with few samples, so that the lines that look at these
# runs have something to look at; those that read such a run too; the others with --dry-run, since their real runs are other
# tests. The Lua examples of README.md and of `vegttt help scripts` are loaded, too.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
for name in experiments splits lua tests vegttt; do ln -s "$root/$name" .; done
passed=0 failed=0
small='--tasks 28 --k 2 --max_tokens 12' # too short for an answer: nothing is compiled

check() {
    if "$@" >out 2>&1 </dev/null; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'failed: %s\n' "$*"
        tail -n 5 out
    fi
}

# examples FILE NAME: each block of Lua in it as NAME1.lua, NAME2.lua …
examples() {
    awk -v name="$2" '/^```lua$/ { n++; on = 1; next } /^```$/ { on = 0 } on { print >name n ".lua" }' "$1"
}

sed -n '/^```sh$/,/^```$/p' "$root/README.md" | grep -v '^```' | sed 's/  *# .*$//' >commands
while read -r line; do
    case $line in
    '') ;;
    *--help* | *--dry-run*) check sh -c "$line" ;;
    *experiments/boa.lua*--run\ *) check sh -c "$(echo "$line" | sed 's/--tasks [0-9,]*//') $small --steps 1" ;;
    *experiments/*--run\ *) check sh -c "$line $small" ;;
    *experiments/*--from*) check sh -c "$line" ;;
    *experiments/*) check sh -c "$line --dry-run" ;;
    *' --on-save'*) check sh -c "$line --times 1" ;;
    *) check sh -c "$line" ;;
    esac
done <commands

examples "$root/README.md" readme
./vegttt help scripts >scripts.md
examples scripts.md scripts
for file in readme1 scripts1 scripts2; do check ./vegttt $file.lua --dry-run; done
[ "$passed" -ge 35 ] || { echo "only $passed commands were found in README.md"; failed=$((failed + 1)); }
printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]
