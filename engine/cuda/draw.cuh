/* SPDX-License-Identifier: Apache-2.0
 *
 * draw.cuh: one draw a row and what follows from it: the slot's record moves on, the outputs are written, stops are
 * tested. The meaning is that of engine/cpu/lm_sample.c: an inverse CDF with one Philox uniform keyed by (seed, position
 * of the token in the completion), over the vocabulary's chunks and then inside one; temperature 0 takes the first of
 * the largest logits; bans come first. With top-k, top-p, min-p (or a temperature too small for the plain walk) the walk
 * goes over the kept tokens by falling logit, then rising id: there the order is found by bisection over the logits'
 * bits, with masses in fixed point so that no order of additions matters.
 */
#ifndef VT_CUDA_DRAW_CUH
#define VT_CUDA_DRAW_CUH

#include "cuda/head.cuh"

enum { DRAW_THREADS = 256, DRAW_PER_THREAD = VT_DEV_HEAD_CHUNK / DRAW_THREADS };

/* Philox 4x32-10, counter (lo, 0), as in base/rng.c. */
DEVICE double philox_uniform(uint64_t key, uint64_t lo)
{
    uint32_t c0 = (uint32_t)lo, c1 = (uint32_t)(lo >> 32), c2 = 0, c3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        const uint32_t next0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, next2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = next0;
        c1 = (uint32_t)p1;
        c2 = next2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (double)(((uint64_t)c1 << 32 | c0) >> 11) * 0x1p-53;
}

/* What the block shares while it draws. */
struct draw_room {
    double before, target, total, top, lse, entropy, sum;
    double warp[DRAW_THREADS / 32];
    unsigned long long mass, count;
    int chunk, token;
    float behaviour;
};

DEVICE bool is_banned(const int32_t *banned, int n, int id)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        const int mid = (lo + hi) / 2;
        if (banned[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && banned[lo] == id;
}

/* Inclusive sums over the block's threads, in their order; *total gets the whole. */
DEVICE double block_scan(double v, double *warps, double *total)
{
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const double up = __shfl_up_sync(0xffffffffu, v, o);
        v += lane >= o ? up : 0;
    }
    if (lane == 31)
        warps[warp] = v;
    __syncthreads();
    double before = 0, all = 0;
    for (int i = 0; i < DRAW_THREADS / 32; i++) {
        before += i < warp ? warps[i] : 0;
        all += warps[i];
    }
    __syncthreads();
    *total = all;
    return before + v;
}

/* A banned row's own partial sums in shared memory: chunks that hold a banned id are reduced again without it. */
DEVICE void reduce_banned(struct chunk_sums *sums, float *logits, const int32_t *banned, int n_banned, float inv_t,
                          const struct vt_dev_shape &m)
{
    for (int i = threadIdx.x; i < n_banned; i += DRAW_THREADS)
        if (banned[i] >= 0 && banned[i] < m.n_vocab)
            logits[banned[i]] = -CUDART_INF_F;
    __syncthreads();
    for (int i = threadIdx.x / 32; i < n_banned; i += DRAW_THREADS / 32) {
        const int chunk = banned[i] / VT_DEV_HEAD_CHUNK, first = chunk * VT_DEV_HEAD_CHUNK;
        if (i > 0 && banned[i - 1] / VT_DEV_HEAD_CHUNK == chunk)
            continue;
        const struct chunk_sums r = reduce_chunk(logits + first, min(VT_DEV_HEAD_CHUNK, m.n_vocab - first), inv_t);
        if (threadIdx.x % 32 == 0)
            sums[chunk] = r;
    }
    __syncthreads();
}

/* First id whose logit is the top. */
DEVICE void draw_first(struct draw_room *room, const struct chunk_sums *sums, const float *logits, const struct vt_dev_shape &m)
{
    if (threadIdx.x == 0) {
        int chunk = 0;
        while ((double)sums[chunk].max < room->top)
            chunk++;
        room->chunk = chunk;
        room->token = m.n_vocab - 1;
        room->behaviour = 0;
    }
    __syncthreads();
    const int first = room->chunk * VT_DEV_HEAD_CHUNK;
    for (int i = threadIdx.x; i < VT_DEV_HEAD_CHUNK; i += DRAW_THREADS)
        if (first + i < m.n_vocab && (double)logits[first + i] >= room->top)
            atomicMin(&room->token, first + i);
    __syncthreads();
}

/* exp((z - top) / t); both are floats, so the difference is exact before it is divided and rounded. */
DEVICE double weight_at(double z, double top, double t)
{
    return (double)expf((float)((z - top) / t));
}
DEVICE double mass_of(const struct chunk_sums &c, double top, double t)
{
    return c.max == -CUDART_INF_F ? 0 : (double)c.mass * weight_at((double)c.max, top, t);
}

/* The chunk in which the running mass passes the target: one warp, each lane a run of chunks. */
DEVICE void find_chunk(struct draw_room *room, const struct chunk_sums *sums, int n, double t, double u)
{
    const int lane = threadIdx.x, per = (n + 31) / 32, from = lane * per, to = min(n, from + per);
    double own = 0, running;
    for (int i = from; i < to; i++)
        own += mass_of(sums[i], room->top, t);
    running = own;
#pragma unroll
    for (int o = 1; o < 32; o <<= 1) {
        const double up = __shfl_up_sync(0xffffffffu, running, o);
        running += lane >= o ? up : 0;
    }
    const double total = __shfl_sync(0xffffffffu, running, 31), target = u * total;
    /* The first lane whose sums pass the target; none (rounding at the end): the last one with any mass. */
    const unsigned passing = __ballot_sync(0xffffffffu, running > target), some = __ballot_sync(0xffffffffu, own > 0);
    const int chosen = passing ? __ffs(passing) - 1 : 31 - __clz(some);
    if (lane == chosen) {
        double before = running - own, found_before = before;
        int found = from;
        for (int i = from; i < to; i++) {
            const double mass = mass_of(sums[i], room->top, t);
            if (mass == 0)
                continue;
            found = i;
            found_before = before;
            before += mass;
            if (before > target)
                break;
        }
        room->chunk = found;
        room->before = found_before;
        room->target = target;
        room->total = total;
    }
}

DEVICE void draw_plain(struct draw_room *room, const struct chunk_sums *sums, const float *logits, double t, double u,
                       const struct vt_dev_shape &m)
{
    if (threadIdx.x < 32)
        find_chunk(room, sums, m.n_chunks, t, u);
    if (threadIdx.x == 0)
        room->token = -1;
    __syncthreads();
    const int first = room->chunk * VT_DEV_HEAD_CHUNK + threadIdx.x * DRAW_PER_THREAD;
    double p[DRAW_PER_THREAD], own = 0, total;
    int last = -1;
#pragma unroll
    for (int i = 0; i < DRAW_PER_THREAD; i++) {
        p[i] = first + i < m.n_vocab ? weight_at((double)logits[first + i], room->top, t) : 0;
        own += p[i];
        last = p[i] > 0 ? first + i : last;
    }
    double running = room->before + block_scan(own, room->warp, &total);
    /* The first thread whose sums pass the target names the token; when none does, the last with any mass. */
    const bool passes = running > room->target;
    running -= own;
    if (passes) {
        int token = last;
        for (int i = 0; i < DRAW_PER_THREAD; i++) {
            running += p[i];
            if (p[i] > 0 && running > room->target) {
                token = first + i;
                break;
            }
        }
        if (token >= 0)
            atomicMin(reinterpret_cast<unsigned *>(&room->token), (unsigned)token); /* -1 is the largest */
    }
    __syncthreads();
    if (room->token < 0 && last >= 0)
        atomicMax(&room->token, last);
    __syncthreads();
    if (threadIdx.x == 0)
        room->behaviour = (float)(((double)logits[room->token] - room->top) / t - log(room->total));
}

/* Bits of a float that order as its value does. */
DEVICE uint32_t order_of(float x)
{
    const uint32_t u = __float_as_uint(x);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Weight of a logit in units of 2^-40: sums of fewer than 2^24 of them fit 64 bits. */
DEVICE unsigned long long weight_of(float z, double top, double t)
{
    return z == -CUDART_INF_F ? 0 : (unsigned long long)(exp(((double)z - top) / t) * 0x1p40 + 0.5);
}

/* Number and mass of the tokens whose order is at least `least` (ids below `below` where equal). */
DEVICE void count_above(struct draw_room *room, const float *logits, uint32_t least, double t, const struct vt_dev_shape &m)
{
    unsigned long long count = 0, mass = 0;
    if (threadIdx.x == 0)
        room->mass = room->count = 0;
    __syncthreads();
    for (int i = threadIdx.x; i < m.n_vocab; i += DRAW_THREADS) {
        const float z = logits[i];
        if (order_of(z) < least || z == -CUDART_INF_F)
            continue;
        count++;
        mass += weight_of(z, room->top, t);
    }
#pragma unroll
    for (int o = 16; o; o >>= 1) {
        count += __shfl_xor_sync(0xffffffffu, count, o);
        mass += __shfl_xor_sync(0xffffffffu, mass, o);
    }
    if (threadIdx.x % 32 == 0) {
        atomicAdd(&room->count, count);
        atomicAdd(&room->mass, mass);
    }
    __syncthreads();
}

/* The largest order `o` at which count (or mass) of the tokens at or above o reaches what is asked. Afterwards the room
 * holds count and mass at o. */
DEVICE uint32_t bisect(struct draw_room *room, const float *logits, bool by_mass, unsigned long long asked, double t,
                       const struct vt_dev_shape &m)
{
    uint32_t reached = 0;
    for (int bit = 31; bit >= 0; bit--) {
        const uint32_t tried = reached | 1u << bit;
        count_above(room, logits, tried, t, m);
        if ((by_mass ? room->mass : room->count) >= asked)
            reached = tried;
        __syncthreads();
    }
    count_above(room, logits, reached, t, m);
    return reached;
}

/* The id at place `place` (from 0) among the tokens of exactly this order, by rising id. */
DEVICE int nth_equal(struct draw_room *room, const float *logits, uint32_t order, unsigned long long place,
                     const struct vt_dev_shape &m)
{
    int lo = 0, hi = m.n_vocab; /* the answer is the least id such that ids up to it hold place + 1 equals */
    while (hi - lo > 1) {
        const int mid = (lo + hi) / 2;
        unsigned long long count = 0;
        if (threadIdx.x == 0)
            room->count = 0;
        __syncthreads();
        for (int i = threadIdx.x; i < mid; i += DRAW_THREADS)
            count += order_of(logits[i]) == order;
#pragma unroll
        for (int o = 16; o; o >>= 1)
            count += __shfl_xor_sync(0xffffffffu, count, o);
        if (threadIdx.x % 32 == 0)
            atomicAdd(&room->count, count);
        __syncthreads();
        if (room->count > place)
            hi = mid;
        else
            lo = mid;
        __syncthreads();
    }
    return lo;
}

/* The kept tokens are the first n_kept by falling logit, then rising id; filters cut that list in turn. */
DEVICE void draw_filtered(struct draw_room *room, const float *logits, const struct vt_dev_slot *s, double u,
                          const struct vt_dev_shape &m)
{
    const double t = (double)s->temperature;
    count_above(room, logits, 0, t, m);
    unsigned long long n_kept = room->count, total = room->mass;
    __syncthreads();
    if (s->top_k > 0 && (unsigned long long)s->top_k < n_kept) {
        /* Mass of the first top_k: all above the k-th's order, then some of its equals. */
        const uint32_t order = bisect(room, logits, false, (unsigned long long)s->top_k, t, m);
        const unsigned long long count = room->count, mass = room->mass;
        __syncthreads();
        const float z = __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
        n_kept = (unsigned long long)s->top_k;
        total = mass - (count - n_kept) * weight_of(z, room->top, t);
    }
    /* The place in the list at which the running mass first passes (or, reaching: equals) an amount; n_kept - 1 at most. */
    for (int round = 0; round < 2; round++) {
        const bool is_draw = round == 1;
        unsigned long long amount;
        if (!is_draw) {
            if (!(s->top_p < 1) && !(s->min_p > 0))
                continue;
            amount = s->top_p < 1 ? (unsigned long long)ceil((double)s->top_p * (double)total) : total;
        } else {
            amount = (unsigned long long)(u * (double)total) + 1; /* passes: more than u total */
        }
        amount = min(max(amount, 1ull), total);
        const uint32_t order = bisect(room, logits, true, amount, t, m);
        const unsigned long long count = room->count, mass = room->mass;
        __syncthreads();
        const float z = __uint_as_float(order & 0x80000000u ? order & 0x7fffffffu : ~order);
        const unsigned long long each = weight_of(z, room->top, t);
        count_above(room, logits, order + 1, t, m);
        const unsigned long long above = room->count, mass_above = room->mass;
        __syncthreads();
        const unsigned long long need = amount > mass_above ? amount - mass_above : 0;
        unsigned long long equals = each ? (need + each - 1) / each : 1; /* of that order, to reach the amount */
        equals = max(1ull, min(equals, count - above));
        unsigned long long place = min(above + equals, n_kept);
        (void)mass;
        if (is_draw) {
            const int token = nth_equal(room, logits, order, place - 1 - above, m);
            if (threadIdx.x == 0) {
                room->token = token;
                room->behaviour = (float)(((double)logits[token] - room->top) / t - log((double)total * 0x1p-40));
            }
            __syncthreads();
            return;
        }
        if (s->top_p < 1) {
            n_kept = place;
            total = mass_above + (place - above) * each;
        }
        if (s->min_p > 0) {
            /* Weights of at least min_p of the first's: the first of the list always. */
            const double least = room->top + t * log((double)s->min_p);
            const uint32_t cut = order_of(__double2float_ru(least));
            count_above(room, logits, cut, t, m);
            if (room->count > 0 && room->count < n_kept) {
                n_kept = room->count;
                total = room->mass;
            }
            __syncthreads();
        }
    }
}

/* One block a row. shared: n_chunks chunk_sums. */
KERNEL(DRAW_THREADS, 1)
vt_step_draw(const struct vt_dev_job *job, float *all_logits, const struct chunk_sums *all_sums, struct vt_dev_shape m)
{
    __shared__ struct draw_room room;
    struct chunk_sums *sums = reinterpret_cast<struct chunk_sums *>(dynamic_shared);
    const int row = blockIdx.x;
    wait_ahead(); /* and no early release: the next step reads the records from its beginning */
    if (row >= job->n_rows)
        return;
    struct vt_dev_slot *s = at<struct vt_dev_slot>(job->rows[row]);
    if (!s || s->finished) {
        if (s && threadIdx.x == 0)
            at<int32_t>(job->finished)[row] = s->finished;
        return;
    }
    float *logits = all_logits + (size_t)row * m.ld_vocab;
    for (int i = threadIdx.x; i < m.n_chunks; i += DRAW_THREADS)
        sums[i] = all_sums[(size_t)row * m.n_chunks + i];
    __syncthreads();
    if (threadIdx.x < 32) {
        const struct row_sums r = merge_chunks(sums, m.n_chunks);
        if (threadIdx.x == 0) {
            room.top = r.top;
            room.lse = r.lse;
            room.entropy = r.entropy;
            room.sum = r.sum;
        }
    }
    __syncthreads();
    const float t = s->temperature;
    if (s->n_banned) {
        reduce_banned(sums, logits, at<const int32_t>(s->banned), s->n_banned, t > 0 ? 1.0f / t : 0, m);
        if (threadIdx.x < 32) {
            float top = -CUDART_INF_F;
            for (int i = threadIdx.x; i < m.n_chunks; i += 32)
                top = fmaxf(top, sums[i].max);
            top = warp_max(top);
            if (threadIdx.x == 0)
                room.top = (double)top;
        }
        __syncthreads();
    }
    const int place = s->n_tokens;
    const bool is_filtered = (s->top_k > 0 && s->top_k < m.n_vocab) || s->top_p < 1 || s->min_p > 0 || t < 0.02f;
    if (isinf(room.top) || isnan(room.lse)) {
        if (threadIdx.x == 0) {
            room.token = -1;
            room.behaviour = 0;
        }
        __syncthreads();
    } else if (t == 0) {
        draw_first(&room, sums, logits, m);
    } else if (is_filtered) {
        draw_filtered(&room, logits, s, philox_uniform(s->seed, (uint64_t)place), m);
    } else {
        draw_plain(&room, sums, logits, (double)t, philox_uniform(s->seed, (uint64_t)place), m);
    }
    __syncthreads();
    if (threadIdx.x != 0)
        return;
    const int token = room.token;
    int32_t *n_out = at<int32_t>(job->n_out);
    const size_t out = (size_t)row * job->n_steps + n_out[row];
    at<int32_t>(job->tokens)[out] = token;
    at<float>(job->logprob)[out] = token < 0 ? 0 : (float)((double)logits[token] - room.lse);
    at<float>(job->behaviour)[out] = room.behaviour;
    at<float>(job->entropy)[out] = (float)room.entropy;
    at<float>(job->certainty)[out] = (float)(room.lse - room.sum / m.n_vocab - log((double)m.n_vocab));
    n_out[row]++;
    int finished = token < 0 ? 3 : 0; /* 3: no token can be drawn; the host fails the job */
    const int32_t *stops = at<const int32_t>(s->stop_ids);
    for (int i = 0; i < s->n_stop_ids; i++)
        finished = stops[i] == token && !finished ? 1 : finished;
    s->last = token < 0 ? 0 : token;
    s->n_tokens = place + 1;
    if (!finished && s->n_tokens >= s->max_tokens)
        finished = 2;
    s->finished = finished;
    at<int32_t>(job->finished)[row] = finished;
}

#endif
