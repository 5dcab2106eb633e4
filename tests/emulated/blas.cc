/* SPDX-License-Identifier: Apache-2.0
 *
 * blas.cc: a libcublasLt.so.13 for tests without a GPU: products of bf16 matrices in fp32, one element after another.
 */
#define _Alignas alignas
extern "C" {
#include "gpu/blas_abi.h"
#include "gpu/cu.h"
}
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

namespace {

struct desc {
    int trans_a, trans_b;
};
struct layout {
    int type;
    uint64_t rows, cols;
    int64_t ld;
};
struct product {
    float alpha, beta;
    const void *a, *b, *c;
    void *d;
    struct desc desc;
    struct layout la, lb, ld;
};

float bf16(const void *p, size_t i)
{
    uint16_t bits;
    uint32_t wide;
    float f;
    memcpy(&bits, (const char *)p + 2 * i, 2);
    wide = (uint32_t)bits << 16;
    memcpy(&f, &wide, 4);
    return f;
}

uint16_t rounded(float f)
{
    uint32_t v;
    memcpy(&v, &f, 4);
    return (uint16_t)((v + 0x7fff + (v >> 16 & 1)) >> 16);
}

/* Column-major: d [m][n] = alpha op(a) [m][k] op(b) [k][n] + beta c. */
void multiply(void *arg)
{
    const struct product *p = (const struct product *)arg;
    const uint64_t m = p->ld.rows, n = p->ld.cols, k = p->desc.trans_a ? p->la.rows : p->la.cols;
    if ((p->desc.trans_a ? p->la.cols : p->la.rows) != m || (p->desc.trans_b ? p->lb.cols : p->lb.rows) != k ||
        (p->desc.trans_b ? p->lb.rows : p->lb.cols) != n)
        abort(); /* the shapes do not fit */
    for (uint64_t j = 0; j < n; j++)
        for (uint64_t i = 0; i < m; i++) {
            float sum = 0;
            for (uint64_t l = 0; l < k; l++) {
                const size_t at_a = p->desc.trans_a ? i * (size_t)p->la.ld + l : l * (size_t)p->la.ld + i,
                             at_b = p->desc.trans_b ? l * (size_t)p->lb.ld + j : j * (size_t)p->lb.ld + l;
                sum += bf16(p->a, at_a) * bf16(p->b, at_b);
            }
            const size_t at = j * (size_t)p->ld.ld + i;
            sum *= p->alpha;
            if (p->ld.type == VT_LT_R_32F) {
                float *d = (float *)p->d + at;
                *d = p->beta != 0 ? sum + p->beta * ((const float *)p->c)[at] : sum;
            } else {
                const uint16_t r = rounded(p->beta != 0 ? sum + p->beta * bf16(p->c, at) : sum);
                memcpy((char *)p->d + 2 * at, &r, 2);
            }
        }
}

} // namespace

extern "C" {

int cublasLtCreate(void **handle)
{
    *handle = malloc(1);
    return 0;
}
int cublasLtDestroy(void *handle)
{
    free(handle);
    return 0;
}
size_t cublasLtGetVersion(void)
{
    return 130000;
}
int cublasLtMatmulDescCreate(void **d, int, int)
{
    *d = calloc(1, sizeof(struct desc));
    return 0;
}
int cublasLtMatmulDescDestroy(void *d)
{
    free(d);
    return 0;
}
int cublasLtMatmulDescSetAttribute(void *d, int attr, const void *p, size_t)
{
    int v;
    memcpy(&v, p, sizeof v);
    (attr == VT_LT_DESC_TRANSA ? ((struct desc *)d)->trans_a : ((struct desc *)d)->trans_b) = v;
    return 0;
}
int cublasLtMatrixLayoutCreate(void **out, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
    struct layout *l = (struct layout *)malloc(sizeof *l);
    *l = layout{type, rows, cols, ld};
    *out = l;
    return (uint64_t)ld < rows;
}
int cublasLtMatrixLayoutDestroy(void *l)
{
    free(l);
    return 0;
}
int cublasLtMatmulPreferenceCreate(void **p)
{
    *p = malloc(1);
    return 0;
}
int cublasLtMatmulPreferenceDestroy(void *p)
{
    free(p);
    return 0;
}
int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t)
{
    return 0;
}
int cublasLtMatmulAlgoGetHeuristic(void *, void *, void *, void *, void *, void *, void *, int, struct vt_lt_result *r,
                                   int *n)
{
    memset(r, 0, sizeof *r);
    *n = 1;
    return 0;
}
int cublasLtMatmul(void *, void *d, const void *alpha, const void *a, void *la, const void *b, void *lb,
                   const void *beta, const void *c, void *, void *out, void *ld, const struct vt_lt_algo *, void *, size_t,
                   vt_cu_stream)
{
    static void (*perform)(void (*)(void *), const void *, size_t);
    struct product p;
    if (!perform) {
        void *address = dlsym(RTLD_DEFAULT, "emulated_do");
        memcpy(&perform, &address, sizeof perform);
    }
    const void *pointers[] = {a, b, c, out};
    for (const void *q : pointers)
        if ((uintptr_t)q % 16)
            return 7; /* the algorithms were asked for with such an alignment */
    memset(&p, 0, sizeof p);
    memcpy(&p.alpha, alpha, sizeof p.alpha);
    memcpy(&p.beta, beta, sizeof p.beta);
    p.a = a;
    p.b = b;
    p.c = c;
    p.d = out;
    p.desc = *(const struct desc *)d;
    p.la = *(const struct layout *)la;
    p.lb = *(const struct layout *)lb;
    p.ld = *(const struct layout *)ld;
    perform(multiply, &p, sizeof p);
    return 0;
}
}
