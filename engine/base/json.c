/* SPDX-License-Identifier: Apache-2.0
 *
 * json.c: the one file that includes cJSON.
 *
 * Reading works on a private copy of the text with zero bytes behind it, because cJSON 1.7.15 reads one byte past a
 * text that ends after a comma. json_text.c judges that copy first, so cJSON meets nothing but right JSON of a bounded
 * depth. A key that stands twice in one object is refused (Python keeps the last one, cJSON finds the first).
 *
 * Writing is ours. A double is printed with 15, 16 or 17 digits, the first that reads back to the same bits; integers
 * up to 2^53 have no exponent; NaN and infinities are null. Text that is not UTF-8 becomes U+FFFD, byte by byte.
 *
 * cJSON takes its memory from base/alloc. A parse that fails for want of it says so, instead of calling the text bad: a
 * journal must not look corrupt because memory was short.
 *
 * Building never fails half-way: a child that could not be allocated leaves the mark NODE_LOST on its parent, and
 * vt_json_write reports it, so callers build first and check once.
 */
#include "base/json.h"
#include "base/alloc.h"
#include "base/json_text.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODE_LOST = 1 << 16, TEXT_PADDING = 8 };

static const double max_exact_int = 9007199254740992.0; /* 2^53 */

static _Thread_local bool is_out_of_memory; /* since it was last cleared */

static void *allocate(size_t size)
{
    void *p = vt_realloc_array(NULL, size, 1);
    is_out_of_memory |= !p;
    return p;
}

__attribute__((constructor)) static void use_own_memory(void)
{
    cJSON_Hooks hooks = {.malloc_fn = allocate, .free_fn = free};
    cJSON_InitHooks(&hooks);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static vt_status check_keys(const cJSON *object, const char *what, vt_err *err)
{
    size_t n = vt_json_count(object), i = 0;
    if (n < 2)
        return VT_OK;
    const char **names = vt_alloc_array(n, sizeof *names), *twice = NULL;
    if (!names)
        return vt_fail(err, VT_ENOMEM, "out of memory while reading %s", what);
    for (const cJSON *e = object->child; e; e = e->next)
        names[i++] = e->string;
    qsort(names, n, sizeof *names, by_text);
    for (i = 1; i < n && !twice; i++)
        twice = strcmp(names[i - 1], names[i]) == 0 ? names[i] : NULL;
    free(names);
    return !twice ? VT_OK
                  : vt_fail(err, VT_EFORMAT,
                            "%s has the key \"%.80s\" twice in one object; which of the two counts differs from "
                            "reader to reader, so remove one",
                            what, twice);
}

/* Does no object have a key twice? The depth is bounded. */
static vt_status check_tree(const cJSON *j, const char *what, vt_err *err)
{
    if (cJSON_IsObject(j))
        VT_TRY(check_keys(j, what, err));
    for (const cJSON *e = vt_json_first(j); e; e = e->next)
        if (e->child)
            VT_TRY(check_tree(e, what, err));
    return VT_OK;
}

/* Of members with one key the first. */
static void drop_repeated(cJSON *object)
{
    for (cJSON *e = cJSON_IsObject(object) ? object->child : NULL; e; e = e->next)
        for (cJSON *later = e->next, *next; later; later = next) {
            next = later->next;
            if (strcmp(e->string, later->string) == 0)
                cJSON_Delete(cJSON_DetachItemViaPointer(object, later));
        }
}

static vt_status parse(const char *text, size_t len, const char *what, bool is_line, vt_json **out, vt_err *err)
{
    *out = NULL;
    size_t size;
    char *copy = vt_add_size(len, TEXT_PADDING, &size) ? vt_alloc(size) : NULL;
    if (!copy)
        return vt_fail(err, VT_ENOMEM, "out of memory while reading %s", what);
    if (len)
        memcpy(copy, text, len);
    cJSON *root = NULL;
    vt_status status = vt_json_text_check(copy, len, VT_JSON_MAX_DEPTH, what, err);
    if (status != VT_OK)
        goto out;
    is_out_of_memory = false;
    root = cJSON_ParseWithLengthOpts(copy, len, NULL, 0);
    if (!root) {
        status = is_out_of_memory ? vt_fail(err, VT_ENOMEM, "out of memory while reading %s", what)
                                  : vt_fail(err, VT_EINTERNAL, "%s is valid JSON, but cannot be read", what);
        goto out;
    }
    if (is_line)
        drop_repeated(root);
    status = check_tree(root, what, err);
    if (status != VT_OK)
        goto out;
    *out = root;
    root = NULL;
out:
    cJSON_Delete(root);
    free(copy);
    return status;
}

vt_status vt_json_parse(const char *text, size_t len, const char *what, vt_json **out, vt_err *err)
{
    return parse(text, len, what, false, out, err);
}

vt_status vt_json_parse_line(const char *text, size_t len, const char *what, vt_json **out, vt_err *err)
{
    return parse(text, len, what, true, out, err);
}

void vt_json_free(vt_json *j)
{
    cJSON_Delete(j);
}

bool vt_json_is_object(const vt_json *j)
{
    return cJSON_IsObject(j);
}

bool vt_json_is_array(const vt_json *j)
{
    return cJSON_IsArray(j);
}

bool vt_json_is_string(const vt_json *j)
{
    return cJSON_IsString(j);
}

bool vt_json_is_number(const vt_json *j)
{
    return cJSON_IsNumber(j);
}

bool vt_json_is_bool(const vt_json *j)
{
    return cJSON_IsBool(j);
}

bool vt_json_is_null(const vt_json *j)
{
    return cJSON_IsNull(j);
}

const vt_json *vt_json_first(const vt_json *j)
{
    return cJSON_IsArray(j) || cJSON_IsObject(j) ? j->child : NULL;
}

const vt_json *vt_json_next(const vt_json *j)
{
    return j ? j->next : NULL;
}

const char *vt_json_key(const vt_json *j)
{
    return j ? j->string : NULL;
}

size_t vt_json_count(const vt_json *j)
{
    size_t n = 0;
    for (const vt_json *c = vt_json_first(j); c; c = c->next)
        n++;
    return n;
}

const vt_json *vt_json_get(const vt_json *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const char *vt_json_str(const vt_json *j, const char *fallback)
{
    return cJSON_IsString(j) ? j->valuestring : fallback;
}

double vt_json_num(const vt_json *j, double fallback)
{
    return cJSON_IsNumber(j) ? j->valuedouble : fallback;
}

/* An integer held as a number (exact, |v| <= 2^53) or as a decimal string of an int64. */
static bool read_int(const vt_json *j, int64_t *out)
{
    if (cJSON_IsNumber(j) && fabs(j->valuedouble) <= max_exact_int && floor(j->valuedouble) == j->valuedouble) {
        *out = (int64_t)j->valuedouble;
        return true;
    }
    if (!cJSON_IsString(j) || !j->valuestring[0])
        return false;
    char *end;
    errno = 0;
    if (j->valuestring[0] == '-') {
        *out = strtoll(j->valuestring, &end, 10);
    } else {
        unsigned long long u = strtoull(j->valuestring, &end, 10); /* u64str: the bits, not the sign, are kept */
        memcpy(out, &u, sizeof u);
    }
    return errno == 0 && *end == '\0' && end != j->valuestring;
}

int64_t vt_json_int(const vt_json *j, int64_t fallback)
{
    int64_t v;
    return read_int(j, &v) ? v : fallback;
}

bool vt_json_bool(const vt_json *j, bool fallback)
{
    return cJSON_IsBool(j) ? cJSON_IsTrue(j) : fallback;
}

vt_status vt_json_need_str(const vt_json *o, const char *key, const char *what, const char **out, vt_err *err)
{
    const vt_json *j = vt_json_get(o, key);
    if (!vt_json_is_string(j))
        return vt_fail(err, VT_EFORMAT, "%s has no string \"%s\"", what, key);
    *out = j->valuestring;
    return VT_OK;
}

vt_status vt_json_need_num(const vt_json *o, const char *key, const char *what, double *out, vt_err *err)
{
    const vt_json *j = vt_json_get(o, key);
    if (!vt_json_is_number(j))
        return vt_fail(err, VT_EFORMAT, "%s has no number \"%s\"", what, key);
    *out = j->valuedouble;
    return VT_OK;
}

vt_status vt_json_need_int(const vt_json *o, const char *key, const char *what, int64_t *out, vt_err *err)
{
    if (!read_int(vt_json_get(o, key), out))
        return vt_fail(err, VT_EFORMAT, "%s has no integer \"%s\"", what, key);
    return VT_OK;
}

vt_json *vt_json_object(void)
{
    return cJSON_CreateObject();
}

vt_json *vt_json_array(void)
{
    return cJSON_CreateArray();
}

vt_json *vt_json_new_str(const char *s, size_t len)
{
    struct vt_buf text;
    vt_buf_init(&text, SIZE_MAX / 4);
    for (size_t at = 0; at < len;) {
        size_t run = strnlen(s + at, len - at);
        vt_buf_add(&text, s + at, run);
        at += run;
        if (at < len) {
            vt_buf_puts(&text, "\xEF\xBF\xBD");
            at++;
        }
    }
    vt_json *j = text.status == VT_OK ? cJSON_CreateString(text.p) : NULL;
    vt_buf_free(&text);
    return j;
}

vt_json *vt_json_new_num(double v)
{
    return cJSON_CreateNumber(v);
}

vt_json *vt_json_new_bool(bool v)
{
    return cJSON_CreateBool(v);
}

vt_json *vt_json_new_null(void)
{
    return cJSON_CreateNull();
}

vt_json *vt_json_clone(const vt_json *j)
{
    return cJSON_Duplicate(j, 1);
}

static bool is_whole(const cJSON *j)
{
    bool whole = j && !(j->type & NODE_LOST);
    for (const cJSON *c = vt_json_first(j); c && whole; c = c->next)
        whole = is_whole(c);
    return whole;
}

vt_status vt_json_check(const vt_json *j, vt_err *err)
{
    return is_whole(j) ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory while building a JSON value");
}

void vt_json_put(vt_json *object, const char *key, vt_json *child)
{
    if (object && child && cJSON_IsObject(object)) {
        cJSON_DeleteItemFromObjectCaseSensitive(object, key);
        if (cJSON_AddItemToObject(object, key, child))
            return;
    }
    cJSON_Delete(child);
    if (object)
        object->type |= NODE_LOST;
}

void vt_json_put_str(vt_json *object, const char *key, const char *s)
{
    vt_json_put(object, key, s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

void vt_json_put_num(vt_json *object, const char *key, double v)
{
    vt_json_put(object, key, cJSON_CreateNumber(v));
}

void vt_json_put_int(vt_json *object, const char *key, int64_t v)
{
    if (v >= -(INT64_C(1) << 53) && v <= INT64_C(1) << 53) {
        vt_json_put_num(object, key, (double)v);
        return;
    }
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)v);
    vt_json_put_str(object, key, text);
}

void vt_json_put_u64str(vt_json *object, const char *key, uint64_t v)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)v);
    vt_json_put_str(object, key, text);
}

void vt_json_put_bool(vt_json *object, const char *key, bool v)
{
    vt_json_put(object, key, cJSON_CreateBool(v));
}

void vt_json_push(vt_json *array, vt_json *child)
{
    if (array && child && cJSON_IsArray(array) && cJSON_AddItemToArray(array, child))
        return;
    cJSON_Delete(child);
    if (array)
        array->type |= NODE_LOST;
}

void vt_json_write_double(struct vt_buf *out, double v)
{
    if (!isfinite(v)) {
        vt_buf_puts(out, "null");
        return;
    }
    char text[40];
    if (fabs(v) <= max_exact_int && floor(v) == v) {
        snprintf(text, sizeof text, "%.0f", v);
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            snprintf(text, sizeof text, "%.*g", digits, v);
            if (strtod(text, NULL) == v)
                break;
        }
        for (char *p = text; *p; p++) /* the locale's decimal point, whatever a script set it to */
            if (*p == ',')
                *p = '.';
    }
    vt_buf_puts(out, text);
}

static void write_escape(struct vt_buf *out, unsigned char c)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: byte, letter */
    for (const char *p = named; *p; p += 2) {
        if ((unsigned char)*p == c) {
            vt_buf_putc(out, '\\');
            vt_buf_putc(out, p[1]);
            return;
        }
    }
    vt_buf_printf(out, "\\u%04x", c ? (unsigned)c : 0xFFFDu); /* a NUL would end the string in every cJSON reader */
}

void vt_json_write_string(struct vt_buf *out, const char *s, size_t len)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t plain = 0; /* start of the stretch that needs no escape */
    vt_buf_putc(out, '"');
    for (size_t i = 0; i < len;) {
        size_t n = vt_utf8_sequence(p + i, len - i);
        if (n > 1 || (n == 1 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\')) {
            i += n;
            continue;
        }
        vt_buf_add(out, s + plain, i - plain);
        if (n == 0)
            vt_buf_puts(out, "\xEF\xBF\xBD");
        else
            write_escape(out, p[i]);
        plain = ++i;
    }
    vt_buf_add(out, s + plain, len - plain);
    vt_buf_putc(out, '"');
}

static int compare_keys(const void *a, const void *b)
{
    const cJSON *const *x = a, *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

static vt_status write_node(const cJSON *j, bool sorted, int depth, struct vt_buf *out, vt_err *err);

/* Children in insertion order, or by key when sorted. */
static vt_status write_children(const cJSON *j, bool sorted, int depth, struct vt_buf *out, vt_err *err)
{
    bool is_object = cJSON_IsObject(j);
    size_t n = vt_json_count(j), at = 0;
    const cJSON **order = NULL;
    vt_status status = VT_OK;
    if (sorted && is_object && n) {
        order = vt_alloc_array(n, sizeof *order);
        if (!order)
            return vt_fail(err, VT_ENOMEM, "out of memory while sorting %zu JSON keys", n);
        for (const cJSON *c = j->child; c; c = c->next, at++)
            order[at] = c;
        qsort(order, n, sizeof *order, compare_keys);
    }
    const cJSON *c = j->child;
    vt_buf_putc(out, is_object ? '{' : '[');
    for (at = 0; at < n && status == VT_OK; at++, c = c->next) {
        const cJSON *item = order ? order[at] : c;
        if (at)
            vt_buf_putc(out, ',');
        if (is_object) {
            vt_json_write_string(out, item->string, strlen(item->string));
            vt_buf_putc(out, ':');
        }
        status = write_node(item, sorted, depth + 1, out, err);
    }
    vt_buf_putc(out, is_object ? '}' : ']');
    free(order);
    return status;
}

static vt_status write_node(const cJSON *j, bool sorted, int depth, struct vt_buf *out, vt_err *err)
{
    if (!j || (j->type & NODE_LOST))
        return vt_fail(err, VT_ENOMEM, "out of memory while building a JSON value");
    if (depth > VT_JSON_MAX_DEPTH)
        return vt_fail(err, VT_ELIMIT, "a JSON value nests deeper than %d levels", (int)VT_JSON_MAX_DEPTH);
    if (cJSON_IsObject(j) || cJSON_IsArray(j))
        return write_children(j, sorted, depth, out, err);
    if (cJSON_IsString(j))
        vt_json_write_string(out, j->valuestring, strlen(j->valuestring));
    else if (cJSON_IsNumber(j))
        vt_json_write_double(out, j->valuedouble);
    else if (cJSON_IsBool(j))
        vt_buf_puts(out, cJSON_IsTrue(j) ? "true" : "false");
    else
        vt_buf_puts(out, "null");
    return VT_OK;
}

vt_status vt_json_write(const vt_json *j, bool sorted, struct vt_buf *out, vt_err *err)
{
    VT_TRY(write_node(j, sorted, 0, out, err));
    return vt_buf_check(out, "a JSON text", err);
}
