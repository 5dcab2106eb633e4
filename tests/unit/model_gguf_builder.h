/* SPDX-License-Identifier: Apache-2.0
 *
 * model_gguf_builder.h: small GGUF models built byte by byte: begin, config, tokenizer, tensors, end. Include after
 * model/gguf.h and model_common.h.
 */
#ifndef VT_TEST_MODEL_GGUF_BUILDER_H
#define VT_TEST_MODEL_GGUF_BUILDER_H

enum { D = 8, FF = 12, HEADS = 2, KV = 1, HD = 4, VOCAB = 5, MAX_TENSORS = 64 };

struct builder {
    struct vt_buf kv, directory, data;
    uint64_t n_kv, n_tensors;
};

static inline void put_int(struct vt_buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vt_buf_putc(b, (char)(v >> (8 * i) & 0xff));
}

static inline void put_str(struct vt_buf *b, const char *s)
{
    put_int(b, strlen(s), 8);
    vt_buf_puts(b, s);
}

static inline void kv_u32(struct builder *b, const char *key, uint32_t v)
{
    put_str(&b->kv, key);
    put_int(&b->kv, VT_GGUF_U32, 4);
    put_int(&b->kv, v, 4);
    b->n_kv++;
}

static inline void kv_f32(struct builder *b, const char *key, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put_str(&b->kv, key);
    put_int(&b->kv, VT_GGUF_F32, 4);
    put_int(&b->kv, bits, 4);
    b->n_kv++;
}

static inline void kv_str(struct builder *b, const char *key, const char *v)
{
    put_str(&b->kv, key);
    put_int(&b->kv, VT_GGUF_STRING, 4);
    put_str(&b->kv, v);
    b->n_kv++;
}

static inline void kv_strings(struct builder *b, const char *key, const char *const *v, size_t n)
{
    put_str(&b->kv, key);
    put_int(&b->kv, VT_GGUF_ARRAY, 4);
    put_int(&b->kv, VT_GGUF_STRING, 4);
    put_int(&b->kv, n, 8);
    for (size_t i = 0; i < n; i++)
        put_str(&b->kv, v[i]);
    b->n_kv++;
}

/* An F32 tensor of small numbers; cols 0: one dimension. values NULL: 0, 1, 2 … */
static inline void tensor(struct builder *b, const char *name, uint64_t rows, uint64_t cols, const float *values)
{
    put_str(&b->directory, name);
    put_int(&b->directory, cols ? 2 : 1, 4);
    if (cols)
        put_int(&b->directory, cols, 8);
    put_int(&b->directory, rows, 8);
    put_int(&b->directory, 0, 4);
    while (b->data.len % 32)
        vt_buf_putc(&b->data, 0);
    put_int(&b->directory, b->data.len, 8);
    for (uint64_t i = 0; i < rows * (cols ? cols : 1); i++) {
        float f = values ? values[i] : (float)i;
        vt_buf_add(&b->data, &f, sizeof f);
    }
    b->n_tensors++;
}

static inline void layer_tensor(struct builder *b, int layer, const char *suffix, uint64_t rows, uint64_t cols)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%d.%s", layer, suffix);
    tensor(b, name, rows, cols, NULL);
}

static inline void arch_u32(struct builder *b, const char *arch, const char *key, uint32_t v)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    kv_u32(b, full, v);
}

static inline void begin(struct builder *b)
{
    vt_buf_init(&b->kv, 1 << 20);
    vt_buf_init(&b->directory, 1 << 20);
    vt_buf_init(&b->data, 1 << 20);
    b->n_kv = b->n_tensors = 0;
}

static inline void config(struct builder *b, const char *arch)
{
    char eps[64];
    kv_str(b, "general.architecture", arch);
    arch_u32(b, arch, "block_count", 2);
    arch_u32(b, arch, "embedding_length", D);
    arch_u32(b, arch, "feed_forward_length", FF);
    arch_u32(b, arch, "attention.head_count", HEADS);
    arch_u32(b, arch, "attention.head_count_kv", KV);
    arch_u32(b, arch, "context_length", 64);
    snprintf(eps, sizeof eps, "%s.attention.layer_norm_rms_epsilon", arch);
    kv_f32(b, eps, 1e-5f);
}

static inline void tokenizer(struct builder *b)
{
    static const char *const tokens[] = {"a", "b", "ab", "\xc4\xa0", "<|end|>"}, *const merges[] = {"a b"};
    kv_str(b, "tokenizer.ggml.model", "gpt2");
    kv_str(b, "tokenizer.ggml.pre", "smollm");
    kv_strings(b, "tokenizer.ggml.tokens", tokens, 5);
    kv_strings(b, "tokenizer.ggml.merges", merges, 1);
    kv_u32(b, "tokenizer.ggml.eos_token_id", 4);
}

static inline void tensors(struct builder *b, bool bias, bool norm, bool untied)
{
    tensor(b, "token_embd.weight", VOCAB, D, NULL);
    tensor(b, "output_norm.weight", D, 0, NULL);
    if (untied)
        tensor(b, "output.weight", VOCAB, D, NULL);
    for (int l = 0; l < 2; l++) {
        layer_tensor(b, l, "attn_norm.weight", D, 0);
        layer_tensor(b, l, "ffn_norm.weight", D, 0);
        layer_tensor(b, l, "attn_q.weight", HEADS * HD, D);
        layer_tensor(b, l, "attn_k.weight", KV * HD, D);
        layer_tensor(b, l, "attn_v.weight", KV * HD, D);
        layer_tensor(b, l, "attn_output.weight", D, HEADS * HD);
        layer_tensor(b, l, "ffn_gate.weight", FF, D);
        layer_tensor(b, l, "ffn_up.weight", FF, D);
        layer_tensor(b, l, "ffn_down.weight", D, FF);
        if (bias) {
            layer_tensor(b, l, "attn_q.bias", HEADS * HD, 0);
            layer_tensor(b, l, "attn_k.bias", KV * HD, 0);
            layer_tensor(b, l, "attn_v.bias", KV * HD, 0);
        }
        if (norm) {
            layer_tensor(b, l, "attn_q_norm.weight", HD, 0);
            layer_tensor(b, l, "attn_k_norm.weight", HD, 0);
        }
    }
}

/* The file's bytes in *out; *header gets their number before the data. The builder is freed. */
static inline void end(struct builder *b, struct vt_buf *out, size_t *header)
{
    vt_buf_init(out, 1 << 22);
    vt_buf_puts(out, "GGUF");
    put_int(out, 3, 4);
    put_int(out, b->n_tensors, 8);
    put_int(out, b->n_kv, 8);
    vt_buf_add(out, b->kv.p, b->kv.len);
    vt_buf_add(out, b->directory.p, b->directory.len);
    while (out->len % 32)
        vt_buf_putc(out, 0);
    *header = out->len;
    vt_buf_add(out, b->data.p, b->data.len);
    vt_buf_free(&b->kv);
    vt_buf_free(&b->directory);
    vt_buf_free(&b->data);
}

#endif
