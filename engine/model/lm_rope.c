/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_rope.c: rotary positions (Su et al. 2021) with Llama-3's stretched frequencies. Every backend reads its tables
 * from here, so that they agree to the bit. Angles are computed in double and rounded once: at position 8000 an fp32
 * angle would already be off by 5e-4.
 */
#include "model/lm_ops.h"
#include <math.h>

static double frequency(const struct vt_lm_config *c, int i)
{
    const double tau = 6.283185307179586;
    double f = pow((double)c->rope_theta, -2.0 * i / c->head_dim);
    if (c->rope_factor == 0)
        return f;
    double wavelength = tau / f, low = c->rope_orig_ctx / (double)c->rope_low,
           high = c->rope_orig_ctx / (double)c->rope_high;
    if (wavelength < high)
        return f;
    if (wavelength > low)
        return f / (double)c->rope_factor;
    double blend = (c->rope_orig_ctx / wavelength - (double)c->rope_low) / ((double)c->rope_high - (double)c->rope_low);
    return (1 - blend) * f / (double)c->rope_factor + blend * f;
}

void vt_lm_rope_row(const struct vt_lm_config *c, int position, float *out)
{
    const int half = c->head_dim / 2;
    for (int i = 0; i < half; i++) {
        double angle = position * frequency(c, i);
        out[i] = (float)cos(angle);
        out[half + i] = (float)sin(angle);
    }
}
