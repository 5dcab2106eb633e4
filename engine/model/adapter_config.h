/* SPDX-License-Identifier: Apache-2.0
 *
 * adapter_config.h: PEFT's adapter_config.json as far as a LoRA adapter can be computed here.
 */
#ifndef VT_MODEL_ADAPTER_CONFIG_H
#define VT_MODEL_ADAPTER_CONFIG_H

#include "base/json.h"

struct vt_adapter_config {
    int rank;
    float alpha; /* the scale of B A is alpha / rank, whichever rule the file follows */
    const vt_json *target_modules, *exclude_modules; /* lent by the document */
};
vt_status vt_adapter_config_read(const vt_json *config, const char *what, struct vt_adapter_config *out,
                                 vt_err *err) VT_MUST_USE;
/* Whether PEFT would adapt the linear layer of that name ("model.layers.0.self_attn.q_proj", "lm_head"). */
vt_status vt_adapter_config_targets(const struct vt_adapter_config *c, const char *module, const char *what, bool *out,
                                    vt_err *err) VT_MUST_USE;

#endif
