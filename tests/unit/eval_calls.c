/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_calls.c: calls of a loaded kernel, below tasks and verdicts. Where code, data, stack and arrays lie is what the
 * evaluator said; static data of every kind work wherever they are put; several calls in one process share what one
 * process shares; and nothing at all survives from one process to the next: a kernel that is told every byte it can
 * write (read from /proc while it runs) marks them all, and the call after it finds none of its marks. Whatever a
 * kernel writes into the page it shares with the evaluator, its ending is its own.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "eval_kernel.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/syscall.h>

static void call(struct kernel *k, uint32_t stack_offset, struct vt_call_result *r)
{
    vt_err err;
    struct vt_call_opts o = options(k);
    o.stack_offset = stack_offset;
    CHECK_OK(vt_runner_call(k->runner, &o, r, &err), err);
}

/* ---- where things lie ---- */

/* Everything that the linker moves: zeros, data, aligned constants, tables of pointers to code and data, a jump table,
 * functions of the C library by call and by pointer, a heap. The sum is the same wherever it lies. */
static const char parts[] =
    "static const float table[16] __attribute__((aligned(64))) = {1, 2, 3};\n"
    "static double zeros[5000];\n"
    "static uint64_t set[3] = {7, 8, 9};\n"
    "static uint64_t *const where[] = {&set[2], &set[1], &set[0]};\n"
    "static float (*const what[])(float) = {sqrtf, floorf};\n"
    "static _Thread_local int calls;\n"
    "int exported = 5;\n"
    "__attribute__((noinline)) int helper(int i) { return exported + i; }\n"
    "static uint64_t jump(uint64_t i)\n"
    "{\n"
    "    switch (i) { case 0: return 3; case 1: return exported; case 2: return set[0]; case 3: return 11;\n"
    "    case 4: return helper(2); case 5: return 13; default: return 0; }\n"
    "}\n"
    "void f(const uint64_t *in, uint64_t *out)\n"
    "{\n"
    "    double *heap = malloc(800);\n"
    "    uint64_t sum = ++calls;\n"
    "    memset(heap, 0, 800);\n"
    "    for (int i = 0; i < 100; i++) { zeros[i * 50] += i; heap[i] += zeros[i * 50]; sum += heap[i]; }\n"
    "    for (uint64_t i = 0; i < 7; i++) sum += jump(in[0] + i);\n"
    "    for (int i = 0; i < 3; i++) { *where[i] += 1; sum += set[i] + table[i]; }\n"
    "    sum += what[in[0]](16.0f) + what[in[0] + 1](2.5f) + (uint64_t)exp2((double)in[0]);\n"
    "    out[0] = sum;\n"
    "    out[1] = (uintptr_t)f % 4096;\n"
    "    out[2] = (uintptr_t)table % 4096;\n"
    "    out[3] = (uintptr_t)__builtin_frame_address(0);\n"
    "    out[4] = (uintptr_t)in;\n"
    "    out[5] = (uintptr_t)set % 4096;\n"
    "    free(heap);\n"
    "}\n";

static void placements(void)
{
    uint64_t code[12], data[12];
    int n_code = 0, n_data = 0;
    for (uint32_t p = 0; p < 12; p++) {
        struct kernel k;
        struct vt_call_result r;
        if (!open_kernel(&k, parts, 0, p, 1))
            return;
        call(&k, 0, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        const uint64_t *out = out_of(&k, 0);
        /* calls, the heap, jump(0..6), set[] + table[], the functions */
        CHECK_INT(out[0], 1 + 4950 + (3 + 5 + 7 + 11 + 7 + 13) + (7 + 1 + 9 + 2 + 10 + 3) + (4 + 2 + 1));
        CHECK_INT(out[2] % 64, 0);
        const struct vt_image_head *h = &k.build.info.head;
        CHECK_INT((out[1] + VT_IMAGE_PAGE - h->entry % VT_IMAGE_PAGE) % h->text_align, 0);
        bool is_new = true;
        for (int i = 0; i < n_code; i++)
            is_new &= code[i] != out[1];
        code[n_code] = out[1];
        n_code += is_new;
        is_new = true;
        for (int i = 0; i < n_data; i++)
            is_new &= data[i] != out[2];
        data[n_data] = out[2];
        n_data += is_new;
        call(&k, 0, &r);
        CHECK_INT(out_of(&k, 0)[0], out[0]); /* statics are fresh */
        close_kernel(&k);
    }
#if defined(__x86_64__)
    CHECK(n_code >= 6 && n_data >= 6);
#endif
}

static void the_stack_starts_where_it_is_told(void)
{
    struct kernel k;
    struct vt_call_result r;
    uint64_t first;
    if (!open_kernel(&k, parts, 0, 0, 1))
        return;
    call(&k, 0, &r);
    first = out_of(&k, 0)[3];
    for (uint32_t offset = 16; offset < VT_CALL_MAX_STACK; offset = offset * 3 / 16 * 16 + 16) {
        call(&k, offset, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        CHECK_INT(first - out_of(&k, 0)[3], offset);
    }
    close_kernel(&k);
}

/* An array starts at any offset of its pages that the plan names. */
static void arrays_start_anywhere(void)
{
    static const size_t shifts[] = {0, 1, 4, 12, 60, 4092};
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        struct kernel k;
        struct vt_call_result r;
        if (!open_kernel(&k,
                         "void f(const unsigned char *in, uint64_t *out) { out[0] = (uintptr_t)in; out[1] = in[0]; }",
                         shifts[i], 0, 1))
            return;
        ((unsigned char *)k.in)[k.plan.array[0].in_at + k.plan.array[0].data] = (unsigned char)(17 + i);
        call(&k, 0, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        CHECK_INT(out_of(&k, 0)[0] % VT_WIRE_PAGE, k.plan.array[0].data % VT_WIRE_PAGE);
        CHECK_INT(out_of(&k, 0)[1], 17 + i);
        close_kernel(&k);
    }
}

/* ---- several calls in one process ---- */

static void many_calls_share_a_process(void)
{
    enum { N = 20 };
    static const char code[] = "static uint64_t calls;\n"
                               "void f(const uint64_t *in, uint64_t *out)\n"
                               "{\n"
                               "    if (in[0] == 99 && calls == 12) for (;;) ;\n"
                               "    if (in[0] == 98 && calls == 5) __builtin_trap();\n"
                               "    out[0] = in[0] * 10; out[1] = ++calls;\n"
                               "}\n";
    struct kernel k;
    struct vt_call_step step[N];
    struct vt_call_result r;
    vt_err err;
    if (!open_kernel(&k, code, 0, 3, N))
        return;
    for (size_t i = 0; i < N; i++) {
        step[i] = (struct vt_call_step){&k.plan, i * k.plan.in_bytes, i * k.plan.out_bytes};
        k.in[i * k.plan.in_bytes / 8] = i + 1;
    }
    struct vt_call_opts o = options(&k);
    CHECK_OK(vt_runner_call_many(k.runner, step, N, &o, &r, &err), err);
    CHECK_INT(r.end, VT_CALL_DONE);
    CHECK_INT(r.n_returned, N);
    for (size_t i = 0; i < N; i++) {
        CHECK_INT(out_of(&k, i)[0], (i + 1) * 10);
        CHECK_INT(out_of(&k, i)[1], i + 1);
        CHECK_INT(out_of(&k, i)[2], r.poison); /* nobody else's words */
    }
    /* The next process counts from one again. */
    CHECK_OK(vt_runner_call_many(k.runner, step, 2, &o, &r, &err), err);
    CHECK_INT(out_of(&k, 1)[1], 2);
    k.in[12 * k.plan.in_bytes / 8] = 98;
    CHECK_OK(vt_runner_call_many(k.runner, step, N, &o, &r, &err), err);
    CHECK_INT(r.end, VT_CALL_DONE); /* 98 comes thirteenth, not sixth */
    k.in[5 * k.plan.in_bytes / 8] = 98;
    CHECK_OK(vt_runner_call_many(k.runner, step, N, &o, &r, &err), err);
    CHECK_INT(r.end, VT_CALL_SIGNAL);
    CHECK_INT(r.n_returned, 5);
    CHECK_INT(vt_runner_call_many(k.runner, step, VT_CALL_MAX_STEPS + 1, &o, &r, &err), VT_EINVAL);
    CHECK_INT(vt_runner_call_many(k.runner, step, 0, &o, &r, &err), VT_EINVAL);
    k.in[5 * k.plan.in_bytes / 8] = 6;
    k.in[12 * k.plan.in_bytes / 8] = 99;
    o.deadline_ns = 300000000;
    CHECK_OK(vt_runner_call_many(k.runner, step, N, &o, &r, &err), err);
    CHECK_INT(r.end, VT_CALL_TIMEOUT);
    CHECK_INT(r.n_returned, 12);
    CHECK(!vt_runner_is_alive(k.runner));
    close_kernel(&k);
}

/* ---- what survives ---- */

/* in: what to do, a value, then pairs of addresses from .. to, ended by 0. */
static const char marker[] =
    "static void leave(long code)\n"
    "{\n"
    "#if defined(__x86_64__)\n"
    "    __asm__ volatile(\"syscall\" : : \"a\"(231L), \"D\"(code) : \"rcx\", \"r11\", \"memory\");\n"
    "#else\n"
    "    register long n __asm__(\"x8\") = 94, x0 __asm__(\"x0\") = code;\n"
    "    __asm__ volatile(\"svc 0\" : : \"r\"(n), \"r\"(x0) : \"memory\");\n"
    "#endif\n"
    "}\n"
    "void f(const uint64_t *in, uint64_t *out)\n"
    "{\n"
    "    uintptr_t here = (uintptr_t)__builtin_frame_address(0);\n"
    "    uint64_t n = 0, mark = ~in[1];\n"
    "    if (in[0] == 0) for (volatile long i = 0; i < 1500l * 1000 * 1000; i++) ;\n"
    "    for (const uint64_t *p = in + 2; in[0] != 0 && p[0]; p += 2)\n"
    "        for (uintptr_t at = p[0]; at < p[1]; at += 8) {\n"
    "            if (at >= here - 4096 && at < here + 4096) continue;\n"
    "            volatile uint64_t *word = (volatile uint64_t *)at;\n"
    "            if (in[0] == 1) *word = mark;\n"
    "            n += *word == mark;\n"
    "        }\n"
    "    if (in[0] == 1 && out[7] == mark) n++;\n"
    "    out[0] = n;\n"
    "    if (in[0] == 1) leave(0);\n"
    "}\n";

static pid_t child_of(pid_t parent)
{
    DIR *d = opendir("/proc");
    pid_t found = 0;
    for (struct dirent *e = readdir(d); e && !found; e = readdir(d)) {
        char path[300], text[512];
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        size_t n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = 0;
        const char *end = strrchr(text, ')');
        char state;
        int ppid;
        if (end && sscanf(end + 1, " %c %d", &state, &ppid) == 2 && ppid == parent)
            found = (pid_t)strtol(e->d_name, NULL, 10);
    }
    closedir(d);
    return found;
}

static void *call_in_thread(void *arg)
{
    static struct vt_call_result r;
    call(arg, 0, &r);
    return &r;
}

/* Every range that is writable in a call, as pairs; *shared the one that the evaluator sees, too. 0: not to be had. */
static size_t writable_ranges(struct kernel *k, uint64_t *pairs, size_t room, uint64_t *shared)
{
    pthread_t thread;
    size_t n = 0;
    char path[64], line[512];
    k->in[0] = 0;
    CHECK_INT(pthread_create(&thread, NULL, call_in_thread, k), 0);
    usleep(200000); /* it is set up within a millisecond, and runs for seconds */
    snprintf(path, sizeof path, "/proc/%d/maps", (int)child_of(vt_runner_group(k->runner)));
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f) && n + 2 <= room) {
        unsigned long from, to;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w')
            continue;
        if (strstr(line, "memfd:call"))
            *shared = from;
        if (strstr(line, "[stack]")) { /* grows only; what lies below its pointer so far */
            from = to - (128 << 10);
        }
        pairs[n++] = from;
        pairs[n++] = to;
    }
    if (f)
        fclose(f);
    pthread_join(thread, NULL);
    return n;
}

static void nothing_survives_a_call(void)
{
    struct kernel k;
    struct vt_call_result r;
    uint64_t pairs[256] = {0}, shared = 0, bytes = 0;
    if (!open_kernel(&k, marker, 0, 5, 1))
        return;
    size_t n = writable_ranges(&k, pairs, 254, &shared);
    if (n == 0) {
        close_kernel(&k);
        SKIP("this user cannot read the address space of a jailed process");
    }
    CHECK(shared != 0 && n >= 10);
    for (size_t i = 0; i < n; i += 2)
        bytes += pairs[i + 1] - pairs[i];
    printf("  %zu ranges, %.1f MiB\n", n / 2, (double)bytes / (1 << 20));
    memcpy(k.in + 2, pairs, sizeof pairs);
    for (uint64_t round = 1; round <= 3; round++) {
        k.in[1] = round * 0x123456789abcdefull;
        k.in[0] = 1;
        call(&k, 0, &r);
        for (int again = 0; r.end == VT_CALL_SIGNAL && again < 8; again++) /* it may mark what it stands on */
            call(&k, 0, &r);
        CHECK_INT(r.end, VT_CALL_EXITED);
        CHECK(out_of(&k, 0)[0] * 8 > bytes - (16 << 10)); /* all but its own frame was marked, and seen to be */
        k.in[0] = 2;
        call(&k, 0, &r);
        CHECK_INT(r.end, VT_CALL_DONE);
        CHECK_INT(out_of(&k, 0)[0], 0);
    }
    close_kernel(&k);
}

/* ---- endings ---- */

/* Fills the page that the evaluator sees with a word, writes a few others over it, and leaves with a code. */
static const char forger[] =
    "void f(const uint64_t *in, uint64_t *out)\n"
    "{\n"
    "    volatile uint32_t *page = (volatile uint32_t *)in[1];\n"
    "    if (in[0] == 0) for (volatile long i = 0; i < 1500l * 1000 * 1000; i++) ;\n"
    "    if (in[0] == 0) return;\n"
    "    for (int i = 0; i < 1024; i++) page[i] = (uint32_t)in[2];\n"
    "    for (const uint64_t *p = in + 4; p[0]; p += 2) page[p[0] - 1] = (uint32_t)p[1];\n"
    "#if defined(__x86_64__)\n"
    "    __asm__ volatile(\"syscall\" : : \"a\"(231L), \"D\"(in[3]) : \"rcx\", \"r11\", \"memory\");\n"
    "#else\n"
    "    register long n __asm__(\"x8\") = 94, x0 __asm__(\"x0\") = (long)in[3];\n"
    "    __asm__ volatile(\"svc 0\" : : \"r\"(n), \"r\"(x0) : \"memory\");\n"
    "#endif\n"
    "}\n";

static void whatever_it_writes_its_ending_is_its_own(void)
{
    enum { SIGNAL = offsetof(struct vt_wire_call, fault_signal) / 4, NUMBER, PLACE };
    static const struct {
        uint64_t fill, code, words[5];
        enum vt_call_end end;
    } cases[] = {
        {0, 126, {0}, VT_CALL_EXITED}, {0, 127, {0}, VT_CALL_EXITED},
        {0, 0, {0}, VT_CALL_EXITED},   {0xffffffff, 126, {0}, VT_CALL_EXITED},
        {1, 0, {0}, VT_CALL_EXITED},   {0xffffffff, 1, {0}, VT_CALL_EXITED},
        {0, 125, {0}, VT_CALL_EXITED}, {0xffffffff, 125, {SIGNAL + 1, SIGSYS}, VT_CALL_FORBIDDEN},
    };
    struct kernel k;
    struct vt_call_result r;
    uint64_t pairs[256], shared = 0;
    if (!open_kernel(&k, forger, 0, 0, 1))
        return;
    if (writable_ranges(&k, pairs, 254, &shared) == 0) {
        close_kernel(&k);
        SKIP("this user cannot read the address space of a jailed process");
    }
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        k.in[0] = 1;
        k.in[1] = shared;
        k.in[2] = cases[i].fill;
        k.in[3] = cases[i].code;
        memcpy(k.in + 4, cases[i].words, sizeof cases[i].words);
        k.in[4 + 5] = 0;
        call(&k, 0, &r);
        CHECK_INT(r.end, cases[i].end);
        CHECK(r.fault_place <= VT_FAULT_INSTRUCTION);
        CHECK(vt_runner_is_alive(k.runner));
    }
    CHECK(r.syscall > VT_CALL_LAST_SYSCALL); /* never repeated */
    close_kernel(&k);
}

/* Kernels that try to sleep, wake or unmap what is not theirs, and one that is killed from outside: each ends as a
 * verdict and the runner either lives or says that it does not. */
static void games_with_the_system(void)
{
    static const struct {
        const char *code;
        enum vt_call_end end;
    } cases[] = {
        {"static int w; SYS(202, &w, 0, 0, 0);", VT_CALL_FORBIDDEN},       /* futex wait */
        {"static int w; SYS(202, &w, 1, 1 << 30, 0);", VT_CALL_FORBIDDEN}, /* wake */
        {"static int w; SYS(202, &w, 6, 0, 0);", VT_CALL_FORBIDDEN},       /* lock with inheritance */
        {"SYS(11, out, 4096, 0, 0);", VT_CALL_FORBIDDEN},                  /* munmap */
        {"SYS(11, 0, 71680, 0, 0);", VT_CALL_FORBIDDEN},
        {"SYS(10, f, 4096, 7, 0);", VT_CALL_FORBIDDEN},         /* mprotect */
        {"SYS(1 << 30 | 231, 0, 0, 0, 0);", VT_CALL_FORBIDDEN}, /* x32's exit */
        {"SYS(231, 126, 0, 0, 0);", VT_CALL_EXITED},
        {"__asm__ volatile(\"hlt\");", VT_CALL_SIGNAL},
        {"*(volatile int *)f = 0;", VT_CALL_SIGNAL},
        {"static const int c = 1; *(volatile int *)&c = 2;", VT_CALL_SIGNAL}, /* constants are */
        {"((volatile uint64_t *)in)[0] = 1;", VT_CALL_SIGNAL},
    };
#if !defined(__x86_64__)
    SKIP("numbers and instructions are those of x86-64");
#endif
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char code[1024];
        struct kernel k;
        struct vt_call_result r;
        snprintf(code, sizeof code,
                 "#define SYS(n, a, b, c, d) ({ long rc = (n); register long r10 __asm__(\"r10\") = (long)(d); "
                 "__asm__ volatile(\"syscall\" : \"+a\"(rc) : \"D\"((long)(a)), \"S\"((long)(b)), \"d\"((long)(c)), "
                 "\"r\"(r10) : \"rcx\", \"r11\", \"memory\"); rc; })\n"
                 "void f(const uint64_t *in, uint64_t *out) { %s }\n",
                 cases[i].code);
        if (!open_kernel(&k, code, 0, 0, 1))
            continue;
        call(&k, 0, &r);
        if (r.end != cases[i].end)
            printf("  case %zu:\n", i);
        CHECK_INT(r.end, cases[i].end);
        CHECK(vt_runner_is_alive(k.runner));
        if (strstr(cases[i].code, "hlt"))
            CHECK_INT(r.fault_place, VT_FAULT_INSTRUCTION);
        close_kernel(&k);
    }
}

static void a_template_that_dies_under_a_call(void)
{
    struct kernel k;
    pthread_t thread;
    void *result = NULL;
    if (!open_kernel(&k, "void f(const uint64_t *in, uint64_t *out) { for (;;) ; }", 0, 0, 1))
        return;
    CHECK_INT(pthread_create(&thread, NULL, call_in_thread, &k), 0);
    usleep(200000);
    kill(vt_runner_group(k.runner), SIGKILL);
    pthread_join(thread, &result);
    const struct vt_call_result *r = result;
    CHECK_INT(r->end, VT_CALL_SIGNAL);
    CHECK_INT(r->signo, SIGKILL);
    CHECK(!vt_runner_is_alive(k.runner));
    close_kernel(&k);
}

/* The loader's child checks again: an image that was changed after the evaluator's look is not loaded. */
static void a_changed_image_is_not_loaded(void)
{
    struct kernel k;
    char load_error[256];
    struct vt_runner *r = NULL;
    vt_err err;
    if (!open_kernel(&k, parts, 0, 0, 1))
        return;
    struct vt_image_fix fix;
    unsigned char *at = k.build.object + sizeof(struct vt_image_head);
    const struct vt_runner_opts o = {.broker = broker,
                                     .object = k.build.object,
                                     .object_len = k.build.object_len,
                                     .in_fd = k.in_fd,
                                     .va_bytes = k.plan.va_bytes,
                                     .outputs = {&k.outputs, NULL},
                                     .allow_unsafe = true};
    memcpy(&fix, at, sizeof fix);
    fix.place = 0x7ffffff0;
    memcpy(at, &fix, sizeof fix);
    CHECK_OK(vt_runner_open(&o, &r, load_error, &err), err);
    CHECK(r == NULL);
    CHECK_STR(load_error, "its table is damaged");
    close_kernel(&k);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(placements),
                                             TEST(the_stack_starts_where_it_is_told),
                                             TEST(arrays_start_anywhere),
                                             TEST(many_calls_share_a_process),
                                             TEST(nothing_survives_a_call),
                                             TEST(whatever_it_writes_its_ending_is_its_own),
                                             TEST(games_with_the_system),
                                             TEST(a_template_that_dies_under_a_call),
                                             TEST(a_changed_image_is_not_loaded)};
    return kernel_main("calls", cases, sizeof cases / sizeof cases[0], argc, argv);
}
