/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_train.c: the two halves of an update for the Lua half.
 *
 * core.forward starts with a batch (arrays of { prompt, tokens, logq, advantage }) and gives a `train` handle once the
 * log-probabilities under the current weights are there. core.train_loss fills the per-token weights with a built-in
 * loss, core.train_set with what a Lua function returned; core.train_stats measures; core.step makes the new weights;
 * core.train_forget drops the tape. Sequences live in the handle until then.
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

struct train {
    struct sequences s;
    struct vt_lua_policy *policy;
    bool has_tape; /* the policy reads the sequences: between forward and step or forget */
};

static void release_sequences(struct sequences *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free((void *)(uintptr_t)s->seqs[i].prompt);
        free((void *)(uintptr_t)s->seqs[i].tokens);
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
    if (t->has_tape && t->policy->p)
        vt_policy_forget(t->policy->p);
    t->has_tape = false;
}

static int train_gc(lua_State *L)
{
    struct train *t = check(L, 1);
    forget(t);
    release_sequences(&t->s);
    return 0;
}

static void *need(lua_State *L, void *p)
{
    if (!p)
        luaL_error(L, "no memory for a batch; lower k or set minibatch");
    return p;
}

static int32_t *copy_ids(lua_State *L, int idx, const char *key, int *n)
{
    size_t count;
    lua_getfield(L, idx, key);
    const int32_t *ids = vt_lua_read_ids(L, -1, &count, key);
    int32_t *copy = need(L, vt_alloc_array(count + 1, sizeof *copy));
    memcpy(copy, ids, count * sizeof *copy);
    *n = (int)count;
    lua_pop(L, 2);
    return copy;
}

/* One sequence from the table at idx. Each pointer is stored as soon as it exists, so an error leaks nothing. */
static void read_sequence(lua_State *L, int idx, struct sequences *s, size_t i)
{
    struct vt_train_seq *q = &s->seqs[i];
    s->n = i + 1;
    q->prompt = copy_ids(L, idx, "prompt", &q->n_prompt);
    q->tokens = copy_ids(L, idx, "tokens", &q->n_tokens);
    size_t n = (size_t)q->n_tokens;
    q->logp = need(L, vt_alloc_array(n + 1, sizeof *q->logp));
    q->w = need(L, vt_alloc_array(n + 1, sizeof *q->w));
    s->advantage[i] = need(L, vt_alloc_array(n + 1, sizeof(float)));
    if (lua_getfield(L, idx, "logq") != LUA_TNIL) {
        s->logq[i] = need(L, vt_alloc_array(n + 1, sizeof(float)));
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

struct forward_op {
    struct vt_op op;
    struct sequences *s; /* of the train handle in uservalue 1 */
};

static int push_nothing(lua_State *L, struct vt_op *op, int idx)
{
    (void)L;
    (void)op;
    (void)idx;
    return 0;
}

/* core.forward(policy, batch, agreement) -> op, train */
static int l_forward(lua_State *L)
{
    vt_err err;
    struct vt_lua_policy *h = vt_lua_policy(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    struct forward_op *f = vt_op_new(L, sizeof *f, "policy:update", push_nothing, NULL);
    int idx = lua_gettop(L);
    struct train *t = lua_newuserdatauv(L, sizeof *t, 1);
    memset(t, 0, sizeof *t);
    luaL_setmetatable(L, train_type);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, -2, 1);
    t->policy = h;
    t->s.seqs = need(L, vt_alloc_array(n + 1, sizeof *t->s.seqs));
    t->s.logq = need(L, vt_alloc_array(n + 1, sizeof *t->s.logq));
    t->s.advantage = need(L, vt_alloc_array(n + 1, sizeof *t->s.advantage));
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        read_sequence(L, lua_gettop(L), &t->s, i);
        lua_pop(L, 1);
    }
    lua_pushvalue(L, idx + 1);
    lua_setiuservalue(L, idx, 1);
    t->has_tape = true;
    vt_op_start(L, idx);
    if (vt_policy_forward(h->p, t->s.seqs, n, lua_toboolean(L, 3), vt_op_finish, f, &err) != VT_OK) {
        t->has_tape = false;
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "policy:update", &err);
    }
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
    vt_vector_push_f32(L, t->s.seqs[i].logp, (size_t)t->s.seqs[i].n_tokens);
    return 1;
}

/* core.train_set(train, i, weights) */
static int l_set(lua_State *L)
{
    struct train *t = check(L, 1);
    size_t i = check_seq(L, t, 2);
    vt_lua_read_f32(L, 3, t->s.seqs[i].w, (size_t)t->s.seqs[i].n_tokens, "what the loss function returned");
    return 0;
}

/* core.train_loss(train, name, { clip_lo, clip_hi, beta }) */
static int l_loss(lua_State *L)
{
    vt_err err;
    enum vt_loss loss;
    struct train *t = check(L, 1);
    if (vt_loss_parse(luaL_checkstring(L, 2), &loss, &err) != VT_OK)
        return vt_lua_raise(L, "policy:update", &err);
    struct vt_loss_opts o = {(float)vt_lua_num(L, 3, "clip_lo", 0.8), (float)vt_lua_num(L, 3, "clip_hi", 1.2),
                             (float)vt_lua_num(L, 3, "beta", 0.05)};
    for (size_t i = 0; i < t->s.n; i++) {
        struct vt_train_seq *q = &t->s.seqs[i];
        if (!t->s.logq[i] && loss != VT_LOSS_CROSS_ENTROPY)
            return luaL_error(L, "loss '%s' needs the sampler's log-probabilities; sequence %I of the batch has none",
                              lua_tostring(L, 2), (lua_Integer)i + 1);
        vt_loss_weights(loss, &o, q->logp, t->s.logq[i] ? t->s.logq[i] : q->logp, t->s.advantage[i], q->n_tokens, q->w);
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
    for (size_t i = 0; i < t->s.n; i++) {
        const struct vt_train_seq *q = &t->s.seqs[i];
        for (int k = 0; k < q->n_tokens; k++) {
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
    lua_pushinteger(L, (lua_Integer)n);
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
    o->lr = (float)vt_lua_num(L, idx, "lr", 0);
    o->beta1 = (float)vt_lua_num(L, idx, "beta1", 0.9);
    o->beta2 = (float)vt_lua_num(L, idx, "beta2", 0.95);
    o->eps = (float)vt_lua_num(L, idx, "eps", 1e-12);
    o->weight_decay = (float)vt_lua_num(L, idx, "weight_decay", 0);
    o->grad_clip = (float)vt_lua_num(L, idx, "grad_clip", 0);
    o->digest = vt_lua_str(L, idx, "digest", "");
    o->trained_on = vt_lua_str(L, idx, "trained_on", NULL);
}

struct step_op {
    struct vt_op op;
    struct vt_lua_policy *policy;
    vt_weights *out;
    struct vt_update_report report;
};

static void release_step(struct vt_op *op)
{
    struct step_op *s = (struct step_op *)op;
    if (s->out && s->policy->p)
        vt_weights_unref(s->out);
}

/* -> weights, { grad_norm, agreement, forward_s, backward_s, n_tokens_computed, peak_bytes } */
static int push_step(lua_State *L, struct vt_op *op, int idx)
{
    struct step_op *s = (struct step_op *)op;
    lua_getiuservalue(L, idx, 2);
    check(L, -1)->has_tape = false;
    lua_pop(L, 1);
    lua_getiuservalue(L, idx, 1);
    vt_weights *w = s->out;
    s->out = NULL;
    vt_lua_push_weights(L, -1, w);
    lua_remove(L, -2);
    lua_createtable(L, 0, 6);
    set_num(L, "grad_norm", s->report.grad_norm);
    set_num(L, "agreement", s->report.agreement);
    set_num(L, "forward_s", s->report.forward_s);
    set_num(L, "backward_s", s->report.backward_s);
    set_num(L, "n_tokens_computed", (double)s->report.n_tokens_computed);
    set_num(L, "peak_bytes", (double)s->report.peak_bytes);
    return 2;
}

/* core.step(train, options) -> op */
static int l_step(lua_State *L)
{
    vt_err err;
    struct vt_update_opts o;
    struct train *t = check(L, 1);
    read_opts(L, 2, &o);
    if (!t->policy->p)
        return luaL_error(L, "the policy was closed");
    struct step_op *s = vt_op_new(L, sizeof *s, "policy:update", push_step, release_step);
    int idx = lua_gettop(L);
    s->policy = t->policy;
    lua_getiuservalue(L, 1, 1);
    lua_setiuservalue(L, idx, 1);
    lua_pushvalue(L, 1);
    lua_setiuservalue(L, idx, 2);
    vt_op_start(L, idx);
    if (vt_policy_step(t->policy->p, &o, &s->out, &s->report, vt_op_finish, s, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "policy:update", &err);
    }
    return 1;
}

/* core.next_id(weights, options) -> the id that step would give */
static int l_next_id(lua_State *L)
{
    char id[65];
    struct vt_update_opts o;
    vt_weights *w = vt_lua_weights(L, 1);
    read_opts(L, 2, &o);
    vt_weights_next_id(w, &o, id);
    lua_pushstring(L, id);
    return 1;
}

void vt_lua_add_train(lua_State *L)
{
    static const luaL_Reg functions[] = {{"forward", l_forward}, {"train_logp", l_logp},   {"train_set", l_set},
                                         {"train_loss", l_loss}, {"train_stats", l_stats}, {"train_forget", l_forget},
                                         {"step", l_step},       {"next_id", l_next_id},   {NULL, NULL}};
    luaL_newmetatable(L, train_type);
    lua_pushcfunction(L, train_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
