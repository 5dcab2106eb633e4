/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_memory.c: every large allocation of the backend is counted here against max_memory, so that a request that cannot
 * fit is refused in one sentence instead of being killed by the system.
 *
 * KV pages come from one pool. A page holds 64 keys and values of all layers and kv heads of one sequence (or of a
 * group's prompt, shared by reference). A freed page keeps its old, finite values: keys beyond a row's visible ones
 * enter with probability exactly 0, so only their finiteness matters. Free pages are the first thing to go when
 * something else needs the room.
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

static bool reserve(struct vt_cpu *lm, uint64_t bytes, uint64_t *taken)
{
    pthread_mutex_lock(&lm->lock);
    const bool fits = bytes <= lm->max_bytes && lm->bytes <= lm->max_bytes - bytes;
    *taken = lm->bytes;
    if (fits)
        lm->bytes += bytes;
    if (lm->bytes > lm->peak)
        lm->peak = lm->bytes;
    pthread_mutex_unlock(&lm->lock);
    return fits;
}

vt_status vt_cpu_reserve(struct vt_cpu *lm, uint64_t bytes, const char *what, vt_err *err)
{
    uint64_t taken;
    if (reserve(lm, bytes, &taken))
        return VT_OK;
    vt_cpu_pages_drop(lm);
    if (reserve(lm, bytes, &taken))
        return VT_OK;
    return vt_fail(err, VT_ENOMEM,
                   "%s need %.1f MB, but %.1f of %.1f MB are taken; raise the memory limit or ask for less", what,
                   (double)bytes / 1e6, (double)taken / 1e6, (double)lm->max_bytes / 1e6);
}

void vt_cpu_release(struct vt_cpu *lm, uint64_t bytes)
{
    pthread_mutex_lock(&lm->lock);
    lm->bytes -= bytes;
    pthread_mutex_unlock(&lm->lock);
}

void vt_cpu_keep(struct vt_cpu *lm, enum vt_cpu_kept what, uint64_t gained, uint64_t lost)
{
    pthread_mutex_lock(&lm->lock);
    lm->kept[what] = lm->kept[what] + gained - lost;
    pthread_mutex_unlock(&lm->lock);
}

vt_status vt_cpu_take(struct vt_cpu *lm, size_t bytes, const char *what, void **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(vt_cpu_reserve(lm, bytes, what, err));
    void *p = bytes >= MANY_HUGE_PAGES ? take_huge(bytes) : vt_alloc_aligned(64, bytes ? bytes : 64);
    if (!p) {
        vt_cpu_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "the system refused %.1f MB for %s", (double)bytes / 1e6, what);
    }
    *out = p;
    return VT_OK;
}

vt_status vt_cpu_take_zeroed(struct vt_cpu *lm, size_t bytes, const char *what, void **out, vt_err *err)
{
    VT_TRY(vt_cpu_take(lm, bytes, what, out, err));
    memset(*out, 0, bytes);
    return VT_OK;
}

void vt_cpu_give(struct vt_cpu *lm, void *p, size_t bytes)
{
    if (!p)
        return;
    free(p);
    vt_cpu_release(lm, bytes);
}

static size_t page_size(const struct vt_cpu *lm)
{
    return lm->block_bytes * (size_t)lm->cfg.n_layers;
}

/* Decode reads a little of every page in every layer, so a page's memory comes in huge pages where it fills them:
 * measured, decode of 64 samples is faster so. */
static vt_status take_page(struct vt_cpu *lm, void **out, vt_err *err)
{
    const size_t bytes = page_size(lm);
    *out = NULL;
    VT_TRY(vt_cpu_reserve(lm, bytes, "KV pages", err));
    void *p = take_huge(bytes);
    if (!p) {
        vt_cpu_release(lm, bytes);
        return vt_fail(err, VT_ENOMEM, "the system refused %.1f MB for a KV page", (double)bytes / 1e6);
    }
    memset(p, 0, bytes);
    *out = p;
    return VT_OK;
}

vt_status vt_cpu_page_new(struct vt_cpu *lm, struct vt_cpu_page **out, vt_err *err)
{
    pthread_mutex_lock(&lm->lock);
    struct vt_cpu_page *p = lm->free_pages;
    if (p)
        lm->free_pages = p->next;
    pthread_mutex_unlock(&lm->lock);
    if (!p) {
        void *data;
        VT_TRY(take_page(lm, &data, err));
        p = vt_alloc(sizeof *p);
        if (!p) {
            vt_cpu_give(lm, data, page_size(lm));
            return vt_fail(err, VT_ENOMEM, "out of memory for the record of a KV page");
        }
        p->data = data;
    }
    p->next = NULL;
    *out = p;
    return VT_OK;
}

void vt_cpu_page_free(struct vt_cpu *lm, struct vt_cpu_page *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&lm->lock);
    p->next = lm->free_pages;
    lm->free_pages = p;
    pthread_mutex_unlock(&lm->lock);
}

void vt_cpu_pages_drop(struct vt_cpu *lm)
{
    pthread_mutex_lock(&lm->lock);
    struct vt_cpu_page *p = lm->free_pages;
    lm->free_pages = NULL;
    pthread_mutex_unlock(&lm->lock);
    while (p) {
        struct vt_cpu_page *next = p->next;
        vt_cpu_give(lm, p->data, page_size(lm));
        free(p);
        p = next;
    }
}
