/* SPDX-License-Identifier: Apache-2.0
 *
 * rows_impl.h: element-wise and reducing kernels over rows of fp32, for the instruction set of the including file (see
 * simd.h; kernels.h says what each function computes). Sums run as LANES interleaved chains (dot: four times as many,
 * since one vector's chain waits for each addition) and a fixed tree, tails as zero-filled vectors, so an element's
 * bits depend on the row alone.
 */
#ifndef VT_CPU_ROWS_IMPL_H
#define VT_CPU_ROWS_IMPL_H

#include "cpu/kernels.h"
#include "cpu/simd.h"
#include <math.h>

/* Runs the statement that follows for elements i.. of n, n_here of them valid: whole vectors first, then the tail. */
#define FOR_LANES(n) for (int i = 0, n_here; n_here = (n)-i < LANES ? (n)-i : LANES, i < (n); i += LANES)

INLINE vf load_part(const float *p, int n)
{
    return n == LANES ? v_load(p) : v_load_n(p, n);
}
INLINE void store_part(float *p, vf v, int n)
{
    if (n == LANES)
        v_store(p, v);
    else
        v_store_n(p, v, n);
}

static float row_dot(int n, const float *x, const float *y)
{
    vf s[4] = {v_set(0.0f), v_set(0.0f), v_set(0.0f), v_set(0.0f)};
    int i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++)
            s[j] = v_fma(v_load(x + i + j * LANES), v_load(y + i + j * LANES), s[j]);
    for (int n_here; n_here = n - i < LANES ? n - i : LANES, i < n; i += LANES)
        s[0] = v_fma(load_part(x + i, n_here), load_part(y + i, n_here), s[0]);
    return v_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static float row_rmsnorm(int n, const float *x, const float *w, float eps, float *y)
{
    float inv = 1.0f / sqrtf(row_dot(n, x, x) / (float)n + eps);
    FOR_LANES(n)
    store_part(y + i, load_part(w + i, n_here) * (load_part(x + i, n_here) * inv), n_here);
    return inv;
}

/* y_i = w_i x_i r with r = (mean x^2 + eps)^(-1/2):  dx_i += r w_i dy_i - x_i r^3 / n * sum_j w_j dy_j x_j. */
static void row_rmsnorm_backward(int n, const float *x, const float *w, float inv_rms, const float *dy, float *dx)
{
    vf s = v_set(0.0f);
    FOR_LANES(n)
    s = v_fma(load_part(w + i, n_here) * load_part(dy + i, n_here), load_part(x + i, n_here), s);
    float c = -inv_rms * inv_rms * inv_rms / (float)n * v_sum(s);
    FOR_LANES(n)
    {
        vf d = load_part(w + i, n_here) * load_part(dy + i, n_here) * inv_rms;
        d = v_fma(load_part(x + i, n_here), v_set(c), d);
        store_part(dx + i, load_part(dx + i, n_here) + d, n_here);
    }
}

static void row_rope(int head_dim, float *x, const float *cos_sin, bool inverse)
{
    int half = head_dim / 2;
    float sign = inverse ? -1.0f : 1.0f;
    FOR_LANES(half)
    {
        vf a = load_part(x + i, n_here), b = load_part(x + half + i, n_here);
        vf c = load_part(cos_sin + i, n_here), s = load_part(cos_sin + half + i, n_here) * sign;
        store_part(x + i, v_fma(a, c, -(b * s)), n_here);
        store_part(x + half + i, v_fma(b, c, a * s), n_here);
    }
}

static void row_silu_mul(int n, const float *gate, const float *up, float *out)
{
    FOR_LANES(n)
    {
        vf g = load_part(gate + i, n_here);
        store_part(out + i, g / (1.0f + v_exp(-g)) * load_part(up + i, n_here), n_here);
    }
}

/* s = sigmoid(g): d(g s)/dg = s (1 + g (1 - s)). */
static void row_silu_mul_backward(int n, const float *gate, const float *up, const float *d_out, float *d_gate,
                                  float *d_up)
{
    FOR_LANES(n)
    {
        vf g = load_part(gate + i, n_here), u = load_part(up + i, n_here), d = load_part(d_out + i, n_here);
        vf s = 1.0f / (1.0f + v_exp(-g));
        store_part(d_gate + i, d * u * (s * v_fma(g, 1.0f - s, v_set(1.0f))), n_here);
        store_part(d_up + i, d * (g * s), n_here);
    }
}

static void row_add(int n, const float *x, float *y)
{
    FOR_LANES(n)
    store_part(y + i, load_part(y + i, n_here) + load_part(x + i, n_here), n_here);
}

static void row_axpy(int n, float a, const float *x, float *y)
{
    FOR_LANES(n)
    store_part(y + i, v_fma(v_set(a), load_part(x + i, n_here), load_part(y + i, n_here)), n_here);
}

static void row_scale(int n, float a, float *x)
{
    FOR_LANES(n)
    store_part(x + i, load_part(x + i, n_here) * a, n_here);
}

static double row_sum_squares(size_t n, const float *x)
{
    double s[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t j = 0; j < 8; j++)
            s[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i < n; i++, j++)
        s[j] += (double)x[i] * (double)x[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* v_max keeps the second operand when either is NaN; a NaN that the maximum loses stays in `nan`. */
static float row_max(int n, const float *x)
{
    vf m[4], nan = v_set(0.0f);
    int i = 0;
    for (int j = 0; j < 4; j++)
        m[j] = v_set(-INFINITY);
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            vf v = v_load(x + i + j * LANES);
            m[j] = v_max(m[j], v);
            nan = v_select(v != v, v, nan);
        }
    for (int n_here; n_here = n - i < LANES ? n - i : LANES, i < n; i += LANES) {
        vf v = n_here == LANES ? v_load(x + i) : v_select(v_below(n_here), v_load_n(x + i, n_here), m[0]);
        m[0] = v_max(m[0], v);
        nan = v_select(v != v, v, nan);
    }
    float any_nan = v_sum(nan);
    return any_nan != any_nan ? any_nan : v_max_lane(v_max(v_max(m[0], m[1]), v_max(m[2], m[3])));
}

static float row_exp_sum(int n, const float *x, float a, float b, float *out)
{
    vf s = v_set(0.0f);
    FOR_LANES(n)
    {
        vf e = v_exp(v_fma(v_set(a), load_part(x + i, n_here), v_set(-b)));
        if (n_here < LANES)
            e = (vf)((vi)e & v_below(n_here));
        s += e;
        if (out)
            store_part(out + i, e, n_here);
    }
    return v_sum(s);
}

static void row_soft_sums(int n, const float *x, float max, float *sum_x, float *sum_ex)
{
    vf s = v_set(0.0f), t = v_set(0.0f);
    FOR_LANES(n)
    {
        vf v = load_part(x + i, n_here), d = v - v_set(max), e = v_exp(d);
        if (n_here < LANES)
            e = (vf)((vi)e & v_below(n_here));
        s += v;
        t = v_fma(e, d, t);
    }
    *sum_x = v_sum(s);
    *sum_ex = v_sum(t);
}

static void row_adam(size_t n, float *param, const float *grad, float *m, float *v, const struct vt_adam *o,
                     float grad_scale, float c1, float c2)
{
    float step = o->lr / c1, decay = 1.0f - o->lr * o->weight_decay, root_c2 = sqrtf(c2);
    for (size_t i = 0; i < n; i++) {
        float g = grad[i] * grad_scale;
        m[i] = o->beta1 * m[i] + (1.0f - o->beta1) * g;
        v[i] = o->beta2 * v[i] + (1.0f - o->beta2) * (g * g);
        float denominator = sqrtf(v[i]) / root_c2 + o->eps;
        float delta = m[i] == 0.0f ? 0.0f : step * m[i] / denominator;
        param[i] = param[i] * decay - delta;
    }
}

#endif
