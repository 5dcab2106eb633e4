/* SPDX-License-Identifier: Apache-2.0
 *
 * log.c: level filter and sink.
 *
 * The level is an atomic, so that a message below it costs one load. The sink is called under a mutex: lines from
 * different threads never interleave, and vt_log_set returns only when no sink call is in flight. A sink must
 * therefore not log.
 */
#include "base/log.h"
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>

enum { MESSAGE_MAX = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int max_level = -1; /* -1: no sink */
static vt_log_sink *sink_fn;
static void *sink_arg;

void vt_log_set(enum vt_level level, vt_log_sink *sink, void *arg)
{
    pthread_mutex_lock(&lock);
    sink_fn = sink;
    sink_arg = arg;
    atomic_store(&max_level, sink ? (int)level : -1);
    pthread_mutex_unlock(&lock);
}

int vt_log_on(enum vt_level level)
{
    return (int)level <= atomic_load_explicit(&max_level, memory_order_relaxed);
}

void vt_log(enum vt_level level, const char *subsystem, const char *fmt, ...)
{
    if (!vt_log_on(level))
        return;
    char message[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    pthread_mutex_lock(&lock);
    if (sink_fn)
        sink_fn(sink_arg, level, subsystem, message);
    pthread_mutex_unlock(&lock);
}
