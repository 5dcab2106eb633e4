/* SPDX-License-Identifier: Apache-2.0
 *
 * blas.c: cuBLASLt behind blas.h. cuBLASLt thinks in column-major matrices, so the row-major d = x y is handed over as
 * d' = y' x' with every matrix read as its transpose, which costs nothing. Descriptors and the algorithm of a shape are
 * made once and kept in a small hash table. Constants are cuBLASLt's binary interface (compared with its header by
 * tests/gpu/abi.c).
 */
#include "gpu/blas.h"
#include "base/alloc.h"
#include "gpu/blas_abi.h"
#include "gpu/library.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_BUCKETS = 256, MANY_ROWS = 1024 };

#define LT_MAP(X)                                                                                                      \
    X(create, "cublasLtCreate", int, (void **handle))                                                                  \
    X(destroy, "cublasLtDestroy", int, (void *handle))                                                                 \
    X(version, "cublasLtGetVersion", size_t, (void))                                                                   \
    X(desc_create, "cublasLtMatmulDescCreate", int, (void **desc, int compute, int scale))                             \
    X(desc_destroy, "cublasLtMatmulDescDestroy", int, (void *desc))                                                    \
    X(desc_set, "cublasLtMatmulDescSetAttribute", int, (void *desc, int attr, const void *p, size_t n))                \
    X(layout_create, "cublasLtMatrixLayoutCreate", int,                                                                \
      (void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld))                                             \
    X(layout_destroy, "cublasLtMatrixLayoutDestroy", int, (void *layout))                                              \
    X(pref_create, "cublasLtMatmulPreferenceCreate", int, (void **pref))                                               \
    X(pref_destroy, "cublasLtMatmulPreferenceDestroy", int, (void *pref))                                              \
    X(pref_set, "cublasLtMatmulPreferenceSetAttribute", int, (void *pref, int attr, const void *p, size_t n))          \
    X(heuristic, "cublasLtMatmulAlgoGetHeuristic", int,                                                                \
      (void *handle, void *desc, void *a, void *b, void *c, void *d, void *pref, int want,                             \
       struct vt_lt_result *results, int *n))                                                                          \
    X(matmul, "cublasLtMatmul", int,                                                                                   \
      (void *handle, void *desc, const void *alpha, const void *a, void *la, const void *b, void *lb,                  \
       const void *beta, const void *c, void *lc, void *d, void *ld, const struct vt_lt_algo *algo, void *workspace,   \
       size_t workspace_bytes, vt_cu_stream stream))

static struct {
    pthread_once_t once;
    vt_status status;
    vt_err err;
    char *path;
#define X(name, symbol, result, args) result(*name) args;
    LT_MAP(X)
#undef X
} lt = {.once = PTHREAD_ONCE_INIT};

struct shape {
    int m, n, k, ldx, ldy, ldd;
    bool x_by_k, y_by_n, is_f32, is_unsplit;
};
struct plan {
    struct shape shape;
    void *desc, *x, *y, *d;
    struct vt_lt_algo algo;
    struct plan *next;
};

struct vt_gpu_blas {
    vt_gpu *gpu;
    void *handle;
    vt_gpu_ptr workspace;
    size_t workspace_bytes;
    struct plan *buckets[N_BUCKETS];
};

static vt_status fill(vt_err *err)
{
    void *lib;
    VT_TRY(vt_gpu_library_open("libcublasLt.so", &lib, &lt.path, err));
#define X(name, symbol, result, args) VT_TRY(vt_gpu_library_symbol(lib, lt.path, symbol, &lt.name, err));
    LT_MAP(X)
#undef X
    return VT_OK;
}

static void fill_once(void)
{
    lt.status = fill(&lt.err);
}

static vt_status ready(vt_err *err)
{
    (void)pthread_once(&lt.once, fill_once);
    if (lt.status != VT_OK && err)
        *err = lt.err;
    return lt.status;
}

vt_status vt_gpu_blas_describe(char *out, size_t len, vt_err *err)
{
    out[0] = '\0';
    VT_TRY(ready(err));
    const size_t v = lt.version();
    (void)snprintf(out, len, "cuBLASLt %zu.%zu.%zu (%s)", v / 10000, v / 100 % 100, v % 100, lt.path);
    return VT_OK;
}

static vt_status check(int result, const char *doing, vt_err *err)
{
    if (result == VT_LT_OK)
        return VT_OK;
    return vt_fail(err, VT_EIO, "%s: error %d of cuBLASLt", doing, result);
}

vt_status vt_gpu_blas_open(vt_gpu *g, size_t workspace, vt_gpu_blas **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(ready(err));
    vt_gpu_blas *b = vt_alloc(sizeof *b);
    if (!b)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening cuBLASLt");
    b->gpu = g;
    b->workspace_bytes = workspace;
    vt_status status = check(lt.create(&b->handle), "opening cuBLASLt", err);
    if (status == VT_OK)
        status = vt_gpu_alloc(g, workspace, "workspace of matrix products", &b->workspace, err);
    if (status != VT_OK) {
        vt_gpu_blas_close(b);
        return status;
    }
    *out = b;
    return VT_OK;
}

static void drop_views(struct plan *p)
{
    void **const all[] = {&p->x, &p->y, &p->d};
    for (int i = 0; i < 3; i++) {
        if (*all[i])
            (void)lt.layout_destroy(*all[i]);
        *all[i] = NULL;
    }
}

static void free_plan(struct plan *p)
{
    if (p->desc)
        (void)lt.desc_destroy(p->desc);
    drop_views(p);
    free(p);
}

void vt_gpu_blas_close(vt_gpu_blas *b)
{
    if (!b)
        return;
    for (int i = 0; i < N_BUCKETS; i++) {
        while (b->buckets[i]) {
            struct plan *p = b->buckets[i];
            b->buckets[i] = p->next;
            free_plan(p);
        }
    }
    if (b->handle)
        (void)lt.destroy(b->handle);
    vt_gpu_free(b->gpu, b->workspace);
    free(b);
}

/* The transposed view of a row-major matrix: its rows are columns. */
static vt_status view(int type, int rows, int cols, int ld, void **out, vt_err *err)
{
    return check(lt.layout_create(out, type, (uint64_t)cols, (uint64_t)rows, ld), "describing a matrix", err);
}

static vt_status views(struct plan *p, int m, vt_err *err)
{
    const struct shape *s = &p->shape;
    VT_TRY(view(VT_LT_R_16BF, s->x_by_k ? s->k : m, s->x_by_k ? m : s->k, s->ldx, &p->x, err));
    VT_TRY(view(VT_LT_R_16BF, s->y_by_n ? s->n : s->k, s->y_by_n ? s->k : s->n, s->ldy, &p->y, err));
    return view(s->is_f32 ? VT_LT_R_32F : VT_LT_R_16BF, m, s->n, s->ldd, &p->d, err);
}

static vt_status choose(vt_gpu_blas *b, struct plan *p, vt_err *err)
{
    /* Sums of a split k are added in fp32 scratch, never in the result's type. */
    const uint32_t reduction = p->shape.is_unsplit ? VT_LT_REDUCTION_NONE : VT_LT_REDUCTION_COMPUTE_TYPE;
    const uint32_t alignment = 16;
    const uint64_t room = b->workspace_bytes;
    struct vt_lt_result found = {0};
    void *pref = NULL;
    int n = 0;
    VT_TRY(check(lt.pref_create(&pref), "preparing a matrix product", err));
    int r = lt.pref_set(pref, VT_LT_PREF_WORKSPACE, &room, sizeof room);
    r = r ? r : lt.pref_set(pref, VT_LT_PREF_REDUCTION, &reduction, sizeof reduction);
    for (int attr = VT_LT_PREF_ALIGN_A; attr <= VT_LT_PREF_ALIGN_D; attr++)
        r = r ? r : lt.pref_set(pref, attr, &alignment, sizeof alignment);
    r = r ? r : lt.heuristic(b->handle, p->desc, p->y, p->x, p->d, p->d, pref, 1, &found, &n);
    (void)lt.pref_destroy(pref);
    if (r != VT_LT_OK || n < 1 || found.state != VT_LT_OK)
        return vt_fail(err, VT_EUNSUPPORTED, "cuBLASLt knows no way to multiply %d x %d by %d x %d (error %d)",
                       p->shape.m, p->shape.k, p->shape.k, p->shape.n, r ? r : found.state);
    p->algo = found.algo;
    return VT_OK;
}

static vt_status fill_plan(vt_gpu_blas *b, struct plan *p, vt_err *err)
{
    const struct shape *s = &p->shape;
    const int32_t trans_y = s->y_by_n ? VT_LT_OP_T : VT_LT_OP_N, trans_x = s->x_by_k ? VT_LT_OP_T : VT_LT_OP_N;
    VT_TRY(check(lt.desc_create(&p->desc, VT_LT_COMPUTE_32F, VT_LT_R_32F), "preparing a matrix product", err));
    VT_TRY(check(lt.desc_set(p->desc, VT_LT_DESC_TRANSA, &trans_y, sizeof trans_y), "preparing a matrix product", err));
    VT_TRY(check(lt.desc_set(p->desc, VT_LT_DESC_TRANSB, &trans_x, sizeof trans_x), "preparing a matrix product", err));
    /* For few rows it would choose kernels of another kind, which add in another order. */
    const int asked = s->is_unsplit && s->m < MANY_ROWS ? MANY_ROWS : s->m;
    VT_TRY(views(p, asked, err));
    VT_TRY(choose(b, p, err));
    if (asked == s->m)
        return VT_OK;
    drop_views(p);
    return views(p, s->m, err);
}

static unsigned hash(const struct shape *s)
{
    const unsigned values[] = {(unsigned)s->m,
                               (unsigned)s->n,
                               (unsigned)s->k,
                               (unsigned)s->ldx,
                               (unsigned)s->ldy,
                               (unsigned)s->ldd,
                               (unsigned)s->x_by_k | (unsigned)s->y_by_n << 1 | (unsigned)s->is_f32 << 2 |
                                   (unsigned)s->is_unsplit << 3};
    unsigned h = 2166136261u;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        h = (h ^ values[i]) * 16777619u;
    return (h ^ h >> 16) % N_BUCKETS;
}

static bool same(const struct shape *a, const struct shape *b)
{
    return a->m == b->m && a->n == b->n && a->k == b->k && a->ldx == b->ldx && a->ldy == b->ldy && a->ldd == b->ldd &&
           a->x_by_k == b->x_by_k && a->y_by_n == b->y_by_n && a->is_f32 == b->is_f32 && a->is_unsplit == b->is_unsplit;
}

static vt_status plan_of(vt_gpu_blas *b, const struct vt_gpu_matmul *m, struct plan **out, vt_err *err)
{
    const struct shape s = {.m = m->m,
                            .n = m->n,
                            .k = m->k,
                            .ldx = m->ldx,
                            .ldy = m->ldy,
                            .ldd = m->ldd,
                            .x_by_k = m->x_by_k,
                            .y_by_n = m->y_by_n,
                            .is_f32 = m->is_f32,
                            .is_unsplit = m->is_unsplit};
    struct plan **bucket = &b->buckets[hash(&s)];
    for (*out = *bucket; *out; *out = (*out)->next)
        if (same(&(*out)->shape, &s))
            return VT_OK;
    struct plan *p = vt_alloc(sizeof *p);
    if (!p)
        return vt_fail(err, VT_ENOMEM, "out of memory for the plan of a matrix product");
    p->shape = s;
    const vt_status status = fill_plan(b, p, err);
    if (status != VT_OK) {
        free_plan(p);
        return status;
    }
    p->next = *bucket;
    *bucket = *out = p;
    return VT_OK;
}

static void *address(vt_gpu_ptr p)
{
    return (void *)(uintptr_t)p;
}

vt_status vt_gpu_matmul(vt_gpu_blas *b, vt_cu_stream s, const struct vt_gpu_matmul *m, vt_err *err)
{
    struct plan *p;
    const float alpha = m->alpha != 0 ? m->alpha : 1, beta = m->add ? 1 : 0;
    if (m->m == 0 || m->n == 0)
        return VT_OK;
    VT_TRY(plan_of(b, m, &p, err));
    const int r = lt.matmul(b->handle, p->desc, &alpha, address(m->y), p->y, address(m->x), p->x, &beta,
                            address(m->to ? m->to : m->d), p->d, address(m->d), p->d, &p->algo, address(b->workspace),
                            b->workspace_bytes, s);
    if (r == VT_LT_OK)
        return VT_OK;
    return vt_fail(err, VT_EIO, "multiplying %d x %d by %d x %d: error %d of cuBLASLt", m->m, m->k, m->k, m->n, r);
}
