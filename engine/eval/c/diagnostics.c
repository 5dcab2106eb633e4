/* SPDX-License-Identifier: Apache-2.0
 *
 * diagnostics.c: reads `FILE:LINE:COLUMN: error: TEXT` and the linker's `undefined reference to`. Lines that name the
 * candidate's file keep their line number; control characters become spaces.
 */
#include "eval/c/diagnostics.h"
#include "eval/c/assemble.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *find(const char *p, const char *end, const char *what)
{
    size_t n = strlen(what);
    for (; (size_t)(end - p) >= n; p++)
        if (memcmp(p, what, n) == 0)
            return p;
    return NULL;
}

static bool starts(const char *p, const char *end, const char *what)
{
    return (size_t)(end - p) >= strlen(what) && memcmp(p, what, strlen(what)) == 0;
}

static void copy_text(char *out, size_t size, const char *p, const char *end)
{
    size_t n = 0;
    for (; p < end && n + 1 < size; p++)
        out[n++] = (unsigned char)*p < 32 || *p == 127 ? ' ' : *p;
    out[n] = 0;
}

static void read_position(const char *p, const char *end, struct vt_diagnostic *d)
{
    static const char file[] = VT_KERNEL_FILE ":";
    char digits[24];
    size_t n = sizeof file - 1;
    if (!starts(p, end, file))
        return;
    copy_text(digits, sizeof digits, p + n, end);
    char *rest;
    long line = strtol(digits, &rest, 10);
    long column = *rest == ':' ? strtol(rest + 1, NULL, 10) : 0;
    if (line > 0 && line < 1 << 24) {
        d->line = (int)line;
        d->column = column > 0 && column < 1 << 24 ? (int)column : 0;
    }
}

static bool read_line(const char *p, const char *end, struct vt_diagnostic *d)
{
    static const char *const marks[] = {": error: ", ": fatal error: ", ": internal compiler error: "};
    memset(d, 0, sizeof *d);
    snprintf(d->kind, sizeof d->kind, "error");
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = find(p, end, marks[i]);
        if (at) {
            copy_text(d->text, sizeof d->text, at + strlen(marks[i]), end);
            read_position(p, at, d);
            return true;
        }
    }
    const char *link = find(p, end, "undefined reference to ");
    if (!link)
        link = find(p, end, "undefined symbol: ");
    if (!link)
        link = find(p, end, "multiple definition of ");
    if (!link && (size_t)(end - p) > 7 && memcmp(p, "Error: ", 7) == 0)
        link = p + 7;
    if (!link && (link = find(p, end, ": Error: ")))
        read_position(p, link, d);
    if (link)
        copy_text(d->text, sizeof d->text, link + (*link == ':' ? 9 : 0), end);
    return link != NULL;
}

void vt_diagnostics_parse(const char *log, size_t len, struct vt_diagnostics *out)
{
    const char *end = log + len;
    memset(out, 0, sizeof *out);
    for (const char *p = log; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        struct vt_diagnostic d;
        if (starts(p, stop, VT_ENTRY_FILE ":")) {
            out->is_absent = out->is_absent || find(p, stop, ": error: ");
        } else if (read_line(p, stop, &d)) {
            out->n_errors++;
            if (out->n < VT_MAX_DIAGNOSTICS)
                out->item[out->n++] = d;
        }
        p = stop + (nl != NULL);
    }
}
