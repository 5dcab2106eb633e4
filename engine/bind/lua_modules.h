/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_modules.h: where `require "vegttt.x"` looks, and what it finds there sees.
 */
#ifndef VT_BIND_LUA_MODULES_H
#define VT_BIND_LUA_MODULES_H

#include <lua.h>

struct vt_bind;

/* Keeps the global table as it is now for the modules of the Lua half. */
void vt_lua_keep_own_globals(lua_State *L);
int vt_lua_search_module(lua_State *L); /* an entry of package.searchers */
void vt_lua_free_chunks(struct vt_bind *b);

#endif
