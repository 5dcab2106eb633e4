/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_task.c: a task document (JSON text made by lua/vegttt/tasks.lua) as a checked handle.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"

static const char task_type[] = "vt.task";

vt_task *vt_lua_task(lua_State *L, int idx)
{
    return *(vt_task **)luaL_checkudata(L, idx, task_type);
}

static int task_gc(lua_State *L)
{
    vt_task **t = luaL_checkudata(L, 1, task_type);
    vt_task_unref(*t);
    *t = NULL;
    return 0;
}

static void set(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

/* core.task(json) -> handle, { id, level, name, title, family, digest, body, signature }. */
static int l_task(lua_State *L)
{
    size_t n;
    vt_err err;
    const char *json = luaL_checklstring(L, 1, &n);
    vt_task **t = lua_newuserdatauv(L, sizeof *t, 0);
    *t = NULL;
    luaL_setmetatable(L, task_type);
    if (vt_task_parse(json, n, t, &err) != VT_OK)
        return vt_lua_raise(L, "vt.tasks", &err);
    lua_createtable(L, 0, 8);
    lua_pushinteger(L, vt_task_id(*t));
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, vt_task_level(*t));
    lua_setfield(L, -2, "level");
    set(L, "name", vt_task_name(*t));
    set(L, "title", vt_task_title(*t));
    set(L, "family", vt_task_family(*t));
    set(L, "digest", vt_task_digest(*t));
    set(L, "body", vt_task_body(*t));
    set(L, "signature", vt_task_signature(*t));
    return 2;
}

void vt_lua_add_task(lua_State *L)
{
    static const luaL_Reg functions[] = {{"task", l_task}, {NULL, NULL}};
    luaL_newmetatable(L, task_type);
    lua_pushcfunction(L, task_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
