/* SPDX-License-Identifier: Apache-2.0
 *
 * scratch.h: the evaluator's private folder, and memory files.
 */
#ifndef VT_EVAL_C_SCRATCH_H
#define VT_EVAL_C_SCRATCH_H

#include "base/owned.h"
#include <stddef.h>
#include <vegttt/err.h>

/* A fresh folder vegttt-eval-XXXXXX below $TMPDIR or /tmp, searchable by the jailed user ids; vt_owned_remove ends it.
 */
vt_status vt_scratch_make(struct vt_owned *out, vt_err *err) VT_MUST_USE;
/* A memory file of n bytes, mapped read-write here; *fd is close-on-exec. */
vt_status vt_memfile_make(const char *name, size_t n, int *fd, void **map, vt_err *err) VT_MUST_USE;
/* Forbids every later writable mapping of the file, here and in processes it is sent to. */
vt_status vt_memfile_seal(int fd, vt_err *err) VT_MUST_USE;
void vt_memfile_free(int *fd, void **map, size_t n);

#endif
