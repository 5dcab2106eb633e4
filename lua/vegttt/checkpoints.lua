-- SPDX-License-Identifier: Apache-2.0
--
-- Checkpoints: where a run keeps the states of its weights, and how a state comes back.
--
-- ckpt/<weights id>/ is written whole and renamed into place; what is in it, the backend knows. The newest two states can
-- be trained on while the run goes on; others keep their exact parameters when a snapshot named them, else nothing. Where a snapshot is only
-- the name of something that a server keeps, every state is kept. Weights that a resumed run only knows by id are loaded
-- when somebody samples from them, and made again from their parent and batch when training has to go on from a state
-- that is gone: the chain of recipes ends at a state that is there, at the latest at the start.
--
-- File work waits, so other tasks run meanwhile: one piece of it at a time, and two that need the same weights share it.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local policy = require "vegttt.policy"
local sched = require "vegttt.sched"

local Checkpoints = {}
Checkpoints.__index = Checkpoints

local checkpoints = {}
local n_trainable = 2
local save_interval_s = 15

---donors: runs that may hold states that this one does not.
function checkpoints.new(handle, dir, donors)
  return setmetatable({ handle = handle, donors = donors, dir = dir .. "/ckpt", trainable = {}, named = {}, missing = {}, saved = {}, readying = {},
    saved_at = -math.huge }, Checkpoints)
end

function Checkpoints:path(w) return self.dir .. "/" .. w.id end

---{ id, step, is_trainable } of the weights' snapshot, or nil.
function Checkpoints:info(w) return core.snapshot_info(w.model.handle, self:path(w)) end

---The info and the folder of the state of w, of this run or of a donor; nil when there is none.
function Checkpoints:find(w)
  local own = self:info(w)
  if own and own.id == w.id then return own, self:path(w) end
  for _, path in ipairs(self.donors:checkpoints(w.id)) do
    local info = core.snapshot_info(w.model.handle, path)
    if info and info.id == w.id then return info, path end
  end
end

local function idle(self)
  while self.busy do sched.await(self.busy, "policy:snapshot") end
end

-- Waits for an operation on the folders; nobody else begins one before it has ended, whoever still waits for it.
local function work(self, op, then_do)
  local mine = sched.future()
  self.busy = mine
  return sched.await(sched.start(op, then_do, function()
    self.busy = nil
    mine:settle(true)
  end), "policy:snapshot")
end

local function write(self, w, to_train)
  idle(self)
  local path = self:path(w)
  core.remove(path .. ".tmp")
  work(self, core.weights_save(w.handle, path .. ".tmp", to_train and "training" or "exact"), function()
    core.remove(path)
    local ok, message = os.rename(path .. ".tmp", path)
    if not ok then
      errors.raise("infrastructure", "policy:snapshot", ("cannot keep weights in %s: %s"):format(path, message))
    end
  end)
end

-- A trainable state loses what training needs, also one that a resumed run has only passed and holds on disk alone; one
-- that no snapshot named loses its folder.
local function end_training(self, w)
  if self.named[w.id] then
    self:ready(w)
    return write(self, w, false)
  end
  idle(self)
  core.remove(self:path(w))
end

function Checkpoints:trim()
  while #self.trainable > n_trainable do end_training(self, table.remove(self.trainable, 1)) end
end

---The parameters of w in a folder of the run's own, exactly. The folder is made anew: an older one may share its files
---with a snapshot. [waits]
function Checkpoints:save_as(w, path)
  self:ready(w)
  idle(self)
  core.remove(path)
  work(self, core.weights_save(w.handle, path, "exact"), function() return true end)
  if w.is_trained then self.saved[w.id] = path end
end

---The run is done: what training needs goes, named states keep their exact parameters, once; one that is nowhere is made
---again. [waits]
function Checkpoints:finish()
  for id, path in pairs(self.saved) do
    local own = self.dir .. "/" .. id
    if core.exists(own) and core.link_folder(path, own .. ".tmp2") then
      core.remove(own)
      os.rename(own .. ".tmp2", own)
      for i = #self.trainable, 1, -1 do
        if self.trainable[i].id == id then table.remove(self.trainable, i) end
      end
    end
  end
  for _, w in ipairs(self.trainable) do end_training(self, w) end
  self.trainable = {}
  for _, w in ipairs(self.missing) do
    if not self:info(w) then
      self:ready(w)
      core.mkdir(self.dir)
      write(self, w, false)
    end
  end
end

function Checkpoints:save(w)
  core.mkdir(self.dir)
  write(self, w, true)
  self.saved_at = core.now()
  if w.model.caps.durable_snapshots then return end
  self.trainable[#self.trainable + 1] = w
  self:trim()
end

---New weights, just trained: kept when the last state is old enough, so that short steps do not become disk work; always
---where it costs nothing, or where they could not be made again.
function Checkpoints:made(w)
  local caps = w.model.caps
  if caps.durable_snapshots or not caps.ids_ahead or core.now() - self.saved_at >= save_interval_s then self:save(w) end
end

---Recorded weights that the replay passed: their folder counts as one of the newest.
function Checkpoints:passed(w)
  local info = self:info(w)
  if info and info.is_trainable and not w.model.caps.durable_snapshots then
    self.trainable[#self.trainable + 1] = w
  end
end

---A snapshot names w.
function Checkpoints:keep(w)
  if self.named[w.id] then return end
  self.named[w.id] = true
  if not w.is_trained or self:info(w) then return end
  if w.handle then return self:save(w) end
  local _, from = self:find(w)
  if from then
    core.mkdir(self.dir)
    core.link_folder(from, self:path(w)) -- where that cannot be, the state stays the donor's
  else
    self.missing[#self.missing + 1] = w
  end
end

local function load(self, w)
  idle(self)
  local info, path = self:find(w)
  if not info then return false end
  w.handle = work(self, core.weights_load(w.model.handle, path), function(loaded) return loaded.handle end)
  w.is_trainable = info.is_trainable
  if w.is_trainable then w.recipe = nil end
  return true
end

local function make_again(self, w)
  local recipe = w.recipe
  if not recipe then
    errors.raise("infrastructure", "policy:update",
      ("the state of weights %s is neither in %s nor can it be made again"):format(w.id:sub(1, 12), self.dir))
  end
  if recipe.parent then self:ready(recipe.parent, true) end -- an average has none: it begins with a fresh optimiser
  recipe.again(w)
  w.is_trainable, w.recipe = true, nil
end

local function is_ready(w, to_train) return w.handle and (w.is_trainable or not to_train) end

---Makes sure that the backend holds w; to_train: with the state that an update continues from.
function Checkpoints:ready(w, to_train)
  while not is_ready(w, to_train) and self.readying[w.id] do sched.await(self.readying[w.id], "weights") end
  if is_ready(w, to_train) then return end
  local mine = sched.future()
  self.readying[w.id] = mine
  local ok, e = pcall(function()
    if not w.handle then load(self, w) end
    if not is_ready(w, to_train) then make_again(self, w) end
  end)
  self.readying[w.id] = nil
  mine:settle(true)
  if not ok then error(e, 0) end
end

local session = require "vegttt.session"

function policy.ready(w)
  if not w.handle then session.run("weights").checkpoints:ready(w, false) end
end

return checkpoints
