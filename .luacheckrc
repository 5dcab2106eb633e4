std = "lua54"
max_line_length = 120
exclude_files = { "lua/meta/*" }
files["lua/tasks"] = { max_line_length = false }
files["tests/lua"] = { globals = { "describe", "it", "expect" } }
