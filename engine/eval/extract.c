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
 *     that before one with another word; the last among equals. A block that says it is Rust or Python counts only when
 *     no other does and C's function stands in it after all. Blocks that define what the function calls come along;
 *   - without a fence: the function where it is defined, prose around it left away, else the text is the body.
 * A body in an answer ends at the first line that is only `}` and closes more than the body opened; without such a line
 * at the first brace that does; where the braces never close, at the first line that is only `}`, which is where the
 * default prompt stops. The line end before the brace is not part of the body, other white space is. A brace too many
 * inside it stays, since it is what the model wrote and what is recorded; what is compiled is cut there
 * (vt_body_length), so that no text closes the function it is put into. Code that the answer's end cuts is no
 * candidate: half a function may compile and be judged for what its author did not write. Neither is a text of nothing
 * but functions of other names: as a body it would compile, define what nobody calls and do nothing.
 *
 * What is not Markdown around code is made so first (plain.c).
 */
#include "eval/extract.h"
#include "base/alloc.h"
#include "eval/blocks.h"
#include "eval/declared.h"
#include "eval/definition.h"
#include "eval/helpers.h"
#include "eval/plain.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How much what was found is worth. */
enum rank {
    RANK_NONE,
    RANK_OTHER_WORD,
    RANK_NO_WORD,
    RANK_C,
    RANK_FOREIGN_DEFINITION, /* C in a block that names another language */
    RANK_CUT_DEFINITION,
    RANK_DEFINITION
};

struct found {
    struct vt_span text;
    enum rank rank;
    bool is_whole, is_cut;
    struct vt_helpers helpers;
    struct vt_span foreign; /* nothing was found but a block in this language */
    struct vt_span other;   /* nothing was found but a function of this name */
};

/* ---- C text ---- */

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
    struct vt_clexer l = vt_clexer_of(s);
    struct closing c = {0};
    int depth = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END && !c.line; t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        depth += vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
        if (depth >= 0 || !vt_ctoken_is(&t, "}"))
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

/* A body up to a brace that closes what it did not open. */
static struct vt_span closed(struct vt_span s)
{
    const char *end = find_closing(s).brace;
    return end ? vt_span_cut(s, end) : s;
}

static bool is_blank(struct vt_span s)
{
    struct vt_clexer l = vt_clexer_of(s);
    return vt_clexer_next(&l).kind == VT_CTOKEN_END;
}

static bool has_statement(struct vt_span s)
{
    return memchr(s.p, ';', (size_t)(s.end - s.p)) != NULL;
}

/* Is it C that was cut off, or a sentence with a semicolon in it? */
static bool looks_like_code(struct vt_span s)
{
    for (const char *p = s.p; p < s.end;) {
        const char *e = vt_line_end(p, s.end);
        struct vt_span line = vt_span_trim((struct vt_span){p, e});
        if (line.p < line.end && line.end[-1] == ';')
            return true;
        p = e < s.end ? e + 1 : e;
    }
    return memchr(s.p, '=', (size_t)(s.end - s.p)) || memchr(s.p, '{', (size_t)(s.end - s.p));
}

/* ---- prose around code that no fence marks ---- */

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

/* Nothing but declarations, and functions among them: a body that does nothing. */
static struct vt_span other_function(struct vt_span s)
{
    struct vt_declared d;
    vt_declared_of(s, &d);
    return d.is_pure ? d.function : (struct vt_span){NULL, NULL};
}

/* Text that goes on where the prompt's signature and brace ended. is_delimited: a fence closes it. A brace with a line
 * of its own makes a body of whatever stands before it; else only statements are believed to be one. */
static struct found body_of(struct vt_span s, enum rank rank, bool is_delimited)
{
    struct closing c = find_closing(s);
    const char *end = c.line ? c.line : c.brace;
    if (!end && !is_delimited)
        end = c.any;
    struct vt_span text = end ? vt_span_cut(s, end) : is_delimited ? vt_span_cut(s, s.end) : s;
    struct vt_span other = other_function(text);
    if (other.p)
        return (struct found){.other = other};
    if (!(end && is_brace_line(s, end)) && !has_statement(text))
        return (struct found){0};
    if (end || is_delimited)
        return (struct found){.text = text, .rank = rank};
    return looks_like_code(text) ? cut(rank) : (struct found){0};
}

/* The same where prose may stand around it and the text does not go on with the prompt's function. */
static struct vt_span other_in_the_open(struct vt_span s)
{
    struct vt_definition d, last = {0};
    struct vt_definitions w;
    const char *start = NULL, *brace = find_closing(s).brace;
    if (brace) /* body_of looks at what stands before it */
        return (struct vt_span){NULL, NULL};
    vt_definitions_of(s, &w);
    while (vt_definition_next(&w, NULL, &d) && d.is_complete) {
        start = start ? start : code_start(s, d.name);
        last = d;
    }
    return start ? other_function((struct vt_span){start, last.end}) : (struct vt_span){NULL, NULL};
}

/* Code that stands in the open. */
static struct found in_the_open(struct vt_span s, const char *name, bool is_delimited)
{
    struct vt_definition d;
    if (!vt_definition_find(s, name, &d)) {
        struct vt_span other = other_in_the_open(s);
        return other.p ? (struct found){.other = other} : body_of(without_prose(s), RANK_C, is_delimited);
    }
    /* A body that closes the prompt's brace is the answer; what defines the function behind it (the original, shown
     * once more) is not. */
    struct vt_span before = {s.p, d.name};
    struct closing c = find_closing(before);
    if (c.line && has_statement(vt_span_cut(before, c.line)))
        return body_of(before, RANK_C, true);
    if (!d.is_complete && !is_delimited)
        return cut(RANK_CUT_DEFINITION);
    return (struct found){.text = {code_start(s, d.name), d.end}, .rank = RANK_DEFINITION, .is_whole = true};
}

/* What there is instead of code. */
static void note_other(struct found *best, const struct found *f)
{
    best->foreign = f->foreign.p ? f->foreign : best->foreign;
    best->other = f->other.p ? f->other : best->other;
}

static struct found in_blocks(struct vt_span s, const char *name);

static struct found in_block(const struct vt_block *b, const char *name)
{
    static const enum rank ranks[] = {
        [VT_WORD_OTHER] = RANK_OTHER_WORD, [VT_WORD_NONE] = RANK_NO_WORD, [VT_WORD_C] = RANK_C};
    struct vt_definition d;
    /* A longer fence may show shorter ones, but what says that it is C is C and shows nothing. */
    struct found inner = b->word == VT_WORD_C ? (struct found){0} : in_blocks(b->text, name);
    if (inner.rank && !inner.is_cut)
        return inner;
    bool is_foreign = b->word == VT_WORD_FOREIGN;
    if (!vt_definition_find(b->text, name, &d)) {
        if (is_foreign)
            return (struct found){.foreign = b->language};
        struct vt_span other = b->is_open ? other_in_the_open(b->text) : other_function(b->text);
        return other.p ? (struct found){.other = other} : body_of(b->text, ranks[b->word], !b->is_open);
    }
    if (!d.is_complete && b->is_open)
        return cut(RANK_CUT_DEFINITION);
    return (struct found){.text = vt_span_cut(b->text, b->is_open ? d.end : b->text.end),
                          .rank = is_foreign ? RANK_FOREIGN_DEFINITION : RANK_DEFINITION,
                          .is_whole = true};
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
        if (f.rank > RANK_NONE && f.rank >= best.rank)
            best = f;
        else if (!best.rank)
            note_other(&best, &f);
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
    struct found f = in_blocks(s, name);
    if (f.is_whole)
        vt_helpers_find(s, f.text, name, &f.helpers);
    return f;
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
        else if (!best.rank)
            note_other(&best, &f);
        if (part.is_cut && !best.rank)
            best.is_cut = true;
    }
    return best;
}

/* C text as somebody wrote it to be judged. */
static struct found in_source(struct vt_span s, const char *name)
{
    struct vt_definition d;
    bool is_whole = vt_definition_find(s, name, &d);
    struct vt_span other = is_whole ? (struct vt_span){NULL, NULL} : other_function(s);
    if (other.p)
        return (struct found){.other = other};
    return (struct found){.text = s, .rank = RANK_DEFINITION, .is_whole = is_whole};
}

/* Fences are no C, so a text that has one outside its comments is an answer. */
static bool has_fence(struct vt_span s)
{
    struct vt_clexer l = vt_clexer_of(s);
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

static void copy_span(struct vt_span s, bool is_crlf, struct vt_code *out)
{
    for (const char *p = s.p; p < s.end; p++)
        if (!is_crlf || *p != '\r' || p + 1 == s.end || p[1] != '\n')
            out->text[out->len++] = *p;
}

static vt_status copy_text(const struct found *f, bool is_crlf, struct vt_code *out, vt_err *err)
{
    size_t size = (size_t)(f->text.end - f->text.p) + 1;
    for (size_t i = 0; i < f->helpers.n; i++)
        size += (size_t)(f->helpers.block[i].end - f->helpers.block[i].p) + 2;
    out->text = vt_alloc(size);
    if (!out->text)
        return vt_fail(err, VT_ENOMEM, "cannot copy the %zu bytes of code in an answer: out of memory", size);
    for (size_t i = 0; i < f->helpers.n; i++) {
        copy_span(f->helpers.block[i], is_crlf, out);
        memcpy(out->text + out->len, "\n\n", 2);
        out->len += 2;
    }
    copy_span(f->text, is_crlf, out);
    out->text[out->len] = 0;
    return VT_OK;
}

static void blank(char *from, const char *end)
{
    for (; from < end; from++)
        if (*from != '\n')
            *from = ' ';
}

/* The words with which C++ asks for C's linkage say nothing in C, and do not compile. */
static void drop_linkage(struct vt_code *c)
{
    struct vt_clexer l;
    struct vt_ctoken t, last = {VT_CTOKEN_END, c->text, 0, 0, false}, before = last;
    int depth = 0, n_open = 0;
    vt_clexer_init(&l, c->text, c->len);
    for (t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; before = last, last = t, t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        bool is_behind = depth == 0 && last.kind == VT_CTOKEN_STRING && vt_ctoken_is(&before, "extern");
        char *at = c->text + (t.p - c->text);
        if (is_behind)
            blank(c->text + ((vt_ctoken_is(&t, "{") ? before.p : last.p) - c->text), last.p + last.len);
        if (is_behind && vt_ctoken_is(&t, "{")) {
            *at = ' ';
            n_open++;
        } else if (depth == 0 && n_open > 0 && vt_ctoken_is(&t, "}")) {
            *at = ' ';
            n_open--;
        } else {
            depth += vt_ctoken_is(&t, "{") - (vt_ctoken_is(&t, "}") && depth > 0);
        }
    }
}

static int shown(struct vt_span s, int max)
{
    return s.end - s.p < max ? (int)(s.end - s.p) : max;
}

/* {"code": "..."}: C in a string of JSON is not looked for. */
static bool is_json(struct vt_span s)
{
    s = vt_span_trim(s);
    if (s.p == s.end || (*s.p != '{' && *s.p != '['))
        return false;
    char close = *s.p == '{' ? '}' : ']';
    struct vt_span inner = vt_span_trim((struct vt_span){s.p + 1, s.end});
    return s.end[-1] == close && inner.p < inner.end && (*inner.p == '"' || (close == ']' && *inner.p == '{'));
}

static void explain_none(const struct found *f, struct vt_span answer, const char *name, struct vt_code *out)
{
    if ((f->is_cut || !f->rank) && is_json(answer))
        snprintf(out->why, sizeof out->why, "The answer is JSON; it must be C, as it is or between fences.");
    else if (f->is_cut)
        snprintf(out->why, sizeof out->why, "The answer ends before its code does.");
    else if (!f->rank && f->other.p)
        snprintf(out->why, sizeof out->why, "The function asked for is %.40s, and the answer defines %.*s instead.",
                 name, shown(f->other, 40), f->other.p);
    else if (!f->rank && f->foreign.p)
        snprintf(out->why, sizeof out->why, "The answer contains no C: its code says that it is %.*s.",
                 shown(f->foreign, 20), f->foreign.p);
    else
        snprintf(out->why, sizeof out->why, "The answer contains no code.");
}

/* Of what was found in a text that is the answer, or stands for it. */
static vt_status take(const struct found *f, const struct vt_plain *plain, bool is_answer, struct vt_code *out,
                      vt_err *err)
{
    const char *first = f->helpers.n && f->helpers.block[0].p < f->text.p ? f->helpers.block[0].p : f->text.p;
    const char *last = f->helpers.n && f->helpers.block[f->helpers.n - 1].end > f->text.end
                           ? f->helpers.block[f->helpers.n - 1].end
                           : f->text.end;
    out->is_whole = f->is_whole;
    out->from = vt_plain_from(plain, first);
    out->to = last > first ? vt_plain_to(plain, last) : out->from;
    out->first_line = vt_plain_line(plain, out->from);
    VT_TRY(copy_text(f, is_answer && has_crlf(plain->text), out, err));
    if (is_answer && f->is_whole)
        drop_linkage(out);
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
    struct vt_plain plain = {.text = all, .answer = all};
    if (is_answer)
        VT_TRY(vt_plain_make(all, &plain, err));
    struct found f = is_answer ? in_answer(plain.text, name) : in_source(all, name);
    vt_status status = VT_OK;
    if (f.is_cut || !f.rank || is_blank(f.is_whole ? f.text : closed(f.text)))
        explain_none(&f, plain.text, name, out);
    if (!f.is_cut && f.rank)
        status = take(&f, &plain, is_answer, out, err);
    vt_plain_free(&plain);
    return status;
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
