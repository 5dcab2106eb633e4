/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_stop.c: what a runaway script meets.
 *
 * A count hook runs every ten thousand instructions: when a script has not let the loop run for five seconds it is
 * named once, with its position; when an interrupt arrived and the script does not come to a wait it is stopped there.
 * A script that computes past the run's deadline (core.deadline) is stopped too. One that catches that and goes on is
 * taken from its coroutine. Scripts are coroutines; the scheduler, on the main thread, is never stopped here. What no
 * hook can stop, one call of C, is warden.h's matter.
 */
#include "bind/lua_stop.h"
#include "base/clock.h"
#include "bind/lua_cell.h"
#include "bind/lua_core.h"
#include "bind/warden.h"
#include <stdio.h>
#include <string.h>

enum { HOOK_INSTRUCTIONS = 10000 };
static const double runaway_s = 5.0, interrupted_s = 0.5;

static bool is_main_thread(lua_State *L)
{
    return L == vt_lua_bind(L)->scheduler;
}

/* "file:line: " of what runs, or "". */
static void position(lua_State *L, lua_Debug *ar, char *out, size_t size)
{
    out[0] = '\0';
    if (lua_getinfo(L, "Sl", ar) && ar->currentline > 0)
        snprintf(out, size, "%s:%d: ", ar->short_src, ar->currentline);
}

/* Raises the error; from one that caught it before and goes on it takes the coroutine, which the scheduler does not
 * resume. */
static void stop_script(lua_State *L, vt_bind *b, const vt_err *err)
{
    if (b->has_stopped_script && lua_isyieldable(L)) {
        (void)lua_yield(L, 0);
        return;
    }
    b->has_stopped_script = true;
    vt_lua_raise(L, "main", err);
}

/* For functions that may block: raises where the script is not to go on. */
void vt_lua_check_stop(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    vt_err err;
    lua_Debug ar;
    int n_run = 0;
    char where[160] = "";
    for (int level = 1; !where[0] && lua_getstack(L, level, &ar); level++)
        if (lua_getinfo(L, "S", &ar) && strncmp(ar.source, "@vegttt/", 8) != 0)
            position(L, &ar, where, sizeof where);
    if (b->deadline_s > 0 && vt_now_s() > b->deadline_s)
        vt_fail(&err, VT_EBUDGET, "%s%s", where, b->deadline_text);
    else if (vt_loop_turn(b->loop, 0, &n_run, NULL) == VT_OK && vt_bind_root(b)->n_signals > 0)
        vt_fail(&err, VT_ECANCELLED, "%sinterrupted", where);
    else
        return;
    b->has_stopped_script = true;
    vt_lua_raise(L, "main", &err);
}

static void hook(lua_State *L, lua_Debug *ar)
{
    vt_bind *b = vt_lua_bind(L);
    double now = vt_now_s(), since = now - b->last_turn_s;
    char where[160];
    vt_err err;
    vt_warden_alive(b->warden);
    if (b->deadline_s > 0 && now > b->deadline_s && !is_main_thread(L)) {
        position(L, ar, where, sizeof where);
        vt_fail(&err, VT_EBUDGET, "%s%s", where, b->deadline_text);
        stop_script(L, b, &err);
        return;
    }
    bool is_interrupted = vt_warden_is_overdue(b->warden) || (vt_bind_root(b)->n_signals > 0 && since > interrupted_s);
    if (!is_interrupted && since < runaway_s)
        return;
    int n_run = 0;
    if (vt_loop_turn(b->loop, 0, &n_run, NULL) != VT_OK)
        return;
    position(L, ar, where, sizeof where);
    if (vt_bind_root(b)->n_signals > 0 && !is_main_thread(L)) {
        vt_fail(&err, VT_ECANCELLED, "%sinterrupted: the script had not waited for %.1f s", where, since);
        stop_script(L, b, &err);
        return;
    }
    if (since > runaway_s && b->warned_s < b->last_turn_s && !is_main_thread(L)) { /* verbs compute there */
        b->warned_s = now;
        char text[256];
        int n = snprintf(
            text, sizeof text,
            "vegttt: warning: %sno wait for 5 s; while a script computes, nothing else runs (Ctrl-C stops it)\n",
            where);
        b->host.print(b->host.arg, VT_STDERR, text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
    }
}

void vt_lua_watch_script(lua_State *L)
{
    lua_sethook(L, hook, LUA_MASKCOUNT, HOOK_INSTRUCTIONS);
}
