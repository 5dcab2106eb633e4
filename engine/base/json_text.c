/* SPDX-License-Identifier: Apache-2.0
 *
 * json_text.c: RFC 8259, to the letter, in one pass without recursion.
 *
 * cJSON is lenient where strictness keeps a request from being misunderstood and an answer from being no JSON: it
 * takes a byte order mark, 01, +1 and 1., control characters and bytes that are no UTF-8 within strings. So the text is
 * judged here, by name and byte, and cJSON only builds the tree of one that is known to be right.
 *
 * Three things that the grammar allows are refused all the same, because no value here can hold them: U+0000 (strings
 * are C strings), a half of a surrogate pair (no UTF-8), and a number beyond the range of a double.
 */
#include "base/json_text.h"
#include <locale.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NUMBER = 60 }; /* cJSON copies one into 63 bytes */

struct span {
    const char *p;
    size_t len;
};

struct reader {
    char *text;
    size_t at, len;
    const char *what;
    vt_err *err;
    uint64_t is_object; /* bit d: level d is an object */
    int depth, max_depth;
    struct span key; /* the last one, its escapes as they stand */
};

static vt_status refuse(const struct reader *r, size_t at, const char *why)
{
    return vt_fail(r->err, VT_EFORMAT, "%s is not valid JSON: %s at byte %zu", r->what, why, at);
}

/* Within a value: names the member that it belongs to. */
static vt_status refuse_value(const struct reader *r, size_t at, const char *why)
{
    enum { SHOWN = 60 };
    if (!r->key.p)
        return refuse(r, at, why);
    int n = (int)(r->key.len < SHOWN ? r->key.len : SHOWN);
    return vt_fail(r->err, VT_EFORMAT, "%s is not valid JSON: %s at byte %zu, at or in \"%.*s\"", r->what, why, at, n,
                   r->key.p);
}

static int peek(const struct reader *r)
{
    return r->at < r->len ? (unsigned char)r->text[r->at] : -1;
}

static bool accept(struct reader *r, char c)
{
    if (peek(r) != (unsigned char)c)
        return false;
    r->at++;
    return true;
}

static void skip_space(struct reader *r)
{
    for (int c = peek(r); c == ' ' || c == '\t' || c == '\n' || c == '\r'; c = peek(r))
        r->at++;
}

size_t vt_utf8_sequence(const unsigned char *p, size_t n)
{
    unsigned c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
    if (c < 0xC2 || c > 0xF4 || n < len)
        return 0;
    unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return len;
}

/* ---- strings ---- */

static int hex_digit(int c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The four digits behind \u, or -1. */
static int read_unit(struct reader *r)
{
    int unit = 0;
    for (int i = 0; i < 4; i++, r->at++) {
        int d = hex_digit(peek(r));
        if (d < 0)
            return -1;
        unit = unit * 16 + d;
    }
    return unit;
}

static vt_status escaped_unit(struct reader *r, size_t from)
{
    int unit = read_unit(r);
    if (unit < 0)
        return refuse_value(r, from, "\\u without four hexadecimal digits");
    if (unit == 0)
        return refuse_value(r, from, "the character U+0000, which no text here can hold,");
    if (unit < 0xD800 || unit > 0xDFFF)
        return VT_OK;
    bool is_pair = unit < 0xDC00 && accept(r, '\\') && accept(r, 'u');
    int low = is_pair ? read_unit(r) : -1;
    if (low < 0xDC00 || low > 0xDFFF)
        return refuse_value(r, from, "half of a surrogate pair");
    return VT_OK;
}

/* Behind the opening quote. */
static vt_status read_string(struct reader *r)
{
    for (;;) {
        size_t from = r->at;
        int c = peek(r);
        if (c < 0)
            return refuse_value(r, from, "a string that does not end");
        if (c < 0x20)
            return refuse_value(r, from, c ? "a control character in a string" : "a NUL byte");
        size_t n = vt_utf8_sequence((const unsigned char *)r->text + from, r->len - from);
        if (n == 0)
            return refuse_value(r, from, "a byte that is no UTF-8");
        r->at += n;
        if (c == '"')
            return VT_OK;
        if (c != '\\')
            continue;
        c = peek(r);
        if (c <= 0 || !strchr("\"\\/bfnrtu", c))
            return refuse_value(r, from, "an unknown escape in a string");
        r->at++;
        if (c == 'u')
            VT_TRY(escaped_unit(r, from));
    }
}

/* ---- numbers ---- */

static size_t read_digits(struct reader *r)
{
    size_t from = r->at;
    while (peek(r) >= '0' && peek(r) <= '9')
        r->at++;
    return r->at - from;
}

/* The token's double, whatever decimal point a script's locale has. */
static double value_of(char *token)
{
    char *point = strpbrk(token, ".eE"), local = *localeconv()->decimal_point;
    if (!point || *point != '.')
        return strtod(token, NULL);
    *point = local;
    double v = strtod(token, NULL);
    *point = '.';
    return v;
}

static void shorten(char *token, size_t len, double v)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%.17g", v);
    memset(token, ' ', len);
    memcpy(token, text, (size_t)n);
    for (char *p = token; p < token + n; p++)
        if (*p == *localeconv()->decimal_point)
            *p = '.';
}

static vt_status read_number(struct reader *r)
{
    size_t from = r->at;
    bool has_exponent = false;
    accept(r, '-');
    bool is_zero = peek(r) == '0';
    size_t n = read_digits(r);
    if (n == 0 || (is_zero && n > 1))
        return refuse_value(r, from, n ? "a number that begins with a 0" : "a value that is none");
    if (accept(r, '.') && read_digits(r) == 0)
        return refuse_value(r, from, "a number that ends at its point");
    if (accept(r, 'e') || accept(r, 'E')) {
        has_exponent = true;
        if (!accept(r, '+'))
            accept(r, '-');
        if (read_digits(r) == 0)
            return refuse_value(r, from, "a number without the digits of its exponent");
    }
    size_t len = r->at - from;
    if (!has_exponent && len <= LONGEST_NUMBER)
        return VT_OK;
    double v = value_of(r->text + from);
    if (!isfinite(v))
        return refuse_value(r, from, "a number beyond the range of a double");
    if (len > LONGEST_NUMBER)
        shorten(r->text + from, len, v);
    return VT_OK;
}

/* ---- values ---- */

static bool is_in_object(const struct reader *r)
{
    return r->depth > 0 && (r->is_object >> (r->depth - 1) & 1);
}

static vt_status open_level(struct reader *r, bool is_object)
{
    if (r->depth == r->max_depth)
        return vt_fail(r->err, VT_ELIMIT, "%s nests deeper than %d levels at byte %zu", r->what, r->max_depth, r->at);
    uint64_t bit = UINT64_C(1) << r->depth++;
    r->is_object = is_object ? r->is_object | bit : r->is_object & ~bit;
    return VT_OK;
}

static vt_status read_word(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t n = strlen(words[i]);
        if (r->len - r->at >= n && memcmp(r->text + r->at, words[i], n) == 0) {
            r->at += n;
            return VT_OK;
        }
    }
    return refuse_value(r, r->at, r->at < r->len ? "a value that is none" : "an end where a value must stand");
}

/* "key": of an object, before its value. */
static vt_status read_key(struct reader *r)
{
    skip_space(r);
    size_t from = r->at + 1;
    r->key.p = NULL;
    if (!accept(r, '"'))
        return refuse(r, r->at, "no key in quotes where one must stand");
    VT_TRY(read_string(r));
    r->key = (struct span){r->text + from, r->at - 1 - from};
    skip_space(r);
    return accept(r, ':') ? VT_OK : refuse_value(r, r->at, "no colon behind a key");
}

/* A value up to where its first member begins; *is_whole: it has none, or is no list. */
static vt_status read_value(struct reader *r, bool *is_whole)
{
    skip_space(r);
    *is_whole = true;
    int c = peek(r);
    if (accept(r, '"'))
        return read_string(r);
    if (c == '-' || (c >= '0' && c <= '9'))
        return read_number(r);
    if (c != '[' && c != '{')
        return read_word(r);
    VT_TRY(open_level(r, c == '{'));
    r->at++;
    skip_space(r);
    if (accept(r, c == '{' ? '}' : ']')) {
        r->depth--;
        return VT_OK;
    }
    *is_whole = false;
    return c == '{' ? read_key(r) : VT_OK;
}

/* Behind a value: closes what ends there; *goes_on: another value comes. */
static vt_status read_behind(struct reader *r, bool *goes_on)
{
    *goes_on = false;
    while (r->depth > 0) {
        skip_space(r);
        if (accept(r, ',')) {
            *goes_on = true;
            return is_in_object(r) ? read_key(r) : VT_OK;
        }
        if (!accept(r, is_in_object(r) ? '}' : ']'))
            return refuse_value(r, r->at, r->at < r->len ? "neither a comma nor the closing bracket" : "an end");
        r->depth--;
        r->key.p = NULL;
    }
    return VT_OK;
}

vt_status vt_json_text_check(char *text, size_t len, int max_depth, const char *what, vt_err *err)
{
    struct reader r = {.text = text, .len = len, .what = what, .err = err, .max_depth = max_depth};
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return refuse(&r, 0, "a byte order mark");
    for (bool goes_on = true; goes_on;) {
        bool is_whole;
        VT_TRY(read_value(&r, &is_whole));
        if (is_whole)
            VT_TRY(read_behind(&r, &goes_on));
    }
    skip_space(&r);
    return r.at == len ? VT_OK : refuse(&r, r.at, "something follows the value");
}
