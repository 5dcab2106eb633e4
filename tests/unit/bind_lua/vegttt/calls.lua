-- SPDX-License-Identifier: Apache-2.0
--
-- What bind_no_memory.c lets run out of memory: calls of the core, by name. main{ name, folder, model } gives 0 when the
-- call was made, 1 when an error of memory was raised, 2 for anything else, which is printed.
local core = require "vegttt.core"
local calls, kept = {}, {}

local function wait(op)
  while true do
    for _, done in ipairs((core.turn(-1))) do
      if done == op then
        local r = table.pack(core.result(op))
        if not r[1] then error(r[2], 0) end
        return table.unpack(r, 2, r.n)
      end
    end
  end
end

function calls.values()
  local v = core.json_decode([[{"a":[1,2.5,{"b":"c"}]}]], 'a text')
  assert(core.json_encode(v) == [[{"a":[1,2.5,{"b":"c"}]}]])
  local x = core.vector { 1, 2, 3 }
  assert((x * 2 + x):sum() == 18 and #core.json_encode(x) > 0)
  assert(core.extract("```c\ny[0] = 1;\n```", "f") == "y[0] = 1;")
  assert(#core.sha256 "x" == 64 and core.u64(-1) == "18446744073709551615")
end

function calls.task(folder)
  local t = core.task(core.json_encode { id = 1, level = 1, name = "f", title = "F", family = "x",
    sizes = { cpu = { n = 100 } }, arrays = { { name = "x", role = "in", shape = { "n" }, dist = { "normal" } },
    { name = "y", role = "out", shape = { "n" } } }, bytes = "8*n", flops = "n", body = "y[0] = x[0];" })
  assert(core.task_layout(t, "cpu") and #core.task_nulls(t) > 8)
  assert(core.prompt(t, nil):find "void f" and core.assemble(t, "y[0] = 1;"):find "y%[0%] = 1;")
end

function calls.files(folder)
  core.mkdir(folder .. "/files")
  core.write(folder .. "/files/a", "text")
  assert(core.read(folder .. "/files/a") == "text" and #core.list(folder .. "/files") == 1)
  core.remove(folder .. "/files")
  assert(core.table_text({ "a", "b" }, { { 1, "x" } }, "csv", 3) and core.cwd() and core.host())
end

function calls.run(folder)
  collectgarbage() -- the handle of a call that failed holds its run
  core.remove(folder .. "/runs")
  local h, info = core.run_open { root = folder .. "/runs", experiment = "e", params = { k = 2 },
    origins = core.json_decode("{}", "x"), env = { a = 1 }, about = { command = core.array { "x" } } }
  core.run_line(h, "metrics", { kind = "m", x = 1 })
  core.journal_put(h, "key", { a = 1 })
  assert(core.journal_get(h, "key").a == 1)
  core.run_source(h, "x.lua", "return 1")
  core.run_blob(h, "text")
  core.run_finish(h, { result = { fast = 1 } })
  core.run_close(h)
  assert(#core.run_list(folder .. "/runs", "e") == 1)
  local n = 0
  core.read_lines(info.dir .. "/metrics.jsonl", function() n = n + 1 end)
  assert(n == 1, "a line was lost")
end

function calls.store(folder)
  local c = core.content_open(folder .. "/store")
  core.content_put(c, ("ab"):rep(32), "text")
  local text = core.content_get(c, ("ab"):rep(32))
  assert(text == nil or text == "text")
end

function calls.open(folder, spec)
  local handle, info = wait(core.policy_open(spec, { rank = 2 }))
  kept = { policy = handle, start = core.policy_weights(handle, "start").handle }
end

function calls.text()
  local p = kept.policy
  local text = core.policy_render(p, { { role = "user", content = "Hi" } }, true)
  assert(core.policy_decode(p, core.policy_encode(p, text, true)) == text)
end

function calls.sample()
  local s = wait(core.sample(kept.start, { ids = { 65, 66, 10 } }, { seed = 7, stream = "s", index = { 1, 2 } },
    { max_tokens = 4, stop = { "}" } }))
  assert(#s == 2 and #s[1].tokens >= 1)
end

function calls.score()
  assert(#wait(core.score(kept.start, { 65, 66, 10 }, { 70, 71 })) == 2)
  local _, detail = wait(core.score(kept.start, { 65, 66, 10 }, { 70, 71 }, 3))
  assert(#detail.confidence == 2)
end

local function batch()
  return { { prompt = { 65, 66, 10 }, tokens = { 70, 71 }, logq = core.vector { -4, -4 }, advantage = 1 } }
end

function calls.update(folder)
  local op, train = core.update(kept.start, batch(), "importance_sampling", { lr = 1e-3, digest = "d" })
  local made = wait(op)
  assert(core.train_stats(train).n_tokens == 2)
  core.train_forget(train)
  wait(core.weights_save(made.handle, folder .. "/weights", "training"))
  assert(core.snapshot_info(kept.policy, folder .. "/weights").id == made.id)
  assert(wait(core.weights_load(kept.policy, folder .. "/weights")).id == made.id)
  core.remove(folder .. "/weights")
end

function calls.halves()
  local op, train = core.forward(kept.start, batch(), false)
  wait(op)
  core.train_set(train, 1, core.vector { 1, 1 })
  local step = core.step(train, { lr = 1e-3, digest = "d" })
  wait(step)
  core.train_forget(train)
end

function calls.close()
  kept = {}
  collectgarbage()
end

return { main = function(argv)
  local ok, e = pcall(calls[argv[1]], argv[2], argv[3])
  while core.running() > 0 do core.turn(-1) end
  if ok then return 0 end
  local text = type(e) == "table" and tostring(e.code) .. " " .. tostring(e.message) or tostring(e)
  core.err(text)
  return text:find "ENOMEM" and 1 or text:find "memory" and 1 or 2
end }
