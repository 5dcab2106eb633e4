/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_train.c: updates for the Lua half, whole and in two halves.
 *
 * Both begin with weights and a batch (arrays of { prompt, tokens, logq, advantage }) and give a `train` handle, in
 * which the sequences live. core.update does everything under a built-in loss. core.forward gives the
 * log-probabilities; core.train_loss then fills the per-token weights with a built-in loss, core.train_set with what a
 * Lua function returned, core.step makes the new weights, and core.train_forget gives up at any moment.
 * core.train_stats measures.
 */
#include "base/alloc.h"
#include "bind/lua_open.h"
#include "bind/lua_policy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char train_type[] = "vt.train";

struct sequences {
    struct vt_train_seq *seqs;
    float **logq, **advantage; /* [n][n_tokens]; logq NULL when the batch has none */
    size_t n;
};

/* The policy is uservalue 1. Ops that write into the sequences hold the handle, so it outlives them. */
struct train {
    struct sequences s;
    vt_forward *forward;
};

static void release_sequences(struct sequences *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free((void *)(uintptr_t)s->seqs[i].prompt);
        free((void *)(uintptr_t)s->seqs[i].tokens);
        free((void *)(uintptr_t)s->seqs[i].targets);
        free(s->seqs[i].logp);
        free(s->seqs[i].w);
        free(s->logq[i]);
        free(s->advantage[i]);
    }
    free(s->seqs);
    free(s->logq);
    free(s->advantage);
    memset(s, 0, sizeof *s);
}

static struct train *check(lua_State *L, int idx)
{
    return luaL_checkudata(L, idx, train_type);
}

static void forget(struct train *t)
{
    vt_forward *f = t->forward;
    t->forward = NULL;
    vt_forward_forget(f);
}

static int train_gc(lua_State *L)
{
    struct train *t = check(L, 1);
    forget(t);
    release_sequences(&t->s);
    return 0;
}

static int32_t *copy_field(lua_State *L, int idx, const char *key, int *n)
{
    lua_getfield(L, idx, key);
    int32_t *copy = vt_lua_copy_ids(L, -1, n, key);
    lua_pop(L, 1);
    return copy;
}

/* Values of a sequence: one a token, or one a target. */
static size_t n_values(const struct vt_train_seq *q)
{
    return (size_t)q->n_tokens * (size_t)(q->k > 0 ? q->k : 1);
}

/* The targets of the sequence in the table at idx, where it has some. */
static void read_targets(lua_State *L, int idx, struct vt_train_seq *q)
{
    int n = 0;
    if (lua_getfield(L, idx, "targets") != LUA_TNIL) {
        q->targets = vt_lua_copy_ids(L, -1, &n, "targets");
        if (n == 0 || q->n_tokens == 0 || n % q->n_tokens != 0)
            luaL_error(L, "a sample of %d tokens has %d targets: give as many at every token", q->n_tokens, n);
        q->k = n / q->n_tokens;
    }
    lua_pop(L, 1);
}

/* One sequence from the table at idx. Each pointer is stored as soon as it exists, so an error leaks nothing. */
static void read_sequence(lua_State *L, int idx, struct sequences *s, size_t i)
{
    struct vt_train_seq *q = &s->seqs[i];
    s->n = i + 1;
    q->prompt = copy_field(L, idx, "prompt", &q->n_prompt);
    q->tokens = copy_field(L, idx, "tokens", &q->n_tokens);
    read_targets(L, idx, q);
    size_t n = n_values(q);
    q->logp = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *q->logp));
    q->w = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *q->w));
    s->advantage[i] = vt_lua_need(L, vt_alloc_array(n + 1, sizeof(float)));
    q->advantage = s->advantage[i];
    if (lua_getfield(L, idx, "logq") != LUA_TNIL && q->k == 0) { /* the sampler's are of the tokens */
        s->logq[i] = vt_lua_need(L, vt_alloc_array(n + 1, sizeof(float)));
        q->logq = s->logq[i];
        vt_lua_read_f32(L, -1, s->logq[i], n, "logprobs");
    }
    lua_pop(L, 1);
    lua_getfield(L, idx, "advantage");
    if (lua_type(L, -1) == LUA_TNUMBER) {
        for (size_t t = 0; t < n; t++)
            s->advantage[i][t] = (float)lua_tonumber(L, -1);
    } else {
        vt_lua_read_f32(L, -1, s->advantage[i], n, "advantage");
    }
    lua_pop(L, 1);
}

/* Pushes a train handle with the sequences of the batch at `batch`, of the policy of the weights at 1. */
static struct train *new_train(lua_State *L, int batch)
{
    luaL_checktype(L, batch, LUA_TTABLE);
    size_t n = lua_rawlen(L, batch);
    struct train *t = lua_newuserdatauv(L, sizeof *t, 1);
    memset(t, 0, sizeof *t);
    luaL_setmetatable(L, train_type);
    vt_lua_push_weights_policy(L, 1);
    lua_setiuservalue(L, -2, 1);
    t->s.seqs = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *t->s.seqs));
    t->s.logq = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *t->s.logq));
    t->s.advantage = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *t->s.advantage));
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, batch, (lua_Integer)i + 1);
        read_sequence(L, lua_gettop(L), &t->s, i);
        lua_pop(L, 1);
    }
    return t;
}

/* Every request of this file. The train handle is uservalue 1. */
struct train_op {
    struct vt_op op;
    vt_request *ticket;
    struct vt_update_request update; /* whole */
    vt_weights *out;                 /* of a step */
    struct vt_update_report report;
};

static void cancel_op(struct vt_op *op)
{
    vt_request_cancel(((struct train_op *)op)->ticket);
}

static void release_op(struct vt_op *op)
{
    struct train_op *o = (struct train_op *)op;
    vt_request_release(o->ticket);
    vt_weights_unref(o->out);
    vt_weights_unref(o->update.made);
}

/* Pushes a started op that holds the train handle at idx. */
static struct train_op *new_op(lua_State *L, int idx, int (*push)(lua_State *, struct vt_op *, int))
{
    struct train_op *o = vt_op_new(L, sizeof *o, "policy:update", push, release_op);
    o->op.cancel = cancel_op;
    lua_pushvalue(L, idx);
    lua_setiuservalue(L, -2, 1);
    vt_op_start(L, -1);
    return o;
}

static int raise_unstarted(lua_State *L, const vt_err *err)
{
    vt_op_abort(L, -1);
    return vt_lua_raise(L, "policy:update", err);
}

static int push_nothing(lua_State *L, struct vt_op *op, int idx)
{
    (void)L;
    (void)op;
    (void)idx;
    return 0;
}

/* core.forward(weights, batch, agreement) -> op, train */
static int l_forward(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    vt_policy *p = vt_lua_weights_policy(L, 1);
    bool agreement = lua_toboolean(L, 3);
    struct train *t = new_train(L, 2);
    int idx = lua_gettop(L);
    struct train_op *o = new_op(L, idx, push_nothing);
    if (vt_policy_forward(p, w, t->s.seqs, t->s.n, agreement, &t->forward, vt_op_finish, o, &o->ticket, &err) != VT_OK)
        return raise_unstarted(L, &err);
    lua_pushvalue(L, idx);
    return 2;
}

static size_t check_seq(lua_State *L, const struct train *t, int idx)
{
    lua_Integer i = luaL_checkinteger(L, idx);
    luaL_argcheck(L, i >= 1 && (size_t)i <= t->s.n, idx, "no such sequence");
    return (size_t)i - 1;
}

/* core.train_logp(train, i) -> vector */
static int l_logp(lua_State *L)
{
    struct train *t = check(L, 1);
    size_t i = check_seq(L, t, 2);
    vt_vector_push_f32(L, t->s.seqs[i].logp, n_values(&t->s.seqs[i]));
    return 1;
}

/* core.train_set(train, i, weights) */
static int l_set(lua_State *L)
{
    struct train *t = check(L, 1);
    size_t i = check_seq(L, t, 2);
    vt_lua_read_f32(L, 3, t->s.seqs[i].w, n_values(&t->s.seqs[i]), "what the loss function returned");
    return 0;
}

static void read_loss(lua_State *L, int idx, const char *name, enum vt_loss *loss, struct vt_loss_opts *o)
{
    vt_err err;
    if (vt_loss_parse(name, loss, &err) != VT_OK)
        vt_lua_raise(L, "policy:update", &err);
    const struct vt_loss_opts defaults = vt_loss_defaults_of(*loss);
    o->clip_lo = vt_lua_num(L, idx, "clip_lo", defaults.clip_lo);
    o->clip_hi = vt_lua_num(L, idx, "clip_hi", defaults.clip_hi);
    o->beta = vt_lua_num(L, idx, "beta", defaults.beta);
}

/* core.train_loss(train, name, { clip_lo, clip_hi, beta }) */
static int l_loss(lua_State *L)
{
    enum vt_loss loss;
    struct vt_loss_opts o;
    struct train *t = check(L, 1);
    read_loss(L, 3, luaL_checkstring(L, 2), &loss, &o);
    for (size_t i = 0; i < t->s.n; i++) {
        struct vt_train_seq *q = &t->s.seqs[i];
        if (!q->logq && loss != VT_LOSS_CROSS_ENTROPY)
            return luaL_error(L, "loss '%s' needs the sampler's log-probabilities; sequence %I of the batch has none",
                              lua_tostring(L, 2), (lua_Integer)i + 1);
        vt_loss_weights(loss, &o, q->logp, q->logq, q->advantage, (int)n_values(q), q->w);
    }
    return 0;
}

static void set_num(lua_State *L, const char *key, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, key);
}

/* core.train_stats(train) -> { loss, n_tokens, rms_advantage, max_advantage, ess, kl_sample_train }.
 * ess: effective share of the batch under the ratios rho, (sum rho)^2 / (n sum rho^2). kl: mean of logq - logp. */
static int l_stats(lua_State *L)
{
    struct train *t = check(L, 1);
    double loss = 0, sum_a2 = 0, max_a = 0, sum_rho = 0, sum_rho2 = 0, kl = 0, n = 0, n_ratio = 0;
    lua_Integer n_tokens = 0;
    for (size_t i = 0; i < t->s.n; i++) {
        const struct vt_train_seq *q = &t->s.seqs[i];
        n_tokens += q->n_tokens;
        for (size_t k = 0; k < n_values(q); k++) {
            double a = t->s.advantage[i][k];
            loss -= (double)q->w[k] * q->logp[k];
            sum_a2 += a * a;
            max_a = fmax(max_a, fabs(a));
            n++;
            if (!t->s.logq[i])
                continue;
            double d = (double)q->logp[k] - t->s.logq[i][k], rho = exp(d);
            sum_rho += rho;
            sum_rho2 += rho * rho;
            kl -= d;
            n_ratio++;
        }
    }
    lua_createtable(L, 0, 6);
    set_num(L, "loss", loss);
    lua_pushinteger(L, n_tokens);
    lua_setfield(L, -2, "n_tokens");
    set_num(L, "rms_advantage", n > 0 ? sqrt(sum_a2 / n) : 0);
    set_num(L, "max_advantage", max_a);
    set_num(L, "ess", sum_rho2 > 0 ? sum_rho * sum_rho / (n_ratio * sum_rho2) : 1);
    set_num(L, "kl_sample_train", n_ratio > 0 ? kl / n_ratio : 0);
    return 1;
}

static int l_forget(lua_State *L)
{
    forget(check(L, 1));
    return 0;
}

static void read_opts(lua_State *L, int idx, struct vt_update_opts *o)
{
    const struct vt_update_opts *d = &vt_update_defaults;
    o->lr = (float)vt_lua_num(L, idx, "lr", d->lr);
    o->beta1 = (float)vt_lua_num(L, idx, "beta1", d->beta1);
    o->beta2 = (float)vt_lua_num(L, idx, "beta2", d->beta2);
    o->eps = (float)vt_lua_num(L, idx, "eps", d->eps);
    o->weight_decay = (float)vt_lua_num(L, idx, "weight_decay", d->weight_decay);
    o->grad_clip = (float)vt_lua_num(L, idx, "grad_clip", d->grad_clip);
    o->agreement = false; /* the forward's */
    o->digest = vt_lua_str(L, idx, "digest", "");
    o->trained_on = vt_lua_str(L, idx, "trained_on", NULL);
}

/* -> weights, { grad_norm, agreement, forward_s, backward_s, n_tokens_computed, peak_bytes } */
static int push_made(lua_State *L, int idx, vt_weights **made, const struct vt_update_report *r)
{
    vt_weights *w = *made;
    lua_getiuservalue(L, idx, 1);
    lua_getiuservalue(L, -1, 1);
    *made = NULL;
    vt_lua_push_weights(L, -1, w);
    lua_createtable(L, 0, 6);
    set_num(L, "grad_norm", r->grad_norm);
    set_num(L, "agreement", r->agreement);
    set_num(L, "forward_s", r->forward_s);
    set_num(L, "backward_s", r->backward_s);
    set_num(L, "n_tokens_computed", (double)r->n_tokens_computed);
    set_num(L, "peak_bytes", (double)r->peak_bytes);
    return 2;
}

static int push_step(lua_State *L, struct vt_op *op, int idx)
{
    struct train_op *o = (struct train_op *)op;
    return push_made(L, idx, &o->out, &o->report);
}

static int push_update(lua_State *L, struct vt_op *op, int idx)
{
    struct train_op *o = (struct train_op *)op;
    return push_made(L, idx, &o->update.made, &o->update.report);
}

/* core.step(train, options) -> op */
static int l_step(lua_State *L)
{
    vt_err err;
    struct vt_update_opts opts;
    struct train *t = check(L, 1);
    read_opts(L, 2, &opts);
    if (!t->forward)
        return luaL_error(L, "this update was forgotten; begin it again with a forward");
    struct train_op *o = new_op(L, 1, push_step);
    if (vt_policy_step(t->forward, &opts, &o->out, &o->report, vt_op_finish, o, &o->ticket, &err) != VT_OK)
        return raise_unstarted(L, &err);
    return 1;
}

/* core.update(weights, batch, loss, options) -> op, train */
static int l_update(lua_State *L)
{
    vt_err err;
    struct vt_update_request u = {.from = vt_lua_weights(L, 1)};
    vt_policy *p = vt_lua_weights_policy(L, 1);
    read_loss(L, 4, luaL_checkstring(L, 3), &u.loss, &u.loss_opts);
    read_opts(L, 4, &u.opts);
    struct train *t = new_train(L, 2);
    int idx = lua_gettop(L);
    struct train_op *o = new_op(L, idx, push_update);
    u.seqs = t->s.seqs;
    u.n = t->s.n;
    o->update = u;
    if (vt_policy_update(p, &o->update, vt_op_finish, o, &o->ticket, &err) != VT_OK)
        return raise_unstarted(L, &err);
    lua_pushvalue(L, idx);
    return 2;
}

/* core.upvalue(fn, i) -> name, value of what a function closes over; nothing past the last one. */
static int l_upvalue(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TFUNCTION);
    const char *name = lua_getupvalue(L, 1, (int)luaL_checkinteger(L, 2));
    if (!name)
        return 0;
    lua_pushstring(L, name);
    lua_insert(L, -2);
    return 2;
}

void vt_lua_add_train(lua_State *L)
{
    static const luaL_Reg functions[] = {{"forward", l_forward},     {"update", l_update},
                                         {"train_logp", l_logp},     {"train_set", l_set},
                                         {"train_loss", l_loss},     {"train_stats", l_stats},
                                         {"train_forget", l_forget}, {"step", l_step},
                                         {"upvalue", l_upvalue},     {NULL, NULL}};
    luaL_newmetatable(L, train_type);
    lua_pushcfunction(L, train_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
    lua_newtable(L); /* core.losses: { name = { clip_lo, clip_hi, beta } } */
    for (size_t i = 0; vt_loss_name(i); i++) {
        enum vt_loss loss;
        vt_err err;
        if (vt_loss_parse(vt_loss_name(i), &loss, &err) != VT_OK)
            vt_lua_raise(L, "policy:update", &err);
        const struct vt_loss_opts defaults = vt_loss_defaults_of(loss);
        lua_createtable(L, 0, 3);
        set_num(L, "clip_lo", defaults.clip_lo);
        set_num(L, "clip_hi", defaults.clip_hi);
        set_num(L, "beta", defaults.beta);
        lua_setfield(L, -2, vt_loss_name(i));
    }
    lua_setfield(L, -2, "losses");
}
