/* SPDX-License-Identifier: Apache-2.0
 *
 * extract.c: finds the code in an answer and says whether it is a body or a whole function.
 *
 * The default prompt ends inside an open fence, right after the signature and its brace: the answer is then the body, a
 * line `}`, perhaps a closing fence and chatter. Other models answer with prose, reasoning and one or more fenced
 * blocks. In this order:
 *   - reasoning is taken out; the last part that holds code counts;
 *   - code before the first fence belongs to the fence that the prompt opened, if its braces close or nothing else can
 *     have opened that fence;
 *   - else the blocks: one that defines the function before one that does not, a C block before one without a word,
 * that before one of another language; the last among equals;
 *   - without a fence: the function where it is defined, prose around it left away, else the text is the body.
 * A body in an answer ends at the first line that is only `}` and closes more than the body opened; without such a line
 * at the first brace that does; where the braces never close, at the first line that is only `}`, which is where the
 * default prompt stops. The line end before the brace is not part of the body, other white space is. A brace too many
 * inside it stays, since it is what the model wrote and what is recorded; what is compiled is cut there
 * (vt_body_length), so that no text closes the function it is put into. Code that the answer's end cuts is no
 * candidate: half a function may compile and be judged for what its author did not write.
 */
#include "eval/extract.h"
#include "base/alloc.h"
#include "eval/blocks.h"
#include "eval/ctext.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much what was found is worth. */
enum rank { RANK_NONE, RANK_OTHER_WORD, RANK_NO_WORD, RANK_C, RANK_CUT_DEFINITION, RANK_DEFINITION };

struct found {
    struct vt_span text;
    enum rank rank;
    bool is_whole, is_cut;
};

struct definition {
    const char *name, *end; /* the function's name; behind its closing brace, or the end of a text that cuts it */
    bool is_complete;
};

/* ---- C text ---- */

static struct vt_clexer lexer_of(struct vt_span s)
{
    struct vt_clexer l;
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    return l;
}

/* Can `t` be the name in a definition's head? Without a name to look for, a type must stand before it. */
static bool may_be_head(const struct vt_ctoken *t, const struct vt_ctoken *before, const char *name)
{
    if (name)
        return vt_ctoken_is(t, name);
    return t->kind == VT_CTOKEN_NAME && !vt_ctoken_is_keyword(t) &&
           ((before->kind == VT_CTOKEN_NAME && !vt_ctoken_is(before, "return") && !vt_ctoken_is(before, "else")) ||
            vt_ctoken_is(before, "*"));
}

/* The last complete definition of the function outside any braces, else the last one that is cut. */
static bool find_definition(struct vt_span s, const char *name, struct definition *out)
{
    struct vt_clexer l = lexer_of(s);
    int braces = 0, parens = 0;
    bool is_head = false, is_inside = false, is_found = false;
    struct definition d = {0};
    struct vt_ctoken t, last = {VT_CTOKEN_END, s.p, 0, 0, false}, before = last;
    for (t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; before = last, last = t, t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        if (vt_ctoken_is(&t, "(")) {
            if (parens++ == 0 && braces == 0 && (is_head = may_be_head(&last, &before, name)))
                d.name = last.p;
        } else if (vt_ctoken_is(&t, ")")) {
            parens -= parens > 0;
        } else if (vt_ctoken_is(&t, "{")) {
            is_inside |= is_head && braces == 0 && parens == 0;
            braces++;
        } else if (vt_ctoken_is(&t, "}")) {
            braces -= braces > 0;
            if (is_inside && braces == 0) {
                *out = (struct definition){d.name, t.p + 1, true};
                is_found = true;
                is_inside = is_head = false;
            }
        } else if (parens == 0 && braces == 0) {
            is_head = false;
        }
    }
    if (is_inside && !is_found)
        *out = (struct definition){d.name, s.end, false};
    return is_found || is_inside;
}

static bool is_blank_line(const char *p, const char *end)
{
    struct vt_span s = vt_span_trim((struct vt_span){p, end});
    return s.p == s.end;
}

/* Is the brace at `p` a line of its own, without indentation? */
static bool is_brace_line(struct vt_span s, const char *p)
{
    return (p == s.p || p[-1] == '\n') && is_blank_line(p + 1, vt_line_end(p, s.end));
}

/* The closing braces of a text that continues a function; each NULL where there is none. */
struct closing {
    const char *brace; /* the first that closes more than the text opens */
    const char *line;  /* the first of that kind that is a line of its own */
    const char *any;   /* the first line that is only a brace, whatever it closes */
};

static struct closing find_closing(struct vt_span s)
{
    struct vt_clexer l = lexer_of(s);
    struct closing c = {0};
    int depth = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END && !c.line; t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        depth += vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
        if (depth >= 0 || *t.p != '}')
            continue;
        c.brace = c.brace ? c.brace : t.p;
        c.line = is_brace_line(s, t.p) ? t.p : NULL;
    }
    for (const char *p = s.p; p < s.end && !c.any;) {
        const char *e = vt_line_end(p, s.end);
        c.any = *p == '}' && is_brace_line(s, p) ? p : NULL;
        p = e < s.end ? e + 1 : e;
    }
    return c;
}

/* Text up to `end`, which something else follows: without the blanks of its last line, and without the line end before
 * them. */
static struct vt_span cut_at(struct vt_span s, const char *end)
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

/* A body up to a brace that closes what it did not open. */
static struct vt_span closed(struct vt_span s)
{
    const char *end = find_closing(s).brace;
    return end ? cut_at(s, end) : s;
}

static bool is_blank(struct vt_span s)
{
    struct vt_clexer l = lexer_of(s);
    return vt_clexer_next(&l).kind == VT_CTOKEN_END;
}

static bool has_statement(struct vt_span s)
{
    return memchr(s.p, ';', (size_t)(s.end - s.p)) != NULL;
}

/* ---- prose around code that no fence marks ---- */

static bool starts_with_one_of(struct vt_span s, const char *const *words)
{
    struct vt_clexer l = lexer_of(s);
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
    struct vt_clexer l = lexer_of((struct vt_span){line, name});
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
    struct vt_clexer l = lexer_of(line);
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END && !c->in_comment; t = vt_clexer_next(&l))
        if (!t.in_directive && !c->is_continued)
            c->depth += vt_ctoken_is(&t, "{") + vt_ctoken_is(&t, "(") - vt_ctoken_is(&t, "}") - vt_ctoken_is(&t, ")");
    c->depth = c->depth < 0 ? 0 : c->depth;
    c->in_comment = leaves_comment_open(line, c->in_comment);
    c->is_continued = line.p < line.end && line.end[-1] == '\\';
    return true;
}

/* The lines of code that end with the definition: its helpers, directives and comments, up to the prose before them. */
static const char *code_start(struct vt_span s, const char *name)
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
    if (!is_blank_line(p, head))
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

static struct vt_span without_prose(struct vt_span s)
{
    bool is_dropped = false;
    const char *start = s.p;
    for (const char *p = s.p; p < s.end;) {
        const char *e = vt_line_end(p, s.end), *next = e < s.end ? e + 1 : e;
        if (is_prose_line(p, e)) {
            is_dropped = true;
            start = next;
        } else if (is_blank_line(p, e) && is_dropped) {
            start = next;
        } else if (!is_blank_line(p, e)) {
            break;
        }
        p = next;
    }
    return (struct vt_span){start, s.end};
}

/* ---- candidates ---- */

static struct found cut(enum rank rank)
{
    return (struct found){.rank = rank, .is_cut = true};
}

/* Text that goes on where the prompt's signature and brace ended. is_delimited: a fence closes it. A brace with a line
 * of its own makes a body of whatever stands before it; else only statements are believed to be one. */
static struct found body_of(struct vt_span s, enum rank rank, bool is_delimited)
{
    struct closing c = find_closing(s);
    const char *end = c.line ? c.line : c.brace;
    if (!end && !is_delimited)
        end = c.any;
    struct vt_span text = end ? cut_at(s, end) : is_delimited ? cut_at(s, s.end) : s;
    if (!(end && is_brace_line(s, end)) && !has_statement(text))
        return (struct found){0};
    return end || is_delimited ? (struct found){.text = text, .rank = rank} : cut(rank);
}

/* Code that stands in the open. */
static struct found in_the_open(struct vt_span s, const char *name, bool is_delimited)
{
    struct definition d;
    if (!find_definition(s, name, &d))
        return body_of(without_prose(s), RANK_C, is_delimited);
    if (!d.is_complete && !is_delimited)
        return cut(RANK_CUT_DEFINITION);
    return (struct found){.text = {code_start(s, d.name), d.end}, .rank = RANK_DEFINITION, .is_whole = true};
}

static struct found in_blocks(struct vt_span s, const char *name);

static struct found in_block(const struct vt_block *b, const char *name)
{
    static const enum rank ranks[] = {
        [VT_WORD_OTHER] = RANK_OTHER_WORD, [VT_WORD_NONE] = RANK_NO_WORD, [VT_WORD_C] = RANK_C};
    struct definition d;
    struct found inner = in_blocks(b->text, name); /* a longer fence may show shorter ones */
    if (inner.rank && !inner.is_cut)
        return inner;
    if (!find_definition(b->text, name, &d))
        return body_of(b->text, ranks[b->word], !b->is_open);
    if (!d.is_complete && b->is_open)
        return cut(RANK_CUT_DEFINITION);
    return (struct found){
        .text = cut_at(b->text, b->is_open ? d.end : b->text.end), .rank = RANK_DEFINITION, .is_whole = true};
}

static struct found in_blocks(struct vt_span s, const char *name)
{
    struct found best = {0};
    struct vt_block b;
    while (vt_block_next(&s, &b)) {
        struct found f = in_block(&b, name);
        /* A block that ends goes before a later one that is cut, unless only that defines the function. */
        if (f.is_cut && f.rank != RANK_CUT_DEFINITION && best.rank)
            continue;
        if (f.rank >= best.rank)
            best = f;
    }
    return best;
}

/* Does the first fence close the one that the prompt opened? Then what stands before it is the code: its braces close
 * below zero, or the fence names no language, has no partner and follows a statement. */
static bool closes_the_prompt(struct vt_span before, const struct vt_fence_count *fences)
{
    struct vt_span s = vt_span_trim(before);
    if (s.p == s.end)
        return false;
    if (find_closing(s).brace)
        return true;
    return fences->is_bare && fences->n % 2 == 1 && (s.end[-1] == ';' || s.end[-1] == '}');
}

static struct found in_part(const struct vt_part *part, const char *name)
{
    struct vt_fence_count fences;
    struct vt_span s = part->text;
    while (part->is_behind && s.p < s.end && is_blank_line(s.p, vt_line_end(s.p, s.end)))
        s.p = vt_line_end(s.p, s.end) + (vt_line_end(s.p, s.end) < s.end);
    vt_fences_count(s, &fences);
    if (fences.n == 0)
        return in_the_open(s, name, false);
    struct vt_span before = {s.p, fences.first.p};
    if (closes_the_prompt(before, &fences))
        return in_the_open(before, name, true);
    return in_blocks(s, name);
}

/* The last part that holds code; *is_cut: code was there, or would have come, and the answer ends before it does. */
static struct found in_answer(struct vt_span answer, const char *name)
{
    struct vt_parts parts;
    struct vt_part part;
    struct found best = {0};
    vt_parts_init(&parts, answer);
    while (vt_parts_next(&parts, &part)) {
        struct found f = in_part(&part, name);
        if (part.is_first)
            best = (struct found){0};
        if (f.rank && (!f.is_cut || !best.rank || best.is_cut))
            best = f;
        if (part.is_cut && !best.rank)
            best.is_cut = true;
    }
    return best;
}

/* C text as somebody wrote it to be judged. */
static struct found in_source(struct vt_span s, const char *name)
{
    struct definition d;
    return (struct found){.text = s, .rank = RANK_DEFINITION, .is_whole = find_definition(s, name, &d)};
}

/* Fences are no C, so a text that has one outside its comments is an answer. */
static bool has_fence(struct vt_span s)
{
    struct vt_clexer l = lexer_of(s);
    int n = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        n = vt_ctoken_is(&t, "`") ? n + 1 : 0;
        if (n == 3)
            return true;
    }
    return false;
}

/* ---- the result ---- */

/* Does every line of the text end in CR LF? A model that writes one now and then means nothing by it. */
static bool has_crlf(struct vt_span s)
{
    size_t n = 0;
    for (const char *p = s.p; p < s.end; p++, n++) {
        p = vt_line_end(p, s.end);
        if (p < s.end && (p == s.p || p[-1] != '\r'))
            return false;
        if (p == s.end)
            break;
    }
    return n > 0;
}

static vt_status copy_text(struct vt_span s, bool is_crlf, struct vt_code *out, vt_err *err)
{
    char *text = vt_alloc((size_t)(s.end - s.p) + 1);
    size_t n = 0;
    if (!text)
        return vt_fail(err, VT_ENOMEM, "cannot copy an answer of %zu bytes: out of memory", (size_t)(s.end - s.p));
    for (const char *p = s.p; p < s.end; p++)
        if (!is_crlf || *p != '\r' || p + 1 == s.end || p[1] != '\n')
            text[n++] = *p;
    text[n] = 0;
    out->text = text;
    out->len = n;
    return VT_OK;
}

vt_status vt_extract(const char *answer, size_t len, const char *name, bool is_answer, struct vt_code *out, vt_err *err)
{
    struct vt_span all = {answer, answer + len};
    memset(out, 0, sizeof *out);
    out->first_line = 1;
    if (len > VT_CODE_MAX) {
        snprintf(out->why, sizeof out->why, "The answer is longer than %d bytes.", VT_CODE_MAX);
        return VT_OK;
    }
    if (memchr(answer, 0, len)) {
        snprintf(out->why, sizeof out->why, "The answer contains a NUL byte.");
        return VT_OK;
    }
    is_answer = is_answer || has_fence(all);
    struct found f = is_answer ? in_answer(all, name) : in_source(all, name);
    if (f.is_cut)
        snprintf(out->why, sizeof out->why, "The answer ends before its code does.");
    else if (!f.rank || is_blank(f.is_whole ? f.text : closed(f.text)))
        snprintf(out->why, sizeof out->why, "The answer contains no code.");
    if (f.is_cut || !f.rank)
        return VT_OK;
    out->is_whole = f.is_whole;
    out->from = (size_t)(f.text.p - answer);
    out->to = (size_t)(f.text.end - answer);
    for (const char *p = answer; p < f.text.p; p++)
        out->first_line += *p == '\n';
    return copy_text(f.text, is_answer && has_crlf(all), out, err);
}

size_t vt_body_length(const char *text, size_t len)
{
    struct vt_span s = closed((struct vt_span){text, text + len});
    return (size_t)(s.end - s.p);
}

void vt_code_free(struct vt_code *c)
{
    free(c->text);
    c->text = NULL;
}
