/* SPDX-License-Identifier: Apache-2.0
 *
 * losses.c: every policy-gradient loss as one detached weight per token, so that the trainer knows a single loss,
 * L = -sum_t w_t logp_t, and a new loss is a few lines here or in Lua. rho_t = exp(logp_t - logq_t) is the ratio of
 * the trained to the sampling policy, a_t the advantage.
 *
 * Sources: importance_sampling, ppo, cispo and dro follow the Tinker service's definitions (loss = -sum, ratio of
 * untempered log-probabilities); ppo is the clipped surrogate of Schulman et al. 2017, eq. 7, whose gradient is
 * rho a where the clip is not active and 0 where it is; cispo is MiniMax-M1 (2025), eq. 4: the clipped ratio is a
 * constant, so no token is ever dropped; dro is Richemond et al. 2024: a - beta (logp - logq). clip_higher is ppo with
 * DAPO's bounds (Yu et al. 2025), which leave rare tokens room to grow; gspo is Zheng et al. 2025, eq. 5 and 7: one
 * ratio for the whole sequence, the geometric mean of its tokens', and every token an equal part of it.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <vegttt/policy.h>

const struct vt_loss_opts vt_loss_defaults = {.clip_lo = 0.8, .clip_hi = 1.2, .beta = 0.05};

static const struct {
    const char *name;
    enum vt_loss loss;
} names[] = {
    {"cross_entropy", VT_LOSS_CROSS_ENTROPY},
    {"importance_sampling", VT_LOSS_IMPORTANCE_SAMPLING},
    {"ppo", VT_LOSS_PPO},
    {"cispo", VT_LOSS_CISPO},
    {"dro", VT_LOSS_DRO},
    {"clip_higher", VT_LOSS_CLIP_HIGHER},
    {"gspo", VT_LOSS_GSPO},
};

const char *vt_loss_name(size_t i)
{
    return i < sizeof names / sizeof names[0] ? names[i].name : NULL;
}

struct vt_loss_opts vt_loss_defaults_of(enum vt_loss loss)
{
    struct vt_loss_opts o = vt_loss_defaults;

    if (loss == VT_LOSS_CLIP_HIGHER)
        o.clip_hi = 1.28;
    if (loss == VT_LOSS_GSPO) {
        o.clip_lo = 1 - 3e-4;
        o.clip_hi = 1 + 4e-4;
    }
    return o;
}

vt_status vt_loss_parse(const char *name, enum vt_loss *out, vt_err *err)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].loss;
            return VT_OK;
        }
    }
    return vt_fail(err, VT_EINVAL,
                   "there is no loss \"%s\"; use cross_entropy, importance_sampling, ppo, cispo, dro, clip_higher, "
                   "gspo or a function",
                   name);
}

static float token_weight(enum vt_loss loss, const struct vt_loss_opts *o, float logp, float logq, float a)
{
    const float lo = (float)o->clip_lo, hi = (float)o->clip_hi;
    float rho;

    switch (loss) {
    case VT_LOSS_CROSS_ENTROPY:
        return a;
    case VT_LOSS_IMPORTANCE_SAMPLING:
        return expf(logp - logq) * a;
    case VT_LOSS_PPO:
    case VT_LOSS_CLIP_HIGHER:
        rho = expf(logp - logq);
        if ((a > 0 && rho > hi) || (a < 0 && rho < lo))
            return 0;
        return rho * a;
    case VT_LOSS_CISPO:
        rho = expf(logp - logq);
        if (rho > hi)
            rho = hi;
        if (rho < lo)
            rho = lo;
        return rho * a;
    case VT_LOSS_DRO:
        return a - (float)o->beta * (logp - logq);
    case VT_LOSS_GSPO: /* of a whole sequence: below */
        break;
    }
    return 0;
}

static void sequence_weights(const struct vt_loss_opts *o, const float *logp, const float *logq, const float *a, int n,
                             float *w)
{
    double sum = 0, s;

    for (int t = 0; t < n; t++)
        sum += (double)logp[t] - (double)(logq ? logq[t] : logp[t]);
    s = exp(sum / n);
    for (int t = 0; t < n; t++) {
        bool is_clipped = (a[t] > 0 && s > o->clip_hi) || (a[t] < 0 && s < o->clip_lo);

        w[t] = is_clipped ? 0 : (float)(s * (double)a[t] / n);
    }
}

void vt_loss_weights(enum vt_loss loss, const struct vt_loss_opts *o, const float *logp, const float *logq,
                     const float *advantage, int n, float *w)
{
    if (loss == VT_LOSS_GSPO) {
        sequence_weights(o, logp, logq, advantage, n, w);
        return;
    }
    for (int t = 0; t < n; t++)
        w[t] = token_weight(loss, o, logp[t], logq ? logq[t] : logp[t], advantage[t]);
}
