/* SPDX-License-Identifier: Apache-2.0
 *
 * protobuf.c: varints, tags and lengths. A message inside is written with room of five bytes for its length, which is
 * then filled with a varint of five bytes: longer than need be, and as valid as a short one; so nothing is moved and
 * nothing is measured beforehand. Readers of the format take it, google.protobuf among them.
 */
#include "net/protobuf.h"
#include <string.h>

enum { LENGTH_BYTES = 5 };

/* --- writing --- */

static void put_varint(struct vt_buf *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        vt_buf_putc(b, (char)(v | 128));
    vt_buf_putc(b, (char)v);
}

static void put_tag(struct vt_buf *b, int field, enum vt_pb_type type)
{
    put_varint(b, (uint64_t)field << 3 | (uint64_t)type);
}

void vt_pb_put_int(struct vt_buf *b, int field, int64_t v)
{
    put_tag(b, field, VT_PB_VARINT);
    put_varint(b, (uint64_t)v);
}

void vt_pb_put_double(struct vt_buf *b, int field, double v)
{
    uint64_t bits;
    unsigned char bytes[8];

    memcpy(&bits, &v, sizeof bits);
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(bits >> (8 * i));
    put_tag(b, field, VT_PB_FIXED64);
    vt_buf_add(b, bytes, sizeof bytes);
}

static void put_bytes(struct vt_buf *b, int field, const void *p, size_t n)
{
    put_tag(b, field, VT_PB_BYTES);
    put_varint(b, n);
    vt_buf_add(b, p, n);
}

void vt_pb_put_str(struct vt_buf *b, int field, const char *s)
{
    put_bytes(b, field, s, strlen(s));
}

size_t vt_pb_begin(struct vt_buf *b, int field)
{
    static const char room[LENGTH_BYTES];

    put_tag(b, field, VT_PB_BYTES);
    vt_buf_add(b, room, sizeof room);
    return b->len;
}

void vt_pb_end(struct vt_buf *b, size_t begun)
{
    size_t n = b->len - begun;

    if (b->status != VT_OK)
        return;
    for (int i = 0; i < LENGTH_BYTES; i++, n >>= 7)
        b->p[begun - LENGTH_BYTES + (size_t)i] = (char)((n & 127) | (i < LENGTH_BYTES - 1 ? 128 : 0));
}

/* --- reading --- */

struct vt_pb vt_pb_of(const void *p, size_t n)
{
    const unsigned char *at = p;

    return (struct vt_pb){.at = at, .end = n > 0 ? at + n : at}; /* an empty one may be NULL */
}

static bool fail(struct vt_pb *r)
{
    r->is_bad = true;
    r->at = r->end;
    return false;
}

static bool read_varint(struct vt_pb *r, uint64_t *out)
{
    uint64_t v = 0;

    for (int shift = 0; shift < 70; shift += 7) {
        if (r->at == r->end)
            return fail(r);
        const uint64_t bits = *r->at & 127;

        if (shift == 63 && bits > 1)
            return fail(r);
        v |= bits << shift;
        if (*r->at++ < 128) {
            *out = v;
            return true;
        }
    }
    return fail(r);
}

static bool read_fixed(struct vt_pb *r, int n, uint64_t *out)
{
    if (r->end - r->at < n)
        return fail(r);
    *out = 0;
    for (int i = 0; i < n; i++)
        *out |= (uint64_t)r->at[i] << (8 * i);
    r->at += n;
    return true;
}

bool vt_pb_next(struct vt_pb *r, struct vt_pb_field *out)
{
    uint64_t tag, n;

    if (r->at == r->end || !read_varint(r, &tag))
        return false;
    *out = (struct vt_pb_field){.number = (int)(tag >> 3 & 0x1fffffff), .type = (enum vt_pb_type)(tag & 7)};
    if (tag >> 32 || out->number == 0)
        return fail(r);
    switch (out->type) {
    case VT_PB_VARINT:
        return read_varint(r, &out->value);
    case VT_PB_FIXED64:
        return read_fixed(r, 8, &out->value);
    case VT_PB_FIXED32:
        return read_fixed(r, 4, &out->value);
    case VT_PB_BYTES:
        if (!read_varint(r, &n))
            return false;
        if (n > (uint64_t)(r->end - r->at))
            return fail(r);
        out->p = r->at;
        out->n = (size_t)n;
        r->at += n;
        return true;
    }
    return fail(r); /* groups, which proto3 does not have */
}
