/* SPDX-License-Identifier: Apache-2.0
 *
 * lua_tokens.c: how many tokens a prompt has, from the tokenizer alone: `vegttt task` shows it without opening the
 * language model, and without fetching one.
 */
#include "base/alloc.h"
#include "bind/lua_core.h"
#include "bind/lua_open.h"
#include "model/chat.h"
#include "model/tokenizer.h"
#include <stdlib.h>

enum { MAX_MESSAGES = 8, MAX_PROMPT = 16 << 20 };

struct count {
    vt_ckpt *ckpt;
    char *path;
    struct vt_buf text;
    struct vt_ids ids;
};

static void free_count(void *arg)
{
    struct count *c = arg;
    vt_ids_free(&c->ids);
    vt_buf_free(&c->text);
    vt_ckpt_free(c->ckpt);
    free(c->path);
    free(c);
}

static vt_status count(struct count *c, const char *model, const struct vt_message *m, size_t n, const char *prefix,
                       vt_err *err)
{
    enum vt_chat chat;
    VT_TRY(vt_model_find(model, &c->path, err));
    VT_TRY(vt_ckpt_open(c->path, &c->ckpt, err));
    const vt_tokenizer *tokenizer = vt_ckpt_tokenizer(c->ckpt);
    if (!tokenizer)
        return vt_fail(err, VT_EFORMAT, "the model %s comes without a tokenizer", model);
    VT_TRY(vt_chat_of(c->ckpt, &chat, err));
    VT_TRY(vt_chat_render(chat, m, n, true, NULL, &c->text, err));
    vt_buf_puts(&c->text, prefix);
    VT_TRY(vt_buf_check(&c->text, "a prompt", err));
    return vt_tokenizer_encode(tokenizer, c->text.p, c->text.len, true, &c->ids, err);
}

/* core.prompt_tokens(model, { { role, content }, … }, prefix) -> number, or nil when the model is not on this machine.
 */
static int l_prompt_tokens(lua_State *L)
{
    vt_err err;
    struct vt_message m[MAX_MESSAGES];
    const char *model = luaL_checkstring(L, 1), *prefix = luaL_checkstring(L, 3);
    luaL_checktype(L, 2, LUA_TTABLE);
    size_t n = lua_rawlen(L, 2);
    luaL_argcheck(L, n > 0 && n <= MAX_MESSAGES, 2, "too many messages");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (lua_Integer)i + 1);
        m[i].role = vt_lua_str(L, lua_gettop(L), "role", "");
        m[i].content = vt_lua_str(L, lua_gettop(L), "content", "");
    }
    struct vt_guard *g = vt_lua_guard(L, free_count);
    struct count *c = vt_alloc(sizeof *c);
    if (!c)
        return luaL_error(L, "no memory for counting tokens");
    vt_buf_init(&c->text, MAX_PROMPT);
    g->p = c;
    vt_status s = count(c, model, m, n, prefix, &err);
    if (s == VT_ENOENT)
        return 0;
    if (s != VT_OK)
        return vt_lua_raise(L, "vegttt task", &err);
    lua_pushinteger(L, (lua_Integer)c->ids.n);
    return 1;
}

/* core.chat_problem(name) -> what is wrong with the name of a chat format, or nil */
static int l_chat_problem(lua_State *L)
{
    vt_err err;
    enum vt_chat chat;
    if (vt_chat_named(luaL_checkstring(L, 1), &chat, &err) == VT_OK)
        return 0;
    lua_pushstring(L, err.msg);
    return 1;
}

/* default_model: the name of the model that the spec "default" stands for, adapter aside. */
void vt_lua_add_tokens(lua_State *L)
{
    lua_pushstring(L, vt_model_default());
    lua_setfield(L, -2, "default_model");
    lua_pushcfunction(L, l_chat_problem);
    lua_setfield(L, -2, "chat_problem");
    lua_pushcfunction(L, l_prompt_tokens);
    lua_setfield(L, -2, "prompt_tokens");
}
