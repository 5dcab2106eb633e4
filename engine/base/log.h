/* SPDX-License-Identifier: Apache-2.0
 *
 * log.h: messages for people, by level and subsystem. The sink is set by cli (stderr plus the run's attempt log); the
 * default sink drops everything, so libraries stay silent. Thread-safe.
 */
#ifndef VT_BASE_LOG_H
#define VT_BASE_LOG_H

#include <vegttt/err.h>

enum vt_level { VT_LOG_ERROR, VT_LOG_WARN, VT_LOG_INFO, VT_LOG_DEBUG, VT_LOG_TRACE };
typedef void vt_log_sink(void *arg, enum vt_level level, const char *subsystem, const char *message);

void vt_log_set(enum vt_level level, vt_log_sink *sink, void *arg);
int vt_log_on(enum vt_level level);
void vt_log(enum vt_level level, const char *subsystem, const char *fmt, ...) VT_PRINTF(3, 4);

#endif
