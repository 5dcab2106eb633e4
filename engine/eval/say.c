/* SPDX-License-Identifier: Apache-2.0
 *
 * say.c: appending to a verdict's sentences.
 */
#include "eval/say.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void vt_say(struct vt_say *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(s->text + s->n, sizeof s->text - s->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        s->n = s->n + (size_t)n > VT_FEEDBACK_MAX ? VT_FEEDBACK_MAX : s->n + (size_t)n;
}

enum { MESSAGE_MAX = 200, OWN_MAX = 60 };

/* In double quotes: printable ASCII as it is, a quote as a single one, anything else by its number. */
static void quote(struct vt_say *s, const char *text, size_t max)
{
    vt_say(s, "\"");
    for (size_t i = 0; text[i] && i < max; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"')
            vt_say(s, "'");
        else if (c >= 32 && c < 127)
            vt_say(s, "%c", c);
        else
            vt_say(s, "\\x%02x", c);
    }
    vt_say(s, strlen(text) > max ? "...\"" : "\"");
}

void vt_say_message(struct vt_say *s, int line, const char *text, bool is_own)
{
    if (line > 0)
        vt_say(s, " Line %d: ", line);
    else
        vt_say(s, " ");
    if (is_own)
        vt_say(s, "a message in the code's own words, ");
    quote(s, text, is_own ? OWN_MAX : MESSAGE_MAX);
    vt_say(s, ".");
}

void vt_say_clean(struct vt_say *s)
{
    for (char *p = s->text; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            *p = ' ';
}
