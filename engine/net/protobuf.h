/* SPDX-License-Identifier: Apache-2.0
 *
 * protobuf.h: the wire format of Protocol Buffers (encoding of proto3) without schemas: fields are written one after
 * another into a buffer and read one after another from bytes. What a field means is its caller's.
 *
 * Reading never goes past the end and never fails half: vt_pb_next gives the next field, of whatever number and type,
 * or false at the end; `is_bad` then says whether the end is one, or the bytes are no message.
 */
#ifndef VT_NET_PROTOBUF_H
#define VT_NET_PROTOBUF_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vt_pb_type { VT_PB_VARINT = 0, VT_PB_FIXED64 = 1, VT_PB_BYTES = 2, VT_PB_FIXED32 = 5 };

/* --- writing; failures stick to the buffer. Zeros and empty texts are written: who wants them away leaves them out ---
 */

void vt_pb_put_int(struct vt_buf *b, int field, int64_t v);
void vt_pb_put_double(struct vt_buf *b, int field, double v);
void vt_pb_put_str(struct vt_buf *b, int field, const char *s);
/* A message inside: begins a field whose length is not known yet; vt_pb_end writes it. */
size_t vt_pb_begin(struct vt_buf *b, int field);
void vt_pb_end(struct vt_buf *b, size_t begun);

/* --- reading --- */

struct vt_pb {
    const unsigned char *at, *end;
    bool is_bad;
};
struct vt_pb_field {
    int number;
    enum vt_pb_type type;
    uint64_t value;         /* of varint, fixed64 and fixed32 */
    const unsigned char *p; /* of bytes; lent */
    size_t n;
};
struct vt_pb vt_pb_of(const void *p, size_t n);
bool vt_pb_next(struct vt_pb *r, struct vt_pb_field *out);

#endif
