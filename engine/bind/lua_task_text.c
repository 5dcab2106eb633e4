/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_task_text.c: a task file is a Lua text that returns a table, and it may come from anybody: a request of the
 * service names one. So it runs in a state of its own, in which there is nothing to call: no library, no string
 * methods, no metatables. What it may use is counted: instructions, bytes held, bytes asked for altogether (building
 * and dropping long strings costs no instructions), and, since comparing long strings costs neither, processor time.
 * The counts decide; the time is far beyond what they allow an honest file.
 *
 * What it returned is copied out as plain data, of bounded depth and number: a table may hold itself a thousand times.
 */
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <math.h>
#include <stdlib.h>
#include <time.h>

enum {
    MAX_INSTRUCTIONS = 10000000,
    HOOK_INSTRUCTIONS = 1000,
    MAX_HELD_MB = 16,
    MAX_ASKED_MB = 512,
    MAX_CPU_S = 1,
    MAX_DEPTH = 16,
    MAX_VALUES = 1 << 20
};

/* The state and what it has used. */
struct reader {
    lua_State *L;
    size_t held, asked;
    long n_instructions;
    double began_s;
    const char *ended; /* why it was stopped */
    size_t n_values;   /* copied */
};

static double cpu_s(void)
{
    struct timespec t = {0, 0};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *allocate(void *arg, void *p, size_t old, size_t n)
{
    struct reader *r = arg;
    old = p ? old : 0;
    if (n == 0) {
        free(p);
        r->held -= old;
        return NULL;
    }
    if (n > old) {
        if (r->held - old + n > (size_t)MAX_HELD_MB << 20)
            return NULL; /* Lua collects and asks again */
        if (r->asked + (n - old) > (size_t)MAX_ASKED_MB << 20) {
            r->ended = "it builds more than 512 MB of values";
            return NULL;
        }
    }
    void *q = realloc(p, n);
    if (q) {
        r->asked += n > old ? n - old : 0;
        r->held += n - old;
    }
    return q;
}

static void hook(lua_State *L, lua_Debug *ar)
{
    void *arg;
    (void)ar;
    lua_getallocf(L, &arg);
    struct reader *r = arg;
    r->n_instructions += HOOK_INSTRUCTIONS;
    if (r->n_instructions > MAX_INSTRUCTIONS)
        r->ended = "it computes for more than 10 million steps";
    else if (cpu_s() - r->began_s > MAX_CPU_S)
        r->ended = "it computes for more than 1 s";
    if (r->ended)
        luaL_error(L, "%s", r->ended);
}

/* Protected, in the reader's state: text, length, chunk name -> what the text returns. */
static int call_text(lua_State *L)
{
    size_t n = *(const size_t *)lua_touserdata(L, 2);
    if (luaL_loadbufferx(L, lua_touserdata(L, 1), n, lua_touserdata(L, 3), "t") != LUA_OK)
        return lua_error(L);
    lua_newtable(L); /* instead of the globals, among which is the registry's own table of loaded things */
    lua_setupvalue(L, -2, 1);
    lua_call(L, 0, 1);
    return 1;
}

/* ---- out of it ---- */

static const char *copy_value(lua_State *to, struct reader *r, int depth);

static const char *copy_table(lua_State *to, struct reader *r, int depth)
{
    lua_State *L = r->L;
    if (depth == MAX_DEPTH)
        return "its table nests deeper than 16 levels";
    lua_newtable(to);
    for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING && !lua_isinteger(L, -2))
            return "its table has a key that is neither a text nor a whole number";
        lua_pushvalue(L, -2);
        const char *wrong = copy_value(to, r, depth);
        lua_pop(L, 1);
        if (!wrong)
            wrong = copy_value(to, r, depth + 1);
        if (wrong)
            return wrong;
        lua_rawset(to, -3);
    }
    return NULL;
}

/* Pushes on `to` the value on top of the reader's stack; or says why not, whatever is left on the stacks. */
static const char *copy_value(lua_State *to, struct reader *r, int depth)
{
    size_t n;
    const char *s;
    luaL_checkstack(to, 8, "a task");
    if (!lua_checkstack(r->L, 8))
        return "there is no memory for it";
    if (++r->n_values > MAX_VALUES)
        return "its table holds more than a million values";
    switch (lua_type(r->L, -1)) {
    case LUA_TNIL:
        lua_pushnil(to);
        return NULL;
    case LUA_TBOOLEAN:
        lua_pushboolean(to, lua_toboolean(r->L, -1));
        return NULL;
    case LUA_TNUMBER:
        if (lua_isinteger(r->L, -1))
            lua_pushinteger(to, lua_tointeger(r->L, -1));
        else
            lua_pushnumber(to, lua_tonumber(r->L, -1));
        return NULL;
    case LUA_TSTRING:
        s = lua_tolstring(r->L, -1, &n);
        lua_pushlstring(to, s, n);
        return NULL;
    case LUA_TTABLE:
        return copy_table(to, r, depth);
    default:
        return "it returns a function, and a task is plain data";
    }
}

static void release_reader(void *p)
{
    struct reader *r = p;
    if (r->L)
        lua_close(r->L);
    free(r);
}

/* core.task_text(text, name) -> the value that the Lua text returns; or nil and why there is none. */
static int l_task_text(lua_State *L)
{
    size_t n;
    const char *text = luaL_checklstring(L, 1, &n), *name = luaL_checkstring(L, 2);
    const char *chunk = lua_pushfstring(L, "@%s", name);
    struct vt_guard *g = vt_lua_guard(L, release_reader);
    struct reader *r = calloc(1, sizeof *r);
    if (!r)
        return luaL_error(L, "no memory for a task");
    g->p = r;
    r->began_s = cpu_s();
    r->L = lua_newstate(allocate, r);
    if (!r->L)
        return luaL_error(L, "no memory for a task");
    lua_sethook(r->L, hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    lua_pushcfunction(r->L, call_text);
    lua_pushlightuserdata(r->L, (void *)(uintptr_t)text);
    lua_pushlightuserdata(r->L, &n);
    lua_pushlightuserdata(r->L, (void *)(uintptr_t)chunk);
    int status = lua_pcall(r->L, 3, 1, 0);
    lua_sethook(r->L, NULL, 0, 0);
    const char *wrong = r->ended ? r->ended : status == LUA_ERRMEM ? "it takes more than 16 MB of memory" : NULL;
    if (status == LUA_OK && !wrong) {
        wrong = copy_value(L, r, 0);
        if (!wrong)
            return 1;
    }
    lua_pushnil(L);
    if (wrong)
        lua_pushfstring(L, "%s: %s", name, wrong);
    else
        lua_pushstring(L, lua_tostring(r->L, -1)); /* Lua's own: there is no error() to raise another one */
    return 2;
}

void vt_lua_add_task_text(lua_State *L)
{
    static const luaL_Reg functions[] = {{"task_text", l_task_text}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
