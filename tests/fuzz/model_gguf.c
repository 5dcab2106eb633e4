/* SPDX-License-Identifier: Apache-2.0
 *
 * model_gguf.c: any bytes as a GGUF model. What opens is read to the last weight, and its tokenizer encodes a text, so
 * that a check missing at open shows as a bad access here.
 */
#include "fuzz.h"
#include "model/ckpt.h"
#include "model/dtype.h"
#include "model/tokenizer.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char path[64];
    int fd;
    vt_ckpt *c = NULL;
    vt_err err = {0};
    memory_file(data, size, path, &fd);
    vt_status status = vt_ckpt_open(path, &c, &err);
    must_explain(status, &err);
    for (size_t i = 0; c && i < vt_ckpt_n_tensors(c); i++) {
        vt_status finite = vt_tensor_check_finite(vt_ckpt_tensor_at(c, i), &err);
        must_explain(finite, &err);
    }
    if (c && vt_ckpt_tokenizer(c)) {
        struct vt_ids ids = {0};
        status = vt_tokenizer_encode(vt_ckpt_tokenizer(c), "int a = 12;\n<|end|> ab", 22, true, &ids, &err);
        must_explain(status, &err);
        vt_ids_free(&ids);
    }
    vt_ckpt_free(c);
    close(fd);
    return 0;
}
