/* SPDX-License-Identifier: Apache-2.0
 *
 * listen.h: a Unix socket to be reached at.
 */
#ifndef VT_FARM_LISTEN_H
#define VT_FARM_LISTEN_H

#include <vegttt/err.h>

/* Binds the socket, for its owner only; the file of a server that is gone is replaced. EINVAL: another server listens
 * there, or it is no socket. */
vt_status vt_listen_unix(const char *path, int *out, vt_err *err) VT_MUST_USE;

#endif
