/* SPDX-License-Identifier: Apache-2.0
 *
 * net.h: a thread with an event loop and an HTTP client on it, for those whose callers have no loop: a policy that is
 * asked from any thread. All that happens on the loop happens on that thread; others post.
 */
#ifndef VT_NET_NET_H
#define VT_NET_NET_H

#include "net/http.h"

struct vt_net;
vt_status vt_net_open(const struct vt_http_opts *o, struct vt_net **out, vt_err *err) VT_MUST_USE;
/* What was posted is done first; calls under way end with VT_ECANCELLED. NULL is allowed. Not from the thread itself.
 */
void vt_net_close(struct vt_net *n);
vt_loop *vt_net_loop(struct vt_net *n);
vt_http *vt_net_http(struct vt_net *n);
void vt_net_post(struct vt_net *n, struct vt_post *p); /* thread-safe */

/* One call, waited for, on another thread: for opening. r->done is not looked at; r->body is taken whatever
 * comes of it. stop_fd: readable = give up; -1 = never. The answer's body is malloc'd, NUL-terminated; *out is filled
 * where an answer came, also with an error. */
struct vt_net_answer {
    int status;
    bool may_try_again;   /* by vt_http_judge */
    double retry_after_s; /* < 0 = not said */
    char location[4096];  /* of a redirect; "" = none */
    int64_t from;         /* of the bytes of a part (Content-Range); -1 = not said */
    char *body;
    size_t len;
};
vt_status vt_net_ask(struct vt_net *n, const struct vt_http_request *r, int stop_fd, struct vt_net_answer *out,
                     vt_err *err) VT_MUST_USE;

#endif
