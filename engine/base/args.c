/* SPDX-License-Identifier: Apache-2.0
 *
 * args.c: words of a command line against what was declared. Nothing is allocated and nothing printed: texts are the
 * caller's own words, and what is wrong is one sentence in a vt_err.
 */
#include "base/args.h"
#include "base/nearest.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SHOWN = 60, MAX_NAMES = 256 };

/* Equal but for '-' and '_'; `n` bytes of `word`. */
static bool is_name(const char *word, size_t n, const char *name)
{
    if (strlen(name) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (word[i] != name[i] && !((word[i] == '-' || word[i] == '_') && (name[i] == '-' || name[i] == '_')))
            return false;
    return true;
}

static int find(const struct vt_args *a, const char *word, size_t n)
{
    for (size_t i = 0; i < a->n; i++)
        if (is_name(word, n, a->declared[i].name))
            return (int)i;
    return -1;
}

static vt_status unknown(const struct vt_args *a, const char *word, size_t n, vt_err *err)
{
    const char *names[MAX_NAMES];
    char name[MAX_SHOWN + 1], hint[VT_HINT_MAX];
    size_t n_names = a->n < MAX_NAMES ? a->n : MAX_NAMES;

    for (size_t i = 0; i < n_names; i++)
        names[i] = a->declared[i].name;
    snprintf(name, sizeof name, "%.*s", (int)(n < MAX_SHOWN ? n : MAX_SHOWN), word);
    vt_hint(name, names, n_names, "--", hint, sizeof hint);
    return vt_fail(err, VT_EINVAL, "there is no option --%s%s", name, hint);
}

/* The option that "--no-x" turns off, or -1. */
static int negated(const struct vt_args *a, const char *word, size_t n)
{
    int i = n > 3 && (memcmp(word, "no-", 3) == 0 || memcmp(word, "no_", 3) == 0) ? find(a, word + 3, n - 3) : -1;

    return i >= 0 && a->declared[i].kind == VT_ARG_BOOLEAN ? i : -1;
}

/* true or false, or several of them with commas between: the values of a sweep. */
static bool is_truth(const char *word)
{
    size_t len = strcspn(word, ",");
    bool is_one = (len == 4 && strncmp(word, "true", 4) == 0) || (len == 5 && strncmp(word, "false", 5) == 0);
    return is_one && (word[len] == '\0' || is_truth(word + len + 1));
}

/* The value of declared[i], which stands after '=' or is the next word. */
static vt_status take_value(struct vt_args *a, int i, const char *inside, const char **text, vt_err *err)
{
    const struct vt_arg *d = &a->declared[i];
    const char *next = a->at < a->n_words ? a->words[a->at] : NULL;

    if (d->kind == VT_ARG_SWITCH && inside)
        return vt_fail(err, VT_EINVAL, "--%s takes no value", d->name);
    *text = "true";
    if (d->kind == VT_ARG_SWITCH || (d->kind == VT_ARG_BOOLEAN && !inside && !(next && is_truth(next))))
        return VT_OK;
    *text = inside ? inside : next;
    if (!*text || (!inside && strncmp(next, "--", 2) == 0))
        return vt_fail(err, VT_EINVAL, "--%s needs a value", d->name);
    a->at += !inside;
    return VT_OK;
}

vt_status vt_args_next(struct vt_args *a, int *which, const char **text, vt_err *err)
{
    *which = VT_ARGS_END;
    *text = NULL;
    if (a->at == a->n_words)
        return VT_OK;
    const char *word = a->words[a->at++];
    if (!a->has_ended && strcmp(word, "--") == 0) {
        a->has_ended = true;
        return vt_args_next(a, which, text, err);
    }
    if (a->has_ended || word[0] != '-' || word[1] == '\0' || (word[1] >= '0' && word[1] <= '9')) {
        *which = VT_ARGS_WORD;
        *text = word;
        return VT_OK;
    }
    if (word[1] != '-' && strcmp(word, "-h") != 0)
        return vt_fail(err, VT_EINVAL, "'%.60s' is no option; options look like --name", word);
    const char *name = word[1] == '-' ? word + 2 : "help";
    size_t n = strcspn(name, "=");
    const char *inside = name[n] == '=' ? name + n + 1 : NULL;
    int i = find(a, name, n), off = i < 0 ? negated(a, name, n) : -1;
    if (i < 0 && off < 0)
        return unknown(a, name, n, err);
    if (off >= 0 && inside)
        return vt_fail(err, VT_EINVAL, "--%.60s takes no value", name);
    *which = i < 0 ? off : i;
    if (a->seen[*which] && !a->declared[*which].repeats)
        return vt_fail(err, VT_EINVAL, "--%s is given twice", a->declared[*which].name);
    a->seen[*which] = true;
    *text = "false";
    return off >= 0 ? VT_OK : take_value(a, i, inside, text, err);
}

/* ── values ─────────────────────────────────────────────────────────────────────────────────────────────────────────
 */

/* `text`: the value as it was given. */
static vt_status check_range(const struct vt_range *r, double v, const char *name, const char *text, vt_err *err)
{
    const bool is_open = r->bits & VT_RANGE_OPEN;
    const bool is_low = (r->bits & VT_RANGE_MIN) && !(is_open ? v > r->min : v >= r->min);
    const bool is_high = (r->bits & VT_RANGE_MAX) && !(v <= r->max);

    if (is_low || is_high)
        return vt_fail(err, VT_EINVAL, "%s must be %s %.15g, not %.60s", name,
                       is_high   ? "at most"
                       : is_open ? "above"
                                 : "at least",
                       is_high ? r->max : r->min, text);
    return VT_OK;
}

vt_status vt_range_check(const struct vt_range *r, double v, const char *name, vt_err *err)
{
    char text[32];

    snprintf(text, sizeof text, "%.15g", v);
    if (!isfinite(v))
        return vt_fail(err, VT_EINVAL, "%s must be a finite number, not %s", name, text);
    return check_range(r, v, name, text, err);
}

static vt_status check_option(const struct vt_arg *a, double v, const char *text, vt_err *err)
{
    char name[MAX_SHOWN + 3];

    snprintf(name, sizeof name, "--%.60s", a->name);
    return check_range(&a->range, v, name, text, err);
}

/* Digits, a point, an exponent, and nothing else: no spaces, hexadecimals, "inf" or "nan". */
static bool is_decimal(const char *text)
{
    const char *p = text + (*text == '-' || *text == '+');
    size_t n_before = strspn(p, "0123456789"), n_after = 0;

    p += n_before;
    if (*p == '.') {
        n_after = strspn(++p, "0123456789");
        p += n_after;
    }
    if (n_before + n_after == 0)
        return false;
    if (*p == 'e' || *p == 'E') {
        p += 1 + (p[1] == '-' || p[1] == '+');
        size_t n = strspn(p, "0123456789");
        if (n == 0)
            return false;
        p += n;
    }
    return *p == '\0';
}

vt_status vt_arg_number(const struct vt_arg *a, const char *text, double *out, vt_err *err)
{
    char *end;

    if (!is_decimal(text))
        return vt_fail(err, VT_EINVAL, "--%s must be a number, not '%.60s'", a->name, text);
    errno = 0;
    *out = strtod(text, &end);
    if (errno == ERANGE)
        return vt_fail(err, VT_EINVAL, "--%s: %.60s is %s than a number can be", a->name, text,
                       fabs(*out) > 1 ? "larger" : "closer to 0");
    return check_option(a, *out, text, err);
}

vt_status vt_arg_whole(const struct vt_arg *a, const char *text, int64_t *out, vt_err *err)
{
    static const double exact = 9007199254740992.0; /* 2^53: from here on doubles skip whole numbers */
    char digits[MAX_SHOWN + 1];
    const char *suffix = a->kind == VT_ARG_BYTES ? "KMG" : "";
    size_t n = strlen(text);
    int shift = 0;

    for (const char *s = suffix; *s && n > 0 && n <= MAX_SHOWN; s++)
        if (text[n - 1] == *s || text[n - 1] == *s - 'A' + 'a')
            shift = 10 * (int)(s - suffix + 1);
    snprintf(digits, sizeof digits, "%.*s", (int)(n - (shift > 0)), text);
    bool is_number = n <= MAX_SHOWN && is_decimal(digits);
    bool is_plain = is_number && digits[strspn(digits, "+-0123456789")] == '\0';
    errno = 0;
    double v = is_number ? strtod(digits, NULL) : 0;
    long long whole = is_plain ? strtoll(digits, NULL, 10) : is_number && fabs(v) <= exact ? (long long)v : 0;
    const long long most = INT64_MAX >> shift;
    if (is_number && errno != ERANGE && (is_plain || (double)whole == v) && whole >= -most && whole <= most) {
        *out = whole * ((int64_t)1 << shift);
        return check_option(a, (double)*out, text, err);
    }
    return vt_fail(err, VT_EINVAL, "--%s must be a whole number, not '%.60s'", a->name, text);
}

vt_status vt_arg_boolean(const struct vt_arg *a, const char *text, bool *out, vt_err *err)
{
    static const char *const words[] = {"true", "yes", "1", "false", "no", "0"};

    for (int i = 0; i < 6; i++)
        if (strcmp(text, words[i]) == 0) {
            *out = i < 3;
            return VT_OK;
        }
    return vt_fail(err, VT_EINVAL, "--%s must be true or false, not '%.60s'", a->name, text);
}

vt_status vt_arg_choice(const struct vt_arg *a, const char *text, vt_err *err)
{
    char list[256] = "";
    size_t at = 0;

    for (size_t i = 0; a->choices && a->choices[i]; i++) {
        if (strcmp(a->choices[i], text) == 0)
            return VT_OK;
        if (at < sizeof list)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", a->choices[i]);
    }
    if (!a->choices)
        return VT_OK;
    return vt_fail(err, VT_EINVAL, "--%s must be one of %s, not '%.60s'", a->name, list, text);
}
