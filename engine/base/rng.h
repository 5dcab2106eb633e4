/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.h: counter-based random numbers (Philox 4x32-10, Salmon et al. 2011, "Parallel random numbers: as easy as
 * 1, 2, 3"). A draw is a pure function of (key, counter): no state, no order, no batch mates. vt_stream is a cursor
 * over one key for sequential use. vt_mt19937 reproduces CPython's random.Random for the published splits.
 */
#ifndef VT_BASE_RNG_H
#define VT_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

void vt_philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4]);
double vt_philox_uniform(uint64_t key, uint64_t hi, uint64_t lo); /* in [0, 1), 53 bits */
uint64_t vt_seed_mix(uint64_t a, uint64_t b);                     /* one well-mixed 64-bit value of two */
uint64_t vt_seed_str(uint64_t seed, const char *label);           /* derived stream: seed + label */
uint64_t vt_seed_item(uint64_t seed, const char *label, int i);   /* seed + label followed by the decimal number */

struct vt_stream {
    uint64_t key, at;
};
void vt_stream_init(struct vt_stream *s, uint64_t key);
uint64_t vt_stream_u64(struct vt_stream *s);
double vt_stream_uniform(struct vt_stream *s);             /* [0, 1) */
uint64_t vt_stream_below(struct vt_stream *s, uint64_t n); /* unbiased; n > 0 */

/* CPython's random.Random(seed) for a non-negative integer seed: init_by_array seeding, getrandbits-based _randbelow
 * and the Fisher-Yates of random.shuffle (i from n-1 down to 1, swap with _randbelow(i + 1)). */
struct vt_mt19937 {
    uint32_t s[624];
    int i;
};
void vt_mt19937_seed(struct vt_mt19937 *m, uint64_t seed);
uint32_t vt_mt19937_next(struct vt_mt19937 *m);
void vt_mt19937_shuffle(struct vt_mt19937 *m, int *items, size_t n);

#endif
