/* SPDX-License-Identifier: Apache-2.0
 *
 * tier.h: the door of the evaluator's tiers. A tier judges candidates of one kind on one kind of machine: C on the CPU
 * today (eval/c), CUDA on a GPU, a Python module. The core owns everything that makes verdicts comparable: the queue,
 * which inputs a candidate meets and how its outputs are compared (as rules: check.h, dists.h), how many pairs are
 * timed and what they say, the verdict, its sentences about right and wrong, its record. A tier owns everything that
 * touches the candidate: it makes the inputs and compares the outputs where the data lie, and turns code into calls.
 *
 *   core thread            table of operations
 *   a build station        extract -> build -> load -> check … check (one call, one input set each), series
 *   a lane                 load -> time … time (reference and candidate in turns) -> explain, record
 *
 * Things that live behind the door; each tier completes the types in its own way, the core passes pointers:
 *   vt_tier       opened once; used from all threads
 *   vt_station    what one thread has of it (a jailed helper, output memory). `cancel` is the one operation that other
 *                 threads may call on it. It mends itself (station_ready) between candidates.
 *   vt_ground     a task made ready for a pool of input sets: truths, memory. The core caches it (subject.h) and may
 *                 use it from several stations at once.
 *   vt_candidate  code from `build` on: first only what the compiler made, after `load` also what runs it. It outlives
 *                 the station that built it. A task's own texts (the baseline, a tuned version) are candidates, too;
 * they may be loaded and called on several lanes at once, any other on one station at a time.
 *
 * A failure of the candidate is a result (vt_stage_result, vt_check), never a status; a status means that the tier
 * itself could not work, and the case is not judged. After `cancel` operations on that station fail soon.
 *
 * Why more operations than the stages: a ground is an operation of its own because many candidates share it; `load` is
 * split from `build` because a candidate is loaded again, in a fresh process, when its time is doubted, and because
 * what is built on one station may run on another.
 */
#ifndef VT_EVAL_TIER_H
#define VT_EVAL_TIER_H

#include "base/buf.h"
#include "base/json.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "eval/dists.h"
#include "eval/extract.h"
#include "eval/say.h"
#include "store/content.h"
#include <vegttt/eval.h>

struct vt_tier;
struct vt_station;
struct vt_ground;
struct vt_candidate;

enum { VT_MAX_LANES = 16 };

struct vt_tier_opts {
    const char *cc;    /* of vt_eval_opts; NULL = the tier's default */
    vt_lease *lease;   /* outlives the tier; stations are guests of it */
    bool allow_unsafe; /* run candidates with fewer walls than the tier asks for; the record says so */
};
/* What the core must know about an open tier; lent for its lifetime. */
struct vt_tier_caps {
    const char *evaluator; /* "c-6": a change of it makes verdicts incomparable; in keys and records */
    const char *toolchain; /* digest of what turns code into calls: in keys */
    const char *machine;   /* class within which times are comparable; no spaces */
    const char *scale;     /* of requests that name none */
    int n_stations;        /* build stations that make sense here */
    /* A lane is what one timing needs for itself. Each has a thread; lanes that do not meet time at once. */
    int n_lanes;
    struct vt_place lane[VT_MAX_LANES];
    bool checks_on_lane;      /* a check disturbs a timing, so only lanes run calls */
    size_t max_grounds;       /* kept; those in use may be more */
    size_t max_ground_bytes;  /* together */
    size_t max_pool_bytes;    /* arrays of all input sets of a pool together; what needs more is refused by the core */
    int reference_deadline_s; /* of one call of a task's own text */
    /* Calls that one process can make one after the other; 0: there is no `series`, and neither contaminated inputs nor
     * drawn sizes are asked for. */
    size_t max_series;
    unsigned n_placements; /* of code and stack, that a call can ask for; 0 = 1 */
    bool stores_baseline;  /* its times are kept from one candidate to the next: timing.h, known_ns */
    bool scatters;         /* its run times, to both sides: small differences take more pairs */
};

/* Where a station stands. */
enum vt_seat_kind { VT_SEAT_BUILD, VT_SEAT_LANE, VT_SEAT_ALONE /* of a thread that does other things, too */ };
struct vt_seat {
    enum vt_seat_kind kind;
    int number, n; /* the number-th of n build stations; the lane's number */
};

struct vt_build_request {
    const vt_task *task;
    const struct vt_code *code;
    vt_content *store; /* where builds are kept by content; NULL = nowhere */
    bool is_fresh;     /* do not take one from there */
    bool is_plain;     /* without optimisation: what the code says, not what a compiler made of it. Tiers with series */
};
struct vt_stage_result {
    bool passed;
    vt_verdict_status status; /* when not passed */
    bool is_deterministic;    /* not passed: the same code will fail again */
    char
        artefact[VT_SHA256_HEX]; /* build: digest of the machine code; equal to the baseline's = a copy; "" = unknown */
    char why[256];               /* not passed: for messages about a task's own text */
};

/* One call on one input set. */
struct vt_call {
    size_t set;           /* index in the ground's pool */
    size_t against;       /* the set whose truth the outputs are held against: `set`, but for stale answers */
    uint64_t random;      /* of this call: poison, sampled positions */
    uint64_t deadline_ns; /* time that the lease was held by others is added */
    /* The first call of a series: its process may make all its calls again and again, so many rounds in all and so
     * long; below 2: it does not. */
    uint32_t n_rounds;
    uint64_t rounds_ns;
    unsigned placement; /* timed only: which of the tier's places code and stack lie in */
    bool is_trusted;    /* timed only: outputs need no comparison (a reference, which has passed its checks) */
};
enum vt_check_end {
    VT_CHECK_RIGHT,
    VT_CHECK_WRONG,    /* an element outside its bound */
    VT_CHECK_OVERRUN,  /* memory around an output was written */
    VT_CHECK_DEFERRED, /* outputs changed after the call said it was done */
    VT_CHECK_FAULT,    /* the call did not finish */
    VT_CHECK_LINGERED  /* it kept its process busy long after it was done (seen by the core) */
};
struct vt_check {
    enum vt_check_end end;
    bool is_timeout; /* FAULT: at the deadline */
    size_t set;
    uint32_t nth;      /* of its process's calls, from 1; 0: the only one */
    uint64_t ns;       /* of the call, by the tier's clock; a check may count its set-up, too */
    uint64_t after_ns; /* timed: how long its process stayed after that */
    bool was_disturbed;
    struct vt_compare_result compare; /* RIGHT and WRONG */
    uint64_t digest;                  /* RIGHT: of the outputs' bits */
    int64_t n_unwritten;              /* WRONG: elements that were never written */
    size_t array;                     /* OVERRUN */
    bool is_before;
};

/* Is the lane disturbed? BEGIN and END bracket a timing, LOOK stands before and after each batch, the lane held. */
enum vt_watch { VT_WATCH_BEGIN, VT_WATCH_LOOK, VT_WATCH_END };

enum vt_reference { VT_BASELINE, VT_TUNED, VT_N_REFERENCES };

/* Where a tier's part of a record goes: fields of its own beside the core's, its words in `flags`, details in
 * `failure` (NULL when no call failed). */
struct vt_record_parts {
    vt_json *record, *flags, *failure;
};
enum vt_stage { VT_STAGE_EXTRACT, VT_STAGE_BUILD, VT_STAGE_LOAD, VT_STAGE_CHECK, VT_STAGE_TIME, VT_N_STAGES };

struct vt_tier_ops {
    const char *name; /* in requests, keys and records */

    vt_status (*open)(const struct vt_tier_opts *o, struct vt_tier **out, vt_err *err);
    void (*close)(struct vt_tier *t); /* after everything else behind the door */
    const struct vt_tier_caps *(*caps)(const struct vt_tier *t);

    /* Text; no tier need be open. prompt: what a model is shown of a task, with another body when one is given.
     * extract: from an answer (or, unless is_answer, plain code) to code; *is_copy: it is the shown text over again. */
    vt_status (*prompt)(const vt_task *t, const char *body, struct vt_buf *out, vt_err *err);
    vt_status (*extract)(const vt_task *t, const char *text, size_t len, bool is_answer, struct vt_code *out,
                         bool *is_copy, vt_err *err);

    /* Identity of what a speedup on this task is against: in keys. */
    void (*baseline)(const struct vt_tier *t, const vt_task *task, char out[VT_SHA256_HEX]);

    /* By the thread that will use it. EJAIL when candidates cannot be held here. */
    vt_status (*station_open)(struct vt_tier *t, const struct vt_seat *seat, struct vt_station **out, vt_err *err);
    vt_status (*station_ready)(struct vt_station *s, vt_err *err); /* before each candidate; ECANCELLED after cancel */
    void (*cancel)(struct vt_station *s);                          /* any thread: what runs there ends soon */
    void (*station_close)(struct vt_station *s);
    bool (*watch)(struct vt_station *s, enum vt_watch what); /* END: was the lane wanted by others? */

    /* EFORMAT, ETIMEOUT when the task is at fault. The pool's rules outlive the ground. */
    vt_status (*ground_open)(struct vt_station *s, const struct vt_pool *pool, struct vt_ground **out, size_t *bytes,
                             vt_err *err);
    void (*ground_close)(struct vt_ground *g);
    /* Below this time no call on the pool's timed sets is believed; measure_floor looks again, all lanes idle; NULL:
     * nothing would come out other than before. */
    double (*floor_ns)(const struct vt_ground *g);
    vt_status (*measure_floor)(struct vt_tier *t, vt_err *err);

    /* *out always a candidate when the status is OK: it can explain its failure. */
    vt_status (*build)(struct vt_station *s, const struct vt_build_request *r, struct vt_candidate **out,
                       struct vt_stage_result *result, vt_err *err);
    /* Builds a task's own text; *out NULL when the task has none of that kind. */
    vt_status (*reference)(struct vt_station *s, const vt_task *t, enum vt_reference which, struct vt_candidate **out,
                           struct vt_stage_result *result, vt_err *err);
    /* Ready to be called on this ground, from this station on; is_fresh: where it never ran before. */
    vt_status (*load)(struct vt_station *s, struct vt_candidate *c, struct vt_ground *g, bool is_fresh,
                      struct vt_stage_result *result, vt_err *err);
    void (*unload)(struct vt_candidate *c); /* ends what runs it; it may be loaded again */
    vt_status (*check)(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                       vt_err *err);
    vt_status (*time)(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, struct vt_check *out,
                      vt_err *err);
    /* n calls, at most max_series, in this order in one process; the deadline is that of all. *n_done: those that came
     * out right and, when that was not all, the first that did not. */
    vt_status (*series)(struct vt_station *s, struct vt_candidate *c, const struct vt_call *call, size_t n,
                        struct vt_check *out, size_t *n_done, vt_err *err);
    void (*candidate_close)(struct vt_candidate *c); /* NULL is allowed */

    /* Why it was not built or loaded, or what its failing call (NULL: none) did, in sentences. */
    void (*explain)(const struct vt_candidate *c, const vt_task *t, vt_verdict_status status,
                    const struct vt_check *failure, struct vt_say *out);
    /* c NULL: the code got no further than `extract`. */
    void (*record)(const struct vt_tier *t, const struct vt_candidate *c, enum vt_stage stage, bool is_timed,
                   struct vt_record_parts *parts);
};

/* ---- the table (tiers.c), best first; ends with NULL ---- */

extern const struct vt_tier_ops *const vt_tiers[];
/* NULL name = the first of the table. EUNSUPPORTED names what there is. */
vt_status vt_tier_find(const struct vt_tier_ops *const *table, const char *name, const struct vt_tier_ops **out,
                       vt_err *err) VT_MUST_USE;

/* EUNSUPPORTED: this tier judges no such tasks. */
vt_status vt_tier_takes(const struct vt_tier_ops *ops, const vt_task *t, vt_err *err) VT_MUST_USE;

#endif
