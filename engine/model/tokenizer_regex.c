/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_regex.c: split patterns from Onigmo's syntax into PCRE2's. Hugging Face runs them in Oniguruma (Ruby's
 * syntax, Unicode classes); many constructs look alike in both and mean something else: ^ and $ are line anchors
 * there, \h is a hexadecimal digit, \v one character, {,n} a quantifier, [a&&b] an intersection, \w wider. So this is
 * a small parser that passes what has one meaning, rewrites what can be said otherwise and refuses the rest by name.
 *
 * Passed: literals, ".", alternation, groups "(", "(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>", greedy, lazy and
 * possessive quantifiers, classes of literals, ranges and escapes, \d \D \p{General_Category} and its \P.
 * Rewritten: \s and \S (PCRE2's hold U+180E, which is no white space since Unicode 6.3), \h and \H, \v, \uHHHH.
 * A leading (?i) is kept; elsewhere it ends differently in the two.
 */
#include "model/tokenizer_build.h"

#include <ctype.h>
#include <string.h>

/* Unicode White_Space, as the inside of a class. */
#define SPACE                                                                                                          \
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define HEX "0-9a-fA-F"

struct translator {
    struct vt_text in;
    size_t at;
    const char *what;
    struct vt_buf *out;
    int depth;    /* of open groups */
    int caseless; /* depth at which (?i: was opened; 0: not inside one */
};

static vt_status refuse(const struct translator *t, const char *construct, vt_err *err)
{
    return vt_fail(
        err, VT_EUNSUPPORTED,
        "%s: its split pattern uses %s at byte %zu, which means something else to the library it was written "
        "for; vegttt does not support it",
        t->what, construct, t->at);
}

static bool is_next(const struct translator *t, const char *text)
{
    size_t n = strlen(text);
    return t->in.len - t->at >= n && memcmp(t->in.p + t->at, text, n) == 0;
}

static void copy(struct translator *t, size_t n)
{
    vt_buf_add(t->out, t->in.p + t->at, n);
    t->at += n;
}

/* \p{..} and \P{..} with a general category of one or two letters. */
static vt_status property(struct translator *t, vt_err *err)
{
    static const char majors[] = "LMNPSZ", minors[] = "ultmo" /* L */;
    size_t i = t->at + 2, n = 0;
    while (i + 1 + n < t->in.len && t->in.p[i + 1 + n] != '}' && n < 32)
        n++;
    const char *name = t->in.p + i + 1;
    bool is_closed = i < t->in.len && t->in.p[i] == '{' && i + 1 + n < t->in.len && name[n] == '}';
    bool is_known = is_closed && n >= 1 && n <= 2 && strchr(majors, name[0]) != NULL && name[0] != '\0';
    if (is_known && n == 2) {
        const char *second = name[0] == 'L'   ? minors
                             : name[0] == 'M' ? "nce"
                             : name[0] == 'N' ? "dlo"
                             : name[0] == 'P' ? "cdseifo"
                             : name[0] == 'S' ? "mcko"
                                              : "slp";
        is_known = name[1] != '\0' && strchr(second, name[1]) != NULL;
    }
    if (!is_known)
        return refuse(t, "a property other than a general category (\\p{L}, \\p{Nd}, …)", err);
    if (t->caseless)
        return refuse(t, "a property where case is ignored", err);
    copy(t, 4 + n);
    return VT_OK;
}

static size_t hex_digits(const struct translator *t, size_t at, size_t most)
{
    size_t n = 0;
    while (n < most && at + n < t->in.len && isxdigit((unsigned char)t->in.p[at + n]))
        n++;
    return n;
}

/* \xHH below 80, \x{H..}, \uHHHH. */
static vt_status code_point(struct translator *t, vt_err *err)
{
    size_t at = t->at + 2, n;
    bool braces = t->in.p[t->at + 1] == 'x' && at < t->in.len && t->in.p[at] == '{';
    if (braces) {
        n = hex_digits(t, at + 1, 8);
        if (n == 0 || at + 1 + n >= t->in.len || t->in.p[at + 1 + n] != '}')
            return refuse(t, "an escape \\x{…} without hexadecimal digits", err);
        copy(t, 4 + n);
        return VT_OK;
    }
    n = hex_digits(t, at, t->in.p[t->at + 1] == 'u' ? 4 : 2);
    if (n != (t->in.p[t->at + 1] == 'u' ? 4u : 2u) || (n == 2 && t->in.p[at] > '7'))
        return refuse(t, "an escape of a byte or code point in another form than \\x7F, \\x{7F} or \\u007F", err);
    vt_buf_puts(t->out, "\\x{");
    vt_buf_add(t->out, t->in.p + at, n);
    vt_buf_putc(t->out, '}');
    t->at = at + n;
    return VT_OK;
}

/* A class escape: its members, or all others. */
static vt_status set(struct translator *t, const char *members, bool negated, bool in_class, vt_err *err)
{
    if (negated && in_class)
        return refuse(t, "\\S or \\H inside a class", err);
    vt_buf_puts(t->out, in_class ? members : negated ? "[^" : "[");
    if (!in_class) {
        vt_buf_puts(t->out, members);
        vt_buf_putc(t->out, ']');
    }
    t->at += 2;
    return VT_OK;
}

static vt_status escape(struct translator *t, bool in_class, vt_err *err)
{
    if (t->at + 1 >= t->in.len)
        return refuse(t, "a backslash at its end", err);
    char c = t->in.p[t->at + 1];
    switch (c) {
    case 's':
    case 'S':
        return set(t, SPACE, c == 'S', in_class, err);
    case 'h':
    case 'H':
        return set(t, HEX, c == 'H', in_class, err);
    case 'p':
    case 'P':
        return property(t, err);
    case 'x':
    case 'u':
        return code_point(t, err);
    case 'v':
        vt_buf_puts(t->out, "\\x{b}");
        t->at += 2;
        return VT_OK;
    case 'd':
    case 'D':
    case 't':
    case 'n':
    case 'r':
    case 'f':
        copy(t, 2);
        return VT_OK;
    default:
        break;
    }
    if (isalnum((unsigned char)c) || (unsigned char)c >= 0x80 || isspace((unsigned char)c)) {
        char name[] = "the escape \\?";
        name[sizeof name - 2] = (unsigned char)c < 0x80 && !isspace((unsigned char)c) ? c : '?';
        return refuse(t, name, err);
    }
    copy(t, 2);
    return VT_OK;
}

/* A set (\s, \d, \p{..}) at one end of a range. */
static bool is_range_end(const struct translator *t, size_t first)
{
    char c = t->at + 1 < t->in.len ? t->in.p[t->at + 1] : 0;
    size_t end = t->at + 2;
    if (!strchr("sShHdDpP", c))
        return false;
    while ((c == 'p' || c == 'P') && end < t->in.len && t->in.p[end - 1] != '}')
        end++;
    return (t->at > first && t->in.p[t->at - 1] == '-') ||
           (end + 1 < t->in.len && t->in.p[end] == '-' && t->in.p[end + 1] != ']');
}

static vt_status class(struct translator *t, vt_err *err)
{
    copy(t, 1);
    if (is_next(t, "^"))
        copy(t, 1);
    if (is_next(t, "]"))
        return refuse(t, "an empty class", err);
    size_t first = t->at;
    while (t->at < t->in.len && t->in.p[t->at] != ']') {
        if (t->in.p[t->at] == '[' || is_next(t, "&&"))
            return refuse(t, "a class inside a class or an intersection", err);
        if (t->in.p[t->at] == '\\') {
            if (is_range_end(t, first))
                return refuse(t, "a range that begins or ends with a set", err);
            VT_TRY(escape(t, true, err));
        } else
            copy(t, 1);
    }
    if (t->at >= t->in.len)
        return refuse(t, "a class that does not end", err);
    copy(t, 1);
    return VT_OK;
}

static vt_status group(struct translator *t, vt_err *err)
{
    static const char *const known[] = {"(?:", "(?i:", "(?=", "(?!", "(?<=", "(?<!", "(?>"};
    t->depth++;
    if (!is_next(t, "(?")) {
        copy(t, 1);
        return VT_OK;
    }
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (is_next(t, known[i])) {
            if (i == 1 && !t->caseless)
                t->caseless = t->depth;
            copy(t, strlen(known[i]));
            return VT_OK;
        }
    if (is_next(t, "(?i)") && t->at == 0) {
        t->depth--;
        t->caseless = -1; /* to the end: no group closes it */
        copy(t, 4);
        return VT_OK;
    }
    return refuse(t, "a group or option of another kind than (?:, (?i:, (?=, (?!, (?<=, (?<! and (?>", err);
}

/* {n}, {n,}, {n,m}; lazy with "?" behind the last two; a "+" behind them repeats the whole in Ruby. */
static vt_status braces(struct translator *t, vt_err *err)
{
    size_t i = t->at + 1, first = 0, second = 0;
    while (i < t->in.len && isdigit((unsigned char)t->in.p[i])) {
        first++;
        i++;
    }
    bool comma = i < t->in.len && t->in.p[i] == ',';
    i += comma;
    while (comma && i < t->in.len && isdigit((unsigned char)t->in.p[i])) {
        second++;
        i++;
    }
    if (first == 0 || first > 4 || second > 4 || i >= t->in.len || t->in.p[i] != '}')
        return refuse(t, "a brace that is no quantifier {n}, {n,} or {n,m}", err);
    bool is_followed = i + 1 < t->in.len && (t->in.p[i + 1] == '+' || (t->in.p[i + 1] == '?' && !comma));
    if (is_followed)
        return refuse(t, "a quantifier behind {…}", err);
    copy(t, i + 1 - t->at);
    return VT_OK;
}

vt_status vt_regex_translate(struct vt_text pattern, const char *what, struct vt_buf *out, vt_err *err)
{
    struct translator t = {pattern, 0, what, out, 0, 0};
    while (t.at < pattern.len) {
        char c = pattern.p[t.at];
        switch (c) {
        case '\0':
            return refuse(&t, "a NUL", err);
        case '^':
        case '$':
            return refuse(&t, "a line anchor (^ or $)", err);
        case '\\':
            VT_TRY(escape(&t, false, err));
            break;
        case '[':
            VT_TRY(class(&t, err));
            break;
        case '(':
            VT_TRY(group(&t, err));
            break;
        case '{':
            VT_TRY(braces(&t, err));
            break;
        case ')':
            t.caseless = t.caseless == t.depth ? 0 : t.caseless;
            t.depth--;
            copy(&t, 1);
            break;
        default:
            copy(&t, 1);
        }
    }
    return vt_buf_check(out, "a split pattern", err);
}
