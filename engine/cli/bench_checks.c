/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_checks.c: the rows of `vegttt bench` that state a fact instead of a speed: a prompt of 8,000 tokens fits and is
 * refused in one sentence where it does not; a packed model opens fast; the sampler's log-probabilities are the
 * scorer's, bit for bit.
 */
#include "cli/bench.h"

#include "base/alloc.h"
#include "base/clock.h"
#include "policy/native.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static double peak_rss_mb(void)
{
    struct rusage u;

    return getrusage(RUSAGE_SELF, &u) == 0 ? (double)u.ru_maxrss / 1e3 : 0;
}

/* --- a long prompt --- */

enum { LONG_SEQS = 4 };

static vt_status long_calls(struct vt_bench_model *m, double *sampled_s, double *scored_s, vt_err *err)
{
    struct vt_sample out[LONG_SEQS] = {0};
    const int32_t *tokens[LONG_SEQS];
    int n[LONG_SEQS];
    static float logp[LONG_SEQS][VT_BENCH_NEW];
    float *rows[LONG_SEQS];
    double start = vt_now_s();

    VT_TRY(vt_bench_sample(m, m->weights, VT_BENCH_LONG, LONG_SEQS, 64, out, err));
    *sampled_s = vt_now_s() - start;
    for (int i = 0; i < LONG_SEQS; i++) {
        vt_sample_clear(&out[i]);
        tokens[i] = m->completion[i];
        n[i] = VT_BENCH_NEW;
        rows[i] = logp[i];
    }
    start = vt_now_s();
    VT_TRY(vt_bench_score(m, m->weights, VT_BENCH_LONG, LONG_SEQS, tokens, n, rows, err));
    *scored_s = vt_now_s() - start;
    return VT_OK;
}

/* Opens the model again under max_memory and expects it to refuse the long prompt; the sentence goes to note. */
static vt_status refuse(const struct vt_bench_model *m, uint64_t max_memory, bool *is_refused, char *note, size_t size,
                        vt_err *err)
{
    struct vt_bench_model *small = vt_alloc(sizeof *small);
    struct vt_policy_opts o = {.max_memory = max_memory};
    double unused;
    vt_err refusal;
    vt_status status;

    if (!small)
        return vt_fail(err, VT_ENOMEM, "out of memory for a second model");
    *small = *m;
    small->weights = NULL;
    status = vt_bench_open(m->spec, &o, &small->policy, err);
    if (status == VT_OK) {
        small->weights = vt_policy_start(small->policy);
        *is_refused = long_calls(small, &unused, &unused, &refusal) == VT_ENOMEM;
        (void)snprintf(note, size, "under %.0f MB: %s", (double)max_memory / 1e6,
                       *is_refused ? refusal.msg : "not refused");
        vt_weights_unref(small->weights);
        vt_policy_close(small->policy);
    }
    free(small);
    return status;
}

vt_status vt_bench_long_prompt(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    const double n = VT_BENCH_LONG, c = VT_BENCH_NEW;
    double sampled_s, scored_s;
    uint64_t peak = 0;
    int used;

    (void)width;
    VT_TRY(long_calls(m, &sampled_s, &scored_s, err));
    (void)vt_lm_bytes(vt_native_of(m->policy)->lm, &peak);
    r->tokens = n + LONG_SEQS * c;
    r->seconds = scored_s;
    r->flops = vt_bench_flops(m, r->tokens, LONG_SEQS * c, n * n / 2 + LONG_SEQS * c * (n + c / 2));
    r->bytes = m->weight_bytes;
    r->peak_bytes = (double)peak;
    used = snprintf(r->note, sizeof r->note,
                    "%d samples of 64 tokens in %.1f s, %d x %d scored in %.1f s; peak %.0f MB of the backend, %.0f MB "
                    "of the process; ",
                    LONG_SEQS, sampled_s, LONG_SEQS, VT_BENCH_NEW, scored_s, (double)peak / 1e6, peak_rss_mb());
    if (used < 0 || (size_t)used >= sizeof r->note)
        return VT_OK;
    /* room for the weights and half of the rest */
    return refuse(m, ((uint64_t)m->weight_bytes + peak) / 2, &r->holds, r->note + used, sizeof r->note - (size_t)used,
                  err);
}

/* --- load time --- */

vt_status vt_bench_load(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    struct vt_policy_opts o = {0};
    vt_policy *p = NULL;
    double start = vt_now_s();

    (void)width;
    VT_TRY(vt_bench_open(m->spec, &o, &p, err));
    r->seconds = vt_now_s() - start;
    r->tokens = 1;
    vt_policy_close(p);
    r->holds = r->seconds < 1;
    (void)snprintf(r->note, sizeof r->note, "%.3f s to open the packed model, files in the system's cache", r->seconds);
    return VT_OK;
}

/* --- sampler against scorer --- */

/* 200 prompt tokens and 70 new ones: the prompt ends inside a KV page, the samples cross one. */
enum { EQUAL_PROMPT = 200, EQUAL_NEW = 70 };

struct difference {
    double n_compared, n_differing, worst, n_moved; /* moved: sampled another token than at B = 64 */
};

/* Scores what was sampled, at_once rows a request, and compares. */
static vt_status compare(struct vt_bench_model *m, vt_weights *w, const struct vt_sample *out, int n, int at_once,
                         struct difference *d, vt_err *err)
{
    static float logp[VT_BENCH_WIDTH][EQUAL_NEW];
    const int32_t *tokens[VT_BENCH_WIDTH];
    float *rows[VT_BENCH_WIDTH];
    int length[VT_BENCH_WIDTH];

    for (int i = 0; i < n; i++) {
        tokens[i] = out[i].tokens;
        length[i] = out[i].n_tokens;
        rows[i] = logp[i];
    }
    for (int i = 0; i < n; i += at_once) {
        const int here = n - i < at_once ? n - i : at_once;

        VT_TRY(vt_bench_score(m, w, EQUAL_PROMPT, here, tokens + i, length + i, rows + i, err));
    }
    for (int i = 0; i < n; i++)
        for (int t = 0; t < length[i]; t++) {
            const double gap = fabs((double)logp[i][t] - (double)out[i].logprobs[t]);

            d->n_compared++;
            d->n_differing += memcmp(&logp[i][t], &out[i].logprobs[t], sizeof(float)) != 0;
            d->worst = gap > d->worst ? gap : d->worst;
        }
    return VT_OK;
}

static vt_status equal_under(struct vt_bench_model *m, vt_weights *w, struct difference *d, vt_err *err)
{
    static const int widths[] = {64, 1, 2, 3, 8, 17, 32};
    static int32_t first[VT_BENCH_WIDTH][EQUAL_NEW];
    vt_status status = VT_OK;

    for (size_t b = 0; b < sizeof widths / sizeof widths[0] && status == VT_OK; b++) {
        struct vt_sample out[VT_BENCH_WIDTH] = {0};
        const int n = widths[b];

        VT_TRY(vt_bench_sample(m, w, EQUAL_PROMPT, n, EQUAL_NEW, out, err));
        for (int i = 0; i < n; i++) {
            const size_t bytes = (size_t)out[i].n_tokens * sizeof(int32_t);

            if (b == 0)
                memcpy(first[i], out[i].tokens, bytes);
            d->n_moved += memcmp(first[i], out[i].tokens, bytes) != 0;
        }
        status = compare(m, w, out, n, n, d, err);
        if (status == VT_OK)
            status = compare(m, w, out, n, 5, d, err);
        if (status == VT_OK && n <= 8)
            status = compare(m, w, out, n, 1, d, err);
        for (int i = 0; i < n; i++)
            vt_sample_clear(&out[i]);
    }
    return status;
}

vt_status vt_bench_equal(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err)
{
    struct difference d = {0};
    vt_weights *made = NULL;
    double start = vt_now_s();
    vt_status status;

    (void)width;
    VT_TRY(equal_under(m, m->weights, &d, err));
    VT_TRY(vt_bench_step(m, 1e-3f, &made, err));
    status = equal_under(m, made, &d, err);
    vt_weights_unref(made);
    if (status != VT_OK)
        return status;
    r->seconds = vt_now_s() - start;
    r->tokens = d.n_compared;
    r->holds = d.n_compared > 0 && d.n_differing == 0 && d.n_moved == 0;
    (void)snprintf(r->note, sizeof r->note,
                   "%.0f log-probabilities, B = 1, 2, 3, 8, 17, 32, 64, scored all at once, by 5 and by 1, "
                   "base and a trained adapter: %.0f differ, largest difference %g; %.0f samples changed with B",
                   d.n_compared, d.n_differing, d.worst, d.n_moved);
    return VT_OK;
}
