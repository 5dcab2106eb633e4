/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_build.h: the inside of a tokenizer and its construction. Two readers (GGUF tables, tokenizer.json) fill a
 * vt_token_source; vt_tokenizer_build turns it into hash tables and compiled patterns.
 *
 * A vocabulary is kept as raw bytes: GPT-2's byte-to-unicode spelling is undone once, at load. Encoding is
 *   added tokens -> (NFC) -> split by each pattern in turn -> BPE inside every piece.
 * A split pattern isolates its matches and what lies between them (Hugging Face's "Isolated"), which also expresses
 * Digits(individual): the pattern is one number character.
 */
#ifndef VT_MODEL_TOKENIZER_BUILD_H
#define VT_MODEL_TOKENIZER_BUILD_H

#include "model/gguf.h"
#include "model/text.h"
#include "model/tokenizer.h"

enum { VT_TOKENIZER_MAX_SPLITS = 8 };
enum vt_token_kind {
    VT_TOKEN_NORMAL,  /* spelled in GPT-2's byte alphabet; the product of merges */
    VT_TOKEN_CONTROL, /* plain text; matched only when `special` is asked for */
    VT_TOKEN_ADDED,   /* plain text; always matched before splitting */
    VT_TOKEN_UNUSED   /* never produced */
};

struct vt_token_source {
    size_t n; /* ids are 0..n-1 */
    struct vt_text *tokens;
    unsigned char *kinds;
    size_t n_merges;
    struct vt_merge_text {
        struct vt_text left, right;
    } * merges;                                     /* in rank order */
    struct vt_text splits[VT_TOKENIZER_MAX_SPLITS]; /* patterns as in tokenizer.json */
    size_t n_splits;
    bool nfc, ignore_merges;
    int32_t eos, bos;
};

/* One slot of the pair table; left < 0 marks it empty. */
struct vt_merge {
    int32_t left, right, product, rank;
};
struct vt_split; /* a compiled pattern */

struct vt_tokenizer {
    int32_t n;
    char *bytes;          /* all tokens, one after another */
    uint32_t *offsets;    /* [n + 1] */
    unsigned char *kinds; /* [n] */
    int32_t *vocab;       /* open-addressing table of normal ids by bytes; -1 = empty */
    uint32_t vocab_mask;
    struct vt_merge *merges;
    uint32_t merge_mask;
    int32_t byte_id[256]; /* -1: the byte is not in the vocabulary and is dropped */
    int32_t *added;       /* ids of control and added tokens, by first byte, longest first */
    uint32_t added_at[257];
    struct vt_split *splits[VT_TOKENIZER_MAX_SPLITS];
    size_t n_splits;
    bool nfc, ignore_merges;
    int32_t eos, bos;
};

vt_status vt_tokenizer_build(const struct vt_token_source *s, const char *what, vt_tokenizer **out,
                             vt_err *err) VT_MUST_USE;
vt_status vt_token_source_alloc(struct vt_token_source *s, size_t n, size_t n_merges, const char *what,
                                vt_err *err) VT_MUST_USE;
void vt_token_source_free(struct vt_token_source *s);
/* *out stays NULL when the file has no tokenizer. */
vt_status vt_tokenizer_from_gguf(const struct vt_gguf *g, const char *path, vt_tokenizer **out,
                                 vt_err *err) VT_MUST_USE;
void vt_tokenizer_set_ends(vt_tokenizer *t, int32_t eos, int32_t bos);

/* Built-in patterns by GGUF's tokenizer.ggml.pre; also read back from tokenizer.json files. */
#define VT_SPLIT_DIGITS "\\p{N}"
extern const char vt_split_gpt2[], vt_split_qwen2[], vt_split_llama3[], vt_split_gpt4o[];

vt_status vt_split_compile(struct vt_text pattern, const char *what, struct vt_split **out, vt_err *err) VT_MUST_USE;
void vt_split_free(struct vt_split *s);
/* Walks text (valid UTF-8): each call of `piece` gets one match or one gap, in order, never empty. */
typedef vt_status vt_split_fn(void *arg, const char *p, size_t len, vt_err *err);
vt_status vt_split_run(const struct vt_split *s, const char *text, size_t len, vt_split_fn *piece, void *arg,
                       vt_err *err) VT_MUST_USE;

/* Appends the ids of one piece. */
struct vt_bpe;
vt_status vt_bpe_new(const vt_tokenizer *t, struct vt_bpe **out, vt_err *err) VT_MUST_USE;
void vt_bpe_free(struct vt_bpe *b);
vt_status vt_bpe_piece(struct vt_bpe *b, const char *p, size_t len, struct vt_ids *out, vt_err *err) VT_MUST_USE;

const struct vt_merge *vt_merge_find(const vt_tokenizer *t, int32_t left, int32_t right); /* NULL: no such merge */
int32_t vt_vocab_find(const vt_tokenizer *t, const char *p, size_t len);                  /* normal tokens; -1 */
/* A token as spelled in the GPT-2 alphabet into bytes, at most text.len of them; returns their number. Text that is
 * not spelled in that alphabet is copied. */
size_t vt_gpt2_bytes(struct vt_text text, char *out);

#endif
