/* SPDX-License-Identifier: Apache-2.0
 *
 * extract.h: from a model's answer, or from C text, to candidate code. A pure function of its bytes: whoever wants the
 * code of an answer (a policy's samples, the queue, `eval`) calls it and gets the same text.
 */
#ifndef VT_EVAL_EXTRACT_H
#define VT_EVAL_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>
#include <vegttt/err.h>

/* Bytes of an answer, and of what it holds beside its thoughts: of that more is not read. */
enum { VT_ANSWER_MAX = 1024 * 1024, VT_CODE_MAX = 64 * 1024 };

struct vt_code {
    char *text; /* malloc'd, NUL-terminated; NULL: no code that ends. CR LF is '\n' where all lines of an answer have it
                 */
    size_t len;
    bool is_whole;    /* defines the function itself; else text is its body */
    bool is_doubtful; /* a compiler must say which: is_whole is the better guess (kind.h) */
    size_t from,
        to; /* the bytes of the answer that `text` stands in: [from, to), with what is left out between blocks */
    int first_line; /* the line of the answer on which it starts, from 1 */
    char why[160];  /* not empty: why this is no candidate. With a text: it is blank */
};
/* `name` is the function's; NULL: any function definition counts. is_answer: the text came from a model, so that prose,
 * fences and reasoning may stand around the code and the code may be cut; else it is C text, taken as it is unless it
 * has fences. Taking the code out of code changes nothing. ENOMEM is the only failure. */
vt_status vt_extract(const char *answer, size_t len, const char *name, bool is_answer, struct vt_code *out,
                     vt_err *err) VT_MUST_USE;
void vt_code_free(struct vt_code *c);
/* How much of a body may be put into a function: up to a brace that would close it. */
size_t vt_body_length(const char *text, size_t len);
/* How much of a body's beginning goes before the function: its lines up to the last #include, compiler's option or
 * static function before its first statement. None of these can stand inside a function. */
size_t vt_body_head(const char *text, size_t len);

#endif
