#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# banned.sh [REPOSITORY]: the house rules a grep can see, over the files of include/, engine/, lua/, experiments/ and
# tests/: banned functions, files of more than 700 lines, a missing licence line, notes to self. Each rule is one test
# and names every file and line that breaks it. Files below golden/, hacks/, bounds/ and optimise/ and the corpus's table of speedups are data.
root=${1:-$(dirname "$0")/../..}
cd "$root" || exit 2

files=$(find include engine lua experiments tests -type f \
    \( -name '*.c' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh' -o -name '*.lua' -o -name '*.sh' -o -name '*.py' \) \
    ! -path '*/golden/*' ! -path '*/hacks/*' ! -path '*/bounds/*' ! -path 'tests/optimise/*' ! -path '*/corpus/measured.lua' ! -path '*/__pycache__/*' 2>/dev/null | sort)
c_files=$(printf '%s\n' "$files" | grep -E '\.(c|h|cu|cuh)$')
engine_files=$(printf '%s\n' "$c_files" | grep -E '^(engine|include)/')
passed=0
failed=0

# report RULE HITS: a test passes when HITS is empty.
report() {
    if [ -n "$2" ]; then
        printf '%s:\n%s\n' "$1" "$2"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
}

# search PATTERN FILES…: matches with file and line, an empty list of files included.
search() {
    pattern=$1
    shift
    [ $# -gt 0 ] || return 0
    grep -EHn "$pattern" "$@"
}

# The same over C without strings and comments (a comment's inner lines start with " *" here).
search_code() {
    pattern=$1
    shift
    [ $# -gt 0 ] || return 0
    sed -E -s -n -e 's/"([^"\\]|\\.)*"/""/g' -e 's,/\*.*\*/,,g' -e 's,/\*.*,,' -e 's,^[[:space:]]*\*.*,,' -e 's,//.*,,' \
        -e "/$(printf '%s' "$pattern" | sed 's,/,\\/,g')/{F;=;p}" "$@"
}

# shellcheck disable=SC2086
{
    report "banned function" "$(search_code '(^|[^A-Za-z0-9_>."])(sprintf|vsprintf|strcpy|strcat|strtok|atoi|gets|alloca)[[:space:]]*\(' $c_files)"
    report "exit, abort or assert below cli/" "$(search_code '(^|[^A-Za-z0-9_>."])(exit|abort|assert)[[:space:]]*\(' \
        $(printf '%s\n' "$engine_files" | grep -Ev '^engine/(cli|eval/c/worker)/'))"
    report "printing below cli/" "$(search_code '(^|[^A-Za-z0-9_])(printf|puts|putchar|perror)[[:space:]]*\(|(fprintf|fputs)[[:space:]]*\([^;]*std(out|err)' \
        $(printf '%s\n' "$engine_files" | grep -Ev '^engine/(cli|eval/c/worker)/'))"
    report "cJSON outside base/json.c" "$(search_code 'cJSON_[A-Z]|cjson/' \
        $(printf '%s\n' "$c_files" | grep -v '^engine/base/json\.c$'))"
    report "note to self" "$(search "(^|[^A-Za-z])(TO""DO|FIX""ME|X""XX|HA""CK)([^A-Za-z]|$)" $files)"
    report "licence line missing from the first two lines" "$(for f in $files; do
        head -n 2 "$f" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$f:1"
    done)"
    report "longer than 700 lines" "$(for f in $files; do
        n=$(wc -l <"$f")
        [ "$n" -le 700 ] || echo "$f: $n lines"
    done)"
    report "no opening essay" "$(for f in $engine_files; do
        head -n 4 "$f" | sed -n '2,4p' | grep -q '[A-Za-z]' || echo "$f:2"
    done)"
}
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
