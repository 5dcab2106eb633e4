/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_back_weights.c: the frozen weights once more, transposed, for dX = dY W. They are packed from the checkpoint at
 * the first backward, tensor by tensor in parallel, and kept. The unembedding is cut into the head's vocabulary
 * chunks. In FAST mode they are rounded to bf16: a block scale of the 4-bit form runs along the other dimension.
 */
#include "cpu/lm_train.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const linear_names[VT_N_LINEAR] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                      "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                      "mlp.down_proj"};

struct item {
    const struct vt_tensor *t;
    int row0, row1;
    size_t at;
    struct vt_matrix *out;
};

struct packing {
    enum vt_layout layout;
    unsigned char *memory;
    struct item *items;
    int n_items;
    atomic_int next;
    vt_err *errs;
};

static enum vt_layout layout_of(const struct vt_cpu *lm)
{
    return lm->prec == VT_LM_F32 ? VT_LAYOUT_F32 : VT_LAYOUT_BF16;
}

static size_t pad(size_t n)
{
    return (n + 63) / 64 * 64;
}

uint64_t vt_cpu_back_bytes(const struct vt_cpu *lm)
{
    size_t bytes = 0;
    for (int t = 0; t < VT_N_LINEAR; t++) {
        int d_out, d_in;
        vt_adapter_dims(&lm->cfg, (enum vt_target)t, &d_out, &d_in);
        bytes += pad(vt_matrix_bytes(layout_of(lm), d_in, d_out)) * (size_t)lm->cfg.n_layers;
    }
    return bytes + pad(vt_matrix_bytes(layout_of(lm), lm->cfg.d_model, VT_HEAD_CHUNK)) * (size_t)vt_cpu_head_chunks(lm);
}

/* The file's pages have been read for this once; the system may have them back. They are mapped read-only, so whoever
 * reads them again gets them again. */
static void drop_pages(const struct item *it)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), data = (uintptr_t)it->t->data,
                    begin = (data + (size_t)it->row0 * it->t->row_bytes + page - 1) / page * page,
                    end = (data + (size_t)it->row1 * it->t->row_bytes) / page * page;
    if (begin < end)
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

static void pack_share(void *arg, int thread, int n_threads)
{
    struct packing *p = arg;
    (void)n_threads;
    for (;;) {
        const int i = atomic_fetch_add(&p->next, 1);
        if (i >= p->n_items)
            return;
        const struct item *it = &p->items[i];
        if (vt_matrix_pack_transposed(it->t, p->layout, it->row0, it->row1, p->memory + it->at, it->out,
                                      &p->errs[thread]) != VT_OK)
            return;
        drop_pages(it);
    }
}

static void list_items(const struct vt_cpu *lm, struct vt_cpu_back *back, struct packing *p)
{
    char name[128];
    size_t at = 0;
    for (int l = 0; l < lm->cfg.n_layers; l++) {
        for (int t = 0; t < VT_N_LINEAR; t++) {
            int d_out, d_in;
            vt_adapter_dims(&lm->cfg, (enum vt_target)t, &d_out, &d_in);
            (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, linear_names[t]);
            p->items[p->n_items++] =
                (struct item){vt_ckpt_tensor(lm->ckpt, name), 0, d_out, at, &back->w[l * VT_N_LINEAR + t]};
            at += pad(vt_matrix_bytes(p->layout, d_in, d_out));
        }
    }
    const struct vt_tensor *head =
        vt_ckpt_tensor(lm->ckpt, lm->cfg.tied ? "model.embed_tokens.weight" : "lm_head.weight");
    for (int c = 0; c < vt_cpu_head_chunks(lm); c++) {
        const int end = (c + 1) * VT_HEAD_CHUNK < lm->cfg.n_vocab ? (c + 1) * VT_HEAD_CHUNK : lm->cfg.n_vocab;
        p->items[p->n_items++] = (struct item){head, c * VT_HEAD_CHUNK, end, at, &back->head[c]};
        at += pad(vt_matrix_bytes(p->layout, lm->cfg.d_model, VT_HEAD_CHUNK));
    }
}

static void free_back(struct vt_cpu *lm, struct vt_cpu_back *b)
{
    vt_cpu_give(lm, b->memory, b->bytes);
    free(b->w);
    free(b->head);
    free(b);
}

static vt_status fill_back(struct vt_cpu *lm, struct vt_cpu_back *b, struct packing *p, vt_err *err)
{
    const size_t bytes = (size_t)vt_cpu_back_bytes(lm);
    void *memory;
    if (!b->w || !b->head || !p->items || !p->errs)
        return vt_fail(err, VT_ENOMEM, "out of memory for the backward's weights");
    VT_TRY(vt_cpu_take_zeroed(lm, bytes, "the weights' transposed form for training", &memory, err));
    b->bytes = bytes;
    b->memory = p->memory = memory;
    list_items(lm, b, p);
    vt_pool_run(lm->pool, pack_share, p);
    for (int i = 0; i < lm->n_threads; i++) {
        if (p->errs[i].code == VT_OK)
            continue;
        if (err)
            *err = p->errs[i];
        return p->errs[i].code;
    }
    return VT_OK;
}

vt_status vt_cpu_back_ensure(struct vt_cpu *lm, vt_err *err)
{
    const size_t n_linear = (size_t)lm->cfg.n_layers * VT_N_LINEAR, n_chunks = (size_t)vt_cpu_head_chunks(lm);
    if (lm->back)
        return VT_OK;
    struct vt_cpu_back *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "out of memory for the backward's weights");
    b->w = vt_alloc_array(n_linear, sizeof *b->w);
    b->head = vt_alloc_array(n_chunks, sizeof *b->head);
    struct packing p = {.layout = layout_of(lm),
                        .items = vt_alloc_array(n_linear + n_chunks, sizeof(struct item)),
                        .errs = vt_alloc_array((size_t)lm->n_threads, sizeof(vt_err))};
    vt_status status = fill_back(lm, b, &p, err);
    free(p.items);
    free(p.errs);
    if (status != VT_OK) {
        free_back(lm, b);
        return status;
    }
    lm->back = b;
    vt_cpu_keep(lm, VT_CPU_BACK, b->bytes, 0);
    return VT_OK;
}

void vt_cpu_back_free(struct vt_cpu *lm)
{
    struct vt_cpu_back *b = lm->back;
    if (!b)
        return;
    lm->back = NULL;
    vt_cpu_keep(lm, VT_CPU_BACK, 0, b->bytes);
    free_back(lm, b);
}
