/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c: an outcome as the JSON object of one line of evals.jsonl. Every raw trial is kept, disturbed ones marked.
 * The tier's part comes last: fields of its own, then its words among the flags and details of a failing call.
 */
#include "eval/eval.h"
#include "eval/verdict.h"
#include <math.h>
#include <string.h>

static const char *const stage_names[VT_N_STAGES] = {"extract", "build", "load", "check", "time"};

static vt_json *new_flags(uint32_t flags)
{
    static const struct {
        uint32_t bit;
        const char *name;
    } names[] = {{VT_FLAG_COPY, "copy"},
                 {VT_FLAG_CONTENDED, "contended"},
                 {VT_FLAG_BELOW_FLOOR, "below_floor"},
                 {VT_FLAG_OVER_BOUND, "over_bound"},
                 {VT_FLAG_DEFERRED, "deferred"},
                 {VT_FLAG_UNSETTLED, "unsettled"},
                 {VT_FLAG_NONDETERMINISTIC, "nondeterministic"},
                 {VT_FLAG_UNDEFINED, "undefined"}};
    vt_json *a = vt_json_array();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (flags & names[i].bit)
            vt_json_push(a, vt_json_new_str(names[i].name, strlen(names[i].name)));
    return a;
}

static void put_diffs(vt_json *x, const struct vt_check *f, const vt_task *task)
{
    vt_json *list = vt_json_array();
    vt_json_put_int(x, "n_wrong", f->compare.n_wrong);
    vt_json_put_int(x, "n_checked", f->compare.n_checked);
    vt_json_put_int(x, "n_nan", f->compare.n_nan);
    vt_json_put_int(x, "n_unwritten", f->n_unwritten);
    for (int i = 0; i < f->compare.n_diffs; i++) {
        const struct vt_diff *d = &f->compare.diff[i];
        vt_json *item = vt_json_object();
        vt_json_put_str(item, "array", vt_task_array(task, d->array)->name);
        vt_json_put_int(item, "index", d->index);
        vt_json_put_num(item, "expected", d->expected);
        vt_json_put_num(item, "got", d->got);
        vt_json_put_num(item, "bound", d->bound);
        vt_json_push(list, item);
    }
    vt_json_put(x, "diffs", list);
}

static vt_json *new_failure(const struct vt_outcome *o, const vt_task *task)
{
    static const char *const kinds[] = {"right", "wrong", "overrun", "deferred", "fault", "lingered"};
    vt_json *x = vt_json_object();
    vt_json_put_str(x, "kind", kinds[o->failure.end]);
    char sizes[VT_SCALE_SIZE + 8 * VT_TASK_MAX_SIZES];
    vt_scale_describe(task, o->failure_scale, sizes, sizeof sizes);
    vt_json_put_str(x, "scale", sizes);
    vt_json_put_str(x, "inputs", o->failure_inputs);
    if (o->failure.nth)
        vt_json_put_int(x, "nth_call", o->failure.nth);
    if (o->failure.end == VT_CHECK_WRONG)
        put_diffs(x, &o->failure, task);
    return x;
}

/* Timings elsewhere: { placement, inputs, pairs, speedup, lo, hi, settled }. */
static vt_json *new_placed(const struct vt_outcome *o)
{
    vt_json *list = vt_json_array();
    for (size_t i = 0; i < o->n_placed; i++) {
        const struct vt_placed *p = &o->placed[i];
        vt_json *x = vt_json_object();
        vt_json_put_int(x, "placement", p->placement);
        vt_json_put_str(x, "inputs", p->is_spiced ? "contaminated" : "benchmark");
        vt_json_put_int(x, "pairs", p->n_pairs);
        vt_json_put_num(x, "speedup", exp(p->log_ratio));
        vt_json_put_num(x, "lo", exp(p->lo));
        vt_json_put_num(x, "hi", exp(p->hi));
        vt_json_put_bool(x, "settled", p->is_settled);
        vt_json_push(list, x);
    }
    return list;
}

static void put_trials(vt_json *j, const struct vt_outcome *o)
{
    const struct vt_trials *t = &o->trials;
    vt_json *a = vt_json_array(), *b = vt_json_array(), *bad = vt_json_array(), *first = vt_json_array(),
            *sets = vt_json_array(), *stored = vt_json_array();
    for (int i = 0; i < t->n; i++) {
        vt_json_push(b, vt_json_new_num((double)t->pair[i].b_ns / 1e3));
        vt_json_push(a, vt_json_new_num((double)t->pair[i].a_ns / 1e3));
        vt_json_push(first, vt_json_new_bool(t->pair[i].a_first));
        vt_json_push(sets, vt_json_new_num(t->pair[i].set));
        if (t->pair[i].is_disturbed)
            vt_json_push(bad, vt_json_new_num(i));
        if (t->pair[i].is_stored)
            vt_json_push(stored, vt_json_new_num(i));
    }
    vt_json_put(j, "trials", b);
    vt_json_put(j, "ref_trials", a);
    vt_json_put(j, "ref_first", first);
    vt_json_put(j, "trial_sets", sets);
    vt_json_put(j, "disturbed", bad);
    vt_json_put(j, "ref_stored", stored); /* pairs whose ref_trials are kept times, scaled by the last run before */
    vt_json_put_str(j, "statistic",
                    t->by_middle ? "ABBA pairs: log(reference / candidate), the middle of fastest runs, pairs and ranks"
                                 : "ABBA pairs: median over input sets of log(fastest reference / fastest candidate)");
    vt_json_put_num(j, "time_ms", t->wall_ms);
    vt_json_put_num(j, "floor_us", o->floor_ns / 1e3);
    vt_json_put_int(j, "n_remeasured", o->n_remeasured);
    vt_json_put(j, "placed", new_placed(o));
    if (o->unsure)
        vt_json_put_str(j, "unsure", o->unsure);
}

/* How likely it is that a kernel which is wrong in one of N calls, by chance, was right in all that were compared. */
static void put_calls(vt_json *j, const struct vt_outcome *o)
{
    int n = o->n_checks + o->n_timed;
    vt_json *missed = vt_json_object();
    vt_json_put_int(j, "n_checks", o->n_checks);
    vt_json_put_int(j, "n_check_processes", o->n_check_processes);
    vt_json_put_num(j, "check_ms", o->check_ms);
    vt_json_put_int(j, "n_compared", n);
    vt_json_put_int(j, "longest_process", (int64_t)o->longest);
    vt_json_put_num(missed, "one_in_100", pow(0.99, n));
    vt_json_put_num(missed, "one_in_200", pow(0.995, n));
    vt_json_put_num(missed, "one_in_1000", pow(0.999, n));
    vt_json_put(j, "missed", missed);
    vt_json_put_int(j, "n_repeated", o->n_repeats);
    vt_json_put_num(j, "nondeterminism", o->n_repeats ? (double)o->n_differing / o->n_repeats : 0);
}

static void put_numbers(vt_json *j, const struct vt_outcome *o)
{
    vt_verdict v;
    vt_outcome_verdict(o, &v);
    vt_json_put_bool(j, "correct", v.correct);
    vt_json_put_bool(j, "is_copy", v.is_copy);
    vt_json_put_num(j, "speedup", v.speedup);
    vt_json_put_num(j, "speedup_measured", v.speedup_measured);
    vt_json_put_num(j, "speedup_lo", v.speedup_lo);
    vt_json_put_num(j, "speedup_hi", v.speedup_hi);
    vt_json_put_bool(j, "sure", v.is_sure);
    vt_json_put_num(j, "speedup_tuned", v.speedup_tuned);
    vt_json_put_num(j, "runtime_us", v.runtime_us);
    vt_json_put_num(j, "ref_us", v.baseline_us);
    vt_json_put_num(j, "worst", isfinite(v.worst) ? v.worst : 1e308);
    vt_json_put_num(j, "roofline", v.roofline);
}

vt_status vt_record_write(const struct vt_outcome *o, const struct vt_subject_names *n, const char *feedback,
                          struct vt_buf *out, vt_err *err)
{
    vt_json *j = vt_json_object();
    if (!j)
        return vt_fail(err, VT_ENOMEM, "cannot write a verdict: out of memory");
    struct vt_record_parts parts = {j, new_flags(o->flags), o->has_failure ? new_failure(o, n->task) : NULL};
    vt_json_put_str(j, "key", n->key);
    vt_json_put_int(j, "task", vt_task_id(n->task));
    vt_json_put_str(j, "task_name", vt_task_name(n->task));
    vt_json_put_str(j, "task_digest", vt_task_digest(n->task));
    vt_json_put_str(j, "code_sha", n->code_sha);
    vt_json_put_str(j, "tier", n->ops->name);
    vt_json_put_str(j, "scale", n->scale);
    vt_json_put_str(j, "protocol", n->protocol == VT_PROTOCOL_FULL ? "full" : "fast");
    vt_json_put_str(j, "evaluator", n->evaluator);
    vt_json_put_str(j, "machine", n->machine);
    vt_json_put_str(j, "stage", stage_names[o->stage]);
    vt_json_put_str(j, "status", vt_verdict_status_name(o->status));
    put_numbers(j, o);
    vt_json_put_bool(j, "cached", false);
    if (o->status >= VT_CORRECT_SLOW)
        vt_json_put(j, "error", vt_json_new_null());
    else
        vt_json_put_str(j, "error", feedback);
    vt_json_put_str(j, "feedback", feedback);
    if (o->stage >= VT_STAGE_CHECK)
        put_calls(j, o);
    if (o->is_timed)
        put_trials(j, o);
    n->ops->record(n->tier, n->candidate, o->stage, o->is_timed, &parts);
    /* Only now: without memory for its name a part is gone. */
    vt_json_put(j, "flags", parts.flags);
    if (parts.failure)
        vt_json_put(j, "failure", parts.failure);
    vt_buf_init(out, 1 << 20);
    vt_status s = vt_json_write(j, false, out, err);
    vt_json_free(j);
    if (s != VT_OK)
        vt_buf_free(out);
    return s;
}

vt_status vt_record_verdict(const vt_json *record, vt_verdict *out, vt_err *err)
{
    const char *status = vt_json_str(vt_json_get(record, "status"), "");
    int s = VT_MALFORMED;
    while (s <= VT_FLAGGED && strcmp(status, vt_verdict_status_name((vt_verdict_status)s)) != 0)
        s++;
    if (s > VT_FLAGGED)
        return vt_fail(err, VT_EFORMAT, "the record of a verdict has the status '%.40s'", status);
    *out = (vt_verdict){
        .status = (vt_verdict_status)s,
        .correct = vt_json_bool(vt_json_get(record, "correct"), false),
        .is_copy = vt_json_bool(vt_json_get(record, "is_copy"), false),
        .cached = vt_json_bool(vt_json_get(record, "cached"), false),
        .is_sure = vt_json_bool(vt_json_get(record, "sure"), false),
        .speedup = vt_json_num(vt_json_get(record, "speedup"), 0),
        .speedup_measured = vt_json_num(vt_json_get(record, "speedup_measured"), 0),
        .speedup_lo = vt_json_num(vt_json_get(record, "speedup_lo"), 0),
        .speedup_hi = vt_json_num(vt_json_get(record, "speedup_hi"), 0),
        .speedup_tuned = vt_json_num(vt_json_get(record, "speedup_tuned"), 0),
        .runtime_us = vt_json_num(vt_json_get(record, "runtime_us"), 0),
        .baseline_us = vt_json_num(vt_json_get(record, "ref_us"), 0),
        .worst = vt_json_num(vt_json_get(record, "worst"), 0),
        .roofline = vt_json_num(vt_json_get(record, "roofline"), 0),
    };
    return VT_OK;
}
