/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_copy.c: the copying of values between states. Reading raises nothing (raw access to tables that are not changed
 * meanwhile, room on the stack asked for first); writing may, and does so in a protected call of the state written to.
 */
#include "bind/lua_copy.h"
#include "bind/lua_core.h"

enum { MAX_DEPTH = 100 };

struct copying {
    lua_State *from;
    int first, n;
};

static void copy_value(lua_State *to, lua_State *from, int idx, int depth);

static void copy_table(lua_State *to, lua_State *from, int idx, int depth)
{
    if (depth >= MAX_DEPTH || !lua_checkstack(from, 8))
        luaL_error(to, "a table is nested too deeply, or contains itself");
    bool is_array = false;
    if (lua_getmetatable(from, idx)) {
        luaL_getmetatable(from, vt_lua_array_type);
        is_array = lua_rawequal(from, -1, -2);
        lua_pop(from, 2);
        if (!is_array)
            luaL_error(to, "an object with a metatable cannot be handed to another Lua state");
    }
    lua_createtable(to, (int)lua_rawlen(from, idx), 0);
    if (is_array)
        luaL_setmetatable(to, vt_lua_array_type);
    for (lua_pushnil(from); lua_next(from, idx);) {
        int value = lua_gettop(from);
        copy_value(to, from, value - 1, depth + 1);
        copy_value(to, from, value, depth + 1);
        lua_rawset(to, -3);
        lua_pop(from, 1);
    }
}

static void copy_value(lua_State *to, lua_State *from, int idx, int depth)
{
    size_t n;
    luaL_checkstack(to, 8, "values of a cell");
    switch (lua_type(from, idx)) {
    case LUA_TNIL:
    case LUA_TNONE:
        lua_pushnil(to);
        return;
    case LUA_TBOOLEAN:
        lua_pushboolean(to, lua_toboolean(from, idx));
        return;
    case LUA_TNUMBER:
        if (lua_isinteger(from, idx))
            lua_pushinteger(to, lua_tointeger(from, idx));
        else
            lua_pushnumber(to, lua_tonumber(from, idx));
        return;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(from, idx, &n);
        lua_pushlstring(to, s, n);
        return;
    }
    case LUA_TLIGHTUSERDATA:
        lua_pushlightuserdata(to, lua_touserdata(from, idx));
        return;
    case LUA_TTABLE:
        copy_table(to, from, idx, depth);
        return;
    default:
        if (lua_checkstack(from, 8) && (vt_lua_lend_policy(from, idx, to) || vt_lua_lend_evaluator(from, idx, to)))
            return;
        luaL_error(to, "a %s cannot be handed to another Lua state", lua_typename(from, lua_type(from, idx)));
    }
}

/* Protected, in the state that is written to. */
static int copy_all(lua_State *to)
{
    const struct copying *c = lua_touserdata(to, 1);
    lua_settop(to, 0);
    for (int i = 0; i < c->n; i++)
        copy_value(to, c->from, c->first + i, 0);
    return c->n;
}

bool vt_lua_copy(lua_State *from, int first, int n, lua_State *to)
{
    struct copying c = {from, lua_absindex(from, first), n};
    int top = lua_gettop(from);
    if (!lua_checkstack(to, n + 8)) {
        lua_settop(to, 0); /* what is there is given up for the sentence */
        lua_pushliteral(to, "no memory for the values of a cell");
        return false;
    }
    lua_pushcfunction(to, copy_all);
    lua_pushlightuserdata(to, &c);
    bool is_copied = lua_pcall(to, 1, n, 0) == LUA_OK;
    lua_settop(from, top);
    return is_copied;
}
