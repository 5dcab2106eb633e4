-- SPDX-License-Identifier: Apache-2.0
--
-- Tables of a run: tables/NAME.csv and .md. They are written when the run ends and at every row, so that a run that is
-- watched, or cut short, has them.
local args = require "vegttt.args"
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local text = require "vegttt.text"

local tables = { small_print = "statistics" } -- of every run that has statistics: it is in files, not on the screen

local Table = {}
local class = closed.class("vt.Table", "a table", { "run", "name", "columns", "rows" }, Table)

local function is_statistic(v) return type(v) == "table" and rawget(v, "value") ~= nil end

---A value as a table holds it: a number, a text, or false.
function tables.cell(v)
  if is_statistic(v) then v = v.value end
  if type(v) == "number" or type(v) == "string" then return v end
  if v == nil then return false end
  return type(v) == "table" and #v > 0 and args.show(v) or tostring(v)
end

function tables.is(v) return getmetatable(v) == class end

function tables.new(run, name, columns)
  return setmetatable({ run = run, name = name, columns = columns, rows = {} }, class)
end

---t:row(…): one value per column; a statistic may fill several (value, lo, hi) when it is last.
function Table:row(...)
  local given = table.pack(...)
  local row = {}
  for i = 1, given.n do row[#row + 1] = tables.cell(given[i]) end
  local last = given[given.n]
  if given.n < #self.columns and is_statistic(last) then
    local extra = { sd = last.sd or false, lo = last.lo or false, hi = last.hi or false, n = last.n or false }
    for i = given.n + 1, #self.columns do row[i] = extra[self.columns[i]] or false end
  end
  if #row > #self.columns then
    errors.misuse("table:row", "table:row: %d values for the %d columns of '%s'", #row, #self.columns, self.name)
  end
  for i = #row + 1, #self.columns do row[i] = false end
  self.rows[#self.rows + 1] = row
end

function Table:csv() return core.table_text(self.columns, self.rows, "csv", 0) end
function Table:markdown() return core.table_text(self.columns, self.rows, "markdown", 4) end

local function show(v)
  if v == false or v ~= v then return "" end
  return text.value(v, 3)
end

---For people: aligned columns.
function Table:text()
  local widths, lines = {}, {}
  for c, name in ipairs(self.columns) do
    widths[c] = #name
    for _, row in ipairs(self.rows) do widths[c] = math.max(widths[c], #show(row[c])) end
  end
  local function line(values)
    local parts = {}
    for c = 1, #self.columns do
      local shown = show(values[c])
      parts[c] = (" "):rep(widths[c] - #shown) .. shown
    end
    lines[#lines + 1] = "  " .. table.concat(parts, "  ")
  end
  line(self.columns)
  for _, row in ipairs(self.rows) do line(row) end
  return table.concat(lines, "\n")
end

-- What columns mean where their name does not say it: { column, another one that stands beside it when it means that,
-- how it is shown, the meaning }.
local meanings = {
  { "lo", "hi", "lo hi", "95 % interval of the column before them, from eight tasks on" },
  { "fast_1", "fast_1", "fast_1", "correct and timed faster than the baseline, copies included" },
  { "fast_1_sure", "fast_1_sure", "fast_1_sure", "the whole interval above 1, no copy, not flagged" },
  { "sample_fast_1", "sample_fast_1", "sample_*", "share of samples, mean over tasks" },
  { "seen", "fast_1", "seen", "the start weights were trained on this task, or on its family" },
  { "distinct", "sample_fast_1", "distinct", "different codes over samples" },
  { "no_copies", "per_code", "no_copies", "sample_fast_1_sure of the samples that are no copies" },
  { "per_code", "no_copies", "per_code", "sample_fast_1_sure of each different code once" },
  { "best", "sample_fast_1", "best", "* is the step that was chosen: a maximum over the data that it is scored on, so too high on average" },
  { "first", "tried", "first", "the speedup by which the kernel was found; speedup is that of its second verdict" },
  { "tried", "first", "tried", "kernels that were judged again until one held" },
  { "pass", "pass", "pass", "probability that one of k samples is fast_1 (pass_sure: fast_1_sure)" },
  { "best_of_k", "pass", "best_of_k", "expected speedup of the fastest of k samples" },
  { "solved", "rollouts", "solved", "share of tasks with a kernel that is faster for sure, among all rollouts so far; speedup: geometric mean of the tasks' best, 1 where there is none" },
  { "task_success", "rollouts", "task_success", "share of tasks with a kernel that is faster (_sure: for sure) among all rollouts" },
  { "last_fast_1_sure", "task_success", "speedup", "geometric mean of the tasks' best kernels for sure, 1 where there is none" },
  { "wins", "losses", "wins losses", "tasks on which the first of the two is ahead, and behind; ties: on which it is neither" },
  { "p", "wins", "p", "exact sign test of wins and losses; p_min: the smallest that so many tasks could give" },
  { "wilcoxon_p", "wins", "wilcoxon_p", "p of the signed ranks of the log speedups, ties left out" },
  { "h", "wins", "h", "Cohen's h of the two shares" },
  { "before_check", "each_once", "no_copies", "fast_1_sure where the rule picks among samples that are no copies (no_near_copies: nor timed like one; each_once: of each code one; before_check: checked or not)" },
  { "checks", "measures", "checks", "samples that the rule had checked, and (measures) timed; empty: groups with nothing to pick but copies" },
  { "tokens_online", "stopped", "tokens_online", "what DeepConf's online stop would have written; stopped: answers that it would not have let end" },
  { "kl_start", "kl_start", "kl_start", "nats per token between the weights that drew the samples and the start" },
  { "advantage", "kl_start", "advantage", "mean size of the teacher's advantages" },
  { "nll", "nll", "nll", "mean over answers of -ln p of the whole answer" },
  { "rho", "mean_nll", "rho", "Spearman of NLL and speedup, its interval and p over tasks; negative: what surprises is slower" },
  { "rho", "half", "rho", "Spearman of log-probability and speedup, its interval and p over tasks; negative: what is likely is slower" },
  { "within", "tasks", "within", "mean of the tasks' own rho, over so many of them as have one" },
  { "p_samples", "rho", "p_samples", "the papers' p of rho: every sample a case of its own" },
  { "slow_quarter", "likely_quarter", "slow_quarter", "rho in the slowest quarter of the samples; likely_quarter: in the likeliest" },
  { "half", "codes", "half", "measured: the codes that were learnt from; held: those that were only scored" },
  { "tau", "p_min", "tau", "Kendall's rank agreement of the two protocols' speedups, and its p" },
  { "same_best", "sure_both", "same_best", "both protocols have the same fastest code; sure_…: codes that are faster for sure by the fast one, the full one, both" },
  { "refined", "sampled", "refined", "geometric mean of the tasks' best for sure, 1 where there is none, going on from own answers; sampled: from fresh draws" },
  { "sd_logprob", "sd_all", "sd_logprob", "standard deviation of the correct samples' log-probability; sd_all: of all samples'" },
  { "winner", "sd_all", "surprisal", "speedup of the least likely correct sample; confidence: of the likeliest; winner: which of the two is faster" },
  { "top_code", "codes", "top_code", "share of the correct samples that are the most frequent code" },
  { "from_archive", "archive", "from_archive", "groups that went on from a kernel of the archive; archive: how many it holds" },
  { "chosen_at", "factor", "chosen_at", "speedup at the task's own size, where the kernel was chosen" },
  { "met", "sure_start", "met", "the adapted weights were trained on this task, or on its family" },
  { "gain_last", "kl_last", "gain_last", "share of the last step less that of the first; pattern: where the best step lies" },
  { "peak_step", "gain", "peak_step", "median of the best steps; gain: share of the best step less that of the first" },
  { "solved_at_first", "tasks", "solved_at_first", "tasks by the share of their first samples that is fast_1_sure" },
  { "learnt", "batch", "learnt", "how many batches were learnt when this one was drawn" },
  { "evaluated", "surprising", "evaluated", "different codes evaluated per task; the columns: geometric mean of the best of them for sure" },
}

---What those columns mean that need it, a line each; "" where none does. columns_of: the names of each table's.
function tables.legend(columns_of)
  local lines, is_said = {}, {}
  for _, m in ipairs(meanings) do
    for _, columns in ipairs(columns_of) do
      local has = {}
      for _, name in ipairs(columns) do has[name] = true end
      if has[m[1]] and has[m[2]] and not is_said[m] then
        is_said[m] = true
        lines[#lines + 1] = ("  %-15s %s"):format(m[3], m[4])
      end
    end
  end
  return table.concat(lines, "\n")
end

---The columns of a table that was written as Markdown.
function tables.columns_of_markdown(table_text)
  local columns = {}
  for column in table_text:match "^[^\n]*":gmatch "[^|]+" do
    column = column:match "^%s*(.-)%s*$"
    if column ~= "" then columns[#columns + 1] = column end
  end
  return columns
end

---All of them, as a page.
function tables.page()
  local lines = { "Columns whose name does not say what they hold:", "" }
  for _, m in ipairs(meanings) do lines[#lines + 1] = ("  %-15s %s"):format(m[3], m[4]) end
  return table.concat(lines, "\n") .. "\n"
end

---Writes all tables of a run.
function tables.write(run)
  for _, name in ipairs(run.table_order) do
    local t = run.tables[name]
    core.write(core.run_path(run.handle, "tables/" .. name .. ".csv"), t:csv())
    core.write(core.run_path(run.handle, "tables/" .. name .. ".md"), t:markdown())
  end
end

return tables
