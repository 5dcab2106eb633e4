/* SPDX-License-Identifier: Apache-2.0
 *
 * resp.h: the protocol of Redis and Valkey (RESP2): commands as text, and replies as they arrive in pieces.
 *
 *   vt_resp_scan   says where the reply at the front of the received bytes ends, or that more must come
 *   vt_resp_next   walks a whole reply, item after item, lists before what is in them; nothing is copied
 *
 * A server is a stranger: lengths, numbers and depth are bounded before they are believed.
 */
#ifndef VT_NET_RESP_H
#define VT_NET_RESP_H

#include "base/buf.h"
#include <stdbool.h>
#include <stdint.h>

enum { VT_RESP_MAX_DEPTH = 8, VT_RESP_MAX_LIST = 1 << 20, VT_RESP_MAX_TEXT = 64 << 20 };

/* One word of a command: any bytes. */
struct vt_resp_word {
    const char *p;
    size_t len;
};
void vt_resp_command(struct vt_buf *out, const struct vt_resp_word *word, size_t n);

/* Where a scan of a reply that is not whole yet stands; zero at its beginning. */
struct vt_resp_scan {
    size_t at;                        /* bytes understood */
    uint32_t open[VT_RESP_MAX_DEPTH]; /* items that the lists around `at` still want */
    int depth;
};
/* *is_whole: the first s->at bytes are a reply. Else call again with the same bytes and more behind them. EFORMAT: no
 * server of this protocol says such a thing. */
vt_status vt_resp_scan(struct vt_resp_scan *s, const char *p, size_t len, bool *is_whole, vt_err *err) VT_MUST_USE;

enum vt_resp_kind { VT_RESP_STATUS, VT_RESP_ERROR, VT_RESP_INT, VT_RESP_TEXT, VT_RESP_LIST, VT_RESP_NONE };
struct vt_resp_item {
    enum vt_resp_kind kind;
    int64_t number;   /* INT; LIST: how many items follow that are its own */
    const char *text; /* STATUS, ERROR, TEXT; lent, no NUL at the end */
    size_t len;
};
struct vt_resp_reader {
    const char *p, *end;
};
/* The next item of a reply that a scan has found whole; false at its end. */
bool vt_resp_next(struct vt_resp_reader *r, struct vt_resp_item *out);
/* The next item when it is of this kind; anything else is passed over with all that is in it and gives false. */
bool vt_resp_expect(struct vt_resp_reader *r, enum vt_resp_kind kind, struct vt_resp_item *out);
/* Passes over the next item and all that is in it. */
void vt_resp_skip(struct vt_resp_reader *r);

#endif
