-- SPDX-License-Identifier: Apache-2.0
--
-- A verdict for people: what happened, where in their code, how fast, and under which protection it was judged. The
-- record it renders is the one `--json` prints and evals.jsonl keeps.
local baselines = require "vegttt.baselines"
local core = require "vegttt.core"

local verdict_text = {}

local meaning = {
  malformed = "there is no function body in the file",
  compile_error = "it does not compile",
  load_error = "it compiles but cannot be loaded",
  runtime_error = "it did not run to its end",
  timeout = "it did not return in time",
  wrong_output = "it computes something else",
  correct_slow = "correct, not faster than the baseline",
  correct_fast = "correct and faster than the baseline",
  flagged = "correct, but not believed: the flags below say why",
}
verdict_text.meaning = meaning

-- A status in words; of an output whose errors are all of a few bounds, that it is not another function's.
local function meaning_of(record)
  if record.status == "wrong_output" and (record.feedback or ""):find("^The output differs by rounding beyond the bound") then
    return "it differs by rounding beyond the bound"
  end
  return meaning[record.status]
end

---"[3][17]" of a flat index in an array of the given shape.
local function index_text(flat, shape)
  local parts, rest = {}, flat
  for d = #shape, 1, -1 do
    table.insert(parts, 1, ("[%d]"):format(rest % shape[d]))
    rest = rest // shape[d]
  end
  return #parts > 0 and table.concat(parts) or ("[%d]"):format(flat)
end

local function shape_of(task, scale, name)
  local layout = core.task_layout(task.handle, scale)
  for _, a in ipairs(layout and layout.arrays or {}) do
    if a.name == name then return a.shape end
  end
  return {}
end

local function lines_of(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do lines[#lines + 1] = line end
  return lines
end

local function add_diagnostics(out, record, code, file)
  local source = lines_of(code)
  for _, d in ipairs(record.build.diagnostics) do
    if d.line > 0 and source[d.line] then
      out[#out + 1] = ("  %s:%d:%d: %s: %s"):format(file, d.line, d.column, d.kind, d.text)
      out[#out + 1] = ("  %5d | %s"):format(d.line, (source[d.line]:gsub("\t", " ")))
      if d.column > 0 then out[#out + 1] = ("        | %s^"):format((" "):rep(d.column - 1)) end
    else
      out[#out + 1] = ("  %s: %s"):format(d.kind, d.text)
    end
  end
  if record.build.n_errors > #record.build.diagnostics then
    out[#out + 1] = ("  (%d errors in all)"):format(record.build.n_errors)
  end
end

local function number(v) return type(v) == "number" and ("%.9g"):format(v) or "nan" end

local function add_differences(out, record, task)
  local f = record.failure
  local more = f.n_unwritten > 0 and ("; %d never written"):format(f.n_unwritten)
    or f.n_nan > 0 and ("; %d NaN"):format(f.n_nan) or ""
  out[#out + 1] = ("  %d of %d elements are outside the bound; inputs %s, sizes '%s'%s"):format(f.n_wrong, f.n_checked,
    f.inputs, f.scale, more)
  out[#out + 1] = ("  %-22s %16s %16s %14s"):format("first differences", "expected", "got", "bound")
  for _, d in ipairs(f.diffs) do
    local where = d.array .. index_text(d.index, shape_of(task, f.scale, d.array))
    local bound = type(d.bound) == "number" and ("%.3g"):format(d.bound) or "exact"
    out[#out + 1] = ("  %-22s %16s %16s %14s"):format(where, number(d.expected), number(d.got), bound)
  end
end

local function add_failure(out, record, task, code, file)
  if record.status == "compile_error" and record.build and #record.build.diagnostics > 0 then
    return add_diagnostics(out, record, code, file)
  end
  if record.status == "wrong_output" and record.failure and record.failure.diffs then
    return add_differences(out, record, task)
  end
  out[#out + 1] = "  " .. record.feedback
  if record.failure then
    out[#out + 1] = ("  inputs %s, sizes '%s'"):format(record.failure.inputs, record.failure.scale)
  end
end

local function add_speed(out, record, task)
  if record.is_copy then
    out[#out + 1] = ("  speedup    1 by definition: it is the baseline again (measured %.2fx)"):format(
      record.speedup_measured)
  else
    local n, n_places = #(record.trials or {}), 1
    for _, p in ipairs(record.placed or {}) do
      n = n + p.pairs
      if p.inputs == "benchmark" then n_places = n_places + 1 end
    end
    out[#out + 1] = ("  speedup    %.2fx over the baseline, 95 %% interval %.2f to %.2f, %d pairs of runs, %d place%s in memory"):format(
      record.speedup, record.speedup_lo, record.speedup_hi, n, n_places, n_places == 1 and "" or "s")
    if record.unsure then out[#out + 1] = "             not faster for sure: " .. record.unsure end
  end
  out[#out + 1] = ("  runtime    %.2f us, the baseline %.2f us"):format(record.runtime_us, record.ref_us)
  if record.speedup_tuned > 0 then
    out[#out + 1] = ("  tuned      %.2fx of the task's tuned reference"):format(record.speedup_tuned)
  end
  local eager = baselines.of(task, record)
  if eager then
    local gain = eager.us / record.ref_us
    out[#out + 1] = ("  eager      %.2fx over PyTorch's (%.2f to %.2f): %.2f us, torch %s, stored"):format(
      record.speedup_measured * gain, record.speedup_lo * gain, record.speedup_hi * gain, eager.us, eager.torch)
  end
  if record.roofline > 0 then out[#out + 1] = ("  roofline   %.2g %% of what this machine's memory allows"):format(100 * record.roofline) end
end

---The verdict on `code` (shown as `file`) as lines.
function verdict_text.render(record, task, code, file)
  local out = { ("%s: %s on task %d %s: %s"):format(file, record.status, task.id, task.name, meaning_of(record)
    or record.status) }
  if record.correct then
    if record.trials then add_speed(out, record, task) else out[#out + 1] = "  not timed" end
    out[#out + 1] = ("  checks     %d calls in %d processes, largest error %.2g of the bound: tested equal within the stated bound")
      :format(record.n_compared or record.n_checks or 0, record.n_check_processes or 0, record.worst)
    if record.missed then
      out[#out + 1] = ("             a kernel wrong in one call of 200 would be missed with %.2g %%"):format(
        100 * record.missed.one_in_200)
    end
  else
    add_failure(out, record, task, code, file)
  end
  if record.jail then out[#out + 1] = "  jail       " .. table.concat(record.jail, ", ") end
  if #(record.flags or {}) > 0 then out[#out + 1] = "  flags      " .. table.concat(record.flags, ", ") end
  out[#out + 1] = ("  judged by  protocol %s, %s, %s%s"):format(record.protocol, record.machine, record.compiler,
    record.cached and ", from the store" or "")
  return table.concat(out, "\n")
end

return verdict_text
