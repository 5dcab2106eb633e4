/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_json.c: Lua values <-> JSON. Writing is canonical (keys in byte order, no spaces, shortest round-trip numbers),
 * so a hash of the text is an identity. A table with a first element, or marked with core.array, is an array; NaN and
 * infinities become null; integers beyond 2^53 become strings. Reading marks arrays, so that an empty one survives.
 */
#include "base/json.h"
#include "base/json_text.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 512 << 20, SAFE_BITS = 53 };
const char vt_lua_array_type[] = "vt.array";

static void write_value(lua_State *L, int idx, struct vt_buf *out, int depth);

static bool is_array(lua_State *L, int idx)
{
    if (lua_rawlen(L, idx) > 0)
        return true;
    if (!lua_getmetatable(L, idx))
        return false;
    luaL_getmetatable(L, vt_lua_array_type);
    bool same = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
    return same;
}

static void write_array(lua_State *L, int idx, struct vt_buf *out, int depth)
{
    lua_Integer n = (lua_Integer)lua_rawlen(L, idx);
    vt_buf_putc(out, '[');
    for (lua_Integer i = 1; i <= n; i++) {
        if (i > 1)
            vt_buf_putc(out, ',');
        lua_rawgeti(L, idx, i);
        write_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    vt_buf_putc(out, ']');
}

struct key {
    const char *s;
    size_t n;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a, *y = b;
    int c = memcmp(x->s, y->s, x->n < y->n ? x->n : y->n);
    return c ? c : (x->n > y->n) - (x->n < y->n);
}

static void write_object(lua_State *L, int idx, struct vt_buf *out, int depth)
{
    size_t n = 0, i = 0;
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1))
        n++;
    struct key *keys = lua_newuserdatauv(L, (n + 1) * sizeof *keys, 0);
    for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_error(L, "JSON: a table with the key %s is neither an array nor an object; use string keys",
                       luaL_tolstring(L, -2, NULL));
        keys[i].s = lua_tolstring(L, -2, &keys[i].n);
        i++;
    }
    qsort(keys, n, sizeof *keys, compare_keys);
    vt_buf_putc(out, '{');
    for (i = 0; i < n; i++) {
        if (i > 0)
            vt_buf_putc(out, ',');
        vt_json_write_string(out, keys[i].s, keys[i].n);
        vt_buf_putc(out, ':');
        lua_pushlstring(L, keys[i].s, keys[i].n);
        lua_rawget(L, idx);
        write_value(L, lua_gettop(L), out, depth + 1);
        lua_pop(L, 1);
    }
    vt_buf_putc(out, '}');
    lua_pop(L, 1);
}

static void write_number(lua_State *L, int idx, struct vt_buf *out)
{
    if (!lua_isinteger(L, idx)) {
        vt_json_write_double(out, lua_tonumber(L, idx));
        return;
    }
    lua_Integer v = lua_tointeger(L, idx);
    bool is_safe = v >= -(INT64_C(1) << SAFE_BITS) && v <= (INT64_C(1) << SAFE_BITS);
    vt_buf_printf(out, is_safe ? "%" PRId64 : "\"%" PRId64 "\"", (int64_t)v);
}

static void write_value(lua_State *L, int idx, struct vt_buf *out, int depth)
{
    struct vt_vector *x;
    size_t n;
    if (depth > VT_JSON_MAX_DEPTH)
        luaL_error(L, "JSON: nested deeper than %d levels (a table that contains itself?)", VT_JSON_MAX_DEPTH);
    luaL_checkstack(L, 8, "JSON");
    switch (lua_type(L, idx)) {
    case LUA_TNIL:
        vt_buf_puts(out, "null");
        return;
    case LUA_TBOOLEAN:
        vt_buf_puts(out, lua_toboolean(L, idx) ? "true" : "false");
        return;
    case LUA_TNUMBER:
        write_number(L, idx, out);
        return;
    case LUA_TSTRING: {
        const char *s = lua_tolstring(L, idx, &n);
        vt_json_write_string(out, s, n);
        return;
    }
    case LUA_TTABLE:
        if (is_array(L, idx))
            write_array(L, idx, out, depth);
        else
            write_object(L, idx, out, depth);
        return;
    default:
        break;
    }
    if (lua_islightuserdata(L, idx) && !lua_touserdata(L, idx)) {
        vt_buf_puts(out, "null");
        return;
    }
    x = vt_vector_test(L, idx);
    if (!x)
        luaL_error(L, "JSON: a %s cannot be written", luaL_typename(L, idx));
    vt_buf_putc(out, '[');
    for (size_t i = 0; i < x->n; i++) {
        if (i > 0)
            vt_buf_putc(out, ',');
        vt_json_write_double(out, x->v[i]);
    }
    vt_buf_putc(out, ']');
}

struct vt_buf *vt_lua_encode(lua_State *L, int idx)
{
    vt_err err;
    idx = lua_absindex(L, idx);
    struct vt_buf *out = vt_lua_buf(L, TEXT_MAX);
    write_value(L, idx, out, 0);
    if (vt_buf_check(out, "the JSON text", &err) != VT_OK)
        vt_lua_raise(L, "vt.json.encode", &err);
    return out;
}

static int l_encode(lua_State *L)
{
    luaL_checkany(L, 1);
    struct vt_buf *out = vt_lua_encode(L, 1);
    lua_pushlstring(L, out->p, out->len);
    return 1;
}

void vt_lua_push_json(lua_State *L, const vt_json *j)
{
    luaL_checkstack(L, 8, "JSON");
    if (vt_json_is_object(j)) {
        lua_createtable(L, 0, (int)vt_json_count(j));
        for (const vt_json *c = vt_json_first(j); c; c = vt_json_next(c)) {
            lua_pushstring(L, vt_json_key(c));
            vt_lua_push_json(L, c);
            lua_rawset(L, -3);
        }
    } else if (vt_json_is_array(j)) {
        lua_Integer i = 0;
        lua_createtable(L, (int)vt_json_count(j), 0);
        luaL_setmetatable(L, vt_lua_array_type);
        for (const vt_json *c = vt_json_first(j); c; c = vt_json_next(c)) {
            vt_lua_push_json(L, c);
            lua_rawseti(L, -2, ++i);
        }
    } else if (vt_json_is_string(j)) {
        lua_pushstring(L, vt_json_str(j, ""));
    } else if (vt_json_is_number(j)) {
        double v = vt_json_num(j, 0);
        if (v == floor(v) && fabs(v) <= (double)(INT64_C(1) << SAFE_BITS))
            lua_pushinteger(L, (lua_Integer)v);
        else
            lua_pushnumber(L, v);
    } else if (vt_json_is_bool(j)) {
        lua_pushboolean(L, vt_json_bool(j, false));
    } else {
        lua_pushnil(L);
    }
}

static void release_json(void *p)
{
    vt_json_free(p);
}

/* core.json_decode(text, what): raises naming `what`. */
static int l_decode(lua_State *L)
{
    size_t n;
    vt_err err;
    vt_json *j = NULL;
    const char *text = luaL_checklstring(L, 1, &n), *what = luaL_optstring(L, 2, "the JSON text");
    struct vt_guard *g = vt_lua_guard(L, release_json);
    if (vt_json_parse(text, n, what, &j, &err) != VT_OK)
        return vt_lua_raise(L, "vt.json.decode", &err);
    g->p = j;
    vt_lua_push_json(L, j);
    return 1;
}

static int l_array(lua_State *L)
{
    if (lua_isnoneornil(L, 1))
        lua_newtable(L);
    else
        lua_settop(L, 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    luaL_setmetatable(L, vt_lua_array_type);
    return 1;
}

/* core.utf8(text) -> the text as JSON holds it: U+FFFD in place of bytes that are not UTF-8, and of NUL. */
static int l_utf8(lua_State *L)
{
    size_t len, plain = 0;
    luaL_Buffer out;
    const char *text = luaL_checklstring(L, 1, &len);
    luaL_buffinit(L, &out);
    for (size_t i = 0; i < len;) {
        size_t n = vt_utf8_sequence((const unsigned char *)text + i, len - i);
        if (n > 0 && text[i]) {
            i += n;
            continue;
        }
        luaL_addlstring(&out, text + plain, i - plain);
        luaL_addstring(&out, "\xEF\xBF\xBD");
        plain = ++i;
    }
    luaL_addlstring(&out, text + plain, len - plain);
    luaL_pushresult(&out);
    return 1;
}

void vt_lua_add_json(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"json_encode", l_encode}, {"json_decode", l_decode}, {"array", l_array}, {"utf8", l_utf8}, {NULL, NULL}};
    luaL_newmetatable(L, vt_lua_array_type);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
}
