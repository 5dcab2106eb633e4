/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_core.h: what the files of bind/ share. The C half of the module is one table, `vegttt.core`, of plain functions
 * over opaque handles; the Lua half (lua/vegttt) builds the public surface on it. A test can hand the Lua half another
 * table of the same shape, so everything with a rule in it belongs to Lua and everything with memory in it here.
 *
 * Law: a function that may raise holds nothing that needs freeing except Lua-owned userdata (vt_lua_guard, vt_lua_buf).
 */
#ifndef VT_BIND_LUA_CORE_H
#define VT_BIND_LUA_CORE_H

#include "base/buf.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "bind/bind.h"
#include "loop/loop.h"
#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>
#include <vegttt/eval.h>
#include <vegttt/policy.h>
#include <vegttt/task.h>

struct vt_op;
struct vt_part;
struct vt_lua_policy;
struct vt_lua_eval;
struct vt_warden;
struct vt_lua_cell;
struct vt_lua_chunk;

struct vt_bind {
    lua_State *L;
    vt_loop *loop;
    vt_lease *lease;
    struct vt_bind_host host;
    struct vt_warden *warden;
    struct vt_op *done_first, *done_last; /* delivered, not yet seen by core.turn */
    struct vt_part *part_first, *part_last;
    size_t n_running;
    size_t n_below;         /* operations of its cells that were not delivered yet */
    struct vt_bind *parent; /* of a cell's state (lua_cell.h); NULL: the engine's own */
    /* Makes the state of a bind without parts, with the C half and the Lua half to be required. parent lends what a
     * process has one of (loop, lease, host, warden); NULL: b has its own already. A pointer, since what a state holds
     * can open others. lua_state.c */
    vt_status (*open_state)(vt_bind *b, vt_bind *parent, vt_err *err);
    struct vt_lua_cell *cell;       /* it is this one's */
    struct vt_lua_cell *cells;      /* open ones, closed before the state */
    lua_State *scheduler;           /* the thread that runs no script */
    struct vt_lua_policy *policies; /* open handles, closed before the state */
    struct vt_lua_eval *evals;
    int n_signals;
    double last_turn_s; /* when the scripts last let the loop run */
    double warned_s;
    double deadline_s;       /* scripts are stopped after it; 0 = none */
    bool has_stopped_script; /* by an error at the deadline */
    bool is_closing;         /* no script runs any more: nothing is waited for */
    char deadline_text[160];
    struct vt_lua_chunk *chunks;    /* the Lua half as compiled for the states of cells (lua_modules.c) */
    char lua_digest[VT_SHA256_HEX]; /* of the Lua half, once asked for; "" before */
};

vt_bind *vt_lua_bind(lua_State *L); /* the engine behind the state */
vt_bind *vt_bind_root(vt_bind *b);  /* the engine's own: the one that signals reach */

/* Raises err as a vt.Error whose `op` is the name of the surface function ("weights:sample"). Does not return. */
int vt_lua_raise(lua_State *L, const char *op, const vt_err *err);
void vt_lua_push_error(lua_State *L, const char *op, const vt_err *err);

/* A slot on the stack that frees what it holds when the collector finds it. */
struct vt_guard {
    void *p;
    void (*release)(void *p);
};
void vt_lua_add_guards(lua_State *L); /* before anything else */
struct vt_guard *vt_lua_guard(lua_State *L, void (*release)(void *p));
struct vt_buf *vt_lua_buf(lua_State *L, size_t max);
/* The content store of core.content_open at idx (lua_store.c). */
struct vt_content;
struct vt_content *vt_lua_content(lua_State *L, int idx);

/* JSON: the canonical text of a Lua value in a pushed buffer; the Lua value of a tree, pushed. */
struct cJSON;
struct vt_buf *vt_lua_encode(lua_State *L, int idx);
void vt_lua_push_json(lua_State *L, const struct cJSON *j);
extern const char vt_lua_array_type[]; /* the metatable of what core.array marks */

/* Options in the table at `idx`. Absent (or no table) gives the fallback. */
double vt_lua_num(lua_State *L, int idx, const char *key, double fallback);
lua_Integer vt_lua_int(lua_State *L, int idx, const char *key, lua_Integer fallback);
bool vt_lua_bool(lua_State *L, int idx, const char *key, bool fallback);
const char *vt_lua_str(lua_State *L, int idx, const char *key, const char *fallback); /* anchored by the table */

/* Vectors of numbers (log-probabilities, weights). */
struct vt_vector {
    size_t n;
    double v[];
};
struct vt_vector *vt_vector_test(lua_State *L, int idx); /* NULL when it is something else */
void vt_vector_push_f32(lua_State *L, const float *v, size_t n);
/* Copies a vector or an array of numbers into out[0..n); raises when the length or a type differs. */
void vt_lua_read_f32(lua_State *L, int idx, float *out, size_t n, const char *what);
int32_t *vt_lua_read_ids(lua_State *L, int idx, size_t *n, const char *what); /* in a userdata, pushed */

/* Operations under way. An op is a userdata anchored in the registry until it is delivered; finish may be called on
 * any thread, once. push leaves the results on the stack and returns their number; release frees what C owns. */
struct vt_op {
    vt_bind *bind;
    const char *name;
    struct vt_op *next;
    struct vt_post post;
    vt_status status;
    vt_err err;
    bool is_done;
    int (*push)(lua_State *L, struct vt_op *op, int idx);
    void (*release)(struct vt_op *op);
    void (*cancel)(struct vt_op *op); /* core.cancel; NULL = cannot be stopped */
};
/* Pushes a zeroed op of `size` bytes (its first member is the vt_op). */
void *vt_op_new(lua_State *L, size_t size, const char *name, int (*push)(lua_State *, struct vt_op *, int),
                void (*release)(struct vt_op *));
void vt_op_start(lua_State *L, int idx); /* anchors it: call right before submitting */
void vt_op_abort(lua_State *L, int idx); /* the submission failed */
void vt_op_finish(void *op, vt_status status, const vt_err *err);

/* A piece of a running op's result, handed over before the op ends. Allocated by whoever posts it (first member of its
 * struct); push leaves one value; free releases the struct. */
struct vt_part {
    struct vt_op *op;
    struct vt_part *next;
    struct vt_post post;
    int i; /* from 0 */
    void (*push)(lua_State *L, const struct vt_part *part);
    void (*free)(struct vt_part *part);
};
void vt_part_post(struct vt_part *part);
/* Closing: receives what is still posted and frees the pieces. Before the state goes. */
void vt_lua_drop_posted(vt_bind *b);

vt_task *vt_lua_task(lua_State *L, int idx);

void vt_lua_close_evals(vt_bind *b);
void vt_lua_close_policies(vt_bind *b);

#endif
