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

static vt_status class_write(const struct vt_eval_class *c, struct vt_buf *out, vt_err *err)
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

static vt_status class_read(const char *id, const char *text, size_t len, struct vt_queue_class *out, vt_err *err)
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

vt_status vt_queue_class_choose(const struct vt_redis_address *a, const struct vt_resp_reader *reply,
                                struct vt_queue_class *out, vt_err *err)
{
    struct vt_resp_reader r = *reply;
    struct vt_resp_item list, id, text;
    char shown[400] = "";
    size_t n = 0, at = 0;
    *out = (struct vt_queue_class){0};
    if (!vt_resp_expect(&r, VT_RESP_LIST, &list))
        return vt_fail(err, VT_EFORMAT, "the queue does not say which workers it has had");
    for (int64_t i = 0; i + 1 < list.number; i += 2) {
        char name[VT_QUEUE_CLASS_SIZE];
        struct vt_queue_class c;
        if (!vt_resp_expect(&r, VT_RESP_TEXT, &id) || !vt_resp_expect(&r, VT_RESP_TEXT, &text))
            break;
        snprintf(name, sizeof name, "%.*s", (int)(id.len < 16 ? id.len : 16), id.text);
        VT_TRY(class_read(name, text.text, text.len, &c, err));
        bool is_it = !a->class_wanted || strcmp(a->class_wanted, name) == 0;
        if (at < sizeof shown)
            at += (size_t)snprintf(shown + at, sizeof shown - at, "%s%s (%s, %s)", at ? ", " : "", name, c.evaluator,
                                   c.machine);
        if (is_it && n++ == 0)
            *out = c;
        else
            vt_queue_class_free(&c);
    }
    if (n == 1)
        return VT_OK;
    vt_queue_class_free(out);
    if (n > 1)
        return vt_fail(err, VT_EINVAL,
                       "the queue '%s' has had workers whose times cannot be compared: %s; say which by ?class=CLASS",
                       a->name, shown);
    if (at)
        return vt_fail(err, VT_ENOENT, "the queue '%s' has had no worker of class %s, only of %s", a->name,
                       a->class_wanted, shown);
    return vt_fail(err, VT_ENOENT,
                   "no worker has come to the queue '%s' yet, so nobody knows what its verdicts would be; start one: "
                   "vegttt worker --queue ADDRESS",
                   a->name);
}

void vt_queue_announce(vt_redis *r, const struct vt_redis_address *a, const struct vt_eval_class *c)
{
    struct vt_buf text;
    char classes[VT_QUEUE_KEY_MAX], jobs[VT_QUEUE_KEY_MAX], id[VT_QUEUE_CLASS_SIZE];
    vt_queue_class_id(c, id);
    vt_queue_name(a, "classes", NULL, classes);
    vt_queue_name(a, "jobs", id, jobs);
    vt_buf_init(&text, 64 << 10);
    if (class_write(c, &text, NULL) == VT_OK)
        vt_redis_say(r, NULL, NULL, "HSET", classes, id, text.p, NULL);
    vt_buf_free(&text);
    vt_redis_say(r, NULL, NULL, "XGROUP", "CREATE", jobs, VT_QUEUE_GROUP, "0", "MKSTREAM", NULL);
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

static bool copy_name(char *out, size_t size, const struct vt_resp_item *from)
{
    if (from->len == 0 || from->len >= size || memchr(from->text, '\0', from->len))
        return false;
    memcpy(out, from->text, from->len);
    out[from->len] = '\0';
    return true;
}

static void set_field(struct vt_queue_entry *e, const struct vt_resp_item *name, const struct vt_resp_item *value)
{
    struct {
        const char *name;
        char *out;
        size_t size;
    } const names[] = {
        {"rid", e->rid, sizeof e->rid}, {"reply", e->reply, sizeof e->reply}, {"key", e->key, sizeof e->key}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (name->len == strlen(names[i].name) && memcmp(name->text, names[i].name, name->len) == 0)
            (void)!copy_name(names[i].out, names[i].size, value);
    if (name->len == 3 && memcmp(name->text, "job", 3) == 0) {
        e->job = value->text;
        e->job_len = value->len;
    }
}

bool vt_queue_entry_next(struct vt_resp_reader *r, struct vt_queue_entry *out)
{
    struct vt_resp_item item, value;
    *out = (struct vt_queue_entry){0};
    if (!vt_resp_expect(r, VT_RESP_LIST, &item) || item.number != 2 || !vt_resp_expect(r, VT_RESP_TEXT, &value) ||
        !copy_name(out->id, sizeof out->id, &value))
        return false;
    if (!vt_resp_expect(r, VT_RESP_LIST, &item))
        return true; /* nothing in place of its fields */
    for (int64_t i = 0; i + 1 < item.number; i += 2) {
        struct vt_resp_item name;
        if (!vt_resp_expect(r, VT_RESP_TEXT, &name) || !vt_resp_expect(r, VT_RESP_TEXT, &value))
            return false;
        set_field(out, &name, &value);
    }
    /* The answer's name begins with the key: whoever asks for a key finds no answer that another one put there. */
    out->is_job = out->job && out->reply[0] && out->key[0] && strncmp(out->rid, out->key, strlen(out->key)) == 0;
    return true;
}

bool vt_queue_pending_next(struct vt_resp_reader *r, struct vt_queue_pending *out)
{
    struct vt_resp_item list, entry, owner, idle, n;
    if (!vt_resp_expect(r, VT_RESP_LIST, &list) || list.number != 4 || !vt_resp_expect(r, VT_RESP_TEXT, &entry) ||
        !vt_resp_expect(r, VT_RESP_TEXT, &owner) || !vt_resp_expect(r, VT_RESP_INT, &idle) ||
        !vt_resp_expect(r, VT_RESP_INT, &n))
        return false;
    out->n_deliveries = n.number < 0 ? 0 : n.number < 1000 ? (int)n.number : 1000;
    return copy_name(out->entry, sizeof out->entry, &entry) && copy_name(out->owner, sizeof out->owner, &owner);
}
