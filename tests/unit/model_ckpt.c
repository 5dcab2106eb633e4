/* SPDX-License-Identifier: Apache-2.0
 *
 * model_ckpt.c: the default GGUF file against goldens made with the gguf package (shared goldens, smollm2_gguf.md):
 * config, shapes, first values, sums and SHA-256 of whole dequantised tensors in file order; and row order of q and k.
 */
#include "model/ckpt.h"

#include "base/alloc.h"
#include "base/sha256.h"
#include "harness.h"
#include "model/dtype.h"
#include "model_common.h"
#include "numbers.h"

static vt_ckpt *open_default(void)
{
    vt_err err = {0};
    vt_ckpt *c = NULL;
    CHECK_OK(vt_ckpt_open(model_path(), &c, &err), err);
    return c;
}

static void config_and_metadata(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_default();
    if (!c)
        return;
    const struct vt_lm_config *g = vt_ckpt_config(c);
    CHECK_INT(g->arch, VT_ARCH_LLAMA);
    CHECK_INT(g->n_layers, 30);
    CHECK_INT(g->d_model, 576);
    CHECK_INT(g->d_ff, 1536);
    CHECK_INT(g->n_heads, 9);
    CHECK_INT(g->n_kv_heads, 3);
    CHECK_INT(g->head_dim, 64);
    CHECK_INT(g->n_vocab, 49152);
    CHECK_INT(g->n_ctx, 8192);
    CHECK_NEAR(g->rope_theta, 100000.0, 0);
    CHECK_NEAR(g->rms_eps, 9.999999747378752e-06, 0);
    CHECK_NEAR(g->rope_factor, 0, 0);
    CHECK(g->tied && !g->qkv_bias && !g->qk_norm);
    CHECK_INT(vt_ckpt_n_tensors(c), 272);
    CHECK_STR(vt_ckpt_name(c), "Smollm2 135M 8k Lc100K Mix1 Ep2");
    CHECK(strstr(vt_ckpt_chat_template(c), "named SmolLM, trained by Hugging Face") != NULL);
    CHECK(vt_ckpt_tensor(c, "lm_head.weight") == NULL);
    char hex[65];
    vt_err err = {0};
    CHECK_OK(vt_ckpt_digest(c, hex, &err), err);
    CHECK_STR(hex, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53");
    vt_ckpt_free(c);
}

static const struct golden_tensor {
    const char *name;
    enum vt_dtype dtype;
    int64_t rows, cols; /* rows 0: one dimension */
    float first[8];
    double sum, sumsq;
    const char *sha; /* first 16 digits */
} goldens[] = {
    {"model.embed_tokens.weight",
     VT_Q8_0,
     49152,
     576,
     {-0.10654449462890625f, 0.032978057861328125f, 0.048198699951171875f, -0.022830963134765625f,
      -0.06849288940429688f, -0.04566192626953125f, 0.020294189453125f, -0.12176513671875f},
     -15353.04449415207,
     520415.71544763993,
     "3fd491c8066dd9dc"},
    {"model.layers.0.self_attn.q_proj.weight",
     VT_Q4_1,
     576,
     576,
     {-0.0963134765625f, 0.1573486328125f, -0.0963134765625f, -0.73046875f, 1.1719970703125f, -0.0963134765625f,
      0.030517578125f, 0.6646728515625f},
     59.22322082519531,
     26749.573275085306,
     "aa74111ad24c3624"},
    {"model.layers.0.self_attn.k_proj.weight",
     VT_Q4_1,
     192,
     576,
     {-0.1552734375f, 0.3402099609375f, -0.485595703125f, -0.3204345703125f, 0.0098876953125f, 0.175048828125f,
      0.175048828125f, 0.50537109375f},
     26.937057495117188,
     17499.561343912734,
     "29614b1cceeca5d5"},
    {"model.layers.0.mlp.down_proj.weight",
     VT_Q4_1,
     576,
     1536,
     {-0.330810546875f, 0.3460693359375f, 0.0753173828125f, -0.4661865234375f, -0.06005859375f, -0.330810546875f,
      0.0753173828125f, 0.210693359375f},
     150.63577270507812,
     33220.11995097203,
     "0b78b2226f740ed5"},
    {"model.layers.29.self_attn.o_proj.weight",
     VT_Q4_1,
     576,
     576,
     {-0.220458984375f, -0.13818359375f, -0.0970458984375f, -0.0147705078125f, 0.3143310546875f, 0.1497802734375f,
      -0.2615966796875f, -0.0970458984375f},
     110.86758422851562,
     16653.754019937012,
     "1969d1caf963f721"},
    {"model.layers.17.mlp.gate_proj.weight",
     VT_Q4_1,
     1536,
     576,
     {0.26922607421875f, 0.0003662109375f, 0.2154541015625f, -0.16094970703125f, 0.2154541015625f, 0.05413818359375f,
      -0.05340576171875f, 0.10791015625f},
     -212.6943588256836,
     31623.502698609198,
     "1980b6d3b27e9698"},
    {"model.norm.weight",
     VT_F32,
     0,
     576,
     {1.7578125f, 1.8203125f, 1.78125f, 1.6015625f, 1.7421875f, 1.71875f, 1.828125f, 1.75f},
     1038.33203125,
     1921.7355499267578,
     "3b87f8e27335e67f"},
};

static void check_tensor(const vt_ckpt *c, const struct golden_tensor *g)
{
    const struct vt_tensor *found = vt_ckpt_tensor(c, g->name);
    CHECK(found != NULL);
    if (!found)
        return;
    struct vt_tensor t = *found;
    t.permute_heads = 0; /* the goldens are in file order */
    CHECK_INT(t.dtype, g->dtype);
    CHECK_INT(t.shape[t.n_dims - 1], g->cols);
    CHECK_INT(t.n_dims, g->rows ? 2 : 1);
    if (g->rows)
        CHECK_INT(t.shape[0], g->rows);
    float *row = vt_alloc_array((size_t)g->cols, sizeof *row);
    double sum = 0, sumsq = 0;
    struct vt_sha256 h;
    vt_sha256_init(&h);
    for (int64_t i = 0; i < vt_tensor_n_rows(&t); i++) {
        vt_tensor_row(&t, i, row);
        vt_sha256_add(&h, row, (size_t)g->cols * sizeof *row);
        for (int64_t j = 0; j < g->cols; j++) {
            sum += (double)row[j];
            sumsq += (double)row[j] * (double)row[j];
            if (i == 0 && j < 8)
                CHECK_NEAR(row[j], g->first[j], 0);
        }
    }
    CHECK_NEAR(sum, g->sum, 1e-9 * (1 + fabs(g->sum)));
    CHECK_NEAR(sumsq, g->sumsq, 1e-9 * g->sumsq);
    char hex[65];
    vt_sha256_hex(&h, hex);
    hex[16] = '\0';
    CHECK_STR(hex, g->sha);
    free(row);
}

static void dequantised_tensors(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_default();
    for (size_t i = 0; c && i < sizeof goldens / sizeof goldens[0]; i++)
        check_tensor(c, &goldens[i]);
    vt_err err = {0};
    const struct vt_tensor *t = c ? vt_ckpt_tensor(c, "model.layers.3.mlp.up_proj.weight") : NULL;
    CHECK(t && vt_tensor_check_finite(t, &err) == VT_OK);
    vt_ckpt_free(c);
}

/* File row h*64 + 2*i + s is Hugging Face row h*64 + s*32 + i (smollm2_gguf.md). */
static void rope_rows(void)
{
    if (!model_path())
        SKIP(NO_MODEL);
    vt_ckpt *c = open_default();
    const struct vt_tensor *q = c ? vt_ckpt_tensor(c, "model.layers.5.self_attn.q_proj.weight") : NULL;
    const struct vt_tensor *v = c ? vt_ckpt_tensor(c, "model.layers.5.self_attn.v_proj.weight") : NULL;
    CHECK(q && v);
    if (q && v) {
        CHECK_INT(q->permute_heads, 9);
        CHECK_INT(v->permute_heads, 0);
        for (int h = 0; h < 9; h++)
            for (int s = 0; s < 2; s++)
                for (int i = 0; i < 32; i++) {
                    const char *raw = vt_tensor_raw_row(q, h * 64 + s * 32 + i);
                    CHECK_INT((raw - (const char *)q->data) / (long)q->row_bytes, h * 64 + 2 * i + s);
                }
        CHECK(vt_tensor_raw_row(v, 7) == (const char *)v->data + 7 * v->row_bytes);
    }
    vt_ckpt_free(c);
}

static void half_precision(void)
{
    for (uint32_t h = 0; h < 0x10000; h++) {
        float f = vt_f16_to_f32((uint16_t)h), b = vt_bf16_to_f32((uint16_t)h);
        if (isnan(f))
            CHECK(isnan(vt_f16_to_f32(f32_to_f16(f))));
        else
            CHECK_INT(f32_to_f16(f), h);
        if (isnan(b))
            CHECK(isnan(vt_bf16_to_f32(vt_f32_to_bf16(b))));
        else
            CHECK_INT(vt_f32_to_bf16(b), h);
    }
    CHECK_NEAR(vt_f16_to_f32(0x3555), 0.333251953125, 0);
    CHECK_NEAR(vt_f16_to_f32(1), 0x1p-24, 0);
    CHECK_INT(vt_f32_to_bf16(1.0f + 0x1p-8f), 0x3f80); /* tie to even */
    CHECK_INT(vt_f32_to_bf16(1.0f + 0x1.8p-7f), 0x3f82);
    CHECK_INT(vt_f32_to_bf16(3.4028234e38f), 0x7f80);
}

static unsigned char hex_byte(const char *p)
{
    char pair[3] = {p[0], p[1], 0};
    return (unsigned char)strtol(pair, NULL, 16);
}

static void check_blocks(void *arg, const vt_json *line)
{
    (void)arg;
    static const enum vt_dtype types[] = {VT_Q4_0, VT_Q4_1, VT_Q8_0, VT_Q4_K, VT_Q6_K};
    const char *name = vt_json_str(vt_json_get(line, "type"), ""),
               *blocks = vt_json_str(vt_json_get(line, "blocks"), "");
    const char *values = vt_json_str(vt_json_get(line, "values"), "");
    size_t n_bytes = strlen(blocks) / 2, n = strlen(values) / 8;
    unsigned char *bytes = vt_alloc(n_bytes);
    float *row = vt_alloc_array(n, sizeof *row);
    for (size_t i = 0; i < n_bytes; i++)
        bytes[i] = hex_byte(blocks + 2 * i);
    struct vt_tensor t = {.name = name, .n_dims = 1, .shape = {(int64_t)n}, .data = bytes};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(vt_dtype_name(types[i]), name) == 0)
            t.dtype = types[i];
    CHECK(vt_dtype_row_bytes(t.dtype, (int64_t)n, &t.row_bytes) && t.row_bytes == n_bytes);
    vt_tensor_row(&t, 0, row);
    for (size_t i = 0; i < n; i++) {
        unsigned char expected[4];
        float f;
        for (int j = 0; j < 4; j++)
            expected[j] = hex_byte(values + 8 * i + 2 * (size_t)j);
        memcpy(&f, expected, sizeof f);
        CHECK_NEAR(row[i], f, 0);
    }
    free(bytes);
    free(row);
}

static void quantised_blocks(void)
{
    CHECK_INT(each_json_line(GOLDEN("quants.jsonl"), check_blocks, NULL), 5);
}

static void not_finite(void)
{
    float values[600] = {0};
    struct vt_tensor t = {
        .name = "blocks.t", .dtype = VT_F32, .n_dims = 2, .shape = {2, 300}, .data = values, .row_bytes = 1200};
    vt_err err = {0};
    CHECK_OK(vt_tensor_check_finite(&t, &err), err);
    values[17] = NAN;
    CHECK_INT(vt_tensor_check_finite(&t, &err), VT_EFORMAT);
    CHECK(strstr(err.msg, "row 0, column 17") != NULL);
    values[17] = 0;
    values[300 + 299] = INFINITY;
    CHECK_INT(vt_tensor_check_finite(&t, &err), VT_EFORMAT);
    CHECK(strstr(err.msg, "blocks.t") && strstr(err.msg, "row 1, column 299"));
}

static const struct test_case cases[] = {TEST(quantised_blocks),    TEST(not_finite),          TEST(half_precision),
                                         TEST(config_and_metadata), TEST(dequantised_tensors), TEST(rope_rows)};
TEST_MAIN(cases)
