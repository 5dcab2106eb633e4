/* SPDX-License-Identifier: Apache-2.0
 *
 * definition.c: where functions are defined in C text: a name, perhaps in parentheses of its own, parentheses, and
 * braces behind them, outside any others. A call or a prototype is none; attributes may stand between the parentheses
 * and the brace, and so may parameters declared as C had them before 1989. `extern "C" {` opens no block: what stands
 * in it is as good as outside. Each branch of an #if begins as deep as the first, so that two heads may share a body.
 * Text in other languages that begin a function with a word of their own (fn, def, func) defines nothing here.
 *
 * It is a walk that prose may stand around. What macros and stranger declarations define it does not see; kind.c says
 * where that is possible, and the compiler whether it is so.
 */
#include "eval/definition.h"

struct vt_clexer vt_clexer_of(struct vt_span s)
{
    struct vt_clexer l;
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    return l;
}

bool vt_begins_parameters(const struct vt_ctoken *t)
{
    static const char *const words[] = {"const",    "float",  "int",      "double", "char",   "short",    "long",
                                        "unsigned", "signed", "register", "struct", "size_t", "volatile", NULL};
    return vt_ctoken_is_one_of(t, words);
}

bool vt_ctoken_is_attribute(const struct vt_ctoken *t)
{
    static const char *const words[] = {"__attribute__", "__attribute", "__asm__",        "asm",
                                        "__asm",         "_Alignas",    "_Static_assert", NULL};
    return vt_ctoken_is_one_of(t, words);
}

bool vt_begins_no_head(const struct vt_ctoken *t)
{
    static const char *const words[] = {"return", "else", "fn", "func", "def", "function", "fun", "proc", "sub", NULL};
    return vt_ctoken_is_one_of(t, words);
}

/* Can `t` be the name in a definition's head? Without a name to look for, a type must stand before it. */
static bool may_be_head(const struct vt_ctoken *t, const struct vt_ctoken *before, const char *name)
{
    if (vt_begins_no_head(before))
        return false;
    if (name)
        return vt_ctoken_is(t, name);
    return t->kind == VT_CTOKEN_NAME && !vt_ctoken_is_keyword(t) &&
           (before->kind == VT_CTOKEN_NAME || vt_ctoken_is(before, "*"));
}

static bool may_be_parameters(const struct vt_ctoken *t)
{
    return t->kind == VT_CTOKEN_NAME || t->kind == VT_CTOKEN_NUMBER || vt_ctoken_is(t, "*") || vt_ctoken_is(t, ",") ||
           vt_ctoken_is(t, ";") || vt_ctoken_is(t, "[") || vt_ctoken_is(t, "]");
}

/* A token between a head's parentheses and what may be its brace. */
static void read_parameters(struct vt_definitions *w, const struct vt_ctoken *t)
{
    if (w->at.is_head && !w->at.has_parameters && vt_ctoken_is_attribute(t))
        return;
    w->at.has_parameters |= w->at.is_head && vt_ctoken_is(&w->last, ")") && vt_begins_parameters(t);
    w->at.is_head = w->at.is_head && w->at.has_parameters && may_be_parameters(t);
}

void vt_definitions_of(struct vt_span s, struct vt_definitions *w)
{
    const struct vt_ctoken none = {.kind = VT_CTOKEN_END, .p = s.p};
    *w = (struct vt_definitions){
        .l = vt_clexer_of(s), .last = none, .before = none, .third = none, .fourth = none, .text = s};
}

static bool opens_linkage(const struct vt_definitions *w)
{
    return w->at.braces == 0 && w->last.kind == VT_CTOKEN_STRING && vt_ctoken_is(&w->before, "extern");
}

static void open_parenthesis(struct vt_definitions *w, const char *name)
{
    struct vt_definition_place *at = &w->at;
    if (at->parens++ > 0 || at->braces > 0)
        return;
    if (at->is_head && vt_ctoken_is_attribute(&w->last))
        return;
    bool is_wrapped = vt_ctoken_is(&w->last, ")") && w->before.kind == VT_CTOKEN_NAME && vt_ctoken_is(&w->third, "(");
    const struct vt_ctoken *t = is_wrapped ? &w->before : &w->last;
    at->has_parameters = false;
    at->is_head = may_be_head(t, is_wrapped ? &w->fourth : &w->before, name);
    if (at->is_head) {
        w->d.name = t->p;
        w->d.name_len = t->len;
    }
}

static void open_brace(struct vt_definitions *w)
{
    struct vt_definition_place *at = &w->at;
    if (opens_linkage(w)) {
        w->n_linkages++;
        return;
    }
    at->is_inside |=
        at->is_head && at->braces == 0 && at->parens == 0 && (!at->has_parameters || vt_ctoken_is(&w->last, ";"));
    at->braces++;
}

/* Is it the brace that ends a definition? */
static bool close_brace(struct vt_definitions *w)
{
    struct vt_definition_place *at = &w->at;
    w->n_linkages -= at->braces == 0 && w->n_linkages > 0;
    at->braces -= at->braces > 0;
    if (!at->is_inside || at->braces > 0)
        return false;
    at->is_inside = at->is_head = false;
    return true;
}

static void take_branch(struct vt_definitions *w, enum vt_branch branch)
{
    if (branch == VT_BRANCH_IF && w->n_branches++ < VT_MAX_BRANCHES)
        w->branch[w->n_branches - 1] = w->at;
    else if (branch == VT_BRANCH_ELSE && w->n_branches > 0 && w->n_branches <= VT_MAX_BRANCHES)
        w->at = w->branch[w->n_branches - 1];
    else if (branch == VT_BRANCH_END)
        w->n_branches -= w->n_branches > 0;
}

bool vt_definition_next(struct vt_definitions *w, const char *name, struct vt_definition *out)
{
    struct vt_ctoken t;
    while ((t = vt_clexer_next(&w->l)).kind != VT_CTOKEN_END) {
        bool is_complete = false;
        if (t.in_directive) {
            take_branch(w, vt_clexer_branch(&w->l, &t));
            continue;
        }
        if (vt_ctoken_is(&t, "("))
            open_parenthesis(w, name);
        else if (vt_ctoken_is(&t, ")"))
            w->at.parens -= w->at.parens > 0;
        else if (vt_ctoken_is(&t, "{"))
            open_brace(w);
        else if (vt_ctoken_is(&t, "}"))
            is_complete = close_brace(w);
        else if (w->at.parens == 0 && w->at.braces == 0)
            read_parameters(w, &t);
        w->fourth = w->third;
        w->third = w->before;
        w->before = w->last;
        w->last = t;
        if (is_complete) {
            *out = (struct vt_definition){w->d.name, t.p + t.len, w->d.name_len, true};
            return true;
        }
    }
    if (!w->at.is_inside)
        return false;
    w->at.is_inside = false;
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
