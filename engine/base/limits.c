/* SPDX-License-Identifier: Apache-2.0
 *
 * limits.c: the table of limits.h and its check, which is the command line's own.
 */
#include "base/limits.h"

static const struct {
    const char *name;
    struct vt_range range;
} limits[] = {
#define X(id, name, ...) {name, __VA_ARGS__},
    VT_LIMIT_MAP(X)
#undef X
};

const char *vt_limit_name(enum vt_limit id)
{
    return limits[id].name;
}

struct vt_range vt_limit_range(enum vt_limit id)
{
    return limits[id].range;
}

vt_status vt_limit_check(enum vt_limit id, double v, vt_err *err)
{
    const struct vt_range *r = &limits[id].range;

    VT_TRY(vt_range_check(r, v, limits[id].name, err));
    if ((r->bits & VT_RANGE_OPEN) && !((double)(float)v > r->min)) /* requests hold floats */
        return vt_fail(err, VT_EINVAL, "%s must be above %g, not %g, which is %g in single precision", limits[id].name,
                       r->min, v, (double)(float)v);
    return VT_OK;
}
