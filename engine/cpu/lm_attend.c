/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_attend.c: causal attention of some rows of a pass over the pages of their sequences.
 *
 * A row visits its sequence's 64-key blocks in the order of their absolute index and merges them by online softmax, so
 * its bits do not depend on who else is in the batch. Rows of a family meet the blocks of their shared prompt in one
 * call (the heads that share a kv head count as rows too: grouped-query attention), then each span its own blocks.
 * This is cascade attention without a second merge: the state (m, l, acc) simply travels on.
 */
#include "cpu/lm_parts.h"
#include <math.h>

struct walk {
    const struct vt_cpu_pass *p;
    struct vt_cpu_bufs *b;
    int r0, r1, head;
};

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static const unsigned char *page_of(const struct walk *w, const struct vt_cpu_block *block)
{
    return block->data + (size_t)w->p->layer * block->layer_stride + (size_t)w->head * w->p->lm->page_bytes;
}

/* Rows [ra, rb) against one block; b->visible is filled for them. next is visited after it. */
static void attend_block(const struct walk *w, const struct vt_cpu_block *block, const struct vt_cpu_block *next,
                         int ra, int rb)
{
    const struct vt_cpu_pass *p = w->p;
    const struct vt_cpu *lm = p->lm;
    const int g = lm->group_heads, at = (ra - w->r0) * g;
    const unsigned char *q =
        p->query + (((size_t)w->head * (size_t)p->n_rows + (size_t)ra) * (size_t)g) * vt_query_bytes(lm->cfg.head_dim);
    lm->k->attend(lm->prec, page_of(w, block), page_of(w, next), lm->cfg.head_dim, (rb - ra) * g, q, w->b->visible,
                  w->b->m + at, w->b->l + at, w->b->acc + (size_t)at * (size_t)lm->cfg.head_dim);
}

static void attend_shared(const struct walk *w, const struct vt_cpu_family *f)
{
    const int ra = max_int(f->row0, w->r0), rb = min_int(f->row1, w->r1);
    if (ra >= rb || f->n_shared == 0)
        return;
    for (int i = 0; i < (rb - ra) * w->p->lm->group_heads; i++)
        w->b->visible[i] = VT_PAGE_KEYS;
    for (int block = 0; block < f->n_shared; block++)
        attend_block(w, &f->blocks[block], &f->blocks[block + 1 < f->n_shared ? block + 1 : block], ra, rb);
}

/* next: the first block of the span that comes after s. */
static void attend_own(const struct walk *w, const struct vt_cpu_span *s, const struct vt_cpu_block *next)
{
    const int g = w->p->lm->group_heads;
    const int ra = max_int(s->row0, w->r0), rb = min_int(s->row0 + s->n, w->r1);
    const int last = s->pos0 + (rb - 1 - s->row0);
    for (int block = s->n_shared; block <= last / VT_PAGE_KEYS; block++) {
        const int first_pos = block * VT_PAGE_KEYS;
        const int from = max_int(ra, s->row0 + first_pos - s->pos0); /* earlier rows see nothing of this block */
        int *visible = w->b->visible;
        for (int r = from; r < rb; r++) {
            int n = min_int(VT_PAGE_KEYS, s->pos0 + (r - s->row0) + 1 - first_pos);
            for (int j = 0; j < g; j++)
                *visible++ = n;
        }
        attend_block(w, &s->blocks[block], block < last / VT_PAGE_KEYS ? &s->blocks[block + 1] : next, from, rb);
    }
}

static void finish(const struct walk *w, float *out, float *lse)
{
    const struct vt_cpu *lm = w->p->lm;
    const int g = lm->group_heads, hd = lm->cfg.head_dim;
    for (int i = 0; i < (w->r1 - w->r0) * g; i++) {
        const int row = i / g, head = w->head * g + i % g;
        float *acc = w->b->acc + (size_t)i * (size_t)hd;
        lm->k->scale(hd, 1.0f / w->b->l[i], acc);
        memcpy(out + (size_t)row * (size_t)lm->q_dim + (size_t)head * (size_t)hd, acc, (size_t)hd * sizeof *acc);
        if (lse)
            lse[(size_t)row * (size_t)lm->cfg.n_heads + (size_t)head] = w->b->m[i] + logf(w->b->l[i]);
    }
}

void vt_cpu_attend(const struct vt_cpu_pass *p, int r0, int r1, struct vt_cpu_bufs *b, float *out, float *lse)
{
    const struct vt_cpu *lm = p->lm;
    const size_t n = (size_t)(r1 - r0) * (size_t)lm->group_heads;
    if (r0 >= r1)
        return;
    for (int head = 0; head < lm->cfg.n_kv_heads; head++) {
        struct walk w = {.p = p, .b = b, .r0 = r0, .r1 = r1, .head = head};
        for (size_t i = 0; i < n; i++)
            b->m[i] = -INFINITY;
        memset(b->l, 0, n * sizeof *b->l);
        memset(b->acc, 0, n * (size_t)lm->cfg.head_dim * sizeof *b->acc);
        for (int f = 0; f < p->n_families; f++)
            attend_shared(&w, &p->families[f]);
        for (int s = p->span_of[r0], last = p->span_of[r1 - 1]; s <= last; s++) {
            const struct vt_cpu_span *after = &p->spans[s < last ? s + 1 : s];
            attend_own(&w, &p->spans[s], &after->blocks[after->n_shared]);
        }
        finish(&w, out, lse);
    }
}
