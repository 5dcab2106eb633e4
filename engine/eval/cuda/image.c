/* SPDX-License-Identifier: Apache-2.0
 *
 * image.c: machine code of trusted texts, kept by content: the evaluator's kernels and the tasks' truths take up to a
 * second to compile and never change.
 */
#include "eval/cuda/parts.h"
#include <stdlib.h>

enum { MAX_IMAGE = 64 << 20 };

vt_status vt_cuda_image(struct vt_station *s, const struct vt_buf *unit, const char *what, unsigned char **out,
                        size_t *len, vt_err *err)
{
    struct vt_sha256 h;
    struct vt_buf kept;
    struct vt_cuda_build b;
    char key[VT_SHA256_HEX];
    vt_sha256_init(&h);
    vt_hash_str(&h, "compiler", s->tier->toolchain);
    vt_hash_str(&h, "kind", "trusted");
    vt_hash_field(&h, "unit", unit->p, unit->len);
    vt_sha256_hex(&h, key);
    if (vt_content_get(s->tier->images, VT_CONTENT_BUILD, key, MAX_IMAGE, &kept, NULL) == VT_OK) {
        *out = (unsigned char *)vt_buf_take(&kept, len);
        vt_buf_free(&kept);
        if (*out)
            return VT_OK;
    }
    VT_TRY(vt_cuda_compile(&s->compiler, unit->p, unit->len, s->tier->architecture, VT_CUDA_TRUSTED, &b, err));
    vt_status status = VT_OK;
    if (b.end != VT_CUDA_BUILD_OK)
        status = vt_fail(err, VT_EFORMAT, "%s does not compile: %s%.200s", what,
                         b.end == VT_CUDA_BUILD_ERROR     ? ""
                         : b.end == VT_CUDA_BUILD_TIMEOUT ? "the compiler ran out of time "
                                                          : "the compiler crashed ",
                         b.n_diagnostics ? b.diagnostic[0].text : "");
    else
        (void)!vt_content_put(s->tier->images, VT_CONTENT_BUILD, key, b.image, b.image_len, NULL);
    *out = status == VT_OK ? b.image : NULL;
    *len = b.image_len;
    if (status == VT_OK)
        b.image = NULL;
    vt_cuda_build_free(&b);
    return status;
}
