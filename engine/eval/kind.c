/* SPDX-License-Identifier: Apache-2.0
 *
 * kind.c: what a text is for, as far as its words say.
 *
 * The answer to a prompt that ends inside the function is a body; the answer to another prompt is a file. A body that
 * is compiled as a file is a syntax error. A file that is compiled as a body is worse: GNU C takes its functions for
 * nested ones, compiles them, and nobody ever calls them, so that an honest kernel is called wrong. So:
 *   - a definition that can be seen (definition.c) makes a file;
 *   - statements at file scope make a body;
 *   - what may define functions in a way that only a preprocessor or a C parser sees is doubtful: a block with a head
 *     that is no statement's, a macro that stands alone, a macro that opens a brace and leaves it open. The tier
 *     compiles it the way that is guessed here and, if that turns out to be no reading of it, the other way
 *     (eval/c/reading.c).
 * The guess is a file when the function's name, or an operator that pastes names, stands in a directive or outside
 * braces, where it is no prototype and no call.
 */
#include "eval/kind.h"
#include "eval/definition.h"
#include "eval/items.h"
#include <string.h>

enum {
    MAX_CALLS = 64, /* names before parentheses that are looked at: each costs a walk */
    MAX_MACROS = 128,
    MAX_LOOKED_UP = 1024
};

struct facts {
    bool is_named;                   /* the function's name stands where it could be defined */
    bool leaves_open;                /* a macro has more braces of one kind than of the other */
    bool has_block, has_invocation;  /* a block with a head; a macro that stands alone */
    bool has_statement, has_unclear; /* at file scope */
    bool is_cut;
    struct vt_span function; /* the last one with a name */
};

static bool is_same(struct vt_span a, struct vt_span b)
{
    return a.end - a.p == b.end - b.p && memcmp(a.p, b.p, (size_t)(a.end - a.p)) == 0;
}

/* Behind the function's name: parentheses that a semicolon ends, as of a prototype or a call? */
static bool is_mention(const struct vt_clexer *behind)
{
    struct vt_clexer l = *behind;
    struct vt_ctoken t = vt_clexer_next(&l);
    if (!vt_ctoken_is(&t, "("))
        return false;
    for (int depth = 1; depth > 0 && (t = vt_clexer_next(&l)).kind != VT_CTOKEN_END;)
        depth += vt_ctoken_is(&t, "(") - vt_ctoken_is(&t, ")");
    bool is_call = vt_ctoken_is(&t, ")");
    t = vt_clexer_next(&l);
    return is_call && (vt_ctoken_is(&t, ";") || vt_ctoken_is(&t, ","));
}

/* The name, and macros that leave braces open. */
static void read_tokens(struct vt_span s, const char *name, struct facts *f)
{
    struct vt_clexer l = vt_clexer_of(s);
    struct vt_branches branches = {.n = 0};
    struct vt_ctoken last = {.kind = VT_CTOKEN_END, .p = s.p};
    int depth = 0, in_macro = 0, n_calls = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; last = t, t = vt_clexer_next(&l)) {
        int step = vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
        if (t.is_mark || !t.in_directive) {
            f->leaves_open |= in_macro != 0;
            in_macro = 0;
        }
        if (t.is_mark)
            vt_branches_take(&branches, vt_clexer_branch(&l, &t), &depth);
        in_macro += t.in_directive ? step : 0;
        depth += t.in_directive ? 0 : step;
        depth = depth < 0 ? 0 : depth;
        if (f->is_named || (!t.in_directive && depth > 0) || vt_begins_no_head(&last) ||
            !(vt_ctoken_is(&t, name) || vt_ctoken_is(&t, "##")))
            continue;
        f->is_named = t.in_directive || n_calls++ >= MAX_CALLS || !is_mention(&l);
    }
    f->leaves_open |= in_macro != 0;
}

struct macro {
    struct vt_span name;
    bool is_loop; /* begins a statement, such as a loop */
};

/* The next macro that the text defines. */
static bool next_macro(struct vt_clexer *l, struct macro *out)
{
    static const char *const loops[] = {"for", "while", "if", "do", "switch", "else", NULL};
    bool is_define = false;
    for (struct vt_ctoken t = vt_clexer_next(l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(l)) {
        if (!is_define || !t.in_directive || t.kind != VT_CTOKEN_NAME) {
            is_define = t.in_directive && vt_ctoken_is(&t, "define");
            continue;
        }
        struct vt_clexer behind = *l;
        *out = (struct macro){.name = {t.p, t.p + t.len}};
        for (int depth = 0; (t = vt_clexer_next(&behind)).in_directive && !t.is_mark;) {
            depth += vt_ctoken_is(&t, "(") - vt_ctoken_is(&t, ")");
            if (depth == 0 && !vt_ctoken_is(&t, ")")) {
                out->is_loop = vt_ctoken_is_one_of(&t, loops);
                break;
            }
        }
        return true;
    }
    return false;
}

bool vt_defines_macro(struct vt_span s, struct vt_span word)
{
    struct vt_clexer l = vt_clexer_of(s);
    for (struct macro m; next_macro(&l, &m);)
        if (is_same(m.name, word))
            return true;
    return false;
}

/* The macros of a text, read in one walk, however many names are looked up. */
struct macros {
    struct macro macro[MAX_MACROS];
    size_t n;
    int n_looked_up;
};

static void read_macros(struct vt_span s, struct macros *m)
{
    struct vt_clexer l = vt_clexer_of(s);
    m->n = 0;
    m->n_looked_up = 0;
    while (m->n < MAX_MACROS && next_macro(&l, &m->macro[m->n]))
        m->n++;
}

static const struct macro *find_macro(struct macros *m, struct vt_span word)
{
    if (m->n_looked_up++ >= MAX_LOOKED_UP)
        return NULL;
    for (size_t i = 0; i < m->n; i++)
        if (is_same(m->macro[i].name, word))
            return &m->macro[i];
    return NULL;
}

static void read_items(struct vt_span s, struct facts *f)
{
    struct vt_items w;
    struct vt_item i;
    struct macros macros;
    read_macros(s, &macros);
    vt_items_of(s, &w);
    while (vt_items_next(&w, &i)) {
        bool is_bare = (i.parts & VT_ITEM_FUNCTION) && !i.head.p, is_loose = i.parts & VT_ITEM_INVOCATION;
        const struct macro *macro = is_bare || is_loose ? find_macro(&macros, i.first) : NULL;
        if (macro && macro->is_loop)
            i.parts = (i.parts & ~(unsigned)(VT_ITEM_FUNCTION | VT_ITEM_INVOCATION)) | VT_ITEM_STATEMENT;
        else if (is_loose && !macro)
            i.parts |= VT_ITEM_STATEMENT;
        f->has_block |= (i.parts & VT_ITEM_FUNCTION) != 0;
        f->has_invocation |= macro && (i.parts & VT_ITEM_INVOCATION) != 0;
        f->has_statement |= (i.parts & VT_ITEM_STATEMENT) != 0;
        f->has_unclear |= (i.parts & (VT_ITEM_UNCLEAR | VT_ITEM_INVOCATION)) != 0;
        f->is_cut |= (i.parts & VT_ITEM_CUT) != 0;
        if ((i.parts & VT_ITEM_FUNCTION) && i.head.p)
            f->function = i.head;
    }
}

static bool is_doubtful(const struct facts *f)
{
    return f->has_block || f->has_invocation || f->leaves_open;
}

struct vt_text_kind vt_text_kind(struct vt_span s, const char *name)
{
    struct vt_definition d;
    struct facts f = {.is_named = false};
    if (vt_definition_find(s, name, &d))
        return (struct vt_text_kind){.is_whole = true};
    if (!name)
        return (struct vt_text_kind){.is_whole = false};
    read_tokens(s, name, &f);
    read_items(s, &f);
    bool is_whole = is_doubtful(&f) && f.is_named && (!f.has_statement || f.leaves_open);
    return (struct vt_text_kind){.is_whole = is_whole, .is_doubtful = is_doubtful(&f)};
}

struct vt_span vt_other_function(struct vt_span s, const char *name)
{
    struct facts f = {.is_named = false};
    if (name)
        read_tokens(s, name, &f);
    read_items(s, &f);
    bool is_pure = !f.has_statement && !f.has_unclear && !f.is_cut;
    return is_pure && !(f.is_named && is_doubtful(&f)) ? f.function : (struct vt_span){NULL, NULL};
}

bool vt_calls(struct vt_span s, const char *name)
{
    struct vt_clexer l = vt_clexer_of(s);
    static const char *const no_types[] = {"return", "else", "do", NULL};
    struct vt_ctoken last = {.kind = VT_CTOKEN_END, .p = s.p};
    bool is_name = false;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; last = t, t = vt_clexer_next(&l)) {
        if (is_name && vt_ctoken_is(&t, "("))
            return true;
        bool is_declared = last.kind == VT_CTOKEN_NAME && !last.in_directive && !vt_ctoken_is_one_of(&last, no_types);
        is_name = !t.in_directive && vt_ctoken_is(&t, name) && !is_declared;
    }
    return false;
}

bool vt_only_declares(struct vt_span s)
{
    const unsigned harmless = VT_ITEM_MACRO | VT_ITEM_DIRECTIVE | VT_ITEM_CONDITIONAL | VT_ITEM_DECLARATION;
    struct vt_items w;
    struct vt_item i;
    vt_items_of(s, &w);
    while (vt_items_next(&w, &i))
        if (i.parts & ~harmless)
            return false;
    return true;
}
