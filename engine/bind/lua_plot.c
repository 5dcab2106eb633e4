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

/* The names in the field `key`, an array of strings; NULL where it is absent. */
static const char **read_names(lua_State *L, int idx, const char *key, size_t *n)
{
    if (lua_getfield(L, idx, key) != LUA_TTABLE) {
        *n = 0;
        return NULL;
    }
    int at = lua_gettop(L);
    *n = lua_rawlen(L, at);
    const char **names = lua_newuserdatauv(L, (*n + 1) * sizeof *names, 0);
    for (size_t i = 0; i < *n; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        names[i] = luaL_checkstring(L, -1);
        lua_pop(L, 1);
    }
    return names;
}

/* Room for one thing for each element of the array `key`, zeroed; the array is left on the stack below it. */
static void *room_for(lua_State *L, int idx, const char *key, size_t size, size_t *n, int *at)
{
    *n = 0;
    *at = lua_gettop(L) + 1;
    if (lua_getfield(L, idx, key) == LUA_TTABLE)
        *n = lua_rawlen(L, *at);
    return memset(lua_newuserdatauv(L, (*n + 1) * size, 0), 0, (*n + 1) * size);
}

static void read_regions(lua_State *L, int idx, struct vt_plot *p)
{
    int at;
    struct vt_region *r = room_for(L, idx, "regions", sizeof *r, &p->n_regions, &at);

    for (size_t i = 0; i < p->n_regions; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        int of = lua_gettop(L);
        r[i] = (struct vt_region){.name = vt_lua_str(L, of, "name", ""),
                                  .x_lo = vt_lua_num(L, of, "x_lo", -HUGE_VAL),
                                  .x_hi = vt_lua_num(L, of, "x_hi", HUGE_VAL),
                                  .y_lo = vt_lua_num(L, of, "y_lo", -HUGE_VAL),
                                  .y_hi = vt_lua_num(L, of, "y_hi", HUGE_VAL)};
        lua_pop(L, 1);
    }
    p->regions = r;
}

static void read_brackets(lua_State *L, int idx, struct vt_plot *p)
{
    int at;
    struct vt_bracket *b = room_for(L, idx, "brackets", sizeof *b, &p->n_brackets, &at);

    for (size_t i = 0; i < p->n_brackets; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        int of = lua_gettop(L);
        b[i] = (struct vt_bracket){.from = vt_lua_num(L, of, "from", 0),
                                   .to = vt_lua_num(L, of, "to", 0),
                                   .name = vt_lua_str(L, of, "name", "")};
        lua_pop(L, 1);
    }
    p->brackets = b;
}

/* { kind, title, x_label, y_label, log_x, log_y, categories, ref, ref_x, regions, brackets, series = { { name, x, y,
 * lo, hi, star } } }; what it points to stays on the stack. */
static void read_plot(lua_State *L, int idx, struct vt_plot *p)
{
    static const char *const kinds[] = {"line", "bar", "scatter", NULL};
    int at;

    luaL_checktype(L, idx, LUA_TTABLE);
    luaL_checkstack(L, 32, "run:plot");
    *p = (struct vt_plot){
        .title = vt_lua_str(L, idx, "title", ""),
        .x_label = vt_lua_str(L, idx, "x_label", ""),
        .y_label = vt_lua_str(L, idx, "y_label", ""),
        .log_x = (int)vt_lua_int(L, idx, "log_x", 0),
        .log_y = (int)vt_lua_int(L, idx, "log_y", 0),
    };
    lua_getfield(L, idx, "kind");
    p->kind = (enum vt_plot_kind)luaL_checkoption(L, -1, "line", kinds);
    p->ref_y = read_numbers(L, idx, "ref", &p->n_ref_y);
    p->ref_x = read_numbers(L, idx, "ref_x", &p->n_ref_x);
    p->categories = read_names(L, idx, "categories", &p->n_categories);
    read_regions(L, idx, p);
    read_brackets(L, idx, p);
    struct vt_series *series = room_for(L, idx, "series", sizeof *series, &p->n_series, &at);
    for (size_t i = 0; i < p->n_series; i++) {
        lua_rawgeti(L, at, (lua_Integer)i + 1);
        read_series(L, lua_gettop(L), &series[i]);
    }
    p->series = series;
}

/* core.plot_svg({ panel, … }, columns) -> SVG */
static int l_svg(lua_State *L)
{
    vt_err err;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_Integer columns = luaL_optinteger(L, 2, 1);
    lua_settop(L, 1);
    size_t n = lua_rawlen(L, 1);
    struct vt_plot *panels = lua_newuserdatauv(L, (n + 1) * sizeof *panels, 0);
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 1, (lua_Integer)i + 1);
        read_plot(L, lua_gettop(L), &panels[i]);
    }
    struct vt_buf *out = vt_lua_buf(L, SVG_MAX);
    if (vt_plot_svg(panels, n, columns > 0 ? (size_t)columns : 1, out, &err) != VT_OK)
        return vt_lua_raise(L, "run:plot", &err);
    lua_pushlstring(L, out->p, out->len);
    return 1;
}

/* core.plot_text(panel, width) -> characters */
static int l_text(lua_State *L)
{
    vt_err err;
    struct vt_plot p;

    lua_Integer width = luaL_checkinteger(L, 2);
    read_plot(L, 1, &p);
    struct vt_buf *out = vt_lua_buf(L, SVG_MAX);
    if (vt_plot_text(&p, width > 0 ? (size_t)width : 0, out, &err) != VT_OK)
        return vt_lua_raise(L, "vegttt plot", &err);
    lua_pushlstring(L, out->p, out->len);
    return 1;
}

void vt_lua_add_plot(lua_State *L)
{
    static const luaL_Reg functions[] = {{"plot_svg", l_svg}, {"plot_text", l_text}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
