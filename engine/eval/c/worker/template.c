/* SPDX-License-Identifier: Apache-2.0
 *
 * template.c: loads a candidate's object in the jail and calls its function, each call in a fresh child.
 *
 * The template itself never runs the candidate's code: the evaluator has refused objects with constructors, indirect
 * functions or other code that loading would run, and all symbols are bound at load. It has the object mapped, a heap
 * with free room (so that malloc in a kernel works although the call may not grow it) and address space reserved for
 * the arrays. A call child is a copy of that, made before the clock starts and gone after it stops:
 *
 *   map      inputs read-only from the sealed file, outputs read-write, each between unmapped guard pages
 *   warm     write the poison over the outputs and their margins, copy `state` arrays in, read every line of the
 *            inputs, write to the pages of stack and writable data that a kernel touches first, map all code and
 *            read the object's
 *   close    every descriptor, the shared page; then seccomp
 *   call     when the clock says go
 *
 * A fault handler on its own stack notes signal and address for the feedback text, then lets the signal kill.
 */
#include "eval/c/worker/template.h"
#include <dlfcn.h>
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

enum { FD_OBJECT = 3, FD_SHARED, FD_CALL, FD_IN, FD_OUT0, FD_OUT1, N_FDS = 6 };

/* By the calling conventions of x86-64 and aarch64 integer and floating arguments are numbered apart, and a callee
 * ignores what it does not name: one type can call every signature the tasks have (pointers, int and float scalars,
 * sizes; at most 8 floats, 48 others). */
typedef void kernel_fn(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t,
                       int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, float, float, float,
                       float, float, float, float, float);

enum {
    HEAP_ROOM = 64 << 20,  /* what malloc can hand out inside a call */
    WARM_STACK = 64 << 10, /* stack touched before the clock starts */
    WARM_DATA = 1 << 20,
    WARM_CODE = 4 << 20,   /* of one segment: mapped */
    WARM_LINES = 64 << 10, /* of one segment of the candidate: read */
    ALT_STACK = 16 << 10,
    CALL_CPU_S = 60, /* the last resort; the evaluator's own deadline comes long before */
    SPIN_US = 200    /* how long a template that is being timed looks for the next call before it sleeps */
};

static struct vt_wire_shared *shared;
static struct vt_wire_call *call_page;
static unsigned char *va_base;
static size_t va_bytes;
static uintptr_t stack_top;
static ElfW(Addr) object_base;
static unsigned char alt_stack[ALT_STACK];

static _Noreturn void load_failed(const char *what, const char *detail)
{
    snprintf(shared->text, sizeof shared->text, "%s%s%s", what, detail ? ": " : "", detail ? detail : "");
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
    page->fault_place = at >= base && at < base + va_bytes                ? VT_FAULT_ARRAYS
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

static bool map_arrays(int64_t pointers[VT_WIRE_MAX_ARRAYS])
{
    for (uint32_t i = 0; i < shared->n_arrays; i++) {
        const struct vt_wire_array *a = &shared->array[i];
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
        pointers[i] = (int64_t)(uintptr_t)(map + a->data);
    }
    return true;
}

static __attribute__((noinline)) void warm_stack(void)
{
    volatile unsigned char room[WARM_STACK];
    for (size_t i = 0; i < sizeof room; i += VT_WIRE_PAGE)
        room[i] = 0;
}

/* A write to each page of the object's writable data that relocation left writable, so that copy-on-write is paid
 * before the clock starts. */
static void warm_data(const struct dl_phdr_info *info)
{
    uintptr_t sealed_end = 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type == PT_GNU_RELRO)
            sealed_end = (info->dlpi_addr + ph->p_vaddr + ph->p_memsz) & ~(uintptr_t)(VT_WIRE_PAGE - 1);
    }
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type != PT_LOAD || !(ph->p_flags & PF_W))
            continue;
        uintptr_t at = info->dlpi_addr + ph->p_vaddr, end = at + ph->p_memsz;
        if (at < sealed_end)
            at = sealed_end;
        if (end > at + WARM_DATA)
            end = at + WARM_DATA;
        for (; at < end; at += VT_WIRE_PAGE) {
            volatile unsigned char *p = (volatile unsigned char *)at;
            *p = *p;
        }
    }
}

/* A fork leaves out the page tables of file mappings: a kernel's first use of each page of code and constants, its own
 * and the C libraries', would be a fault on the clock. Kernels before 5.14 refuse; then it is. */
static int warm_object(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        uintptr_t from = (info->dlpi_addr + ph->p_vaddr) & ~(uintptr_t)(VT_WIRE_PAGE - 1);
        uintptr_t end = info->dlpi_addr + ph->p_vaddr + ph->p_memsz;
        if (ph->p_type == PT_LOAD && !(ph->p_flags & PF_W) && end - from <= WARM_CODE)
            madvise((void *)from, end - from, MADV_POPULATE_READ);
    }
    if (info->dlpi_addr == *(const ElfW(Addr) *)arg)
        warm_data(info);
    return 0;
}

/* The object's code into the second-level cache, after the arrays went through it: what the kernel's first lines cost
 * otherwise depends on which physical pages they happen to lie on. */
static int read_code(struct dl_phdr_info *info, size_t size, void *arg)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum && info->dlpi_addr == *(const ElfW(Addr) *)arg; i++) {
        const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
        if (ph->p_type == PT_LOAD && (ph->p_flags & PF_R) && !(ph->p_flags & PF_W))
            read_lines((const unsigned char *)info->dlpi_addr + ph->p_vaddr,
                       ph->p_memsz < WARM_LINES ? ph->p_memsz : WARM_LINES);
    }
    return 0;
}

static _Noreturn void call_child(kernel_fn *kernel)
{
    int64_t v[48] = {0};
    float f[VT_WIRE_MAX_FLOATS];
    uint32_t n_arrays = shared->n_arrays, nonce = shared->nonce;
    bool is_spinning = shared->is_spinning;
    const struct rlimit cpu = {CALL_CPU_S, CALL_CPU_S};
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (setrlimit(RLIMIT_CPU, &cpu) != 0 || !map_arrays(v))
        _exit(126);
    memcpy(v + n_arrays, shared->ints, sizeof(int64_t) * (48 - VT_WIRE_MAX_ARRAYS));
    memcpy(f, shared->floats, sizeof f);
    warm_stack();
    dl_iterate_phdr(warm_object, &object_base);
    /* Twice: one pass over data that was last elsewhere leaves the second-level cache in a worse state than two. */
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t i = 0; i < n_arrays; i++)
            read_lines((unsigned char *)(uintptr_t)v[i], shared->array[i].bytes);
    dl_iterate_phdr(read_code, &object_base);
    struct vt_wire_call *page = call_page;
    struct rusage usage = {0};
    getrusage(RUSAGE_SELF, &usage);
    page->n_preempted_before = (int32_t)usage.ru_nivcsw;
    if (munmap(shared, sizeof *shared) != 0 || syscall(SYS_close_range, 0u, ~0u, 0) != 0 || !cage_seccomp())
        _exit(126);
    vt_wire_store(&page->ready, 1);
    if (!is_spinning)
        vt_wire_wake(&page->ready);
    while (!vt_wire_load(&page->go)) {
        if (is_spinning)
            vt_wire_relax();
        else
            vt_wire_sleep(&page->go, 0, 0);
    }
    kernel(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10], v[11], v[12], v[13], v[14], v[15], v[16],
           v[17], v[18], v[19], v[20], v[21], v[22], v[23], v[24], v[25], v[26], v[27], v[28], v[29], v[30], v[31],
           v[32], v[33], v[34], v[35], v[36], v[37], v[38], v[39], v[40], v[41], v[42], v[43], v[44], v[45], v[46],
           v[47], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]);
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

static kernel_fn *load_kernel(const char *path, const char *symbol)
{
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        load_failed("the object does not load", dlerror());
    void *found = dlsym(object, symbol);
    if (!found)
        load_failed("no such function", symbol);
    struct link_map *map = NULL;
    if (dlinfo(object, RTLD_DI_LINKMAP, &map) == 0 && map)
        object_base = map->l_addr;
    kernel_fn *kernel;
    memcpy(&kernel, &found, sizeof kernel);
    return kernel;
}

static void *map_page(int fd)
{
    void *p = mmap(NULL, VT_WIRE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
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

_Noreturn void template_run(const struct cage *c, const struct vt_wire_request *r, int fds[VT_WIRE_RUN_FDS])
{
    char path[VT_WIRE_PATH + 128];
    int keep[N_FDS];
    snprintf(path, sizeof path, "%s/root/%s", c->slot, r->object);
    keep[0] = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    memcpy(keep + 1, fds, sizeof(int) * VT_WIRE_RUN_FDS);
    if (keep[0] < 0 || !cage_keep_fds(keep, N_FDS, FD_OBJECT))
        _exit(1);
    shared = map_page(FD_SHARED);
    call_page = map_page(FD_CALL);
    stack_top = (uintptr_t)__builtin_frame_address(0);
    uint32_t layers = cage_enter_template(c, FD_OBJECT);
    if (layers & VT_LAYER_MOUNT_NS)
        snprintf(path, sizeof path, "/%s", r->object);
    shared->layers = layers;
    va_bytes = (size_t)r->va_bytes;
    va_base = mmap(NULL, va_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (va_base == MAP_FAILED)
        load_failed("no address space for the arrays", NULL);
    make_heap_room();
    kernel_fn *kernel = load_kernel(path, r->symbol);
    close(FD_OBJECT);
    catch_faults();
    uint32_t seen = 0;
    vt_wire_store(&shared->state, VT_TEMPLATE_READY);
    vt_wire_wake(&shared->state);
    for (;;) {
        seen = next_command(seen);
        pin(shared->cpu);
        pid_t pid = fork();
        if (pid == 0)
            call_child(kernel);
        collect(pid, seen);
    }
}
