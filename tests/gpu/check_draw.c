/* SPDX-License-Identifier: Apache-2.0
 *
 * check_draw.c: the last two kernels of a step on logits that the test makes: every draw against the law of
 * engine/cpu/lm_sample.c in double, for vocabularies of one chunk and many, with ties, all filters and bans; and the
 * log-probability, entropy and sum of logits that come with it. A draw within 1e-5 of an edge of its CDF, or a filter
 * that close to its cut, is counted and left out.
 */
#include "harness.h"

#include "base/rng.h"
#include "cuda/cuda.h"
#include "cuda/cuda_parts.h"
#include "direct.h"
#include "model_common.h"
#include "numbers.h"

enum { ROWS = 64 };

struct law {
    int token;
    double logprob, behaviour, entropy, sum, near;
};

struct item {
    double z;
    int id;
};

static int by_logit(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    if (x->z != y->z)
        return x->z < y->z ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static bool is_banned(const struct vt_sampling *s, int id)
{
    for (int i = 0; i < s->n_banned; i++)
        if (s->banned[i] == id)
            return true;
    return false;
}

static double closer(double a, double b)
{
    return a < b ? a : b;
}

/* Keeps the first tokens of the sorted list that the filters leave; returns their number. */
static int filter(const struct vt_sampling *s, const struct item *list, const double *p, int n, double *near)
{
    int kept = s->top_k > 0 && s->top_k < n ? s->top_k : n;
    double total = 0, running = 0;
    for (int i = 0; i < kept; i++)
        total += p[i];
    for (int i = 0; s->top_p < 1 && i < kept; i++) {
        running += p[i];
        *near = closer(*near, fabs(running / total - (double)s->top_p));
        if (running >= (double)s->top_p * total)
            kept = i + 1;
    }
    for (int i = 1; s->min_p > 0 && i < kept; i++) {
        *near = closer(*near, fabs(p[i] / p[0] - (double)s->min_p));
        if (p[i] < (double)s->min_p * p[0])
            kept = i;
    }
    (void)list;
    return kept;
}

static struct law law_of(const float *z, int n, const struct vt_sampling *s, double u)
{
    struct law r = {.near = 1};
    struct item *list = vt_alloc_array((size_t)n, sizeof *list);
    double *p = vt_alloc_array((size_t)n, sizeof *p), top = -INFINITY, exps = 0, weighted = 0, total = 0, running = 0;
    const double t = (double)s->temperature;
    int m = 0, kept;
    for (int i = 0; i < n; i++)
        top = (double)z[i] > top ? (double)z[i] : top;
    for (int i = 0; i < n; i++) {
        const double e = exp((double)z[i] - top);
        exps += e;
        weighted += e * (double)z[i];
        r.sum += (double)z[i];
        if (!is_banned(s, i))
            list[m++] = (struct item){(double)z[i], i};
    }
    const double lse = top + log(exps);
    r.entropy = lse - weighted / exps;
    const bool is_sorted = s->top_k > 0 || s->top_p < 1 || s->min_p > 0 || t < 0.02;
    if (is_sorted)
        qsort(list, (size_t)m, sizeof *list, by_logit);
    top = -INFINITY;
    for (int i = 0; i < m; i++)
        top = list[i].z > top ? list[i].z : top;
    for (int i = 0; i < m; i++)
        p[i] = t > 0 ? exp((list[i].z - top) / t) : 1;
    kept = t == 0 ? 1 : filter(s, list, p, m, &r.near);
    for (int i = 0; i < kept; i++)
        total += p[i];
    int at = kept - 1;
    for (int i = 0; i < kept; i++) {
        running += p[i];
        r.near = i + 1 < kept ? closer(r.near, fabs(running / total - u)) : r.near;
        if (running > u * total) {
            at = i;
            break;
        }
    }
    r.token = list[at].id;
    r.logprob = (double)z[r.token] - lse;
    r.behaviour = t == 0 ? 0 : log(p[at] / total);
    free(list);
    free(p);
    return r;
}

/* --- the kernels on given logits --- */

struct bed {
    struct vt_cuda *be;
    struct vt_dev_shape shape;
    struct vt_dev_job job;
    vt_gpu_ptr logits, sums, memory;
    size_t record_bytes, records_at, out_at, ids_at, bytes;
    char *host;
};

static bool make_bed(struct bed *b, struct vt_cuda *be, int n_vocab)
{
    vt_err err = {0};
    memset(b, 0, sizeof *b);
    b->be = be;
    b->shape = be->shape;
    b->shape.n_vocab = n_vocab;
    b->shape.ld_vocab = (n_vocab + 7) / 8 * 8;
    b->shape.n_chunks = (n_vocab + VT_DEV_HEAD_CHUNK - 1) / VT_DEV_HEAD_CHUNK;
    b->record_bytes = sizeof(struct vt_dev_slot);
    b->records_at = sizeof b->job;
    b->ids_at = b->records_at + ROWS * b->record_bytes;
    b->out_at = b->ids_at + 1024;
    b->bytes = b->out_at + ROWS * 7 * sizeof(float);
    b->host = vt_alloc(b->bytes);
    CHECK_OK(vt_gpu_alloc(be->gpu, b->bytes, "a test's job", &b->memory, &err), err);
    CHECK_OK(vt_gpu_alloc(be->gpu, (size_t)ROWS * (size_t)b->shape.ld_vocab * 4, "a test's logits", &b->logits, &err),
             err);
    CHECK_OK(vt_gpu_alloc(be->gpu, (size_t)ROWS * (size_t)b->shape.n_chunks * 20, "a test's sums", &b->sums, &err),
             err);
    return b->memory && b->logits && b->sums;
}

static void free_bed(struct bed *b)
{
    vt_gpu_free(b->be->gpu, b->memory);
    vt_gpu_free(b->be->gpu, b->logits);
    vt_gpu_free(b->be->gpu, b->sums);
    free(b->host);
}

/* Lays out header, rows, records, ids and results in one block and sends it. */
static void fill_bed(struct bed *b, const struct vt_sampling *s)
{
    vt_err err = {0};
    const vt_gpu_ptr at = b->memory, records = at + b->records_at, out = at + b->out_at;
    memset(b->host, 0, b->bytes);
    b->job = (struct vt_dev_job){.n_rows = ROWS, .n_steps = 1};
    uint64_t *const fields[] = {&b->job.tokens,    &b->job.logprob, &b->job.behaviour, &b->job.entropy,
                                &b->job.certainty, &b->job.n_out,   &b->job.finished};
    for (size_t i = 0; i < 7; i++)
        *fields[i] = out + i * ROWS * sizeof(float);
    memcpy(b->host + b->ids_at, s->banned, (size_t)s->n_banned * sizeof(int32_t));
    for (int i = 0; i < ROWS; i++) {
        const struct vt_dev_slot slot = {.seed = (uint64_t)i + 77,
                                         .banned = at + b->ids_at,
                                         .n_banned = s->n_banned,
                                         .n_prompt = 5,
                                         .n_tokens = i % 3,
                                         .max_tokens = 100,
                                         .top_k = s->top_k,
                                         .temperature = s->temperature,
                                         .top_p = s->top_p,
                                         .min_p = s->min_p};
        const uint64_t where = records + (uint64_t)i * b->record_bytes;
        b->job.rows[i] = where;
        memcpy(b->host + b->records_at + (size_t)i * b->record_bytes, &slot, sizeof slot);
    }
    memcpy(b->host, &b->job, sizeof b->job);
    CHECK_OK(vt_gpu_copy_in(b->be->gpu, b->memory, b->host, b->bytes, b->be->stream, &err), err);
}

static void run_bed(struct bed *b)
{
    vt_err err = {0};
    const struct vt_gpu_grid chunks = {.x = (unsigned)((b->shape.n_chunks + 7) / 8), .y = ROWS, .threads = 256};
    const struct vt_gpu_grid draw = {.x = ROWS, .threads = 256, .smem = (unsigned)b->shape.n_chunks * 20};
    void *args[] = {&b->memory, &b->logits, &b->sums, &b->shape};
    CHECK_OK(vt_cuda_launch(b->be, VT_CUDA_step_chunks, &chunks, args, &err), err);
    CHECK_OK(vt_cuda_launch(b->be, VT_CUDA_step_draw, &draw, args, &err), err);
    CHECK_OK(vt_gpu_copy_out(b->be->gpu, b->host, b->memory, b->bytes, b->be->stream, &err), err);
    CHECK_OK(vt_gpu_stream_wait(b->be->gpu, b->be->stream, &err), err);
}

static void check_kind(struct bed *b, const char *name, const struct vt_sampling *s, float *logits)
{
    vt_err err = {0};
    const size_t bytes = (size_t)ROWS * (size_t)b->shape.ld_vocab * sizeof(float);
    const float *out = (const float *)(const void *)(b->host + b->out_at);
    int n_wrong = 0, n_near = 0;
    double worst = 0;
    CHECK_OK(vt_gpu_copy_in(b->be->gpu, b->logits, logits, bytes, b->be->stream, &err), err); /* bans were written in */
    fill_bed(b, s);
    run_bed(b);
    for (int i = 0; i < ROWS; i++) {
        int32_t token;
        const double u = vt_philox_uniform((uint64_t)i + 77, 0, (uint64_t)(i % 3));
        const struct law want = law_of(logits + (size_t)i * (size_t)b->shape.ld_vocab, b->shape.n_vocab, s, u);
        memcpy(&token, &out[i], sizeof token);
        if (want.near < 1e-5) {
            n_near++;
            continue;
        }
        n_wrong += token != want.token;
        const double d[] = {token == want.token ? (double)out[ROWS + i] - want.logprob : 0,
                            token == want.token ? (double)out[2 * ROWS + i] - want.behaviour : 0,
                            (double)out[3 * ROWS + i] - want.entropy,
                            ((double)out[4 * ROWS + i] - want.sum) / b->shape.n_vocab};
        for (size_t k = 0; k < sizeof d / sizeof d[0]; k++)
            if (!(fabs(d[k]) <= worst))
                worst = fabs(d[k]);
    }
    printf("  vocabulary %6d, %-32s %2d of %d differ (%d near an edge), worst value off by %.1e\n", b->shape.n_vocab,
           name, n_wrong, ROWS - n_near, n_near, worst);
    CHECK_INT(n_wrong, 0);
    CHECK(n_near < ROWS / 2);
    CHECK(worst < 2e-5);
}

static void draws(void)
{
    static const int sizes[] = {90, 1024, 5000, 151936};
    static const int32_t banned[] = {3, 17, 18, 40, 88};
    static const struct {
        const char *name;
        struct vt_sampling s;
    } kinds[] = {{"temperature 1", {.temperature = 1, .top_p = 1}},
                 {"temperature 0.25", {.temperature = 0.25f, .top_p = 1}},
                 {"argmax", {.temperature = 0, .top_p = 1}},
                 {"temperature 0.01", {.temperature = 0.01f, .top_p = 1}},
                 {"top-k 5", {.temperature = 1, .top_p = 1, .top_k = 5}},
                 {"top-k 1", {.temperature = 2, .top_p = 1, .top_k = 1}},
                 {"top-p 0.7", {.temperature = 1, .top_p = 0.7f}},
                 {"top-p 0.001", {.temperature = 1, .top_p = 0.001f}},
                 {"min-p 0.1", {.temperature = 1, .top_p = 1, .min_p = 0.1f}},
                 {"top-k 20, top-p 0.8, min-p 0.02", {.temperature = 1.3f, .top_p = 0.8f, .top_k = 20, .min_p = 0.02f}},
                 {"bans", {.temperature = 1, .top_p = 1, .banned = banned, .n_banned = 5}},
                 {"bans, top-k 3", {.temperature = 1, .top_p = 1, .top_k = 3, .banned = banned, .n_banned = 5}}};
    vt_ckpt *ckpt = NULL;
    struct direct d;
    vt_err err = {0};
    const struct vt_lm_opts o = {.max_memory = (uint64_t)2 << 30};
    if (vt_gpu_count(NULL) == 0)
        SKIP("there is no GPU here");
    CHECK_OK(vt_ckpt_open(GOLDEN("tiny/qwen2"), &ckpt, &err), err);
    if (!ckpt || !direct_open(&d, &vt_lm_cuda_ops, ckpt, &o))
        return;
    for (size_t v = 0; v < sizeof sizes / sizeof sizes[0]; v++) {
        struct bed b;
        struct vt_stream rng;
        vt_stream_init(&rng, v);
        if (!make_bed(&b, d.be, sizes[v]))
            break;
        const size_t n = (size_t)ROWS * (size_t)b.shape.ld_vocab;
        float *logits = vt_alloc_array(n, sizeof *logits);
        /* Multiples of 1/16: many are equal. Every fourth row is far off, as a model's logits may be. */
        for (size_t i = 0; i < n; i++)
            logits[i] =
                (float)(round(16 * 3 * normal(&rng)) / 16) + (i / (size_t)b.shape.ld_vocab % 4 == 0 ? 40.0f : 0.0f);
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
            check_kind(&b, kinds[k].name, &kinds[k].s, logits);
        free(logits);
        free_bed(&b);
    }
    direct_close(&d);
    vt_ckpt_free(ckpt);
}

static const struct test_case cases[] = {TEST(draws)};
TEST_MAIN(cases)
