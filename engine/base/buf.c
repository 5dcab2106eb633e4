/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.c: the growable byte buffer.
 *
 * An empty buffer points at a shared NUL byte and owns nothing (cap 0), so init cannot fail and p is never NULL. The
 * first append allocates; capacity doubles up to max. One byte past len is always reserved for the NUL.
 */
#include "base/buf.h"
#include "base/alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 64 };

static char empty_text[1]; /* only ever read: every write goes through grow() first */

void vt_buf_init(struct vt_buf *b, size_t max)
{
    *b = (struct vt_buf){.p = empty_text, .max = max, .status = VT_OK};
}

void vt_buf_free(struct vt_buf *b)
{
    if (b->cap)
        free(b->p);
    vt_buf_init(b, b->max);
}

void vt_buf_clear(struct vt_buf *b)
{
    b->len = 0;
    b->status = VT_OK;
    if (b->cap)
        b->p[0] = '\0';
}

char *vt_buf_take(struct vt_buf *b, size_t *len)
{
    char *p = NULL;
    if (b->status == VT_OK) {
        p = b->cap ? b->p : vt_alloc(1);
        if (p && len)
            *len = b->len;
        if (p && b->cap)
            b->cap = 0;
    }
    vt_buf_free(b);
    return p;
}

/* Makes room for n more bytes and the NUL; false (and sticky) when that is not possible. */
static bool grow(struct vt_buf *b, size_t n)
{
    if (b->status != VT_OK)
        return false;
    size_t need;
    if (n > b->max || b->len > b->max - n || !vt_add_size(b->len + n, 1, &need)) {
        b->status = VT_ELIMIT;
        return false;
    }
    if (need <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : FIRST_CAPACITY;
    while (cap < need && cap <= SIZE_MAX / 2)
        cap *= 2;
    if (cap < need || cap - 1 > b->max)
        cap = need > b->max ? need : b->max + 1;
    char *p = vt_realloc_array(b->cap ? b->p : NULL, cap, 1);
    if (!p) {
        b->status = VT_ENOMEM;
        return false;
    }
    p[b->len] = '\0';
    b->p = p;
    b->cap = cap;
    return true;
}

void vt_buf_add(struct vt_buf *b, const void *bytes, size_t n)
{
    if (!n || !grow(b, n))
        return;
    memcpy(b->p + b->len, bytes, n);
    b->len += n;
    b->p[b->len] = '\0';
}

void vt_buf_puts(struct vt_buf *b, const char *s)
{
    vt_buf_add(b, s, strlen(s));
}

void vt_buf_putc(struct vt_buf *b, char c)
{
    vt_buf_add(b, &c, 1);
}

void vt_buf_printf(struct vt_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    size_t room = b->cap ? b->cap - b->len : 0;
    int n = vsnprintf(room ? b->p + b->len : NULL, room, fmt, ap);
    if (n < 0) {
        b->status = b->status == VT_OK ? VT_EFORMAT : b->status;
    } else if (!grow(b, (size_t)n)) {
        if (room)
            b->p[b->len] = '\0';
    } else {
        if ((size_t)n >= room)
            vsnprintf(b->p + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

vt_status vt_buf_check(const struct vt_buf *b, const char *what, vt_err *err)
{
    switch (b->status) {
    case VT_OK:
        return VT_OK;
    case VT_ELIMIT:
        return vt_fail(err, VT_ELIMIT, "%s is larger than %zu bytes", what, b->max);
    case VT_ENOMEM:
        return vt_fail(err, VT_ENOMEM, "out of memory while growing %s beyond %zu bytes", what, b->len);
    default:
        return vt_fail(err, b->status, "%s could not be formatted", what);
    }
}
