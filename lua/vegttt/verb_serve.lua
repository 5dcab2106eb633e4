-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt eval --serve`: the evaluator for other programs. Each line in is a request, each gets one line back when its
-- verdict is there, so answers come in completion order and carry the request's id. A line that is no request gets an
-- answer with "error" and nothing else happens. At most n_in_flight requests are taken on; more wait in the pipe.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local sched = require "vegttt.sched"
local verb = require "vegttt.verb_common"

local serve = {}

local n_in_flight = 256
local fields = { id = "any", task = "any", code = "string", protocol = { "fast", "full" }, fresh = "boolean" }

local function refuse(format, ...) errors.raise("usage", "eval --serve", format:format(...)) end

-- id, task, code, options of a line; raises what is wrong with it. The id comes back even then where it can be read.
local function read_request(line, known, seen)
  if not line then refuse "the line is longer than 4 MB" end
  local ok, request = pcall(core.json_decode, line, "the request")
  if not ok then refuse("the line is no JSON: %s", tostring(request)) end
  if type(request) ~= "table" or #request > 0 then refuse "a request is a JSON object" end
  seen.id = request.id
  for name in pairs(request) do
    if not fields[name] then
      refuse("a request has no field '%s'%s", tostring(name), errors.hint(tostring(name), errors.keys(fields)))
    end
  end
  if type(request.code) ~= "string" or request.code == "" then refuse "the request has no \"code\"" end
  if request.task == nil or request.task == core.null then refuse "the request has no \"task\"" end
  local protocol = request.protocol or "fast"
  if protocol ~= "fast" and protocol ~= "full" then
    refuse("protocol must be fast or full, not '%s'", tostring(protocol))
  end
  local what = math.type(request.task) == "float" and ("%d"):format(request.task) or tostring(request.task)
  known[what] = known[what] or verb.task(what)
  return known[what], request.code, { protocol = protocol, fresh = request.fresh == true }
end

-- The answer to one line, as text.
local function answer(line, known)
  local seen = {}
  local ok, result = pcall(function()
    local task, code, o = read_request(line, known, seen)
    return verb.judge(task, code, o)
  end)
  if ok then
    local verdict = core.json_decode(result.json, "a verdict")
    verdict.id = seen.id
    return core.json_encode(verdict)
  end
  if errors.is(result) and result.kind == "cancelled" then error(result, 0) end
  return core.json_encode { id = seen.id == nil and core.null or seen.id, error = tostring(result) }
end

---f: the flags of `vegttt eval`.
function serve.run(f)
  local server = core.serve_open(f.socket)
  if f.socket then core.err(("vegttt: listening at %s (Ctrl-C stops)\n"):format(f.socket)) end
  local known, room = {}, sched.future()
  local n = 0
  local function next_line()
    local future = sched.start(core.serve_next(server), function(client, line)
      return client and { client = client, line = line }
    end)
    return sched.await(future, "serve")
  end
  verb.wait(function()
    while true do
      local got = next_line()
      if not got then break end
      n = n + 1
      sched.spawn(function()
        core.serve_answer(server, got.client, answer(got.line, known) .. "\n")
        n = n - 1
        room:settle(true)
      end)
      while n >= n_in_flight do
        room = sched.future()
        sched.await(room, "serve")
      end
    end
  end, function() core.serve_close(server) end)
  return 0
end

return serve
