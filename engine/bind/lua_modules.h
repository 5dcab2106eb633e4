/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_modules.h: where `require "vegttt.x"` looks.
 */
#ifndef VT_BIND_LUA_MODULES_H
#define VT_BIND_LUA_MODULES_H

#include <lua.h>

int vt_lua_search_module(lua_State *L); /* an entry of package.searchers */

#endif
