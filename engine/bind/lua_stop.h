/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_stop.h: where scripts are stopped: by a count hook, and by functions that block.
 */
#ifndef VT_BIND_LUA_STOP_H
#define VT_BIND_LUA_STOP_H

#include <lua.h>

void vt_lua_watch_script(lua_State *L); /* sets the hook; coroutines inherit it */
/* For functions that block: raises where the run's deadline has passed or an interrupt has come. */
void vt_lua_check_stop(lua_State *L);

#endif
