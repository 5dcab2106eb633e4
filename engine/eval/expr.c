/* SPDX-License-Identifier: Apache-2.0
 *
 * expr.c: recursive descent over
 *
 *   sum     = product { ("+" | "-") product }
 *   product = atom { ("*" | "/" | "%") atom }
 *   atom    = number | name | name "(" sum { "," sum } ")" | "(" sum ")"
 *
 * with min, max and ceil_div as the only functions. The text is walked once and nothing is allocated; the first
 * failure is kept in the cursor and later steps become no-ops, so the grammar reads without error branches.
 */
#include "eval/expr.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

struct cursor {
    const char *text, *at;
    const struct vt_expr_name *names;
    size_t n_names;
    int depth;
    vt_status status;
    vt_err *err;
};

static int64_t sum(struct cursor *c);

static int64_t fail(struct cursor *c, const char *why)
{
    if (c->status == VT_OK)
        c->status = vt_fail(c->err, VT_EFORMAT, "size expression \"%.80s\": %s at column %d", c->text, why,
                            (int)(c->at - c->text) + 1);
    return 0;
}

static bool accept(struct cursor *c, char symbol)
{
    while (*c->at == ' ' || *c->at == '\t')
        c->at++;
    if (c->status != VT_OK || *c->at != symbol)
        return false;
    c->at++;
    return true;
}

static int64_t checked(struct cursor *c, char op, int64_t a, int64_t b)
{
    int64_t r = 0;
    bool overflow = false;
    switch (op) {
    case '+':
        overflow = __builtin_add_overflow(a, b, &r);
        break;
    case '-':
        overflow = __builtin_sub_overflow(a, b, &r);
        break;
    case '*':
        overflow = __builtin_mul_overflow(a, b, &r);
        break;
    default:
        if (b == 0)
            return fail(c, "division by zero");
        r = op == '/' ? a / b : a % b;
    }
    if (overflow)
        return fail(c, "the value overflows 64 bits");
    return r < 0 ? fail(c, "the value is negative") : r;
}

static int64_t number(struct cursor *c)
{
    int64_t v = 0;
    while (isdigit((unsigned char)*c->at)) {
        if (__builtin_mul_overflow(v, (int64_t)10, &v) || __builtin_add_overflow(v, (int64_t)(*c->at - '0'), &v))
            return fail(c, "the number overflows 64 bits");
        c->at++;
    }
    return v;
}

static bool same(const char *name, const char *text, size_t n)
{
    return strlen(name) == n && memcmp(name, text, n) == 0;
}

static int64_t call(struct cursor *c, const char *name, size_t n)
{
    bool is_min = same("min", name, n), is_max = same("max", name, n), is_ceil = same("ceil_div", name, n);
    if (!is_min && !is_max && !is_ceil)
        return fail(c, "unknown function (there are min, max and ceil_div)");
    int64_t v = sum(c);
    int n_args = 1;
    for (; accept(c, ','); n_args++) {
        int64_t b = sum(c);
        if (is_ceil)
            v = n_args == 1 && b > 0 ? v / b + (v % b != 0) : fail(c, "ceil_div takes two arguments, the second not 0");
        else if (is_min ? b < v : b > v)
            v = b;
    }
    if (n_args < 2)
        return fail(c, "a function needs two arguments");
    return accept(c, ')') ? v : fail(c, "expected )");
}

static int64_t atom(struct cursor *c)
{
    if (accept(c, '(')) {
        int64_t v = sum(c);
        return accept(c, ')') ? v : fail(c, "expected )");
    }
    if (c->status != VT_OK)
        return 0;
    if (isdigit((unsigned char)*c->at))
        return number(c);
    const char *start = c->at;
    while (isalnum((unsigned char)*c->at) || *c->at == '_')
        c->at++;
    size_t n = (size_t)(c->at - start);
    if (n == 0)
        return fail(c, "expected a number, a size or (");
    if (accept(c, '('))
        return call(c, start, n);
    for (size_t i = 0; i < c->n_names; i++)
        if (same(c->names[i].name, start, n))
            return c->names[i].value;
    c->at = start;
    return fail(c, "unknown size");
}

static int64_t product(struct cursor *c)
{
    int64_t v = atom(c);
    for (;;) {
        if (accept(c, '*'))
            v = checked(c, '*', v, atom(c));
        else if (accept(c, '/'))
            v = checked(c, '/', v, atom(c));
        else if (accept(c, '%'))
            v = checked(c, '%', v, atom(c));
        else
            return v;
    }
}

static int64_t sum(struct cursor *c)
{
    if (++c->depth > VT_EXPR_MAX_DEPTH)
        return fail(c, "nested too deeply");
    int64_t v = product(c);
    for (;;) {
        if (accept(c, '+'))
            v = checked(c, '+', v, product(c));
        else if (accept(c, '-'))
            v = checked(c, '-', v, product(c));
        else
            break;
    }
    c->depth--;
    return v;
}

vt_status vt_expr_eval(const char *text, const struct vt_expr_name *names, size_t n_names, int64_t *out, vt_err *err)
{
    struct cursor c = {text, text, names, n_names, 0, VT_OK, err};
    int64_t v = sum(&c);
    if (c.status == VT_OK && !accept(&c, '\0'))
        fail(&c, "unexpected text");
    if (c.status == VT_OK)
        *out = v;
    return c.status;
}
