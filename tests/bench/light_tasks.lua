-- SPDX-License-Identifier: Apache-2.0
--
-- light_tasks.lua: what ten thousand light tasks at once cost, and what the scheduler adds to a call that waits. Run it with
-- `vegttt test tests/bench/light_tasks.lua`. The calls are stubs over the tests' clock: a wait of one turn, so that everything
-- measured is the scheduler's (a task's start, parking, waking, its end). No bar: figures are of the machine that it runs on.
package.path = "tests/lua/?.lua;" .. package.path
local core = require "vegttt.core"
local support = require "support"

local n_tasks, n_calls = 10000, 20

local function resident_mb()
  local file <close> = io.open("/proc/self/status", "r")
  return tonumber(file:read("a"):match "VmHWM:%s*(%d+)") / 1024
end

describe("light tasks", function()
  it("prints their cost", function()
    support.in_folder(function(root)
      local before = resident_mb()
      support.run(support.main(function(_, _, vt, m)
        local function wait()
          local f = m.sched.future()
          m.sched.after(1, function() f:settle(true) end)
          return m.sched.await(f, "wait")
        end
        local list, at_once, most = {}, 0, 0
        for i = 1, n_tasks do list[i] = i end
        collectgarbage()
        local cpu, began, lua = os.clock(), core.now(), collectgarbage "count"
        local largest = lua
        vt.map(list, function()
          at_once = at_once + 1
          most = math.max(most, at_once)
          for _ = 1, n_calls do wait() end
          if at_once == n_tasks then largest = collectgarbage "count" end
          at_once = at_once - 1
        end)
        local n = n_tasks * n_calls
        io.write(("%d tasks, %d at once, %d calls each: %.2f s, %.2f s of the processor: %.2f us a call\n"):format(n_tasks, most, n_calls,
          core.now() - began, os.clock() - cpu, (os.clock() - cpu) / n * 1e6))
        io.write(("Lua holds %.0f MB more with all of them alive; the process held %.0f MB at most, %.0f MB before\n"):format(
          (largest - lua) / 1024, resident_mb(), before))
        return {}
      end, { params = {} }), {}, { root = root, core = support.stage.clock() })
    end)
  end)
end)
