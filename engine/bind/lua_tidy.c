/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_tidy.c: disk for the Lua half: what a run takes, giving it back, and the content store's objects that nobody
 * needs.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "store/content.h"
#include "store/run_find.h"
#include "store/tidy.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char hold_type[] = "vt.run_hold";

/* The paths in the table at idx, which keeps them, as an array that is pushed. */
static const char **read_paths(lua_State *L, int idx, size_t *n)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    *n = lua_rawlen(L, idx);
    const char **paths = lua_newuserdatauv(L, (*n + 1) * sizeof *paths, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        paths[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    return paths;
}

/* core.tree_size(path) -> bytes of the files below, each once; those of them that removing it gives back */
static int l_tree_size(lua_State *L)
{
    vt_err err;
    struct vt_tree_size size;
    if (vt_tree_size(luaL_checkstring(L, 1), &size, &err) != VT_OK)
        return vt_lua_raise(L, "measuring a folder", &err);
    lua_pushinteger(L, (lua_Integer)size.n_bytes);
    lua_pushinteger(L, (lua_Integer)size.n_freed);
    return 2;
}

/* core.tree_sizes(paths) -> two arrays, as core.tree_size of paths that go together: what stands in several counts once
 */
static int l_tree_sizes(lua_State *L)
{
    vt_err err;
    size_t n;
    const char **paths = read_paths(L, 1, &n);
    struct vt_tree_size *sizes = lua_newuserdatauv(L, (n + 1) * sizeof *sizes, 0);
    if (vt_tree_sizes(paths, n, sizes, &err) != VT_OK)
        return vt_lua_raise(L, "measuring folders", &err);
    lua_createtable(L, (int)n, 0);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)sizes[i].n_bytes);
        lua_rawseti(L, -3, (lua_Integer)i + 1);
        lua_pushinteger(L, (lua_Integer)sizes[i].n_freed);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 2;
}

/* core.modified(path) -> when the file was written last, in nanoseconds of the clock that runs begin by, or nil. */
static int l_modified(lua_State *L)
{
    struct stat st;
    if (stat(luaL_checkstring(L, 1), &st) == 0)
        lua_pushinteger(L, (lua_Integer)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec);
    else
        lua_pushnil(L);
    return 1;
}

/* core.run_remove(dir, is_dry): raises when it is no run (ENOENT) or in use (EBUSY). */
static int l_run_remove(lua_State *L)
{
    vt_err err;
    if (vt_run_remove(luaL_checkstring(L, 1), lua_toboolean(L, 2), &err) != VT_OK)
        return vt_lua_raise(L, "removing a run", &err);
    return 0;
}

static int hold_gc(lua_State *L)
{
    int *lock = luaL_checkudata(L, 1, hold_type);
    if (*lock >= 0)
        close(*lock);
    *lock = -1;
    return 0;
}

/* core.run_hold(dir) -> what keeps everybody else from writing there until core.run_release; raises EBUSY. */
static int l_run_hold(lua_State *L)
{
    vt_err err;
    const char *dir = luaL_checkstring(L, 1);
    int *lock = lua_newuserdatauv(L, sizeof *lock, 0);
    *lock = -1;
    luaL_setmetatable(L, hold_type);
    if (vt_run_lock(dir, lock, &err) != VT_OK)
        return vt_lua_raise(L, "locking a run", &err);
    return 1;
}

/* core.runs_remove(dirs, is_dry) -> for each whether it went, and the first error or nil */
static int l_runs_remove(lua_State *L)
{
    vt_err err;
    size_t n;
    const char **dirs = read_paths(L, 1, &n);
    bool is_dry = lua_toboolean(L, 2), *is_removed = lua_newuserdatauv(L, n + 1, 0);
    vt_status status = vt_runs_remove(dirs, n, is_dry, is_removed, &err);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushboolean(L, is_removed[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    if (status == VT_OK)
        return 1;
    vt_lua_push_error(L, "removing a run", &err);
    return 2;
}

static void release_listing(void *p)
{
    vt_content_listing_free(p);
    free(p);
}

/* Takes the objects out of the listing that are in the set of keys at idx, or were used after before_ns. */
static void keep_needed(lua_State *L, int idx, int64_t before_ns, struct vt_content_listing *l)
{
    size_t n = 0;
    l->n_bytes = 0;
    for (size_t i = 0; i < l->n; i++) {
        struct vt_content_object o = l->objects[i];
        lua_pushstring(L, strrchr(o.path, '/') + 1);
        bool is_needed = lua_rawget(L, idx) != LUA_TNIL || o.used_ns > before_ns;
        lua_pop(L, 1);
        l->objects[i] = l->objects[n];
        l->objects[n] = o;
        if (is_needed)
            continue;
        l->n_bytes += o.n_bytes;
        n++;
    }
    for (size_t i = n; i < l->n; i++)
        free(l->objects[i].path);
    l->n = n;
}

/* core.content_sweep(handle, keys that are needed (a set), unused since (seconds of the wall clock), is_dry)
 * -> number of objects that went or would, their bytes */
static int l_content_sweep(lua_State *L)
{
    vt_err err;
    vt_content *c = vt_lua_content(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    int64_t before_ns = (int64_t)(luaL_checknumber(L, 3) * 1e9);
    bool is_dry = lua_toboolean(L, 4);
    struct vt_guard *g = vt_lua_guard(L, release_listing);
    struct vt_content_listing *l = calloc(1, sizeof *l);
    if (!l)
        return luaL_error(L, "no memory for the objects of the content store");
    g->p = l;
    if (vt_content_list(c, l, &err) != VT_OK)
        return vt_lua_raise(L, "listing the content store", &err);
    keep_needed(L, 2, before_ns, l);
    uint64_t n_bytes = l->n_bytes;
    size_t n = is_dry ? l->n : vt_content_trim(l, 0, &n_bytes);
    lua_pushinteger(L, (lua_Integer)n);
    lua_pushinteger(L, (lua_Integer)n_bytes);
    return 2;
}

void vt_lua_add_tidy(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"tree_size", l_tree_size},   {"tree_sizes", l_tree_sizes},       {"modified", l_modified},
        {"run_remove", l_run_remove}, {"runs_remove", l_runs_remove},     {"run_hold", l_run_hold},
        {"run_release", hold_gc},     {"content_sweep", l_content_sweep}, {NULL, NULL}};
    luaL_newmetatable(L, hold_type);
    lua_pushcfunction(L, hold_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
