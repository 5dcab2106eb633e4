/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_files.c: files for the Lua half: whole reads, atomic writes, folders, and where things that come with vegttt
 * are found (as given, else beside the executable or one folder above it).
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 30 };

static int l_read(lua_State *L)
{
    vt_err err;
    const char *path = luaL_checkstring(L, 1);
    struct vt_buf *b = vt_lua_buf(L, FILE_MAX);
    vt_buf_free(b);
    if (vt_fs_read(path, FILE_MAX, b, &err) != VT_OK)
        return vt_lua_raise(L, "reading a file", &err);
    lua_pushlstring(L, b->p, b->len);
    return 1;
}

/* core.read_source(path, max) -> the text of a regular file of at most max bytes; or nil and why it cannot be read. */
static int l_read_source(lua_State *L)
{
    vt_err err;
    const char *path = luaL_checkstring(L, 1);
    size_t max = (size_t)luaL_checkinteger(L, 2);
    struct vt_buf *b = vt_lua_buf(L, max);
    vt_buf_free(b);
    vt_status status = vt_fs_read_regular(path, max, b, &err);
    if (status == VT_ENOMEM)
        return vt_lua_raise(L, "reading a file", &err);
    if (status != VT_OK) {
        lua_pushnil(L);
        lua_pushstring(L, err.msg);
        return 2;
    }
    lua_pushlstring(L, b->p, b->len);
    return 1;
}

static int l_write(lua_State *L)
{
    vt_err err;
    size_t n;
    const char *path = luaL_checkstring(L, 1), *text = luaL_checklstring(L, 2, &n);
    if (vt_fs_write_atomic(path, text, n, &err) != VT_OK)
        return vt_lua_raise(L, "writing a file", &err);
    return 0;
}

static int l_exists(lua_State *L)
{
    lua_pushboolean(L, vt_fs_exists(luaL_checkstring(L, 1)));
    return 1;
}

static int l_is_dir(lua_State *L)
{
    lua_pushboolean(L, vt_fs_is_dir(luaL_checkstring(L, 1)));
    return 1;
}

static int l_mkdir(lua_State *L)
{
    vt_err err;
    if (vt_fs_mkdir_p(luaL_checkstring(L, 1), &err) != VT_OK)
        return vt_lua_raise(L, "making a folder", &err);
    return 0;
}

static int l_remove(lua_State *L)
{
    vt_err err;
    if (vt_fs_remove_tree(luaL_checkstring(L, 1), &err) != VT_OK)
        return vt_lua_raise(L, "removing a folder", &err);
    return 0;
}

struct listing {
    char **names;
    size_t n;
};

static void release_listing(void *p)
{
    struct listing *x = p;
    vt_fs_list_free(x->names, x->n);
    free(x);
}

/* core.list(folder) -> sorted names; an absent folder has none. */
static int l_list(lua_State *L)
{
    vt_err err;
    struct vt_guard *g = vt_lua_guard(L, release_listing);
    struct listing *x = vt_alloc(sizeof *x);
    if (!x)
        return luaL_error(L, "no memory for the names in a folder");
    g->p = x;
    lua_newtable(L);
    vt_status status = vt_fs_list(luaL_checkstring(L, 1), &x->names, &x->n, &err);
    if (status == VT_ENOMEM)
        return vt_lua_raise(L, "core.list", &err);
    for (size_t i = 0; status == VT_OK && i < x->n; i++) {
        lua_pushstring(L, x->names[i]);
        lua_rawseti(L, -2, (lua_Integer)i + 1);
    }
    return 1;
}

/* core.program() -> the path of this program. */
static int l_program(lua_State *L)
{
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path);
    if (n < 0 || (size_t)n == sizeof path)
        return luaL_error(L, "cannot tell where this program lies");
    lua_pushlstring(L, path, (size_t)n);
    return 1;
}

/* core.find(path): the first of path, EXE_DIR/path, EXE_DIR/../path that exists, or nil. */
static int l_find(lua_State *L)
{
    static const char *const places[] = {"%s/%s", "%s/../%s", "%s/../../%s"};
    const char *path = luaL_checkstring(L, 1);
    if (vt_fs_exists(path)) {
        lua_settop(L, 1);
        return 1;
    }
    struct vt_guard *g = vt_lua_guard(L, free);
    char *dir = NULL;
    if (path[0] == '/' || vt_exe_dir(&dir, NULL) != VT_OK)
        return 0;
    g->p = dir;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const char *full = lua_pushfstring(L, places[i], dir, path);
        if (vt_fs_exists(full))
            return 1;
    }
    return 0;
}

static int l_cwd(lua_State *L)
{
    struct vt_guard *g = vt_lua_guard(L, free);
    g->p = getcwd(NULL, 0);
    lua_pushstring(L, g->p ? g->p : ".");
    return 1;
}

static int l_host(lua_State *L)
{
    char name[256] = "";
    if (gethostname(name, sizeof name - 1) != 0)
        name[0] = '\0';
    lua_pushstring(L, name);
    lua_pushinteger(L, (lua_Integer)getpid());
    return 2;
}

void vt_lua_add_files(lua_State *L)
{
    static const luaL_Reg functions[] = {{"read", l_read},     {"read_source", l_read_source},
                                         {"write", l_write},   {"exists", l_exists},
                                         {"is_dir", l_is_dir}, {"mkdir", l_mkdir},
                                         {"remove", l_remove}, {"list", l_list},
                                         {"find", l_find},     {"cwd", l_cwd},
                                         {"host", l_host},     {"program", l_program},
                                         {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
