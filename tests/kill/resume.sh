#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# resume.sh: SIGKILL at many moments of a real run (sampling, evaluation and two updates on the default model), then the
# same command again. The resumed run must end with the weights and samples of a run that was never killed, and no
# recorded sample or verdict may be there twice. Rewards are made of text lengths, since timings differ between runs.
# Needs $VEGTTT and $VEGTTT_TEST_MODEL; without a model the test is skipped.
set -u
if [ -z "${VEGTTT_TEST_MODEL:-}" ]; then
    echo "skip resume: no test model"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CACHE_HOME="$work/cache"
cd "$work" || exit 1
cat >adapt.lua <<'EOF'
local vt = require "vegttt"
return vt.experiment { name = "adapt", doc = "two updates on text length", params = vt.params {}, main = function(run, p)
  local policy = vt.policy(p.model)
  local tasks = vt.tasks { ids = "19,20" }
  for step = 0, 2 do
    local w = policy:snapshot("step" .. step)
    local groups = vt.map(tasks, function(task)
      return vt.eval.all(w:sample(task:prompt(), { n = 3, max_tokens = 24 }))
    end)
    for _, g in ipairs(groups) do
      for _, s in ipairs(g) do s.reward = #s.text end
    end
    if step < 2 then policy:update(vt.batch(vt.advantage.batch_z()(groups)), { lr = 1e-4 }) end
    run:log("step", { step = step, weights = w.id })
  end
  return { weights = policy:snapshot().id }
end }
EOF
run() { "$VEGTTT" adapt.lua --model "$VEGTTT_TEST_MODEL" --run "$1" >"$1.out" 2>"$1.err" </dev/null; }
weights() { grep '^weights = ' "$1.out"; }
texts() { grep -o '"i":[0-9]*,"key":"[0-9a-f]*"' "runs/adapt/$1/rollouts.jsonl" | sort; }
passed=0 failed=0
fail() { echo "  $1"; failed=$((failed + 1)); }

# The cache of samples would hide what a killed run recorded: each run gets its own.
fresh_cache() { rm -rf "$work/cache/vegttt/store/sample"; }
run whole || { cat whole.err; echo "0 passed, 1 failed"; exit 1; }
began=$(date +%s%N)
fresh_cache
run again || fail "the second run failed"
ms=$((($(date +%s%N) - began) / 1000000))
[ "$(weights whole)" = "$(weights again)" ] && passed=$((passed + 1)) || fail "two whole runs gave different weights"

n=${VEGTTT_KILLS:-4}
i=1
while [ $i -le "$n" ]; do
    name=killed$i
    fresh_cache
    "$VEGTTT" adapt.lua --model "$VEGTTT_TEST_MODEL" --run "$name" >/dev/null 2>&1 </dev/null &
    pid=$!
    sleep "$(awk "BEGIN { print $ms * $i / ($n + 1) / 1000 }")"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    before=0
    [ -f "runs/adapt/$name/rollouts.jsonl" ] && before=$(wc -l <"runs/adapt/$name/rollouts.jsonl")
    fresh_cache
    if ! run "$name"; then
        fail "killed after share $i of $n: the same command failed: $(tail -n 1 "$name.err")"
    elif [ "$(weights whole)" != "$(weights "$name")" ]; then
        fail "killed after share $i of $n (with $before rollout lines): other weights"
    elif [ "$(texts whole)" != "$(texts "$name")" ]; then
        fail "killed after share $i of $n: other samples, or one twice"
    elif [ "$(grep -o '"key":"[0-9a-f]*"' "runs/adapt/$name/evals.jsonl" | sort | uniq -d | wc -l)" -ne 0 ]; then
        fail "killed after share $i of $n: a verdict was made twice"
    else
        passed=$((passed + 1))
    fi
    i=$((i + 1))
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
