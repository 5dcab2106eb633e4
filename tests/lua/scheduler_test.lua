-- SPDX-License-Identifier: Apache-2.0
--
-- The scheduler of light tasks: order, scopes, cancelling, timeouts, and where a script may wait. Time is the stage's
-- clock; there are no operations.
local support = require "support"

-- fn(vt, modules) inside main of a run; errors fail the test.
local function inside(fn, o)
  local r
  support.in_folder(function(root)
    r = support.execute(support.main(function(_, _, vt, m) return fn(vt, m) end, { params = {} }), {},
      { root = root, core = support.stage.clock() })
  end)
  if r.status ~= "done" and not (o and o.may_fail) then error(tostring(r.value) .. "\n" .. tostring(r.value.traceback), 0) end
  return r
end

-- A call that waits: n seconds of the clock.
local function wait(m, value, n)
  local f = m.sched.future()
  m.sched.after(n or 1, function() f:settle(true, value) end)
  return m.sched.await(f, "wait")
end

describe("scheduler", function()
  it("keeps the order of vt.map and honours its limit", function()
    inside(function(vt, m)
      local running, most = 0, 0
      local out = vt.map({ 3, 1, 2 }, function(x)
        running = running + 1
        most = math.max(most, running)
        wait(m, nil, x)
        running = running - 1
        return x * 10
      end, { limit = 2 })
      expect.same(out, { 30, 10, 20 })
      expect.equal(most, 2)
    end)
  end)

  it("gives vt.each in completion order and vt.all in the list's", function()
    inside(function(vt, m)
      local function later(n) return function() wait(m, nil, n) return n end end
      expect.same(vt.each({ 3, 1, 2 }, function(n) return later(n)() end), { 1, 2, 3 })
      expect.same(vt.all { later(2), later(1) }, { 2, 1 })
    end)
  end)

  it("cancels the losers of a race and the siblings of an error", function()
    inside(function(vt, m)
      local closed = {}
      local function slow(name)
        return function()
          local _ <close> = setmetatable({}, { __close = function() closed[#closed + 1] = name end })
          wait(m, nil, 50)
          closed[#closed + 1] = "finished " .. name
        end
      end
      expect.equal(vt.race { slow "a", function() wait(m, nil, 1) return "won" end }, "won")
      expect.same(closed, { "a" })
      expect.raises("bang", function() vt.all { slow "b", function() wait(m, nil, 1) error "bang" end } end)
      expect.same(closed, { "a", "b" })
    end)
  end)

  it("joins spawned children before their scope ends, and raises their errors there", function()
    inside(function(vt, m)
      local done = false
      vt.map({ 1 }, function() vt.spawn(function() wait(m, nil, 5) done = true end) end)
      expect.equal(done, true)
      expect.raises("from a child",
        function() vt.map({ 1 }, function() vt.spawn(function() error "from a child" end) end) end)
      local h = vt.spawn(function() return wait(m, 7) end)
      expect.equal(h:join(), 7)
    end)
  end)

  it("takes a child that the script cancelled for no failure, and its other errors for one", function()
    inside(function(vt, m)
      vt.map({ 1 }, function() vt.spawn(function() wait(m, nil, 50) end):cancel() end)
      expect.raises("in its cleanup", function()
        vt.map({ 1 }, function()
          local h = vt.spawn(function()
            pcall(wait, m, nil, 50)
            error "in its cleanup"
          end)
          wait(m)
          h:cancel()
        end)
      end)
    end)
    local r = inside(function(vt, m) vt.spawn(function() wait(m, nil, 50) end):cancel() end)
    expect.equal(r.status, "done")
  end)

  it("does not call a run finished whose script caught its interrupt or its limit", function()
    -- Main waits, something stops the run, main catches that and returns.
    local function stopped(what)
      local clock = support.stage.clock()
      local turn, n = clock.turn, 0
      function clock.turn(s)
        n = n + 1
        turn(s)
        return {}, n == 1 and what == "interrupt" and 1 or 0, {}
      end
      function clock.running() return 1 end -- what runs is let end, so main goes on after the interrupt
      local m = support.modules(clock)
      local again
      local function main()
        pcall(wait, m, nil, what == "limit" and 50 or 1)
        if what == "limit" then again = { pcall(wait, m, nil, 1) } end
        return "whole"
      end
      local limit = what == "limit" and { at = clock.now() + 2, error = m.errors.new { kind = "budget", message = "spent" } }
      local status, value = m.sched.run(main, {}, { limit = limit or nil })
      return status, value, again
    end
    expect.equal(stopped "interrupt", "interrupted")
    local status, e, again = stopped "limit"
    expect.equal(status, "failed")
    expect.equal(e.kind, "budget")
    expect.equal(again[1], false)
    expect.equal(again[2].kind, "budget")
    expect.equal(stopped "nothing", "done")
  end)

  it("ends what takes longer than vt.timeout", function()
    inside(function(vt, m)
      expect.equal(vt.timeout(5, function() return wait(m, "in time") end), "in time")
      local e = expect.raises("not done after 2 s", vt.timeout, 2, function() wait(m, nil, 50) end)
      expect.equal(e.kind, "cancelled")
    end)
  end)

  it("waits through pcall, iterators and the script's own coroutines", function()
    inside(function(vt, m)
      local gen = coroutine.wrap(function()
        for i = 1, 3 do coroutine.yield(wait(m, i)) end
      end)
      local got = {}
      for v in gen do got[#got + 1] = v end
      expect.same(got, { 1, 2, 3 })
      expect.equal(select(2, pcall(wait, m, "through pcall")), "through pcall")
      local t = setmetatable({}, { __index = function(_, k) return wait(m, k) end })
      expect.equal(t.field, "field")
    end)
  end)

  it("says where Lua cannot wait, and names the function", function()
    inside(function(vt)
      local e = expect.raises("vt.map cannot wait here", table.sort, { 1, 2, 3 }, function(a, b)
        vt.map({ 1 }, function() end)
        return a < b
      end)
      expect.equal(e.kind, "misuse")
      expect.raises("gsub", string.gsub, "x", "x", function() vt.map({ 1 }, function() end) end)
    end)
  end)

  it("notices that nothing can go on", function()
    local r = inside(function(_, m) m.sched.await(m.sched.future(), "never") end, { may_fail = true })
    expect.equal(r.status, "failed")
    expect.contains(r.value, "nothing can go on")
  end)

  it("raises when a primitive is called while a file loads", function()
    local vt = support.modules(support.stage.clock()).vegttt
    expect.raises("cannot be called while a file is loading", vt.policy, "default")
    expect.raises("call it inside main", vt.map, { 1 }, print)
    expect.raises("call it inside main", vt.draw, {}, {}, {})
  end)
end)

