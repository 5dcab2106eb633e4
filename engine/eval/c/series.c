/* SPDX-License-Identifier: Apache-2.0
 *
 * series.c: the steps of a series, and what became of each.
 *
 * All steps' outputs lie one after the other in the output file and are compared when the process is gone. A process
 * that did not come back from its last call may have written wrong answers before; the first thing wrong is what is
 * told. How many calls came back is the process's own word, so it decides nothing: it only says where the fault is
 * looked for, and an output that is missing is wrong by itself.
 *
 * A function that counts its calls may go wrong at the hundredth, and one that forgets memory runs out of it later. So
 * where a series was right another process goes through its steps again and again, as often as the evaluator says and
 * its time allows, some at least, and in the last round makes each call twice in a row; the answers of the last
 * round are compared, and no round may keep more blocks of memory than the one before. Arrays that a call changes in
 * place are others in the second round: of tasks with such, only memory is looked at.
 */
#include "eval/c/series.h"
#include "eval/c/check_run.h"
#include <string.h>

/* As many steps as have room for their outputs. */
static size_t lay_steps(const struct vt_pool_sets *pool, const struct vt_call *call, size_t n,
                        const struct vt_outputs *outputs, struct vt_call_step *step)
{
    size_t at = 0, i = 0;
    for (; i < n && i < VT_CALL_MAX_STEPS; i++) {
        const struct vt_set *s = &pool->set[call[i].set];
        if (at + s->plan->out_bytes > outputs->bytes)
            break;
        step[i] = (struct vt_call_step){s->plan, s->in_at, at};
        at += s->plan->out_bytes;
    }
    return i;
}

static bool changes_inputs(const struct vt_call_step *step, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t a = 0; a < step[i].plan->layout.n_arrays; a++)
            if (step[i].plan->array[a].is_in && step[i].plan->array[a].is_out)
                return true;
    return false;
}

enum { LEAST_ROUNDS = 4, LEAST_SHARE = 8, SLOWER = 20 /* than it was before, on a machine that others use */ };

static uint32_t least_rounds(const struct vt_call *call)
{
    const uint32_t share = call->n_rounds / LEAST_SHARE;
    return share > LEAST_ROUNDS ? share : LEAST_ROUNDS;
}

/* As many as fit into the time for them, by what one took. */
static uint32_t rounds_of(const struct vt_call *call, uint64_t one_ns)
{
    const uint64_t fit = call->rounds_ns / (one_ns > 0 ? one_ns : 1);
    const uint64_t n = fit > least_rounds(call) ? fit : least_rounds(call);
    return n < call->n_rounds ? (uint32_t)n : call->n_rounds;
}

/* The same steps once more, in rounds, the last first: a function that keeps the size of its first call was right when
 * that was the largest. The one that is wrong in the last round, or n. */
static vt_status in_rounds(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_call *call,
                           const struct vt_call_step *step, size_t n, const struct vt_outputs *outputs,
                           struct vt_call_opts *o, struct vt_check *out, size_t *wrong, struct vt_call_result *raw,
                           vt_err *err)
{
    const bool is_changed = changes_inputs(step, n);
    *wrong = n;
    if (call->n_rounds < 2)
        return VT_OK;
    o->n_rounds = is_changed ? 2 : rounds_of(call, raw->ns);
    const uint32_t before = (o->n_rounds - 1) * (uint32_t)n;
    struct vt_call_step back[VT_CALL_MAX_STEPS];
    for (size_t i = 0; i < n; i++)
        back[i] = step[n - 1 - i];
    const uint64_t deadline_ns = o->deadline_ns;
    o->deadline_ns = least_rounds(call) * deadline_ns + SLOWER * call->rounds_ns;
    vt_status status = vt_runner_call_many(r, back, n, o, raw, err);
    o->deadline_ns = deadline_ns;
    o->n_rounds = 0;
    VT_TRY(status);
    if (is_changed && raw->end != VT_CALL_LEFT && raw->end != VT_CALL_TIMEOUT)
        return VT_OK;
    for (size_t i = 0; i < n && *wrong == n; i++) {
        struct vt_check again;
        if (raw->end == VT_CALL_DONE)
            vt_check_outputs(pool, call[i].set, call[i].against, outputs->map + step[i].out_at, raw, &again);
        else
            again =
                (struct vt_check){.end = VT_CHECK_FAULT, .is_timeout = raw->end == VT_CALL_TIMEOUT, .set = call[i].set};
        out[i].nth = again.nth = before + 2 * (uint32_t)(n - i);
        if (again.end == VT_CHECK_RIGHT) /* the answer that others are compared with is the first one's */
            continue;
        again.ns = out[i].ns;
        out[i] = again;
        *wrong = i;
    }
    return VT_OK;
}

static vt_status one_process(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_call *call, size_t n,
                             const struct vt_outputs *outputs, struct vt_call_opts *o, struct vt_check *out,
                             size_t *n_done, struct vt_call_result *raw, vt_err *err)
{
    struct vt_call_step step[VT_CALL_MAX_STEPS];
    n = lay_steps(pool, call, n, outputs, step);
    *n_done = 0;
    if (n == 0)
        return vt_fail(err, VT_EINTERNAL, "the outputs of a call do not fit their file");
    VT_TRY(vt_runner_call_many(r, step, n, o, raw, err));
    bool all_came_back = raw->end == VT_CALL_DONE;
    size_t n_back = all_came_back || raw->n_returned >= n ? n : raw->n_returned;
    for (size_t i = 0; i < n_back; i++) {
        vt_check_outputs(pool, call[i].set, call[i].against, outputs->map + step[i].out_at, raw, &out[i]);
        out[i].nth = (uint32_t)i + 1;
        out[i].ns = raw->ns / n;
        *n_done = i + 1;
        if (out[i].end != VT_CHECK_RIGHT)
            return VT_OK;
    }
    if (all_came_back) {
        size_t wrong;
        VT_TRY(in_rounds(r, pool, call, step, n, outputs, o, out, &wrong, raw, err));
        *n_done = wrong < n ? wrong + 1 : n;
    } else {
        size_t at = n_back < n ? n_back : n - 1;
        for (size_t i = 0; i < at; i++) /* the steps' address spaces lie one behind the other */
            raw->fault_address -= step[i].plan->va_bytes;
        out[at] = (struct vt_check){.end = VT_CHECK_FAULT,
                                    .is_timeout = raw->end == VT_CALL_TIMEOUT,
                                    .set = call[at].set,
                                    .nth = (uint32_t)at + 1,
                                    .ns = raw->ns};
        *n_done = at + 1;
    }
    return VT_OK;
}

vt_status vt_series_run(struct vt_runner *r, const struct vt_pool_sets *pool, const struct vt_call *call, size_t n,
                        const struct vt_outputs *outputs, struct vt_call_opts *o, struct vt_check *out, size_t *n_done,
                        struct vt_call_result *raw, vt_err *err)
{
    *n_done = 0;
    while (*n_done < n) {
        size_t more = 0;
        o->random = call[*n_done].random;
        VT_TRY(one_process(r, pool, call + *n_done, n - *n_done, outputs, o, out + *n_done, &more, raw, err));
        *n_done += more;
        if (out[*n_done - 1].end != VT_CHECK_RIGHT)
            break;
    }
    return VT_OK;
}
