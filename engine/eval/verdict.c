/* SPDX-License-Identifier: Apache-2.0
 *
 * verdict.c: from an outcome to numbers and sentences.
 *
 * The sentences say what failed, where in the candidate's own text or arrays, and by how much; they are what a model
 * is shown when it learns from feedback, so they are capped, hold only printable characters, and quote nothing the
 * candidate printed (it cannot print).
 */
#include "eval/verdict.h"
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

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
    out->cached = o->flags & VT_FLAG_CACHED;
    out->worst = o->worst;
    if (!out->correct)
        return;
    if (o->is_timed) {
        out->speedup_measured = exp(o->trials.log_ratio);
        out->speedup = out->speedup_measured;
        out->speedup_lo = exp(o->trials.lo);
        out->speedup_hi = exp(o->trials.hi);
        out->runtime_us = o->trials.b_us;
        out->baseline_us = o->trials.a_us;
        out->roofline = o->trials.b_us > 0 ? o->floor_ns / 1e3 / o->trials.b_us : 0;
        if (!isnan(o->tuned_log_ratio))
            out->speedup_tuned = exp(o->trials.log_ratio - o->tuned_log_ratio);
    }
    if (o->is_copy)
        out->speedup = 1;
}

struct text {
    char *p;
    size_t n;
};

static void say(struct text *t, const char *fmt, ...) VT_PRINTF(2, 3);
static void say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->p + t->n, VT_FEEDBACK_MAX + 1 - t->n, fmt, ap);
    va_end(ap);
    if (n > 0)
        t->n = t->n + (size_t)n > VT_FEEDBACK_MAX ? VT_FEEDBACK_MAX : t->n + (size_t)n;
}

static void say_build(struct text *t, const struct vt_outcome *o)
{
    if (o->build_end == VT_BUILD_TIMEOUT) {
        say(t, "The compiler ran past its limit of 10 s.");
        return;
    }
    if (o->build_end == VT_BUILD_CRASHED) {
        say(t, "The compiler ran out of memory or crashed on this code.");
        return;
    }
    if (o->build_end == VT_BUILD_REFUSED) {
        say(t, "The code compiled, but %s.", o->why);
        return;
    }
    say(t, "The code does not compile.");
    for (int i = 0; i < o->diagnostics.n && i < 4; i++) {
        const struct vt_diagnostic *d = &o->diagnostics.item[i];
        if (d->line > 0)
            say(t, " Line %d: %s.", d->line, d->text);
        else
            say(t, " %s.", d->text);
    }
    if (o->diagnostics.n_errors > 4)
        say(t, " (%d errors in all.)", o->diagnostics.n_errors);
}

static const char *signal_name(int signo)
{
    switch (signo) {
    case SIGSEGV:
        return "a memory fault (SIGSEGV)";
    case SIGBUS:
        return "a bus error (SIGBUS)";
    case SIGFPE:
        return "an arithmetic fault, such as an integer division by zero (SIGFPE)";
    case SIGILL:
        return "an illegal instruction (SIGILL)";
    case SIGABRT:
        return "abort()";
    case SIGKILL:
        return "a kill";
    default:
        return "a signal";
    }
}

/* Which array a faulting address belongs to, in words. */
static void say_place(struct text *t, const struct vt_check_result *f, const struct vt_subject_names *n)
{
    const struct vt_plan *p = f->set->plan;
    if (f->call.fault_place == VT_FAULT_NULL) {
        say(t, " It used a null pointer.");
        return;
    }
    if (f->call.fault_place == VT_FAULT_STACK) {
        say(t, " It ran out of stack.");
        return;
    }
    if (f->call.fault_place != VT_FAULT_ARRAYS)
        return;
    for (size_t i = 0; i < p->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &p->array[i];
        const struct vt_task_array *named = vt_task_array(n->task, i);
        int64_t element =
            ((int64_t)f->call.fault_address - (int64_t)(a->va + a->data)) / (int64_t)vt_dtype_size(named->dtype);
        int64_t reach = (int64_t)a->len + (2 << 20);
        int64_t from_start = (int64_t)f->call.fault_address - (int64_t)a->va;
        if (from_start >= 0 && from_start < (int64_t)a->len && !a->is_out) {
            say(t, " It wrote to the input %s, which is read-only.", named->name);
            return;
        }
        if (from_start > -(2 << 20) && from_start < reach) {
            say(t, " It reached for %s[%" PRId64 "], but %s has %" PRId64 " elements.", named->name, element,
                named->name, p->layout.array[i].n_elem);
            return;
        }
    }
}

static void say_fault(struct text *t, const struct vt_outcome *o, const struct vt_subject_names *n)
{
    const struct vt_check_result *f = &o->failure;
    switch (f->call.end) {
    case VT_CALL_SIGNAL:
        say(t, "The function ended with %s.", signal_name(f->call.signo));
        say_place(t, f, n);
        return;
    case VT_CALL_FORBIDDEN:
        say(t,
            "The function made a system call (number %u), which is not allowed: a kernel only computes. Files, output, "
            "threads, clocks and large allocations are out of reach.",
            f->call.syscall);
        return;
    case VT_CALL_EXITED:
        say(t, "The function ended the process (exit code %d) instead of returning.", f->call.exit_code);
        return;
    case VT_CALL_TIMEOUT:
        say(t, "The function did not return in time.");
        return;
    case VT_CALL_DONE:
        break;
    }
    if (f->end == VT_CHECK_OVERRUN)
        say(t, "The function wrote %s the end of the output %s.", f->is_before ? "before the start or past" : "past",
            vt_task_array(n->task, f->array)->name);
    else if (f->end == VT_CHECK_DEFERRED)
        say(t, "Outputs changed after the function had returned.");
}

static void say_wrong(struct text *t, const struct vt_outcome *o, const struct vt_subject_names *n)
{
    const struct vt_compare_result *c = &o->failure.compare;
    char line[256];
    say(t, "The output is wrong: %" PRId64 " of %" PRId64 " elements are outside the error bound (inputs %s%s%s).",
        c->n_wrong, c->n_checked, o->failure_inputs, strcmp(o->failure_scale, n->scale) == 0 ? "" : ", other sizes: ",
        strcmp(o->failure_scale, n->scale) == 0 ? "" : o->failure_scale);
    if (o->failure.n_unwritten > 0)
        say(t, " %" PRId64 " elements were never written.", o->failure.n_unwritten);
    else if (c->n_nan > 0)
        say(t, " %" PRId64 " are NaN where a number is expected.", c->n_nan);
    for (int i = 0; i < c->n_diffs && n->layout; i++) {
        vt_diff_describe(n->task, n->layout, &c->diff[i], line, sizeof line);
        say(t, "%s %s", i ? ";" : " First differences:", line);
    }
    if (c->n_diffs)
        say(t, ".");
}

static void say_speed(struct text *t, const struct vt_outcome *o)
{
    vt_verdict v;
    vt_outcome_verdict(o, &v);
    say(t, "Correct.");
    if (o->is_copy)
        say(t, " It is the baseline again (a copy), so its speedup is 1.");
    if (o->flags & VT_FLAG_NONDETERMINISTIC)
        say(t,
            " Two runs on the same inputs left different outputs, each within the error bound: it does not count until "
            "it writes the same result every time (uninitialised memory?).");
    if (!o->is_timed)
        return;
    if (!o->is_copy)
        say(t, " Speedup %.3g over the baseline (95 %% interval %.3g to %.3g): %.4g us against %.4g us.",
            v.speedup_measured, v.speedup_lo, v.speedup_hi, v.runtime_us, v.baseline_us);
    say(t, " It runs at %.0f %% of the memory roofline.", 100 * v.roofline);
    if (o->status == VT_FLAGGED && o->trials.b_us * 1e3 < o->floor_ns)
        say(t, " That is faster than this machine can move the data the task needs, twice: the time is not believed.");
    else if (v.speedup_tuned > 0)
        say(t, " Against the tuned reference: %.3g.", v.speedup_tuned);
}

void vt_feedback_write(const struct vt_outcome *o, const struct vt_subject_names *n, char out[VT_FEEDBACK_MAX + 1])
{
    struct text t = {out, 0};
    out[0] = 0;
    switch (o->status) {
    case VT_MALFORMED:
        say(&t, "%s", o->why);
        break;
    case VT_COMPILE_ERROR:
        say_build(&t, o);
        break;
    case VT_LOAD_ERROR:
        say(&t, "The compiled code cannot be loaded: %s.", o->why);
        break;
    case VT_TIMED_OUT:
    case VT_RUNTIME_ERROR:
        say_fault(&t, o, n);
        break;
    case VT_WRONG_OUTPUT:
        say_wrong(&t, o, n);
        break;
    case VT_CORRECT_SLOW:
    case VT_CORRECT_FAST:
    case VT_FLAGGED:
        say_speed(&t, o);
        break;
    }
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127)
            *p = ' ';
}
