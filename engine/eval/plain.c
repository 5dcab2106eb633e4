/* SPDX-License-Identifier: Apache-2.0
 *
 * plain.c: what stands around code beside Markdown is turned into Markdown, so that extract.c has one thing to read:
 *
 *   - an answer whose lines end in CR alone gets line feeds;
 *   - spaces that only look like one (U+00A0 and its kin) become spaces, characters of no width go: no compiler takes
 *     them, and they are a web page's or a tokenizer's, not the model's C;
 *   - a quotation ("> ") that holds a fence loses its marks;
 *   - where there is no fence at all, <pre> and a <code> of several lines are fences, and entities in them characters.
 *
 * Nothing gets longer, so one buffer of the answer's size is enough; every byte knows where it stood. Most answers need
 * none of it and are read as they are. All of it is one walk.
 */
#include "eval/plain.h"
#include "base/alloc.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MAX_TAG = 120, MAX_ENTITY = 8 };

enum wrap { WRAP_NONE, WRAP_PRE, WRAP_CODE };

struct writer {
    const char *base, *end;
    char *out;
    size_t *at, n;
    bool is_cr, has_html;   /* what is looked for */
    const char *quoted_end; /* of the quotation whose marks go */
    enum wrap wrap;
};

static void put(struct writer *w, char c, const char *from)
{
    w->at[w->n] = (size_t)(from - w->base);
    w->out[w->n++] = c;
}

static void put_text(struct writer *w, const char *text, size_t n, const char *from)
{
    for (size_t i = 0; i < n; i++)
        put(w, text[i], from);
}

/* ---- characters ---- */

static bool has(const char *p, const char *end, const char *bytes)
{
    size_t n = strlen(bytes);
    return (size_t)(end - p) >= n && memcmp(p, bytes, n) == 0;
}

/* Bytes of a character that is written as `*as` (0: not at all); 0 = an ordinary one. */
static size_t odd_character(const char *p, const char *end, char *as)
{
    static const char *const nothing[] = {"\xe2\x80\x8b", "\xe2\x80\x8c", "\xe2\x80\x8d", "\xe2\x81\xa0",
                                          "\xef\xbb\xbf"};
    static const char *const spaces[] = {"\xc2\xa0", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80"};
    *as = 0;
    if ((unsigned char)*p < 0xc2)
        return 0;
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++)
        if (has(p, end, nothing[i]))
            return 3;
    *as = ' ';
    for (size_t i = 0; i < sizeof spaces / sizeof spaces[0]; i++)
        if (has(p, end, spaces[i]))
            return strlen(spaces[i]);
    bool is_wide = has(p, end, "\xe2\x80") && end - p > 2 && (unsigned char)p[2] >= 0x80 && (unsigned char)p[2] <= 0x8a;
    return is_wide ? 3 : 0; /* U+2000 to U+200A */
}

/* ---- quotations ---- */

/* Behind the mark that begins a quoted line; NULL where none does. */
static const char *behind_mark(const char *p, const char *end)
{
    for (int i = 0; i < 3 && p < end && *p == ' '; i++)
        p++;
    if (p == end || *p != '>')
        return NULL;
    p++;
    return p < end && *p == ' ' ? p + 1 : p;
}

static bool begins_with_fence(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return has(p, end, "```") || has(p, end, "~~~");
}

/* At the start of a line: the end of the quotation that begins there; *has_fence: it is one that holds a fence. */
static const char *quotation_end(const char *p, const char *end, bool *has_fence)
{
    *has_fence = false;
    while (p < end) {
        const char *e = vt_line_end(p, end), *text = behind_mark(p, e);
        if (!text)
            return p;
        *has_fence = *has_fence || begins_with_fence(text, e);
        p = e < end ? e + 1 : e;
    }
    return p;
}

/* ---- markup ---- */

/* Behind the tag <NAME …> or </NAME> at p; NULL where another thing stands. */
static const char *behind_tag(const char *p, const char *end, const char *name)
{
    size_t n = strlen(name), room = (size_t)(end - p) < MAX_TAG ? (size_t)(end - p) : MAX_TAG;
    if (room < n + 2 || *p != '<' || strncasecmp(p + 1, name, n) != 0)
        return NULL;
    if (p[n + 1] != '>' && p[n + 1] != ' ')
        return NULL;
    const char *close = memchr(p, '>', room);
    return close ? close + 1 : NULL;
}

static const char *skip_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t'))
        p++;
    return p;
}

/* The language that the tags [p, end) name: class="language-c", lang="c". */
static struct vt_span language_of(const char *p, const char *end)
{
    static const char *const keys[] = {"language-", "lang-", "lang=\"", "lang='"};
    for (; p < end; p++)
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            if (has(p, end, keys[i])) {
                const char *from = p + strlen(keys[i]), *to = from;
                while (to < end && !strchr("\"' >", *to))
                    to++;
                return (struct vt_span){from, to};
            }
    return (struct vt_span){NULL, NULL};
}

/* Is a <code> whose content begins at p one of several lines? What follows it decides only up to its end. */
static bool is_long_code(const char *p, const char *end)
{
    for (; p < end; p++) {
        if (*p == '\n')
            return true;
        if (*p == '<' && behind_tag(p, end, "/code"))
            return false;
    }
    return false;
}

static void put_fence(struct writer *w, struct vt_span language, const char *from)
{
    if (w->n > 0 && w->out[w->n - 1] != '\n')
        put(w, '\n', from);
    put_text(w, "```", 3, from);
    put_text(w, language.p, (size_t)(language.end - language.p), from);
    put(w, '\n', from);
}

/* What the tag at p opens or closes; returns what stands behind it, or NULL where none does. */
static const char *take_tag(struct writer *w, const char *p)
{
    const char *behind, *inner;
    if (w->wrap == WRAP_NONE) {
        bool is_pre = (behind = behind_tag(p, w->end, "pre")) != NULL;
        if (!is_pre && (!(behind = behind_tag(p, w->end, "code")) || !is_long_code(behind, w->end)))
            return NULL;
        if (is_pre && (inner = behind_tag(skip_space(behind, w->end), w->end, "code")))
            behind = inner;
        w->wrap = is_pre ? WRAP_PRE : WRAP_CODE;
        put_fence(w, language_of(p, behind), p);
        return behind < w->end && *behind == '\n' ? behind + 1 : behind;
    }
    behind = behind_tag(p, w->end, "/code");
    if (behind && w->wrap == WRAP_PRE)
        return behind;
    if (!behind && w->wrap == WRAP_PRE)
        behind = behind_tag(p, w->end, "/pre");
    if (behind) {
        w->wrap = WRAP_NONE;
        put_fence(w, (struct vt_span){NULL, NULL}, p);
    }
    return behind;
}

static const char *take_entity(struct writer *w, const char *p)
{
    static const struct {
        const char *name;
        char c;
    } entities[] = {{"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&#39;", '\''}, {"&nbsp;", ' '}};
    for (size_t i = 0; i < sizeof entities / sizeof entities[0]; i++)
        if (has(p, w->end, entities[i].name)) {
            put(w, entities[i].c, p);
            return p + strlen(entities[i].name);
        }
    return NULL;
}

/* ---- the walk ---- */

static const char *take(struct writer *w, const char *p)
{
    const char *behind = NULL;
    char as;
    size_t n = odd_character(p, w->end, &as);
    if (n > 0) {
        if (as)
            put(w, as, p);
        return p + n;
    }
    if (w->has_html && *p == '<')
        behind = take_tag(w, p);
    else if (w->wrap != WRAP_NONE && *p == '&')
        behind = take_entity(w, p);
    if (behind)
        return behind;
    put(w, w->is_cr && *p == '\r' ? '\n' : *p, p);
    return p + 1;
}

static void walk(struct writer *w)
{
    bool is_line_start = true, is_read = false;
    for (const char *p = w->base; p < w->end;) {
        if (is_line_start && p >= w->quoted_end) {
            const char *e = quotation_end(p, w->end, &is_read);
            w->quoted_end = e; /* not looked at again, with a fence or without */
        }
        if (is_line_start && is_read && p < w->quoted_end) {
            const char *text = behind_mark(p, vt_line_end(p, w->end));
            p = text ? text : p;
        }
        if (p == w->end)
            return;
        is_line_start = *p == '\n';
        p = take(w, p);
    }
}

/* Is there anything to do? */
static bool is_wrapped(const struct writer *w)
{
    bool is_line_start = true;
    char as;
    if (w->is_cr || w->has_html)
        return true;
    for (const char *p = w->base; p < w->end; is_line_start = *p == '\n', p++)
        if (odd_character(p, w->end, &as) || (is_line_start && behind_mark(p, w->end)))
            return true;
    return false;
}

static bool has_word(struct vt_span s, const char *word)
{
    for (const char *p = s.p; (p = memchr(p, *word, (size_t)(s.end - p))) != NULL; p++)
        if ((size_t)(s.end - p) >= strlen(word) && strncasecmp(p, word, strlen(word)) == 0)
            return true;
    return false;
}

vt_status vt_plain_make(struct vt_span answer, struct vt_plain *out, vt_err *err)
{
    size_t len = (size_t)(answer.end - answer.p);
    *out = (struct vt_plain){.text = answer, .answer = answer};
    struct writer w = {.base = answer.p, .end = answer.end, .quoted_end = answer.p};
    w.is_cr = memchr(answer.p, '\r', len) && !memchr(answer.p, '\n', len);
    w.has_html =
        (has_word(answer, "<pre") || has_word(answer, "<code")) && !has_word(answer, "```") && !has_word(answer, "~~~");
    if (len == 0 || !is_wrapped(&w))
        return VT_OK;
    w.out = out->own = vt_alloc(len + 1);
    w.at = out->at = vt_alloc_array(len + 1, sizeof *out->at);
    if (!w.out || !w.at) {
        vt_plain_free(out);
        return vt_fail(err, VT_ENOMEM, "cannot read an answer of %zu bytes: out of memory", len);
    }
    walk(&w);
    out->text = (struct vt_span){w.out, w.out + w.n};
    return VT_OK;
}

void vt_plain_free(struct vt_plain *p)
{
    free(p->own);
    free(p->at);
    p->own = NULL;
    p->at = NULL;
}

size_t vt_plain_from(const struct vt_plain *p, const char *in_text)
{
    size_t i = (size_t)(in_text - p->text.p);
    if (!p->own)
        return i;
    return in_text < p->text.end ? p->at[i] : (size_t)(p->answer.end - p->answer.p);
}

size_t vt_plain_to(const struct vt_plain *p, const char *in_text)
{
    size_t i = (size_t)(in_text - p->text.p), len = (size_t)(p->answer.end - p->answer.p);
    if (!p->own || i == 0)
        return i;
    size_t to = p->at[i - 1] + 1;
    while (to < len && (p->answer.p[to] & 0xC0) == 0x80)
        to++;
    return to;
}

int vt_plain_line(const struct vt_plain *p, size_t at)
{
    int line = 1;
    bool is_cr = !memchr(p->answer.p, '\n', (size_t)(p->answer.end - p->answer.p));
    for (const char *q = p->answer.p; q < p->answer.p + at; q++)
        line += *q == (is_cr ? '\r' : '\n');
    return line;
}
