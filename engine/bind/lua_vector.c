/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_vector.c: vectors of numbers as scripts see log-probabilities: + - * / # [i] :sum() :mean() :min() :max(), and
 * :exp() :clamp(lo, hi) for losses written in Lua. Immutable; arithmetic is elementwise in double, with a number on
 * either side or a vector of equal length. Values that came from C as float are exact.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <math.h>
#include <string.h>

static const char vector_type[] = "vt.Vector";

/* Pushed. */
static struct vt_vector *vector_new(lua_State *L, size_t n)
{
    if (n > (SIZE_MAX - sizeof(struct vt_vector)) / sizeof(double))
        luaL_error(L, "a vector of %I numbers does not fit in memory", (lua_Integer)n);
    struct vt_vector *x = lua_newuserdatauv(L, sizeof *x + n * sizeof(double), 0);
    x->n = n;
    luaL_setmetatable(L, vector_type);
    return x;
}

struct vt_vector *vt_vector_test(lua_State *L, int idx)
{
    return luaL_testudata(L, idx, vector_type);
}

static struct vt_vector *check(lua_State *L, int idx)
{
    return luaL_checkudata(L, idx, vector_type);
}

void vt_vector_push_f32(lua_State *L, const float *v, size_t n)
{
    struct vt_vector *x = vector_new(L, n);
    for (size_t i = 0; i < n; i++)
        x->v[i] = v[i];
}

void vt_lua_read_f32(lua_State *L, int idx, float *out, size_t n, const char *what)
{
    struct vt_vector *x = vt_vector_test(L, idx);
    idx = lua_absindex(L, idx);
    if (!x && !lua_istable(L, idx))
        luaL_error(L, "%s must be a vector or an array of numbers, not a %s", what, luaL_typename(L, idx));
    size_t have = x ? x->n : lua_rawlen(L, idx);
    if (have != n)
        luaL_error(L, "%s has %I values for %I tokens", what, (lua_Integer)have, (lua_Integer)n);
    for (size_t i = 0; i < n; i++) {
        if (x) {
            out[i] = (float)x->v[i];
            continue;
        }
        int is_number = 0;
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        out[i] = (float)lua_tonumberx(L, -1, &is_number);
        if (!is_number)
            luaL_error(L, "%s[%I] is a %s, not a number", what, (lua_Integer)i + 1, luaL_typename(L, -1));
        lua_pop(L, 1);
    }
}

int32_t *vt_lua_read_ids(lua_State *L, int idx, size_t *n, const char *what)
{
    idx = lua_absindex(L, idx);
    if (!lua_istable(L, idx))
        luaL_error(L, "%s must be an array of token ids, not a %s", what, luaL_typename(L, idx));
    *n = lua_rawlen(L, idx);
    int32_t *ids = lua_newuserdatauv(L, (*n + 1) * sizeof *ids, 0);
    for (size_t i = 0; i < *n; i++) {
        int is_integer = 0;
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        lua_Integer id = lua_tointegerx(L, -1, &is_integer);
        if (!is_integer || id < 0 || id > INT32_MAX)
            luaL_error(L, "%s[%I] is not a token id", what, (lua_Integer)i + 1);
        ids[i] = (int32_t)id;
        lua_pop(L, 1);
    }
    return ids;
}

static double apply(int op, double a, double b)
{
    switch (op) {
    case '+':
        return a + b;
    case '-':
        return a - b;
    case '*':
        return a * b;
    default:
        return a / b;
    }
}

static int arith(lua_State *L, int op)
{
    struct vt_vector *a = vt_vector_test(L, 1), *b = vt_vector_test(L, 2);
    double ka = a ? 0 : luaL_checknumber(L, 1), kb = b ? 0 : luaL_checknumber(L, 2);
    if (a && b && a->n != b->n)
        return luaL_error(L, "vectors of %I and %I values do not go together", (lua_Integer)a->n, (lua_Integer)b->n);
    size_t n = a ? a->n : b->n;
    struct vt_vector *r = vector_new(L, n);
    for (size_t i = 0; i < n; i++)
        r->v[i] = apply(op, a ? a->v[i] : ka, b ? b->v[i] : kb);
    return 1;
}

static int v_add(lua_State *L)
{
    return arith(L, '+');
}

static int v_sub(lua_State *L)
{
    return arith(L, '-');
}

static int v_mul(lua_State *L)
{
    return arith(L, '*');
}

static int v_div(lua_State *L)
{
    return arith(L, '/');
}

static int v_unm(lua_State *L)
{
    struct vt_vector *a = check(L, 1), *r = vector_new(L, a->n);
    for (size_t i = 0; i < a->n; i++)
        r->v[i] = -a->v[i];
    return 1;
}

static int v_len(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)check(L, 1)->n);
    return 1;
}

static int v_eq(lua_State *L)
{
    struct vt_vector *a = check(L, 1), *b = check(L, 2);
    bool equal = a->n == b->n;
    for (size_t i = 0; equal && i < a->n; i++)
        equal = a->v[i] == b->v[i];
    lua_pushboolean(L, equal);
    return 1;
}

static int v_sum(lua_State *L)
{
    struct vt_vector *a = check(L, 1);
    double s = 0;
    for (size_t i = 0; i < a->n; i++)
        s += a->v[i];
    lua_pushnumber(L, s);
    return 1;
}

static int v_mean(lua_State *L)
{
    struct vt_vector *a = check(L, 1);
    v_sum(L);
    lua_pushnumber(L, a->n ? lua_tonumber(L, -1) / (double)a->n : 0.0);
    return 1;
}

static int extreme(lua_State *L, double sign)
{
    struct vt_vector *a = check(L, 1);
    double best = -INFINITY;
    for (size_t i = 0; i < a->n; i++)
        best = fmax(best, sign * a->v[i]);
    lua_pushnumber(L, sign * best);
    return 1;
}

static int v_min(lua_State *L)
{
    return extreme(L, -1);
}

static int v_max(lua_State *L)
{
    return extreme(L, 1);
}

static int v_exp(lua_State *L)
{
    struct vt_vector *a = check(L, 1), *r = vector_new(L, a->n);
    for (size_t i = 0; i < a->n; i++)
        r->v[i] = exp(a->v[i]);
    return 1;
}

static int v_clamp(lua_State *L)
{
    struct vt_vector *a = check(L, 1);
    double lo = luaL_checknumber(L, 2), hi = luaL_checknumber(L, 3);
    struct vt_vector *r = vector_new(L, a->n);
    for (size_t i = 0; i < a->n; i++)
        r->v[i] = fmin(fmax(a->v[i], lo), hi);
    return 1;
}

static int v_index(lua_State *L)
{
    struct vt_vector *a = check(L, 1);
    int is_integer = 0;
    lua_Integer i = lua_tointegerx(L, 2, &is_integer);
    if (is_integer) {
        if (i < 1 || (size_t)i > a->n)
            return 0;
        lua_pushnumber(L, a->v[i - 1]);
        return 1;
    }
    lua_getmetatable(L, 1);
    lua_getfield(L, -1, "methods");
    lua_pushvalue(L, 2);
    lua_rawget(L, -2);
    return 1;
}

static int v_newindex(lua_State *L)
{
    return luaL_error(L, "vectors do not change; make a new one with arithmetic or vt.vector{…}");
}

static int v_tostring(lua_State *L)
{
    struct vt_vector *a = check(L, 1);
    luaL_Buffer b;
    luaL_buffinit(L, &b);
    luaL_addstring(&b, "vector(");
    for (size_t i = 0; i < a->n && i < 6; i++) {
        lua_pushfstring(L, i ? ", %f" : "%f", a->v[i]);
        luaL_addvalue(&b);
    }
    lua_pushfstring(L, a->n > 6 ? ", … %I values)" : ")", (lua_Integer)a->n);
    luaL_addvalue(&b);
    luaL_pushresult(&b);
    return 1;
}

/* core.vector(array | vector | n, value): a new vector. */
static int l_vector(lua_State *L)
{
    if (lua_isinteger(L, 1)) {
        lua_Integer n = lua_tointeger(L, 1);
        luaL_argcheck(L, n >= 0, 1, "a length is not negative");
        double value = luaL_optnumber(L, 2, 0);
        struct vt_vector *x = vector_new(L, (size_t)n);
        for (lua_Integer i = 0; i < n; i++)
            x->v[i] = value;
        return 1;
    }
    if (vt_vector_test(L, 1)) {
        lua_settop(L, 1);
        return 1;
    }
    luaL_checktype(L, 1, LUA_TTABLE);
    size_t n = lua_rawlen(L, 1);
    struct vt_vector *x = vector_new(L, n);
    for (size_t i = 0; i < n; i++) {
        int is_number = 0;
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        x->v[i] = lua_tonumberx(L, -1, &is_number);
        if (!is_number)
            return luaL_error(L, "vt.vector: element %I is a %s, not a number", (lua_Integer)i + 1,
                              luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    return 1;
}

static int l_is_vector(lua_State *L)
{
    lua_pushboolean(L, vt_vector_test(L, 1) != NULL);
    return 1;
}

void vt_lua_add_vector(lua_State *L)
{
    static const luaL_Reg meta[] = {
        {"__add", v_add},           {"__sub", v_sub},           {"__mul", v_mul}, {"__div", v_div},
        {"__unm", v_unm},           {"__len", v_len},           {"__eq", v_eq},   {"__index", v_index},
        {"__newindex", v_newindex}, {"__tostring", v_tostring}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"sum", v_sum}, {"mean", v_mean},   {"min", v_min}, {"max", v_max},
                                       {"exp", v_exp}, {"clamp", v_clamp}, {NULL, NULL}};
    static const luaL_Reg functions[] = {{"vector", l_vector}, {"is_vector", l_is_vector}, {NULL, NULL}};
    luaL_newmetatable(L, vector_type);
    luaL_setfuncs(L, meta, 0);
    luaL_newlib(L, methods);
    lua_setfield(L, -2, "methods");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
