/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_devices.c: one model on several GPUs (model/lm_many.h) against the same on one of them.
 *
 *     bench_devices [--devices N] [--runs N] [--eval "BENCH_EVAL TASKS.jsonl KERNELS EAGER.jsonl"] [135m] [1.5b] [7b]
 *
 * For every shape, with random weights: the LoRA step on 5 x (600 + 32 x 296) tokens by the backend alone, as shards on
 * one device, and on all; the samples of twice five prompts (320, 128 new tokens) on one device, five prompts after the
 * other, and on all at once; the samples of four prompts of 40 likewise, which each device draws in part. Gradients,
 * adapters after the steps and log-probabilities of one device and of all are compared bit for bit; of the samples it
 * is said how many tokens are equal.
 *
 * --eval: the evaluator's rate (bench_eval ... search) pinned to the first device and on all; then a step of test-time
 * training, 160 samples drawn, judged and learnt from, as the sum of its measured parts.
 *
 * Best of the runs after a warm one. NVLink multicast is never used: copies between devices are the driver's.
 */
#include "harness.h"

#include "bench_model.h"
#include "model/lm_many.h"

enum { MOST_GROUPS = 2 * GROUPS, HALF_GROUPS = 4, HALF_EACH = 40, MOST_SLOTS = MOST_GROUPS * EACH };

struct options {
    int devices, runs, steps;
    const char *eval;
};

struct place {
    const char *name;
    struct direct d;
    struct vt_lm_adapter adapter;
    double train, twice, halves; /* seconds; of twice: drawing alone */
    uint64_t peak;
    float *logprob, *grad;
    struct vt_adapter *after;
    int32_t *tokens; /* of twice */
};

static const struct shape *opening; /* what open_random opens */
static int32_t prompts[MOST_GROUPS][PROMPT], trained[SLOTS][TRAINED];

static vt_status open_random(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                             uint64_t *max_memory, void **be, vt_err *err)
{
    struct vt_cuda *opened = NULL;
    (void)ckpt;
    const vt_status status =
        vt_cuda_open_with(&opening->cfg, o, random_weights, NULL, limits, max_memory, &opened, err);
    *be = opened;
    return status;
}

static vt_status probe_random(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    struct vt_gpu_props p;
    (void)ckpt;
    return vt_gpu_look(o->device, &p, err);
}

/* devices 0: the backend alone, on the first. */
static bool open_place(struct place *p, const char *name, uint64_t devices)
{
    static struct vt_lm_ops random_ops;
    vt_err err = {0};
    uint64_t memory = 0;
    const struct vt_lm_opts o = {.devices = devices};
    random_ops = vt_lm_cuda_ops;
    random_ops.probe = probe_random;
    random_ops.open = open_random;
    *p = (struct place){.name = name};
    p->d = (struct direct){.ops = devices ? &vt_lm_many_ops : &random_ops, .cfg = opening->cfg};
    if (devices)
        CHECK_OK(vt_lm_many_open(&random_ops, NULL, &o, &p->d.limits, &memory, &p->d.be, &err), err);
    else
        CHECK_OK(open_random(NULL, &o, &p->d.limits, &memory, &p->d.be, &err), err);
    return p->d.be != NULL;
}

static void put_adapter(struct place *p)
{
    struct vt_adapter *a = NULL;
    struct vt_stream rng;
    vt_err err = {0};
    CHECK_OK(vt_adapter_new(&opening->cfg, 16, 32, VT_LORA_DEFAULT, 1, &a, &err), err);
    vt_stream_init(&rng, 3);
    for (size_t i = 0; a && i < a->n_params; i++)
        if (a->params[i] == 0)
            a->params[i] = (float)(0.01 * normal(&rng));
    p->adapter.shape = *a;
    p->adapter.shape.params = p->adapter.shape.m = p->adapter.shape.v = NULL;
    CHECK_OK(p->d.ops->adapter_put(p->d.be, a, &p->adapter, &err), err);
    vt_adapter_free(a);
}

/* --- training --- */

static double train_once(struct place *p, const float *w, bool keeps)
{
    static const struct vt_adam adam = {.lr = 1e-5f, .beta1 = 0.9f, .beta2 = 0.95f, .eps = 1e-12f};
    const int32_t *of[GROUPS];
    const struct vt_lm_ops *ops = p->d.ops;
    double norm;
    vt_err err = {0};
    for (int g = 0; g < GROUPS; g++)
        of[g] = prompts[g];
    vt_lm_tape *t = direct_tape(of, PROMPT, GROUPS, EACH, trained[0], TRAINED, &p->adapter);
    vt_lm_grad grad = {.shape = p->adapter.shape};
    struct vt_lm_work f = {.kind = VT_LM_FORWARD, .forward = {.tape = t, .logprob = p->logprob}},
                      back = {.kind = VT_LM_BACKWARD, .backward = {.tape = t, .w = w, .grad = &grad}};
    const double start = vt_now_s();
    CHECK_OK(ops->grad_new(p->d.be, &grad, &err), err);
    CHECK_OK(direct_run(&p->d, &f, ops->forward, &err), err);
    if (test_failures_in_case == 0)
        CHECK_OK(direct_run(&p->d, &back, ops->backward, &err), err);
    if (test_failures_in_case == 0)
        CHECK_OK(ops->adam(p->d.be, &p->adapter, &grad, &adam, &norm, &err), err);
    const double took = vt_now_s() - start;
    if (keeps && test_failures_in_case == 0) {
        p->grad = vt_alloc_array(grad.shape.n_params, sizeof *p->grad);
        CHECK_OK(ops->grad_read(p->d.be, &grad, p->grad, &err), err);
    }
    ops->grad_free(p->d.be, &grad);
    direct_tape_free(&p->d, t);
    return took;
}

static void train(struct place *p, const struct options *o)
{
    const size_t n = (size_t)SLOTS * TRAINED;
    float *w = vt_alloc_array(n, sizeof *w);
    vt_err err = {0};
    p->logprob = vt_alloc_array(n, sizeof *p->logprob);
    for (size_t i = 0; i < n; i++)
        w[i] = i / TRAINED % 2 ? 1.0f / SLOTS : -1.0f / SLOTS;
    p->train = 1e9;
    for (int run = -1; run < o->runs && test_failures_in_case == 0; run++) {
        const double took = train_once(p, w, run == -1);
        if (run >= 0)
            p->train = fmin(p->train, took);
    }
    free(w);
    if (test_failures_in_case == 0)
        CHECK_OK(p->d.ops->adapter_get(p->d.be, &p->adapter, &p->after, &err), err);
}

/* --- sampling --- */

static void open_groups(struct place *p, int n, vt_lm_group **groups)
{
    const int32_t *tokens[MOST_GROUPS];
    int lengths[MOST_GROUPS];
    for (int g = 0; g < n; g++) {
        tokens[g] = prompts[g];
        lengths[g] = PROMPT;
    }
    for (int g = 0; g < n; g += GROUPS)
        direct_groups(&p->d, tokens + g, lengths + g, n - g < GROUPS ? n - g : GROUPS, &p->adapter, groups + g);
}

/* Seconds that the samples of n groups take, `at_once` groups a job. */
static double draw(struct place *p, const struct options *o, int n, int each, int at_once, int32_t *tokens)
{
    const struct vt_sampling s = {.temperature = 0.25f, .top_p = 1};
    double best = 1e9;
    for (int run = -1; run < o->runs && test_failures_in_case == 0; run++) {
        vt_lm_group *groups[MOST_GROUPS];
        vt_lm_slot *slots[MOST_SLOTS];
        open_groups(p, n, groups);
        for (int i = 0; i < n * each; i++)
            slots[i] = direct_slot(&p->d, groups[i / each], (uint64_t)i, &s, o->steps, NULL, 0);
        const double start = vt_now_s();
        for (int g = 0; g < n; g += at_once) {
            const int here = (n - g < at_once ? n - g : at_once) * each;
            struct draws *r = direct_decode(&p->d, slots + g * each, here, o->steps);
            if (tokens)
                memcpy(tokens + (size_t)(g * each) * (size_t)o->steps, r->tokens,
                       (size_t)here * (size_t)o->steps * sizeof *tokens);
            draws_free(r);
        }
        if (run >= 0)
            best = fmin(best, vt_now_s() - start);
        for (int i = 0; i < n * each; i++)
            direct_slot_free(&p->d, slots[i]);
        for (int g = 0; g < n; g++)
            direct_group_free(&p->d, groups[g]);
    }
    return best;
}

/* --- a shape --- */

static bool measure(struct place *p, const char *name, uint64_t devices, const struct options *o)
{
    const double start = vt_now_s();
    if (!open_place(p, name, devices))
        return false;
    put_adapter(p);
    const double opened = vt_now_s() - start;
    const bool is_many = devices & (devices - 1);
    p->tokens = vt_alloc_array((size_t)MOST_SLOTS * (size_t)o->steps, sizeof *p->tokens);
    p->twice = draw(p, o, MOST_GROUPS, EACH, is_many ? MOST_GROUPS : GROUPS, p->tokens);
    p->halves = draw(p, o, HALF_GROUPS, HALF_EACH, HALF_GROUPS, NULL);
    train(p, o);
    (void)p->d.ops->bytes(p->d.be, &p->peak);
    p->d.ops->adapter_free(p->d.be, &p->adapter);
    direct_close(&p->d);
    printf("  %-22s step %.3f s; 320 samples %.3f s, 160 %.3f s; opened in %.1f s, peak %.1f GB\n", name, p->train,
           p->twice, p->halves, opened, (double)p->peak / 1e9);
    return test_failures_in_case == 0;
}

static void free_place(struct place *p)
{
    free(p->logprob);
    free(p->grad);
    free(p->tokens);
    vt_adapter_free(p->after);
}

static double equal_share(const int32_t *a, const int32_t *b, size_t n)
{
    size_t equal = 0;
    for (size_t i = 0; i < n; i++)
        equal += a[i] == b[i];
    return 100 * (double)equal / (double)n;
}

static bool run_shape(const struct shape *shape, const struct options *o, double step[2])
{
    static struct place alone, one, all;
    struct vt_stream rng;
    char name[32];
    opening = shape;
    vt_stream_init(&rng, 2);
    for (int g = 0; g < MOST_GROUPS; g++)
        for (int i = 0; i < PROMPT; i++)
            prompts[g][i] = (int32_t)vt_stream_below(&rng, (uint64_t)shape->cfg.n_vocab);
    for (int i = 0; i < SLOTS; i++)
        for (int t = 0; t < TRAINED; t++)
            trained[i][t] = (int32_t)vt_stream_below(&rng, (uint64_t)shape->cfg.n_vocab);
    printf("%s\n", shape->name);
    (void)snprintf(name, sizeof name, "%d GPUs", o->devices);
    if (!measure(&alone, "1 GPU, the backend", 0, o) || !measure(&one, "1 GPU, in shards", 1, o) ||
        !measure(&all, name, ((uint64_t)1 << o->devices) - 1, o))
        return false;
    const size_t n = one.after->n_params, n_targets = (size_t)SLOTS * TRAINED;
    const bool same = memcmp(one.logprob, all.logprob, n_targets * sizeof(float)) == 0,
               same_grad = memcmp(one.grad, all.grad, n * sizeof(float)) == 0,
               same_after = memcmp(one.after->params, all.after->params, n * sizeof(float)) == 0 &&
                            memcmp(one.after->v, all.after->v, n * sizeof(float)) == 0;
    printf("  %s: LoRA step %.2fx of the backend alone, %.2fx of one in shards; 320 samples %.2fx (%.0f tok/s), 160 "
           "split %.2fx\n"
           "  %s: bits of one GPU and %d: log-probabilities %s, gradients %s, adapter after %d steps %s; tokens equal: "
           "%.2f %%\n",
           shape->name, alone.train / all.train, one.train / all.train, one.twice / all.twice,
           MOST_SLOTS * o->steps / all.twice, one.halves / all.halves, shape->name, o->devices,
           same ? "equal" : "DIFFER", same_grad ? "equal" : "DIFFER", o->runs + 1, same_after ? "equal" : "DIFFER",
           equal_share(one.tokens, all.tokens, (size_t)MOST_SLOTS * (size_t)o->steps));
    step[0] = alone.halves + alone.train;
    step[1] = all.halves + all.train;
    free_place(&alone);
    free_place(&one);
    free_place(&all);
    return same && same_grad && same_after;
}

/* --- evaluation --- */

/* "20 mixed tasks: … s: 12.3 a second (checked and timed)": what bench_eval says, with VEGTTT_EVAL_DEVICES as it is. */
static double candidates_per_second(const struct options *o)
{
    char command[1024], line[512];
    double rate = 0;
    (void)snprintf(command, sizeof command, "%s search 2>&1", o->eval);
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f)) {
        const char *from = strstr(line, " s: ");
        if (from && strstr(line, "20 mixed tasks") && strstr(line, "(checked and timed)"))
            rate = strtod(from + 4, NULL);
    }
    if (f)
        (void)pclose(f);
    return rate;
}

int main(int argc, char **argv)
{
    struct options o = {.devices = 2, .runs = 3, .steps = MOST_NEW};
    bool asked[sizeof shapes / sizeof shapes[0]] = {false}, is_any = false, is_good = true;
    double step[sizeof shapes / sizeof shapes[0]][2] = {{0}}, rate[2] = {0};
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (has_value && strcmp(argv[i], "--devices") == 0)
            o.devices = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--runs") == 0)
            o.runs = (int)strtol(argv[++i], NULL, 10);
        else if (has_value && strcmp(argv[i], "--eval") == 0)
            o.eval = argv[++i];
        else
            for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
                if (strcmp(argv[i], shapes[k].name) == 0)
                    asked[k] = is_any = true;
    }
    vt_err err = {0};
    struct vt_gpu_props p;
    const int n = vt_gpu_count(&err);
    if (n < o.devices || o.devices < 1 || o.runs < 1)
        return fprintf(stderr, "%d GPUs are asked for, and there are %d\n", o.devices, n), 2;
    for (int d = 0; d < o.devices; d++)
        if (vt_gpu_look(d, &p, &err) == VT_OK)
            printf("GPU %d: %s\n", d, p.name);
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++)
        if (asked[k] || !is_any)
            is_good &= run_shape(&shapes[k], &o, step[k]);
    if (!o.eval)
        return is_good ? 0 : 1;
    (void)setenv("VEGTTT_EVAL_DEVICES", "0", 1);
    rate[0] = candidates_per_second(&o);
    (void)unsetenv("VEGTTT_EVAL_DEVICES");
    rate[1] = candidates_per_second(&o);
    printf("evaluation of 20 mixed tasks: %.1f candidates a second on one GPU, %.1f on all: %.2fx\n", rate[0], rate[1],
           rate[1] / rate[0]);
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0] && rate[0] > 0 && rate[1] > 0; k++)
        if (step[k][1] > 0)
            printf("%s: 160 samples drawn, judged and learnt from: %.2f s on one GPU, %.2f s on all: %.2fx\n",
                   shapes[k].name, step[k][0] + 160 / rate[0], step[k][1] + 160 / rate[1],
                   (step[k][0] + 160 / rate[0]) / (step[k][1] + 160 / rate[1]));
    return is_good ? 0 : 1;
}
