/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: takes CUDA text out of an answer. A launch plan lives in comments, so the block is taken whole, comments
 * and all; what a model thought before it answered (<think>) holds drafts and does not count.
 */
#include "eval/cuda/answer.h"
#include "base/alloc.h"
#include "eval/ctext.h"
#include <stdio.h>
#include <string.h>

struct span {
    size_t from, to;
    int line;
};

static bool holds(const char *text, struct span s, const char *what)
{
    return memmem(text + s.from, s.to - s.from, what, strlen(what)) != NULL;
}

/* Three or more backquotes or tildes after white space and quotation marks; 0 = no fence. */
static size_t fence(const char *line, size_t len, char *kind, size_t *at)
{
    size_t i = 0, n = 0;
    while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '>'))
        i++;
    *at = i;
    *kind = i < len ? line[i] : 0;
    if (*kind != '`' && *kind != '~')
        return 0;
    while (i + n < len && line[i + n] == *kind)
        n++;
    return n >= 3 ? n : 0;
}

static size_t after_thinking(const char *text, size_t len)
{
    static const char end[] = "</think>";
    size_t at = 0;
    for (const char *p = text; (p = memmem(p, len - (size_t)(p - text), end, sizeof end - 1)) != NULL;) {
        p += sizeof end - 1;
        at = (size_t)(p - text);
    }
    return at;
}

/* The best block; *n_fences counts fence lines. An open block ends with the text. */
static bool best_block(const char *text, size_t len, size_t start, struct span *best, bool *is_cut, int *n_fences)
{
    struct span block = {0, 0, 0};
    bool is_open = false, found = false, has_plan = false;
    char open_kind = 0;
    size_t open_n = 0;
    int line = 1;
    *is_cut = false;
    *n_fences = 0;
    for (size_t i = 0; i <= len;) {
        const char *nl = i < len ? memchr(text + i, '\n', len - i) : NULL;
        const size_t end = nl ? (size_t)(nl - text) : len;
        char kind;
        size_t at, n = i >= start && i < len ? fence(text + i, end - i, &kind, &at) : 0;
        const bool closes = n && is_open && kind == open_kind && n >= open_n;
        const bool is_last = i >= len;
        *n_fences += n > 0;
        if (closes || (is_last && is_open)) {
            block.to = i < len ? i : len;
            const bool is_kernel = holds(text, block, "__global__"), plan = holds(text, block, "launch");
            if (is_kernel && (plan || !has_plan)) {
                *best = block;
                *is_cut = !closes;
                has_plan = plan;
                found = true;
            }
            is_open = false;
        } else if (n && !is_open) {
            is_open = true;
            open_kind = kind;
            open_n = n;
            block = (struct span){nl ? end + 1 : len, 0, line + 1};
        }
        line++;
        i = nl ? end + 1 : len + 1;
        if (!nl && !is_last)
            i = len;
        if (is_last)
            break;
    }
    return found;
}

static bool is_balanced(const char *text, size_t len)
{
    struct vt_clexer l;
    struct vt_ctoken t;
    int depth = 0;
    vt_clexer_init(&l, text, len);
    while ((t = vt_clexer_next(&l)).kind != VT_CTOKEN_END)
        depth += vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
    return depth <= 0;
}

vt_status vt_cuda_extract(const char *text, size_t len, bool is_answer, struct vt_code *out, vt_err *err)
{
    struct span s = {is_answer ? after_thinking(text, len) : 0, len, 1};
    const size_t start = s.from;
    bool is_cut = false;
    int n_fences = 0;
    memset(out, 0, sizeof *out);
    out->is_whole = true;
    bool found = best_block(text, len, start, &s, &is_cut, &n_fences);
    if (!found) {
        s = (struct span){start, len, 1};
        for (size_t i = 0; i < start; i++)
            s.line += text[i] == '\n';
        found = n_fences == 0 && holds(text, s, "__global__");
    }
    if (len - start > VT_CODE_MAX && s.to - s.from > VT_CODE_MAX)
        snprintf(out->why, sizeof out->why, "the code is longer than %d bytes", VT_CODE_MAX);
    else if (memchr(text + s.from, '\0', s.to - s.from))
        snprintf(out->why, sizeof out->why, "the code holds a zero byte");
    else if (!found)
        snprintf(out->why, sizeof out->why, "the answer holds no CUDA kernel (a function marked __global__)");
    else if ((is_cut || n_fences == 0) && !is_balanced(text + s.from, s.to - s.from))
        snprintf(out->why, sizeof out->why, "the code ends before its last brace is closed");
    if (out->why[0])
        return VT_OK;
    out->from = s.from;
    out->to = s.to;
    out->len = s.to - s.from;
    out->first_line = s.line;
    out->text = vt_strndup(text + s.from, out->len);
    return out->text ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot read an answer: out of memory");
}

/* The next line that belongs to a launch plan, without its white space; false at the end. */
static bool next_plan_line(const char **at, const char *end, char out[512])
{
    while (*at < end) {
        const char *p = *at, *nl = memchr(p, '\n', (size_t)(end - p)), *stop = nl ? nl : end;
        size_t n = 0;
        *at = nl ? nl + 1 : end;
        for (; p < stop && n < 511; p++)
            if (*p != ' ' && *p != '\t' && *p != '\r')
                out[n++] = *p;
        out[n] = '\0';
        if (strncmp(out, "//launch", 8) == 0 || strncmp(out, "//scratch", 9) == 0)
            return true;
    }
    return false;
}

bool vt_cuda_is_copy(const char *reference, const struct vt_code *code)
{
    struct vt_clexer a, b;
    struct vt_ctoken x, y;
    char line_a[512], line_b[512];
    const char *at_a = reference, *at_b = code->text;
    bool more_a, more_b;
    vt_clexer_init(&a, reference, strlen(reference));
    vt_clexer_init(&b, code->text, code->len);
    do {
        x = vt_clexer_next(&a);
        y = vt_clexer_next(&b);
        if (x.kind != y.kind || x.len != y.len || (x.len && memcmp(x.p, y.p, x.len) != 0))
            return false;
    } while (x.kind != VT_CTOKEN_END);
    do {
        more_a = next_plan_line(&at_a, reference + strlen(reference), line_a);
        more_b = next_plan_line(&at_b, code->text + code->len, line_b);
        if (more_a != more_b || (more_a && strcmp(line_a, line_b) != 0))
            return false;
    } while (more_a);
    return true;
}
