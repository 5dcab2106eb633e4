/* SPDX-License-Identifier: Apache-2.0
 *
 * key.h: the identity of an evaluation (DECISIONS.md section 9), computed here and nowhere else: the queue joins
 * requests by it, the content store keeps settled failures under it, a run's journal finds its verdicts by it.
 */
#ifndef VT_EVAL_KEY_H
#define VT_EVAL_KEY_H

#include "base/sha256.h"
#include "eval/extract.h"
#include <stdbool.h>
#include <vegttt/task.h>

struct vt_key_parts {
    const vt_task *task;
    const struct vt_code *code; /* what is judged: the same whichever answer it was found in */
    const char *answer;         /* the given text; counts only where it holds no code */
    size_t answer_len;
    const char *tier, *scale, *protocol; /* protocol "check": nothing is timed */
    const char *evaluator, *compiler;    /* version; compiler and flags */
    const char *baseline;                /* what the speedup is against */
    const char *machine;
    /* An evaluation that shall not stand for another one: a run's independent repetition, and the second judgement of
     * the one with this key. */
    int replicate;
    const char *confirms; /* NULL = none */
};
struct vt_case_keys {
    char key[VT_SHA256_HEX];
    char settled[VT_SHA256_HEX]; /* without replicate and confirms: what cannot turn out otherwise is shared */
};
void vt_case_keys(const struct vt_key_parts *p, struct vt_case_keys *out);

#endif
