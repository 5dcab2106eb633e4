/* SPDX-License-Identifier: Apache-2.0
 *
 * extract.c: finds the code in an answer and says whether it is a body or a whole function.
 *
 * The default prompt ends inside an open fence, right after the signature and its brace: the answer is then the body,
 * a line `}`, perhaps a closing fence and chatter. Instruction-tuned models answer with prose and one or more fenced
 * blocks; the last block that defines the function wins, else the last block. A body ends where its braces close, so
 * whatever follows is dropped and the text cannot close the function it is put into.
 */
#include "eval/extract.h"
#include "base/alloc.h"
#include "eval/ctext.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct span {
    const char *p, *end;
};

static const char *line_end(const char *p, const char *end)
{
    const char *nl = memchr(p, '\n', (size_t)(end - p));
    return nl ? nl : end;
}

static bool is_fence(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    return end - p >= 3 && memcmp(p, "```", 3) == 0;
}

/* `NAME (` … `) {` outside any braces. */
static bool defines(struct span s, const char *name)
{
    struct vt_clexer l;
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    int braces = 0, parens = 0;
    bool is_candidate = false;
    struct vt_ctoken t, last = {VT_CTOKEN_END, s.p, 0, 0, false};
    for (t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; last = t, t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        if (vt_ctoken_is(&t, "(")) {
            if (parens++ == 0)
                is_candidate = braces == 0 && vt_ctoken_is(&last, name);
        } else if (vt_ctoken_is(&t, ")")) {
            parens -= parens > 0;
        } else if (vt_ctoken_is(&t, "{")) {
            if (is_candidate && braces == 0 && parens == 0)
                return true;
            braces++;
        } else if (vt_ctoken_is(&t, "}")) {
            braces--;
        } else if (parens == 0) {
            is_candidate = false;
        }
    }
    return false;
}

/* The block that counts; false when the text has no complete or open fence. */
static bool find_block(struct span all, const char *name, struct span *out)
{
    bool found = false, found_definition = false;
    const char *open = NULL;
    for (const char *p = all.p; p < all.end;) {
        const char *e = line_end(p, all.end);
        if (is_fence(p, e)) {
            if (open) {
                struct span s = {open, p};
                bool is_definition = defines(s, name);
                if (is_definition || !found_definition)
                    *out = s;
                found = true;
                found_definition |= is_definition;
                open = NULL;
            } else {
                open = e < all.end ? e + 1 : e;
            }
        }
        p = e < all.end ? e + 1 : e;
    }
    if (open && open < all.end && (!found || (!found_definition && defines((struct span){open, all.end}, name)))) {
        *out = (struct span){open, all.end};
        found = true;
    }
    return found;
}

/* The text up to the brace that closes the function it continues; or up to the first fence line. */
static struct span cut_body(struct span s)
{
    struct vt_clexer l;
    int depth = 0;
    for (const char *p = s.p; p < s.end;) {
        const char *e = line_end(p, s.end);
        if (is_fence(p, e)) {
            s.end = p;
            break;
        }
        p = e < s.end ? e + 1 : e;
    }
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    for (struct vt_ctoken t = vt_clexer_next(&l); t.kind != VT_CTOKEN_END; t = vt_clexer_next(&l)) {
        if (t.in_directive)
            continue;
        depth += vt_ctoken_is(&t, "{") - vt_ctoken_is(&t, "}");
        if (depth < 0)
            return (struct span){s.p, t.p};
    }
    return s;
}

/* Does the first fence line close the fence that the prompt opened? Then what stands before it is the code: its braces
 * close below zero, or the fence names no language, has no partner and follows statements. */
static bool is_continuation(struct span all, struct span before, const char *fence_end, int n_fences)
{
    struct span body = cut_body(all);
    if (body.end < all.end && *body.end == '}')
        return true;
    return n_fences % 2 == 1 && fence_end[-1] == '`' && memchr(before.p, ';', (size_t)(before.end - before.p)) != NULL;
}

static struct span continuation_or_block(struct span all, const char *name)
{
    struct span block, before = all;
    const char *fence_end = NULL;
    int n_fences = 0;
    for (const char *p = all.p; p < all.end;) {
        const char *e = line_end(p, all.end);
        if (is_fence(p, e) && n_fences++ == 0) {
            before.end = p;
            fence_end = e;
        }
        p = e < all.end ? e + 1 : e;
    }
    if (n_fences == 0)
        return all;
    bool opens_first = true;
    for (const char *p = before.p; p < before.end; p++)
        opens_first &= *p == ' ' || *p == '\t' || *p == '\r' || *p == '\n';
    if (!opens_first && is_continuation(all, before, fence_end, n_fences))
        return all;
    return find_block(all, name, &block) ? block : all;
}

static bool is_blank(struct span s)
{
    struct vt_clexer l;
    vt_clexer_init(&l, s.p, (size_t)(s.end - s.p));
    return vt_clexer_next(&l).kind == VT_CTOKEN_END;
}

static bool looks_like_code(struct span s)
{
    return memchr(s.p, ';', (size_t)(s.end - s.p)) != NULL;
}

vt_status vt_extract(const char *answer, size_t len, const char *name, bool is_answer, struct vt_code *out, vt_err *err)
{
    struct span all = {answer, answer + len}, s = all;
    memset(out, 0, sizeof *out);
    if (len > VT_CODE_MAX) {
        snprintf(out->why, sizeof out->why, "The answer is longer than %d bytes.", VT_CODE_MAX);
        return VT_OK;
    }
    if (memchr(answer, 0, len)) {
        snprintf(out->why, sizeof out->why, "The answer contains a NUL byte.");
        return VT_OK;
    }
    if (is_answer)
        s = continuation_or_block(all, name);
    out->is_whole = defines(s, name);
    if (!out->is_whole)
        s = cut_body(s);
    if (is_blank(s) || (is_answer && !looks_like_code(s))) {
        snprintf(out->why, sizeof out->why, "The answer contains no code.");
        return VT_OK;
    }
    out->first_line = 1;
    for (const char *p = all.p; p < s.p; p++)
        out->first_line += *p == '\n';
    out->len = (size_t)(s.end - s.p);
    out->text = vt_strndup(s.p, out->len);
    return out->text ? VT_OK : vt_fail(err, VT_ENOMEM, "cannot copy an answer of %zu bytes: out of memory", len);
}

void vt_code_free(struct vt_code *c)
{
    free(c->text);
    c->text = NULL;
}
