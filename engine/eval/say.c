/* SPDX-License-Identifier: Apache-2.0
 *
 * say.c: appending to a verdict's sentences.
 */
#include "eval/say.h"
#include <stdarg.h>
#include <stdio.h>

void vt_say(struct vt_say *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        s->n = s->n + (size_t)n > VT_FEEDBACK_MAX ? VT_FEEDBACK_MAX : s->n + (size_t)n;
}

void vt_say_clean(struct vt_say *s)
{
    for (char *p = s->text; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            *p = ' ';
}
