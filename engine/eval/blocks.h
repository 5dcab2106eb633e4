/* SPDX-License-Identifier: Apache-2.0
 *
 * blocks.h: how a model's answer is laid out: parts between stretches of reasoning, lines, fenced blocks. What of it is
 * the code, extract.c decides. Everything here walks over borrowed bytes once and allocates nothing.
 */
#ifndef VT_EVAL_BLOCKS_H
#define VT_EVAL_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>

struct vt_span {
    const char *p, *end;
};

const char *vt_line_end(const char *p, const char *end); /* the '\n' or the end */
struct vt_span vt_span_trim(struct vt_span s);           /* without the blanks around it */

/* What the word after an opening fence says. */
enum vt_block_word { VT_WORD_FOREIGN /* a language that is not C */, VT_WORD_OTHER, VT_WORD_NONE, VT_WORD_C };
struct vt_block {
    struct vt_span text; /* what stands between the fences */
    enum vt_block_word word;
    struct vt_span language; /* the word itself, without what stands around and behind it */
    bool is_open;            /* the answer ends before the block does */
    bool is_closed;          /* a fence of its own ends it, not the one that opens the next */
};
/* The next block of *rest, which is moved on. */
bool vt_block_next(struct vt_span *rest, struct vt_block *out);
/* What stands between `from`, where the search for a block began, and its first fence. */
struct vt_span vt_prose_before(const char *from, const struct vt_block *b);

enum { VT_MAX_REASONING_MARKS = 128 };
/* Parts of an answer that are no reasoning, in order. Text before a closing tag that nothing opened is reasoning too
 * (templates that open it in the prompt): with is_first what came so far does not count. Tags in blocks, in comments
 * and inside lines are text. */
struct vt_parts {
    struct vt_span rest, answer;
    const char *first;        /* byte that is no blank */
    struct vt_block block;    /* the one that was met last */
    const char *block_from;   /* where the line of its fence begins */
    const char *behind_block; /* where the next one is looked for */
    const char *behind_comment;
    bool is_unclosed[VT_MAX_REASONING_MARKS], is_behind, is_ended;
};
struct vt_part {
    struct vt_span text;
    bool is_first;  /* forget the parts before this one */
    bool is_behind; /* stands after a stretch of reasoning */
    bool is_cut;    /* the answer ends inside the reasoning that follows */
};
void vt_parts_init(struct vt_parts *it, struct vt_span answer);
bool vt_parts_next(struct vt_parts *it, struct vt_part *out);

/* The first fence of the text and how many there are. */
struct vt_fence_count {
    struct vt_span first; /* from the first mark on to the end of its line; NULL where there is none */
    bool is_bare;         /* no word stands after it */
    size_t n;
};
void vt_fences_count(struct vt_span part, struct vt_fence_count *out);

#endif
