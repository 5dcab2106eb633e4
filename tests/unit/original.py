#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""original.py: the formulas of the papers' original repository, written again here, against preset `paper` of the engine.

Batches with failures, copies of speeds, outliers and tasks in changing order go through vt.reward.paper and
vt.advantage.paper step after step; the normaliser's running medians and the z-score over the batch are computed here from
the same verdicts. Then a small batch of the default model is trained on once, and the loss of each policy gradient at the
moved weights is computed here from recorded log-probabilities and compared with what the update reported.
"""
import json
import math
import os
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile

VEGTTT = os.environ.get("VEGTTT") or "vegttt"
MODEL = os.environ.get("VEGTTT_TEST_MODEL", "")

SCRIPT = """
local vt = require "vegttt"

local function groups_of(step)
  local groups = {}
  for i, task in ipairs(step) do
    groups[i] = { task = { id = task.id } }
    for j, speedup in ipairs(task.speedups) do
      groups[i][j] = { task = groups[i].task, tokens = {}, code = tostring(j),
        result = { correct = speedup > 0, speedup = speedup, speedup_measured = speedup } }
    end
  end
  return groups
end

local function rewarded(steps)
  local reward, advantage, out = vt.reward.paper(), vt.advantage.paper(), {}
  for n, step in ipairs(steps) do
    out[n] = {}
    for i, g in ipairs(advantage(reward(groups_of(step)))) do
      out[n][i] = {}
      for j, s in ipairs(g) do out[n][i][j] = { s.reward, s.advantage } end
    end
  end
  return out
end

local function losses_of(p)
  local policy, task = vt.policy(p.model), vt.tasks({ ids = "19" })[1]
  local g = policy:start():sample(task:prompt(), { n = 4, max_tokens = 10, temperature = 1 })
  for i, s in ipairs(g) do
    s.result = { correct = i ~= 2, speedup = i, speedup_measured = i }
  end
  local batch = vt.batch(vt.advantage.paper()(vt.reward.paper() { g }))
  policy:update(batch, { lr = 2e-2 })
  local out, moved = { losses = {}, samples = {} }, policy:snapshot()
  for i, s in ipairs(g) do
    out.samples[i] = { advantage = s.advantage, logq = s.logprobs, logp = moved:score(task:prompt(), s.tokens) }
  end
  for _, name in ipairs { "importance_sampling", "ppo", "cispo", "dro", "cross_entropy", "clip_higher", "gspo" } do
    out.losses[name] = policy:branch(moved):update(batch, { lr = 0, loss = name }).loss
  end
  return out
end

return vt.experiment {
  name = "original", doc = "Formulas of the original on recorded batches.",
  params = vt.params { batches = { "", "file of the batches" }, with_model = { false, "losses too" } },
  main = function(run, p)
    local f = assert(io.open(p.batches))
    run:save("rewarded", rewarded(vt.json.decode(f:read "a")))
    f:close()
    if p.with_model then run:save("losses", losses_of(p)) end
    return { ok = true }
  end,
}
"""


def batches():
    rng = random.Random(9)
    steps = []
    for _ in range(6):
        tasks = rng.sample([4, 5, 12, 14, 15], 5)
        step = []
        for task in tasks:
            speedups = []
            for _ in range(8):
                kind = rng.random()
                speedups.append(0 if kind < 0.3 else 1 if kind < 0.5 else 860 if kind > 0.98 else rng.lognormvariate(0.2, 0.6))
            step.append({"id": task, "speedups": [0] * 8 if rng.random() < 0.1 else speedups})
        steps.append(step)
    steps.append([{"id": 4, "speedups": [0] * 4}, {"id": 5, "speedups": [0] * 4}])  # nothing to learn: sd 0
    return steps


class Normaliser:
    """Speedup over the running median of the task's earlier correct ones, 1 before the first; module state."""

    def __init__(self):
        self.earlier = {}

    def reward(self, task, speedup):
        if speedup <= 0:
            return 0.0
        history = self.earlier.setdefault(task, [])
        value = speedup / (statistics.median(history) if history else 1.0)
        history.append(speedup)
        return value


def advantages(rewards):
    """z-score over all samples of the batch: sample standard deviation, at least 1e-6."""
    mean = statistics.fmean(rewards)
    sd = max(statistics.stdev(rewards), 1e-6)
    return [(r - mean) / sd for r in rewards]


def expected(steps):
    normaliser, out = Normaliser(), []
    for step in steps:
        rewards = [[normaliser.reward(task["id"], s) for s in task["speedups"]] for task in step]
        z = iter(advantages([r for group in rewards for r in group]))
        out.append([[[r, next(z)] for r in group] for group in rewards])
    return out


def ppo(rho, a, lo, hi):
    return 0.0 if (a > 0 and rho > hi) or (a < 0 and rho < lo) else rho * a


def weights(name, s):
    """One weight per token, L = -sum w logp."""
    a, pairs = s["advantage"], list(zip(s["logp"], s["logq"]))
    if name == "gspo":
        ratio = math.exp(sum(p - q for p, q in pairs) / len(pairs))
        return [ppo(ratio, a, 1 - 3e-4, 1 + 4e-4) / len(pairs)] * len(pairs)
    per_token = {
        "importance_sampling": lambda p, q: math.exp(p - q) * a,
        "ppo": lambda p, q: ppo(math.exp(p - q), a, 0.8, 1.2),
        "clip_higher": lambda p, q: ppo(math.exp(p - q), a, 0.8, 1.28),
        "cispo": lambda p, q: min(max(math.exp(p - q), 0.8), 1.2) * a,
        "dro": lambda p, q: a - 0.05 * (p - q),
        "cross_entropy": lambda p, q: a,
    }[name]
    return [per_token(p, q) for p, q in pairs]


def run(work, with_model):
    (work / "original.lua").write_text(SCRIPT)
    (work / "batches.json").write_text(json.dumps(batches()))
    command = [VEGTTT, "original.lua", "--batches", "batches.json"]
    if with_model:
        command += ["--with_model", "true", "--model", MODEL]
    done = subprocess.run(command, cwd=work, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=500)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}\n0 passed, 1 failed")
    return next(work.glob("runs/*/rewarded.json")).parent


def differ(found, wanted, tolerance):
    return not abs(found - wanted) <= tolerance * max(1.0, abs(wanted))


def check_rewards(folder):
    found, wanted, bad = json.loads((folder / "rewarded.json").read_text()), expected(batches()), 0
    for n, (step, right) in enumerate(zip(found, wanted, strict=True), 1):
        for group, right_group in zip(step, right, strict=True):
            for sample, right_sample in zip(group, right_group, strict=True):
                if differ(sample[0], right_sample[0], 1e-12) or differ(sample[1], right_sample[1], 1e-9):
                    print(f"  step {n}: reward and advantage {sample}, the original's are {right_sample}")
                    bad += 1
    return bad == 0


def check_losses(folder):
    record, bad = json.loads((folder / "losses.json").read_text()), 0
    ratios = [abs(p - q) for s in record["samples"] for p, q in zip(s["logp"], s["logq"], strict=True)]
    if max(ratios) < math.log(1.28):
        print(f"  no ratio is beyond a clip, the largest is {math.exp(max(ratios)):g}")
        bad += 1
    for name, found in record["losses"].items():
        wanted = -sum(w * p for s in record["samples"] for w, p in zip(weights(name, s), s["logp"], strict=True))
        if differ(found, wanted, 2e-5):
            print(f"  loss {name} is {found:.9g}, by its formula {wanted:.9g}")
            bad += 1
    return bad == 0


def main():
    passed = failed = skipped = 0
    with tempfile.TemporaryDirectory() as name:
        folder = run(pathlib.Path(name), bool(MODEL))
        for check in (check_rewards, check_losses):
            if check is check_losses and not MODEL:
                print("skip losses: the default model is not here")
                skipped += 1
            elif check(folder):
                passed += 1
            else:
                print(f"FAIL {check.__name__}")
                failed += 1
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
