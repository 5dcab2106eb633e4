/* SPDX-License-Identifier: Apache-2.0
 *
 * slots.c: addresses of the functions of slots.h. They are named by their symbols, not by their C declarations, because
 * some have none (libgcc's) and a compiler may replace others by instructions of its own.
 *
 * Two kinds are not the C library's. Functions that give and take memory count the blocks that are out, so that a
 * kernel which forgets to free shows. Functions that print or end the program stand in honest kernels where nobody
 * expects to get (no memory, a debugging switch): they link, and whoever gets there has asked the system for something,
 * as the printing itself would have.
 */
#include "eval/c/worker/load.h"
#include <malloc.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t n_blocks;

size_t slots_blocks(void)
{
    return n_blocks;
}

static void *out(void *p)
{
    n_blocks += p != NULL;
    return p;
}

static void *own_malloc(size_t n)
{
    return out(malloc(n));
}

static void *own_calloc(size_t n, size_t size)
{
    return out(calloc(n, size));
}

/* glibc frees a block that is made empty. */
static void *own_realloc(void *p, size_t n)
{
    const bool was_out = p != NULL;
    void *to = realloc(p, n);
    n_blocks += !was_out && to;
    n_blocks -= was_out && !to && n == 0;
    return to;
}

static void *own_reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : own_realloc(p, bytes);
}

static void *own_aligned_alloc(size_t align, size_t n)
{
    return out(aligned_alloc(align, n));
}

static void *own_memalign(size_t align, size_t n)
{
    return out(memalign(align, n));
}

static int own_posix_memalign(void **p, size_t align, size_t n)
{
    int failed = posix_memalign(p, align, n);
    n_blocks += failed == 0;
    return failed;
}

static void own_free(void *p)
{
    n_blocks -= p != NULL;
    free(p);
}

static _Noreturn void own_output(void)
{
    syscall(SYS_write, 2, "", 0);
    _exit(1);
}

#define DECLARE(name) extern const char slot_##name[] __asm__(#name);
VT_SLOTS(DECLARE)

const void *slot_address(unsigned slot)
{
#define ADDRESS(name) slot_##name,
    static const void *const address[VT_N_SLOTS] = {VT_SLOTS(ADDRESS)};
    switch (slot) {
    case VT_SLOT_aligned_alloc:
        return (const void *)(uintptr_t)own_aligned_alloc;
    case VT_SLOT_calloc:
        return (const void *)(uintptr_t)own_calloc;
    case VT_SLOT_free:
        return (const void *)(uintptr_t)own_free;
    case VT_SLOT_malloc:
        return (const void *)(uintptr_t)own_malloc;
    case VT_SLOT_memalign:
        return (const void *)(uintptr_t)own_memalign;
    case VT_SLOT_posix_memalign:
        return (const void *)(uintptr_t)own_posix_memalign;
    case VT_SLOT_realloc:
        return (const void *)(uintptr_t)own_realloc;
    case VT_SLOT_reallocarray:
        return (const void *)(uintptr_t)own_reallocarray;
    case VT_SLOT___fprintf_chk:
    case VT_SLOT___printf_chk:
    case VT_SLOT___vfprintf_chk:
    case VT_SLOT_fflush:
    case VT_SLOT_fprintf:
    case VT_SLOT_fputc:
    case VT_SLOT_fputs:
    case VT_SLOT_fwrite:
    case VT_SLOT_perror:
    case VT_SLOT_printf:
    case VT_SLOT_putc:
    case VT_SLOT_putchar:
    case VT_SLOT_puts:
    case VT_SLOT_vfprintf:
    case VT_SLOT_vprintf:
        return (const void *)(uintptr_t)own_output;
    default:
        return slot < VT_N_SLOTS ? address[slot] : NULL;
    }
}
