/* SPDX-License-Identifier: Apache-2.0
 *
 * download.h: a file from a server, which may take hours and several runs: what has come is kept beside its place
 * (PATH.part) and asked for no second time.
 */
#ifndef VT_NET_DOWNLOAD_H
#define VT_NET_DOWNLOAD_H

#include "net/net.h"

struct vt_net_download {
    const char *url, *path;
    const char *credential; /* a header that is sent to url's host only, whatever it redirects to; NULL = none */
    const char *what;       /* "model.safetensors of ORG/NAME" */
    int64_t size;           /* -1 = not known */
    const char *sha256;     /* NULL = not known */
    int stop_fd;            /* readable = give up, what has come stays; -1 = never */
    void (*progress)(void *arg, int64_t n_bytes); /* so many have come; may be NULL; on the network's thread */
    void *arg;
};
/* Blocks. The file is at path when it is whole and right, and not before. */
vt_status vt_net_download(struct vt_net *n, const struct vt_net_download *d, vt_err *err) VT_MUST_USE;

#endif
