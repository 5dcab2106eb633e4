/* SPDX-License-Identifier: Apache-2.0
 *
 * model_hf.c: Hugging Face folders as checkpoints: the tiny models that transformers saved (tests/golden/tiny), shards,
 * adapters made by PEFT, and folders that must be refused with a sentence. What the models compute is checked by the
 * tests of the backends; here it is config, names, shapes and bytes.
 */
#include "harness.h"
#include "model/adapter.h"
#include "model/ckpt.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"
#include "model_common.h"

#include <fcntl.h>
#include <sys/stat.h>

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
        {"{\"model_type\":\"llama\"}", "embed_tokens.weight has shape [3, 4], the config needs [32000, 4096]",
         VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES ",\"rms_norm_eps\":1}", "\"rms_norm_eps\" twice", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"rope_parameters\":{\"factor\":1,\"factor\":2}}", "\"factor\" twice", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"num_hidden_layers\":\"2\"}", "key num_hidden_layers is \"2\"; an integer",
         VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"rms_norm_eps\":\"1e-5\"}", "key rms_norm_eps is \"1e-5\"; a number", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"hidden_size\":4.5}", "key hidden_size is 4.5; an integer", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"tie_word_embeddings\":\"true\"}", "tie_word_embeddings", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"rope_theta\":{}}", "key rope_theta is {}", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"rope_scaling\":[1]}", "key rope_scaling is [1]; an object", VT_EFORMAT},
        {"{\"model_type\":\"llama\",\"attention_multiplier\":0.5}", "key attention_multiplier (0.5) is none",
         VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"embedding_multiplier\":12}", "embedding_multiplier to 12", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"quantization_config\":{\"bits\":4}}", "quantization_config", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"auto_map\":{\"AutoModel\":\"m.M\"}}", "auto_map", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0.5}", "partial_rotary_factor to 0.5", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"partial_rotary_factor\":0}", "partial_rotary_factor to 0", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"sliding_window\":64}", "sliding_window", VT_EUNSUPPORTED},
        {"{\"model_type\":\"llama\",\"architectures\":[\"LlamaForSequenceClassification\"]}",
         "LlamaForSequenceClassification", VT_EUNSUPPORTED},
        {"{\"model_type\":\"qwen2\",\"num_hidden_layers\":1,\"layer_types\":[]}", "layer_types has 0 entries",
         VT_EFORMAT},
        {"{\"model_type\":\"llama\"," SIZES ",\"original_max_position_embeddings\":4,\"rope_scaling\":{\"type\":"
         "\"llama3\",\"factor\":4,\"low_freq_factor\":1,\"high_freq_factor\":4}}",
         "outside the rope parameters", VT_EUNSUPPORTED},
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
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_INT(unlink(path), 0);
    expect_refused(dir, "{\"model_type\":\"llama\"," SIZES "}", VT_ENOENT, "it has no model.safetensors and no");
    snprintf(path, sizeof path, "%s/pytorch_model.bin", dir);
    write_scratch(path, "x", 1);
    expect_refused(dir, "{\"model_type\":\"llama\"," SIZES "}", VT_EUNSUPPORTED, "pytorch_model.bin");
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

/* --- which files are read --- */

enum { D = 4, V = 3 }; /* hidden size and vocabulary of the model below: one layer, two heads of two */
#define TIED_CONFIG "{\"model_type\":\"llama\"," SIZES ",\"tie_word_embeddings\":true%s}"

/* Writes a one-layer model whose weights all are `value`. prefix: "model." or ""; head: value of lm_head, 0 = none;
 * embedding: whether there is one. */
static void write_model(const char *dir, const char *name, const char *prefix, float value, float head, bool embedding)
{
    static const struct {
        const char *name;
        int rows, cols; /* cols 0: a vector */
    } tensors[] = {{"embed_tokens.weight", V, D},
                   {"norm.weight", D, 0},
                   {"layers.0.input_layernorm.weight", D, 0},
                   {"layers.0.post_attention_layernorm.weight", D, 0},
                   {"layers.0.self_attn.q_proj.weight", D, D},
                   {"layers.0.self_attn.k_proj.weight", D, D},
                   {"layers.0.self_attn.v_proj.weight", D, D},
                   {"layers.0.self_attn.o_proj.weight", D, D},
                   {"layers.0.mlp.gate_proj.weight", D, D},
                   {"layers.0.mlp.up_proj.weight", D, D},
                   {"layers.0.mlp.down_proj.weight", D, D}};
    enum { N = sizeof tensors / sizeof tensors[0] };
    static float values[D * D], head_values[V * D];
    static char names[N][96];
    struct vt_st_item items[N + 1];
    char path[512];
    vt_err err = {0};
    int n = 0;
    for (int i = 0; i < D * D; i++)
        values[i] = value;
    for (int i = 0; i < V * D; i++)
        head_values[i] = head;
    for (int i = embedding ? 0 : 1; i < N; i++, n++) {
        snprintf(names[i], sizeof names[i], "%s%s", prefix, tensors[i].name);
        items[n] = (struct vt_st_item){.name = names[i],
                                       .dtype = VT_F32,
                                       .n_dims = tensors[i].cols ? 2 : 1,
                                       .shape = {tensors[i].rows, tensors[i].cols},
                                       .values = values};
    }
    if (head != 0)
        items[n++] = (struct vt_st_item){
            .name = "lm_head.weight", .dtype = VT_F32, .n_dims = 2, .shape = {V, D}, .values = head_values};
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_OK(vt_st_write(path, items, (size_t)n, NULL, 0, &err), err);
}

static void write_text(const char *dir, const char *name, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    write_scratch(path, text, strlen(text));
}

/* Opens DIR[/NAME] and gives the first value of a tensor; NAN when it is absent or the model does not open. */
static double first_value(const char *dir, const char *name, const char *tensor, bool *tied)
{
    char path[512];
    float row[D];
    vt_ckpt *c = NULL;
    vt_err err = {0};
    double value = NAN;
    snprintf(path, sizeof path, "%s%s%s", dir, name[0] ? "/" : "", name);
    CHECK_OK(vt_ckpt_open(path, &c, &err), err);
    if (!c)
        return NAN;
    const struct vt_tensor *t = vt_ckpt_tensor(c, tensor);
    if (t) {
        vt_tensor_row(t, 0, row);
        value = (double)row[0];
    }
    if (tied)
        *tied = vt_ckpt_config(c)->tied;
    vt_ckpt_free(c);
    return value;
}

#define NORM "model.norm.weight"
#define HEAD "lm_head.weight"
#define EMBEDDING "model.embed_tokens.weight"

static void named_files(void)
{
    const char *dir = scratch_path("files");
    char config[512];
    vt_err err = {0};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(config, sizeof config, TIED_CONFIG, "");
    write_text(dir, "config.json", config);
    write_model(dir, "model.safetensors", "model.", 1, 0, true);
    write_model(dir, "step200.safetensors", "model.", 2, 0, true);
    write_model(dir, "a.safetensors", "model.", 3, 0, true);
    write_text(dir, "model.safetensors.index.json",
               "{\"weight_map\":{\"" NORM "\":\"a.safetensors\",\"" EMBEDDING "\":\"a.safetensors\"}}");
    CHECK_NEAR(first_value(dir, "step200.safetensors", NORM, NULL), 2, 0);
    CHECK_NEAR(first_value(dir, "", NORM, NULL), 1, 0); /* the single file goes before the index */
    CHECK_NEAR(first_value(dir, "model.safetensors.index.json", NORM, NULL), 3, 0);
    snprintf(config, sizeof config, TIED_CONFIG, ",\"transformers_weights\":\"step200.safetensors\"");
    write_text(dir, "config.json", config);
    CHECK_NEAR(first_value(dir, "", NORM, NULL), 2, 0);
    /* An index of other files; two shards with one tensor; an adapter's folder. */
    snprintf(config, sizeof config, TIED_CONFIG, "");
    write_text(dir, "model.safetensors.index.json",
               "{\"weight_map\":{\"" NORM "\":\"a.safetensors\",\"" HEAD "\":\"a.safetensors\"}}");
    char path[512];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_INT(unlink(path), 0);
    expect_refused(dir, config, VT_EFORMAT, "puts tensor lm_head.weight into a.safetensors");
    write_text(dir, "model.safetensors.index.json",
               "{\"weight_map\":{\"" NORM "\":\"a.safetensors\",\"" EMBEDDING "\":\"step200.safetensors\"}}");
    expect_refused(dir, config, VT_EFORMAT, "appears twice");
    write_text(dir, "adapter_config.json", "{}");
    expect_refused(dir, config, VT_EUNSUPPORTED, "BASE+");
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* What transformers 5 does with a head beside tied embeddings, and names saved from the inner model. */
static void tied_heads(void)
{
    const char *dir = scratch_path("tied");
    char config[512];
    bool tied = false;
    vt_err err = {0};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(config, sizeof config, TIED_CONFIG, "");
    write_text(dir, "config.json", config);
    write_model(dir, "model.safetensors", "model.", 1, 1, true); /* the same values: one matrix */
    CHECK(isnan(first_value(dir, "", HEAD, &tied)) && tied);
    write_model(dir, "model.safetensors", "model.", 1, 2, true); /* others: two */
    CHECK_NEAR(first_value(dir, "", HEAD, &tied), 2, 0);
    CHECK(!tied);
    write_model(dir, "model.safetensors", "model.", 1, 2, false); /* the head alone serves as both */
    CHECK_NEAR(first_value(dir, "", EMBEDDING, &tied), 2, 0);
    CHECK(tied);
    write_model(dir, "model.safetensors", "", 5, 0, true);
    CHECK_NEAR(first_value(dir, "", EMBEDDING, &tied), 5, 0);
    CHECK_NEAR(first_value(dir, "", "model.layers.0.mlp.up_proj.weight", NULL), 5, 0);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* A pipe where a file should be is refused; waiting for its writer would hang. */
static void pipes(void)
{
    static const char *const names[] = {"config.json", "model.safetensors", "chat_template.jinja"};
    const char *dir = scratch_path("pipes");
    char config[512], path[512];
    vt_err err = {0};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        vt_ckpt *c = NULL;
        CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
        snprintf(config, sizeof config, TIED_CONFIG, "");
        write_text(dir, "config.json", config);
        write_model(dir, "model.safetensors", "model.", 1, 0, true);
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
        CHECK_INT(mkfifo(path, 0600), 0);
        CHECK_INT(vt_ckpt_open(dir, &c, &err), VT_EINVAL);
        CHECK(strstr(err.msg, names[i]) && strstr(err.msg, "not a regular file"));
        CHECK(vt_ckpt_open(path, &c, &err) != VT_OK); /* by its own name, too: it ends */
        CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    }
}

/* The ids that end a sample: generation_config.json's, else config.json's, behind the tokenizer's own. */
static void ends(void)
{
    static const struct {
        const char *config, *generation, *tokenizer_config;
        size_t n;
        int32_t ids[3];
    } rows[] = {
        {"", NULL, NULL, 0, {0}},
        {",\"eos_token_id\":2", NULL, NULL, 1, {2}},
        {",\"eos_token_id\":[2,1,2,99]", NULL, NULL, 2, {2, 1}}, /* 99 is no token: never sampled */
        {",\"eos_token_id\":2", "{\"eos_token_id\":[0,1]}", NULL, 2, {0, 1}},
        {",\"eos_token_id\":2", "{\"temperature\":0.7,\"eos_token_id\":null}", NULL, 1, {2}},
        {",\"eos_token_id\":2", NULL, "{\"eos_token\":\"b\"}", 2, {1, 2}},
        {",\"eos_token_id\":2", NULL, "{\"eos_token\":{\"content\":\"a\",\"__type\":\"AddedToken\"}}", 2, {0, 2}},
    };
    const char *dir = scratch_path("ends");
    char config[512], path[512];
    vt_err err = {0};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    write_model(dir, "model.safetensors", "model.", 1, 0, true);
    write_text(
        dir, "tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]},\"pre_tokenizer\":{"
        "\"type\":\"ByteLevel\",\"add_prefix_space\":false}}");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vt_ckpt *c = NULL;
        snprintf(config, sizeof config, TIED_CONFIG, rows[i].config);
        write_text(dir, "config.json", config);
        const char *const files[][2] = {{"generation_config.json", rows[i].generation},
                                        {"tokenizer_config.json", rows[i].tokenizer_config}};
        for (size_t k = 0; k < 2; k++) {
            snprintf(path, sizeof path, "%s/%s", dir, files[k][0]);
            (void)unlink(path);
            if (files[k][1])
                write_text(dir, files[k][0], files[k][1]);
        }
        CHECK_OK(vt_ckpt_open(dir, &c, &err), err);
        size_t n = 0;
        const int32_t *ids = c ? vt_tokenizer_ends(vt_ckpt_tokenizer(c), &n) : NULL;
        CHECK_INT(n, rows[i].n);
        for (size_t k = 0; k < n && k < rows[i].n; k++)
            CHECK_INT(ids[k], rows[i].ids[k]);
        vt_ckpt_free(c);
    }
    snprintf(config, sizeof config, TIED_CONFIG, "");
    write_text(dir, "generation_config.json", "{\"stop_strings\":[\"x\"]}");
    expect_refused(dir, config, VT_EUNSUPPORTED, "stop_strings");
    write_text(dir, "generation_config.json", "{\"eos_token_id\":\"2\"}");
    expect_refused(dir, config, VT_EFORMAT, "key eos_token_id is \"2\"");
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* Same size, same name, same mtime, other content: the digest is the content's. A file that changes under an open
 * checkpoint has no digest any more. Another rope base is another model. */
static void identity(void)
{
    const char *dir = scratch_path("identity");
    char config[512], path[512], first[65], again[65], other[65], rope[65];
    vt_ckpt *c = NULL;
    vt_err err = {0};
    struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(config, sizeof config, TIED_CONFIG, "");
    write_text(dir, "config.json", config);
    write_model(dir, "model.safetensors", "model.", 1, 0, true);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
    CHECK_OK(vt_ckpt_open(dir, &c, &err), err);
    CHECK_OK(vt_ckpt_digest(c, first, &err), err);
    CHECK_OK(vt_ckpt_digest(c, again, &err), err);
    CHECK_OK(vt_ckpt_unchanged(c, &err), err);
    CHECK_STR(again, first);
    write_model(dir, "model.safetensors", "model.", 2, 0, true);
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
    CHECK_INT(vt_ckpt_digest(c, again, &err), VT_EIO);
    CHECK(strstr(err.msg, "model.safetensors was changed or replaced") != NULL);
    CHECK_INT(vt_ckpt_unchanged(c, &err), VT_EIO);
    vt_ckpt_free(c);
    c = NULL;
    CHECK_OK(vt_ckpt_open(dir, &c, &err), err);
    CHECK_OK(vt_ckpt_digest(c, other, &err), err);
    CHECK(strcmp(first, other) != 0);
    vt_ckpt_free(c);
    snprintf(config, sizeof config, TIED_CONFIG, ",\"rope_theta\":5000");
    write_text(dir, "config.json", config);
    c = NULL;
    CHECK_OK(vt_ckpt_open(dir, &c, &err), err);
    CHECK_OK(vt_ckpt_digest(c, rope, &err), err);
    CHECK(strcmp(rope, other) != 0);
    vt_ckpt_free(c);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static const struct test_case cases[] = {TEST(llama_with_rope_scaling),
                                         TEST(sharded),
                                         TEST(qwens),
                                         TEST(peft_adapters),
                                         TEST(refused),
                                         TEST(named_files),
                                         TEST(tied_heads),
                                         TEST(ends),
                                         TEST(identity),
                                         TEST(pipes)};
TEST_MAIN(cases)
