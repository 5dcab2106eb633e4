/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_store.c: the run directory, the content store, tables and splits for the Lua half. Values cross as JSON: a line
 * of rollouts.jsonl is a Lua table written by the canonical writer, and reads back as an equal one.
 */
#include "base/json.h"
#include "base/sha256.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "store/content.h"
#include "store/csv.h"
#include "store/run.h"
#include "store/split.h"
#include <stdlib.h>
#include <string.h>

static const char run_type[] = "vt.run", content_type[] = "vt.content";
enum { VALUE_MAX = 64 << 20 };

static vt_run *check_run(lua_State *L, int idx)
{
    vt_run **r = luaL_checkudata(L, idx, run_type);
    if (!*r)
        luaL_error(L, "the run was closed");
    return *r;
}

static int run_gc(lua_State *L)
{
    vt_run **r = luaL_checkudata(L, 1, run_type);
    vt_run_close(*r);
    *r = NULL;
    return 0;
}

static void release_json(void *p)
{
    vt_json_free(p);
}

/* The field `key` of the table at idx (or the value itself when key is NULL) as a JSON tree on a guard; NULL when nil.
 */
static vt_json *to_json(lua_State *L, int idx, const char *key)
{
    vt_err err;
    vt_json *j = NULL;
    if (key)
        lua_getfield(L, idx, key);
    else
        lua_pushvalue(L, idx);
    if (lua_isnil(L, -1))
        return NULL;
    struct vt_guard *g = vt_lua_guard(L, release_json);
    lua_pushvalue(L, -2);
    struct vt_buf *text = vt_lua_encode(L, lua_gettop(L));
    if (vt_json_parse(text->p, text->len, "a value from Lua", &j, &err) != VT_OK)
        vt_lua_raise(L, "run", &err);
    g->p = j;
    return j;
}

/* The strings of a list in the field `key`, lent by the list; *n of them. */
static const char **read_strings(lua_State *L, int idx, const char *key, size_t *n)
{
    *n = 0;
    if (lua_getfield(L, idx, key) != LUA_TTABLE)
        return NULL;
    size_t count = lua_rawlen(L, -1);
    const char **out = lua_newuserdatauv(L, (count + 1) * sizeof *out, 0);
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -2, (lua_Integer)i + 1);
        out[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    *n = count;
    return out;
}

/* core.run_id(experiment, params, replicate) -> the id that core.run_open gives to such a run. */
static int l_id(lua_State *L)
{
    vt_err err;
    char id[VT_SHA256_HEX];
    const char *experiment = luaL_checkstring(L, 1);
    uint64_t replicate = (uint64_t)luaL_checkinteger(L, 3);
    lua_pushvalue(L, 2);
    if (vt_run_id_of(experiment, to_json(L, lua_gettop(L), NULL), replicate, id, &err) != VT_OK)
        return vt_lua_raise(L, "opening the run directory", &err);
    lua_pushstring(L, id);
    return 1;
}

struct entries {
    struct vt_run_entry *list;
    size_t n;
};

static void release_entries(void *p)
{
    struct entries *e = p;
    vt_run_list_free(e->list, e->n);
    free(e);
}

/* core.run_list(root, experiment) -> { { dir, about = what run.json says }, … }, newest first. */
static int l_list(lua_State *L)
{
    vt_err err;
    const char *root = luaL_checkstring(L, 1), *experiment = luaL_checkstring(L, 2);
    struct vt_guard *g = vt_lua_guard(L, release_entries);
    struct entries *e = calloc(1, sizeof *e);
    if (!e)
        return luaL_error(L, "no memory for the runs of %s", experiment);
    g->p = e;
    if (vt_run_list(root, experiment, &e->list, &e->n, &err) != VT_OK)
        return vt_lua_raise(L, "opening the run directory", &err);
    lua_createtable(L, (int)e->n, 0);
    for (size_t i = 0; i < e->n; i++) {
        lua_createtable(L, 0, 2);
        lua_pushstring(L, e->list[i].dir);
        lua_setfield(L, -2, "dir");
        vt_lua_push_json(L, e->list[i].about);
        lua_setfield(L, -2, "about");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* core.run_open{ root, experiment, name, params, replicate, fresh, part, stale, origins, env, about }
 * -> handle, { dir, id, is_resumed, is_finished, attempt } */
static int l_open(lua_State *L)
{
    vt_err err;
    struct vt_run_state state = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    struct vt_run_spec spec = {
        .root = vt_lua_str(L, 1, "root", "runs"),
        .experiment = vt_lua_str(L, 1, "experiment", "experiment"),
        .name = vt_lua_str(L, 1, "name", NULL),
        .replicate = (uint64_t)vt_lua_int(L, 1, "replicate", 0),
        .is_fresh = vt_lua_bool(L, 1, "fresh", false),
        .is_part = vt_lua_bool(L, 1, "part", false),
    };
    spec.stale = read_strings(L, 1, "stale", &spec.n_stale);
    spec.params = to_json(L, 1, "params");
    spec.origins = to_json(L, 1, "origins");
    spec.env = to_json(L, 1, "env");
    spec.about = to_json(L, 1, "about");
    vt_run **r = lua_newuserdatauv(L, sizeof *r, 0);
    *r = NULL;
    luaL_setmetatable(L, run_type);
    if (vt_run_open(&spec, r, &state, &err) != VT_OK)
        return vt_lua_raise(L, "opening the run directory", &err);
    lua_createtable(L, 0, 5);
    lua_pushstring(L, vt_run_dir(*r));
    lua_setfield(L, -2, "dir");
    lua_pushstring(L, vt_run_id(*r));
    lua_setfield(L, -2, "id");
    lua_pushboolean(L, state.is_resumed);
    lua_setfield(L, -2, "is_resumed");
    lua_pushboolean(L, state.is_finished);
    lua_setfield(L, -2, "is_finished");
    lua_pushinteger(L, state.attempt);
    lua_setfield(L, -2, "attempt");
    return 2;
}

static int l_log_path(lua_State *L)
{
    lua_pushstring(L, vt_run_log_path(check_run(L, 1)));
    return 1;
}

static int l_close(lua_State *L)
{
    return run_gc(L);
}

/* Pushes a table with the members of the one at idx but for those that every line is given anew. */
static void push_unstamped(lua_State *L, int idx)
{
    static const char *const stamps[] = {"v", "t", "t_mono"};
    lua_newtable(L);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        lua_pushvalue(L, -2);
        lua_pushvalue(L, -2);
        lua_rawset(L, -5);
    }
    for (size_t i = 0; i < sizeof stamps / sizeof stamps[0]; i++) {
        lua_pushnil(L);
        lua_setfield(L, -2, stamps[i]);
    }
}

/* core.run_line(handle, "rollouts" | "evals" | "inputs" | "metrics" | "meter", object): with the time of now, also when
 * the object is a line of another run. */
static int l_line(lua_State *L)
{
    static const char *const names[] = {"rollouts", "evals", "inputs", "metrics", "meter", NULL};
    vt_err err;
    vt_run *r = check_run(L, 1);
    enum vt_run_lines which = (enum vt_run_lines)luaL_checkoption(L, 2, NULL, names);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_settop(L, 3);
    push_unstamped(L, 3);
    struct vt_buf *text = vt_lua_encode(L, 4);
    struct vt_jsonl *w = vt_run_lines(r, which);
    if (text->len > 2 && text->p[0] == '{') {
        struct vt_buf *line = vt_jsonl_begin(w);
        vt_buf_putc(line, ',');
        vt_buf_add(line, text->p + 1, text->len - 2);
        if (vt_jsonl_end(w, &err) != VT_OK)
            return vt_lua_raise(L, "recording a result", &err);
    }
    return 0;
}

static int l_journal_put(lua_State *L)
{
    vt_err err;
    vt_run *r = check_run(L, 1);
    const char *key = luaL_checkstring(L, 2);
    lua_settop(L, 3);
    const vt_json *value = to_json(L, 3, NULL);
    if (value && vt_journal_put(vt_run_journal(r), key, value, &err) != VT_OK)
        return vt_lua_raise(L, "recording a result", &err);
    return 0;
}

static int l_journal_get(lua_State *L)
{
    const vt_json *value = vt_journal_get(vt_run_journal(check_run(L, 1)), luaL_checkstring(L, 2));
    if (!value)
        return 0;
    vt_lua_push_json(L, value);
    return 1;
}

static void release_reader(void *p)
{
    vt_jsonl_reader_close(p);
    free(p);
}

/* core.read_lines(path, fn, is_light): fn(line, at) for every whole line, `at` being where it begins; an absent file
 * has none; is_light: arrays of numbers are empty. Raises at a corrupt one. */
static int l_read_lines(lua_State *L)
{
    vt_err err;
    const char *path = luaL_checkstring(L, 1);
    luaL_checktype(L, 2, LUA_TFUNCTION);
    bool is_light = lua_toboolean(L, 3);
    struct vt_guard *g = vt_lua_guard(L, release_reader);
    struct vt_jsonl_reader *r = calloc(1, sizeof *r);
    if (!r)
        return luaL_error(L, "no memory for reading %s", path);
    g->p = r;
    vt_status status = vt_jsonl_reader_open(r, path, &err);
    if (status == VT_ENOENT)
        return 0;
    r->is_light = is_light;
    struct vt_guard *line = vt_lua_guard(L, release_json);
    while (status == VT_OK) {
        vt_json *j = NULL;
        size_t at = r->at;
        status = vt_jsonl_next(r, &j, &err);
        if (status != VT_OK || !j)
            break;
        line->p = j;
        lua_pushvalue(L, 2);
        vt_lua_push_json(L, j);
        vt_json_free(j);
        line->p = NULL;
        lua_pushinteger(L, (lua_Integer)at);
        lua_call(L, 2, 0);
    }
    return status == VT_OK ? 0 : vt_lua_raise(L, "reading a run", &err);
}

static int l_source(lua_State *L)
{
    vt_err err;
    size_t n;
    bool is_edited = false;
    vt_run *r = check_run(L, 1);
    const char *name = luaL_checkstring(L, 2), *text = luaL_checklstring(L, 3, &n);
    if (vt_run_source_put(r, name, text, n, &is_edited, &err) != VT_OK)
        return vt_lua_raise(L, "keeping a source", &err);
    lua_pushboolean(L, is_edited);
    return 1;
}

static int l_blob(lua_State *L)
{
    vt_err err;
    size_t n;
    char hex[VT_SHA256_HEX];
    vt_run *r = check_run(L, 1);
    const char *text = luaL_checklstring(L, 2, &n);
    if (vt_run_blob_put(r, text, n, hex, &err) != VT_OK)
        return vt_lua_raise(L, "keeping a text", &err);
    lua_pushstring(L, hex);
    return 1;
}

static int l_path(lua_State *L)
{
    vt_err err;
    char *path = NULL;
    vt_run *r = check_run(L, 1);
    const char *relative = luaL_checkstring(L, 2);
    struct vt_guard *g = vt_lua_guard(L, free);
    if (vt_run_path(r, relative, &path, &err) != VT_OK)
        return vt_lua_raise(L, "run:save", &err);
    g->p = path;
    lua_pushstring(L, path);
    return 1;
}

static int l_sync(lua_State *L)
{
    vt_err err;
    if (vt_run_sync(check_run(L, 1), &err) != VT_OK)
        return vt_lua_raise(L, "syncing the run", &err);
    return 0;
}

static int l_finish(lua_State *L)
{
    vt_err err;
    vt_run *r = check_run(L, 1);
    lua_settop(L, 2);
    if (vt_run_finish(r, to_json(L, 2, NULL), &err) != VT_OK)
        return vt_lua_raise(L, "writing summary.json", &err);
    return 0;
}

vt_content *vt_lua_content(lua_State *L, int idx)
{
    return *(vt_content **)luaL_checkudata(L, idx, content_type);
}

static int content_gc(lua_State *L)
{
    vt_content **c = luaL_checkudata(L, 1, content_type);
    vt_content_close(*c);
    *c = NULL;
    return 0;
}

/* core.content_open(folder, or nil for the user's) -> handle, folder */
static int l_content_open(lua_State *L)
{
    vt_err err;
    const char *folder = luaL_optstring(L, 1, NULL);
    vt_content **c = lua_newuserdatauv(L, sizeof *c, 0);
    *c = NULL;
    luaL_setmetatable(L, content_type);
    if (vt_content_open(folder, c, &err) != VT_OK)
        return vt_lua_raise(L, "opening the content store", &err);
    lua_pushstring(L, vt_content_dir(*c));
    return 2;
}

/* core.content_get(handle, key) -> text of the sample, or nil */
static int l_content_get(lua_State *L)
{
    vt_content *c = vt_lua_content(L, 1);
    const char *key = luaL_checkstring(L, 2);
    struct vt_buf *b = vt_lua_buf(L, VALUE_MAX);
    if (vt_content_get(c, VT_CONTENT_SAMPLE, key, VALUE_MAX, b, NULL) != VT_OK)
        return 0;
    lua_pushlstring(L, b->p, b->len);
    return 1;
}

/* core.content_put(handle, key, text): a cache, so a full disk is no failure here; true when kept. */
static int l_content_put(lua_State *L)
{
    size_t n;
    vt_content *c = vt_lua_content(L, 1);
    const char *key = luaL_checkstring(L, 2), *text = luaL_checklstring(L, 3, &n);
    lua_pushboolean(L, vt_content_put(c, VT_CONTENT_SAMPLE, key, text, n, NULL) == VT_OK);
    return 1;
}

static void read_cells(lua_State *L, int rows, struct vt_table *t, struct vt_cell *cells)
{
    for (size_t i = 0; i < t->n_rows; i++) {
        lua_rawgeti(L, rows, (lua_Integer)i + 1);
        for (size_t c = 0; c < t->n_columns; c++) {
            struct vt_cell *cell = &cells[i * t->n_columns + c];
            lua_rawgeti(L, -1, (lua_Integer)c + 1);
            if (lua_type(L, -1) == LUA_TNUMBER) {
                cell->kind = VT_CELL_NUMBER;
                cell->number = lua_tonumber(L, -1);
            } else if (lua_type(L, -1) == LUA_TSTRING) {
                cell->kind = VT_CELL_TEXT;
                cell->text = lua_tostring(L, -1);
            }
            lua_pop(L, 1);
        }
        lua_pop(L, 1);
    }
}

/* core.table_text(columns, rows, "csv" | "markdown", digits): cells are numbers, strings or false. */
static int l_table_text(lua_State *L)
{
    static const char *const formats[] = {"csv", "markdown", NULL};
    vt_err err;
    struct vt_table t = {0};
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checktype(L, 2, LUA_TTABLE);
    int format = luaL_checkoption(L, 3, NULL, formats);
    int digits = (int)luaL_optinteger(L, 4, 0);
    t.n_columns = lua_rawlen(L, 1);
    t.n_rows = lua_rawlen(L, 2);
    const char **columns = lua_newuserdatauv(L, (t.n_columns + 1) * sizeof *columns, 0);
    for (size_t c = 0; c < t.n_columns; c++) {
        lua_rawgeti(L, 1, (lua_Integer)c + 1);
        columns[c] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    size_t n_bytes = (t.n_columns * t.n_rows + 1) * sizeof(struct vt_cell);
    struct vt_cell *cells = lua_newuserdatauv(L, n_bytes, 0);
    memset(cells, 0, n_bytes);
    read_cells(L, 2, &t, cells);
    t.columns = columns;
    t.cells = cells;
    struct vt_buf *out = vt_lua_buf(L, VALUE_MAX);
    vt_status status = format == 0 ? vt_csv_write(&t, out, &err) : vt_markdown_write(&t, digits, out, &err);
    if (status != VT_OK)
        return vt_lua_raise(L, "run:table", &err);
    lua_pushlstring(L, out->p, out->len);
    return 1;
}

/* core.split_load(path) -> the verified split */
static int l_split(lua_State *L)
{
    vt_err err;
    vt_json *j = NULL;
    const char *path = luaL_checkstring(L, 1);
    struct vt_guard *g = vt_lua_guard(L, release_json);
    if (vt_split_load(path, &j, &err) != VT_OK)
        return vt_lua_raise(L, "vt.tasks", &err);
    g->p = j;
    vt_lua_push_json(L, j);
    return 1;
}

void vt_lua_add_store(lua_State *L)
{
    static const luaL_Reg functions[] = {{"run_open", l_open},
                                         {"run_id", l_id},
                                         {"run_list", l_list},
                                         {"run_log_path", l_log_path},
                                         {"run_close", l_close},
                                         {"run_line", l_line},
                                         {"journal_put", l_journal_put},
                                         {"journal_get", l_journal_get},
                                         {"read_lines", l_read_lines},
                                         {"run_source", l_source},
                                         {"run_blob", l_blob},
                                         {"run_path", l_path},
                                         {"run_sync", l_sync},
                                         {"run_finish", l_finish},
                                         {"content_open", l_content_open},
                                         {"content_get", l_content_get},
                                         {"content_put", l_content_put},
                                         {"table_text", l_table_text},
                                         {"split_load", l_split},
                                         {NULL, NULL}};
    luaL_newmetatable(L, run_type);
    lua_pushcfunction(L, run_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, content_type);
    lua_pushcfunction(L, content_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 2);
    luaL_setfuncs(L, functions, 0);
}
