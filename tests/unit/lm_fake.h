/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_fake.h: a language-model backend in one file, to prove the door (engine/model/lm.h) with something that is not the
 * CPU. Its model is a toy, but a true one: the logit of token v after token c at position p is
 *     z_v = base(c, v) + 0.3 (p mod 5) [v mod 5 = p mod 5] + 0.1 route [v even] + s theta[(7 c + v) mod n_params]
 * with theta the adapter and route a number 0..3 that the row's experts would be (its trace: one byte a token). So
 * log-probabilities, entropies, gradients and Adam can be checked against arithmetic, and a result that went to the
 * wrong row, slot or adapter is another number.
 *
 * What it adds for tests: a log of what the door called, counts of living objects, a gate that holds work back until
 * the test lets it go, and settings (in_flight, experts, …) that a test changes before it opens a model. One fake at a
 * time. Include after harness.h.
 */
#ifndef VT_TEST_LM_FAKE_H
#define VT_TEST_LM_FAKE_H

#include "base/alloc.h"
#include "base/rng.h"
#include "model/lm_ops.h"
#include <pthread.h>

enum { FAKE_LOG = 512 };

static struct fake {
    /* settings */
    int in_flight;
    bool has_experts, is_absent;
    size_t trace_bytes; /* 0 or 1 */
    uint64_t devices;
    uint64_t bytes_a_token;

    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool is_held;                                      /* work waits in begin (in wait, when in_flight > 1) */
    int n_waiting;                                     /* work that stands at the gate */
    int adapters, groups, slots, tapes, grads, models; /* alive */
    char log[FAKE_LOG]; /* "g" group, "d" decode, "s" score, "f" forward, "b" backward begun; "w" waited */
    pthread_t worker;
    bool fails_backward;
    char order[FAKE_LOG]; /* what the last DECODE or SCORE was handed: "adapter:group " for every slot or row */
    int n_vocab;
} fake = {.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER, .in_flight = 1, .bytes_a_token = 100};

/* --- for tests --- */

static inline void fake_reset(int in_flight)
{
    fake.in_flight = in_flight;
    fake.has_experts = fake.is_absent = fake.is_held = fake.fails_backward = false;
    fake.trace_bytes = 0;
    fake.devices = 0;
    fake.bytes_a_token = 100;
    fake.log[0] = fake.order[0] = 0;
}

static inline void fake_hold(bool is_held)
{
    pthread_mutex_lock(&fake.lock);
    fake.is_held = is_held;
    pthread_cond_broadcast(&fake.moved);
    pthread_mutex_unlock(&fake.lock);
}

/* Until n pieces of work stand at the gate. */
static inline void fake_await(int n)
{
    pthread_mutex_lock(&fake.lock);
    while (fake.n_waiting < n)
        pthread_cond_wait(&fake.moved, &fake.lock);
    pthread_mutex_unlock(&fake.lock);
}

static inline int fake_alive(const int *count)
{
    pthread_mutex_lock(&fake.lock);
    const int n = *count;
    pthread_mutex_unlock(&fake.lock);
    return n;
}

static inline void fake_log_copy(char out[FAKE_LOG])
{
    pthread_mutex_lock(&fake.lock);
    memcpy(out, fake.log, FAKE_LOG);
    pthread_mutex_unlock(&fake.lock);
}

/* --- inside --- */

static inline void fake_note(char c)
{
    pthread_mutex_lock(&fake.lock);
    size_t n = strlen(fake.log);
    if (n + 1 < FAKE_LOG) {
        fake.log[n] = c;
        fake.log[n + 1] = 0;
    }
    fake.worker = pthread_self();
    pthread_mutex_unlock(&fake.lock);
}

static inline void fake_count(int *count, int change)
{
    pthread_mutex_lock(&fake.lock);
    *count += change;
    pthread_mutex_unlock(&fake.lock);
}

static inline vt_status fake_gate(const struct vt_lm_work *w, vt_err *err)
{
    pthread_mutex_lock(&fake.lock);
    fake.n_waiting++;
    pthread_cond_broadcast(&fake.moved);
    while (fake.is_held && !vt_lm_is_cancelled(w)) {
        struct timespec soon;
        clock_gettime(CLOCK_REALTIME, &soon);
        soon.tv_nsec += 2000000;
        soon.tv_sec += soon.tv_nsec / 1000000000;
        soon.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&fake.moved, &fake.lock, &soon); /* a cancellation does not signal */
    }
    fake.n_waiting--;
    pthread_mutex_unlock(&fake.lock);
    return vt_lm_is_cancelled(w) ? vt_fail(err, VT_ECANCELLED, "the fake was told to stop") : VT_OK;
}

static inline int fake_route(int32_t c, int p)
{
    return (int)(((uint32_t)c * 31u + (uint32_t)p * 7u) % 4u);
}

/* Log-softmax after token c at position p into out[n_vocab]; returns the log-sum-exp of the logits in *lse. */
static inline void fake_row(const struct vt_adapter *a, int32_t c, int p, int route, double *out, double *lse)
{
    double sum = 0;
    for (int v = 0; v < fake.n_vocab; v++) {
        double z = (double)(((uint32_t)c * 2654435761u + (uint32_t)v * 40503u) % 1000u) * 4e-3;
        z += v % 5 == p % 5 ? 0.3 * (p % 5) : 0;
        z += v % 2 == 0 && fake.trace_bytes ? 0.1 * route : 0;
        if (a)
            z += (double)a->alpha / a->rank * (double)a->params[(size_t)(7 * c + v) % a->n_params];
        out[v] = z;
        sum += exp(z);
    }
    *lse = log(sum);
    for (int v = 0; v < fake.n_vocab; v++)
        out[v] -= *lse;
}

static inline const struct vt_adapter *fake_values(const struct vt_lm_adapter *a)
{
    return a ? a->impl : NULL;
}

struct fake_group {
    int32_t last;
};
struct fake_slot {
    int n_tokens, finished;
    int32_t last;
};

static inline void fake_extra(const struct vt_lm_extra *e, size_t at, const double *logp, double lse)
{
    double entropy = 0, sum = 0;
    for (int v = 0; v < fake.n_vocab; v++) {
        entropy -= exp(logp[v]) * logp[v];
        sum += logp[v] + lse;
    }
    if (e->entropy)
        e->entropy[at] = (float)entropy;
    if (e->certainty)
        e->certainty[at] = (float)(lse - sum / fake.n_vocab - log(fake.n_vocab));
    for (int i = 0; i < e->n_top; i++) {
        int best = -1;
        for (int v = 0; v < fake.n_vocab; v++) {
            bool is_taken = false;
            for (int j = 0; j < i; j++)
                is_taken |= e->top_ids[at * (size_t)e->n_top + (size_t)j] == v;
            if (!is_taken && (best < 0 || logp[v] > logp[best]))
                best = v;
        }
        e->top_ids[at * (size_t)e->n_top + (size_t)i] = best;
        e->top_logprob[at * (size_t)e->n_top + (size_t)i] = (float)logp[best];
    }
}

/* --- operations --- */

static vt_status fake_probe(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    (void)ckpt;
    (void)o;
    return fake.is_absent ? vt_fail(err, VT_EUNSUPPORTED, "the fake has no device") : VT_OK;
}

static vt_status fake_numerics(const struct vt_lm_opts *o, char out[64], vt_err *err)
{
    (void)o;
    snprintf(out, 64, "fake/1");
    return fake.is_absent ? vt_fail(err, VT_EUNSUPPORTED, "the fake has no device") : VT_OK;
}

static vt_status fake_open(const vt_ckpt *ckpt, const struct vt_lm_opts *o, struct vt_lm_limits *limits,
                           uint64_t *max_memory, void **be, vt_err *err)
{
    (void)err;
    *limits = (struct vt_lm_limits){.numerics = "fake/1",
                                    .device = o->device,
                                    .devices = fake.devices,
                                    .is_exact = true,
                                    .has_experts = fake.has_experts,
                                    .in_flight = fake.in_flight,
                                    .burst = 8,
                                    .max_slots = 16,
                                    .max_targets = 3,
                                    .max_top = 4,
                                    .trace_bytes = fake.trace_bytes};
    *max_memory = *max_memory ? *max_memory : 1u << 30;
    fake.n_vocab = vt_ckpt_config(ckpt)->n_vocab;
    fake_count(&fake.models, 1);
    *be = &fake;
    return VT_OK;
}

static void fake_close(void *be)
{
    (void)be;
    fake_count(&fake.models, -1);
}

static uint64_t fake_bytes(void *be, uint64_t *peak)
{
    (void)be;
    *peak = 2000;
    return 1000;
}

static void fake_plan(void *be, const struct vt_lm_shapes *s, const struct vt_lm_adapter *a, struct vt_lm_needs *out)
{
    (void)be;
    vt_lm_needs_add(out, "weights", 1000000, true);
    if (a)
        vt_lm_needs_add(out, "adapters", a->shape.n_params * 4, true);
    vt_lm_needs_add(out, "tokens", fake.bytes_a_token * (uint64_t)s->n_slots, false);
    for (int i = 0; i < s->k; i++)
        vt_lm_needs_add(out, "targets", 10, false);
    if (s->purpose == VT_LM_TRAINING)
        vt_lm_needs_add(out, "gradients", (uint64_t)s->n_grads * 1000, false);
}

static vt_status fake_adapter_put(void *be, const struct vt_adapter *values, struct vt_lm_adapter *a, vt_err *err)
{
    struct vt_adapter *copy = NULL;
    (void)be;
    VT_TRY(vt_adapter_clone(values, &copy, err));
    fake_count(&fake.adapters, 1);
    a->impl = copy;
    return VT_OK;
}

static vt_status fake_adapter_clone(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err)
{
    return fake_adapter_put(be, from->impl, a, err);
}

static vt_status fake_adapter_get(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err)
{
    (void)be;
    return vt_adapter_clone(a->impl, out, err);
}

static void fake_adapter_free(void *be, struct vt_lm_adapter *a)
{
    (void)be;
    vt_adapter_free(a->impl);
    fake_count(&fake.adapters, -1);
}

static void fake_group_free(void *be, vt_lm_group *g)
{
    (void)be;
    free(g->impl);
    fake_count(&fake.groups, -1);
}

static vt_status fake_slot_new(void *be, vt_lm_slot *s, vt_err *err)
{
    (void)be;
    (void)err;
    s->impl = vt_alloc(sizeof(struct fake_slot));
    fake_count(&fake.slots, 1);
    return VT_OK;
}

static void fake_slot_free(void *be, vt_lm_slot *s)
{
    (void)be;
    free(s->impl);
    fake_count(&fake.slots, -1);
}

static void fake_tape_free(void *be, vt_lm_tape *t)
{
    (void)be;
    free(t->impl);
    fake_count(&fake.tapes, -1);
}

static vt_status fake_grad_new(void *be, vt_lm_grad *g, vt_err *err)
{
    (void)be;
    (void)err;
    g->impl = vt_alloc_array(g->shape.n_params, sizeof(float));
    fake_count(&fake.grads, 1);
    return VT_OK;
}

static void fake_grad_free(void *be, vt_lm_grad *g)
{
    (void)be;
    free(g->impl);
    fake_count(&fake.grads, -1);
}

/* In a backend that works ahead begin leaves the gate to wait. */
static inline vt_status fake_begin(struct vt_lm_work *w, char c, vt_err *err)
{
    fake_note(c);
    return fake.in_flight > 1 ? VT_OK : fake_gate(w, err);
}

static vt_status fake_group_op(void *be, struct vt_lm_work *w, vt_err *err)
{
    vt_lm_group *g = w->group.group;
    (void)be;
    VT_TRY(fake_begin(w, 'g', err));
    struct fake_group *f = vt_alloc(sizeof *f);
    f->last = w->group.tokens[g->n_tokens - 1];
    g->impl = f;
    fake_count(&fake.groups, 1);
    for (int i = 0; w->group.trace && i < g->n_tokens; i++)
        w->group.trace[i] = (unsigned char)fake_route(w->group.tokens[i], i);
    return VT_OK;
}

static inline void fake_step(const struct vt_lm_work *w, int i)
{
    const vt_lm_slot *slot = w->decode.slots[i];
    const struct vt_sampling *s = &slot->sampling;
    struct fake_slot *f = slot->impl;
    const struct fake_group *g = slot->group->impl;
    double logp[256], lse, total = 0, kept[256];
    const int32_t c = f->n_tokens ? f->last : g->last;
    const int p = slot->group->n_tokens - 1 + f->n_tokens, route = fake_route(c, p);
    fake_row(fake_values(slot->group->adapter), c, p, route, logp, &lse);
    for (int v = 0; v < fake.n_vocab; v++)
        kept[v] = exp(logp[v] / (double)(s->temperature > 0 ? s->temperature : 1));
    for (int b = 0; b < s->n_banned; b++)
        kept[s->banned[b]] = 0;
    for (int v = 0; v < fake.n_vocab; v++)
        total += kept[v];
    double left = (double)vt_philox_uniform(slot->seed, 0, (uint64_t)f->n_tokens) * total;
    int token = 0;
    while (token < fake.n_vocab - 1 && (left -= kept[token]) >= 0)
        token++;
    const size_t row = (size_t)w->decode.row[i], at = row * (size_t)w->decode.n_steps + (size_t)w->decode.n_out[row]++;
    w->decode.tokens[at] = token;
    w->decode.logprob[at] = (float)logp[token];
    w->decode.logprob_behaviour[at] = (float)log(kept[token] / total);
    fake_extra(&w->decode.extra, at, logp, lse);
    if (w->decode.trace)
        w->decode.trace[at] = (unsigned char)route;
    f->last = token;
    f->n_tokens++;
    for (int k = 0; k < slot->n_stop_ids; k++)
        if (slot->stop_ids[k] == token)
            f->finished = 1;
    if (!f->finished && f->n_tokens == slot->max_tokens)
        f->finished = 2;
}

static inline void fake_note_order(const vt_lm_group *g, bool is_first)
{
    pthread_mutex_lock(&fake.lock);
    const size_t n = is_first ? 0 : strlen(fake.order);
    snprintf(fake.order + n, FAKE_LOG - n, "%d:%d ", g->adapter ? g->adapter->id : 0, (int)g->serial);
    pthread_mutex_unlock(&fake.lock);
}

static vt_status fake_decode(void *be, struct vt_lm_work *w, vt_err *err)
{
    (void)be;
    VT_TRY(fake_begin(w, 'd', err));
    for (int i = 0; i < w->decode.n_slots; i++) {
        fake_note_order(w->decode.slots[i]->group, i == 0);
        struct fake_slot *f = w->decode.slots[i]->impl;
        for (int t = 0; t < w->decode.n_steps && !f->finished; t++)
            fake_step(w, i);
        w->decode.finished[w->decode.row[i]] = (unsigned char)f->finished;
    }
    return VT_OK;
}

static vt_status fake_score(void *be, struct vt_lm_work *w, vt_err *err)
{
    double logp[256], lse;
    (void)be;
    VT_TRY(fake_begin(w, 's', err));
    for (int i = 0; i < w->score.n_rows; i++) {
        const struct vt_lm_score_row *r = &w->score.rows[i];
        const struct fake_group *g = r->group->impl;
        fake_note_order(r->group, i == 0);
        for (int t = 0; t < r->n; t++) {
            const int32_t c = t ? r->tokens[t - 1] : g->last;
            const int p = r->group->n_tokens - 1 + t;
            fake_row(fake_values(r->group->adapter), c, p, r->trace ? r->trace[t] : fake_route(c, p), logp, &lse);
            for (int j = t * w->score.k; j < (t + 1) * w->score.k; j++)
                if (r->targets[j] >= 0)
                    r->logprob[j] = (float)logp[r->targets[j]];
            fake_extra(&r->extra, (size_t)t, logp, lse);
        }
    }
    return VT_OK;
}

/* Of head row h: the token and position it feeds, and its route. */
static inline void fake_head(const vt_lm_tape *t, int h, int32_t *c, int *p, int *route)
{
    const int row = t->heads[h].row;
    for (int i = 0; i < t->n_prompts; i++) {
        const struct vt_lm_tape_prompt *b = &t->prompts[i];
        if (row >= b->row0 && row < b->row0 + b->n) {
            *p = row - b->row0;
            *c = b->tokens[*p];
            *route = b->trace ? b->trace[*p] : fake_route(*c, *p);
            return;
        }
    }
    for (int i = 0; i < t->n_seqs; i++) {
        const struct vt_lm_tape_seq *s = &t->seqs[i];
        if (row >= s->row0 && row < s->row0 + s->n - 1) {
            *p = t->prompts[s->prompt].n + row - s->row0;
            *c = s->tokens[row - s->row0];
            *route = s->trace ? s->trace[row - s->row0 + 1] : fake_route(*c, *p);
            return;
        }
    }
}

static vt_status fake_forward(void *be, struct vt_lm_work *w, vt_err *err)
{
    vt_lm_tape *t = w->forward.tape;
    double logp[256], lse;
    (void)be;
    VT_TRY(fake_begin(w, 'f', err));
    t->impl = vt_alloc(1);
    fake_count(&fake.tapes, 1);
    for (int h = 0; h < t->n_heads; h++) {
        int32_t c = 0;
        int p = 0, route = 0;
        fake_head(t, h, &c, &p, &route);
        fake_row(fake_values(t->adapter), c, p, route, logp, &lse);
        for (int i = t->heads[h].target0; i < t->heads[h + 1].target0; i++)
            w->forward.logprob[i] = (float)logp[t->target_ids[i]];
    }
    return VT_OK;
}

static vt_status fake_backward(void *be, struct vt_lm_work *w, vt_err *err)
{
    const vt_lm_tape *t = w->backward.tape;
    const struct vt_adapter *a = fake_values(t->adapter);
    float *grad = w->backward.grad->impl;
    double logp[256], lse;
    (void)be;
    VT_TRY(fake_begin(w, 'b', err));
    if (fake.fails_backward)
        return vt_fail(err, VT_EIO, "the fake's device fell off the bus");
    for (int h = 0; h < t->n_heads; h++) {
        int32_t c = 0;
        int p = 0, route = 0;
        fake_head(t, h, &c, &p, &route);
        fake_row(a, c, p, route, logp, &lse);
        for (int i = t->heads[h].target0; i < t->heads[h + 1].target0; i++)
            for (int v = 0; v < fake.n_vocab; v++)
                grad[(size_t)(7 * c + v) % a->n_params] +=
                    (float)((double)w->backward.w[i] * (double)a->alpha / a->rank *
                            (exp(logp[v]) - (v == t->target_ids[i] ? 1 : 0)));
    }
    return VT_OK;
}

static vt_status fake_wait(void *be, struct vt_lm_work *w, vt_err *err)
{
    (void)be;
    fake_note('w');
    return fake_gate(w, err);
}

static vt_status fake_grad_add(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    float *x = into->impl;
    const float *y = g->impl;
    (void)be;
    (void)err;
    for (size_t i = 0; i < g->shape.n_params; i++)
        x[i] += y[i];
    return VT_OK;
}

static vt_status fake_grad_dot(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err)
{
    const float *x = a->impl, *y = b->impl;
    (void)be;
    (void)err;
    *dot = 0;
    for (size_t i = 0; i < a->shape.n_params; i++)
        *dot += (double)x[i] * (double)y[i];
    return VT_OK;
}

static vt_status fake_grad_read(void *be, const vt_lm_grad *g, float *out, vt_err *err)
{
    (void)be;
    (void)err;
    memcpy(out, g->impl, g->shape.n_params * sizeof *out);
    return VT_OK;
}

/* Plain descent: the door's business is who is moved when. */
static vt_status fake_adam(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o,
                           double *norm, vt_err *err)
{
    struct vt_adapter *h = a->impl;
    const float *x = g->impl;
    VT_TRY(fake_grad_dot(be, g, g, norm, err));
    *norm = sqrt(*norm);
    for (size_t i = 0; i < h->n_params; i++)
        h->params[i] -= o->lr * x[i];
    h->step++;
    fake_note('a');
    return VT_OK;
}

#define FAKE_OPS(its_name, its_wait)                                                                                   \
    {                                                                                                                  \
        .name = its_name, .probe = fake_probe, .numerics = fake_numerics, .open = fake_open, .close = fake_close,      \
        .bytes = fake_bytes, .plan = fake_plan, .adapter_put = fake_adapter_put, .adapter_clone = fake_adapter_clone,  \
        .adapter_get = fake_adapter_get, .adapter_free = fake_adapter_free, .group_free = fake_group_free,             \
        .slot_new = fake_slot_new, .slot_free = fake_slot_free, .tape_free = fake_tape_free,                           \
        .grad_new = fake_grad_new, .grad_free = fake_grad_free, .group = fake_group_op, .decode = fake_decode,         \
        .score = fake_score, .forward = fake_forward, .backward = fake_backward, .wait = its_wait,                     \
        .grad_add = fake_grad_add, .grad_dot = fake_grad_dot, .grad_read = fake_grad_read, .adam = fake_adam           \
    }
static const struct vt_lm_ops fake_ops = FAKE_OPS("fake", NULL), fake_ahead_ops = FAKE_OPS("ahead", fake_wait);

#endif
