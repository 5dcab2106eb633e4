-- SPDX-License-Identifier: Apache-2.0
--
-- Functions as people write them, tests/optimise: those of a rotation, by the day and the name, or all of them with
-- VEGTTT_FULL=1. Each becomes a sound task, on which the right answer beside it passes
-- and the wrong one does not; or it is refused in the sentence beside it. A file is the user's C text, then the two
-- answers, each a body or a whole function.
local args = require "vegttt.args"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local unit_task = require "vegttt.unit_task"
local verb = require "vegttt.verb_common"

local root = (os.getenv "VEGTTT_ROOT" or ".") .. "/tests/optimise/"
local dir = os.tmpname()
core.remove(dir)
core.mkdir(dir)

local function part(text, name) return text:match("/%* ==== " .. name .. " ==== %*/\n(.-)%s*$") end

-- { text, right, wrong, refused, f = the options }
local function fixture(file)
  local whole = core.read(root .. file)
  local text = whole:match "^(.-\n)/%* ==== "
  local f = { cflags = "-O2", tolerance = 0, file = file, out = dir }
  local words = {}
  for w in whole:match("^/%* (.-) %*/"):gmatch "%S+" do words[#words + 1] = w end
  for i = 1, #words, 2 do
    local name = words[i]:sub(3)
    if name == "function" or name == "cflags" then f[name] = words[i + 1] else
      f[name] = f[name] or {}
      table.insert(f[name], words[i + 1])
    end
  end
  local right, rest = whole:match "/%* ==== right ==== %*/\n(.-)\n/%* ==== wrong ==== %*/\n(.*)$"
  return { text = text, right = right, wrong = rest, refused = whole:match "/%* ==== refused: (.-) ==== %*/", f = f }
end

local function verdict(task, code)
  return verb.wait(function() return verb.judge(task, code, { fresh = true }) end)
end

local function make(x)
  local fn, document, _, seen = unit_task.read(x.f, x.text)
  return unit_task.checked(document, fn, x.f, dir .. "/" .. fn.name .. ".task.lua", seen)
end

local only, is_full, n_turns = os.getenv "VEGTTT_FIXTURE", os.getenv "VEGTTT_FULL", 6

local function is_due(file, x)
  if only then return file:find(only, 1, true) ~= nil end
  local turn = tonumber(core.sha256(file):sub(1, 6), 16) + math.floor(os.time() / 86400)
  return x.refused or is_full or turn % n_turns == 0
end

describe("functions of people", function()
  for _, file in ipairs(core.list(root)) do
    local x = file:find "%.c$" and fixture(file)
    if x and is_due(file, x) then
      it(file:gsub("%.c$", "") .. (x.refused and " is refused" or " is a task"), function()
        if x.refused then
          local ok, why = pcall(make, x)
          expect.equal(ok, false)
          expect.contains(tostring(why), x.refused)
          expect.equal(errors.is(why) and why.kind, "usage")
          return
        end
        local task = make(x)
        expect.truthy(task, "a sound task")
        local right = verdict(task, x.right)
        expect.truthy(right.correct, "the right answer: " .. (right.feedback or right.status))
        local wrong = verdict(task, x.wrong)
        expect.equal(wrong.status, "wrong_output")
      end)
    end
  end
end)
