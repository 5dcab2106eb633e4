#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# selftest.sh ROOT BUILD [--full] [name…]: runs every test and adds up their closing lines. A test is a program or a
# script that ends with a line `N passed, N failed[, N skipped]` and a matching exit code; one that prints no such line
# has failed. --full also runs what a rotation leaves out (VEGTTT_FULL=1). Names select tests whose file name contains
# one of them.
set -u
root=$1
build=$2
shift 2
[ "${1-}" = --full ] && { VEGTTT_FULL=1; export VEGTTT_FULL; shift; }
export VEGTTT="$build/vegttt" VEGTTT_ROOT="$root"
logs=$build/selftest
mkdir -p "$logs"
total_passed=0 total_failed=0 total_skipped=0 started=$(date +%s)

wanted() {
    [ $# -eq 1 ] && return 0
    name=$1
    shift
    for pattern; do
        case $name in *"$pattern"*) return 0 ;; esac
    done
    return 1
}

run() {
    name=$1
    shift
    began=$(date +%s)
    "$@" >"$logs/$name.log" 2>&1 </dev/null
    code=$?
    line=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$logs/$name.log" | tail -n 1)
    [ -n "$line" ] || echo "$name ended with exit code $code and without a closing line" >>"$logs/$name.log"
    # "3 passed, 1 failed, 2 skipped" -> 3 1 2; no line -> 0 0 0
    set -- $(echo "$line" | tr -cd '0-9 \n') 0 0 0
    passed=$1 failed=$2 skipped=$3
    [ $code -eq 0 ] && [ -n "$line" ] || [ "$failed" -gt 0 ] || failed=1
    total_passed=$((total_passed + passed)) total_failed=$((total_failed + failed)) total_skipped=$((total_skipped + skipped))
    printf '%-34s %4d s  %d passed, %d failed, %d skipped\n' "$name" $(($(date +%s) - began)) "$passed" "$failed" "$skipped"
    if [ "$failed" -gt 0 ]; then
        grep -vE '^[0-9]+ passed, ' "$logs/$name.log" | tail -n 25 | sed 's/^/    /'
    else
        grep -E '^skip ' "$logs/$name.log" | sed 's/^/    /'
    fi
}

cd "$root" || exit 1
# The tests of the language model use the real default weights: fetched once, kept in the user's cache.
VEGTTT_TEST_MODEL=$("$VEGTTT" model pull smollm2-135m) || echo "the default model could not be fetched: its tests will be skipped"
export VEGTTT_TEST_MODEL
for program in "$build"/tests/test_*; do
    name=$(basename "$program")
    [ -x "$program" ] && wanted "$name" "$@" && run "$name" "$program"
done
for script in tests/unit/*.sh tests/cli/run.sh tests/kill/*.sh tests/readme/*.sh; do
    name=$(echo "$script" | sed 's|^tests/||; s|/|_|g; s|\.sh$||')
    [ -f "$script" ] && wanted "$name" "$@" && run "$name" sh "$script"
done
[ -d tests/lua ] && wanted lua "$@" && run lua "$VEGTTT" test tests/lua

printf '%d s; logs in %s\n' $(($(date +%s) - started)) "$logs"
if [ $total_skipped -gt 0 ]; then
    printf '%d passed, %d failed, %d skipped\n' $total_passed $total_failed $total_skipped
else
    printf '%d passed, %d failed\n' $total_passed $total_failed
fi
[ $total_failed -eq 0 ] && [ $total_passed -gt 0 ]
