/* SPDX-License-Identifier: Apache-2.0
 *
 * prose.c: which lines of an answer are code and which are sentences, where no fence says it.
 *
 * A line is code when it ends or begins as only code does, or stands between brackets, in a comment or behind a
 * backslash that are open. It is a guess, and made only where there is nothing better: the definition that was found
 * says where code ends, and this says how far back it goes. What is cut out of the branches of an #if takes the rest of
 * its directives along, or nothing of it would compile.
 */
#include "eval/prose.h"
#include "eval/definition.h"
#include "eval/items.h"
#include "eval/kind.h"
#include <string.h>
#include <strings.h>

enum { MAX_ANNOUNCED = 400 }; /* bytes before a block in which its announcement is looked for */

bool vt_is_blank_line(const char *p, const char *end)
{
    struct vt_span s = vt_span_trim((struct vt_span){p, end});
    return s.p == s.end;
}

static bool starts_with_one_of(struct vt_span s, const char *const *words)
{
    struct vt_clexer l = vt_clexer_of(s);
    struct vt_ctoken t = vt_clexer_next(&l);
    if (vt_ctoken_is(&t, "#"))
        t = vt_clexer_next(&l);
    for (; *words; words++)
        if (vt_ctoken_is(&t, *words))
            return true;
    return false;
}

/* Outside braces: does the line look like part of a declaration? `next` is what follows it. */
static bool is_code_line(struct vt_span line, struct vt_span next)
{
    static const char *const directives[] = {"include", "define", "undef", "if",   "ifdef",  "ifndef", "elif",
                                             "else",    "endif",  "error", "line", "pragma", NULL};
    static const char *const types[] = {
        "static",   "inline",   "extern",        "const",    "void",     "float",          "int",
        "double",   "char",     "short",         "long",     "unsigned", "signed",         "struct",
        "union",    "enum",     "typedef",       "volatile", "size_t",   "bool",           "_Bool",
        "int8_t",   "int16_t",  "int32_t",       "int64_t",  "uint8_t",  "uint16_t",       "register",
        "uint32_t", "uint64_t", "__attribute__", "__inline", "_Alignas", "_Static_assert", NULL};
    if (line.p == line.end)
        return false;
    if (*line.p == '#')
        return starts_with_one_of(line, directives);
    if (line.p + 1 < line.end && *line.p == '/' && (line.p[1] == '/' || line.p[1] == '*'))
        return true;
    if (strchr(";{}\\", line.end[-1]) || *line.p == '{' || *line.p == '}')
        return true;
    next = vt_span_trim(next);
    return starts_with_one_of(line, types) || (line.end[-1] == ')' && next.p < next.end && *next.p == '{');
}

/* Where the declaration begins on the line of its name: behind a sentence that ends there. */
static const char *head_start(const char *line, const char *name)
{
    const char *start = line;
    struct vt_clexer l = vt_clexer_of((struct vt_span){line, name});
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l))
        if (vt_ctoken_is(&t, ":") || vt_ctoken_is(&t, ".") || vt_ctoken_is(&t, "!") || vt_ctoken_is(&t, "`") ||
            *t.p == '\'')
            start = t.p + t.len;
    while (start < name && (*start == ' ' || *start == '\t'))
        start++;
    return start;
}

/* Lines of declarations, read one by one. */
struct code_lines {
    int depth; /* of braces and parentheses */
    bool in_comment, is_continued;
};

static bool leaves_comment_open(struct vt_span line, bool is_open)
{
    for (const char *p = line.p; p + 1 < line.end; p++) {
        bool is_edge = is_open ? p[0] == '*' && p[1] == '/' : p[0] == '/' && p[1] == '*';
        is_open ^= is_edge;
        p += is_edge;
    }
    return is_open;
}

static bool take_line(struct code_lines *c, struct vt_span line, struct vt_span next)
{
    bool is_code = c->depth > 0 || c->in_comment || c->is_continued || is_code_line(line, next);
    if (!is_code) {
        *c = (struct code_lines){0};
        return false;
    }
    struct vt_clexer l = vt_clexer_of(line);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END && !c->in_comment; t = vt_clexer_next(&l))
        if (!t.in_directive && !c->is_continued)
            c->depth += vt_ctoken_is(&t, "{") + vt_ctoken_is(&t, "(") - vt_ctoken_is(&t, "}") - vt_ctoken_is(&t, ")");
    c->depth = c->depth < 0 ? 0 : c->depth;
    c->in_comment = leaves_comment_open(line, c->in_comment);
    c->is_continued = line.p < line.end && line.end[-1] == '\\';
    return true;
}

/* The lines of code that end with the definition: its helpers, directives and comments, up to the prose before them. */
const char *vt_code_start(struct vt_span s, const char *name)
{
    const char *start = NULL, *p = s.p;
    struct code_lines lines = {0};
    for (;;) {
        const char *e = vt_line_end(p, s.end), *next = e < s.end ? e + 1 : e;
        if (name < next)
            break;
        struct vt_span line = vt_span_trim((struct vt_span){p, e});
        if (take_line(&lines, line, (struct vt_span){next, s.end}))
            start = start ? start : p;
        else if (line.p < line.end)
            start = NULL;
        p = next;
    }
    const char *head = head_start(p, name);
    if (!vt_is_blank_line(p, head))
        return head;
    return start ? start : p;
}

/* A line of a sentence, or a tag, before a body: nothing that begins a body looks like it. */
static bool is_prose_line(const char *p, const char *end)
{
    struct vt_span line = vt_span_trim((struct vt_span){p, end});
    if (line.p == line.end || line.p != p)
        return false;
    if (*line.p == '<')
        return line.end[-1] == '>';
    if (!((*line.p >= 'A' && *line.p <= 'Z') || (*line.p >= 'a' && *line.p <= 'z')))
        return false;
    for (const char *q = line.p; q < line.end; q++)
        if (strchr(";{}=", *q))
            return false;
    return memchr(line.p, ' ', (size_t)(line.end - line.p)) && strchr(":.!", line.end[-1]);
}

struct vt_span vt_without_prose(struct vt_span s)
{
    bool is_dropped = false;
    const char *start = s.p;
    for (const char *p = s.p; p < s.end;) {
        const char *e = vt_line_end(p, s.end), *next = e < s.end ? e + 1 : e;
        if (is_prose_line(p, e)) {
            is_dropped = true;
            start = next;
        } else if (vt_is_blank_line(p, e) && is_dropped) {
            start = next;
        } else if (!vt_is_blank_line(p, e)) {
            break;
        }
        p = next;
    }
    return (struct vt_span){start, s.end};
}

/* ---- corrections ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Does one of the words, or the beginning of a longer one, stand there? */
static bool has_one_of(struct vt_span s, const char *const *words)
{
    for (const char *p = s.p; p < s.end; p++)
        for (const char *const *w = words; *w && (p == s.p || !is_letter(p[-1])); w++)
            if ((size_t)(s.end - p) >= strlen(*w) && strncasecmp(p, *w, strlen(*w)) == 0)
                return true;
    return false;
}

/* The one that leads over to what follows. */
static struct vt_span last_sentence(struct vt_span s)
{
    const char *p = s.end - (s.end > s.p);
    while (p > s.p && !((strchr(".!?;", p[-1]) || p[-1] == '\n') && (*p == ' ' || *p == '\n')))
        p--;
    return (struct vt_span){p, s.end};
}

bool vt_announces_correction(struct vt_span prose)
{
    static const char *const corrects[] = {
        "corrected", "correction", "correct version", "correct helper", "correct code", "correct one", "wrong",
        "fix",       "bug",        "mistake",         "must be",        "should be",    "should have", "oops",
        "sorry",     "revis",      "use this",        "replace",        "broken",       "an error",    NULL};
    static const char *const denies[] = {"no bug", "not wrong", "nothing wrong", "no mistake", "nothing to fix", NULL};
    static const char *const offers[] = {"would",     "could",   "if you",  "alternativ", "original",
                                         "reference", "variant", "example", "instead of", NULL};
    prose = vt_span_trim(prose);
    if (prose.end - prose.p > MAX_ANNOUNCED)
        prose.p = prose.end - MAX_ANNOUNCED;
    return has_one_of(prose, corrects) && !has_one_of(prose, denies) && !has_one_of(last_sentence(prose), offers);
}

/* ---- what only a compiler understands ---- */

/* NAME or NAME(…) alone on its line: a macro of the code before it? */
static bool is_invocation(struct vt_span line, struct vt_span code)
{
    struct vt_clexer l = vt_clexer_of(line);
    struct vt_ctoken name = vt_clexer_next(&l), t = vt_clexer_next(&l);
    bool is_alone = t.kind == VT_CTOKEN_END || (vt_ctoken_is(&t, "(") && line.end[-1] == ')');
    return name.kind == VT_CTOKEN_NAME && is_alone &&
           vt_defines_macro(code, (struct vt_span){name.p, name.p + name.len});
}

static bool is_doubtful(struct vt_span code, const char *name)
{
    struct vt_items w;
    struct vt_item i;
    struct vt_text_kind kind = vt_text_kind(code, name);
    if (!kind.is_whole || !kind.is_doubtful)
        return false;
    vt_items_of(code, &w);
    while (vt_items_next(&w, &i))
        if (i.parts & VT_ITEM_CUT)
            return false;
    return true;
}

struct vt_span vt_doubtful_code(struct vt_span s, const char *name)
{
    struct vt_span run = {NULL, NULL}, found = run;
    struct code_lines lines = {0};
    for (const char *p = s.p; name && p <= s.end;) {
        const char *e = vt_line_end(p, s.end), *next = e < s.end ? e + 1 : e;
        struct vt_span line = vt_span_trim((struct vt_span){p, e});
        bool is_code = take_line(&lines, line, (struct vt_span){next, s.end}) ||
                       (run.p && line.p < line.end && is_invocation(line, run));
        if (is_code)
            run = (struct vt_span){run.p ? run.p : p, e};
        if (run.p && (next == s.end || (!is_code && line.p < line.end))) {
            found = is_doubtful(run, name) ? run : found;
            run.p = NULL;
        }
        if (e == s.end)
            break;
        p = next;
    }
    return found;
}

/* ---- branches ---- */

/* How many #if are open at the end of a text, and of how many it has a later branch or the end without the #if. */
struct balance {
    int n_open, n_closed;
};

static struct balance balance_of(struct vt_span s)
{
    struct vt_clexer l = vt_clexer_of(s);
    struct balance b = {0, 0};
    bool is_in_branch = false; /* of an #if that stands before the text */
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        enum vt_branch branch = vt_clexer_branch(&l, &t);
        bool is_outer = b.n_open == 0;
        b.n_open += (branch == VT_BRANCH_IF) - (branch == VT_BRANCH_END && !is_outer);
        b.n_closed += branch == VT_BRANCH_END && is_outer;
        is_in_branch = is_outer && branch == VT_BRANCH_ELSE ? true : is_in_branch && branch != VT_BRANCH_END;
    }
    b.n_closed += is_in_branch;
    return b;
}

/* Behind the line of the n-th #endif at or after p that ends no #if of its own; NULL where it does not come. */
static const char *behind_end(struct vt_span s, int n)
{
    struct vt_clexer l = vt_clexer_of(s);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        enum vt_branch branch = vt_clexer_branch(&l, &t);
        n += (branch == VT_BRANCH_IF) - (branch == VT_BRANCH_END);
        if (n == 0)
            return vt_line_end(t.p, s.end);
    }
    return NULL;
}

/* The n-th last #if before the end of s that is still open there; NULL where there are fewer. */
static const char *at_beginning(struct vt_span s, int n)
{
    const char *open[VT_MAX_BRANCHES];
    struct vt_clexer l = vt_clexer_of(s);
    int n_open = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        enum vt_branch branch = vt_clexer_branch(&l, &t);
        if (branch == VT_BRANCH_IF && n_open < VT_MAX_BRANCHES)
            open[n_open++] = t.p;
        else if (branch == VT_BRANCH_END && n_open > 0)
            n_open--;
    }
    return n <= n_open ? open[n_open - n] : NULL;
}

struct vt_span vt_with_branches(struct vt_span all, struct vt_span text)
{
    struct balance b = balance_of(text);
    const char *p = b.n_closed > 0 ? at_beginning((struct vt_span){all.p, text.p}, b.n_closed) : NULL;
    if (p)
        text.p = p;
    b = balance_of(text);
    const char *end = b.n_open > 0 ? behind_end((struct vt_span){text.end, all.end}, b.n_open) : NULL;
    return (struct vt_span){text.p, end ? end : text.end};
}
