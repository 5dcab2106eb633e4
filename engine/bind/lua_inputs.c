/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_inputs.c: what a run depends on, named without opening it: files by their content, the numerics of a model (and,
 * in lua_eval.c, the evaluator). A finished run is printed after these were compared, so each must be quick: no model,
 * no worker process.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "model/ckpt.h"
#include "model/lm.h"
#include "policy/backends.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* core.file_digest(path) -> SHA-256 of a regular file, else nil and what is there instead: "absent", "folder" or
 * "special" (a device, a pipe, a file of the kernel's: reading it again need not give the same). */
static int l_file_digest(lua_State *L)
{
    vt_err err;
    char hex[65];
    struct stat st;
    const char *path = luaL_checkstring(L, 1);
    const char *what = NULL;
    if (stat(path, &st) != 0)
        what = "absent";
    else if (S_ISDIR(st.st_mode))
        what = "folder";
    else if (!S_ISREG(st.st_mode) || strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0)
        what = "special";
    if (what) {
        lua_pushnil(L);
        lua_pushstring(L, what);
        return 2;
    }
    if (vt_file_digest(path, hex, &err) != VT_OK)
        return vt_lua_raise(L, "reading a file", &err);
    lua_pushstring(L, hex);
    return 1;
}

/* core.numerics() -> the numerics id that models have here. */
static int l_numerics(lua_State *L)
{
    vt_err err;
    char id[64];
    const struct vt_lm_opts o = {.backends = vt_lm_backends, .backend = vt_lm_backend_asked()};
    if (vt_lm_numerics_of(&o, id, &err) != VT_OK)
        return vt_lua_raise(L, "vt.policy", &err);
    lua_pushstring(L, id);
    return 1;
}

/* core.link_folder(from, to): the files of a folder under a second name; copies nothing where the file system has hard
 * links. `to` appears whole or not at all; true when it is there. */
static int l_link_folder(lua_State *L)
{
    vt_err err;
    const char *from = luaL_checkstring(L, 1), *to = luaL_checkstring(L, 2);
    const char *part = lua_pushfstring(L, "%s.tmp", to);
    char **names = NULL;
    size_t n = 0;
    vt_status status = vt_fs_remove_tree(part, &err);
    if (status == VT_OK)
        status = vt_fs_mkdir_p(part, &err);
    if (status == VT_OK)
        status = vt_fs_list(from, &names, &n, &err);
    bool is_whole = status == VT_OK && n > 0;
    for (size_t i = 0; i < n && is_whole; i++) {
        char *a = vt_path_join(from, names[i]), *b = vt_path_join(part, names[i]);
        is_whole = a && b && link(a, b) == 0;
        free(a);
        free(b);
    }
    vt_fs_list_free(names, n);
    is_whole = is_whole && rename(part, to) == 0;
    if (!is_whole)
        (void)!vt_fs_remove_tree(part, &err);
    lua_pushboolean(L, is_whole);
    return 1;
}

void vt_lua_add_inputs(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"file_digest", l_file_digest}, {"numerics", l_numerics}, {"link_folder", l_link_folder}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
