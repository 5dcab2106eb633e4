/* SPDX-License-Identifier: Apache-2.0
 *
 * tiers.c: which tiers there are. The only file of the core that knows them by name.
 */
#include "eval/c/c_tier.h"
#include "eval/cuda/cuda_tier.h"
#include "eval/tier.h"
#include "eval/torch/torch_tier.h"
#include <stdio.h>
#include <string.h>

const struct vt_tier_ops *const vt_tiers[] = {&vt_c_tier, &vt_cuda_tier, &vt_torch_tier, NULL};

vt_status vt_tier_find(const struct vt_tier_ops *const *table, const char *name, const struct vt_tier_ops **out,
                       vt_err *err)
{
    char known[200] = "";
    size_t n = 0;
    *out = name ? NULL : table[0];
    for (size_t i = 0; table[i] && !*out; i++) {
        if (strcmp(table[i]->name, name) == 0)
            *out = table[i];
        int put = snprintf(known + n, sizeof known - n, "%s'%s'", i ? ", " : "", table[i]->name);
        n += put > 0 && (size_t)put < sizeof known - n ? (size_t)put : 0;
    }
    return *out ? VT_OK
                : vt_fail(err, VT_EUNSUPPORTED, "this build has no tier '%.40s'; it evaluates %s", name ? name : "",
                          known);
}

vt_status vt_tier_takes(const struct vt_tier_ops *ops, const vt_task *t, vt_err *err)
{
    const bool is_torch = strcmp(ops->name, vt_torch_tier.name) == 0;
    if (is_torch == (vt_task_torch(t) != NULL))
        return VT_OK;
    return is_torch ? vt_fail(err, VT_EUNSUPPORTED,
                              "task %s is no KernelBench problem file, and the torch tier judges nothing else",
                              vt_task_name(t))
                    : vt_fail(err, VT_EUNSUPPORTED, "task %s is a KernelBench problem file; use --tier torch",
                              vt_task_name(t));
}
