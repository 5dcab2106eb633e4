/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_check.c: what `vegttt task` and the verdicts for people need to know about a task beyond its text: shapes at a
 * scale, null candidates, and a probe that makes the task ready exactly as the evaluator would and reports how far its
 * own references stay from the bound on every input set; and those inputs as a file, for a program that looks at what
 * they make a function do.
 *
 * The probe blocks: it belongs to a verb that has nothing else to do.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "eval/c/inputs.h"
#include "eval/c/null.h"
#include "eval/dists.h"
#include "eval/probe.h"
#include <stdlib.h>

static const char task_op[] = "vegttt task";

/* ---- layout ---- */

static void push_shape(lua_State *L, const struct vt_layout_array *a)
{
    lua_createtable(L, a->n_dims, 0);
    for (int d = 0; d < a->n_dims; d++) {
        lua_pushinteger(L, a->shape[d]);
        lua_rawseti(L, -2, d + 1);
    }
}

static void push_array(lua_State *L, const struct vt_task_array *a, const struct vt_layout_array *at)
{
    static const char *const roles[] = {"in", "out", "weight", "state"};
    static const char *const rules[] = {"bound", "exact", "first_index"};
    lua_createtable(L, 0, 8);
    lua_pushstring(L, a->name);
    lua_setfield(L, -2, "name");
    lua_pushstring(L, roles[a->role]);
    lua_setfield(L, -2, "role");
    lua_pushstring(L, vt_task_dtype_name(a->dtype));
    lua_setfield(L, -2, "dtype");
    lua_pushstring(L, rules[a->compare]);
    lua_setfield(L, -2, "compare");
    lua_pushinteger(L, at->n_elem);
    lua_setfield(L, -2, "n_elem");
    lua_pushinteger(L, (lua_Integer)at->bytes);
    lua_setfield(L, -2, "bytes");
    push_shape(L, at);
    lua_setfield(L, -2, "shape");
}

/* core.task_layout(task, scale) -> { arrays, sizes = { n = 5, … }, bytes, flops, rtol, atol, k, dists }, or nil when
 * the task has no such scale. */
static int l_layout(lua_State *L)
{
    vt_err err;
    vt_layout l;
    char text[512];
    const vt_task *t = vt_lua_task(L, 1);
    const char *scale = luaL_checkstring(L, 2);
    if (!vt_task_has_scale(t, scale))
        return 0;
    if (vt_task_layout(t, scale, &l, &err) != VT_OK)
        return vt_lua_raise(L, task_op, &err);
    lua_createtable(L, 0, 8);
    lua_createtable(L, (int)l.n_arrays, 0);
    for (size_t i = 0; i < l.n_arrays; i++) {
        push_array(L, vt_task_array(t, i), &l.array[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "arrays");
    lua_createtable(L, 0, (int)l.n_sizes);
    for (size_t i = 0; i < l.n_sizes; i++) {
        lua_pushinteger(L, l.size[i]);
        lua_setfield(L, -2, vt_task_size_name(t, i));
    }
    lua_setfield(L, -2, "sizes");
    lua_pushinteger(L, l.bytes_moved);
    lua_setfield(L, -2, "bytes");
    lua_pushinteger(L, l.flops);
    lua_setfield(L, -2, "flops");
    lua_pushnumber(L, vt_task_rtol(t));
    lua_setfield(L, -2, "rtol");
    lua_pushnumber(L, vt_task_atol(t));
    lua_setfield(L, -2, "atol");
    lua_pushnumber(L, vt_task_k(t));
    lua_setfield(L, -2, "k");
    lua_newtable(L);
    for (int d = 0; d < vt_task_n_dists(t); d++) {
        vt_inputs_describe(t, d, 0, text, sizeof text);
        lua_pushstring(L, text);
        lua_rawseti(L, -2, d + 1);
    }
    lua_setfield(L, -2, "dists");
    return 1;
}

/* ---- null candidates ---- */

struct nulls {
    struct vt_null *list;
    size_t n;
};

static void free_nulls(void *p)
{
    struct nulls *x = p;
    vt_null_free(x->list, x->n);
    free(x);
}

/* core.task_nulls(task) -> { { name, body, blind = reason or nil }, … } at scale cpu. */
static int l_nulls(lua_State *L)
{
    vt_err err;
    vt_layout l;
    const vt_task *t = vt_lua_task(L, 1);
    struct vt_guard *g = vt_lua_guard(L, free_nulls);
    struct nulls *x = vt_alloc(sizeof *x);
    if (!x)
        return luaL_error(L, "no memory for null candidates");
    g->p = x;
    if (vt_task_layout(t, "cpu", &l, &err) != VT_OK || vt_null_list(t, &l, &x->list, &x->n, &err) != VT_OK)
        return vt_lua_raise(L, task_op, &err);
    lua_createtable(L, (int)x->n, 0);
    for (size_t i = 0; i < x->n; i++) {
        lua_createtable(L, 0, 3);
        lua_pushstring(L, x->list[i].name);
        lua_setfield(L, -2, "name");
        lua_pushstring(L, x->list[i].body);
        lua_setfield(L, -2, "body");
        lua_pushstring(L, vt_task_blind(t, x->list[i].name));
        lua_setfield(L, -2, "blind");
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* ---- probe ---- */

static void push_set(lua_State *L, const struct vt_probe *p, size_t i)
{
    static const char *const names[] = {"baseline", "tuned"};
    lua_createtable(L, 0, 4);
    lua_pushstring(L, p->set[i].scale);
    lua_setfield(L, -2, "scale");
    lua_pushstring(L, p->set[i].inputs);
    lua_setfield(L, -2, "inputs");
    lua_pushboolean(L, p->pool.set[i].spice >= VT_SPICE_HUGE);
    lua_setfield(L, -2, "is_beyond");
    for (int which = 0; which < VT_N_REFERENCES; which++) {
        if (!p->has[which])
            continue;
        lua_pushnumber(L, p->set[i].worst[which]);
        lua_setfield(L, -2, names[which]);
    }
}

/* core.task_probe(task, "fast" | "full", unsafe_jail) -> { sets = { { scale, inputs, is_beyond, baseline, tuned }, … },
 * stale_refused }, where baseline and tuned are the largest error / bound. Raises with code EFORMAT when the task
 * itself is at fault. */
static int l_probe(lua_State *L)
{
    static const char *const protocols[] = {"fast", "full", NULL};
    vt_err err;
    vt_task *t = vt_lua_task(L, 1);
    vt_protocol protocol = luaL_checkoption(L, 2, "fast", protocols) == 1 ? VT_PROTOCOL_FULL : VT_PROTOCOL_FAST;
    struct vt_guard *g = vt_lua_guard(L, free);
    struct vt_probe *p = vt_alloc(sizeof *p);
    if (!p)
        return luaL_error(L, "no memory for checking a task");
    g->p = p;
    if (vt_probe_task(NULL, t, protocol, vt_lua_bind(L)->lease, lua_toboolean(L, 3), p, &err) != VT_OK)
        return vt_lua_raise(L, task_op, &err);
    lua_createtable(L, 0, 2);
    lua_createtable(L, (int)p->n_sets, 0);
    for (size_t i = 0; i < p->n_sets; i++) {
        push_set(L, p, i);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    lua_setfield(L, -2, "sets");
    lua_pushboolean(L, p->is_stale_refused);
    lua_setfield(L, -2, "stale_refused");
    return 1;
}

/* ---- inputs ---- */

enum { MAX_INPUT_BYTES = 1 << 30 };
static const uint64_t shown_secret = 0x7a5c; /* of a probe: these are no inputs that decide anything */

static void put_int(struct vt_buf *b, int64_t v)
{
    vt_buf_add(b, (const char *)&v, sizeof v);
}

static vt_status put_set(const vt_task *t, const struct vt_pool *pool, size_t i, struct vt_buf *b, vt_err *err)
{
    vt_layout l;
    void *buf[VT_TASK_MAX_ARRAYS] = {NULL};
    const char *scale = pool->set[i].scale;
    VT_TRY(vt_task_layout(t, scale, &l, err));
    vt_status s = VT_OK;
    for (size_t a = 0; a < l.n_arrays && s == VT_OK; a++)
        if (vt_role_is_input(vt_task_array(t, a)->role) && !(buf[a] = vt_alloc(l.array[a].bytes + 8)))
            s = vt_fail(err, VT_ENOMEM, "out of memory for the inputs of task %s", vt_task_name(t));
    if (s == VT_OK)
        s = vt_inputs_fill(t, scale, pool->key, i, pool->set[i].dist, pool->set[i].spice, buf, err);
    for (size_t k = 0; k < l.n_sizes && s == VT_OK; k++)
        put_int(b, l.size[k]);
    for (size_t a = 0; a < l.n_arrays && s == VT_OK; a++) {
        put_int(b, (int64_t)l.array[a].bytes);
        put_int(b, buf[a] != NULL);
        if (buf[a])
            vt_buf_add(b, buf[a], (l.array[a].bytes + 7) / 8 * 8);
    }
    for (size_t a = 0; a < l.n_arrays; a++)
        free(buf[a]);
    return s;
}

static void free_bytes(void *p)
{
    vt_buf_free(p);
    free(p);
}

/* core.task_inputs(task, path): writes the input sets of a probe: their number, and of each the sizes and, of each
 * array, its bytes, whether it is an input, and then its contents, padded to 8 bytes. All numbers are int64. */
static int l_inputs(lua_State *L)
{
    vt_err err;
    struct vt_pool pool;
    vt_task *t = vt_lua_task(L, 1);
    const char *path = luaL_checkstring(L, 2);
    struct vt_guard *g = vt_lua_guard(L, free_bytes);
    struct vt_buf *b = vt_alloc(sizeof *b);
    if (!b)
        return luaL_error(L, "no memory for the inputs of a task");
    vt_buf_init(b, MAX_INPUT_BYTES);
    g->p = b;
    vt_pool_plan(&pool, t, "cpu", false, true, shown_secret);
    vt_pool_draw(&pool);
    put_int(b, (int64_t)pool.n_sets);
    vt_status s = VT_OK;
    for (size_t i = 0; i < pool.n_sets && s == VT_OK; i++)
        s = put_set(t, &pool, i, b, &err);
    if (s == VT_OK)
        s = vt_buf_check(b, "the inputs of a task", &err);
    if (s == VT_OK)
        s = vt_fs_write_atomic(path, b->p, b->len, &err);
    return s == VT_OK ? 0 : vt_lua_raise(L, task_op, &err);
}

void vt_lua_add_check(lua_State *L)
{
    static const luaL_Reg functions[] = {{"task_layout", l_layout},
                                         {"task_nulls", l_nulls},
                                         {"task_probe", l_probe},
                                         {"task_inputs", l_inputs},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
