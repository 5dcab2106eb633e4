/* SPDX-License-Identifier: Apache-2.0
 *
 * split.h: train and evaluation problems of a KernelBench level, as published.
 *
 * A split is a JSON object {dataset, level, seed, problem_ids: {train, eval}, split_hash}. The ids 1..100 are shuffled
 * by CPython's random.Random(seed); the first 80 are for training, the rest for evaluation, each sorted. split_hash is
 * the SHA-256 of the sorted canonical JSON of everything else. The files in splits/ come out byte for byte.
 */
#ifndef VT_STORE_SPLIT_H
#define VT_STORE_SPLIT_H

#include "base/json.h"

/* level 1 or 2. */
vt_status vt_split_make(int level, uint64_t seed, vt_json **out, vt_err *err) VT_MUST_USE;
/* The text of the file: two-space indentation, no newline at the end. Appends. */
vt_status vt_split_write(const vt_json *split, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* Refuses a file whose hash or contents do not hold. */
vt_status vt_split_load(const char *path, vt_json **out, vt_err *err) VT_MUST_USE;

#endif
