/* SPDX-License-Identifier: Apache-2.0
 *
 * base_args.c: any words, a line each, as a command line. A value that is read is inside its option's range and finite,
 * and written out again it is the same value; an option that may be given once is given once; a suggestion is a name
 * that exists.
 */
#include "base/args.h"
#include "base/nearest.h"
#include "fuzz.h"
#include <math.h>
#include <string.h>

static const char *const halves[] = {"train", "eval", NULL};
static const struct vt_arg declared[] = {
    {.name = "out"},
    {.name = "subset", .choices = halves},
    {.name = "top_p", .kind = VT_ARG_NUMBER, .range = VT_ABOVE_TO(0, 1)},
    {.name = "temperature", .kind = VT_ARG_NUMBER, .range = VT_WITHIN(0, 100)},
    {.name = "k", .kind = VT_ARG_INTEGER, .range = VT_WITHIN(1, 1000)},
    {.name = "max-memory", .kind = VT_ARG_BYTES, .range = VT_AT_LEAST(0)},
    {.name = "json", .kind = VT_ARG_SWITCH},
    {.name = "copy", .kind = VT_ARG_BOOLEAN},
    {.name = "shape", .repeats = true},
};
enum { N = sizeof declared / sizeof declared[0], MAX_WORDS = 64 };

static void number(const struct vt_arg *a, const char *text)
{
    char again[64];
    double v, w;
    vt_err err = {0};
    vt_status status = vt_arg_number(a, text, &v, &err);
    must_explain(status, &err);
    if (status != VT_OK)
        return;
    if (!isfinite(v) || v < a->range.min || v > a->range.max || ((a->range.bits & VT_RANGE_OPEN) && v == a->range.min))
        abort();
    snprintf(again, sizeof again, "%.17g", v);
    if (vt_arg_number(a, again, &w, &err) != VT_OK || v != w)
        abort();
}

static void whole(const struct vt_arg *a, const char *text)
{
    char again[64];
    int64_t v, w;
    vt_err err = {0};
    vt_status status = vt_arg_whole(a, text, &v, &err);
    must_explain(status, &err);
    if (status != VT_OK)
        return;
    if ((double)v < a->range.min || ((a->range.bits & VT_RANGE_MAX) && (double)v > a->range.max))
        abort();
    snprintf(again, sizeof again, "%lld", (long long)v);
    if (vt_arg_whole(a, again, &w, &err) != VT_OK || v != w)
        abort();
}

static void value(const struct vt_arg *a, const char *text)
{
    bool b;
    vt_err err = {0};
    must_explain(vt_arg_choice(a, text, &err), &err);
    if (a->kind == VT_ARG_NUMBER)
        number(a, text);
    if (a->kind == VT_ARG_INTEGER || a->kind == VT_ARG_BYTES)
        whole(a, text);
    if (a->kind == VT_ARG_BOOLEAN || a->kind == VT_ARG_SWITCH)
        must_explain(vt_arg_boolean(a, text, &b, &err), &err);
}

static void suggest(const char *word)
{
    const char *names[N];
    char hint[VT_HINT_MAX], small[9];
    for (int i = 0; i < N; i++)
        names[i] = declared[i].name;
    const char *near = vt_nearest(word, names, N);
    vt_hint(word, names, N, "--", hint, sizeof hint);
    vt_hint(word, names, N, "", small, sizeof small);
    if (strlen(small) >= sizeof small || (near && !strstr(hint, near)))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    char text[2048];
    const char *words[MAX_WORDS];
    size_t n = 0;
    int n_given[N] = {0};
    bool seen[N] = {false};
    if (size >= sizeof text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *at = text; at && n < MAX_WORDS; n++) {
        char *end = strchr(at, '\n');
        words[n] = at;
        if (end)
            *end++ = '\0';
        at = end;
    }
    struct vt_args a = {.declared = declared, .n = N, .words = words, .n_words = n, .seen = seen};
    for (;;) {
        int which;
        const char *given;
        vt_err err = {0};
        vt_status status = vt_args_next(&a, &which, &given, &err);
        must_explain(status, &err);
        if (status != VT_OK || which == VT_ARGS_END)
            break;
        if (which == VT_ARGS_WORD)
            suggest(given);
        else if (++n_given[which] > 1 && !declared[which].repeats)
            abort();
        else
            value(&declared[which], given);
    }
    return 0;
}
