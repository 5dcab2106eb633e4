/* SPDX-License-Identifier: Apache-2.0
 *
 * content.h: the machine-wide store of results that any run may reuse: DIR/<kind>/<first two of key>/<key>.
 *
 * Keys are hashes of what produced the bytes (hex digits), so two processes that put the same key put the same result
 * and the later rename changes nothing. Objects appear whole or not at all. get and pin refresh the time of last use;
 * gc removes the least recently used first. A pin is a shared flock on the object, so it dies with its process and gc
 * of any other process respects it. A key lock lets one process compute what several want.
 */
#ifndef VT_STORE_CONTENT_H
#define VT_STORE_CONTENT_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct vt_content vt_content;

enum vt_content_kind { VT_CONTENT_BUILD, VT_CONTENT_CHECK, VT_CONTENT_SAMPLE, VT_CONTENT_N_KINDS };

const char *vt_content_kind_name(enum vt_content_kind kind); /* "build", "check", "sample" */
/* dir NULL: the folder "store" of vt_cache_dir. Created when absent. */
vt_status vt_content_open(const char *dir, vt_content **out, vt_err *err) VT_MUST_USE;
void vt_content_close(vt_content *c);
const char *vt_content_dir(const vt_content *c);

vt_status vt_content_put(vt_content *c, enum vt_content_kind kind, const char *key, const void *bytes, size_t n,
                         vt_err *err) VT_MUST_USE;
/* out is initialised here; ENOENT when absent. */
vt_status vt_content_get(vt_content *c, enum vt_content_kind kind, const char *key, size_t max, struct vt_buf *out,
                         vt_err *err) VT_MUST_USE;
bool vt_content_has(const vt_content *c, enum vt_content_kind kind, const char *key);

/* Where the object lies (malloc'd), for files that are loaded by path; hold a pin while using it. */
vt_status vt_content_path(const vt_content *c, enum vt_content_kind kind, const char *key, char **out,
                          vt_err *err) VT_MUST_USE;
vt_status vt_content_pin(vt_content *c, enum vt_content_kind kind, const char *key, int *pin, vt_err *err) VT_MUST_USE;
void vt_content_unpin(int pin);

/* At most one holder of a key's lock on this machine; EBUSY when somebody else has it (they are computing it). */
vt_status vt_content_lock(vt_content *c, enum vt_content_kind kind, const char *key, int *lock,
                          vt_err *err) VT_MUST_USE;
void vt_content_unlock(int lock);

struct vt_content_size {
    uint64_t n_objects, n_bytes;
};
vt_status vt_content_total(const vt_content *c, struct vt_content_size *out, vt_err *err) VT_MUST_USE;
/* Removes least recently used objects until at most max_bytes are left. is_kept (may be NULL) names keys to keep, such
 * as those of journals. *removed counts what went. */
vt_status vt_content_gc(vt_content *c, uint64_t max_bytes,
                        bool (*is_kept)(void *arg, enum vt_content_kind kind, const char *key), void *arg,
                        struct vt_content_size *removed, vt_err *err) VT_MUST_USE;

#endif
