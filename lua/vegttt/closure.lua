-- SPDX-License-Identifier: Apache-2.0
--
-- Values with functions in them, packed as plain data and made again in another Lua state: functions by their code and
-- what they close over, tables by what they hold, once each, so that what shared a variable or a table shares it again.
-- What a fresh state has under a name (Lua's library, vegttt's surface, modules) is packed by that name as long as it is
-- what the name would give there (fresh.lua); what the script has changed is packed as it is now. Experiments are made or
-- loaded again; other objects of the engine have no such form.
local closed = require "vegttt.closed"
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local experiment = require "vegttt.experiment"
local fresh = require "vegttt.fresh"

local closure = {}

-- ── names ────────────────────────────────────────────────────────────────────────────────────────────────────────────

local function find(path)
  local value = core.globals
  if path[1] == "module" then value = core.globals.require(path[2]) end
  for i = path[1] == "module" and 3 or 2, #path do
    if type(value) ~= "table" then return nil end
    value = value[path[i]]
  end
  return value
end

-- ── packing ──────────────────────────────────────────────────────────────────────────────────────────────────────────

local refusal = setmetatable({}, { __name = "refusal" })

local function refuse(what) error(setmetatable({ what = what }, refusal), 0) end

local scalar = { ["nil"] = true, boolean = true, number = true, string = true }

local Packer = {}
Packer.__index = Packer

-- v in a packed place: { v } for what is its own value, { ref = n } else.
function Packer:value(v, what)
  if scalar[type(v)] or v == core.null then return { v } end
  return { ref = self:object(v, what) }
end

local function article(v)
  local class = debug.getmetatable(v)
  local name = type(class) == "table" and rawget(class, "__name")
  return type(name) == "string" and name or type(v)
end

function Packer:object(v, what)
  if self.known[v] then return self.known[v] end
  local n = #self.objects + 1
  local o = {}
  self.objects[n], self.known[v] = o, n
  local kind = type(v)
  o.name = self.place(v)
  if o.name then
    return n
  elseif core.is_vector(v) then
    o.vector = {}
    for i = 1, #v do o.vector[i] = v[i] end
  elseif experiment.is(v) then
    o.experiment = v.file and { file = v.file }
      or { fields = self:object({ name = v.name, doc = v.doc, params = v.params, main = v.main, plan = v.plan }, what) }
  elseif kind == "table" and (not debug.getmetatable(v) or closed.is_record(v)) then
    o.pairs = {}
    local class = debug.getmetatable(v)
    o.record = class and { what = class.what, names = errors.keys(class.fields), is_open = class.__newindex == nil }
    for k, x in next, v do o.pairs[#o.pairs + 1] = { self:value(k, what), self:value(x, what) } end
  elseif kind == "function" then
    self:pack_function(o, v, what)
  elseif fresh.had(v) then
    refuse(what .. " is a part of vegttt or of Lua's library that the script changed")
  else
    refuse(("%s is %s, which that state does not have"):format(what, article(v)))
  end
  return n
end

function Packer:pack_function(o, fn, what)
  local ok, code = pcall(string.dump, fn)
  if not ok then refuse(what .. " is a function of the engine") end
  o.code, o.upvalues = code, {}
  for i = 1, 255 do
    local name, value = core.upvalue(fn, i)
    if not name then break end
    if name == "_ENV" and (value == core.globals or debug.getmetatable(value)) then -- not a table of the script's own
      o.upvalues[i] = { is_env = true }
    else
      local id = debug.upvalueid(fn, i)
      if not self.boxes[id] then
        self.n_boxes = self.n_boxes + 1
        self.boxes[id] = self.n_boxes
        o.upvalues[i] = { box = self.n_boxes, value = self:value(value, ("its '%s'"):format(name)) }
      else
        o.upvalues[i] = { box = self.boxes[id] }
      end
    end
  end
end

---The value as plain data; nil and why not, in words.
function closure.pack(v)
  local p = setmetatable({ objects = {}, known = {}, boxes = {}, n_boxes = 0, place = fresh.places() }, Packer)
  local ok, root = pcall(p.value, p, v, "it")
  if ok then return { root = root, objects = p.objects } end
  if getmetatable(root) ~= refusal then error(root, 0) end
  return nil, root.what
end

-- ── unpacking ────────────────────────────────────────────────────────────────────────────────────────────────────────

---The value again; its functions find their globals in env.
function closure.unpack(packed, env)
  local made, boxes = {}, {}
  for n, o in ipairs(packed.objects) do
    if o.name then
      made[n] = find(o.name)
      if made[n] == nil then
        error(("a cell needs %s, which is not there when it begins"):format(table.concat(o.name, ".", 2)), 0)
      end
    elseif o.vector then
      made[n] = core.vector(o.vector)
    else
      made[n] = o.code and load(o.code, "=cell", "b", env) or {}
    end
  end
  local function value(v)
    if v.ref then return made[v.ref] end
    return v[1]
  end
  for n, o in ipairs(packed.objects) do
    for _, pair in ipairs(o.pairs or {}) do made[n][value(pair[1])] = value(pair[2]) end
    for i, u in ipairs(o.upvalues or {}) do
      if u.is_env then
        debug.setupvalue(made[n], i, env)
      elseif u.value then
        debug.setupvalue(made[n], i, value(u.value))
        boxes[u.box] = { made[n], i }
      end
    end
  end
  for n, o in ipairs(packed.objects) do
    if o.record then
      local make = o.record.is_open and closed.open_record or closed.record
      make(o.record.what, made[n], o.record.names)
    end
    for i, u in ipairs(o.upvalues or {}) do
      if u.box and not u.value then debug.upvaluejoin(made[n], i, boxes[u.box][1], boxes[u.box][2]) end
    end
  end
  for n, o in ipairs(packed.objects) do
    local e = o.experiment and (o.experiment.file and experiment.load(o.experiment.file)
      or o.experiment.fields and experiment.new(made[o.experiment.fields]))
    for k, v in next, e or {} do made[n][k] = v end
    if e then setmetatable(made[n], getmetatable(e)) end
  end
  return value(packed.root)
end

return closure
