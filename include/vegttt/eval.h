/* SPDX-License-Identifier: Apache-2.0
 *
 * eval.h: the evaluator: code + task -> verdict (built? correct? how much faster? why?).
 *
 * Stages: extract -> build -> load -> check -> time. What a candidate is and where it runs is its tier's business: "c",
 * the body of a C function, runs in a jailed process that holds neither the truth, the clock, the inputs of other
 * trials nor the verdict. Every stage's failure is a status, not an error: vt_status failures mean that the evaluator
 * itself could not work (no compiler, disk full, jail floor).
 *
 * Requests queue; n_build requests are built and checked in parallel, timing is one at a time on the cores or the
 * device it needs, under the machine lease. done is called on an evaluator thread, in completion order.
 */
#ifndef VEGTTT_EVAL_H
#define VEGTTT_EVAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vegttt/task.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vt_verdict_status {
    VT_MALFORMED,     /* no code in the answer */
    VT_COMPILE_ERROR, /* the compiler refused it, or ran into its limits */
    VT_LOAD_ERROR,    /* no such symbol, or the object could not be loaded */
    VT_RUNTIME_ERROR, /* crashed, exited, wrote outside its output, hit a jail rule */
    VT_TIMED_OUT,     /* ran past its deadline; the name in JSON and Lua is "timeout" */
    VT_WRONG_OUTPUT,  /* some element is outside the bound */
    VT_CORRECT_SLOW,  /* correct, point speedup <= 1, or a copy */
    VT_CORRECT_FAST,  /* correct, point speedup > 1 */
    VT_FLAGGED        /* correct, but faster than the roofline floor twice, or with other bits in each run */
} vt_verdict_status;
const char *vt_verdict_status_name(vt_verdict_status s); /* "compile_error" */

typedef enum vt_protocol { VT_PROTOCOL_FAST, VT_PROTOCOL_FULL } vt_protocol;

typedef struct vt_verdict {
    vt_verdict_status status;
    bool correct, is_copy, cached;
    bool is_sure;            /* faster, settled, at several placements of code and stack and on contaminated inputs */
    double speedup;          /* against the shown baseline; 0 when not correct; exactly 1 for a copy */
    double speedup_measured; /* as timed, copies too; 0 when not timed */
    double speedup_lo, speedup_hi;  /* interval over all placements; it holds 1 unless is_sure (engine/eval/judge.c) */
    double speedup_tuned;           /* against the tuned reference; 0 = none */
    double runtime_us, baseline_us; /* median over the input sets of the fastest run */
    double worst;                   /* largest error / bound seen over all checked outputs */
    double roofline;                /* floor time / measured time */
    const char *feedback;           /* what went wrong or right, for people and models; English sentences */
    const char *json; /* the whole record (evals.jsonl fields): stages, diagnostics, trials, flags, jail layers */
} vt_verdict;

typedef struct vt_eval vt_eval;
struct vt_eval_opts {
    const char *tier;  /* of requests that name none; NULL = the best there is, "c" today */
    const char *cc;    /* NULL = $CC or cc */
    int n_build;       /* 0 = cores */
    const char *store; /* content store folder (builds, deterministic failures); NULL = no cache */
    void *lease;       /* vt_lease * shared with the language model; NULL = own */
    uint64_t secret;   /* key of the input generator; 0 = fresh from the kernel */
    bool unsafe_jail;  /* run below the jail floor; recorded */
    bool no_cache;
};
struct vt_eval_request {
    vt_task *task; /* a reference is taken */
    const char
        *code; /* body or whole function; with `extract` a model's answer that holds one (1 MiB at most); copied */
    size_t code_len;
    bool extract;
    vt_protocol protocol;
    const char *tier;  /* NULL = the evaluator's; opened by the first request that names it */
    const char *scale; /* NULL = the tier's ("cpu") */
    bool fresh;        /* ignore cached verdict parts */
    bool skip_timing;  /* stop after the check */
    /* An evaluation that shall not stand for another one: the number of an independent repetition (0 = the first), and
     * the key of the verdict that this one shall confirm (NULL = none). */
    int replicate;
    const char *confirms;
};
typedef void vt_eval_done(void *arg, vt_status status, const vt_err *err,
                          const vt_verdict *v); /* v is lent; NULL on failure */

/* EUNSUPPORTED, naming what there is, for a tier that does not exist. */
vt_status vt_eval_open(const struct vt_eval_opts *o, vt_eval **out, vt_err *err) VT_MUST_USE;
/* Cancels what is queued and ends what runs (ECANCELLED); every done has been called once when it returns. A request
 * that a done makes meanwhile is refused with ECANCELLED. */
void vt_eval_close(vt_eval *e);
vt_status vt_eval_submit(vt_eval *e, const struct vt_eval_request *r, vt_eval_done *done, void *arg,
                         vt_err *err) VT_MUST_USE;
/* Withdraws the request that was submitted with this argument, if its done has not been called: it gets ECANCELLED, or
 * the verdict when it was about to come. What waits is dropped, what runs ends before its next stage, unless somebody
 * else asked the same. */
void vt_eval_cancel(vt_eval *e, void *arg);
/* Drops every queued request (their done gets ECANCELLED); running ones finish. */
void vt_eval_cancel_all(vt_eval *e);
size_t vt_eval_pending(vt_eval *e);
/* Identity of the evaluation that a request asks for, as hexadecimal text: equal keys, equal questions. The verdict's
 * record has it as "key". */
#define VT_EVAL_KEY_SIZE 65
vt_status vt_eval_key(vt_eval *e, const struct vt_eval_request *r, char key[VT_EVAL_KEY_SIZE], vt_err *err) VT_MUST_USE;
/* What a model is shown of a task on a tier (NULL = the best): the function to be made faster, with `body` in place of
 * the baseline's when one is given. *out is freed with free(). */
vt_status vt_eval_prompt(const char *tier, const vt_task *t, const char *body, char **out, vt_err *err) VT_MUST_USE;
/* Key parts that identify the evaluator's own tier: version, compiler and flags, machine class. Lent. */
const char *vt_eval_version(const vt_eval *e);
const char *vt_eval_machine(const vt_eval *e);

#ifdef __cplusplus
}
#endif
#endif
