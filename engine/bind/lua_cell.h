/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_cell.h: Lua states of their own below the one that opened them, for the cells of a sweep (lua_cell.c).
 */
#ifndef VT_BIND_LUA_CELL_H
#define VT_BIND_LUA_CELL_H

#include "bind/lua_core.h"

void vt_lua_close_cells(vt_bind *b);

/* In a cell's scheduler: gives the thread back until somebody turns the cell. False: this state has to wait itself. */
bool vt_lua_is_cell_waiting(lua_State *L);
int vt_lua_leave_cell(lua_State *L, double timeout_s, lua_KFunction k);
void vt_lua_push_told(lua_State *L); /* what the parent told since; an array of arrays */

/* Ends the operations of a cell, which nobody waits for any more. lua_ops.c */
void vt_lua_end_ops(vt_bind *b);

#endif
