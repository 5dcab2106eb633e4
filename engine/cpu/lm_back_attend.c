/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_back_attend.c: gradient of causal attention with a prompt shared by its completions.
 *
 * An item is one kv head of one prompt, either the prompt's own rows or a fixed set of its completions. Within an item
 * query rows come in order, tile by tile, against the prompt's keys and then the span's own keys. Gradients of a span's
 * own keys and of all queries have one writer. The prompt's keys gather from every set: each set adds into its own
 * buffer, and the buffers are then added to the prompt's rows in set order. Sets depend on the batch alone, so any
 * number of threads gives the same bits.
 */
#include "cpu/lm_train.h"

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int n_sets(const struct vt_cpu_backward *w, int prompt)
{
    return least(w->tape->spans[prompt].n_spans, VT_KEY_SETS);
}

/* Floats of one kv head and set: dk, then dv. */
static size_t set_floats(const struct vt_cpu *lm, int n_prompt)
{
    return 2 * (size_t)n_prompt * (size_t)lm->cfg.head_dim;
}

size_t vt_cpu_key_floats(const struct vt_cpu *lm, int n_prompt, int n_rows)
{
    return (size_t)lm->cfg.n_kv_heads * (size_t)least(n_rows, VT_KEY_SETS) * set_floats(lm, n_prompt);
}

struct tile {
    struct vt_cpu_backward *w;
    struct vt_cpu_back_bufs *bb;
    int head;
    int row0, n_rows; /* query tokens */
};

static float *set_keys(const struct vt_cpu_backward *w, int batch, int head, int set)
{
    const int n_prompt = w->tape->door->prompts[batch].n;
    return w->keys + w->keys_at[batch] + (size_t)(head * n_sets(w, batch) + set) * set_floats(w->lm, n_prompt);
}

static void load_tile(const struct tile *t)
{
    const struct vt_cpu *lm = t->w->lm;
    const size_t g = (size_t)lm->group_heads, hd = (size_t)lm->cfg.head_dim, width = g * hd;
    for (int i = 0; i < t->n_rows; i++) {
        const size_t row = (size_t)(t->row0 + i), first = (size_t)t->head * g;
        memcpy(t->bb->q + (size_t)i * width, t->w->qkv + row * (size_t)lm->qkv_dim + first * hd, width * sizeof(float));
        memcpy(t->bb->d_out + (size_t)i * width, t->w->d_qkv + row * (size_t)lm->qkv_dim + first * hd,
               width * sizeof(float));
        memcpy(t->bb->lse + (size_t)i * g, t->w->lse + row * (size_t)lm->cfg.n_heads + first, g * sizeof(float));
        memcpy(t->bb->delta + (size_t)i * g, t->w->delta + row * (size_t)lm->cfg.n_heads + first, g * sizeof(float));
    }
    memset(t->bb->dq, 0, (size_t)t->n_rows * width * sizeof(float));
}

static void store_tile(const struct tile *t)
{
    const struct vt_cpu *lm = t->w->lm;
    const size_t g = (size_t)lm->group_heads, hd = (size_t)lm->cfg.head_dim, width = g * hd;
    for (int i = 0; i < t->n_rows; i++)
        memcpy(t->w->d_qkv + (size_t)(t->row0 + i) * (size_t)lm->qkv_dim + (size_t)t->head * width,
               t->bb->dq + (size_t)i * width, width * sizeof(float));
}

/* The tile's rows against nk keys that start at pass row key_row. Row i sees visible0 + i * is_causal of them. */
static void attend_keys(const struct tile *t, int key_row, int nk, int visible0, bool is_causal, float *dk, float *dv,
                        size_t ld)
{
    const struct vt_cpu *lm = t->w->lm;
    const int g = lm->group_heads, hd = lm->cfg.head_dim;
    const float *keys = t->w->qkv + (size_t)key_row * (size_t)lm->qkv_dim + (size_t)lm->q_dim + (size_t)(t->head * hd);
    for (int i = 0; i < t->n_rows; i++) {
        int n = is_causal ? visible0 + i : nk;
        n = n < 0 ? 0 : least(n, nk);
        for (int j = 0; j < g; j++)
            t->bb->visible[i * g + j] = n;
    }
    lm->k->attend_backward(lm->prec, hd, t->n_rows * g, nk, t->bb->q, t->bb->d_out, t->bb->lse, t->bb->delta,
                           t->bb->visible, keys, (size_t)lm->qkv_dim, keys + lm->kv_dim, (size_t)lm->qkv_dim, t->bb->dq,
                           dk, dv, ld);
}

/* Rows [row0, row0 + n) of one sequence. prompt_n keys from prompt_row on, all visible, gather into `shared`; own keys
 * start at own_row and are causal. */
static void back_rows(struct vt_cpu_backward *w, struct vt_cpu_back_bufs *bb, int head, int row0, int n, int prompt_row,
                      int prompt_n, float *shared)
{
    const struct vt_cpu *lm = w->lm;
    const int hd = lm->cfg.head_dim, most = VT_BACK_QUERIES / lm->group_heads;
    const int step = most < 1 ? 1 : most;
    for (int at = 0; at < n; at += step) {
        struct tile t = {.w = w, .bb = bb, .head = head, .row0 = row0 + at, .n_rows = least(step, n - at)};
        load_tile(&t);
        for (int k = 0; k < prompt_n; k += VT_PAGE_KEYS) {
            float *dk = shared + (size_t)k * (size_t)hd, *dv = dk + (size_t)prompt_n * (size_t)hd;
            attend_keys(&t, prompt_row + k, least(VT_PAGE_KEYS, prompt_n - k), 0, false, dk, dv, (size_t)hd);
        }
        for (int k = 0; k < at + t.n_rows; k += VT_PAGE_KEYS) {
            float *dk = w->d_qkv + (size_t)(row0 + k) * (size_t)lm->qkv_dim + (size_t)lm->q_dim + (size_t)(head * hd);
            attend_keys(&t, row0 + k, least(VT_PAGE_KEYS, n - k), at + 1 - k, true, dk, dk + lm->kv_dim,
                        (size_t)lm->qkv_dim);
        }
        store_tile(&t);
    }
}

/* Item `item` counts (batch, kv head, part), part 0 = the prompt's rows, 1.. = its sets; false when there is none. */
static bool run_item(struct vt_cpu_backward *w, struct vt_cpu_back_bufs *bb, int item)
{
    const vt_lm_tape *d = w->tape->door;
    const int n_heads = w->lm->cfg.n_kv_heads;
    for (int i = 0; i < d->n_prompts; i++) {
        const struct vt_lm_tape_prompt *p = &d->prompts[i];
        const struct vt_cpu_tape_spans *of = &w->tape->spans[i];
        const int parts = 1 + n_sets(w, i);
        if (item >= n_heads * parts) {
            item -= n_heads * parts;
            continue;
        }
        const int part = item / n_heads, head = item % n_heads;
        if (part == 0) {
            back_rows(w, bb, head, p->row0, p->n, 0, 0, NULL);
            return true;
        }
        int s0, s1;
        float *shared = set_keys(w, i, head, part - 1);
        memset(shared, 0, set_floats(w->lm, p->n) * sizeof *shared);
        vt_range_split(of->n_spans, 1, part - 1, n_sets(w, i), &s0, &s1);
        for (int s = of->span0 + s0; s < of->span0 + s1; s++)
            back_rows(w, bb, head, w->pass.spans[s].row0, w->pass.spans[s].n, p->row0, p->n, shared);
        return true;
    }
    return false;
}

/* The sets' gradients of a prompt's keys, added to the prompt's rows in set order. */
static void gather_keys(struct vt_cpu_backward *w, int batch, int thread, int n_threads)
{
    const struct vt_cpu *lm = w->lm;
    const struct vt_lm_tape_prompt *p = &w->tape->door->prompts[batch];
    const int hd = lm->cfg.head_dim;
    int r0, r1;
    vt_range_split(p->n, 1, thread, n_threads, &r0, &r1);
    for (int head = 0; head < lm->cfg.n_kv_heads; head++) {
        for (int set = 0; set < n_sets(w, batch); set++) {
            const float *dk = set_keys(w, batch, head, set), *dv = dk + (size_t)p->n * (size_t)hd;
            for (int r = r0; r < r1; r++) {
                float *row =
                    w->d_qkv + (size_t)(p->row0 + r) * (size_t)lm->qkv_dim + (size_t)lm->q_dim + (size_t)(head * hd);
                lm->k->add(hd, dk + (size_t)r * (size_t)hd, row);
                lm->k->add(hd, dv + (size_t)r * (size_t)hd, row + lm->kv_dim);
            }
        }
    }
}

void vt_cpu_back_attend(struct vt_cpu_backward *w, int thread, int n_threads)
{
    struct vt_cpu *lm = w->lm;
    int a, b;
    vt_range_split(w->n_rows, 1, thread, n_threads, &a, &b);
    for (int r = a; r < b; r++) /* keys and values gather; queries are written once */
        memset(w->d_qkv + (size_t)r * (size_t)lm->qkv_dim + (size_t)lm->q_dim, 0,
               2 * (size_t)lm->kv_dim * sizeof(float));
    vt_pool_barrier(lm->pool, thread);
    while (run_item(w, &w->bufs[thread], atomic_fetch_add(&w->next[1], 1)))
        continue;
    vt_pool_barrier(lm->pool, thread);
    for (int i = 0; i < w->tape->door->n_prompts; i++)
        gather_keys(w, i, thread, n_threads);
}
