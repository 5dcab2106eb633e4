#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# resume_remote.sh: SIGKILL at many moments of a run whose model is on a server (tests/double): one that draws without
# seeds, names weights as it likes and keeps their states itself. Nothing can be made again there, so what a killed run
# recorded must be what the resumed one goes on from: every sample, every update and every name stays, nothing comes
# twice, and a larger k is a request of its own. Needs $VEGTTT; the program with the double lies beside it.
set -u
root=${VEGTTT_ROOT:-$(CDPATH= cd -- "$(dirname -- "$0")/../.." && pwd)}
double=$(dirname "$VEGTTT")/tests/vegttt-double
if [ ! -x "$double" ]; then
    echo "skip resume_remote: there is no $double"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"
cd "$work" || exit 1
ln -s "$root/splits" "$root/experiments" .
model="double:delay=20@$root/tests/golden/tiny/chat"
cat >adapt.lua <<'LUA'
local vt = require "vegttt"
return vt.experiment { name = "adapt", doc = "updates on text length", params = vt.params {}, main = function(run, p)
  local policy = vt.policy(p.model)
  local tasks = vt.tasks { ids = "5,19" }
  for step = 0, 4 do
    local w = policy:snapshot("step" .. step)
    local groups = vt.map(tasks, function(task)
      return w:sample(task:prompt(), { n = 3, max_tokens = 24, temperature = 1 })
    end)
    for _, g in ipairs(groups) do
      for _, s in ipairs(g) do s.reward = #s.text end
    end
    if step < 4 then policy:update(vt.batch(vt.advantage.batch_z()(groups)), { lr = 1e-3 }) end
    run:log("step", { step = step, weights = w.id })
  end
  return { weights = policy:snapshot().id }
end }
LUA
# The cache of samples would hide what a killed run recorded: each attempt gets its own.
fresh_cache() { rm -rf "$work/cache/vegttt/store/sample"; }
run() { fresh_cache; "$double" adapt.lua --model "$model" --run "$1" >"$1.out" 2>"$1.err" </dev/null; }
# names RUN: samples as they were drawn, one a line; updates RUN: which weights came from which update
names() { grep -o '"i":[0-9]*,"key":"[0-9a-f]*".*"seed":"[0-9]*".*"text":"[^"]*"' "runs/adapt/$1/rollouts.jsonl" 2>/dev/null | sort; }
updates() { grep -o '"key":"update/[0-9a-f/]*".*"id":"[0-9a-f]*"\|"id":"[0-9a-f]*".*"key":"update/[0-9a-f/]*"' "runs/adapt/$1/journal.jsonl" 2>/dev/null | sort; }
passed=0 failed=0
check() { # MESSAGE COMMAND…
    message=$1
    shift
    if "$@"; then passed=$((passed + 1)); else echo "  $message"; failed=$((failed + 1)); fi
}
# contains ALL PART: every line of file PART is in file ALL
contains() { [ -z "$(comm -13 "$1" "$2")" ]; }
no_twice() { [ -z "$(uniq -d "$1")" ]; }

began=$(date +%s%N)
run whole || { cat whole.err; echo "0 passed, 1 failed"; exit 1; }
ms=$((($(date +%s%N) - began) / 1000000))
names whole >whole.names
check "the whole run has $(wc -l <whole.names) samples instead of 30" [ "$(wc -l <whole.names)" -eq 30 ]

n=${VEGTTT_KILLS:-4}
i=1
while [ $i -le "$n" ]; do
    name=killed$i
    fresh_cache
    "$double" adapt.lua --model "$model" --run "$name" >/dev/null 2>&1 </dev/null &
    pid=$!
    sleep "$(awk "BEGIN { print $ms * $i / ($n + 1) / 1000 }")"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    names $name >before.names
    updates $name >before.updates
    run $name
    code=$?
    names $name >after.names
    updates $name >after.updates
    check "killed after share $i of $n: the same command ended with $code: $(tail -n 1 $name.err)" [ $code -eq 0 ]
    check "killed after share $i of $n: a sample was lost or drawn again" contains after.names before.names
    check "killed after share $i of $n: an update was lost or made again" contains after.updates before.updates
    check "killed after share $i of $n: $(wc -l <after.names) samples" [ "$(wc -l <after.names)" -eq 30 ]
    grep -o '"i":[0-9]*,"key":"[0-9a-f]*"' after.names | sort >after.keys
    check "killed after share $i of $n: a sample is there twice" no_twice after.keys
    check "killed after share $i of $n: not 4 updates" [ "$(wc -l <after.updates)" -eq 4 ]
    i=$((i + 1))
done

# A larger k is a run of its own: it takes the first four, the others are one request, and the lines say so.
fresh_cache
best() { "$double" experiments/best_of_n.lua --tasks 5 --k "$1" --max_tokens 24 --temperature 1 --model "$model" --run "grown$1" >grown.out 2>grown.err </dev/null; }
lines() { grep -o '"request":[0-9]*' "runs/best_of_n/grown$1/rollouts.jsonl" | sort | uniq -c | tr -s ' \n' ' '; }
check "best_of_n with k 4: $(tail -n 1 grown.err 2>/dev/null)" best 4
check "k 4 was not one request" [ "$(lines 4)" = ' 4 "request":1 ' ]
check "best_of_n with k 10: $(tail -n 1 grown.err)" best 10
check "k 10 is not four of the first request and six of a second: $(lines 10)" [ "$(lines 10)" = ' 4 "request":1 6 "request":5 ' ]

# boa itself, on a small setting.
"$double" experiments/boa.lua --tasks 5,12 --k 4 --steps 2 --max_tokens 24 --temperature 1 --model "$model" >boa.out 2>boa.err </dev/null
code=$?
check "boa.lua ended with $code: $(tail -n 1 boa.err)" [ $code -eq 0 ]
check "boa.lua names no weights" grep -q '^weights = ' boa.out
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
