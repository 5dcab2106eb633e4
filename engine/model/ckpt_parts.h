/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt_parts.h: the inside of a vt_ckpt, shared by ckpt.c and the two openers (ckpt_gguf.c, ckpt_hf.c). An opener
 * fills config, tensors (through vt_ckpt_add), tokenizer, name and template; ckpt.c then checks the whole.
 */
#ifndef VT_MODEL_CKPT_PARTS_H
#define VT_MODEL_CKPT_PARTS_H

#include "base/json.h"
#include "model/ckpt.h"
#include "model/gguf.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"

/* What tells one state of a file from another without reading it. */
struct vt_file_id {
    uint64_t device, inode, size;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};
struct vt_ckpt_file {
    char *path;
    struct vt_file_id id; /* when it was mapped */
};

struct vt_ckpt {
    struct vt_lm_config cfg;
    char *path;                /* as given; for messages */
    struct vt_tensor *tensors; /* sorted by name after open; names are owned */
    size_t n_tensors, cap_tensors;
    struct vt_ckpt_file *files; /* weight files in the order their digest is taken */
    size_t n_files;
    vt_tokenizer *tokenizer;
    char *chat_template, *name;
    struct vt_gguf *gguf; /* exactly one of gguf and shards holds the mapping */
    vt_st **shards;
    size_t n_shards;
};

/* One weight of the architectures vegttt knows. Dimensions by letter: d d_model, q n_heads * head_dim,
 * k n_kv_heads * head_dim, h head_dim, f d_ff, v n_vocab, 0 none. */
struct vt_weight_spec {
    const char *hf, *gguf; /* after "model.layers.N." and "blk.N." when in_layer */
    bool in_layer;
    char rows, cols;
    enum { VT_WEIGHT_ALWAYS, VT_WEIGHT_UNTIED, VT_WEIGHT_QKV_BIAS, VT_WEIGHT_QK_NORM } when;
};

/* Recognises a tensor name of a GGUF file or of a Hugging Face folder; *layer is -1 outside the layers. NULL: unknown.
 */
const struct vt_weight_spec *vt_weight_spec_of(const char *name, size_t len, bool gguf, int *layer);
vt_status vt_ckpt_reserve(vt_ckpt *c, size_t n, vt_err *err) VT_MUST_USE;
/* Appends a tensor under its Hugging Face name; t->name is ignored. Room must have been reserved. */
vt_status vt_ckpt_add(vt_ckpt *c, const struct vt_weight_spec *spec, int layer, const struct vt_tensor *t,
                      vt_err *err) VT_MUST_USE;

/* A new entry of c->files with a copy of path; NULL when there is no memory. */
struct vt_ckpt_file *vt_ckpt_add_file(vt_ckpt *c, const char *path);
/* Whether two matrices have one shape and the same values, whatever their storage. */
vt_status vt_tensor_same_values(const struct vt_tensor *a, const struct vt_tensor *b, bool *same,
                                vt_err *err) VT_MUST_USE;

/* What was added is a complete model of c->cfg; the tensors are in order of name afterwards. */
vt_status vt_ckpt_check(vt_ckpt *c, vt_err *err) VT_MUST_USE;

vt_status vt_ckpt_open_gguf(vt_ckpt *c, const char *path, vt_err *err) VT_MUST_USE;
/* named: the weight file or index in dir that the caller asked for; NULL: whatever the folder loads. */
vt_status vt_ckpt_open_hf(vt_ckpt *c, const char *dir, const char *named, vt_err *err) VT_MUST_USE;

vt_status vt_file_id_of(const char *path, struct vt_file_id *out, vt_err *err) VT_MUST_USE;
/* EIO when the file at path is no longer the one with this identity. */
vt_status vt_file_id_check(const char *path, const struct vt_file_id *id, vt_err *err) VT_MUST_USE;

/* config.json into g; what names the file. */
vt_status vt_config_read(struct vt_lm_config *g, const vt_json *config, const char *what, vt_err *err) VT_MUST_USE;
/* The ids that end a sample: generation_config.json's (NULL: no such file), else config.json's. */
vt_status vt_config_ends(const vt_json *config, const vt_json *generation, const char *config_what,
                         const char *generation_what, int n_vocab, struct vt_ids *ends, vt_err *err) VT_MUST_USE;
/* Every rotation frequency divided by factor. */
void vt_rope_linear(struct vt_lm_config *g, double factor);

#endif
