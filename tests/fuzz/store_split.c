/* SPDX-License-Identifier: Apache-2.0
 *
 * store_split.c: any bytes as a split file. One that is accepted is accepted again after it was written out.
 */
#include "fuzz.h"
#include "store/split.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char path[64];
    int fd;
    vt_json *split = NULL, *again = NULL;
    struct vt_buf text;
    vt_err err = {0};
    memory_file(data, size, path, &fd);
    vt_status status = vt_split_load(path, &split, &err);
    must_explain(status, &err);
    close(fd);
    if (status != VT_OK)
        return 0;
    vt_buf_init(&text, 1 << 24);
    if (vt_split_write(split, &text, &err) != VT_OK)
        abort();
    memory_file((const unsigned char *)text.p, text.len, path, &fd);
    if (vt_split_load(path, &again, &err) != VT_OK)
        abort();
    close(fd);
    vt_buf_free(&text);
    vt_json_free(split);
    vt_json_free(again);
    return 0;
}
