/* SPDX-License-Identifier: Apache-2.0
 *
 * object.c: judges an image before it is loaded.
 *
 * The jailed linker wrote it from a stranger's object, the content store may have kept it in a folder of the user's:
 * either way it is bytes. All that is asked is that its table tells the truth about its length and that what the
 * loader will change lies inside it; what the code does, once a child runs it, the jail and the checks see. The digest
 * of the code is the artefact's identity: copies share it.
 */
#include "eval/c/object.h"
#include <stdio.h>

void vt_object_inspect(const unsigned char *bytes, size_t n, struct vt_object_info *out)
{
    memset(out, 0, sizeof *out);
    const char *why = vt_image_check(bytes, n, &out->head);
    if (why) {
        snprintf(out->refused, sizeof out->refused, "the compiled object is refused: %s", why);
        return;
    }
    out->text_len = out->head.text_len;
    vt_sha256_of(vt_image_text(bytes, &out->head), out->text_len, out->text_sha);
}
