/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_ops.c: operations under way, and the one place where the loop runs: core.turn.
 *
 * A worker thread finishes an op by posting it to the loop; the loop thread puts it in a queue; core.turn hands the
 * queue to the Lua scheduler, which resumes whoever waits. While an op runs its userdata is anchored in the registry,
 * so what C writes into always exists. Results are pushed once, by core.result, on the Lua side's request.
 */
#include "base/clock.h"
#include "bind/lua_cell.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "bind/warden.h"
#include <math.h>
#include <string.h>

static const char op_type[] = "vt.op";

void *vt_op_new(lua_State *L, size_t size, const char *name, int (*push)(lua_State *, struct vt_op *, int),
                void (*release)(struct vt_op *))
{
    struct vt_op *op = lua_newuserdatauv(L, size, 2);
    memset(op, 0, size);
    op->bind = vt_lua_bind(L);
    op->name = name;
    op->push = push;
    op->release = release;
    luaL_setmetatable(L, op_type);
    return op;
}

void vt_op_start(lua_State *L, int idx)
{
    struct vt_op *op = luaL_checkudata(L, idx, op_type);
    lua_pushvalue(L, idx);
    lua_rawsetp(L, LUA_REGISTRYINDEX, op);
    op->bind->n_running++;
    for (vt_bind *b = op->bind->parent; b; b = b->parent)
        b->n_below++;
}

static void unanchor(lua_State *L, struct vt_op *op)
{
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, op);
    op->bind->n_running--;
}

static void leave_below(const struct vt_op *op)
{
    for (vt_bind *b = op->bind->parent; b; b = b->parent)
        b->n_below--;
}

void vt_op_abort(lua_State *L, int idx)
{
    struct vt_op *op = luaL_checkudata(L, idx, op_type);
    unanchor(L, op);
    leave_below(op);
}

/* Loop thread. */
static void delivered(void *arg)
{
    struct vt_op *op = arg;
    vt_bind *b = op->bind;
    op->is_done = true;
    op->next = NULL;
    leave_below(op);
    if (b->done_last)
        b->done_last->next = op;
    else
        b->done_first = op;
    b->done_last = op;
}

void vt_op_finish(void *arg, vt_status status, const vt_err *err)
{
    struct vt_op *op = arg;
    op->status = status;
    if (err)
        op->err = *err;
    else if (status != VT_OK)
        vt_fail(&op->err, status, "%s failed: %s", op->name, vt_status_text(status));
    op->post = (struct vt_post){.fn = delivered, .arg = op};
    vt_loop_post(op->bind->loop, &op->post);
}

/* Loop thread. */
static void part_delivered(void *arg)
{
    struct vt_part *part = arg;
    vt_bind *b = part->op->bind;
    part->next = NULL;
    if (b->part_last)
        b->part_last->next = part;
    else
        b->part_first = part;
    b->part_last = part;
}

void vt_part_post(struct vt_part *part)
{
    part->post = (struct vt_post){.fn = part_delivered, .arg = part};
    vt_loop_post(part->op->bind->loop, &part->post);
}

void vt_lua_drop_posted(vt_bind *b)
{
    int n_run = 0;
    if (b->loop)
        (void)!vt_loop_turn(b->loop, 0, &n_run, NULL);
    while (b->part_first) {
        struct vt_part *part = b->part_first;
        b->part_first = part->next;
        part->free(part);
    }
}

static void release_part(void *p)
{
    struct vt_part *part = p;
    part->free(part);
}

/* Pushes an array of { op, i, value }. */
static void push_parts(lua_State *L, vt_bind *b)
{
    lua_Integer n = 0;
    lua_newtable(L);
    struct vt_guard *g = vt_lua_guard(L, release_part);
    while (b->part_first) {
        struct vt_part *part = b->part_first;
        g->p = part;
        b->part_first = part->next;
        if (!b->part_first)
            b->part_last = NULL;
        lua_createtable(L, 3, 0);
        lua_rawgetp(L, LUA_REGISTRYINDEX, part->op);
        lua_rawseti(L, -2, 1);
        lua_pushinteger(L, part->i + 1);
        lua_rawseti(L, -2, 2);
        part->push(L, part);
        lua_rawseti(L, -2, 3);
        lua_rawseti(L, -3, ++n);
        g->p = NULL;
        part->free(part);
    }
    lua_pop(L, 1);
}

/* What core.turn gives, once the loop has turned. */
static int turned(lua_State *L, int status, lua_KContext ctx)
{
    vt_bind *b = vt_lua_bind(L);
    (void)status;
    (void)ctx;
    b->last_turn_s = vt_now_s();
    push_parts(L, b);
    lua_newtable(L);
    lua_Integer n = 0;
    while (b->done_first) {
        struct vt_op *op = b->done_first;
        b->done_first = op->next;
        if (!b->done_first)
            b->done_last = NULL;
        lua_rawgetp(L, LUA_REGISTRYINDEX, op);
        lua_rawseti(L, -2, ++n);
        unanchor(L, op);
    }
    lua_pushinteger(L, vt_bind_root(b)->n_signals);
    lua_rotate(L, -3, -1);
    vt_lua_push_told(L);
    return 4;
}

/* core.turn(timeout_s) -> array of ops that finished, number of interrupts so far, array of pieces { op, i, value },
 * and in a cell what its parent told it, an array of arrays. */
static int l_turn(lua_State *L)
{
    double timeout_s = luaL_optnumber(L, 1, 0);
    vt_bind *b = vt_lua_bind(L);
    vt_err err;
    int n_run = 0;
    if (vt_lua_is_cell_waiting(L))
        return vt_lua_leave_cell(L, b->done_first || b->part_first ? 0 : timeout_s, turned);
    int ms = b->done_first || b->part_first ? 0 : timeout_s < 0 ? -1 : (int)fmin(ceil(timeout_s * 1e3), 1e6);
    vt_warden_waits(b->warden, true);
    vt_status status = vt_loop_turn(b->loop, ms, &n_run, &err);
    vt_warden_waits(b->warden, false);
    if (status != VT_OK)
        return vt_lua_raise(L, "core.turn", &err);
    return turned(L, LUA_OK, 0);
}

void vt_lua_end_ops(vt_bind *b)
{
    lua_State *L = b->L;
    if (!lua_checkstack(L, 8))
        return;
    for (lua_pushnil(L); lua_next(L, LUA_REGISTRYINDEX); lua_pop(L, 1)) {
        struct vt_op *op = lua_islightuserdata(L, -2) ? luaL_testudata(L, -1, op_type) : NULL;
        if (op && !op->is_done && op->cancel)
            op->cancel(op);
    }
    while (b->n_running > 0) {
        int n_run = 0;
        for (; b->done_first; b->done_first = b->done_first->next)
            b->n_running--;
        b->done_last = NULL;
        if (b->n_running > 0 && vt_loop_turn(b->loop, -1, &n_run, NULL) != VT_OK)
            return;
    }
}

/* core.result(op) -> true, results… or false, vt.Error. */
static int l_result(lua_State *L)
{
    struct vt_op *op = luaL_checkudata(L, 1, op_type);
    luaL_argcheck(L, op->is_done, 1, "the operation is still running");
    lua_settop(L, 1);
    lua_pushboolean(L, op->status == VT_OK);
    if (op->status != VT_OK) {
        vt_lua_push_error(L, op->name, &op->err);
        return 2;
    }
    return 1 + op->push(L, op, 1);
}

/* core.cancel(op): asks it to end soon; it still ends by itself, with an error when the request came in time. */
static int l_cancel(lua_State *L)
{
    struct vt_op *op = luaL_checkudata(L, 1, op_type);
    if (!op->is_done && op->cancel)
        op->cancel(op);
    return 0;
}

/* core.running() -> operations that were not handed over yet, those included that cells wait for. */
static int l_running(lua_State *L)
{
    vt_bind *b = vt_lua_bind(L);
    lua_pushinteger(L, (lua_Integer)(b->n_running + b->n_below));
    return 1;
}

static int op_gc(lua_State *L)
{
    struct vt_op *op = luaL_checkudata(L, 1, op_type);
    if (op->release)
        op->release(op);
    op->release = NULL;
    return 0;
}

static int op_tostring(lua_State *L)
{
    struct vt_op *op = luaL_checkudata(L, 1, op_type);
    lua_pushfstring(L, "operation %s (%s)", op->name, op->is_done ? "done" : "running");
    return 1;
}

void vt_lua_add_ops(lua_State *L)
{
    static const luaL_Reg meta[] = {{"__gc", op_gc}, {"__tostring", op_tostring}, {NULL, NULL}};
    static const luaL_Reg functions[] = {
        {"turn", l_turn}, {"result", l_result}, {"cancel", l_cancel}, {"running", l_running}, {NULL, NULL}};
    luaL_newmetatable(L, op_type);
    luaL_setfuncs(L, meta, 0);
    lua_pop(L, 1);
    luaL_setfuncs(L, functions, 0);
}
