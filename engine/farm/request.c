/* SPDX-License-Identifier: Apache-2.0
 *
 * request.c: JSON text to a request.
 *
 * The members are one table: name, how its value is read. The id is the client's and comes back as it is: cJSON would
 * turn 12345678901234567890 into another number and reorder nothing but lose the text, so the bytes of the value are
 * cut out of the request. That walk may trust the text, since it has been parsed: it only has to find where the n-th
 * member of the outermost object begins and ends.
 */
#include "farm/request.h"
#include "base/alloc.h"
#include "base/json.h"
#include "base/nearest.h"
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double max_exact_int = 9007199254740992.0; /* 2^53 */

static vt_status copy(const char *text, char **out, vt_err *err)
{
    *out = vt_strdup(text);
    return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "no memory for a request");
}

/* ---- the members ---- */

static const char *kind_of(const vt_json *j)
{
    return vt_json_is_object(j)   ? "an object"
           : vt_json_is_array(j)  ? "a list"
           : vt_json_is_string(j) ? "a text"
           : vt_json_is_number(j) ? "a number"
           : vt_json_is_bool(j)   ? "true or false"
                                  : "null";
}

static vt_status read_text(const char *name, const vt_json *j, char **out, vt_err *err)
{
    const char *text = vt_json_str(j, NULL);
    if (!text)
        return vt_fail(err, VT_EINVAL, "\"%s\" must be a text, not %s", name, kind_of(j));
    return copy(text, out, err);
}

static vt_status read_bool(const char *name, const vt_json *j, bool *out, vt_err *err)
{
    if (!vt_json_is_bool(j))
        return vt_fail(err, VT_EINVAL, "\"%s\" must be true or false, not %s", name, kind_of(j));
    *out = vt_json_bool(j, false);
    return VT_OK;
}

static vt_status read_document(const vt_json *j, vt_task **out, vt_err *err)
{
    struct vt_buf text;
    vt_buf_init(&text, 4 << 20);
    vt_status s = vt_json_write(j, true, &text, err);
    if (s == VT_OK)
        s = vt_task_parse(text.p, text.len, out, err);
    vt_buf_free(&text);
    return s;
}

static vt_status read_task(struct vt_farm_request *r, const vt_json *j, vt_err *err)
{
    char digits[32];
    if (vt_json_is_object(j))
        return read_document(j, &r->parsed, err);
    if (vt_json_is_string(j))
        return copy(vt_json_str(j, ""), &r->task, err);
    double v = vt_json_num(j, NAN);
    if (vt_json_is_number(j) && fabs(v) >= max_exact_int) /* 2^53 itself may have been 2^53 + 1 */
        return vt_fail(err, VT_EINVAL,
                       "\"task\" is a number of 2^53 or more, which JSON does not tell from its neighbours; "
                       "give the name of the task, or its id as a text");
    if (!vt_json_is_number(j) || v != floor(v))
        return vt_fail(err, VT_EINVAL, "\"task\" must be the id, the name, the file or the document of a task, not %s",
                       vt_json_is_number(j) ? "that number" : kind_of(j));
    snprintf(digits, sizeof digits, "%.0f", v);
    return copy(digits, &r->task, err);
}

static vt_status read_code(struct vt_farm_request *r, const char *name, const vt_json *j, vt_err *err)
{
    if (r->code)
        return vt_fail(err, VT_EINVAL, "the request has both \"code\" and \"answer\"; give one of them");
    VT_TRY(read_text(name, j, &r->code, err));
    r->code_len = strlen(r->code);
    return r->code_len ? VT_OK : vt_fail(err, VT_EINVAL, "the request has no \"%s\": it is empty", name);
}

static vt_status read_protocol(struct vt_farm_request *r, const vt_json *j, vt_err *err)
{
    const char *text = vt_json_str(j, "");
    if (strcmp(text, "fast") != 0 && strcmp(text, "full") != 0)
        return vt_fail(err, VT_EINVAL, "protocol must be fast or full, not '%.40s'", *text ? text : kind_of(j));
    r->protocol = strcmp(text, "full") == 0 ? VT_PROTOCOL_FULL : VT_PROTOCOL_FAST;
    return VT_OK;
}

static vt_status read_replicate(struct vt_farm_request *r, const vt_json *j, vt_err *err)
{
    double v = vt_json_num(j, NAN);
    if (!vt_json_is_number(j) || v != floor(v) || v < 0 || v > INT_MAX)
        return vt_fail(err, VT_EINVAL, "\"replicate\" must be a whole number from 0");
    r->replicate = (int)v;
    return VT_OK;
}

enum member { ID, TASK, CODE, ANSWER, PROTOCOL, TIER, SCALE, TIMING, FRESH, REPLICATE, CONFIRMS, N_MEMBERS };
static const char *const names[N_MEMBERS] = {"id",    "task",   "code",  "answer",    "protocol", "tier",
                                             "scale", "timing", "fresh", "replicate", "confirms"};

static vt_status read_member(struct vt_farm_request *r, enum member m, const vt_json *j, vt_err *err)
{
    bool is_timed = true;
    switch (m) {
    case TASK:
        return read_task(r, j, err);
    case CODE:
        return read_code(r, names[m], j, err);
    case ANSWER:
        r->is_answer = true;
        return read_code(r, names[m], j, err);
    case PROTOCOL:
        return read_protocol(r, j, err);
    case TIER:
        return read_text(names[m], j, &r->tier, err);
    case SCALE:
        return read_text(names[m], j, &r->scale, err);
    case TIMING:
        VT_TRY(read_bool(names[m], j, &is_timed, err));
        r->skip_timing = !is_timed;
        return VT_OK;
    case FRESH:
        return read_bool(names[m], j, &r->is_fresh, err);
    case REPLICATE:
        return read_replicate(r, j, err);
    case CONFIRMS:
        return read_text(names[m], j, &r->confirms, err);
    default:
        return VT_OK; /* the id is read first */
    }
}

static vt_status find_member(const char *key, enum member *out, vt_err *err)
{
    for (int m = 0; m < N_MEMBERS; m++)
        if (strcmp(names[m], key) == 0) {
            *out = (enum member)m;
            return VT_OK;
        }
    char hint[VT_HINT_MAX];
    vt_hint(key, names, N_MEMBERS, "", hint, sizeof hint);
    return vt_fail(err, VT_EINVAL, "a request has no field '%.40s'%s", key, hint);
}

/* ---- the id ---- */

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n'))
        p++;
    return p;
}

static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        p += *p == '\\';
    return p < end ? p + 1 : end;
}

/* Behind the value that begins at p, in text that parses. */
static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;
    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
        } else if (*p == '{' || *p == '[') {
            depth++;
            p++;
        } else if (depth > 0 && (*p == '}' || *p == ']')) {
            depth--;
            p++;
        } else if (depth == 0 && (*p == ',' || *p == '}' || *p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) {
            return p;
        } else {
            p++;
            continue;
        }
        if (depth == 0)
            return p;
    }
    return end;
}

/* The bytes of the n-th member's value. */
static vt_status cut_value(const char *text, size_t len, size_t n, char **out, vt_err *err)
{
    const char *end = text + len, *p = skip_space(text, end) + 1; /* behind the brace */
    for (;;) {
        p = skip_space(skip_string(skip_space(p, end), end), end); /* at the colon */
        p = p < end ? skip_space(p + 1, end) : end;
        const char *from = p;
        p = skip_value(p, end);
        if (n-- > 0) {
            p = skip_space(p, end);
            p += p < end; /* the comma */
            continue;
        }
        if (p - from > VT_FARM_MAX_ID)
            return vt_fail(err, VT_EINVAL, "the id is longer than %d bytes", VT_FARM_MAX_ID);
        if (!(*out = vt_strndup(from, (size_t)(p - from))))
            return vt_fail(err, VT_ENOMEM, "no memory for a request");
        for (char *q = *out; *q; q++) /* an answer is one line */
            if (*q == '\n' || *q == '\r')
                *q = ' ';
        return VT_OK;
    }
}

/* ---- the whole ---- */

static vt_status read_members(const vt_json *root, struct vt_farm_request *out, vt_err *err)
{
    for (const vt_json *j = vt_json_first(root); j; j = vt_json_next(j)) {
        enum member m;
        VT_TRY(find_member(vt_json_key(j), &m, err));
        VT_TRY(read_member(out, m, j, err));
    }
    if (!out->code)
        return vt_fail(err, VT_EINVAL, "the request has no \"code\", and no \"answer\" either");
    if (!out->task && !out->parsed)
        return vt_fail(err, VT_EINVAL, "the request has no \"task\"");
    return VT_OK;
}

vt_status vt_farm_request_parse(const char *text, size_t len, struct vt_farm_request *out, vt_err *err)
{
    vt_json *root = NULL;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_json_parse(text, len, "the request", &root, err));
    vt_status s = VT_OK;
    size_t n = 0;
    if (!vt_json_is_object(root))
        s = vt_fail(err, VT_EFORMAT, "a request is a JSON object, not %s", kind_of(root));
    for (const vt_json *j = vt_json_first(root); s == VT_OK && j; j = vt_json_next(j), n++)
        if (strcmp(vt_json_key(j), names[ID]) == 0) {
            s = cut_value(text, len, n, &out->id, err);
            break;
        }
    if (s == VT_OK)
        s = read_members(root, out, err);
    vt_json_free(root);
    return s;
}

void vt_farm_request_free(struct vt_farm_request *r)
{
    free(r->id);
    free(r->task);
    vt_task_unref(r->parsed);
    free(r->code);
    free(r->tier);
    free(r->scale);
    free(r->confirms);
    *r = (struct vt_farm_request){0};
}

void vt_farm_request_fill(const struct vt_farm_request *r, vt_task *task, struct vt_eval_request *out)
{
    *out = (struct vt_eval_request){.task = task,
                                    .code = r->code,
                                    .code_len = r->code_len,
                                    .extract = r->is_answer,
                                    .protocol = r->protocol,
                                    .tier = r->tier,
                                    .scale = r->scale,
                                    .fresh = r->is_fresh,
                                    .skip_timing = r->skip_timing,
                                    .replicate = r->replicate,
                                    .confirms = r->confirms};
}

vt_status vt_farm_request_write(const struct vt_eval_request *r, struct vt_buf *out, vt_err *err)
{
    vt_buf_printf(out, "{\"task\":%s,\"%s\":", vt_task_json(r->task), r->extract ? "answer" : "code");
    vt_json_write_string(out, r->code, r->code_len);
    vt_buf_printf(out, ",\"protocol\":\"%s\"", r->protocol == VT_PROTOCOL_FULL ? "full" : "fast");
    const char *const texts[][2] = {{"tier", r->tier}, {"scale", r->scale}, {"confirms", r->confirms}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i][1]) {
            vt_buf_printf(out, ",\"%s\":", texts[i][0]);
            vt_json_write_string(out, texts[i][1], strlen(texts[i][1]));
        }
    if (r->replicate)
        vt_buf_printf(out, ",\"replicate\":%d", r->replicate);
    if (r->skip_timing)
        vt_buf_puts(out, ",\"timing\":false");
    if (r->fresh)
        vt_buf_puts(out, ",\"fresh\":true");
    vt_buf_putc(out, '}');
    return vt_buf_check(out, "a request", err);
}

vt_status vt_farm_request_copy(const struct vt_eval_request *r, struct vt_farm_request *out, vt_err *err)
{
    *out = (struct vt_farm_request){.parsed = vt_task_ref(r->task),
                                    .code = vt_strndup(r->code, r->code_len),
                                    .code_len = r->code_len,
                                    .is_answer = r->extract,
                                    .is_fresh = r->fresh,
                                    .skip_timing = r->skip_timing,
                                    .replicate = r->replicate,
                                    .protocol = r->protocol};
    VT_TRY(out->code ? VT_OK : vt_fail(err, VT_ENOMEM, "no memory for a request"));
    const char *const texts[] = {r->tier, r->scale, r->confirms};
    char **const to[] = {&out->tier, &out->scale, &out->confirms};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i])
            VT_TRY(copy(texts[i], to[i], err));
    return VT_OK;
}
