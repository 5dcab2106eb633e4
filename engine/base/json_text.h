/* SPDX-License-Identifier: Apache-2.0
 *
 * json_text.h: is a text JSON? Of json.c alone; everybody else calls vt_json_parse.
 */
#ifndef VT_BASE_JSON_TEXT_H
#define VT_BASE_JSON_TEXT_H

#include <stddef.h>
#include <vegttt/err.h>

/* EFORMAT with the byte at which the text stops being JSON, ELIMIT when it nests deeper than max_depth (at most 64).
 * Numbers longer than any reader's buffer are shortened in place to the double that they are, with spaces behind; a
 * zero byte must follow the text. */
vt_status vt_json_text_check(char *text, size_t len, int max_depth, const char *what, vt_err *err) VT_MUST_USE;
/* Bytes of the well-formed UTF-8 sequence at p (Unicode table 3-7), of which n can be read; 0 = none is. */
size_t vt_utf8_sequence(const unsigned char *p, size_t n);

#endif
