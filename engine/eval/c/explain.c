/* SPDX-License-Identifier: Apache-2.0
 *
 * explain.c: what the c tier alone can say of a candidate: why it was not built or loaded, how a call of it ended, in
 * sentences for people and models and as fields of the record.
 */
#include "eval/c/parts.h"
#include <inttypes.h>
#include <signal.h>
#include <string.h>

/* ---- sentences ---- */

static void say_build(struct vt_say *t, const struct vt_candidate *c)
{
    if (c->build_end == VT_BUILD_TIMEOUT) {
        vt_say(t, "The compiler ran past its limit of 10 s.");
        return;
    }
    if (c->build_end == VT_BUILD_CRASHED) {
        vt_say(t, "The compiler ran out of memory or crashed on this code.");
        return;
    }
    vt_say(t, "The code does not compile.");
    for (int i = 0; i < c->diagnostics.n && i < 4; i++) {
        const struct vt_diagnostic *d = &c->diagnostics.item[i];
        vt_say_message(t, d->line, d->text, d->is_own);
    }
    if (c->diagnostics.n_errors > 4)
        vt_say(t, " (%d errors in all.)", c->diagnostics.n_errors);
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
static void say_place(struct vt_say *t, const struct vt_candidate *c, const vt_task *task,
                      const struct vt_check *failure)
{
    const struct vt_plan *p = c->home[0].ground->pool.set[failure->set].plan;
    const struct vt_call_result *call = &c->fault;
    if (call->fault_place == VT_FAULT_NULL) {
        vt_say(t, " It used a null pointer.");
        return;
    }
    if (call->fault_place == VT_FAULT_INSTRUCTION) {
        vt_say(t, " It executed a privileged instruction, or used an address that cannot exist.");
        return;
    }
    if (call->fault_place == VT_FAULT_STACK) {
        vt_say(t, " It ran out of stack.");
        return;
    }
    if (call->fault_place != VT_FAULT_ARRAYS)
        return;
    for (size_t i = 0; i < p->layout.n_arrays; i++) {
        const struct vt_wire_array *a = &p->array[i];
        const struct vt_task_array *named = vt_task_array(task, i);
        int64_t element =
            ((int64_t)call->fault_address - (int64_t)(a->va + a->data)) / (int64_t)vt_dtype_size(named->dtype);
        int64_t reach = (int64_t)a->len + (2 << 20);
        int64_t from_start = (int64_t)call->fault_address - (int64_t)a->va;
        if (from_start >= 0 && from_start < (int64_t)a->len && !a->is_out) {
            vt_say(t, " It wrote to the input %s, which is read-only.", named->name);
            return;
        }
        if (from_start > -(2 << 20) && from_start < reach) {
            vt_say(t, " It reached for %s[%" PRId64 "], but %s has %" PRId64 " elements.", named->name, element,
                   named->name, p->layout.array[i].n_elem);
            return;
        }
    }
}

/* What a caller finds changed, in words. */
static void say_left(struct vt_say *t, uint32_t left)
{
    static const struct {
        uint32_t bit;
        const char *what;
    } things[] = {
        {VT_LEFT_MXCSR, "the floating-point modes (rounding, flush to zero, denormals are zero or traps) changed"},
        {VT_LEFT_X87_CONTROL, "the x87 control word changed"},
        {VT_LEFT_X87_STACK, "the x87 register stack not empty"},
        {VT_LEFT_DIRECTION, "the direction flag set"},
        {VT_LEFT_ALIGNMENT, "the alignment-check flag set"},
        {VT_LEFT_REGISTERS, "registers changed that belong to its caller"},
        {VT_LEFT_UPPER, "the upper halves of vector registers in use (vzeroupper is missing)"},
        {VT_LEFT_MEMORY,
         "memory that it had allocated: the same calls once more took more of it, and it was not freed"}};
    const char *before = "The function returned, but it left ";
    for (size_t i = 0; i < sizeof things / sizeof things[0]; i++) {
        if (!(left & things[i].bit))
            continue;
        vt_say(t, "%s%s", before, things[i].what);
        before = ", and ";
    }
    vt_say(t, ". A function that people call leaves nothing behind but its outputs.");
}

static void say_fault(struct vt_say *t, const struct vt_candidate *c, const vt_task *task, const struct vt_check *f)
{
    switch (c->fault.end) {
    case VT_CALL_SIGNAL:
        vt_say(t, "The function ended with %s.", signal_name(c->fault.signo));
        say_place(t, c, task, f);
        return;
    case VT_CALL_FORBIDDEN:
        vt_say(t, "The function made a system call");
        if (c->fault.syscall <= VT_CALL_LAST_SYSCALL)
            vt_say(t, " (number %u)", c->fault.syscall);
        vt_say(t,
               ", which is not allowed: a kernel only computes. Files, output, threads, clocks and large allocations "
               "are out of reach.");
        return;
    case VT_CALL_EXITED:
        vt_say(t, "The function ended the process (exit code %d) instead of returning.", c->fault.exit_code);
        return;
    case VT_CALL_LEFT:
        say_left(t, c->fault.left);
        return;
    case VT_CALL_TIMEOUT:
        vt_say(t, "The function did not return in time.");
        return;
    case VT_CALL_DONE:
        break;
    }
    if (f->end == VT_CHECK_OVERRUN)
        vt_say(t, "The function wrote %s the end of the output %s.", f->is_before ? "before the start or past" : "past",
               vt_task_array(task, f->array)->name);
    else if (f->end == VT_CHECK_DEFERRED)
        vt_say(t, "Outputs changed after the function had returned.");
}

void vt_c_explain(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                  const struct vt_check *failure, struct vt_say *out)
{
    if (status == VT_COMPILE_ERROR)
        say_build(out, c);
    else if (status == VT_LOAD_ERROR)
        vt_say(out, "The compiled code cannot be loaded: %s.", c->why);
    else if (failure)
        say_fault(out, c, t, failure);
}

/* ---- record ---- */

static void put_build(vt_json *j, const struct vt_candidate *c)
{
    static const char *const ends[] = {"ok", "failed", "timeout", "crashed", "refused"};
    vt_json *b = vt_json_object(), *list = vt_json_array();
    vt_json_put_str(b, "end", ends[c->build_end]);
    vt_json_put_bool(b, "cached", c->is_build_stored);
    vt_json_put_num(b, "ms", c->build_ms);
    vt_json_put_num(b, "cpu_ms", c->build_cpu_ms);
    vt_json_put_num(b, "max_rss_kib", (double)c->build_rss_kib);
    if (c->log_sha[0])
        vt_json_put_str(b, "log", c->log_sha);
    if (c->log)
        vt_json_put_str(b, "log_text", c->log);
    for (int i = 0; i < c->diagnostics.n; i++) {
        const struct vt_diagnostic *d = &c->diagnostics.item[i];
        vt_json *item = vt_json_object();
        vt_json_put_int(item, "line", d->line);
        vt_json_put_int(item, "column", d->column);
        vt_json_put_str(item, "kind", d->is_own ? "own" : "error");
        vt_json_put_str(item, "text", d->text);
        vt_json_push(list, item);
    }
    vt_json_put(b, "diagnostics", list);
    vt_json_put_int(b, "n_errors", c->diagnostics.n_errors);
    vt_json_put(j, "build", b);
}

static void put_jail(vt_json *j, const struct vt_candidate *c)
{
    struct vt_jail jail;
    vt_json *list = vt_json_array();
    vt_jail_from_bits(c->layers, c->landlock_abi, &jail);
    for (size_t i = 0; i < VT_JAIL_N_LAYERS; i++) {
        bool on;
        const char *name = vt_jail_layer(&jail, i, &on, NULL);
        if (on)
            vt_json_push(list, vt_json_new_str(name, strlen(name)));
    }
    vt_json_put(j, "jail", list);
}

static void put_call(vt_json *x, const struct vt_call_result *call)
{
    static const char *const ends[] = {"returned", "exited", "signal", "forbidden_syscall", "left_state", "timeout"};
    vt_json_put_str(x, "call", ends[call->end]);
    if (call->signo)
        vt_json_put_int(x, "signal", call->signo);
    if (call->end == VT_CALL_FORBIDDEN && call->syscall <= VT_CALL_LAST_SYSCALL)
        vt_json_put_int(x, "syscall", call->syscall);
    if (call->end == VT_CALL_EXITED)
        vt_json_put_int(x, "exit_code", call->exit_code);
}

static void put_cores(vt_json *j, const struct vt_cores *c)
{
    vt_json *x = vt_json_object();
    vt_json_put_int(x, "run", c->run_cpu);
    vt_json_put_int(x, "clock", c->clock_cpu);
    vt_json_put_num(x, "corun", c->corun);
    vt_json_put(j, "cores", x);
}

static void flag(vt_json *flags, const char *name)
{
    vt_json_push(flags, vt_json_new_str(name, strlen(name)));
}

void vt_c_record(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                 struct vt_record_parts *parts)
{
    vt_json_put_str(parts->record, "compiler", t->cc.version);
    if (!c)
        return;
    put_build(parts->record, c);
    if (c->truth) {
        vt_json *unit = vt_json_object();
        vt_json_put_str(unit, "truth", c->truth);
        vt_json_put_str(unit, "cflags", c->cflags);
        vt_json_put(parts->record, "unit", unit);
    }
    if (stage >= VT_STAGE_CHECK)
        put_jail(parts->record, c);
    if (c->is_unsafe)
        flag(parts->flags, "unsafe_jail");
    if (stage == VT_STAGE_TIME && t->clock == VT_CLOCK_SLEEP)
        flag(parts->flags, "one_core");
    if (stage == VT_STAGE_TIME && t->cores[c->lane].is_shared)
        flag(parts->flags, "shared_core");
    if (parts->failure)
        put_call(parts->failure, &c->fault);
    if (is_timed) {
        put_cores(parts->record, &t->cores[c->lane]);
        vt_json_put_str(parts->record, "cache_state", "warm");
    }
}
