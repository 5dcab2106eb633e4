/* SPDX-License-Identifier: Apache-2.0
 *
 * owned.h: a folder that goes with its process, also when that is killed: the next one that makes a folder of the same
 * kind removes it. Who owns it is a lock, not a process number: processes of several containers share a /tmp and do not
 * see each other.
 */
#ifndef VT_BASE_OWNED_H
#define VT_BASE_OWNED_H

#include <vegttt/err.h>

struct vt_owned {
    char *path; /* NULL = none */
    int fd;     /* of the folder, locked; closed at exec */
};
/* PARENT/PREFIX followed by six letters, for the owner alone but searchable by others. Folders of that prefix whose
 * owners are gone are removed first. */
vt_status vt_owned_make(const char *parent, const char *prefix, struct vt_owned *out, vt_err *err) VT_MUST_USE;
void vt_owned_remove(struct vt_owned *o); /* idempotent */

#endif
