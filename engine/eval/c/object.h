/* SPDX-License-Identifier: Apache-2.0
 *
 * object.h: reading a compiled candidate without running it.
 */
#ifndef VT_EVAL_C_OBJECT_H
#define VT_EVAL_C_OBJECT_H

#include "base/sha256.h"
#include <stdbool.h>
#include <stddef.h>

struct vt_object_info {
    char text_sha[VT_SHA256_HEX]; /* of the section .text; "" when there is none */
    size_t text_len;
    char refused[200]; /* why the object may not be loaded; "" = it may */
};
/* Judges an object: loading it must run none of its code and need no other library. Never reads outside bytes[0..n). */
void vt_object_inspect(const unsigned char *bytes, size_t n, struct vt_object_info *out);

#endif
