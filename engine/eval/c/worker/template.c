/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c: reserves room for a candidate's image and calls its function, each call in a fresh child.
 *
 * The template itself never maps, reads or runs what a candidate has shaped: it knows lengths that the evaluator has
 * checked, has a heap with free room (so that malloc in a kernel works although the call may not grow it), address
 * space reserved for the image and for the arrays, and a file that its preparing child has filled (load.c). A call
 * child is a copy of that, made before the clock starts and gone after it stops:
 *
 *   map      the image; inputs read-only from the sealed file, outputs read-write, each between unmapped guard pages
 *   warm     write the poison over the outputs and their margins, copy `state` arrays in, read every line of the
 *            inputs, write to the pages of stack and writable data that a kernel touches first, map all library code
 *            and read the image's
 *   close    every descriptor; then seccomp, then the set-up memory
 *   call     when the clock says go; several times, where the evaluator has asked for it. Where no clock runs, what
 *            each call leaves of the caller's state is looked at (guard.h)
 *
 * A fault handler on its own stack notes signal and address for the feedback text, then lets the signal kill.
 */
#include "eval/c/worker/template.h"
#include "eval/c/worker/guard.h"
#include "eval/c/worker/load.h"
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { FD_IMAGE = 3, FD_SHARED, FD_CALL, FD_IN, FD_OUT0, FD_OUT1, FD_PREPARED, N_FDS = 7 };

enum {
    HEAP_ROOM = 64 << 20,  /* what malloc can hand out inside a call */
    WARM_STACK = 64 << 10, /* stack touched before the clock starts */
    WARM_CODE = 4 << 20,   /* of one segment of a library: mapped */
    ALT_STACK = 16 << 10,
    CALL_CPU_S = 60, /* the last resort; the evaluator's own deadline comes long before */
    SPIN_US = 200    /* how long a template that is being timed looks for the next call before it sleeps */
};

static struct vt_wire_shared *shared;
static struct vt_wire_call *call_page;
static unsigned char *va_base;
static size_t va_bytes;
static uintptr_t stack_top;
static struct load image;
static unsigned char alt_stack[ALT_STACK];
static struct arguments {
    int64_t v[48];
    float f[VT_WIRE_MAX_FLOATS];
} arguments[VT_WIRE_MAX_STEPS]; /* of a call child */

/* For what the candidate brought along; else a template just ends, which is the evaluator's failure. */
static _Noreturn void load_failed(const char *what)
{
    snprintf(shared->text, sizeof shared->text, "%s", what);
    vt_wire_store(&shared->state, VT_TEMPLATE_FAILED);
    vt_wire_wake(&shared->state);
    _exit(1);
}

static void on_fault(int signo, siginfo_t *info, void *context)
{
    (void)context;
    struct vt_wire_call *page = call_page;
    page->fault_signal = signo;
    if (signo == SIGSYS) {
        page->fault_syscall = (uint32_t)info->si_syscall;
        _exit(125);
    }
    uintptr_t at = (uintptr_t)info->si_addr, base = (uintptr_t)va_base;
    page->fault_address = at - base;
    /* The processor refused without an address: a privileged instruction, or an address that cannot exist. */
    page->fault_place = signo == SIGSEGV && info->si_code == SI_KERNEL    ? VT_FAULT_INSTRUCTION
                        : at >= base && at < base + va_bytes              ? VT_FAULT_ARRAYS
                        : at < 1 << 16                                    ? VT_FAULT_NULL
                        : at < stack_top && at > stack_top - (96ul << 20) ? VT_FAULT_STACK
                                                                          : VT_FAULT_ELSEWHERE;
    /* SA_RESETHAND: the instruction faults again on return and the default action kills. */
}

static void catch_faults(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS};
    stack_t stack = {.ss_sp = alt_stack, .ss_size = sizeof alt_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
}

static void fill_words(unsigned char *p, size_t n, uint64_t pattern)
{
    uint64_t *w = (uint64_t *)(void *)p;
    for (size_t i = 0; i < n / 8; i++)
        w[i] = pattern;
}

static void read_lines(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i += 64)
        (void)*(const volatile unsigned char *)(p + i);
}

static bool copy_state(const struct vt_wire_array *a, unsigned char *map)
{
    size_t at = 0;
    while (at < a->bytes) {
        ssize_t n = pread(FD_IN, map + a->data + at, a->bytes - at, (off_t)(a->in_at + a->data + at));
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool map_arrays(const struct vt_wire_step *step, struct arguments *out)
{
    for (uint32_t i = 0; i < step->n_arrays; i++) {
        const struct vt_wire_array *a = &step->array[i];
        if (a->va + a->len > va_bytes)
            return false;
        int prot = a->is_out ? PROT_READ | PROT_WRITE : PROT_READ;
        int fd = a->is_out ? (shared->out_sel ? FD_OUT1 : FD_OUT0) : FD_IN;
        off_t at = (off_t)(a->is_out ? a->out_at : a->in_at);
        unsigned char *map = mmap(va_base + a->va, a->len, prot, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd, at);
        if (map == MAP_FAILED)
            return false;
        if (a->is_out)
            fill_words(map, a->len, shared->poison);
        if (a->is_out && a->is_in && !copy_state(a, map))
            return false;
        out->v[i] = (int64_t)(uintptr_t)(map + a->data);
    }
    memcpy(out->v + step->n_arrays, step->ints, sizeof step->ints);
    memcpy(out->f, step->floats, sizeof step->floats);
    return true;
}

static __attribute__((noinline)) void warm_stack(void)
{
    volatile unsigned char room[WARM_STACK];
    for (size_t i = 0; i < sizeof room; i += VT_WIRE_PAGE)
        room[i] = 0;
}

/* A fork leaves out the page tables of file mappings: a kernel's first use of each page of the C libraries' code and
 * constants would be a fault on the clock. Kernels before 5.14 refuse; then it is. */
static int warm_library(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + ph->p_vaddr) & ~(uintptr_t)(VT_WIRE_PAGE - 1);
        uintptr_t end = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;
        if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W) && end - from <= WARM_CODE)
            madvise((void *)from, end - from, MADV_POPULATE_READ);
    }
    return 0;
}

/* It cannot go on as if nothing were: the child ends, and the call has not been done. */
static void end_if_left(uint32_t left)
{
    if (!left)
        return;
    call_page->left = left;
    _exit(VT_EXIT_LEFT);
}

static void one_call(kernel_fn *enter, const struct arguments *a, enum vt_wire_guard guard)
{
    const int64_t *v = a->v;
    const float *f = a->f;
    enter(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15], v[16],
          v[17], v[18], v[19], v[20], v[21], v[22], v[23], v[24], v[25], v[26], v[27], v[28], v[29], v[30], v[31],
          v[32], v[33], v[34], v[35], v[36], v[37], v[38], v[39], v[40], v[41], v[42], v[43], v[44], v[45], v[46],
          v[47], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
    if (guard != VT_GUARD_NOTHING)
        end_if_left(guard_left(guard == VT_GUARD_UPPER));
}

/* In the last of several rounds each call is made twice, the second time on what the first has just left. */
static __attribute__((noinline)) void call_kernel(kernel_fn *kernel, uint32_t n_steps, uint32_t n_rounds,
                                                  uint32_t stack_offset, enum vt_wire_guard guard)
{
    kernel_fn *const enter = guard == VT_GUARD_NOTHING ? kernel : guard_around(kernel);
    size_t n_blocks = 0;
    /* Less than VT_WIRE_MAX_STACK, of a stack that belongs to this call alone. */
    volatile unsigned char *room = __builtin_alloca(stack_offset + 16);
    room[0] = 0;
    for (uint32_t round = 0; round < n_rounds; round++) {
        for (uint32_t i = 0; i < n_steps; i++) {
            one_call(enter, &arguments[i], guard);
            if (round > 0 && round + 1 == n_rounds)
                one_call(enter, &arguments[i], guard);
            call_page->n_returned = i + 1;
        }
        /* Tables that are made once and scratch that grows with the sizes are there after the first round. */
        end_if_left(round > 0 && slots_blocks() > n_blocks ? VT_LEFT_MEMORY : 0);
        n_blocks = slots_blocks();
    }
}

/* Everything up to the moment when only the candidate's code is left to run. _exit before set_up: our own failure. */
static void set_up_call(uint32_t cmd)
{
    const struct rlimit cpu = {CALL_CPU_S, CALL_CPU_S};
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (setrlimit(RLIMIT_CPU, &cpu) != 0 || shared->n_steps > VT_WIRE_MAX_STEPS || shared->n_rounds == 0 ||
        !load_map(&image, FD_PREPARED))
        _exit(126);
    for (uint32_t i = 0; i < shared->n_steps; i++)
        if (!map_arrays(&shared->step[i], &arguments[i]))
            _exit(126);
    warm_stack();
    dl_iterate_phdr(warm_library, NULL);
    /* Twice: one pass over data that was last elsewhere leaves the second-level cache in a worse state than two. */
    for (int pass = 0; pass < 2 && shared->n_steps == 1; pass++)
        for (uint32_t i = 0; i < shared->step[0].n_arrays; i++)
            read_lines((unsigned char *)(uintptr_t)arguments[0].v[i], shared->step[0].array[i].bytes);
    load_warm(&image);
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    shared->n_preempted_before = (int32_t)usage.ru_nivcsw;
    if (syscall(SYS_close_range, 0u, ~0u, 0) != 0 || !cage_seccomp(call_page, shared))
        _exit(126);
    vt_wire_store(&shared->set_up, cmd);
    if (munmap(shared, VT_WIRE_SHARED) != 0) {
        vt_wire_store(&shared->set_up, cmd - 1);
        _exit(126);
    }
}

static _Noreturn void call_child(uint32_t cmd)
{
    struct vt_wire_call *page = call_page;
    const unsigned char *entry = load_entry(&image);
    const uint32_t nonce = shared->nonce, n_steps = shared->n_steps, n_rounds = shared->n_rounds;
    const uint32_t stack_offset = shared->stack_offset & (VT_WIRE_MAX_STACK - 16);
    const enum vt_wire_guard guard = (enum vt_wire_guard)shared->guard;
    const bool is_spinning = shared->is_spinning;
    kernel_fn *kernel;
    memcpy(&kernel, &entry, sizeof kernel);
    set_up_call(cmd);
    vt_wire_store(&page->ready, 1);
    if (!is_spinning)
        vt_wire_wake(&page->ready);
    while (!vt_wire_load(&page->go)) {
        if (is_spinning)
            vt_wire_relax();
        else
            vt_wire_sleep(&page->go, 0, 0);
    }
    guard_reset();
    call_kernel(kernel, n_steps, n_rounds, stack_offset, guard);
    vt_wire_store(&page->done, nonce);
    if (!is_spinning)
        vt_wire_wake(&page->done);
    _exit(0);
}

static void collect(pid_t pid, uint32_t cmd)
{
    int status = 0;
    struct rusage usage = {0};
    while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
    }
    shared->status = status;
    shared->n_preempted = (int32_t)usage.ru_nivcsw;
    vt_wire_store(&shared->gone, cmd);
    vt_wire_wake(&shared->gone);
}

static uint32_t next_command(uint32_t seen)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t until = (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 + SPIN_US;
    while (shared->is_spinning && vt_wire_load(&shared->cmd) == seen) {
        vt_wire_relax();
        clock_gettime(CLOCK_MONOTONIC, &t);
        if ((int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 > until)
            break;
    }
    while (vt_wire_load(&shared->cmd) == seen)
        vt_wire_sleep(&shared->cmd, seen, 0);
    return vt_wire_load(&shared->cmd);
}

static int by_byte(const void *a, const void *b)
{
    return *(const unsigned char *)a - *(const unsigned char *)b;
}

/* qsort of glibc asks the system once how much memory there is, which a call may not. */
static void prepare_qsort(void)
{
    unsigned char bytes[4096] = {1};
    qsort(bytes, sizeof bytes, 1, by_byte);
}

/* malloc inside a call may use what is free here and cannot grow the heap. */
static void make_heap_room(void)
{
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    void *room = malloc(HEAP_ROOM);
    /* The compiler may not remove the pair. */
    __asm__ volatile("" : : "r"(room) : "memory");
    free(room);
}

static void *map_shared(int fd, size_t n)
{
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        _exit(1);
    return p;
}

/* Moves this process, and so the next calls, to a core. */
static void pin(int cpu)
{
    static int now = -1;
    if (cpu < 0 || cpu == now)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        now = cpu;
}

/* The file that the preparing child fills; made while memory files may still be made and sized. */
static int make_prepared(const struct vt_wire_request *r)
{
    load_plan(&image, r);
    int fd = memfd_create("image", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)image.file_len) != 0)
        _exit(1);
    return fd;
}

_Noreturn void template_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_RUN_FDS])
{
    int keep[N_FDS];
    memcpy(keep, fds, sizeof(int) * VT_WIRE_RUN_FDS);
    keep[VT_WIRE_RUN_FDS] = make_prepared(r);
    if (!cage_keep_fds(keep, N_FDS, FD_IMAGE))
        _exit(1);
    shared = map_shared(FD_SHARED, VT_WIRE_SHARED);
    call_page = map_shared(FD_CALL, VT_WIRE_PAGE);
    stack_top = (uintptr_t)__builtin_frame_address(0);
    shared->layers = cage_enter_template(c);
    va_bytes = (size_t)r->va_bytes;
    va_base = mmap(NULL, va_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (va_base == MAP_FAILED)
        _exit(1);
    make_heap_room();
    prepare_qsort();
    if (!load_reserve(&image))
        load_failed("no address space for its data");
    const enum load_end end = load_prepare(&image, FD_IMAGE, r->image_len, FD_PREPARED);
    if (end == LOAD_DAMAGED)
        load_failed("its table is damaged");
    if (end != LOAD_DONE)
        _exit(1);
    close(FD_IMAGE);
    catch_faults();
    uint32_t seen = 0;
    vt_wire_store(&shared->state, VT_TEMPLATE_READY);
    vt_wire_wake(&shared->state);
    for (;;) {
        seen = next_command(seen);
        pin(shared->cpu);
        pid_t pid = fork();
        if (pid == 0)
            call_child(seen);
        collect(pid, seen);
    }
}
