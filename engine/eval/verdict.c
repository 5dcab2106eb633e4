/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c: from an outcome to numbers and sentences.
 *
 * The sentences say what failed, where in the candidate's own text or arrays, and by how much; they are what a model
 * is shown when it learns from feedback, so they are capped, hold only printable characters, and quote nothing the
 * candidate printed. Whether an output is right and how fast it came is said here; why code was not built or a call
 * did not end is the tier's to say.
 */
#include "eval/verdict.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDING_BOUNDS = 4 };

const char *vt_verdict_status_name(vt_verdict_status s)
{
    static const char *const names[] = {"malformed",    "compile_error", "load_error",   "runtime_error", "timeout",
                                        "wrong_output", "correct_slow",  "correct_fast", "flagged"};
    return (unsigned)s < sizeof names / sizeof names[0] ? names[s] : "unknown";
}

void vt_outcome_init(struct vt_outcome *o)
{
    memset(o, 0, sizeof *o);
    o->tuned_log_ratio = NAN;
}

static bool is_correct(const struct vt_outcome *o)
{
    return o->status == VT_CORRECT_SLOW || o->status == VT_CORRECT_FAST || o->status == VT_FLAGGED;
}

void vt_outcome_verdict(const struct vt_outcome *o, vt_verdict *out)
{
    memset(out, 0, sizeof *out);
    out->status = o->status;
    out->correct = is_correct(o);
    out->is_copy = o->is_copy;
    out->worst = o->worst;
    if (!out->correct)
        return;
    if (o->is_timed) {
        out->speedup_measured = exp(o->log_ratio);
        out->speedup = out->speedup_measured;
        /* What is not sure is not told apart from 1: the interval holds it. */
        out->speedup_lo = exp(o->is_sure ? o->lo : fmin(o->lo, 0));
        out->speedup_hi = exp(o->hi);
        out->is_sure = o->is_sure && !o->is_copy && o->status != VT_FLAGGED;
        out->runtime_us = o->trials.b_us;
        out->baseline_us = o->trials.a_us;
        out->roofline = o->trials.b_us > 0 ? o->floor_ns / 1e3 / o->trials.b_us : 0;
        if (!isnan(o->tuned_log_ratio))
            out->speedup_tuned = exp(o->log_ratio - o->tuned_log_ratio);
    }
    if (o->is_copy)
        out->speedup = 1;
}

/* Errors of a few bounds come of another order or form of the same sum; a wrong formula is off by thousands. */
static bool is_rounding(const struct vt_outcome *o)
{
    const struct vt_check *f = &o->failure;
    return f->n_unwritten == 0 && f->compare.n_nan == 0 && fmax(f->compare.worst, o->worst) <= ROUNDING_BOUNDS;
}

static void say_wrong(struct vt_say *t, const struct vt_outcome *o, const struct vt_subject_names *n)
{
    const struct vt_compare_result *c = &o->failure.compare;
    vt_layout layout;
    char line[256], sizes[VT_SCALE_SIZE + 8 * VT_TASK_MAX_SIZES];
    bool is_elsewhere = strcmp(o->failure_scale, n->scale) != 0;
    vt_scale_describe(n->task, o->failure_scale, sizes, sizeof sizes);
    if (is_rounding(o))
        vt_say(t,
               "The output differs by rounding beyond the bound, by at most %.2g bounds: ", fmax(c->worst, o->worst));
    else
        vt_say(t, "The output is wrong: ");
    vt_say(t, "%" PRId64 " of %" PRId64 " elements are outside the error bound (%s%s%s%s%s).", c->n_wrong, c->n_checked,
           o->failure_inputs[0] ? "inputs " : "drawn inputs", o->failure_inputs, is_elsewhere ? ", other sizes: " : "",
           is_elsewhere ? sizes : "", o->failure.nth > 1 ? ", not the first call of its process" : "");
    if (o->failure.n_unwritten > 0)
        vt_say(t, " %" PRId64 " elements were never written.", o->failure.n_unwritten);
    else if (c->n_nan > 0)
        vt_say(t, " %" PRId64 " are NaN where a number is expected.", c->n_nan);
    bool has_layout = vt_task_layout(n->task, o->failure_scale, &layout, NULL) == VT_OK;
    for (int i = 0; i < c->n_diffs && has_layout; i++) {
        vt_diff_describe(n->task, &layout, &c->diff[i], line, sizeof line);
        vt_say(t, "%s %s", i ? ";" : " First differences:", line);
    }
    if (c->n_diffs)
        vt_say(t, ".");
}

static const char undefined[] =
    " That is how it behaves when it is compiled without optimisation; with it, the compiler left out what C does not "
    "define (a read or write outside an array, a value that was never set).";

/* Where a call ended, when it was not an ordinary one. */
static void say_where(struct vt_say *t, const struct vt_outcome *o, const struct vt_subject_names *n)
{
    char sizes[VT_SCALE_SIZE + 8 * VT_TASK_MAX_SIZES];
    if (!o->has_failure)
        return;
    vt_scale_describe(n->task, o->failure_scale, sizes, sizeof sizes);
    if (strcmp(o->failure_scale, n->scale) != 0)
        vt_say(t, " That was at other sizes: %s.", sizes);
    if (o->failure.nth > 1)
        vt_say(t, " Its process had called the function before.");
    if (o->flags & VT_FLAG_UNDEFINED)
        vt_say(t, "%s", undefined);
}

static void say_speed(struct vt_say *t, const struct vt_outcome *o)
{
    vt_verdict v;
    vt_outcome_verdict(o, &v);
    vt_say(t, "Correct.");
    if (o->is_copy)
        vt_say(t, " It is the baseline again (a copy), so its speedup is 1.");
    if (o->flags & VT_FLAG_NONDETERMINISTIC)
        vt_say(t,
               " Of %d runs on inputs met before %d left other outputs than the time before, all within the error "
               "bound: it does not count until it writes the same result every time (uninitialised memory?).",
               o->n_repeats, o->n_differing);
    if (!o->is_timed)
        return;
    if (!o->is_copy)
        vt_say(t, " Speedup %.3g over the baseline (95 %% interval %.3g to %.3g): %.4g us against %.4g us.",
               v.speedup_measured, v.speedup_lo, v.speedup_hi, v.runtime_us, v.baseline_us);
    if (o->unsure && !o->is_copy)
        vt_say(t, " It is not faster for sure: %s.", o->unsure);
    if (o->floor_ns > 0)
        vt_say(t, " It runs at %.0f %% of the memory roofline.", 100 * v.roofline);
    if (o->status == VT_FLAGGED && o->trials.b_us * 1e3 < o->floor_ns)
        vt_say(t,
               " That is faster than this machine can move the data the task needs, twice: the time is not believed.");
    else if (v.speedup_tuned > 0)
        vt_say(t, " Against the tuned reference: %.3g.", v.speedup_tuned);
}

void vt_feedback_write(const struct vt_outcome *o, const struct vt_subject_names *n, struct vt_say *out)
{
    *out = (struct vt_say){.n = 0};
    switch (o->status) {
    case VT_MALFORMED:
        vt_say(out, "%s", o->why);
        break;
    case VT_COMPILE_ERROR:
    case VT_LOAD_ERROR:
    case VT_TIMED_OUT:
    case VT_RUNTIME_ERROR:
        if (o->has_failure && o->failure.end == VT_CHECK_LINGERED) {
            vt_say(out, "It keeps its process busy long after the function has returned.");
            break;
        }
        n->ops->explain(n->candidate, n->task, o->status, o->has_failure ? &o->failure : NULL, out);
        say_where(out, o, n);
        break;
    case VT_WRONG_OUTPUT:
        say_wrong(out, o, n);
        if (!o->failure.compare.n_diffs) /* where they have no array of the task, the tier has words for them */
            n->ops->explain(n->candidate, n->task, o->status, &o->failure, out);
        if (o->flags & VT_FLAG_UNDEFINED)
            vt_say(out, "%s", undefined);
        break;
    case VT_CORRECT_SLOW:
    case VT_CORRECT_FAST:
    case VT_FLAGGED:
        say_speed(out, o);
        break;
    }
    vt_say_clean(out);
}
