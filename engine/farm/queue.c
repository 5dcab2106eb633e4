/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.c: names, classes and entries as they are written and read.
 */
#include "farm/queue.h"
#include "base/alloc.h"
#include "base/json.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void vt_queue_name(const struct vt_redis_address *a, const char *what, const char *part, char out[VT_QUEUE_KEY_MAX])
{
    snprintf(out, VT_QUEUE_KEY_MAX, "vegttt:%s:%s%s%s", a->name, what, part ? ":" : "", part ? part : "");
}

/* ---- classes ---- */

enum { N_FIELDS = 5 };
static const char *const field_names[N_FIELDS] = {"tier", "scale", "evaluator", "toolchain", "machine"};

static void fields_of(const struct vt_eval_class *c, const char *out[N_FIELDS])
{
    const char *const fields[N_FIELDS] = {c->tier, c->scale, c->evaluator, c->toolchain, c->machine};
    memcpy(out, fields, sizeof fields);
}

void vt_queue_class_id(const struct vt_eval_class *c, char id[VT_QUEUE_CLASS_SIZE])
{
    struct vt_sha256 h;
    char hex[VT_SHA256_HEX];
    const char *field[N_FIELDS];
    fields_of(c, field);
    vt_sha256_init(&h);
    for (size_t i = 0; i < N_FIELDS; i++)
        vt_hash_str(&h, field_names[i], field[i]);
    vt_sha256_hex(&h, hex);
    snprintf(id, VT_QUEUE_CLASS_SIZE, "%.16s", hex);
}

vt_status vt_queue_class_write(const struct vt_eval_class *c, struct vt_buf *out, vt_err *err)
{
    const char *field[N_FIELDS];
    vt_json *j = vt_json_object();
    fields_of(c, field);
    for (size_t i = 0; i < N_FIELDS; i++)
        vt_json_put_str(j, field_names[i], field[i]);
    vt_status s = vt_json_write(j, true, out, err);
    vt_json_free(j);
    return s;
}

vt_status vt_queue_class_read(const char *id, const char *text, size_t len, struct vt_queue_class *out, vt_err *err)
{
    vt_json *j = NULL;
    struct vt_eval_class c;
    *out = (struct vt_queue_class){0};
    VT_TRY(vt_json_parse(text, len, "a class of workers", &j, err));
    char **const field[N_FIELDS] = {&out->tier, &out->scale, &out->evaluator, &out->toolchain, &out->machine};
    vt_status s = VT_OK;
    for (size_t i = 0; i < N_FIELDS && s == VT_OK; i++) {
        const char *value;
        s = vt_json_need_str(j, field_names[i], "a class of workers", &value, err);
        if (s == VT_OK && !(*field[i] = vt_strdup(value)))
            s = vt_fail(err, VT_ENOMEM, "out of memory for a class of workers");
    }
    vt_json_free(j);
    if (s == VT_OK) {
        vt_queue_class_lend(out, &c);
        vt_queue_class_id(&c, out->id);
        if (strcmp(out->id, id) != 0)
            s = vt_fail(err, VT_EFORMAT, "the queue says of the class %.16s what another class is", id);
    }
    if (s != VT_OK)
        vt_queue_class_free(out);
    return s;
}

void vt_queue_class_lend(const struct vt_queue_class *c, struct vt_eval_class *out)
{
    *out = (struct vt_eval_class){c->tier, c->scale, c->evaluator, c->toolchain, c->machine};
}

void vt_queue_class_free(struct vt_queue_class *c)
{
    free(c->tier);
    free(c->scale);
    free(c->evaluator);
    free(c->toolchain);
    free(c->machine);
    *c = (struct vt_queue_class){0};
}

vt_status vt_queue_new_name(char out[VT_QUEUE_CLASS_SIZE], vt_err *err)
{
    unsigned long long v;
    if (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v)
        return vt_fail(err, VT_EIO, "cannot draw a name from the kernel: %s", strerror(errno));
    snprintf(out, VT_QUEUE_CLASS_SIZE, "%016llx", v);
    return VT_OK;
}

/* ---- entries ---- */

static void set_field(struct vt_queue_entry *e, const struct vt_resp_item *name, const struct vt_resp_item *value)
{
    static const char *const names[] = {"rid", "reply", "key", "job"};
    const char **const text[] = {&e->rid, &e->reply, &e->key, &e->job};
    size_t *const len[] = {&e->rid_len, &e->reply_len, &e->key_len, &e->job_len};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name->len == strlen(names[i]) && memcmp(name->text, names[i], name->len) == 0) {
            *text[i] = value->text;
            *len[i] = value->len;
        }
}

bool vt_queue_entry_next(struct vt_resp_reader *r, struct vt_queue_entry *out)
{
    struct vt_resp_item item, value;
    *out = (struct vt_queue_entry){0};
    if (!vt_resp_expect(r, VT_RESP_LIST, &item) || item.number != 2 || !vt_resp_expect(r, VT_RESP_TEXT, &value) ||
        value.len >= sizeof out->id)
        return false;
    memcpy(out->id, value.text, value.len);
    if (!vt_resp_expect(r, VT_RESP_LIST, &item))
        return true; /* nothing in place of its fields */
    for (int64_t i = 0; i + 1 < item.number; i += 2) {
        struct vt_resp_item name;
        if (!vt_resp_expect(r, VT_RESP_TEXT, &name) || !vt_resp_expect(r, VT_RESP_TEXT, &value))
            return false;
        set_field(out, &name, &value);
    }
    out->has_fields = true;
    return true;
}
