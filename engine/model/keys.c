/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.c: configuration files read strictly. A key that nobody here knows is found before any value is used. One whose
 * value is null, false or empty is an option that is off and passes; any other is refused with the key, its value and
 * what to do, because ignoring it might compute something else without a word.
 *
 * Values have the type the table says: a number in quotes is not taken for an absent one.
 */
#include "model/keys.h"

#include "base/alloc.h"
#include "base/fs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_SHOWN = 60 };

vt_status vt_keys_text(const char *dir, const char *name, size_t max_bytes, struct vt_buf *out, bool *found,
                       vt_err *err)
{
    char *path = vt_path_join(dir, name);
    struct stat st;
    *found = false;
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_status status = VT_OK;
    if (stat(path, &st) == 0) {
        status = S_ISREG(st.st_mode) ? vt_fs_read(path, max_bytes, out, err)
                                     : vt_fail(err, VT_EINVAL, "cannot read %s: it is not a regular file", path);
        *found = status == VT_OK;
    }
    free(path);
    return status;
}

vt_status vt_keys_read(const char *dir, const char *name, bool required, size_t max_bytes, vt_json **out, vt_err *err)
{
    struct vt_buf text;
    bool found;
    vt_json *root = NULL;
    *out = NULL;
    VT_TRY(vt_keys_text(dir, name, max_bytes, &text, &found, err));
    if (!found)
        return required ? vt_fail(err, VT_ENOENT, "cannot open %s: it has no %s", dir, name) : VT_OK;
    char *what = vt_path_join(dir, name);
    vt_status status = what ? vt_json_parse(text.p, text.len, what, &root, err)
                            : vt_fail(err, VT_ENOMEM, "out of memory opening %s", dir);
    vt_buf_free(&text);
    if (status == VT_OK && !vt_json_is_object(root))
        status = vt_fail(err, VT_EFORMAT, "%s is no JSON object", what);
    free(what);
    if (status == VT_OK)
        *out = root;
    else
        vt_json_free(root);
    return status;
}

static bool is_integer(const vt_json *j)
{
    double v = vt_json_is_number(j) ? vt_json_num(j, 0.5) : 0.5;
    return v == floor(v) && fabs(v) <= 9007199254740992.0;
}

static bool has_type(const vt_json *j, int types)
{
    return ((types & VT_NULL) && vt_json_is_null(j)) || ((types & VT_BOOL) && vt_json_is_bool(j)) ||
           ((types & VT_INT) && is_integer(j)) || ((types & VT_NUM) && vt_json_is_number(j)) ||
           ((types & VT_STR) && vt_json_is_string(j)) || ((types & VT_LIST) && vt_json_is_array(j)) ||
           ((types & VT_MAP) && vt_json_is_object(j));
}

/* null, false, "", [] and {}: an option that nobody set. */
static bool is_empty(const vt_json *j)
{
    if (vt_json_is_bool(j))
        return !vt_json_bool(j, true);
    if (vt_json_is_string(j))
        return vt_json_str(j, "x")[0] == '\0';
    return vt_json_is_null(j) || (!vt_json_is_number(j) && vt_json_count(j) == 0);
}

static bool is_off(const vt_json *j, const char *off)
{
    if (vt_json_is_null(j))
        return true;
    if (!off)
        return is_empty(j) || (vt_json_is_number(j) && vt_json_num(j, 1) == 0);
    if (vt_json_is_string(j))
        return strcmp(vt_json_str(j, ""), off) == 0;
    if (vt_json_is_bool(j))
        return strcmp(off, vt_json_bool(j, false) ? "true" : "false") == 0;
    return vt_json_is_number(j) && vt_json_num(j, 0) == strtod(off, NULL);
}

static void show(const vt_json *j, char out[MAX_SHOWN + 4])
{
    struct vt_buf text;
    vt_buf_init(&text, 1 << 20);
    const char *shown = vt_json_write(j, false, &text, NULL) == VT_OK && text.status == VT_OK && text.p ? text.p : "…";
    size_t len = strlen(shown), n = len < MAX_SHOWN ? len : MAX_SHOWN;
    while (n > 0 && n < len && ((unsigned char)shown[n] & 0xc0) == 0x80)
        n--;
    memcpy(out, shown, n);
    memcpy(out + n, n < len ? "…" : "", n < len ? sizeof "…" : 1);
    vt_buf_free(&text);
}

static const char *type_names(int types)
{
    static const struct {
        int types;
        const char *names;
    } rows[] = {
        {VT_INT, "an integer"},
        {VT_NUM, "a number"},
        {VT_BOOL, "true or false"},
        {VT_STR, "a string"},
        {VT_LIST, "a list"},
        {VT_MAP, "an object"},
        {VT_INT | VT_LIST, "an integer or a list"},
        {VT_STR | VT_LIST, "a string or a list"},
        {VT_STR | VT_MAP, "a string or an object"},
        {VT_LIST | VT_MAP, "a list or an object"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].types == (types & ~VT_NULL))
            return rows[i].names;
    return "another type";
}

static const struct vt_key *find_key(const char *name, const struct vt_key *table, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *pattern = table[i].name;
        size_t len = strlen(pattern), n_name = strlen(name);
        bool is_match = pattern[len - 1] == '*' ? strncmp(name, pattern, len - 1) == 0
                        : pattern[0] == '*' ? n_name >= len - 1 && strcmp(name + n_name - (len - 1), pattern + 1) == 0
                                            : strcmp(name, pattern) == 0;
        if (is_match)
            return &table[i];
    }
    return NULL;
}

vt_status vt_keys_check(const vt_json *object, const struct vt_key *table, size_t n, const char *what,
                        const char *matters, vt_err *err)
{
    char shown[MAX_SHOWN + 4];
    for (const vt_json *e = vt_json_first(object); e; e = vt_json_next(e)) {
        const char *name = vt_json_key(e);
        const struct vt_key *k = find_key(name, table, n);
        if ((k && k->use == VT_KEY_HARMLESS) || (k && k->use == VT_KEY_READ && has_type(e, k->types)) ||
            (k && k->use == VT_KEY_OFF && is_off(e, k->off)) || (!k && is_empty(e)))
            continue;
        show(e, shown);
        if (k && k->use == VT_KEY_READ)
            return vt_fail(err, VT_EFORMAT, "%s: key %s is %s; %s is needed", what, name, shown, type_names(k->types));
        if (k)
            return vt_fail(err, VT_EUNSUPPORTED, "%s sets %s to %s, which vegttt does not have", what, name, shown);
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: key %.80s (%s) is none that vegttt knows, and it could change %s; if you know that it does "
                       "not, remove it from a copy of the file",
                       what, name, shown, matters);
    }
    return VT_OK;
}
