-- SPDX-License-Identifier: Apache-2.0
--
-- Verdicts replayed from a recorded run (--reward-from RUN): the clock is the one part of a run that never gives the same
-- twice, and with dense rewards its numbers enter the weights. With the verdicts of another run in its place, the same
-- seed makes the same trajectory bit for bit, on any machine of the same numerics.
--
-- A verdict is found by what was judged (task, code, protocol, first or second verdict), not by its key, which names the
-- machine. Code that the other run did not judge is judged here, and the run says how often.
local core = require "vegttt.core"
local session = require "vegttt.session"

local replay = {}

local function name_of(task_digest, code_sha, protocol, is_second)
  return table.concat({ task_digest, code_sha, protocol, is_second and "second" or "first" }, "/")
end

local loaded -- { dir, index }

local function index_of(dir)
  if loaded and loaded.dir == dir then return loaded.index end
  local index = {}
  core.read_lines(dir .. "/evals.jsonl", function(line)
    if line.task_digest then
      local name = name_of(line.task_digest, line.code_sha, line.protocol, line.confirms)
      index[name] = index[name] or line
    end
  end)
  loaded = { dir = dir, index = index }
  return index
end

-- The line of the other run, and its folder; nil without --reward-from, or when that run did not judge this.
local function find(task, code, o)
  local dir = session.flags.reward_from
  return dir and index_of(dir)[name_of(task.digest, core.sha256(code), o.protocol, o.confirms)] or nil, dir
end

---Whether a verdict has to come from elsewhere although --reward-from is given: whoever made it, now or before.
function replay.lacks(task, code, o)
  return session.flags.reward_from ~= nil and (o.fresh or not find(task, code, o))
end

---The recorded line of a verdict, under the key that it has here, and the run it stands in, or nil. o: { protocol,
---confirms }
function replay.verdict(task, code, key, o)
  local known, dir = find(task, code, o)
  if not known then return nil end
  local line = {}
  for k, v in pairs(known) do line[k] = v end
  line.key, line.confirms, line.timed_in = key, o.confirms, known.timed_in or dir
  return line, dir
end

return replay
