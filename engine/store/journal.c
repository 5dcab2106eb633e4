/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c: the journal's hash map and its file.
 *
 * Open addressing with linear probing over a power-of-two table that is at most half full; entries are never removed.
 * Keys are hashed with FNV-1a: they are SHA-256 digests or labels of our own making, not chosen by an adversary.
 */
#include "store/journal.h"
#include "base/alloc.h"
#include "store/jsonl.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

struct entry {
    char *key; /* NULL = free */
    vt_json *value;
};

struct vt_journal {
    struct vt_jsonl file;
    struct entry *table;
    size_t cap, count;
};

static uint64_t hash_key(const char *key)
{
    uint64_t h = 14695981039346656037u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return h ^ h >> 32;
}

/* The entry of key, or the free one where it belongs. cap > count always, so the search ends. */
static struct entry *find(struct entry *table, size_t cap, const char *key)
{
    size_t i = (size_t)hash_key(key) & (cap - 1);
    while (table[i].key && strcmp(table[i].key, key) != 0)
        i = (i + 1) & (cap - 1);
    return &table[i];
}

static vt_status reserve_one(vt_journal *j, vt_err *err)
{
    if (j->table && j->count < j->cap / 2)
        return VT_OK;
    size_t cap = j->cap ? j->cap * 2 : FIRST_CAPACITY;
    struct entry *table = vt_alloc_array(cap, sizeof *table);
    if (!table)
        return vt_fail(err, VT_ENOMEM, "out of memory while indexing %s", j->file.path);
    for (size_t i = 0; i < j->cap; i++)
        if (j->table[i].key)
            *find(table, cap, j->table[i].key) = j->table[i];
    free(j->table);
    j->table = table;
    j->cap = cap;
    return VT_OK;
}

/* Takes ownership of key and value; reserve_one came first, so it cannot fail. */
static void store(vt_journal *j, char *key, vt_json *value)
{
    struct entry *e = find(j->table, j->cap, key);
    if (e->key) {
        free(key);
        vt_json_free(e->value);
    } else {
        e->key = key;
        j->count++;
    }
    e->value = value;
}

static vt_status load_line(vt_journal *j, const struct vt_jsonl_reader *r, const vt_json *line, vt_err *err)
{
    const char *key = vt_json_str(vt_json_get(line, "key"), NULL);
    const vt_json *value = vt_json_get(line, "value");
    if (!key || !value)
        return vt_fail(err, VT_EFORMAT, "line %llu of %s has no key and value", (unsigned long long)r->line, r->path);
    VT_TRY(reserve_one(j, err));
    char *own_key = vt_strdup(key);
    vt_json *own_value = vt_json_clone(value);
    if (!own_key || !own_value) {
        free(own_key);
        vt_json_free(own_value);
        return vt_fail(err, VT_ENOMEM, "out of memory while loading %s", r->path);
    }
    store(j, own_key, own_value);
    return VT_OK;
}

static vt_status load(vt_journal *j, vt_err *err)
{
    struct vt_jsonl_reader r;
    VT_TRY(vt_jsonl_reader_open(&r, j->file.path, err));
    vt_status status;
    vt_json *line = NULL;
    while ((status = vt_jsonl_next(&r, &line, err)) == VT_OK && line) {
        status = load_line(j, &r, line, err);
        vt_json_free(line);
        if (status != VT_OK)
            break;
    }
    vt_jsonl_reader_close(&r);
    return status;
}

vt_status vt_journal_open(const char *path, vt_journal **out, vt_err *err)
{
    *out = NULL;
    vt_journal *j = vt_alloc(sizeof *j);
    if (!j)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening %s", path);
    vt_status status = vt_jsonl_open(&j->file, path, VT_JSONL_APPEND, err);
    if (status == VT_OK)
        status = load(j, err);
    if (status != VT_OK)
        vt_journal_close(j);
    else
        *out = j;
    return status;
}

void vt_journal_close(vt_journal *j)
{
    if (!j)
        return;
    for (size_t i = 0; i < j->cap; i++) {
        free(j->table[i].key);
        vt_json_free(j->table[i].value);
    }
    free(j->table);
    vt_jsonl_close(&j->file);
    free(j);
}

const vt_json *vt_journal_get(const vt_journal *j, const char *key)
{
    return j->table ? find(j->table, j->cap, key)->value : NULL;
}

vt_status vt_journal_put(vt_journal *j, const char *key, const vt_json *value, vt_err *err)
{
    VT_TRY(reserve_one(j, err));
    char *own_key = vt_strdup(key);
    vt_json *own_value = value ? vt_json_clone(value) : NULL;
    vt_status status = VT_OK;
    if (!own_key || !own_value) {
        status = vt_fail(err, VT_ENOMEM, "out of memory while recording %s in %s", key, j->file.path);
        goto out;
    }
    struct vt_buf *line = vt_jsonl_begin(&j->file);
    vt_buf_puts(line, ",\"key\":");
    vt_json_write_string(line, key, strlen(key));
    vt_buf_puts(line, ",\"value\":");
    if ((status = vt_json_write(value, false, line, err)) != VT_OK || (status = vt_jsonl_end(&j->file, err)) != VT_OK)
        goto out;
    store(j, own_key, own_value);
    own_key = NULL;
    own_value = NULL;
out:
    free(own_key);
    vt_json_free(own_value);
    return status;
}

vt_status vt_journal_sync(vt_journal *j, vt_err *err)
{
    return vt_jsonl_sync(&j->file, err);
}
