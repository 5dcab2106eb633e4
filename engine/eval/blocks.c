/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.c: reasoning, lines and fences of an answer.
 *
 * A fence is a run of three or more backticks or tildes that begins a line, or that is the only run of a line and ends
 * it up to one word ("Here it is: ```c", "}```"). Inside a block a run of the same kind, at least as long and with
 * nothing behind it closes; one with a word behind it closes and opens, because models forget the closing one; a
 * shorter one or one of the other kind is text. So a block of four backticks can show one of three.
 */
#include "eval/blocks.h"
#include <string.h>
#include <strings.h>

const char *vt_line_end(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl : end;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct vt_span vt_span_trim(struct vt_span s)
{
    while (s.p < s.end && is_space(*s.p))
        s.p++;
    while (s.p < s.end && is_space(s.end[-1]))
        s.end--;
    return s;
}

/* ---- reasoning ---- */

static const struct tag {
    const char *open, *close;
} tags[] = {{"<think>", "</think>"},
            {"<thinking>", "</thinking>"},
            {"<thought>", "</thought>"},
            {"<reasoning>", "</reasoning>"},
            {"<analysis>", "</analysis>"},
            {"<scratchpad>", "</scratchpad>"},
            {"[THINK]", "[/THINK]"},
            {"\xe2\x97\x81think\xe2\x96\xb7", "\xe2\x97\x81/think\xe2\x96\xb7"},
            {"<|channel|>analysis<|message|>", "<|end|>"}};
enum { N_TAGS = sizeof tags / sizeof tags[0] };

static bool starts(struct vt_span s, const char *word)
{
    size_t n = strlen(word);
    return (size_t)(s.end - s.p) >= n && memcmp(s.p, word, n) == 0;
}

static bool may_be_tag(char c)
{
    return c == '<' || c == '[' || c == '\xe2';
}

/* The end of `close` at or after s.p; NULL when it does not come. */
static const char *find_close(struct vt_span s, const char *close)
{
    for (; s.p < s.end; s.p++)
        if (*s.p == close[0] && starts(s, close))
            return s.p + strlen(close);
    return NULL;
}

void vt_parts_init(struct vt_parts *it, struct vt_span answer)
{
    *it = (struct vt_parts){.rest = answer};
}

bool vt_parts_next(struct vt_parts *it, struct vt_part *out)
{
    if (it->is_ended)
        return false;
    *out = (struct vt_part){.text = it->rest, .is_behind = it->is_behind};
    for (struct vt_span at = it->rest; at.p < at.end; at.p++) {
        if (!may_be_tag(*at.p))
            continue;
        for (size_t i = 0; i < N_TAGS; i++) {
            if (starts(at, tags[i].open)) {
                const char *close = find_close(at, tags[i].close);
                out->text.end = at.p;
                out->is_cut = it->is_ended = !close;
                it->is_behind = true;
                it->rest.p = close ? close : at.end;
                return true;
            }
            if (starts(at, tags[i].close)) {
                out->text.p = at.p + strlen(tags[i].close);
                out->is_first = out->is_behind = true;
            }
        }
    }
    it->is_ended = true;
    return true;
}

/* ---- fences ---- */

struct fence {
    struct vt_span mark; /* the run */
    struct vt_span word; /* what stands after it on the line; empty = bare */
};

static const char *run_end(const char *p, const char *end)
{
    const char *q = p;
    while (q < end && *q == *p)
        q++;
    return q;
}

static bool is_mark(const char *p, const char *end)
{
    return (*p == '`' || *p == '~') && run_end(p, end) - p >= 3;
}

static bool is_word(struct vt_span s)
{
    for (; s.p < s.end; s.p++)
        if (is_space(*s.p))
            return false;
    return true;
}

/* Does the line [p, end) hold a fence? */
static bool find_fence(const char *p, const char *end, struct fence *out)
{
    struct vt_span line = vt_span_trim((struct vt_span){p, end});
    for (const char *at = line.p; at < line.end; at++) {
        if (!is_mark(at, line.end))
            continue;
        const char *after = run_end(at, line.end);
        out->mark = (struct vt_span){at, after};
        out->word = vt_span_trim((struct vt_span){after, line.end});
        if (at == line.p)
            return memchr(after, '`', (size_t)(line.end - after)) == NULL;
        if (*at == '~' || !is_word(out->word))
            return false;
        for (const char *q = after; q < line.end; q++)
            if (*q == '`')
                return false;
        return true;
    }
    return false;
}

/* The language in what stands after a fence: the first word, also of {.c} and c,title. */
static struct vt_span language_of(struct vt_span w)
{
    while (w.p < w.end && (*w.p == '{' || *w.p == '.'))
        w.p++;
    const char *end = w.p;
    while (end < w.end && !is_space(*end) && !strchr("{},:;=", *end))
        end++;
    return (struct vt_span){w.p, end};
}

static bool is_one_of(struct vt_span w, const char *const *words)
{
    size_t n = (size_t)(w.end - w.p);
    for (; *words; words++)
        if (strlen(*words) == n && strncasecmp(*words, w.p, n) == 0)
            return true;
    return false;
}

static enum vt_block_word word_of(struct vt_span w)
{
    static const char *const c[] = {"c",   "h",   "cc",  "cpp", "c++",   "cxx", "hpp", "c99",
                                    "c11", "c17", "c23", "gnu", "clang", "gcc", NULL};
    static const char *const foreign[] = {
        "rust",   "rs",         "python",  "py",  "python3", "go",       "golang",  "java",    "js",     "javascript",
        "ts",     "typescript", "fortran", "f90", "julia",   "jl",       "zig",     "swift",   "kotlin", "cs",
        "csharp", "c#",         "ruby",    "rb",  "perl",    "php",      "lua",     "haskell", "ocaml",  "scala",
        "asm",    "nasm",       "bash",    "sh",  "shell",   "zsh",      "console", "sql",     "json",   "yaml",
        "toml",   "html",       "xml",     "css", "make",    "makefile", "cmake",   NULL};
    return w.p == w.end            ? VT_WORD_NONE
           : is_one_of(w, c)       ? VT_WORD_C
           : is_one_of(w, foreign) ? VT_WORD_FOREIGN
                                   : VT_WORD_OTHER;
}

void vt_fences_count(struct vt_span part, struct vt_fence_count *out)
{
    *out = (struct vt_fence_count){0};
    for (const char *p = part.p; p < part.end;) {
        const char *e = vt_line_end(p, part.end);
        struct fence f;
        if (find_fence(p, e, &f) && out->n++ == 0) {
            out->first = (struct vt_span){f.mark.p, e};
            out->is_bare = f.word.p == f.word.end;
        }
        p = e < part.end ? e + 1 : e;
    }
}

static bool closes(const struct fence *f, const struct fence *open)
{
    return *f->mark.p == *open->mark.p && f->mark.end - f->mark.p >= open->mark.end - open->mark.p;
}

/* The fence that opens the next block; rest begins behind its line afterwards. */
static bool next_open(struct vt_span *rest, struct fence *out)
{
    while (rest->p < rest->end) {
        const char *p = rest->p, *e = vt_line_end(p, rest->end);
        rest->p = e < rest->end ? e + 1 : e;
        if (find_fence(p, e, out))
            return true;
    }
    return false;
}

bool vt_block_next(struct vt_span *rest, struct vt_block *out)
{
    struct fence open, f;
    if (!next_open(rest, &open))
        return false;
    struct vt_span language = language_of(open.word);
    *out = (struct vt_block){.text = *rest, .word = word_of(language), .language = language, .is_open = true};
    for (const char *p = rest->p; p < rest->end;) {
        const char *e = vt_line_end(p, rest->end), *next = e < rest->end ? e + 1 : e;
        if (find_fence(p, e, &f) && closes(&f, &open)) {
            out->text.end = f.mark.p;
            out->is_open = false;
            rest->p = f.word.p == f.word.end ? next : p; /* one with a word opens the next block: it is met again */
            return true;
        }
        p = next;
    }
    rest->p = rest->end;
    return true;
}
