/* SPDX-License-Identifier: Apache-2.0
 *
 * book.c: the account of a device's memory: rows by name, a budget, and the table that a refusal prints. Pure
 * bookkeeping, so that it is tested where there is no device.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "gpu/gpu.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 32, TABLE_ROWS = 5, TABLE_BYTES = 400 };

struct row {
    const char *what;
    uint64_t bytes;
};

struct vt_gpu_book {
    pthread_mutex_t lock;
    uint64_t budget, used, peak;
    struct row rows[MAX_ROWS];
    int n;
};

struct vt_gpu_book *vt_gpu_book_new(uint64_t budget)
{
    struct vt_gpu_book *b = vt_alloc(sizeof *b);
    if (!b)
        return NULL;
    pthread_mutex_init(&b->lock, NULL);
    b->budget = budget;
    return b;
}

void vt_gpu_book_free(struct vt_gpu_book *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* The last row takes every name that found no room. */
static struct row *row_of(struct vt_gpu_book *b, const char *what)
{
    for (int i = 0; i < b->n; i++)
        if (strcmp(b->rows[i].what, what) == 0)
            return &b->rows[i];
    if (b->n == MAX_ROWS)
        return &b->rows[MAX_ROWS - 1];
    b->rows[b->n] = (struct row){.what = b->n == MAX_ROWS - 1 ? "other" : what};
    return &b->rows[b->n++];
}

static int by_bytes(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

/* "packed weights 3087.0 MB, KV pages 512.0 MB, …": the largest rows. */
static void describe(const struct vt_gpu_book *b, struct vt_buf *out)
{
    struct row rows[MAX_ROWS];
    memcpy(rows, b->rows, sizeof rows);
    qsort(rows, (size_t)b->n, sizeof rows[0], by_bytes);
    for (int i = 0; i < b->n && i < TABLE_ROWS && rows[i].bytes; i++)
        vt_buf_printf(out, "%s%s %.1f MB", i ? ", " : "", rows[i].what, (double)rows[i].bytes / 1e6);
}

vt_status vt_gpu_book_take(struct vt_gpu_book *b, uint64_t bytes, const char *what, vt_err *err)
{
    vt_status status = VT_OK;
    pthread_mutex_lock(&b->lock);
    if (bytes > b->budget - b->used) {
        struct vt_buf table;
        vt_buf_init(&table, TABLE_BYTES);
        describe(b, &table);
        status = vt_fail(err, VT_ENOMEM,
                         "%.1f MB for %s pass the GPU memory limit of %.1f MB, of which %.1f MB are taken (%s)",
                         (double)bytes / 1e6, what, (double)b->budget / 1e6, (double)b->used / 1e6, table.p);
        vt_buf_free(&table);
    } else {
        b->used += bytes;
        b->peak = b->used > b->peak ? b->used : b->peak;
        row_of(b, what)->bytes += bytes;
    }
    pthread_mutex_unlock(&b->lock);
    return status;
}

void vt_gpu_book_give(struct vt_gpu_book *b, uint64_t bytes, const char *what)
{
    pthread_mutex_lock(&b->lock);
    b->used -= bytes;
    row_of(b, what)->bytes -= bytes;
    pthread_mutex_unlock(&b->lock);
}

uint64_t vt_gpu_book_used(const struct vt_gpu_book *b, uint64_t *peak)
{
    struct vt_gpu_book *m = (struct vt_gpu_book *)(uintptr_t)b; /* the lock is the only thing written */
    pthread_mutex_lock(&m->lock);
    const uint64_t used = m->used;
    if (peak)
        *peak = m->peak;
    pthread_mutex_unlock(&m->lock);
    return used;
}
