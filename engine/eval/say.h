/* SPDX-License-Identifier: Apache-2.0
 *
 * say.h: the sentences of a verdict as they are put together: capped, never longer than VT_FEEDBACK_MAX bytes.
 */
#ifndef VT_EVAL_SAY_H
#define VT_EVAL_SAY_H

#include <stdbool.h>
#include <stddef.h>
#include <vegttt/err.h>

enum { VT_FEEDBACK_MAX = 800 };

struct vt_say {
    char text[VT_FEEDBACK_MAX + 1];
    size_t n;
};
/* Appends; what does not fit is cut. */
void vt_say(struct vt_say *s, const char *fmt, ...) VT_PRINTF(2, 3);
/* Control characters become spaces. */
/* " Line 3: "TEXT".": a compiler's message about code that somebody wrote to be judged; line 0: it has none. Nothing in
 * TEXT can end the quotation, and is_own, a message whose words that author chose, is marked and cut short. */
void vt_say_message(struct vt_say *s, int line, const char *text, bool is_own);
void vt_say_clean(struct vt_say *s);

#endif
