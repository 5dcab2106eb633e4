-- SPDX-License-Identifier: Apache-2.0
--
-- The user's own compiler and the programs that come with it, run on copies of the user's file in a folder that is gone
-- afterwards. What is compiled and run here is the user's own text, never a candidate's: those are compiled and called
-- by the evaluator, in its jail.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local verb = require "vegttt.verb_common"

local c_compiler = {}
local Folder = {}
Folder.__index = Folder

---$CC, or cc: a command with its own options, as make has it.
function c_compiler.command() return (os.getenv "CC" or "") ~= "" and os.getenv "CC" or "cc" end

---The words of an option text like --cflags.
function c_compiler.words(text)
  local out = {}
  for word in (text or ""):gmatch "%S+" do out[#out + 1] = word end
  return out
end

---A folder for the compiler's files; :close() removes it.
function c_compiler.folder()
  local pipe = core.popen("mktemp -d \"${TMPDIR:-/tmp}/vegttt-optimise-XXXXXX\"", "r")
  local dir = pipe and pipe:read "l"
  if pipe then pipe:close() end
  if not dir or not core.is_dir(dir) then
    errors.raise("infrastructure", "optimise", "cannot make a folder for the compiler's files; is $TMPDIR full?",
      { code = "EIO" })
  end
  return setmetatable({ dir = dir }, Folder)
end

function Folder:close() core.execute("rm -rf " .. verb.quote(self.dir)) end

function Folder:path(name) return self.dir .. "/" .. name end

---Runs a command line there: its output, and whether it ended well.
function Folder:run(line)
  local pipe = core.popen(("cd %s && { %s; } 2>&1"):format(verb.quote(self.dir), line), "r")
  local out = pipe:read "a"
  return out, pipe:close() == true
end

---Compiles a text with these options, words that this code wrote or the user gave; whether it went well, what it said.
function Folder:compile(name, text, options)
  core.write(self:path(name), text)
  local words = {}
  for _, w in ipairs(options) do words[#words + 1] = verb.quote(w) end
  local out, ok = self:run(("%s %s %s"):format(c_compiler.command(), table.concat(words, " "), verb.quote(name)))
  return ok, out
end

---The first error in what a compiler said.
function c_compiler.first_error(out)
  return out:match "[^\n]*[Ee]rror:%s*[^\n]*" or out:match "[^\n]+" or "it says nothing"
end

return c_compiler
