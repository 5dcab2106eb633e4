/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_many_ops.c: opening a model on several devices, its storage, and the table of its operations (lm_many.h). Storage
 * operations come from any thread and go to the backends as they come: they copy and allocate, which backends guard.
 */
#include "base/alloc.h"
#include "model/lm_many.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHARD_ROWS = 4096, SHARD_PROMPTS = 8 };

/* --- opening --- */

void vt_lm_many_numerics(char numerics[64])
{
    const size_t n = strlen(numerics);
    (void)snprintf(numerics + n, 64 - n, "/shards");
}

static int count_devices(uint64_t devices)
{
    int n = 0;
    for (; devices; devices &= devices - 1)
        n++;
    return n;
}

static void close_many(void *be)
{
    struct vt_lm_many *m = be;
    vt_lm_many_stop(m);
    for (int i = 0; i < m->n; i++)
        if (m->replicas[i].be)
            m->ops->close(m->replicas[i].be);
    pthread_cond_destroy(&m->go);
    pthread_cond_destroy(&m->done);
    pthread_mutex_destroy(&m->lock);
    free(m->replicas);
    free(m);
}

static vt_status open_replica(struct vt_lm_replica *r, const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    struct vt_lm_opts one = *o;
    one.device = r->device;
    one.devices = 0;
    r->max_memory = o->max_memory;
    VT_TRY(r->many->ops->probe(ckpt, &one, err));
    VT_TRY(r->many->ops->open(ckpt, &one, &r->limits, &r->max_memory, &r->be, err));
    if (strcmp(r->limits.numerics, r->many->replicas[0].limits.numerics) != 0)
        return vt_fail(err, VT_EUNSUPPORTED,
                       "devices %d and %d compute differently (%s and %s); a model's devices have to be of one kind",
                       r->many->replicas[0].device, r->device, r->many->replicas[0].limits.numerics,
                       r->limits.numerics);
    return vt_lm_many_start(r, err);
}

vt_status vt_lm_many_open(const struct vt_lm_ops *ops, const vt_ckpt *ckpt, const struct vt_lm_opts *o,
                          struct vt_lm_limits *limits, uint64_t *max_memory, void **be, vt_err *err)
{
    const int n = count_devices(o->devices);
    struct vt_lm_many *m = vt_alloc(sizeof *m);
    *be = NULL;
    if (!m)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a model on %d devices", n);
    m->ops = ops;
    m->lease = o->lease;
    m->shard_rows = SHARD_ROWS;
    m->shard_prompts = SHARD_PROMPTS;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->go, NULL);
    pthread_cond_init(&m->done, NULL);
    vt_status status = VT_OK;
    m->replicas = vt_alloc_array((size_t)n, sizeof *m->replicas);
    if (!m->replicas)
        status = vt_fail(err, VT_ENOMEM, "out of memory while opening a model on %d devices", n);
    for (int d = 0; d < VT_LM_MOST_DEVICES && status == VT_OK; d++) {
        if (!(o->devices >> d & 1))
            continue;
        struct vt_lm_replica *r = &m->replicas[m->n];
        *r = (struct vt_lm_replica){.many = m, .index = m->n++, .device = d};
        status = open_replica(r, ckpt, o, err);
    }
    if (status != VT_OK) {
        close_many(m);
        return status;
    }
    *limits = m->replicas[0].limits;
    limits->devices = o->devices;
    limits->max_slots *= n;
    vt_lm_many_numerics(limits->numerics);
    *max_memory = m->replicas[0].max_memory;
    for (int i = 1; i < n; i++)
        *max_memory = m->replicas[i].max_memory < *max_memory ? m->replicas[i].max_memory : *max_memory;
    *be = m;
    return VT_OK;
}

/* --- storage --- */

static uint64_t bytes(void *be, uint64_t *peak)
{
    const struct vt_lm_many *m = be;
    uint64_t now = 0;
    *peak = 0;
    for (int i = 0; i < m->n; i++) {
        uint64_t one = 0;
        now += m->ops->bytes(m->replicas[i].be, &one);
        *peak += one;
    }
    return now;
}

static int least_log2(int64_t n)
{
    int log = 0;
    while (INT64_C(1) << log < n)
        log++;
    return log;
}

static int at_most_int(int64_t n)
{
    return n < INT_MAX ? (int)n : INT_MAX;
}

/* What the fullest device needs: its share of the groups, or of the shards. A gradient a level of the tree of sums and
 * one that is on its way come on top of those asked for. */
static void plan(void *be, const struct vt_lm_shapes *shapes, const struct vt_lm_adapter *a, struct vt_lm_needs *out)
{
    const struct vt_lm_many *m = be;
    struct vt_lm_shapes s = *shapes;
    const int each = s.n_slots / s.n_groups + (s.n_slots % s.n_groups != 0), fed = s.n_new > 0 ? s.n_new - 1 : 0;
    int64_t n = s.n_groups, per = each; /* sizes may be absurd: a plan refuses those */
    if (s.purpose == VT_LM_TRAINING) {
        const int pieces = vt_lm_many_shards(m, s.n_prompt, (int64_t)each * fed, each);
        n *= pieces;
        per = (each + pieces - 1) / pieces;
        s.n_grads += least_log2(n) + 2;
    }
    s.n_groups = at_most_int((n + m->n - 1) / m->n);
    s.n_slots = at_most_int(s.n_groups * per);
    m->ops->plan(m->replicas[0].be, &s, vt_lm_many_adapter_of(a, 0), out);
}

static void free_adapter(void *be, struct vt_lm_adapter *a)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_adapter *all = a->impl;
    if (!all)
        return;
    for (int i = 0; all->inner && i < m->n; i++)
        if (all->inner[i].impl)
            m->ops->adapter_free(m->replicas[i].be, &all->inner[i]);
    free(all->inner);
    free(all);
    a->impl = NULL;
}

/* Values, or another adapter's, on every device. */
static vt_status make_adapter(struct vt_lm_many *m, const struct vt_adapter *values, const struct vt_lm_adapter *from,
                              struct vt_lm_adapter *a, vt_err *err)
{
    struct vt_lm_many_adapter *all = a->impl = vt_alloc(sizeof *all);
    if (all)
        all->inner = vt_alloc_array((size_t)m->n, sizeof *all->inner);
    vt_status status = all && all->inner ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    for (int i = 0; i < m->n && status == VT_OK; i++) {
        all->inner[i] = (struct vt_lm_adapter){.id = a->id, .shape = a->shape};
        status = values ? m->ops->adapter_put(m->replicas[i].be, values, &all->inner[i], err)
                        : m->ops->adapter_clone(m->replicas[i].be, vt_lm_many_adapter_of(from, i), &all->inner[i], err);
    }
    if (status != VT_OK)
        free_adapter(m, a);
    return status;
}

static vt_status put_adapter(void *be, const struct vt_adapter *values, struct vt_lm_adapter *a, vt_err *err)
{
    return make_adapter(be, values, NULL, a, err);
}

static vt_status clone_adapter(void *be, const struct vt_lm_adapter *from, struct vt_lm_adapter *a, vt_err *err)
{
    return make_adapter(be, NULL, from, a, err);
}

static vt_status get_adapter(void *be, const struct vt_lm_adapter *a, struct vt_adapter **out, vt_err *err)
{
    struct vt_lm_many *m = be;
    return m->ops->adapter_get(m->replicas[0].be, vt_lm_many_adapter_of(a, 0), out, err);
}

static void free_group(void *be, vt_lm_group *g)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_group *one = g->impl;
    if (!one)
        return;
    struct vt_lm_replica *r = &m->replicas[one->replica];
    if (one->inner.impl)
        m->ops->group_free(r->be, &one->inner);
    pthread_mutex_lock(&m->lock);
    r->n_groups--;
    pthread_mutex_unlock(&m->lock);
    free(one);
    g->impl = NULL;
}

static vt_status new_slot(void *be, vt_lm_slot *s, vt_err *err)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_group *group = s->group->impl;
    struct vt_lm_many_slot *one = vt_alloc(sizeof *one);
    if (!one)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    one->inner = *s;
    one->inner.group = &group->inner;
    one->inner.impl = NULL;
    const vt_status status = m->ops->slot_new(m->replicas[group->replica].be, &one->inner, err);
    if (status != VT_OK) {
        free(one);
        return status;
    }
    s->impl = one;
    return VT_OK;
}

static void free_slot(void *be, vt_lm_slot *s)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_slot *one = s->impl;
    const struct vt_lm_many_group *group = s->group->impl;
    m->ops->slot_free(m->replicas[group->replica].be, &one->inner);
    free(one);
    s->impl = NULL;
}

/* --- gradients and Adam: the same on every device --- */

static void free_grad(void *be, vt_lm_grad *g)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_grad *all = g->impl;
    if (!all)
        return;
    for (int i = 0; all->inner && i < m->n; i++)
        if (all->inner[i].impl)
            m->ops->grad_free(m->replicas[i].be, &all->inner[i]);
    free(all->inner);
    free(all);
    g->impl = NULL;
}

static vt_status new_grad(void *be, vt_lm_grad *g, vt_err *err)
{
    struct vt_lm_many *m = be;
    struct vt_lm_many_grad *all = g->impl = vt_alloc(sizeof *all);
    if (all)
        all->inner = vt_alloc_array((size_t)m->n, sizeof *all->inner);
    vt_status status = all && all->inner ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a gradient");
    for (int i = 0; i < m->n && status == VT_OK; i++) {
        all->inner[i].shape = g->shape;
        status = m->ops->grad_new(m->replicas[i].be, &all->inner[i], err);
    }
    if (status != VT_OK)
        free_grad(m, g);
    return status;
}

struct pair {
    vt_lm_grad *into;
    const vt_lm_grad *g;
};

static vt_status add_one(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    const struct pair *p = arg;
    return vt_lm_many_add(r, vt_lm_many_grad_of(p->into, r->index), vt_lm_many_grad_of(p->g, r->index), err);
}

static vt_status add_grad(void *be, vt_lm_grad *into, const vt_lm_grad *g, vt_err *err)
{
    struct pair p = {.into = into, .g = g};
    VT_TRY(vt_lm_many_alive(be, err));
    return vt_lm_many_run(be, add_one, &p, err);
}

static vt_status dot_grads(void *be, const vt_lm_grad *a, const vt_lm_grad *b, double *dot, vt_err *err)
{
    struct vt_lm_many *m = be;
    return m->ops->grad_dot(m->replicas[0].be, vt_lm_many_grad_of(a, 0), vt_lm_many_grad_of(b, 0), dot, err);
}

static vt_status read_grad(void *be, const vt_lm_grad *g, float *out, vt_err *err)
{
    struct vt_lm_many *m = be;
    return m->ops->grad_read(m->replicas[0].be, vt_lm_many_grad_of(g, 0), out, err);
}

struct step {
    struct vt_lm_adapter *adapter;
    const vt_lm_grad *grad;
    const struct vt_adam *o;
    double norm[VT_LM_MOST_DEVICES];
};

static vt_status move_one(struct vt_lm_replica *r, void *arg, vt_err *err)
{
    struct step *s = arg;
    return vt_lm_many_adam(r, s->adapter, s->grad, s->o, &s->norm[r->index], err);
}

/* Equal copies take equal steps. Where one device took the step and another did not, or with another gradient, nothing
 * further may come from them. */
static vt_status adam(void *be, struct vt_lm_adapter *a, const vt_lm_grad *g, const struct vt_adam *o, double *norm,
                      vt_err *err)
{
    struct vt_lm_many *m = be;
    struct step s = {.adapter = a, .grad = g, .o = o};
    vt_err own;
    VT_TRY(vt_lm_many_alive(m, err));
    vt_status status = vt_lm_many_run(m, move_one, &s, &own);
    bool is_apart = false;
    for (int i = 1; i < m->n; i++)
        is_apart |= m->replicas[i].status != m->replicas[0].status || memcmp(&s.norm[i], &s.norm[0], sizeof *norm) != 0;
    if (is_apart && !m->is_out) {
        status = vt_fail(&m->out_err, VT_EIO,
                         "the adapter's copies on the devices have come apart in a step of Adam (%.300s); end the run "
                         "and start the same command again, which goes on from what it recorded",
                         status == VT_OK ? "the gradients differ" : own.msg);
        m->is_out = true;
        own = m->out_err;
    }
    if (status != VT_OK && err)
        *err = own;
    *norm = s.norm[0];
    return status;
}

const struct vt_lm_ops vt_lm_many_ops = {
    .name = "devices",
    /* no probe, numerics, open: the door asks the backend's, and comes here by vt_lm_many_open */
    .close = close_many,
    .bytes = bytes,
    .plan = plan,
    .adapter_put = put_adapter,
    .adapter_clone = clone_adapter,
    .adapter_get = get_adapter,
    .adapter_free = free_adapter,
    .group_free = free_group,
    .slot_new = new_slot,
    .slot_free = free_slot,
    .tape_free = vt_lm_many_tape_free,
    .grad_new = new_grad,
    .grad_free = free_grad,
    .group = vt_lm_many_group,
    .decode = vt_lm_many_decode,
    .score = vt_lm_many_score,
    .forward = vt_lm_many_forward,
    .backward = vt_lm_many_backward,
    .wait = vt_lm_many_work_wait,
    .grad_add = add_grad,
    .grad_dot = dot_grads,
    .grad_read = read_grad,
    .adam = adam,
};
