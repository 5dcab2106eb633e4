/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_rows.c: the arrays that describe a pass: which token, at which position, of which sequence, under which adapter.
 * They belong to the model, grow to the largest pass seen and are lent to one pass at a time, so that no pass
 * allocates. Callers add spans in an order that keeps families and adapters together.
 */
#include "cpu/lm_parts.h"
#include <stdlib.h>

struct vt_cpu_rows {
    int cap_rows, cap_spans;
    int32_t *tokens;
    int *pos, *span_of;
    struct vt_cpu_span *spans;
    struct vt_cpu_family *families;
    struct vt_cpu_run *runs;
    float *x;
    unsigned char *query;
};

static size_t x_bytes(const struct vt_cpu *lm, int n_rows)
{
    return (size_t)n_rows * (size_t)lm->cfg.d_model * sizeof(float);
}

static size_t query_bytes(const struct vt_cpu *lm, int n_rows)
{
    return (size_t)n_rows * (size_t)lm->cfg.n_heads * vt_query_bytes(lm->cfg.head_dim);
}

uint64_t vt_cpu_rows_bytes(const struct vt_cpu *lm, int n_rows)
{
    return x_bytes(lm, n_rows) + query_bytes(lm, n_rows);
}

static void drop_rows(struct vt_cpu *lm, struct vt_cpu_rows *r)
{
    vt_cpu_keep(lm, VT_CPU_ROWS, 0, vt_cpu_rows_bytes(lm, r->cap_rows));
    vt_cpu_give(lm, r->x, x_bytes(lm, r->cap_rows));
    vt_cpu_give(lm, r->query, query_bytes(lm, r->cap_rows));
    free(r->tokens);
    free(r->pos);
    free(r->span_of);
    r->x = NULL;
    r->query = NULL;
    r->tokens = r->pos = r->span_of = NULL;
    r->cap_rows = 0;
}

static vt_status grow_rows(struct vt_cpu *lm, struct vt_cpu_rows *r, int n, vt_err *err)
{
    if (n <= r->cap_rows)
        return VT_OK;
    drop_rows(lm, r);
    r->tokens = vt_alloc_array((size_t)n, sizeof *r->tokens);
    r->pos = vt_alloc_array((size_t)n, sizeof *r->pos);
    r->span_of = vt_alloc_array((size_t)n, sizeof *r->span_of);
    if (!r->tokens || !r->pos || !r->span_of)
        return vt_fail(err, VT_ENOMEM, "out of memory for a batch of %d tokens", n);
    void *x, *query;
    VT_TRY(vt_cpu_take(lm, x_bytes(lm, n), "the batch's activations", &x, err));
    vt_status status = vt_cpu_take(lm, query_bytes(lm, n), "the batch's queries", &query, err);
    if (status != VT_OK) {
        vt_cpu_give(lm, x, x_bytes(lm, n));
        return status;
    }
    r->x = x;
    r->query = query;
    r->cap_rows = n;
    vt_cpu_keep(lm, VT_CPU_ROWS, vt_cpu_rows_bytes(lm, n), 0);
    return VT_OK;
}

static vt_status grow_spans(struct vt_cpu_rows *r, int n, vt_err *err)
{
    if (n <= r->cap_spans)
        return VT_OK;
    free(r->spans);
    free(r->families);
    free(r->runs);
    r->cap_spans = 0;
    r->spans = vt_alloc_array((size_t)n, sizeof *r->spans);
    r->families = vt_alloc_array((size_t)n, sizeof *r->families);
    r->runs = vt_alloc_array((size_t)n, sizeof *r->runs);
    if (!r->spans || !r->families || !r->runs)
        return vt_fail(err, VT_ENOMEM, "out of memory for a batch of %d sequences", n);
    r->cap_spans = n;
    return VT_OK;
}

vt_status vt_cpu_rows_begin(struct vt_cpu *lm, int n_rows, int n_spans, struct vt_cpu_pass *out, vt_err *err)
{
    if (!lm->rows) {
        lm->rows = vt_alloc(sizeof *lm->rows);
        if (!lm->rows)
            return vt_fail(err, VT_ENOMEM, "out of memory for a batch");
    }
    struct vt_cpu_rows *r = lm->rows;
    VT_TRY(grow_rows(lm, r, n_rows, err));
    VT_TRY(grow_spans(r, n_spans, err));
    memset(out, 0, sizeof *out);
    out->lm = lm;
    out->tokens = r->tokens;
    out->pos = r->pos;
    out->span_of = r->span_of;
    out->spans = r->spans;
    out->families = r->families;
    out->runs = r->runs;
    out->x = r->x;
    out->query = r->query;
    return VT_OK;
}

void vt_cpu_rows_add(struct vt_cpu_pass *p, const int32_t *tokens, int n, int pos0, const struct vt_cpu_block *blocks,
                     int n_shared, const void *family, struct vt_cpu_adapter *adapter)
{
    if (n == 0)
        return;
    struct vt_cpu_family *f = p->n_families ? &p->families[p->n_families - 1] : NULL;
    struct vt_cpu_run *run = p->n_runs ? &p->runs[p->n_runs - 1] : NULL;
    const int row0 = p->n_rows;
    if (!f || !family || f->key != family) {
        f = &p->families[p->n_families++];
        *f = (struct vt_cpu_family){.key = family, .row0 = row0, .n_shared = n_shared, .blocks = blocks};
    }
    if (!run || run->adapter != adapter) {
        run = &p->runs[p->n_runs++];
        *run = (struct vt_cpu_run){.row0 = row0, .adapter = adapter};
    }
    for (int i = 0; i < n; i++) {
        p->tokens[row0 + i] = tokens[i];
        p->pos[row0 + i] = pos0 + i;
        p->span_of[row0 + i] = p->n_spans;
    }
    p->spans[p->n_spans++] =
        (struct vt_cpu_span){.row0 = row0, .n = n, .pos0 = pos0, .n_shared = n_shared, .blocks = blocks};
    p->n_rows += n;
    f->row1 = run->row1 = p->n_rows;
}

void vt_cpu_rows_prefix(struct vt_cpu_pass *p, const struct vt_cpu_block *prefix)
{
    p->spans[p->n_spans - 1].prefix = prefix;
    p->has_prefixes = true;
}

void vt_cpu_rows_tail(struct vt_cpu_pass *p, int tail_row, int n_tail)
{
    struct vt_cpu_span *s = &p->spans[p->n_spans - 1];
    s->tail_row = tail_row;
    s->n_tail = n_tail;
}

void vt_cpu_rows_free(struct vt_cpu *lm)
{
    struct vt_cpu_rows *r = lm->rows;
    if (!r)
        return;
    drop_rows(lm, r);
    free(r->spans);
    free(r->families);
    free(r->runs);
    free(r);
    lm->rows = NULL;
}
