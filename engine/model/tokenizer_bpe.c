/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_bpe.c: byte-pair encoding of one piece (Sennrich, Haddow & Birch 2016), in n log n. Symbols form a linked
 * list; candidate merges wait in a binary heap ordered by (rank, position). A merge changes its neighbours, so a
 * candidate popped later may be stale: it counts only if its two symbols are still the ones it was made for. The
 * order (lowest rank first, leftmost on ties) is the published one, so ids equal Hugging Face's.
 *
 * A byte that is not in the vocabulary is dropped before merging, so its neighbours may merge across it; this is
 * what Hugging Face's BPE does without unknown token and byte fallback.
 *
 * A vt_bpe is the scratch memory of one encode call; arrays grow to the longest piece and are reused.
 */
#include "model/tokenizer_build.h"

#include "base/alloc.h"

#include <stdlib.h>

struct symbol {
    int32_t id;          /* -1: merged into its left neighbour */
    uint32_t prev, next; /* NONE at the ends */
};
struct candidate {
    int32_t rank, left, right, product;
    uint32_t at; /* index of the left symbol */
};
struct vt_bpe {
    const vt_tokenizer *t;
    struct symbol *symbols;
    struct candidate *heap;
    size_t cap; /* of symbols; the heap has room for three times as many */
    size_t n_heap;
};
#define NONE UINT32_MAX

vt_status vt_bpe_new(const vt_tokenizer *t, struct vt_bpe **out, vt_err *err)
{
    struct vt_bpe *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "out of memory for encoding text");
    b->t = t;
    *out = b;
    return VT_OK;
}

void vt_bpe_free(struct vt_bpe *b)
{
    if (!b)
        return;
    free(b->symbols);
    free(b->heap);
    free(b);
}

static vt_status reserve(struct vt_bpe *b, size_t n, vt_err *err)
{
    if (n <= b->cap)
        return VT_OK;
    size_t cap = n < 64 ? 64 : n;
    if (cap >= NONE / 4)
        return vt_fail(err, VT_ELIMIT, "cannot encode a word of %zu bytes", n);
    struct symbol *symbols = vt_realloc_array(b->symbols, cap, sizeof *symbols);
    if (symbols)
        b->symbols = symbols;
    struct candidate *heap = vt_realloc_array(b->heap, 3 * cap, sizeof *heap);
    if (heap)
        b->heap = heap;
    if (!symbols || !heap)
        return vt_fail(err, VT_ENOMEM, "out of memory encoding a word of %zu bytes", n);
    b->cap = cap;
    return VT_OK;
}

static bool is_before(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void heap_push(struct vt_bpe *b, struct candidate c)
{
    size_t i = b->n_heap++;
    while (i > 0 && is_before(&c, &b->heap[(i - 1) / 2])) {
        b->heap[i] = b->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    b->heap[i] = c;
}

static struct candidate heap_pop(struct vt_bpe *b)
{
    struct candidate top = b->heap[0], last = b->heap[--b->n_heap];
    size_t i = 0, n = b->n_heap;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && is_before(&b->heap[child + 1], &b->heap[child]))
            child++;
        if (!is_before(&b->heap[child], &last))
            break;
        b->heap[i] = b->heap[child];
        i = child;
    }
    b->heap[i] = last;
    return top;
}

/* Enters the pair whose left symbol is at. Each of the n - 1 initial pairs and two pairs per merge enter once, so
 * fewer than 3n candidates are ever pushed. */
static void push_pair(struct vt_bpe *b, uint32_t at)
{
    if (at == NONE || b->symbols[at].next == NONE)
        return;
    int32_t left = b->symbols[at].id, right = b->symbols[b->symbols[at].next].id;
    const struct vt_merge *m = vt_merge_find(b->t, left, right);
    if (m)
        heap_push(b, (struct candidate){m->rank, left, right, m->product, at});
}

static void merge_all(struct vt_bpe *b)
{
    while (b->n_heap > 0) {
        struct candidate c = heap_pop(b);
        struct symbol *left = &b->symbols[c.at];
        if (left->id != c.left || left->next == NONE || b->symbols[left->next].id != c.right)
            continue;
        struct symbol *right = &b->symbols[left->next];
        left->id = c.product;
        right->id = -1;
        left->next = right->next;
        if (left->next != NONE)
            b->symbols[left->next].prev = c.at;
        push_pair(b, left->prev);
        push_pair(b, c.at);
    }
}

vt_status vt_bpe_piece(struct vt_bpe *b, const char *p, size_t len, struct vt_ids *out, vt_err *err)
{
    if (b->t->ignore_merges) {
        int32_t whole = vt_vocab_find(b->t, p, len);
        if (whole >= 0 && b->t->kinds[whole] != VT_TOKEN_CONTROL)
            return vt_ids_push(out, whole, err);
    }
    VT_TRY(reserve(b, len, err));
    uint32_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int32_t id = b->t->byte_id[(unsigned char)p[i]];
        if (id >= 0) {
            b->symbols[n] = (struct symbol){id, n > 0 ? n - 1 : NONE, n + 1};
            n++;
        }
    }
    if (n == 0)
        return VT_OK;
    b->symbols[n - 1].next = NONE;
    b->n_heap = 0;
    for (uint32_t i = 0; i + 1 < n; i++)
        push_pair(b, i);
    merge_all(b);
    for (uint32_t i = 0; i != NONE; i = b->symbols[i].next)
        VT_TRY(vt_ids_push(out, b->symbols[i].id, err));
    return VT_OK;
}
