/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.c: reasoning, lines and fences of an answer.
 *
 * A fence is a run of three or more backticks or tildes that begins a line, or that is the only run of a line and ends
 * it up to one word ("Here it is: ```c"). Inside a block a run of the same kind, at least as long and with nothing
 * behind it closes, where it has a line of its own or stands behind code that ends ("}```"); one with a word behind it
 * closes and opens, because models forget the closing one; a shorter one or one of the other kind is text. So a block
 * of four backticks can show one of three. Three tildes are an expression of C, too: with something behind them that is
 * no language's name (a semicolon, a single letter) they are no fence.
 *
 * A comment of C is text: a ruler of tildes in it, or an example between fences, opens nothing. But a bare fence of the
 * block's own kind that begins a line ends the block even there, since that is what Markdown reads. A comment counts
 * only if it closes before another opens, so that a path in a sentence ("src/" and a star) hides nothing.
 *
 * A reasoning tag hides text only where no honest reader would take it for anything else: at the start of the answer,
 * or at the start of a line outside blocks and with its partner behind it. A closing tag without a partner begins or
 * ends a line outside blocks, or has one to itself. Control tokens of a model's own format may stand anywhere outside
 * blocks, and one that never closes hides the rest. What tags and tokens there are is a table of words and one of
 * forms; any word in any form counts.
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

/* ---- fences ---- */

struct fence {
    struct vt_span mark; /* the run */
    struct vt_span word; /* what stands after it on the line; empty = bare */
    bool begins_line;
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

/* Is what follows the line's beginning [p, at) in a comment to the end of the line? An address (https:) opens none. */
static bool in_line_comment(const char *p, const char *at)
{
    for (const char *q = p; q + 1 < at; q++)
        if (q[0] == '/' && q[1] == '/' && (q == p || is_space(q[-1]) || strchr(";{})", q[-1])))
            return true;
    return false;
}

static struct vt_span language_of(struct vt_span w);
static enum vt_block_word word_of(struct vt_span w);

/* Can it stand behind tildes that are a fence, and not two signs too many before an operand? */
static bool may_follow_tildes(struct vt_span w)
{
    struct vt_span language = language_of(w);
    enum vt_block_word word = word_of(language);
    bool is_language = word == VT_WORD_C || word == VT_WORD_NONE || language.end - language.p > 1;
    return !memchr(w.p, ';', (size_t)(w.end - w.p)) && is_language;
}

/* Does the line [p, end) hold what looks like a fence? */
static bool find_mark(const char *p, const char *end, struct fence *out)
{
    struct vt_span line = vt_span_trim((struct vt_span){p, end});
    for (const char *at = line.p; at < line.end; at++) {
        if (!is_mark(at, line.end))
            continue;
        const char *after = run_end(at, line.end);
        out->mark = (struct vt_span){at, after};
        out->word = vt_span_trim((struct vt_span){after, line.end});
        out->begins_line = at == line.p;
        if (memchr(after, '`', (size_t)(line.end - after)) || (*at == '~' && !may_follow_tildes(out->word)))
            return false;
        return out->begins_line || (*at == '`' && is_word(out->word) && !in_line_comment(line.p, at));
    }
    return false;
}

/* Comments of a text, found as far as somebody asks. */
struct comments {
    const char *at; /* behind what has been read: perhaps inside the text, at the end of a comment */
    const char *end;
};

/* Where a comment opens in [p, end), or, if asked, closes. */
static const char *find_edge(const char *p, const char *end, bool or_close)
{
    for (; p + 1 < end; p++)
        if ((p[0] == '/' && p[1] == '*') || (or_close && p[0] == '*' && p[1] == '/'))
            return p;
    return NULL;
}

/* Asked in the order of the text. */
static bool in_comment(struct comments *c, const char *at)
{
    while (c->at < at) {
        const char *open = find_edge(c->at, at, false);
        const char *edge = open ? find_edge(open + 2, c->end, true) : NULL;
        if (!open)
            c->at = at;
        else
            c->at = edge && *edge == '*' ? edge + 2 : open + 2;
    }
    return c->at > at;
}

static bool find_fence(struct comments *c, const char *p, const char *end, struct fence *out)
{
    return find_mark(p, end, out) && !in_comment(c, out->mark.p);
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

/* Of a file's name, "relu.c", what says what it holds. */
static struct vt_span extension_of(struct vt_span w)
{
    for (const char *p = w.end; p > w.p; p--)
        if (p[-1] == '.')
            return (struct vt_span){p, w.end};
    return w;
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
        "rust",       "rs",     "python",     "py",      "python3", "go",      "golang", "java",   "js",
        "javascript", "ts",     "typescript", "fortran", "f90",     "julia",   "jl",     "zig",    "swift",
        "kotlin",     "cs",     "csharp",     "c#",      "ruby",    "rb",      "perl",   "php",    "lua",
        "haskell",    "ocaml",  "scala",      "asm",     "nasm",    "bash",    "sh",     "shell",  "zsh",
        "console",    "sql",    "json",       "yaml",    "toml",    "html",    "xml",    "css",    "make",
        "makefile",   "cmake",  "cuda",       "cu",      "cuh",     "hip",     "opencl", "ocl",    "cl",
        "ispc",       "glsl",   "hlsl",       "wgsl",    "metal",   "objc",    "m",      "mm",     "d",
        "ada",        "nim",    "mojo",       "pascal",  "dart",    "odin",    "v",      "r",      "matlab",
        "vb",         "f",      "for",        "f95",     "s",       "llvm",    "ptx",    "wat",    "sycl",
        "halide",     "triton", "csh",        "fish",    "bat",     "ps1",     "diff",   "patch",  "objective-c",
        "erlang",     "elixir", "clojure",    "lisp",    "scheme",  "verilog", "vhdl",   "groovy", "powershell",
        NULL};
    static const char *const none[] = {"text", "txt", "plaintext", "plain", "code", NULL};
    w = extension_of(w);
    return w.p == w.end            ? VT_WORD_NONE
           : is_one_of(w, none)    ? VT_WORD_NONE
           : is_one_of(w, c)       ? VT_WORD_C
           : is_one_of(w, foreign) ? VT_WORD_FOREIGN
                                   : VT_WORD_OTHER;
}

void vt_fences_count(struct vt_span part, struct vt_fence_count *out)
{
    *out = (struct vt_fence_count){0};
    struct comments c = {part.p, part.end};
    for (const char *p = part.p; p < part.end;) {
        const char *e = vt_line_end(p, part.end);
        struct fence f;
        if (find_fence(&c, p, e, &f) && out->n++ == 0) {
            out->first = (struct vt_span){f.mark.p, e};
            out->is_bare = f.word.p == f.word.end;
        }
        p = e < part.end ? e + 1 : e;
    }
}

/* Does code that ends stand before the mark, on its line? */
static bool follows_code(const char *line, const char *mark)
{
    while (mark > line && is_space(mark[-1]))
        mark--;
    return mark > line && (mark[-1] == ';' || mark[-1] == '}');
}

/* Does what stands on the line at p end the block? With a word behind it, it opens the next as well. */
static bool closes(struct comments *c, const char *p, const char *end, const struct fence *open, struct fence *f)
{
    if (!find_mark(p, end, f) || *f->mark.p != *open->mark.p || f->mark.end - f->mark.p < open->mark.end - open->mark.p)
        return false;
    if (f->word.p < f->word.end)
        return f->begins_line && !in_comment(c, f->mark.p);
    return f->begins_line || (follows_code(p, f->mark.p) && !in_comment(c, f->mark.p));
}

/* The fence that opens the next block; rest begins behind its line afterwards. */
static bool next_open(struct vt_span *rest, struct fence *out)
{
    struct comments c = {rest->p, rest->end};
    while (rest->p < rest->end) {
        const char *p = rest->p, *e = vt_line_end(p, rest->end);
        rest->p = e < rest->end ? e + 1 : e;
        if (find_fence(&c, p, e, out))
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
    struct comments c = {rest->p, rest->end};
    *out = (struct vt_block){.text = *rest, .word = word_of(language), .language = language, .is_open = true};
    for (const char *p = rest->p; p < rest->end;) {
        const char *e = vt_line_end(p, rest->end), *next = e < rest->end ? e + 1 : e;
        if (closes(&c, p, e, &open, &f)) {
            out->text.end = f.mark.p;
            out->is_open = false;
            out->is_closed = f.word.p == f.word.end;
            rest->p = out->is_closed ? next : p; /* one with a word opens the next block: it is met again */
            return true;
        }
        p = next;
    }
    rest->p = rest->end;
    return true;
}

struct vt_span vt_prose_before(const char *from, const struct vt_block *b)
{
    const char *end = b->text.p;
    while (end > from && end[-1] == '\n')
        end--;
    while (end > from && end[-1] != '\n')
        end--;
    return (struct vt_span){from, end};
}

/* ---- reasoning ---- */

/* What models call their thinking. */
static const char *const words[] = {"think",    "thinking",   "thought",    "thoughts",  "reasoning",       "reason",
                                    "analysis", "scratchpad", "reflection", "rationale", "inner_monologue", "cot"};

/* How they set it apart: before and behind the word where it opens, and where it closes. */
static const struct form {
    const char *before, *behind, *close_before, *close_behind;
    bool is_token; /* of the model's format: no text that anybody writes */
} forms[] = {{"<", ">", "</", ">", false},
             {"[", "]", "[/", "]", false},
             {"<|", "|>", "<|/", "|>", true},
             {"<|begin_of_", "|>", "<|end_of_", "|>", true},
             {"<|start_of_", "|>", "<|end_of_", "|>", true},
             {"<|begin_", "|>", "<|end_", "|>", true},
             {"<|start_", "|>", "<|end_", "|>", true},
             {"\xe2\x97\x81", "\xe2\x96\xb7", "\xe2\x97\x81/", "\xe2\x96\xb7", true}};

/* Marks that are made in no such way. */
static const struct pair {
    const char *open, *close;
} pairs[] = {{"<|channel|>analysis<|message|>", "<|end|>"},
             {"<seed:think>", "</seed:think>"},
             {"<longcat_think>", "</longcat_think>"},
             {"<unused94>", "<unused95>"}};

enum {
    N_WORDS = sizeof words / sizeof words[0],
    N_FORMS = sizeof forms / sizeof forms[0],
    N_PAIRS = sizeof pairs / sizeof pairs[0],
    N_MARKS = N_WORDS * N_FORMS + N_PAIRS
};
_Static_assert((int)N_MARKS <= (int)VT_MAX_REASONING_MARKS, "an iterator over parts remembers something of every mark");

static size_t length_of(struct vt_span s, const char *text)
{
    size_t n = strlen(text);
    return (size_t)(s.end - s.p) >= n && strncasecmp(s.p, text, n) == 0 ? n : 0;
}

static size_t length_of_three(struct vt_span s, const char *before, const char *word, const char *behind)
{
    const char *const texts[] = {before, word, behind};
    const char *from = s.p;
    for (size_t i = 0, n; i < 3; i++, s.p += n)
        if (!(n = length_of(s, texts[i])))
            return 0;
    return (size_t)(s.p - from);
}

/* Bytes of the mark at s.p; 0: another thing stands there. */
static size_t opening_at(struct vt_span s, size_t mark)
{
    if (mark >= N_WORDS * N_FORMS)
        return length_of(s, pairs[mark - N_WORDS * N_FORMS].open);
    const struct form *f = &forms[mark / N_WORDS];
    return length_of_three(s, f->before, words[mark % N_WORDS], f->behind);
}

static size_t closing_at(struct vt_span s, size_t mark)
{
    if (mark >= N_WORDS * N_FORMS)
        return length_of(s, pairs[mark - N_WORDS * N_FORMS].close);
    const struct form *f = &forms[mark / N_WORDS];
    return length_of_three(s, f->close_before, words[mark % N_WORDS], f->close_behind);
}

static bool is_token(size_t mark)
{
    return mark >= N_WORDS * N_FORMS || forms[mark / N_WORDS].is_token;
}

/* By its first two bytes? */
static bool may_be_mark(struct vt_span s)
{
    char c = s.end - s.p > 1 ? s.p[1] : 0;
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return ((*s.p == '<' || *s.p == '[') && (is_letter || c == '/' || c == '|')) || (*s.p == '\xe2' && c == '\x97');
}

/* The end of the mark's partner at or after s.p; NULL when it does not come. */
static const char *find_close(struct vt_parts *it, size_t mark, struct vt_span s)
{
    for (; !it->is_unclosed[mark] && s.p < s.end; s.p++) {
        size_t n = may_be_mark(s) ? closing_at(s, mark) : 0;
        if (n)
            return s.p + n;
    }
    it->is_unclosed[mark] = true; /* from here on to the end, so nobody need look again */
    return NULL;
}

void vt_parts_init(struct vt_parts *it, struct vt_span answer)
{
    *it = (struct vt_parts){.rest = answer,
                            .answer = answer,
                            .first = vt_span_trim(answer).p,
                            .behind_block = answer.p,
                            .behind_comment = answer.p};
}

static void go_on_from(struct vt_parts *it, const char *p)
{
    it->rest.p = it->behind_comment = p;
    if (!it->block_from || it->block_from < p) /* else the next block is known */
        it->behind_block = p;
}

/* Does `at` stand in a block that opens and closes properly? One that runs into another one's fence, or into the end,
 * may be no block but what is left of a thought. Asked in the order of the text. */
static bool in_closed_block(struct vt_parts *it, const char *at)
{
    while (it->behind_block <= at && it->behind_block < it->answer.end) {
        struct vt_span rest = {it->behind_block, it->answer.end};
        if (!vt_block_next(&rest, &it->block))
            it->block = (struct vt_block){.text = {rest.end, rest.end}};
        it->block_from = rest.p < rest.end || it->block.text.p < rest.end
                             ? vt_prose_before(it->behind_block, &it->block).end
                             : rest.end;
        it->behind_block = rest.p;
    }
    return it->block.is_closed && at >= it->block.text.p && at < it->block.text.end;
}

/* The place of a tag [at, end of the tag) in its line. */
struct place {
    bool begins, ends; /* the line */
    const char *line;
};

static struct place place_of(const struct vt_parts *it, const char *at, size_t n)
{
    const char *p = at, *q = at + n;
    while (p > it->rest.p && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    while (q < it->rest.end && (*q == ' ' || *q == '\t' || *q == '\r'))
        q++;
    struct place place = {p == it->rest.p || p[-1] == '\n', q == it->rest.end || *q == '\n', p};
    while (place.ends && place.line > it->rest.p && place.line[-1] != '\n')
        place.line--;
    return place;
}

/* Does the opening mark of n bytes at `at` hide what follows it? *close: behind its partner, or NULL. */
static bool hides(struct vt_parts *it, size_t mark, struct vt_span at, size_t n, const char **close)
{
    bool is_first = at.p <= it->first;
    if (!is_first && !is_token(mark) && !place_of(it, at.p, n).begins)
        return false;
    if (!is_first && in_closed_block(it, at.p))
        return false;
    *close = find_close(it, mark, at);
    return is_first || *close || is_token(mark);
}

/* Does a closing mark that nothing opened make a thought of what stands before it? */
static bool ends_thought(struct vt_parts *it, size_t mark, struct vt_span at, size_t n)
{
    struct place place = place_of(it, at.p, n);
    bool has_line = is_token(mark) || (place.begins && place.ends);
    bool is_edge = place.begins || (place.ends && !in_line_comment(place.line, at.p));
    if (!has_line && !(is_edge && !in_closed_block(it, at.p)))
        return false;
    struct comments c = {it->behind_comment, it->answer.end};
    bool is_text = in_comment(&c, at.p);
    it->behind_comment = c.at;
    return !is_text;
}

bool vt_parts_next(struct vt_parts *it, struct vt_part *out)
{
    if (it->is_ended)
        return false;
    *out = (struct vt_part){.text = it->rest, .is_behind = it->is_behind};
    for (struct vt_span at = it->rest; at.p < at.end; at.p++) {
        if (!may_be_mark(at))
            continue;
        for (size_t i = 0; i < N_MARKS; i++) {
            const char *close;
            size_t n = opening_at(at, i);
            if (n && hides(it, i, at, n, &close)) {
                out->text.end = at.p;
                out->is_cut = it->is_ended = !close;
                it->is_behind = true;
                go_on_from(it, close ? close : at.end);
                return true;
            }
            n = closing_at(at, i);
            if (n && ends_thought(it, i, at, n)) {
                out->text.p = at.p + n;
                go_on_from(it, out->text.p);
                out->is_first = out->is_behind = true;
            }
        }
    }
    it->is_ended = true;
    return true;
}
