/* SPDX-License-Identifier: Apache-2.0
 *
 * model_hf.c: Hugging Face folders as checkpoints: the tiny models that transformers saved (tests/golden/tiny), shards,
 * adapters made by PEFT, and folders that must be refused with a sentence. What the models compute is checked by the
 * tests of the backends; here it is config, names, shapes and bytes.
 */
#include "base/sha256.h"
#include "harness.h"
#include "model/adapter.h"
#include "model/ckpt.h"
#include "model/safetensors.h"
#include "model_common.h"

static vt_ckpt *open_tiny(const char *path)
{
    vt_ckpt *c = NULL;
    vt_err err = {0};
    CHECK_OK(vt_ckpt_open(path, &c, &err), err);
    return c;
}

static void llama_with_rope_scaling(void)
{
    vt_ckpt *c = open_tiny(GOLDEN("tiny/llama"));
    if (!c)
        return;
    const struct vt_lm_config *g = vt_ckpt_config(c);
    CHECK_INT(g->arch, VT_ARCH_LLAMA);
    CHECK_INT(g->n_layers, 2);
    CHECK_INT(g->d_model, 48);
    CHECK_INT(g->d_ff, 72);
    CHECK_INT(g->n_heads, 4);
    CHECK_INT(g->n_kv_heads, 2);
    CHECK_INT(g->head_dim, 16);
    CHECK_INT(g->n_vocab, 90);
    CHECK_INT(g->n_ctx, 512);
    CHECK_NEAR(g->rms_eps, 1e-5f, 0);
    CHECK_NEAR(g->rope_theta, 10000, 0);
    CHECK_NEAR(g->rope_factor, 8, 0);
    CHECK_NEAR(g->rope_low, 1, 0);
    CHECK_NEAR(g->rope_high, 4, 0);
    CHECK_INT(g->rope_orig_ctx, 64);
    CHECK(!g->tied && !g->qkv_bias && !g->qk_norm);
    CHECK_INT(vt_ckpt_n_tensors(c), 2 * 9 + 3);
    CHECK_STR(vt_ckpt_name(c), "llama");
    CHECK(vt_ckpt_tokenizer(c) == NULL);
    const struct vt_tensor *q = vt_ckpt_tensor(c, "model.layers.1.self_attn.q_proj.weight");
    CHECK(q && q->dtype == VT_F32 && q->permute_heads == 0 && q->shape[0] == 64 && q->shape[1] == 48);
    char of_model[65], of_file[65];
    vt_err err = {0};
    CHECK_OK(vt_ckpt_digest(c, of_model, &err), err);
    CHECK_OK(vt_sha256_file(GOLDEN("tiny/llama/model.safetensors"), of_file, &err), err);
    CHECK_STR(of_model, of_file);
    vt_ckpt_free(c);
    c = open_tiny(GOLDEN("tiny/llama/model.safetensors")); /* the weight file beside its config.json */
    CHECK(c && vt_ckpt_n_tensors(c) == 21);
    vt_ckpt_free(c);
}

static void sharded(void)
{
    vt_ckpt *c = open_tiny(GOLDEN("tiny/llama_sharded"));
    if (!c)
        return;
    CHECK(vt_ckpt_config(c)->tied);
    CHECK_NEAR(vt_ckpt_config(c)->rope_factor, 0, 0);
    CHECK_INT(vt_ckpt_n_tensors(c), 2 * 9 + 2);
    for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++) {
        CHECK_INT(vt_ckpt_tensor_at(c, i)->dtype, VT_BF16);
        CHECK(vt_ckpt_tensor(c, vt_ckpt_tensor_at(c, i)->name) == vt_ckpt_tensor_at(c, i));
    }
    char first[65], again[65];
    vt_err err = {0};
    CHECK_OK(vt_ckpt_digest(c, first, &err), err);
    CHECK_OK(vt_ckpt_digest(c, again, &err), err);
    CHECK_STR(first, again);
    vt_ckpt_free(c);
}

static void qwens(void)
{
    vt_ckpt *c = open_tiny(GOLDEN("tiny/qwen2"));
    if (c) {
        const struct vt_lm_config *g = vt_ckpt_config(c);
        const struct vt_tensor *b = vt_ckpt_tensor(c, "model.layers.0.self_attn.k_proj.bias");
        CHECK(g->arch == VT_ARCH_QWEN2 && g->qkv_bias && g->tied && !g->qk_norm);
        CHECK_INT(g->head_dim, 32);
        CHECK_NEAR(g->rope_theta, 1e6, 0);
        CHECK(b && b->n_dims == 1 && b->shape[0] == 32);
    }
    vt_ckpt_free(c);
    c = open_tiny(GOLDEN("tiny/qwen3"));
    if (c) {
        const struct vt_lm_config *g = vt_ckpt_config(c);
        const struct vt_tensor *n = vt_ckpt_tensor(c, "model.layers.1.self_attn.q_norm.weight");
        CHECK(g->arch == VT_ARCH_QWEN3 && !g->qkv_bias && !g->tied && g->qk_norm);
        CHECK_INT(g->head_dim, 16);
        CHECK(n && n->n_dims == 1 && n->shape[0] == 16);
    }
    vt_ckpt_free(c);
}

static void peft_adapters(void)
{
    static const char *const names[] = {"llama", "llama_sharded", "qwen2", "qwen3"};
    for (size_t i = 0; i < 4; i++) {
        char path[512];
        struct vt_adapter *a = NULL;
        vt_err err = {0};
        snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), names[i]);
        vt_ckpt *c = open_tiny(path);
        snprintf(path, sizeof path, "%s/%s/adapter", GOLDEN("tiny"), names[i]);
        CHECK_OK(vt_adapter_load(path, vt_ckpt_config(c), NULL, &a, NULL, &err), err);
        CHECK(a && a->rank == 4 && a->alpha == 8 && a->targets == VT_LORA_DEFAULT);
        vt_adapter_free(a);
        vt_ckpt_free(c);
    }
}

/* A folder with this config and one small tensor; says: what the sentence must hold. */
static void expect_refused(const char *dir, const char *config, vt_status status, const char *says)
{
    char path[512];
    vt_ckpt *c = NULL;
    vt_err err = {0};
    snprintf(path, sizeof path, "%s/config.json", dir);
    write_scratch(path, config, strlen(config));
    CHECK_INT(vt_ckpt_open(dir, &c, &err), status);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
    CHECK(c == NULL);
}

#define SIZES                                                                                                          \
    "\"num_hidden_layers\":1,\"hidden_size\":4,\"intermediate_size\":4,\"num_attention_heads\":2,\"vocab_size\":3,"    \
    "\"max_position_embeddings\":8,\"rms_norm_eps\":1e-5"

static void refused(void)
{
    static const struct {
        const char *config, *says;
        vt_status status;
    } rows[] = {
        {"{\"model_type\":\"gpt2\"}", "gpt2", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"hidden_act\":\"gelu\"}", "gelu", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"attention_bias\":true}", "attention_bias", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"mlp_bias\":true}", "mlp_bias", VT_EUNSUPPORTED},
        {"{\"model_type\":\"qwen2\",\"use_sliding_window\":true}", "use_sliding_window", VT_EUNSUPPORTED},
        {"{\"model_type\":\"qwen3\",\"layer_types\":[\"full_attention\",\"sliding_attention\"]}", "sliding_attention",
         VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\"}", "num_hidden_layers", VT_EFORMAT},
        {"{\"model_type\":\"llama\",", "config.json", VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES ",\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4}}", "yarn",
         VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\"," SIZES ",\"rope_scaling\":{\"rope_type\":\"llama3\",\"factor\":4}}",
         "low_freq_factor", VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES "}", "tensor model.layers.0.input_layernorm.weight is missing", VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES ",\"num_key_value_heads\":0}", "number of key-value heads", VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES ",\"head_dim\":3}", "even head size", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":-5,\"hidden_size\":4,\"intermediate_size\":4,\"num_attention_"
         "heads\":2,\"vocab_size\":3,"
         "\"max_position_embeddings\":8,\"rms_norm_eps\":1e-5}",
         "number of layers", VT_EFORMAT},
    };
    const char *dir = scratch_path("folder");
    char path[512];
    vt_err err = {0};
    vt_ckpt *c = NULL;
    const float values[12] = {0};
    const struct vt_st_item items[] = {
        {.name = "model.embed_tokens.weight", .dtype = VT_F32, .n_dims = 2, .shape = {3, 4}, .values = values},
        {.name = "model.norm.weight", .dtype = VT_F32, .n_dims = 1, .shape = {4}, .values = values},
        {.name = "lm_head.weight", .dtype = VT_BF16, .n_dims = 2, .shape = {3, 4}, .values = values},
    };
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    CHECK_INT(vt_ckpt_open(dir, &c, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "config.json") != NULL);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(vt_st_write(path, items, 3, NULL, 0, &err), err);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect_refused(dir, rows[i].config, rows[i].status, rows[i].says);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    static const char outside[] = "{\"weight_map\":{\"a\":\"../outside.safetensors\"}}", none[] = "{}",
                      absent[] = "{\"weight_map\":{\"a\":\"x.safetensors\"}}";
    write_scratch(path, outside, sizeof outside - 1);
    expect_refused(dir, "{\"model_type\":\"llama\"," SIZES "}", VT_EFORMAT, "outside its folder");
    write_scratch(path, none, sizeof none - 1);
    expect_refused(dir, "{\"model_type\":\"llama\"," SIZES "}", VT_EFORMAT, "names no shards");
    write_scratch(path, absent, sizeof absent - 1);
    expect_refused(dir, "{\"model_type\":\"llama\"," SIZES "}", VT_ENOENT, "x.safetensors");
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    CHECK_INT(vt_ckpt_open(dir, &c, &err), VT_ENOENT);
    CHECK(strstr(err.msg, dir) != NULL);
}

static const struct test_case cases[] = {TEST(llama_with_rope_scaling), TEST(sharded), TEST(qwens), TEST(peft_adapters),
                                         TEST(refused)};
TEST_MAIN(cases)
