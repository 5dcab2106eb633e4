/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_state.c: a lua_State: the way in and out, its memory, and the interrupts of the process. The engine has one, and
 * each cell of a sweep another (lua_cell.c).
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "bind/descendants.h"
#include "bind/lua_cell.h"
#include "bind/lua_core.h"
#include "bind/lua_modules.h"
#include "bind/lua_open.h"
#include "bind/lua_stop.h"
#include "bind/warden.h"
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_signal(void *arg, int signo)
{
    vt_bind *b = arg;
    if (signo == SIGUSR1 && b->n_signals > 0)
        return;
    b->n_signals++;
    vt_warden_interrupted(b->warden);
    if (b->n_signals > 1)
        vt_warden_end_now(b->warden);
}

/* Lua's memory comes from where all other does, so that tests can let it fail too. Shrinking may not fail. */
static void *allocate(void *arg, void *p, size_t old, size_t n)
{
    (void)arg;
    if (n == 0) {
        free(p);
        return NULL;
    }
    return p && n <= old ? realloc(p, n) : vt_realloc_array(p, n, 1);
}

/* Runs protected: everything here may raise. */
static int set_up(lua_State *L)
{
    luaL_openlibs(L);
    vt_lua_keep_own_globals(L);
    vt_lua_add_guards(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, vt_lua_open_core);
    lua_setfield(L, -2, "vegttt.core");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, vt_lua_search_module);
    lua_rawseti(L, -2, 2);
    vt_lua_watch_script(L);
    return 0;
}

static vt_status open_state(vt_bind *b, vt_bind *parent, vt_err *err)
{
    if (parent) {
        b->host = parent->host;
        b->loop = parent->loop;
        b->lease = parent->lease;
        b->warden = parent->warden;
        b->parent = parent;
    }
    b->open_state = open_state;
    b->last_turn_s = vt_now_s();
    b->L = luaL_newstate();
    if (!b->L)
        return vt_fail(err, VT_ENOMEM, "No memory for the Lua engine; free some and try again");
    b->scheduler = b->L;
    lua_setallocf(b->L, allocate, NULL);
    *(vt_bind **)lua_getextraspace(b->L) = b;
    lua_pushcfunction(b->L, set_up);
    if (lua_pcall(b->L, 0, 0, 0) != LUA_OK)
        return vt_fail(err, VT_EINTERNAL, "Could not start Lua: %s", lua_tostring(b->L, -1));
    return VT_OK;
}

vt_status vt_bind_open(const struct vt_bind_host *host, vt_bind **out, vt_err *err)
{
    vt_bind *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "No memory for the Lua engine; free some and try again");
    b->host = *host;
    vt_status status = vt_loop_new(&b->loop, err);
    if (status == VT_OK)
        status = vt_loop_on_signal(b->loop, on_signal, b, err);
    if (status == VT_OK)
        status = vt_warden_open(&b->host, &b->warden, err);
    if (status != VT_OK)
        goto out;
    status = VT_ENOMEM;
    b->lease = vt_lease_new();
    if (!b->lease) {
        vt_fail(err, VT_ENOMEM, "No memory for the Lua engine; free some and try again");
        goto out;
    }
    status = open_state(b, NULL, err);
    if (status != VT_OK)
        goto out;
    *out = b;
    return VT_OK;
out:
    vt_bind_close(b);
    return status;
}

/* Arguments: module name, then strings. */
static int call_main(lua_State *L)
{
    int argc = lua_gettop(L) - 1;
    lua_getglobal(L, "require");
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_getfield(L, -1, "main");
    lua_newtable(L);
    for (int i = 0; i < argc; i++) {
        lua_pushvalue(L, 2 + i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_call(L, 1, 1);
    return 1;
}

static int traceback(lua_State *L)
{
    luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
    return 1;
}

vt_status vt_bind_main(vt_bind *b, const char *module, int argc, char **argv, int *exit_code, vt_err *err)
{
    lua_State *L = b->L;
    lua_settop(L, 0);
    if (!lua_checkstack(L, argc + 16))
        return vt_fail(err, VT_EINVAL, "%d arguments are too many; pass fewer", argc);
    lua_pushcfunction(L, traceback);
    lua_pushcfunction(L, call_main);
    lua_pushstring(L, module);
    for (int i = 0; i < argc; i++)
        lua_pushstring(L, argv[i]);
    if (lua_pcall(L, argc + 1, 1, 1) != LUA_OK)
        return vt_fail(err, VT_EINTERNAL, "%s", lua_tostring(L, -1));
    *exit_code = (int)lua_tointeger(L, -1);
    return VT_OK;
}

void vt_bind_close(vt_bind *b)
{
    if (!b)
        return;
    b->is_closing = true;
    vt_lua_close_cells(b);
    vt_lua_close_evals(b);
    vt_lua_close_policies(b);
    vt_lua_drop_posted(b);
    if (b->L)
        lua_close(b->L);
    vt_lua_free_chunks(b);
    vt_descendants_end();
    vt_warden_close(b->warden);
    vt_loop_free(b->loop);
    vt_lease_free(b->lease);
    free(b);
}
