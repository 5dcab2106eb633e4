/* SPDX-License-Identifier: Apache-2.0
 *
 * guard.c: the processor's state before and after a call.
 *
 * A function that computes the right numbers and comes back with another rounding mode, with denormals flushed to zero,
 * with the direction of string instructions turned round or with a full x87 stack makes the next lines of its caller
 * wrong. The calling convention says what belongs to the caller; this file holds each function to it. The code that
 * looks stands right behind the call, before any compiled line can hide what was left, and puts everything back, so
 * that what is left of the process works whatever the call did.
 *
 * A call on the clock is not looked at: the same code has been, in its checks. The upper halves of vector registers
 * belong to no one, but code of before AVX waits for them at every instruction; compilers clear them at the end of a
 * function by themselves from -O2 on, so that only what asks for its own options may leave them.
 */
#include "eval/c/worker/guard.h"
#include "eval/c/worker/protocol.h"
#include <string.h>

#if defined(__x86_64__)

enum { FLAG_ALIGNMENT = 1 << 18, FLAG_DIRECTION = 1 << 10, N_KEPT = 7, FLAGS = 7 };
static const uint32_t usual_mxcsr = 0x1f80, mxcsr_control = 0xffc0;
static const uint16_t usual_x87 = 0x037f;
static const uint16_t usual_tags = 0xffff;

/* rbx, rbp, r12 to r15, rsp; then the return address before the call and the flags after it. Used by the assembly. */
uint64_t guard_before[8], guard_after[8];
kernel_fn *guard_kernel;
uint32_t guard_mxcsr, guard_has_avx;
struct {
    uint16_t control, r0, status, r1, tags, r2;
    uint32_t rest[4];
} guard_x87;
float guard_upper[4];
void guard_call(void);

#define REGISTERS(X) X("%rbx", "0") X("%rbp", "8") X("%r12", "16") X("%r13", "24") X("%r14", "32") X("%r15", "40")
#define BEFORE(r, at) "    movq " r ", guard_before+" at "(%rip)\n"
#define AFTER(r, at) "    movq " r ", guard_after+" at "(%rip)\n"
#define BACK(r, at) "    movq guard_before+" at "(%rip), " r "\n"
#define UPPER(n) "    vextractf128 $1, %ymm" n ", %xmm" n "\n    vorps %xmm" n ", %xmm0, %xmm0\n"
/* clang-format off */
__asm__(".text\n.p2align 4\n.globl guard_call\n.type guard_call, @function\nguard_call:\n"
        "    popq guard_before+56(%rip)\n"
        REGISTERS(BEFORE) BEFORE("%rsp", "48")
        "    call *guard_kernel(%rip)\n"
        AFTER("%rsp", "48") BACK("%rsp", "48")
        "    pushfq\n    popq guard_after+56(%rip)\n    pushq $0x202\n    popfq\n"
        REGISTERS(AFTER) REGISTERS(BACK)
        "    stmxcsr guard_mxcsr(%rip)\n    fnstenv guard_x87(%rip)\n"
        "    cmpl $0, guard_has_avx(%rip)\n    je 1f\n    vextractf128 $1, %ymm0, %xmm0\n"
        UPPER("1") UPPER("2") UPPER("3") UPPER("4") UPPER("5") UPPER("6") UPPER("7") UPPER("8") UPPER("9") UPPER("10")
        UPPER("11") UPPER("12") UPPER("13") UPPER("14") UPPER("15")
        "    vmovups %xmm0, guard_upper(%rip)\n    vzeroupper\n1:\n"
        "    pushq guard_before+56(%rip)\n    ret\n.size guard_call, .-guard_call\n");
/* clang-format on */

void guard_reset(void)
{
    __asm__ volatile("fninit\n\tldmxcsr %0\n\tcld" : : "m"(usual_mxcsr));
    guard_has_avx = __builtin_cpu_supports("avx") != 0;
    if (guard_has_avx)
        __asm__ volatile("vzeroupper" : : : "memory");
}

kernel_fn *guard_around(kernel_fn *kernel)
{
    kernel_fn *around;
    void (*call)(void) = guard_call;
    guard_kernel = kernel;
    memcpy(&around, &call, sizeof around);
    return around;
}

uint32_t guard_left(bool is_upper_checked)
{
    uint32_t left = 0;
    if ((guard_mxcsr & mxcsr_control) != (usual_mxcsr & mxcsr_control))
        left |= VT_LEFT_MXCSR;
    if (guard_x87.control != usual_x87)
        left |= VT_LEFT_X87_CONTROL;
    if (guard_x87.tags != usual_tags)
        left |= VT_LEFT_X87_STACK;
    if (guard_after[FLAGS] & FLAG_DIRECTION)
        left |= VT_LEFT_DIRECTION;
    if (guard_after[FLAGS] & FLAG_ALIGNMENT)
        left |= VT_LEFT_ALIGNMENT;
    if (memcmp(guard_before, guard_after, N_KEPT * sizeof guard_before[0]) != 0)
        left |= VT_LEFT_REGISTERS;
    static const unsigned char nothing[sizeof guard_upper] = {0};
    if (is_upper_checked && guard_has_avx && memcmp(guard_upper, nothing, sizeof nothing) != 0)
        left |= VT_LEFT_UPPER;
    guard_reset();
    return left;
}

#elif defined(__aarch64__)

void guard_reset(void)
{
    __asm__ volatile("msr fpcr, %0\n\tmsr fpsr, %0" : : "r"(0ul));
}

kernel_fn *guard_around(kernel_fn *kernel)
{
    return kernel;
}

uint32_t guard_left(bool is_upper_checked)
{
    uint64_t control;
    (void)is_upper_checked;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    guard_reset();
    return control ? VT_LEFT_MXCSR : 0;
}

#endif
