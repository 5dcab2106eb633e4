/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_core.c: what every other file of bind/ leans on, and leans on none of them: the engine behind a state, errors as
 * scripts see them, slots that free what they hold, options in tables.
 */
#include "bind/lua_core.h"
#include "base/exit.h"
#include "bind/lua_open.h"

static const char guard_type[] = "vt.guard", buf_type[] = "vt.buf";
static const char error_key = 0; /* its address is the registry key */

vt_bind *vt_lua_bind(lua_State *L)
{
    return *(vt_bind **)lua_getextraspace(L);
}

vt_bind *vt_bind_root(vt_bind *b)
{
    while (b->parent)
        b = b->parent;
    return b;
}

void vt_lua_push_error(lua_State *L, const char *op, const vt_err *err)
{
    bool retryable = err->code == VT_ENET || err->code == VT_ETIMEOUT || err->code == VT_EBUSY;
    lua_createtable(L, 0, 6);
    lua_pushstring(L, vt_error_kind(err->code));
    lua_setfield(L, -2, "kind");
    lua_pushstring(L, vt_status_name(err->code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, op);
    lua_setfield(L, -2, "op");
    lua_pushboolean(L, retryable);
    lua_setfield(L, -2, "retryable");
    lua_pushstring(L, err->msg);
    lua_setfield(L, -2, "message");
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &error_key) == LUA_TTABLE)
        lua_setmetatable(L, -2);
    else
        lua_pop(L, 1);
}

int vt_lua_raise(lua_State *L, const char *op, const vt_err *err)
{
    vt_lua_push_error(L, op, err);
    return lua_error(L);
}

/* core.set_error_metatable(mt): the metatable of every vt.Error made in C. */
static int l_set_error_metatable(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &error_key);
    return 0;
}

/* core.exit_code(kind, in_script) -> the exit code of an error of that kind; in_script: it came out of a user's. */
static int l_exit_code(lua_State *L)
{
    lua_pushinteger(L, vt_exit_code(luaL_checkstring(L, 1), lua_toboolean(L, 2)));
    return 1;
}

static int guard_gc(lua_State *L)
{
    struct vt_guard *g = luaL_checkudata(L, 1, guard_type);
    if (g->p)
        g->release(g->p);
    g->p = NULL;
    return 0;
}

struct vt_guard *vt_lua_guard(lua_State *L, void (*release)(void *p))
{
    struct vt_guard *g = lua_newuserdatauv(L, sizeof *g, 0);
    g->p = NULL;
    g->release = release;
    luaL_setmetatable(L, guard_type);
    return g;
}

static int buf_gc(lua_State *L)
{
    vt_buf_free(luaL_checkudata(L, 1, buf_type));
    return 0;
}

struct vt_buf *vt_lua_buf(lua_State *L, size_t max)
{
    struct vt_buf *b = lua_newuserdatauv(L, sizeof *b, 0);
    vt_buf_init(b, max);
    luaL_setmetatable(L, buf_type);
    return b;
}

/* Pushes the field; false (and nothing pushed) when it is absent. */
static bool get_field(lua_State *L, int idx, const char *key)
{
    if (!lua_istable(L, idx))
        return false;
    if (lua_getfield(L, idx, key) != LUA_TNIL)
        return true;
    lua_pop(L, 1);
    return false;
}

double vt_lua_num(lua_State *L, int idx, const char *key, double fallback)
{
    int ok = 0;
    if (!get_field(L, idx, key))
        return fallback;
    double v = lua_tonumberx(L, -1, &ok);
    if (!ok)
        luaL_error(L, "'%s' must be a number, not a %s", key, luaL_typename(L, -1));
    lua_pop(L, 1);
    return v;
}

lua_Integer vt_lua_int(lua_State *L, int idx, const char *key, lua_Integer fallback)
{
    int ok = 0;
    if (!get_field(L, idx, key))
        return fallback;
    lua_Integer v = lua_tointegerx(L, -1, &ok);
    if (!ok)
        luaL_error(L, "'%s' must be a whole number, not %s", key, luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
    return v;
}

bool vt_lua_bool(lua_State *L, int idx, const char *key, bool fallback)
{
    if (!get_field(L, idx, key))
        return fallback;
    bool v = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return v;
}

const char *vt_lua_str(lua_State *L, int idx, const char *key, const char *fallback)
{
    if (!get_field(L, idx, key))
        return fallback;
    if (lua_type(L, -1) != LUA_TSTRING)
        luaL_error(L, "'%s' must be a string, not a %s", key, luaL_typename(L, -1));
    const char *s = lua_tostring(L, -1);
    lua_pop(L, 1);
    return s;
}

void vt_lua_add_guards(lua_State *L)
{
    luaL_newmetatable(L, guard_type);
    lua_pushcfunction(L, guard_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, buf_type);
    lua_pushcfunction(L, buf_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 2);
}

void vt_lua_add_core(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"set_error_metatable", l_set_error_metatable}, {"exit_code", l_exit_code}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
