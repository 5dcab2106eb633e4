/* SPDX-License-Identifier: Apache-2.0
 *
 * numbers.h: what tests need to make their data and the engine does not: fp16 from fp32, and normal draws.
 */
#ifndef VT_TEST_NUMBERS_H
#define VT_TEST_NUMBERS_H

#include "base/rng.h"
#include <math.h>
#include <string.h>

/* Rounds to nearest even. */
static inline uint16_t f32_to_f16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u); /* NaN */
    if (magnitude >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u); /* rounds past 65504 */
    if (magnitude < 0x38800000u) {         /* subnormal: adding 0.5 aligns the 2^-24 bit with the last fp32 bit */
        float aligned;
        memcpy(&aligned, &magnitude, sizeof aligned);
        aligned += 0.5f;
        uint32_t rounded;
        memcpy(&rounded, &aligned, sizeof rounded);
        return (uint16_t)(sign | (rounded - 0x3f000000u));
    }
    magnitude += 0xfffu + (magnitude >> 13 & 1u);
    return (uint16_t)(sign | (magnitude - 0x38000000u) >> 13);
}

/* N(0, 1) by Box and Muller. */
static inline double normal(struct vt_stream *s)
{
    double radius = sqrt(-2 * log(1 - vt_stream_uniform(s))); /* 1 - u lies in (0, 1] */
    return radius * cos(6.283185307179586476925 * vt_stream_uniform(s));
}

#endif
