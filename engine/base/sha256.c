/* SPDX-License-Identifier: Apache-2.0
 *
 * sha256.c: SHA-256 as in FIPS 180-4, section 6.2, straight from the standard.
 *
 * Plain C on purpose: identities hash kilobytes, and a model file of some hundred megabytes is hashed once when it is
 * fetched. s->n counts bytes, so the fill of the current block is n % 64.
 */
#include "base/sha256.h"
#include "base/fs.h"
#include <math.h>
#include <string.h>

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotr(uint32_t x, int n)
{
    return (x >> n) | (x << (32 - n));
}

static void compress(uint32_t h[8], const unsigned char *p)
{
    uint32_t w[64];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++) {
        uint32_t s0 = rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
        uint32_t s1 = rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    uint32_t v[8];
    memcpy(v, h, sizeof v);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25);
        uint32_t choice = (v[4] & v[5]) ^ (~v[4] & v[6]);
        uint32_t t1 = v[7] + s1 + choice + round_constants[i] + w[i];
        uint32_t s0 = rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22);
        uint32_t majority = (v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]);
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

void vt_sha256_init(struct vt_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memset(s, 0, sizeof *s);
    memcpy(s->h, start, sizeof start);
}

void vt_sha256_add(struct vt_sha256 *s, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    size_t fill = (size_t)(s->n % 64);
    s->n += n;
    if (fill) {
        size_t take = n < 64 - fill ? n : 64 - fill;
        if (take)
            memcpy(s->block + fill, p, take);
        if (fill + take < 64)
            return;
        compress(s->h, s->block);
        p += take;
        n -= take;
    }
    for (; n >= 64; p += 64, n -= 64)
        compress(s->h, p);
    if (n)
        memcpy(s->block, p, n);
}

void vt_sha256_end(struct vt_sha256 *s, unsigned char out[32])
{
    uint64_t n_bits = s->n * 8;
    unsigned char tail[72] = {0x80};
    size_t fill = (size_t)(s->n % 64);
    size_t n_pad = (fill < 56 ? 56 : 120) - fill;
    for (int i = 0; i < 8; i++)
        tail[n_pad + (size_t)i] = (unsigned char)(n_bits >> (56 - 8 * i));
    vt_sha256_add(s, tail, n_pad + 8);
    for (int i = 0; i < 32; i++)
        out[i] = (unsigned char)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

void vt_sha256_hex(struct vt_sha256 *s, char out[VT_SHA256_HEX])
{
    unsigned char digest[32];
    vt_sha256_end(s, digest);
    for (int i = 0; i < 32; i++) {
        out[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    out[64] = '\0';
}

void vt_sha256_of(const void *bytes, size_t n, char out[VT_SHA256_HEX])
{
    struct vt_sha256 s;
    vt_sha256_init(&s);
    vt_sha256_add(&s, bytes, n);
    vt_sha256_hex(&s, out);
}

vt_status vt_sha256_file(const char *path, char out[VT_SHA256_HEX], vt_err *err)
{
    struct vt_sha256 s;
    vt_sha256_init(&s);
    struct vt_map map = {0};
    if (vt_fs_size(path) != 0) {
        VT_TRY(vt_map_open(path, &map, err));
        vt_sha256_add(&s, map.p, map.len);
        vt_map_close(&map);
    }
    vt_sha256_hex(&s, out);
    return VT_OK;
}

/* Lengths are framed as 64-bit little-endian numbers; a missing string has the length no string can have. */
static void add_u64(struct vt_sha256 *s, uint64_t v)
{
    unsigned char le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (unsigned char)(v >> (8 * i));
    vt_sha256_add(s, le, sizeof le);
}

void vt_hash_field(struct vt_sha256 *s, const char *name, const void *bytes, size_t n)
{
    add_u64(s, strlen(name));
    vt_sha256_add(s, name, strlen(name));
    add_u64(s, n);
    vt_sha256_add(s, bytes, n);
}

void vt_hash_str(struct vt_sha256 *s, const char *name, const char *text)
{
    if (text) {
        vt_hash_field(s, name, text, strlen(text));
        return;
    }
    add_u64(s, strlen(name));
    vt_sha256_add(s, name, strlen(name));
    add_u64(s, UINT64_MAX);
}

void vt_hash_u64(struct vt_sha256 *s, const char *name, uint64_t v)
{
    unsigned char le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (unsigned char)(v >> (8 * i));
    vt_hash_field(s, name, le, sizeof le);
}

void vt_hash_f64(struct vt_sha256 *s, const char *name, double v)
{
    uint64_t bits;
    if (isnan(v))
        bits = 0x7ff8000000000000u;
    else if (v == 0)
        bits = 0;
    else
        memcpy(&bits, &v, sizeof bits);
    vt_hash_u64(s, name, bits);
}
