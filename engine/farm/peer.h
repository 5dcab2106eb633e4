/* SPDX-License-Identifier: Apache-2.0
 *
 * peer.h: somebody who sends lines and reads lines: a pair of descriptors with what was read and not yet taken, and
 * what was answered and not yet sent. Nothing here waits.
 */
#ifndef VT_FARM_PEER_H
#define VT_FARM_PEER_H

#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>

enum { VT_PEER_LINE_MAX = 4 << 20 };

struct vt_peer {
    int in_fd, out_fd;
    bool owns;        /* closes them */
    bool is_ended;    /* nothing more will be read */
    bool is_skipping; /* inside a line that is too long */
    size_t n_lines;   /* lines met so far, blank ones too */
    struct vt_buf in, out;
    size_t in_at, out_at; /* taken, sent */
};

struct vt_peer_line {
    const char *text; /* lent until the next call with this peer; NULL: the line is too long */
    size_t len;
    size_t number; /* from 1 */
};

void vt_peer_init(struct vt_peer *p, int in_fd, int out_fd, bool owns);
void vt_peer_close(struct vt_peer *p);
/* Reads once what is there; is_ended afterwards when that was the end. */
void vt_peer_read(struct vt_peer *p);
/* The next line that is not blank; at the end also one without its line end. */
bool vt_peer_line(struct vt_peer *p, struct vt_peer_line *out);
bool vt_peer_has_line(const struct vt_peer *p); /* something to take, or to be told about */
/* Puts bytes behind those to be sent. */
vt_status vt_peer_put(struct vt_peer *p, const char *bytes, size_t n, vt_err *err) VT_MUST_USE;
size_t vt_peer_unsent(const struct vt_peer *p);
/* Sends what can be sent without waiting. ECANCELLED: nobody reads any more; EIO: the system refuses (disk full). */
vt_status vt_peer_flush(struct vt_peer *p, vt_err *err) VT_MUST_USE;
/* Has the other side gone altogether, so that no answer can reach it? One that only stopped sending has not. */
bool vt_peer_is_gone(const struct vt_peer *p);

#endif
