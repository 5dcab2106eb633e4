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
#include <sys/vfs.h>
#include <unistd.h>

/* Where the kernel answers each read anew, whatever name leads there. */
static bool is_of_kernel(const char *path)
{
    static const long types[] = {0x9fa0 /* proc */,           0x62656572 /* sysfs */,   0x27e0eb /* cgroup */,
                                 0x63677270 /* cgroup2 */,    0x64626720 /* debugfs */, 0x74726163 /* tracefs */,
                                 0x73636673 /* securityfs */, 0xf97cff8c /* selinux */, 0xde5e81e4 /* efivarfs */,
                                 0xcafe4a11 /* bpf */,        0x6165676c /* pstore */,  0x62656570 /* configfs */};
    struct statfs fs;
    if (statfs(path, &fs) == 0)
        for (size_t i = 0; i < sizeof types / sizeof *types; i++)
            if ((unsigned long)fs.f_type == (unsigned long)types[i])
                return true;
    char *real = realpath(path, NULL); /* a file of /proc that another file system shows there, as containers do */
    bool is = real && (strncmp(real, "/proc/", 6) == 0 || strncmp(real, "/sys/", 5) == 0);
    free(real);
    return is;
}

/* The same for a path that leads nowhere: the nearest folder above it decides. */
static bool would_be_of_kernel(const char *path)
{
    char *above = vt_strdup(path);
    bool is = false;
    for (char *slash = above; above && (slash = strrchr(above, '/')) && slash > above;) {
        *slash = '\0';
        if (access(above, F_OK) == 0) {
            is = is_of_kernel(above);
            break;
        }
    }
    free(above);
    return is;
}

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
        what = would_be_of_kernel(path) ? "special" : "absent";
    else if (is_of_kernel(path) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
        what = "special";
    else if (S_ISDIR(st.st_mode))
        what = "folder";
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

/* core.real_path(path) -> where it leads, absolute and without links; of a file that is not there, where it would be;
 * nil where its folder is not there either. */
static int l_real_path(lua_State *L)
{
    const char *path = luaL_checkstring(L, 1);
    char *real = realpath(path, NULL);
    if (real) {
        lua_pushstring(L, real);
        free(real);
        return 1;
    }
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    lua_pushlstring(L, slash ? path : "./", slash ? (size_t)(slash - path) + 1 : 2);
    real = realpath(lua_tostring(L, -1), NULL);
    if (real)
        lua_pushfstring(L, "%s/%s", strcmp(real, "/") == 0 ? "" : real, name);
    else
        lua_pushnil(L);
    free(real);
    return 1;
}

/* core.numerics() -> the numerics id that models have here. */
static int l_numerics(lua_State *L)
{
    vt_err err;
    char id[64];
    struct vt_lm_opts o = {.backend = NULL};
    if (vt_lm_asked(&o, &err) != VT_OK || vt_lm_numerics_of(&o, id, &err) != VT_OK)
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
    static const luaL_Reg functions[] = {{"file_digest", l_file_digest},
                                         {"real_path", l_real_path},
                                         {"numerics", l_numerics},
                                         {"link_folder", l_link_folder},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
