/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_modules.c: the files of the Lua half: in the binary, or below VEGTTT_LUA_DIR while developing.
 *
 * They have a global table of their own: the standard library as it was before lua/vegttt/globals.lua took parts of it
 * away from scripts, so that nothing in the Lua half depends on when it is loaded or on what a script assigns.
 */
#include "bind/lua_modules.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "bind/lua_cell.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

enum { MODULE_MAX = 4 << 20 };
static const char own_globals_key = 0; /* its address is the registry key */

static const struct vt_embedded *embedded_find(const vt_bind *b, const char *name)
{
    for (const struct vt_embedded *e = b->host.lua; e && e->name; e++)
        if (strcmp(e->name, name) == 0)
            return e;
    return NULL;
}

/* Pushes the text of "vegttt/x.lua" and its chunk name; false when there is no such file. */
static bool push_text(lua_State *L, const char *name)
{
    vt_bind *b = vt_lua_bind(L);
    if (b->host.lua_dir) {
        const char *path = lua_pushfstring(L, "%s/%s", b->host.lua_dir, name);
        if (vt_fs_exists(path)) {
            struct vt_buf *buf = vt_lua_buf(L, MODULE_MAX);
            vt_err err;
            vt_buf_free(buf);
            if (vt_fs_read(path, MODULE_MAX, buf, &err) != VT_OK)
                vt_lua_raise(L, "require", &err);
            lua_pushlstring(L, buf->p, buf->len);
            lua_replace(L, -3);
            lua_pop(L, 1);
            return true;
        }
        lua_pop(L, 1);
    }
    const struct vt_embedded *e = embedded_find(b, name);
    if (!e)
        return false;
    lua_pushlstring(L, e->text, e->len);
    return true;
}

/* Stores a copy of the global table, its libraries copied too (one level; `package` is shared, since require has one).
 */
void vt_lua_keep_own_globals(lua_State *L)
{
    lua_newtable(L);
    lua_pushglobaltable(L);
    for (lua_pushnil(L); lua_next(L, -2);) {
        const char *name = lua_tostring(L, -2);
        if (lua_istable(L, -1) && strcmp(name, LUA_LOADLIBNAME) != 0) {
            lua_newtable(L);
            for (lua_pushnil(L); lua_next(L, -3);) {
                lua_pushvalue(L, -2);
                lua_insert(L, -2);
                lua_rawset(L, -4);
            }
            lua_replace(L, -2);
        }
        lua_setfield(L, -4, name);
    }
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_setfield(L, -2, LUA_GNAME);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &own_globals_key);
}

/* ── the compiled form, which the states of cells share ──────────────────────────────────────────────────────────── */

struct vt_lua_chunk {
    struct vt_lua_chunk *next;
    struct vt_buf code;
    char name[];
};

void vt_lua_free_chunks(vt_bind *b)
{
    while (b->chunks) {
        struct vt_lua_chunk *c = b->chunks;
        b->chunks = c->next;
        vt_buf_free(&c->code);
        free(c);
    }
}

static int write_code(lua_State *L, const void *p, size_t n, void *arg)
{
    struct vt_buf *code = arg;
    (void)L;
    vt_buf_add(code, p, n);
    return code->status != VT_OK;
}

/* Keeps the function on top of the stack under the name; where there is no memory for it, it is compiled again. */
static void keep_chunk(lua_State *L, vt_bind *root, const char *name)
{
    size_t n = strlen(name) + 1;
    struct vt_lua_chunk *c = vt_alloc(sizeof *c + n);
    if (!c)
        return;
    memcpy(c->name, name, n);
    vt_buf_init(&c->code, MODULE_MAX);
    if (lua_dump(L, write_code, &c->code, 0) != 0) {
        vt_buf_free(&c->code);
        free(c);
        return;
    }
    c->next = root->chunks;
    root->chunks = c;
}

static const struct vt_lua_chunk *find_chunk(const vt_bind *root, const char *name)
{
    for (const struct vt_lua_chunk *c = root->chunks; c; c = c->next)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

/* Pushes the chunk of "vegttt/x.lua"; false, and nothing pushed, when there is no such file. */
static bool load_chunk(lua_State *L, const char *name)
{
    vt_bind *b = vt_lua_bind(L), *root = vt_bind_root(b);
    const char *chunk_name = lua_pushfstring(L, "@%s", name);
    const struct vt_lua_chunk *known = b->parent ? find_chunk(root, name) : NULL;
    size_t n;
    int status;
    if (known) {
        status = luaL_loadbufferx(L, known->code.p, known->code.len, chunk_name, "b");
    } else if (push_text(L, name)) {
        const char *text = lua_tolstring(L, -1, &n);
        status = luaL_loadbufferx(L, text, n, chunk_name, "t");
        lua_remove(L, -2);
    } else {
        lua_pop(L, 1);
        return false;
    }
    if (status != LUA_OK)
        lua_error(L);
    lua_remove(L, -2);
    if (b->parent && !known)
        keep_chunk(L, root, name);
    return true;
}

/* package.searchers entry: a.b.c -> a/b/c.lua or a/b/c/init.lua of the Lua half. */
int vt_lua_search_module(lua_State *L)
{
    const char *module = luaL_checkstring(L, 1);
    luaL_gsub(L, module, ".", "/");
    const char *stem = lua_tostring(L, -1);
    const char *name = lua_pushfstring(L, "%s.lua", stem);
    if (!load_chunk(L, name)) {
        name = lua_pushfstring(L, "%s/init.lua", stem);
        if (!load_chunk(L, name)) {
            lua_pushfstring(L, "no module '%s' inside vegttt", module);
            return 1;
        }
    }
    lua_rawgetp(L, LUA_REGISTRYINDEX, &own_globals_key);
    lua_setupvalue(L, -2, 1);
    lua_pushstring(L, name);
    return 2;
}

/* core.embedded(prefix) -> sorted names of the Lua half's files that start with prefix. */
static int l_embedded(lua_State *L)
{
    const char *prefix = luaL_checkstring(L, 1);
    vt_bind *b = vt_lua_bind(L);
    lua_Integer n = 0;
    lua_newtable(L);
    for (const struct vt_embedded *e = b->host.lua; e && e->name; e++) {
        if (strncmp(e->name, prefix, strlen(prefix)) != 0)
            continue;
        lua_pushstring(L, e->name);
        lua_rawseti(L, -2, ++n);
    }
    if (!b->host.lua_dir)
        return 1;
    char **names = NULL;
    size_t n_names = 0;
    const char *dir = lua_pushfstring(L, "%s/%s", b->host.lua_dir, prefix);
    if (vt_fs_list(dir, &names, &n_names, NULL) == VT_OK) {
        lua_pop(L, 2);
        lua_newtable(L);
        for (size_t i = 0; i < n_names; i++) {
            lua_pushfstring(L, "%s%s", prefix, names[i]);
            lua_rawseti(L, -2, (lua_Integer)i + 1);
        }
        vt_fs_list_free(names, n_names);
        return 1;
    }
    lua_pop(L, 1);
    return 1;
}

static int l_embedded_text(lua_State *L)
{
    return push_text(L, luaL_checkstring(L, 1)) ? 1 : 0;
}

/* core.lua_digest() -> one hash of all texts of the Lua half, as they are loaded: those of VEGTTT_LUA_DIR where it has
 * them. */
static int l_digest(lua_State *L)
{
    struct vt_sha256 s;
    vt_bind *b = vt_bind_root(vt_lua_bind(L));
    if (b->lua_digest[0]) {
        lua_pushstring(L, b->lua_digest);
        return 1;
    }
    vt_sha256_init(&s);
    for (const struct vt_embedded *e = b->host.lua; e && e->name; e++) {
        size_t n;
        if (!push_text(L, e->name))
            continue;
        const char *text = lua_tolstring(L, -1, &n);
        vt_hash_field(&s, e->name, text, n);
        lua_pop(L, 1);
    }
    vt_sha256_hex(&s, b->lua_digest);
    lua_pushstring(L, b->lua_digest);
    return 1;
}

void vt_lua_add_modules(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"embedded", l_embedded}, {"embedded_text", l_embedded_text}, {"lua_digest", l_digest}, {NULL, NULL}};
    luaL_setfuncs(L, functions, 0);
}
