/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_copy.h: plain values from one Lua state to another. States share nothing: what crosses is numbers, texts,
 * booleans and tables of them without metatables, copied to the bit. Handles of models and evaluators cross as handles
 * of the other state to the same thing; whoever opened it keeps it open.
 */
#ifndef VT_BIND_LUA_COPY_H
#define VT_BIND_LUA_COPY_H

#include <lua.h>
#include <stdbool.h>

/* Copies from's values [first, first + n) to the top of `to`, which is another state and runs nothing on this thread.
 * False: nothing was copied, and why stands on top of `to`. Raises in neither. */
bool vt_lua_copy(lua_State *from, int first, int n, lua_State *to);

/* Pushes a handle of L's to what the handle at idx of `from` holds; false when it holds nothing of that kind. */
bool vt_lua_lend_policy(lua_State *from, int idx, lua_State *L);
bool vt_lua_lend_evaluator(lua_State *from, int idx, lua_State *L);

#endif
