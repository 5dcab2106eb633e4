/* SPDX-License-Identifier: Apache-2.0
 *
 * ctext.c: the small lexer of ctext.h. Line continuations count as white space between tokens and as nothing inside a
 * name; digraphs are the brackets they stand for. Raw strings and trigraphs do not exist in C17 as gcc compiles it by
 * default.
 */
#include "eval/ctext.h"
#include <string.h>

void vt_clexer_init(struct vt_clexer *l, const char *text, size_t len)
{
    *l = (struct vt_clexer){text, text + len, 1, true, false};
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static char peek(const struct vt_clexer *l, size_t ahead)
{
    return (size_t)(l->end - l->at) > ahead ? l->at[ahead] : 0;
}

static void skip_comment(struct vt_clexer *l)
{
    bool is_block = peek(l, 1) == '*';
    l->at += 2;
    while (l->at < l->end) {
        if (!is_block && *l->at == '\n')
            return;
        if (is_block && *l->at == '*' && peek(l, 1) == '/') {
            l->at += 2;
            return;
        }
        l->line += *l->at == '\n';
        l->at++;
    }
}

/* Bytes of the line continuation at p; 0 where none stands. */
static size_t splice(const char *p, const char *end)
{
    if (end - p >= 2 && p[0] == '\\' && p[1] == '\n')
        return 2;
    return end - p >= 3 && p[0] == '\\' && p[1] == '\r' && p[2] == '\n' ? 3 : 0;
}

static void skip_space(struct vt_clexer *l)
{
    while (l->at < l->end) {
        char c = *l->at;
        size_t n = splice(l->at, l->end);
        if (n > 0) {
            l->at += n;
            l->line++;
        } else if (c == '\n') {
            l->at++;
            l->line++;
            l->is_line_start = true;
            l->in_directive = false;
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v') {
            l->at++;
        } else if (c == '/' && (peek(l, 1) == '/' || peek(l, 1) == '*')) {
            skip_comment(l);
        } else {
            return;
        }
    }
}

static void take_quoted(struct vt_clexer *l)
{
    char quote = *l->at++;
    while (l->at < l->end && *l->at != quote && *l->at != '\n')
        l->at += *l->at == '\\' && l->at + 1 < l->end && l->at[1] != '\n' ? 2 : 1;
    if (l->at < l->end && *l->at == quote)
        l->at++;
}

static void take_number(struct vt_clexer *l)
{
    while (l->at < l->end) {
        char c = *l->at, next = peek(l, 1);
        if ((c == 'e' || c == 'E' || c == 'p' || c == 'P') && (next == '+' || next == '-'))
            l->at += 2;
        else if (is_word(c) || c == '.')
            l->at++;
        else
            return;
    }
}

/* A name may go on behind a line continuation. */
static void take_name(struct vt_clexer *l)
{
    while (l->at < l->end) {
        size_t n = splice(l->at, l->end);
        if (n > 0 && l->at + n < l->end && is_word(l->at[n])) {
            l->at += n;
            l->line++;
        } else if (!is_word(*l->at)) {
            return;
        }
        l->at++;
    }
}

static const struct digraph {
    const char *text, *bracket;
} digraphs[] = {{"<%", "{"}, {"%>", "}"}, {"<:", "["}, {":>", "]"}, {"%:", "#"}};

static void take_punct(struct vt_clexer *l)
{
    static const char *const longer[] = {
        "<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||",
        "+=",  "-=",  "*=",  "/=", "%=", "&=", "|=", "^=", "##", "<%", "%>", "<:", ":>", "%:"};
    const char next = peek(l, 1);
    for (size_t i = 0; next && i < sizeof longer / sizeof longer[0]; i++) {
        const char *s = longer[i];
        if (s[0] == *l->at && s[1] == next && (!s[2] || s[2] == peek(l, 2))) {
            l->at += s[2] ? 3 : 2;
            return;
        }
    }
    l->at++;
}

struct vt_ctoken vt_clexer_next(struct vt_clexer *l)
{
    struct vt_ctoken t = {.kind = VT_CTOKEN_END, .p = l->end};
    skip_space(l);
    t.line = l->line;
    if (l->at >= l->end)
        return t;
    t.p = l->at;
    char c = *l->at;
    t.is_mark = (c == '#' || (c == '%' && peek(l, 1) == ':')) && l->is_line_start;
    l->in_directive = l->in_directive || t.is_mark;
    l->is_line_start = false;
    t.in_directive = l->in_directive;
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        t.kind = VT_CTOKEN_NUMBER;
        take_number(l);
    } else if (is_word(c)) {
        t.kind = VT_CTOKEN_NAME;
        take_name(l);
    } else if (c == '"' || c == '\'') {
        t.kind = VT_CTOKEN_STRING;
        take_quoted(l);
    } else {
        t.kind = VT_CTOKEN_PUNCT;
        take_punct(l);
    }
    t.len = (size_t)(l->at - t.p);
    return t;
}

/* Is the token `text`, line continuations in it left out? */
static bool is_spelt(const struct vt_ctoken *t, const char *text)
{
    const char *p = t->p, *end = t->p + t->len;
    for (; p < end; p++, text++) {
        p += splice(p, end);
        if (!*text || *p != *text)
            return false;
    }
    return !*text;
}

bool vt_ctoken_is_spelt(const struct vt_ctoken *t, const char *text)
{
    size_t n = strlen(text);
    if (t->len == n)
        return memcmp(t->p, text, n) == 0;
    if (t->kind == VT_CTOKEN_NAME)
        return t->len > n && is_spelt(t, text);
    for (size_t i = 0; t->len == 2 && n == 1 && i < sizeof digraphs / sizeof digraphs[0]; i++)
        if (*text == *digraphs[i].bracket && memcmp(t->p, digraphs[i].text, 2) == 0)
            return true;
    return false;
}

bool vt_ctoken_is_one_of(const struct vt_ctoken *t, const char *const *words)
{
    for (; *words; words++)
        if (vt_ctoken_is(t, *words))
            return true;
    return false;
}

bool vt_ctoken_is_keyword(const struct vt_ctoken *t)
{
    static const char *const words[] = {
        /* by their first byte */
        "_Alignas", "_Bool",  "auto",   "break",    "case",     "char",     "const", "continue", "default",
        "do",       "double", "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",
        "inline",   "int",    "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",
        "static",   "struct", "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while"};
    enum { N_WORDS = sizeof words / sizeof words[0] };
    for (size_t i = 0; t->kind == VT_CTOKEN_NAME && i < N_WORDS && *words[i] <= *t->p; i++)
        if (vt_ctoken_is(t, words[i]))
            return true;
    return false;
}

enum vt_branch vt_clexer_branch(const struct vt_clexer *l, const struct vt_ctoken *t)
{
    static const char *const opening[] = {"if", "ifdef", "ifndef", NULL};
    static const char *const other[] = {"else", "elif", "elifdef", "elifndef", NULL};
    if (!t->is_mark)
        return VT_BRANCH_NONE;
    struct vt_clexer ahead = *l;
    struct vt_ctoken word = vt_clexer_next(&ahead);
    if (!word.in_directive || word.is_mark)
        return VT_BRANCH_NONE;
    return vt_ctoken_is_one_of(&word, opening) ? VT_BRANCH_IF
           : vt_ctoken_is_one_of(&word, other) ? VT_BRANCH_ELSE
           : vt_ctoken_is(&word, "endif")      ? VT_BRANCH_END
                                               : VT_BRANCH_NONE;
}

void vt_branches_take(struct vt_branches *b, enum vt_branch branch, int *depth)
{
    if (branch == VT_BRANCH_IF && b->n++ < VT_MAX_BRANCHES)
        b->depth[b->n - 1] = *depth;
    else if (branch == VT_BRANCH_ELSE && b->n > 0 && b->n <= VT_MAX_BRANCHES)
        *depth = b->depth[b->n - 1];
    else if (branch == VT_BRANCH_END)
        b->n -= b->n > 0;
}
