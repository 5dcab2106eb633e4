/* SPDX-License-Identifier: Apache-2.0
 *
 * warden.h: what ends a process whose scripts cannot be ended from within.
 *
 * Scripts and the loop share one thread. A script that computes is stopped by the count hook (lua_state.c), one that
 * waits by the scheduler; but inside one call of C (a command it waits for, a pathological pattern, a join of
 * gigabytes) neither has a say. So a second thread watches: when an interrupt is pending, or the deadline has passed,
 * and the script's thread has shown no life for a while, it first kills the commands that the script waits for, which
 * lets the call return and the hook speak; when that does not help it says the last words and ends the process. That is
 * safe: whatever was recorded is in its file, a line at a time.
 *
 * Life is shown by the hook and by every turn of the loop; a thread that waits in the loop is well. All functions may
 * be called with NULL.
 */
#ifndef VT_BIND_WARDEN_H
#define VT_BIND_WARDEN_H

#include "bind/bind.h"
#include <sys/types.h>

enum vt_warden_cause { VT_WARDEN_INTERRUPT, VT_WARDEN_DEADLINE };

struct vt_warden;

/* The signals that interrupt (SIGINT, SIGTERM, SIGUSR1) are blocked already. host is lent. */
vt_status vt_warden_open(const struct vt_bind_host *host, struct vt_warden **out, vt_err *err) VT_MUST_USE;
void vt_warden_close(struct vt_warden *w);

/* By the scripts' thread. */
void vt_warden_alive(struct vt_warden *w);
void vt_warden_waits(struct vt_warden *w, bool waits);     /* enters or leaves a wait in the loop */
void vt_warden_interrupted(struct vt_warden *w);           /* the loop has received one */
void vt_warden_calm(struct vt_warden *w);                  /* what was received has been answered */
void vt_warden_deadline(struct vt_warden *w, double at_s); /* 0 = none */
/* Between here and true nothing is ended: what follows a run is quick, and whole. */
void vt_warden_arm(struct vt_warden *w, bool is_armed);
/* Has an interrupt been pending for so long that the script will not come to a wait by itself? */
bool vt_warden_is_overdue(struct vt_warden *w);

/* What the process says when it is ended for a cause; NULL = the host's own sentence, and nothing. Copied. */
void vt_warden_last_words(struct vt_warden *w, enum vt_warden_cause cause, const char *err_text, const char *out_text);
/* Ends the process as for an interrupt; does not return. */
void vt_warden_end_now(struct vt_warden *w);

/* Process groups of commands that the script waits for; false when there is no room for one more. */
bool vt_warden_child_add(struct vt_warden *w, pid_t group);
void vt_warden_child_del(struct vt_warden *w, pid_t group); /* before it is reaped */

#endif
