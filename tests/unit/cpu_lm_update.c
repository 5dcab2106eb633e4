/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_update.c: what an update may rely on, on tiny models: gradients are those of the loss (finite differences,
 * every module and the unembedding), equal for one and two threads, the same packed and unpacked; zero weights move
 * nothing, not by a bit; positive weights on a token raise its log-probability and negative ones lower it.
 */
#include "harness.h"

#include "cpu_lm_common.h"

enum { N = 6 };

struct bench {
    struct model m;
    struct vt_adapter *a;
    int id;
    struct seq s[N];
};

static const int prompt_of[N] = {0, 0, 0, 1, 1, 2}, lengths[N] = {5, 80, 1, 0, 9, 30}, prompt_lengths[3] = {70, 3, 128};

static char *tiny_path(const char *name)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", GOLDEN("tiny"), name);
    return path;
}

static void make_seq(struct seq *s, int i, int n_vocab)
{
    uint32_t prompt_state = 5u + (uint32_t)prompt_of[i], state = 900u + (uint32_t)i;
    *s = (struct seq){.n_prompt = prompt_lengths[prompt_of[i]], .n = lengths[i]};
    s->prompt = vt_alloc_array((size_t)s->n_prompt, sizeof *s->prompt);
    s->tokens = vt_alloc_array((size_t)s->n, sizeof *s->tokens);
    s->w = vt_alloc_array((size_t)s->n, sizeof *s->w);
    s->logp = vt_alloc_array((size_t)s->n, sizeof *s->logp);
    for (int t = 0; t < s->n_prompt; t++)
        s->prompt[t] = (int32_t)(next_random(&prompt_state) % (uint32_t)n_vocab);
    for (int t = 0; t < s->n; t++) {
        s->tokens[t] = (int32_t)(next_random(&state) % (uint32_t)n_vocab);
        s->w[t] = (float)(next_random(&state) % 17) / 8 - 1;
    }
}

static bool bench_open(struct bench *b, const char *name, enum vt_lm_precision p, const char *isa, int n_threads)
{
    vt_err err = {0};
    uint32_t state = 3;
    memset(b, 0, sizeof *b);
    if (!open_model(&b->m, tiny_path(name), p, isa, n_threads))
        return false;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(b->m.lm), 4, 8, 0xff, 9, &b->a, &err), err);
    for (size_t i = 0; i < b->a->n_params; i++)
        if (b->a->params[i] == 0)
            b->a->params[i] = ((float)(next_random(&state) % 2001) - 1000) * 1e-4f;
    CHECK_OK(vt_lm_adapter_put(b->m.lm, b->a, &b->id, &err), err);
    for (int i = 0; i < N; i++)
        make_seq(&b->s[i], i, vt_lm_cfg(b->m.lm)->n_vocab);
    return true;
}

static void bench_close(struct bench *b)
{
    for (int i = 0; i < N; i++)
        free_seq(&b->s[i]);
    vt_adapter_free(b->a);
    close_model(&b->m);
}

static vt_lm_grad *gradient_handle(struct bench *b)
{
    vt_lm_grad *grad = NULL;
    (void)train(b->m.lm, b->s, N, b->id, true, &grad);
    return grad;
}

static float *gradient(struct bench *b, bool pack)
{
    vt_lm_grad *grad = NULL;
    (void)train(b->m.lm, b->s, N, b->id, pack, &grad);
    float *x = grad_floats(b->m.lm, grad);
    vt_lm_grad_free(b->m.lm, grad);
    return x;
}

/* Central difference of the loss along a random direction inside each module, against grad . direction. */
static void finite_differences(void)
{
    static const char *const names[] = {"llama", "qwen2", "qwen3"};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        struct bench b;
        vt_err err = {0};
        if (!bench_open(&b, names[k], VT_LM_F32, NULL, 2))
            return;
        float *grad = gradient(&b, true);
        double worst = 0;
        int n = 0;
        for (int layer = 0; layer <= b.a->cfg.n_layers; layer++)
            for (int t = 0; t < VT_LORA_N; t++)
                for (int part = 0; part < 2; part++) {
                    size_t off[2];
                    int d[2];
                    if (!vt_adapter_at(b.a, layer, (enum vt_target)t, &off[0], &off[1]))
                        continue;
                    vt_adapter_dims(&b.a->cfg, (enum vt_target)t, &d[1], &d[0]);
                    const size_t size = (size_t)(d[part] * b.a->rank);
                    const float step = 2e-3f;
                    double want = 0, scale = 0, loss[2];
                    for (size_t i = 0; i < size; i++) {
                        want += (double)grad[off[part] + i] * (i % 3 ? 1 : -1);
                        scale += (double)grad[off[part] + i] * (double)grad[off[part] + i];
                    }
                    for (int side = 0; side < 2; side++) {
                        struct vt_adapter *moved = NULL;
                        int id = 0;
                        CHECK_OK(vt_adapter_clone(b.a, &moved, &err), err);
                        for (size_t i = 0; i < size; i++)
                            moved->params[off[part] + i] += (i % 3 ? step : -step) * (side ? -1.0f : 1.0f);
                        CHECK_OK(vt_lm_adapter_put(b.m.lm, moved, &id, &err), err);
                        loss[side] = train(b.m.lm, b.s, N, id, true, NULL);
                        vt_lm_adapter_drop(b.m.lm, id);
                        vt_adapter_free(moved);
                    }
                    const double got = (loss[0] - loss[1]) / (2 * (double)step),
                                 error = fabs(got - want) / (sqrt(scale * (double)size) + 1e-3);
                    worst = error > worst ? error : worst;
                    n++;
                }
        printf("  %s: worst difference %.1e of the largest possible slope, over %d tensors\n", names[k], worst, n);
        CHECK(n == 2 * 2 * 7 + 2);
        CHECK(worst <= 1e-2);
        free(grad);
        bench_close(&b);
    }
}

/* The batch has six stripes; one and two threads claim three at once, three threads two, six threads one. */
static void threads_agree(void)
{
    static const int n_threads[] = {2, 3, 6};
    for (int k = 0; vt_kernels_at(k); k++)
        for (int p = VT_LM_FAST; p <= VT_LM_F32; p++) {
            struct bench one, more;
            if (!bench_open(&one, "qwen3", (enum vt_lm_precision)p, vt_kernels_at(k)->name, 1))
                return;
            float *a = gradient(&one, true);
            CHECK(compare(a, a, one.a->n_params).norm > 0);
            for (size_t i = 0; i < sizeof n_threads / sizeof n_threads[0]; i++) {
                if (!bench_open(&more, "qwen3", (enum vt_lm_precision)p, vt_kernels_at(k)->name, n_threads[i]))
                    return;
                float *b = gradient(&more, true);
                CHECK(memcmp(a, b, one.a->n_params * sizeof *a) == 0);
                free(b);
                bench_close(&more);
            }
            free(a);
            bench_close(&one);
        }
}

static void packing_agrees(void)
{
    for (int k = 0; vt_kernels_at(k); k++) {
        struct bench b;
        if (!bench_open(&b, "llama", VT_LM_F32, vt_kernels_at(k)->name, 2))
            return;
        float *packed = gradient(&b, true), *alone = gradient(&b, false);
        const struct likeness l = compare(packed, alone, b.a->n_params);
        printf("  %s: packed against unpacked: relative l2 %.1e\n", vt_lm_numerics(b.m.lm), l.rel);
        CHECK(l.rel <= 1e-6);
        free(packed);
        free(alone);
        bench_close(&b);
    }
}

static void zero_weights(void)
{
    const struct vt_adam adam = {.lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    struct bench b;
    vt_err err = {0};
    double norm = -1;
    struct vt_adapter *after = NULL;
    if (!bench_open(&b, "llama", VT_LM_FAST, NULL, 2))
        return;
    for (int i = 0; i < N; i++)
        memset(b.s[i].w, 0, (size_t)b.s[i].n * sizeof(float));
    vt_lm_grad *grad = gradient_handle(&b);
    float *x = grad_floats(b.m.lm, grad);
    int n_not_zero = 0;
    for (size_t i = 0; i < b.a->n_params; i++)
        n_not_zero += x[i] != 0;
    free(x);
    CHECK_INT(n_not_zero, 0);
    CHECK_OK(vt_lm_adam(b.m.lm, b.id, grad, &adam, &norm, &err), err);
    CHECK(norm == 0);
    CHECK_OK(vt_lm_adapter_get(b.m.lm, b.id, &after, &err), err);
    CHECK(memcmp(after->params, b.a->params, b.a->n_params * sizeof(float)) == 0);
    CHECK_INT(after->step, 1);
    vt_adapter_free(after);
    vt_lm_grad_free(b.m.lm, grad);
    bench_close(&b);
}

/* Ten Adam steps that weigh one token of one completion by +1 or -1. */
static void learns(void)
{
    const struct vt_adam adam = {.lr = 3e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    for (int sign = -1; sign <= 1; sign += 2) {
        struct bench b;
        vt_err err = {0};
        double norm, first = 0;
        enum { SEQ = 4, TOKEN = 3 };
        if (!bench_open(&b, "qwen2", VT_LM_FAST, NULL, 2))
            return;
        for (int i = 0; i < N; i++)
            memset(b.s[i].w, 0, (size_t)b.s[i].n * sizeof(float));
        b.s[SEQ].w[TOKEN] = (float)sign;
        for (int step = 0; step < 10; step++) {
            vt_lm_grad *grad = gradient_handle(&b);
            if (step == 0)
                first = (double)b.s[SEQ].logp[TOKEN];
            CHECK_OK(vt_lm_adam(b.m.lm, b.id, grad, &adam, &norm, &err), err);
            vt_lm_grad_free(b.m.lm, grad);
        }
        (void)train(b.m.lm, b.s, N, b.id, true, NULL);
        const double last = (double)b.s[SEQ].logp[TOKEN];
        printf("  weight %+d: log-probability %.3f -> %.3f\n", sign, first, last);
        CHECK(sign * (last - first) > 0.2);
        bench_close(&b);
    }
}

static void moments_travel(void)
{
    const struct vt_adam adam = {
        .lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f, .grad_clip = 0.5f, .weight_decay = 0.01f};
    struct bench b;
    vt_err err = {0};
    double norm;
    int clone = 0;
    struct vt_adapter *x = NULL, *y = NULL;
    if (!bench_open(&b, "llama", VT_LM_F32, NULL, 2))
        return;
    vt_lm_grad *grad = gradient_handle(&b);
    CHECK_OK(vt_lm_adam(b.m.lm, b.id, grad, &adam, &norm, &err), err);
    CHECK_OK(vt_lm_adapter_clone(b.m.lm, b.id, &clone, &err), err);
    CHECK(clone != b.id);
    CHECK_OK(vt_lm_adam(b.m.lm, b.id, grad, &adam, &norm, &err), err);
    CHECK_OK(vt_lm_adam(b.m.lm, clone, grad, &adam, &norm, &err), err);
    CHECK_OK(vt_lm_adapter_get(b.m.lm, b.id, &x, &err), err);
    CHECK_OK(vt_lm_adapter_get(b.m.lm, clone, &y, &err), err);
    CHECK(memcmp(x->params, y->params, x->n_params * sizeof(float)) == 0);
    CHECK(memcmp(x->m, y->m, x->n_params * sizeof(float)) == 0);
    CHECK(memcmp(x->v, y->v, x->n_params * sizeof(float)) == 0);
    CHECK_INT(y->step, 2);
    vt_adapter_free(x);
    vt_adapter_free(y);
    vt_lm_grad_free(b.m.lm, grad);
    bench_close(&b);
}

static const struct test_case cases[] = {TEST(finite_differences), TEST(threads_agree), TEST(packing_agrees),
                                         TEST(zero_weights),       TEST(learns),        TEST(moments_travel)};
TEST_MAIN(cases)
