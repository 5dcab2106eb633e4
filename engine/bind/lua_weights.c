/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_weights.c: weights for the Lua half: handles, branches, and the snapshots from which they come back. What a
 * snapshot is and where its bytes are, the backend knows; Lua asks core.snapshot_info.
 */
#include "base/alloc.h"
#include "bind/lua_open.h"
#include "bind/lua_policy.h"
#include <stdlib.h>
#include <string.h>

static const char weights_type[] = "vt.weights";

struct weights {
    vt_weights *w;
};

/* ── handles ─────────────────────────────────────────────────────────────────────────────────────────────────────── */

vt_weights *vt_lua_weights(lua_State *L, int idx)
{
    return ((struct weights *)luaL_checkudata(L, idx, weights_type))->w;
}

void vt_lua_push_weights_policy(lua_State *L, int idx)
{
    luaL_checkudata(L, idx, weights_type);
    lua_getiuservalue(L, idx, 1);
}

vt_policy *vt_lua_weights_policy(lua_State *L, int idx)
{
    vt_lua_push_weights_policy(L, idx);
    vt_policy *p = vt_lua_policy(L, -1)->p;
    lua_pop(L, 1); /* the weights keep it */
    return p;
}

static int weights_gc(lua_State *L)
{
    struct weights *h = luaL_checkudata(L, 1, weights_type);
    vt_weights_unref(h->w);
    h->w = NULL;
    return 0;
}

void vt_lua_push_weights(lua_State *L, int policy_idx, vt_weights *w)
{
    policy_idx = lua_absindex(L, policy_idx);
    lua_createtable(L, 0, 4);
    struct weights *h = lua_newuserdatauv(L, sizeof *h, 1);
    h->w = w;
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

/* core.policy_weights(handle, "base" | "start") */
static int l_weights(lua_State *L)
{
    static const char *const names[] = {"base", "start", NULL};
    struct vt_lua_policy *h = vt_lua_policy(L, 1);
    int which = luaL_checkoption(L, 2, NULL, names);
    vt_lua_push_weights(L, 1, which == 0 ? vt_policy_base(h->p) : vt_policy_start(h->p));
    return 1;
}

/* ── requests that give weights, or nothing ──────────────────────────────────────────────────────────────────────── */

/* The policy is uservalue 1. */
struct weights_op {
    struct vt_op op;
    vt_request *ticket;
    vt_weights *out;
};

static void cancel_op(struct vt_op *op)
{
    vt_request_cancel(((struct weights_op *)op)->ticket);
}

static void release_op(struct vt_op *op)
{
    struct weights_op *o = (struct weights_op *)op;
    vt_request_release(o->ticket);
    vt_weights_unref(o->out);
}

static int push_op(lua_State *L, struct vt_op *op, int idx)
{
    struct weights_op *o = (struct weights_op *)op;
    vt_weights *w = o->out;
    if (!w)
        return 0;
    lua_getiuservalue(L, idx, 1);
    o->out = NULL;
    vt_lua_push_weights(L, -1, w);
    return 1;
}

/* Pushes an op whose policy is on top of the stack, which it takes; it is started. */
static struct weights_op *new_op(lua_State *L, const char *name)
{
    struct weights_op *o = vt_op_new(L, sizeof *o, name, push_op, release_op);
    o->op.cancel = cancel_op;
    lua_insert(L, -2);
    lua_setiuservalue(L, -2, 1);
    vt_op_start(L, -1);
    return o;
}

static int end_op(lua_State *L, struct weights_op *o, vt_status status, const vt_err *err)
{
    if (status == VT_OK)
        return 1;
    vt_op_abort(L, -1);
    return vt_lua_raise(L, o->op.name, err);
}

/* core.branch(weights) -> op giving weights of the same id that may be trained on apart */
static int l_branch(lua_State *L)
{
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    vt_lua_push_weights_policy(L, 1);
    struct weights_op *o = new_op(L, "policy:branch");
    return end_op(L, o, vt_policy_branch(w, &o->out, vt_op_finish, o, &o->ticket, &err), &err);
}

/* core.weights_save(weights, folder, "export" | "training" | "exact") -> op */
static int l_save(lua_State *L)
{
    static const char *const kinds[] = {
        [VT_SNAPSHOT_EXPORT] = "export", [VT_SNAPSHOT_TRAINING] = "training", [VT_SNAPSHOT_EXACT] = "exact", NULL};
    vt_err err;
    vt_weights *w = vt_lua_weights(L, 1);
    const char *dir = luaL_checkstring(L, 2);
    enum vt_snapshot_kind kind = (enum vt_snapshot_kind)luaL_checkoption(L, 3, NULL, kinds);
    vt_lua_push_weights_policy(L, 1);
    struct weights_op *o = new_op(L, "weights:save");
    return end_op(L, o, vt_weights_save(w, dir, kind, vt_op_finish, o, &o->ticket, &err), &err);
}

/* core.weights_load(policy, folder) -> op giving weights */
static int l_load(lua_State *L)
{
    vt_err err;
    vt_policy *p = vt_lua_policy(L, 1)->p;
    const char *dir = luaL_checkstring(L, 2);
    lua_pushvalue(L, 1);
    struct weights_op *o = new_op(L, "vt.weights");
    return end_op(L, o, vt_weights_load(p, dir, &o->out, vt_op_finish, o, &o->ticket, &err), &err);
}

/* core.weights_mix(a, b, share) -> weights: (1 - share) a + share b */
static int l_mix(lua_State *L)
{
    vt_err err;
    vt_weights *made;
    vt_lua_push_weights_policy(L, 1);
    if (vt_weights_mix(vt_lua_weights(L, 1), vt_lua_weights(L, 2), luaL_checknumber(L, 3), &made, &err) != VT_OK)
        return vt_lua_raise(L, "policy:average", &err);
    vt_lua_push_weights(L, -1, made);
    return 1;
}

/* core.mix_id(id of a, id of b, share) -> the id of what core.weights_mix makes of these */
static int l_mix_id(lua_State *L)
{
    char id[65];
    vt_weights_mix_id(luaL_checkstring(L, 1), luaL_checkstring(L, 2), luaL_checknumber(L, 3), id);
    lua_pushstring(L, id);
    return 1;
}

/* core.snapshot_info(policy, folder) -> { id, step, is_trainable }, or nil when there is no whole snapshot. */
static int l_info(lua_State *L)
{
    vt_err err;
    struct vt_snapshot s;
    vt_status status = vt_snapshot_read(vt_lua_policy(L, 1)->p, luaL_checkstring(L, 2), &s, &err);
    if (status == VT_ENOENT)
        return 0;
    if (status != VT_OK)
        return vt_lua_raise(L, "vt.weights", &err);
    lua_createtable(L, 0, 3);
    lua_pushstring(L, s.id);
    lua_setfield(L, -2, "id");
    lua_pushinteger(L, s.step);
    lua_setfield(L, -2, "step");
    lua_pushboolean(L, s.is_trainable);
    lua_setfield(L, -2, "is_trainable");
    return 1;
}

void vt_lua_add_weights(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"policy_weights", l_weights}, {"branch", l_branch},   {"weights_save", l_save}, {"weights_load", l_load},
        {"snapshot_info", l_info},     {"weights_mix", l_mix}, {"mix_id", l_mix_id},     {NULL, NULL}};
    luaL_newmetatable(L, weights_type);
    lua_pushcfunction(L, weights_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
