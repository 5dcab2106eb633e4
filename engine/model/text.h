/* SPDX-License-Identifier: Apache-2.0
 *
 * text.h: a lent byte string, and UTF-8 one code point at a time. Model output and files are not always valid UTF-8,
 * so walking reports a bad byte instead of stopping.
 */
#ifndef VT_MODEL_TEXT_H
#define VT_MODEL_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vt_text {
    const char *p; /* not NUL-terminated */
    size_t len;
};
bool vt_text_is(struct vt_text s, const char *text);

/* Bytes of the code point at p[0..n), n > 0, and its value; 0 when p does not start a valid sequence (RFC 3629:
 * overlong forms, surrogates and values above U+10FFFF are invalid). */
size_t vt_utf8_next(const char *p, size_t n, uint32_t *cp);
/* Writes cp as UTF-8 into out and returns the number of bytes. */
size_t vt_utf8_put(uint32_t cp, char out[4]);
/* Length of the longest valid prefix. */
size_t vt_utf8_valid(const char *p, size_t n);

#endif
