/* SPDX-License-Identifier: Apache-2.0
 *
 * sha256.h: SHA-256 (FIPS 180-4) for identities and checksums. vt_hash_field frames each field by name and length, so
 * that no two different field lists hash alike.
 */
#ifndef VT_BASE_SHA256_H
#define VT_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

struct vt_sha256 {
    uint32_t h[8];
    uint64_t n;
    unsigned char block[64];
};

enum { VT_SHA256_HEX = 65 };

void vt_sha256_init(struct vt_sha256 *s);
void vt_sha256_add(struct vt_sha256 *s, const void *bytes, size_t n);
void vt_sha256_end(struct vt_sha256 *s, unsigned char out[32]);
void vt_sha256_hex(struct vt_sha256 *s, char out[VT_SHA256_HEX]); /* ends the hash */
void vt_sha256_of(const void *bytes, size_t n, char out[VT_SHA256_HEX]);
vt_status vt_sha256_file(const char *path, char out[VT_SHA256_HEX], vt_err *err) VT_MUST_USE;

void vt_hash_field(struct vt_sha256 *s, const char *name, const void *bytes, size_t n);
void vt_hash_str(struct vt_sha256 *s, const char *name, const char *text); /* NULL hashes unlike "" */
void vt_hash_u64(struct vt_sha256 *s, const char *name, uint64_t v);
void vt_hash_f64(struct vt_sha256 *s, const char *name, double v); /* by bits; -0 and NaN are normalised */

#endif
