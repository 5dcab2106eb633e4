/* SPDX-License-Identifier: Apache-2.0
 *
 * kernels.cuh: the trusted kernels of the cuda tier: inputs from keys, poison, margins, checksums, comparison with a
 * stored truth, the gate that hides launches from a timing, and a canary that says whether a device still computes.
 *
 * Inputs follow eval/dists.h and are the CPU's (eval/c/inputs.c) element by element up to the last bit of exp and log;
 * every element is a pure function of its index, so that arrays of any size are filled at the speed of memory. What a
 * row has in common is computed before (vt_k_rows).
 */
typedef unsigned long long u64;

__device__ static inline void vt_philox(u64 key, u64 hi, u64 lo, unsigned out[2])
{
    unsigned c0 = (unsigned)lo, c1 = (unsigned)(lo >> 32), c2 = (unsigned)hi, c3 = (unsigned)(hi >> 32);
    unsigned k0 = (unsigned)key, k1 = (unsigned)(key >> 32);
    for (int round = 0; round < 10; round++) {
        u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        unsigned n0 = (unsigned)(p1 >> 32) ^ c1 ^ k0, n2 = (unsigned)(p0 >> 32) ^ c3 ^ k1;
        c0 = n0;
        c1 = (unsigned)p1;
        c2 = n2;
        c3 = (unsigned)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
}

__device__ static inline u64 vt_philox_u64(u64 key, u64 hi, u64 lo)
{
    unsigned w[2];
    vt_philox(key, hi, lo, w);
    return (u64)w[1] << 32 | w[0];
}

__device__ static inline double vt_row_uniform(u64 key, u64 salt)
{
    return (double)(vt_philox_u64(key, salt, 1) >> 11) * 0x1p-53;
}

__device__ static inline double vt_row_normal(u64 key, u64 salt)
{
    double u = vt_row_uniform(key, salt), v = vt_row_uniform(key, salt + 100);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

__device__ static inline unsigned vt_hash(u64 i, u64 key)
{
    unsigned h = (unsigned)i ^ (unsigned)key ^ (unsigned)(i >> 32) * 0x9E3779B9u;
    h ^= h >> 16;
    h *= 0x7feb352dU;
    h ^= (h >> 15) ^ (unsigned)(key >> 32);
    h *= 0x846ca68bU;
    return h ^ (h >> 16);
}

__device__ static inline float vt_raw(const struct vt_dev_gen *g, long long i)
{
    unsigned h = vt_hash((u64)i, g->key);
    if (!g->is_normal)
        return (float)(h >> 8) * 0x1p-24f;
    const float *q = (const float *)g->quantile;
    unsigned at = h >> 22;
    return q[at] + (float)(h & 0x3fffff) * 0x1p-22f * (q[at + 1] - q[at]);
}

/* The kinds, in the order of enum vt_dist_kind. */
enum {
    K_RAW,
    K_SIGNED,
    K_KAIMING,
    K_SCALED,
    K_POSITIVE,
    K_WIDE,
    K_EDGES,
    K_ROWSCALE,
    K_OFFSET,
    K_NEEDLE,
    K_TINY,
    K_CONSTANT,
    K_TIES,
    K_NEARONE,
    K_CANCEL,
    K_PROBS,
    K_PEAKED,
    K_LOGITS,
    K_PM1,
    K_ONES,
    K_CLOSE,
    K_SHIFTED,
    K_EVEN
};

extern "C" __global__ void vt_k_rows(const struct vt_dev_gen *g)
{
    long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= g->n_rows)
        return;
    const u64 key = vt_philox_u64(g->key, 0x7674747365656421ull, (u64)r);
    struct vt_dev_row row = {1, 0, 0, 0};
    switch (g->kind) {
    case K_SCALED:
        row.scale = (float)vt_row_uniform(key, 0);
        break;
    case K_EDGES:
        row.at = (long long)(vt_row_uniform(key, 0) * 12);
        break;
    case K_ROWSCALE:
        row.scale = (float)exp(3 * vt_row_normal(key, 0));
        break;
    case K_OFFSET:
        row.shift = (float)(10 * vt_row_normal(key, 0));
        break;
    case K_NEEDLE:
        row.at = (long long)(vt_row_uniform(key, 0) * (double)g->block / 4);
        break;
    case K_TINY:
        row.scale = r % 3 == 0 ? 1e-3f : r % 3 == 1 ? 1e-5f : 1.0f;
        break;
    case K_LOGITS:
        row.scale = r % 2 ? 10.0f : 1.0f;
        break;
    case K_CONSTANT:
        row.shift = 0.5f * (float)(1 + (int)(vt_row_uniform(key, 0) * 6));
        row.shift = vt_row_uniform(key, 1) < 0.5 ? -row.shift : row.shift;
        break;
    case K_PROBS:
    case K_PEAKED:
        for (long long j = 0; j < g->block; j++)
            row.total += (double)expf((g->kind == K_PROBS ? 1.0f : 4.0f) * vt_raw(g, r * g->block + j));
        break;
    }
    ((struct vt_dev_row *)g->rows)[r] = row;
}

__device__ static inline float vt_edge(long long i)
{
    const float edges[12] = {0.0f, -0.0f, 1.0f, -1.0f, 3.0f, -3.0f, 0.5f, -0.5f, 20.0f, -20.0f, 6.0f, 1e-6f};
    return edges[i % 12];
}

__device__ static inline float vt_element(const struct vt_dev_gen *g, long long i)
{
    /* One division of 32 bits where that is enough; none for an array that is one row. */
    const bool is_short = g->n <= 0xffffffffll;
    const long long r = g->n_rows == 1 ? 0 : is_short ? (long long)((unsigned)i / (unsigned)g->block) : i / g->block;
    const long long j = i - r * g->block;
    const struct vt_dev_row *row = (const struct vt_dev_row *)g->rows + r;
    float x = vt_raw(g, i);
    switch (g->kind) {
    case K_SIGNED:
        return 2.0f * x - 1.0f;
    case K_KAIMING:
        return (2.0f * x - 1.0f) * (float)(1 / sqrt(g->fan_in));
    case K_SCALED:
    case K_ROWSCALE:
    case K_TINY:
    case K_LOGITS:
        return x * row->scale;
    case K_POSITIVE:
        return x + 0.5f;
    case K_WIDE:
        return x * 5.0f;
    case K_EDGES:
        return j % 3 == 0 ? vt_edge(row->at + j / 3) : x;
    case K_OFFSET:
        return x + row->shift;
    case K_NEEDLE:
        return j != row->at ? x : x < 0 ? -300.0f + x : 300.0f + x;
    case K_CONSTANT:
        return row->shift;
    case K_TIES:
        return 0.5f * floorf(2.0f * x);
    case K_NEARONE:
        return 1.0f + 0.02f * x;
    case K_CANCEL:
        if (j % 2)
            return 0.3f * x - 30.0f * vt_raw(g, i - 1);
        return j + 1 < g->block ? 30.0f * x : x;
    case K_PROBS:
    case K_PEAKED:
        return (float)((double)expf((g->kind == K_PROBS ? 1.0f : 4.0f) * x) / row->total);
    case K_PM1:
        return x < 0.5f ? -1.0f : 1.0f;
    case K_ONES:
        return 1.0f;
    case K_CLOSE:
        return 1.0f + 0.001f * x;
    case K_SHIFTED:
        return x + 1000.0f;
    case K_EVEN:
        return 1.0f / (float)g->block;
    }
    return x;
}

__device__ static inline float vt_ranged(const struct vt_dev_gen *g, long long i)
{
    float x = vt_element(g, i);
    if (!g->has_range)
        return x;
    x = g->from + g->unit * x;
    return x < g->lo ? g->lo : x > g->hi ? g->hi : x;
}

/* keep: 0 all, 1 upper, 2 lower, 3 symmetric, of the last two dimensions. */
__device__ static inline float vt_kept(const struct vt_dev_gen *g, long long at)
{
    const long long i = at / g->dim_m % g->dim_n, j = at % g->dim_m, base = at - i * g->dim_m - j;
    if ((g->keep == 1 && j < i) || (g->keep == 2 && j > i))
        return 0.0f;
    if (g->keep == 3 && i != j && i < g->dim_m && j < g->dim_n) {
        const float low = vt_ranged(g, base + (i > j ? i : j) * g->dim_m + (i > j ? j : i));
        return 0.5f * (low + vt_ranged(g, base + (i > j ? j : i) * g->dim_m + (i > j ? i : j)));
    }
    return vt_ranged(g, at);
}

extern "C" __global__ void vt_k_fill(const struct vt_dev_gen *from)
{
    /* In registers: for all the compiler knows, what is written could be what `from` points to. */
    const struct vt_dev_gen own = *from, *g = &own;
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < g->n; i += step) {
        if (g->dtype == 0) {
            ((float *)g->data)[i] = g->keep ? vt_kept(g, i) : vt_ranged(g, i);
            continue;
        }
        unsigned h = vt_hash((u64)i, g->key), v = (unsigned)((u64)h * g->max >> 32);
        if (g->is_mask) {
            long long kind = i / g->block % 4;
            v = kind == 0 ? 1 : kind == 1 ? (h & 15) == 0 : h & 1;
        }
        if (g->dtype == 1)
            ((int *)g->data)[i] = (int)v;
        else if (g->dtype == 2)
            ((long long *)g->data)[i] = (long long)v;
        else
            ((unsigned char *)g->data)[i] = (unsigned char)v;
    }
}

struct __align__(16) vt_quad
{
    unsigned a, b, c, d;
};

/* Sixteen bytes at a time (data is aligned to 256), then what is left of them; the sum does not depend on the order. */
extern "C" __global__ void vt_k_checksum(const unsigned char *data, long long bytes, u64 key, u64 *sum)
{
    const long long step = (long long)gridDim.x * blockDim.x, n = bytes / 16;
    const struct vt_quad *quads = (const struct vt_quad *)data;
    u64 mine = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const struct vt_quad q = quads[i];
        mine += vt_mix64(vt_mix64(((u64)q.a << 32 | q.b) ^ key) + ((u64)q.c << 32 | q.d) + (u64)i);
    }
    if (blockIdx.x == 0 && threadIdx.x == 0)
        for (long long i = 16 * n; i < bytes; i++)
            mine += vt_mix64(((u64)i << 32 | data[i]) ^ ~key);
#ifdef __CUDA_ARCH__
    for (int lane = 16; lane > 0; lane /= 2)
        mine += __shfl_down_sync(0xffffffffu, mine, lane);
    if (threadIdx.x % 32)
        return;
#endif
    atomicAdd(sum, mine);
}

/* data is aligned to 8 bytes. */
extern "C" __global__ void vt_k_poison(unsigned char *data, long long bytes, u64 pattern)
{
    const long long step = (long long)gridDim.x * blockDim.x, n = bytes / 8;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        ((u64 *)data)[i] = pattern;
    if (blockIdx.x == 0 && threadIdx.x == 0)
        for (long long i = 8 * n; i < bytes; i++)
            data[i] = (unsigned char)(pattern >> 8 * (i & 7));
}

extern "C" __global__ void vt_k_unwritten(const unsigned char *data, long long n, long long size, u64 pattern,
                                          u64 *count)
{
    const long long step = (long long)gridDim.x * blockDim.x;
    u64 mine = 0;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        bool is = true;
        for (long long b = 0; b < size && is; b++)
            is = data[i * size + b] == (unsigned char)(pattern >> 8 * ((i * size + b) & 7));
        mine += is;
    }
    if (mine)
        atomicAdd(count, mine);
}

/* One block a margin; found: the index of a margin that was written, plus 1. Sixteen bytes at a time, but for what lies
 * before and behind the aligned middle. */
extern "C" __global__ void vt_k_margins(const struct vt_dev_margins *m, u64 *found)
{
    const unsigned char *p = (const unsigned char *)m->from[blockIdx.x];
    const unsigned byte = (unsigned char)m->value[blockIdx.x], word = byte * 0x01010101u;
    const u64 len = m->len[blockIdx.x], skip = (16 - ((u64)p & 15)) & 15, head = skip < len ? skip : len;
    const u64 n = (len - head) / 16;
    const struct vt_quad *quads = (const struct vt_quad *)(p + head);
    bool is_kept = true;
    for (u64 i = threadIdx.x; i < n; i += blockDim.x) {
        const struct vt_quad q = quads[i];
        is_kept &= q.a == word && q.b == word && q.c == word && q.d == word;
    }
    for (u64 i = threadIdx.x; i < len - 16 * n; i += blockDim.x)
        is_kept &= p[i < head ? i : i + 16 * n] == byte;
    if (!is_kept)
        atomicMax(found, (u64)blockIdx.x + 1);
}

extern "C" __global__ void vt_k_compare(const struct vt_dev_sink *s, int array, long long n, int dtype)
{
    const long long step = (long long)gridDim.x * blockDim.x;
    struct vt_stats st = {0, 0, 0, 0};
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
        const u64 *truth = (const u64 *)s->store[array] + 2 * i;
        const u64 v = truth[0] ^ vt_veil(s, array, i, 0);
        if (dtype == 0) {
            vt_judge_float(s, &st, array, i, vt_from_bits(v), vt_from_bits(truth[1] ^ vt_veil(s, array, i, 1)));
        } else {
            const void *got = (const void *)s->got[array];
            vt_judge_int(s, &st, array, i, (long long)v,
                         dtype == 1   ? (long long)((const int *)got)[i]
                         : dtype == 2 ? ((const long long *)got)[i]
                                      : (long long)((const unsigned char *)got)[i]);
        }
    }
    vt_flush(&st, (struct vt_dev_tally *)s->tally);
}

/* Holds the stream until the host has queued what comes after it; never longer than the limit. */
extern "C" __global__ void vt_k_gate(volatile int *is_open, u64 limit_ns)
{
#ifdef __CUDA_ARCH__
    u64 from, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(from));
    do {
        asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    } while (!*is_open && now - from < limit_ns);
#else
    (void)is_open;
    (void)limit_ns;
#endif
}

/* Reads and writes n words of 16 bytes: what memory gives at most. */
extern "C" __global__ void vt_k_copy(struct vt_quad *to, const struct vt_quad *from, long long n)
{
    const long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step)
        to[i] = from[i];
}

extern "C" __global__ void vt_k_canary(u64 *out, u64 seed)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = vt_mix64(seed + (u64)i);
}
