/* SPDX-License-Identifier: Apache-2.0
 *
 * eval_expr.c: any text as a size expression. What has a value keeps it inside brackets, under max with 0, and with 0
 * added in front: these are other ways through the same grammar.
 */
#include "eval/expr.h"
#include "fuzz.h"
#include <string.h>

static const struct vt_expr_name names[] = {{"n", 7}, {"m", 4096}, {"batch", 1}, {"big", INT64_MAX}};

static vt_status eval(const char *before, const char *text, const char *after, int64_t *out)
{
    char whole[4200];
    vt_err err = {0};
    snprintf(whole, sizeof whole, "%s%s%s", before, text, after);
    vt_status status = vt_expr_eval(whole, names, sizeof names / sizeof names[0], out, &err);
    must_explain(status, &err);
    return status;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char text[4096];
    int64_t value, again;
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    if (eval("", text, "", &value) != VT_OK)
        return 0;
    if (value < 0)
        abort();
    static const char *const around[][2] = {{"(", ")"}, {"max(0,", ")"}, {"0+(", ")"}};
    for (int i = 0; i < 3; i++) {
        vt_status status = eval(around[i][0], text, around[i][1], &again);
        if (status == VT_OK ? again != value : status != VT_ELIMIT && status != VT_EFORMAT && status != VT_EINVAL)
            abort();
    }
    return 0;
}
