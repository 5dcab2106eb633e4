/* SPDX-License-Identifier: Apache-2.0
 *
 * image.h: what a compiled kernel becomes: bytes, and a small table that says how long they are. Included by the linker
 * that writes it (link.c), the loader (load.c) and the evaluator (object.c); every reader checks all of it first.
 *
 * The file is a head, the fix-ups, then three blocks: code, constants (with the table of addresses), data. Behind the
 * data stand zeros that the file does not hold. Nothing else of the compiler's object survives: no names, no symbols,
 * no section headers, nothing that a loader would have to interpret.
 *
 * In memory the blocks lie in a span of whole pages:
 *
 *   0 ........... code, moved by the text shift
 *   ro_at ....... constants, moved by the data shift
 *   rw_at ....... data and zeros, moved by the data shift
 *
 * The shifts (below a page, multiples of the blocks' alignment) are the evaluator's choice at each load; a page of room
 * behind every block makes them possible. A fix-up is a place that knows where something else lies: it adds an address
 * or a difference of the two shifts to what the linker wrote there, or puts the address of a function of slots.h. Data
 * of slots.h that code refers to by distance is copied to where the code can reach it.
 */
#ifndef VT_EVAL_C_WORKER_IMAGE_H
#define VT_EVAL_C_WORKER_IMAGE_H

#include "eval/c/worker/slots.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    VT_IMAGE_PAGE = 4096,
    VT_IMAGE_MAX_BLOCK = 16 << 20, /* of each block in the file */
    VT_IMAGE_MAX_ZEROS = 1 << 30,
    VT_IMAGE_COPY = 16
};

struct vt_image_head {
    char magic[8];  /* vt_image_magic */
    uint64_t slots; /* vt_slots_digest of the linker's table of functions */
    uint32_t text_len, ro_len, rw_len, zeros_len;
    uint32_t entry; /* of the function, in the code */
    uint32_t text_align, data_align;
    uint32_t n_fixes;
};
#define VT_IMAGE_MAGIC "vtimage1"

enum vt_fix_kind {
    VT_FIX_ADDRESS,  /* 8 bytes: += base + shift of the target's group */
    VT_FIX_DISTANCE, /* 4 bytes: += shift of the target's group - shift of the place's */
    VT_FIX_SLOT,     /* 8 bytes: = address of a function */
    VT_FIX_COPY,     /* VT_IMAGE_COPY bytes: = what lies at that address now */
    VT_N_FIX_KINDS
};
enum vt_image_group { VT_GROUP_TEXT, VT_GROUP_DATA, VT_N_GROUPS };
struct vt_image_fix {
    uint32_t place;  /* in the span, unmoved */
    uint16_t target; /* enum vt_image_group, or the slot */
    uint16_t kind;
};

/* Where the blocks lie in the span. All sums stay below 2^31: the parts are bounded. */
struct vt_image_span {
    uint32_t ro_at, rw_at, size;
};

static inline uint32_t vt_image_pages(uint32_t n)
{
    return (n + VT_IMAGE_PAGE - 1) & ~(uint32_t)(VT_IMAGE_PAGE - 1);
}

static inline struct vt_image_span vt_image_span(const struct vt_image_head *h)
{
    struct vt_image_span s;
    s.ro_at = vt_image_pages(h->text_len) + VT_IMAGE_PAGE;
    s.rw_at = s.ro_at + vt_image_pages(h->ro_len) + VT_IMAGE_PAGE;
    s.size = s.rw_at + vt_image_pages(h->rw_len + h->zeros_len) + VT_IMAGE_PAGE;
    return s;
}

static inline bool vt_image_is_align(uint32_t a)
{
    return a >= 1 && a <= VT_IMAGE_PAGE && (a & (a - 1)) == 0;
}

/* A placement is any number; shifts are spread over the page. 0 is where the linker put things. */
static inline uint32_t vt_image_shift(uint32_t placement, uint32_t align, uint32_t salt)
{
    uint64_t x = (((uint64_t)salt << 32) | placement) * 0x9e3779b97f4a7c15ull;
    x ^= x >> 29;
    x *= 0xbf58476d1ce4e5b9ull;
    return placement ? (uint32_t)(x >> 40) % (VT_IMAGE_PAGE / align) * align : 0;
}

/* Does [place, place + n) lie in one block as the file holds it? */
static inline bool vt_image_holds(const struct vt_image_head *h, uint32_t place, uint32_t n)
{
    const struct vt_image_span s = vt_image_span(h);
    const uint32_t at[] = {0, s.ro_at, s.rw_at}, len[] = {h->text_len, h->ro_len, h->rw_len};
    for (int i = 0; i < 3; i++)
        if (place >= at[i] && place - at[i] <= len[i] && n <= len[i] - (place - at[i]))
            return true;
    return false;
}

/* NULL and *h filled in, or what is wrong with the bytes. */
static inline const char *vt_image_check(const unsigned char *bytes, size_t n, struct vt_image_head *h)
{
    if (n < sizeof *h)
        return "it is no image";
    memcpy(h, bytes, sizeof *h);
    if (memcmp(h->magic, VT_IMAGE_MAGIC, sizeof h->magic) != 0)
        return "it is no image";
    if (h->slots != vt_slots_digest())
        return "it was linked for another version of the evaluator";
    if (h->text_len > VT_IMAGE_MAX_BLOCK || h->ro_len > VT_IMAGE_MAX_BLOCK || h->rw_len > VT_IMAGE_MAX_BLOCK ||
        h->zeros_len > VT_IMAGE_MAX_ZEROS || h->entry >= h->text_len || !vt_image_is_align(h->text_align) ||
        !vt_image_is_align(h->data_align) || h->n_fixes > n / sizeof(struct vt_image_fix) ||
        n != sizeof *h + h->n_fixes * sizeof(struct vt_image_fix) + h->text_len + h->ro_len + h->rw_len)
        return "its table is damaged";
    for (uint32_t i = 0; i < h->n_fixes; i++) {
        struct vt_image_fix f;
        memcpy(&f, bytes + sizeof *h + i * sizeof f, sizeof f);
        const bool is_slot = f.kind == VT_FIX_SLOT || f.kind == VT_FIX_COPY;
        const uint32_t len = f.kind == VT_FIX_DISTANCE ? 4 : f.kind == VT_FIX_COPY ? VT_IMAGE_COPY : 8;
        if (f.kind >= VT_N_FIX_KINDS || f.target >= (is_slot ? VT_N_SLOTS : VT_N_GROUPS) ||
            !vt_image_holds(h, f.place, len))
            return "its table is damaged";
    }
    return NULL;
}

/* Of a checked image. */
static inline const unsigned char *vt_image_text(const unsigned char *bytes, const struct vt_image_head *h)
{
    return bytes + sizeof *h + h->n_fixes * sizeof(struct vt_image_fix);
}

#endif
