/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_policy.h: policy and weights handles, shared by lua_policy.c (open, text, sample, score), lua_weights.c (weights
 * and their files) and lua_train.c (updates). A handle of weights or of an update may outlive its policy: every call
 * then refuses it, so the collector may find them in any order.
 */
#ifndef VT_BIND_LUA_POLICY_H
#define VT_BIND_LUA_POLICY_H

#include "bind/lua_core.h"

struct vt_lua_open;

struct vt_lua_policy {
    vt_policy *p;                /* NULL while it opens and after the end */
    struct vt_lua_open *opening; /* its op, while the request runs */
    struct vt_lua_policy *next;
    struct vt_bind *bind;
    bool is_lent; /* another state's; that one closes it */
};

struct vt_lua_policy *vt_lua_policy(lua_State *L, int idx); /* raises when it is closed */
vt_weights *vt_lua_weights(lua_State *L, int idx);
vt_policy *vt_lua_weights_policy(lua_State *L, int idx); /* raises when it is closed */
void vt_lua_push_weights_policy(lua_State *L, int idx);  /* the policy userdata */
/* Pushes { id, step, trained_on, handle }; takes the reference. policy_idx: the policy userdata, kept alive. */
void vt_lua_push_weights(lua_State *L, int policy_idx, vt_weights *w);

/* Options and lists of requests. Each raises and names what was wrong. */
void *vt_lua_need(lua_State *L, void *p); /* p, unless it is NULL */
int vt_lua_int32(lua_State *L, int idx, const char *key, int fallback);
int32_t *vt_lua_copy_ids(lua_State *L, int idx, int *n, const char *what); /* malloc'd */

#endif
