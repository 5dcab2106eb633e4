/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_eval.h: evaluators that scripts hold, for the other files of bind/.
 */
#ifndef VT_BIND_LUA_EVAL_H
#define VT_BIND_LUA_EVAL_H

#include <lua.h>
#include <vegttt/eval.h>

struct vt_lua_eval;
struct vt_lua_eval *vt_lua_eval(lua_State *L, int idx); /* raises when it is no evaluator, or closed */
vt_eval *vt_lua_evaluator(const struct vt_lua_eval *h); /* NULL: it was closed */

#endif
