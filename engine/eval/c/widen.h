/* SPDX-License-Identifier: Apache-2.0
 *
 * widen.h: the wider bound of convolutions (DECISIONS.md section 1).
 *
 * Winograd's algorithms add neighbouring inputs before they multiply, so their rounding follows the largest input near
 * the window, which the products of the text itself need not see: 4 u sum over channels of (max|x in the window widened
 * by one| times sum|g|). The text of the task gives that sum: it is run on inputs in which each element is the largest
 * magnitude that a window around it can see, and on the magnitudes of the weights.
 */
#ifndef VT_EVAL_C_WIDEN_H
#define VT_EVAL_C_WIDEN_H

#include "eval/task_parts.h"

/* Of a convolution (vt_task_is_convolution): input array i as the wider bound takes it, n_elem values: magnitudes of
 * weights and state; of an array with spatial axes (n, channels, axes…) the largest magnitude within one window's
 * length on every axis, so within every window that holds the element, widened by one. False: no memory. */
bool vt_widen_input(const vt_task *t, const vt_layout *l, size_t i, const float *from, float *to);

#endif
