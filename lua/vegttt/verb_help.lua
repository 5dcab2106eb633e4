-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt help TOPIC`: pages that are made from what the engine itself goes by: the files of a run directory
-- (schema.lua), the columns of printed tables (tables.lua).
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local schema = require "vegttt.schema"
local tables = require "vegttt.tables"
local verb = require "vegttt.verb_common"

local help = {}

local pages = { ["run-directory"] = schema.page, columns = tables.page }

local function run(_, words)
  if #words ~= 1 then errors.usage("help takes one topic: %s", table.concat(errors.keys(pages), " or ")) end
  local page = pages[words[1]]
  if not page then
    errors.usage("there is no page '%s'%s; the pages are %s, and `vegttt VERB --help` says what a verb takes", words[1],
      errors.hint(words[1], errors.keys(pages)), table.concat(errors.keys(pages), " and "))
  end
  core.out(page())
  return 0
end

function help.main(argv)
  return verb.main(argv, { run = run, max_words = 1, help = [[
vegttt help run-directory   every file of a run directory, and every field of its records
vegttt help columns         what the columns of printed tables mean]] })
end

return help
