-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt ls`: the runs recorded below runs/, oldest first, a line each.
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local verb = require "vegttt.verb_common"

local ls = {}

local function run(_, rest)
  if rest[2] then errors.usage "ls takes at most one experiment" end
  local n = 0
  for _, r in ipairs(run_files.all()) do
    if not rest[1] or rest[1] == r.experiment then
      local status = run_files.status(r.dir)
      verb.say("%-10s %-14s %-24s %s", status, r.experiment, r.stamp,
        status == "finished" and run_files.headline(run_files.json(r.dir, "summary.json")) or run_files.so_far(r.dir))
      n = n + 1
    end
  end
  if n == 0 then
    verb.say("no runs%s below runs/ yet; `vegttt experiments/boa.lua` makes one", rest[1] and " of " .. rest[1] or "")
  end
  return 0
end

function ls.main(argv)
  return verb.main(argv, { run = run,
    help = "vegttt ls [EXPERIMENT]   the runs below runs/: status, experiment, stamp and headline result" })
end

return ls
