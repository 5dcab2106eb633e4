/* SPDX-License-Identifier: Apache-2.0
 *
 * net_resp.c: bytes of a server that is none, at once and in two pieces: the scan agrees with itself, and what it calls
 * whole can be walked to its end.
 */
#include "fuzz.h"
#include "net/resp.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t len)
{
    const size_t first = len ? bytes[0] % len : 0;
    const char *p = (const char *)bytes;
    struct vt_resp_scan one = {0}, two = {0};
    bool is_whole, is_whole_too;
    vt_err err = {0};
    vt_status s = vt_resp_scan(&one, p, len, &is_whole, &err);
    vt_status t = vt_resp_scan(&two, p, first, &is_whole_too, &err);
    must_explain(s, &err);
    if (t == VT_OK && !is_whole_too)
        t = vt_resp_scan(&two, p, len, &is_whole_too, &err);
    if (s == VT_OK && (t != VT_OK || is_whole != is_whole_too || one.at != two.at))
        abort();
    if (s != VT_OK || !is_whole)
        return 0;
    struct vt_resp_reader r = {p, p + one.at}, skipped = r;
    struct vt_resp_item item;
    while (vt_resp_next(&r, &item))
        ;
    vt_resp_skip(&skipped);
    if (r.p != r.end || skipped.p != skipped.end)
        abort();
    return 0;
}
