/* SPDX-License-Identifier: Apache-2.0
 *
 * copycheck.c: compares token streams up to a consistent renaming.
 *
 * Merely blanking every name would call `for i … for j … a[i*n+j]` and its interchange the same text, although the
 * interchange is the best thing a model can do to a matmul. So each side's names are numbered by first appearance and
 * the numbers compared. What is called keeps its name: `max0` in fmaxf's place is another function. A whole function
 * is compared from the brace after its parameter list, with the parameters' names numbered first; one behind a macro, a
 * pragma or an attribute may be compiled otherwise and is none. Equal machine code, the other sign of a copy, is judged
 * in judge.c.
 */
#include "eval/copycheck.h"
#include "eval/ctext.h"
#include <string.h>

enum { MAX_NAMES = 512 };

struct side {
    struct vt_clexer lexer;
    struct {
        const char *p;
        size_t len;
    } name[MAX_NAMES];
    int n_names;
    int depth;
};

static int number(struct side *s, const struct vt_ctoken *t)
{
    for (int i = 0; i < s->n_names; i++)
        if (s->name[i].len == t->len && memcmp(s->name[i].p, t->p, t->len) == 0)
            return i;
    if (s->n_names == MAX_NAMES)
        return -1;
    s->name[s->n_names].p = t->p;
    s->name[s->n_names].len = t->len;
    return s->n_names++;
}

/* Whether a token before the function may change what its text means. */
static bool changes_text(const struct vt_ctoken *t, bool is_word_of_directive)
{
    return (is_word_of_directive && !vt_ctoken_is(t, "include")) || vt_ctoken_is(t, "__attribute__") ||
           vt_ctoken_is(t, "_Pragma");
}

/* Numbers the parameters: the last name before each `,` or `)` of NAME's list. Leaves the lexer behind the list. False:
 * something before it changes what the text means. */
static bool number_parameters(struct side *s, const char *function)
{
    struct vt_ctoken t = {.kind = VT_CTOKEN_END, .p = ""}, last = t;
    bool is_after_mark, is_plain = true;
    do {
        is_after_mark = t.is_mark;
        t = vt_clexer_next(&s->lexer);
        is_plain = is_plain && !changes_text(&t, is_after_mark);
    } while (t.kind != VT_CTOKEN_END && !vt_ctoken_is(&t, function));
    while ((t = vt_clexer_next(&s->lexer)).kind != VT_CTOKEN_END) {
        if ((vt_ctoken_is(&t, ",") || vt_ctoken_is(&t, ")")) && last.kind == VT_CTOKEN_NAME)
            number(s, &last);
        if (vt_ctoken_is(&t, ")"))
            return is_plain;
        last = t;
    }
    return false;
}

static bool is_called(const struct side *s)
{
    struct vt_clexer ahead = s->lexer;
    struct vt_ctoken t = vt_clexer_next(&ahead);
    return vt_ctoken_is(&t, "(");
}

/* The next token of the function's body; END at the brace that closes it. */
static struct vt_ctoken next(struct side *s)
{
    struct vt_ctoken t = vt_clexer_next(&s->lexer);
    s->depth += vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
    if (s->depth < 0)
        t.kind = VT_CTOKEN_END;
    return t;
}

static bool is_same(struct side *a, const struct vt_ctoken *x, struct side *b, const struct vt_ctoken *y)
{
    if (x->kind != y->kind)
        return false;
    if (x->kind == VT_CTOKEN_END)
        return true;
    if (x->kind != VT_CTOKEN_NAME || vt_ctoken_is_keyword(x) || vt_ctoken_is_keyword(y) || is_called(a) || is_called(b))
        return x->len == y->len && memcmp(x->p, y->p, x->len) == 0;
    int i = number(a, x);
    return i >= 0 && i == number(b, y);
}

bool vt_is_copy_text(const vt_task *t, const struct vt_code *code)
{
    static _Thread_local struct side a, b;
    const char *signature = vt_task_signature(t), *body = vt_task_body(t);
    memset(&a, 0, sizeof a);
    memset(&b, 0, sizeof b);
    vt_clexer_init(&a.lexer, signature, strlen(signature));
    (void)number_parameters(&a, vt_task_name(t));
    vt_clexer_init(&a.lexer, body, strlen(body));
    if (code->is_whole) {
        vt_clexer_init(&b.lexer, code->text, code->len);
        if (!number_parameters(&b, vt_task_name(t)))
            return false;
        struct vt_ctoken brace = vt_clexer_next(&b.lexer);
        if (!vt_ctoken_is(&brace, "{"))
            return false;
    } else {
        vt_clexer_init(&b.lexer, signature, strlen(signature));
        (void)number_parameters(&b, vt_task_name(t));
        size_t head = vt_body_head(code->text, code->len);
        vt_clexer_init(&b.lexer, code->text + head, code->len - head);
    }
    for (;;) {
        struct vt_ctoken x = next(&a), y = next(&b);
        if (!is_same(&a, &x, &b, &y))
            return false;
        if (x.kind == VT_CTOKEN_END)
            return true;
    }
}
