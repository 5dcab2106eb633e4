-- SPDX-License-Identifier: Apache-2.0
--
-- Checkpoints: where a run keeps the states of its weights, and how a state comes back.
--
-- ckpt/<weights id>/ is written whole and renamed into place. The newest two states carry fp32 parameters and Adam's
-- moments; older ones keep the bf16 adapter when a snapshot named them, else nothing. Weights that a resumed run only
-- knows by id are loaded when somebody samples from them, and made again from their parent and batch when training has
-- to go on
-- from a state whose moments are gone: the chain of recipes ends at a state that is there, at the latest at the start.
local core = require "vegttt.core"
local errors = require "vegttt.errors"
local policy = require "vegttt.policy"

local Checkpoints = {}
Checkpoints.__index = Checkpoints

local checkpoints = {}
local moments_file = "/vegttt_optimizer.safetensors"
local n_trainable = 2
local save_interval_s = 15

---donors: runs that may hold states that this one does not.
function checkpoints.new(handle, dir, donors)
  return setmetatable({ handle = handle, donors = donors, dir = dir .. "/ckpt", trainable = {}, named = {}, saved_at = -math.huge },
    Checkpoints)
end

function Checkpoints:path(w) return self.dir .. "/" .. w.id end

local function write(path, w, with_moments)
  core.remove(path .. ".tmp")
  core.weights_save(w.handle, path .. ".tmp", with_moments)
  core.remove(path)
  local ok, message = os.rename(path .. ".tmp", path)
  if not ok then
    errors.raise("infrastructure", "policy:snapshot", ("cannot keep weights in %s: %s"):format(path, message))
  end
end

-- The oldest trainable states lose their moments; those no snapshot named lose their folder.
function Checkpoints:trim()
  while #self.trainable > n_trainable do
    local w = table.remove(self.trainable, 1)
    if self.named[w.id] and w.handle then
      write(self:path(w), w, false)
    else
      core.remove(self:path(w))
    end
  end
end

function Checkpoints:save(w)
  core.mkdir(self.dir)
  write(self:path(w), w, true)
  self.saved_at = core.now()
  self.trainable[#self.trainable + 1] = w
  self:trim()
end

---New weights, just trained: kept when the last state is old enough, so that short steps do not become disk work.
function Checkpoints:made(w)
  if core.now() - self.saved_at >= save_interval_s then self:save(w) end
end

---Recorded weights that the replay passed: their folder counts as one of the newest.
function Checkpoints:passed(w)
  if core.exists(self:path(w) .. moments_file) then self.trainable[#self.trainable + 1] = w end
end

---A snapshot names w.
function Checkpoints:keep(w)
  if self.named[w.id] then return end
  self.named[w.id] = true
  if not w.is_trained or core.exists(self:path(w) .. "/vegttt.json") then return end
  if not w.handle and self:take(w) then return end
  self:ready(w)
  self:save(w)
end

-- The state of w from a donor, under a second name; false when none has it.
function Checkpoints:take(w)
  local from = self.donors:checkpoint(w.id)
  if not from then return false end
  core.mkdir(self.dir)
  return core.link_folder(from, self:path(w))
end

local function load(self, w)
  local path = self:path(w)
  if not core.exists(path .. "/vegttt.json") then path = self.donors:checkpoint(w.id) end
  if not path then return false end
  local info = core.weights_load(w.model.handle, path)
  if info.id ~= w.id then return false end
  w.handle, w.is_trainable = info.handle, core.exists(path .. moments_file)
  if w.is_trainable then w.recipe = nil end
  return true
end

local function make_again(self, w)
  local recipe = w.recipe
  if not recipe then
    errors.raise("infrastructure", "policy:update",
      ("the state of weights %s is neither in %s nor can it be made again"):format(w.id:sub(1, 12), self.dir))
  end
  self:ready(recipe.parent, true)
  recipe.again(w)
  w.is_trainable, w.recipe = true, nil
end

---Makes sure that the backend holds w; to_train: with the state that an update continues from.
function Checkpoints:ready(w, to_train)
  if w.handle and (w.is_trainable or not to_train) then return end
  if not w.handle and load(self, w) and (w.is_trainable or not to_train) then return end
  make_again(self, w)
end

local session = require "vegttt.session"

function policy.ready(w)
  if not w.handle then session.run("weights").checkpoints:ready(w, false) end
end

return checkpoints
