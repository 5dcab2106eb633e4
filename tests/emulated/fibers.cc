/* SPDX-License-Identifier: Apache-2.0
 *
 * fibers.cc: threads as fibers of one CPU thread. A fiber runs until it waits or ends; then the next one goes on. Blocks
 * run one after another; those of a cluster at once, and small grids of clusters whole, for their clusters may wait for
 * each other. A barrier opens when all that have not ended have come: the card would hang or fault where some have
 * ended, so this hides no more than that. x86-64.
 */
#include "fibers.h"
#include "cuda_bf16.h"
#include <mutex>
#include <sys/mman.h>
#include <vector>

struct emulated_index threadIdx, blockIdx, blockDim, gridDim;
float4 *emulated_shared;

namespace {

enum { MOST_BLOCKS = 16, MOST_THREADS = 1024, STACK_BYTES = 128 << 10, SHARED_BYTES = 228 << 10, EXCHANGE_BYTES = 64 };

struct barrier {
    int arrived, alive;
    unsigned turn;
};
struct warp {
    struct barrier barrier;
    unsigned char slots[2][32 * EXCHANGE_BYTES];
};
struct cluster {
    struct barrier barrier;
    int first; /* block */
};
struct block {
    struct barrier barrier, named[4];
    struct warp warps[MOST_THREADS / 32];
    struct cluster *cluster;
    struct emulated_index index;
    int rank;
    float4 *shared;
};
struct fiber {
    void *stack_pointer;
    struct block *block;
    unsigned thread;
    bool is_done;
};

std::vector<struct fiber> fibers;
struct block blocks[MOST_BLOCKS];
struct cluster clusters[MOST_BLOCKS];
char *stacks;
void *home;
struct fiber *me;
const std::function<void()> *function;

extern "C" void emulated_switch(void **save, void *to);
__asm__(".text\n"
        ".globl emulated_switch\n"
        "emulated_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n");

void open_if_all(struct barrier *b)
{
    if (b->arrived && b->arrived >= b->alive) {
        b->arrived = 0;
        b->turn++;
    }
}

void leave(struct barrier *b)
{
    b->alive--;
    open_if_all(b);
}

/* Who goes on finds its own indices and shared memory. */
void appear()
{
    threadIdx.x = me->thread;
    blockIdx = me->block->index;
    emulated_shared = me->block->shared;
}

void yield()
{
    struct fiber *self = me;
    emulated_switch(&self->stack_pointer, home);
    appear();
}

void wait(struct barrier *b)
{
    const unsigned turn = b->turn;
    b->arrived++;
    open_if_all(b);
    while (b->turn == turn)
        yield();
}

struct warp *my_warp()
{
    return &me->block->warps[me->thread / 32];
}

void enter()
{
    appear();
    (*function)();
    me->is_done = true;
    leave(&my_warp()->barrier);
    leave(&me->block->barrier);
    leave(&me->block->cluster->barrier);
    for (;;)
        yield();
}

void prepare(size_t i, struct block *b, unsigned thread)
{
    char *top = stacks + (i + 1) * STACK_BYTES;
    void **sp = (void **)(void *)top - 1; /* as after a call: 8 off a multiple of 16 */
    *--sp = (void *)enter;
    for (int k = 0; k < 6; k++)
        *--sp = NULL;
    fibers[i] = {sp, b, thread, false};
}

void fill_barrier(struct barrier *b, int n)
{
    b->arrived = 0;
    b->alive = n;
}

/* Blocks [first, first + n) of the grid's numbering by x, then y. */
void run_blocks(const struct emulated_grid &grid, unsigned first, unsigned n)
{
    const unsigned size = grid.cluster;
    fibers.resize((size_t)n * grid.threads);
    for (unsigned i = 0; i < n; i++) {
        struct block *b = &blocks[i];
        b->index = {(first + i) % grid.x, (first + i) / grid.x, 0};
        b->rank = (int)(i % size);
        b->cluster = &clusters[i / size];
        b->cluster->first = (int)(i / size * size);
        fill_barrier(&b->cluster->barrier, (int)(size * grid.threads));
        fill_barrier(&b->barrier, (int)grid.threads);
        for (struct barrier &named : b->named)
            fill_barrier(&named, MOST_THREADS);
        for (unsigned w = 0; w * 32 < grid.threads; w++)
            fill_barrier(&b->warps[w].barrier, grid.threads - 32 * w < 32 ? (int)(grid.threads - 32 * w) : 32);
        memset((void *)b->shared, 0x7f, grid.shared_bytes); /* nobody may count on what a block before left there */
        for (unsigned t = 0; t < grid.threads; t++)
            prepare((size_t)i * grid.threads + t, b, t);
    }
    size_t left = fibers.size();
    for (long idle = 0; left; idle++) {
        const size_t before = left;
        left = 0;
        for (struct fiber &f : fibers) {
            if (f.is_done)
                continue;
            me = &f;
            emulated_switch(&home, f.stack_pointer);
            left += !f.is_done;
        }
        idle = left < before ? 0 : idle;
        if (idle > 1000000)
            abort(); /* threads wait for each other for ever */
    }
}

void take_memory()
{
    if (stacks)
        return;
    const size_t bytes = (size_t)MOST_BLOCKS * MOST_THREADS * STACK_BYTES;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        abort();
    stacks = (char *)p;
    for (struct block &b : blocks)
        b.shared = (float4 *)aligned_alloc(4096, SHARED_BYTES);
}

} // namespace

extern "C" const unsigned char *emulated_exchange(const void *mine, size_t n)
{
    struct warp *w = my_warp();
    unsigned char *slots = w->slots[w->barrier.turn & 1];
    if (n > EXCHANGE_BYTES)
        abort();
    memcpy(slots + EXCHANGE_BYTES * (me->thread % 32), mine, n);
    wait(&w->barrier);
    return slots;
}
extern "C" void emulated_block_barrier(void)
{
    wait(&me->block->barrier);
}
extern "C" void emulated_warp_barrier(void)
{
    wait(&my_warp()->barrier);
}
extern "C" void emulated_yield(void)
{
    yield();
}
extern "C" void emulated_cluster_barrier(void)
{
    wait(&me->block->cluster->barrier);
}
extern "C" void emulated_named_barrier(int id, int n)
{
    me->block->named[id].alive = n;
    wait(&me->block->named[id]);
}
extern "C" int emulated_rank(void)
{
    return me->block->rank;
}
extern "C" char *emulated_shared_of(int rank)
{
    return (char *)blocks[me->block->cluster->first + rank].shared;
}

void emulated_run(const struct emulated_grid &grid, const std::function<void()> &thread)
{
    static std::mutex one_at_a_time; /* of the threads of several devices */
    std::lock_guard<std::mutex> guard(one_at_a_time);
    const unsigned all = grid.x * grid.y, at_once = grid.cluster == 1 ? 1 : all <= MOST_BLOCKS ? all : grid.cluster;
    take_memory();
    if (grid.threads > MOST_THREADS || grid.shared_bytes > SHARED_BYTES || grid.x % grid.cluster)
        abort();
    function = &thread;
    gridDim = {grid.x, grid.y, 1};
    blockDim = {grid.threads, 1, 1};
    for (unsigned first = 0; first < all; first += at_once)
        run_blocks(grid, first, at_once);
}
