-- SPDX-License-Identifier: Apache-2.0
--
-- The table "statistics" of a run: every number that a script reports as a result, with what tells how far it can be
-- believed: how many units and how many different values there were, ties, zeros, the method, p and the smallest p that
-- such data could have given. Tables of a script show values side by side; this one is their small print, in one form for
-- all scripts, so that no table has to carry twelve columns for each of its numbers.
local errors = require "vegttt.errors"
local groups = require "vegttt.groups"
local list = require "vegttt.list"
local run = require "vegttt.run"
local statistic = require "vegttt.statistic"
local stats = require "vegttt.stats"
local tables = require "vegttt.tables"

local op = "run:statistics"

-- Columns, and the field of a statistic that each shows.
local columns = { "of", "statistic", "value", "lo", "hi", "n", "unit", "n_samples", "distinct", "ties", "zeros", "wins", "losses", "p",
  "p_min", "method" }
local field_of = { distinct = "n_distinct" }

---run:statistics(of, what): adds rows. of: what they are of ("step 2"); what: { name = statistic, … }, or groups, for
---their shares (vt.stats.shares).
function run.class:statistics(of, what)
  if type(of) ~= "string" then errors.misuse(op, "%s needs a text that says of what, not a %s", op, type(of)) end
  if type(what) ~= "table" then errors.misuse(op, "%s needs statistics by name, or groups, not a %s", op, type(what)) end
  if #what > 0 then what = stats.shares(groups.list(op, what)) end
  local t = self.tables[tables.small_print] or self:table(tables.small_print, columns)
  for name, r in list.sorted_pairs(what) do
    if not statistic.is(r) then
      errors.misuse(op, "%s: '%s' is a %s, not a statistic of vt.stats", op, tostring(name), type(r))
    end
    local cells = { of, name }
    for i = 3, #columns do cells[i] = rawget(r, field_of[columns[i]] or columns[i]) end
    t:row(table.unpack(cells, 1, #columns))
  end
end
