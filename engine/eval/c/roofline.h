/* SPDX-License-Identifier: Apache-2.0
 *
 * roofline.h: how fast one core of this machine can read memory, by the size of what it reads.
 */
#ifndef VT_EVAL_C_ROOFLINE_H
#define VT_EVAL_C_ROOFLINE_H

#include <stddef.h>
#include <stdint.h>
#include <vegttt/err.h>

enum { VT_ROOFLINE_N = 13, VT_ROOFLINE_FIRST = 16384 }; /* 16 KiB, 32 KiB, … 64 MiB */
struct vt_roofline {
    double bytes_per_ns[VT_ROOFLINE_N]; /* best of several passes over a warm buffer of FIRST << i bytes */
};
/* From the file of this machine class when there is one (NULL = measure afresh, keep nothing), else measured in about
 * 0.1 s and kept. */
vt_status vt_roofline_get(const char *file, struct vt_roofline *out, vt_err *err) VT_MUST_USE;
/* Measures again, keeps the larger speed of each size in *r and in the file. A first measurement on a busy machine can
 * only be too slow; this is called before a kernel is disbelieved. */
vt_status vt_roofline_refresh(const char *file, struct vt_roofline *r, vt_err *err) VT_MUST_USE;
/* Time below which a warm run that must move `bytes` is not believed: bytes at the speed of the fastest level that
 * could hold them, times 0.8 (DECISIONS.md section 4). */
double vt_roofline_floor_ns(const struct vt_roofline *r, int64_t bytes);
/* "GenuineIntel/6/167/…": what timings are comparable within. Writes a NUL-terminated string. */
void vt_machine_class(char *out, size_t n);

#endif
