/* SPDX-License-Identifier: Apache-2.0
 *
 * here.c: the evaluator of this machine: the lines of the tiers in use (line.h), opened when first asked for, and which
 * of them a request goes to. The default tier is opened with the evaluator, so that what is missing on a machine is
 * said at once.
 */
#include "base/alloc.h"
#include "eval/eval.h"
#include "eval/line.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { MAX_TIERS = 8 };

struct here {
    struct vt_eval door;
    const struct vt_tier_ops *const *table;
    struct vt_line_opts opts; /* ops apart */
    char *cc;
    bool owns_lease;
    pthread_mutex_t lock; /* of what follows */
    bool is_closing;
    struct vt_line *first;
    struct {
        const struct vt_tier_ops *ops;
        struct vt_line *line;
    } open[MAX_TIERS];
    size_t n_open;
};

static struct here *here_of(vt_eval *door)
{
    return (struct here *)door; /* its first member */
}

/* With the lock held: the line of a tier, opened when it is not yet. */
static vt_status line_of(struct here *e, const char *name, struct vt_line **out, vt_err *err)
{
    const struct vt_tier_ops *ops;
    if (e->is_closing)
        return vt_fail(err, VT_ECANCELLED, "cannot evaluate: the evaluator is being closed");
    VT_TRY(vt_tier_find(e->table, name, &ops, err));
    for (size_t i = 0; i < e->n_open; i++)
        if (e->open[i].ops == ops) {
            *out = e->open[i].line;
            return VT_OK;
        }
    if (e->n_open == MAX_TIERS)
        return vt_fail(err, VT_ELIMIT, "more than %d tiers", MAX_TIERS);
    struct vt_line_opts o = e->opts;
    o.ops = ops;
    VT_TRY(vt_line_open(&o, out, err));
    e->open[e->n_open].ops = ops;
    e->open[e->n_open++].line = *out;
    return VT_OK;
}

static vt_status open_eval(struct here *e, const struct vt_eval_opts *o, vt_err *err)
{
    e->opts.n_build = o->n_build;
    e->opts.secret = o->secret;
    if (!e->opts.secret && getrandom(&e->opts.secret, sizeof e->opts.secret, 0) != (ssize_t)sizeof e->opts.secret)
        return vt_fail(err, VT_EIO, "cannot draw a secret from the kernel: %s", strerror(errno));
    e->owns_lease = !o->lease;
    e->cc = o->cc ? vt_strdup(o->cc) : NULL;
    e->opts.tier = (struct vt_tier_opts){e->cc, o->lease ? o->lease : vt_lease_new(), o->unsafe_jail};
    if (!e->opts.tier.lease || (o->cc && !e->cc))
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    if (o->store && !o->no_cache)
        VT_TRY(vt_content_open(o->store, &e->opts.store, err));
    return line_of(e, o->tier, &e->first, err);
}

/* All lines stop before one goes: a done of the one may be submitting to another. */
static void close_here(vt_eval *door)
{
    struct here *e = here_of(door);
    pthread_mutex_lock(&e->lock);
    e->is_closing = true;
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < e->n_open; i++)
        vt_line_stop(e->open[i].line);
    for (size_t i = 0; i < e->n_open; i++)
        vt_line_close(e->open[i].line);
    vt_content_close(e->opts.store);
    if (e->owns_lease)
        vt_lease_free(e->opts.tier.lease);
    free(e->cc);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

/* The line that a request goes to. */
static vt_status route(struct here *e, const struct vt_eval_request *r, struct vt_line **out, vt_err *err)
{
    *out = e->first;
    if (!r->tier)
        return VT_OK;
    pthread_mutex_lock(&e->lock);
    vt_status s = line_of(e, r->tier, out, err);
    pthread_mutex_unlock(&e->lock);
    return s;
}

static vt_status submit(vt_eval *door, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err)
{
    struct vt_line *line;
    VT_TRY(route(here_of(door), r, &line, err));
    return vt_line_submit(line, r, done, arg, err);
}

static vt_status key(vt_eval *door, const struct vt_eval_request *r, char out[VT_EVAL_KEY_SIZE], vt_err *err)
{
    struct vt_line *line;
    VT_TRY(route(here_of(door), r, &line, err));
    return vt_line_key(line, r, out, err);
}

/* Calls visit on every open line, without the lock: a done may submit. */
static void each_line(struct here *e, void (*visit)(struct vt_line *l, void *arg), void *arg)
{
    struct vt_line *line[MAX_TIERS];
    pthread_mutex_lock(&e->lock);
    size_t n = e->n_open;
    for (size_t i = 0; i < n; i++)
        line[i] = e->open[i].line;
    pthread_mutex_unlock(&e->lock);
    for (size_t i = 0; i < n; i++)
        visit(line[i], arg);
}

static void cancel_line(struct vt_line *l, void *arg)
{
    (void)arg;
    vt_line_cancel_queued(l);
}

static void cancel_all(vt_eval *door)
{
    each_line(here_of(door), cancel_line, NULL);
}

struct withdrawal {
    void *arg;
    bool is_found;
};

static void withdraw_from(struct vt_line *l, void *arg)
{
    struct withdrawal *w = arg;
    w->is_found = w->is_found || vt_line_cancel(l, w->arg);
}

static void cancel(vt_eval *door, void *arg)
{
    struct withdrawal w = {arg, false};
    each_line(here_of(door), withdraw_from, &w);
}

static void count_line(struct vt_line *l, void *arg)
{
    *(size_t *)arg += vt_line_pending(l);
}

static size_t pending(vt_eval *door)
{
    size_t n = 0;
    each_line(here_of(door), count_line, &n);
    return n;
}

static const char *version(const vt_eval *door)
{
    return vt_line_lab(((const struct here *)door)->first)->version;
}

static const char *machine(const vt_eval *door)
{
    return vt_line_lab(((const struct here *)door)->first)->caps->machine;
}

/* ---- opening ---- */

static const struct vt_eval_ops ops_here = {close_here, submit, key, cancel, cancel_all, pending, version, machine};

vt_status vt_eval_open_tiers(const struct vt_eval_opts *o, const struct vt_tier_ops *const *table, vt_eval **out,
                             vt_err *err)
{
    *out = NULL;
    struct here *e = vt_alloc(sizeof *e);
    if (!e)
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    e->table = table;
    pthread_mutex_init(&e->lock, NULL);
    e->door.ops = &ops_here;
    vt_status s = open_eval(e, o, err);
    if (s != VT_OK) {
        close_here(&e->door);
        return s;
    }
    *out = &e->door;
    return VT_OK;
}

vt_status vt_eval_open(const struct vt_eval_opts *o, vt_eval **out, vt_err *err)
{
    return vt_eval_open_tiers(o, vt_tiers, out, err);
}

vt_status vt_eval_class_of(const vt_eval *door, struct vt_eval_class *out, vt_err *err)
{
    if (door->ops != &ops_here)
        return vt_fail(err, VT_EINVAL, "a worker needs an evaluator of its own machine, not another queue");
    const struct vt_lab *lab = vt_line_lab(((const struct here *)door)->first);
    *out = (struct vt_eval_class){lab->ops->name, lab->caps->scale, lab->caps->evaluator, lab->caps->toolchain,
                                  lab->caps->machine};
    return VT_OK;
}
