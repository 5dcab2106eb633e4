-- SPDX-License-Identifier: Apache-2.0
--
-- What served models are paid: a file of prices (--prices), dollars for a million tokens of each kind, by what the model
-- is called in a spec, options left out, context suffix and all, since services price that apart:
--
--   { "tinker:openai/gpt-oss-120b:peft:131072": { "prefill": 0.18, "cached": 0.036, "sampled": 0.44, "trained": 0.52 } }
--
-- `cached` (a prompt that the service had still) is `prefill` where it is left out, `trained` may be where nothing is
-- trained. A model on this machine costs nothing. Under a limit of money (--max-spend) a served model without a price is
-- refused: what cannot be counted cannot be kept within a limit.
local core = require "vegttt.core"
local errors = require "vegttt.errors"

local prices = {}

prices.kinds = { "prefill", "cached", "sampled", "trained" }

local is_kind = { prefill = true, cached = true, sampled = true, trained = true }

local function check_entry(path, name, entry)
  if type(entry) ~= "table" then errors.usage("--prices: %s: the price of %s is no object", path, name) end
  for kind, v in pairs(entry) do
    if not is_kind[kind] then
      errors.usage("--prices: %s: %s has a price of '%s'; there are %s", path, name, tostring(kind), table.concat(prices.kinds, ", "))
    end
    if type(v) ~= "number" or not (v >= 0 and v < math.huge) then
      errors.usage("--prices: %s: the %s price of %s is no number of dollars", path, kind, name)
    end
  end
  if not entry.prefill or not entry.sampled then
    errors.usage("--prices: %s: %s needs a price of prefill and of sampled tokens", path, name)
  end
end

---The prices of a file, checked; an error of usage where it is none.
function prices.read(path)
  local text, problem = core.read(path)
  if not text then errors.usage("--prices: cannot read %s: %s", path, tostring(problem)) end
  local ok, all = pcall(core.json_decode, text, path)
  if not ok or type(all) ~= "table" then errors.usage("--prices: %s is no JSON object of prices", path) end
  for name, entry in pairs(all) do check_entry(path, tostring(name), entry) end
  return all
end

---The price of a model, nil where nothing is paid or counted. limits: { prices, max_spend }
function prices.of(spec, limits, op)
  if not spec:match "^%l[%l%d]+:" or spec:match "^hf:" then return nil end
  local name = spec:match "^[^?]*"
  local price = limits.prices and limits.prices[name]
  if not price and limits.max_spend then
    errors.raise("budget", op, ("%s has no price, and the run has a limit of money (--max-spend): give --prices FILE with an "
      .. "entry \"%s\", dollars for a million tokens (0 where it costs nothing)"):format(name, name))
  end
  return price
end

---Dollars for so many tokens of each kind.
function prices.cost(price, tokens, op)
  local usd = 0
  for _, kind in ipairs(prices.kinds) do
    local n = tokens[kind] or 0
    local per_million = price[kind] or kind == "cached" and price.prefill
    if n > 0 and not per_million then
      errors.raise("budget", op, ("the file of prices has none for %s tokens of this model"):format(kind))
    end
    usd = usd + n * (per_million or 0) / 1e6
  end
  return usd
end

return prices
