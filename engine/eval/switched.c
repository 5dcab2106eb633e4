/* SPDX-License-Identifier: Apache-2.0
 *
 * switched.c: what stands between #if and #endif and is not compiled.
 *
 * Models keep what they do not mean behind a switch: an old version under #if 0, the plain one under #ifdef REFERENCE,
 * the one for a GPU under __CUDACC__. Such a definition defines nothing, so it is neither the answer nor a helper. No
 * preprocessor is needed to see it: off is #if 0, a name that nothing in the text defines and that is not the
 * compiler's (one that begins with an underscore is), one that stands for another language or system, and what follows
 * a branch that is taken. Any other condition may hold.
 */
#include "eval/switched.h"
#include "eval/definition.h"
#include "eval/kind.h"

enum { MAX_LOOKED_UP = 32 }; /* names that are looked for in the text: each costs a walk */

enum answer { ANSWER_NO, ANSWER_MAYBE, ANSWER_YES };

void vt_switches_of(struct vt_span s, struct vt_switches *w)
{
    *w = (struct vt_switches){.l = vt_clexer_of(s), .text = s};
}

static enum answer is_defined(struct vt_switches *w, const struct vt_ctoken *name)
{
    static const char *const foreign[] = {"__cplusplus", "__CUDACC__", "__CUDA_ARCH__", "__OPENCL_VERSION__",
                                          "_WIN32",      "_MSC_VER",   "__APPLE__",     NULL};
    if (vt_ctoken_is_one_of(name, foreign))
        return ANSWER_NO;
    if (name->kind != VT_CTOKEN_NAME || *name->p == '_' || w->n_looked_up++ >= MAX_LOOKED_UP)
        return ANSWER_MAYBE;
    return vt_defines_macro(w->text, (struct vt_span){name->p, name->p + name->len}) ? ANSWER_MAYBE : ANSWER_NO;
}

/* The next token of the directive; false behind its end. */
static bool next(struct vt_clexer *l, struct vt_ctoken *t)
{
    *t = vt_clexer_next(l);
    return t->kind != VT_CTOKEN_END && t->in_directive && !t->is_mark;
}

/* What #if, #ifdef, #ifndef, #elif or #else, whose word comes next, asks for. */
static enum answer holds(struct vt_switches *w)
{
    struct vt_clexer l = w->l;
    struct vt_ctoken word, t, end;
    if (!next(&l, &word) || vt_ctoken_is(&word, "else"))
        return ANSWER_YES;
    bool is_negated = vt_ctoken_is(&word, "ifndef") || vt_ctoken_is(&word, "elifndef");
    bool is_plain = vt_ctoken_is(&word, "if") || vt_ctoken_is(&word, "elif");
    bool is_there = next(&l, &t), has_parens = false;
    while (is_plain && is_there && vt_ctoken_is(&t, "!")) {
        is_negated = !is_negated;
        is_there = next(&l, &t);
    }
    bool asks = is_plain && is_there && vt_ctoken_is(&t, "defined");
    if (asks && (is_there = next(&l, &t)) && vt_ctoken_is(&t, "(")) {
        has_parens = true;
        is_there = next(&l, &t);
    }
    if (!is_there || (has_parens && !(next(&l, &end) && vt_ctoken_is(&end, ")"))) || next(&l, &end))
        return ANSWER_MAYBE;
    enum answer a = is_plain && vt_ctoken_is(&t, "0")   ? ANSWER_NO
                    : is_plain && vt_ctoken_is(&t, "1") ? ANSWER_YES
                                                        : is_defined(w, &t);
    return is_negated ? (enum answer)(ANSWER_YES - a) : a;
}

static void take(struct vt_switches *w, enum vt_branch branch)
{
    if (branch == VT_BRANCH_END) {
        w->n -= w->n > 0;
        return;
    }
    if (branch == VT_BRANCH_NONE || (branch == VT_BRANCH_ELSE && w->n == 0))
        return;
    w->n += branch == VT_BRANCH_IF;
    if (w->n > VT_MAX_BRANCHES)
        return;
    int i = w->n - 1;
    enum answer a = holds(w);
    bool is_behind = branch == VT_BRANCH_ELSE && w->is_taken[i];
    w->is_off[i] = is_behind || a == ANSWER_NO;
    w->is_taken[i] = is_behind || a == ANSWER_YES;
}

bool vt_is_off(struct vt_switches *w, const char *at)
{
    while (w->l.at < at) {
        struct vt_clexer before = w->l;
        struct vt_ctoken t = vt_clexer_next(&w->l);
        if (t.kind == VT_CTOKEN_END || t.p >= at) {
            w->l = before;
            break;
        }
        if (t.is_mark)
            take(w, vt_clexer_branch(&w->l, &t));
    }
    for (int i = 0; i < w->n && i < VT_MAX_BRANCHES; i++)
        if (w->is_off[i])
            return true;
    return false;
}
