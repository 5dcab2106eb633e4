/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.c: starting templates and clocking calls.
 *
 * The clock is here and only here. It starts when `go` is written, after the call child has reported that inputs and
 * outputs are mapped and warm, and stops when `done` shows up. A candidate can write `done` itself and go on working;
 * so at that instant up to N_SAMPLES output words at positions it cannot know are read, and compared with what is
 * there once the child is gone: work that is late by more than about a microsecond shows (was_deferred).
 */
#include "eval/c/runner.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "eval/c/scratch.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    N_SAMPLES = 48,
    START_MS = 20000,     /* for a template to come up, and for a call to be set up */
    SLICE_US = 5000,      /* between looks at whether the template still lives */
    SPINS_PER_LOOK = 4096 /* between looks at the deadline while spinning */
};

struct sample {
    size_t at; /* byte offset in the output map */
    uint32_t word;
};

struct vt_runner {
    struct vt_broker *broker;
    struct vt_job job;
    struct vt_wire_shared *shared;
    struct vt_wire_call *call;
    int shared_fd, call_fd;
    struct vt_outputs *outputs[2];
    bool is_unsafe;
    uint32_t n_calls;
    struct sample sample[N_SAMPLES];
    int n_samples;
};

vt_status vt_outputs_fit(struct vt_outputs *o, size_t n, vt_err *err)
{
    void *map = NULL;
    if (o->map && o->bytes >= n)
        return VT_OK;
    vt_outputs_free(o);
    VT_TRY(vt_memfile_make("outputs", n, &o->fd, &map, err));
    o->map = map;
    o->bytes = n;
    return VT_OK;
}

void vt_outputs_free(struct vt_outputs *o)
{
    void *map = o->map;
    if (!map)
        return;
    vt_memfile_free(&o->fd, &map, o->bytes);
    *o = (struct vt_outputs){-1, NULL, 0};
}

static vt_status await_template(struct vt_runner *r, char load_error[256], vt_err *err)
{
    uint64_t until = vt_now_ns() + (uint64_t)START_MS * 1000000;
    uint32_t state;
    while ((state = vt_wire_load(&r->shared->state)) == VT_TEMPLATE_STARTING) {
        if (vt_job_has_ended(&r->job) && vt_wire_load(&r->shared->state) == VT_TEMPLATE_STARTING) {
            /* No byte of the candidate has been looked at but by the loader's child, which reports. */
            return vt_fail(err, VT_EJAIL, "a jailed process ended while it was set up; see `vegttt doctor`");
        }
        if (vt_now_ns() > until)
            return vt_fail(err, VT_ETIMEOUT,
                           "a jailed process did not come up within %d ms; is this machine overloaded?", START_MS);
        vt_wire_sleep(&r->shared->state, VT_TEMPLATE_STARTING, SLICE_US);
    }
    if (state == VT_TEMPLATE_FAILED) {
        char text[VT_WIRE_TEXT];
        memcpy(text, r->shared->text, sizeof text);
        text[sizeof text - 1] = 0;
        snprintf(load_error, 256, "%s", text);
    }
    return VT_OK;
}

static vt_status image_file(const struct vt_runner_opts *o, int *fd, vt_err *err)
{
    void *map;
    VT_TRY(vt_memfile_make("an image", o->object_len, fd, &map, err));
    memcpy(map, o->object, o->object_len);
    munmap(map, o->object_len);
    return VT_OK;
}

static vt_status start_template(struct vt_runner *r, const struct vt_runner_opts *o, char load_error[256], vt_err *err)
{
    void *shared = NULL, *call = NULL;
    struct vt_image_head head;
    int image_fd = -1;
    const char *why = vt_image_check(o->object, o->object_len, &head);
    if (why) {
        snprintf(load_error, 256, "%s", why);
        return VT_OK;
    }
    vt_status s = vt_memfile_make("shared", VT_WIRE_SHARED, &r->shared_fd, &shared, err);
    r->shared = shared;
    if (s == VT_OK)
        s = vt_memfile_make("call", VT_WIRE_PAGE, &r->call_fd, &call, err);
    r->call = call;
    if (s == VT_OK)
        s = image_file(o, &image_fd, err);
    VT_TRY(s);
    const struct vt_outputs *second = o->outputs[1] ? o->outputs[1] : o->outputs[0];
    struct vt_run_opts run = {.image = &head,
                              .image_len = o->object_len,
                              .va_bytes = o->va_bytes,
                              .placement = o->placement,
                              .fds = {image_fd, r->shared_fd, r->call_fd, o->in_fd, o->outputs[0]->fd, second->fd}};
    s = vt_broker_run(o->broker, &run, &r->job, err);
    close(image_fd);
    return s == VT_OK ? await_template(r, load_error, err) : s;
}

/* By the layers that this template says it has, not by those its broker hoped for. */
static vt_status check_floor(struct vt_runner *r, bool allow_unsafe, vt_err *err)
{
    struct vt_jail jail;
    vt_err why;
    vt_jail_from_bits(vt_runner_layers(r), vt_broker_jail(r->broker)->landlock_abi, &jail);
    if (vt_jail_floor(&jail, &why) == VT_OK)
        return VT_OK;
    r->is_unsafe = true;
    if (!allow_unsafe && err)
        *err = why;
    return allow_unsafe ? VT_OK : VT_EJAIL;
}

vt_status vt_runner_open(const struct vt_runner_opts *o, struct vt_runner **out, char load_error[256], vt_err *err)
{
    *out = NULL;
    load_error[0] = 0;
    struct vt_runner *r = vt_alloc(sizeof *r);
    if (!r)
        return vt_fail(err, VT_ENOMEM, "cannot start a kernel: out of memory");
    r->broker = vt_broker_ref(o->broker);
    r->outputs[0] = o->outputs[0];
    r->outputs[1] = o->outputs[1] ? o->outputs[1] : o->outputs[0];
    r->shared_fd = r->call_fd = -1;
    r->job.pidfd = -1;
    vt_status s = start_template(r, o, load_error, err);
    if (s == VT_OK && !load_error[0])
        s = check_floor(r, o->allow_unsafe, err);
    if (s != VT_OK || load_error[0]) {
        vt_runner_close(r);
        return s;
    }
    *out = r;
    return VT_OK;
}

void vt_runner_close(struct vt_runner *r)
{
    if (!r)
        return;
    void *shared = r->shared, *call = r->call;
    if (r->job.pid)
        (void)!vt_broker_reap(r->broker, &r->job, NULL, NULL);
    vt_broker_close(r->broker);
    vt_memfile_free(&r->shared_fd, &shared, VT_WIRE_SHARED);
    vt_memfile_free(&r->call_fd, &call, VT_WIRE_PAGE);
    free(r);
}

bool vt_runner_is_alive(const struct vt_runner *r)
{
    return r->job.pid != 0 && vt_broker_is_alive(r->broker) && !vt_job_has_ended(&r->job);
}

pid_t vt_runner_group(const struct vt_runner *r)
{
    return r->job.pid;
}

uint32_t vt_runner_layers(const struct vt_runner *r)
{
    return r->shared->layers;
}

bool vt_runner_is_unsafe(const struct vt_runner *r)
{
    return r->is_unsafe;
}

/* Positions of output words to read the moment a call says it is done: the last element, and random others. Only a
 * clocked call needs them, and that is one. */
static void choose_samples(struct vt_runner *r, const struct vt_call_step *step, const struct vt_call_opts *o)
{
    const struct vt_plan *p = step->plan;
    size_t outs[VT_WIRE_MAX_ARRAYS], n = 0;
    struct vt_stream random;
    vt_stream_init(&random, vt_seed_mix(o->random, 0x5a17));
    for (size_t i = 0; i < p->layout.n_arrays; i++)
        if (p->array[i].is_out && p->array[i].bytes >= sizeof(uint32_t))
            outs[n++] = i;
    r->n_samples = 0;
    for (int k = 0; n > 0 && k < N_SAMPLES; k++) {
        const struct vt_wire_array *a = &p->array[outs[(size_t)k % n]];
        const uint64_t first = o->out_base + step->out_at + a->out_at + a->data,
                       last = first + a->bytes - sizeof(uint32_t);
        uint64_t n_words = a->bytes / sizeof(uint32_t);
        /* An array may start at any element, so that only whole words of the file are read. */
        uint64_t at = (size_t)k < n ? last : first + vt_stream_below(&random, n_words) * sizeof(uint32_t);
        r->sample[r->n_samples++].at = at & ~(uint64_t)(sizeof(uint32_t) - 1);
    }
}

static uint32_t read_word(const struct vt_runner *r, int out_sel, size_t at)
{
    return vt_wire_load((const uint32_t *)(const void *)(r->outputs[out_sel]->map + at));
}

static void take_samples(struct vt_runner *r, int out_sel)
{
    for (int i = 0; i < r->n_samples; i++)
        r->sample[i].word = read_word(r, out_sel, r->sample[i].at);
}

static bool samples_hold(const struct vt_runner *r, int out_sel)
{
    for (int i = 0; i < r->n_samples; i++)
        if (r->sample[i].word != read_word(r, out_sel, r->sample[i].at))
            return false;
    return true;
}

/* The address space of one step follows that of the step before. */
static void write_step(struct vt_wire_step *w, const struct vt_call_step *step, uint64_t va, size_t out_base)
{
    const struct vt_plan *p = step->plan;
    w->n_arrays = (uint32_t)p->layout.n_arrays;
    memcpy(w->ints, p->ints, sizeof w->ints);
    memcpy(w->floats, p->floats, sizeof w->floats);
    memcpy(w->array, p->array, sizeof w->array);
    for (size_t i = 0; i < p->layout.n_arrays; i++) {
        w->array[i].va += va;
        w->array[i].in_at += step->in_at;
        w->array[i].out_at += out_base + step->out_at;
    }
}

static void write_command(struct vt_runner *r, const struct vt_call_step *step, size_t n, const struct vt_call_opts *o,
                          uint64_t poison)
{
    struct vt_wire_shared *w = r->shared;
    uint64_t va = 0;
    /* Whole: a word that a call left behind would be memory of the next. */
    memset(r->call, 0, VT_WIRE_PAGE);
    w->is_spinning = o->clock == VT_CLOCK_SPIN;
    w->cpu = o->cpu;
    w->nonce = (uint32_t)vt_seed_mix(o->random, 7) | 1u;
    w->poison = poison;
    w->out_sel = (uint32_t)o->out_sel;
    w->stack_offset = o->stack_offset;
    w->n_steps = (uint32_t)n;
    w->n_rounds = o->n_rounds ? o->n_rounds : 1;
    w->guard = o->clock == VT_CLOCK_NONE ? (uint32_t)o->guard : (uint32_t)VT_GUARD_NOTHING;
    for (size_t i = 0; i < n; va += step[i].plan->va_bytes, i++)
        write_step(&w->step[i], &step[i], va, o->out_base);
    if (o->clock == VT_CLOCK_NONE)
        r->call->go = 1;
    vt_wire_store(&w->cmd, ++r->n_calls);
    vt_wire_wake(&w->cmd);
}

static bool is_set_up(const struct vt_runner *r)
{
    return vt_wire_load(&r->shared->set_up) == r->n_calls;
}

static bool is_gone(const struct vt_runner *r)
{
    return vt_wire_load(&r->shared->gone) == r->n_calls;
}

/* What the evaluator's sleep lost to somebody's timing is given back, and setting up is not the candidate's time. */
static bool is_late(const struct vt_runner *r, const struct vt_call_opts *o, uint64_t from, uint64_t held_before)
{
    const uint64_t least = is_set_up(r) ? 0 : (uint64_t)START_MS * 1000000;
    const uint64_t most = o->deadline_ns > least ? o->deadline_ns : least;
    return vt_now_ns() > from + most + (vt_lease_held_ns(o->lease) - held_before);
}

/* Waits until *word != 0 or the call is gone; false at the deadline or when the template died. */
static bool await(struct vt_runner *r, const struct vt_call_opts *o, uint32_t *word, uint64_t from, uint64_t held)
{
    for (;;) {
        if (o->clock == VT_CLOCK_SPIN) {
            for (int i = 0; i < SPINS_PER_LOOK; i++) {
                if (vt_wire_load(word))
                    return true;
                vt_wire_relax();
            }
        } else {
            if (vt_wire_load(word))
                return true;
            vt_wire_sleep(word, 0, SLICE_US);
        }
        if (vt_wire_load(word) || is_gone(r))
            return true;
        if (is_late(r, o, from, held) || vt_job_has_ended(&r->job))
            return false;
    }
}

static bool await_gone(struct vt_runner *r, const struct vt_call_opts *o, uint64_t from, uint64_t held)
{
    for (;;) {
        uint32_t seen = vt_wire_load(&r->shared->gone);
        if (seen == r->n_calls)
            return true;
        for (int i = 0; o->clock == VT_CLOCK_SPIN && i < SPINS_PER_LOOK && !is_gone(r); i++)
            vt_wire_relax();
        if (!is_gone(r) && o->clock != VT_CLOCK_SPIN)
            vt_wire_sleep(&r->shared->gone, seen, SLICE_US);
        if (is_gone(r))
            return true;
        if (is_late(r, o, from, held) || vt_job_has_ended(&r->job))
            return false;
    }
}

static long involuntary_switches(void)
{
    struct rusage u = {0};
    getrusage(RUSAGE_THREAD, &u);
    return u.ru_nivcsw;
}

static bool clock_call(struct vt_runner *r, const struct vt_call_opts *o, struct vt_call_result *out)
{
    uint64_t from = vt_now_ns(), held = vt_lease_held_ns(o->lease);
    if (o->clock == VT_CLOCK_NONE) {
        bool in_time = await_gone(r, o, from, held);
        out->ns = vt_now_ns() - from;
        return in_time;
    }
    if (!await(r, o, &r->call->ready, from, held))
        return false;
    long switches = involuntary_switches();
    uint64_t start = vt_now_ns();
    vt_wire_store(&r->call->go, 1);
    if (o->clock == VT_CLOCK_SLEEP)
        vt_wire_wake(&r->call->go);
    if (!await(r, o, &r->call->done, start, held))
        return false;
    out->ns = vt_now_ns() - start;
    take_samples(r, o->out_sel);
    out->was_preempted = involuntary_switches() != switches;
    uint64_t done = vt_now_ns();
    bool in_time = await_gone(r, o, done, held);
    out->after_ns = vt_now_ns() - done;
    return in_time;
}

/* Words of the call page: a candidate may have written them. They choose a sentence, never a verdict. */
static void note_fault(const struct vt_wire_call *c, struct vt_call_result *out)
{
    const int signo = out->signo ? out->signo : SIGSYS;
    out->n_returned = c->n_returned;
    out->left = c->left & ((1u << VT_N_LEFT) - 1);
    if (c->fault_signal != signo)
        return;
    out->fault_place = c->fault_place <= VT_FAULT_INSTRUCTION ? c->fault_place : VT_FAULT_ELSEWHERE;
    out->fault_address = c->fault_address;
    out->syscall = c->fault_syscall;
}

/* The call's child is gone, and it had been set up. */
static void explain(struct vt_runner *r, const struct vt_call_opts *o, struct vt_call_result *out)
{
    const int status = r->shared->status;
    const struct vt_wire_call *c = r->call;
    out->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    out->signo = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    out->was_preempted |= r->shared->n_preempted > r->shared->n_preempted_before;
    note_fault(c, out);
    if (out->signo == SIGSYS || (out->exit_code == 125 && c->fault_signal == SIGSYS)) {
        out->end = VT_CALL_FORBIDDEN;
    } else if (out->signo) {
        out->end = out->signo == SIGXCPU ? VT_CALL_TIMEOUT : VT_CALL_SIGNAL;
    } else if (vt_wire_load(&c->done) != r->shared->nonce) {
        out->end = out->exit_code == VT_EXIT_LEFT && out->left ? VT_CALL_LEFT : VT_CALL_EXITED;
    } else {
        out->end = VT_CALL_DONE;
        out->was_deferred = o->clock != VT_CLOCK_NONE && !samples_hold(r, o->out_sel);
    }
}

static vt_status not_set_up(const struct vt_runner *r, bool is_late, vt_err *err)
{
    if (is_late)
        return vt_fail(err, VT_ETIMEOUT, "a call was not set up within %d s; is this machine overloaded?",
                       START_MS / 1000);
    const int status = r->shared->status;
    return vt_fail(err, VT_EJAIL, "a call could not be set up in the jail (%s %d); see `vegttt doctor`",
                   WIFSIGNALED(status) ? "signal" : "exit status",
                   WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

vt_status vt_runner_call_many(struct vt_runner *r, const struct vt_call_step *step, size_t n,
                              const struct vt_call_opts *o, struct vt_call_result *out, vt_err *err)
{
    memset(out, 0, sizeof *out);
    uint32_t payload = (uint32_t)vt_seed_mix(o->random, 11) & 0x3fffff;
    out->poison = (uint64_t)(0x7fc00000u | payload) << 32 | (0x7fc00000u | payload);
    if (!r->job.pid)
        return vt_fail(err, VT_EINTERNAL, "a call was made on a process that was killed");
    if (n < 1 || n > VT_CALL_MAX_STEPS || (n > 1 && o->clock != VT_CLOCK_NONE))
        return vt_fail(err, VT_EINVAL, "one process can be asked for 1 to %d calls, and clocked for one",
                       VT_CALL_MAX_STEPS);
    choose_samples(r, step, o);
    write_command(r, step, n, o, out->poison);
    if (!clock_call(r, o, out)) {
        const bool has_died = vt_job_has_ended(&r->job), was_set_up = is_set_up(r);
        VT_TRY(vt_broker_reap(r->broker, &r->job, NULL, err));
        if (!was_set_up)
            return not_set_up(r, !has_died, err);
        /* The template runs nothing of the candidate's: it ends early only with what the candidate brings down, as when
         * the job's memory is used up. */
        out->n_returned = r->call->n_returned;
        out->end = has_died ? VT_CALL_SIGNAL : VT_CALL_TIMEOUT;
        out->signo = has_died ? SIGKILL : 0;
        return VT_OK;
    }
    if (!is_set_up(r))
        return not_set_up(r, false, err);
    explain(r, o, out);
    return VT_OK;
}

vt_status vt_runner_call(struct vt_runner *r, const struct vt_call_opts *o, struct vt_call_result *out, vt_err *err)
{
    const struct vt_call_step one = {.plan = o->plan, .in_at = o->in_at};
    return vt_runner_call_many(r, &one, 1, o, out, err);
}
