/* SPDX-License-Identifier: Apache-2.0
 *
 * object.h: reading a compiled candidate without running it.
 */
#ifndef VT_EVAL_C_OBJECT_H
#define VT_EVAL_C_OBJECT_H

#include "base/sha256.h"
#include "eval/c/worker/image.h"

struct vt_object_info {
    char text_sha[VT_SHA256_HEX]; /* of the code; "" when refused */
    size_t text_len;
    struct vt_image_head head; /* lengths; believe them only when nothing is refused */
    char refused[200];         /* why the image may not be loaded; "" = it may */
};
/* Judges an image: its table must agree with its length, every fix-up must lie in its blocks. Never reads outside
 * bytes[0..n). */
void vt_object_inspect(const unsigned char *bytes, size_t n, struct vt_object_info *out);

#endif
