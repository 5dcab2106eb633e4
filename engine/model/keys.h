/* SPDX-License-Identifier: Apache-2.0
 *
 * keys.h: what each key of a configuration file means to vegttt. A reader states in one table which keys it uses and
 * of what type, which change nothing that is computed here, and which are options vegttt has only in their "off"
 * position; every other key is refused by name. So a file is understood as a whole or not opened.
 */
#ifndef VT_MODEL_KEYS_H
#define VT_MODEL_KEYS_H

#include "base/json.h"
#include <stddef.h>

enum { VT_NULL = 1, VT_BOOL = 2, VT_INT = 4, VT_NUM = 8, VT_STR = 16, VT_LIST = 32, VT_MAP = 64 };
enum vt_key_use {
    VT_KEY_READ,     /* its value is used and must have one of `types` */
    VT_KEY_HARMLESS, /* changes nothing that vegttt computes; any type */
    VT_KEY_OFF       /* an option vegttt does not have: null or `off`; without an `off` also false, 0, "", [] and {} */
};
struct vt_key {
    const char *name; /* "x*": every key that begins with x; "*x": that ends with x */
    enum vt_key_use use;
    int types;       /* VT_KEY_READ: a sum of the above */
    const char *off; /* VT_KEY_OFF: the value that switches it off, as text ("1", "true", "none"); may be NULL */
};

/* Parses DIR/NAME; *out stays NULL when the file is absent and not required. */
vt_status vt_keys_read(const char *dir, const char *name, bool required, size_t max_bytes, vt_json **out,
                       vt_err *err) VT_MUST_USE;
/* The text of DIR/NAME when it is there; a pipe or device is EINVAL instead of a wait. Free *out when *found. */
vt_status vt_keys_text(const char *dir, const char *name, size_t max_bytes, struct vt_buf *out, bool *found,
                       vt_err *err) VT_MUST_USE;
/* Holds the members of an object against a table. what: "DIR/config.json", for messages; matters: what an unknown key
 * could change ("the ids of a text"). */
vt_status vt_keys_check(const vt_json *object, const struct vt_key *table, size_t n, const char *what,
                        const char *matters, vt_err *err) VT_MUST_USE;

#endif
