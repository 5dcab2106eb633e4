/* SPDX-License-Identifier: Apache-2.0
 *
 * tidy.h: how much disk a folder takes, and giving a run's back.
 *
 * States of weights may stand in several runs under hard links, so the bytes below a folder and the bytes that removing
 * it gives back are two numbers: a file with another name elsewhere takes no disk by itself.
 *
 * A run is removed under the two locks that opening one takes (run_find.c): nobody can be writing it, and nobody can
 * be about to. Its run.json goes first. What a crash leaves in the middle is then no run any more but the remains of
 * one, which no program reads, and which the next call removes.
 */
#ifndef VT_STORE_TIDY_H
#define VT_STORE_TIDY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

struct vt_tree_size {
    uint64_t n_bytes; /* of the files below, each once */
    uint64_t n_freed; /* of those that have no name elsewhere */
};

/* Links are not followed; an absent folder has nothing; a file is a folder of one. */
vt_status vt_tree_size(const char *path, struct vt_tree_size *out, vt_err *err) VT_MUST_USE;
/* Of n paths that go together: a file of several names counts once, in the first that has it. */
vt_status vt_tree_sizes(const char *const paths[], size_t n, struct vt_tree_size out[], vt_err *err) VT_MUST_USE;

/* Removes the run in dir, or what is left of one; ENOENT when dir is neither. EBUSY while a process writes there. A
 * link ROOT/latest that led there goes too. is_dry: everything but the removal. */
vt_status vt_run_remove(const char *dir, bool is_dry, vt_err *err) VT_MUST_USE;
/* The same for n of them, several at a time; those of one folder stand together. All are tried; is_removed[i] says
 * which went, the error is one of those that there were. */
vt_status vt_runs_remove(const char *const dirs[], size_t n, bool is_dry, bool is_removed[], vt_err *err) VT_MUST_USE;

#endif
