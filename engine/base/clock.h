/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.h: monotonic and wall time in nanoseconds, and the run's stamp.
 */
#ifndef VT_BASE_CLOCK_H
#define VT_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

uint64_t vt_now_ns(void);  /* CLOCK_MONOTONIC */
uint64_t vt_wall_ns(void); /* CLOCK_REALTIME since the epoch */
double vt_now_s(void);
void vt_stamp(char *out, size_t n); /* "20261121-035552", UTC */
void vt_sleep_ms(unsigned ms);

#endif
