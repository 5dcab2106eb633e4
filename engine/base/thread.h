/* SPDX-License-Identifier: Apache-2.0
 *
 * thread.h: the compute pool, and the one machine lease that keeps pools out of the way of a timing.
 *
 * vt_pool: n threads (the caller is thread 0) that run one parallel-for at a time. Work is split statically, so a
 * result never depends on scheduling. Whoever waits (for a job, for its end, at a barrier) watches for about 50 us,
 * then sleeps.
 *
 * vt_lease (DECISIONS.md section 10): a timing holds the machine exclusively for at most 250 ms at a time.
 * Everybody else who burns CPU is a *guest*: it calls vt_lease_poll at layer or job boundaries and parks there while
 * the lease is held; child processes registered with vt_lease_child_add get SIGSTOP and SIGCONT instead.
 * vt_lease_acquire returns once every guest that is between enter and leave is parked (at most ~10 ms when guests
 * poll as they promise), or after a grace period, with *contended set, if one did not park in time.
 */
#ifndef VT_BASE_THREAD_H
#define VT_BASE_THREAD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <vegttt/err.h>

int vt_cpu_count(void); /* cores this process may use (sched_getaffinity) */

typedef struct vt_lease vt_lease;
vt_lease *vt_lease_new(void);
void vt_lease_free(vt_lease *l);
/* Guests. enter/leave bracket a stretch of work; poll inside it is one atomic load when the lease is free. NULL l is
 * allowed everywhere and does nothing. */
void vt_lease_enter(vt_lease *l); /* waits while the lease is held */
void vt_lease_poll(vt_lease *l);  /* parks while the lease is held or wanted */
void vt_lease_leave(vt_lease *l);
void vt_lease_child_add(vt_lease *l, pid_t process_group);
void vt_lease_child_del(vt_lease *l, pid_t process_group); /* before the child is reaped */
/* The timer. Only one holder; others wait in order. */
void vt_lease_acquire(vt_lease *l, bool *contended);
void vt_lease_release(vt_lease *l);
uint64_t vt_lease_held_ns(const vt_lease *l); /* total time held since creation */

typedef struct vt_pool vt_pool;
typedef void vt_pool_fn(void *arg, int thread, int n_threads);
/* n_threads 0 = vt_cpu_count(). */
vt_status vt_pool_new(int n_threads, vt_pool **out, vt_err *err) VT_MUST_USE;
void vt_pool_free(vt_pool *p);
int vt_pool_size(const vt_pool *p);
void vt_pool_run(vt_pool *p, vt_pool_fn *fn,
                 void *arg);                  /* fn(arg, 0..n-1, n) on all threads; returns when all are done */
void vt_pool_barrier(vt_pool *p, int thread); /* inside fn: all threads meet; waits as a job's end is waited for */

#endif
