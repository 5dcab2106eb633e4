/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_serve.c: the server of judgements (engine/farm/serve.h) for the Lua half: one operation that ends when the input
 * does, and the function that finds tasks, which are Lua files.
 *
 * That function is called from within the loop, that is while core.turn waits, on a Lua thread of its own: nothing else
 * runs then, and what it raises becomes an answer. A task file cannot keep it (lua_task_text.c). The server keeps its
 * evaluator alive; an evaluator that was closed all the same takes no requests.
 */
#include "bind/lua_core.h"
#include "bind/lua_eval.h"
#include "bind/lua_open.h"
#include "farm/serve.h"
#include <string.h>
#include <unistd.h>

static const char serve_type[] = "vt.serve";
enum { KEPT_EVALUATOR = 1, KEPT_THREAD, N_KEPT };
enum { FINDER = 1 };

struct handle {
    vt_serve *server;
    struct vt_lua_eval *evaluator;
    lua_State *thread; /* at FINDER of its stack: the function that finds tasks */
    struct serve_op *op;
};

struct serve_op {
    struct vt_op op;
    struct vt_serve_count count;
};

/* ---- what the server asks ---- */

static vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err)
{
    struct handle *h = arg;
    vt_eval *e = vt_lua_evaluator(h->evaluator);
    return e ? vt_eval_submit(e, r, done, done_arg, err)
             : vt_fail(err, VT_ECANCELLED, "not judged: the evaluator is closed");
}

static void withdraw(void *arg, void *done_arg)
{
    struct handle *h = arg;
    vt_eval *e = vt_lua_evaluator(h->evaluator);
    if (e)
        vt_eval_cancel(e, done_arg);
}

struct wanted {
    const char *what;
    vt_task *task;
};

/* Protected: find, wanted. */
static int call_find(lua_State *L)
{
    struct wanted *w = lua_touserdata(L, 2);
    lua_settop(L, 1);
    lua_pushstring(L, w->what);
    lua_call(L, 1, 1);
    w->task = vt_task_ref(vt_lua_task(L, -1));
    return 0;
}

/* Message handler: the sentence of whatever was raised, after a letter that says whether the request is to blame. */
static int describe(lua_State *L)
{
    const char *blame = "e";
    if (lua_istable(L, 1) && lua_getfield(L, 1, "kind") == LUA_TSTRING) {
        const char *kind = lua_tostring(L, -1);
        if (strcmp(kind, "usage") == 0 || strcmp(kind, "misuse") == 0 || strcmp(kind, "script") == 0)
            blame = "r";
    }
    lua_pushfstring(L, "%s%s", blame, luaL_tolstring(L, 1, NULL));
    return 1;
}

static vt_status find_task(void *arg, const char *what, vt_task **out, vt_err *err)
{
    struct handle *h = arg;
    lua_State *L = h->thread;
    vt_status status = VT_OK;
    struct wanted wanted = {.what = what};
    lua_settop(L, FINDER);
    lua_pushcfunction(L, describe);
    lua_pushcfunction(L, call_find);
    lua_pushvalue(L, FINDER);
    lua_pushlightuserdata(L, &wanted);
    if (lua_pcall(L, 2, 0, FINDER + 1) != LUA_OK) {
        const char *message = lua_tostring(L, -1);
        bool is_blamed = message && message[0] == 'r';
        status = vt_fail(err, is_blamed ? VT_EINVAL : VT_EIO, "%s",
                         message && message[0] ? message + 1 : "the task could not be read");
    }
    lua_settop(L, FINDER);
    *out = wanted.task;
    return status;
}

static void ended(void *arg, vt_status status, const vt_err *err, const struct vt_serve_count *count)
{
    struct handle *h = arg;
    h->op->count = *count;
    vt_op_finish(h->op, status, err);
}

/* ---- the Lua side ---- */

static int serve_gc(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, serve_type);
    vt_serve_free(h->server);
    h->server = NULL;
    return 0;
}

static void set(lua_State *L, const char *key, size_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, key);
}

/* -> { requests, judged, refused, dropped } */
static int push_count(lua_State *L, struct vt_op *base, int idx)
{
    const struct vt_serve_count *n = &((struct serve_op *)base)->count;
    (void)idx;
    lua_createtable(L, 0, 4);
    set(L, "requests", n->n_requests);
    set(L, "judged", n->n_judged);
    set(L, "refused", n->n_refused);
    set(L, "dropped", n->n_dropped);
    return 1;
}

/* core.serve(evaluator, { socket, in_flight }, find) -> op, server. Without a socket from standard input to standard
 * output. find(what) gives the handle of the task that a request names, or raises. The op ends when the input has ended
 * or the server was stopped, and everything was answered. */
static int l_serve(lua_State *L)
{
    vt_err err;
    struct vt_lua_eval *evaluator = vt_lua_eval(L, 1);
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_settop(L, 3);
    struct handle *h = lua_newuserdatauv(L, sizeof *h, N_KEPT - 1);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, serve_type);
    h->evaluator = evaluator;
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, 4, KEPT_EVALUATOR);
    h->thread = lua_newthread(L);
    lua_sethook(h->thread, NULL, 0, 0); /* the usual hook would turn the loop, from which this is called */
    lua_pushvalue(L, 3);
    lua_xmove(L, h->thread, 1);
    lua_setiuservalue(L, 4, KEPT_THREAD);
    h->op = vt_op_new(L, sizeof *h->op, "eval --serve", push_count, NULL);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, 5, 1);
    const struct vt_serve_opts o = {
        .loop = vt_lua_bind(L)->loop,
        .judge = {h, submit, withdraw},
        .task = find_task,
        .task_arg = h,
        .socket = vt_lua_str(L, 2, "socket", NULL),
        .in_fd = STDIN_FILENO,
        .out_fd = STDOUT_FILENO,
        .max_in_flight = (int)vt_lua_int(L, 2, "in_flight", 0),
        .ended = ended,
        .ended_arg = h,
    };
    vt_op_start(L, 5);
    if (vt_serve_open(&o, &h->server, &err) != VT_OK) {
        vt_op_abort(L, 5);
        return vt_lua_raise(L, "vegttt eval --serve", &err);
    }
    lua_pushvalue(L, 4);
    return 2;
}

/* core.serve_stop(server): no more requests; those that the evaluator has not begun are answered as not judged. */
static int l_stop(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, serve_type);
    vt_serve_stop(h->server);
    return 0;
}

void vt_lua_add_serve(lua_State *L)
{
    static const luaL_Reg functions[] = {{"serve", l_serve}, {"serve_stop", l_stop}, {NULL, NULL}};
    luaL_newmetatable(L, serve_type);
    lua_pushcfunction(L, serve_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
