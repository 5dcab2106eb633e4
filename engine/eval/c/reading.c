/* SPDX-License-Identifier: Apache-2.0
 *
 * reading.c: a text is a body of the function or a file that defines it, and where its words leave that open (kind.c)
 * the compiler says it. It is tried as what it looks like, then as the other.
 *
 * As a file it is one if the function is declared at its end; whatever else is wrong with it is an error of its own. As
 * a body it is one if it compiles and leaves no function of its own uncalled: GNU C takes a file's functions for nested
 * ones, and what nobody calls does nothing. Without this an honest kernel in an unusual dress would be called wrong.
 *
 * Where neither holds, the one that was guessed is reported; where both are full of errors, the one with fewer.
 */
#include "eval/c/reading.h"
#include "eval/c/assemble.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool has_uncalled(const char *log)
{
    static const char file[] = VT_KERNEL_FILE ":", mark[] = " defined but not used [-Wunused-function]";
    for (const char *line = log; *line;) {
        size_t n = strcspn(line, "\n");
        bool is_own = strncmp(line, file, sizeof file - 1) == 0;
        if (is_own && n >= sizeof mark && memcmp(line + n - (sizeof mark - 1), mark, sizeof mark - 1) == 0)
            return true;
        line += n + (line[n] == '\n');
    }
    return false;
}

void vt_reading_judge(const struct vt_code *code, struct vt_build *b)
{
    if (code->is_whole) {
        b->is_no_reading = b->end == VT_BUILD_FAILED && b->diagnostics.is_absent && b->diagnostics.n_errors == 0;
    } else if (code->is_doubtful && b->end == VT_BUILD_OK && has_uncalled(b->log)) {
        b->is_no_reading = true;
        b->end = VT_BUILD_FAILED;
        free(b->object);
        b->object = NULL;
        b->object_len = 0;
    }
}

bool vt_reading_is_better(const struct vt_candidate *other, const struct vt_candidate *guessed)
{
    if (other->object || other->build_end != VT_BUILD_FAILED)
        return true;
    return !other->is_no_reading && !guessed->is_no_reading &&
           other->diagnostics.n_errors < guessed->diagnostics.n_errors;
}

void vt_reading_explain(bool was_whole, const char *name, char *out, size_t n)
{
    if (was_whole)
        snprintf(out, n, "The code compiles, but it defines no function %.63s.", name);
    else
        snprintf(
            out, n,
            "The code is no body of %.63s, since it defines functions that nothing calls, and no file that defines "
            "it, since statements stand outside of them.",
            name);
}
