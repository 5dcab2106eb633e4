/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_worker.c: a worker of a queue (engine/farm/worker.h) for the Lua half: one operation that ends when the worker
 * was stopped or its queue cannot be used. What it has to tell is kept until somebody asks for it.
 */
#include "bind/lua_core.h"
#include "bind/lua_eval.h"
#include "bind/lua_open.h"
#include "farm/worker.h"
#include <string.h>

static const char worker_type[] = "vt.worker";
/* The second evaluator judges what shall confirm another verdict: with processes and secret inputs of its own. */
enum { FIRST, AGAIN, N_EVALUATORS, NOTES_MAX = 16 << 10 };

struct handle {
    vt_farm_worker *worker;
    struct vt_redis_address address;
    struct vt_lua_eval *evaluator[N_EVALUATORS];
    struct worker_op *op;
    struct vt_buf notes;
};

struct worker_op {
    struct vt_op op;
    struct vt_farm_worker_count count;
};

/* ---- what the worker asks ---- */

static vt_status evaluator_of(const struct handle *h, int which, vt_eval **out, vt_err *err)
{
    *out = vt_lua_evaluator(h->evaluator[which]);
    return *out ? VT_OK : vt_fail(err, VT_ECANCELLED, "not judged: the evaluator is closed");
}

static vt_status submit(void *arg, const struct vt_eval_request *r, vt_eval_done *done, void *done_arg, vt_err *err)
{
    vt_eval *e;
    VT_TRY(evaluator_of(arg, r->confirms ? AGAIN : FIRST, &e, err));
    return vt_eval_submit(e, r, done, done_arg, err);
}

static void withdraw(void *arg, void *done_arg)
{
    vt_eval *e;
    for (int i = 0; i < N_EVALUATORS; i++)
        if (evaluator_of(arg, i, &e, NULL) == VT_OK)
            vt_eval_cancel(e, done_arg);
}

static vt_status key(void *arg, const struct vt_eval_request *r, char out[VT_EVAL_KEY_SIZE], vt_err *err)
{
    vt_eval *e;
    VT_TRY(evaluator_of(arg, FIRST, &e, err));
    return vt_eval_key(e, r, out, err);
}

static void note(void *arg, const char *sentence)
{
    struct handle *h = arg;
    if (h->notes.len + strlen(sentence) + 1 >= NOTES_MAX)
        return; /* nobody asks: the first ones say more than the last */
    vt_buf_puts(&h->notes, sentence);
    vt_buf_putc(&h->notes, '\n');
}

static void ended(void *arg, vt_status status, const vt_err *err, const struct vt_farm_worker_count *count)
{
    struct handle *h = arg;
    h->op->count = *count;
    vt_op_finish(h->op, status, err);
}

/* ---- the Lua side ---- */

static int worker_gc(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, worker_type);
    if (h->worker)
        vt_farm_worker_free(h->worker);
    h->worker = NULL;
    vt_redis_address_free(&h->address);
    vt_buf_free(&h->notes);
    return 0;
}

static void set(lua_State *L, const char *name, size_t n)
{
    lua_pushinteger(L, (lua_Integer)n);
    lua_setfield(L, -2, name);
}

/* -> { taken, judged, refused, known, released, taken_over } */
static int push_count(lua_State *L, struct vt_op *base, int idx)
{
    const struct vt_farm_worker_count *n = &((struct worker_op *)base)->count;
    (void)idx;
    lua_createtable(L, 0, 6);
    set(L, "taken", n->n_taken);
    set(L, "judged", n->n_judged);
    set(L, "refused", n->n_refused);
    set(L, "known", n->n_known);
    set(L, "released", n->n_released);
    set(L, "taken_over", n->n_taken_over);
    return 1;
}

static vt_status open_worker(lua_State *L, struct handle *h, vt_err *err)
{
    vt_eval *e;
    struct vt_farm_worker_opts o = {
        .loop = vt_lua_bind(L)->loop,
        .address = &h->address,
        .judge = {h, submit, withdraw},
        .key = key,
        .max_in_flight = (int)vt_lua_int(L, 3, "in_flight", 0),
        .lease_s = vt_lua_num(L, 3, "lease", 0),
        .note = note,
        .ended = ended,
        .arg = h,
    };
    VT_TRY(evaluator_of(h, FIRST, &e, err));
    VT_TRY(vt_eval_class_of(e, &o.class, err));
    VT_TRY(vt_redis_address_read(vt_lua_str(L, 3, "queue", ""), &h->address, err));
    return vt_farm_worker_open(&o, &h->worker, err);
}

/* core.worker(evaluator, the one of second judgements, { queue, in_flight, lease }) -> op, worker. The op ends when the
 * worker was stopped and holds nothing any more, or when the queue cannot be used. */
static int l_worker(lua_State *L)
{
    vt_err err;
    lua_settop(L, 3);
    struct handle *h = lua_newuserdatauv(L, sizeof *h, N_EVALUATORS);
    memset(h, 0, sizeof *h);
    vt_buf_init(&h->notes, NOTES_MAX);
    luaL_setmetatable(L, worker_type);
    for (int i = 0; i < N_EVALUATORS; i++) {
        h->evaluator[i] = vt_lua_eval(L, 1 + i);
        lua_pushvalue(L, 1 + i);
        lua_setiuservalue(L, 4, 1 + i);
    }
    h->op = vt_op_new(L, sizeof *h->op, "vegttt worker", push_count, NULL);
    lua_pushvalue(L, 4);
    lua_setiuservalue(L, 5, 1);
    vt_op_start(L, 5);
    if (open_worker(L, h, &err) != VT_OK) {
        vt_op_abort(L, 5);
        return vt_lua_raise(L, "vegttt worker", &err);
    }
    lua_pushvalue(L, 4);
    return 2;
}

/* core.worker_stop(worker): takes no more; what has not begun is given back. */
static int l_stop(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, worker_type);
    vt_farm_worker_stop(h->worker);
    return 0;
}

/* core.worker_notes(worker) -> what it had to tell since the last call, a line each; "" = nothing. */
static int l_notes(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, worker_type);
    lua_pushlstring(L, h->notes.p, h->notes.len);
    vt_buf_clear(&h->notes);
    return 1;
}

/* core.worker_name(worker): 16 hexadecimal digits, its name in the queue. */
static int l_name(lua_State *L)
{
    struct handle *h = luaL_checkudata(L, 1, worker_type);
    lua_pushstring(L, vt_farm_worker_name(h->worker));
    return 1;
}

void vt_lua_add_worker(lua_State *L)
{
    static const luaL_Reg functions[] = {{"worker", l_worker},
                                         {"worker_stop", l_stop},
                                         {"worker_notes", l_notes},
                                         {"worker_name", l_name},
                                         {NULL, NULL}};
    luaL_newmetatable(L, worker_type);
    lua_pushcfunction(L, worker_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
