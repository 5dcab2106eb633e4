/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_open.h: the list of what makes up `vegttt.core`. lua_open.c calls each of these; each is defined in the file of
 * its name, which knows nothing of the list. To add one: a word here and the file.
 */
#ifndef VT_BIND_LUA_OPEN_H
#define VT_BIND_LUA_OPEN_H

#include <lua.h>

#define VT_LUA_PARTS(X)                                                                                                \
    X(core)                                                                                                            \
    X(modules)                                                                                                         \
    X(json)                                                                                                            \
    X(vector)                                                                                                          \
    X(args)                                                                                                            \
    X(misc)                                                                                                            \
    X(process)                                                                                                         \
    X(files)                                                                                                           \
    X(ops)                                                                                                             \
    X(task)                                                                                                            \
    X(task_text)                                                                                                       \
    X(policy)                                                                                                          \
    X(weights)                                                                                                         \
    X(sample)                                                                                                          \
    X(train)                                                                                                           \
    X(eval)                                                                                                            \
    X(check)                                                                                                           \
    X(tokens)                                                                                                          \
    X(worker)                                                                                                          \
    X(serve)                                                                                                           \
    X(store)                                                                                                           \
    X(tidy)                                                                                                            \
    X(inputs)                                                                                                          \
    X(plot)                                                                                                            \
    X(stats)                                                                                                           \
    X(inference)                                                                                                       \
    X(cell)

/* Each adds its functions to the table on top of the stack. */
#define X(name) void vt_lua_add_##name(lua_State *L);
VT_LUA_PARTS(X)
#undef X

/* The module: lua_open.c. */
int vt_lua_open_core(lua_State *L);

#endif
