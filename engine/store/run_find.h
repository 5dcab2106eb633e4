/* SPDX-License-Identifier: Apache-2.0
 *
 * run_find.h: finding or making the directory of a run, and its lock. Used by run.c and tidy.c only; split off because
 * it is the part that several processes race for.
 */
#ifndef VT_STORE_RUN_FIND_H
#define VT_STORE_RUN_FIND_H

#include "base/sha256.h"
#include "store/run.h"

struct vt_run_place {
    char *dir;   /* malloc'd */
    bool is_new; /* made by this call */
    int lock;    /* descriptor that holds the flock on DIR/lock */
};

/* Looks for the run `id` below ROOT/<experiment>, makes a directory with run.json when there is none, and locks it. */
vt_status vt_run_place_find(const struct vt_run_spec *spec, const char id[VT_SHA256_HEX], struct vt_run_place *out,
                            vt_err *err) VT_MUST_USE;
void vt_run_place_free(struct vt_run_place *p);

/* Takes DIR/lock; EBUSY, with who holds it, when another process has it. Release: close(*lock). */
vt_status vt_run_lock(const char *dir, int *lock, vt_err *err) VT_MUST_USE;
/* The same without saying who holds it: for what is over at once, and a write less. */
vt_status vt_run_lock_unnamed(const char *dir, int *lock, vt_err *err) VT_MUST_USE;

/* Points the symbolic link `path` at `target`, replacing an older link in one step. */
vt_status vt_run_link(const char *target, const char *path, vt_err *err) VT_MUST_USE;

#endif
