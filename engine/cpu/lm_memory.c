/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_memory.c: every large allocation of the backend is counted here against max_memory, so that a request that cannot
 * fit is refused in one sentence instead of being killed by the system.
 *
 * KV pages come from one pool. A page holds 64 keys and values of all layers and kv heads of one sequence (or of a
 * group's prompt, shared by reference). A freed page keeps its old, finite values: keys beyond a row's visible ones
 * enter with probability exactly 0, so only their finiteness matters.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, MANY_HUGE_PAGES = 8 * HUGE_PAGE };

/* Memory in huge pages where it fills them, which the system may grant or not. A training step takes hundreds
 * of megabytes and gives them back: in pages of 4 KiB that is over a hundred thousand faults a step. */
static void *take_huge(size_t bytes)
{
    const size_t huge = bytes / HUGE_PAGE * HUGE_PAGE;
    void *p = vt_alloc_aligned(huge ? HUGE_PAGE : 64, bytes);
#ifdef MADV_HUGEPAGE
    if (p && huge)
        (void)madvise(p, huge, MADV_HUGEPAGE); /* a hint: its failure costs speed only */
#endif
    return p;
}

vt_status vt_lm_reserve(vt_lm *lm, uint64_t bytes, const char *what, vt_err *err)
{
    vt_status status = VT_OK;
    pthread_mutex_lock(&lm->lock);
    if (bytes > lm->max_bytes || lm->bytes > lm->max_bytes - bytes)
        status = vt_fail(err, VT_ENOMEM,
                         "%s need %.1f MB, but %.1f of %.1f MB are taken; raise the memory limit or ask for less", what,
                         (double)bytes / 1e6, (double)lm->bytes / 1e6, (double)lm->max_bytes / 1e6);
    else
        lm->bytes += bytes;
    if (lm->bytes > lm->peak)
        lm->peak = lm->bytes;
    pthread_mutex_unlock(&lm->lock);
    return status;
}

void vt_lm_release(vt_lm *lm, uint64_t bytes)
{
    pthread_mutex_lock(&lm->lock);
    lm->bytes -= bytes;
    pthread_mutex_unlock(&lm->lock);
}

vt_status vt_lm_take(vt_lm *lm, size_t bytes, const char *what, void **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(vt_lm_reserve(lm, bytes, what, err));
    void *p = bytes >= MANY_HUGE_PAGES ? take_huge(bytes) : vt_alloc_aligned(64, bytes ? bytes : 64);
    if (!p) {
        vt_lm_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "the system refused %.1f MB for %s", (double)bytes / 1e6, what);
    }
    *out = p;
    return VT_OK;
}

vt_status vt_lm_take_zeroed(vt_lm *lm, size_t bytes, const char *what, void **out, vt_err *err)
{
    VT_TRY(vt_lm_take(lm, bytes, what, out, err));
    memset(*out, 0, bytes);
    return VT_OK;
}

void vt_lm_give(vt_lm *lm, void *p, size_t bytes)
{
    if (!p)
        return;
    free(p);
    vt_lm_release(lm, bytes);
}

static size_t page_size(const vt_lm *lm)
{
    return lm->block_bytes * (size_t)lm->cfg.n_layers;
}

/* Decode reads a little of every page in every layer, so a page's memory comes in huge pages where it fills them:
 * measured, decode of 64 samples is faster so. */
static vt_status take_page(vt_lm *lm, void **out, vt_err *err)
{
    const size_t bytes = page_size(lm);
    *out = NULL;
    VT_TRY(vt_lm_reserve(lm, bytes, "KV pages", err));
    void *p = take_huge(bytes);
    if (!p) {
        vt_lm_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "the system refused %.1f MB for a KV page", (double)bytes / 1e6);
    }
    memset(p, 0, bytes);
    *out = p;
    return VT_OK;
}

vt_status vt_lm_page_new(vt_lm *lm, struct vt_lm_page **out, vt_err *err)
{
    pthread_mutex_lock(&lm->lock);
    struct vt_lm_page *p = lm->free_pages;
    if (p)
        lm->free_pages = p->next;
    pthread_mutex_unlock(&lm->lock);
    if (!p) {
        void *data;
        VT_TRY(take_page(lm, &data, err));
        p = vt_alloc(sizeof *p);
        if (!p) {
            vt_lm_give(lm, data, page_size(lm));
            return vt_fail(err, VT_ENOMEM, "out of memory for the record of a KV page");
        }
        p->data = data;
    }
    p->next = NULL;
    *out = p;
    return VT_OK;
}

void vt_lm_page_free(vt_lm *lm, struct vt_lm_page *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&lm->lock);
    p->next = lm->free_pages;
    lm->free_pages = p;
    pthread_mutex_unlock(&lm->lock);
}

void vt_lm_pages_drop(vt_lm *lm)
{
    pthread_mutex_lock(&lm->lock);
    struct vt_lm_page *p = lm->free_pages;
    lm->free_pages = NULL;
    pthread_mutex_unlock(&lm->lock);
    while (p) {
        struct vt_lm_page *next = p->next;
        vt_lm_give(lm, p->data, page_size(lm));
        free(p);
        p = next;
    }
}

/* Carves n bytes, rounded up to a cache line, off a block; with base NULL it only measures. */
static void *carve(unsigned char *base, size_t *at, size_t n)
{
    void *p = base ? base + *at : NULL;
    *at += (n + 63) / 64 * 64;
    return p;
}

static struct vt_acts carve_acts(unsigned char *base, size_t *at, int n_in)
{
    struct vt_acts a = {.n_in = n_in, .stride = vt_acts_row_bytes(n_in)};
    a.data = carve(base, at, a.stride * VT_CHUNK_ROWS);
    return a;
}

static size_t lay_out_bufs(const vt_lm *lm, int rank, unsigned char *base, struct vt_lm_bufs *b)
{
    const struct vt_lm_config *c = &lm->cfg;
    const size_t n = VT_CHUNK_ROWS, f = sizeof(float), heads = n * (size_t)lm->group_heads;
    size_t at = 0;
    b->norm = carve_acts(base, &at, c->d_model);
    b->ctx = carve_acts(base, &at, lm->q_dim);
    b->act = carve_acts(base, &at, c->d_ff);
    b->low = carve_acts(base, &at, rank);
    b->low.is_plain = true;
    b->f_norm = carve(base, &at, n * (size_t)c->d_model * f);
    b->qkv = carve(base, &at, n * (size_t)lm->qkv_dim * f);
    b->f_ctx = carve(base, &at, n * (size_t)lm->q_dim * f);
    b->gate = carve(base, &at, n * (size_t)c->d_ff * f);
    b->up = carve(base, &at, n * (size_t)c->d_ff * f);
    b->f_low = carve(base, &at, n * (size_t)rank * f);
    b->m = carve(base, &at, heads * f);
    b->l = carve(base, &at, heads * f);
    b->acc = carve(base, &at, heads * (size_t)c->head_dim * f);
    b->inv_rms = carve(base, &at, n * f);
    b->visible = carve(base, &at, heads * sizeof(int));
    b->logits = carve(base, &at, n * VT_HEAD_CHUNK * f);
    b->sample = carve(base, &at, vt_lm_sample_scratch(c->n_vocab));
    return at;
}

uint64_t vt_lm_bufs_bytes(const vt_lm *lm)
{
    struct vt_lm_bufs b;
    return (uint64_t)lm->n_threads * lay_out_bufs(lm, lm->bufs_rank, NULL, &b);
}

vt_status vt_lm_bufs_ensure(vt_lm *lm, vt_err *err)
{
    if (lm->bufs && lm->bufs_rank >= lm->max_rank)
        return VT_OK;
    vt_lm_bufs_free(lm);
    int rank = lm->max_rank > 16 ? lm->max_rank : 16;
    lm->bufs = vt_alloc_array((size_t)lm->n_threads, sizeof *lm->bufs);
    if (!lm->bufs)
        return vt_fail(err, VT_ENOMEM, "out of memory for the working buffers of %d threads", lm->n_threads);
    lm->bufs_rank = rank;
    for (int i = 0; i < lm->n_threads; i++) {
        struct vt_lm_bufs *b = &lm->bufs[i];
        size_t bytes = lay_out_bufs(lm, rank, NULL, b);
        void *memory;
        VT_TRY(vt_lm_take_zeroed(lm, bytes, "working buffers", &memory, err));
        (void)lay_out_bufs(lm, rank, memory, b);
        b->memory = memory;
    }
    return VT_OK;
}

void vt_lm_bufs_free(vt_lm *lm)
{
    if (!lm->bufs)
        return;
    struct vt_lm_bufs none;
    size_t bytes = lay_out_bufs(lm, lm->bufs_rank, NULL, &none);
    for (int i = 0; i < lm->n_threads; i++)
        vt_lm_give(lm, lm->bufs[i].memory, bytes);
    free(lm->bufs);
    lm->bufs = NULL;
}
