/* SPDX-License-Identifier: Apache-2.0
 *
 * lm_plan.c: what work of a given shape needs, before anything is begun: a table of names and bytes that the backend
 * fills and the door sums, judges and puts into words. Rows that the model holds anyway (packed weights, adapters,
 * working buffers) stand apart from those that the work itself asks for, so that a refusal says what smaller work would
 * give back. Sums stop at the largest number instead of starting over: a plan of absurd sizes is refused, not accepted.
 */
#include "model/lm_door.h"
#include <stdio.h>
#include <string.h>

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

void vt_lm_needs_add(struct vt_lm_needs *n, const char *what, uint64_t bytes, bool is_held)
{
    int at = 0;
    while (at < n->n && (n->need[at].is_held != is_held || strcmp(n->need[at].what, what) != 0))
        at++;
    if (at == VT_LM_MAX_NEEDS)
        at--; /* more kinds than rows: the last row takes the rest */
    if (at == n->n)
        n->need[n->n++] = (struct vt_lm_need){.what = what, .is_held = is_held};
    n->need[at].bytes = add(n->need[at].bytes, bytes);
    uint64_t *sum = n->need[at].is_held ? &n->held : &n->wanted;
    *sum = add(*sum, bytes);
}

/* "KV pages 12.3 MB, logits 4.0 MB": the rows of one side, largest sum of text that fits. */
static void describe(const struct vt_lm_needs *n, bool is_held, char *text, size_t size)
{
    size_t at = 0;
    text[0] = 0;
    for (int i = 0; i < n->n && at < size; i++)
        if (n->need[i].is_held == is_held && n->need[i].bytes)
            at += (size_t)snprintf(text + at, size - at, "%s%s %.1f MB", at ? ", " : "", n->need[i].what,
                                   (double)n->need[i].bytes / 1e6);
}

static vt_status refuse(const struct vt_lm_shapes *s, const struct vt_lm_needs *n, vt_err *err)
{
    static const char *const doing[] = {"sampling", "scoring", "a training step of"};
    char wanted[240], held[200];
    describe(n, false, wanted, sizeof wanted);
    describe(n, true, held, sizeof held);
    return vt_fail(err, VT_ENOMEM,
                   "%s %d x (%d + %d) tokens needs %.1f MB (%s), but the memory limit of %.1f MB leaves %.1f beside "
                   "what the model holds (%s); ask for less or raise the limit",
                   doing[s->purpose], s->n_slots, s->n_prompt, s->n_new, (double)n->wanted / 1e6, wanted,
                   (double)n->limit / 1e6, n->limit > n->held ? (double)(n->limit - n->held) / 1e6 : 0.0, held);
}

static vt_status check_shapes(const vt_lm *lm, const struct vt_lm_shapes *s, vt_err *err)
{
    const bool is_scoring = s->purpose == VT_LM_SCORING;
    if (s->n_groups < 1 || s->n_slots < 1 || s->n_prompt < 1 || s->n_new < (is_scoring ? 0 : 1) || s->k < 0 ||
        s->n_grads < 0)
        return vt_fail(err, VT_EINVAL, "a plan needs at least one group, slot, prompt token and new token");
    if (s->n_new > lm->cfg.n_ctx - s->n_prompt)
        return vt_fail(err, VT_ELIMIT, "a prompt of %d tokens and %d new ones pass the model's context of %d",
                       s->n_prompt, s->n_new, lm->cfg.n_ctx);
    return VT_OK;
}

vt_status vt_lm_plan(vt_lm *lm, const struct vt_lm_shapes *shapes, struct vt_lm_needs *out, vt_err *err)
{
    struct vt_lm_needs needs = {.limit = lm->max_memory, .device = lm->limits.device}, *n = out ? out : &needs;
    struct vt_lm_shapes s = *shapes;
    struct vt_lm_adapter *a;
    *n = needs;
    VT_TRY(check_shapes(lm, &s, err));
    s.k = s.k > 1 ? s.k : 1;
    s.n_grads = s.n_grads > 1 ? s.n_grads : 1;
    VT_TRY(vt_lm_adapter_ref(lm, s.adapter, &a, err));
    if (!a && s.purpose == VT_LM_TRAINING)
        a = vt_lm_adapter_widest(lm);
    lm->ops->plan(lm->be, &s, a, n);
    vt_lm_adapter_unref(lm, a);
    return add(n->held, n->wanted) > n->limit ? refuse(&s, n, err) : VT_OK;
}
