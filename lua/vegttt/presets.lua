-- SPDX-License-Identifier: Apache-2.0
--
-- Presets: what the published texts state, by the names of our parameters, so that a reproduction says in one word which
-- of them it is. A value given on the command line wins over the preset's, and params.json says of each where it is from.
--
-- paper-a: "When Does Test-Time Training Saturate?"; paper-b: "Surprisal-Guided Selection"; the two differ in the learning
-- rate (1e-6 and 1e-5). report: the technical report, which contradicts itself: 0.25 and 1,024 tokens in one place, 0.4
-- and 512 in another (report-short). discover: TTT-Discover's rollouts and steps. K is 64 where only samples are drawn and
-- 32 per step where weights are adapted on the test batch. A text says other numbers of other methods, and a script is known
-- by a parameter that only it has: the outer loop (`eval_every`: 40 steps of 8 tasks in groups of 8), self-distillation
-- (`context`: one step, since 320 rollouts are two draws of 32 for 5 tasks), groups from an archive (`groups`: 8 of 64).
local presets = {}

local papers = {
  sample = { temperature = 0.25, max_tokens = 1024, k = 64, eval = "fast" },
  adapt = { temperature = 0.25, max_tokens = 1024, k = 32, eval = "fast", steps = 5, reward = "paper",
    advantage = "paper", loss = "importance_sampling", by = "sample_fast_1" },
  eval_every = { k = 8, steps = 40, batch = 8, eval_every = 10 },
  context = { steps = 1 },
}

local function like(base, more)
  local out = {}
  for kind, values in pairs(base) do
    out[kind] = {}
    for k, v in pairs(values) do out[kind][k] = v end
    for k, v in pairs(more) do
      if kind == "adapt" or values[k] ~= nil then out[kind][k] = v end
    end
  end
  return out
end

presets.by_name = {
  ["paper-a"] = like(papers, { lr = 1e-6 }),
  ["paper-b"] = like(papers, { lr = 1e-5 }),
  report = like(papers, { lr = 1e-5 }),
  ["report-short"] = like(papers, { lr = 1e-5, temperature = 0.4, max_tokens = 512 }),
  discover = {
    sample = { temperature = 1.0, k = 512 },
    adapt = { temperature = 1.0, k = 512, steps = 50, lr = 4e-5, reward = "raw", advantage = "entropic",
      loss = "importance_sampling" },
    groups = { k = 64, groups = 8 },
  },
}
presets.names = { "none", "paper-a", "paper-b", "report", "report-short", "discover" }

---What a preset says of parameters that are declared: name -> value. Scripts that adapt have an lr.
function presets.values(name, declared)
  local preset, out = presets.by_name[name], {}
  if not preset then return out end
  for k, v in pairs(declared.lr and preset.adapt or preset.sample) do
    if declared[k] then out[k] = v end
  end
  for _, method in ipairs { "eval_every", "context", "groups" } do
    for k, v in pairs(declared[method] and preset[method] or {}) do
      if declared[k] then out[k] = v end
    end
  end
  return out
end

return presets
