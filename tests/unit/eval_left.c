/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_left.c: what a call leaves to its caller. Each kernel writes its output and then leaves one thing that belongs
 * to the caller otherwise than it was; the call ends with that thing's name and no other, at the call that did it. What
 * is put back, what the convention gives away and what is kept on purpose is no fault. And what links but must not be
 * reached ends like the system call that it stands for.
 */
#include "eval_kernel.h"

#define KERNEL(text) "void f(const uint64_t *in, uint64_t *out) { out[0] = 5; " text " }\n"

/* n steps in one process, so many rounds. */
static void run(struct kernel *k, size_t n, uint32_t n_rounds, enum vt_wire_guard guard, struct vt_call_result *r)
{
    vt_err err;
    struct vt_call_step step[8];
    struct vt_call_opts o = options(k);
    o.guard = guard;
    o.n_rounds = n_rounds;
    for (size_t i = 0; i < n; i++)
        step[i] = (struct vt_call_step){&k->plan, 0, i * k->plan.out_bytes};
    CHECK_OK(vt_runner_call_many(k->runner, step, n, &o, r, &err), err);
}

#if defined(__x86_64__)
enum { HAS_X87 = 1 };
extern const char cpu_model[] __asm__("__cpu_model");

static const struct {
    const char *code;
    uint32_t left; /* 0: a right call */
} states[] = {
    {KERNEL(""), 0},
    {KERNEL("__builtin_ia32_ldmxcsr(0x9f80);"), VT_LEFT_MXCSR}, /* flush to zero */
    {KERNEL("__builtin_ia32_ldmxcsr(0x1fc0);"), VT_LEFT_MXCSR}, /* denormals are zero */
    {KERNEL("__builtin_ia32_ldmxcsr(0x7f80);"), VT_LEFT_MXCSR}, /* rounding */
    {KERNEL("__builtin_ia32_ldmxcsr(0x1f00);"), VT_LEFT_MXCSR}, /* a trap */
    {KERNEL("__builtin_ia32_ldmxcsr(0x1fbf);"), 0},             /* exceptions that were seen are anybody's */
    {KERNEL("unsigned short c = 0x0f7f; __asm__ volatile(\"fldcw %0\" : : \"m\"(c));"), VT_LEFT_X87_CONTROL},
    {KERNEL("__asm__ volatile(\"fldz\");"), VT_LEFT_X87_STACK},
    {KERNEL("__asm__ volatile(\"fldz; fldz; fldz; fldz; fldz; fldz; fldz; fldz\");"), VT_LEFT_X87_STACK},
    {KERNEL("__asm__ volatile(\"movq %0, %%mm1\" : : \"r\"(in));"), VT_LEFT_X87_STACK},
    {KERNEL("__asm__ volatile(\"fldz; fstp %st(0)\");"), 0},
    {KERNEL("__asm__ volatile(\"movq %0, %%mm1; emms\" : : \"r\"(in));"), 0},
    {KERNEL("__asm__ volatile(\"std\");"), VT_LEFT_DIRECTION},
    {KERNEL("__asm__ volatile(\"std; cld\");"), 0},
    {KERNEL("__asm__ volatile(\"pushfq; orl $0x40000, (%%rsp); popfq\" : : : \"memory\");"), VT_LEFT_ALIGNMENT},
    {KERNEL("__asm__ volatile(\"incq %rbx\");"), VT_LEFT_REGISTERS},
    {KERNEL("__asm__ volatile(\"incq %r15\");"), VT_LEFT_REGISTERS},
    {KERNEL("__asm__ volatile(\"incq %%rbx\" : : : \"rbx\");"), 0},
    {KERNEL("__asm__ volatile(\"std; incq %r12\");"), VT_LEFT_DIRECTION | VT_LEFT_REGISTERS},
};

static void each_state_has_its_name(void)
{
    for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
        struct kernel k;
        struct vt_call_result r;
        if (!open_kernel(&k, states[i].code, 0, 0, 4))
            continue;
        run(&k, 1, 1, VT_GUARD_CALLER, &r);
        if (r.end != (states[i].left ? VT_CALL_LEFT : VT_CALL_DONE) || r.left != states[i].left)
            printf("  %s", states[i].code);
        CHECK_INT(r.end, states[i].left ? VT_CALL_LEFT : VT_CALL_DONE);
        CHECK_INT(r.left, states[i].left);
        CHECK_INT((long long)out_of(&k, 0)[0], 5);
        CHECK(vt_runner_is_alive(k.runner));
        run(&k, 1, 1, VT_GUARD_NOTHING, &r); /* as on the clock */
        if (states[i].left == VT_LEFT_MXCSR)
            CHECK_INT(r.end, VT_CALL_DONE);
        close_kernel(&k);
    }
}

/* Where compilers clear them, and only there. */
static void upper_halves_are_asked_for(void)
{
    static const char dirty[] = KERNEL("__asm__ volatile(\"vpcmpeqd %%ymm9, %%ymm9, %%ymm9\" : : : \"memory\");");
    static const char clean[] =
        KERNEL("__asm__ volatile(\"vpcmpeqd %%ymm9, %%ymm9, %%ymm9; vzeroupper\" : : : \"memory\");");
    static const char compiled[] =
        "typedef float wide __attribute__((vector_size(32)));\n"
        "void f(const uint64_t *in, uint64_t *out) { wide v; memcpy(&v, in, sizeof v); v = v * 3.0f + 1.0f; "
        "memcpy(out, &v, sizeof v); }\n";
    static const struct {
        const char *code;
        uint32_t left;
    } cases[] = {{dirty, VT_LEFT_UPPER}, {clean, 0}, {compiled, 0}};
    if (!__builtin_cpu_supports("avx2"))
        SKIP("this processor has no upper halves");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kernel k;
        struct vt_call_result r;
        if (!open_kernel(&k, cases[i].code, 0, 0, 4))
            continue;
        run(&k, 1, 1, VT_GUARD_CALLER, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        run(&k, 1, 1, VT_GUARD_UPPER, &r);
        CHECK_INT(r.end, cases[i].left ? VT_CALL_LEFT : VT_CALL_DONE);
        CHECK_INT(r.left, cases[i].left);
        close_kernel(&k);
    }
}
#else
enum { HAS_X87 = 0 };
static void each_state_has_its_name(void)
{
    SKIP("the states are those of x86-64");
}
static void upper_halves_are_asked_for(void)
{
    SKIP("the states are those of x86-64");
}
#endif

/* The third call of four: two came back. */
static void the_call_that_left_it_is_known(void)
{
    struct kernel k;
    struct vt_call_result r;
    if (!open_kernel(&k,
                     "#include <fenv.h>\nvoid f(const uint64_t *in, uint64_t *out) { static int n; out[0] = 5; "
                     "if (++n == 3) fesetround(FE_TOWARDZERO); }\n",
                     0, 0, 4))
        return;
    run(&k, 4, 1, VT_GUARD_CALLER, &r);
    CHECK_INT(r.end, VT_CALL_LEFT);
    CHECK_INT(r.left, VT_LEFT_MXCSR | (HAS_X87 ? VT_LEFT_X87_CONTROL : 0));
    CHECK_INT(r.n_returned, 2);
    close_kernel(&k);
}

/* Blocks that a round takes more than the round before it. */
static void memory_is_counted_over_rounds(void)
{
    static const struct {
        const char *code;
        bool is_left;
    } cases[] = {
        {"void f(const uint64_t *in, uint64_t *out) { out[0] = (uintptr_t)malloc(40); }", true},
        {"void f(const uint64_t *in, uint64_t *out) { free(malloc(40)); out[0] = (uintptr_t)calloc(4, 8); }", true},
        {"void f(const uint64_t *in, uint64_t *out) { static int n; out[0] = (uintptr_t)(n++ % 4 == 1 ? malloc(4) : "
         "NULL); }",
         true},
        {"void f(const uint64_t *in, uint64_t *out) { static void *kept; if (!kept) kept = malloc(40); out[0] = "
         "(uintptr_t)kept; }",
         false},
        {"void f(const uint64_t *in, uint64_t *out) { static void *kept; static size_t n = 8; kept = realloc(kept, n "
         "+= "
         "8); out[0] = (uintptr_t)kept; }",
         false},
        {"void f(const uint64_t *in, uint64_t *out) { void *a = aligned_alloc(64, 64), *b = realloc(NULL, 8), *c = "
         "reallocarray(NULL, 4, 4), *d = NULL; out[0] = (uint64_t)posix_memalign(&d, 64, 64); free(a); free(b); "
         "free(c); free(d); free(NULL); }",
         false},
        {"void f(const uint64_t *in, uint64_t *out) { void *a = malloc(8); out[0] = (uintptr_t)realloc(a, 0); }",
         false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct kernel k;
        struct vt_call_result r;
        if (!open_kernel(&k, cases[i].code, 0, 0, 4))
            continue;
        run(&k, 4, 1, VT_GUARD_CALLER, &r);
        CHECK_INT(r.end, VT_CALL_DONE); /* one round tells nothing */
        run(&k, 4, 3, VT_GUARD_CALLER, &r);
        if ((r.end == VT_CALL_LEFT) != cases[i].is_left)
            printf("  %s\n", cases[i].code);
        CHECK_INT(r.end, cases[i].is_left ? VT_CALL_LEFT : VT_CALL_DONE);
        CHECK_INT(r.left, cases[i].is_left ? VT_LEFT_MEMORY : 0);
        close_kernel(&k);
    }
}

/* A branch that is never taken costs nothing; one that is taken has asked for output. */
static void printing_links_and_ends_the_call(void)
{
    static const char *const ways[] = {
        "printf(\"%d\", (int)in[1])", "fprintf(stderr, \"x\")", "perror(\"x\")", "puts(\"x\")",
        "fputs(\"x\", stdout)",       "fflush(stdout)",         "putchar('x')",  "fwrite(in, 1, 1, stderr)"};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        struct kernel k;
        struct vt_call_result r;
        char code[256];
        snprintf(code, sizeof code,
                 "#include <stdio.h>\nvoid f(const uint64_t *in, uint64_t *out) { out[0] = 5; if (in[0]) %s; }\n",
                 ways[i]);
        if (!open_kernel(&k, code, 0, 0, 1))
            continue;
        run(&k, 1, 1, VT_GUARD_UPPER, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        k.in[0] = 1;
        run(&k, 1, 1, VT_GUARD_UPPER, &r);
        CHECK_INT(r.end, VT_CALL_FORBIDDEN);
        CHECK(vt_runner_is_alive(k.runner));
        close_kernel(&k);
    }
}

/* As this program is told, whichever way the compiler refers to what it asks. */
static void the_processor_is_what_it_is(void)
{
#if defined(__x86_64__)
    static const char *const ways[] = {"", "extern char __cpu_model[] __attribute__((visibility(\"hidden\")));\n"};
    for (size_t i = 0; i < 2; i++) {
        struct kernel k;
        struct vt_call_result r;
        char code[512];
        snprintf(code, sizeof code,
                 "%svoid f(const uint64_t *in, uint64_t *out) { __builtin_cpu_init(); out[0] = "
                 "!!__builtin_cpu_supports(\"avx2\"); out[1] = !!__builtin_cpu_supports(\"avx512vnni\"); out[2] = "
                 "!!__builtin_cpu_is(\"intel\"); %s }\n",
                 ways[i], i ? "memcpy(out + 4, __cpu_model, 16);" : "");
        if (!open_kernel(&k, code, 0, 0, 1))
            continue;
        run(&k, 1, 1, VT_GUARD_UPPER, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        CHECK_INT((long long)out_of(&k, 0)[0], __builtin_cpu_supports("avx2") != 0);
        CHECK_INT((long long)out_of(&k, 0)[1], __builtin_cpu_supports("avx512vnni") != 0);
        CHECK_INT((long long)out_of(&k, 0)[2], __builtin_cpu_is("intel") != 0);
        if (i)
            CHECK(memcmp(out_of(&k, 0) + 4, cpu_model, 16) == 0);
        close_kernel(&k);
    }
#else
    SKIP("the question is one of x86-64");
#endif
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {
        TEST(each_state_has_its_name),          TEST(upper_halves_are_asked_for),
        TEST(the_call_that_left_it_is_known),   TEST(memory_is_counted_over_rounds),
        TEST(printing_links_and_ends_the_call), TEST(the_processor_is_what_it_is)};
    return kernel_main("left", cases, sizeof cases / sizeof cases[0], argc, argv);
}
