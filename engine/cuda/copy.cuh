/* SPDX-License-Identifier: Apache-2.0
 *
 * copy.cuh: Hopper's bulk copies from device memory to shared memory and the barriers they complete on. A barrier counts
 * arrivals and announced bytes; it turns over when both are in, and waiting names the turn (0, 1, 0, …) awaited. Blocks
 * of a cluster may copy into each other's shared memory and arrive at each other's barriers. Arrivals and waits order
 * what the copies and matrix instructions do with shared memory, nothing else: the orders of cluster scope would cost a
 * fence of the whole device at every stage (measured: twice the time of a product).
 */
#ifndef VT_CUDA_COPY_CUH
#define VT_CUDA_COPY_CUH

#include "cuda/common.cuh"

/* A tiled view of a matrix, made by the host (cuTensorMapEncodeTiled). */
struct __align__(64) tensor_map {
    uint64_t opaque[16];
};

#if __CUDA_ARCH__ >= 900

DEVICE void barrier_init(uint64_t *b, int arrivals)
{
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(b)), "r"(arrivals) : "memory");
}
/* After barrier_init, before anybody else uses them. */
DEVICE void barriers_ready()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
DEVICE void barrier_expect(uint64_t *b, uint32_t bytes)
{
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(b)), "r"(bytes) : "memory");
}
DEVICE void barrier_arrive(uint64_t *b)
{
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(b)) : "memory");
}
/* At the same barrier of block `rank` of the cluster. */
DEVICE void barrier_arrive_at(uint64_t *b, uint32_t rank)
{
    asm volatile("{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [remote]; }" ::"r"(shared_address(b)),
                 "r"(rank)
                 : "memory");
}
DEVICE void barrier_wait(uint64_t *b, uint32_t turn)
{
    asm volatile("{ .reg .pred p;\n"
                 "again: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1;\n"
                 "@p bra done;\n"
                 "bra again;\n"
                 "done: }" ::"r"(shared_address(b)),
                 "r"(turn)
                 : "memory");
}

DEVICE uint32_t cluster_rank()
{
    uint32_t r;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(r));
    return r;
}
/* All threads of the cluster have come here; nothing they wrote is ordered. */
DEVICE void cluster_meet()
{
    asm volatile("barrier.cluster.arrive.relaxed.aligned;\nbarrier.cluster.wait.aligned;" ::: "memory");
}
/* The same, and what they wrote before can be read, in each other's shared memory too. */
DEVICE void cluster_sync()
{
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

/* What stands at an address of this block's shared memory, in that of block `rank` of the cluster. */
DEVICE float shared_load_at(uint32_t address, uint32_t rank)
{
    float v;
    asm volatile("{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %1, %2;\n"
                 "ld.shared::cluster.f32 %0, [remote]; }"
                 : "=f"(v)
                 : "r"(address), "r"(rank)
                 : "memory");
    return v;
}
DEVICE float4 shared_load4_at(uint32_t address, uint32_t rank)
{
    float4 v;
    asm volatile("{ .reg .b32 remote; mapa.shared::cluster.u32 remote, %4, %5;\n"
                 "ld.shared::cluster.v4.f32 {%0,%1,%2,%3}, [remote]; }"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "r"(address), "r"(rank)
                 : "memory");
    return v;
}

/* A box of a tiled matrix, first element (x, y). */
DEVICE void copy_box(void *to, const tensor_map *map, int x, int y, uint64_t *done)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::"r"(
                     shared_address(to)),
                 "l"(map), "r"(shared_address(done)), "r"(x), "r"(y)
                 : "memory");
}
/* The same into every block of `mask`, at the same place, each completing on its own barrier. */
DEVICE void copy_box_to(void *to, const tensor_map *map, int x, int y, uint64_t *done, uint16_t mask)
{
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%3, "
                 "%4}], [%2], %5;" ::"r"(shared_address(to)),
                 "l"(map), "r"(shared_address(done)), "r"(x), "r"(y), "h"(mask)
                 : "memory");
}
/* n bytes in a row, a multiple of 16. */
DEVICE void copy_bytes(void *to, const void *from, uint32_t n, uint64_t *done)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
                 "l"(from), "r"(n), "r"(shared_address(done))
                 : "memory");
}
/* What this thread wrote to shared memory before is seen by copies begun after the next barrier. */
DEVICE void copies_see_shared()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
/* From shared to device memory; and until everything this thread began has arrived there. */
DEVICE void copy_out_bytes(void *to, const void *from, uint32_t n)
{
    asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], %2;" ::"l"(to), "r"(shared_address(from)), "r"(n) : "memory");
}
DEVICE void copy_out_wait()
{
    asm volatile("cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;" ::: "memory");
}
/* N threads of the block that name barrier ID have come. */
template <int ID, int N> DEVICE void threads_meet()
{
    asm volatile("bar.sync %0, %1;" ::"n"(ID), "n"(N) : "memory");
}
DEVICE void store_release(int32_t *p, int32_t v)
{
    asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(v) : "memory");
}
DEVICE int32_t load_acquire(const int32_t *p)
{
    int32_t v;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(v) : "l"(p) : "memory");
    return v;
}
/* A warpgroup's registers for each thread from here on. */
template <int N> DEVICE void registers_fewer()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N> DEVICE void registers_more()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/* Asks the second-level cache for n bytes that a kernel to come will read; this warp's share of what `n_warps` ask for. */
DEVICE void prefetch_share(uint64_t from, uint32_t n, int warp, int n_warps)
{
    const uint32_t piece = 8192;
    for (uint32_t at = (uint32_t)(warp * 32 + (int)(threadIdx.x % 32)) * piece; at < n; at += (uint32_t)n_warps * 32 * piece)
        asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from + at), "r"(min(piece, n - at)) : "memory");
}
DEVICE void prefetch_map(const tensor_map *map)
{
    asm volatile("prefetch.tensormap [%0];" ::"l"(map) : "memory");
}

#endif
#endif
