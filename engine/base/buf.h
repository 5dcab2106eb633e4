/* SPDX-License-Identifier: Apache-2.0
 *
 * buf.h: a growable byte buffer that is given its maximum at birth and reports ELIMIT instead of growing for ever.
 *
 * Ownership: the buffer owns p. vt_buf_take hands p to the caller (free with free()). p is always followed by a NUL
 * byte that is not counted in len, so p can be passed where a C string is expected (p is never NULL after init).
 */
#ifndef VT_BASE_BUF_H
#define VT_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <vegttt/err.h>

struct vt_buf {
    char *p;
    size_t len, cap, max;
    vt_status status; /* sticky: first failure; later appends are ignored */
};

void vt_buf_init(struct vt_buf *b, size_t max);
void vt_buf_free(struct vt_buf *b); /* idempotent; the buffer may be initialised again */
void vt_buf_clear(struct vt_buf *b);
char *vt_buf_take(struct vt_buf *b, size_t *len); /* NULL when status != OK */
/* Appends are sticky: check b->status (or vt_buf_check) once at the end. */
void vt_buf_add(struct vt_buf *b, const void *bytes, size_t n);
void vt_buf_puts(struct vt_buf *b, const char *s);
void vt_buf_putc(struct vt_buf *b, char c);
void vt_buf_printf(struct vt_buf *b, const char *fmt, ...) VT_PRINTF(2, 3);
/* OK, or the sticky failure explained: "WHAT is larger than MAX bytes" / out of memory. */
vt_status vt_buf_check(const struct vt_buf *b, const char *what, vt_err *err) VT_MUST_USE;

#endif
