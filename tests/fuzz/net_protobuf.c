/* SPDX-License-Identifier: Apache-2.0
 *
 * net_protobuf.c: any bytes as a message, read in memory that ends with them, messages inside of it as deep as they go.
 * No field reaches beyond its message, reading ends, and what was read, written again by the codec, is read again as
 * the same fields.
 */
#include "fuzz.h"
#include "net/protobuf.h"
#include <string.h>

enum { MAX_DEPTH = 16 };

static void must(bool is)
{
    if (!is)
        abort();
}

static void walk(const unsigned char *p, size_t n, int depth)
{
    struct vt_pb r = vt_pb_of(p, n);
    struct vt_pb_field f;
    size_t n_fields = 0;

    while (vt_pb_next(&r, &f)) {
        must(++n_fields <= n && f.number > 0 && r.at <= r.end && !r.is_bad);
        if (f.type != VT_PB_BYTES)
            continue;
        must(f.p >= p && f.n <= n && f.p + f.n <= p + n);
        if (depth < MAX_DEPTH)
            walk(f.p, f.n, depth + 1);
    }
    must(r.at == r.end && !vt_pb_next(&r, &f));
}

/* Varints and texts, those two being all of what is read that can be written as it was. */
static void write_again(const unsigned char *p, size_t n)
{
    struct vt_pb r = vt_pb_of(p, n), again;
    struct vt_pb_field f, g;
    struct vt_buf b;

    vt_buf_init(&b, 1 << 24);
    while (vt_pb_next(&r, &f)) {
        if (f.type == VT_PB_VARINT)
            vt_pb_put_int(&b, f.number, (int64_t)f.value);
        if (f.type == VT_PB_BYTES) {
            const size_t begun = vt_pb_begin(&b, f.number);

            vt_buf_add(&b, f.p, f.n);
            vt_pb_end(&b, begun);
        }
    }
    must(b.status == VT_OK);
    r = vt_pb_of(p, n);
    again = vt_pb_of(b.p, b.len);
    while (vt_pb_next(&r, &f)) {
        if (f.type != VT_PB_VARINT && f.type != VT_PB_BYTES)
            continue;
        must(vt_pb_next(&again, &g) && g.number == f.number && g.type == f.type);
        must(f.type == VT_PB_VARINT ? g.value == f.value : g.n == f.n && memcmp(g.p, f.p, f.n) == 0);
    }
    must(!vt_pb_next(&again, &g) && !again.is_bad);
    vt_buf_free(&b);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    unsigned char *exact = malloc(size ? size : 1);

    must(exact != NULL);
    memcpy(exact, data, size);
    walk(exact, size, 0);
    write_again(exact, size);
    free(exact);
    return 0;
}
