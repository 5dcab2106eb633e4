/* SPDX-License-Identifier: Apache-2.0
 *
 * helpers.c: what the function of one block needs of others.
 *
 * The block that was chosen (the last that defines the function, extract.c) is the answer, and what it declares itself
 * comes from itself. Of other blocks comes only what its text uses and does not declare, and what that needs in turn,
 * item by item: a model that writes the function anew without its helpers means those of the block before. Of several
 * versions of a helper the one counts that the function's author had before them: the code's own, else the last before
 * the code, else the first behind it. A later one takes its place only as a correction: the sentences before its block
 * say that it is one (prose.c), its block holds nothing but declarations, none of them under an #if, and it has the
 * same signature. "For a leaky ReLU you would write instead" corrects nothing. What is switched off (switched.c) is no
 * version at all, and what else stands under an #if is the last choice.
 *
 * An item goes where it is needed, right before the first one that uses it, or, if
 * it has a prototype, behind it with the prototype before; the directives of its block go before it. A block of nothing
 * but #include lines belongs to whatever stands beside it. #include "NAME" of a file that the answer's text names is
 * one of its blocks, whose items come as any others do; the line goes. Before a body everything stands at its head,
 * from where it is lifted over the function (vt_body_head); of a body's words only calls and macros ask for helpers,
 * since the others are its own variables.
 *
 * What cannot be a helper: statements; anything that defines the function again, which is another answer; and of a
 * block in another language nothing. Macros, types and constants count for other blocks only if their block holds
 * nothing but declarations that stand at file scope: an example of a call declares x and n as well, and would break
 * what it explains. A block that calls the function is such an example; its helpers are the last choice.
 */
#include "eval/helpers.h"
#include "base/alloc.h"
#include "eval/definition.h"
#include "eval/items.h"
#include "eval/kind.h"
#include "eval/prose.h"
#include "eval/switched.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 512, MAX_NAMES = 2048, N_SLOTS = 4096, MAX_BLOCKS = 64 };

enum state { STATE_NEW, STATE_BUSY, STATE_DONE };

struct source { /* an item of another block */
    struct vt_span text;
    int block;
    struct vt_span first;
    bool is_directive, is_prototype, is_macro, is_conditional;
    enum state state;
};

struct block {
    bool is_pure, is_example, is_bare; /* bare: nothing but directives that declare nothing */
    bool is_behind, is_correction;     /* behind the code; and said to correct what came before */
    int first, end;                    /* its items */
};

struct name {
    struct vt_span text;
    int item; /* -1: declared by the code itself */
    bool is_function, is_prototype;
    int next; /* the one before of the same hash; -1 = none */
};

struct plan {
    struct source item[MAX_ITEMS];
    struct block block[MAX_BLOCKS];
    struct name name[MAX_NAMES];
    int slot[N_SLOTS];                     /* the last name of this hash; -1 = none */
    int n_items, n_blocks, n_names, n_own; /* items of blocks, blocks, names, items of the code */
    struct vt_span part;
    struct vt_pieces *out; /* with room for every item and for the code around each */
};

struct vt_span vt_span_cut(struct vt_span s, const char *end)
{
    const char *p = end;
    while (p > s.p && (p[-1] == ' ' || p[-1] == '\t' || p[-1] == '\r'))
        p--;
    if (p > s.p && p[-1] == '\n') {
        p--;
        p -= p > s.p && p[-1] == '\r';
    }
    return (struct vt_span){s.p, p};
}

bool vt_has_other_blocks(struct vt_span part, struct vt_span code)
{
    struct vt_block b;
    while (vt_block_next(&part, &b))
        if (!(b.text.p <= code.p && code.end <= b.text.end))
            return true;
    return false;
}

void vt_pieces_free(struct vt_pieces *p)
{
    free(p->piece);
    *p = (struct vt_pieces){NULL, 0};
}

/* ---- names ---- */

static unsigned slot_of(struct vt_span text)
{
    uint32_t h = 2166136261u;
    for (; text.p < text.end; text.p++)
        h = (h ^ (unsigned char)*text.p) * 16777619u;
    return h % N_SLOTS;
}

static bool is_same(struct vt_span a, struct vt_span b)
{
    return a.end - a.p == b.end - b.p && memcmp(a.p, b.p, (size_t)(a.end - a.p)) == 0;
}

static void add_name(struct plan *p, struct vt_span text, int item, bool is_function, bool is_prototype)
{
    if (p->n_names == MAX_NAMES)
        return;
    unsigned slot = slot_of(text);
    p->name[p->n_names] = (struct name){text, item, is_function, is_prototype, p->slot[slot]};
    p->slot[slot] = p->n_names++;
}

static bool is_own(const struct plan *p, struct vt_span text)
{
    for (int i = p->slot[slot_of(text)]; i >= 0; i = p->name[i].next)
        if (p->name[i].item < 0 && is_same(p->name[i].text, text))
            return true;
    return false;
}

/* How much a version of a helper is to be preferred; of equals the last before the code, the first behind it. */
enum worth { WORTH_NONE, WORTH_EXAMPLE, WORTH_OWN_BLOCK, WORTH_CONDITIONAL, WORTH_BEHIND, WORTH_BEFORE };

static bool is_same_head(struct vt_span a, struct vt_span b)
{
    struct vt_clexer l = vt_clexer_of(a), m = vt_clexer_of(b);
    for (;;) {
        struct vt_ctoken t = vt_clexer_next(&l), u = vt_clexer_next(&m);
        if (t.kind != u.kind || t.len != u.len || memcmp(t.p, u.p, t.len) != 0)
            return false;
        if (t.kind == VT_CTOKEN_END || vt_ctoken_is(&t, "{"))
            return true;
    }
}

/* Of a macro its name and parameters, of a variable what stands before its value: for them the first word is enough. */
static bool is_same_kind(const struct plan *p, const struct name *a, const struct name *b)
{
    const struct source *x = &p->item[a->item], *y = &p->item[b->item];
    if (a->is_function != b->is_function || x->is_macro != y->is_macro)
        return false;
    return a->is_function ? is_same_head(x->text, y->text) : is_same(x->first, y->first);
}

static enum worth worth_of(const struct plan *p, const struct name *n, int block)
{
    const struct source *s = &p->item[n->item];
    const struct block *b = &p->block[s->block];
    if (b->is_example)
        return s->block == block ? WORTH_OWN_BLOCK : n->is_function ? WORTH_EXAMPLE : WORTH_NONE;
    if (!n->is_function && !b->is_pure && !n->is_prototype)
        return s->block == block ? WORTH_OWN_BLOCK : WORTH_NONE;
    return s->is_conditional ? WORTH_CONDITIONAL : b->is_behind ? WORTH_BEHIND : WORTH_BEFORE;
}

/* The item that `text`, used by an item of `block` (-1: by the code), means; -1 = none. Names are met last one first.
 */
static int find(const struct plan *p, struct vt_span text, int block, bool is_prototype)
{
    const struct name *best = NULL, *correction = NULL;
    enum worth worth = WORTH_NONE;
    for (int i = p->slot[slot_of(text)]; i >= 0; i = p->name[i].next) {
        const struct name *n = &p->name[i];
        if (n->item < 0 || n->is_prototype != is_prototype || !is_same(n->text, text))
            continue;
        enum worth w = worth_of(p, n, block);
        if (w == WORTH_BEHIND && !correction && p->block[p->item[n->item].block].is_correction)
            correction = n;
        if (w > worth || (w == worth && w == WORTH_BEHIND)) {
            best = n;
            worth = w;
        }
    }
    if (correction && is_same_kind(p, correction, best))
        best = correction;
    return best ? best->item : -1;
}

/* The item that corrects `own`, a function of the code; -1 = none. */
static int correction_of(const struct plan *p, const struct vt_item *own)
{
    if (own->parts != VT_ITEM_FUNCTION || !own->head.p)
        return -1;
    for (int i = p->slot[slot_of(own->head)]; i >= 0; i = p->name[i].next) {
        const struct name *n = &p->name[i];
        if (n->item >= 0 && n->is_function && is_same(n->text, own->head) &&
            p->block[p->item[n->item].block].is_correction && p->item[n->item].state == STATE_NEW)
            return is_same_head(p->item[n->item].text, own->text) ? n->item : -1;
    }
    return -1;
}

/* ---- other blocks ---- */

static bool is_word(struct vt_span s, const char *word)
{
    return (size_t)(s.end - s.p) == strlen(word) && memcmp(s.p, word, strlen(word)) == 0;
}

static bool declares(const struct vt_item *i, const char *name)
{
    for (size_t k = 0; k < i->n_names; k++)
        if (is_word(i->name[k], name))
            return true;
    return false;
}

/* Is it another answer, since it defines the function? */
static bool is_answer(const struct vt_item *i, const char *name)
{
    struct vt_definition d;
    return name && (declares(i, name) || vt_definition_find(i->text, name, &d));
}

/* Does the directive include a file that the answer's text names elsewhere, as one of its blocks? */
static bool is_own_include(const struct plan *p, struct vt_span text)
{
    struct vt_clexer l = vt_clexer_of(text);
    struct vt_ctoken mark = vt_clexer_next(&l), word = vt_clexer_next(&l), file = vt_clexer_next(&l);
    if (!mark.is_mark || !vt_ctoken_is(&word, "include") || file.kind != VT_CTOKEN_STRING || file.len < 3)
        return false;
    size_t n = file.len - 2;
    for (const char *q = p->part.p; (size_t)(p->part.end - q) > n; q++)
        if (memcmp(q, file.p + 1, n) == 0 && !(q > p->part.p && q[-1] == '"'))
            return true;
    return false;
}

static void add_item(struct plan *p, struct block *b, const struct vt_item *i, struct vt_switches *switches)
{
    const unsigned impure = VT_ITEM_STATEMENT | VT_ITEM_INVOCATION | VT_ITEM_UNCLEAR | VT_ITEM_CUT;
    const unsigned declared = VT_ITEM_FUNCTION | VT_ITEM_DECLARATION | VT_ITEM_MACRO;
    b->is_pure = b->is_pure && !(i->parts & (impure | VT_ITEM_VARIABLE));
    b->is_bare = b->is_bare && !(i->parts & (impure | declared));
    b->is_correction = b->is_correction && !(i->parts & VT_ITEM_CONDITIONAL);
    if ((i->parts & impure) || p->n_items == MAX_ITEMS || (i->parts == VT_ITEM_DIRECTIVE && is_own_include(p, i->text)))
        return;
    struct vt_span text = i->text;
    while (text.p < text.end && *text.p == '\n')
        text.p++;
    bool is_prototype = !(i->parts & VT_ITEM_FUNCTION) && i->n_names == 0 && i->head.p;
    p->item[p->n_items] = (struct source){.text = text,
                                          .block = p->n_blocks,
                                          .first = i->first,
                                          .is_directive = !(i->parts & declared),
                                          .is_prototype = is_prototype,
                                          .is_macro = i->parts & VT_ITEM_MACRO,
                                          .is_conditional = i->parts & VT_ITEM_CONDITIONAL};
    for (size_t k = 0; k < i->n_names; k++)
        if (!(i->parts & VT_ITEM_CONDITIONAL) || !vt_is_off(switches, i->name[k].p))
            add_name(p, i->name[k], p->n_items, i->parts & VT_ITEM_FUNCTION, false);
    if (is_prototype)
        add_name(p, i->head, p->n_items, false, true);
    p->n_items++;
}

static void add_block(struct plan *p, const struct vt_block *found, struct vt_span prose, struct vt_span code,
                      const char *name)
{
    struct vt_items w;
    struct vt_switches switches;
    struct vt_item i;
    if (found->is_open || found->word < VT_WORD_NONE || found->text.p == code.p || p->n_blocks == MAX_BLOCKS)
        return;
    struct block *b = &p->block[p->n_blocks];
    bool is_another = false;
    *b = (struct block){.is_pure = true, .is_bare = true, .first = p->n_items, .is_behind = found->text.p > code.p};
    b->is_correction = b->is_behind && vt_announces_correction(prose);
    vt_switches_of(found->text, &switches);
    vt_items_of(vt_span_cut(found->text, found->text.end), &w);
    while (vt_items_next(&w, &i)) {
        bool is = is_answer(&i, name);
        is_another = is_another || is;
        b->is_bare = b->is_bare && !is;
        if (!is)
            add_item(p, b, &i, &switches);
    }
    b->is_example = name && !is_another && vt_calls(found->text, name);
    b->is_correction = b->is_correction && b->is_pure && !is_another && !b->is_example;
    b->end = p->n_items;
    p->n_blocks++;
}

/* ---- putting it together ---- */

static void put(struct plan *p, struct vt_span text)
{
    struct vt_pieces *out = p->out;
    struct vt_span *last = out->n ? &out->piece[out->n - 1] : NULL;
    /* What stands one behind the other in the answer goes in one piece. */
    if (last && last->end <= text.p && vt_span_trim((struct vt_span){last->end, text.p}).p == text.p &&
        memchr(last->end, '\n', (size_t)(text.p - last->end)))
        last->end = text.end;
    else
        out->piece[out->n++] = text;
}

static void need(struct plan *p, struct vt_span text, int item, bool or_prototype);

static void emit(struct plan *p, int item)
{
    struct source *s = &p->item[item];
    if (s->state != STATE_NEW)
        return;
    s->state = STATE_BUSY;
    for (int i = p->block[s->block].first; i < item; i++)
        if (p->item[i].is_directive)
            emit(p, i);
    if (!s->is_directive)
        need(p, s->text, item, true);
    put(p, s->text);
    s->state = STATE_DONE;
    if (!s->is_directive && !s->is_prototype)
        need(p, s->text, item, false);
}

/* What the text of an item uses, -1: of the code. or_prototype: where something has one that is enough. */
static void need(struct plan *p, struct vt_span text, int item, bool or_prototype)
{
    int block = item < 0 ? -1 : p->item[item].block;
    struct vt_clexer l = vt_clexer_of(text);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        struct vt_span word = {t.p, t.p + t.len};
        if (t.kind != VT_CTOKEN_NAME || is_own(p, word))
            continue;
        int found = find(p, word, block, false);
        int prototype = or_prototype && found >= 0 && found != item ? find(p, word, block, true) : -1;
        if (prototype >= 0 || found >= 0)
            emit(p, prototype >= 0 ? prototype : found);
    }
}

static void put_bare(struct plan *p)
{
    for (int k = 0; k < p->n_items; k++)
        if (p->block[p->item[k].block].is_bare)
            emit(p, k);
}

/* A body is no sequence of items, and its helpers cannot stand inside the function. */
static void put_body(struct plan *p, struct vt_span code)
{
    struct vt_clexer l = vt_clexer_of(code);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        struct vt_clexer ahead = l;
        struct vt_ctoken behind = vt_clexer_next(&ahead);
        int found = t.kind == VT_CTOKEN_NAME ? find(p, (struct vt_span){t.p, t.p + t.len}, -1, false) : -1;
        if (found >= 0 && (vt_ctoken_is(&behind, "(") || p->item[found].is_macro))
            emit(p, found);
    }
    p->out->piece[p->out->n++] = code;
}

/* Text of the code that nothing is left of is no piece. */
static void put_rest(struct plan *p, const char *from, const char *end)
{
    struct vt_span s = vt_span_trim((struct vt_span){from, end});
    if (s.p < s.end)
        p->out->piece[p->out->n++] = (struct vt_span){from, end};
}

static void put_own(struct plan *p, struct vt_span code)
{
    struct vt_items w;
    struct vt_item i;
    const char *from = code.p; /* what was not put yet */
    vt_items_of(code, &w);
    while (vt_items_next(&w, &i)) {
        size_t before = p->out->n;
        int correction = correction_of(p, &i);
        put_rest(p, from, i.text.p);
        if (correction >= 0 || (i.parts == VT_ITEM_DIRECTIVE && is_own_include(p, i.text))) {
            if (correction >= 0)
                emit(p, correction);
            for (from = i.text.end; from < code.end && (*from == '\n' || *from == '\r');)
                from++;
            continue;
        }
        size_t own = p->out->n;
        need(p, i.text, -1, false);
        if (p->out->n == own) {
            p->out->n = before; /* nothing comes between */
            continue;
        }
        for (from = i.text.p; i.text.p > code.p && from < i.text.end && *from == '\n';)
            from++;
    }
    put_rest(p, from, code.end);
    if (p->out->n == 0)
        p->out->piece[p->out->n++] = code;
}

static void collect(struct plan *p, struct vt_span part, struct vt_span code, const char *name)
{
    struct vt_items w;
    struct vt_item i;
    struct vt_block b;
    struct vt_switches switches;
    p->n_items = p->n_blocks = p->n_names = p->n_own = 0;
    for (int k = 0; k < N_SLOTS; k++)
        p->slot[k] = -1;
    p->part = part;
    for (const char *from = part.p; vt_block_next(&part, &b); from = part.p)
        add_block(p, &b, vt_prose_before(from, &b), code, name);
    vt_items_of(code, &w);
    vt_switches_of(code, &switches);
    for (; vt_items_next(&w, &i); p->n_own++)
        for (size_t k = 0; k < i.n_names; k++)
            if (!(i.parts & VT_ITEM_CONDITIONAL) || !vt_is_off(&switches, i.name[k].p))
                add_name(p, i.name[k], -1, i.parts & VT_ITEM_FUNCTION, false);
}

vt_status vt_helpers_find(struct vt_span part, struct vt_span code, bool is_whole, const char *name,
                          struct vt_pieces *out, vt_err *err)
{
    struct plan *p = vt_alloc(sizeof *p);
    *out = (struct vt_pieces){NULL, 0};
    if (p) {
        collect(p, part, code, name);
        out->piece = vt_alloc_array(2 * (size_t)p->n_items + (size_t)p->n_own + 3, sizeof *out->piece);
    }
    if (p && out->piece) {
        p->out = out;
        put_bare(p);
        if (is_whole)
            put_own(p, code);
        else
            put_body(p, code);
    }
    free(p);
    return out->piece ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot put the code of an answer together: out of memory");
}
