/* SPDX-License-Identifier: Apache-2.0
 *
 * check_products.c: a step's own matrix products (engine/cuda/gemm.cuh) against sums in double, over shapes and numbers
 * of samples that leave tiles, stages and clusters ragged; that an element does not depend on the number of samples;
 * and their time beside cuBLASLt's for the shapes of the bars (where VEGTTT_TIME is set).
 */
#include "harness.h"

#include "base/rng.h"
#include "cuda/cuda.h"
#include "cuda/cuda_parts.h"
#include "direct.h"
#include "model_common.h"

struct fixture {
    vt_ckpt *ckpt;
    struct direct d;
    struct vt_cuda *be;
};

static bool open_fixture(struct fixture *f)
{
    vt_err err = {0};
    const struct vt_lm_opts o = {.max_memory = (uint64_t)12 << 30};
    CHECK_OK(vt_ckpt_open(GOLDEN("tiny/qwen2"), &f->ckpt, &err), err);
    if (!f->ckpt || !direct_open(&f->d, &vt_lm_cuda_ops, f->ckpt, &o))
        return false;
    f->be = f->d.be;
    return true;
}

static void close_fixture(struct fixture *f)
{
    direct_close(&f->d);
    vt_ckpt_free(f->ckpt);
}

/* A matrix of random bf16 numbers on both sides. */
struct matrix {
    uint16_t *host;
    vt_gpu_ptr device;
    int rows, k;
};

static bool make_matrix(struct vt_cuda *be, struct matrix *m, int rows, int k, uint64_t seed)
{
    vt_err err = {0};
    const size_t n = (size_t)rows * (size_t)k;
    struct vt_stream rng;
    vt_stream_init(&rng, seed);
    *m = (struct matrix){.host = vt_alloc_array(n, sizeof(uint16_t)), .rows = rows, .k = k};
    for (size_t i = 0; i < n; i++)
        m->host[i] = vt_f32_to_bf16((float)vt_stream_uniform(&rng) - 0.5f);
    CHECK_OK(vt_gpu_alloc(be->gpu, n * sizeof(uint16_t), "a test's matrix", &m->device, &err), err);
    if (m->device)
        CHECK_OK(vt_gpu_copy_in(be->gpu, m->device, m->host, n * sizeof(uint16_t), be->stream, &err), err);
    return m->device != 0;
}

static void free_matrix(struct vt_cuda *be, struct matrix *m)
{
    vt_gpu_free(be->gpu, m->device);
    free(m->host);
}

static double dot(const struct matrix *x, int row, const struct matrix *w, int column)
{
    double sum = 0;
    for (int i = 0; i < x->k; i++)
        sum += (double)vt_bf16_to_f32(x->host[(size_t)row * (size_t)x->k + (size_t)i]) *
               (double)vt_bf16_to_f32(w->host[(size_t)column * (size_t)x->k + (size_t)i]);
    return sum;
}

/* x w' + u b', where there is a b. */
struct factors {
    struct matrix x, w, u, b;
};

static double sum_of(const struct factors *f, int row, int column)
{
    return dot(&f->x, row, &f->w, column) + (f->b.host ? dot(&f->u, row, &f->b, column) : 0);
}

static double want(const struct factors *f, int row, int column, enum vt_dev_gemm_kind kind)
{
    if (kind != VT_DEV_GEMM_SWIGLU)
        return sum_of(f, row, column);
    const int at = column / 8 * 16 + column % 8;
    const double gate = sum_of(f, row, at);
    return gate / (1 + exp(-gate)) * sum_of(f, row, at + 8);
}

struct result {
    const void *out;
    enum vt_dev_gemm_kind kind;
    int columns, n_splits;
};

/* Element (row, column) of a result on the host. */
static double got(const struct result *r, int row, int column)
{
    const void *out = r->out;
    const int columns = r->columns;
    const size_t at = (size_t)row * (size_t)columns + (size_t)column;
    double sum = 0;
    if (r->kind == VT_DEV_GEMM_SWIGLU)
        return (double)vt_bf16_to_f32(((const uint16_t *)out)[at]);
    for (int s = 0; s < r->n_splits; s++)
        sum += (double)((const float *)out)[(size_t)s * VT_CUDA_STEP_ROWS * (size_t)columns + at];
    return sum;
}

static const char *const kind_names[] = {"partial", "swiglu", "float"};

/* Of an adapter: n_low columns behind the weight's own, n_tail columns of k behind its own; 0 = none. */
static void check_shape(struct vt_cuda *be, enum vt_dev_gemm_kind kind, int n_columns, int n_low, int n_tail, int k)
{
    static const int counts[] = {1, 16, 33, 64, 96, 130, 160, 161, 256};
    const int columns = kind == VT_DEV_GEMM_SWIGLU ? n_columns / 2 : n_columns + n_low;
    struct vt_cuda_site site = {.n_low = n_low + n_tail, .k = k, .n_out = n_columns, .is_known = n_tail > 0};
    struct factors f = {0};
    struct matrix low = {0};
    struct vt_cuda_product p = {0};
    struct vt_cuda_samples s, lows;
    vt_gpu_ptr out = 0;
    vt_err err = {0};
    uint32_t state = 1;
    double worst = 0;
    int n_moved = 0;
    if (!make_matrix(be, &f.w, n_columns, k, 1) || !make_matrix(be, &f.x, VT_CUDA_STEP_ROWS, k, 2))
        return;
    CHECK_OK(vt_cuda_product_make(be, kind, f.w.device, n_columns, k, &p, &err), err);
    CHECK_OK(vt_cuda_samples_make(be, f.x.device, k, &s, &err), err);
    site.cut = vt_cuda_cut_of(&be->machine, kind, n_columns, k, n_low, n_tail);
    site.low = &lows;
    if (n_low && make_matrix(be, &low, n_low, k, 3))
        CHECK_OK(vt_cuda_view(be, low.device, n_low, k, &site.map, &err), err);
    if (n_tail && make_matrix(be, &f.b, n_columns, n_tail, 4) && make_matrix(be, &f.u, VT_CUDA_STEP_ROWS, n_tail, 5)) {
        CHECK_OK(vt_cuda_view(be, f.b.device, n_columns, n_tail, &site.map, &err), err);
        CHECK_OK(vt_cuda_samples_make(be, f.u.device, n_tail, &lows, &err), err);
    }
    const struct vt_cuda_site *used = site.n_low ? &site : NULL;
    const struct vt_cuda_cut *cut = used ? &site.cut : &p.cut;
    const size_t bytes = (size_t)cut->n_splits * VT_CUDA_STEP_ROWS * (size_t)columns * sizeof(float);
    char *host = vt_alloc(bytes), *first = vt_alloc(bytes);
    const struct result now = {host, kind, columns, cut->n_splits}, then = {first, kind, columns, cut->n_splits};
    CHECK_OK(vt_gpu_alloc(be->gpu, bytes, "a test's result", &out, &err), err);
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        const int n = counts[c];
        CHECK_OK(vt_gpu_fill(be->gpu, out, 0xff, bytes, be->stream, &err), err); /* NaN where nothing is written */
        CHECK_OK(vt_cuda_product(be, &p, used, &s, n, out, columns, &err), err);
        CHECK_OK(vt_gpu_copy_out(be->gpu, host, out, bytes, be->stream, &err), err);
        CHECK_OK(vt_gpu_stream_wait(be->gpu, be->stream, &err), err);
        for (int i = 0; i < 300; i++) {
            state = state * 1664525u + 1013904223u;
            const int row = (int)(state >> 8) % n;
            state = state * 1664525u + 1013904223u;
            const int column = i < 40 ? columns - 1 - i % columns : (int)(state >> 8) % columns;
            const bool is_low = kind != VT_DEV_GEMM_SWIGLU && column >= n_columns;
            const double a = got(&now, row, column),
                         b = is_low ? dot(&f.x, row, &low, column - n_columns) : want(&f, row, column, kind),
                         e = fabs(a - b) / (1 + fabs(b));
            if (!(e <= worst))
                worst = e;
        }
        if (c > 0)
            for (int column = 0; column < columns; column++)
                n_moved += got(&now, 0, column) != got(&then, 0, column);
        if (c == 0)
            memcpy(first, host, bytes);
    }
    printf("  %-8s %6d + %3d x %5d + %3d: tiles of %3d samples, %d clusters of %d, %d splits: worst error %.1e, %d "
           "elements "
           "move "
           "with the batch\n",
           kind_names[kind], n_columns, n_low, k, n_tail, cut->samples, cut->n_clusters, cut->ranks, cut->n_splits,
           worst, n_moved);
    CHECK(worst < (kind == VT_DEV_GEMM_SWIGLU ? 6e-3 : 2e-4));
    CHECK_INT(n_moved, 0);
    free(host);
    free(first);
    vt_gpu_free(be->gpu, out);
    free_matrix(be, &f.w);
    free_matrix(be, &f.x);
    free_matrix(be, &f.u);
    free_matrix(be, &f.b);
    free_matrix(be, &low);
}

static void shapes(void)
{
    struct fixture f = {0};
    if (vt_gpu_count(NULL) == 0)
        SKIP("there is no GPU here");
    if (!open_fixture(&f))
        return;
    if (f.be->is_own) {
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 960, 0, 0, 576);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 120, 0, 0, 64);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 576, 0, 0, 1536);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 300, 0, 0, 200);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 1536, 0, 0, 8960);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 144, 0, 0, 64);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 3072, 0, 0, 576);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 17920, 0, 0, 1536);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 37888, 0, 0, 512);
        check_shape(f.be, VT_DEV_GEMM_FLOAT, 90, 0, 0, 64);
        check_shape(f.be, VT_DEV_GEMM_FLOAT, 49152, 0, 0, 576);
        check_shape(f.be, VT_DEV_GEMM_FLOAT, 152064, 0, 0, 200);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 120, 48, 0, 64);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 4608, 48, 0, 3584);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 1536, 16, 0, 8960);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 3584, 288, 0, 2048);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 120, 0, 48, 64);
        check_shape(f.be, VT_DEV_GEMM_PARTIAL, 4608, 0, 144, 3584);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 144, 0, 32, 64);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 17920, 0, 32, 1536);
        check_shape(f.be, VT_DEV_GEMM_SWIGLU, 3072, 0, 512, 576);
    }
    const bool is_own = f.be->is_own;
    close_fixture(&f);
    if (!is_own)
        SKIP("this card has no Hopper instructions");
}

/* --- time --- */

enum { TIMES = 40, COPIES = 4 };

static double elapsed_us(struct vt_cuda *be, const vt_cu_event e[2])
{
    vt_err err = {0};
    float ms = 0;
    CHECK_OK(vt_gpu_event_wait(be->gpu, e[1], &err), err);
    CHECK_OK(vt_gpu_event_ms(be->gpu, e[0], e[1], &ms, &err), err);
    return (double)ms * 1e3 / TIMES;
}

/* COPIES weights take turns, so that none is still in the second-level cache where it is small enough to stay. */
static void time_shape(struct vt_cuda *be, const char *name, enum vt_dev_gemm_kind kind, int n_columns, int k,
                       bool is_zero)
{
    const int columns = kind == VT_DEV_GEMM_SWIGLU ? n_columns / 2 : n_columns;
    struct matrix w, x;
    struct vt_cuda_product p[COPIES] = {0};
    struct vt_cuda_samples s;
    vt_gpu_ptr weights = 0, out = 0;
    vt_cu_event e[2];
    vt_err err = {0};
    const size_t bytes = (size_t)n_columns * (size_t)k * 2;
    if (!make_matrix(be, &w, 1024, k, 1) || !make_matrix(be, &x, VT_CUDA_STEP_ROWS, k, 2))
        return;
    CHECK_OK(vt_gpu_alloc(be->gpu, COPIES * bytes + ((size_t)4 << 20), "a test's weights", &weights, &err), err);
    CHECK_OK(vt_gpu_alloc(be->gpu, (size_t)32 * VT_CUDA_STEP_ROWS * (size_t)columns * 4, "a test's result", &out, &err),
             err);
    for (size_t at = 0; at < COPIES * bytes; at += (size_t)1024 * (size_t)k * 2) {
        const size_t n =
            COPIES * bytes - at < (size_t)1024 * (size_t)k * 2 ? COPIES * bytes - at : (size_t)1024 * (size_t)k * 2;
        (void)vt_gpu_cu(be->gpu)->copy_across(weights + at, w.device, n, be->stream);
    }
    if (is_zero)
        CHECK_OK(vt_gpu_fill(be->gpu, x.device, 0, (size_t)VT_CUDA_STEP_ROWS * (size_t)k * 2, be->stream, &err), err);
    CHECK_OK(vt_cuda_samples_make(be, x.device, k, &s, &err), err);
    for (int i = 0; i < COPIES; i++)
        CHECK_OK(vt_cuda_product_make(be, kind, weights + (size_t)i * bytes, n_columns, k, &p[i], &err), err);
    for (int i = 0; i < 2; i++)
        CHECK_OK(vt_gpu_event_new(be->gpu, true, &e[i], &err), err);
    double us[2];
    for (int own = 0; own < 2; own++) {
        for (int i = -8; i < TIMES; i++) {
            if (i == 0)
                CHECK_OK(vt_gpu_event_record(be->gpu, e[0], be->stream, &err), err);
            const struct vt_gpu_matmul m = {.x = x.device,
                                            .y = weights + (size_t)(i & 3) * bytes,
                                            .d = out,
                                            .m = 160,
                                            .n = n_columns,
                                            .k = k,
                                            .ldx = k,
                                            .ldy = k,
                                            .ldd = n_columns,
                                            .y_by_n = true,
                                            .is_f32 = kind != VT_DEV_GEMM_SWIGLU};
            CHECK_OK(own ? vt_cuda_product(be, &p[i & 3], NULL, &s, 160, out, columns, &err)
                         : vt_gpu_matmul(be->blas, be->stream, &m, &err),
                     err);
        }
        CHECK_OK(vt_gpu_event_record(be->gpu, e[1], be->stream, &err), err);
        us[own] = elapsed_us(be, e);
    }
    const struct vt_cuda_cut *c = &p[0].cut;
    printf("  %-5s %-8s %6d x %5d: tiles of %3d samples, %2d clusters of %d, %2d splits: %7.2f us own (%4.2f TB/s, "
           "expected "
           "%6.2f), "
           "%7.2f cuBLASLt\n",
           name, kind_names[kind], n_columns, k, c->samples, c->n_clusters, c->ranks, c->n_splits, us[1],
           (double)bytes / us[1] / 1e6, c->seconds * 1e6, us[0]);
    for (int i = 0; i < 2; i++)
        vt_gpu_event_free(be->gpu, e[i]);
    vt_gpu_free(be->gpu, weights);
    vt_gpu_free(be->gpu, out);
    free_matrix(be, &w);
    free_matrix(be, &x);
}

struct widths {
    const char *name;
    int qkv, d, q, ff, vocab;
};

static void time_shapes(struct vt_cuda *be, struct widths m)
{
    time_shape(be, m.name, VT_DEV_GEMM_PARTIAL, m.qkv, m.d, false);
    time_shape(be, m.name, VT_DEV_GEMM_PARTIAL, m.d, m.q, false);
    time_shape(be, m.name, VT_DEV_GEMM_SWIGLU, 2 * m.ff, m.d, false);
    time_shape(be, m.name, VT_DEV_GEMM_PARTIAL, m.d, m.ff, false);
    time_shape(be, m.name, VT_DEV_GEMM_FLOAT, m.vocab, m.d, false);
}

static void timing(void)
{
    static const struct widths m[] = {{"135m", 960, 576, 576, 1536, 49152},
                                      {"1.5b", 2048, 1536, 1536, 8960, 151936},
                                      {"7b", 4608, 3584, 3584, 18944, 152064}};
    struct fixture f = {0};
    if (!getenv("VEGTTT_TIME"))
        SKIP("VEGTTT_TIME is not set");
    if (!open_fixture(&f))
        return;
    const struct vt_cuda_machine machine = f.be->machine;
    for (int four = 0; four < 2; four++) {
        f.be->machine.most_clusters[four] = machine.most_clusters[four];
        f.be->machine.most_clusters[!four] = 0;
        for (size_t i = (size_t)four; i < sizeof m / sizeof m[0]; i++)
            time_shapes(f.be, m[i]);
    }
    /* Samples that are all zero: what power costs. */
    f.be->machine = machine;
    time_shape(f.be, "zeros", VT_DEV_GEMM_SWIGLU, 2 * 18944, 3584, true);
    time_shape(f.be, "zeros", VT_DEV_GEMM_PARTIAL, 3584, 18944, true);
    close_fixture(&f);
}
static const struct test_case cases[] = {TEST(shapes), TEST(timing)};
TEST_MAIN(cases)
