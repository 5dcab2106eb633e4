/* SPDX-License-Identifier: Apache-2.0
 *
 * model_check.h: a model folder seen by vegttt and by the user's own transformers, side by side.
 */
#ifndef VT_CLI_MODEL_CHECK_H
#define VT_CLI_MODEL_CHECK_H

#include <stdbool.h>

struct vt_model_check {
    const char *spec;   /* a folder, or FOLDER+ADAPTER with the adapter's folder */
    const char *chat;   /* chat format by name; NULL: the folder's own */
    const char *python; /* NULL: python3 */
    bool fp32;          /* exact mode instead of full speed */
};
/* Prints what agrees and what does not; returns an exit code: OK when everything does, SCRIPT when something differs.
 */
int vt_model_check(const struct vt_model_check *o);

#endif
