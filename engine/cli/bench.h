/* SPDX-License-Identifier: Apache-2.0
 *
 * bench.h: the parts of `vegttt bench`: what this machine's arithmetic and memory reach (bench_bound.c), the workloads
 * (bench_rows.c: speed, bench_checks.c: memory, load time, equality) and the verb that prints them (verb_bench.c).
 *
 * Ownership: the verb owns the model; a row leaves it as it found it.
 */
#ifndef VT_CLI_BENCH_H
#define VT_CLI_BENCH_H

#include "model/ckpt.h"
#include <stdint.h>
#include <vegttt/policy.h>

enum { VT_BENCH_PROMPT = 256, VT_BENCH_NEW = 128, VT_BENCH_SEQS = 32, VT_BENCH_PREFILL = 512, VT_BENCH_LONG = 8000 };
enum { VT_BENCH_WIDTH = 64 }; /* most samples of one request */

struct vt_bench_bound {
    double flops, bytes; /* a second, all threads at once */
    const char *isa, *operands;
    int n_threads;
};

struct vt_bench_model {
    const char *spec;
    vt_policy *policy;
    vt_weights *weights;
    struct vt_lm_config cfg;
    double n_body, n_head, weight_bytes; /* parameters outside and inside the unembedding */
    int32_t prompt[VT_BENCH_LONG], completion[VT_BENCH_SEQS][VT_BENCH_NEW];
    struct vt_bench_bound bound;
};

struct vt_bench_result {
    double tokens, seconds;
    double flops, bytes; /* what no implementation can leave out; 0 = the row has no bound */
    double peak_bytes;   /* most memory that the backend held */
    bool holds;          /* of a check */
    char note[768];      /* what a check has to say */
};

struct vt_bench_row {
    const char *name;
    int width; /* samples of one prompt */
    vt_status (*run)(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
    bool is_check; /* says something, once, instead of measuring a speed */
};

vt_status vt_bench_bound_measure(struct vt_bench_bound *out, vt_err *err) VT_MUST_USE;

vt_status vt_bench_open(const char *spec, const struct vt_policy_opts *o, vt_policy **out, vt_err *err) VT_MUST_USE;
vt_status vt_bench_sample(struct vt_bench_model *m, vt_weights *w, int n_prompt, int n, int n_new,
                          struct vt_sample *out, vt_err *err) VT_MUST_USE; /* out [n]; vt_sample_clear them */
vt_status vt_bench_score(struct vt_bench_model *m, vt_weights *w, int n_prompt, int n, const int32_t *const *tokens,
                         const int *n_tokens, float *const *logprobs, vt_err *err) VT_MUST_USE;
/* Forward and step over all completions: the weights made, whose reference the caller gets. */
vt_status vt_bench_step(struct vt_bench_model *m, float lr, vt_weights **made, vt_err *err) VT_MUST_USE;

vt_status vt_bench_prefill(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
vt_status vt_bench_decode(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
vt_status vt_bench_score_row(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
vt_status vt_bench_lora(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
/* FLOPs of n tokens through the body, n_head of them through the unembedding, and the attention of n_pairs (query,
 * key) pairs. */
double vt_bench_flops(const struct vt_bench_model *m, double n, double n_head, double n_pairs);

/* Prefill and score of a prompt of 8,000 tokens; then the refusal of the same under a quarter of the memory. */
vt_status vt_bench_long_prompt(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
/* Opening the model once it is packed. */
vt_status vt_bench_load(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);
/* Log-probabilities of the sampler against the scorer's, bit for bit: B = 1 .. 64, three chunkings, two weights. */
vt_status vt_bench_equal(struct vt_bench_model *m, int width, struct vt_bench_result *r, vt_err *err);

#endif
