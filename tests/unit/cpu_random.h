/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_random.h: arrays of reproducible random floats for the tests of kernels. The caller frees them.
 */
#ifndef VT_TEST_CPU_RANDOM_H
#define VT_TEST_CPU_RANDOM_H

#include "base/alloc.h"
#include <stdint.h>
#include <string.h>

static uint64_t random_state = 1;
static inline double uniform(void) /* in [-1, 1) */
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)(random_state >> 11) / 4503599627370496.0 - 1.0;
}
static inline void fill(float *x, size_t n, double scale)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(scale * uniform());
}
static inline float *floats(size_t n)
{
    float *p = vt_alloc_aligned(64, (n + 16) * sizeof(float));
    memset(p, 0, (n + 16) * sizeof(float));
    return p;
}

#endif
