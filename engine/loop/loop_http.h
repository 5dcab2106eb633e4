/* SPDX-License-Identifier: Apache-2.0
 *
 * loop_http.h: how an HTTP client shares the loop's curl multi handle. The client adds its easy handles to the handle
 * returned (a CURLM *, so that other folders need no curl header); after every turn's progress the loop calls
 * on_progress, which reads the finished transfers and returns how many callbacks it ran. One client per loop.
 */
#ifndef VT_LOOP_LOOP_HTTP_H
#define VT_LOOP_LOOP_HTTP_H

#include "loop/loop.h"

void *vt_loop_http(vt_loop *l, int (*on_progress)(void *arg), void *arg);

#endif
