# SPDX-License-Identifier: Apache-2.0
#
# fake_policy.sh, read by a case: vegttt with a language model whose answers are the files 1.c, 2.c and 3.c of the case's
# folder in turn, one further at each step. Its updates change nothing but the step.
cp -r "$VEGTTT_ROOT/lua" lua; export VEGTTT_LUA_DIR="$PWD/lua"
sed -i '$d' lua/vegttt/policy.lua
cat >>lua/vegttt/policy.lua <<'FAKE'
local function weights_at(step)
  local weights = { id = "fake" .. step, step = step, trained_on = {} }
  function weights:sample(p, o)
    local run, group = session.run "weights:sample", { task = p.task, draw = "main", weights = self }
    for i = 1, o.n do
      local code = core.read(((i - 1 + step) % 3 + 1) .. ".c")
      local line = { key = ("s%d.%d"):format(step, i), task = p.task.id, i = i, step = step, seed = "1", draw = "main",
        weights = self.id, tokens = core.array { 1 }, n_tokens = 1, code = code, code_sha = core.sha256(code),
        text = code, finish = "stop", logprob = -1, logprob_mean = -1, logprobs = core.vector { -1 } }
      run.record:put_sample(line)
      group[i] = { task = p.task, prompt = p, weights = self }
      for k, v in pairs(line) do
        if not group[i][k] then group[i][k] = v end
      end
    end
    return group
  end
  return weights
end
function policy.open()
  local step = 0
  return {
    start = function() return weights_at(0) end,
    snapshot = function() return weights_at(step) end,
    update = function()
      step = step + 1
      return { loss = 0, grad_norm = 0, ess = 1, kl_sample_train = 0, n_tokens = 1 }
    end,
  }
end
return policy
FAKE
