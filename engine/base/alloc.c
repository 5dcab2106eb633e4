/* SPDX-License-Identifier: Apache-2.0
 *
 * alloc.c: malloc with checked products and an injected failure for tests.
 *
 * The failure counter is one atomic for the whole process: vt_alloc_fail_at(3) lets two allocations pass and fails the
 * third, after which allocation works again. With the counter at 0 the cost is one relaxed load.
 */
#include "base/alloc.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_long fail_countdown;

long vt_alloc_fail_at(long k)
{
    long left = atomic_exchange(&fail_countdown, k);
    return left > 0 ? left : 0;
}

static bool is_injected_failure(void)
{
    if (atomic_load_explicit(&fail_countdown, memory_order_relaxed) <= 0)
        return false;
    return atomic_fetch_sub(&fail_countdown, 1) == 1;
}

bool vt_mul_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

bool vt_add_size(size_t a, size_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

void *vt_alloc(size_t size)
{
    return vt_alloc_array(size ? size : 1, 1);
}

void *vt_alloc_array(size_t n, size_t size)
{
    size_t bytes;
    if (!vt_mul_size(n, size, &bytes) || is_injected_failure())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *vt_alloc_aligned(size_t align, size_t size)
{
    void *p = NULL;
    if (is_injected_failure() || posix_memalign(&p, align, size ? size : 1) != 0)
        return NULL;
    return p;
}

void *vt_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes;
    if (!vt_mul_size(n, size, &bytes) || is_injected_failure())
        return NULL;
    return realloc(p, bytes ? bytes : 1);
}

char *vt_strdup(const char *s)
{
    return vt_strndup(s, strlen(s));
}

char *vt_strndup(const char *s, size_t n)
{
    size_t len = strnlen(s, n), bytes;
    if (!vt_add_size(len, 1, &bytes))
        return NULL;
    char *copy = vt_alloc(bytes);
    if (copy)
        memcpy(copy, s, len);
    return copy;
}
