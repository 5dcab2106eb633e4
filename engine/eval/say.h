/* SPDX-License-Identifier: Apache-2.0
 *
 * say.h: the sentences of a verdict as they are put together: capped, never longer than VT_FEEDBACK_MAX bytes.
 */
#ifndef VT_EVAL_SAY_H
#define VT_EVAL_SAY_H

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
void vt_say_clean(struct vt_say *s);

#endif
