/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_parts.h: the loop's fields, shared by loop.c and child.c only.
 */
#ifndef VT_LOOP_LOOP_PARTS_H
#define VT_LOOP_LOOP_PARTS_H

#include "loop/loop.h"
#include "loop/loop_http.h"
#include <curl/curl.h>
#include <pthread.h>
#include <signal.h>

struct vt_loop_timer {
    uint64_t due_ns; /* vt_now_ns */
    vt_timer id;
    vt_loop_fn *fn;
    void *arg;
};

struct vt_loop_watch {
    int fd;
    uint64_t serial; /* tells a descriptor from a later one of the same number */
    vt_loop_fn *fn;
    void *arg;
};

struct vt_loop_child;

struct vt_loop {
    CURLM *multi;
    int (*http_fn)(void *arg);
    void *http_arg;

    pthread_mutex_t post_lock; /* guards posted */
    struct vt_post *posted, *posted_last;

    struct vt_loop_timer *timers; /* binary heap */
    size_t n_timers, cap_timers;
    vt_timer next_timer;

    struct vt_loop_watch *watches;
    size_t n_watches, cap_watches;
    uint64_t last_watch;
    struct curl_waitfd *polled; /* [cap_polled] this turn's poll set */
    uint64_t *ready;            /* [cap_polled] serials that were ready */
    size_t cap_polled;

    int signal_fd; /* -1 until vt_loop_on_signal */
    sigset_t old_mask;
    void (*signal_fn)(void *arg, int signo);
    void *signal_arg;

    struct vt_loop_child *children; /* linked list */
    /* Kills and reaps every child without calling back; set with the first child, so that loop.c does not need child.c.
     */
    void (*free_children)(vt_loop *l);
};

#endif
