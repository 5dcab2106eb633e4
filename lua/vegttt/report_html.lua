-- SPDX-License-Identifier: Apache-2.0
--
-- Pieces of a page: text that came from a model or a user is data and is escaped; numbers are shown short and carry the
-- whole value beside them (data-v), so that a reader, or a test, finds what was recorded. One file, no script but the
-- sheet's, nothing fetched: the page reads the same on a phone, in print, in the dark and in ten years.
local text = require "vegttt.text"

local html = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

---Any text within an element or an attribute. Bytes that no HTML text may hold become a replacement character.
function html.escape(s)
  s = tostring(s):gsub("[&<>\"']", entities):gsub("[%z\1-\8\11\12\14-\31\127]", "\u{fffd}")
  if utf8.len(s) then return s end
  return (s:gsub("[\x80-\xff]", "\u{fffd}"))
end

-- What a number is shown as, with the whole of it.
local function number(v)
  local exact = math.type(v) == "integer" and ("%d"):format(v) or ("%.17g"):format(v)
  return ('<td class="n" data-v="%s">%s</td>'):format(exact, text.number(v, 4))
end

---A cell: a number, a text, or nothing.
function html.cell(v)
  if v == nil or v == false then return "<td></td>" end
  if math.type(v) then return number(v) end
  return "<td>" .. html.escape(v) .. "</td>"
end

-- Whether a column holds a number: its head stands where those do.
local function is_number(rows, column)
  for _, row in ipairs(rows) do
    if math.type(row[column]) then return true end
  end
  return false
end

---A table of columns and rows (lists of cells); names a place in the page when id is given. It scrolls by itself when the
---screen is narrow.
function html.table(columns, rows, id)
  local out = { ('<div class="wide"><table%s><thead><tr>'):format(id and (' id="%s"'):format(html.escape(id)) or "") }
  for c, name in ipairs(columns) do out[#out + 1] = (is_number(rows, c) and '<th class="n">' or "<th>") .. html.escape(name) .. "</th>" end
  out[#out + 1] = "</tr></thead><tbody>"
  for _, row in ipairs(rows) do
    out[#out + 1] = "<tr>"
    for c = 1, #columns do out[#out + 1] = html.cell(row[c]) end
    out[#out + 1] = "</tr>"
  end
  out[#out + 1] = "</tbody></table></div>\n"
  return table.concat(out)
end

---The first `most` bytes of a text as preformatted text; says what was left out.
function html.code(s, most, class)
  local cut = ""
  if most and #s > most then
    cut = ('<p class="note">%d more bytes are left out</p>'):format(#s - most)
    s = s:sub(1, utf8.len(s) and utf8.offset(s, 0, most + 1) - 1 or most)
  end
  return ('<pre%s>%s</pre>%s\n'):format(class and (' class="%s"'):format(class) or "", html.escape(s), cut)
end

---A unified diff with its lines coloured.
function html.diff(s)
  local out = { '<pre class="diff">' }
  for line in s:gmatch "([^\n]*)\n" do
    local kind = ({ ["+"] = "add", ["-"] = "del", ["@"] = "at" })[line:sub(1, 1)]
    out[#out + 1] = kind and ('<span class="%s">%s</span>\n'):format(kind, html.escape(line)) or html.escape(line) .. "\n"
  end
  out[#out + 1] = "</pre>\n"
  return table.concat(out)
end

function html.section(level, title, body)
  return ("<section><h%d>%s</h%d>\n%s</section>\n"):format(level, html.escape(title), level, body)
end

function html.details(title, body) return ("<details><summary>%s</summary>\n%s</details>\n"):format(title, body) end

---A chart that plot/svg.c drew: it shrinks with the screen, on paper of its own in the dark.
function html.figure(svg, caption)
  svg = svg:gsub("^%s*<%?xml.-%?>%s*", ""):gsub('<svg ([^>]-)width="[%d.]+" height="[%d.]+"', "<svg %1", 1)
  return ('<figure>%s<figcaption>%s</figcaption></figure>\n'):format(svg, html.escape(caption))
end

local style = [[
:root { color-scheme: light dark; --fg: #1b1f24; --bg: #ffffff; --soft: #f3f5f7; --line: #d5dae0; --dim: #5a6470;
  --add: #e3f6e8; --del: #fde8e4; --link: #0060a8 }
@media (prefers-color-scheme: dark) { :root { --fg: #e3e7ec; --bg: #14181d; --soft: #1e242b; --line: #38414b;
  --dim: #9aa5b1; --add: #173522; --del: #43211c; --link: #6db6f2 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; color: var(--fg); background: var(--bg);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; margin: .5rem 0 } h2 { font-size: 1.25rem; margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }
h3 { font-size: 1.05rem; margin: 1.25rem 0 .4rem }
a { color: var(--link) } nav a { margin-right: 1rem } .note, figcaption, .dim { color: var(--dim); font-size: .9rem }
.wide { overflow-x: auto; max-width: 100%; margin: .5rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .6rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: normal }
thead th { border-bottom: 2px solid var(--line); white-space: nowrap } .n { text-align: right } td.n { white-space: nowrap }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: .5rem; margin: .5rem 0 }
dl > div { background: var(--soft); border-radius: .4rem; padding: .4rem .7rem } dt { color: var(--dim); font-size: .8rem } dd { margin: 0; font-size: 1.1rem }
pre { background: var(--soft); padding: .6rem; overflow-x: auto; font: 13px/1.45 ui-monospace, monospace; border-radius: .4rem; tab-size: 4; overflow-wrap: normal }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(22rem, 100%), 1fr)); gap: .75rem } .pair > div { min-width: 0 }
.diff .add { background: var(--add) } .diff .del { background: var(--del) } .diff .at { color: var(--dim) }
figure { margin: .75rem 0; max-width: 46rem } figure svg { width: 100%; height: auto; background: #fff; border-radius: .4rem }
details { margin: .4rem 0 } summary { cursor: pointer }
@media print { details > * { display: block } }
]]

---The page: mark is the first line, by which a page of ours is known again.
function html.page(mark, title, body)
  return ("<!DOCTYPE html>\n<!-- %s -->\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    .. "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    .. "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
    .. "<title>%s</title>\n<style>\n%s</style></head>\n<body>\n%s</body></html>\n"):format(mark, html.escape(title), style, body)
end

return html
