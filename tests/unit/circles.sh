#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# circles.sh [BUILD]: inside a folder files call one way. Files of engine/X are the objects of libvegttt_X.a; one that
# uses a symbol which another defines points to it, and a folder's arrows must have an order. Folders with a circle that
# an essay explains are not in the list below.
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
build=${1:-$(dirname "${VEGTTT:-$root/build/vegttt}")}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

# nm's lines are "LIBRARY:OBJECT:[ADDRESS] TYPE SYMBOL". Prints "user definer".
arrows() {
    nm -A "$1" 2>/dev/null | awk '
        { split($1, where, ":"); object = where[2]; type = $(NF - 1); symbol = $NF }
        type ~ /^[TDRBVW]$/ { definer[symbol] = object }
        type == "U" { n++; user[n] = object; used[n] = symbol }
        END { for (i = 1; i <= n; i++) if (used[i] in definer && definer[used[i]] != user[i]) print user[i], definer[used[i]] }'
}

for folder in base store stats plot policy farm bind; do
    library=$build/libvegttt_$folder.a
    if [ ! -f "$library" ]; then
        echo "skip $folder: there is no $library"
        skipped=$((skipped + 1))
        continue
    fi
    arrows "$library" >"$work/arrows"
    if [ "$folder" = bind ] && [ ! -s "$work/arrows" ]; then
        echo "$folder: no file uses another one; nm did not say what was expected"
        failed=$((failed + 1))
    elif tsort "$work/arrows" >/dev/null 2>"$work/loops"; then
        passed=$((passed + 1))
    else
        echo "engine/$folder: these files call each other in a circle:"
        grep -v loop "$work/loops"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
