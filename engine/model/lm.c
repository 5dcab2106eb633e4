/* SPDX-License-Identifier: Apache-2.0
 *
 * lm.c: opening and closing a language model behind its door, and what it says of itself.
 *
 * The program hands over the table of every backend it was built with; the door picks one by name, or the first that
 * says of this machine that it can run there. It never falls from one backend to another once that was decided: a model
 * that does not fit the device is refused, not run somewhere slower.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include "model/lm_many.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "cpu, cuda" into text. */
static void list_names(const struct vt_lm_ops *const *backends, char *text, size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (; *backends && at < size; backends++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", at ? ", " : "", (*backends)->name);
}

static vt_status choose_named(const struct vt_lm_opts *o, const struct vt_lm_ops **out, vt_err *err)
{
    char names[128];
    for (const struct vt_lm_ops *const *b = o->backends; *b; b++) {
        *out = *b;
        if (strcmp((*b)->name, o->backend) == 0)
            return VT_OK;
    }
    list_names(o->backends, names, sizeof names);
    return vt_fail(err, VT_EUNSUPPORTED, "there is no backend \"%s\" in this build; it has %s", o->backend, names);
}

/* What is asked of a backend before one is chosen. */
typedef vt_status try_fn(const struct vt_lm_ops *ops, const struct vt_lm_opts *o, const void *arg, void *out,
                         vt_err *err);

/* The backend that the options name, else the first that does not say EUNSUPPORTED. `what` cannot be done otherwise. */
static vt_status choose(const struct vt_lm_opts *o, try_fn *try, const void *arg, void *result, const char *what,
                        const struct vt_lm_ops **out, vt_err *err)
{
    char why[400] = "";
    size_t at = 0;
    if (!o->backends || !*o->backends)
        return vt_fail(err, VT_EUNSUPPORTED, "this build has no backend that runs language models");
    if (o->backend) {
        VT_TRY(choose_named(o, out, err));
        return try(*out, o, arg, result, err);
    }
    for (const struct vt_lm_ops *const *b = o->backends; *b; b++) {
        vt_err one = {0};
        *out = *b;
        vt_status status = try(*b, o, arg, result, &one);
        if (status == VT_OK)
            return VT_OK;
        if (status != VT_EUNSUPPORTED) {
            if (err)
                *err = one;
            return status;
        }
        if (at < sizeof why)
            at += (size_t)snprintf(why + at, sizeof why - at, "%s%s: %s", at ? "; " : "", (*b)->name, one.msg);
    }
    return vt_fail(err, VT_EUNSUPPORTED, "no backend can run %s here: %s", what, why);
}

static vt_status try_probe(const struct vt_lm_ops *ops, const struct vt_lm_opts *o, const void *arg, void *out,
                           vt_err *err)
{
    (void)out;
    return ops->probe(arg, o, err);
}

static vt_status try_numerics(const struct vt_lm_ops *ops, const struct vt_lm_opts *o, const void *arg, void *out,
                              vt_err *err)
{
    (void)arg;
    return ops->numerics(o, out, err);
}

/* The options with a list's first device as the one that is asked. */
static struct vt_lm_opts first_of(const struct vt_lm_opts *o)
{
    struct vt_lm_opts one = *o;
    if (!o->devices)
        return one;
    one.device = 0;
    while (!(o->devices >> one.device & 1))
        one.device++;
    return one;
}

vt_status vt_lm_numerics_of(const struct vt_lm_opts *o, char out[64], vt_err *err)
{
    const struct vt_lm_ops *ops;
    const struct vt_lm_opts one = first_of(o);
    VT_TRY(choose(&one, try_numerics, NULL, out, "language models", &ops, err));
    if (o->devices)
        vt_lm_many_numerics(out);
    return VT_OK;
}

static vt_status open_into(vt_lm *lm, const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_err *err)
{
    VT_TRY(vt_lm_check_config(&lm->cfg, err));
    const struct vt_lm_opts one = first_of(o);
    VT_TRY(choose(&one, try_probe, ckpt, NULL, vt_ckpt_name(ckpt), &lm->ops, err));
    const char *name = lm->ops->name;
    vt_status status = VT_OK;
    if (!o->devices)
        status = lm->ops->open(ckpt, o, &lm->limits, &lm->max_memory, &lm->be, err);
    else if (!lm->ops->grad_copy)
        status = vt_fail(err, VT_EUNSUPPORTED, "the backend %s runs a model on one device only", name);
    else
        status = vt_lm_many_open(lm->ops, ckpt, o, &lm->limits, &lm->max_memory, &lm->be, err);
    if (status != VT_OK) {
        lm->be = NULL;
        return status;
    }
    if (o->devices) {
        lm->ops = &vt_lm_many_ops;
        lm->lease = NULL; /* the devices' threads are its guests, each for its own */
    }
    lm->limits.backend = name;
    VT_TRY(vt_lm_check_limits(&lm->limits, lm->ops->wait != NULL, err));
    lm->steps = &vt_lm_steps;
    return vt_lm_queue_start(lm, err);
}

vt_status vt_lm_open(const vt_ckpt *ckpt, const struct vt_lm_opts *o, vt_lm **out, vt_err *err)
{
    *out = NULL;
    vt_lm *lm = vt_alloc(sizeof *lm);
    if (!lm)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a model");
    lm->cfg = *vt_ckpt_config(ckpt);
    lm->lease = o->lease;
    lm->max_memory = o->max_memory;
    pthread_mutex_init(&lm->lock, NULL);
    pthread_cond_init(&lm->came, NULL);
    vt_status status = open_into(lm, ckpt, o, err);
    if (status == VT_OK)
        status = vt_ckpt_unchanged(ckpt, err); /* packed weights and norms are of one state of the files */
    if (status != VT_OK) {
        vt_lm_close(lm);
        return status;
    }
    *out = lm;
    return VT_OK;
}

void vt_lm_close(vt_lm *lm)
{
    if (!lm)
        return;
    vt_lm_queue_stop(lm);
    vt_lm_adapters_free(lm);
    if (lm->be)
        lm->ops->close(lm->be);
    pthread_mutex_destroy(&lm->lock);
    pthread_cond_destroy(&lm->came);
    free(lm);
}

const struct vt_lm_limits *vt_lm_limits(const vt_lm *lm)
{
    return &lm->limits;
}

const char *vt_lm_numerics(const vt_lm *lm)
{
    return lm->limits.numerics;
}

const struct vt_lm_config *vt_lm_cfg(const vt_lm *lm)
{
    return &lm->cfg;
}

uint64_t vt_lm_bytes(const vt_lm *lm, uint64_t *peak)
{
    uint64_t unused;
    return lm->ops->bytes(lm->be, peak ? peak : &unused);
}
