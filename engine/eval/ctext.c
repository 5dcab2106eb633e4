/* SPDX-License-Identifier: Apache-2.0
 *
 * ctext.c: the small lexer of ctext.h. Line continuations count as white space inside directives; raw strings and
 * trigraphs do not exist in C17 as gcc compiles it by default.
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

static void skip_space(struct vt_clexer *l)
{
    while (l->at < l->end) {
        char c = *l->at;
        if (c == '\\' && (peek(l, 1) == '\n' || (peek(l, 1) == '\r' && peek(l, 2) == '\n'))) {
            l->at += peek(l, 1) == '\n' ? 2 : 3;
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

static void take_punct(struct vt_clexer *l)
{
    static const char *const longer[] = {"<<=", ">>=", "...", "->", "++", "--", "<<", ">>", "<=", ">=", "==", "!=",
                                         "&&",  "||",  "+=",  "-=", "*=", "/=", "%=", "&=", "|=", "^=", "##"};
    for (size_t i = 0; i < sizeof longer / sizeof longer[0]; i++) {
        size_t n = strlen(longer[i]);
        if ((size_t)(l->end - l->at) >= n && memcmp(l->at, longer[i], n) == 0) {
            l->at += n;
            return;
        }
    }
    l->at++;
}

struct vt_ctoken vt_clexer_next(struct vt_clexer *l)
{
    struct vt_ctoken t = {VT_CTOKEN_END, l->end, 0, 0, false};
    skip_space(l);
    t.line = l->line;
    if (l->at >= l->end)
        return t;
    t.p = l->at;
    char c = *l->at;
    if (c == '#' && l->is_line_start)
        l->in_directive = true;
    l->is_line_start = false;
    t.in_directive = l->in_directive;
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1)))) {
        t.kind = VT_CTOKEN_NUMBER;
        take_number(l);
    } else if (is_word(c)) {
        t.kind = VT_CTOKEN_NAME;
        while (l->at < l->end && is_word(*l->at))
            l->at++;
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

bool vt_ctoken_is(const struct vt_ctoken *t, const char *text)
{
    return t->len == strlen(text) && memcmp(t->p, text, t->len) == 0;
}

bool vt_ctoken_is_keyword(const struct vt_ctoken *t)
{
    static const char *const words[] = {
        "auto",   "break",    "case",     "char",     "const", "continue", "default", "do",     "double",
        "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",      "inline", "int",
        "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",  "static", "struct",
        "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while",   "_Bool",  "_Alignas"};
    for (size_t i = 0; t->kind == VT_CTOKEN_NAME && i < sizeof words / sizeof words[0]; i++)
        if (vt_ctoken_is(t, words[i]))
            return true;
    return false;
}
