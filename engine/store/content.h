/* SPDX-License-Identifier: Apache-2.0
 *
 * content.h: the machine-wide store of results that any run may reuse: DIR/<kind>/<first two of key>/<key>.
 *
 * Keys are hashes of what produced the bytes (hex digits), so two processes that put the same key put the same result.
 * Objects appear whole or not at all and are never replaced. get and put make an object the most recently used one. An
 * object ends with the hash of its bytes: one that was damaged is no object, and the next put makes it again.
 *
 * The store is a cache and may always be thrown away. A handle that put something trims it when it is closed, at most
 * once a day for all processes of the machine: the least recently used objects go until VT_CONTENT_MAX_BYTES are left.
 * Trimming works from a listing, which is old by the time it is acted on; an object that was used or made after the
 * listing is not removed, whatever other processes do meanwhile.
 */
#ifndef VT_STORE_CONTENT_H
#define VT_STORE_CONTENT_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

#define VT_CONTENT_MAX_BYTES (UINT64_C(16) << 30)
enum { VT_CONTENT_SEAL = 64 }; /* bytes of an object's file beside its own */

typedef struct vt_content vt_content;

enum vt_content_kind { VT_CONTENT_BUILD, VT_CONTENT_CHECK, VT_CONTENT_SAMPLE, VT_CONTENT_N_KINDS };

/* dir NULL: the folder "store" of vt_cache_dir. Created when absent. */
vt_status vt_content_open(const char *dir, vt_content **out, vt_err *err) VT_MUST_USE;
void vt_content_close(vt_content *c);
const char *vt_content_dir(const vt_content *c);

vt_status vt_content_put(vt_content *c, enum vt_content_kind kind, const char *key, const void *bytes, size_t n,
                         vt_err *err) VT_MUST_USE;
/* out is initialised here; ENOENT when absent, or damaged: then it is removed. */
vt_status vt_content_get(vt_content *c, enum vt_content_kind kind, const char *key, size_t max, struct vt_buf *out,
                         vt_err *err) VT_MUST_USE;

/* Trimming in its two steps. The listing is in order of last use, oldest first; free with vt_content_listing_free. */
struct vt_content_object {
    char *path;
    uint64_t n_bytes; /* of the file */
    int64_t used_ns;  /* wall clock */
};
struct vt_content_listing {
    struct vt_content_object *objects;
    size_t n, cap;
    uint64_t n_bytes;
};
vt_status vt_content_list(const vt_content *c, struct vt_content_listing *out, vt_err *err) VT_MUST_USE;
void vt_content_listing_free(struct vt_content_listing *l);
/* Removes objects of the listing, oldest first, until at most max_bytes of it are left; returns how many went, and in
 * *n_freed (may be NULL) their bytes. */
size_t vt_content_trim(const struct vt_content_listing *l, uint64_t max_bytes, uint64_t *n_freed);

#endif
