/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c: filling and prefixing a vt_err.
 *
 * Both functions format into a local buffer first, because callers pass err->msg itself as an argument when they
 * rephrase a failure, and printf into its own argument is undefined. A message that does not fit is cut, never lost.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <vegttt/err.h>

const char *vt_status_name(vt_status code)
{
    switch (code) {
#define X(name, value, text)                                                                                           \
    case VT_##name:                                                                                                    \
        return #name;
        VT_STATUS_MAP(X)
#undef X
    }
    return "EUNKNOWN";
}

const char *vt_status_text(vt_status code)
{
    switch (code) {
#define X(name, value, text)                                                                                           \
    case VT_##name:                                                                                                    \
        return text;
        VT_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

vt_status vt_fail_at(vt_err *err, vt_status code, const char *file, int line, const char *fmt, ...)
{
    if (!err)
        return code;
    char msg[VT_ERR_MSG];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(msg, sizeof msg, fmt, ap) < 0)
        msg[0] = '\0';
    va_end(ap);
    err->code = code;
    err->file = file;
    err->line = line;
    memcpy(err->msg, msg, sizeof msg);
    return code;
}

vt_status vt_err_context(vt_err *err, const char *fmt, ...)
{
    if (!err)
        return VT_EINTERNAL;
    char context[VT_ERR_MSG];
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(context, sizeof context, fmt, ap) < 0)
        context[0] = '\0';
    va_end(ap);
    char joined[2 * VT_ERR_MSG + 2];
    snprintf(joined, sizeof joined, "%s: %s", context, err->msg);
    memcpy(err->msg, joined, sizeof err->msg - 1);
    err->msg[sizeof err->msg - 1] = '\0';
    return err->code;
}
