/* SPDX-License-Identifier: Apache-2.0
 *
 * definition.c: where functions are defined in C text: a name, parentheses, and braces behind them, outside any others.
 * A call or a prototype is none; parameters declared between the parentheses and the brace, as C had them before 1989,
 * make one. `extern "C" {` opens no block: what stands in it is as good as outside. Text in other
 * languages that begin a function with a word of their own (fn, def, func) defines nothing here.
 */
#include "eval/definition.h"

struct vt_clexer vt_clexer_of(struct vt_span s)
{
    struct vt_clexer l;
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    return l;
}

/* Can `t` be the name in a definition's head? Without a name to look for, a type must stand before it. The words that
 * other languages begin a function with are no types. */
static bool may_be_head(const struct vt_ctoken *t, const struct vt_ctoken *before, const char *name)
{
    static const char *const no_types[] = {"return", "else", "fn", "func", "def", "function", "fun", "proc", "sub"};
    for (size_t i = 0; i < sizeof no_types / sizeof no_types[0]; i++)
        if (vt_ctoken_is(before, no_types[i]))
            return false;
    if (name)
        return vt_ctoken_is(t, name);
    return t->kind == VT_CTOKEN_NAME && !vt_ctoken_is_keyword(t) &&
           (before->kind == VT_CTOKEN_NAME || vt_ctoken_is(before, "*"));
}

/* Can `t` begin a declaration of parameters behind a head's parentheses? */
static bool begins_parameters(const struct vt_ctoken *t)
{
    static const char *const words[] = {"const",    "float",  "int",      "double", "char",   "short",   "long",
                                        "unsigned", "signed", "register", "struct", "size_t", "volatile"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (vt_ctoken_is(t, words[i]))
            return true;
    return false;
}

static bool may_be_parameters(const struct vt_ctoken *t)
{
    return t->kind == VT_CTOKEN_NAME || t->kind == VT_CTOKEN_NUMBER || vt_ctoken_is(t, "*") || vt_ctoken_is(t, ",") ||
           vt_ctoken_is(t, ";") || vt_ctoken_is(t, "[") || vt_ctoken_is(t, "]");
}

/* A token between a head's parentheses and what may be its brace. */
static void read_parameters(struct vt_definitions *w, const struct vt_ctoken *t)
{
    w->has_parameters |= w->is_head && vt_ctoken_is(&w->last, ")") && begins_parameters(t);
    w->is_head = w->is_head && w->has_parameters && may_be_parameters(t);
}

void vt_definitions_of(struct vt_span s, struct vt_definitions *w)
{
    struct vt_ctoken none = {VT_CTOKEN_END, s.p, 0, 0, false};
    *w = (struct vt_definitions){.l = vt_clexer_of(s), .last = none, .before = none, .text = s};
}

static bool opens_linkage(const struct vt_definitions *w)
{
    return w->braces == 0 && w->last.kind == VT_CTOKEN_STRING && vt_ctoken_is(&w->before, "extern");
}

bool vt_definition_next(struct vt_definitions *w, const char *name, struct vt_definition *out)
{
    struct vt_ctoken t;
    for (; (t = vt_clexer_next(&w->l)).kind != VT_CTOKEN_END; w->before = w->last, w->last = t) {
        bool is_complete = false;
        if (t.in_directive)
            continue;
        if (vt_ctoken_is(&t, "(")) {
            w->has_parameters &= w->parens > 0;
            if (w->parens++ == 0 && w->braces == 0 && (w->is_head = may_be_head(&w->last, &w->before, name))) {
                w->d.name = w->last.p;
                w->d.name_len = w->last.len;
            }
        } else if (vt_ctoken_is(&t, ")")) {
            w->parens -= w->parens > 0;
        } else if (vt_ctoken_is(&t, "{") && opens_linkage(w)) {
            w->n_linkages++;
        } else if (vt_ctoken_is(&t, "{")) {
            w->is_inside |=
                w->is_head && w->braces == 0 && w->parens == 0 && (!w->has_parameters || vt_ctoken_is(&w->last, ";"));
            w->braces++;
        } else if (vt_ctoken_is(&t, "}")) {
            w->n_linkages -= w->braces == 0 && w->n_linkages > 0;
            w->braces -= w->braces > 0;
            is_complete = w->is_inside && w->braces == 0;
        } else if (w->parens == 0 && w->braces == 0) {
            read_parameters(w, &t);
        }
        if (is_complete) {
            w->is_inside = w->is_head = false;
            w->before = w->last;
            w->last = t;
            *out = (struct vt_definition){w->d.name, t.p + 1, w->d.name_len, true};
            return true;
        }
    }
    if (!w->is_inside)
        return false;
    w->is_inside = false;
    *out = (struct vt_definition){w->d.name, w->text.end, w->d.name_len, false};
    return true;
}

bool vt_definition_find(struct vt_span s, const char *name, struct vt_definition *out)
{
    struct vt_definitions w;
    struct vt_definition d;
    bool is_found = false;
    vt_definitions_of(s, &w);
    while (vt_definition_next(&w, name, &d))
        if (d.is_complete || !is_found) {
            *out = d;
            is_found = true;
        }
    return is_found;
}
