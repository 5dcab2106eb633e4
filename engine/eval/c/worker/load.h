/* SPDX-License-Identifier: Apache-2.0
 *
 * load.h: an image in the template and its children. The template reserves addresses and knows lengths; the bytes are
 * put into place by a child that does nothing else, and mapped by the children that serve calls.
 */
#ifndef VT_EVAL_C_WORKER_LOAD_H
#define VT_EVAL_C_WORKER_LOAD_H

#include "eval/c/worker/protocol.h"
#include <stdbool.h>

struct load {
    struct vt_image_head head;
    struct vt_image_span span;
    uint32_t text_shift, data_shift;
    size_t file_len;     /* of the prepared file */
    unsigned char *base; /* of the span in memory */
};
/* What follows from lengths and placement. */
void load_plan(struct load *l, const struct vt_wire_request *r);
/* Template: reserves the span and maps the zeros. False: no room. */
bool load_reserve(struct load *l);
enum load_end { LOAD_DONE, LOAD_DAMAGED, LOAD_FAILED }; /* the image is not what its table says; no child, no memory */
/* Template: a child reads the image from image_fd and fills the file prepared_fd (file_len bytes). */
enum load_end load_prepare(const struct load *l, int image_fd, size_t image_len, int prepared_fd);
/* Call child: code, constants and data into the span. */
bool load_map(const struct load *l, int prepared_fd);
/* Call child, later: code and constants into the caches, zeros into memory. */
void load_warm(const struct load *l);
const unsigned char *load_entry(const struct load *l);

/* slots.c: NULL beyond the table. */
const void *slot_address(unsigned slot);
/* Blocks of memory that were given out through the table and not taken back. */
size_t slots_blocks(void);

#endif
