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

/* id: JSON text, NULL = null. Appends the line with its '\n'; the buffer's status says whether it is whole. */
void vt_farm_answer_verdict(const char *id, const char *record, struct vt_buf *out);
void vt_farm_answer_error(const char *id, size_t line, const vt_err *why, struct vt_buf *out);

#endif
