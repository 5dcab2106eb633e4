/* SPDX-License-Identifier: Apache-2.0
 *
 * redis.h: a connection to a Redis or Valkey server on the event loop. Commands are sent as they are given and answered
 * in order. A connection that breaks is made again, for ever, with growing pauses; what was sent and not answered is
 * told so (VT_ENET), because nobody knows whether the server did it: callers send what may be done twice, and do it
 * again in `up`.
 *
 * Everything here belongs to the loop's thread, callbacks included.
 */
#ifndef VT_NET_REDIS_H
#define VT_NET_REDIS_H

#include "loop/loop.h"
#include "net/resp.h"

/* redis://[USER@]HOST[:PORT]/NAME, rediss:// for TLS; behind a ? options NAME=VALUE, & between them:
 *   password=FILE   its first line; only its owner may be able to read the file
 *   ca=FILE         certificates of authorities in place of the system's
 *   class=CLASS     for whoever asks; not the connection's business
 * A password in the address itself is refused: command lines are read by others. */
struct vt_redis_address {
    char *host, *name, *user; /* user: NULL = the default one */
    char *password;           /* NULL = none */
    char *ca_file, *class_wanted;
    int port;
    bool has_tls;
};
vt_status vt_redis_address_read(const char *url, struct vt_redis_address *out, vt_err *err) VT_MUST_USE;
void vt_redis_address_free(struct vt_redis_address *a); /* overwrites the password */

typedef struct vt_redis vt_redis;
/* reply: the whole reply, lent; NULL unless the status is OK. An error that the server answers with is VT_EINVAL with
 * its words. */
typedef void vt_redis_done(void *arg, vt_status status, const vt_err *err, const struct vt_resp_reader *reply);

struct vt_redis_opts {
    vt_loop *loop;
    const struct vt_redis_address *address; /* outlives the connection */
    /* Connected, for the first time or again. */
    void (*up)(void *arg);
    /* A connection broke or could not be made; it is tried again. is_final: it was refused for a reason that will not
     * go away (a wrong password, no Redis server), and is not tried again. */
    void (*down)(void *arg, const vt_err *err, bool is_final);
    /* What the server says unasked, after SUBSCRIBE; NULL where nobody subscribes. */
    void (*push)(void *arg, const struct vt_resp_reader *message);
    void *arg;
};
vt_status vt_redis_open(const struct vt_redis_opts *o, vt_redis **out, vt_err *err) VT_MUST_USE;
/* Without waiting; every done that is awaited is called with VT_ECANCELLED. NULL is allowed. Not from a callback of
 * the connection. */
void vt_redis_close(vt_redis *r);
bool vt_redis_is_up(const vt_redis *r);
/* Of an error that the server answered: it has no memory or no disk now, reads its file, or is busy; later it may do
 * it. */
bool vt_redis_passes(const vt_err *err);
/* While it is not up, `done` is called with VT_ENET before this returns. done NULL: nobody wants to know. */
void vt_redis_send(vt_redis *r, const struct vt_resp_word *word, size_t n, vt_redis_done *done, void *arg);
/* The same for words that are texts; NULL ends them. */
void vt_redis_say(vt_redis *r, vt_redis_done *done, void *arg, ...);

#endif
