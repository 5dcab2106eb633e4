/* SPDX-License-Identifier: Apache-2.0
 *
 * verbs_lua.c: the verbs that the Lua half carries out, each the main of one module: lua/vegttt/verb_NAME.lua.
 */
#include "cli/verbs.h"

#define VT_LUA_VERBS(X)                                                                                                \
    X(eval)                                                                                                            \
    X(baseline)                                                                                                        \
    X(new)                                                                                                             \
    X(repl)                                                                                                            \
    X(watch)                                                                                                           \
    X(plot)                                                                                                            \
    X(completion)                                                                                                      \
    X(worker)                                                                                                          \
    X(farm)                                                                                                            \
    X(task)                                                                                                            \
    X(optimise)                                                                                                        \
    X(export)                                                                                                          \
    X(ls)                                                                                                              \
    X(show)                                                                                                            \
    X(compare)                                                                                                         \
    X(import)                                                                                                          \
    X(report)                                                                                                          \
    X(rejudge)                                                                                                         \
    X(rm)                                                                                                              \
    X(gc)                                                                                                              \
    X(help)                                                                                                            \
    X(test)

#define X(name)                                                                                                        \
    int vt_verb_##name(int argc, char **argv)                                                                          \
    {                                                                                                                  \
        return vt_run_module("vegttt.verb_" #name, argc - 1, argv + 1);                                                \
    }
VT_LUA_VERBS(X)
#undef X
