/* SPDX-License-Identifier: Apache-2.0
 *
 * fibers.cc: threads of a block as fibers of one CPU thread. A fiber runs until it waits at a barrier or ends; then the
 * next one goes on. A barrier opens when all that have not ended have come: the card would hang or fault where some have
 * ended, so this hides no more than that. x86-64.
 */
#include "fibers.h"
#include "cuda_bf16.h"

struct emulated_index threadIdx, blockIdx, blockDim, gridDim;
float4 *emulated_shared;

namespace {

enum { MOST_THREADS = 1024, STACK_BYTES = 128 << 10, SHARED_BYTES = 256 << 10, EXCHANGE_BYTES = 64 };

struct barrier {
    int arrived, alive;
    unsigned turn;
};
struct warp {
    struct barrier barrier;
    unsigned exchanges;
    unsigned char slots[2][32 * EXCHANGE_BYTES];
};
struct fiber {
    void *stack_pointer;
    bool is_done;
};

struct fiber fibers[MOST_THREADS];
struct warp warps[MOST_THREADS / 32];
struct barrier block;
char *stacks;
void *home;
int current, n_threads;
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

void leave(struct barrier *b)
{
    b->alive--;
    if (b->arrived && b->arrived == b->alive) {
        b->arrived = 0;
        b->turn++;
    }
}

void yield()
{
    struct fiber *me = &fibers[current];
    emulated_switch(&me->stack_pointer, home);
    threadIdx.x = (unsigned)current;
}

void wait(struct barrier *b)
{
    const unsigned turn = b->turn;
    if (++b->arrived == b->alive) {
        b->arrived = 0;
        b->turn++;
        return;
    }
    while (b->turn == turn)
        yield();
}

void enter()
{
    threadIdx.x = (unsigned)current;
    (*function)();
    fibers[current].is_done = true;
    leave(&warps[current / 32].barrier);
    leave(&block);
    for (;;)
        yield();
}

void prepare(int i)
{
    char *top = stacks + (size_t)(i + 1) * STACK_BYTES;
    void **sp = (void **)(void *)top - 1; /* as after a call: 8 off a multiple of 16 */
    *--sp = (void *)enter;
    for (int k = 0; k < 6; k++)
        *--sp = NULL;
    fibers[i].stack_pointer = sp;
    fibers[i].is_done = false;
}

void run_block()
{
    int left = n_threads;
    for (int w = 0; w * 32 < n_threads; w++)
        warps[w].barrier.arrived = 0, warps[w].barrier.alive = n_threads - 32 * w < 32 ? n_threads - 32 * w : 32;
    block.arrived = 0;
    block.alive = n_threads;
    for (int i = 0; i < n_threads; i++)
        prepare(i);
    for (int idle = 0; left;) {
        left = 0;
        for (int i = 0; i < n_threads; i++) {
            if (fibers[i].is_done)
                continue;
            current = i;
            emulated_switch(&home, fibers[i].stack_pointer);
            left += !fibers[i].is_done;
        }
        if (++idle > 1 << 24)
            abort(); /* threads wait for each other for ever */
    }
}

} // namespace

extern "C" const unsigned char *emulated_exchange(const void *mine, size_t n)
{
    struct warp *w = &warps[current / 32];
    unsigned char *slots = w->slots[w->barrier.turn & 1];
    if (n > EXCHANGE_BYTES)
        abort();
    memcpy(slots + EXCHANGE_BYTES * (current % 32), mine, n);
    wait(&w->barrier);
    return slots;
}
extern "C" void emulated_block_barrier(void)
{
    wait(&block);
}
extern "C" void emulated_warp_barrier(void)
{
    wait(&warps[current / 32].barrier);
}

void emulated_run(const unsigned grid[3], unsigned threads, size_t shared_bytes, const std::function<void()> &thread)
{
    if (!stacks) {
        stacks = (char *)aligned_alloc(4096, (size_t)MOST_THREADS * STACK_BYTES);
        emulated_shared = (float4 *)aligned_alloc(4096, SHARED_BYTES);
    }
    if (threads > MOST_THREADS || shared_bytes > SHARED_BYTES || !stacks || !emulated_shared)
        abort();
    n_threads = (int)threads;
    function = &thread;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    for (unsigned y = 0; y < grid[1]; y++)
        for (unsigned x = 0; x < grid[0]; x++) {
            blockIdx = {x, y, 0};
            memset((void *)emulated_shared, 0x7f, shared_bytes); /* nobody may count on what a block before left there */
            run_block();
        }
}
