/* SPDX-License-Identifier: Apache-2.0
 *
 * helpers.c: what the function of one block needs of others.
 *
 * The block that was chosen (the last that defines the function, extract.c) is the answer, and what it declares itself
 * comes from itself. Of other blocks comes only what its text uses and does not declare, and what that needs in turn,
 * item by item: a model that writes the function anew without its helpers means those of the block before, and one that
 * writes a helper anew means that one. So of several versions of a helper the last counts, wherever it stands: nobody
 * repeats a helper but to correct it. An item goes where it is needed, right before the first one that uses it, or, if
 * it has a prototype, behind it with the prototype before; the directives of its block go before it. A block of nothing
 * but #include lines belongs to whatever stands beside it.
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
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 512, MAX_NAMES = 2048, N_SLOTS = 4096, MAX_BLOCKS = 64 };

enum state { STATE_NEW, STATE_BUSY, STATE_DONE };

struct source { /* an item of another block */
    struct vt_span text;
    int block;
    bool is_directive, is_prototype;
    enum state state;
};

struct block {
    bool is_pure, is_example, is_bare; /* bare: nothing but directives that declare nothing */
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
    int slot[N_SLOTS]; /* the last name of this hash; -1 = none */
    int n_items, n_blocks, n_names;
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

/* The item that `text`, used by an item of `block` (-1: by the code), means; -1 = none. Names are met last one first.
 */
static int find(const struct plan *p, struct vt_span text, int block, bool is_prototype)
{
    int own_block = -1, example = -1;
    for (int i = p->slot[slot_of(text)]; i >= 0; i = p->name[i].next) {
        const struct name *n = &p->name[i];
        if (n->item < 0 || n->is_prototype != is_prototype || !is_same(n->text, text))
            continue;
        const struct block *b = &p->block[p->item[n->item].block];
        if ((n->is_function || b->is_pure || is_prototype) && !b->is_example)
            return n->item;
        if (p->item[n->item].block == block && own_block < 0)
            own_block = n->item;
        else if (n->is_function && example < 0)
            example = n->item;
    }
    return own_block >= 0 ? own_block : example;
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

static void add_item(struct plan *p, struct block *b, const struct vt_item *i)
{
    const unsigned impure = VT_ITEM_STATEMENT | VT_ITEM_INVOCATION | VT_ITEM_UNCLEAR | VT_ITEM_CUT;
    const unsigned declared = VT_ITEM_FUNCTION | VT_ITEM_DECLARATION | VT_ITEM_MACRO;
    b->is_pure = b->is_pure && !(i->parts & (impure | VT_ITEM_VARIABLE));
    b->is_bare = b->is_bare && !(i->parts & (impure | declared));
    if ((i->parts & impure) || p->n_items == MAX_ITEMS)
        return;
    struct vt_span text = i->text;
    while (text.p < text.end && *text.p == '\n')
        text.p++;
    bool is_prototype = !(i->parts & VT_ITEM_FUNCTION) && i->n_names == 0 && i->head.p;
    p->item[p->n_items] = (struct source){text, p->n_blocks, !(i->parts & declared), is_prototype, STATE_NEW};
    for (size_t k = 0; k < i->n_names; k++)
        add_name(p, i->name[k], p->n_items, i->parts & VT_ITEM_FUNCTION, false);
    if (is_prototype)
        add_name(p, i->head, p->n_items, false, true);
    p->n_items++;
}

static void add_block(struct plan *p, const struct vt_block *found, struct vt_span code, const char *name)
{
    struct vt_items w;
    struct vt_item i;
    if (found->is_open || found->word < VT_WORD_NONE || found->text.p == code.p || p->n_blocks == MAX_BLOCKS)
        return;
    struct block *b = &p->block[p->n_blocks];
    bool is_another = false;
    *b = (struct block){.is_pure = true, .is_bare = true, .first = p->n_items};
    vt_items_of(vt_span_cut(found->text, found->text.end), &w);
    while (vt_items_next(&w, &i)) {
        bool is = is_answer(&i, name);
        is_another = is_another || is;
        b->is_bare = b->is_bare && !is;
        if (!is)
            add_item(p, b, &i);
    }
    b->is_example = name && !is_another && vt_calls(found->text, name);
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

static void put_own(struct plan *p, struct vt_span code)
{
    struct vt_items w;
    struct vt_item i;
    const char *from = code.p; /* what was not put yet */
    for (int k = 0; k < p->n_items; k++)
        if (p->block[p->item[k].block].is_bare)
            emit(p, k);
    vt_items_of(code, &w);
    while (vt_items_next(&w, &i)) {
        size_t before = p->out->n;
        if (from < i.text.p)
            p->out->piece[p->out->n++] = (struct vt_span){from, i.text.p};
        size_t own = p->out->n;
        need(p, i.text, -1, false);
        if (p->out->n == own) {
            p->out->n = before; /* nothing comes between */
            continue;
        }
        for (from = i.text.p; own > before && from < i.text.end && *from == '\n';)
            from++;
    }
    p->out->piece[p->out->n++] = (struct vt_span){from, code.end};
}

static void collect(struct plan *p, struct vt_span part, struct vt_span code, const char *name)
{
    struct vt_items w;
    struct vt_item i;
    struct vt_block b;
    for (int k = 0; k < N_SLOTS; k++)
        p->slot[k] = -1;
    while (vt_block_next(&part, &b))
        add_block(p, &b, code, name);
    vt_items_of(code, &w);
    while (vt_items_next(&w, &i))
        for (size_t k = 0; k < i.n_names; k++)
            add_name(p, i.name[k], -1, i.parts & VT_ITEM_FUNCTION, false);
}

vt_status vt_helpers_find(struct vt_span part, struct vt_span code, const char *name, struct vt_pieces *out,
                          vt_err *err)
{
    struct plan *p = vt_alloc(sizeof *p);
    *out = (struct vt_pieces){NULL, 0};
    if (p) {
        collect(p, part, code, name);
        out->piece = vt_alloc_array(2 * (size_t)p->n_items + 2, sizeof *out->piece);
    }
    if (p && out->piece) {
        p->out = out;
        put_own(p, code);
    }
    free(p);
    return out->piece ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot put the code of an answer together: out of memory");
}
