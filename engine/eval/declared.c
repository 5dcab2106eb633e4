/* SPDX-License-Identifier: Apache-2.0
 *
 * declared.c: file scope, item by item.
 *
 * An item ends at a semicolon outside brackets, or at the brace that closes a function. One that begins with a word
 * that only a declaration begins with is a declaration; whatever else there is makes the text impure: statements,
 * calls, sentences. What an item declares is a name with nothing but its end, an array's size or a value behind it; a
 * tag that braces follow; what stands in an enum's braces; and the pointer in a function pointer's parentheses.
 * Directives declare what they define.
 *
 * It is read to find out what a block of an answer is for, so doubt goes one way: a text that is called pure would
 * compile at file scope as far as its words tell.
 */
#include "eval/declared.h"
#include "eval/definition.h"
#include <string.h>

struct item {
    struct vt_ctoken first, last, before, third; /* last: the one before the token that is read, and those before it */
    struct vt_span head;                         /* the last name that parentheses follow */
    int depth;                                   /* of brackets of any kind */
    int braces;                                  /* of a function, which ends at its own whatever its parentheses do */
    bool is_enum, in_value, has_value, has_parens, is_function;
};

static bool is_one_of(const struct vt_ctoken *t, const char *const *words)
{
    for (; *words; words++)
        if (vt_ctoken_is(t, *words))
            return true;
    return false;
}

/* Words that begin nothing but declarations, and types, which begin a body's variables too. */
static const char *const only_declares[] = {"typedef", "static", "const",    "extern",         "struct", "union",
                                            "enum",    "inline", "__inline", "_Static_assert", NULL};
static const char *const types[] = {"void",     "float",    "int",      "double",        "char",     "short",
                                    "long",     "signed",   "unsigned", "volatile",      "_Bool",    "bool",
                                    "size_t",   "int8_t",   "int16_t",  "int32_t",       "int64_t",  "uint8_t",
                                    "uint16_t", "uint32_t", "uint64_t", "__attribute__", "_Alignas", NULL};

static struct vt_span span_of(const struct vt_ctoken *t)
{
    return (struct vt_span){t->p, t->p + t->len};
}

static void add(struct vt_declared *d, struct vt_span name, bool is_function)
{
    if (is_function)
        d->function = name;
    if (d->n < VT_MAX_DECLARED)
        d->name[d->n++] = (struct vt_declared_name){name, is_function};
}

static bool is_name(const struct vt_ctoken *t)
{
    return t->kind == VT_CTOKEN_NAME && !vt_ctoken_is_keyword(t);
}

static bool opens(const struct vt_ctoken *t)
{
    return vt_ctoken_is(t, "(") || vt_ctoken_is(t, "[") || vt_ctoken_is(t, "{");
}

static bool closes(const struct vt_ctoken *t)
{
    return vt_ctoken_is(t, ")") || vt_ctoken_is(t, "]") || vt_ctoken_is(t, "}");
}

/* Does the item declare `i->last`, which `t` follows? */
static bool declares_last(const struct item *i, const struct vt_ctoken *t)
{
    bool is_end = vt_ctoken_is(t, ";") || vt_ctoken_is(t, ",") || vt_ctoken_is(t, "=");
    if (!is_name(&i->last))
        return false;
    if (i->depth == 0 && !i->in_value)
        return is_end || vt_ctoken_is(t, "[") || vt_ctoken_is(t, "__attribute__") ||
               (vt_ctoken_is(t, "{") && (vt_ctoken_is(&i->before, "struct") || vt_ctoken_is(&i->before, "union") ||
                                         vt_ctoken_is(&i->before, "enum")));
    if (i->depth == 1 && i->is_enum)
        return (vt_ctoken_is(&i->before, "{") || vt_ctoken_is(&i->before, ",")) && (is_end || vt_ctoken_is(t, "}"));
    return i->depth == 1 && vt_ctoken_is(&i->third, "(") && vt_ctoken_is(&i->before, "*") && vt_ctoken_is(t, ")");
}

static void end_item(struct item *i, struct vt_declared *d)
{
    bool is_plain = is_one_of(&i->first, types);
    if (i->is_function)
        add(d, i->head, true);
    else if (i->first.kind != VT_CTOKEN_END && !is_one_of(&i->first, only_declares) && !is_plain)
        d->is_pure = false;
    else if (is_plain && (i->has_value || !i->has_parens))
        d->has_variables = true;
    *i = (struct item){.first = {.kind = VT_CTOKEN_END}};
}

static void read_token(struct item *i, const struct vt_ctoken *t, struct vt_declared *d)
{
    if (i->first.kind == VT_CTOKEN_END) {
        if (vt_ctoken_is(t, ";"))
            return;
        i->first = *t;
    }
    if (declares_last(i, t))
        add(d, span_of(&i->last), false);
    if (vt_ctoken_is(t, "enum") && i->depth == 0)
        i->is_enum = true;
    if (vt_ctoken_is(t, "(") && i->depth == 0 && !i->in_value) {
        i->has_parens = true;
        if (is_name(&i->last) && i->before.kind != VT_CTOKEN_END)
            i->head = span_of(&i->last);
    }
    if (i->depth == 0 && vt_ctoken_is(t, "="))
        i->in_value = i->has_value = true;
    if (i->depth == 0 && vt_ctoken_is(t, ","))
        i->in_value = false;
    if (vt_ctoken_is(t, "{") && i->depth == 0 && vt_ctoken_is(&i->last, ")") && i->head.p && !i->in_value)
        i->is_function = true;
    i->depth += opens(t) - (closes(t) && i->depth > 0);
    i->braces += vt_ctoken_is(t, "{") - (vt_ctoken_is(t, "}") && i->braces > 0);
    i->third = i->before;
    i->before = i->last;
    i->last = *t;
    bool is_end = i->is_function ? i->braces == 0 && vt_ctoken_is(t, "}") : i->depth == 0 && vt_ctoken_is(t, ";");
    if (is_end)
        end_item(i, d);
}

/* A token of a directive: `n` counts them from the mark. */
static void read_directive(const struct vt_ctoken *t, int n, bool *is_define, struct vt_declared *d)
{
    if (n == 1)
        *is_define = vt_ctoken_is(t, "define");
    else if (n == 2 && *is_define)
        add(d, span_of(t), false);
}

void vt_declared_of(struct vt_span s, struct vt_declared *out)
{
    struct vt_clexer l = vt_clexer_of(s);
    struct item i = {.first = {.kind = VT_CTOKEN_END}};
    bool is_define = false;
    int n = 0, line = 0;
    memset(out, 0, sizeof *out);
    out->is_pure = true;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        if (!t.in_directive) {
            line = 0;
            read_token(&i, &t, out);
            continue;
        }
        bool is_mark = vt_ctoken_is(&t, "#") && (line == 0 || t.line > line);
        n = is_mark ? 0 : n + 1;
        line = is_mark ? t.line : line;
        read_directive(&t, n, &is_define, out);
    }
    if (i.first.kind != VT_CTOKEN_END)
        out->is_pure = false; /* an item that does not end */
}

bool vt_declared_has(const struct vt_declared *d, struct vt_span name)
{
    size_t n = (size_t)(name.end - name.p);
    for (size_t i = 0; i < d->n; i++)
        if ((size_t)(d->name[i].name.end - d->name[i].name.p) == n && memcmp(d->name[i].name.p, name.p, n) == 0)
            return true;
    return false;
}
