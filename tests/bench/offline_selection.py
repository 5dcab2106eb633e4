# SPDX-License-Identifier: Apache-2.0
#
# offline_selection.py VEGTTT [N] [TOKENS]: what reading and selecting over N recorded rollouts costs. It writes a run of N
# samples over 20 tasks (TOKENS tokens each, a thousand distinct codes a task) into a temporary folder and prints seconds of
# each stage, once without the index that the engine keeps beside the records and once with it, and then of the whole
# experiments/selection.lua with its default rules, as a user runs it. Not a test: it has no bar of its own, figures are of the
# machine that it runs on.
import hashlib, json, os, random, resource, subprocess, sys, tempfile, time

script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../experiments/selection.lua")

vegttt, n, n_tokens = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100000, int(sys.argv[3]) if len(sys.argv) > 3 else 60
tasks = list(range(1, 21))
probe = r"""
local vt, core = require "vegttt", require "vegttt.core"
local function timed(what, fn)
  local cpu, began = os.clock(), core.now()
  local value = fn()
  print(("%-34s %6.2f s, %6.2f s of the processor, %4.0f MB of Lua"):format(what, core.now() - began, os.clock() - cpu,
    collectgarbage "count" / 1024))
  return value
end
describe("offline", function()
  it("reads and selects", function()
    local groups
    timed("all of it", function()
      groups = timed("vt.rollouts", function() return vt.rollouts "runs/best_of_n/*" end)
      timed("surprisal", function() return vt.select.apply(vt.select.rules.surprisal, groups):fast_sure() end)
    end)
    timed("every rule without details, once", function()
      for _, name in ipairs(vt.select.order) do
        local rule = vt.select.rules[name]
        if rule.needs ~= "detail" then vt.select.apply(rule, groups):fast_sure() end
      end
    end)
    timed("text of one sample in a hundred", function()
      local n = 0
      for _, g in ipairs(groups) do
        for i = 1, #g, 100 do n = n + #g[i].text + #g[i].tokens end
      end
    end)
  end)
end)
"""
draw = random.Random(1)
with tempfile.TemporaryDirectory() as root:
    os.chdir(root)
    run = "runs/best_of_n/20260101-000000-aaaaaa"
    os.makedirs(run)
    json.dump({"v": 1, "t": "1", "experiment": "best_of_n", "id": "x"}, open(run + "/run.json", "w"))
    json.dump({}, open(run + "/params.json", "w"))
    json.dump({"result": {}, "meter": {"charged": {}, "spent": {}}, "wall_s": 1}, open(run + "/summary.json", "w"))
    codes = {(t, c): hashlib.sha256(b"%d/%d" % (t, c)).hexdigest() for t in tasks for c in range(1000)}
    with open(run + "/evals.jsonl", "w") as f:
        for (t, c), sha in codes.items():
            speedup = draw.lognormvariate(0, 0.5)
            ok = draw.random() < 0.7
            f.write(json.dumps({"v": 1, "key": sha, "run": "x", "task": t, "task_name": "t%d" % t, "task_digest": "d%d" % t, "code_sha": sha,
                "tier": "c", "scale": "cpu", "protocol": "fast", "evaluator": "c-4", "machine": "M", "compiler": "cc", "stage": "timed",
                "status": "correct_fast" if ok and speedup > 1 else "correct_slow" if ok else "wrong_output", "correct": ok, "is_copy": c == 0,
                "flags": [], "speedup": speedup if ok else 0, "speedup_measured": speedup if ok else 0, "speedup_lo": speedup * 0.98 if ok else 0,
                "speedup_hi": speedup * 1.02 if ok else 0, "runtime_us": 10, "ref_us": 10, "roofline": 0.5, "cached": False,
                "trials": [draw.random() for _ in range(30)], "ref_trials": [draw.random() for _ in range(30)]}) + "\n")
    with open(run + "/rollouts.jsonl", "w") as f:
        for i in range(n):
            t = tasks[i % len(tasks)]
            lp = [-draw.expovariate(3) for _ in range(n_tokens)]
            sha, has_code = codes[t, draw.randrange(1000)], draw.random() < 0.9
            f.write(json.dumps({"v": 1, "kind": "sample", "key": hashlib.sha256(b"%d" % i).hexdigest(), "run": "x", "task": t, "level": 1,
                "step": 0, "draw": "main", "i": i // len(tasks) + 1, "seed": str(draw.getrandbits(64)), "weights": "w" * 64, "prompt": "p" * 64,
                "prompt_sha": "q%d" % t, "n_prompt": 200, "temperature": 0.6, "tokens": [draw.randrange(49152) for _ in lp],
                "n_tokens": len(lp), "text": "for (int i = 0; i < n; i++)\n  y[i] = x[i]; // %d" % i, "finish": "stop", **({"code": "y[0] = %d;" % i, "code_sha": sha} if has_code else {}),
                "parse": "ok" if has_code else "malformed", "logprobs": lp, "logprobs_behaviour": lp, "logprob": sum(lp), "logprob_mean": sum(lp) / len(lp),
                "logprob_code": sum(lp)}) + "\n")
    open("offline_test.lua", "w").write(probe)
    size = os.path.getsize(run + "/rollouts.jsonl")
    print("%d rollouts of %d tokens, %.0f MB of records" % (n, n_tokens, size / 1e6))
    for what in "first read: the index is made", "index beside the records":
        print(what, flush=True)
        subprocess.run(["/usr/bin/env", vegttt, "test", "offline_test.lua"], check=True)
    cpu = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    began, before = time.time(), cpu()
    subprocess.run([vegttt, script, "--from", "runs/best_of_n/*", "--fresh"], check=True, stdout=subprocess.DEVNULL)
    print("selection.lua, the whole command   %6.2f s, %6.2f s of the processor" % (time.time() - began, cpu() - before))
    print("files beside the records: " + ", ".join(sorted(os.listdir(run))))
