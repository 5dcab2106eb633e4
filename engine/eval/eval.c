/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.c: the evaluator's door: whose judges they are is behind it. What needs no evaluator at all, the text a model is
 * shown and the key of a request under a given class, stands here, too.
 */
#include "eval/eval.h"
#include "eval/judge.h"
#include <stdlib.h>
#include <string.h>

void vt_eval_close(vt_eval *e)
{
    if (e)
        e->ops->close(e);
}

vt_status vt_eval_submit(vt_eval *e, const struct vt_eval_request *r, vt_eval_done *done, void *arg, vt_err *err)
{
    return e->ops->submit(e, r, done, arg, err);
}

vt_status vt_eval_key(vt_eval *e, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err)
{
    return e->ops->key(e, r, key, err);
}

void vt_eval_cancel(vt_eval *e, void *arg)
{
    e->ops->cancel(e, arg);
}

void vt_eval_cancel_all(vt_eval *e)
{
    e->ops->cancel_all(e);
}

size_t vt_eval_pending(vt_eval *e)
{
    return e->ops->pending(e);
}

const char *vt_eval_version(const vt_eval *e)
{
    return e->ops->version(e);
}

const char *vt_eval_machine(const vt_eval *e)
{
    return e->ops->machine(e);
}

vt_status vt_eval_class_key(const struct vt_eval_class *c, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE],
                            vt_err *err)
{
    const struct vt_tier_caps caps = {.evaluator = c->evaluator, .toolchain = c->toolchain, .machine = c->machine};
    struct vt_lab lab = {.caps = &caps};
    struct vt_case_keys keys;
    struct vt_code code;
    bool is_copy;
    VT_TRY(vt_tier_find(vt_tiers, r->tier ? r->tier : c->tier, &lab.ops, err));
    if (strcmp(lab.ops->name, c->tier) != 0)
        return vt_fail(err, VT_EUNSUPPORTED, "the workers of this queue judge with tier %s, not %s", c->tier,
                       lab.ops->name);
    VT_TRY(vt_case_name(&lab, r, r->scale ? r->scale : c->scale, &code, &is_copy, &keys, err));
    memcpy(key, keys.key, VT_EVAL_KEY_SIZE);
    vt_code_free(&code);
    return VT_OK;
}

vt_status vt_eval_prompt(const char *tier, const vt_task *t, const char *body, char **out, vt_err *err)
{
    const struct vt_tier_ops *ops;
    struct vt_buf text;
    *out = NULL;
    VT_TRY(vt_tier_find(vt_tiers, tier, &ops, err));
    VT_TRY(vt_tier_takes(ops, t, err));
    vt_buf_init(&text, 1 << 20);
    vt_status s = ops->prompt(t, body, &text, err);
    if (s == VT_OK)
        s = vt_buf_check(&text, "the text of a task", err);
    if (s == VT_OK)
        *out = vt_buf_take(&text, NULL);
    vt_buf_free(&text);
    return s;
}
