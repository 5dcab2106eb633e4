/* SPDX-License-Identifier: Apache-2.0
 *
 * jsonl.h: files of one JSON object a line: journal, rollouts, evals, metrics, meter.
 *
 * Writing: one write(2) a line on an O_APPEND descriptor. Every line starts with "v" (schema version, 1), "t" (wall
 * nanoseconds) and "t_mono" (monotonic nanoseconds), both decimal strings because they exceed 2^53. A line counts as
 * recorded when its newline is in the file: open cuts a tail without one, and a write that came out short (full disk)
 * is cut back and reported, so the file always ends with a whole line and the call may be repeated.
 *
 * Reading: an iterator that skips a torn last line (is_torn says so) and reports any other bad line by its number; the
 * caller may go on with the next one. A writer belongs to one thread; readers work while another process writes.
 */
#ifndef VT_STORE_JSONL_H
#define VT_STORE_JSONL_H

#include "base/fs.h"
#include "base/json.h"

enum { VT_JSONL_LINE_MAX = 64 << 20 }; /* bytes of one line */

struct vt_jsonl {
    int fd;
    char *path;
    uint64_t len;       /* bytes of whole lines */
    bool has_torn_tail; /* a failed write could not be cut back yet */
    struct vt_buf line;
};

enum vt_jsonl_mode {
    VT_JSONL_APPEND,  /* keeps what is there: journal, rollouts, evals */
    VT_JSONL_REBUILD, /* starts empty: what a resumed run writes again: metrics, meter */
};

/* *w is filled; release with vt_jsonl_close, which accepts a zeroed struct. */
vt_status vt_jsonl_open(struct vt_jsonl *w, const char *path, enum vt_jsonl_mode mode, vt_err *err) VT_MUST_USE;
void vt_jsonl_close(struct vt_jsonl *w);
/* One line: begin returns its buffer, the caller appends `,"key":value` with base/json's streaming helpers, end
 * completes and writes it. */
struct vt_buf *vt_jsonl_begin(struct vt_jsonl *w);
vt_status vt_jsonl_end(struct vt_jsonl *w, vt_err *err) VT_MUST_USE;
vt_status vt_jsonl_sync(struct vt_jsonl *w, vt_err *err) VT_MUST_USE; /* fdatasync */

struct vt_jsonl_reader {
    struct vt_map map;
    char *path;
    size_t at;
    uint64_t line; /* number of the line that next() returned or refused; the first is 1 */
    bool is_torn;  /* the file ends in the middle of a line */
    bool is_light; /* set by the caller: arrays of numbers are read as empty ones, which most of a sample's line is */
    struct vt_buf light;
};

/* An empty file has no lines; an absent one is ENOENT. */
vt_status vt_jsonl_reader_open(struct vt_jsonl_reader *r, const char *path, vt_err *err) VT_MUST_USE;
void vt_jsonl_reader_close(struct vt_jsonl_reader *r);
/* *out is owned by the caller; NULL with VT_OK at the end. EFORMAT: "line 12 of PATH …", the next call reads on. */
vt_status vt_jsonl_next(struct vt_jsonl_reader *r, vt_json **out, vt_err *err) VT_MUST_USE;

#endif
