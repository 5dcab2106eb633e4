-- SPDX-License-Identifier: Apache-2.0
--
-- `vegttt plot RUN [NAME]`: a figure of a run in the terminal, as engine/plot/text.c draws it from what the run recorded
-- beside the SVG. Without a name: which figures there are.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local run_files = require "vegttt.run_files"
local verb = require "vegttt.verb_common"

local plot = {}

-- name -> { panels = { chart, … } }, sorted names.
local function figures_of(dir)
  local names, figures = {}, {}
  for _, file in ipairs(core.list(dir .. "/plots")) do
    local name = file:match "^(.*)%.json$"
    local figure = name and run_files.json(dir, "plots/" .. file)
    if figure and type(figure.panels) == "table" then names[#names + 1], figures[name] = name, figure end
  end
  return names, figures
end

local function list(dir, names, figures)
  for _, name in ipairs(names) do
    local titles = {}
    for i, chart in ipairs(figures[name].panels) do titles[i] = chart.title end
    verb.say("%-20s %s/plots/%s.svg  %s", name, dir, name, table.concat(titles, "; "))
  end
  if #names == 0 then verb.say("%s has no figures", dir) end
  return 0
end

local function run(f, words)
  if #words == 0 then errors.usage "plot takes a run: a folder, \"latest\", or the beginning of a stamp that `vegttt ls` lists" end
  local dir = run_files.find(words[1])
  local names, figures = figures_of(dir)
  if not words[2] then return list(dir, names, figures) end
  local figure = figures[words[2]]
  if not figure then
    errors.usage("%s has no figure '%s'%s", dir, words[2], #names > 0 and errors.hint(words[2], names) or "")
  end
  for i, chart in ipairs(figure.panels) do
    if i > 1 then verb.say "" end
    core.out(core.plot_text(chart, f.width or core.columns()))
  end
  return 0
end

function plot.main(argv)
  return verb.main(argv, { run = run, max_words = 2,
    options = { { "width", "N", "letters a line (default: the terminal's; 80 in a pipe)", kind = "integer", min = 40, max = 160 } },
    help = [[
vegttt plot RUN          the figures of a run: name, file, title
vegttt plot RUN NAME     one of them, here
  RUN is a folder, "latest", or the beginning of a stamp that `vegttt ls` lists]] })
end

return plot
