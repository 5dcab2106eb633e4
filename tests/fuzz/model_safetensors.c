/* SPDX-License-Identifier: Apache-2.0
 *
 * model_safetensors.c: any bytes as a safetensors file; what opens is read to the last value.
 */
#include "fuzz.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char path[64];
    int fd;
    vt_st *s = NULL;
    vt_err err = {0};
    memory_file(data, size, path, &fd);
    vt_status status = vt_st_open(path, &s, &err);
    must_explain(status, &err);
    for (size_t i = 0; s && i < vt_st_n(s); i++) {
        vt_status finite = vt_tensor_check_finite(vt_st_at(s, i), &err);
        must_explain(finite, &err);
        if (!vt_st_find(s, vt_st_at(s, i)->name))
            abort();
    }
    vt_st_free(s);
    close(fd);
    return 0;
}
