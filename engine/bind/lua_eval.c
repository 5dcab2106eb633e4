/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_eval.c: the evaluator for the Lua half. A verdict crosses as the JSON record that evals.jsonl keeps, so that a
 * verdict read back on resume and one just made are the same value.
 */
#include "bind/lua_eval.h"
#include "base/alloc.h"
#include "bind/lua_copy.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "eval/c/assemble.h"
#include "eval/c/c_tier.h"
#include "eval/tier.h"
#include "farm/ask.h"
#include "net/redis.h"
#include <stdlib.h>
#include <string.h>

static const char eval_type[] = "vt.evaluator";

struct vt_lua_eval {
    vt_eval *e;
    bool is_lent; /* another state's; that one closes it */
    struct vt_lua_eval *next;
};

struct eval_op {
    struct vt_op op;
    vt_eval *asked;
    char *json, *feedback;
    struct vt_verdict v; /* its strings point nowhere after done */
};

struct vt_lua_eval *vt_lua_eval(lua_State *L, int idx)
{
    struct vt_lua_eval *h = luaL_checkudata(L, idx, eval_type);
    if (!h->e)
        luaL_error(L, "the evaluator was closed");
    return h;
}

vt_eval *vt_lua_evaluator(const struct vt_lua_eval *h)
{
    return h->e;
}

static void unlink_handle(vt_bind *b, struct vt_lua_eval *h)
{
    for (struct vt_lua_eval **p = &b->evals; *p; p = &(*p)->next)
        if (*p == h) {
            *p = h->next;
            return;
        }
}

static int eval_gc(lua_State *L)
{
    struct vt_lua_eval *h = luaL_checkudata(L, 1, eval_type);
    unlink_handle(vt_lua_bind(L), h);
    if (h->e && !h->is_lent)
        vt_eval_close(h->e);
    h->e = NULL;
    return 0;
}

bool vt_lua_lend_evaluator(lua_State *from, int idx, lua_State *L)
{
    const struct vt_lua_eval *theirs = luaL_testudata(from, idx, eval_type);
    if (!theirs || !theirs->e)
        return false;
    struct vt_lua_eval *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (struct vt_lua_eval){.e = theirs->e, .is_lent = true};
    luaL_setmetatable(L, eval_type);
    return true;
}

void vt_lua_close_evals(vt_bind *b)
{
    for (struct vt_lua_eval *h = b->evals; h; h = h->next) {
        vt_eval_close(h->e);
        h->e = NULL;
    }
    b->evals = NULL;
}

/* core.eval_open{ store, cc, n_build, secret, unsafe_jail, tier, queue } -> handle, { version, machine }. With a
 * queue's address its workers judge, and of the rest nothing counts. */
static int l_open(lua_State *L)
{
    vt_err err;
    vt_bind *b = vt_lua_bind(L);
    struct vt_eval_opts o = {
        .tier = vt_lua_str(L, 1, "tier", NULL),
        .cc = vt_lua_str(L, 1, "cc", NULL),
        .store = vt_lua_str(L, 1, "store", NULL),
        .n_build = (int)vt_lua_int(L, 1, "n_build", 0),
        .secret = (uint64_t)vt_lua_int(L, 1, "secret", 0),
        .unsafe_jail = vt_lua_bool(L, 1, "unsafe_jail", false),
        .lease = b->lease,
    };
    struct vt_lua_eval *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    luaL_setmetatable(L, eval_type);
    const char *queue = vt_lua_str(L, 1, "queue", NULL);
    if ((queue ? vt_ask_open(queue, 0, &h->e, &err) : vt_eval_open(&o, &h->e, &err)) != VT_OK)
        return vt_lua_raise(L, "vt.eval", &err);
    h->next = b->evals;
    b->evals = h;
    lua_createtable(L, 0, 2);
    lua_pushstring(L, vt_eval_version(h->e));
    lua_setfield(L, -2, "version");
    lua_pushstring(L, vt_eval_machine(h->e));
    lua_setfield(L, -2, "machine");
    return 2;
}

/* core.eval_identity() -> { version, machine } of the evaluator that would be opened. */
static int l_identity(lua_State *L)
{
    vt_err err;
    struct vt_c_identity who;
    if (vt_c_identity_of(NULL, &who, &err) != VT_OK)
        return vt_lua_raise(L, "vt.eval", &err);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, who.version);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, who.machine);
    lua_setfield(L, -2, "machine");
    return 1;
}

/* Evaluator thread. */
static void done(void *arg, vt_status status, const vt_err *err, const vt_verdict *v)
{
    struct eval_op *e = arg;
    if (v) {
        e->v = *v;
        e->json = vt_strdup(v->json ? v->json : "{}");
        e->feedback = vt_strdup(v->feedback ? v->feedback : "");
        if (!e->json || !e->feedback) {
            vt_err none;
            vt_op_finish(e, vt_fail(&none, VT_ENOMEM, "No memory for a verdict; lower k or free some"), &none);
            return;
        }
    }
    vt_op_finish(e, status, err);
}

static void set_num(lua_State *L, const char *key, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, key);
}

static void set_bool(lua_State *L, const char *key, bool v)
{
    lua_pushboolean(L, v);
    lua_setfield(L, -2, key);
}

/* -> record text, fields that are the same for every evaluator version. */
static int push(lua_State *L, struct vt_op *op, int idx)
{
    struct eval_op *e = (struct eval_op *)op;
    (void)idx;
    lua_pushstring(L, e->json);
    lua_createtable(L, 0, 16);
    lua_pushstring(L, vt_verdict_status_name(e->v.status));
    lua_setfield(L, -2, "status");
    lua_pushstring(L, e->feedback);
    lua_setfield(L, -2, "feedback");
    set_bool(L, "correct", e->v.correct);
    set_bool(L, "is_copy", e->v.is_copy);
    set_bool(L, "cached", e->v.cached);
    set_num(L, "speedup", e->v.speedup);
    set_num(L, "speedup_measured", e->v.speedup_measured);
    set_num(L, "speedup_lo", e->v.speedup_lo);
    set_num(L, "speedup_hi", e->v.speedup_hi);
    set_num(L, "speedup_tuned", e->v.speedup_tuned);
    set_num(L, "runtime_us", e->v.runtime_us);
    set_num(L, "baseline_us", e->v.baseline_us);
    set_num(L, "worst", e->v.worst);
    set_num(L, "roofline", e->v.roofline);
    return 2;
}

static void cancel(struct vt_op *op)
{
    vt_eval_cancel(((struct eval_op *)op)->asked, op);
}

static void release(struct vt_op *op)
{
    struct eval_op *e = (struct eval_op *)op;
    free(e->json);
    free(e->feedback);
}

static void read_request(lua_State *L, struct vt_eval_request *r)
{
    static const struct vt_eval_request none;
    *r = none;
    r->task = vt_lua_task(L, 2);
    r->code = luaL_checklstring(L, 3, &r->code_len);
    r->extract = vt_lua_bool(L, 4, "extract", false);
    r->protocol = strcmp(vt_lua_str(L, 4, "protocol", "fast"), "full") == 0 ? VT_PROTOCOL_FULL : VT_PROTOCOL_FAST;
    r->tier = vt_lua_str(L, 4, "tier", NULL);
    r->scale = vt_lua_str(L, 4, "scale", NULL);
    r->fresh = vt_lua_bool(L, 4, "fresh", false);
    r->replicate = (int)vt_lua_int(L, 4, "replicate", 0);
    r->confirms = vt_lua_str(L, 4, "confirms", NULL);
}

/* core.eval_submit(handle, task, code, { extract, protocol, tier, scale, fresh, replicate, confirms }) -> op. */
static int l_submit(lua_State *L)
{
    vt_err err;
    struct vt_lua_eval *h = vt_lua_eval(L, 1);
    struct vt_eval_request r;
    read_request(L, &r);
    struct eval_op *e = vt_op_new(L, sizeof *e, "vt.eval", push, release);
    e->asked = h->e;
    e->op.cancel = cancel;
    vt_op_start(L, -1);
    if (vt_eval_submit(h->e, &r, done, e, &err) != VT_OK) {
        vt_op_abort(L, -1);
        return vt_lua_raise(L, "vt.eval", &err);
    }
    return 1;
}

/* core.eval_key(handle, task, code, options of eval_submit) -> the key that the verdict's record will have. */
static int l_key(lua_State *L)
{
    vt_err err;
    char key[VT_EVAL_KEY_SIZE];
    struct vt_lua_eval *h = vt_lua_eval(L, 1);
    struct vt_eval_request r;
    read_request(L, &r);
    if (vt_eval_key(h->e, &r, key, &err) != VT_OK)
        return vt_lua_raise(L, "vt.eval", &err);
    lua_pushstring(L, key);
    return 1;
}

static void release_code(void *p)
{
    vt_code_free(p);
    free(p);
}

/* The code of a text, in a guard that is pushed. */
static struct vt_code *extract(lua_State *L, int idx, const char *name, bool is_answer)
{
    size_t n;
    vt_err err;
    const char *text = luaL_checklstring(L, idx, &n);
    struct vt_guard *g = vt_lua_guard(L, release_code);
    struct vt_code *c = vt_alloc(sizeof *c);
    if (!c)
        luaL_error(L, "no memory for the code of an answer");
    g->p = c;
    if (vt_extract(text, n, name, is_answer, c, &err) != VT_OK)
        vt_lua_raise(L, "vt.eval", &err);
    return c;
}

/* core.assemble(task, code): the translation unit that is compiled for a candidate, or nil when it is none. */
static int l_assemble(lua_State *L)
{
    vt_err err;
    const vt_task *t = vt_lua_task(L, 1);
    struct vt_code *c = extract(L, 2, vt_task_name(t), false);
    struct vt_buf *unit = vt_lua_buf(L, 0);
    if (!c->text)
        return 0;
    if (vt_assemble(t, c, unit, &err) != VT_OK)
        return vt_lua_raise(L, "vt.eval", &err);
    lua_pushlstring(L, unit->p, unit->len);
    return 1;
}

/* core.extract(answer, name or nil) -> code, from, to, is whole function; the code stands in the bytes [from, to) of
 * the answer. nil, why: it holds none that ends. */
static int l_extract(lua_State *L)
{
    struct vt_code *c = extract(L, 1, luaL_optstring(L, 2, NULL), true);
    if (!c->text) {
        lua_pushnil(L);
        lua_pushstring(L, c->why);
        return 2;
    }
    lua_pushlstring(L, c->text, c->len);
    lua_pushinteger(L, (lua_Integer)c->from);
    lua_pushinteger(L, (lua_Integer)c->to);
    lua_pushboolean(L, c->is_whole);
    return 4;
}

/* core.eval_tiers() -> the names of the tiers there are, the best one first. */
static int l_tiers(lua_State *L)
{
    lua_newtable(L);
    for (int i = 0; vt_tiers[i]; i++) {
        lua_pushstring(L, vt_tiers[i]->name);
        lua_rawseti(L, -2, i + 1);
    }
    return 1;
}

/* core.prompt(task, body or nil, tier or nil): what a model is shown of the task. */
static int l_prompt(lua_State *L)
{
    vt_err err;
    lua_settop(L, 3);
    struct vt_guard *g = vt_lua_guard(L, free);
    char *text = NULL;
    if (vt_eval_prompt(luaL_optstring(L, 3, NULL), vt_lua_task(L, 1), luaL_optstring(L, 2, NULL), &text, &err) != VT_OK)
        return vt_lua_raise(L, "task:prompt", &err);
    g->p = text;
    lua_pushstring(L, text);
    return 1;
}

/* core.eval_queue(handle of a queue's evaluator) -> { workers, waiting, out, again, up, why }. */
static int l_queue(lua_State *L)
{
    struct vt_ask_state state;
    vt_ask_state(vt_lua_eval(L, 1)->e, &state);
    lua_createtable(L, 0, 6);
    set_num(L, "workers", (double)state.n_workers);
    set_num(L, "waiting", (double)state.n_waiting);
    set_num(L, "out", (double)state.n_out);
    set_num(L, "again", (double)state.n_again);
    set_bool(L, "up", state.is_up);
    lua_pushstring(L, state.why);
    lua_setfield(L, -2, "why");
    return 1;
}

/* core.queue_problem(address) -> a sentence when it is no queue's address, else nil. */
static int l_queue_problem(lua_State *L)
{
    vt_err err;
    struct vt_redis_address a;
    if (vt_redis_address_read(luaL_checkstring(L, 1), &a, &err) == VT_OK) {
        vt_redis_address_free(&a);
        return 0;
    }
    lua_pushstring(L, err.msg);
    return 1;
}

static int l_cancel(lua_State *L)
{
    vt_eval_cancel_all(vt_lua_eval(L, 1)->e);
    return 0;
}

/* malformed: the status of an answer without code. */
void vt_lua_add_eval(lua_State *L)
{
    static const luaL_Reg functions[] = {{"eval_open", l_open},
                                         {"eval_identity", l_identity},
                                         {"eval_submit", l_submit},
                                         {"eval_key", l_key},
                                         {"eval_cancel", l_cancel},
                                         {"eval_queue", l_queue},
                                         {"queue_problem", l_queue_problem},
                                         {"assemble", l_assemble},
                                         {"extract", l_extract},
                                         {"prompt", l_prompt},
                                         {"eval_tiers", l_tiers},
                                         {NULL, NULL}};
    luaL_newmetatable(L, eval_type);
    lua_pushcfunction(L, eval_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_pushstring(L, vt_verdict_status_name(VT_MALFORMED));
    lua_setfield(L, -2, "malformed");
}
