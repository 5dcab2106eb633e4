-- SPDX-License-Identifier: Apache-2.0
--
-- Numbers for people: whole ones whole (task 10001 is no 1e+04), others to so many digits.
local text = {}

local exact = 2 ^ 53

function text.number(v, digits)
  if v ~= v then return "nan" end
  if v == 0 then return "0" end -- also what rounding left below it
  if math.type(v) == "integer" then return ("%d"):format(v) end
  if v == math.floor(v) and math.abs(v) < exact then return ("%.0f"):format(v) end
  return ("%." .. digits .. "g"):format(v)
end

---Any scalar, numbers to so many digits.
function text.value(v, digits) return type(v) == "number" and text.number(v, digits) or tostring(v) end

---A digest by its beginning, which is enough to tell two apart; any other value as it is.
function text.short(v) return type(v) == "string" and v:find "^%x+$" and #v == 64 and v:sub(1, 12) or v end

---A number of bytes.
function text.bytes(n)
  for _, u in ipairs { { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 2 ^ 10, "KiB" } } do
    if n >= u[1] then return ("%.3g %s"):format(n / u[1], u[2]) end
  end
  return ("%d bytes"):format(n)
end

return text
