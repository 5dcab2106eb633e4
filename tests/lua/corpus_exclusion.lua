-- SPDX-License-Identifier: Apache-2.0
--- Proof by numbers that no baseline of the warm-start corpus is a held-out task: `vegttt tests/lua/corpus_exclusion.lua`.
--
-- Wherever an operation's arrays, scalars, ranks and types can be matched in order with those of a task that some evaluation
-- half holds, the operation's baseline is put under the task's names and judged as an answer to it. All must be refused; one
-- that is accepted means the same as the task, and the run fails and names both.
package.path = "experiments/?.lua;experiments/?/init.lua;" .. package.path
local vt = require "vegttt"
local core = require "vegttt.core"
local Corpus = require "corpus"
local Excluded = require "corpus.excluded"
local Style = require "corpus.style"

-- Task tables by id, on dense inputs: what a body computes, not what it happens to give on symmetric or triangular operands.
local function task_tables()
  local by_id = {}
  for _, name in ipairs(core.embedded "tasks/l1/") do
    local t = load(core.embedded_text(name), "@" .. name, "t", {})()
    t.tuned = nil
    for _, a in ipairs(t.arrays) do a.keep = nil end
    by_id[t.id] = t
  end
  return by_id
end

-- The corpus body under the task's names, when array counts, ranks, types and shapes can be matched in order; else nil.
local function transplant(x, t)
  local arrays, names = x.document.arrays, {}
  if #arrays ~= #t.arrays or #x.document.scalars ~= #(t.scalars or {}) then return nil end
  for i, a in ipairs(arrays) do
    local b = t.arrays[i]
    if a.dtype ~= b.dtype or #a.shape ~= #b.shape or (a.role == "in") ~= (b.role ~= "out") then return nil end
    names[a.name] = b.name
    for k, dim in ipairs(a.shape) do
      if not dim:find "^[%a_][%w_]*$" then
        if dim:gsub("%f[%w_][%a_][%w_]*", names):gsub("%s", "") ~= b.shape[k]:gsub("%s", "") then return nil end
      elseif names[dim] and names[dim] ~= b.shape[k] then
        return nil
      else
        names[dim] = b.shape[k]
      end
    end
  end
  for i, s in ipairs(x.document.scalars) do names[s.name] = t.scalars[i].name end
  local taken = {}
  for _, new in pairs(names) do taken[new] = true end
  for word in pairs(Style.identifiers(x.variants[1].body)) do
    if not names[word] and taken[word] then names[word] = word .. "_" end
  end
  return (x.variants[1].body:gsub("%f[%w_][%a_][%w_]*", names))
end

-- The first instances of every definition, as many as the corpus holds at most.
local function first_instances(limit)
  local list = {}
  for _, d in ipairs(Corpus.definitions()) do
    for number = 1, math.min(limit, Corpus.count(d, 3)) do list[#list + 1] = Corpus.instance(d, 1, number) end
  end
  return list
end

-- Distinct transplants of the instances onto task t.
local function candidates(t, instances)
  local jobs, seen = {}, {}
  for _, x in ipairs(instances) do
    local body = transplant(x, t)
    if body and not seen[body] then
      seen[body] = true
      jobs[#jobs + 1] = { op = x.op .. "#" .. x.number, body = body }
    end
  end
  return jobs
end

return vt.experiment {
  name = "corpus_exclusion",
  doc = "Judge the corpus's baselines as answers to every held-out task; none may pass.",
  params = { instances = { 1, "instances of each operation", min = 1 } },
  main = function(run, p)
    local tables, instances, n_tried, accepted = task_tables(), first_instances(p.instances), 0, {}
    local rows = run:table("pairs", { "task", "candidates", "accepted" })
    local ids = {}
    for id in pairs(Excluded.evaluation) do ids[#ids + 1] = id end
    table.sort(ids)
    for _, id in ipairs(ids) do
      if tables[id] then
        local task = vt.task(tables[id])
        local jobs = candidates(tables[id], instances)
        local verdicts = vt.map(jobs, function(j) return vt.eval.one(task, j.body) end)
        local n = 0
        for i, v in ipairs(verdicts) do
          if v.correct then
            n = n + 1
            accepted[#accepted + 1] = jobs[i].op .. " is task " .. id
          end
        end
        rows:row(id, #jobs, n)
        n_tried = n_tried + #jobs
      end
    end
    if #accepted > 0 then error("held-out operations in the corpus: " .. table.concat(accepted, "; "), 0) end
    return { candidates = n_tried, accepted = #accepted }
  end,
}
