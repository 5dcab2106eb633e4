/* SPDX-License-Identifier: Apache-2.0
 *
 * model_adapter.c: adapters and their files: the golden PEFT adapter, round trips through our writer, and adapters that
 * must be refused by name.
 */
#include "model/adapter.h"
#include "model/adapter_config.h"

#include "harness.h"
#include "model/dtype.h"
#include "model/safetensors.h"
#include "model_common.h"

static const struct vt_lm_config smollm2 = {
    .n_layers = 30, .d_model = 576, .d_ff = 1536, .n_heads = 9, .n_kv_heads = 3, .head_dim = 64, .n_vocab = 49152};
static const struct vt_lm_config tiny = {
    .n_layers = 2, .d_model = 8, .d_ff = 12, .n_heads = 2, .n_kv_heads = 1, .head_dim = 6, .n_vocab = 10};

static void layout(void)
{
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    unsigned targets = 1u << VT_LORA_K | 1u << VT_LORA_DOWN | 1u << VT_LORA_UNEMBED;
    CHECK_OK(vt_adapter_new(&tiny, 3, 6, targets, 1, &a, &err), err);
    /* k: 6 x 8, down: 8 x 12, unembed: 10 x 8; rank 3 */
    size_t k = 3 * (6 + 8), down = 3 * (8 + 12), unembed = 3 * (10 + 8), a_off = 0, b_off = 0;
    CHECK_INT(a->n_params, 2 * (k + down) + unembed);
    CHECK(vt_adapter_at(a, 1, VT_LORA_DOWN, &a_off, &b_off));
    CHECK_INT(a_off, k + down + k);
    CHECK_INT(b_off, k + down + k + 3 * 12);
    CHECK(vt_adapter_at(a, 2, VT_LORA_UNEMBED, &a_off, &b_off));
    CHECK_INT(a_off, 2 * (k + down));
    CHECK(!vt_adapter_at(a, 0, VT_LORA_UNEMBED, &a_off, &b_off));
    CHECK(!vt_adapter_at(a, 2, VT_LORA_K, &a_off, &b_off));
    CHECK(!vt_adapter_at(a, -1, VT_LORA_K, &a_off, &b_off));
    CHECK(!vt_adapter_at(a, 0, VT_LORA_Q, &a_off, &b_off));
    vt_adapter_free(a);
    CHECK_INT(vt_adapter_new(&tiny, 0, 6, targets, 1, &a, &err), VT_EINVAL);
    CHECK_INT(vt_adapter_new(&tiny, 3, -1, targets, 1, &a, &err), VT_EINVAL);
    CHECK_INT(vt_adapter_new(&tiny, 3, NAN, targets, 1, &a, &err), VT_EINVAL);
    CHECK_INT(vt_adapter_new(&tiny, 3, 6, 0, 1, &a, &err), VT_EINVAL);
    CHECK_INT(vt_adapter_new(&tiny, 3, 6, 1u << VT_LORA_N, 1, &a, &err), VT_EINVAL);
}

/* A fills ±1/sqrt(d_in) evenly, B is zero, and a module's values do not depend on the other targets. */
static void start_values(void)
{
    struct vt_adapter *all = NULL, *one = NULL, *other = NULL;
    vt_err err = {0};
    CHECK_OK(vt_adapter_new(&smollm2, 16, 32, VT_LORA_DEFAULT, 7, &all, &err), err);
    CHECK_OK(vt_adapter_new(&smollm2, 16, 32, 1u << VT_LORA_DOWN, 7, &one, &err), err);
    CHECK_OK(vt_adapter_new(&smollm2, 16, 32, 1u << VT_LORA_DOWN, 8, &other, &err), err);
    size_t a_all = 0, b_all = 0, a_one = 0, b_one = 0, n = 16 * 1536;
    CHECK(vt_adapter_at(all, 4, VT_LORA_DOWN, &a_all, &b_all) && vt_adapter_at(one, 4, VT_LORA_DOWN, &a_one, &b_one));
    CHECK(memcmp(all->params + a_all, one->params + a_one, n * sizeof(float)) == 0);
    CHECK(memcmp(other->params + a_one, one->params + a_one, n * sizeof(float)) != 0);
    size_t a_next = 0, b_next = 0, a_up = 0, b_up = 0, a_gate = 0, b_gate = 0;
    CHECK(vt_adapter_at(all, 5, VT_LORA_DOWN, &a_next, &b_next) && vt_adapter_at(all, 4, VT_LORA_UP, &a_up, &b_up) &&
          vt_adapter_at(all, 4, VT_LORA_GATE, &a_gate, &b_gate));
    CHECK(memcmp(all->params + a_all, all->params + a_next, n * sizeof(float)) != 0);
    CHECK(memcmp(all->params + a_up, all->params + a_gate, 16 * 576 * sizeof(float)) != 0);
    double bound = 1 / sqrt(1536.0), sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        CHECK(fabs((double)one->params[a_one + i]) <= bound);
        sum += (double)one->params[a_one + i];
        squares += pow((double)one->params[a_one + i], 2);
    }
    double n_d = (double)n;
    CHECK_NEAR(sum / n_d, 0, 5 * bound / sqrt(3 * n_d));
    CHECK_NEAR(squares / n_d, bound * bound / 3, 5 * bound * bound * sqrt(4.0 / 45 / n_d));
    for (size_t i = 0; i < 16 * 576; i++)
        CHECK(one->params[b_one + i] == 0);
    vt_adapter_free(all);
    vt_adapter_free(one);
    vt_adapter_free(other);
}

static void golden_adapter(void)
{
    struct vt_adapter *a = NULL;
    vt_st *s = NULL;
    vt_err err = {0};
    char *warning = NULL;
    CHECK_OK(vt_adapter_load(GOLDEN("lora"), &smollm2, "00", &a, &warning, &err), err);
    CHECK_OK(vt_st_open(GOLDEN("lora/adapter_model.safetensors"), &s, &err), err);
    if (!a || !s)
        return;
    CHECK(warning == NULL); /* PEFT names no base digest */
    CHECK_INT(a->rank, 16);
    CHECK_NEAR(a->alpha, 32, 0);
    CHECK_INT(a->targets, VT_LORA_DEFAULT);
    CHECK_INT(a->n_params, 30 * 16 * (2 * (576 + 576) + 2 * (192 + 576) + 3 * (576 + 1536)));
    const struct vt_tensor *t = vt_st_find(s, "base_model.model.model.layers.29.mlp.up_proj.lora_B.weight");
    size_t a_off = 0, b_off = 0;
    CHECK(t && vt_adapter_at(a, 29, VT_LORA_UP, &a_off, &b_off));
    float row[16] = {0};
    if (t)
        vt_tensor_row(t, 1000, row);
    CHECK(memcmp(row, a->params + b_off + 16 * 1000, sizeof row) == 0);
    vt_st_free(s);
    vt_adapter_free(a);
}

static void round_trip(void)
{
    const char *dir = scratch_path("adapter");
    struct vt_adapter *a = NULL, *b = NULL, *c = NULL;
    vt_err err = {0};
    char *warning = NULL;
    CHECK_OK(vt_adapter_new(&tiny, 2, 5, VT_LORA_DEFAULT | 1u << VT_LORA_UNEMBED, 3, &a, &err), err);
    a->m = calloc(a->n_params, sizeof *a->m);
    a->v = calloc(a->n_params, sizeof *a->v);
    for (size_t i = 0; i < a->n_params; i++) {
        a->params[i] = (float)i * 0.001f;
        a->m[i] = -(float)i;
        a->v[i] = 1.0f / (float)(i + 1);
    }
    a->step = 1234567890123456789u;
    a->trained_on = strdup("{\"families\":[\"norm\"],\"tasks\":[1,2]}");
    memset(a->base_digest, 'a', 64);
    CHECK_OK(vt_adapter_save(a, dir, VT_F32, true, &err), err);
    CHECK_OK(vt_adapter_load(dir, &tiny, a->base_digest, &b, &warning, &err), err);
    if (!b)
        return;
    CHECK(warning == NULL);
    CHECK_INT(b->rank, 2);
    CHECK_NEAR(b->alpha, 5, 0);
    CHECK_INT(b->targets, a->targets);
    CHECK(b->step == a->step);
    CHECK_STR(b->trained_on, a->trained_on);
    CHECK_STR(b->base_digest, a->base_digest);
    CHECK(b->m && b->v && memcmp(a->params, b->params, a->n_params * 4) == 0);
    CHECK(b->m && memcmp(a->m, b->m, a->n_params * 4) == 0 && memcmp(a->v, b->v, a->n_params * 4) == 0);
    CHECK_OK(vt_adapter_clone(b, &c, &err), err);
    CHECK(c && c->params != b->params && memcmp(c->v, b->v, a->n_params * 4) == 0 &&
          strcmp(c->trained_on, b->trained_on) == 0);
    vt_adapter_free(b);
    vt_adapter_free(c);
    /* Saved again as bf16 without moments: rounded once, and no stale moments stay behind. */
    b = NULL;
    CHECK_OK(vt_adapter_save(a, dir, VT_BF16, false, &err), err);
    CHECK_OK(vt_adapter_load(dir, &tiny, "bb", &b, &warning, &err), err);
    CHECK(b && !b->m && !b->v);
    CHECK(warning && strstr(warning, "another base"));
    for (size_t i = 0; b && i < b->n_params; i++)
        CHECK_NEAR(b->params[i], vt_bf16_to_f32(vt_f32_to_bf16(a->params[i])), 0);
    free(warning);
    vt_adapter_free(a);
    vt_adapter_free(b);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static void expect_refused(const char *dir, const struct vt_lm_config *cfg, vt_status status, const char *says)
{
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    char *warning = NULL;
    CHECK_INT(vt_adapter_load(dir, cfg, NULL, &a, &warning, &err), status);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
    CHECK(a == NULL);
}

static void replace_config(const char *dir, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s/adapter_config.json", dir);
    write_scratch(path, text, strlen(text));
}

#define LORA "{\"peft_type\":\"LORA\",\"target_modules\":\"all-linear\""

static void refused(void)
{
    static const struct {
        const char *config, *says;
        vt_status status;
    } rows[] = {
        {LORA ",\"r\":2,\"rank_pattern\":{\"q_proj\":8}}", "rank_pattern", VT_EUNSUPPORTED},
        {LORA ",\"r\":2,\"use_dora\":true}", "use_dora", VT_EUNSUPPORTED},
        {LORA ",\"r\":2,\"modules_to_save\":[\"lm_head\"]}", "modules_to_save", VT_EUNSUPPORTED},
        {LORA ",\"r\":2,\"bias\":\"all\"}", "bias", VT_EUNSUPPORTED},
        {"{\"peft_type\":\"IA3\",\"r\":2,\"lora_alpha\":4}", "IA3", VT_EUNSUPPORTED},
        {LORA "}", "model.layers.0.self_attn.q_proj.lora_A.weight has shape [2, 8], this model and rank need [8, 8]",
         VT_EINVAL}, /* r is 8 unless said */
        {LORA ",\"r\":0}", "rank 0", VT_EINVAL},
        {LORA ",\"r\":2,\"lora_alpha\":0}", "alpha 0", VT_EINVAL},
        {LORA ",\"r\":\"2\"}", "key r is \"2\"; an integer", VT_EFORMAT},
        {LORA ",\"r\":2,\"r\":3}", "\"r\" twice", VT_EFORMAT},
        {LORA ",\"r\":2,\"use_xlora\":true}", "key use_xlora (true) is none that vegttt knows", VT_EUNSUPPORTED},
        {LORA ",\"r\":2,\"task_type\":\"SEQ_CLS\"}", "SEQ_CLS", VT_EUNSUPPORTED},
        {"{\"peft_type\":\"LORA\",\"r\":2}", "model.layers.0.self_attn.k_proj, which target_modules",
         VT_EUNSUPPORTED}, /* none named: PEFT adapts q_proj and v_proj only */
        {"{\"peft_type\":\"LORA\",\"r\":2,", "adapter_config.json", VT_EFORMAT},
    };
    const char *dir = scratch_path("refused");
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    CHECK_OK(vt_adapter_new(&tiny, 2, 4, VT_LORA_DEFAULT, 3, &a, &err), err);
    CHECK_OK(vt_adapter_save(a, dir, VT_F32, false, &err), err);
    struct vt_lm_config wider = tiny, deeper = tiny, shallower = tiny;
    wider.d_ff = 16;
    deeper.n_layers = 3;
    shallower.n_layers = 1;
    expect_refused(dir, &wider, VT_EINVAL, "mlp.gate_proj.lora_B.weight has shape [12, 2]");
    expect_refused(dir, &deeper, VT_EFORMAT, "model.layers.2.self_attn.q_proj.lora_A.weight is missing");
    expect_refused(dir, &shallower, VT_EUNSUPPORTED, "model.layers.1.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        replace_config(dir, rows[i].config);
        expect_refused(dir, &tiny, rows[i].status, rows[i].says);
    }
    a->params[5] = NAN;
    CHECK_OK(vt_adapter_save(a, dir, VT_F32, false, &err), err);
    expect_refused(dir, &tiny, VT_EFORMAT, "NaN");
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    expect_refused(dir, &tiny, VT_ENOENT, "adapter_config.json");
    vt_adapter_free(a);
}

/* Which modules PEFT's three ways of naming them select, and what is left out. */
static void config_selects_modules(void)
{
    static const char q[] = "model.layers.0.self_attn.q_proj", v[] = "model.layers.0.self_attn.v_proj",
                      head[] = "lm_head";
    static const struct {
        const char *targets;
        bool q, v, head;
    } cases_of[] = {{"", true, true, false},
                    {"\"target_modules\":null", true, true, false},
                    {"\"target_modules\":\"all-linear\"", true, true, false},
                    {"\"target_modules\":[\"q_proj\",\"lm_head\"]", true, false, true},
                    {"\"target_modules\":\".*_proj\"", true, true, false},
                    {"\"target_modules\":\"all-linear\",\"exclude_modules\":[\"v_proj\"]", true, false, false},
                    {"\"target_modules\":[\"proj\"]", false, false, false}};
    vt_err err = {0};
    for (size_t i = 0; i < sizeof cases_of / sizeof cases_of[0]; i++) {
        const bool want[] = {cases_of[i].q, cases_of[i].v, cases_of[i].head};
        const char *const module[] = {q, v, head};
        struct vt_adapter_config c;
        char text[256];
        vt_json *j = NULL;
        snprintf(text, sizeof text, "{\"peft_type\":\"LORA\",\"r\":4%s%s}", *cases_of[i].targets ? "," : "",
                 cases_of[i].targets);
        CHECK_OK(vt_json_parse(text, strlen(text), "a config", &j, &err), err);
        CHECK_OK(vt_adapter_config_read(j, "a config", &c, &err), err);
        for (int k = 0; k < 3; k++) {
            bool is = !want[k];
            CHECK_OK(vt_adapter_config_targets(&c, module[k], "a config", &is, &err), err);
            if (is != want[k])
                printf("  %s of %s\n", module[k], text);
            CHECK_INT(is, want[k]);
        }
        vt_json_free(j);
    }
    static const char some[] = "{\"peft_type\":\"LORA\",\"layers_to_transform\":[0]}";
    struct vt_adapter_config c;
    vt_json *j = NULL;
    CHECK_OK(vt_json_parse(some, strlen(some), "a config", &j, &err), err);
    CHECK_INT(vt_adapter_config_read(j, "a config", &c, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "layers_to_transform") != NULL);
    vt_json_free(j);
}

static const struct test_case cases[] = {TEST(config_selects_modules), TEST(layout),     TEST(start_values),
                                         TEST(golden_adapter),         TEST(round_trip), TEST(refused)};
TEST_MAIN(cases)
