/* SPDX-License-Identifier: Apache-2.0
 *
 * identity.c: what immutable weights and the samples drawn from them are called.
 *
 * An id is a hash chain. A backend names its roots (the base's digest, its numerics, how an adapter was made); each
 * update hashes its parent, the ordered batch with its loss, every optimiser field, and whether the gradient was summed
 * in two halves. Where equal requests need not give equal weights (a server), its name for them enters too. So equal
 * ids mean equal weights, and where ids are known ahead a resumed run can ask for one before doing the work.
 *
 * A sample is named by its group (seed and label) and its number in it; what it draws with is derived here.
 */
#include "base/alloc.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "policy/request.h"
#include <string.h>

void vt_identity_next(const char *parent_id, const struct vt_update_opts *o, const char *server_id, char out[65])
{
    struct vt_sha256 h;

    vt_sha256_init(&h);
    vt_hash_str(&h, "parent", parent_id);
    vt_hash_str(&h, "batch", o->digest);
    vt_hash_f64(&h, "lr", o->lr);
    vt_hash_f64(&h, "beta1", o->beta1);
    vt_hash_f64(&h, "beta2", o->beta2);
    vt_hash_f64(&h, "eps", o->eps);
    vt_hash_f64(&h, "weight_decay", o->weight_decay);
    vt_hash_f64(&h, "grad_clip", o->grad_clip);
    if (o->agreement)
        vt_hash_u64(&h, "halves", 2);
    if (server_id)
        vt_hash_str(&h, "server", server_id);
    vt_sha256_hex(&h, out);
}

bool vt_weights_next_id(const vt_weights *parent, const struct vt_update_opts *o, char out[65])
{
    const vt_policy *p = parent->policy;

    if (!p->caps.ids_ahead || !parent->state)
        return false;
    p->backend->next_id(parent, o, out);
    return true;
}

void vt_weights_mix_id(const char *a_id, const char *b_id, double share, char out[65])
{
    struct vt_sha256 h;

    vt_sha256_init(&h);
    vt_hash_str(&h, "mix", a_id);
    vt_hash_str(&h, "with", b_id);
    vt_hash_f64(&h, "share", share);
    vt_sha256_hex(&h, out);
}

uint64_t vt_sample_seed(uint64_t seed, const char *stream, int index)
{
    return vt_seed_item(seed, stream ? stream : "", index);
}

/* --- what weights were trained on --- */

static bool array_has(const vt_json *array, const vt_json *item)
{
    for (const vt_json *c = vt_json_first(array); c; c = vt_json_next(c)) {
        if (vt_json_is_string(c) && vt_json_is_string(item) && strcmp(vt_json_str(c, ""), vt_json_str(item, "")) == 0)
            return true;
        if (vt_json_is_number(c) && vt_json_is_number(item) && vt_json_int(c, -1) == vt_json_int(item, -2))
            return true;
    }
    return false;
}

vt_status vt_identity_merge_trained_on(const char *a, const char *b, char **out, vt_err *err)
{
    static const char *const keys[] = {"families", "tasks"};
    vt_json *ja = NULL, *jb = NULL, *merged = vt_json_object();
    struct vt_buf text;
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    status = vt_json_parse(a, strlen(a), "the weights' trained_on record", &ja, err);
    if (status == VT_OK && b)
        status = vt_json_parse(b, strlen(b), "the update's trained_on record", &jb, err);
    if (status != VT_OK)
        goto out;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        vt_json *array = vt_json_array();

        for (const vt_json *c = vt_json_first(vt_json_get(ja, keys[k])); c; c = vt_json_next(c))
            if (!array_has(array, c))
                vt_json_push(array, vt_json_clone(c));
        for (const vt_json *c = jb ? vt_json_first(vt_json_get(jb, keys[k])) : NULL; c; c = vt_json_next(c))
            if (!array_has(array, c))
                vt_json_push(array, vt_json_clone(c));
        vt_json_put(merged, keys[k], array);
    }
    status = vt_json_write(merged, true, &text, err);
    if (status == VT_OK) {
        *out = vt_buf_take(&text, NULL);
        if (!*out)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a trained_on record");
    }
out:
    vt_json_free(ja);
    vt_json_free(jb);
    vt_json_free(merged);
    vt_buf_free(&text);
    return status;
}
