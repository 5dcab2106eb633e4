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

/* Named for the table below: the compiler must not take them for the functions that they stand for. */
#define OWN(name) __asm__("vt_own_" #name) __attribute__((used))
void *own_malloc(size_t n) OWN(malloc);
void *own_calloc(size_t n, size_t size) OWN(calloc);
void *own_realloc(void *p, size_t n) OWN(realloc);
void *own_reallocarray(void *p, size_t n, size_t size) OWN(reallocarray);
void *own_aligned_alloc(size_t align, size_t n) OWN(aligned_alloc);
void *own_memalign(size_t align, size_t n) OWN(memalign);
int own_posix_memalign(void **p, size_t align, size_t n) OWN(posix_memalign);
void own_free(void *p) OWN(free);
_Noreturn void own_output(void) OWN(output);

void *own_malloc(size_t n)
{
    return out(malloc(n));
}

void *own_calloc(size_t n, size_t size)
{
    return out(calloc(n, size));
}

/* glibc frees a block that is made empty. */
void *own_realloc(void *p, size_t n)
{
    const bool was_out = p != NULL;
    void *to = realloc(p, n);
    n_blocks += !was_out && to;
    n_blocks -= was_out && !to && n == 0;
    return to;
}

void *own_reallocarray(void *p, size_t n, size_t size)
{
    size_t bytes;
    return __builtin_mul_overflow(n, size, &bytes) ? NULL : own_realloc(p, bytes);
}

void *own_aligned_alloc(size_t align, size_t n)
{
    return out(aligned_alloc(align, n));
}

void *own_memalign(size_t align, size_t n)
{
    return out(memalign(align, n));
}

int own_posix_memalign(void **p, size_t align, size_t n)
{
    int failed = posix_memalign(p, align, n);
    n_blocks += failed == 0;
    return failed;
}

void own_free(void *p)
{
    n_blocks -= p != NULL;
    free(p);
}

_Noreturn void own_output(void)
{
    syscall(SYS_write, 2, "", 0);
    _exit(1);
}

#define DECLARE(name) extern const char slot_##name[] __asm__(#name);
VT_SLOTS(DECLARE)

#define HEAP(X) X(aligned_alloc) X(calloc) X(free) X(malloc) X(memalign) X(posix_memalign) X(realloc) X(reallocarray)
#define PRINTS(X)                                                                                                      \
    X(__fprintf_chk)                                                                                                   \
    X(__printf_chk) X(__vfprintf_chk) X(fflush) X(fprintf) X(fputc) X(fputs) X(fwrite) X(perror) X(printf) X(putc)     \
        X(putchar) X(puts) X(vfprintf) X(vprintf)
#define DECLARE_OWN(name) extern const char at_own_##name[] __asm__("vt_own_" #name);
HEAP(DECLARE_OWN)
extern const char at_own_output[] __asm__("vt_own_output");

const void *slot_address(unsigned slot)
{
#define ADDRESS(name) slot_##name,
#define OWN_ADDRESS(name)                                                                                              \
    case VT_SLOT_##name:                                                                                               \
        return at_own_##name;
#define OUTPUT(name) case VT_SLOT_##name:
    static const void *const address[VT_N_SLOTS] = {VT_SLOTS(ADDRESS)};
    switch (slot) {
        HEAP(OWN_ADDRESS)
        PRINTS(OUTPUT)
        return at_own_output;
    default:
        return slot < VT_N_SLOTS ? address[slot] : NULL;
    }
}
