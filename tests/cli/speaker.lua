-- SPDX-License-Identifier: Apache-2.0
--
-- Run by a case as a test file (speaking_model.sh): writes the model folder $SPEAKER_DIR, whose answers are the files
-- named in $SPEAKER_ANSWERS, indented (a brace at the beginning of a line ends an answer), all equally likely. A file
-- whose name begins with "whole" is no body but a whole function, in a block of its own. The model is a real one
-- (lua/vegttt/speaker.lua).
package.path = os.getenv "VEGTTT_ROOT" .. "/tests/lua/?.lua;" .. package.path
local core = require "vegttt.core"
local speaker = require "vegttt.speaker"

local files, answers = {}, {}
for file in os.getenv("SPEAKER_ANSWERS"):gmatch "%S+" do files[#files + 1] = file end
for i, file in ipairs(files) do
  local text = "  " .. core.read(file):gsub("%s+$", ""):gsub("\n", "\n  ")
  local is_whole = file:match "[^/]*$":find "^whole" ~= nil
  local pieces = is_whole and { "```\n\n```c\n" .. text, "\n```\n" } or { text, "\n}\n" }
  answers[i] = { pieces = pieces, p = 1 / #files }
end
speaker.make(os.getenv "SPEAKER_DIR", answers)
