/* SPDX-License-Identifier: Apache-2.0
 *
 * diagnostics.c: reads `FILE:LINE:COLUMN: error: TEXT`, the assembler's and the linker's reasons. Lines that name the
 * candidate's file keep their line number; control characters become spaces. A candidate can make the compiler say
 * what it likes, so messages whose words are its own are known as such: what they say is shown as a quotation.
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

/* A message whose words its author chose. The assembler quotes what it does not know, and says what .error tells it. */
static bool has_own_words(const char *p, const char *end)
{
    static const char *const begins[] = {"#error", "static assertion failed", "static_assert failed"};
    static const char *const holds[] = {
        "declared with attribute error: ", "declared with 'error' attribute: ", "is unavailable: ", "is deprecated: "};
    for (size_t i = 0; i < sizeof begins / sizeof begins[0]; i++)
        if (starts(p, end, begins[i]))
            return true;
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++)
        if (find(p, end, holds[i]))
            return true;
    return false;
}

static void take(struct vt_diagnostic *d, const char *text, const char *end, bool is_own)
{
    copy_text(d->text, sizeof d->text, text, end);
    d->is_own = is_own || has_own_words(text, end);
}

/* `FILE:LINE:COLUMN: error: TEXT` of a compiler. */
static bool read_compiler(const char *p, const char *end, struct vt_diagnostic *d)
{
    static const char *const marks[] = {": error: ", ": fatal error: ", ": internal compiler error: "};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = find(p, end, marks[i]);
        if (!at)
            continue;
        take(d, at + strlen(marks[i]), end, false);
        read_position(p, at, d);
        return true;
    }
    return false;
}

/* `FILE:LINE: Error: TEXT` of an assembler; the file and the line may be missing. */
static bool read_assembler(const char *p, const char *end, struct vt_diagnostic *d)
{
    static const char *const marks[] = {"Error: ", "Fatal error: "};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        const char *at = starts(p, end, marks[i]) ? p : find(p, end, marks[i]);
        if (!at || (at > p && (at < p + 2 || at[-1] != ' ' || at[-2] != ':')))
            continue;
        take(d, at + strlen(marks[i]), end, true);
        if (at > p)
            read_position(p, at - 2, d);
        return true;
    }
    return false;
}

/* What a linker says; that it then gives up is no news (collect2). */
static bool read_linker(const char *p, const char *end, struct vt_diagnostic *d)
{
    static const char *const marks[] = {"undefined reference to ", "undefined symbol: ", "multiple definition of "};
    const char *at = NULL;
    for (size_t i = 0; i < sizeof marks / sizeof marks[0] && !at; i++)
        at = find(p, end, marks[i]);
    if (!at && (at = find(p, end, "ld: ")) && (at == p || at[-1] == '/') && !find(at, end, ": in function "))
        at += 4;
    else if (!at || starts(at, end, "ld: "))
        return false;
    take(d, at, end, false);
    return true;
}

static bool read_line(const char *p, const char *end, struct vt_diagnostic *d)
{
    memset(d, 0, sizeof *d);
    if (starts(p, end, "collect2: error: ld returned"))
        return false;
    return read_compiler(p, end, d) || read_assembler(p, end, d) || read_linker(p, end, d);
}

/* An assertion of ours: what it says stands in quotes. That an absent function has no type is no news. */
static bool read_assertion(const char *p, const char *end, struct vt_diagnostic *d)
{
    const char *from = find(p, end, "\""), *to = from ? find(from + 1, end, "\"") : NULL;
    memset(d, 0, sizeof *d);
    if (!to || !find(p, end, ": error: "))
        return false;
    copy_text(d->text, sizeof d->text, from + 1, to);
    return true;
}

void vt_diagnostics_parse(const char *log, size_t len, struct vt_diagnostics *out)
{
    const char *end = log + len;
    memset(out, 0, sizeof *out);
    for (const char *p = log; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        struct vt_diagnostic d;
        bool is_prototype = starts(p, stop, VT_PROTOTYPE_FILE ":"), is_unit = starts(p, stop, VT_UNIT_FILE ":");
        bool is_ours = (is_prototype && !out->is_absent) || is_unit;
        if (starts(p, stop, VT_ENTRY_FILE ":")) {
            out->is_absent = out->is_absent || find(p, stop, ": error: ");
        } else if ((is_ours && read_assertion(p, stop, &d)) || (!is_prototype && read_line(p, stop, &d))) {
            out->n_errors++;
            if (out->n < VT_MAX_DIAGNOSTICS)
                out->item[out->n++] = d;
        }
        p = stop + (nl != NULL);
    }
}

/* Is there a line that tells the compiler what to say, without any word of the compiler's before it? */
static bool has_pragma_error(const char *code)
{
    for (const char *p = code; (p = strstr(p, "ragma")) != NULL; p++)
        if (find(p, p + strcspn(p, "\n"), "error"))
            return true;
    return false;
}

void vt_diagnostics_compare(struct vt_diagnostics *d, const char *code)
{
    bool is_told = has_pragma_error(code);
    for (int i = 0; i < d->n; i++)
        d->item[i].is_own = d->item[i].is_own || is_told || strstr(code, d->item[i].text);
}
