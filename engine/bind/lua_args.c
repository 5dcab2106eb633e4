/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_args.c: the reader of command lines (base/args.h) for the Lua half, and its suggestions. Declarations are tables
 * there and structs here; the userdata that holds the structs keeps the table whose strings they point to. What a
 * person typed wrong is no error of the Lua half, so it comes back as nil and a sentence.
 */
#include "base/args.h"
#include "base/limits.h"
#include "base/nearest.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <math.h>
#include <string.h>

static const char args_type[] = "vt.args";

struct args {
    size_t n;
    struct vt_arg declared[];
};

static const char *const kinds[] = {"string", "switch", "boolean", "integer", "number", "bytes", NULL};

static int say(lua_State *L, const vt_err *err)
{
    lua_pushnil(L);
    lua_pushstring(L, err->msg);
    return 2;
}

/* Option i from the table on top; its strings are anchored by that table. */
static void read_one(lua_State *L, struct vt_arg *d)
{
    int idx = lua_gettop(L);
    const char *kind = vt_lua_str(L, idx, "kind", "string");
    d->name = vt_lua_str(L, idx, "name", "");
    d->repeats = vt_lua_bool(L, idx, "repeats", false);
    for (d->kind = 0; kinds[d->kind] && strcmp(kinds[d->kind], kind) != 0;)
        d->kind++;
    if (!kinds[d->kind])
        luaL_error(L, "an option of the unknown kind '%s'", kind);
    const double above = vt_lua_num(L, idx, "above", NAN);
    d->range.min = isnan(above) ? vt_lua_num(L, idx, "min", NAN) : above;
    d->range.max = vt_lua_num(L, idx, "max", NAN);
    d->range.bits = (isnan(d->range.min) ? 0U : VT_RANGE_MIN) | (isnan(d->range.max) ? 0U : VT_RANGE_MAX) |
                    (isnan(above) ? 0U : VT_RANGE_OPEN);
    if (lua_getfield(L, idx, "choices") == LUA_TTABLE) {
        size_t n = lua_rawlen(L, -1);
        const char **choices = lua_newuserdatauv(L, (n + 1) * sizeof *choices, 0);
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, -2, (lua_Integer)i + 1);
            choices[i] = luaL_checkstring(L, -1);
            lua_pop(L, 1);
        }
        choices[n] = NULL;
        d->choices = choices;
        lua_setfield(L, idx, "c_choices"); /* kept by the declaration */
    }
    lua_settop(L, idx);
}

/* core.args{ { name, kind, repeats, min, above, max, choices }, … } -> declared options */
static int l_args(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t n = lua_rawlen(L, 1);
    struct args *a = lua_newuserdatauv(L, sizeof *a + n * sizeof a->declared[0], 1);
    memset(a, 0, sizeof *a + n * sizeof a->declared[0]);
    luaL_setmetatable(L, args_type);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        read_one(L, &a->declared[i]);
        lua_pop(L, 1);
    }
    a->n = n;
    return 1;
}

/* Appends `text` to given[name], or sets it. */
static void give(lua_State *L, int given, const struct vt_arg *d, const char *text)
{
    if (!d->repeats) {
        lua_pushstring(L, text);
        lua_setfield(L, given, d->name);
        return;
    }
    luaL_getsubtable(L, given, d->name);
    lua_pushstring(L, text);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
}

/* core.args_parse(args, words) -> { name = text | { text, … } }, { word, … }; or nil, what is wrong */
static int l_parse(lua_State *L)
{
    struct args *a = luaL_checkudata(L, 1, args_type);
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    size_t n = lua_rawlen(L, 2);
    const char **words = lua_newuserdatauv(L, (n + 1) * sizeof *words, 0);
    bool *seen = lua_newuserdatauv(L, a->n + 1, 0);
    memset(seen, 0, a->n + 1);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        words[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    struct vt_args reader = {.declared = a->declared, .n = a->n, .words = words, .n_words = n, .seen = seen};
    lua_newtable(L);
    lua_newtable(L);
    int rest = lua_gettop(L), given = rest - 1, which = VT_ARGS_WORD;
    while (which != VT_ARGS_END) {
        const char *text;
        vt_err err;
        if (vt_args_next(&reader, &which, &text, &err) != VT_OK)
            return say(L, &err);
        if (which >= 0)
            give(L, given, &a->declared[which], text);
        if (which == VT_ARGS_WORD) {
            lua_pushstring(L, text);
            lua_rawseti(L, rest, (lua_Integer)lua_rawlen(L, rest) + 1);
        }
    }
    return 2;
}

static const struct vt_arg *check_option(lua_State *L, const struct args *a, int idx)
{
    const char *name = luaL_checkstring(L, idx);
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->declared[i].name, name) == 0)
            return &a->declared[i];
    luaL_error(L, "no option '%s' is declared", name);
    return NULL;
}

static vt_status push_text(lua_State *L, const struct vt_arg *d, const char *text, vt_err *err)
{
    double x = 0;
    int64_t whole = 0;
    bool b = false;
    VT_TRY(vt_arg_choice(d, text, err));
    switch (d->kind) {
    case VT_ARG_NUMBER:
        VT_TRY(vt_arg_number(d, text, &x, err));
        lua_pushnumber(L, x);
        return VT_OK;
    case VT_ARG_INTEGER:
    case VT_ARG_BYTES:
        VT_TRY(vt_arg_whole(d, text, &whole, err));
        lua_pushinteger(L, whole);
        return VT_OK;
    case VT_ARG_SWITCH:
    case VT_ARG_BOOLEAN:
        VT_TRY(vt_arg_boolean(d, text, &b, err));
        lua_pushboolean(L, b);
        return VT_OK;
    case VT_ARG_TEXT:
        break;
    }
    lua_pushstring(L, text);
    return VT_OK;
}

/* A number given by a script: as text it would be read back to the same one. */
static vt_status push_number(lua_State *L, const struct vt_arg *d, int idx, vt_err *err)
{
    int is_whole;
    lua_Integer whole = lua_tointegerx(L, idx, &is_whole);
    if (d->kind != VT_ARG_NUMBER && d->kind != VT_ARG_INTEGER && d->kind != VT_ARG_BYTES)
        return push_text(L, d, luaL_tolstring(L, idx, NULL), err);
    if (d->kind != VT_ARG_NUMBER && !is_whole)
        return vt_fail(err, VT_EINVAL, "--%s must be a whole number, not %.15g", d->name, lua_tonumber(L, idx));
    VT_TRY(vt_range_check(&d->range, lua_tonumber(L, idx), lua_pushfstring(L, "--%s", d->name), err));
    if (d->kind == VT_ARG_NUMBER)
        lua_pushnumber(L, lua_tonumber(L, idx));
    else
        lua_pushinteger(L, whole);
    VT_TRY(vt_arg_choice(d, luaL_tolstring(L, -1, NULL), err));
    lua_pop(L, 1);
    return VT_OK;
}

/* core.args_value(args, name, text | number | boolean) -> the value in its type; or nil, what is wrong */
static int l_value(lua_State *L)
{
    struct args *a = luaL_checkudata(L, 1, args_type);
    const struct vt_arg *d = check_option(L, a, 2);
    vt_err err;
    bool is_number = lua_type(L, 3) == LUA_TNUMBER;
    lua_settop(L, 3);
    vt_status status = is_number ? push_number(L, d, 3, &err) : push_text(L, d, luaL_tolstring(L, 3, NULL), &err);
    return status == VT_OK ? 1 : say(L, &err);
}

/* core.hint(word, names, prefix) -> "; did you mean 'x'?", "; known: a, b" or "" */
static int l_hint(lua_State *L)
{
    char text[VT_HINT_MAX];
    const char *word = luaL_checkstring(L, 1), *prefix = luaL_optstring(L, 3, "");
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2), n_names = 0;
    const char **names = lua_newuserdatauv(L, (n + 1) * sizeof *names, 0);
    for (size_t i = 0; i < n; i++) {
        if (lua_rawgeti(L, 2, (lua_Integer)i + 1) == LUA_TSTRING)
            names[n_names++] = lua_tostring(L, -1);
        lua_pop(L, 1);
    }
    vt_hint(word, names, n_names, prefix, text, sizeof text);
    lua_pushstring(L, text);
    return 1;
}

/* core.limits = { temperature = { min, max } , top_p = { above, max }, … } */
static void push_limits(lua_State *L)
{
    lua_createtable(L, 0, VT_N_LIMITS);
    for (enum vt_limit i = 0; i < VT_N_LIMITS; i++) {
        const struct vt_range r = vt_limit_range(i);
        lua_createtable(L, 0, 2);
        if (r.bits & VT_RANGE_MIN) {
            lua_pushnumber(L, r.min);
            lua_setfield(L, -2, r.bits & VT_RANGE_OPEN ? "above" : "min");
        }
        if (r.bits & VT_RANGE_MAX) {
            lua_pushnumber(L, r.max);
            lua_setfield(L, -2, "max");
        }
        lua_setfield(L, -2, vt_limit_name(i));
    }
}

/* core.limit_problem(name, value) -> what is wrong with it, or nil */
static int l_limit_problem(lua_State *L)
{
    vt_err err;
    const char *name = luaL_checkstring(L, 1);
    const double v = luaL_checknumber(L, 2);
    for (enum vt_limit i = 0; i < VT_N_LIMITS; i++)
        if (strcmp(name, vt_limit_name(i)) == 0)
            return vt_limit_check(i, v, &err) == VT_OK ? 0 : (lua_pushstring(L, err.msg), 1);
    return luaL_error(L, "no limit '%s'", name);
}

void vt_lua_add_args(lua_State *L)
{
    static const luaL_Reg functions[] = {{"args", l_args},
                                         {"args_parse", l_parse},
                                         {"args_value", l_value},
                                         {"hint", l_hint},
                                         {"limit_problem", l_limit_problem},
                                         {NULL, NULL}};
    luaL_newmetatable(L, args_type);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    push_limits(L);
    lua_setfield(L, -2, "limits");
}
