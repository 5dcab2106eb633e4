/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.cuh: stands in for engine/cuda/copy.cuh: Hopper's barriers and bulk copies, done at once where they are begun. A
 * tiled view is what the driver's double wrote into it (struct emulated_view).
 */
#ifndef VT_CUDA_COPY_CUH
#define VT_CUDA_COPY_CUH

#include "cuda/common.cuh"
#include "emulated_view.h"

struct __align__(64) tensor_map {
    uint64_t opaque[16];
};

extern "C" {
void emulated_yield(void);
void emulated_cluster_barrier(void);
void emulated_named_barrier(int id, int n);
int emulated_rank(void);
char *emulated_shared_of(int rank);
}

/* What a barrier's eight bytes hold. */
struct emulated_barrier {
    uint16_t count, pending;
    int32_t bytes_and_turn; /* 2 * bytes that are still to come, turn in the lowest bit */
};

DEVICE void turn_over(struct emulated_barrier *b)
{
    if (b->pending == 0 && (b->bytes_and_turn & ~1) == 0) {
        b->bytes_and_turn ^= 1;
        b->pending = b->count;
    }
}
DEVICE struct emulated_barrier *barrier_at(uint64_t *b, int rank)
{
    return (struct emulated_barrier *)(void *)(emulated_shared_of(rank) + shared_address(b));
}
DEVICE void barrier_init(uint64_t *b, int arrivals)
{
    *barrier_at(b, emulated_rank()) = {(uint16_t)arrivals, (uint16_t)arrivals, 0};
}
DEVICE void barriers_ready() {}
DEVICE void barrier_arrive_at(uint64_t *b, uint32_t rank)
{
    struct emulated_barrier *e = barrier_at(b, (int)rank);
    if (e->pending == 0)
        abort(); /* one arrival too many */
    e->pending--;
    turn_over(e);
}
DEVICE void barrier_arrive(uint64_t *b)
{
    barrier_arrive_at(b, (uint32_t)emulated_rank());
}
DEVICE void barrier_expect(uint64_t *b, uint32_t bytes)
{
    barrier_at(b, emulated_rank())->bytes_and_turn += 2 * (int32_t)bytes;
    barrier_arrive(b);
}
DEVICE void barrier_wait(uint64_t *b, uint32_t turn)
{
    while ((uint32_t)(barrier_at(b, emulated_rank())->bytes_and_turn & 1) == turn)
        emulated_yield();
}
DEVICE void arrived(uint64_t *b, int rank, uint32_t bytes)
{
    struct emulated_barrier *e = barrier_at(b, rank);
    e->bytes_and_turn -= 2 * (int32_t)bytes;
    turn_over(e);
}

DEVICE uint32_t cluster_rank()
{
    return (uint32_t)emulated_rank();
}
DEVICE void cluster_meet()
{
    emulated_cluster_barrier();
}
DEVICE void cluster_sync()
{
    emulated_cluster_barrier();
}
DEVICE float shared_load_at(uint32_t address, uint32_t rank)
{
    return *(const float *)(const void *)(emulated_shared_of((int)rank) + address);
}
DEVICE float4 shared_load4_at(uint32_t address, uint32_t rank)
{
    return *(const float4 *)(const void *)(emulated_shared_of((int)rank) + address);
}

DEVICE void box_into(char *shared, uint32_t to, const struct emulated_view *v, int x, int y)
{
    for (uint32_t r = 0; r < v->box[1]; r++)
        for (uint32_t c = 0; c < v->box[0]; c++) {
            const uint32_t at = to + (r * v->box[0] + c) * 2, swizzled = at ^ (at >> 7 & 7) << 4;
            const bool is_there = (uint64_t)y + r < v->dims[1] && (uint64_t)x + c < v->dims[0];
            uint16_t bits = 0;
            if (is_there)
                memcpy(&bits, (const char *)v->base + ((uint64_t)y + r) * v->stride + ((uint64_t)x + c) * 2, 2);
            memcpy(shared + swizzled, &bits, 2);
        }
}
DEVICE void copy_box_to(void *to, const tensor_map *map, int x, int y, uint64_t *done, uint16_t mask)
{
    struct emulated_view v;
    memcpy(&v, map, sizeof v);
    if (v.box[0] != 64 || shared_address(to) % 1024)
        abort(); /* other than what the swizzle above is for */
    for (int rank = 0; mask >> rank; rank++)
        if (mask >> rank & 1) {
            box_into(emulated_shared_of(rank), shared_address(to), &v, x, y);
            arrived(done, rank, v.box[0] * v.box[1] * 2);
        }
}
DEVICE void copy_box(void *to, const tensor_map *map, int x, int y, uint64_t *done)
{
    copy_box_to(to, map, x, y, done, (uint16_t)(1 << emulated_rank()));
}
DEVICE void copy_bytes(void *to, const void *from, uint32_t n, uint64_t *done)
{
    if (n % 16 || (uintptr_t)from % 16 || shared_address(to) % 16)
        abort();
    memcpy(to, from, n);
    arrived(done, emulated_rank(), n);
}
DEVICE void copies_see_shared() {}
DEVICE void copy_out_bytes(void *to, const void *from, uint32_t n)
{
    if (n % 16 || (uintptr_t)to % 16 || shared_address(from) % 16)
        abort();
    memcpy(to, from, n);
}
DEVICE void copy_out_wait() {}
template <int ID, int N> DEVICE void threads_meet()
{
    emulated_named_barrier(ID, N);
}
DEVICE void store_release(int32_t *p, int32_t v)
{
    *p = v;
}
DEVICE int32_t load_acquire(const int32_t *p)
{
    emulated_yield();
    return *p;
}
template <int N> DEVICE void registers_fewer() {}
template <int N> DEVICE void registers_more() {}
DEVICE void prefetch_share(uint64_t, uint32_t, int, int) {}
DEVICE void prefetch_map(const tensor_map *) {}

#endif
