/* SPDX-License-Identifier: Apache-2.0
 *
 * judge.cuh: one element of an output against its truth (DECISIONS.md section 1), and the sums over all of them.
 * Indices are 64 bits wide. Written for NVRTC; a compiler for CPUs takes it, too (tests/emulated), where a warp is one
 * thread.
 */
struct vt_stats {
    unsigned long long n_checked, n_wrong, n_nan;
    double worst;
};

__device__ static inline unsigned long long vt_mix64(unsigned long long x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ull;
    return x ^ (x >> 32);
}

__device__ static inline unsigned long long vt_bits(double x)
{
    unsigned long long b;
    memcpy(&b, &x, sizeof b);
    return b;
}

__device__ static inline double vt_from_bits(unsigned long long b)
{
    double x;
    memcpy(&x, &b, sizeof x);
    return x;
}

__device__ static inline bool vt_is_finite(double x)
{
    return x - x == 0;
}

__device__ static inline void vt_note_wrong(struct vt_dev_tally *t, struct vt_stats *st, int array, long long i,
                                            double expected, double got, double bound)
{
    st->n_wrong++;
    if (got != got && vt_is_finite(expected))
        st->n_nan++;
    if (t->n_diffs >= VT_DEV_DIFFS)
        return;
    unsigned long long at = atomicAdd(&t->n_diffs, 1ull);
    if (at < VT_DEV_DIFFS) {
        t->diff[at].array = array;
        t->diff[at].index = i;
        t->diff[at].expected = expected;
        t->diff[at].got = got;
        t->diff[at].bound = bound;
    }
}

__device__ static inline void vt_judge_float(const struct vt_dev_sink *s, struct vt_stats *st, int array, long long i,
                                             double v, double bound)
{
    const float g32 = ((const float *)s->got[array])[i];
    const double got = (double)g32, error = fabs(got - v);
    st->n_checked++;
    const bool is_right = v != v ? got != got : !vt_is_finite(v) ? got == v : error <= bound;
    if (!is_right)
        vt_note_wrong((struct vt_dev_tally *)s->tally, st, array, i, v, got, bound);
    if (is_right && (!vt_is_finite(v) || error == 0))
        return;
    if (!(error <= st->worst * bound)) {
        const double ratio = bound > 0 && vt_is_finite(error) ? error / bound : vt_from_bits(0x7ff0000000000000ull);
        st->worst = ratio > st->worst ? ratio : st->worst;
    }
}

__device__ static inline void vt_judge_int(const struct vt_dev_sink *s, struct vt_stats *st, int array, long long i,
                                           long long v, long long got)
{
    st->n_checked++;
    if (got == v)
        return;
    vt_note_wrong((struct vt_dev_tally *)s->tally, st, array, i, (double)v, (double)got, 0);
    st->worst = vt_from_bits(0x7ff0000000000000ull);
}

/* Every thread of the block comes here, once. */
__device__ static inline void vt_flush(struct vt_stats *st, struct vt_dev_tally *t)
{
    unsigned long long block =
        blockIdx.x + (unsigned long long)gridDim.x * (blockIdx.y + (unsigned long long)gridDim.y * blockIdx.z);
    unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    bool is_first = true;
#ifdef __CUDA_ARCH__
    /* All threads of the block come here, but not together: the mask is made from the block's size. */
    const unsigned n = blockDim.x * blockDim.y * blockDim.z, left = n - (thread & ~31u);
    const unsigned mask = left >= 32 ? 0xffffffffu : (1u << left) - 1;
    for (int step = 16; step > 0; step /= 2) {
        const int from = (int)(thread & 31) + step;
        const bool is_there = from < 32 && (mask >> (from & 31) & 1);
        unsigned long long c = __shfl_down_sync(mask, st->n_checked, step);
        unsigned long long w = __shfl_down_sync(mask, st->n_wrong, step), n = __shfl_down_sync(mask, st->n_nan, step);
        double worst = __shfl_down_sync(mask, st->worst, step);
        if (is_there) {
            st->n_checked += c;
            st->n_wrong += w;
            st->n_nan += n;
            st->worst = worst > st->worst ? worst : st->worst;
        }
    }
    is_first = (thread & 31) == 0;
#endif
    if (!is_first || st->n_checked == 0)
        return;
    struct vt_dev_slot *slot = &t->slot[(block * 8 + thread / 32) % VT_DEV_SLOTS];
    atomicAdd(&slot->n_checked, st->n_checked);
    if (vt_bits(st->worst) > slot->worst)
        atomicMax(&slot->worst, vt_bits(st->worst));
    if (st->n_wrong) {
        atomicAdd(&t->n_wrong, st->n_wrong);
        atomicAdd(&t->n_nan, st->n_nan);
    }
}

__device__ static inline unsigned long long vt_veil(const struct vt_dev_sink *s, int array, long long i, int part)
{
    return vt_mix64(s->key ^ ((unsigned long long)i * 2 + part) ^ (unsigned long long)(array + 1) << 57);
}
