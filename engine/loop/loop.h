/* SPDX-License-Identifier: Apache-2.0
 *
 * loop.h: the one event loop. It waits in curl_multi_poll, so HTTP transfers, timers, watched descriptors, child
 * processes and results posted by worker threads all wake the same place. The thread that created the loop owns it
 * and everything it calls back; the only function another thread may call is vt_loop_post.
 */
#ifndef VT_LOOP_LOOP_H
#define VT_LOOP_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <vegttt/err.h>

typedef struct vt_loop vt_loop;
typedef void vt_loop_fn(void *arg);

vt_status vt_loop_new(vt_loop **out, vt_err *err) VT_MUST_USE;
void vt_loop_free(vt_loop *l);

/* Runs callbacks that are due: watched descriptors, then HTTP transfers, timers and posted work. Waits at most
 * timeout_ms (-1 = until something happens). *n_run counts callbacks. */
vt_status vt_loop_turn(vt_loop *l, int timeout_ms, int *n_run, vt_err *err) VT_MUST_USE;

/* A call for the loop's thread. It is the poster's, who leaves it alone until fn runs; so posting needs no memory, and
 * what a worker has finished is never lost. */
struct vt_post {
    vt_loop_fn *fn;
    void *arg;
    struct vt_post *next;
};
/* Thread-safe: fn(arg) runs on the loop thread, in posting order. */
void vt_loop_post(vt_loop *l, struct vt_post *p);

/* Timers. The id stays valid until the timer fires or is cancelled. */
typedef uint64_t vt_timer;
vt_timer vt_loop_after(vt_loop *l, double seconds, vt_loop_fn *fn, void *arg);
void vt_loop_cancel(vt_loop *l, vt_timer id);

/* Watched descriptors: fn(arg) whenever fd is readable (or has hung up). Not owned. */
vt_status vt_loop_watch(vt_loop *l, int fd, vt_loop_fn *fn, void *arg, vt_err *err) VT_MUST_USE;
void vt_loop_unwatch(vt_loop *l, int fd);

/* Signals SIGINT, SIGTERM and SIGUSR1 arrive as callbacks on the loop thread (signalfd). */
vt_status vt_loop_on_signal(vt_loop *l, void (*fn)(void *arg, int signo), void *arg, vt_err *err) VT_MUST_USE;

/* A helper child (pip, git): argv[0] is looked up in PATH, stdin is /dev/null, stdout and stderr are collected (each
 * capped at 1 MiB, oldest bytes dropped); killed as a process group at the deadline, and by the kernel when the thread
 * that started it ends. Not for candidates: those live in eval's jail. The callback's strings are lent. */
struct vt_child_result {
    int exit_code; /* -1 when killed by a signal */
    int signo;
    bool timed_out;
    const char *out, *errout;
    size_t out_len, err_len;
};
vt_status vt_loop_child(vt_loop *l, const char *const argv[], double timeout_s,
                        void (*done)(void *arg, const struct vt_child_result *r), void *arg, vt_err *err) VT_MUST_USE;

/* Blocking variant without a loop, for set-up work. `on_line` (may be NULL) gets each stderr/stdout line as it comes.
 */
vt_status vt_child_run(const char *const argv[], double timeout_s, void (*on_line)(void *arg, const char *line),
                       void *arg, int *exit_code, vt_err *err) VT_MUST_USE;
/* The same until stop_fd becomes readable: then the child is killed and the call fails with VT_ECANCELLED. */
vt_status vt_child_run_until(const char *const argv[], double timeout_s, int stop_fd,
                             void (*on_line)(void *arg, const char *line), void *arg, int *exit_code,
                             vt_err *err) VT_MUST_USE;

#endif
