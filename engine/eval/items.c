/* SPDX-License-Identifier: Apache-2.0
 *
 * items.c: file scope, item by item.
 *
 * An item ends at a semicolon outside brackets, or at the brace that closes a block which is no initializer and no list
 * of members; a directive at its line's end; a name with parentheses at the end of its line, where a macro may stand
 * without a semicolon. Everything from an #if to its #endif is one item, and so is a function that its branches share:
 * each branch begins where the first one did.
 *
 * One that begins with a word that only a declaration begins with is a declaration. What it declares is a name with
 * nothing but its end, an array's size or a value behind it; a tag that braces follow; what stands in an enum's braces;
 * and the pointer in a function pointer's parentheses. Directives declare what they define.
 *
 * It is read to find out what a text is for and what of it another text needs, so doubt goes one way: what is called a
 * declaration or a function would compile at file scope as far as its words tell.
 */
#include "eval/items.h"
#include "eval/definition.h"
#include <string.h>

/* Of the item that is being read. */
struct reading {
    struct vt_ctoken last, before, third; /* the tokens before the one that is read */
    struct vt_ctoken first;
    struct vt_span head;
    int depth;  /* of brackets of any kind */
    int braces; /* of its block, which ends at its own brace whatever parentheses do */
    bool is_open, is_tag, is_enum, in_value, has_value, has_parens, in_block, is_invocation, has_old_parameters;
};

struct state {
    struct vt_items *w;
    struct vt_item *out;
    struct reading r, branch[VT_MAX_BRANCHES];
    int n_branches;
};

/* Words that begin nothing but declarations, and types, which begin a body's variables too. */
static const char *const only_declares[] = {"typedef", "static", "const",    "extern",         "struct", "union",
                                            "enum",    "inline", "__inline", "_Static_assert", NULL};
static const char *const types[] = {"void",     "float",    "int",      "double",        "char",     "short",
                                    "long",     "signed",   "unsigned", "volatile",      "_Bool",    "bool",
                                    "size_t",   "int8_t",   "int16_t",  "int32_t",       "int64_t",  "uint8_t",
                                    "uint16_t", "uint32_t", "uint64_t", "__attribute__", "_Alignas", NULL};
static const char *const statements[] = {"if",   "for",   "while", "do",       "switch", "case", "default",
                                         "goto", "break", "else",  "continue", "return", NULL};

static struct vt_span span_of(const struct vt_ctoken *t)
{
    return (struct vt_span){t->p, t->p + t->len};
}

static void add(struct state *s, struct vt_span name)
{
    if (s->out->n_names < VT_MAX_ITEM_NAMES)
        s->out->name[s->out->n_names++] = name;
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

/* Does the item declare `r->last`, which `t` follows? */
static bool declares_last(const struct reading *r, const struct vt_ctoken *t)
{
    bool is_end = vt_ctoken_is(t, ";") || vt_ctoken_is(t, ",") || vt_ctoken_is(t, "=");
    if (!is_name(&r->last) || r->in_block)
        return false;
    if (r->depth == 0 && !r->in_value)
        return is_end || vt_ctoken_is(t, "[") || vt_ctoken_is(t, "__attribute__") ||
               (vt_ctoken_is(t, "{") && (vt_ctoken_is(&r->before, "struct") || vt_ctoken_is(&r->before, "union") ||
                                         vt_ctoken_is(&r->before, "enum")));
    if (r->depth == 1 && r->is_enum)
        return (vt_ctoken_is(&r->before, "{") || vt_ctoken_is(&r->before, ",")) && (is_end || vt_ctoken_is(t, "}"));
    return r->depth == 1 && vt_ctoken_is(&r->third, "(") && vt_ctoken_is(&r->before, "*") && vt_ctoken_is(t, ")");
}

/* A parenthesis outside any other bracket: is what stands before it a function's name? */
static void note_head(struct reading *r)
{
    bool is_wrapped = vt_ctoken_is(&r->last, ")") && is_name(&r->before) && vt_ctoken_is(&r->third, "(");
    r->has_parens = true;
    if (vt_ctoken_is_attribute(&r->last))
        return;
    r->is_tag = false;
    if (is_wrapped)
        r->head = span_of(&r->before);
    else if (!r->head.p && is_name(&r->last) && r->before.kind != VT_CTOKEN_END)
        r->head = span_of(&r->last);
}

/* ---- what an item was ---- */

static unsigned kind_of(const struct reading *r)
{
    bool is_type = vt_ctoken_is_one_of(&r->first, types), is_word = is_name(&r->first);
    if (vt_ctoken_is_one_of(&r->first, statements))
        return VT_ITEM_STATEMENT;
    if (r->in_block)
        return r->first.kind == VT_CTOKEN_PUNCT && !vt_ctoken_is(&r->first, "[") ? VT_ITEM_STATEMENT : VT_ITEM_FUNCTION;
    if (vt_ctoken_is_one_of(&r->first, only_declares))
        return VT_ITEM_DECLARATION;
    if (is_type)
        return r->has_value || !r->has_parens ? VT_ITEM_DECLARATION | VT_ITEM_VARIABLE : VT_ITEM_DECLARATION;
    if (r->is_invocation)
        return VT_ITEM_INVOCATION;
    return is_word || r->first.kind == VT_CTOKEN_NAME ? VT_ITEM_UNCLEAR : VT_ITEM_STATEMENT;
}

static void end_item(struct state *s)
{
    unsigned kind = kind_of(&s->r);
    s->out->parts |= kind;
    if (s->r.head.p)
        s->out->head = s->r.head;
    if (kind == VT_ITEM_FUNCTION && s->r.head.p)
        add(s, s->r.head);
    s->r = (struct reading){.is_open = false};
}

/* Is it an expression, as soon as its second word or sign is seen? `x = 1` and `x[0]` are none of file scope. */
static bool is_expression(const struct reading *r, const struct vt_ctoken *t)
{
    static const char *const signs[] = {"=",  "[",  ".",  "->", "++", "--", "+=",  "-=",  "*=", "/=",
                                        "%=", "&=", "|=", "^=", "+",  "-",  "<<=", ">>=", ":",  NULL};
    return r->before.kind == VT_CTOKEN_END && is_name(&r->first) && vt_ctoken_is_one_of(t, signs);
}

/* Are more parameters declared as of old behind this semicolon, or the brace that they stand before? */
static bool has_more_parameters(const struct state *s)
{
    struct vt_clexer ahead = s->w->l;
    struct vt_ctoken t = vt_clexer_next(&ahead);
    return s->r.has_old_parameters && (vt_ctoken_is(&t, "{") || vt_begins_parameters(&t));
}

/* Does the macro on the line before end there, without a semicolon? */
static bool ends_invocation(const struct reading *r, const struct vt_ctoken *t)
{
    return r->is_open && r->is_invocation && r->depth == 0 && t->line > r->last.line && t->kind == VT_CTOKEN_NAME;
}

static void begin_item(struct state *s, const struct vt_ctoken *t)
{
    s->r = (struct reading){.is_open = true, .first = *t, .is_invocation = is_name(t)};
    if (!s->out->first.p)
        s->out->first = span_of(t);
}

static void open_bracket(struct reading *r, const struct vt_ctoken *t)
{
    if (r->depth == 0 && vt_ctoken_is(t, "(") && !r->in_value)
        note_head(r);
    if (r->depth == 0 && vt_ctoken_is(t, "{") && !r->in_value && !r->is_tag && !vt_ctoken_is(&r->last, "="))
        r->in_block = true;
    r->depth += opens(t);
    r->braces += vt_ctoken_is(t, "{");
}

static void read_outside(struct reading *r, const struct vt_ctoken *t)
{
    if (vt_ctoken_is(t, "struct") || vt_ctoken_is(t, "union") || vt_ctoken_is(t, "enum")) {
        r->is_tag = true;
        r->is_enum = vt_ctoken_is(t, "enum");
    }
    if (vt_ctoken_is(t, "="))
        r->in_value = r->has_value = true;
    if (vt_ctoken_is(t, ","))
        r->in_value = false;
    bool is_behind = vt_ctoken_is(&r->last, ")");
    r->has_old_parameters =
        (r->has_old_parameters && !vt_ctoken_is(t, "(")) || (is_behind && r->head.p && vt_begins_parameters(t));
    bool goes_on = r->before.kind == VT_CTOKEN_END && (r->last.kind == VT_CTOKEN_END || vt_ctoken_is(t, "("));
    r->is_invocation = r->is_invocation && (goes_on || vt_ctoken_is(t, ";"));
}

/* A token outside directives. */
static void read_token(struct state *s, const struct vt_ctoken *t)
{
    struct reading *r = &s->r;
    if (!r->is_open) {
        if (vt_ctoken_is(t, ";"))
            return;
        begin_item(s, t);
    }
    if (declares_last(r, t))
        add(s, span_of(&r->last));
    if (r->depth == 0 && is_expression(r, t) && r->last.kind != VT_CTOKEN_END)
        s->out->parts |= VT_ITEM_STATEMENT;
    if (r->depth == 0)
        read_outside(r, t);
    open_bracket(r, t);
    if (closes(t)) {
        r->depth -= r->depth > 0;
        r->braces -= vt_ctoken_is(t, "}") && r->braces > 0;
        r->is_tag = r->is_tag && !(r->depth == 0 && vt_ctoken_is(t, "}"));
    }
    r->third = r->before;
    r->before = r->last;
    r->last = *t;
    bool is_end = r->in_block ? r->braces == 0 && vt_ctoken_is(t, "}")
                              : r->depth == 0 && vt_ctoken_is(t, ";") && !has_more_parameters(s);
    if (is_end)
        end_item(s);
}

/* ---- directives ---- */

static void take_branch(struct state *s, enum vt_branch branch)
{
    if (branch == VT_BRANCH_IF && s->n_branches++ < VT_MAX_BRANCHES)
        s->branch[s->n_branches - 1] = s->r;
    else if (branch == VT_BRANCH_ELSE && s->n_branches > 0 && s->n_branches <= VT_MAX_BRANCHES)
        s->r = s->branch[s->n_branches - 1];
    else if (branch == VT_BRANCH_END)
        s->n_branches -= s->n_branches > 0;
}

/* The rest of the directive whose mark was just read; returns its last token. */
static struct vt_ctoken read_directive(struct state *s, struct vt_ctoken mark)
{
    struct vt_ctoken last = mark;
    enum vt_branch branch = vt_clexer_branch(&s->w->l, &mark);
    bool is_define = false;
    for (int n = 0;; n++) {
        struct vt_clexer before = s->w->l;
        struct vt_ctoken t = vt_clexer_next(&s->w->l);
        if (t.kind == VT_CTOKEN_END || !t.in_directive || t.is_mark) {
            s->w->l = before;
            break;
        }
        is_define = is_define || (n == 0 && vt_ctoken_is(&t, "define"));
        if (n == 1 && is_define)
            add(s, span_of(&t));
        last = t;
    }
    if (!s->r.is_open)
        s->out->parts |= branch == VT_BRANCH_IF ? VT_ITEM_CONDITIONAL : is_define ? VT_ITEM_MACRO : VT_ITEM_DIRECTIVE;
    if (!s->out->first.p)
        s->out->first = span_of(&mark);
    take_branch(s, branch);
    return last;
}

/* ---- the walk ---- */

void vt_items_of(struct vt_span s, struct vt_items *w)
{
    *w = (struct vt_items){.l = vt_clexer_of(s), .text = s, .from = s.p};
}

/* To the end of the line where nothing but a comment stands there. */
static const char *with_comment(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && (*q == ' ' || *q == '\t' || *q == '\r'))
        q++;
    if (end - q < 2 || q[0] != '/')
        return p;
    if (q[1] == '/') {
        const char *line = vt_line_end(q, end);
        return line[-1] != '\\' ? line : p;
    }
    for (const char *c = q + 2; q[1] == '*' && c + 1 < end && *c != '\n'; c++)
        if (c[0] == '*' && c[1] == '/')
            return c + 2 == end || c[2] == '\n' ? c + 2 : p;
    return p;
}

static bool finish(struct state *s, const char *end)
{
    struct vt_items *w = s->w;
    end = with_comment(end, w->text.end);
    s->out->text = (struct vt_span){w->from, end};
    w->from = end;
    return true;
}

bool vt_items_next(struct vt_items *w, struct vt_item *out)
{
    struct state s; /* its branches are written before they are read */
    s.w = w;
    s.out = out;
    s.r = (struct reading){.is_open = false};
    s.n_branches = 0;
    *out = (struct vt_item){.parts = 0};
    const char *end = NULL;
    for (;;) {
        struct vt_clexer before = w->l;
        struct vt_ctoken t = vt_clexer_next(&w->l);
        if (t.kind == VT_CTOKEN_END)
            break;
        if (ends_invocation(&s.r, &t) || (t.is_mark && s.r.is_open && s.r.is_invocation && s.r.depth == 0)) {
            end_item(&s);
            w->l = before;
        } else if (t.in_directive) {
            struct vt_ctoken last = read_directive(&s, t);
            end = last.p + last.len;
        } else {
            read_token(&s, &t);
            end = t.p + t.len;
        }
        if (!s.r.is_open && s.n_branches == 0 && out->first.p)
            return finish(&s, end);
    }
    if (!out->first.p)
        return false;
    bool is_whole = !s.r.is_open || (s.r.is_invocation && s.r.depth == 0);
    if (s.r.is_open && is_whole)
        end_item(&s);
    out->parts |= is_whole && s.n_branches == 0 ? 0 : VT_ITEM_CUT;
    return finish(&s, w->text.end);
}
