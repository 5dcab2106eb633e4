/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_ids.c: who lives behind the door and for how long: adapters by id, groups (a prompt computed once) and slots (one
 * sample in the making), counted by references under the door's lock.
 *
 * An adapter is held by its id and by every group, tape and call that reads it, so dropping an id never frees what
 * somebody still uses. Adam is the one writer: it seizes an adapter that nobody else holds, and while it is at it
 * nobody may begin to. A group is held by its caller and its slots, whose samples start from its pages. The last
 * reference frees the backend's part on whatever thread lets go of it.
 */
#include "base/alloc.h"
#include "model/lm_door.h"
#include <stdlib.h>
#include <string.h>

/* --- adapters --- */

static struct vt_lm_adapter **find(const vt_lm *lm, int id)
{
    for (int i = 0; i < lm->n_adapters; i++)
        if (lm->adapters[i] && lm->adapters[i]->id == id)
            return &lm->adapters[i];
    return NULL;
}

/* Registers a under a new id, with its reference. */
static vt_status insert(vt_lm *lm, struct vt_lm_adapter *a, int *id, vt_err *err)
{
    vt_status status = VT_OK;
    pthread_mutex_lock(&lm->lock);
    int n = lm->n_adapters, at = 0;
    while (at < n && lm->adapters[at])
        at++;
    if (at == n) {
        struct vt_lm_adapter **grown = vt_realloc_array(lm->adapters, (size_t)n * 2 + 8, sizeof *grown);
        if (!grown) {
            status = vt_fail(err, VT_ENOMEM, "out of memory for the list of %d adapters", n + 1);
        } else {
            memset(grown + n, 0, ((size_t)n + 8) * sizeof *grown);
            lm->adapters = grown;
            lm->n_adapters = n * 2 + 8;
        }
    }
    if (status == VT_OK) {
        *id = a->id = ++lm->next_adapter;
        a->refs = 1;
        lm->adapters[at] = a;
    }
    pthread_mutex_unlock(&lm->lock);
    return status;
}

static struct vt_lm_adapter *new_adapter(const struct vt_adapter *shape)
{
    struct vt_lm_adapter *a = vt_alloc(sizeof *a);
    if (!a)
        return NULL;
    a->shape = *shape;
    a->shape.params = a->shape.m = a->shape.v = NULL;
    a->shape.trained_on = NULL;
    return a;
}

vt_status vt_lm_adapter_put(vt_lm *lm, const struct vt_adapter *h, int *id, vt_err *err)
{
    *id = 0;
    VT_TRY(vt_lm_check_adapter(lm, h, err));
    struct vt_lm_adapter *a = new_adapter(h);
    if (!a)
        return vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    vt_status status = lm->ops->adapter_put(lm->be, h, a, err);
    if (status == VT_OK) {
        status = insert(lm, a, id, err);
        if (status != VT_OK)
            lm->ops->adapter_free(lm->be, a);
    }
    if (status != VT_OK)
        free(a);
    return status;
}

vt_status vt_lm_adapter_ref(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err)
{
    *out = NULL;
    if (id == 0)
        return VT_OK;
    pthread_mutex_lock(&lm->lock);
    struct vt_lm_adapter **at = find(lm, id);
    const bool is_moving = at && (*at)->is_moving;
    if (at && !is_moving) {
        *out = *at;
        (*out)->refs++;
    }
    pthread_mutex_unlock(&lm->lock);
    if (is_moving)
        return vt_fail(err, VT_EBUSY, "adapter %d is being moved by Adam; wait until that is done", id);
    return *out ? VT_OK : vt_fail(err, VT_EINVAL, "there is no adapter %d; put it first or use 0 for the base", id);
}

struct vt_lm_adapter *vt_lm_adapter_widest(vt_lm *lm)
{
    struct vt_lm_adapter *widest = NULL;
    pthread_mutex_lock(&lm->lock);
    for (int i = 0; i < lm->n_adapters; i++)
        if (lm->adapters[i] && (!widest || lm->adapters[i]->shape.n_params > widest->shape.n_params))
            widest = lm->adapters[i];
    if (widest)
        widest->refs++;
    pthread_mutex_unlock(&lm->lock);
    return widest;
}

void vt_lm_adapter_unref(vt_lm *lm, struct vt_lm_adapter *a)
{
    if (!a)
        return;
    pthread_mutex_lock(&lm->lock);
    const bool is_last = --a->refs == 0;
    pthread_mutex_unlock(&lm->lock);
    if (!is_last)
        return;
    lm->ops->adapter_free(lm->be, a);
    free(a);
}

void vt_lm_adapter_drop(vt_lm *lm, int id)
{
    pthread_mutex_lock(&lm->lock);
    struct vt_lm_adapter **at = find(lm, id), *a = at ? *at : NULL;
    if (at)
        *at = NULL;
    pthread_mutex_unlock(&lm->lock);
    vt_lm_adapter_unref(lm, a);
}

void vt_lm_adapters_free(vt_lm *lm)
{
    for (int i = 0; i < lm->n_adapters; i++)
        if (lm->adapters[i])
            vt_lm_adapter_drop(lm, lm->adapters[i]->id);
    free(lm->adapters);
    lm->adapters = NULL;
    lm->n_adapters = 0;
}

vt_status vt_lm_adapter_seize(vt_lm *lm, int id, struct vt_lm_adapter **out, vt_err *err)
{
    *out = NULL;
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model, which is frozen");
    pthread_mutex_lock(&lm->lock);
    struct vt_lm_adapter **at = find(lm, id);
    const bool is_free = at && (*at)->refs == 1;
    if (is_free) {
        *out = *at;
        (*out)->refs++;
        (*out)->is_moving = true;
    }
    pthread_mutex_unlock(&lm->lock);
    if (is_free)
        return VT_OK;
    return at ? vt_fail(err, VT_EBUSY,
                        "adapter %d cannot be moved: a prompt, a tape or a job still reads it; move a clone of it", id)
              : vt_fail(err, VT_EINVAL, "there is no adapter %d; put it first", id);
}

void vt_lm_adapter_release(vt_lm *lm, struct vt_lm_adapter *a)
{
    pthread_mutex_lock(&lm->lock);
    a->is_moving = false;
    pthread_mutex_unlock(&lm->lock);
    vt_lm_adapter_unref(lm, a);
}

vt_status vt_lm_adapter_get(vt_lm *lm, int id, struct vt_adapter **out, vt_err *err)
{
    *out = NULL;
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model and has no values to get");
    struct vt_lm_adapter *a;
    VT_TRY(vt_lm_adapter_ref(lm, id, &a, err));
    vt_status status = lm->ops->adapter_get(lm->be, a, out, err);
    vt_lm_adapter_unref(lm, a);
    return status;
}

vt_status vt_lm_adapter_clone(vt_lm *lm, int id, int *out, vt_err *err)
{
    *out = 0;
    if (id == 0)
        return vt_fail(err, VT_EINVAL, "adapter 0 is the base model and cannot be cloned");
    struct vt_lm_adapter *from, *a;
    VT_TRY(vt_lm_adapter_ref(lm, id, &from, err));
    a = new_adapter(&from->shape);
    vt_status status =
        a ? lm->ops->adapter_clone(lm->be, from, a, err) : vt_fail(err, VT_ENOMEM, "out of memory for an adapter");
    if (status == VT_OK) {
        status = insert(lm, a, out, err);
        if (status != VT_OK)
            lm->ops->adapter_free(lm->be, a);
    }
    if (status != VT_OK)
        free(a);
    vt_lm_adapter_unref(lm, from);
    return status;
}

/* --- groups --- */

/* Takes over the caller's reference to adapter, also when it fails. */
vt_status vt_lm_group_new(vt_lm *lm, int n_tokens, struct vt_lm_adapter *adapter, vt_lm_group **out, vt_err *err)
{
    *out = vt_alloc(sizeof **out);
    if (!*out) {
        vt_lm_adapter_unref(lm, adapter);
        return vt_fail(err, VT_ENOMEM, "out of memory for a prompt of %d tokens", n_tokens);
    }
    **out = (vt_lm_group){.adapter = adapter, .n_tokens = n_tokens, .serial = ++lm->next_group, .refs = 1};
    return VT_OK;
}

void vt_lm_group_close(vt_lm *lm, vt_lm_group *g)
{
    if (!g)
        return;
    pthread_mutex_lock(&lm->lock);
    const bool is_last = --g->refs == 0;
    pthread_mutex_unlock(&lm->lock);
    if (!is_last)
        return;
    if (g->impl)
        lm->ops->group_free(lm->be, g);
    vt_lm_adapter_unref(lm, g->adapter);
    free(g);
}

/* --- slots --- */

static int by_id(const void *a, const void *b)
{
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static vt_status copy_ids(const int32_t *ids, int n, int32_t **out, vt_err *err)
{
    *out = vt_alloc_array((size_t)n, sizeof **out);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory for %d token ids", n);
    if (n)
        memcpy(*out, ids, (size_t)n * sizeof **out);
    return VT_OK;
}

static vt_status copy_banned(const struct vt_sampling *s, vt_lm_slot *slot, vt_err *err)
{
    int n = 0;
    VT_TRY(copy_ids(s->banned, s->n_banned, &slot->banned, err));
    qsort(slot->banned, (size_t)s->n_banned, sizeof *slot->banned, by_id);
    for (int i = 0; i < s->n_banned; i++)
        if (n == 0 || slot->banned[n - 1] != slot->banned[i])
            slot->banned[n++] = slot->banned[i];
    slot->sampling.banned = slot->banned;
    slot->sampling.n_banned = n;
    return VT_OK;
}

vt_status vt_lm_slot_open(vt_lm *lm, vt_lm_group *g, uint64_t seed, const struct vt_sampling *s, int max_tokens,
                          const int32_t *stop_ids, int n_stop_ids, vt_lm_slot **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(vt_lm_check_slot(lm, g, s, max_tokens, stop_ids, n_stop_ids, err));
    vt_lm_slot *slot = vt_alloc(sizeof *slot);
    if (!slot)
        return vt_fail(err, VT_ENOMEM, "out of memory for a sample");
    *slot = (vt_lm_slot){.seed = seed, .sampling = *s, .n_stop_ids = n_stop_ids, .max_tokens = max_tokens};
    pthread_mutex_lock(&lm->lock);
    g->refs++;
    pthread_mutex_unlock(&lm->lock);
    slot->group = g;
    vt_status status = copy_banned(s, slot, err);
    if (status == VT_OK)
        status = copy_ids(stop_ids, n_stop_ids, &slot->stop_ids, err);
    if (status == VT_OK)
        status = lm->ops->slot_new(lm->be, slot, err);
    if (status != VT_OK) {
        slot->impl = NULL;
        vt_lm_slot_close(lm, slot);
        return status;
    }
    *out = slot;
    return VT_OK;
}

void vt_lm_slot_close(vt_lm *lm, vt_lm_slot *slot)
{
    if (!slot)
        return;
    if (slot->impl)
        lm->ops->slot_free(lm->be, slot);
    vt_lm_group_close(lm, slot->group);
    free(slot->banned);
    free(slot->stop_ids);
    free(slot);
}
