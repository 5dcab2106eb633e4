/* SPDX-License-Identifier: Apache-2.0
 *
 * rounds.c: which calls make a series.
 *
 * A timed call runs in a process of its own, where a static accumulator is always fresh and a counter never gets far.
 * People's programs call a function more than once, on other data and at other sizes each time: what a kernel keeps
 * from call to call must not show. So the drawn sets are called one after the other in one process, in an order that
 * nobody can know, until enough calls are made; with the few small sets of a search verdict some are called twice,
 * and a second answer to the same question that differs in any bit is counted.
 */
#include "eval/rounds.h"
#include "base/rng.h"
#include <string.h>

enum { MAX_SERIES = 64 };

struct walk {
    const struct vt_rounds_opts *o;
    struct vt_rounds *out;
    struct vt_stream random;
    size_t n, at;
    uint16_t order[VT_POOL_MAX_SETS];
    uint64_t digest[VT_POOL_MAX_SETS];
    bool has_digest[VT_POOL_MAX_SETS];
};

static size_t next_set(struct walk *w)
{
    if (w->at == w->n) {
        for (size_t i = w->n; i > 1; i--) {
            size_t k = (size_t)vt_stream_below(&w->random, i);
            uint16_t x = w->order[i - 1];
            w->order[i - 1] = w->order[k];
            w->order[k] = x;
        }
        w->at = 0;
    }
    return w->order[w->at++];
}

static void note(struct walk *w, const struct vt_check *c)
{
    struct vt_rounds *out = w->out;
    out->n_calls++;
    out->longest = c->nth > out->longest ? c->nth : out->longest;
    if (c->compare.worst > out->worst)
        out->worst = c->compare.worst;
    if (c->end != VT_CHECK_RIGHT) {
        out->failed = true;
        out->failure = *c;
        return;
    }
    if (w->has_digest[c->set]) {
        out->n_repeats++;
        out->n_differing += w->digest[c->set] != c->digest;
    }
    w->digest[c->set] = c->digest;
    w->has_digest[c->set] = true;
}

static vt_status one_series(struct walk *w, size_t n, vt_err *err)
{
    const struct vt_rounds_opts *o = w->o;
    struct vt_call call[MAX_SERIES];
    struct vt_check check[MAX_SERIES];
    const bool is_long = o->is_long && w->out->n_processes == 0;
    size_t n_done = 0;
    for (size_t i = 0; i < n; i++) {
        size_t set = next_set(w);
        call[i] = (struct vt_call){.set = set,
                                   .against = set,
                                   .random = vt_stream_u64(&w->random),
                                   .n_rounds = is_long ? VT_ROUNDS_LONG_TURNS : VT_ROUNDS_TURNS,
                                   .rounds_ns = (is_long ? VT_ROUNDS_LONG_MS : VT_ROUNDS_MS) * (uint64_t)1000000,
                                   .deadline_ns = 10 * n * o->baseline_ns + o->slack_ns};
    }
    VT_TRY(o->ops->series(o->station, o->candidate, call, n, check, &n_done, err));
    for (size_t i = 0; i < n_done && !w->out->failed; i++)
        note(w, &check[i]);
    w->out->n_processes++;
    return VT_OK;
}

vt_status vt_rounds_run(const struct vt_rounds_opts *o, struct vt_rounds *out, vt_err *err)
{
    struct walk w = {.o = o, .out = out};
    const struct vt_pool *p = o->pool;
    size_t most = o->caps->max_series < MAX_SERIES ? o->caps->max_series : MAX_SERIES;
    memset(out, 0, sizeof *out);
    if (most == 0)
        return VT_OK;
    for (size_t first = p->first_drawn, end = p->n_sets; w.n == 0; end = first, first = 0)
        for (size_t i = first; i < end; i++)
            if (!p->set[i].is_unfit)
                w.order[w.n++] = (uint16_t)i;
    w.at = w.n;
    vt_stream_init(&w.random, vt_seed_mix(o->seed, 0x40d5));
    size_t all = w.n + VT_ROUNDS_AGAIN, left = o->n_calls > all ? o->n_calls : all;
    while (left > 0 && !out->failed) {
        size_t n = left < most ? left : most;
        VT_TRY(one_series(&w, n, err));
        left -= n;
    }
    return VT_OK;
}
