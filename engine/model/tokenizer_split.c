/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_split.c: splitting text into pieces with PCRE2.
 *
 * The patterns are the published ones, in the syntax of the library they were written for; tokenizer_regex.c says them
 * in PCRE2's. Hugging Face runs them with Unicode classes, so they are compiled with UTF and UCP.
 *
 * Patterns run on model output, so matching has limits: backtracking steps, depth and heap. The JIT is used where the
 * machine allows it; the interpreter gives the same matches. Text is known to be valid UTF-8 and is not checked again:
 * PCRE2 would walk the rest of the text before every match, which is quadratic.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/tokenizer_build.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATTERN = 8192, MATCH_LIMIT = 50000000, DEPTH_LIMIT = 10000, HEAP_LIMIT_KIB = 65536 };

const char vt_split_gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char vt_split_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char vt_split_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
    "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char vt_split_gpt4o[] = "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
                              "+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                              "|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
                              "]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
                              "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

struct vt_split {
    pcre2_code *code;
    pcre2_match_context *limits;
    bool drop_gaps;
};

static void *allocate(size_t size, void *arg)
{
    (void)arg;
    return vt_realloc_array(NULL, size, 1);
}

static void release(void *p, void *arg)
{
    (void)arg;
    free(p);
}

static vt_status compile_with(struct vt_split *s, const struct vt_buf *pattern, const char *what,
                              pcre2_compile_context *context, vt_err *err)
{
    int code;
    size_t at;
    uint32_t matches_empty = 0;
    (void)pcre2_set_newline(context, PCRE2_NEWLINE_LF); /* what "." does not match */
    s->code = pcre2_compile((PCRE2_SPTR)pattern->p, pattern->len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, context);
    if (!s->code && code == PCRE2_ERROR_HEAP_FAILED)
        return vt_fail(err, VT_ENOMEM, "out of memory for the split pattern of %s", what);
    if (!s->code) {
        PCRE2_UCHAR text[128];
        (void)pcre2_get_error_message(code, text, sizeof text);
        return vt_fail(err, VT_EFORMAT, "%s: its split pattern is no regular expression (byte %zu: %s)", what, at,
                       (const char *)text);
    }
    (void)pcre2_pattern_info(s->code, PCRE2_INFO_MATCHEMPTY, &matches_empty);
    if (matches_empty)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "%s: its split pattern can match nothing at all, which cuts the text in another place in every "
                       "library; vegttt does not support it",
                       what);
    (void)pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE); /* without it the interpreter runs */
    return VT_OK;
}

/* What PCRE2 allocates for a pattern and its matches comes from base/alloc. */
static vt_status compile(struct vt_split *s, const struct vt_buf *pattern, const char *what, vt_err *err)
{
    pcre2_general_context *memory = pcre2_general_context_create(allocate, release, NULL);
    pcre2_compile_context *context = memory ? pcre2_compile_context_create(memory) : NULL;
    vt_status status;
    s->limits = memory ? pcre2_match_context_create(memory) : NULL;
    if (context && s->limits) {
        pcre2_set_match_limit(s->limits, MATCH_LIMIT);
        pcre2_set_depth_limit(s->limits, DEPTH_LIMIT);
        pcre2_set_heap_limit(s->limits, HEAP_LIMIT_KIB);
        status = compile_with(s, pattern, what, context, err);
    } else {
        status = vt_fail(err, VT_ENOMEM, "out of memory for the split pattern of %s", what);
    }
    pcre2_compile_context_free(context);
    pcre2_general_context_free(memory);
    return status;
}

vt_status vt_split_compile(struct vt_split_source source, const char *what, struct vt_split **out, vt_err *err)
{
    struct vt_buf text;
    struct vt_split *s = vt_alloc(sizeof *s);
    if (!s)
        return vt_fail(err, VT_ENOMEM, "out of memory for the split pattern of %s", what);
    s->drop_gaps = source.drop_gaps;
    vt_buf_init(&text, MAX_PATTERN);
    vt_status status = vt_regex_translate(source.pattern, what, &text, err);
    if (status == VT_OK)
        status = compile(s, &text, what, err);
    vt_buf_free(&text);
    if (status != VT_OK) {
        vt_split_free(s);
        return status;
    }
    *out = s;
    return VT_OK;
}

void vt_split_free(struct vt_split *s)
{
    if (!s)
        return;
    pcre2_code_free(s->code);
    pcre2_match_context_free(s->limits);
    free(s);
}

static vt_status match_failed(int rc, size_t len, vt_err *err)
{
    PCRE2_UCHAR text[128];
    (void)pcre2_get_error_message(rc, text, sizeof text);
    return vt_fail(err, rc == PCRE2_ERROR_NOMEMORY ? VT_ENOMEM : VT_ELIMIT,
                   "cannot split a text of %zu bytes into tokens: %s", len, (const char *)text);
}

vt_status vt_split_run(const struct vt_split *s, const char *text, size_t len, vt_split_fn *piece, void *arg,
                       vt_err *err)
{
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(s->code, NULL);
    if (!match)
        return vt_fail(err, VT_ENOMEM, "out of memory splitting %zu bytes of text", len);
    vt_status status = VT_OK;
    size_t at = 0, gap = 0; /* text[gap..at) is not covered by a match */
    while (at < len && status == VT_OK) {
        int rc = pcre2_match(s->code, (PCRE2_SPTR)text, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NOTEMPTY, match, s->limits);
        if (rc == PCRE2_ERROR_NOMATCH)
            break;
        if (rc < 0) {
            status = match_failed(rc, len, err);
            break;
        }
        const PCRE2_SIZE *span = pcre2_get_ovector_pointer(match);
        if (span[1] <= span[0] || span[0] < gap) { /* \K or look-behind tricks of a foreign pattern */
            status = vt_fail(err, VT_EUNSUPPORTED, "a split pattern matched backwards; vegttt does not support it");
            break;
        }
        if (span[0] > gap && !s->drop_gaps)
            status = piece(arg, text + gap, span[0] - gap, err);
        if (status == VT_OK)
            status = piece(arg, text + span[0], span[1] - span[0], err);
        at = gap = span[1];
    }
    if (status == VT_OK && gap < len && !s->drop_gaps)
        status = piece(arg, text + gap, len - gap, err);
    pcre2_match_data_free(match);
    return status;
}
