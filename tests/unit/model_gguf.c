/* SPDX-License-Identifier: Apache-2.0
 *
 * model_gguf.c: GGUF files built here byte by byte: complete small models of each architecture, and every way such a
 * file can be damaged or hostile. Damage must give one sentence and never a crash (run under AddressSanitizer too).
 */
#include "model/gguf.h"

#include "harness.h"
#include "model/ckpt.h"
#include "model/tokenizer.h"
#include "model_common.h"
#include "model_gguf_builder.h"

static vt_status open_bytes(const void *bytes, size_t n, vt_ckpt **c, vt_err *err)
{
    const char *path = scratch_path("model.gguf");
    FILE *f = fopen(path, "wb");
    *c = NULL;
    *err = (vt_err){0};
    CHECK(f && fwrite(bytes, 1, n, f) == n);
    if (f)
        fclose(f);
    vt_status status = vt_ckpt_open(path, c, err);
    unlink(path);
    return status;
}

/* Ends the builder, expects this status and a sentence with these words. */
static void expect(struct builder *b, vt_status status, const char *says)
{
    struct vt_buf file;
    size_t header;
    vt_ckpt *c;
    vt_err err;
    end(b, &file, &header);
    CHECK_INT(open_bytes(file.p, file.len, &c, &err), status);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
    vt_ckpt_free(c);
    vt_buf_free(&file);
}

static void whole_llama(struct builder *b)
{
    begin(b);
    config(b, "llama");
    tokenizer(b);
    tensors(b, false, false, false);
}

static void complete_models(void)
{
    static const struct {
        const char *arch;
        enum vt_arch value;
        bool bias, norm, untied;
        int permuted;
    } rows[] = {{"llama", VT_ARCH_LLAMA, false, false, false, 2},
                {"qwen2", VT_ARCH_QWEN2, true, false, true, 0},
                {"qwen3", VT_ARCH_QWEN3, false, true, true, 0}};
    for (size_t i = 0; i < 3; i++) {
        struct builder b;
        struct vt_buf file;
        size_t header;
        vt_ckpt *c;
        vt_err err;
        begin(&b);
        config(&b, rows[i].arch);
        tensors(&b, rows[i].bias, rows[i].norm, rows[i].untied);
        end(&b, &file, &header);
        CHECK_OK(open_bytes(file.p, file.len, &c, &err), err);
        if (c) {
            const struct vt_lm_config *g = vt_ckpt_config(c);
            CHECK(g->arch == rows[i].value && g->tied == !rows[i].untied && g->qkv_bias == rows[i].bias &&
                  g->qk_norm == rows[i].norm);
            CHECK_INT(vt_ckpt_tensor(c, "model.layers.1.self_attn.q_proj.weight")->permute_heads, rows[i].permuted);
            CHECK_INT(vt_ckpt_tensor(c, "model.layers.1.self_attn.k_proj.weight")->permute_heads,
                      rows[i].permuted ? KV : 0);
            CHECK(vt_ckpt_tokenizer(c) == NULL);
            float row[D];
            vt_tensor_row(vt_ckpt_tensor(c, "model.layers.0.mlp.up_proj.weight"), 3, row);
            CHECK_NEAR(row[2], 3 * D + 2, 0);
        }
        vt_ckpt_free(c);
        vt_buf_free(&file);
    }
}

/* Divisors that transformers computes for theta 500000, head size 64, factor 32, low 1, high 4, context 8192. */
static void llama3_rope(void)
{
    static const float golden[32] = {1,  1,  1,  1,  1,          1,          1,          1,  1,  1,  1,
                                     1,  1,  1,  1,  1.6513292f, 3.2922626f, 9.6667299f, 32, 32, 32, 32,
                                     32, 32, 32, 32, 32,         32,         32,         32, 32, 32};
    for (int broken = 0; broken < 2; broken++) {
        float divisors[32];
        struct builder b;
        struct vt_buf file;
        size_t header;
        vt_ckpt *c;
        vt_err err;
        memcpy(divisors, golden, sizeof divisors);
        if (broken)
            divisors[16] = 4;
        begin(&b);
        kv_str(&b, "general.architecture", "llama");
        arch_u32(&b, "llama", "block_count", 1);
        arch_u32(&b, "llama", "embedding_length", D);
        arch_u32(&b, "llama", "feed_forward_length", FF);
        arch_u32(&b, "llama", "attention.head_count", 1);
        arch_u32(&b, "llama", "attention.key_length", 64);
        arch_u32(&b, "llama", "attention.value_length", 64);
        arch_u32(&b, "llama", "context_length", 131072);
        kv_f32(&b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
        kv_f32(&b, "llama.rope.freq_base", 500000);
        tensor(&b, "rope_freqs.weight", 32, 0, divisors);
        tensor(&b, "token_embd.weight", VOCAB, D, NULL);
        tensor(&b, "output_norm.weight", D, 0, NULL);
        layer_tensor(&b, 0, "attn_norm.weight", D, 0);
        layer_tensor(&b, 0, "ffn_norm.weight", D, 0);
        layer_tensor(&b, 0, "attn_q.weight", 64, D);
        layer_tensor(&b, 0, "attn_k.weight", 64, D);
        layer_tensor(&b, 0, "attn_v.weight", 64, D);
        layer_tensor(&b, 0, "attn_output.weight", D, 64);
        layer_tensor(&b, 0, "ffn_gate.weight", FF, D);
        layer_tensor(&b, 0, "ffn_up.weight", FF, D);
        layer_tensor(&b, 0, "ffn_down.weight", D, FF);
        if (broken) {
            expect(&b, VT_EUNSUPPORTED, "rope_freqs.weight[16]");
            continue;
        }
        end(&b, &file, &header);
        CHECK_OK(open_bytes(file.p, file.len, &c, &err), err);
        if (c) {
            const struct vt_lm_config *g = vt_ckpt_config(c);
            CHECK_NEAR(g->rope_factor, 32, 0);
            CHECK_NEAR(g->rope_low, 1, 0);
            CHECK_NEAR(g->rope_high, 4, 0);
            CHECK_INT(g->rope_orig_ctx, 8192);
            CHECK_INT(g->head_dim, 64);
        }
        vt_ckpt_free(c);
        vt_buf_free(&file);
    }
}

static void refused_models(void)
{
    struct builder b;
    begin(&b);
    expect(&b, VT_EFORMAT, "general.architecture");
    begin(&b);
    kv_str(&b, "general.architecture", "mamba");
    expect(&b, VT_EUNSUPPORTED, "mamba");
    begin(&b);
    config(&b, "llama");
    expect(&b, VT_EFORMAT, "1 to 4194304"); /* no embedding, so no vocabulary */
    begin(&b);
    config(&b, "llama");
    tensors(&b, true, false, false);
    expect(&b, VT_EUNSUPPORTED, "self_attn.k_proj.bias has no place");
    begin(&b);
    config(&b, "qwen2");
    tensors(&b, false, false, false);
    expect(&b, VT_EFORMAT, "self_attn.q_proj.bias is missing");
    whole_llama(&b);
    tensor(&b, "blk.0.attn_sinks", 4, 0, NULL);
    expect(&b, VT_EUNSUPPORTED, "blk.0.attn_sinks");
    whole_llama(&b);
    tensor(&b, "blk.2.ffn_norm.weight", D, 0, NULL);
    expect(&b, VT_EUNSUPPORTED, "model.layers.2.post_attention_layernorm.weight");
    whole_llama(&b);
    tensor(&b, "blk.1.ffn_norm.weight", D, 0, NULL);
    expect(&b, VT_EFORMAT, "appears twice");
    whole_llama(&b);
    arch_u32(&b, "llama", "expert_count", 8);
    expect(&b, VT_EUNSUPPORTED, "expert_count");
    whole_llama(&b);
    kv_str(&b, "llama.rope.scaling.type", "yarn");
    expect(&b, VT_EUNSUPPORTED, "yarn");
    whole_llama(&b);
    arch_u32(&b, "llama", "rope.dimension_count", 2);
    expect(&b, VT_EUNSUPPORTED, "rotary");
    whole_llama(&b);
    kv_u32(&b, "general.alignment", 24);
    expect(&b, VT_EFORMAT, "general.alignment is 24");
    whole_llama(&b);
    kv_u32(&b, "general.alignment", 0);
    expect(&b, VT_EFORMAT, "general.alignment is 0");
}

static void refused_tokenizers(void)
{
    static const char *const tokens[] = {"a", "b", "ab"}, *const foreign[] = {"a c"}, *const odd[] = {"ab"},
                             *const many[] = {"a", "b", "c", "d", "e", "f"};
    struct builder b;
    for (int i = 0; i < 6; i++) {
        begin(&b);
        config(&b, "llama");
        tensors(&b, false, false, false);
        kv_str(&b, "tokenizer.ggml.model", i == 0 ? "llama" : "gpt2");
        if (i != 1)
            kv_str(&b, "tokenizer.ggml.pre", i == 2 ? "klingon" : "gpt-2");
        kv_strings(&b, "tokenizer.ggml.tokens", i == 5 ? many : tokens, i == 5 ? 6 : 3);
        if (i != 4)
            kv_strings(&b, "tokenizer.ggml.merges", i == 3 ? odd : foreign, i == 5 ? 0 : 1);
        static const char *const says[] = {
            "its tokenizer is llama",   "without tokenizer.ggml.pre",       "klingon",
            "two strings with a space", "tokenizer.ggml.merges is missing", "6 tokens but the embedding only 5 rows"};
        expect(&b, i < 3 ? VT_EUNSUPPORTED : VT_EFORMAT, says[i]);
    }
    begin(&b);
    config(&b, "llama");
    tensors(&b, false, false, false);
    kv_str(&b, "tokenizer.ggml.model", "gpt2");
    kv_str(&b, "tokenizer.ggml.pre", "gpt-2");
    kv_strings(&b, "tokenizer.ggml.tokens", tokens, 3);
    kv_strings(&b, "tokenizer.ggml.merges", foreign, 1);
    expect(&b, VT_EFORMAT, "merge 0 (\"a\" and \"c\")");
}

/* Directory entries that lie: counts, shapes, types, offsets. Each row overwrites 8 (or 4) bytes at a known place. */
static void hostile_directory(void)
{
    static const struct {
        const char *what;
        size_t at; /* relative to the entry's fields after the name: 4 dims, 8 ne0, 4 type, 8 offset */
        uint64_t value;
        size_t n;
        vt_status status;
        const char *says;
    } rows[] = {
        {"zero dimensions", 0, 0, 4, VT_EFORMAT, "has 0 dimensions"},
        {"many dimensions", 0, 0xffffffffu, 4, VT_EFORMAT, "dimensions; 1 to 4"},
        {"zero rows", 4, 0, 8, VT_EFORMAT, "impossible shape"},
        {"2^63 rows", 4, 1ull << 63, 8, VT_EFORMAT, "impossible shape"},
        {"2^62 rows", 4, 1ull << 62, 8, VT_EFORMAT, "rows of"},
        {"2^40 rows", 4, 1ull << 40, 8, VT_EFORMAT, "needs 4398046511104 bytes"},
        {"unknown type", 12, 99, 4, VT_EUNSUPPORTED, "GGUF type 99"},
        {"a type of others", 12, 13, 4, VT_EUNSUPPORTED, "stored as Q5_K (GGUF type 13)"},
        {"type of blocks", 12, 2, 4, VT_EFORMAT, "rows of 8 weights, which Q4_0 cannot store"},
        {"offset 2^63", 16, 1ull << 63, 8, VT_EFORMAT, "at offset 9223372036854775808"},
        {"odd offset", 16, 4, 8, VT_EFORMAT, "at offset 4"},
        {"shared offset", 16, 0, 8, VT_EFORMAT, "overlap"},
        {"offset -32", 16, 0xffffffffffffffe0u, 8, VT_EFORMAT, "at offset"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct builder b;
        struct vt_buf file;
        size_t header;
        vt_ckpt *c;
        vt_err err;
        whole_llama(&b);
        end(&b, &file, &header);
        static const char name[] = "output_norm.weight";
        char *entry = memmem(file.p, file.len, name, sizeof name - 1);
        CHECK(entry != NULL);
        for (size_t j = 0; entry && j < rows[i].n; j++)
            entry[sizeof name - 1 + rows[i].at + j] = (char)(rows[i].value >> (8 * j) & 0xff);
        CHECK_INT(open_bytes(file.p, file.len, &c, &err), rows[i].status);
        if (!strstr(err.msg, rows[i].says)) {
            printf("  %s:\n", rows[i].what);
            CHECK_STR(err.msg, rows[i].says);
        }
        vt_ckpt_free(c);
        vt_buf_free(&file);
    }
}

static void hostile_counts(void)
{
    static const uint64_t counts[] = {1ull << 63, UINT64_MAX, 1ull << 40, 100000};
    for (size_t field = 0; field < 2; field++)
        for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
            struct builder b;
            struct vt_buf file;
            size_t header;
            vt_ckpt *c;
            vt_err err;
            whole_llama(&b);
            end(&b, &file, &header);
            for (size_t j = 0; j < 8; j++)
                file.p[8 + 8 * field + j] = (char)(counts[i] >> (8 * j) & 0xff);
            CHECK_INT(open_bytes(file.p, file.len, &c, &err), VT_EFORMAT);
            CHECK(strstr(err.msg, "cannot fit") != NULL);
            vt_ckpt_free(c);
            vt_buf_free(&file);
        }
}

static void truncated_everywhere(void)
{
    struct builder b;
    struct vt_buf file;
    size_t header;
    vt_ckpt *c;
    vt_err err;
    whole_llama(&b);
    end(&b, &file, &header);
    CHECK_OK(open_bytes(file.p, file.len, &c, &err), err);
    CHECK(c && vt_ckpt_tokenizer(c) && vt_tokenizer_size(vt_ckpt_tokenizer(c)) == 5);
    vt_ckpt_free(c);
    for (size_t n = 0; n < file.len; n = n < header + 100 ? n + 1 : n + 97) {
        vt_status status = open_bytes(file.p, n, &c, &err);
        CHECK_INT(status, VT_EFORMAT);
        CHECK(c == NULL && strlen(err.msg) > 20);
    }
    vt_buf_free(&file);
}

/* Every header byte changed in three ways: the file may still be a model; otherwise there is a sentence. */
static void flipped_everywhere(void)
{
    struct builder b;
    struct vt_buf file;
    size_t header, n_refused = 0;
    vt_ckpt *c;
    vt_err err;
    whole_llama(&b);
    end(&b, &file, &header);
    for (size_t at = 0; at < header; at++)
        for (int k = 0; k < 3; k++) {
            static const unsigned char masks[] = {0x01, 0x80, 0xff};
            file.p[at] = (char)(file.p[at] ^ masks[k]);
            vt_status status = open_bytes(file.p, file.len, &c, &err);
            if (status != VT_OK)
                CHECK(strlen(err.msg) > 20);
            n_refused += status != VT_OK;
            if (c)
                for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++)
                    CHECK(vt_tensor_check_finite(vt_ckpt_tensor_at(c, i), &err) == VT_OK);
            vt_ckpt_free(c);
            file.p[at] = (char)(file.p[at] ^ masks[k]);
        }
    CHECK(n_refused > header);
    vt_buf_free(&file);
}

/* One more metadata entry: what it makes of a whole llama. factor: rope_factor; says: the refusal's words. */
static void metadata(void)
{
    static const struct {
        const char *key;
        enum vt_gguf_type type;
        double value;
        const char *text, *says;
        double factor;
    } rows[] = {
        {"llama.rope.scaling.factor", VT_GGUF_F32, 4, NULL, NULL, 4}, /* of no type: linear */
        {"llama.rope.scale_linear", VT_GGUF_F32, 2, NULL, NULL, 2},   /* its old name */
        {"llama.rope.scaling.factor", VT_GGUF_F32, 1, NULL, NULL, 0},
        {"llama.rope.scaling.factor", VT_GGUF_F32, 0, NULL, NULL, 0},
        {"llama.rope.scaling.type", VT_GGUF_STRING, 0, "none", NULL, 0},
        {"llama.rope.scaling.type", VT_GGUF_STRING, 0, "yarn", "rope scaling yarn", 0},
        {"llama.rope.scaling.type", VT_GGUF_U32, 1, NULL, "llama.rope.scaling.type has a value of another type", 0},
        {"llama.rope.scaling.attn_factor", VT_GGUF_F32, 1, NULL, NULL, 0},
        {"llama.rope.scaling.attn_factor", VT_GGUF_F32, 1.2, NULL, "llama.rope.scaling.attn_factor", 0},
        {"llama.attention.sliding_window", VT_GGUF_U32, 64, NULL, NULL, 0}, /* the whole context */
        {"llama.attention.sliding_window", VT_GGUF_U32, 63, NULL, "sliding_window to 63 of 64", 0},
        {"llama.attention.causal", VT_GGUF_BOOL, 1, NULL, NULL, 0},
        {"llama.attention.causal", VT_GGUF_BOOL, 0, NULL, "llama.attention.causal", 0},
        {"llama.expert_count", VT_GGUF_U32, 8, NULL, "llama.expert_count", 0},
        {"llama.vocab_size", VT_GGUF_U32, 7, NULL, "llama.vocab_size is 7, the embedding has 5", 0},
        {"llama.brand_new", VT_GGUF_U32, 0, NULL, "llama.brand_new is none that vegttt knows", 0},
        {"llama.rope.freq_base", VT_GGUF_STRING, 0, "10000", "llama.rope.freq_base has a value of another type", 0},
        {"llama.block_count", VT_GGUF_U32, 2, NULL, "llama.block_count twice", 0},
        {"split.count", VT_GGUF_U16, 1, NULL, NULL, 0},
        {"split.count", VT_GGUF_U16, 3, NULL, "one of 3 parts of a split model", 0},
        {"general.type", VT_GGUF_STRING, 0, "adapter", "general.type \"adapter\"", 0},
        {"general.anything", VT_GGUF_STRING, 0, "x", NULL, 0},
        {"tokenizer.ggml.add_space_prefix", VT_GGUF_BOOL, 1, NULL, "add_space_prefix", 0},
        {"tokenizer.ggml.eot_token_id", VT_GGUF_U32, 3, NULL, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct builder b;
        struct vt_buf file;
        size_t header, size = rows[i].type == VT_GGUF_BOOL ? 1 : rows[i].type == VT_GGUF_U16 ? 2 : 4;
        vt_ckpt *c;
        vt_err err;
        whole_llama(&b);
        if (rows[i].type == VT_GGUF_STRING) {
            kv_str(&b, rows[i].key, rows[i].text);
        } else if (rows[i].type == VT_GGUF_F32) {
            kv_f32(&b, rows[i].key, (float)rows[i].value);
        } else {
            put_str(&b.kv, rows[i].key);
            put_int(&b.kv, rows[i].type, 4);
            put_int(&b.kv, (uint64_t)rows[i].value, size);
            b.n_kv++;
        }
        end(&b, &file, &header);
        vt_status status = open_bytes(file.p, file.len, &c, &err);
        if (rows[i].says) {
            CHECK(status != VT_OK);
            if (!strstr(err.msg, rows[i].says))
                CHECK_STR(err.msg, rows[i].says);
        } else {
            CHECK_OK(status, err);
            CHECK_NEAR(c ? (double)vt_ckpt_config(c)->rope_factor : NAN, rows[i].factor, 0);
        }
        vt_ckpt_free(c);
        vt_buf_free(&file);
    }
}

/* The ends of a GGUF file: what its keys name, and control tokens that mean an end whatever the keys say. */
static void ends(void)
{
    struct builder b;
    struct vt_buf file;
    size_t header, n = 0;
    vt_ckpt *c;
    vt_err err;
    static const char *const tokens[] = {"a", "b", "ab", "<|im_end|>", "<|end|>"}, *const merges[] = {"a b"};
    static const uint32_t types[] = {1, 1, 1, 3, 4}; /* <|end|> is user-defined here: no control token */
    begin(&b);
    config(&b, "llama");
    kv_str(&b, "tokenizer.ggml.model", "gpt2");
    kv_str(&b, "tokenizer.ggml.pre", "smollm");
    kv_strings(&b, "tokenizer.ggml.tokens", tokens, 5);
    kv_strings(&b, "tokenizer.ggml.merges", merges, 1);
    put_str(&b.kv, "tokenizer.ggml.token_type");
    put_int(&b.kv, VT_GGUF_ARRAY, 4);
    put_int(&b.kv, VT_GGUF_I32, 4);
    put_int(&b.kv, 5, 8);
    for (int i = 0; i < 5; i++)
        put_int(&b.kv, types[i], 4);
    b.n_kv++;
    kv_u32(&b, "tokenizer.ggml.eos_token_id", 1); /* an ordinary token */
    tensors(&b, false, false, false);
    end(&b, &file, &header);
    CHECK_OK(open_bytes(file.p, file.len, &c, &err), err);
    const int32_t *ids = c ? vt_tokenizer_ends(vt_ckpt_tokenizer(c), &n) : NULL;
    CHECK_INT(n, 2);
    CHECK(n == 2 && ids[0] == 1 && ids[1] == 3);
    vt_ckpt_free(c);
    vt_buf_free(&file);
}

static const struct test_case cases[] = {TEST(complete_models),
                                         TEST(llama3_rope),
                                         TEST(refused_models),
                                         TEST(refused_tokenizers),
                                         TEST(hostile_directory),
                                         TEST(hostile_counts),
                                         TEST(truncated_everywhere),
                                         TEST(flipped_everywhere),
                                         TEST(metadata),
                                         TEST(ends)};
TEST_MAIN(cases)
