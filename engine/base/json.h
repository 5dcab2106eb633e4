/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h: the one place that knows cJSON. Reading is strict; writing with a canonical writer (keys
 * in byte order, no spaces, shortest round-trip numbers) that hashes and files use. cJSON_Print is never used: it
 * loses the last bit of one double in nine.
 *
 * Numbers: integers beyond 2^53 are written as strings by vt_json_put_u64str. NaN and infinities are written as null.
 * A vt_json value is a cJSON node; the root returned by vt_json_parse is owned by the caller (vt_json_free); getters
 * lend. Setters take ownership of the child they are given.
 */
#ifndef VT_BASE_JSON_H
#define VT_BASE_JSON_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct cJSON vt_json;

enum { VT_JSON_MAX_DEPTH = 64 };

/* `what` names the source in messages ("runs/x/params.json", "line 12 of rollouts.jsonl"). What RFC 8259 allows and
 * nothing else, EFORMAT with the byte; besides, what a value here cannot hold is refused: U+0000, half a surrogate
 * pair, a number beyond a double, a key twice in one object, and more than VT_JSON_MAX_DEPTH levels (ELIMIT). */
vt_status vt_json_parse(const char *text, size_t len, const char *what, vt_json **out, vt_err *err) VT_MUST_USE;
/* The same for a line of a run's record: of a member that the line itself has twice the first counts. A line that was
 * copied from another run used to keep the time of its first recording behind the copy's own. */
vt_status vt_json_parse_line(const char *text, size_t len, const char *what, vt_json **out, vt_err *err) VT_MUST_USE;
void vt_json_free(vt_json *j);

bool vt_json_is_object(const vt_json *j);
bool vt_json_is_array(const vt_json *j);
bool vt_json_is_string(const vt_json *j);
bool vt_json_is_number(const vt_json *j);
bool vt_json_is_bool(const vt_json *j);
bool vt_json_is_null(const vt_json *j);
/* Iteration: for (const vt_json *c = vt_json_first(j); c; c = vt_json_next(c)). key is NULL inside arrays. */
const vt_json *vt_json_first(const vt_json *j);
const vt_json *vt_json_next(const vt_json *j);
const char *vt_json_key(const vt_json *j);
size_t vt_json_count(const vt_json *j);
const vt_json *vt_json_get(const vt_json *object, const char *key); /* NULL when absent */
/* Value accessors with a default for absent or other-typed nodes. */
const char *vt_json_str(const vt_json *j, const char *fallback);
double vt_json_num(const vt_json *j, double fallback);
int64_t vt_json_int(const vt_json *j, int64_t fallback); /* also accepts decimal strings (u64str) */
bool vt_json_bool(const vt_json *j, bool fallback);
/* Required members: EFORMAT naming `what` and the key when absent or of another type. */
vt_status vt_json_need_str(const vt_json *o, const char *key, const char *what, const char **out,
                           vt_err *err) VT_MUST_USE;
vt_status vt_json_need_num(const vt_json *o, const char *key, const char *what, double *out, vt_err *err) VT_MUST_USE;
vt_status vt_json_need_int(const vt_json *o, const char *key, const char *what, int64_t *out, vt_err *err) VT_MUST_USE;

/* Building. All return NULL / do nothing on out of memory; vt_json_write reports it, and vt_json_check where the value
 * is read member by member instead of being written. */
vt_status vt_json_check(const vt_json *j, vt_err *err) VT_MUST_USE;
vt_json *vt_json_object(void);
vt_json *vt_json_array(void);
vt_json *vt_json_new_str(const char *s, size_t len);
vt_json *vt_json_new_num(double v);
vt_json *vt_json_new_bool(bool v);
vt_json *vt_json_new_null(void);
vt_json *vt_json_clone(const vt_json *j);
void vt_json_put(vt_json *object, const char *key, vt_json *child);    /* replaces a member of that name */
void vt_json_put_str(vt_json *object, const char *key, const char *s); /* NULL s writes null */
void vt_json_put_num(vt_json *object, const char *key, double v);
void vt_json_put_int(vt_json *object, const char *key, int64_t v); /* |v| <= 2^53, else written as a string */
void vt_json_put_u64str(vt_json *object, const char *key, uint64_t v);
void vt_json_put_bool(vt_json *object, const char *key, bool v);
void vt_json_push(vt_json *array, vt_json *child);

/* Appends the canonical text: keys sorted when `sorted`, else in insertion order. */
vt_status vt_json_write(const vt_json *j, bool sorted, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* Streaming helpers for hot writers (rollouts with 10^5 numbers), same formats. */
void vt_json_write_double(struct vt_buf *out, double v);
void vt_json_write_string(struct vt_buf *out, const char *s,
                          size_t len); /* quotes and escapes; bad UTF-8 becomes U+FFFD */

#endif
