/* SPDX-License-Identifier: Apache-2.0
 *
 * request.h: what a client asks of the evaluator: one JSON object, the same from a pipe, a socket or a queue.
 *
 *   {"id": anything, "task": 19 | "relu" | "FILE.lua" | {a task document}, "code": "C text" | "answer": "a model's
 * answer", "protocol": "fast" | "full", "tier": "c" | "cuda", "scale": "cpu", "timing": true, "fresh": false,
 *    "replicate": 0, "confirms": "the key of another verdict"}
 *
 * Only task and one of code and answer are needed. Anything else is refused by name, and so is a member that is there
 * twice: a request that was misunderstood must not become a verdict.
 */
#ifndef VT_FARM_REQUEST_H
#define VT_FARM_REQUEST_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <vegttt/eval.h>

enum { VT_FARM_MAX_ID = 4096 };

struct vt_farm_request {
    char *id;        /* the JSON text of the id, byte for byte as it came; NULL = none */
    char *task;      /* an id, a name or a file; NULL with a document */
    vt_task *parsed; /* the task of a document */
    char *code;
    size_t code_len;
    char *tier, *scale, *confirms;
    int replicate;
    bool is_answer, is_fresh, skip_timing;
    vt_protocol protocol;
};
/* EFORMAT or EINVAL says what is wrong with the text; the id is there even then, if it can be read. The request is
 * initialised here and freed by the caller whatever comes back. */
vt_status vt_farm_request_parse(const char *text, size_t len, struct vt_farm_request *out, vt_err *err) VT_MUST_USE;
void vt_farm_request_free(struct vt_farm_request *r);
/* A copy of what somebody asks of an evaluator; its task stands in `parsed`. Freed whatever comes back. */
vt_status vt_farm_request_copy(const struct vt_eval_request *r, struct vt_farm_request *out, vt_err *err) VT_MUST_USE;
/* The text of a request as it crosses a queue: without an id, its task as a document, its tier and scale as given. */
vt_status vt_farm_request_write(const struct vt_eval_request *r, struct vt_buf *out, vt_err *err) VT_MUST_USE;
/* As the evaluator takes it; lends from *r and `task`. */
void vt_farm_request_fill(const struct vt_farm_request *r, vt_task *task, struct vt_eval_request *out);

#endif
