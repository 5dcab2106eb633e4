-- SPDX-License-Identifier: Apache-2.0
--
-- A line typed at a terminal: cursor keys, Home, End, history, Tab, Ctrl-A E K U L, Ctrl-C (this line), Ctrl-D (the end). While
-- nobody types, the loop turns, so that what the script spawned goes on. In a pipe lines are read as they come.
local core = require "vegttt.core"
local sched = require "vegttt.sched"

local typed = {}

local pause_s = 0.02 -- between looks for keys: nobody notices, and it costs nothing

-- The next byte, "" at the end of the input. [waits]
local function key()
  while true do
    local k = core.key()
    if k then return k end
    sched.next_turn(pause_s, "vegttt repl")
  end
end

local function width(text) return utf8.len(text, 1, -1, true) or #text end

-- All but the last letter of a text; the first letter and the rest.
local function without_last(text) return (text:gsub("[^\x80-\xbf][\x80-\xbf]*$", "")) end
local function split_first(text) return text:match "^([^\x80-\xbf]?[\x80-\xbf]*)(.*)$" end

-- The line as it stands, the cursor in its place; of one that is wider than the terminal, what is around the cursor.
local function draw(prompt, before, after)
  local room = math.max(10, core.columns() - width(prompt) - 1)
  while width(before) > room do before = select(2, split_first(before)) end
  while after ~= "" and width(before) + width(after) > room do after = without_last(after) end
  core.err(("\r%s%s%s\x1b[K%s"):format(prompt, before, after, after ~= "" and ("\x1b[%dD"):format(width(after)) or ""))
end

-- What all words begin with.
local function common_beginning(words)
  local common = words[1]
  for _, word in ipairs(words) do
    while word:sub(1, #common) ~= common do common = common:sub(1, -2) end
  end
  return common
end

-- Tab: what can be said for sure is added; where that is nothing, what there is is shown.
local function complete(before, completions)
  local from, words = completions(before)
  if #words == 0 then return before end
  local added = before:sub(1, from - 1) .. common_beginning(words)
  if #words > 1 and added == before then core.err("\r\n" .. table.concat(words, "  ") .. "\r\n") end
  return added
end

-- The keys of a sequence after ESC, by name.
local sequences = { A = "up", B = "down", C = "right", D = "left", H = "home", F = "end", ["3~"] = "delete", ["1~"] = "home", ["4~"] = "end" }

local function sequence()
  local k = key()
  if k ~= "[" and k ~= "O" then return nil end
  local text = ""
  repeat
    k = key()
    text = text .. k
  until k == "" or k:find "[%a~]"
  return sequences[text]
end

local controls = { ["\1"] = "home", ["\2"] = "left", ["\4"] = "delete", ["\5"] = "end", ["\6"] = "right", ["\11"] = "kill_after", ["\21"] = "kill_before",
  ["\14"] = "down", ["\16"] = "up", ["\8"] = "backspace", ["\127"] = "backspace" }

-- before, after of the line when a key has been pressed. history.at: the line of it that is shown.
local function edited(name, before, after, history)
  if name == "left" and before ~= "" then
    local rest = without_last(before)
    return rest, before:sub(#rest + 1) .. after
  elseif name == "right" then
    local first, rest = split_first(after)
    return before .. first, rest
  elseif name == "home" then
    return "", before .. after
  elseif name == "end" then
    return before .. after, ""
  elseif name == "backspace" then
    return without_last(before), after
  elseif name == "delete" then
    return before, select(2, split_first(after))
  elseif name == "kill_after" then
    return before, ""
  elseif name == "kill_before" then
    return "", after
  elseif name == "up" and history.at > 1 or name == "down" and history.at <= #history then
    history.at = history.at + (name == "up" and -1 or 1)
    return history[history.at] or "", ""
  end
  return before, after
end

-- The bytes that follow the first one of a letter.
local function rest_of_letter(first)
  local rest = ""
  for _ = 1, first >= 0xf0 and 3 or first >= 0xe0 and 2 or first >= 0xc0 and 1 or 0 do rest = rest .. key() end
  return rest
end

local function edit(prompt, history, completions)
  local before, after = "", ""
  history.at = #history + 1
  while true do
    draw(prompt, before, after)
    local k = key()
    if k == "" or k == "\4" and before .. after == "" then return nil end
    if k == "\r" or k == "\n" then return before .. after end
    if k == "\3" then return false end
    if k == "\t" then
      before = complete(before, completions)
    elseif k == "\12" then
      core.err "\x1b[2J\x1b[H"
    elseif k == "\27" or controls[k] then
      before, after = edited(controls[k] or sequence(), before, after, history)
    elseif k:byte() >= 32 then
      before = before .. k .. rest_of_letter(k:byte())
    end
  end
end

local function read_line()
  local text, k = {}, key()
  if k == "" then return nil end
  while k ~= "" and k ~= "\n" do
    text[#text + 1] = k
    k = key()
  end
  return table.concat(text)
end

---The line, nil at the end of the input, false where it was given up. history: the lines before; completions(text before the
---cursor) -> where the word begins, and what it could be. [waits]
function typed.line(prompt, history, completions)
  if not core.can_ask() then return read_line() end
  core.raw(true)
  local ok, line = pcall(edit, prompt, history, completions)
  core.raw(false)
  core.err "\n"
  if not ok then error(line, 0) end
  if line and line ~= "" and line ~= history[#history] then history[#history + 1] = line end
  return line
end

return typed
