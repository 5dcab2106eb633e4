/* SPDX-License-Identifier: Apache-2.0
 *
 * peer.c: lines in, bytes out, over a socket, a pipe, a file or a terminal.
 *
 * A line beyond VT_PEER_LINE_MAX is told about once and skipped to its end. Descriptors that are not ours stay as they
 * are: O_NONBLOCK would be seen by every process that shares a pipe. A socket is asked not to wait call by call; from
 * poll a pipe is known to take PIPE_BUF bytes, so no more are written at once.
 *
 * A stream socket tells "sends no more" (POLLRDHUP) from "gone" (POLLHUP); a pipe whose reader has gone shows POLLERR
 * at its writing end.
 */
#include "farm/peer.h"
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 1 << 16, UNSENT_MAX = 64 << 20 };

void vt_peer_init(struct vt_peer *p, int in_fd, int out_fd, bool owns)
{
    *p = (struct vt_peer){.in_fd = in_fd, .out_fd = out_fd, .owns = owns};
    vt_buf_init(&p->in, VT_PEER_LINE_MAX + CHUNK);
    vt_buf_init(&p->out, UNSENT_MAX);
}

void vt_peer_close(struct vt_peer *p)
{
    if (p->owns && p->in_fd >= 0)
        close(p->in_fd);
    if (p->owns && p->out_fd >= 0 && p->out_fd != p->in_fd)
        close(p->out_fd);
    p->in_fd = p->out_fd = -1;
    vt_buf_free(&p->in);
    vt_buf_free(&p->out);
}

/* ---- in ---- */

void vt_peer_read(struct vt_peer *p)
{
    char chunk[CHUNK];
    ssize_t n = read(p->in_fd, chunk, sizeof chunk);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0) {
        memmove(p->in.p, p->in.p + p->in_at, p->in.len - p->in_at);
        p->in.len -= p->in_at;
        p->in_at = 0;
        vt_buf_add(&p->in, chunk, (size_t)n);
    }
    /* Without memory for what was read the rest would be other lines than were sent. */
    p->is_ended = n <= 0 || p->in.status != VT_OK;
}

static bool is_blank(const char *p, size_t n)
{
    while (n > 0 && (p[n - 1] == ' ' || p[n - 1] == '\t' || p[n - 1] == '\r'))
        n--;
    return n == 0;
}

bool vt_peer_line(struct vt_peer *p, struct vt_peer_line *out)
{
    while (p->in_at < p->in.len) {
        const char *from = p->in.p + p->in_at;
        const char *end = memchr(from, '\n', p->in.len - p->in_at);
        size_t len = end ? (size_t)(end - from) : p->in.len - p->in_at;
        bool is_told = p->is_skipping, is_long = is_told || len >= VT_PEER_LINE_MAX;
        if (!end && !p->is_ended && !is_long)
            return false;
        p->in_at += end ? len + 1 : len;
        p->is_skipping = !end && !p->is_ended;
        p->n_lines += !is_told;
        *out = (struct vt_peer_line){is_long ? NULL : from, is_long ? 0 : len, p->n_lines};
        if (is_long ? !is_told : !is_blank(from, len))
            return true;
    }
    return false;
}

bool vt_peer_has_line(const struct vt_peer *p)
{
    size_t n = p->in.len - p->in_at;
    return n > 0 && (p->is_ended || n >= VT_PEER_LINE_MAX || memchr(p->in.p + p->in_at, '\n', n));
}

/* ---- out ---- */

vt_status vt_peer_put(struct vt_peer *p, const char *bytes, size_t n, vt_err *err)
{
    if (p->out_at > 0 && p->out_at >= p->out.len / 2) {
        memmove(p->out.p, p->out.p + p->out_at, p->out.len - p->out_at);
        p->out.len -= p->out_at;
        p->out_at = 0;
    }
    vt_buf_add(&p->out, bytes, n);
    return vt_buf_check(&p->out, "the answers that a client does not read", err);
}

size_t vt_peer_unsent(const struct vt_peer *p)
{
    return p->out.len - p->out_at;
}

static ssize_t send_some(int fd, const char *bytes, size_t n)
{
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0 || errno != ENOTSOCK)
        return sent;
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return write(fd, bytes, n < PIPE_BUF ? n : PIPE_BUF);
}

vt_status vt_peer_flush(struct vt_peer *p, vt_err *err)
{
    while (p->out_at < p->out.len) {
        ssize_t n = send_some(p->out_fd, p->out.p + p->out_at, p->out.len - p->out_at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return VT_OK;
        if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
            return vt_fail(err, VT_ECANCELLED, "nobody reads the answers any more");
        if (n < 0)
            return vt_fail(err, VT_EIO, "cannot write an answer: %s", strerror(errno));
        p->out_at += (size_t)n;
    }
    vt_buf_clear(&p->out);
    p->out_at = 0;
    return VT_OK;
}

bool vt_peer_is_gone(const struct vt_peer *p)
{
    struct pollfd fd = {.fd = p->out_fd};
    return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLERR | POLLHUP | POLLNVAL));
}
