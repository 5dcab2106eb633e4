/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h: the compute pool, and the one machine lease that keeps pools out of the way of a timing.
 *
 * vt_pool: n threads (the caller is thread 0) that run one parallel-for at a time. Work is split statically, so a
 * result never depends on scheduling. Whoever waits (for a job, for its end, at a barrier) watches for about 50 us,
 * then sleeps.
 *
 * vt_lease (DECISIONS.md section 10): a timing holds a *place*, its cores or a device, exclusively for at most 250 ms
 * at a time. Everybody else who burns CPU is a *guest*, somewhere: a thread where its affinity lets it run, a child
 * process where the thread that registers it may (affinity is inherited), and on a device it names. A guest whose place
 * meets the one held parks in vt_lease_poll, which it calls at layer or job boundaries; child processes get SIGSTOP and
 * SIGCONT instead. Guests elsewhere go on. What disturbs a timing from other cores (halves of the same physical core)
 * is for the timing to know: it puts those cores into its place. vt_lease_acquire returns once every guest that is met
 * and between enter and leave is parked (at most ~10 ms when guests poll as they promise), or after a grace period,
 * with *contended set, if one did not park in time.
 *
 * A guest with a pool need not park on a machine that has cores to spare: the pool keeps the rest and comes back.
 */
#ifndef VT_BASE_THREAD_H
#define VT_BASE_THREAD_H

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <vegttt/err.h>

int vt_cpu_count(void); /* cores this process may use (sched_getaffinity) */

/* Where work runs or what a timing needs for itself. */
struct vt_place {
    cpu_set_t cores;
    uint64_t devices; /* bit i: device i */
};
/* The cores that the calling thread may use, no device. */
void vt_place_here(struct vt_place *p);
/* The devices that an environment variable lists ("0,1"); none when it is not set. EINVAL where it is no such list. */
vt_status vt_devices_asked(const char *variable, uint64_t *out, vt_err *err) VT_MUST_USE;

typedef struct vt_pool vt_pool;
typedef struct vt_lease vt_lease;
vt_lease *vt_lease_new(void);
void vt_lease_free(vt_lease *l);
/* Guests. enter/leave bracket a stretch of work of the calling thread; poll inside it is one atomic load when nothing
 * is held. NULL l is allowed everywhere and does nothing. */
void vt_lease_enter(vt_lease *l); /* where the thread may run; waits while that is held */
/* The same for a thread whose work runs on devices. */
void vt_lease_enter_devices(vt_lease *l, uint64_t devices);
void vt_lease_poll(vt_lease *l); /* parks while the guest's place is held or wanted */
/* The same between two jobs of a pool: from now on the calling guest is its pool, which need not park on a machine with
 * cores to spare. */
void vt_lease_poll_pool(vt_lease *l, vt_pool *p);
void vt_lease_forget_pool(vt_lease *l, vt_pool *p); /* before it is freed; its guest has left */
void vt_lease_leave(vt_lease *l);
void vt_lease_child_add(vt_lease *l, pid_t process_group);
void vt_lease_child_del(vt_lease *l, pid_t process_group); /* before the child is reaped */
/* The timer. Holders whose places meet wait for each other in order; others hold at the same time. */
void vt_lease_acquire(vt_lease *l, const struct vt_place *p, bool *contended);
void vt_lease_release(vt_lease *l, const struct vt_place *p); /* the place as it was acquired */
/* Total time since creation that somebody held what the calling thread may use. */
uint64_t vt_lease_held_ns(const vt_lease *l);
/* Threads and child processes of guests that work outside p now, at most. */
int vt_lease_n_elsewhere(const vt_lease *l, const struct vt_place *p);

typedef void vt_pool_fn(void *arg, int thread, int n_threads);
/* n_threads 0 = vt_cpu_count(). */
vt_status vt_pool_new(int n_threads, vt_pool **out, vt_err *err) VT_MUST_USE;
void vt_pool_free(vt_pool *p);
int vt_pool_size(const vt_pool *p);
/* From now on jobs run on n_active threads (at most vt_pool_size), which with the calling one stay on these cores; the
 * others sleep. Only between jobs, by the thread that runs them. */
void vt_pool_place(vt_pool *p, const cpu_set_t *cores, int n_active);
void vt_pool_run(vt_pool *p, vt_pool_fn *fn,
                 void *arg);                  /* fn(arg, 0..n-1, n) on all active threads; returns when all are done */
void vt_pool_barrier(vt_pool *p, int thread); /* inside fn: all threads meet; waits as a job's end is waited for */

#endif
