#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# every_write.sh: SIGKILL at the writes of a small run of boa.lua into its folder (journal, samples, verdicts, tables,
# summary), before the bytes, after a part of them and after all, then the same command again. Under a deterministic
# evaluator (--reward-from: the verdicts of a recorded run in place of the clock) the resumed run must end with the tables,
# the result and the samples of one that was never killed, and have nothing twice. By default 12 places spread over the run
# are tried and 6 within writes, others every day; VEGTTT_KILLS=all tries every write. Needs $VEGTTT and a C compiler.
set -u
root=${VEGTTT_ROOT:-$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export VEGTTT_ROOT="$root" XDG_CACHE_HOME="$work/cache"
cd "$work" || exit 1
skip() { echo "skip every_write: $1"; echo "0 passed, 0 failed, 1 skipped"; exit 0; }
cc -shared -fPIC -O1 -o kill_at_write.so "$root/tests/kill/kill_at_write.c" 2>cc.log || skip "no library to preload can be made here"
. "$root/tests/cli/speaking_model.sh"
printf 'for (int i = 0; i < n; i++)\n  y[i] = x[i] > 0.0f ? x[i] : 0.0f;\n' >1.c
printf 'y[0] = 1;\n' >2.c
printf 'y[0] = "no number" * 2;\n' >3.c
printf 'for (int i = 0; i < n; i++)\n  y[i] = x[i] * (x[i] > 0.0f);\n' >4.c
speaking model 1.c 2.c 3.c 4.c

# A cache that would hide what a killed run recorded is emptied before each attempt.
boa() { # NAME [ENVIRONMENT…]
    name=$1
    shift
    rm -rf "$work/cache/vegttt/store/sample"
    env "$@" "$VEGTTT" "$root/experiments/boa.lua" --model model --split '' --tasks 19 --k 2 --steps 1 --lr 0.003 --seed 3 \
        --run "$name" ${clock:+--reward-from "$clock"} >"$name.out" 2>"$name.err" </dev/null
}
# tables NAME: everything that the run says; its costs too, but for how long it took
tables() {
    for f in "runs/boa/$1"/tables/*.csv "runs/boa/$1"/plots/*.csv; do echo "$f" | sed 's|.*/||'; cat "$f"; done
    python3 -c 'import json, sys
s = json.load(open(sys.argv[1]))
print(json.dumps([s["result"], s["params"], s["meter"]["charged"], s["tables"]], sort_keys=True))' "runs/boa/$1/summary.json"
    grep -o '"key":"[0-9a-f]*"' "runs/boa/$1/rollouts.jsonl" | sort | uniq -c
    sed 's/"t":[^,]*,//; s/"t_mono":[^,}]*[,}]//; s/"v":1//' "runs/boa/$1/metrics.jsonl"
}
passed=0 failed=0
fail() { echo "  $1"; failed=$((failed + 1)); }
clock=
boa clock || { cat clock.err; echo "0 passed, 1 failed"; exit 1; }
clock=runs/boa/clock
boa whole LD_PRELOAD="$work/kill_at_write.so" KILL_COUNT="$work/count" || { cat whole.err; echo "0 passed, 1 failed"; exit 1; }
n=$(wc -c <count 2>/dev/null || echo 0)
[ "$n" -gt 0 ] || skip "nothing can be preloaded into this program"
tables whole >whole.tables
boa twin || fail "the second run failed"
tables twin >twin.tables
cmp -s whole.tables twin.tables && passed=$((passed + 1)) || fail "two whole runs differ: $(diff whole.tables twin.tables | head -n 4)"

try() { # WRITE PART
    name=killed_$1_$2
    boa "$name" LD_PRELOAD="$work/kill_at_write.so" KILL_AT="$1" KILL_PART="$2"
    code=$?
    if [ $code -ne 137 ]; then
        fail "write $1 of $n: it was not killed (exit code $code)"
        return
    fi
    if ! boa "$name"; then
        fail "killed at write $1 of $n, after $2/1000 of it: the same command failed: $(tail -n 1 "$name.err")"
        return
    fi
    tables "$name" >"$name.tables"
    if cmp -s whole.tables "$name.tables"; then passed=$((passed + 1)); else
        fail "killed at write $1 of $n, after $2/1000 of it: $(diff whole.tables "$name.tables" | head -n 6)"
    fi
    rm -rf "runs/boa/$name"
}
if [ "${VEGTTT_KILLS:-}" = all ]; then
    i=1
    while [ $i -le "$n" ]; do
        try $i 1000
        i=$((i + 1))
    done
    n_within=40
else
    n_places=${VEGTTT_KILLS:-12}
    i=0
    first=$(($(date +%s) / 86400 % n)) # another set of places every day
    while [ $i -lt "$n_places" ]; do
        try $(((first + i * n / n_places) % n + 1)) $((i % 2 * 1000))
        i=$((i + 1))
    done
    n_within=6
fi
i=0
while [ $i -lt $n_within ]; do # inside writes: parts drawn from a stream of its own
    try $((i * 7919 % n + 1)) $((i * 7907 % 998 + 1))
    i=$((i + 1))
done
echo "of $n writes"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
