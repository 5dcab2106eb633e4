/* SPDX-License-Identifier: Apache-2.0
 *
 * tokenizer_build.h: the inside of a tokenizer and its construction. Readers (GGUF tables, tokenizer.json and the
 * files beside it) fill a vt_token_source; vt_tokenizer_build turns it into hash tables and compiled patterns.
 *
 * A vocabulary is kept as raw bytes: GPT-2's byte-to-unicode spelling is undone once, at load. Encoding is
 *   added tokens of the raw text -> (NFC) -> added tokens of the normal form -> split by each pattern in turn -> BPE.
 * A split pattern isolates its matches and what lies between them (Hugging Face's "Isolated"), which also expresses
 * Digits: the pattern is a number character, or a run of them. A pattern that drops what lies between
 * ("Removed", inverted) says so.
 */
#ifndef VT_MODEL_TOKENIZER_BUILD_H
#define VT_MODEL_TOKENIZER_BUILD_H

#include "base/json.h"
#include "model/gguf.h"
#include "model/text.h"
#include "model/tokenizer.h"

enum { VT_TOKENIZER_MAX_SPLITS = 8, VT_TOKENIZER_MAX_ID = (1 << 22) - 1 };
enum vt_token_kind {
    VT_TOKEN_UNUSED,  /* never produced */
    VT_TOKEN_NORMAL,  /* spelled in GPT-2's byte alphabet; the product of merges */
    VT_TOKEN_CONTROL, /* plain text; matched only when `special` is asked for, and nothing else produces it */
    VT_TOKEN_ADDED    /* plain text outside the vocabulary */
};

/* A token that is cut out of the text before it is split. */
struct vt_added_token {
    struct vt_text content;
    int32_t id;
    bool special;        /* a control token: matched only when asked for */
    bool normalized;     /* matched in the normal form of the text, after all others */
    bool lstrip, rstrip; /* takes the white space before or behind it along */
};

struct vt_split_source {
    struct vt_text pattern; /* Onigmo's syntax, as in tokenizer.json */
    bool drop_gaps;         /* what lies between matches is not encoded */
};

struct vt_token_source {
    size_t n, cap; /* ids are 0..n-1 */
    struct vt_text *tokens;
    unsigned char *kinds;
    size_t n_vocab; /* entries of the vocabulary: Hugging Face numbers added tokens from here */
    size_t n_merges;
    struct vt_merge_text {
        struct vt_text left, right;
    } * merges; /* in rank order */
    struct vt_added_token *added;
    size_t n_added, cap_added;
    int32_t *by_text; /* open-addressing table of ids by text */
    size_t by_text_cap, by_text_n;
    struct vt_split_source splits[VT_TOKENIZER_MAX_SPLITS];
    size_t n_splits;
    bool nfc, ignore_merges, last_rank_counts; /* of a pair that stands twice among the merges */
    bool needs_every_byte;                     /* an unknown token or byte fallback would stand for a missing byte */
    struct vt_text bos;                        /* put in front of a text by its own library; p NULL: nothing */
};

/* One slot of the pair table; left < 0 marks it empty. */
struct vt_merge {
    int32_t left, right, product, rank;
};
struct vt_split; /* a compiled pattern */

/* Added tokens of one pass, by first byte, longest first. */
struct vt_added_set {
    struct vt_added_entry {
        const char *text;
        uint32_t len;
        int32_t id;
        bool special, lstrip, rstrip;
    } * entries;
    uint32_t at[257];
    char *texts;
};

struct vt_tokenizer {
    int32_t n;
    char *bytes;          /* all tokens, one after another */
    uint32_t *offsets;    /* [n + 1] */
    unsigned char *kinds; /* [n] */
    int32_t *vocab;       /* open-addressing table of vocabulary ids by bytes; -1 = empty */
    uint32_t vocab_mask;
    struct vt_merge *merges;
    uint32_t merge_mask;
    int32_t byte_id[256];            /* -1: the byte is not in the vocabulary and is dropped */
    struct vt_added_set raw, normal; /* tokens matched in the raw text, in its normal form */
    struct vt_split *splits[VT_TOKENIZER_MAX_SPLITS];
    size_t n_splits;
    bool nfc, ignore_merges;
    int32_t ends[VT_TOKENIZER_MAX_ENDS], bos, bos_token;
    size_t n_ends;
};

vt_status vt_tokenizer_build(const struct vt_token_source *s, const char *what, vt_tokenizer **out,
                             vt_err *err) VT_MUST_USE;
vt_status vt_tokenizer_add_end(vt_tokenizer *t, int32_t id, vt_err *err) VT_MUST_USE; /* once, however often asked */
/* bos: put in front; bos_token: what is called so. */
void vt_tokenizer_set_bos(vt_tokenizer *t, int32_t bos, int32_t bos_token);

/* tokenizer_source.c. Texts are lent by the document or mapping that a source is read from. */
vt_status vt_token_source_alloc(struct vt_token_source *s, size_t n, size_t n_merges, const char *what,
                                vt_err *err) VT_MUST_USE;
void vt_token_source_free(struct vt_token_source *s);
/* Enters a token of the vocabulary; EFORMAT when its id is taken. */
vt_status vt_token_source_put(struct vt_token_source *s, struct vt_text text, size_t id, const char *what,
                              vt_err *err) VT_MUST_USE;
int32_t vt_token_source_find(const struct vt_token_source *s, struct vt_text text); /* -1: no such token */
/* Adds a token as Hugging Face does: one of the vocabulary keeps its id, another gets the next free one; a token that
 * was added before takes the new flags. EFORMAT when `id` >= 0 is not the id that comes out. */
vt_status vt_token_source_add(struct vt_token_source *s, const struct vt_added_token *token, const char *what,
                              vt_err *err) VT_MUST_USE;

/* Fills s from a parsed tokenizer.json, which must stay until the tokenizer is built. */
vt_status vt_token_source_json(struct vt_token_source *s, const vt_json *root, const char *path,
                               vt_err *err) VT_MUST_USE;
/* *out stays NULL when the file has no tokenizer. */
vt_status vt_tokenizer_from_gguf(const struct vt_gguf *g, const char *path, vt_tokenizer **out,
                                 vt_err *err) VT_MUST_USE;

/* tokenizer_added.c */
vt_status vt_added_build(struct vt_added_set *set, const struct vt_token_source *s, bool normalized, const char *what,
                         vt_err *err) VT_MUST_USE;
void vt_added_free(struct vt_added_set *set);
const struct vt_added_entry *vt_added_find(const struct vt_added_set *set, const char *p, size_t len); /* longest */
/* Calls text for what lies between the tokens of the set and token for each of them, in order. */
struct vt_added_walk {
    vt_status (*text)(void *arg, const char *p, size_t len, vt_err *err);
    vt_status (*token)(void *arg, int32_t id, vt_err *err);
    void *arg;
    bool special; /* control tokens are matched too */
};
vt_status vt_added_run(const struct vt_added_set *set, const struct vt_added_walk *w, const char *p, size_t len,
                       vt_err *err) VT_MUST_USE;

/* Built-in patterns by GGUF's tokenizer.ggml.pre; also read back from tokenizer.json files. */
#define VT_SPLIT_DIGITS "\\p{N}"
extern const char vt_split_gpt2[], vt_split_qwen2[], vt_split_llama3[], vt_split_gpt4o[];

vt_status vt_split_compile(struct vt_split_source source, const char *what, struct vt_split **out,
                           vt_err *err) VT_MUST_USE;
void vt_split_free(struct vt_split *s);
/* Walks text (valid UTF-8): each call of `piece` gets one match or one gap, in order, never empty. */
typedef vt_status vt_split_fn(void *arg, const char *p, size_t len, vt_err *err);
vt_status vt_split_run(const struct vt_split *s, const char *text, size_t len, vt_split_fn *piece, void *arg,
                       vt_err *err) VT_MUST_USE;
/* tokenizer_regex.c: a pattern of Onigmo in PCRE2's syntax; EUNSUPPORTED names a construct whose meaning differs. */
vt_status vt_regex_translate(struct vt_text pattern, const char *what, struct vt_buf *out, vt_err *err) VT_MUST_USE;

/* Appends the ids of one piece. */
struct vt_bpe;
vt_status vt_bpe_new(const vt_tokenizer *t, struct vt_bpe **out, vt_err *err) VT_MUST_USE;
void vt_bpe_free(struct vt_bpe *b);
vt_status vt_bpe_piece(struct vt_bpe *b, const char *p, size_t len, struct vt_ids *out, vt_err *err) VT_MUST_USE;

const struct vt_merge *vt_merge_find(const vt_tokenizer *t, int32_t left, int32_t right); /* NULL: no such merge */
int32_t vt_vocab_find(const vt_tokenizer *t, const char *p, size_t len); /* tokens of the vocabulary; -1 */

#endif
