/* SPDX-License-Identifier: Apache-2.0
 *
 * turns.h: the lease is among the threads of a process; among the processes of a user a place is taken in turns, by
 * locks on files, one for each of its cores and devices.
 */
#ifndef VT_EVAL_TURNS_H
#define VT_EVAL_TURNS_H

#include "base/thread.h"

enum { VT_MAX_TURN_FILES = 64 };
struct vt_turns {
    int fd[VT_MAX_TURN_FILES];
    int n;
};
/* Files in dir; one that cannot be made is left out, and whoever needs it does not wait. */
void vt_turns_open(struct vt_turns *t, const char *dir, const struct vt_place *place);
void vt_turns_close(struct vt_turns *t);
/* False when others did not let go for seconds (one was stopped, say): then it goes on without. */
bool vt_turns_take(struct vt_turns *t);
void vt_turns_give(struct vt_turns *t);

#endif
