/* SPDX-License-Identifier: Apache-2.0
 *
 * devices.c: lists of devices as people write them in the environment, "0,1", as the bits of a vt_place.
 */
#include "base/thread.h"
#include <stdlib.h>

vt_status vt_devices_asked(const char *variable, uint64_t *out, vt_err *err)
{
    enum { MOST = 63 };
    const char *text = getenv(variable), *at = text;
    *out = 0;
    if (!text || !*text)
        return VT_OK;
    for (;;) {
        char *end;
        const unsigned long d = strtoul(at, &end, 10);
        if (*at < '0' || *at > '9' || d > MOST || (*end && *end != ','))
            return vt_fail(err, VT_EINVAL, "%s=%.100s is no list of devices; give their numbers, as 0,1", variable,
                           text);
        *out |= (uint64_t)1 << d;
        if (!*end)
            return VT_OK;
        at = end + 1;
    }
}
