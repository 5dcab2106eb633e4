/* SPDX-License-Identifier: Apache-2.0
 *
 * alloc.h: allocation with checked products. Memory comes from malloc and is released with free().
 * vt_alloc_array(n, size) is zeroed and fails (NULL) on overflow. vt_alloc_fail_at(k) makes the k-th next allocation
 * of this process fail, for tests; cJSON and PCRE2 allocate here too, so their failures can be tried as well.
 */
#ifndef VT_BASE_ALLOC_H
#define VT_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *vt_alloc(size_t size);                       /* zeroed; size 0 gives a valid pointer */
void *vt_alloc_array(size_t n, size_t size);       /* zeroed */
void *vt_alloc_aligned(size_t align, size_t size); /* NOT zeroed; release with free() */
void *vt_realloc_array(void *p, size_t n, size_t size);
char *vt_strdup(const char *s);
char *vt_strndup(const char *s, size_t n);
bool vt_mul_size(size_t a, size_t b, size_t *out); /* false on overflow */
bool vt_add_size(size_t a, size_t b, size_t *out);
/* k = 0: no failure. Returns what was left of the last countdown: 0 when it struck (or none was set). */
long vt_alloc_fail_at(long k);

#endif
