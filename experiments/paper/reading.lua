-- SPDX-License-Identifier: Apache-2.0
--
-- From recorded runs to rows: which runs a part of an item takes, what it reads of each, and how the seeds of one
-- configuration become one row. paper.lua writes them, sources.lua says what is asked for.
local vt = require "vegttt"
local derived = require "paper.derived"

local reading = {}

-- What an item's published value is of, and these runs are not: "--k 64 on 20 tasks; these: --k 4 on 10 tasks"; nil where all
-- is as it was there.
local function lacking(r, want)
  local n, known = 0, {}
  for _, g in ipairs(want.n_tasks and vt.rollouts(r.dir) or {}) do
    if not known[g.task.id] then n, known[g.task.id] = n + 1, true end
  end
  local asked, have, is_less = {}, {}, false
  for name, v in vt.sorted_pairs(want) do
    local is = name == "n_tasks" and n or rawget(r.params, name) or 0
    asked[#asked + 1] = name == "n_tasks" and ("%d tasks"):format(v) or ("--%s %d"):format(name, v)
    have[#have + 1] = name == "n_tasks" and ("%d tasks"):format(is) or ("--%s %s"):format(name, tostring(is))
    is_less = is_less or is < v
  end
  return is_less and ("%s; these: %s"):format(table.concat(asked, " on "), table.concat(have, " on ")) or nil
end

-- The run's own samples, as groups; none where it drew none.
local function own_groups(r)
  local has_any, groups = pcall(vt.rollouts, r.dir)
  return has_any and groups or {}
end

-- How many samples of a run the shares of a part are of, at this step and of this task where they are named. The samples are
-- those that the run drew or, where it drew none, those that it read; nil where none are left. A second draw and training
-- beside an evaluation are not among them.
local function n_samples(r, part, step, task)
  local groups, from = own_groups(r), rawget(r.params, "from")
  if #groups == 0 and type(from) == "string" and from ~= "" then
    local has_any, found = pcall(vt.rollouts, from)
    groups, step = has_any and found or {}, step or rawget(r.params, "step")
  end
  local is_evaluated = vt.find(groups, function(g) return g.draw:find "^evaluation" ~= nil end)
  local n, known = 0, {}
  for _, g in ipairs(groups) do
    local is_of = g.draw ~= "fresh" and (not is_evaluated or g.draw:find "^evaluation")
    for _, s in ipairs(is_of and (step == nil or g.place == step) and (task == nil or g.task.id == task) and g or {}) do
      n, known[s.key] = n + (known[s.key] and 0 or 1), true -- runs may share some
    end
  end
  return n > 0 and n // (part.sides or 1) or nil
end

---What runs must not mix where one item takes from all of them: how they were timed, and what the model read of a task. A
---sentence, or nil.
function reading.mixed(dirs)
  local first = {}
  for _, dir in ipairs(dirs) do
    local has_rollouts, groups = pcall(vt.rollouts, dir)
    for _, g in ipairs(has_rollouts and groups or {}) do
      local facts = { ["prompt of task " .. g.task.id] = vt.json.encode { g.prompt:messages {}, g.prompt.prefix or "" } }
      for _, s in ipairs(g) do facts.protocol = facts.protocol or s.result and s.result.protocol end
      for what, value in vt.sorted_pairs(facts) do
        first[what] = first[what] or { value = value, dir = dir }
        if first[what].value ~= value and first[what].dir ~= dir then return ("the %s of %s is not that of %s"):format(what, dir, first[what].dir) end
      end
    end
  end
end

---pick(seen, experiment, where, want): finished runs that agree in all parameters but the seed, the newest of each seed; of several
---such configurations the one with most seeds, then the one with most rollouts, then the newest. seen.used gets their folders,
---seen.settings what they are of (tasks, K, model, …), seen.missing the experiments of which there is none, or that have
---less than `want` says (parameters, n_tasks).
function reading.picker(runs)
  local function text(v) return type(v) == "table" and table.concat(v, ",") or tostring(v) end
  local function fits(r, experiment, where)
    if r.experiment ~= experiment or r.status ~= "finished" then return false end
    for name, value in pairs(where or {}) do
      if text(rawget(r.params, name) or "") ~= value then return false end
    end
    return true
  end
  local function configuration(r)
    local parts = {}
    for name, value in vt.sorted_pairs(r.params) do
      if name ~= "seed" then parts[#parts + 1] = name .. "=" .. text(value) end
    end
    return table.concat(parts, "\n")
  end
  runs = vt.sort_by(runs, "begun_s") -- names are anything: the newest is the one that was begun last
  return function(seen, experiment, where, want)
    local best, n_best, most, newest = {}, 0, 0, 0
    for _, same in ipairs(vt.group_by(vt.filter(runs, function(r) return fits(r, experiment, where) end), configuration)) do
      local seeds = vt.group_by(same, function(r) return rawget(r.params, "seed") or 0 end)
      local rollouts, begun = same[#same].meter.charged.rollouts or 0, same[#same].begun_s
      if #seeds > n_best or #seeds == n_best and (rollouts > most or rollouts == most and begun >= newest) then
        best, n_best, most, newest = vt.sort_by(seeds, "key"), #seeds, rollouts, begun
      end
    end
    local out = {}
    if #best == 0 then
      local words = { experiment }
      for name, value in vt.sorted_pairs(where or {}) do words[#words + 1] = ("--%s %s"):format(name, value == "" and '""' or value) end
      seen.missing[table.concat(words, " ")] = true
    end
    if #best > 0 then
      local words = { experiment }
      local first = best[1][#best[1]] -- where its samples are another run's, that one's name, and not what it left unread
      local read_from = #own_groups(first) == 0 and text(rawget(first.params, "from") or "") or ""
      for _, name in ipairs(read_from ~= "" and { "from", "step" } or { "split", "tasks", "k", "steps", "temperature", "model" }) do
        local value = rawget(first.params, name)
        if value ~= nil then words[#words + 1] = ("--%s %s"):format(name, text(value)) end
      end
      seen.settings[table.concat(words, " ")] = true
      local less = want and lacking(best[1][#best[1]], want)
      if less then seen.missing[("%s %s"):format(experiment, less)] = true end
    end
    for i, seed in ipairs(best) do
      out[i] = seed[#seed]
      seen.used[out[i].dir] = true
    end
    return out
  end
end

local function field(t, name) return type(t) == "table" and rawget(t, name) or nil end

-- Rows of a part from one run: { row, quantity, value, lo, hi, star }.
local read = {}

function read.table(r, part, add)
  for _, row in ipairs(field(r.tables, part.table) or {}) do
    local names, is_wanted = {}, true
    for i, column in ipairs(type(part.label) == "table" and part.label or { part.label }) do names[i] = tostring(field(row, column)) end
    for column, value in pairs(part.only or {}) do is_wanted = is_wanted and field(row, column) == value end
    local n, step = field(row, part.count and part.count[1] or "n"), field(row, "step")
    if is_wanted and not n and not part.count and step ~= "" then n = n_samples(r, part, step, field(row, "task")) end
    for i, column in ipairs(is_wanted and part.cols or {}) do
      local bounds = part.bounds and i == 1
      add { table.concat(names, ", "), part.quantity or column, field(row, column), lo = bounds and field(row, "lo") or nil,
        hi = bounds and field(row, "hi") or nil, n = n, of = n and (part.count and part.count[2] or "samples"), star = part.star and field(row, part.star) }
    end
  end
end

function read.result(r, part, add)
  local label = part.label == "seed" and tostring(field(r.params, "seed")) or part.label
  local n = n_samples(r, part, field(r.summary, "step") or field(r.summary, "updates"))
  for _, name in ipairs(part.result) do
    add { label, part.quantity or name, field(r.summary, (name:gsub("@K$", "@" .. tostring(field(r.params, "k"))))), n = n, of = n and "samples" }
  end
end

function read.params(r, part, add)
  local values = {}
  for name, v in pairs(r.params) do values[name] = v end
  for name, v in vt.sorted_pairs(values) do
    local is_asked = part.params == "*" or vt.find(part.params, function(x) return x == name end)
    if is_asked then add { part.label, name, type(v) == "table" and table.concat(v, ",") or tostring(v) } end
  end
end

function read.meter(r, part, add)
  for _, unit in ipairs(part.meter) do add { part.label, unit, field(r.meter.charged, unit) } end
end

-- One row of each name and quantity: numbers as means over runs with their standard deviation, other values listed.
local function pool(rows, out)
  for _, same in ipairs(vt.group_by(rows, function(x) return x[1] .. "\0" .. x[2] end)) do
    local first, values, n = same[1], {}, 0
    for _, x in ipairs(same) do values[#values + 1], n = x[3], n and x.n and n + x.n end -- of all that are averaged
    local row = { first[1], first[2], values[1], lo = first.lo, hi = first.hi, n = n or nil, of = n and first.of or nil, runs = #values, star = first.star }
    if #values > 1 and type(values[1]) == "number" then
      row[3], row.sd, row.lo, row.hi = vt.stats.mean(values), vt.stats.sd(values), nil, nil
    elseif #values > 1 then
      local kinds = vt.group_by(values, function(v) return tostring(v) end)
      for i, kind in ipairs(kinds) do kinds[i] = kind.key end
      row[3] = table.concat(kinds, " | ")
    end
    if row[3] ~= nil then out[#out + 1] = row end
  end
end

---All rows of a part, appended to out; seen as picker has it.
function reading.rows(part, pick, seen, out)
  if part.derived then
    local is_made, made = pcall(derived[part.derived], function(experiment, where) return pick(seen, experiment, where, part.want) end, part)
    if not is_made and not derived.is_lack(made) then error(made, 0) end
    if not is_made then -- what the samples do not say gives no row, and its reason
      seen.missing[made.lacks], seen.used, seen.settings = true, {}, {}
    end
    for _, row in ipairs(is_made and made or {}) do
      if type(row[3]) == "table" then
        local s = row[3]
        row[3], row.lo, row.hi, row.n, row.of = s.value, s.lo, s.hi, s.n, row.of or s.unit .. "s"
      end
      row[1] = type(row[1]) == "number" and ("%.12g"):format(row[1]) or row[1]
      out[#out + 1] = row
    end
    return
  end
  local rows, how = {}, part.table and "table" or part.result and "result" or part.params and "params" or "meter"
  for i, r in ipairs(pick(seen, part.from, part.where, part.want)) do
    read[how](r, part, function(row)
      row[2] = part.apart and ("%s, seed %s"):format(row[2], tostring(field(r.params, "seed") or i)) or row[2]
      rows[#rows + 1] = row
    end)
  end
  pool(rows, out)
end

return reading
