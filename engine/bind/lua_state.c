/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_state.c: the one lua_State: where modules come from, what a runaway script meets, and the way in and out.
 *
 * `require "vegttt.x"` finds lua/vegttt/x.lua in the binary, or below VEGTTT_LUA_DIR while developing. Those modules
 * have a global table of their own: the standard library as it was before lua/vegttt/globals.lua took parts of it away
 * from scripts, so that nothing in the Lua half depends on when it is loaded or on what a script assigns. A count hook
 * runs every two million instructions: when a script has not let the loop run for five seconds it is named once, with
 * its position; when an interrupt arrived meanwhile the script is stopped there, since it will never come to a wait.
 */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "bind/lua_core.h"
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOOK_INSTRUCTIONS = 2000000, MODULE_MAX = 4 << 20 };
static const double runaway_s = 5.0;
static const char own_globals_key = 0; /* its address is the registry key */

vt_bind *vt_lua_bind(lua_State *L)
{
    return *(vt_bind **)lua_getextraspace(L);
}

static void hook(lua_State *L, lua_Debug *ar)
{
    vt_bind *b = vt_lua_bind(L);
    double now = vt_now_s();
    if (now - b->last_turn_s < runaway_s)
        return;
    int n_run = 0;
    if (vt_loop_turn(b->loop, 0, &n_run, NULL) != VT_OK)
        return;
    char where[160] = "";
    if (lua_getinfo(L, "Sl", ar) && ar->currentline > 0)
        snprintf(where, sizeof where, "%s:%d: ", ar->short_src, ar->currentline);
    if (b->n_signals > 0) {
        vt_err err;
        vt_fail(&err, VT_ECANCELLED, "%sinterrupted: the script had not waited for %d s", where,
                (int)(now - b->last_turn_s));
        vt_lua_raise(L, "main", &err);
    }
    if (b->warned_s < b->last_turn_s) {
        b->warned_s = now;
        char text[256];
        int n = snprintf(
            text, sizeof text,
            "vegttt: warning: %sno wait for 5 s; while a script computes, nothing else runs (Ctrl-C stops it)\n",
            where);
        b->host.print(b->host.arg, VT_STDERR, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
    }
}

static void on_signal(void *arg, int signo)
{
    vt_bind *b = arg;
    if (signo == SIGUSR1 && b->n_signals > 0)
        return;
    b->n_signals++;
    if (b->n_signals > 1)
        b->host.stop_now(b->host.arg);
}

static const struct vt_embedded *embedded_find(const vt_bind *b, const char *name)
{
    for (const struct vt_embedded *e = b->host.lua; e && e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

/* Pushes the text of "vegttt/x.lua" and its chunk name; false when there is no such file. */
static bool push_text(lua_State *L, const char *name)
{
    vt_bind *b = vt_lua_bind(L);
    if (b->host.lua_dir) {
        const char *path = lua_pushfstring(L, "%s/%s", b->host.lua_dir, name);
        if (vt_fs_exists(path)) {
            struct vt_buf *buf = vt_lua_buf(L, MODULE_MAX);
            vt_err err;
            vt_buf_free(buf);
            if (vt_fs_read(path, MODULE_MAX, buf, &err) != VT_OK)
                vt_lua_raise(L, "require", &err);
            lua_pushlstring(L, buf->p, buf->len);
            lua_replace(L, -3);
            lua_pop(L, 1);
            return true;
        }
        lua_pop(L, 1);
    }
    const struct vt_embedded *e = embedded_find(b, name);
    if (!e)
        return false;
    lua_pushlstring(L, e->text, e->len);
    return true;
}

/* Stores a copy of the global table, its libraries copied too (one level; `package` is shared, since require has one).
 */
static void keep_own_globals(lua_State *L)
{
    lua_newtable(L);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2);) {
        const char *name = lua_tostring(L, -2);
        if (lua_istable(L, -1) && strcmp(name, LUA_LOADLIBNAME) != 0) {
            lua_newtable(L);
            for (lua_pushnil(L); lua_next(L, -3);) {
                lua_pushvalue(L, -2);
                lua_insert(L, -2);
                lua_rawset(L, -4);
            }
            lua_replace(L, -2);
        }
        lua_setfield(L, -4, name);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, LUA_GNAME);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &own_globals_key);
}

/* package.searchers entry: a.b.c -> a/b/c.lua or a/b/c/init.lua of the Lua half. */
static int searcher(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    luaL_gsub(L, module, ".", "/");
    const char *stem = lua_tostring(L, -1);
    const char *name = lua_pushfstring(L, "%s.lua", stem);
    if (!push_text(L, name)) {
        name = lua_pushfstring(L, "%s/init.lua", stem);
        if (!push_text(L, name)) {
            lua_pushfstring(L, "no module '%s' inside vegttt", module);
            return 1;
        }
    }
    size_t n;
    const char *text = lua_tolstring(L, -1, &n);
    const char *chunk = lua_pushfstring(L, "@%s", name);
    if (luaL_loadbufferx(L, text, n, chunk, "t") != LUA_OK)
        return lua_error(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &own_globals_key);
    lua_setupvalue(L, -2, 1);
    lua_pushstring(L, name);
    return 2;
}

/* core.embedded(prefix) -> sorted names of the Lua half's files that start with prefix. */
static int l_embedded(lua_State *L)
{
    const char *prefix = luaL_checkstring(L, 1);
    vt_bind *b = vt_lua_bind(L);
    lua_Integer n = 0;
    lua_newtable(L);
    for (const struct vt_embedded *e = b->host.lua; e && e->name; e++) {
        if (strncmp(e->name, prefix, strlen(prefix)) != 0)
            continue;
        lua_pushstring(L, e->name);
        lua_rawseti(L, -2, ++n);
    }
    if (!b->host.lua_dir)
        return 1;
    char **names = NULL;
    size_t n_names = 0;
    const char *dir = lua_pushfstring(L, "%s/%s", b->host.lua_dir, prefix);
    if (vt_fs_list(dir, &names, &n_names, NULL) == VT_OK) {
        lua_pop(L, 2);
        lua_newtable(L);
        for (size_t i = 0; i < n_names; i++) {
            lua_pushfstring(L, "%s%s", prefix, names[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        vt_fs_list_free(names, n_names);
        return 1;
    }
    lua_pop(L, 1);
    return 1;
}

static int l_embedded_text(lua_State *L)
{
    return push_text(L, luaL_checkstring(L, 1)) ? 1 : 0;
}

static int open_core(lua_State *L)
{
    static const luaL_Reg functions[] = {{"embedded", l_embedded}, {"embedded_text", l_embedded_text}, {NULL, NULL}};
    luaL_newlib(L, functions);
    lua_pushboolean(L, vt_lua_bind(L)->host.tty);
    lua_setfield(L, -2, "tty");
    lua_pushliteral(L, VEGTTT_VERSION);
    lua_setfield(L, -2, "version");
    lua_pushglobaltable(L); /* what scripts see */
    lua_setfield(L, -2, "globals");
    vt_lua_add_json(L);
    vt_lua_add_vector(L);
    vt_lua_add_args(L);
    vt_lua_add_misc(L);
    vt_lua_add_files(L);
    vt_lua_add_ops(L);
    vt_lua_add_task(L);
    vt_lua_add_policy(L);
    vt_lua_add_train(L);
    vt_lua_add_eval(L);
    vt_lua_add_check(L);
    vt_lua_add_tokens(L);
    vt_lua_add_serve(L);
    vt_lua_add_store(L);
    vt_lua_add_plot(L);
    vt_lua_add_stats(L);
    return 1;
}

/* Runs protected: everything here may raise. */
static int set_up(lua_State *L)
{
    luaL_openlibs(L);
    keep_own_globals(L);
    vt_lua_add_guards(L);
    luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
    lua_pushcfunction(L, open_core);
    lua_setfield(L, -2, "vegttt.core");
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "searchers");
    for (lua_Integer i = (lua_Integer)lua_rawlen(L, -1); i >= 2; i--) {
        lua_rawgeti(L, -1, i);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushcfunction(L, searcher);
    lua_rawseti(L, -2, 2);
    lua_sethook(L, hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
    return 0;
}

vt_status vt_bind_open(const struct vt_bind_host *host, vt_bind **out, vt_err *err)
{
    vt_bind *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "No memory for the Lua engine; free some and try again");
    b->host = *host;
    b->last_turn_s = vt_now_s();
    vt_status status = vt_loop_new(&b->loop, err);
    if (status == VT_OK)
        status = vt_loop_on_signal(b->loop, on_signal, b, err);
    if (status != VT_OK)
        goto out;
    status = VT_ENOMEM;
    b->lease = vt_lease_new();
    b->L = luaL_newstate();
    if (!b->lease || !b->L) {
        vt_fail(err, VT_ENOMEM, "No memory for the Lua engine; free some and try again");
        goto out;
    }
    *(vt_bind **)lua_getextraspace(b->L) = b;
    lua_pushcfunction(b->L, set_up);
    if (lua_pcall(b->L, 0, 0, 0) != LUA_OK) {
        vt_fail(err, VT_EINTERNAL, "Could not start Lua: %s", lua_tostring(b->L, -1));
        goto out;
    }
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
    vt_lua_close_evals(b);
    vt_lua_close_policies(b);
    vt_lua_drop_posted(b);
    if (b->L)
        lua_close(b->L);
    vt_loop_free(b->loop);
    vt_lease_free(b->lease);
    free(b);
}
