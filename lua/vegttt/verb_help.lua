-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt help TOPIC`: longer texts. Those about files, columns and scripts are made from what the engine itself goes by
-- (schema.lua, tables.lua, lua/meta); the others stand in topics.lua.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local reference = require "vegttt.reference"
local schema = require "vegttt.schema"
local tables = require "vegttt.tables"
local topics = require "vegttt.topics"
local verb = require "vegttt.verb_common"

local help = {}

local made = {
  { "columns", "what the columns of printed tables mean", tables.page },
  { "lua", "the reference of scripts, in Markdown; `help lua NAME` one function, class or group of it", reference.page },
  { "run-directory", "every file of a run directory, and every field of its records", schema.page },
}

local pages, lines = {}, {}
for _, p in ipairs(made) do pages[p[1]] = p end
for _, t in ipairs(topics) do pages[t[1]] = { t[1], t[2], function() return t[3] end } end
for _, name in ipairs(errors.keys(pages)) do lines[#lines + 1] = ("vegttt help %-14s %s"):format(name, pages[name][2]) end

local function run(_, words)
  if #words == 0 then errors.usage("help takes one topic: %s", table.concat(errors.keys(pages), ", ")) end
  local page = pages[words[1]]
  if not page then
    errors.usage("there is no page '%s'%s; the pages are %s, and `vegttt VERB --help` says what a verb takes", words[1],
      errors.hint(words[1], errors.keys(pages)), table.concat(errors.keys(pages), ", "))
  end
  if words[2] and page[1] ~= "lua" then errors.usage("'%s' is a word too many; help takes one topic", words[2]) end
  core.out(page[3](words[2]))
  return 0
end

function help.main(argv)
  return verb.main(argv, { run = run, max_words = 2, help = table.concat(lines, "\n") })
end

return help
