/* SPDX-License-Identifier: Apache-2.0
 *
 * rng.c: Philox 4x32-10 and CPython's Mersenne Twister.
 *
 * Philox is the round function of Salmon et al. 2011 with the published multipliers and Weyl constants. Word order:
 * counter words 0, 1 are the low and high half of counter_lo, words 2, 3 those of counter_hi; key words 0, 1 the low
 * and high half of the key. One block (four words) is spent per draw and the first 64 bits are used: a draw stays a
 * pure function of one counter value, and ten rounds cost about ten nanoseconds.
 *
 * The twister is Matsumoto and Nishimura 1998 with init_by_array, which is what random.Random(int) uses.
 */
#include "base/rng.h"
#include "base/sha256.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_PHILOX_ROUNDS = 10, MT_N = 624, MT_M = 397 };

/* The high counter word of derived seeds, so that they never meet the draws of the stream they derive from. */
static const uint64_t seed_domain = 0x7674747365656421u;

void vt_philox(uint64_t key, uint64_t counter_hi, uint64_t counter_lo, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)counter_lo, c1 = (uint32_t)(counter_lo >> 32);
    uint32_t c2 = (uint32_t)counter_hi, c3 = (uint32_t)(counter_hi >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < N_PHILOX_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t next0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, next2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c0 = next0;
        c1 = (uint32_t)p1;
        c2 = next2;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static uint64_t philox_u64(uint64_t key, uint64_t hi, uint64_t lo)
{
    uint32_t w[4];
    vt_philox(key, hi, lo, w);
    return (uint64_t)w[1] << 32 | w[0];
}

double vt_philox_uniform(uint64_t key, uint64_t hi, uint64_t lo)
{
    return (double)(philox_u64(key, hi, lo) >> 11) * 0x1p-53;
}

uint64_t vt_seed_mix(uint64_t a, uint64_t b)
{
    return philox_u64(a, seed_domain, b);
}

/* The stream that the hashed label names below seed. */
static uint64_t derive(uint64_t seed, struct vt_sha256 *label)
{
    unsigned char digest[32];
    uint64_t word = 0;
    vt_sha256_end(label, digest);
    for (int i = 0; i < 8; i++)
        word |= (uint64_t)digest[i] << (8 * i);
    return vt_seed_mix(seed, word);
}

uint64_t vt_seed_str(uint64_t seed, const char *label)
{
    struct vt_sha256 s;
    vt_sha256_init(&s);
    vt_sha256_add(&s, label, strlen(label));
    return derive(seed, &s);
}

uint64_t vt_seed_item(uint64_t seed, const char *label, int i)
{
    struct vt_sha256 s;
    char number[16];
    const int n = snprintf(number, sizeof number, "%d", i);
    vt_sha256_init(&s);
    vt_sha256_add(&s, label, strlen(label));
    vt_sha256_add(&s, number, (size_t)n);
    return derive(seed, &s);
}

void vt_stream_init(struct vt_stream *s, uint64_t key)
{
    s->key = key;
    s->at = 0;
}

uint64_t vt_stream_u64(struct vt_stream *s)
{
    return philox_u64(s->key, 0, s->at++);
}

double vt_stream_uniform(struct vt_stream *s)
{
    return vt_philox_uniform(s->key, 0, s->at++);
}

uint64_t vt_stream_below(struct vt_stream *s, uint64_t n)
{
    uint64_t reject = (0 - n) % n; /* 2^64 mod n: that many values would be counted once too often */
    for (;;) {
        uint64_t v = vt_stream_u64(s);
        if (v >= reject)
            return v % n;
    }
}

void vt_mt19937_seed(struct vt_mt19937 *m, uint64_t seed)
{
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t n_key = key[1] ? 2 : 1;
    uint32_t *s = m->s;
    s[0] = 19650218u;
    for (uint32_t i = 1; i < MT_N; i++)
        s[i] = 1812433253u * (s[i - 1] ^ (s[i - 1] >> 30)) + i;
    uint32_t i = 1, j = 0;
    for (int k = 0; k < MT_N; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1664525u)) + key[j] + j;
        j = (j + 1) % n_key;
        if (++i == MT_N) {
            s[0] = s[MT_N - 1];
            i = 1;
        }
    }
    for (int k = 0; k < MT_N - 1; k++) {
        s[i] = (s[i] ^ ((s[i - 1] ^ (s[i - 1] >> 30)) * 1566083941u)) - i;
        if (++i == MT_N) {
            s[0] = s[MT_N - 1];
            i = 1;
        }
    }
    s[0] = 0x80000000u;
    m->i = MT_N;
}

uint32_t vt_mt19937_next(struct vt_mt19937 *m)
{
    uint32_t *s = m->s;
    if (m->i >= MT_N) {
        for (int k = 0; k < MT_N; k++) {
            uint32_t y = (s[k] & 0x80000000u) | (s[(k + 1) % MT_N] & 0x7fffffffu);
            s[k] = s[(k + MT_M) % MT_N] ^ (y >> 1) ^ (y & 1 ? 0x9908b0dfu : 0);
        }
        m->i = 0;
    }
    uint32_t y = s[m->i++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
}

static uint32_t mt19937_below(struct vt_mt19937 *m, uint32_t n)
{
    int n_bits = 0;
    for (uint32_t v = n; v; v >>= 1)
        n_bits++;
    if (n_bits == 0)
        return 0;
    uint32_t v;
    do
        v = vt_mt19937_next(m) >> (32 - n_bits);
    while (v >= n);
    return v;
}

void vt_mt19937_shuffle(struct vt_mt19937 *m, int *items, size_t n)
{
    for (size_t i = n; i-- > 1;) {
        size_t j = mt19937_below(m, (uint32_t)(i + 1));
        int swap = items[i];
        items[i] = items[j];
        items[j] = swap;
    }
}
