/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_policy.c: the sampler and the log-probability for the Lua half, and what surrounds them: opening a model, text
 * and tokens, weights and their files. Requests are built inside the op that carries them, so their memory lives as
 * long as the operation does.
 */
#include "bind/lua_policy.h"
#include "base/alloc.h"
#include "bind/lua_open.h"
#include <stdlib.h>
#include <string.h>

static const char policy_type[] = "vt.policy", weights_type[] = "vt.weights";

struct vt_lua_policy *vt_lua_policy(lua_State *L, int idx)
{
    struct vt_lua_policy *h = luaL_checkudata(L, idx, policy_type);
    if (!h->p)
        luaL_error(L, "the policy was closed");
    return h;
}

static struct vt_lua_weights *check_weights(lua_State *L, int idx)
{
    struct vt_lua_weights *h = luaL_checkudata(L, idx, weights_type);
    if (!h->w)
        luaL_error(L, "the weights were closed");
    return h;
}

vt_weights *vt_lua_weights(lua_State *L, int idx)
{
    return check_weights(L, idx)->w;
}

struct vt_lua_policy *vt_lua_weights_policy(lua_State *L, int idx)
{
    return check_weights(L, idx)->policy;
}

static void drop_weights(struct vt_lua_weights *h)
{
    if (!h->w)
        return;
    vt_weights_unref(h->w);
    h->w = NULL;
    *h->link = h->next;
    if (h->next)
        h->next->link = h->link;
}

static int weights_gc(lua_State *L)
{
    drop_weights(luaL_checkudata(L, 1, weights_type));
    return 0;
}

static void close_policy(struct vt_lua_policy *h)
{
    if (!h->p)
        return;
    while (h->weights)
        drop_weights(h->weights);
    vt_policy_close(h->p);
    h->p = NULL;
    for (struct vt_lua_policy **at = &h->bind->policies; *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            break;
        }
}

static int policy_gc(lua_State *L)
{
    close_policy(luaL_checkudata(L, 1, policy_type));
    return 0;
}

void vt_lua_close_policies(vt_bind *b)
{
    while (b->policies)
        close_policy(b->policies);
}

void vt_lua_push_weights(lua_State *L, int policy_idx, vt_weights *w)
{
    policy_idx = lua_absindex(L, policy_idx);
    struct vt_lua_policy *policy = luaL_checkudata(L, policy_idx, policy_type);
    lua_createtable(L, 0, 4);
    struct vt_lua_weights *h = lua_newuserdatauv(L, sizeof *h, 1);
    h->w = w;
    h->policy = policy;
    h->next = policy->weights;
    h->link = &policy->weights;
    if (h->next)
        h->next->link = &h->next;
    policy->weights = h;
    luaL_setmetatable(L, weights_type);
    lua_pushvalue(L, policy_idx);
    lua_setiuservalue(L, -2, 1);
    lua_setfield(L, -2, "handle");
    lua_pushstring(L, vt_weights_id(w));
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, vt_weights_step(w));
    lua_setfield(L, -2, "step");
    lua_pushstring(L, vt_weights_trained_on(w));
    lua_setfield(L, -2, "trained_on");
}

static void progress_line(void *arg, const char *line)
{
    vt_bind *b = arg;
    b->host.print(b->host.arg, VT_STDERR, line, strlen(line));
    b->host.print(b->host.arg, VT_STDERR, "\n", 1);
}

static void push_caps(lua_State *L, const struct vt_policy_caps *c)
{
    const struct {
        const char *name;
        bool value;
    } flags[] = {{"sample", c->sample}, {"score", c->score}, {"update", c->update},
                 {"tokens", c->tokens}, {"seed", c->seed},   {"exact", c->exact}};
    lua_createtable(L, 0, 8);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        lua_pushboolean(L, flags[i].value);
        lua_setfield(L, -2, flags[i].name);
    }
    lua_pushinteger(L, c->n_ctx);
    lua_setfield(L, -2, "n_ctx");
    lua_pushinteger(L, c->n_vocab);
    lua_setfield(L, -2, "n_vocab");
}

/* core.policy_open(spec, { rank, alpha, targets (bits), seed, stored_optimizer, reset, max_memory, fp32, chat })
 * -> handle, { spec, record (JSON), caps }. Blocks: the model may be fetched and packed, with progress lines. */
static int l_open(lua_State *L)
{
    vt_err err;
    vt_bind *b = vt_lua_bind(L);
    const char *spec = luaL_checkstring(L, 1);
    struct vt_policy_opts o = {
        .rank = (int)vt_lua_int(L, 2, "rank", 0),
        .alpha = (float)vt_lua_num(L, 2, "alpha", 0),
        .targets = (unsigned)vt_lua_int(L, 2, "targets", 0),
        .init_seed = (uint64_t)vt_lua_int(L, 2, "seed", 0),
        .stored_optimizer = vt_lua_bool(L, 2, "stored_optimizer", false),
        .reset = vt_lua_bool(L, 2, "reset", false),
        .max_memory = (uint64_t)vt_lua_int(L, 2, "max_memory", 0),
        .fp32 = vt_lua_bool(L, 2, "fp32", false),
        .chat = vt_lua_str(L, 2, "chat", ""),
        .lease = b->lease,
        .progress = progress_line,
        .progress_arg = b,
    };
    struct vt_lua_policy *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    h->bind = b;
    luaL_setmetatable(L, policy_type);
    if (vt_policy_open(spec, &o, &h->p, &err) != VT_OK)
        return vt_lua_raise(L, "vt.policy", &err);
    h->next = b->policies;
    b->policies = h;
    lua_createtable(L, 0, 3);
    lua_pushstring(L, vt_policy_spec(h->p));
    lua_setfield(L, -2, "spec");
    lua_pushstring(L, vt_policy_record(h->p));
    lua_setfield(L, -2, "record");
    push_caps(L, vt_policy_caps(h->p));
    lua_setfield(L, -2, "caps");
    return 2;
}

/* core.policy_weights(handle, "base" | "start" | "current") */
static int l_weights(lua_State *L)
{
    struct vt_lua_policy *h = vt_lua_policy(L, 1);
    const char *which = luaL_checkstring(L, 2);
    vt_weights *w = strcmp(which, "base") == 0    ? vt_policy_base(h->p)
                    : strcmp(which, "start") == 0 ? vt_policy_start(h->p)
                                                  : vt_policy_current(h->p);
    vt_lua_push_weights(L, 1, w);
    return 1;
}

static int l_set(lua_State *L)
{
    vt_err err;
    if (vt_policy_set(vt_lua_policy(L, 1)->p, vt_lua_weights(L, 2), &err) != VT_OK)
        return vt_lua_raise(L, "policy:branch", &err);
    return 0;
}

static int l_save(lua_State *L)
{
    vt_err err;
    if (vt_weights_save(vt_lua_weights(L, 1), luaL_checkstring(L, 2), lua_toboolean(L, 3), &err) != VT_OK)
        return vt_lua_raise(L, "weights:save", &err);
    return 0;
}

static int l_load(lua_State *L)
{
    vt_err err;
    vt_weights *w = NULL;
    if (vt_weights_load(vt_lua_policy(L, 1)->p, luaL_checkstring(L, 2), &w, &err) != VT_OK)
        return vt_lua_raise(L, "vt.weights", &err);
    vt_lua_push_weights(L, 1, w);
    return 1;
}

static int l_encode(lua_State *L)
{
    vt_err err;
    size_t len, n = 0;
    int32_t *ids = NULL;
    vt_policy *p = vt_lua_policy(L, 1)->p;
    const char *text = luaL_checklstring(L, 2, &len);
    struct vt_guard *g = vt_lua_guard(L, free);
    if (vt_policy_encode(p, text, len, lua_toboolean(L, 3), &ids, &n, &err) != VT_OK)
        return vt_lua_raise(L, "policy:encode", &err);
    g->p = ids;
    lua_createtable(L, (int)n, 0);
    for (size_t i = 0; i < n; i++) {
        lua_pushinteger(L, ids[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

static int l_decode(lua_State *L)
{
    vt_err err;
    size_t n, len = 0;
    char *text = NULL;
    vt_policy *p = vt_lua_policy(L, 1)->p;
    const int32_t *ids = vt_lua_read_ids(L, 2, &n, "ids");
    struct vt_guard *g = vt_lua_guard(L, free);
    if (vt_policy_decode(p, ids, n, &text, &len, &err) != VT_OK)
        return vt_lua_raise(L, "policy:decode", &err);
    g->p = text;
    lua_pushlstring(L, text, len);
    return 1;
}

/* core.policy_render(handle, { { role, content }… }, generation_prompt) */
static int l_render(lua_State *L)
{
    vt_err err;
    char *text = NULL;
    vt_policy *p = vt_lua_policy(L, 1)->p;
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    const char **roles = lua_newuserdatauv(L, (2 * n + 1) * sizeof *roles, 0), **contents = roles + n;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        roles[i] = vt_lua_str(L, -1, "role", "user");
        contents[i] = vt_lua_str(L, -1, "content", "");
        lua_pop(L, 1);
    }
    struct vt_guard *g = vt_lua_guard(L, free);
    if (vt_policy_render(p, roles, contents, n, lua_toboolean(L, 3), &text, &err) != VT_OK)
        return vt_lua_raise(L, "policy:render", &err);
    g->p = text;
    lua_pushstring(L, text);
    return 1;
}

struct sample_op {
    struct vt_op op;
    struct vt_sample_request r;
    int32_t *prompt;
    uint64_t *seeds;
    char **stop;
};

static void release_sample(struct vt_op *op)
{
    struct sample_op *s = (struct sample_op *)op;
    for (int i = 0; s->r.out && i < s->r.n; i++)
        vt_sample_clear(&s->r.out[i]);
    for (int i = 0; s->stop && i < s->r.n_stop; i++)
        free(s->stop[i]);
    free(s->r.out);
    free(s->stop);
    free(s->seeds);
    free(s->prompt);
}

static void push_one(lua_State *L, const struct vt_sample *x)
{
    static const char *const finish[] = {"stop", "length", "error"};
    lua_createtable(L, 0, 5);
    lua_pushlstring(L, x->text ? x->text : "", x->text_len);
    lua_setfield(L, -2, "text");
    lua_createtable(L, x->n_tokens, 0);
    for (int t = 0; t < x->n_tokens; t++) {
        lua_pushinteger(L, x->tokens[t]);
        lua_rawseti(L, -2, t + 1);
    }
    lua_setfield(L, -2, "tokens");
    vt_vector_push_f32(L, x->logprobs, (size_t)x->n_tokens);
    lua_setfield(L, -2, "logprobs");
    vt_vector_push_f32(L, x->logprobs_behaviour, (size_t)x->n_tokens);
    lua_setfield(L, -2, "logprobs_behaviour");
    lua_pushstring(L, finish[x->finish]);
    lua_setfield(L, -2, "finish");
}

/* -> array of { text, tokens, logprobs, logprobs_behaviour, finish } */
static int push_sample(lua_State *L, struct vt_op *op, int idx)
{
    struct sample_op *s = (struct sample_op *)op;
    (void)idx;
    lua_createtable(L, s->r.n, 0);
    for (int i = 0; i < s->r.n; i++) {
        push_one(L, &s->r.out[i]);
        lua_rawseti(L, -2, i + 1);
    }
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

static void *copy_array(const void *p, int n, size_t size)
{
    void *copy = vt_alloc_array((size_t)n + 1, size);
    if (copy)
        memcpy(copy, p, (size_t)n * size);
    return copy;
}

/* Policy thread, policy locked. */
static void sample_ended(void *arg, int i)
{
    struct sample_op *s = arg;
    const struct vt_sample *x = &s->r.out[i];
    struct sample_part *p = vt_alloc(sizeof *p);
    if (!p)
        return;
    p->part = (struct vt_part){.op = &s->op, .i = i, .push = push_part, .free = free_part};
    p->s = *x;
    p->s.tokens = copy_array(x->tokens, x->n_tokens, sizeof *x->tokens);
    p->s.logprobs = copy_array(x->logprobs, x->n_tokens, sizeof *x->logprobs);
    p->s.logprobs_behaviour = copy_array(x->logprobs_behaviour, x->n_tokens, sizeof *x->logprobs_behaviour);
    p->s.text = copy_array(x->text, (int)x->text_len, 1);
    if (p->s.tokens && p->s.logprobs && p->s.logprobs_behaviour && p->s.text)
        vt_part_post(&p->part);
    else
        free_part(&p->part);
}

static void *need(lua_State *L, void *p)
{
    if (!p)
        luaL_error(L, "no memory for a request; ask for fewer samples at a time");
    return p;
}

static int32_t *copy_ids(lua_State *L, int idx, int *n, const char *what)
{
    size_t count;
    const int32_t *ids = vt_lua_read_ids(L, idx, &count, what);
    int32_t *copy = need(L, vt_alloc_array(count + 1, sizeof *copy));
    memcpy(copy, ids, count * sizeof *copy);
    *n = (int)count;
    lua_pop(L, 1);
    return copy;
}

static void read_stop(lua_State *L, int idx, struct sample_op *s)
{
    if (lua_getfield(L, idx, "stop") == LUA_TTABLE) {
        size_t n = lua_rawlen(L, -1);
        s->stop = need(L, vt_alloc_array(n + 1, sizeof *s->stop));
        for (size_t i = 0; i < n; i++) {
            lua_rawgeti(L, -1, (lua_Integer)i + 1);
            const char *text = lua_tostring(L, -1);
            if (!text)
                luaL_error(L, "weights:sample: stop[%I] must be a string", (lua_Integer)i + 1);
            s->stop[i] = need(L, vt_strdup(text));
            s->r.n_stop = (int)i + 1;
            lua_pop(L, 1);
        }
    }
    lua_pop(L, 1);
    s->r.stop = (const char *const *)s->stop;
}

/* core.sample(weights, prompt ids, seeds, { temperature, top_p, top_k, min_p, max_tokens, stop }) -> op */
static int l_sample(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    struct vt_lua_policy *h = vt_lua_weights_policy(L, 1);
    luaL_checktype(L, 3, LUA_TTABLE);
    lua_Integer n = (lua_Integer)lua_rawlen(L, 3);
    luaL_argcheck(L, n >= 1 && n <= INT32_MAX / 2, 3, "at least one seed");
    struct sample_op *s = vt_op_new(L, sizeof *s, "weights:sample", push_sample, release_sample);
    int idx = lua_gettop(L);
    s->r.weights = w;
    s->prompt = copy_ids(L, 2, &s->r.n_prompt, "prompt");
    s->r.prompt = s->prompt;
    s->seeds = need(L, vt_alloc_array((size_t)n, sizeof *s->seeds));
    for (lua_Integer i = 0; i < n; i++) {
        lua_rawgeti(L, 3, i + 1);
        s->seeds[i] = (uint64_t)lua_tointeger(L, -1);
        lua_pop(L, 1);
    }
    s->r.seeds = s->seeds;
    s->r.temperature = (float)vt_lua_num(L, 4, "temperature", 1);
    s->r.top_p = (float)vt_lua_num(L, 4, "top_p", 1);
    s->r.min_p = (float)vt_lua_num(L, 4, "min_p", 0);
    s->r.top_k = (int)vt_lua_int(L, 4, "top_k", 0);
    s->r.max_tokens = (int)vt_lua_int(L, 4, "max_tokens", 256);
    read_stop(L, 4, s);
    s->r.out = need(L, vt_alloc_array((size_t)n, sizeof *s->r.out));
    s->r.n = (int)n;
    s->r.each = sample_ended;
    s->r.each_arg = s;
    vt_op_start(L, idx);
    if (vt_policy_sample(h->p, &s->r, vt_op_finish, s, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "weights:sample", &err);
    }
    lua_settop(L, idx);
    return 1;
}

struct score_op {
    struct vt_op op;
    struct vt_score_request r;
    int32_t *prompt, *tokens;
    float *logprobs;
    const int32_t *row;
    float *out;
    int n;
};

static void release_score(struct vt_op *op)
{
    struct score_op *s = (struct score_op *)op;
    free(s->prompt);
    free(s->tokens);
    free(s->logprobs);
}

static int push_score(lua_State *L, struct vt_op *op, int idx)
{
    struct score_op *s = (struct score_op *)op;
    (void)idx;
    vt_vector_push_f32(L, s->logprobs, (size_t)s->n);
    return 1;
}

/* core.score(weights, prompt ids, token ids) -> op giving a vector */
static int l_score(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    struct vt_lua_policy *h = vt_lua_weights_policy(L, 1);
    struct score_op *s = vt_op_new(L, sizeof *s, "weights:score", push_score, release_score);
    int idx = lua_gettop(L);
    s->r.weights = w;
    s->prompt = copy_ids(L, 2, &s->r.n_prompt, "prompt");
    s->r.prompt = s->prompt;
    s->tokens = copy_ids(L, 3, &s->n, "tokens");
    s->logprobs = need(L, vt_alloc_array((size_t)s->n + 1, sizeof *s->logprobs));
    s->row = s->tokens;
    s->out = s->logprobs;
    s->r.n_rows = 1;
    s->r.tokens = &s->row;
    s->r.n = &s->n;
    s->r.logprobs = &s->out;
    vt_op_start(L, idx);
    if (vt_policy_score(h->p, &s->r, vt_op_finish, s, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "weights:score", &err);
    }
    lua_settop(L, idx);
    return 1;
}

void vt_lua_add_policy(lua_State *L)
{
    static const luaL_Reg functions[] = {{"policy_open", l_open},
                                         {"policy_weights", l_weights},
                                         {"policy_set", l_set},
                                         {"weights_save", l_save},
                                         {"weights_load", l_load},
                                         {"policy_encode", l_encode},
                                         {"policy_decode", l_decode},
                                         {"policy_render", l_render},
                                         {"sample", l_sample},
                                         {"score", l_score},
                                         {NULL, NULL}};
    luaL_newmetatable(L, policy_type);
    lua_pushcfunction(L, policy_gc);
    lua_setfield(L, -2, "__gc");
    luaL_newmetatable(L, weights_type);
    lua_pushcfunction(L, weights_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 2);
    luaL_setfuncs(L, functions, 0);
}
