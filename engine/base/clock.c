/* SPDX-License-Identifier: Apache-2.0
 *
 * clock.c: the two clocks. Durations always come from the monotonic one; wall time only names and dates things.
 */
#include "base/clock.h"
#include <errno.h>
#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t vt_now_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t vt_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

double vt_now_s(void)
{
    return (double)vt_now_ns() * 1e-9;
}

void vt_stamp(char *out, size_t n)
{
    struct tm tm;
    time_t now = time(NULL);
    gmtime_r(&now, &tm);
    if (strftime(out, n, "%Y%m%d-%H%M%S", &tm) == 0 && n)
        out[0] = '\0';
}

void vt_sleep_ms(unsigned ms)
{
    struct timespec left = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}
