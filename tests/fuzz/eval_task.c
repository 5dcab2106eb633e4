/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_task.c: any text as a task. A task that is accepted is its canonical text: parsing that gives the same digest
 * and the same text again. Its sizes can be asked for at every scale.
 */
#include "base/json.h"
#include "fuzz.h"
#include <string.h>
#include <vegttt/task.h>

static void ask_sizes(const vt_task *t)
{
    static const char *const scales[] = {"cpu", "hidden", "search", "full", "none"};
    static const char *const exprs[] = {"n", "n*n", "n*m+1"};
    for (int s = 0; s < 5; s++)
        for (int e = 0; e < 3; e++) {
            int64_t value = 0;
            vt_err err = {0};
            vt_status status = vt_task_size(t, scales[s], exprs[e], &value, &err);
            must_explain(status, &err);
            if (status == VT_OK && value < 0)
                abort();
        }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    vt_task *t = NULL, *again = NULL;
    vt_err err = {0};
    vt_status status = vt_task_parse((const char *)data, size, &t, &err);
    must_explain(status, &err);
    if (status != VT_OK)
        return 0;
    const char *json = vt_task_json(t);
    if (vt_task_parse(json, strlen(json), &again, &err) != VT_OK || strcmp(vt_task_json(again), json) != 0 ||
        strcmp(vt_task_digest(again), vt_task_digest(t)) != 0)
        abort();
    if (!strstr(vt_task_signature(t), vt_task_name(t)))
        abort();
    ask_sizes(t);
    vt_task_unref(again);
    vt_task_unref(t);
    return 0;
}
