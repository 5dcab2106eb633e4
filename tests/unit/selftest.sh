#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# selftest.sh: the runner of the tests, on a made-up tree: it adds up, it believes no test that does not close its
# account, it names and kills what hangs, with children that left their session, and it refuses options it does not know.
set -u
root=${VEGTTT_ROOT:-$(cd "$(dirname "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
mkdir -p "$work/tests/unit" "$work/build/tests" "$work/tests/lua"

test_of() { # NAME <<text of the script
    { echo '#!/bin/sh'; cat; } >"$work/build/tests/test_$1"
    chmod +x "$work/build/tests/test_$1"
}
echo 'case $1 in model) echo /model ;; *) echo "3 passed, 0 failed" ;; esac' >"$work/vegttt"
{ echo '#!/bin/sh'; cat "$work/vegttt"; } >"$work/build/vegttt"
chmod +x "$work/build/vegttt"

selftest() { VEGTTT_DEADLINE=1 python3 "$root/engine/build/selftest.py" "$work" "$work/build" "$@" >"$work/out" 2>&1; code=$?; }
check() { # WHAT CONDITION…
    what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAIL $what (exit code $code)"
        sed 's/^/    /' "$work/out"
    fi
}
last() { [ "$(tail -n 1 "$work/out")" = "$1" ]; }
says() { grep -qF -- "$1" "$work/out"; }

echo 'echo "skip a thing: this machine lacks it"; echo "2 passed, 0 failed, 1 skipped"' | test_of good
echo 'echo "$VEGTTT $VEGTTT_ROOT $VEGTTT_TEST_MODEL full=${VEGTTT_FULL:-}" >>"$VEGTTT_ROOT/seen"; echo "1 passed, 0 failed"' | test_of environment
echo 'echo "4 passed, 0 failed"' >"$work/tests/unit/script.sh"
selftest
check "adds up" last "10 passed, 0 failed, 1 skipped"
check "exit code 0" [ "$code" -eq 0 ]
check "names what was skipped" says "skip a thing: this machine lacks it"
check "hands on the tree, the build and the model" grep -qxF "$work/build/vegttt $work /model full=" "$work/seen"
selftest good script
check "names select" last "6 passed, 0 failed, 1 skipped"
selftest --full environment
check "--full" grep -qxF "$work/build/vegttt $work /model full=1" "$work/seen"
selftest nothing
check "a name that selects nothing is refused" [ "$code" -eq 2 ]
for wrong in --ful --few=6 "--mutants --sanitize"; do
    # shellcheck disable=SC2086
    selftest $wrong
    check "refuses $wrong" [ "$code" -eq 2 ]
    code=0
    # shellcheck disable=SC2086
    python3 "$root/engine/build/selftest.py" usage $wrong 2>/dev/null || code=$?
    check "refuses $wrong before anything is built" [ "$code" -eq 2 ]
done

echo 'echo "1 passed, 0 failed"; exit 1' | test_of lies_about_success
echo 'echo "1 passed, 1 failed"' | test_of lies_about_failure
echo 'echo "everything is fine"' | test_of silent
echo 'echo "2 passed, 1 failed"; exit 1' | test_of honest
selftest lies_about_success
check "an exit code that says otherwise is a failure" last "1 passed, 1 failed"
selftest lies_about_failure
check "an exit code of 0 does not hide a failure" last "1 passed, 1 failed"
check "its exit code" [ "$code" -eq 1 ]
selftest silent
check "no closing line is a failure" last "0 passed, 1 failed"
check "and says so" says "without a closing line"
selftest honest good
check "failures are named again at the end" says "failed: test_honest"
check "adds up failures" last "4 passed, 1 failed, 1 skipped"

# Two tests that wait for each other, and one that must have the machine to itself.
if [ "$(nproc)" -gt 1 ]; then
    for i in 1 2; do
        {
            echo "touch \$VEGTTT_ROOT/here$i; i=0"
            echo "until [ -e \$VEGTTT_ROOT/here$((3 - i)) ] || [ \$i -gt 40 ]; do sleep 0.02; i=\$((i + 1)); done"
            echo 'sleep 0.1; rm "$VEGTTT_ROOT/here'$i'"; [ $i -le 40 ] && echo "1 passed, 0 failed"'
        } | test_of pair$i
    done
    echo 'ls "$VEGTTT_ROOT" | grep -q here && exit 1; echo "1 passed, 0 failed"' | test_of eval_timing_pair
    selftest pair
    check "tests run side by side, those that look at times alone" last "3 passed, 0 failed"
fi

# A hanging test with a child in a session of its own that ignores every polite signal.
{
    echo 'setsid sh -c "trap \"\" TERM INT HUP QUIT; echo \$\$ >$VEGTTT_ROOT/orphan; while :; do sleep 1; done" &'
    echo 'trap "" TERM INT HUP; echo begun; while :; do sleep 1; done'
} | test_of hangs
selftest hangs
check "a test that hangs has failed" last "0 passed, 1 failed"
check "and is named" says "test_hangs: HUNG"
check "its log is shown" says "    begun"
check "its children are gone" sh -c "! kill -0 $(cat "$work/orphan") 2>/dev/null"
{
    echo 'setsid sleep 60 &'
    echo 'echo "1 passed, 0 failed"'
} | test_of litters
selftest litters
check "a test that leaves processes behind has failed" last "1 passed, 1 failed"
check "and they are named" says "left processes behind: sleep 60"

# The harness of unit tests names the case that hangs.
cat >"$work/case.c" <<'C'
#include "harness.h"
static void short_case(void)
{
}
static void endless_case(void)
{
    for (;;)
        pause();
}
static const struct test_case cases[] = {TEST(short_case), TEST(endless_case)};
TEST_MAIN(cases)
C
if cc -D_GNU_SOURCE -I "$root/tests/unit" -o "$work/build/tests/test_cases" "$work/case.c" -lm; then
    selftest cases
    check "the case that hangs is named" says "FAIL endless_case: still running at the deadline"
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
