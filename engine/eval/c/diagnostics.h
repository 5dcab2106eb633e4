/* SPDX-License-Identifier: Apache-2.0
 *
 * diagnostics.h: the compiler's log as data.
 */
#ifndef VT_EVAL_C_DIAGNOSTICS_H
#define VT_EVAL_C_DIAGNOSTICS_H

#include <stdbool.h>
#include <stddef.h>

enum { VT_MAX_DIAGNOSTICS = 10, VT_DIAGNOSTIC_TEXT = 240 };

struct vt_diagnostic {
    int line, column; /* in the candidate's own text; 0 = elsewhere (linker, prelude) */
    bool is_own; /* its words are, or may be, the candidate's: #error, an assertion, an attribute, the assembler's */
    char text[VT_DIAGNOSTIC_TEXT];
};
struct vt_diagnostics {
    struct vt_diagnostic item[VT_MAX_DIAGNOSTICS]; /* errors only, in order; the linker's complaints have no line */
    int n;
    int n_errors;   /* in the whole log, kept or not */
    bool is_absent; /* the lines behind a whole text miss the function: it does not declare it (no item of the list) */
};
/* `log` is whatever the compiler wrote: gcc's or clang's, any bytes. */
void vt_diagnostics_parse(const char *log, size_t len, struct vt_diagnostics *out);
/* Marks messages that only the code itself can have put into the compiler's mouth: #pragma GCC error. */
void vt_diagnostics_compare(struct vt_diagnostics *d, const char *code);

#endif
