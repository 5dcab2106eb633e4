#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# format.sh: C sources are laid out as .clang-format says, Lua passes luacheck. A tool that this machine lacks is a
# skipped check, named.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
cd "$root" || exit 1
passed=0 failed=0 skipped=0

report() { # NAME OUTPUT: empty output is a pass
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf '%s:\n%s\n' "$1" "$2" | head -n 30
    fi
}

if command -v clang-format >/dev/null 2>&1; then
    bad=$(find engine include tests/unit tests/bench tests/fuzz \( -name '*.c' -o -name '*.h' \) -print0 |
        xargs -0 clang-format --dry-run -Werror 2>&1 | grep -o '^[^: ][^:]*:[0-9]*: *' | sort -u)
    report "not laid out as .clang-format says (run: clang-format -i FILE)" "$bad"
else
    echo "skip layout of C: there is no clang-format here"
    skipped=$((skipped + 1))
fi

if command -v luacheck >/dev/null 2>&1; then
    report "luacheck" "$(luacheck --quiet --no-color lua experiments tests/lua | grep -E '^ +[a-z].*: ' || true)"
else
    echo "skip lint of Lua: there is no luacheck here"
    skipped=$((skipped + 1))
fi
printf '%d passed, %d failed, %d skipped\n' $passed $failed $skipped
[ $failed -eq 0 ]
