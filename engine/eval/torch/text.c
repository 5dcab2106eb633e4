/* SPDX-License-Identifier: Apache-2.0
 *
 * text.c: a candidate is a body of forward, as in the papers, or a whole file that defines ModelNew (inline CUDA,
 * Triton, what people have). Reasoning does not count; of several blocks the last one that defines ModelNew does, else
 * the last.
 */
#include "eval/torch/text.h"
#include "base/alloc.h"
#include "eval/blocks.h"
#include "eval/check.h"
#include <ctype.h>
#include <stdio.h>
#include <string.h>

vt_status vt_torch_prompt(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err)
{
    vt_buf_puts(out, body ? body : vt_task_torch(t));
    return vt_buf_check(out, "the text of a problem", err);
}

static bool defines_model(struct vt_span s)
{
    return memmem(s.p, (size_t)(s.end - s.p), "class ModelNew", 14) != NULL;
}

vt_status vt_torch_extract(const char *text, size_t len, bool is_answer, struct vt_code *out, vt_err *err)
{
    struct vt_parts parts;
    struct vt_part part;
    struct vt_span answer = {text, text + len}, best = {NULL, NULL}, bare = {NULL, NULL};
    struct vt_block block;
    memset(out, 0, sizeof *out);
    vt_parts_init(&parts, answer);
    while (is_answer && vt_parts_next(&parts, &part)) {
        if (part.is_first)
            best = bare = (struct vt_span){NULL, NULL};
        struct vt_span rest = part.text;
        if (vt_span_trim(rest).p < vt_span_trim(rest).end)
            bare = rest;
        while (vt_block_next(&rest, &block))
            if (!best.p || defines_model(block.text) || !defines_model(best))
                best = block.text;
    }
    if (!is_answer)
        bare = answer;
    if (!best.p)
        best = bare;
    const size_t n = best.p ? (size_t)(best.end - best.p) : 0;
    if (!best.p || vt_span_trim(best).p >= vt_span_trim(best).end)
        snprintf(out->why, sizeof out->why, "the answer holds no Python code");
    else if (memchr(best.p, '\0', n))
        snprintf(out->why, sizeof out->why, "the code holds a zero byte");
    else if (n > VT_CODE_MAX)
        snprintf(out->why, sizeof out->why, "the code is longer than %d bytes", VT_CODE_MAX);
    if (out->why[0])
        return VT_OK;
    out->from = (size_t)(best.p - text);
    out->to = (size_t)(best.end - text);
    out->len = n;
    out->is_whole = defines_model(best);
    out->first_line = 1;
    for (const char *p = text; p < best.p; p++)
        out->first_line += *p == '\n';
    out->text = vt_strndup(best.p, n);
    return out->text ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot read an answer: out of memory");
}

static size_t indent_of(const char *line, const char *end)
{
    size_t n = 0;
    while (line + n < end && (line[n] == ' ' || line[n] == '\t'))
        n++;
    return n;
}

static bool is_blank(const char *line, const char *end)
{
    return line + indent_of(line, end) >= end;
}

bool vt_torch_forward(const char *problem, const char **body, size_t *len)
{
    const char *end = problem + strlen(problem), *at = strstr(problem, "class Model");
    if (!at || !(at = strstr(at, "def forward(")))
        return false;
    const char *line = at;
    while (line > problem && line[-1] != '\n')
        line--;
    const size_t head = indent_of(line, end);
    int depth = 0;
    while (at < end && !(*at == ':' && depth == 0)) {
        depth += (*at == '(') + (*at == '[') - (*at == ')') - (*at == ']');
        at++;
    }
    at = at < end ? vt_line_end(at, end) : end;
    *body = at < end ? at + 1 : end;
    for (at = *body; at < end;) {
        const char *stop = vt_line_end(at, end);
        if (!is_blank(at, stop) && indent_of(at, stop) <= head)
            break;
        at = stop < end ? stop + 1 : end;
    }
    *len = (size_t)(at - *body);
    return true;
}

/* The next character that counts: no white space, no comment. (A '#' in a string makes two texts differ that do not:
 * they are measured, that is all.) */
static int next(const char **p, const char *end)
{
    while (*p < end) {
        const char c = *(*p)++;
        if (c == '#')
            *p = vt_line_end(*p, end);
        else if (!isspace((unsigned char)c))
            return (unsigned char)c;
    }
    return -1;
}

bool vt_torch_is_same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const char *a_end = a + a_len, *b_end = b + b_len;
    int x, y;
    do {
        x = next(&a, a_end);
        y = next(&b, b_end);
    } while (x == y && x >= 0);
    return x == y;
}
