#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# commands.sh: every command line of README.md is executed. Experiments run with --dry-run (their real runs are other
# tests); `selftest` is the run we are in, so for it the launcher is only asked to parse. The Lua example is run too.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

check() {
    if "$@" >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'failed: %s\n' "$*"
        tail -n 5 "$work/out"
    fi
}

sed -n '/^```sh$/,/^```$/p' README.md | grep -v '^```' | sed 's/  *# .*$//' >"$work/commands"
while read -r line; do
    case $line in
    '') ;;
    *' selftest'*) check sh -n vegttt ;;
    *--help* | *--dry-run*) check sh -c "$line" ;;
    *experiments/*) check sh -c "$line --dry-run" ;;
    *) check sh -c "$line" ;;
    esac
done <"$work/commands"

sed -n '/^```lua$/,/^```$/p' README.md | grep -v '^```' >"$work/tiny.lua"
check ./vegttt "$work/tiny.lua" --dry-run
[ "$passed" -ge 8 ] || { echo "only $passed commands were found in README.md"; failed=$((failed + 1)); }
printf '%d passed, %d failed\n' $passed $failed
[ $failed -eq 0 ]
