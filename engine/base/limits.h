/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.h: what a request to a policy may ask for, each range stated once. A door checks a request against it, and the
 * command line refuses the same values before a run is opened (core.limits in the Lua half).
 */
#ifndef VT_BASE_LIMITS_H
#define VT_BASE_LIMITS_H

#include "base/args.h"

/* id, name in scripts, range */
#define VT_LIMIT_MAP(X)                                                                                                \
    X(TEMPERATURE, "temperature", VT_WITHIN(0, 100)) /* 0 = the likeliest token */                                     \
    X(TOP_P, "top_p", VT_ABOVE_TO(0, 1))             /* 1 = off */                                                     \
    X(TOP_K, "top_k", VT_WITHIN(0, INT32_MAX))       /* 0 = off */                                                     \
    X(MIN_P, "min_p", VT_WITHIN(0, 1))               /* 0 = off */                                                     \
    X(MAX_TOKENS, "max_tokens", VT_WITHIN(1, 1 << 20))                                                                 \
    X(N, "n", VT_WITHIN(1, 1 << 20)) /* samples of one request */                                                      \
    X(LR, "lr", VT_AT_LEAST(0))                                                                                        \
    X(WEIGHT_DECAY, "weight_decay", VT_AT_LEAST(0))                                                                    \
    X(GRAD_CLIP, "grad_clip", VT_AT_LEAST(0)) /* 0 = off */                                                            \
    X(RANK, "rank", VT_WITHIN(1, 1024))                                                                                \
    X(ALPHA, "alpha", VT_ABOVE(0))

enum vt_limit {
#define X(id, name, ...) VT_LIMIT_##id,
    VT_LIMIT_MAP(X)
#undef X
        VT_N_LIMITS
};

const char *vt_limit_name(enum vt_limit id);
struct vt_range vt_limit_range(enum vt_limit id);

/* "temperature must be at most 100, not 150"; a value that is not finite is outside every range. */
vt_status vt_limit_check(enum vt_limit id, double v, vt_err *err) VT_MUST_USE;

#endif
