/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_stats.c: the formulas of engine/stats over plain Lua arrays; what is a sample, a task or a table is Lua's matter.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "stats/stats.h"

/* Copies the array at idx into a pushed userdata. */
static double *read_array(lua_State *L, int idx, size_t *n)
{
    luaL_checktype(L, idx, LUA_TTABLE);
    *n = lua_rawlen(L, idx);
    double *x = lua_newuserdatauv(L, (*n + 1) * sizeof *x, 0);
    for (size_t i = 0; i < *n; i++) {
        int ok = 0;
        lua_rawgeti(L, idx, (lua_Integer)i + 1);
        x[i] = lua_tonumberx(L, -1, &ok);
        if (!ok)
            luaL_error(L, "vt.stats: element %I is a %s, not a number", (lua_Integer)i + 1, luaL_typename(L, -1));
        lua_pop(L, 1);
    }
    return x;
}

static int reduce(lua_State *L, double (*fn)(const double *, size_t))
{
    size_t n;
    const double *x = read_array(L, 1, &n);
    lua_pushnumber(L, fn(x, n));
    return 1;
}

static int l_mean(lua_State *L)
{
    return reduce(L, vt_mean);
}

static int l_sd(lua_State *L)
{
    return reduce(L, vt_sample_sd);
}

static int l_geometric_mean(lua_State *L)
{
    return reduce(L, vt_geometric_mean);
}

static int l_quantile(lua_State *L)
{
    size_t n;
    double *x = read_array(L, 1, &n);
    lua_pushnumber(L, vt_quantile(x, n, luaL_checknumber(L, 2)));
    return 1;
}

/* core.stats.column(list, field) -> one value of each table of the list, as they are stored; nil where one has none. */
static int l_column(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkstring(L, 2);
    const lua_Integer n = (lua_Integer)lua_rawlen(L, 1);
    lua_settop(L, 2);
    lua_createtable(L, (int)n, 0);
    for (lua_Integer i = 1; i <= n; i++) {
        if (lua_rawgeti(L, 1, i) != LUA_TTABLE)
            return 0;
        lua_pushvalue(L, 2);
        if (lua_rawget(L, -2) == LUA_TNIL)
            return 0;
        lua_rawseti(L, 3, i);
        lua_pop(L, 1);
    }
    return 1;
}

static int l_order(lua_State *L)
{
    size_t n;
    vt_err err;
    double *x = read_array(L, 1, &n);
    const double sign = luaL_optnumber(L, 2, 1);
    size_t *order = lua_newuserdatauv(L, (n + 1) * sizeof *order, 0);
    for (size_t i = 0; i < n; i++)
        x[i] *= sign;
    if (vt_order(x, n, order, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats", &err);
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, (lua_Integer)order[i] + 1);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int push_interval(lua_State *L, const struct vt_interval *i)
{
    lua_pushnumber(L, i->value);
    lua_pushnumber(L, i->lo);
    lua_pushnumber(L, i->hi);
    return 3;
}

static int l_wilson(lua_State *L)
{
    struct vt_interval i =
        vt_wilson((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2), luaL_optnumber(L, 3, 0.95));
    return push_interval(L, &i);
}

static int l_pass_at_k(lua_State *L)
{
    lua_pushnumber(L, vt_pass_at_k((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2),
                                   (uint64_t)luaL_checkinteger(L, 3)));
    return 1;
}

static int l_best_of_k(lua_State *L)
{
    size_t n;
    double best;
    vt_err err;
    const double *x = read_array(L, 1, &n);
    if (vt_best_of_k(x, n, (size_t)luaL_checkinteger(L, 2), &best, &err) != VT_OK)
        return vt_lua_raise(L, "vt.stats.best_of_k", &err);
    lua_pushnumber(L, best);
    return 1;
}

/* core.stats.first_of_k(values, n, { k, … }) -> { mean at each k } */
/* core.stats.first_of_k(x, n, ks, order) -> a number for each k; order: the places of x, best first. */
static int l_first_of_k(lua_State *L)
{
    size_t m, n_order;
    luaL_checktype(L, 3, LUA_TTABLE);
    const double *values = read_array(L, 1, &m), *order = read_array(L, 4, &n_order);
    const size_t n = (size_t)luaL_checkinteger(L, 2);
    double *x = lua_newuserdatauv(L, (m + 1) * sizeof *x, 0);
    luaL_argcheck(L, n_order == m, 4, "there is a place for each value");
    for (size_t r = 0; r < m; r++) {
        luaL_argcheck(L, order[r] >= 1 && order[r] <= (double)m, 4, "a place is that of a value");
        x[r] = values[(size_t)order[r] - 1];
    }
    lua_newtable(L);
    for (lua_Integer i = 1; i <= (lua_Integer)lua_rawlen(L, 3); i++) {
        lua_rawgeti(L, 3, i);
        const size_t k = (size_t)luaL_checkinteger(L, -1);
        lua_pop(L, 1);
        lua_pushnumber(L, vt_first_of_k(x, m, n, k));
        lua_rawseti(L, -2, i);
    }
    return 1;
}

static int l_cohens_h(lua_State *L)
{
    lua_pushnumber(L, vt_cohens_h(luaL_checknumber(L, 1), luaL_checknumber(L, 2)));
    return 1;
}

static int l_sign_test(lua_State *L)
{
    lua_pushnumber(L, vt_sign_test((uint64_t)luaL_checkinteger(L, 1), (uint64_t)luaL_checkinteger(L, 2)));
    return 1;
}

void vt_lua_add_stats(lua_State *L)
{
    static const luaL_Reg functions[] = {{"mean", l_mean},
                                         {"sd", l_sd},
                                         {"geometric_mean", l_geometric_mean},
                                         {"quantile", l_quantile},
                                         {"column", l_column},
                                         {"order", l_order},
                                         {"wilson", l_wilson},
                                         {"pass_at_k", l_pass_at_k},
                                         {"best_of_k", l_best_of_k},
                                         {"first_of_k", l_first_of_k},
                                         {"cohens_h", l_cohens_h},
                                         {"sign_test", l_sign_test},
                                         {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_setfield(L, -2, "stats");
}
