/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_policy.c: opening a model for the Lua half, its text and tokens, and what the requests of lua_sample.c,
 * lua_weights.c and lua_train.c share.
 *
 * Opening is an operation like the others. Its policy handle exists from the start, known to the bind, so that closing
 * the engine finds a model that is still being fetched, stops it and waits for its end.
 */
#include "bind/lua_policy.h"
#include "base/alloc.h"
#include "base/mail.h"
#include "bind/lua_copy.h"
#include "bind/lua_open.h"
#include <stdlib.h>
#include <string.h>

static const char policy_type[] = "vt.policy";

struct vt_lua_policy *vt_lua_policy(lua_State *L, int idx)
{
    struct vt_lua_policy *h = luaL_checkudata(L, idx, policy_type);
    if (!h->p)
        luaL_error(L, "the policy was closed");
    return h;
}

void *vt_lua_need(lua_State *L, void *p)
{
    if (!p)
        luaL_error(L, "no memory for a request; ask for fewer samples or a smaller batch at a time");
    return p;
}

int vt_lua_int32(lua_State *L, int idx, const char *key, int fallback)
{
    lua_Integer v = vt_lua_int(L, idx, key, fallback);
    if (v < INT32_MIN || v > INT32_MAX)
        luaL_error(L, "%s = %I is out of range", key, v);
    return (int)v;
}

int32_t *vt_lua_copy_ids(lua_State *L, int idx, int *n, const char *what)
{
    size_t count;
    const int32_t *ids = vt_lua_read_ids(L, idx, &count, what);
    if (count > INT32_MAX)
        luaL_error(L, "%s holds too many tokens", what);
    int32_t *copy = vt_lua_need(L, vt_alloc_array(count + 1, sizeof *copy));
    memcpy(copy, ids, count * sizeof *copy);
    *n = (int)count;
    lua_pop(L, 1);
    return copy;
}

/* ── opening ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

/* The mail is delivered after everything else that the request's thread does with this memory: whoever frees it or
 * takes the policy out waits for it first. */
struct vt_lua_open {
    struct vt_op op;
    struct vt_lua_policy *handle; /* in uservalue 1 */
    vt_policy *p;
    vt_request *ticket;
    struct vt_mail mail;
    bool has_mail;
};

static void opened(void *arg, vt_status status, const vt_err *err)
{
    struct vt_lua_open *o = arg;
    vt_op_finish(&o->op, status, err);
    vt_mail_deliver(&o->mail, status, err);
}

/* Waits for the request's end; the handle has the policy afterwards, if there is one. */
static void end_opening(struct vt_lua_open *o)
{
    vt_err ignored;
    if (o->has_mail)
        return;
    (void)!vt_mail_wait(&o->mail, &ignored);
    o->has_mail = true;
    vt_request_release(o->ticket);
    o->handle->p = o->p;
    o->handle->opening = NULL;
}

static void cancel_open(struct vt_op *op)
{
    vt_request_cancel(((struct vt_lua_open *)op)->ticket);
}

static void close_policy(struct vt_lua_policy *h)
{
    if (h->opening) {
        vt_request_cancel(h->opening->ticket);
        end_opening(h->opening);
    }
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
    struct vt_lua_policy *h = luaL_checkudata(L, 1, policy_type);
    if (h->is_lent)
        h->p = NULL;
    else
        close_policy(h);
    return 0;
}

bool vt_lua_lend_policy(lua_State *from, int idx, lua_State *L)
{
    const struct vt_lua_policy *theirs = luaL_testudata(from, idx, policy_type);
    if (!theirs || !theirs->p)
        return false;
    struct vt_lua_policy *h = lua_newuserdatauv(L, sizeof *h, 0);
    *h = (struct vt_lua_policy){.p = theirs->p, .bind = vt_lua_bind(L), .is_lent = true};
    luaL_setmetatable(L, policy_type);
    return true;
}

void vt_lua_close_policies(vt_bind *b)
{
    while (b->policies)
        close_policy(b->policies);
}

/* A line of progress on its way to the script. */
struct line_part {
    struct vt_part part;
    char text[];
};

static void push_line(lua_State *L, const struct vt_part *part)
{
    lua_pushstring(L, ((const struct line_part *)part)->text);
}

static void free_line(struct vt_part *part)
{
    free(part);
}

/* The request's thread. A line for which there is no memory is not shown. */
static void progress_line(void *arg, const char *line)
{
    struct vt_lua_open *o = arg;
    size_t n = strlen(line) + 1;
    struct line_part *p = vt_alloc(sizeof *p + n);
    if (!p)
        return;
    p->part = (struct vt_part){.op = &o->op, .push = push_line, .free = free_line};
    memcpy(p->text, line, n);
    vt_part_post(&p->part);
}

/* News for the user, from any thread. */
struct news {
    struct vt_post post;
    vt_bind *b;
    size_t n;
    char text[];
};

static void print_news(void *arg)
{
    struct news *n = arg;
    n->b->host.print(n->b->host.arg, VT_STDERR, n->text, n->n);
    free(n);
}

static void post_news(void *arg, const char *line)
{
    vt_bind *b = arg;
    const size_t n = strlen(line) + sizeof "vegttt: \n";
    struct news *news = vt_alloc(sizeof *news + n);
    if (!news)
        return;
    *news = (struct news){.post = {.fn = print_news, .arg = news}, .b = b, .n = n - 1};
    snprintf(news->text, n, "vegttt: %s\n", line);
    vt_loop_post(b->loop, &news->post);
}

static void set_bool(lua_State *L, const char *key, bool v)
{
    lua_pushboolean(L, v);
    lua_setfield(L, -2, key);
}

static void set_int(lua_State *L, const char *key, lua_Integer v)
{
    lua_pushinteger(L, v);
    lua_setfield(L, -2, key);
}

static void set_num(lua_State *L, const char *key, double v)
{
    lua_pushnumber(L, v);
    lua_setfield(L, -2, key);
}

static void push_caps(lua_State *L, const struct vt_policy_caps *c)
{
    const struct {
        const char *name;
        bool value;
    } flags[] = {{"sample", c->sample},
                 {"score", c->score},
                 {"update", c->update},
                 {"custom_loss", c->forward},
                 {"agreement", c->agreement},
                 {"tokens", c->tokens},
                 {"prefix", c->prefix},
                 {"top_p", c->top_p},
                 {"top_k", c->top_k},
                 {"min_p", c->min_p},
                 {"bans", c->bans},
                 {"logprobs", c->logprobs},
                 {"logprobs_behaviour", c->logprobs_behaviour},
                 {"targets", c->targets},
                 {"detail", c->detail},
                 {"exact", c->exact},
                 {"ids_ahead", c->ids_ahead},
                 {"durable_snapshots", c->durable_snapshots},
                 {"branch_makes_model", c->branch_makes_model}};
    static const char *const seeds[] = {[VT_SEEDS_REQUEST] = "request", [VT_SEEDS_SAMPLE] = "sample"};
    lua_createtable(L, 0, 24);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        set_bool(L, flags[i].name, flags[i].value);
    set_bool(L, "seed", false);
    if (c->seeds != VT_SEEDS_NONE) {
        lua_pushstring(L, seeds[c->seeds]);
        lua_setfield(L, -2, "seed");
    }
    set_int(L, "max_requests", c->max_requests);
    set_int(L, "n_ctx", c->n_ctx);
    set_int(L, "n_vocab", c->n_vocab);
    lua_createtable(L, 0, 3);
    set_num(L, "prompt", c->price.prompt);
    set_num(L, "sampled", c->price.sampled);
    set_num(L, "trained", c->price.trained);
    lua_setfield(L, -2, "price");
}

/* -> handle, { spec, record (JSON), caps } */
static int push_open(lua_State *L, struct vt_op *op, int idx)
{
    struct vt_lua_open *o = (struct vt_lua_open *)op;
    end_opening(o);
    lua_getiuservalue(L, idx, 1);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, vt_policy_spec(o->p));
    lua_setfield(L, -2, "spec");
    lua_pushstring(L, vt_policy_record(o->p));
    lua_setfield(L, -2, "record");
    push_caps(L, vt_policy_caps(o->p));
    lua_setfield(L, -2, "caps");
    return 2;
}

/* The op may be found before or after its handle: what the handle needs of it is taken care of here. */
static void release_open(struct vt_op *op)
{
    struct vt_lua_open *o = (struct vt_lua_open *)op;
    if (o->op.is_done)
        end_opening(o);
}

/* core.policy_open(spec, { rank, alpha, targets (bits), seed, stored_optimizer, reset, max_memory, fp32, chat,
 * trace_http }) -> op that gives handle, info; its pieces are lines of progress. */
static int l_open(lua_State *L)
{
    vt_err err;
    vt_bind *b = vt_lua_bind(L);
    const char *spec = luaL_checkstring(L, 1);
    struct vt_policy_opts opts = {
        .rank = vt_lua_int32(L, 2, "rank", 0),
        .alpha = (float)vt_lua_num(L, 2, "alpha", 0),
        .targets = (unsigned)vt_lua_int(L, 2, "targets", 0),
        .init_seed = (uint64_t)vt_lua_int(L, 2, "seed", 0),
        .stored_optimizer = vt_lua_bool(L, 2, "stored_optimizer", false),
        .reset = vt_lua_bool(L, 2, "reset", false),
        .max_memory = (uint64_t)vt_lua_int(L, 2, "max_memory", 0),
        .fp32 = vt_lua_bool(L, 2, "fp32", false),
        .chat = vt_lua_str(L, 2, "chat", ""),
        .trace_http = vt_lua_str(L, 2, "trace_http", ""),
        .lease = b->lease,
        .progress = progress_line,
        .notice = post_news,
        .notice_arg = b,
    };
    struct vt_lua_open *o = vt_op_new(L, sizeof *o, "vt.policy", push_open, release_open);
    int idx = lua_gettop(L);
    o->op.cancel = cancel_open;
    o->mail = (struct vt_mail)VT_MAIL;
    opts.progress_arg = o;
    struct vt_lua_policy *h = lua_newuserdatauv(L, sizeof *h, 0);
    memset(h, 0, sizeof *h);
    h->bind = b;
    luaL_setmetatable(L, policy_type);
    o->handle = h;
    lua_setiuservalue(L, idx, 1);
    vt_op_start(L, idx);
    if (vt_policy_open(spec, &opts, &o->p, opened, o, &o->ticket, &err) != VT_OK) {
        vt_op_abort(L, idx);
        return vt_lua_raise(L, "vt.policy", &err);
    }
    h->opening = o;
    h->next = b->policies;
    b->policies = h;
    return 1;
}

/* core.policy_check(spec) -> nil, or what is wrong with it as far as that is seen without fetching or loading. */
static int l_check(lua_State *L)
{
    vt_err err;
    if (vt_policy_check_spec(luaL_checkstring(L, 1), &err) == VT_OK)
        return 0;
    lua_pushstring(L, err.msg);
    return 1;
}

/* ── text ────────────────────────────────────────────────────────────────────────────────────────────────────────── */

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

/* core.policy_render(handle, { { role, content }… }, generation_prompt, reasoning or nil) */
static int l_render(lua_State *L)
{
    vt_err err;
    char *text = NULL;
    vt_policy *p = vt_lua_policy(L, 1)->p;
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 4);
    size_t n = lua_rawlen(L, 2);
    const char **roles = lua_newuserdatauv(L, (2 * n + 1) * sizeof *roles, 0), **contents = roles + n;
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        roles[i] = vt_lua_str(L, -1, "role", "user");
        contents[i] = vt_lua_str(L, -1, "content", "");
        lua_pop(L, 1);
    }
    struct vt_guard *g = vt_lua_guard(L, free);
    if (vt_policy_render(p, roles, contents, n, lua_toboolean(L, 3), luaL_optstring(L, 4, NULL), &text, &err) != VT_OK)
        return vt_lua_raise(L, "policy:render", &err);
    g->p = text;
    lua_pushstring(L, text);
    return 1;
}

void vt_lua_add_policy(lua_State *L)
{
    static const luaL_Reg functions[] = {{"policy_open", l_open},     {"policy_check", l_check},
                                         {"policy_encode", l_encode}, {"policy_decode", l_decode},
                                         {"policy_render", l_render}, {NULL, NULL}};
    luaL_newmetatable(L, policy_type);
    lua_pushcfunction(L, policy_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
