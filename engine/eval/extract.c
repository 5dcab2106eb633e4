/* SPDX-License-Identifier: Apache-2.0
 *
 * extract.c: finds the code in an answer and says whether it is a body or a whole function.
 *
 * The default prompt ends inside an open fence, right after the signature and its brace: the answer is then the body, a
 * line `}`, perhaps a closing fence and chatter. Other models answer with prose, reasoning and one or more fenced
 * blocks. In this order:
 *   - reasoning is taken out; the last part that holds code counts;
 *   - code before the first fence belongs to the fence that the prompt opened, if its braces close or nothing else can
 *     have opened that fence; what stands behind gives helpers, and takes its place where it is said to correct it;
 *   - else the blocks: one that defines the function, then one that may (kind.c), then one that is a body, and last one
 *     that calls the function, as an example of its use does, or only declares, as a header. Among bodies a C block
 * goes before one without a word, that before one with another word; the last among equals. A block that says it is
 * Rust or Python counts only when no other does and C's function stands in it after all; of commands of a shell the
 * text of the file that they write. So the last block that defines
 * the function is the answer; of the others come its helpers (helpers.c). One that is switched off (switched.c) defines
 * nothing, and one in a block with an unknown word goes behind C's;
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
#include "eval/definition.h"
#include "eval/helpers.h"
#include "eval/items.h"
#include "eval/kind.h"
#include "eval/plain.h"
#include "eval/prose.h"
#include "eval/switched.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTED = 8 }; /* fences in fences that are looked into: each level reads the text once more */

/* How much what was found is worth. */
enum rank {
    RANK_NONE,
    RANK_SWITCHED_OFF, /* a definition that no compiler sees */
    RANK_EXAMPLE,      /* calls the function, or does nothing but declare */
    RANK_OTHER_WORD,
    RANK_NO_WORD,
    RANK_C,
    RANK_FOREIGN_DEFINITION, /* C in a block that names another language */
    RANK_CUT_DEFINITION,
    RANK_MAY_DEFINE,       /* a compiler must say */
    RANK_OTHER_DEFINITION, /* in a block with a word that says nothing of C */
    RANK_DEFINITION
};

struct found {
    struct vt_span text;
    enum rank rank;
    bool is_whole, is_cut;
    bool is_long;           /* too much stands outside the thoughts */
    struct vt_span part;    /* whose blocks may hold its helpers; NULL where there are no blocks */
    struct vt_span foreign; /* nothing was found but a block in this language */
    struct vt_span other;   /* nothing was found but a function of this name */
};

/* ---- C text ---- */

/* Is the brace at `p`, perhaps a digraph, a line of its own, without indentation? */
static bool is_brace_line(struct vt_span s, const char *p)
{
    return (p == s.p || p[-1] == '\n') && vt_is_blank_line(p + (*p == '%' ? 2 : 1), vt_line_end(p, s.end));
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
    struct vt_branches branches = {.n = 0};
    int depth = 0;
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END && !c.line; t = vt_clexer_next(&l)) {
        if (t.in_directive) {
            vt_branches_take(&branches, vt_clexer_branch(&l, &t), &depth);
            continue;
        }
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

/* ---- candidates ---- */

static struct found cut(enum rank rank)
{
    return (struct found){.rank = rank, .is_cut = true};
}

/* Text that goes on where the prompt's signature and brace ended. is_delimited: a fence closes it. A brace with a line
 * of its own makes a body of whatever stands before it; else only statements are believed to be one. */
static struct found body_of(struct vt_span s, const char *name, enum rank rank, bool is_delimited)
{
    struct closing c = find_closing(s);
    const char *end = c.line ? c.line : c.brace;
    if (!end && !is_delimited)
        end = c.any;
    struct vt_span text = end ? vt_span_cut(s, end) : is_delimited ? vt_span_cut(s, s.end) : s;
    struct vt_span other = vt_other_function(text, name);
    if (other.p)
        return (struct found){.other = other};
    if (!(end && is_brace_line(s, end)) && !has_statement(text))
        return (struct found){0};
    if (end || is_delimited)
        return (struct found){.text = text, .rank = rank};
    return looks_like_code(text) ? cut(rank) : (struct found){0};
}

/* The same where prose may stand around it and the text does not go on with the prompt's function. */
static struct vt_span other_in_the_open(struct vt_span s, const char *name)
{
    struct vt_definition d, last = {0};
    struct vt_definitions w;
    const char *start = NULL, *brace = find_closing(s).brace;
    if (brace) /* body_of looks at what stands before it */
        return (struct vt_span){NULL, NULL};
    vt_definitions_of(s, &w);
    while (vt_definition_next(&w, NULL, &d) && d.is_complete) {
        start = start ? start : vt_code_start(s, d.name);
        last = d;
    }
    return start ? vt_other_function((struct vt_span){start, last.end}, name) : (struct vt_span){NULL, NULL};
}

/* Code in the open that defines the function as only a compiler sees it. A brace that closes the prompt's function is
 * not for this to judge. */
static struct found maybe_in_the_open(struct vt_span s, const char *name)
{
    struct vt_span code = find_closing(s).brace ? (struct vt_span){NULL, NULL} : vt_doubtful_code(s, name);
    return (struct found){.text = code, .rank = code.p ? RANK_MAY_DEFINE : RANK_NONE, .is_whole = true};
}

/* The last complete definition that is not switched off, else the last one. */
static bool find_definition(struct vt_span s, const char *name, struct vt_definition *out, bool *is_off)
{
    struct vt_definitions w;
    struct vt_definition d;
    struct vt_switches switches;
    bool is_found = vt_definition_find(s, name, out);
    *is_off = is_found;
    vt_definitions_of(s, &w);
    vt_switches_of(s, &switches);
    while (is_found && vt_definition_next(&w, name, &d))
        if (!vt_is_off(&switches, d.name) && (d.is_complete || *is_off)) {
            *out = d;
            *is_off = false;
        }
    return is_found;
}

/* The word behind << on a line of a shell, with which a line after the text ends it; empty where there is none. */
static struct vt_span heredoc_word(struct vt_span line)
{
    for (const char *p = line.p; p + 2 < line.end; p++) {
        if (p[0] != '<' || p[1] != '<' || p[2] == '<')
            continue;
        struct vt_span w = vt_span_trim((struct vt_span){p + 2 + (p[2] == '-'), line.end});
        bool is_quoted = w.p < w.end && (*w.p == '\'' || *w.p == '"');
        w.p += is_quoted;
        const char *end = w.p;
        while (end < w.end && (*end == '_' || (*end >= 'A' && *end <= 'Z') || (*end >= 'a' && *end <= 'z')))
            end++;
        return (struct vt_span){w.p, end};
    }
    return (struct vt_span){line.end, line.end};
}

/* Of commands that write files (cat >relu.c <<EOF) the file's text that `at` stands in; s where there is no such. */
static struct vt_span heredoc_around(struct vt_span s, const char *at)
{
    struct vt_span word = {NULL, NULL}, body = {NULL, NULL}; /* of the text that is open, when body.p is set */
    for (const char *p = s.p; p < s.end;) {
        const char *e = vt_line_end(p, s.end), *next = e < s.end ? e + 1 : e;
        struct vt_span line = vt_span_trim((struct vt_span){p, e});
        bool is_end = body.p && line.end - line.p == word.end - word.p &&
                      memcmp(line.p, word.p, (size_t)(word.end - word.p)) == 0;
        if (is_end && at >= body.p && at < p)
            return (struct vt_span){body.p, p};
        if (is_end) {
            body.p = NULL;
        } else if (!body.p) {
            word = heredoc_word(line);
            body.p = word.p < word.end ? next : NULL;
        }
        p = next;
    }
    return s;
}

/* Code that stands in the open. */
static struct found in_the_open(struct vt_span s, const char *name, bool is_delimited)
{
    struct vt_definition d;
    bool is_off;
    if (!find_definition(s, name, &d, &is_off)) {
        struct found maybe = maybe_in_the_open(s, name);
        struct vt_span other = maybe.rank ? (struct vt_span){NULL, NULL} : other_in_the_open(s, name);
        return maybe.rank ? maybe
               : other.p  ? (struct found){.other = other}
                          : body_of(vt_without_prose(s), name, RANK_C, is_delimited);
    }
    /* A body that closes the prompt's brace is the answer; what defines the function behind it (the original, shown
     * once more) is not. */
    struct vt_span before = {s.p, d.name};
    struct closing c = find_closing(before);
    if (c.line && has_statement(vt_span_cut(before, c.line)))
        return body_of(before, name, RANK_C, true);
    if (!d.is_complete && !is_delimited)
        return cut(RANK_CUT_DEFINITION);
    struct vt_span text = vt_with_branches(s, (struct vt_span){vt_code_start(s, d.name), d.end});
    return (struct found){.text = text, .rank = RANK_DEFINITION, .is_whole = true};
}

/* What there is instead of code. */
static void note_other(struct found *best, const struct found *f)
{
    best->foreign = f->foreign.p ? f->foreign : best->foreign;
    best->other = f->other.p ? f->other : best->other;
}

static struct found in_blocks(struct vt_span s, const char *name, int depth);

static bool is_cut_off(struct vt_span s)
{
    struct vt_items w;
    struct vt_item i;
    vt_items_of(s, &w);
    while (vt_items_next(&w, &i))
        if (i.parts & VT_ITEM_CUT)
            return true;
    return false;
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

/* A block in which no definition of the function can be seen. */
static struct found without_definition(const struct vt_block *b, const char *name)
{
    static const enum rank ranks[] = {
        [VT_WORD_OTHER] = RANK_OTHER_WORD, [VT_WORD_NONE] = RANK_NO_WORD, [VT_WORD_C] = RANK_C};
    struct vt_text_kind kind = vt_text_kind(b->text, name);
    if (kind.is_whole && b->is_open && is_cut_off(b->text))
        return cut(RANK_CUT_DEFINITION);
    if (kind.is_whole)
        return (struct found){.text = vt_span_cut(b->text, b->text.end), .rank = RANK_MAY_DEFINE, .is_whole = true};
    struct vt_span other = b->is_open ? other_in_the_open(b->text, name) : vt_other_function(b->text, name);
    if (other.p)
        return (struct found){.other = other};
    bool is_example = name && (vt_calls(b->text, name) || vt_only_declares(b->text));
    return body_of(b->text, name, is_example ? RANK_EXAMPLE : ranks[b->word], !b->is_open);
}

static struct found in_block(const struct vt_block *b, const char *name, int depth)
{
    struct vt_definition d;
    bool is_off;
    /* A longer fence may show shorter ones, but what says that it is C is C and shows nothing. */
    bool shows = b->word != VT_WORD_C && depth < MAX_NESTED;
    struct found inner = shows ? in_blocks(b->text, name, depth + 1) : (struct found){0};
    if (inner.rank && !inner.is_cut)
        return inner;
    bool is_foreign = b->word == VT_WORD_FOREIGN;
    struct vt_span text = b->text;
    if (!find_definition(text, name, &d, &is_off)) {
        if (is_foreign)
            return (struct found){.foreign = b->language};
        if (b->word != VT_WORD_C && has_fence(b->text))
            return (struct found){0}; /* it shows other blocks and is no C itself */
        return without_definition(b, name);
    }
    if (!d.is_complete && b->is_open)
        return cut(RANK_CUT_DEFINITION);
    if (is_foreign)
        text = heredoc_around(text, d.name);
    return (struct found){.text = vt_span_cut(text, b->is_open ? d.end : text.end),
                          .rank = is_off                     ? RANK_SWITCHED_OFF
                                  : is_foreign               ? RANK_FOREIGN_DEFINITION
                                  : b->word == VT_WORD_OTHER ? RANK_OTHER_DEFINITION
                                                             : RANK_DEFINITION,
                          .is_whole = true};
}

static struct found in_blocks(struct vt_span s, const char *name, int depth)
{
    struct found best = {0};
    struct vt_block b;
    while (vt_block_next(&s, &b)) {
        struct found f = in_block(&b, name, depth);
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

/* The last block behind the prompt's own that defines the function and is said to correct it. The original shown once
 * more, and a version for another purpose, are none. */
static struct found corrected_in(struct vt_span s, const char *name)
{
    struct found best = {0};
    struct vt_block b;
    for (const char *from = s.p; vt_block_next(&s, &b); from = s.p) {
        if (!vt_announces_correction(vt_prose_before(from, &b)))
            continue;
        struct found f = in_block(&b, name, 0);
        if (f.rank == RANK_DEFINITION && !f.is_cut)
            best = f;
    }
    return best;
}

static struct found in_part(const struct vt_part *part, const char *name)
{
    struct vt_fence_count fences;
    struct vt_span s = part->text;
    while (part->is_behind && s.p < s.end && vt_is_blank_line(s.p, vt_line_end(s.p, s.end)))
        s.p = vt_line_end(s.p, s.end) + (vt_line_end(s.p, s.end) < s.end);
    vt_fences_count(s, &fences);
    if (fences.n == 0)
        return in_the_open(s, name, false);
    struct vt_span before = {s.p, fences.first.p}, behind = {fences.first.end, s.end};
    struct found f = {0};
    if (closes_the_prompt(before, &fences)) {
        struct found corrected = corrected_in(behind, name);
        f = corrected.rank ? corrected : in_the_open(before, name, true);
        s = behind;
    }
    if (!f.rank)
        f = in_blocks(s, name, 0);
    f.part = s;
    return f;
}

/* The last part that holds code; *is_cut: code was there, or would have come, and the answer ends before it does. */
static struct found in_answer(struct vt_span answer, const char *name)
{
    struct vt_parts parts;
    struct vt_part part;
    struct found best = {0};
    vt_parts_init(&parts, answer);
    for (size_t n_read = 0; vt_parts_next(&parts, &part);) {
        n_read = (part.is_first ? 0 : n_read) + (size_t)(part.text.end - part.text.p);
        if (n_read > VT_CODE_MAX)
            return (struct found){.is_long = true};
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
    bool is_whole = vt_text_kind(s, name).is_whole;
    struct vt_span other = is_whole ? (struct vt_span){NULL, NULL} : vt_other_function(s, name);
    if (other.p)
        return (struct found){.other = other};
    return (struct found){.text = s, .rank = RANK_DEFINITION, .is_whole = is_whole};
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

static vt_status copy_text(const struct vt_pieces *p, bool is_crlf, struct vt_code *out, vt_err *err)
{
    size_t size = 1;
    for (size_t i = 0; i < p->n; i++)
        size += (size_t)(p->piece[i].end - p->piece[i].p) + 2;
    out->text = vt_alloc(size);
    if (!out->text)
        return vt_fail(err, VT_ENOMEM, "cannot copy the %zu bytes of code in an answer: out of memory", size);
    for (size_t i = 0; i < p->n; i++) {
        if (i > 0) {
            memcpy(out->text + out->len, "\n\n", 2);
            out->len += 2;
        }
        copy_span(p->piece[i], is_crlf, out);
    }
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
    struct vt_ctoken t, last = {.kind = VT_CTOKEN_END, .p = c->text}, before = last;
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
    if (!f->is_long && (f->is_cut || !f->rank) && is_json(answer))
        snprintf(out->why, sizeof out->why, "The answer is JSON; it must be C, as it is or between fences.");
    else if (f->is_long)
        snprintf(out->why, sizeof out->why, "The answer is longer than %d bytes, without its thoughts.", VT_CODE_MAX);
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

/* The code made of these stretches of a text that is the answer, or stands for it. */
static vt_status take(const struct vt_pieces *p, const struct vt_plain *plain, bool is_answer, struct vt_code *out,
                      vt_err *err)
{
    const char *first = p->piece[0].p, *last = p->piece[0].end;
    for (size_t i = 1; i < p->n; i++) {
        first = p->piece[i].p < first ? p->piece[i].p : first;
        last = p->piece[i].end > last ? p->piece[i].end : last;
    }
    out->from = vt_plain_from(plain, first);
    out->to = last > first ? vt_plain_to(plain, last) : out->from;
    out->first_line = vt_plain_line(plain, out->from);
    return copy_text(p, is_answer && has_crlf(plain->text), out, err);
}

/* What was found, with its helpers. The text as it stands then says what it is, so that taking it again says the same.
 */
static vt_status take_found(const struct found *f, const char *name, const struct vt_plain *plain, bool is_answer,
                            struct vt_code *out, vt_err *err)
{
    struct vt_span alone = f->text;
    struct vt_pieces pieces = {&alone, 1}, found = {NULL, 0};
    if (f->part.p && vt_has_other_blocks(f->part, f->text)) {
        VT_TRY(vt_helpers_find(f->part, f->text, f->is_whole, name, &found, err));
        pieces = found;
    }
    vt_status s = take(&pieces, plain, is_answer, out, err);
    vt_pieces_free(&found);
    VT_TRY(s);
    if (is_answer && f->is_whole)
        drop_linkage(out);
    struct vt_text_kind kind = vt_text_kind((struct vt_span){out->text, out->text + out->len}, name);
    out->is_whole = kind.is_whole;
    out->is_doubtful = kind.is_doubtful;
    return VT_OK;
}

vt_status vt_extract(const char *answer, size_t len, const char *name, bool is_answer, struct vt_code *out, vt_err *err)
{
    struct vt_span all = {answer, answer + len};
    memset(out, 0, sizeof *out);
    out->first_line = 1;
    if (len > VT_ANSWER_MAX) {
        snprintf(out->why, sizeof out->why, "The answer is longer than %d bytes.", VT_ANSWER_MAX);
        return VT_OK;
    }
    if (memchr(answer, 0, len)) {
        snprintf(out->why, sizeof out->why, "The answer contains a NUL byte.");
        return VT_OK;
    }
    is_answer = is_answer || has_fence(all);
    if (!is_answer && len > VT_CODE_MAX) {
        snprintf(out->why, sizeof out->why, "The code is longer than %d bytes.", VT_CODE_MAX);
        return VT_OK;
    }
    struct vt_plain plain = {.text = all, .answer = all};
    if (is_answer)
        VT_TRY(vt_plain_make(all, &plain, err));
    struct found f = is_answer ? in_answer(plain.text, name) : in_source(all, name);
    vt_status status = VT_OK;
    if (f.is_cut || !f.rank || is_blank(f.is_whole ? f.text : closed(f.text)))
        explain_none(&f, plain.text, name, out);
    if (!f.is_cut && f.rank)
        status = take_found(&f, name, &plain, is_answer, out, err);
    vt_plain_free(&plain);
    return status;
}

/* ---- a body for the compiler ---- */

/* Does it belong to file scope: a header, options of the compiler, a function that is static? */
static bool asks_for_file_scope(const struct vt_item *i)
{
    static const char *const options[] = {"optimize", "target", "push_options", "pop_options", "reset_options", NULL};
    struct vt_clexer l = vt_clexer_of(i->text);
    struct vt_ctoken last = {.kind = VT_CTOKEN_END, .p = i->text.p};
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; last = t, t = vt_clexer_next(&l))
        if ((last.is_mark && vt_ctoken_is(&t, "include")) ||
            (t.in_directive && vt_ctoken_is(&last, "GCC") && vt_ctoken_is_one_of(&t, options)) ||
            (!t.in_directive && (i->parts & VT_ITEM_FUNCTION) && vt_ctoken_is(&t, "static")))
            return true;
    return false;
}

/* Would it stand at file scope as well as in the function? A variable might be made of the function's parameters. */
static bool may_be_lifted(const struct vt_item *i)
{
    static const char *const first[] = {"typedef", "static", "extern",   "enum",           "struct",
                                        "union",   "inline", "__inline", "_Static_assert", NULL};
    const unsigned harmless =
        VT_ITEM_MACRO | VT_ITEM_DIRECTIVE | VT_ITEM_CONDITIONAL | VT_ITEM_DECLARATION | VT_ITEM_FUNCTION;
    if ((i->parts & ~harmless) || ((i->parts & VT_ITEM_FUNCTION) && !i->head.p))
        return false;
    struct vt_clexer l = vt_clexer_of(i->text);
    struct vt_ctoken t = vt_clexer_next(&l);
    bool is_prototype = i->head.p && i->n_names == 0;
    return !(i->parts & VT_ITEM_DECLARATION) || is_prototype || vt_ctoken_is_one_of(&t, first);
}

size_t vt_body_head(const char *text, size_t len)
{
    struct vt_items w;
    struct vt_item i;
    const char *end = text;
    vt_items_of(closed((struct vt_span){text, text + len}), &w);
    while (vt_items_next(&w, &i) && may_be_lifted(&i))
        end = asks_for_file_scope(&i) ? i.text.end : end;
    return (size_t)(end - text);
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
