/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_open.c: the module `vegttt.core`, put together from its parts. The one file that knows them all.
 */
#include "bind/lua_open.h"
#include "bind/build_id.h"
#include "bind/lua_core.h"

int vt_lua_open_core(lua_State *L)
{
    lua_newtable(L);
    lua_pushboolean(L, vt_lua_bind(L)->host.tty);
    lua_setfield(L, -2, "tty");
    lua_pushliteral(L, VEGTTT_VERSION);
    lua_setfield(L, -2, "version");
    lua_pushstring(L, vt_build_commit);
    lua_setfield(L, -2, "commit");
    lua_pushstring(L, vt_build_engine);
    lua_setfield(L, -2, "engine_digest");
    lua_pushglobaltable(L); /* what scripts see */
    lua_setfield(L, -2, "globals");
#define X(name) vt_lua_add_##name(L);
    VT_LUA_PARTS(X)
#undef X
    return 1;
}
