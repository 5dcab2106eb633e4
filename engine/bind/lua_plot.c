/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_plot.c: charts for run:plot. The Lua half shapes rows into series; here they become C arrays and SVG text.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "plot/plot.h"
#include <math.h>
#include <string.h>

enum { SVG_MAX = 16 << 20 };

/* The array at field `key` of the table at idx as doubles in a userdata (left on the stack); false gives NaN. */
static double *read_numbers(lua_State *L, int idx, const char *key, size_t *n)
{
    if (lua_getfield(L, idx, key) != LUA_TTABLE) {
        *n = 0;
        return NULL;
    }
    int at = lua_gettop(L);
    *n = lua_rawlen(L, at);
    double *v = lua_newuserdatauv(L, (*n + 1) * sizeof *v, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        v[i] = lua_isnumber(L, -1) ? lua_tonumber(L, -1) : NAN;
        lua_pop(L, 1);
    }
    return v;
}

static void read_series(lua_State *L, int idx, struct vt_series *s)
{
    size_t n_y = 0, n_lo = 0, n_hi = 0;
    luaL_checkstack(L, 16, "run:plot");
    s->name = vt_lua_str(L, idx, "name", "");
    s->x = read_numbers(L, idx, "x", &s->n);
    s->y = read_numbers(L, idx, "y", &n_y);
    s->lo = read_numbers(L, idx, "lo", &n_lo);
    s->hi = read_numbers(L, idx, "hi", &n_hi);
    s->star = (long)vt_lua_int(L, idx, "star", 0) - 1;
    if (n_y != s->n || (s->lo && n_lo != s->n) || (s->hi && n_hi != s->n))
        luaL_error(L, "run:plot: series '%s' has columns of different length", s->name);
}

/* core.plot_svg{ kind, title, x_label, y_label, log_x, log_y, categories, ref, series = { { name, x, y, lo, hi, star }
 * } } */
static int l_svg(lua_State *L)
{
    static const char *const kinds[] = {"line", "bar", "scatter", NULL};
    vt_err err;
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    struct vt_plot p = {
        .title = vt_lua_str(L, 1, "title", ""),
        .x_label = vt_lua_str(L, 1, "x_label", ""),
        .y_label = vt_lua_str(L, 1, "y_label", ""),
        .log_x = (int)vt_lua_int(L, 1, "log_x", 0),
        .log_y = (int)vt_lua_int(L, 1, "log_y", 0),
    };
    lua_getfield(L, 1, "kind");
    p.kind = (enum vt_plot_kind)luaL_checkoption(L, -1, "line", kinds);
    p.ref_y = read_numbers(L, 1, "ref", &p.n_ref_y);
    if (lua_getfield(L, 1, "categories") == LUA_TTABLE) {
        int at = lua_gettop(L);
        p.n_categories = lua_rawlen(L, at);
        const char **names = lua_newuserdatauv(L, (p.n_categories + 1) * sizeof *names, 0);
        for (size_t i = 0; i < p.n_categories; i++) {
            lua_rawgeti(L, at, (lua_Integer)i + 1);
            names[i] = luaL_checkstring(L, -1);
            lua_pop(L, 1);
        }
        p.categories = names;
    }
    luaL_checktype(L, (lua_getfield(L, 1, "series"), -1), LUA_TTABLE);
    int at = lua_gettop(L);
    p.n_series = lua_rawlen(L, at);
    struct vt_series *series = lua_newuserdatauv(L, (p.n_series + 1) * sizeof *series, 0);
    memset(series, 0, (p.n_series + 1) * sizeof *series);
    for (size_t i = 0; i < p.n_series; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        read_series(L, lua_gettop(L), &series[i]);
    }
    p.series = series;
    struct vt_buf *out = vt_lua_buf(L, SVG_MAX);
    if (vt_plot_svg(&p, out, &err) != VT_OK)
        return vt_lua_raise(L, "run:plot", &err);
    lua_pushlstring(L, out->p, out->len);
    return 1;
}

void vt_lua_add_plot(lua_State *L)
{
    static const luaL_Reg functions[] = {{"plot_svg", l_svg}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
