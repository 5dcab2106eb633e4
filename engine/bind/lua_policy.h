/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_policy.h: policy and weights handles, shared by lua_policy.c (open, text, sample, score, files) and lua_train.c
 * (the two halves of an update). Weights handles hold a reference each; when the state closes they give it back
 * before their policy closes, whatever the order in which the collector finds them.
 */
#ifndef VT_BIND_LUA_POLICY_H
#define VT_BIND_LUA_POLICY_H

#include "bind/lua_core.h"

struct vt_lua_weights {
    vt_weights *w;
    struct vt_lua_policy *policy;
    struct vt_lua_weights *next, **link;
};

struct vt_lua_policy {
    vt_policy *p;
    struct vt_lua_weights *weights;
    struct vt_lua_policy *next;
    struct vt_bind *bind;
};

struct vt_lua_policy *vt_lua_policy(lua_State *L, int idx); /* raises when it is closed */
vt_weights *vt_lua_weights(lua_State *L, int idx);
struct vt_lua_policy *vt_lua_weights_policy(lua_State *L, int idx);
/* Pushes { id, step, trained_on, handle }; takes the reference. policy_idx: the policy userdata, kept alive. */
void vt_lua_push_weights(lua_State *L, int policy_idx, vt_weights *w);

#endif
