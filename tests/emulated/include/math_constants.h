/* SPDX-License-Identifier: Apache-2.0
 *
 * math_constants.h: stands in for NVIDIA's (emulated_instructions.h).
 */
#ifndef EMULATED_MATH_CONSTANTS_H
#define EMULATED_MATH_CONSTANTS_H

#define CUDART_INF_F __builtin_inff()

#endif
