/* SPDX-License-Identifier: Apache-2.0
 *
 * exit.c: statuses to kinds of errors to exit codes. The kinds are what Lua sees (vt.Error's `kind`); C functions only
 * know statuses.
 */
#include "base/exit.h"
#include <stddef.h>
#include <string.h>

static const struct {
    const char *kind;
    enum vt_exit in_script, elsewhere;
} codes[] = {{"usage", VT_EXIT_USAGE, VT_EXIT_USAGE},
             {"script", VT_EXIT_SCRIPT, VT_EXIT_USAGE},
             {"misuse", VT_EXIT_SCRIPT, VT_EXIT_USAGE},
             {"budget", VT_EXIT_BUDGET, VT_EXIT_BUDGET},
             {"cancelled", VT_EXIT_INTERRUPTED, VT_EXIT_INTERRUPTED},
             {"infrastructure", VT_EXIT_INFRA, VT_EXIT_INFRA}};

const char *vt_error_kind(vt_status status)
{
    switch (status) {
    case VT_EINVAL:
    case VT_EUNSUPPORTED:
        return "misuse";
    case VT_EBUDGET:
        return "budget";
    case VT_ECANCELLED:
        return "cancelled";
    default:
        return "infrastructure";
    }
}

enum vt_exit vt_exit_code(const char *kind, bool in_script)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (strcmp(codes[i].kind, kind) == 0)
            return in_script ? codes[i].in_script : codes[i].elsewhere;
    return VT_EXIT_INFRA;
}
