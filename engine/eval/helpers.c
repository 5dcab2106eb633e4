/* SPDX-License-Identifier: Apache-2.0
 *
 * helpers.c: what the function of one block needs of others.
 *
 * A block that defines a function which the code calls comes along with whatever else it holds. One that declares
 * something else, a macro, a type, a constant, comes along only if it holds nothing but declarations that stand at file
 * scope: an example of a call declares x and n as well, and would break what it explains. Helpers need helpers, so the
 * blocks are gone through until nothing is added; what is declared already is not declared twice.
 */
#include "eval/helpers.h"
#include "eval/declared.h"
#include "eval/definition.h"
#include <string.h>

enum { MAX_LOOKED_AT = 256 }; /* names; each costs a walk over the code */

struct search {
    struct vt_span code;
    const char *name;
    struct vt_declared own; /* by the code */
    int n_looked_at;
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

static bool uses(struct vt_span s, struct vt_span name)
{
    struct vt_clexer l = vt_clexer_of(s);
    size_t n = (size_t)(name.end - name.p);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l))
        if (t.kind == VT_CTOKEN_NAME && t.len == n && memcmp(t.p, name.p, n) == 0)
            return true;
    return false;
}

static bool is_wanted(struct search *x, const struct vt_helpers *have, struct vt_span name)
{
    if (vt_declared_has(&x->own, name))
        return false;
    bool is = uses(x->code, name);
    for (size_t i = 0; i < have->n; i++) {
        struct vt_declared d;
        vt_declared_of(have->block[i], &d);
        if (vt_declared_has(&d, name))
            return false;
        is = is || uses(have->block[i], name);
    }
    return is;
}

static bool is_helper(struct search *x, const struct vt_block *b, const struct vt_helpers *have)
{
    struct vt_declared d;
    struct vt_definition again;
    if (b->is_open || b->word < VT_WORD_NONE || b->text.p == x->code.p ||
        (x->name && vt_definition_find(b->text, x->name, &again)))
        return false;
    vt_declared_of(b->text, &d);
    for (size_t i = 0; i < d.n && x->n_looked_at < MAX_LOOKED_AT; i++) {
        if (!d.name[i].is_function && (!d.is_pure || d.has_variables))
            continue;
        x->n_looked_at++;
        if (is_wanted(x, have, d.name[i].name))
            return true;
    }
    return false;
}

static void insert(struct vt_helpers *have, size_t at, struct vt_span text)
{
    memmove(&have->block[at + 1], &have->block[at], (have->n - at) * sizeof have->block[0]);
    have->block[at] = text;
    have->n++;
}

void vt_helpers_find(struct vt_span part, struct vt_span code, const char *name, struct vt_helpers *out)
{
    struct search x = {.code = code, .name = name};
    *out = (struct vt_helpers){.n = 0};
    vt_declared_of(code, &x.own);
    for (size_t n = VT_MAX_HELPERS; n != out->n && out->n < VT_MAX_HELPERS;) {
        struct vt_span rest = part;
        struct vt_block b;
        n = out->n;
        while (out->n < VT_MAX_HELPERS && vt_block_next(&rest, &b)) {
            struct vt_span text = vt_span_cut(b.text, b.text.end);
            size_t at = 0;
            while (at < out->n && out->block[at].p < text.p)
                at++;
            if ((at == out->n || out->block[at].p != text.p) && is_helper(&x, &b, out))
                insert(out, at, text);
        }
    }
}
