-- SPDX-License-Identifier: Apache-2.0
--
-- The reference of scripts, in Markdown, from lua/meta/vegttt.lua: the file that editors complete from is the one place
-- where the surface is described. An entry is a block of comments and what it describes: a function, a class with its fields,
-- or a name. A comment behind a function on its line belongs to it, too.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local reference = {}

local function add_doc(entry, line)
  local text = line:match "^%-%-%-(.*)$"
  local tag, rest = text:match "^@(%a+)%s*(.*)$"
  if not tag then
    entry.doc[#entry.doc + 1] = text
  elseif tag == "class" or tag == "alias" then
    local name, form = rest:match "^([%w_.]+)%s*(.*)$"
    entry.name, entry.form = name, form:gsub("^:%s*", "")
  elseif tag == "field" then
    local name, what = rest:match "^([%w_]+%??)%s+(.*)$"
    entry.fields[#entry.fields + 1] = { name, what }
  elseif tag == "param" then
    entry.params[#entry.params + 1] = rest
  elseif tag == "return" then
    entry.returns = rest
  end
end

local function new_entry() return { doc = {}, fields = {}, params = {} } end

-- { { title =, entries… }, … }: the sections of the file.
local function sections()
  local out, entry = { { title = "Scripts" } }, new_entry()
  local function close()
    if entry.name then table.insert(out[#out], entry) end
    entry = new_entry()
  end
  for line in (core.embedded_text "meta/vegttt.lua" .. "\n"):gmatch "([^\n]*)\n" do
    local title = line:match "^%-%- ── (.-) ──"
    local head, behind = line:match "^function (vt[%w_.]*%b())%s*end%s*(.*)$"
    local name = line:match "^(vt[%w_.]+) = "
    if title then
      close()
      out[#out + 1] = { title = title }
    elseif line:find "^%-%-%-" then
      if line:find "^%-%-%-@class" and entry.name or line:find "^%-%-%-@alias" and entry.name then close() end
      add_doc(entry, line)
    elseif head or name then
      if entry.name then close() end -- a class right above a function, or an alias
      entry.name, entry.head = (head or name):match "^[%w_.]+", head
      if behind and behind ~= "" then entry.doc[#entry.doc + 1] = behind:gsub("^%-%-%-", "") end
      close()
    else
      close()
    end
  end
  return out
end

local function markdown(e)
  local lines = { "### " .. (e.head or e.name), "" }
  local function add(...) lines[#lines + 1] = (...):format(select(2, ...)) end
  if #e.doc > 0 then add("%s\n", table.concat(e.doc, "\n")) end
  if e.form and e.form ~= "" then add("`%s`\n", e.form) end
  for _, p in ipairs(e.params) do
    local name, kind = p:match "^(%S+)%s+(.*)$"
    add("- `%s`: `%s`", name or p, kind or "any")
  end
  if e.returns then add("- gives `%s`", e.returns) end
  for _, f in ipairs(e.fields) do add("- `%s`: %s", f[1], f[2]) end
  if lines[#lines] ~= "" then lines[#lines + 1] = "" end
  return table.concat(lines, "\n")
end

-- What of an entry a word asks for: all of it for its name, with or without vt, or for the group that it is in; the class with
-- one field for that field's name, alone or behind the class's (run:plot); nil for nothing.
local function asked_of(e, word)
  local plain = e.name:gsub("^vt%.", "")
  if e.name == word or plain == word or plain:find("^" .. word:gsub("^vt%.", ""):gsub("%p", "%%%0") .. "%.") then return e end
  local class, field = word:match "^(.-)[:.]?([%w_]+)$"
  local fields = {}
  for _, f in ipairs(e.fields) do
    local is_of = class == "" or class:gsub("^vt%.", ""):lower() == plain:lower()
    if f[1]:gsub("%?", "") == field and is_of then fields[#fields + 1] = f end
  end
  return fields[1] and { name = e.name, doc = {}, params = {}, fields = fields }
end

---All of it, or what a word asks for; raises where there is nothing of that name.
function reference.page(word)
  local out, names = {}, {}
  for _, section in ipairs(sections()) do
    local entries = {}
    for _, e in ipairs(section) do
      names[#names + 1] = e.name
      local asked = word and asked_of(e, word) or not word and e
      if asked then entries[#entries + 1] = markdown(asked) end
    end
    if #entries > 0 and not word then out[#out + 1] = "## " .. section.title .. "\n" end
    table.move(entries, 1, #entries, #out + 1, out)
  end
  if #out == 0 then
    errors.usage("scripts have no '%s'%s; `vegttt help lua` prints all of it", word, errors.hint(word:find "^vt%." and word or "vt." .. word, names))
  end
  if not word then table.insert(out, 1, "# require \"vegttt\"\n") end
  return table.concat(out, "\n")
end

return reference
