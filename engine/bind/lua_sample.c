/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_sample.c: the sampler and the log-probability for the Lua half. Requests are built inside the op that carries
 * them, so their memory lives as long as the operation does.
 */
#include "base/alloc.h"
#include "bind/lua_open.h"
#include "bind/lua_policy.h"
#include <stdlib.h>
#include <string.h>

/* ── samples ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct sample_op {
    struct vt_op op;
    struct vt_sample_request r;
    vt_request *ticket;
    int32_t *prompt;
    char *text, *stream, **stop;
    int *index;
};

static void cancel_sample(struct vt_op *op)
{
    vt_request_cancel(((struct sample_op *)op)->ticket);
}

static void release_sample(struct vt_op *op)
{
    struct sample_op *s = (struct sample_op *)op;
    for (int i = 0; s->r.out && i < s->r.n; i++)
        vt_sample_clear(&s->r.out[i]);
    for (int i = 0; s->stop && i < s->r.n_stop; i++)
        free(s->stop[i]);
    vt_request_release(s->ticket);
    free(s->r.out);
    free(s->stop);
    free(s->index);
    free(s->stream);
    free(s->text);
    free(s->prompt);
}

/* What a server does not say is an empty vector. */
static void push_logprobs(lua_State *L, const float *v, int n, const char *key)
{
    vt_vector_push_f32(L, v, v ? (size_t)n : 0);
    lua_setfield(L, -2, key);
}

static void push_one(lua_State *L, const struct vt_sample *x)
{
    static const char *const finish[] = {"stop", "length", "error"};
    lua_createtable(L, 0, 7);
    lua_pushlstring(L, x->text ? x->text : "", x->text_len);
    lua_setfield(L, -2, "text");
    lua_createtable(L, x->n_tokens, 0);
    for (int t = 0; x->tokens && t < x->n_tokens; t++) {
        lua_pushinteger(L, x->tokens[t]);
        lua_rawseti(L, -2, t + 1);
    }
    lua_setfield(L, -2, "tokens");
    lua_pushinteger(L, x->n_tokens);
    lua_setfield(L, -2, "n_tokens");
    push_logprobs(L, x->logprobs, x->n_tokens, "logprobs");
    push_logprobs(L, x->logprobs_behaviour, x->n_tokens, "logprobs_behaviour");
    lua_pushstring(L, finish[x->finish]);
    lua_setfield(L, -2, "finish");
    if (x->stop >= 0) {
        lua_pushinteger(L, x->stop + 1);
        lua_setfield(L, -2, "stop");
    }
}

/* -> array of { text, tokens, n_tokens, logprobs, logprobs_behaviour, finish, stop (number of the stop string) }, and
 * what the server counted: n_prompt, n_cached */
static int push_sample(lua_State *L, struct vt_op *op, int idx)
{
    struct sample_op *s = (struct sample_op *)op;
    (void)idx;
    lua_createtable(L, s->r.n, 0);
    for (int i = 0; i < s->r.n; i++) {
        push_one(L, &s->r.out[i]);
        lua_rawseti(L, -2, i + 1);
    }
    lua_pushinteger(L, s->r.n_prompt_counted);
    lua_setfield(L, -2, "n_prompt");
    lua_pushinteger(L, s->r.n_cached);
    lua_setfield(L, -2, "n_cached");
    return 1;
}

/* A finished sample on its way to the script while its group still runs: a copy, since a failing request takes its
 * samples back. */
struct sample_part {
    struct vt_part part;
    struct vt_sample s;
};

static void push_part(lua_State *L, const struct vt_part *part)
{
    push_one(L, &((const struct sample_part *)part)->s);
}

static void free_part(struct vt_part *part)
{
    vt_sample_clear(&((struct sample_part *)part)->s);
    free(part);
}

/* True when *out is a copy, or NULL because there is nothing to copy. */
static bool copy_array(const void *p, int n, size_t size, void *out)
{
    void *copy = p ? vt_alloc_array((size_t)n + 1, size) : NULL;
    if (copy)
        memcpy(copy, p, (size_t)n * size);
    memcpy(out, &copy, sizeof copy);
    return copy || !p;
}

/* Policy thread. */
static void sample_ended(void *arg, int i)
{
    struct sample_op *s = arg;
    const struct vt_sample *x = &s->r.out[i];
    struct sample_part *p = vt_alloc(sizeof *p);
    if (!p)
        return;
    p->part = (struct vt_part){.op = &s->op, .i = i, .push = push_part, .free = free_part};
    p->s = *x;
    bool ok = copy_array(x->tokens, x->n_tokens, sizeof *x->tokens, &p->s.tokens);
    ok = copy_array(x->logprobs, x->n_tokens, sizeof *x->logprobs, &p->s.logprobs) && ok;
    ok = copy_array(x->logprobs_behaviour, x->n_tokens, sizeof *x->logprobs_behaviour, &p->s.logprobs_behaviour) && ok;
    ok = copy_array(x->text, (int)x->text_len, 1, &p->s.text) && ok;
    if (ok)
        vt_part_post(&p->part);
    else
        free_part(&p->part);
}

static void read_stop(lua_State *L, int idx, struct sample_op *s)
{
    if (lua_getfield(L, idx, "stop") == LUA_TTABLE) {
        size_t n = lua_rawlen(L, -1);
        s->stop = vt_lua_need(L, vt_alloc_array(n + 1, sizeof *s->stop));
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            const char *text = lua_tostring(L, -1);
            if (!text)
                luaL_error(L, "weights:sample: stop[%I] must be a string", (lua_Integer)i + 1);
            s->stop[i] = vt_lua_need(L, vt_strdup(text));
            s->r.n_stop = (int)i + 1;
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    s->r.stop = (const char *const *)s->stop;
}

static char *copy_field(lua_State *L, int idx, const char *key, size_t *len)
{
    char *copy = NULL;
    if (lua_getfield(L, idx, key) == LUA_TSTRING) {
        const char *text = lua_tolstring(L, -1, len);
        copy = vt_lua_need(L, vt_strndup(text, *len));
    }
    lua_pop(L, 1);
    return copy;
}

/* { seed, stream, index = { numbers } }: which samples of which group. */
static void read_group(lua_State *L, int idx, struct sample_op *s)
{
    size_t len = 0;
    s->r.seed = (uint64_t)vt_lua_int(L, idx, "seed", 0);
    s->stream = copy_field(L, idx, "stream", &len);
    s->r.stream = s->stream;
    lua_getfield(L, idx, "index");
    luaL_checktype(L, -1, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
    luaL_argcheck(L, n >= 1 && n <= (1 << 20), idx, "at least one sample");
    s->index = vt_lua_need(L, vt_alloc_array((size_t)n, sizeof *s->index));
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, -1, i + 1);
        s->index[i] = (int)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    s->r.index = s->index;
    s->r.out = vt_lua_need(L, vt_alloc_array((size_t)n, sizeof *s->r.out));
    s->r.n = (int)n;
}

/* core.sample(weights, { ids, text }, { seed, stream, index }, { temperature, top_p, top_k, min_p, max_tokens, stop })
 * -> op; its pieces are samples. ids is nil where the model takes text only. */
static int l_sample(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    vt_policy *p = vt_lua_weights_policy(L, 1);
    luaL_checktype(L, 2, LUA_TTABLE);
    luaL_checktype(L, 3, LUA_TTABLE);
    struct sample_op *s = vt_op_new(L, sizeof *s, "weights:sample", push_sample, release_sample);
    int idx = lua_gettop(L);
    s->op.cancel = cancel_sample;
    s->r.weights = w;
    if (lua_getfield(L, 2, "ids") != LUA_TNIL)
        s->prompt = vt_lua_copy_ids(L, -1, &s->r.n_prompt, "prompt");
    lua_pop(L, 1);
    s->r.prompt = s->prompt;
    s->text = copy_field(L, 2, "text", &s->r.text_len);
    s->r.text = s->text;
    read_group(L, 3, s);
    s->r.temperature = (float)vt_lua_num(L, 4, "temperature", 1);
    s->r.top_p = (float)vt_lua_num(L, 4, "top_p", 1);
    s->r.min_p = (float)vt_lua_num(L, 4, "min_p", 0);
    s->r.top_k = vt_lua_int32(L, 4, "top_k", 0);
    s->r.max_tokens = vt_lua_int32(L, 4, "max_tokens", 256);
    read_stop(L, 4, s);
    s->r.each = sample_ended;
    s->r.each_arg = s;
    vt_op_start(L, idx);
    if (vt_policy_sample(p, &s->r, vt_op_finish, s, &s->ticket, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "weights:sample", &err);
    }
    lua_settop(L, idx);
    return 1;
}

/* ── scores ──────────────────────────────────────────────────────────────────────────────────────────────────────── */

struct score_op {
    struct vt_op op;
    struct vt_score_request r;
    struct vt_score_detail detail;
    vt_request *ticket;
    int32_t *prompt, *tokens, *targets, *top_ids;
    float *logprobs, *details; /* details: entropy, certainty, confidence, n each */
    float *top_logprobs;
    const int32_t *row, *targets_row;
    float *out;
    int n, n_logprobs;
};

static void cancel_score(struct vt_op *op)
{
    vt_request_cancel(((struct score_op *)op)->ticket);
}

static void release_score(struct vt_op *op)
{
    struct score_op *s = (struct score_op *)op;
    vt_request_release(s->ticket);
    free(s->prompt);
    free(s->tokens);
    free(s->targets);
    free(s->top_ids);
    free(s->top_logprobs);
    free(s->logprobs);
    free(s->details);
}

static int push_score(lua_State *L, struct vt_op *op, int idx)
{
    static const char *const names[] = {"entropy", "certainty", "confidence"};
    struct score_op *s = (struct score_op *)op;
    (void)idx;
    const size_t n_top = (size_t)s->n * (size_t)s->r.n_top;
    vt_vector_push_f32(L, s->logprobs, (size_t)s->n_logprobs);
    if (s->top_ids) {
        lua_createtable(L, 0, 2);
        lua_createtable(L, (int)n_top, 0);
        for (size_t i = 0; i < n_top; i++) {
            lua_pushinteger(L, s->top_ids[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        lua_setfield(L, -2, "ids");
        vt_vector_push_f32(L, s->top_logprobs, n_top);
        lua_setfield(L, -2, "logprobs");
        return 2;
    }
    if (!s->details)
        return 1;
    lua_createtable(L, 0, 3);
    for (int i = 0; i < 3; i++) {
        vt_vector_push_f32(L, s->details + (size_t)i * (size_t)s->n, (size_t)s->n);
        lua_setfield(L, -2, names[i]);
    }
    return 2;
}

/* The k targets of each position, from the list at idx. */
static void read_targets(lua_State *L, int idx, struct score_op *s)
{
    int n = 0;
    s->targets = vt_lua_copy_ids(L, idx, &n, "targets");
    luaL_argcheck(L, s->n > 0 && n > 0 && n % s->n == 0, idx, "as many targets are needed at every token");
    s->r.k = n / s->n;
    s->targets_row = s->targets;
    s->r.targets = &s->targets_row;
    s->n_logprobs = n;
}

/* Room for the n_top likeliest tokens of each position. */
static void want_top(lua_State *L, struct score_op *s)
{
    const lua_Integer n_top = s->r.n_top;
    if (n_top < 1 || n_top > VT_MAX_TARGETS)
        luaL_error(L, "the likeliest tokens: take 1 to %d, not %I", VT_MAX_TARGETS, n_top);
    const size_t n = (size_t)s->n * (size_t)n_top + 1;
    s->top_ids = vt_lua_need(L, vt_alloc_array(n, sizeof *s->top_ids));
    s->top_logprobs = vt_lua_need(L, vt_alloc_array(n, sizeof *s->top_logprobs));
    s->detail.top_ids = s->top_ids;
    s->detail.top_logprobs = s->top_logprobs;
}

/* core.score(weights, prompt ids, token ids, n_top, is_top, targets) -> op giving a vector; with n_top also { entropy,
 * certainty, confidence }, vectors, or, with is_top, { ids, logprobs } of the n_top likeliest tokens of each position.
 * With targets, k ids a position, the vector is of these. */
static int l_score(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    vt_policy *p = vt_lua_weights_policy(L, 1);
    lua_settop(L, 6);
    struct score_op *s = vt_op_new(L, sizeof *s, "weights:score", push_score, release_score);
    int idx = lua_gettop(L);
    s->op.cancel = cancel_score;
    s->r.weights = w;
    s->prompt = vt_lua_copy_ids(L, 2, &s->r.n_prompt, "prompt");
    s->r.prompt = s->prompt;
    s->tokens = vt_lua_copy_ids(L, 3, &s->n, "tokens");
    s->n_logprobs = s->n;
    if (!lua_isnoneornil(L, 6))
        read_targets(L, 6, s);
    s->logprobs = vt_lua_need(L, vt_alloc_array((size_t)s->n_logprobs + 1, sizeof *s->logprobs));
    s->row = s->tokens;
    s->out = s->logprobs;
    s->r.n_rows = 1;
    s->r.tokens = &s->row;
    s->r.n = &s->n;
    s->r.logprobs = &s->out;
    if (!lua_isnoneornil(L, 4)) {
        s->details = vt_lua_need(L, vt_alloc_array(3 * (size_t)s->n + 1, sizeof *s->details));
        s->detail = (struct vt_score_detail){
            .entropy = s->details, .certainty = s->details + s->n, .confidence = s->details + 2 * (size_t)s->n};
        s->r.detail = &s->detail;
        s->r.n_top = (int)luaL_checkinteger(L, 4);
        if (lua_toboolean(L, 5))
            want_top(L, s);
    }
    vt_op_start(L, idx);
    if (vt_policy_score(p, &s->r, vt_op_finish, s, &s->ticket, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "weights:score", &err);
    }
    lua_settop(L, idx);
    return 1;
}

void vt_lua_add_sample(lua_State *L)
{
    static const luaL_Reg functions[] = {{"sample", l_sample}, {"score", l_score}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
