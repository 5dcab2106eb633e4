/* SPDX-License-Identifier: Apache-2.0
 *
 * check_train.c: adapters and training of the CUDA backend, through the door: gradients against PEFT's (tests/golden)
 * and against the CPU backend's, in batches whose completions share prompts; three Adam steps; cutting a batch into
 * chunks; the same bits again, whatever the tape keeps; what a sample drawn under an adapter reports against what it
 * scores; adapters read back.
 *
 * Bars: those of the CPU's bf16 mode (tests/unit/cpu_lm_golden.c): cosine 0.97 of fp64 on random
 * models (norms within 6 %, the CPU's within 5); against the CPU's bf16 gradients cosine 0.99.
 */
#include "harness.h"

#include "../unit/cpu_lm_common.h"
#include "cuda/cuda.h"
#include "cuda/cuda_train.h"
#include "gpu/gpu.h"

static const struct vt_lm_ops *const both[] = {&vt_lm_cuda_ops, &vt_lm_cpu_ops, NULL};
static const char *const tiny[] = {"llama", "llama_sharded", "qwen2", "qwen3"};
enum { N = 6 };
static const int prompt_of[N] = {0, 0, 0, 1, 1, 2}, lengths[N] = {5, 80, 1, 0, 9, 30}, prompt_lengths[3] = {70, 3, 128};

#define NEED_GPU()                                                                                                     \
    if (vt_gpu_count(NULL) == 0)                                                                                       \
    SKIP("there is no GPU here")

static bool open_on(struct model *m, const char *path, const char *backend)
{
    vt_err err = {0};
    const struct vt_lm_opts o = {.backends = both, .backend = backend, .max_memory = (uint64_t)6 << 30};
    memset(m, 0, sizeof *m);
    CHECK_OK(vt_ckpt_open(path, &m->ckpt, &err), err);
    if (m->ckpt)
        CHECK_OK(vt_lm_open(m->ckpt, &o, &m->lm, &err), err);
    return m->lm != NULL;
}

static struct vt_cuda *cuda_of(const vt_lm *lm)
{
    return lm->be;
}

static char *tiny_file(const char *name, const char *file)
{
    static char paths[4][512];
    static int at;
    char *p = paths[at++ & 3];
    snprintf(p, 512, "%s/%s%s%s", GOLDEN("tiny"), name, file ? "/" : "", file ? file : "");
    return p;
}

/* --- a model with heads of 128 elements, seven to a key head --- */

static const char wide_config[] =
    "{\"architectures\": [\"Qwen3ForCausalLM\"], \"model_type\": \"qwen3\", \"hidden_size\": 256, "
    "\"intermediate_size\": "
    "320, \"num_hidden_layers\": 3, \"num_attention_heads\": 7, \"num_key_value_heads\": 1, \"head_dim\": 128, "
    "\"vocab_size\": 301, \"max_position_embeddings\": 1024, \"rms_norm_eps\": 1e-6, \"rope_theta\": 1000000.0, "
    "\"hidden_act\": \"silu\", \"attention_bias\": false, \"tie_word_embeddings\": true, \"torch_dtype\": "
    "\"bfloat16\"}";

struct writer {
    struct vt_st_item items[64];
    char names[64][96];
    float *values[64];
    size_t n;
    uint32_t state;
};

static void add_tensor(struct writer *w, const char *name, int rows, int columns, float size)
{
    const size_t n = (size_t)(rows ? rows : 1) * (size_t)columns;
    float *x = w->values[w->n] = vt_alloc_array(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = rows ? size * ((float)(next_random(&w->state) % 2001) / 1000 - 1) : 1;
    snprintf(w->names[w->n], sizeof w->names[0], "%s", name);
    w->items[w->n] = (struct vt_st_item){.name = w->names[w->n],
                                         .dtype = VT_BF16,
                                         .n_dims = rows ? 2 : 1,
                                         .shape = {rows ? rows : columns, rows ? columns : 0},
                                         .values = x};
    w->n++;
}

static bool write_wide(char dir[64])
{
    static struct writer w;
    static const struct {
        const char *name;
        int rows, columns;
    } parts[] = {{"input_layernorm", 0, 256},    {"post_attention_layernorm", 0, 256}, {"self_attn.q_norm", 0, 128},
                 {"self_attn.k_norm", 0, 128},   {"self_attn.q_proj", 896, 256},       {"self_attn.k_proj", 128, 256},
                 {"self_attn.v_proj", 128, 256}, {"self_attn.o_proj", 256, 896},       {"mlp.gate_proj", 320, 256},
                 {"mlp.up_proj", 320, 256},      {"mlp.down_proj", 256, 320}};
    char path[160], name[96];
    vt_err err = {0};
    w = (struct writer){.state = 11};
    snprintf(dir, 64, "/tmp/vegttt-wide-XXXXXX");
    if (!mkdtemp(dir))
        return false;
    add_tensor(&w, "model.embed_tokens.weight", 301, 256, 0.5f);
    add_tensor(&w, "model.norm.weight", 0, 256, 1);
    for (int l = 0; l < 3; l++)
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
            snprintf(name, sizeof name, "model.layers.%d.%s.weight", l, parts[i].name);
            add_tensor(&w, name, parts[i].rows, parts[i].columns, 0.12f);
        }
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    CHECK_OK(vt_st_write(path, w.items, w.n, NULL, 0, &err), err);
    for (size_t i = 0; i < w.n; i++)
        free(w.values[i]);
    snprintf(path, sizeof path, "%s/config.json", dir);
    FILE *f = fopen(path, "w");
    const bool is_written = f && fputs(wide_config, f) >= 0;
    return f && fclose(f) == 0 && is_written;
}

static const char *wide_path(void)
{
    static char dir[64];
    if (!dir[0] && !write_wide(dir))
        return NULL;
    return dir;
}

/* --- golden gradients --- */

static void golden_gradients(void)
{
    NEED_GPU();
    for (size_t i = 0; i < sizeof tiny / sizeof tiny[0]; i++) {
        struct model m;
        struct seq s[16];
        struct vt_adapter *a = NULL;
        struct gap base = {0}, lora = {0};
        vt_lm_grad *g = NULL;
        vt_err err = {0};
        int n = 0, id = 0;
        if (!open_on(&m, tiny_file(tiny[i], NULL), "cuda"))
            return;
        vt_json *file = read_json(tiny_file(tiny[i], "golden.json"));
        for (const vt_json *row = vt_json_first(vt_json_get(file, "sequences")); row && n < 16; row = vt_json_next(row))
            s[n++] = json_seq(row, "prompt", "completion");
        CHECK_OK(vt_adapter_load(tiny_file(tiny[i], "adapter"), vt_lm_cfg(m.lm), NULL, &a, NULL, &err), err);
        CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
        const vt_json *row = vt_json_first(vt_json_get(file, "sequences"));
        for (int k = 0; k < n; k++, row = vt_json_next(row)) {
            float *want = json_floats(vt_json_get(row, "logp"), s[k].n),
                  *adapted = json_floats(vt_json_get(row, "logp_lora"), s[k].n);
            score_seq(m.lm, &s[k], 0);
            gap_add(&base, s[k].logp, want, s[k].n);
            score_seq(m.lm, &s[k], id);
            gap_add(&lora, s[k].logp, adapted, s[k].n);
            free(want);
            free(adapted);
        }
        const double loss = train(m.lm, s, n, id, true, &g);
        float *grad = grad_floats(m.lm, g);
        const struct worst w = compare_file(tiny_file(tiny[i], "grad.safetensors"), a, grad);
        printf("  %-13s |dlogp| mean %.1e max %.1e, adapted mean %.1e max %.1e; gradients rel %.1e, cosine %.5f, norm "
               "within %.1e over %d; loss %.4f, golden %.4f\n",
               tiny[i], gap_mean(&base), base.max, gap_mean(&lora), lora.max, w.rel, w.cosine, w.norm, w.n, loss,
               vt_json_num(vt_json_get(file, "loss"), NAN));
        CHECK(gap_mean(&base) <= 0.05);
        CHECK(gap_mean(&lora) <= 0.05);
        CHECK_INT(w.n, 28);
        CHECK(w.cosine >= 0.97);
        CHECK(w.norm <= 0.06);
        for (int k = 0; k < n; k++)
            free_seq(&s[k]);
        free(grad);
        vt_lm_grad_free(m.lm, g);
        vt_adapter_free(a);
        vt_json_free(file);
        close_model(&m);
    }
}

/* --- against the CPU --- */

/* Values of the batch, scored one sequence at a time, that are not those of the training batch. */
static int differ_scored(vt_lm *lm, const struct seq *s, int id)
{
    int n = 0;
    for (int i = 0; i < N; i++) {
        struct seq alone = s[i];
        alone.logp = vt_alloc_array((size_t)alone.n, sizeof *alone.logp);
        score_seq(lm, &alone, id);
        for (int t = 0; t < alone.n; t++)
            n += alone.logp[t] != s[i].logp[t];
        free(alone.logp);
    }
    return n;
}

/* What a model makes of the batch. */
struct outcome {
    struct model m;
    int id, n_differ;
    float *logp, *grad; /* of the untouched adapter */
    struct vt_adapter *moved;
    double norm[3];
    size_t n_grad;
};

static void run_batch(struct outcome *o, const struct vt_adapter *a)
{
    static const struct vt_adam adam = {.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    struct seq s[N];
    vt_err err = {0};
    int at = 0;
    CHECK_OK(vt_lm_adapter_put(o->m.lm, a, &o->id, &err), err);
    for (int i = 0; i < N; i++)
        random_seq(&s[i], vt_lm_cfg(o->m.lm)->n_vocab, prompt_of[i], prompt_lengths[prompt_of[i]], i, lengths[i]);
    o->logp = vt_alloc_array(256, sizeof *o->logp);
    o->n_grad = a->n_params;
    for (int step = 0; step < 3; step++) {
        vt_lm_grad *g = NULL;
        (void)train(o->m.lm, s, N, o->id, true, &g);
        if (step == 0) {
            o->grad = grad_floats(o->m.lm, g);
            o->n_differ = differ_scored(o->m.lm, s, o->id);
            for (int i = 0; i < N; i++)
                for (int t = 0; t < s[i].n; t++)
                    o->logp[at++] = s[i].logp[t];
        }
        if (g)
            CHECK_OK(vt_lm_adam(o->m.lm, o->id, g, &adam, &o->norm[step], &err), err);
        vt_lm_grad_free(o->m.lm, g);
    }
    CHECK_OK(vt_lm_adapter_get(o->m.lm, o->id, &o->moved, &err), err);
    for (int i = 0; i < N; i++)
        free_seq(&s[i]);
}

static void free_outcome(struct outcome *o)
{
    free(o->logp);
    free(o->grad);
    vt_adapter_free(o->moved);
    close_model(&o->m);
}

static int n_values(void)
{
    int n = 0;
    for (int i = 0; i < N; i++)
        n += lengths[i];
    return n;
}

static void compare_outcomes(const char *name, const struct outcome *gpu, const struct outcome *cpu,
                             const struct vt_adapter *a)
{
    struct gap g = {0};
    if (!gpu->grad || !cpu->grad || !gpu->moved || !cpu->moved)
        return;
    gap_add(&g, gpu->logp, cpu->logp, n_values());
    const struct likeness l = compare(gpu->grad, cpu->grad, a->n_params);
    for (size_t i = 0; i < a->n_params; i++) {
        gpu->moved->params[i] -= a->params[i];
        cpu->moved->params[i] -= a->params[i];
    }
    const struct likeness moved = compare(gpu->moved->params, cpu->moved->params, a->n_params);
    printf("  %-13s |dlogp| mean %.1e max %.1e; %d of %d scored apart differ; gradients rel %.1e, cosine %.5f, norm "
           "%.4f; after three steps cosine "
           "%.4f, norms %.4f %.4f %.4f\n",
           name, gap_mean(&g), g.max, gpu->n_differ, n_values(), l.rel, l.cosine, l.norm, moved.cosine,
           gpu->norm[0] / cpu->norm[0], gpu->norm[1] / cpu->norm[1], gpu->norm[2] / cpu->norm[2]);
    CHECK(gap_mean(&g) <= 0.05);
    CHECK_INT(gpu->n_differ, 0);
    CHECK(l.cosine >= 0.99);
    CHECK(fabs(l.norm - 1) <= 0.03);
    CHECK(moved.cosine >= 0.9);
    CHECK_INT(gpu->moved->step == 3, 1);
}

static void worst_modules(const char *name, const float *got, const float *want, const struct vt_adapter *a)
{
    static const char *const modules[] = {"q", "k", "v", "o", "gate", "up", "down"};
    for (int layer = 0; layer < a->cfg.n_layers; layer++)
        for (int t = 0; t < 7; t++) {
            size_t off[2];
            int d_out, d_in;
            if (!vt_adapter_at(a, layer, (enum vt_target)t, &off[0], &off[1]))
                continue;
            vt_adapter_dims(&a->cfg, (enum vt_target)t, &d_out, &d_in);
            const struct likeness la = compare(got + off[0], want + off[0], (size_t)(a->rank * d_in)),
                                  lb = compare(got + off[1], want + off[1], (size_t)(a->rank * d_out));
            if (la.cosine < 0.98 || lb.cosine < 0.98)
                printf("    %s layer %d %s: A cosine %.4f norm %.3f, B cosine %.4f norm %.3f\n", name, layer,
                       modules[t], la.cosine, la.norm, lb.cosine, lb.norm);
        }
}

static void run_both(const char *name, const char *path, int rank)
{
    struct outcome gpu = {0}, cpu = {0};
    if (!open_on(&gpu.m, path, "cuda") || !open_on(&cpu.m, path, "cpu"))
        return;
    struct vt_adapter *a = random_adapter(vt_lm_cfg(gpu.m.lm), rank, 9);
    run_batch(&gpu, a);
    run_batch(&cpu, a);
    if (gpu.grad && cpu.grad)
        worst_modules(name, gpu.grad, cpu.grad, a);
    compare_outcomes(name, &gpu, &cpu, a);
    free_outcome(&gpu);
    free_outcome(&cpu);
    vt_adapter_free(a);
}

static void against_cpu(void)
{
    NEED_GPU();
    for (int i = 0; i < 3; i++)
        run_both(tiny[i + (i > 0)], tiny_file(tiny[i + (i > 0)], NULL), 4);
    run_both("heads of 128", wide_path(), 20);
}

static void default_model(void)
{
    NEED_GPU();
    if (!model_path())
        SKIP(NO_MODEL);
    run_both("default model", model_path(), 16);
}

/* --- chunks, and the same bits again --- */

static float *gradient(vt_lm *lm, int id, bool pack)
{
    struct seq s[N];
    vt_lm_grad *g = NULL;
    for (int i = 0; i < N; i++)
        random_seq(&s[i], vt_lm_cfg(lm)->n_vocab, prompt_of[i], prompt_lengths[prompt_of[i]], i, lengths[i]);
    (void)train(lm, s, N, id, pack, &g);
    float *x = grad_floats(lm, g);
    vt_lm_grad_free(lm, g);
    for (int i = 0; i < N; i++)
        free_seq(&s[i]);
    return x;
}

static void chunks(void)
{
    NEED_GPU();
    struct model m;
    vt_err err = {0};
    int id = 0;
    if (!open_on(&m, wide_path(), "cuda"))
        return;
    struct vt_adapter *a = random_adapter(vt_lm_cfg(m.lm), 8, 1);
    CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
    float *whole = gradient(m.lm, id, true), *again = gradient(m.lm, id, true), *apart = gradient(m.lm, id, false);
    for (int kept = VT_CUDA_KEEP_INPUTS; whole && kept < VT_CUDA_KEEP_LAYER; kept++) {
        cuda_of(m.lm)->most_kept = kept;
        float *less = gradient(m.lm, id, true);
        CHECK(less && memcmp(whole, less, a->n_params * sizeof *whole) == 0);
        free(less);
    }
    cuda_of(m.lm)->wide_rows = 48;
    float *cut = gradient(m.lm, id, true);
    if (whole && again && cut && apart) {
        const struct likeness l = compare(cut, whole, a->n_params), p = compare(apart, whole, a->n_params);
        printf("  chunks of 48 rows: rel %.1e, cosine %.6f; prompts not shared: rel %.1e, cosine %.6f\n", l.rel,
               l.cosine, p.rel, p.cosine);
        CHECK(memcmp(whole, again, a->n_params * sizeof *whole) == 0);
        CHECK(l.cosine >= 0.999);
        CHECK(p.cosine >= 0.999);
    }
    free(whole);
    free(again);
    free(apart);
    free(cut);
    vt_adapter_free(a);
    close_model(&m);
}

/* --- sampling under adapters --- */

enum { PROMPTS = 3, EACH = 12, STEPS = 24, SAMPLES = PROMPTS * EACH };

/* Samples of three prompts under the given adapters, scored again. */
static void sample_and_score(vt_lm *lm, const int ids[PROMPTS], const char *what)
{
    static int32_t tokens[SAMPLES][STEPS], prompt[100];
    static float logp[SAMPLES][STEPS], behaviour[SAMPLES][STEPS], scored[SAMPLES][STEPS];
    const struct vt_sampling sampling = {.temperature = 1, .top_p = 1};
    vt_lm_group *groups[PROMPTS], *group_of[SAMPLES];
    vt_lm_slot *slots[SAMPLES];
    const int32_t *rows[SAMPLES];
    float *out[SAMPLES];
    int n_out[SAMPLES], n[SAMPLES];
    unsigned char finished[SAMPLES];
    struct gap g = {0};
    vt_err err = {0};
    uint32_t state = 77;
    for (int p = 0; p < PROMPTS; p++) {
        for (int t = 0; t < 100; t++)
            prompt[t] = (int32_t)(next_random(&state) % (uint32_t)vt_lm_cfg(lm)->n_vocab);
        groups[p] = prefill(lm, prompt, 70 + 9 * p, ids[p]);
        for (int i = 0; i < EACH; i++) {
            const int at = p * EACH + i;
            CHECK_OK(vt_lm_slot_open(lm, groups[p], (uint64_t)at, &sampling, STEPS, NULL, 0, &slots[at], &err), err);
            group_of[at] = groups[p];
            rows[at] = tokens[at];
            out[at] = scored[at];
            n[at] = STEPS;
        }
    }
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = slots,
                                       .n_slots = SAMPLES,
                                       .n_steps = STEPS,
                                       .tokens = tokens[0],
                                       .logprob = logp[0],
                                       .logprob_behaviour = behaviour[0],
                                       .n_out = n_out,
                                       .finished = finished}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    score_rows(lm, group_of, rows, n, SAMPLES, out);
    for (int i = 0; i < SAMPLES; i++) {
        CHECK_INT(n_out[i], STEPS);
        gap_add(&g, logp[i], scored[i], STEPS);
        vt_lm_slot_close(lm, slots[i]);
    }
    for (int p = 0; p < PROMPTS; p++)
        vt_lm_group_close(lm, groups[p]);
    printf("  %-44s sampler - scorer: mean %.2e max %.2e\n", what, gap_mean(&g), g.max);
    CHECK(gap_mean(&g) <= 2e-2);
}

static void sampling(void)
{
    NEED_GPU();
    for (int i = 0; i < 3; i++) {
        struct model m;
        vt_err err = {0};
        int ids[3] = {0}, copied = 0;
        char what[64];
        const char *name = i < 2 ? tiny[2 * i] : "heads of 128";
        if (!open_on(&m, i < 2 ? tiny_file(name, NULL) : wide_path(), "cuda"))
            return;
        struct vt_adapter *a[2] = {random_adapter(vt_lm_cfg(m.lm), 4, 1), random_adapter(vt_lm_cfg(m.lm), 33, 2)},
                          *back = NULL;
        for (int k = 0; k < 2; k++)
            CHECK_OK(vt_lm_adapter_put(m.lm, a[k], &ids[k], &err), err);
        const int none[3] = {0}, one[3] = {ids[0], ids[0], ids[0]}, other[3] = {ids[1], ids[1], ids[1]};
        snprintf(what, sizeof what, "%s, no adapter", name);
        sample_and_score(m.lm, none, what);
        snprintf(what, sizeof what, "%s, one adapter", name);
        sample_and_score(m.lm, one, what);
        snprintf(what, sizeof what, "%s, one of rank 33", name);
        sample_and_score(m.lm, other, what);
        snprintf(what, sizeof what, "%s, two adapters and none", name);
        sample_and_score(m.lm, ids, what);
        CHECK_OK(vt_lm_adapter_clone(m.lm, ids[1], &copied, &err), err);
        CHECK_OK(vt_lm_adapter_get(m.lm, copied, &back, &err), err);
        CHECK(back && memcmp(back->params, a[1]->params, a[1]->n_params * sizeof *a[1]->params) == 0);
        vt_adapter_free(back);
        for (int k = 0; k < 2; k++) {
            vt_lm_adapter_drop(m.lm, ids[k]);
            vt_adapter_free(a[k]);
        }
        close_model(&m);
    }
}

/* --- gradients as things --- */

static void gradients(void)
{
    NEED_GPU();
    struct model m;
    vt_err err = {0};
    int id = 0;
    if (!open_on(&m, tiny_file("llama", NULL), "cuda"))
        return;
    struct vt_adapter *a = random_adapter(vt_lm_cfg(m.lm), 4, 1);
    CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
    struct seq s[N];
    vt_lm_grad *g = NULL, *h = NULL;
    double gg = 0, gh = 0, cosine = 0;
    for (int i = 0; i < N; i++)
        random_seq(&s[i], vt_lm_cfg(m.lm)->n_vocab, prompt_of[i], prompt_lengths[prompt_of[i]], i, lengths[i]);
    (void)train(m.lm, s, N, id, true, &g);
    (void)train(m.lm, s, N / 2, id, true, &h);
    float *x = grad_floats(m.lm, g), *y = grad_floats(m.lm, h);
    if (x && y) {
        double want_gg = 0, want_gh = 0;
        for (size_t i = 0; i < a->n_params; i++) {
            want_gg += (double)x[i] * (double)x[i];
            want_gh += (double)x[i] * (double)y[i];
        }
        CHECK_OK(vt_lm_grad_dot(m.lm, g, g, &gg, &err), err);
        CHECK_OK(vt_lm_grad_dot(m.lm, g, h, &gh, &err), err);
        CHECK_OK(vt_lm_grad_cosine(m.lm, g, h, &cosine, &err), err);
        CHECK_NEAR(gg / want_gg, 1, 1e-9);
        CHECK_NEAR(gh / want_gh, 1, 1e-9);
        CHECK_OK(vt_lm_grad_add(m.lm, g, h, &err), err);
        float *sum = grad_floats(m.lm, g);
        int n_wrong = 0;
        for (size_t i = 0; sum && i < a->n_params; i++)
            n_wrong += sum[i] != x[i] + y[i];
        CHECK_INT(n_wrong, 0);
        free(sum);
    }
    free(x);
    free(y);
    vt_lm_grad_free(m.lm, g);
    vt_lm_grad_free(m.lm, h);
    for (int i = 0; i < N; i++)
        free_seq(&s[i]);
    vt_adapter_free(a);
    close_model(&m);
}

static const struct test_case cases[] = {TEST(golden_gradients), TEST(against_cpu), TEST(default_model),
                                         TEST(chunks),           TEST(sampling),    TEST(gradients)};
TEST_MAIN(cases)
