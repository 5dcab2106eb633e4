/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c: what the cuda tier alone can say of a candidate, in sentences and as fields of the record.
 */
#include "eval/cuda/parts.h"
#include <string.h>

static void say_build(struct vt_say *t, const struct vt_candidate *c)
{
    if (c->is_plan_refused) {
        vt_say(t, "The launch plan cannot be used: %s.", c->why);
        return;
    }
    if (c->build_end == VT_CUDA_BUILD_TIMEOUT) {
        vt_say(t, "The compiler ran past its limit of 10 s.");
        return;
    }
    if (c->build_end == VT_CUDA_BUILD_CRASHED) {
        vt_say(t, "The compiler ran out of memory or crashed on this code.");
        return;
    }
    vt_say(t, "The code does not compile.");
    for (int i = 0; i < c->n_diagnostics && i < 4; i++) {
        const struct vt_cuda_diagnostic *d = &c->diagnostic[i];
        vt_say_message(t, d->line, d->text, strncmp(d->text, "#error", 6) == 0 || strstr(d->text, "static assert"));
    }
    if (c->n_errors > 4)
        vt_say(t, " (%d errors in all.)", c->n_errors);
}

static void say_fault(struct vt_say *t, const struct vt_candidate *c, const vt_task *task, const struct vt_check *f)
{
    const char *kernel = c->fault_launch < c->plan.n_launches ? c->plan.launch[c->fault_launch].kernel : "?";
    if (f->end == VT_CHECK_OVERRUN) {
        vt_say(t, "It wrote %s the %s %s.", f->is_before ? "before the start of" : "past the end of",
               vt_role_is_output(vt_task_array(task, f->array)->role) ? "output" : "input",
               vt_task_array(task, f->array)->name);
    } else if (c->fault == VT_FAULT_INPUT) {
        vt_say(t, "It wrote to the input %s, which must not change.",
               vt_task_array(task, (size_t)c->fault_array)->name);
    } else if (f->is_timeout) {
        vt_say(t, "The kernels did not end in time.");
    } else if (c->fault == VT_FAULT_LAUNCH) {
        vt_say(t, "Kernel %s was not launched: %s.", kernel, c->fault_why);
    } else {
        vt_say(t, "The kernels ended with a fault: %s.", c->fault_why);
    }
}

void vt_cuda_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                     const struct vt_check *failure, struct vt_say *out)
{
    if (status == VT_COMPILE_ERROR)
        say_build(out, c);
    else if (status == VT_LOAD_ERROR)
        vt_say(out, "The compiled code cannot be launched as planned: %s.", c->why);
    else if (failure && failure->end != VT_CHECK_WRONG && failure->end != VT_CHECK_RIGHT)
        say_fault(out, c, t, failure);
}

static void put_build(vt_json *j, const struct vt_candidate *c)
{
    static const char *const ends[] = {"ok", "failed", "timeout", "crashed"};
    vt_json *b = vt_json_object(), *list = vt_json_array();
    vt_json_put_str(b, "end", c->is_plan_refused ? "refused" : ends[c->build_end]);
    vt_json_put_bool(b, "cached", c->is_build_stored);
    vt_json_put_num(b, "ms", c->build_ms);
    vt_json_put_num(b, "cpu_ms", c->build_cpu_ms);
    vt_json_put_num(b, "max_rss_kib", (double)c->build_rss_kib);
    if (c->log)
        vt_json_put_str(b, "log_text", c->log);
    for (int i = 0; i < c->n_diagnostics; i++) {
        vt_json *item = vt_json_object();
        vt_json_put_int(item, "line", c->diagnostic[i].line);
        vt_json_put_int(item, "column", 0);
        vt_json_put_str(item, "kind", "error");
        vt_json_put_str(item, "text", c->diagnostic[i].text);
        vt_json_push(list, item);
    }
    vt_json_put(b, "diagnostics", list);
    vt_json_put_int(b, "n_errors", c->n_errors);
    vt_json_put(j, "build", b);
}

static void put_device(vt_json *j, const struct vt_tier *t)
{
    vt_json *d = vt_json_object();
    vt_json_put_str(d, "name", t->device.name);
    vt_json_put_str(d, "uuid", t->device.uuid);
    vt_json_put_str(d, "architecture", t->architecture);
    vt_json_put_num(d, "peak_gb_per_s", t->peak / 1e9);
    vt_json_put(j, "device", d);
}

void vt_cuda_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                    struct vt_record_parts *parts)
{
    static const char *const faults[] = {"none", "launch", "device", "input"};
    vt_json_put_str(parts->record, "compiler", t->compiler);
    if (!c)
        return;
    put_build(parts->record, c);
    if (stage >= VT_STAGE_CHECK)
        put_device(parts->record, t);
    if (parts->failure) {
        vt_json_put_str(parts->failure, "call", faults[c->fault]);
        if (c->fault_why[0])
            vt_json_put_str(parts->failure, "driver", c->fault_why);
    }
    if (is_timed) {
        vt_json_put_str(parts->record, "cache_state", "cold");
        vt_json_put_str(parts->record, "baseline_kind", "shown CUDA text");
    }
}
