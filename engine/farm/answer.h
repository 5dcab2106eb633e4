/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.h: what a client gets for a request: one line of JSON with the request's id.
 *
 *   {"id":…, the fields of the verdict's record}                         judged
 *   {"id":…,"error":"a sentence","code":"EINVAL","line":7}               not judged; line: of the client's text, from 1
 *
 * An answer has "status" exactly when it is a verdict. The code says whose fault it is: EINVAL and EFORMAT the
 * request's, ECANCELLED nobody's (ask again), the others the evaluator's.
 */
#ifndef VT_FARM_ANSWER_H
#define VT_FARM_ANSWER_H

#include "base/buf.h"
#include "base/json.h"
#include <vegttt/eval.h>

/* id: JSON text, NULL = null. Appends the line with its '\n'; the buffer's status says whether it is whole. */
void vt_farm_answer_verdict(const char *id, const char *record, struct vt_buf *out);
void vt_farm_answer_error(const char *id, size_t line, const vt_err *why, struct vt_buf *out);

/* An answer read back. */
struct vt_farm_answer {
    vt_verdict verdict; /* its texts lie in the answer; `json` is the whole record */
    const char *key;
    struct vt_buf record;
    vt_json *root;
};
/* An answer with an error gives that error, EFORMAT where its code is none. Freed whatever comes back. */
vt_status vt_farm_answer_read(const char *text, size_t len, struct vt_farm_answer *out, vt_err *err) VT_MUST_USE;
void vt_farm_answer_free(struct vt_farm_answer *a);

#endif
