/* SPDX-License-Identifier: Apache-2.0
 *
 * verbs_lua.c: the verbs that the Lua half carries out, each the main of one module: lua/vegttt/verb_NAME.lua.
 */
#include "cli/verbs.h"

int vt_verb_eval(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_eval", argc - 1, argv + 1);
}

int vt_verb_task(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_task", argc - 1, argv + 1);
}

int vt_verb_optimise(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_optimise", argc - 1, argv + 1);
}

int vt_verb_export(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_export", argc - 1, argv + 1);
}

int vt_verb_ls(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_ls", argc - 1, argv + 1);
}

int vt_verb_show(int argc, char **argv)
{
    return vt_run_module("vegttt.verb_show", argc - 1, argv + 1);
}
