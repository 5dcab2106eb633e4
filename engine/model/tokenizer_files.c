/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_files.c: tokenizer.json and what stands beside it: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and the chat template. Control tokens may be in any of them.
 *
 * Read as transformers 5 reads a folder. Tokens are added to those of tokenizer.json in this order: the
 * added_tokens_decoder of tokenizer_config.json by id, or, when there is none, added_tokens.json by id; then the named
 * tokens (bos_token, eos_token, …; special_tokens_map.json overrides them in the second case only), then the extra
 * special tokens. A named token that is there already keeps its place and becomes special.
 *
 * tokenizer.json itself is the authority on how text is split. transformers has classes that rebuild that part from
 * code of their own; their names are accepted where the code says what such files say.
 */
#include "model/tokenizer_files.h"

#include "base/alloc.h"
#include "model/keys.h"
#include "model/tokenizer_build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENIZER = 256 << 20, MAX_CONFIG = 64 << 20, MAX_TEMPLATE = 16 << 20 };
#define MATTERS "the ids of a text"
#define N_OF(table) (sizeof(table) / sizeof(table)[0])
#define TOKEN (VT_NULL | VT_STR | VT_MAP)

/* Named tokens in the order in which they are added. */
static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { BOS = 0, EOS = 1, N_NAMED = sizeof named / sizeof named[0] };

/* add_bos_token and add_eos_token put ids before and behind a text; vegttt encodes the text alone, and a chat template
 * spells its own beginning. clean_up_tokenization_spaces changes decoded text; vegttt decodes to the exact bytes. */
static const struct vt_key config_keys[] = {
    {"added_tokens_decoder", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"additional_special_tokens", VT_KEY_READ, VT_NULL | VT_LIST, NULL},
    {"extra_special_tokens", VT_KEY_READ, VT_NULL | VT_LIST | VT_MAP, NULL},
    {"model_specific_special_tokens", VT_KEY_READ, VT_NULL | VT_MAP, NULL},
    {"chat_template", VT_KEY_READ, VT_NULL | VT_STR | VT_LIST | VT_MAP, NULL},
    {"tokenizer_class", VT_KEY_READ, VT_NULL | VT_STR, NULL},
    {"add_prefix_space", VT_KEY_OFF, 0, NULL},
    {"split_special_tokens", VT_KEY_OFF, 0, NULL},
    {"auto_map", VT_KEY_OFF, 0, NULL},
    {"do_lower_case", VT_KEY_OFF, 0, NULL},
    {"add_bos_token", VT_KEY_HARMLESS, 0, NULL},
    {"add_eos_token", VT_KEY_HARMLESS, 0, NULL},
    {"*_token", VT_KEY_READ, TOKEN, NULL},
    {"*_token_id", VT_KEY_HARMLESS, 0, NULL},
    {"backend", VT_KEY_HARMLESS, 0, NULL},
    {"chat_control_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"clean_up_tokenization_spaces*", VT_KEY_HARMLESS, 0, NULL},
    {"errors", VT_KEY_HARMLESS, 0, NULL},
    {"fast_tokenizer", VT_KEY_HARMLESS, 0, NULL},
    {"from_slow", VT_KEY_HARMLESS, 0, NULL},
    {"is_local", VT_KEY_HARMLESS, 0, NULL},
    {"legacy", VT_KEY_HARMLESS, 0, NULL},
    {"local_files_only", VT_KEY_HARMLESS, 0, NULL},
    {"max_len", VT_KEY_HARMLESS, 0, NULL},
    {"max_length", VT_KEY_HARMLESS, 0, NULL},
    {"model_input_names", VT_KEY_HARMLESS, 0, NULL},
    {"model_max_length", VT_KEY_HARMLESS, 0, NULL},
    {"name_or_path", VT_KEY_HARMLESS, 0, NULL},
    {"pad_to_multiple_of", VT_KEY_HARMLESS, 0, NULL},
    {"pad_token_type_id", VT_KEY_HARMLESS, 0, NULL},
    {"padding*", VT_KEY_HARMLESS, 0, NULL},
    {"processor_class", VT_KEY_HARMLESS, 0, NULL},
    {"response_schema", VT_KEY_HARMLESS, 0, NULL},
    {"response_template", VT_KEY_HARMLESS, 0, NULL},
    {"sp_model_kwargs", VT_KEY_HARMLESS, 0, NULL},
    {"special_tokens_map_file", VT_KEY_HARMLESS, 0, NULL},
    {"spaces_between_special_tokens", VT_KEY_HARMLESS, 0, NULL},
    {"stride", VT_KEY_HARMLESS, 0, NULL},
    {"tokenizer_file", VT_KEY_HARMLESS, 0, NULL},
    {"truncation*", VT_KEY_HARMLESS, 0, NULL},
    {"unsloth_*", VT_KEY_HARMLESS, 0, NULL},
    {"use_default_system_prompt", VT_KEY_HARMLESS, 0, NULL},
    {"use_fast", VT_KEY_HARMLESS, 0, NULL},
    {"verbose", VT_KEY_HARMLESS, 0, NULL},
    {"_*", VT_KEY_HARMLESS, 0, NULL},
};
static const struct vt_key map_keys[] = {
    {"additional_special_tokens", VT_KEY_READ, VT_NULL | VT_LIST, NULL},
    {"extra_special_tokens", VT_KEY_READ, VT_NULL | VT_LIST | VT_MAP, NULL},
    {"*_token", VT_KEY_READ, TOKEN, NULL},
};
static const struct vt_key token_keys[] = {
    {"content", VT_KEY_READ, VT_STR, NULL},     {"special", VT_KEY_READ, VT_BOOL, NULL},
    {"normalized", VT_KEY_READ, VT_BOOL, NULL}, {"lstrip", VT_KEY_READ, VT_BOOL, NULL},
    {"rstrip", VT_KEY_READ, VT_BOOL, NULL},     {"single_word", VT_KEY_OFF, 0, NULL},
    {"id", VT_KEY_HARMLESS, 0, NULL},           {"__type", VT_KEY_HARMLESS, 0, NULL},
};

struct files {
    const char *dir;
    vt_json *tokenizer, *config, *map, *added;
    bool by_decoder; /* tokenizer_config.json has an added_tokens_decoder: the other two files do not count */
    struct vt_token_source source;
    char tokenizer_path[512], config_path[512], map_path[512], added_path[512];
};

static const char *content_of(const vt_json *token)
{
    return vt_json_is_object(token) ? vt_json_str(vt_json_get(token, "content"), NULL) : vt_json_str(token, NULL);
}

/* A token as a string or an object. is_special: what it is unless it says so itself. */
static vt_status token_of(const vt_json *j, bool is_special, const char *what, struct vt_added_token *out, vt_err *err)
{
    const char *content = content_of(j);
    if (!content)
        return vt_fail(err, VT_EFORMAT, "%s: a token is neither a string nor an object with a content", what);
    if (vt_json_is_object(j))
        VT_TRY(vt_keys_check(j, token_keys, N_OF(token_keys), what, MATTERS, err));
    bool special = vt_json_bool(vt_json_get(j, "special"), is_special);
    *out = (struct vt_added_token){.content = {content, strlen(content)},
                                   .id = -1,
                                   .special = special,
                                   .normalized = vt_json_bool(vt_json_get(j, "normalized"), !special),
                                   .lstrip = vt_json_bool(vt_json_get(j, "lstrip"), false),
                                   .rstrip = vt_json_bool(vt_json_get(j, "rstrip"), false)};
    return VT_OK;
}

/* The token of that name, from the file that counts; *what names the file. */
static const vt_json *named_token(const struct files *f, const char *name, const char **what)
{
    const vt_json *in_map = f->by_decoder ? NULL : vt_json_get(f->map, name);
    *what = in_map ? f->map_path : f->config_path;
    return in_map ? in_map : vt_json_get(f->config, name);
}

static bool is_added(const struct vt_token_source *s, struct vt_text content)
{
    int32_t id = vt_token_source_find(s, content);
    for (size_t i = 0; id >= 0 && i < s->n_added; i++)
        if (s->added[i].id == id)
            return true;
    return false;
}

/* A token that must be special: added when it is not there, else only marked (mark) or left as it is. */
static vt_status add_special(struct files *f, const vt_json *j, bool mark, const char *what, vt_err *err)
{
    struct vt_added_token t;
    struct vt_token_source *s = &f->source;
    if (!j || vt_json_is_null(j))
        return VT_OK;
    VT_TRY(token_of(j, true, what, &t, err));
    t.special = true;
    if (t.content.len == 0)
        return VT_OK;
    if (!is_added(s, t.content))
        return vt_token_source_add(s, &t, what, err);
    int32_t id = vt_token_source_find(s, t.content);
    for (size_t i = 0; i < s->n_added && mark; i++)
        if (s->added[i].id == id)
            s->added[i].special = true;
    return VT_OK;
}

struct numbered {
    size_t id;
    const vt_json *value; /* of added_tokens_decoder; a name's number in added_tokens.json */
};

static int by_id(const void *a, const void *b)
{
    size_t x = ((const struct numbered *)a)->id, y = ((const struct numbered *)b)->id;
    return x < y ? -1 : x > y;
}

static bool id_of(const char *text, size_t *out)
{
    size_t n = strlen(text);
    if (n == 0 || n > 7 || strspn(text, "0123456789") != n)
        return false;
    *out = (size_t)strtoul(text, NULL, 10);
    return *out <= VT_TOKENIZER_MAX_ID;
}

static bool is_named_special(const struct files *f, const char *content)
{
    const char *what;
    const vt_json *extra = vt_json_get(f->config, "extra_special_tokens");
    if (!extra || vt_json_is_null(extra))
        extra = vt_json_get(f->config, "additional_special_tokens");
    for (size_t i = 0; i < N_NAMED; i++) {
        const char *name = content_of(named_token(f, named[i], &what));
        if (name && strcmp(name, content) == 0)
            return true;
    }
    const vt_json *const lists[] = {extra, vt_json_get(f->map, "extra_special_tokens")};
    for (size_t i = 0; i < N_OF(lists); i++)
        for (const vt_json *e = vt_json_is_array(lists[i]) ? vt_json_first(lists[i]) : NULL; e; e = vt_json_next(e))
            if (content_of(e) && strcmp(content_of(e), content) == 0)
                return true;
    return false;
}

static vt_status add_numbered(struct files *f, const struct numbered *n, const char *what, vt_err *err)
{
    struct vt_added_token t;
    if (f->by_decoder) {
        VT_TRY(token_of(n->value, false, what, &t, err));
    } else {
        const char *content = vt_json_key(n->value);
        bool special = is_named_special(f, content);
        t = (struct vt_added_token){.content = {content, strlen(content)}, .special = special, .normalized = !special};
        if (is_added(&f->source, t.content) && vt_token_source_find(&f->source, t.content) == (int32_t)n->id)
            return VT_OK; /* tokenizer.json has it, and its flags count */
    }
    t.id = (int32_t)n->id;
    return vt_token_source_add(&f->source, &t, what, err);
}

/* added_tokens_decoder, or added_tokens.json, in the order of ids. */
static vt_status add_listed(struct files *f, vt_err *err)
{
    const vt_json *list = f->by_decoder ? vt_json_get(f->config, "added_tokens_decoder") : f->added;
    const char *what = f->by_decoder ? f->config_path : f->added_path;
    size_t n = 0, count = vt_json_count(list);
    struct numbered *rows = vt_alloc_array(count ? count : 1, sizeof *rows);
    vt_status status = rows ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory reading %s", what);
    for (const vt_json *e = vt_json_first(list); e && status == VT_OK; e = vt_json_next(e), n++) {
        double id = vt_json_num(e, -1);
        rows[n].value = e;
        bool is_id = f->by_decoder ? id_of(vt_json_key(e), &rows[n].id)
                                   : id >= 0 && id <= VT_TOKENIZER_MAX_ID && id == (double)(size_t)id;
        if (!is_id)
            status = vt_fail(err, VT_EFORMAT, "%s: added token \"%.40s\" has no id between 0 and %d", what,
                             vt_json_key(e), VT_TOKENIZER_MAX_ID);
        else if (!f->by_decoder)
            rows[n].id = (size_t)id;
    }
    if (status == VT_OK && n > 1)
        qsort(rows, n, sizeof *rows, by_id);
    for (size_t i = 0; i < n && status == VT_OK; i++)
        status = add_numbered(f, &rows[i], what, err);
    free(rows);
    return status;
}

static bool is_standard(const char *name)
{
    for (size_t i = 0; i < N_NAMED; i++)
        if (strcmp(named[i], name) == 0)
            return true;
    return false;
}

/* Keys like image_token: special tokens with a name of the model's own. */
static vt_status add_own_names(struct files *f, const vt_json *object, const char *what, vt_err *err)
{
    for (const vt_json *e = vt_json_first(object); e; e = vt_json_next(e)) {
        const char *key = vt_json_key(e);
        size_t n = strlen(key);
        if (n > 6 && strcmp(key + n - 6, "_token") == 0 && !is_standard(key) && content_of(e))
            VT_TRY(add_special(f, e, true, what, err));
    }
    return VT_OK;
}

static vt_status add_members(struct files *f, const vt_json *list, bool mark, const char *what, vt_err *err)
{
    for (const vt_json *e = vt_json_first(list); e; e = vt_json_next(e))
        VT_TRY(add_special(f, e, mark, what, err));
    return VT_OK;
}

static vt_status add_all(struct files *f, vt_err *err)
{
    const char *what;
    VT_TRY(add_listed(f, err));
    for (size_t i = 0; i < N_NAMED; i++) {
        const vt_json *token = named_token(f, named[i], &what);
        VT_TRY(add_special(f, token, true, what, err));
    }
    VT_TRY(add_own_names(f, f->config, f->config_path, err));
    VT_TRY(add_members(f, vt_json_get(f->config, "model_specific_special_tokens"), true, f->config_path, err));
    const vt_json *extra = vt_json_get(f->config, "extra_special_tokens");
    if (!extra || vt_json_is_null(extra) || vt_json_count(extra) == 0)
        extra = vt_json_get(f->config, "additional_special_tokens");
    VT_TRY(add_members(f, extra, vt_json_is_object(extra), f->config_path, err));
    if (f->by_decoder)
        return VT_OK;
    VT_TRY(add_own_names(f, f->map, f->map_path, err));
    extra = vt_json_get(f->config, "extra_special_tokens");
    if (!vt_json_get(f->config, "additional_special_tokens") && (!extra || vt_json_is_object(extra)))
        VT_TRY(add_members(f, vt_json_get(f->map, "additional_special_tokens"), false, f->map_path, err));
    return add_members(f, vt_json_get(f->map, "extra_special_tokens"), false, f->map_path, err);
}

/* Classes whose own code splits text as the tokenizer.json files that come with them say. */
static vt_status check_class(const struct files *f, vt_err *err)
{
    static const char *const known[] = {"PreTrainedTokenizer", "TokenizersBackend", "GPT2Tokenizer",
                                        "Qwen2Tokenizer",      "LlamaTokenizer",    "PythonBackend"};
    const char *name = vt_json_str(vt_json_get(f->config, "tokenizer_class"), known[0]);
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, "Fast") == 0)
        n -= 4;
    for (size_t i = 0; i < N_OF(known); i++)
        if (strlen(known[i]) == n && memcmp(known[i], name, n) == 0)
            return VT_OK;
    return vt_fail(err, VT_EUNSUPPORTED,
                   "%s: tokenizer_class is %.60s, whose code can split text in other ways than tokenizer.json says; "
                   "vegttt knows those of Llama, Qwen and GPT-2",
                   f->config_path, name);
}

static vt_status read_files(struct files *f, vt_err *err)
{
    const struct {
        const char *name;
        char *path;
        vt_json **json;
        size_t max;
    } rows[] = {{"tokenizer.json", f->tokenizer_path, &f->tokenizer, MAX_TOKENIZER},
                {"tokenizer_config.json", f->config_path, &f->config, MAX_CONFIG},
                {"special_tokens_map.json", f->map_path, &f->map, MAX_CONFIG},
                {"added_tokens.json", f->added_path, &f->added, MAX_CONFIG}};
    for (size_t i = 0; i < N_OF(rows); i++) {
        snprintf(rows[i].path, sizeof f->tokenizer_path, "%s/%s", f->dir, rows[i].name);
        VT_TRY(vt_keys_read(f->dir, rows[i].name, false, rows[i].max, rows[i].json, err));
    }
    const vt_json *decoder = vt_json_get(f->config, "added_tokens_decoder");
    f->by_decoder = decoder && !vt_json_is_null(decoder);
    return VT_OK;
}

static vt_status build(struct files *f, const struct vt_ids *ends, vt_tokenizer **out, vt_err *err)
{
    const char *what, *eos = content_of(named_token(f, named[EOS], &what));
    VT_TRY(check_class(f, err));
    VT_TRY(vt_keys_check(f->config, config_keys, N_OF(config_keys), f->config_path, MATTERS, err));
    if (!f->by_decoder)
        VT_TRY(vt_keys_check(f->map, map_keys, N_OF(map_keys), f->map_path, MATTERS, err));
    VT_TRY(vt_token_source_json(&f->source, f->tokenizer, f->tokenizer_path, err));
    VT_TRY(add_all(f, err));
    VT_TRY(vt_tokenizer_build(&f->source, f->tokenizer_path, out, err));
    const char *bos = content_of(named_token(f, named[BOS], &what));
    if (bos)
        vt_tokenizer_set_bos(*out, vt_tokenizer_bos(*out),
                             vt_token_source_find(&f->source, (struct vt_text){bos, strlen(bos)}));
    if (eos)
        VT_TRY(vt_tokenizer_add_end(*out, vt_token_source_find(&f->source, (struct vt_text){eos, strlen(eos)}), err));
    for (size_t i = 0; i < ends->n; i++)
        VT_TRY(vt_tokenizer_add_end(*out, ends->p[i], err));
    return VT_OK;
}

static vt_status copy_text(const char *text, const char *dir, char **out, vt_err *err)
{
    *out = vt_strdup(text);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
}

/* A file of its own goes before tokenizer_config.json, where chat_template is a string, a map of named templates, or a
 * list of {name, template}; of several the one named "default" counts. */
static vt_status read_template(const struct files *f, char **out, vt_err *err)
{
    const vt_json *t = vt_json_get(f->config, "chat_template");
    struct vt_buf text;
    bool found;
    VT_TRY(vt_keys_text(f->dir, "chat_template.jinja", MAX_TEMPLATE, &text, &found, err));
    if (found) {
        vt_status status = copy_text(text.p, f->dir, out, err);
        vt_buf_free(&text);
        return status;
    }
    const char *chosen = vt_json_str(vt_json_is_object(t) ? vt_json_get(t, "default") : t, "");
    for (const vt_json *e = vt_json_is_array(t) ? vt_json_first(t) : NULL; e; e = vt_json_next(e))
        if (strcmp(vt_json_str(vt_json_get(e, "name"), ""), "default") == 0)
            chosen = vt_json_str(vt_json_get(e, "template"), "");
    return copy_text(chosen, f->dir, out, err);
}

vt_status vt_tokenizer_open(const char *dir, const struct vt_ids *ends, vt_tokenizer **out, char **chat_template,
                            vt_err *err)
{
    struct files f = {.dir = dir};
    vt_status status = read_files(&f, err);
    if (status == VT_OK)
        status = read_template(&f, chat_template, err);
    if (status == VT_OK && f.tokenizer)
        status = build(&f, ends, out, err);
    vt_token_source_free(&f.source);
    vt_json_free(f.tokenizer);
    vt_json_free(f.config);
    vt_json_free(f.map);
    vt_json_free(f.added);
    return status;
}
