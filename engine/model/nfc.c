/* SPDX-License-Identifier: Apache-2.0
 *
 * nfc.c: normalisation form C. Decompose every code point canonically, put combining marks in order of their class,
 * then compose again with the last starter. It works on one segment at a time: from a starter up to the next code
 * point that can neither reorder nor compose across it.
 *
 * Text is cut where a code point of class 0 below U+0300 follows: nothing there ever combines with what stands before
 * it. So ASCII and Latin runs are copied, and memory is bounded by the longest run of other characters.
 * Hangul syllables are computed (Unicode 3.12), everything else is in nfc_table.c.
 */
#include "model/nfc.h"

#include "base/alloc.h"
#include "model/text.h"

#include <stdlib.h>

enum {
    S_BASE = 0xac00,
    L_BASE = 0x1100,
    V_BASE = 0x1161,
    T_BASE = 0x11a7,
    L_COUNT = 19,
    V_COUNT = 21,
    T_COUNT = 28,
    S_COUNT = L_COUNT * V_COUNT * T_COUNT,
    FIRST_MARK = 0x300 /* below it: class 0, and never the second half of a composition */
};

struct run {
    uint32_t *cp;
    unsigned char *ccc;
    size_t n, cap;
    bool failed; /* out of memory */
};

static const struct vt_nfc_pair *find_decomposition(uint32_t cp)
{
    size_t lo = 0, hi = vt_nfc_n_decompositions;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (vt_nfc_decompositions[mid].whole < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < vt_nfc_n_decompositions && vt_nfc_decompositions[lo].whole == cp ? &vt_nfc_decompositions[lo] : NULL;
}

static unsigned char class_of(uint32_t cp)
{
    size_t lo = 0, hi = vt_nfc_n_classes;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (vt_nfc_classes[mid].to < cp)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < vt_nfc_n_classes && vt_nfc_classes[lo].from <= cp ? vt_nfc_classes[lo].ccc : 0;
}

/* The character that first and second compose to, or 0. */
static uint32_t compose_pair(uint32_t first, uint32_t second)
{
    if (first - L_BASE < L_COUNT && second - V_BASE < V_COUNT)
        return S_BASE + ((first - L_BASE) * V_COUNT + (second - V_BASE)) * T_COUNT;
    if (first - S_BASE < S_COUNT && (first - S_BASE) % T_COUNT == 0 && second - T_BASE - 1 < T_COUNT - 1)
        return first + (second - T_BASE);
    uint64_t key = (uint64_t)first << 32 | second;
    size_t lo = 0, hi = vt_nfc_n_compositions;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const struct vt_nfc_pair *p = &vt_nfc_decompositions[vt_nfc_compositions[mid]];
        if (((uint64_t)p->first << 32 | p->second) < key)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == vt_nfc_n_compositions)
        return 0;
    const struct vt_nfc_pair *p = &vt_nfc_decompositions[vt_nfc_compositions[lo]];
    return p->first == first && p->second == second ? p->whole : 0;
}

static void run_add(struct run *r, uint32_t cp)
{
    if (r->n == r->cap && !r->failed) {
        size_t cap = r->cap ? 2 * r->cap : 64;
        uint32_t *grown = vt_realloc_array(r->cp, cap, sizeof *grown);
        if (grown)
            r->cp = grown;
        unsigned char *classes = vt_realloc_array(r->ccc, cap, 1);
        if (classes)
            r->ccc = classes;
        r->failed = !grown || !classes;
        if (!r->failed)
            r->cap = cap;
    }
    if (r->failed)
        return;
    r->cp[r->n] = cp;
    r->ccc[r->n++] = class_of(cp);
}

/* Canonical decompositions nest at most four deep, always in the first half. */
static void decompose(struct run *r, uint32_t cp)
{
    if (cp - S_BASE < S_COUNT) {
        uint32_t s = cp - S_BASE;
        run_add(r, L_BASE + s / (V_COUNT * T_COUNT));
        run_add(r, V_BASE + s % (V_COUNT * T_COUNT) / T_COUNT);
        if (s % T_COUNT)
            run_add(r, T_BASE + s % T_COUNT);
        return;
    }
    const struct vt_nfc_pair *d = find_decomposition(cp);
    if (!d) {
        run_add(r, cp);
        return;
    }
    decompose(r, d->first);
    if (d->second)
        decompose(r, d->second);
}

/* Stable counting sort by class of one stretch of marks: linear, where an insertion sort would be quadratic. */
static void order_marks(struct run *r, size_t from, size_t to)
{
    size_t at[257] = {0};
    for (size_t i = from; i < to; i++)
        at[r->ccc[i] + 1]++;
    for (int c = 0; c < 256; c++)
        at[c + 1] += at[c];
    uint32_t *cp = vt_alloc_array(to - from, sizeof *cp);
    unsigned char *ccc = vt_alloc_array(to - from, 1);
    if (cp && ccc) {
        for (size_t i = from; i < to; i++) {
            size_t slot = at[r->ccc[i]]++;
            cp[slot] = r->cp[i];
            ccc[slot] = r->ccc[i];
        }
        for (size_t i = from; i < to; i++) {
            r->cp[i] = cp[i - from];
            r->ccc[i] = ccc[i - from];
        }
    } else {
        r->failed = true;
    }
    free(cp);
    free(ccc);
}

static void order(struct run *r)
{
    for (size_t i = 0; i < r->n;) {
        size_t end = i + 1;
        bool sorted = true;
        if (r->ccc[i] != 0)
            for (; end < r->n && r->ccc[end] != 0; end++)
                sorted = sorted && r->ccc[end - 1] <= r->ccc[end];
        if (!sorted)
            order_marks(r, i, end);
        i = end;
    }
}

/* In place. A mark is blocked from the starter when something kept between them has its class or more, or is a starter.
 */
static void compose(struct run *r)
{
    size_t kept = 0, starter = SIZE_MAX;
    for (size_t i = 0; i < r->n; i++) {
        uint32_t cp = r->cp[i];
        unsigned char ccc = r->ccc[i];
        if (starter != SIZE_MAX) {
            bool adjacent = kept == starter + 1, open = adjacent || (r->ccc[kept - 1] != 0 && r->ccc[kept - 1] < ccc);
            uint32_t whole = open ? compose_pair(r->cp[starter], cp) : 0;
            if (whole) {
                r->cp[starter] = whole;
                continue;
            }
        }
        if (ccc == 0)
            starter = kept;
        r->cp[kept] = cp;
        r->ccc[kept++] = ccc;
    }
    r->n = kept;
}

static void flush(struct run *r, struct vt_buf *out)
{
    order(r);
    if (!r->failed)
        compose(r);
    for (size_t i = 0; i < r->n && !r->failed; i++) {
        char utf8[4];
        vt_buf_add(out, utf8, vt_utf8_put(r->cp[i], utf8));
    }
    r->n = 0;
}

bool vt_nfc_is_plain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] >= 0xcc) /* lead byte of U+0300 */
            return false;
    return true;
}

void vt_nfc(const char *text, size_t len, struct vt_buf *out)
{
    struct run r = {0};
    size_t at = 0;
    while (at < len) {
        uint32_t cp;
        size_t n = vt_utf8_next(text + at, len - at, &cp);
        if (n == 0)
            break; /* only on text that is not UTF-8, against the contract */
        if (cp < FIRST_MARK && r.n > 0)
            flush(&r, out);
        decompose(&r, cp);
        at += n;
    }
    flush(&r, out);
    if (r.failed && out->status == VT_OK)
        out->status = VT_ENOMEM;
    free(r.cp);
    free(r.ccc);
}
