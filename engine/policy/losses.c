/* SPDX-License-Identifier: Apache-2.0
 *
 * losses.c: every policy-gradient loss as one detached weight per token, so that the trainer knows a single loss,
 * L = -sum_t w_t logp_t, and a new loss is a few lines here or in Lua. rho_t = exp(logp_t - logq_t) is the ratio of
 * the trained to the sampling policy, a_t the advantage.
 *
 * Sources: importance_sampling, ppo, cispo and dro follow the Tinker service's definitions (loss = -sum, ratio of
 * untempered log-probabilities); ppo is the clipped surrogate of Schulman et al. 2017, eq. 7, whose gradient is
 * rho a where the clip is not active and 0 where it is; cispo is MiniMax-M1 (2025), eq. 4: the clipped ratio is a
 * constant, so no token is ever dropped; dro is Richemond et al. 2024: a - beta (logp - logq).
 */
#include <math.h>
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
};

vt_status vt_loss_parse(const char *name, enum vt_loss *out, vt_err *err)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].loss;
            return VT_OK;
        }
    }
    return vt_fail(err, VT_EINVAL,
                   "there is no loss \"%s\"; use cross_entropy, importance_sampling, ppo, cispo, dro or a function",
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
    }
    return 0;
}

void vt_loss_weights(enum vt_loss loss, const struct vt_loss_opts *o, const float *logp, const float *logq,
                     const float *advantage, int n, float *w)
{
    for (int t = 0; t < n; t++)
        w[t] = token_weight(loss, o, logp[t], logq ? logq[t] : logp[t], advantage[t]);
}
