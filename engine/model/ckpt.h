/* SPDX-License-Identifier: Apache-2.0
 *
 * ckpt.h: what a checkpoint is, whatever file it came from. A GGUF file or a Hugging Face folder (safetensors, shards)
 * is opened as one vt_ckpt: a config, a set of named tensors (Hugging Face names and row order) and a tokenizer. Bytes
 * stay mmapped and are dequantised a row at a time; a weight's value is defined here, once:
 * Q4_0 d*(q-8); Q4_1 d*q+m; Q8_0 d*q; Q4_K d*sc*q - dmin*m; Q6_K d*sc*q; each product and sum rounded to fp32
 * separately, no fused multiply-add (goldens: shared/goldens/smollm2_gguf.md).
 *
 * Ownership: the checkpoint owns everything it returns. It is immutable after open and may be read by many threads.
 */
#ifndef VT_MODEL_CKPT_H
#define VT_MODEL_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

enum vt_dtype { VT_F32, VT_F16, VT_BF16, VT_Q8_0, VT_Q4_0, VT_Q4_1, VT_Q4_K, VT_Q6_K };
enum vt_arch { VT_ARCH_LLAMA, VT_ARCH_QWEN2, VT_ARCH_QWEN3 };

struct vt_lm_config {
    enum vt_arch arch;
    int n_layers, d_model, d_ff, n_heads, n_kv_heads, head_dim, n_vocab, n_ctx;
    float rms_eps, rope_theta;
    /* Llama-3 rope scaling; factor 0 = none. */
    float rope_factor, rope_low, rope_high;
    int rope_orig_ctx;
    bool tied;     /* unembedding is the embedding */
    bool qkv_bias; /* Qwen2 */
    bool qk_norm;  /* Qwen3: RMSNorm over each head of q and k, before rope */
};

struct vt_tensor {
    const char *name; /* "model.layers.3.self_attn.q_proj.weight" */
    enum vt_dtype dtype;
    int n_dims;
    int64_t shape[4];  /* row-major, as in Hugging Face: {out, in} */
    const void *data;  /* first byte in the file, file row order */
    size_t row_bytes;  /* bytes of one row (last dimension) */
    int permute_heads; /* > 0: rows are in llama.cpp's rope order for this many heads; vt_tensor_row undoes it */
};

typedef struct vt_ckpt vt_ckpt;
typedef struct vt_tokenizer vt_tokenizer;

/* path: a .gguf file, a .safetensors file or .safetensors.index.json beside config.json (that file is loaded, whatever
 * else the folder has), or a folder with config.json. Every offset, count and size in the file is checked against the
 * file's length; a tensor that is missing or of the wrong shape for the config is EFORMAT naming it. */
vt_status vt_ckpt_open(const char *path, vt_ckpt **out, vt_err *err) VT_MUST_USE;
void vt_ckpt_free(vt_ckpt *c);
const struct vt_lm_config *vt_ckpt_config(const vt_ckpt *c);
const struct vt_tensor *vt_ckpt_tensor(const vt_ckpt *c, const char *name); /* NULL when absent */
size_t vt_ckpt_n_tensors(const vt_ckpt *c);
const struct vt_tensor *vt_ckpt_tensor_at(const vt_ckpt *c, size_t i);
const vt_tokenizer *vt_ckpt_tokenizer(const vt_ckpt *c); /* NULL when the files carry none */
const char *vt_ckpt_chat_template(const vt_ckpt *c);     /* Jinja text as stored, or "" */
const char *vt_ckpt_name(const vt_ckpt *c);              /* general.name, or the folder's name */
/* What the model is: SHA-256 of a GGUF file; of a folder, of its config's values and its weight files. Lower-case hex;
 * hashes are cached by the file's identity (ckpt_digest.c). EIO when a file was changed since it was opened. */
vt_status vt_ckpt_digest(const vt_ckpt *c, char out[65], vt_err *err) VT_MUST_USE;
vt_status vt_ckpt_unchanged(const vt_ckpt *c, vt_err *err) VT_MUST_USE; /* EIO when a weight file was changed since */
vt_status vt_file_digest(const char *path, char out[65], vt_err *err) VT_MUST_USE; /* of any one file, cached alike */

const char *vt_dtype_name(enum vt_dtype t);
/* Dequantises row i (Hugging Face order) into out[shape[n_dims-1]]. */
void vt_tensor_row(const struct vt_tensor *t, int64_t i, float *out);
/* Raw bytes of row i (Hugging Face order), row_bytes long: for packers that keep codes. */
const void *vt_tensor_raw_row(const struct vt_tensor *t, int64_t i);
/* EFORMAT naming tensor and row when a value is NaN or infinite. */
vt_status vt_tensor_check_finite(const struct vt_tensor *t, vt_err *err) VT_MUST_USE;

float vt_f16_to_f32(uint16_t h);
float vt_bf16_to_f32(uint16_t b);
uint16_t vt_f32_to_bf16(float f); /* round to nearest even; NaN stays NaN */

#endif
