/* SPDX-License-Identifier: Apache-2.0
 *
 * store_journal.c: any bytes as a journal. A reader walks all of its lines to the end; a journal that opens takes a
 * result, and gives it back when it is opened again.
 */
#include "fuzz.h"
#include "store/journal.h"
#include "store/jsonl.h"

static void walk(const char *path)
{
    struct vt_jsonl_reader r;
    vt_err err = {0};
    if (vt_jsonl_reader_open(&r, path, &err) != VT_OK)
        abort();
    for (;;) {
        vt_json *line = NULL;
        vt_status status = vt_jsonl_next(&r, &line, &err);
        must_explain(status, &err);
        if (status == VT_OK && !line)
            break;
        vt_json_free(line);
    }
    vt_jsonl_reader_close(&r);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char path[64];
    int fd;
    vt_journal *j = NULL;
    vt_err err = {0};
    memory_file(data, size, path, &fd);
    walk(path);
    vt_status status = vt_journal_open(path, &j, &err);
    must_explain(status, &err);
    if (status == VT_OK) {
        vt_json *value = vt_json_new_num(0.1);
        if (vt_journal_put(j, "fuzz", value, &err) != VT_OK || vt_json_num(vt_journal_get(j, "fuzz"), 0) != 0.1)
            abort();
        vt_json_free(value);
        vt_journal_close(j);
        if (vt_journal_open(path, &j, &err) != VT_OK || vt_json_num(vt_journal_get(j, "fuzz"), 0) != 0.1)
            abort();
        vt_journal_close(j);
    }
    close(fd);
    return 0;
}
