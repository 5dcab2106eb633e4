-- SPDX-License-Identifier: Apache-2.0
-- windows.lua: a window of weights over a line, a plane or a volume with channels: the loops of a convolution (batch, output and
-- input channels, position, taps, with stride, dilation, padding tested in the innermost loop, groups, bias, and the transposed
-- forms that scatter or gather with a stride), but never its arithmetic. Element and weight meet in a maximum or minimum of sums
-- or products (dilation, erosion and their kin), or in a sum of something that is not linear in the element: distances, hinges,
-- counts, smaller-of-two, a quadratic. No choice of parameters turns a rule into sum x * w, nor into sum f(x) * w or sum x * f(w).
--
-- What there is to learn: bring the loop over the output row innermost so that it is contiguous, hold the weight, keep a pointer
-- to the row read and the row written, turn tests at borders into loop limits, select instead of branching.
--
-- An operation is a form (`window_line` … `spread_volume`); the rule, geometry, sizes and spelling are drawn. The last axis is the
-- contiguous one. Bodies are assembled from index expressions: an axis carries the position a tap has (`at`), `horner` makes an
-- address of positions. No line has an even number of taps: gcc 12 -O3 reads a float past the end for four taps at distance 2.

local fill = require("corpus.idiom").fill

local defs = {}

-- An answer must fit into what the trainer shows (sft.lua, max_answer): rewritings longer than this many characters before layout
-- are left out, and an instance with nothing left is drawn anew.
local LONGEST = 600

local function def(id, weight, make)
  defs[#defs + 1] = { id = id, family = "window", weight = weight, make = function(r)
    while true do
      local fields, short = make(r), {}
      for _, text in ipairs(fields.strong) do
        if #text <= LONGEST then short[#short + 1] = text end
      end
      fields.strong = short
      if #short > 0 then return fields end
    end
  end }
end

-- ── rules: A the element, W the weight; `g` names a part that is used twice ──
local SUMS = {
  { t = "fabsf(A - W)" }, { t = "fabsf(A + W)" }, { slow = "(A - W) * (A - W)", g = "A - W", t = "g * g" }, { slow = "(A + W) * (A + W)", g = "A + W", t = "g * g" },
  { t = "A * (A - W)" }, { t = "A * W * (A + W)" }, { t = "A * W - 0.5f * A * A" }, { slow = "(A * W - 1.0f) * (A * W - 1.0f)", g = "A * W - 1.0f", t = "g * g" },
  { slow = "fmaxf(A - W, 0.0f)", t = "(A > W ? A - W : 0.0f)" }, { slow = "fmaxf(W - A, 0.0f)", t = "(W > A ? W - A : 0.0f)" }, { slow = "fminf(A, W)", t = "(A < W ? A : W)" },
  { slow = "fmaxf(A, W)", t = "(A > W ? A : W)" }, { t = "(A > W ? 1.0f : 0.0f)" }, { slow = "(A - W) / (1.0f + fabsf(A - W))", g = "A - W", t = "g / (1.0f + fabsf(g))" },
  { slow = "A * W / (1.0f + fabsf(A * W))", g = "A * W", t = "g / (1.0f + fabsf(g))" },
}
local BESTS = { { t = "A + W" }, { t = "A + W" }, { t = "A - W" }, { t = "A * W" }, { t = "A * W" }, { t = "W - A" }, { t = "fabsf(A - W)" }, { t = "A * W - A" } }

local function put(t, a, w) return (t:gsub("%f[%w_]A%f[^%w_]", a):gsub("%f[%w_]W%f[^%w_]", w)) end

-- A drawn rule: `start` of the running value, `slow(acc, a, w)` as a baseline states it, `fast(acc, a, w)` without calls.
local function draw_rule(r, group)
  if group == "sum" then
    local rule = r:pick(SUMS)
    local is_slow = r:chance(0.75) or rule.g
    local naive, split = is_slow and rule.slow or rule.t, rule.g and "float g = " .. rule.g .. "; " or ""
    return { is_sum = true, start = "0.0f", slow = function(acc, a, w) return put(acc .. " += " .. naive .. ";", a, w) end,
      fast = function(acc, a, w) return put(split .. acc .. " += " .. rule.t .. ";", a, w) end }
  end
  local rule, big = r:pick(BESTS), r:chance(0.6)
  local sign, call, branch = big and ">" or "<", big and "fmaxf" or "fminf", r:chance(0.35)
  return { start = big and "-1e30f" or "1e30f",
    slow = function(acc, a, w)
      if branch then return put(("float g = %s; if (g %s %s) { %s = g; }"):format(rule.t, sign, acc, acc), a, w) end
      return put(("%s = %s(%s, %s);"):format(acc, call, acc, rule.t), a, w)
    end,
    fast = function(acc, a, w) return put(("float g = %s; %s = g %s %s ? g : %s;"):format(rule.t, acc, sign, acc, acc), a, w) end }
end

-- ── index text ──
local function signed(c) return c == 0 and "" or (c > 0 and " + " or " - ") .. math.abs(c) end
local function times(k, v) return k == 1 and v or k .. " * " .. v end

---horner("b", "ci", "c", "h", "i + p") = "(b * ci + c) * h + i + p"; an absent leading index is dropped with its size.
local function horner(list)
  local text
  for k = 1, #list, 2 do
    if not text then text = list[k]
    else
      local size = list[k - 1]
      text = (text:find(" ", 1, true) and "(" .. text .. ")" or text) .. " * " .. size .. " + " .. list[k]
    end
  end
  return text
end

local function join(...)
  local out = {}
  for _, list in ipairs { ... } do
    for _, v in ipairs(list) do out[#out + 1] = v end
  end
  return out
end

---Loops around `inner`: nest({ "b", "n", "o", "co" }, text).
local function nest(list, inner)
  local head, tail = {}, {}
  for k = 1, #list, 2 do
    head[#head + 1] = ("for (int %s = 0; %s < %s; %s++) { "):format(list[k], list[k], list[k + 1], list[k])
    tail[#tail + 1] = " }"
  end
  return table.concat(head) .. inner .. table.concat(tail)
end

-- ── geometry ──
local AXES = {
  { { n = "l", o = "ol", i = "i", t = "p", u = "u" } },
  { { n = "h", o = "oh", i = "i", t = "p", u = "u" }, { n = "w", o = "ow", i = "j", t = "q", u = "v" } },
  { { n = "d", o = "od", i = "z", t = "r", u = "t" }, { n = "h", o = "oh", i = "i", t = "p", u = "u" }, { n = "w", o = "ow", i = "j", t = "q", u = "v" } },
}
local TAPS = { { { 3 }, { 3 }, { 5 }, { 7 } }, { { 3, 3 }, { 3, 3 }, { 5, 5 }, { 3, 5 }, { 5, 7 }, { 2, 3 }, { 3, 7 } }, { { 3, 3, 3 }, { 3, 3, 3 }, { 2, 3, 3 }, { 3, 2, 5 }, { 3, 5, 5 } } }

local function output_text(a, scatter)
  if scatter then return times(a.s, a.n) .. signed(a.d * (a.k - 1) + 1 - 2 * a.pad - a.s) end
  local c = 2 * a.pad - a.d * (a.k - 1)
  if a.s == 1 then return a.n .. signed(c) end
  return (c == 1 and a.n or "(" .. a.n .. signed(c - 1) .. ")") .. " / " .. a.s .. " + 1"
end

---The axes of one instance with taps k, stride s, dilation d, padding, and sizes; about `work` steps over `lanes` channels.
local function draw_axes(r, rank, lanes, o)
  local taps, out = r:pick(TAPS[rank]), {}
  local stride, dilation, padded = r:pick { 1, 1, 1, 2, 2, 3 }, r:pick { 1, 1, 1, 2, 3 }, r:chance(o.padded)
  if rank == 3 then stride, dilation = r:pick { 1, 1, 1, 2 }, r:pick { 1, 1, 1, 2 } end
  if o.scatter then stride = r:pick { 1, 1, 1, 1, 2 } end
  local left = o.work / lanes
  for at = 1, rank do left = left / taps[at] end
  for at = rank, 1, -1 do
    local k = taps[at]
    local a = { k = k, s = o.stride or stride, d = dilation }
    for key, v in pairs(AXES[rank][at]) do a[key] = v end
    local reach = a.d * (k - 1)
    a.pad = padded and math.max(1, r:pick { reach // 2, reach // 2, 1 }) or 0
    local len = at == 1 and math.floor(left) or at == rank and r:int(25, 49) or r:int(3, rank == 3 and 6 or 9)
    len = math.max(rank == 3 and 3 or 6, math.min(len, rank == 1 and 3000 or 64)) + at
    left = left / len
    if o.scatter then a.size = math.max(4, len)
    else a.size = math.max(reach + a.s + 1, (len - 1) * a.s + reach + 1 - 2 * a.pad + r:int(0, a.s - 1)) end
    a.odd = reach + 2 * a.s + (at == 1 and 1 or 2)
    a.out = output_text(a, o.scatter)
    a.is_tested = a.pad > 0
    a.lim = a.out == a.n and a.n or a.o -- the output's length as the body names it
    -- Where the tap lies: in the input (gather) or in the output (scatter), with the test that padding asks for.
    a.at = times(a.s, a.i) .. " + " .. times(a.d, a.t) .. signed(-a.pad)
    a.within = o.scatter and a.lim or a.n
    a.pos = a.is_tested and a.u or a.at
    out[at] = a
  end
  return out
end

local function declare_lengths(axes)
  local list = {}
  for _, a in ipairs(axes) do
    if a.lim ~= a.n then list[#list + 1] = a.lim .. " = " .. a.out end
  end
  return #list > 0 and "int " .. table.concat(list, ", ") .. "; " or ""
end

local function map(axes, f)
  local out = {}
  for k, a in ipairs(axes) do
    for _, v in ipairs { f(a, k) } do out[#out + 1] = v end
  end
  return out
end

---Tests of the padded axes around `inner`, as a baseline writes them.
local function tested(r, axes, inner)
  local sets, inside, outside = {}, {}, {}
  for _, a in ipairs(axes) do
    if a.is_tested then
      sets[#sets + 1] = a.u .. " = " .. a.at
      inside[#inside + 1] = ("%s >= 0 && %s < %s"):format(a.u, a.u, a.within)
      outside[#outside + 1] = ("%s < 0 || %s >= %s"):format(a.u, a.u, a.within)
    end
  end
  if #sets == 0 then return inner end
  local head = "int " .. table.concat(sets, ", ") .. "; "
  if r:chance(0.2) then return head .. "if (" .. table.concat(outside, " || ") .. ") { continue; } " .. inner end
  return head .. "if (" .. table.concat(inside, " && ") .. ") { " .. inner .. " }"
end

local function skip(a) return a.is_tested and ("int %s = %s; if (%s < 0 || %s >= %s) { continue; } "):format(a.u, a.at, a.u, a.u, a.within) or "" end

---Limits of the innermost loop over `count` positions, so that s * j + at stays within 0..within-1.
local function limits(a, count)
  if not a.is_tested then return "", "0", count, times(a.s, a.i) .. " + " .. times(a.d, a.t) end
  local function over(t) return a.s == 1 and t or "(" .. t .. " + " .. a.s - 1 .. ") / " .. a.s end -- rounded up
  return ("int at = %s%s, lo = at < 0 ? %s : 0, hi = %s; hi = hi < %s ? hi : %s; "):format(times(a.d, a.t), signed(-a.pad), over "-at", over(a.within .. " - at"), count, count),
    "lo", "hi", times(a.s, a.i) .. " + at"
end

-- ── channels: which loops surround the window and how the three arrays are addressed ──
-- `outer` and `inner` are the loops around and inside the position, x, y and w the leading indices of the arrays (for `horner`),
-- shape_* their leading lengths, `lanes` the number of windows at one position.
local function channels(r, kind, rank)
  local c = { sizes = {} }
  c.batch = r:chance(rank == 3 and 0.35 or 0.65)
  local lead, b = c.batch and { "b", "n" } or {}, c.batch and { "n" } or {}
  local n = c.batch and r:pick { 1, 1, 2 } or 1
  if c.batch then c.sizes[1] = "n=" .. n end
  if kind == "depthwise" then
    local ch = r:int(5, 13)
    c.sizes[#c.sizes + 1] = "ch=" .. ch
    c.outer, c.inner, c.lanes = join(lead, { "c", "ch" }), {}, n * ch
    c.x, c.w = c.batch and { "b", "ch", "c" } or { "c" }, { "c" }
    c.y, c.shape_x, c.shape_w, c.shape_y, c.bias = c.x, join(b, { "ch" }), { "ch" }, join(b, { "ch" }), "c"
    c.n_out = "ch"
    return c
  end
  local groups = kind == "grouped" and r:pick { 2, 2, 3, 4 } or 1
  local ci, co = r:int(3, rank == 3 and 4 or 7), r:int(rank == 3 and 3 or 4, rank == 3 and 6 or 11)
  if groups > 1 then ci, co = groups * r:int(2, 3), groups * r:int(2, 4) end
  c.sizes[#c.sizes + 1] = "ci=" .. ci
  c.sizes[#c.sizes + 1] = "co=" .. co
  c.shape_x, c.shape_y, c.n_out, c.bias, c.lanes = join(b, { "ci" }), join(b, { "co" }), "co", "o", n * ci * co / groups
  c.x, c.y = c.batch and { "b", "ci", "c" } or { "c" }, c.batch and { "b", "co", "o" } or { "o" }
  c.outer, c.inner, c.w, c.shape_w = join(lead, { "o", "co" }), { "c", "ci" }, { "o", "ci", "c" }, { "co", "ci" }
  if groups > 1 then
    c.declare = ("int gi = ci / %d, go = co / %d; "):format(groups, groups)
    c.inner, c.w, c.shape_w = { "c", "gi" }, { "o", "gi", "c" }, { "co", "ci / " .. groups }
    c.x = c.batch and { "b", "ci", "o / go * gi + c" } or { "o / go * gi + c" }
    c.where = { "ci % " .. groups .. " == 0", "co % " .. groups .. " == 0" }
  end
  c.lead = lead
  return c
end

local function shape(name, dims) return name .. "[" .. table.concat(dims, ", ") .. "]" end

local NAMES = {
  x = { "x", "x", "x", "in", "input", "src", "a" }, weight = { "weight", "weight", "w", "ker", "filter", "k", "taps" }, bias = { "bias", "bias", "beta", "add" }, y = { "y", "y", "y", "out", "dst", "output", "z" },
  n = { "n", "n", "batch", "N", "nb" }, ci = { "ci", "ci", "cin", "C" }, co = { "co", "co", "cout", "F" }, ch = { "c", "ch", "channels", "C" }, l = { "l", "l", "len", "length", "L" }, d = { "d", "d", "depth", "D" }, h = { "h", "h", "height", "H" },
  w = { "w", "w", "width", "W" }, b = { "b", "b", "n", "bi" }, o = { "o", "o", "f", "oc", "m" }, c = { "c", "c", "k", "ic" }, z = { "z", "z", "s" }, i = { "i", "i", "i", "row" }, j = { "j", "j", "j", "col" }, r = { "r", "r", "e", "kz" },
  p = { "p", "p", "ky", "a" }, q = { "q", "q", "kx" }, t = { "t", "t", "iz" }, u = { "u", "u", "y0", "iy" }, v = { "v", "v", "ix" }, sum = { "sum", "sum", "s", "acc", "val" }, ol = { "ol", "ol", "m", "len_out" }, od = { "od", "od", "Do" },
  oh = { "oh", "oh", "ho", "rows" }, ow = { "ow", "ow", "wo", "cols" }, gi = { "gi", "gi", "per" }, go = { "go", "go", "og" }, out = { "out", "out", "dst", "yr", "to" }, ["in"] = { "in", "in", "src", "xr", "from" }, w0 = { "w0", "w0", "wv", "f" },
  at = { "at", "at", "off" }, lo = { "lo", "lo", "first" }, hi = { "hi", "hi", "end" }, g = { "g", "g", "t", "val", "d" }, e = { "e", "e", "at", "idx" },
}

-- Deep nests of loops are mostly written without braces around a lone loop.
local BRACES = { "lone", "lone", "lone", "lone", "lone", "lone", "lone", "nested", "single" }

local function instance(c, axes, with_bias, fields)
  local sizes, odd = join(c.sizes), {}
  for _, a in ipairs(axes) do
    sizes[#sizes + 1] = a.n .. "=" .. a.size
    odd[a.n] = a.odd
  end
  fields.sig = shape("x", join(c.shape_x, map(axes, function(a) return a.n end))) .. ", " .. shape("weight", join(c.shape_w, map(axes, function(a) return tostring(a.k) end)))
    .. (with_bias and ", bias[" .. c.n_out .. "]" or "") .. " -> " .. shape("y", join(c.shape_y, map(axes, function(a) return a.out end)))
  fields.sizes, fields.odd, fields.where, fields.names, fields.braces = table.concat(sizes, ","), odd, c.where, NAMES, BRACES
  return fields
end

local SIMD = "\n#pragma omp simd\n"
-- A loop over the last axis.
local function row(a, lo, hi, text, simd) return (simd and SIMD or "") .. ("for (int %s = %s; %s < %s; %s++) { %s }"):format(a.i, lo, a.i, hi, a.i, text) end

local function but_last(list) return { table.unpack(list, 1, #list - 1) } end
local function scaled(text, n) return (text:find(" ", 1, true) and "(" .. text .. ")" or text) .. " * " .. n end
local function pointer(name, array, lead, n) return (array == "y" and "" or "const ") .. "float *" .. name .. " = " .. array .. " + " .. scaled(lead, n) .. "; " end
local function taps_of(axes) return map(axes, function(a) return a.t, tostring(a.k) end) end
local function weight_at(c, axes) return "weight[" .. horner(join(c.w, map(axes, function(a) return tostring(a.k), a.t end))) .. "]" end
local function n_taps(axes)
  local n = 1
  for _, a in ipairs(axes) do n = n * a.k end
  return n
end
local function has_tests(axes)
  for _, a in ipairs(axes) do
    if a.is_tested then return true end
  end
  return false
end
local function pick_group(r) return r:chance(0.65) and "sum" or "best" end

-- ── gather: every output looks at its window ──
local function gather(kind, rank, o)
  return function(r)
    local c, rule, with_bias = channels(r, kind, rank), draw_rule(r, pick_group(r)), r:chance(0.3)
    local axes = draw_axes(r, rank, c.lanes, o)
    local last, rest = axes[rank], but_last(axes)
    local start, w_at = with_bias and "bias[" .. c.bias .. "]" or rule.start, weight_at(c, axes)
    local read, write = map(rest, function(a) return a.n, a.pos end), map(rest, function(a) return a.lim, a.i end) -- all but the last axis
    local y_at = "y[" .. horner(join(c.y, write, { last.lim, last.i })) .. "]"
    local around = join(c.outer, map(rest, function(a) return a.i, a.lim end))
    local head = declare_lengths(axes) .. (c.declare or "")
    local step = tested(r, axes, rule.slow("sum", "x[" .. horner(join(c.x, read, { last.n, last.pos })) .. "]", w_at))
    local loops = r:chance(0.15) and join(taps_of(axes), c.inner) or join(c.inner, taps_of(axes))
    local body = head .. nest(join(around, { last.i, last.lim }), "float sum = " .. start .. "; " .. nest(loops, step) .. " " .. y_at .. " = sum;")

    -- One tap at a time along the row, through pointers or through indices.
    local function rows(pointers)
      local set, lo, hi, where = limits(last, last.lim)
      local from = pointers and "in[" .. where .. "]" or "x[" .. horner(join(c.x, read, { last.n, where })) .. "]"
      local to = pointers and "out[" .. last.i .. "]" or y_at
      local text = (pointers and pointer("in", "x", horner(join(c.x, read)), last.n) or "")
        .. nest({ last.t, tostring(last.k) }, "float w0 = " .. w_at .. "; " .. set .. row(last, lo, hi, rule.fast(to, from, "w0"), pointers))
      for k = #rest, 1, -1 do text = nest({ rest[k].t, tostring(rest[k].k) }, skip(rest[k]) .. text) end
      return head .. nest(around, (pointers and pointer("out", "y", horner(join(c.y, write)), last.lim) or "")
        .. row(last, "0", last.lim, to .. " = " .. start .. ";") .. " " .. nest(c.inner, text))
    end
    -- The whole window of one input channel at a time, on one or two axes: fewer reads and writes of the output row. Only a
    -- window that the compiler unrolls gains by it.
    local function windows()
      local index = (rank == 2 and times(rest[1].d, rest[1].t) .. " * " .. last.n .. " + " or "") .. last.at
      local window = nest(taps_of(axes), rule.fast("sum", "in[" .. index .. "]", w_at))
      local from = pointer("in", "x", horner(join(c.x, map(rest, function(a) return a.n, times(a.s, a.i) end))), last.n)
      local to, cell = pointer("out", "y", horner(join(c.y, write)), last.lim), "out[" .. last.i .. "]"
      local function sweep(value) return row(last, "0", last.lim, "float sum = " .. value .. "; " .. window .. " " .. cell .. " = sum;", true) end
      return head .. nest(around, to .. row(last, "0", last.lim, cell .. " = " .. start .. ";") .. " " .. nest(c.inner, from .. sweep(cell)))
    end
    local strong = { rows(true) }
    if rank == 1 or rank == 2 and rule.is_sum then strong[2] = rows(false) end
    if #c.inner > 0 and rank < 3 and not has_tests(axes) and n_taps(axes) <= 15 then strong[#strong + 1] = windows() end
    return instance(c, axes, with_bias, { body = body, mild = {}, strong = strong })
  end
end

-- ── scatter: every input writes its window of outputs; `fan_in` states the same as a search for the inputs of an output ──
local function scatter(rank, o)
  return function(r)
    local c, rule, with_bias = channels(r, "full", rank), draw_rule(r, pick_group(r)), r:chance(0.2)
    local axes = draw_axes(r, rank, c.lanes, { work = o.work, padded = o.padded, stride = o.fan_in and r:pick { 2, 2, 3 }, scatter = true })
    c.w, c.shape_w = { "c", "co", "o" }, { "ci", "co" }
    local last, rest = axes[rank], but_last(axes)
    local w_at, head = weight_at(c, axes), declare_lengths(axes)
    local places, cells = map(axes, function(a) return a.i, a.n end), map(axes, function(a) return a.i, a.lim end)
    local read, write = map(rest, function(a) return a.n, a.i end), map(rest, function(a) return a.lim, a.pos end)
    local whole = join(c.shape_y, map(axes, function(a) return a.lim end))
    local cell = "y[" .. horner(join(c.y, map(axes, function(a) return a.lim, a.i end))) .. "]"
    local start = with_bias and nest(join(c.outer, cells), cell .. " = bias[o];")
      or ("for (int i = 0; i < %s; i++) { y[i] = 0.0f; }"):format(table.concat(whole, " * "))
    local x_at, y_index = "x[" .. horner(join(c.x, read, { last.n, last.i })) .. "]", horner(join(c.y, write, { last.lim, last.pos }))
    local body
    if o.fan_in then
      local sets, tests, from = {}, {}, {}
      for k, a in ipairs(axes) do
        sets[k] = ("%s = %s%s - %s"):format(a.u, a.i, signed(a.pad), times(a.d, a.t))
        tests[k] = ("%s >= 0 && %s %% %d == 0 && %s / %d < %s"):format(a.u, a.u, a.s, a.u, a.s, a.n)
        from[2 * k - 1], from[2 * k] = a.n, a.u .. " / " .. a.s
      end
      body = head .. nest(join(c.outer, cells), "float sum = " .. (with_bias and "bias[o]" or "0.0f") .. "; " .. nest(join(c.inner, taps_of(axes)), "int " .. table.concat(sets, ", ") .. "; if ("
        .. table.concat(tests, " && ") .. ") { " .. rule.slow("sum", "x[" .. horner(join(c.x, from)) .. "]", w_at) .. " }")
        .. " " .. cell .. " = sum;")
    else
      local step = rule.slow("y[e]", x_at, w_at)
      step = step:find("y%[e%].*y%[e%]") and "int e = " .. y_index .. "; " .. step or step:gsub("y%[e%]", "y[" .. y_index .. "]")
      body = head .. start .. " " .. nest(join(c.lead, c.inner, places, { "o", "co" }, taps_of(axes)), tested(r, axes, step))
    end
    local function rows(pointers)
      local set, lo, hi, where = limits(last, last.n)
      local from = pointers and "in[" .. last.i .. "]" or x_at
      local to = pointers and "out[" .. where .. "]" or "y[" .. horner(join(c.y, write, { last.lim, where })) .. "]"
      local text = (pointers and pointer("in", "x", horner(join(c.x, read)), last.n) .. pointer("out", "y", horner(join(c.y, write)), last.lim) or "")
        .. nest({ last.t, tostring(last.k) }, "float w0 = " .. w_at .. "; " .. set .. row(last, lo, hi, rule.fast(to, from, "w0"), pointers))
      for k = #rest, 1, -1 do text = nest({ rest[k].i, rest[k].n }, skip(rest[k]) .. text) end
      return head .. start .. " " .. nest(join(c.lead, c.inner, { "o", "co" }, taps_of(rest)), text)
    end
    return instance(c, axes, with_bias, { body = body, mild = {}, strong = { rows(true), (rank == 1 or rank == 2 and rule.is_sum) and rows(false) or nil } })
  end
end

-- ── 1 x 1: only the channels meet ──
local function pointwise(r)
  local c, rule, with_bias, rank = channels(r, "full", 2), draw_rule(r, pick_group(r)), r:chance(0.3), r:pick { 1, 2, 2, 2, 3 }
  local axes, names = {}, {}
  for k, a in ipairs(AXES[rank]) do
    local len = rank == 1 and r:int(900, 2500) or rank == 2 and r:int(27, 49) or r:int(9, 15)
    axes[k] = { n = a.n, i = a.i, lim = a.n, out = a.n, size = len, odd = 3 + 2 * k }
    names[k] = a.n
  end
  c.sizes[c.batch and 2 or 1], c.sizes[c.batch and 3 or 2] = "ci=" .. r:int(5, 19), "co=" .. r:int(5, 13)
  local start, w_at = with_bias and "bias[o]" or rule.start, "weight[o * ci + c]"
  local place = map(axes, function(a) return a.n, a.i end)
  local body = nest(join(c.outer, map(axes, function(a) return a.i, a.n end)), "float sum = " .. start .. "; " .. nest(c.inner, rule.slow("sum", "x[" .. horner(join(c.x, place)) .. "]", w_at))
    .. " y[" .. horner(join(c.y, place)) .. "] = sum;")
  local one = rank == 1
  local len, j = one and "l" or "gi", one and "i" or "j"
  local head = one and "" or "int gi = " .. table.concat(names, " * ") .. "; "
  local function flat(pointers)
    local to, from = pointers and "out[" .. j .. "]" or "y[" .. horner(join(c.y, { len, j })) .. "]", pointers and "in[" .. j .. "]" or "x[" .. horner(join(c.x, { len, j })) .. "]"
    return head .. nest(c.outer, (pointers and pointer("out", "y", horner(c.y), len) or "") .. nest({ j, len }, to .. " = " .. start .. ";") .. " "
      .. nest(c.inner, "float w0 = " .. w_at .. "; " .. (pointers and pointer("in", "x", horner(c.x), len) .. SIMD or "") .. nest({ j, len }, rule.fast(to, from, "w0"))))
  end
  local fields = instance(c, axes, with_bias, { body = body, mild = {}, strong = { flat(true), flat(false) } })
  fields.sig = fields.sig:gsub("weight%[[^%]]*%]", "weight[co, ci]")
  return fields
end

-- ── windows without weights ──
-- Every element against its neighbours: the element takes the weight's part in the rule.
local function neighbours(r)
  local rule, k, d = draw_rule(r, pick_group(r)), r:pick { 3, 3, 5 }, r:pick { 1, 1, 2 }
  local e = { k = k, ip = "i + " .. times(d, "p") .. signed(-d * (k // 2)), jq = "j + " .. times(d, "q") .. signed(-d * (k // 2)), start = rule.start, step = rule.slow("sum", "x[(c * h + u) * w + v]", "x[(c * h + i) * w + j]"),
    off = times(d, "q") .. signed(-d * (k // 2)), fast = rule.fast("out[j]", "in[j + at]", "mid[j]"), index = rule.fast("y[(c * h + i) * w + j]", "x[(c * h + u) * w + j + at]", "x[(c * h + i) * w + j]") }
  local sizes = ("ch=%d,h=%d,w=%d"):format(r:int(4, 9), r:int(22, 37), r:int(29, 53))
  return { sig = "x[ch, h, w] -> y[ch, h, w]", sizes = sizes, odd = { h = 9, w = 11 }, names = NAMES, braces = BRACES, mild = {},
    body = fill("for (int c = 0; c < ch; c++) { for (int i = 0; i < h; i++) { for (int j = 0; j < w; j++) { float sum = $start; for (int p = 0; p < $k; p++) { for (int q = 0; q < $k; q++) { int u = $ip, v = $jq; if (u >= 0 && u < h && v >= 0 && v < w) { $step } } } y[(c * h + i) * w + j] = sum; } } }", e),
    strong = { fill("for (int c = 0; c < ch; c++) { for (int i = 0; i < h; i++) { const float *mid = x + (c * h + i) * w; float *out = y + (c * h + i) * w; for (int j = 0; j < w; j++) { out[j] = $start; } for (int p = 0; p < $k; p++) { int u = $ip; if (u < 0 || u >= h) { continue; } const float *in = x + (c * h + u) * w; for (int q = 0; q < $k; q++) { int at = $off, lo = at < 0 ? -at : 0, hi = at < 0 ? w : w - at;\n#pragma omp simd\nfor (int j = lo; j < hi; j++) { $fast } } } } }", e),
      fill("for (int c = 0; c < ch; c++) { for (int i = 0; i < h; i++) { for (int j = 0; j < w; j++) { y[(c * h + i) * w + j] = $start; } for (int p = 0; p < $k; p++) { int u = $ip; if (u < 0 || u >= h) { continue; } for (int q = 0; q < $k; q++) { int at = $off, lo = at < 0 ? -at : 0, hi = at < 0 ? w : w - at; for (int j = lo; j < hi; j++) { $index } } } } }", e) } }
end

def("window_line", 22, gather("full", 1, { work = 250000, padded = 0.3 }))
def("window_plane", 34, gather("full", 2, { work = 250000, padded = 0.25 }))
def("window_volume", 18, gather("full", 3, { work = 250000, padded = 0 }))
def("window_each_line", 6, gather("depthwise", 1, { work = 150000, padded = 0.7 }))
def("window_each", 16, gather("depthwise", 2, { work = 150000, padded = 0.8 }))
def("window_groups", 6, gather("grouped", 2, { work = 250000, padded = 0.1 }))
def("window_point", 18, pointwise)
def("spread_line", 22, scatter(1, { work = 200000, padded = 0.3 }))
def("spread_plane", 26, scatter(2, { work = 200000, padded = 0.2 }))
def("spread_volume", 18, scatter(3, { work = 200000, padded = 0 }))
def("fan_in_line", 6, scatter(1, { work = 150000, padded = 0.3, fan_in = true }))
def("fan_in_plane", 6, scatter(2, { work = 150000, padded = 0.2, fan_in = true }))
def("neighbours", 10, neighbours)
return defs
