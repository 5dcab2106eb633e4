/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_cell.c: a Lua state of its own for each cell of a sweep, so that a cell is what it would be alone: module tables,
 * upvalues, libraries that a script changed, the default files, the metatable of strings are a state's, and a cell
 * begins with fresh ones, whatever ran before it or runs beside it.
 *
 * Below Lua all is shared: one thread, one loop, one lease, one warden, the models and evaluators that the first state
 * opened (lua_copy.h lends their handles). A cell's state has the whole Lua half, with a scheduler of its own, which is
 * a coroutine here: where it would wait in the loop it gives the thread back (core.turn, lua_ops.c), and a light task
 * of the parent turns it again once the loop has turned. An operation is delivered to the state that started it.
 *
 *   core.cell_open(answer) -> cell            answer(verb, …) is what core.cell_ask(verb, …) of the cell calls
 *   core.cell_start(cell, module, …)          require(module).main(…) is what it runs, when it is turned
 *   core.cell_turn(cell) -> seconds | nil, …  when it wants to be turned at the latest; nil: it is over, and gave that
 *   core.cell_tell(cell, …)                   a message that its next core.turn hands over
 *   core.cell_close(cell)                     its operations are cancelled and waited for
 *
 * Values cross by copy, both ways. A cell may have cells.
 *
 * Circle: core.turn of lua_ops, where a cell would wait, leaves it here; and what crosses by lua_copy may be handles of
 * lua_policy and lua_eval, whose work is operations of lua_ops.
 */
#include "bind/lua_cell.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "bind/lua_copy.h"
#include "bind/lua_open.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char cell_type[] = "vt.cell";
static const char told_key = 0, thread_key = 0; /* their addresses are registry keys, in the cell's state */
enum { KEPT_ASKER = 1 };
enum { ANSWER = 1 };

struct vt_lua_cell {
    vt_bind *b; /* NULL after the end */
    vt_bind *parent;
    lua_State *asker; /* a thread of the parent's state, at ANSWER of its stack the function that answers */
    int n_values;     /* that the scheduler begins with */
    bool is_started, is_over;
    struct vt_lua_cell *next;
};

static struct vt_lua_cell *check_cell(lua_State *L, int idx)
{
    struct vt_lua_cell *c = luaL_checkudata(L, idx, cell_type);
    if (!c->b)
        luaL_error(L, "the cell was closed");
    return c;
}

static void close_cell(struct vt_lua_cell *c)
{
    vt_bind *b = c->b;
    if (!b)
        return;
    for (struct vt_lua_cell **at = &c->parent->cells; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    c->b = NULL;
    b->is_closing = true;
    vt_lua_close_cells(b);
    if (b->L)
        vt_lua_end_ops(b);
    vt_lua_drop_posted(b);
    if (b->L)
        lua_close(b->L);
    free(b);
}

void vt_lua_close_cells(vt_bind *b)
{
    while (b->cells)
        close_cell(b->cells);
}

static int cell_gc(lua_State *L)
{
    close_cell(luaL_checkudata(L, 1, cell_type));
    return 0;
}

/* Raises in L what stands on top of the other state's stack. */
static int raise_from(lua_State *L, lua_State *other)
{
    const char *s = lua_tostring(other, -1);
    lua_pushfstring(L, "%s", s ? s : "an error without a text");
    lua_settop(other, 0);
    return lua_error(L);
}

/* ── the parent's side ───────────────────────────────────────────────────────────────────────────────────────────── */

/* In the cell's state, protected: its messages, and the thread of its scheduler. */
static int set_up_cell(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &told_key);
    b->scheduler = lua_newthread(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &thread_key);
    return 0;
}

static int l_open(lua_State *L)
{
    vt_err err;
    vt_bind *parent = vt_lua_bind(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 1);
    struct vt_lua_cell *c = lua_newuserdatauv(L, sizeof *c, 1);
    memset(c, 0, sizeof *c);
    luaL_setmetatable(L, cell_type);
    c->parent = parent;
    c->asker = lua_newthread(L);
    lua_setiuservalue(L, 2, KEPT_ASKER);
    lua_pushvalue(L, 1);
    lua_xmove(L, c->asker, 1);
    vt_bind *b = vt_alloc(sizeof *b);
    if (!b)
        return luaL_error(L, "no memory for the Lua state of a cell");
    c->b = b;
    c->next = parent->cells;
    parent->cells = c;
    if (parent->open_state(b, parent, &err) != VT_OK) {
        close_cell(c);
        return vt_lua_raise(L, "run:sweep", &err);
    }
    b->cell = c;
    lua_pushcfunction(b->L, set_up_cell);
    if (lua_pcall(b->L, 0, 0, 0) != LUA_OK)
        return raise_from(L, b->L);
    return 1;
}

/* In the cell's state, protected: name -> require(name).main */
static int find_main(lua_State *L)
{
    lua_getglobal(L, "require");
    lua_insert(L, 1);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    return 1;
}

static int l_start(lua_State *L)
{
    struct vt_lua_cell *c = check_cell(L, 1);
    lua_State *to = c->b->L;
    luaL_checkstring(L, 2);
    luaL_argcheck(L, !c->is_started, 1, "the cell was started");
    int n = lua_gettop(L) - 2;
    lua_pushcfunction(to, find_main);
    if (!vt_lua_copy(L, 2, 1, to) || lua_pcall(to, 1, 1, 0) != LUA_OK || !vt_lua_copy(L, 3, n, to))
        return raise_from(L, to);
    if (!lua_checkstack(c->b->scheduler, n + 8))
        return luaL_error(L, "no memory for the values of a cell");
    lua_xmove(to, c->b->scheduler, n + 1);
    c->n_values = n;
    return 0;
}

static int l_turn(lua_State *L)
{
    struct vt_lua_cell *c = check_cell(L, 1);
    lua_State *T = c->b->scheduler;
    int n_results = 0;
    luaL_argcheck(L, !c->is_over, 1, "the cell is over");
    c->b->last_turn_s = vt_now_s();
    int status = lua_resume(T, NULL, c->is_started ? 0 : c->n_values, &n_results);
    vt_lua_bind(L)->last_turn_s = vt_now_s(); /* the parent's script computed nothing meanwhile */
    c->is_started = true;
    if (status == LUA_YIELD) {
        lua_pushnumber(L, lua_tonumber(T, -1));
        lua_pop(T, n_results);
        return 1;
    }
    c->is_over = true;
    if (status != LUA_OK)
        return raise_from(L, T);
    lua_settop(L, 1);
    lua_pushnil(L);
    if (!vt_lua_copy(T, lua_gettop(T) - n_results + 1, n_results, L))
        return lua_error(L);
    return 1 + n_results;
}

/* In the cell's state, protected: values -> an array at the end of its messages. */
static int keep_told(lua_State *L)
{
    int n = lua_gettop(L);
    lua_createtable(L, n, 0);
    lua_insert(L, 1);
    for (int i = n; i >= 1; i--)
        lua_rawseti(L, 1, i);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &told_key);
    lua_insert(L, 1);
    lua_rawseti(L, 1, (lua_Integer)lua_rawlen(L, 1) + 1);
    return 0;
}

static int l_tell(lua_State *L)
{
    struct vt_lua_cell *c = check_cell(L, 1);
    lua_State *to = c->b->L;
    int n = lua_gettop(L) - 1;
    lua_pushcfunction(to, keep_told);
    if (!vt_lua_copy(L, 2, n, to) || lua_pcall(to, n, 0, 0) != LUA_OK)
        return raise_from(L, to);
    return 0;
}

static int l_close(lua_State *L)
{
    close_cell(luaL_checkudata(L, 1, cell_type));
    return 0;
}

/* ── the cell's side ─────────────────────────────────────────────────────────────────────────────────────────────── */

bool vt_lua_is_cell_waiting(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    return b->parent && L == b->scheduler && lua_isyieldable(L);
}

int vt_lua_leave_cell(lua_State *L, double timeout_s, lua_KFunction k)
{
    lua_settop(L, 0);
    lua_pushnumber(L, timeout_s < 0 ? HUGE_VAL : timeout_s);
    return lua_yieldk(L, 1, 0, k);
}

void vt_lua_push_told(lua_State *L)
{
    if (lua_rawgetp(L, LUA_REGISTRYINDEX, &told_key) != LUA_TTABLE) {
        lua_pop(L, 1);
        lua_newtable(L);
        return;
    }
    if (lua_rawlen(L, -1) == 0)
        return;
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &told_key);
}

/* core.cell_ask(verb, …) -> what the parent answers, at once */
static int l_ask(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    if (!b->cell)
        return luaL_error(L, "this state is no cell's");
    lua_State *asker = b->cell->asker;
    int n = lua_gettop(L);
    lua_settop(asker, ANSWER);
    lua_pushvalue(asker, ANSWER);
    if (!vt_lua_copy(L, 1, n, asker) || lua_pcall(asker, n, LUA_MULTRET, 0) != LUA_OK) {
        lua_pushstring(L, lua_tostring(asker, -1));
        lua_settop(asker, ANSWER);
        return lua_error(L);
    }
    int n_results = lua_gettop(asker) - ANSWER;
    lua_settop(L, 0);
    if (!vt_lua_copy(asker, ANSWER + 1, n_results, L))
        return lua_error(L);
    lua_settop(asker, ANSWER);
    return n_results;
}

void vt_lua_add_cell(lua_State *L)
{
    static const luaL_Reg functions[] = {{"cell_open", l_open}, {"cell_start", l_start}, {"cell_turn", l_turn},
                                         {"cell_tell", l_tell}, {"cell_close", l_close}, {"cell_ask", l_ask},
                                         {NULL, NULL}};
    luaL_newmetatable(L, cell_type);
    lua_pushcfunction(L, cell_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_pushboolean(L, vt_lua_bind(L)->parent != NULL);
    lua_setfield(L, -2, "in_cell");
}
