/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_misc.c: time, hashes, random numbers, and the host's ears and mouth.
 */
#include "base/clock.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "bind/lua_cell.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "bind/warden.h"
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int l_now(lua_State *L)
{
    lua_pushnumber(L, vt_now_s());
    return 1;
}

/* core.deadline(time | nil, text): a script that still computes after core.now() has passed it is stopped with a budget
 * error that says `text`. */
static int l_deadline(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    b->deadline_s = luaL_optnumber(L, 1, 0);
    b->has_stopped_script = false;
    if (!b->parent) /* a cell's is no later than the process's, of which there is one */
        vt_warden_deadline(b->warden, b->deadline_s);
    snprintf(b->deadline_text, sizeof b->deadline_text, "%s", luaL_optstring(L, 2, ""));
    return 0;
}

/* core.warden(is_armed): whether a script that cannot be stopped from within may be ended with the process. Where none
 * may, none runs, and its commands are not waited for (lua_process.c). */
static int l_warden(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    if (b->parent) /* the process's script goes on when its cell has ended */
        return 0;
    b->is_closing = !lua_toboolean(L, 1);
    vt_warden_arm(b->warden, !b->is_closing);
    return 0;
}

/* core.last_words("interrupt" | "deadline", err_text | nil, out_text | nil): what the process says when it is ended so.
 */
static int l_last_words(lua_State *L)
{
    static const char *const causes[] = {"interrupt", "deadline", NULL};
    enum vt_warden_cause cause = luaL_checkoption(L, 1, NULL, causes) == 0 ? VT_WARDEN_INTERRUPT : VT_WARDEN_DEADLINE;
    vt_warden_last_words(vt_lua_bind(L)->warden, cause, luaL_optstring(L, 2, NULL), luaL_optstring(L, 3, NULL));
    return 0;
}

/* core.signals() -> the interrupts so far, those included that nobody has waited for. */
static int l_signals(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    int n_run = 0;
    (void)!vt_loop_turn(b->loop, 0, &n_run, NULL);
    lua_pushinteger(L, vt_bind_root(b)->n_signals);
    return 1;
}

/* core.forget_interrupts(): those that came so far were answered; the next one is the first again. */
static int l_forget_interrupts(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    vt_bind_root(b)->n_signals = 0;
    b->has_stopped_script = false;
    vt_warden_calm(b->warden);
    return 0;
}

static int l_sha256(lua_State *L)
{
    size_t n;
    char hex[VT_SHA256_HEX];
    const char *s = luaL_checklstring(L, 1, &n);
    vt_sha256_of(s, n, hex);
    lua_pushstring(L, hex);
    return 1;
}

/* core.seed(seed, label) -> the derived 64-bit stream. */
static int l_seed(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)vt_seed_str((uint64_t)luaL_checkinteger(L, 1), luaL_checkstring(L, 2)));
    return 1;
}

/* core.uniform(key, at) -> the at-th draw of the stream, in [0, 1). */
static int l_uniform(lua_State *L)
{
    lua_pushnumber(L, vt_philox_uniform((uint64_t)luaL_checkinteger(L, 1), 0, (uint64_t)luaL_checkinteger(L, 2)));
    return 1;
}

/* core.u64(i): the unsigned decimal text of a 64-bit integer, as seeds are written. */
static int l_u64(lua_State *L)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, (uint64_t)luaL_checkinteger(L, 1));
    lua_pushstring(L, text);
    return 1;
}

/* core.parse_u64(text): its inverse. */
static int l_parse_u64(lua_State *L)
{
    lua_pushinteger(L, (lua_Integer)strtoull(luaL_checkstring(L, 1), NULL, 10));
    return 1;
}

static int print_to(lua_State *L, enum vt_output stream)
{
    size_t n;
    vt_bind *b = vt_lua_bind(L);
    const char *s = luaL_checklstring(L, 1, &n);
    b->host.print(b->host.arg, stream, s, n);
    return 0;
}

static int l_out(lua_State *L)
{
    return print_to(L, VT_STDOUT);
}

static int l_err(lua_State *L)
{
    return print_to(L, VT_STDERR);
}

static int l_progress(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    luaL_checktype(L, 1, LUA_TTABLE);
    struct vt_progress p = {
        .stage = vt_lua_str(L, 1, "stage", ""),
        .counts = vt_lua_str(L, 1, "counts", ""),
        .best = vt_lua_str(L, 1, "best", ""),
        .n_samples = vt_lua_num(L, 1, "n_samples", 0),
        .n_samples_planned = vt_lua_num(L, 1, "n_samples_planned", 0),
        .n_evals = vt_lua_num(L, 1, "n_evals", 0),
        .n_evals_planned = vt_lua_num(L, 1, "n_evals_planned", 0),
        .n_updates = vt_lua_num(L, 1, "n_updates", 0),
        .n_updates_planned = vt_lua_num(L, 1, "n_updates_planned", 0),
        .elapsed_s = vt_lua_num(L, 1, "elapsed_s", 0),
        .eta_s = vt_lua_num(L, 1, "eta_s", -1),
    };
    b->host.progress(b->host.arg, &p);
    return 0;
}

/* core.panel(lines): in the place of the progress, on a terminal. */
static int l_panel(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    const char *text = luaL_checkstring(L, 1);
    if (b->host.panel)
        b->host.panel(b->host.arg, text);
    return 0;
}

/* core.columns() -> how many letters a line of standard output takes. */
static int l_columns(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    lua_pushinteger(L, b->host.columns ? b->host.columns(b->host.arg) : 80);
    return 1;
}

static int l_raw(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    if (b->host.raw)
        b->host.raw(b->host.arg, lua_toboolean(L, 1));
    return 0;
}

/* core.key() -> the next byte typed as a string, "" at the end of the input, nil where there is none yet. */
static int l_key(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    int key = b->host.key ? b->host.key(b->host.arg) : -2;
    char byte = (char)key;
    if (key == -1)
        return 0;
    lua_pushlstring(L, &byte, key < 0 ? 0 : 1);
    return 1;
}

/* core.can_ask() -> is somebody there to answer a question? */
static int l_can_ask(lua_State *L)
{
    lua_pushboolean(L, isatty(STDIN_FILENO) && isatty(STDERR_FILENO));
    return 1;
}

/* core.ask(question) -> the line typed, or nil at the end of the input. While it waits no turn of the loop would see a
 * Ctrl-C, so that has its usual effect here: questions come before anything that would have to be kept. */
static int l_ask(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    size_t len;
    const char *question = luaL_checklstring(L, 1, &len);
    char line[1024];
    sigset_t interrupt, old;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    b->host.print(b->host.arg, VT_STDERR, question, len);
    pthread_sigmask(SIG_UNBLOCK, &interrupt, &old);
    char *typed = fgets(line, sizeof line, stdin);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    lua_pushstring(L, typed);
    return 1;
}

void vt_lua_add_misc(lua_State *L)
{
    static const luaL_Reg functions[] = {{"now", l_now},
                                         {"deadline", l_deadline},
                                         {"warden", l_warden},
                                         {"last_words", l_last_words},
                                         {"signals", l_signals},
                                         {"forget_interrupts", l_forget_interrupts},
                                         {"sha256", l_sha256},
                                         {"seed", l_seed},
                                         {"uniform", l_uniform},
                                         {"u64", l_u64},
                                         {"parse_u64", l_parse_u64},
                                         {"out", l_out},
                                         {"err", l_err},
                                         {"progress", l_progress},
                                         {"panel", l_panel},
                                         {"columns", l_columns},
                                         {"raw", l_raw},
                                         {"key", l_key},
                                         {"ask", l_ask},
                                         {"can_ask", l_can_ask},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
