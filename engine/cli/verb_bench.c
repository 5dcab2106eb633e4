/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_bench.c: `vegttt bench [SPEC] [--row NAME] [--reps N] [--json]`: how fast this machine samples, scores and
 * trains, through the same calls a script makes, which share of the machine's own bound that is, and what the bound
 * is. A row is run --reps times (3); best and median are printed. The checks run once and only when named by --row.
 */
#include "base/fs.h"
#include "base/json.h"
#include "base/rng.h"
#include "cli/bench.h"
#include "cli/verbs.h"
#include "policy/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { MAX_REPS = 99 };

static const struct vt_bench_row rows[] = {{"prefill", 1, vt_bench_prefill, false},
                                           {"decode1", 1, vt_bench_decode, false},
                                           {"decode8", 8, vt_bench_decode, false},
                                           {"decode16", 16, vt_bench_decode, false},
                                           {"decode32", 32, vt_bench_decode, false},
                                           {"decode64", 64, vt_bench_decode, false},
                                           {"score", VT_BENCH_SEQS, vt_bench_score_row, false},
                                           {"lora", VT_BENCH_SEQS, vt_bench_lora, false},
                                           {"prompt8k", 1, vt_bench_long_prompt, true},
                                           {"load", 1, vt_bench_load, true},
                                           {"equal", 64, vt_bench_equal, true}};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

struct options {
    const char *spec, *only;
    bool json, is_check; /* is_check: of the row named by only */
    int n_reps;
};

/* Seconds that this machine's rates allow, and which of the two sets them. */
static double bound_seconds(const struct vt_bench_model *m, const struct vt_bench_result *r, const char **what)
{
    const double flops = r->flops / m->bound.flops, bytes = r->bytes / m->bound.bytes;

    *what = flops > bytes ? "arithmetic" : "memory";
    return flops > bytes ? flops : bytes;
}

static int by_seconds(const void *a, const void *b)
{
    const struct vt_bench_result *x = a, *y = b;

    return (x->seconds > y->seconds) - (x->seconds < y->seconds);
}

static vt_status print_json(const struct vt_bench_model *m, const struct vt_bench_row *row,
                            const struct vt_bench_result *best, double median_s, vt_err *err)
{
    const char *what;
    const double bound_s = bound_seconds(m, best, &what);
    vt_json *o = vt_json_object();
    struct rusage usage = {0};
    struct vt_buf text;
    vt_status status;

    (void)getrusage(RUSAGE_SELF, &usage);
    vt_json_put_str(o, "row", row->name);
    vt_json_put_str(o, "isa", m->bound.isa);
    vt_json_put_num(o, "tokens", best->tokens);
    vt_json_put_num(o, "seconds", best->seconds);
    vt_json_put_num(o, "median_seconds", median_s);
    vt_json_put_num(o, "bound_share", bound_s / best->seconds);
    vt_json_put_str(o, "bound", bound_s > 0 ? what : "none");
    vt_json_put_num(o, "bound_gflops", m->bound.flops / 1e9);
    vt_json_put_num(o, "bound_gbytes", m->bound.bytes / 1e9);
    vt_json_put_num(o, "peak_bytes", best->peak_bytes);
    vt_json_put_num(o, "peak_rss_bytes", (double)usage.ru_maxrss * 1024);
    vt_json_put_bool(o, "holds", best->holds);
    vt_json_put_str(o, "note", best->note);
    vt_buf_init(&text, 1 << 16);
    status = vt_json_write(o, false, &text, err);
    if (status == VT_OK)
        (void)puts(text.p);
    vt_buf_free(&text);
    vt_json_free(o);
    return status;
}

static vt_status run_row(struct vt_bench_model *m, const struct vt_bench_row *row, const struct options *o, vt_err *err)
{
    struct vt_bench_result r[MAX_REPS] = {0};
    const int n = row->is_check ? 1 : o->n_reps;
    const char *what;
    double bound_s, median_s;
    vt_status status = VT_OK;

    for (int i = 0; i < n; i++)
        VT_TRY(row->run(m, row->width, &r[i], err));
    qsort(r, (size_t)n, sizeof r[0], by_seconds);
    median_s = r[n / 2].seconds;
    bound_s = bound_seconds(m, r, &what);
    if (o->json)
        status = print_json(m, row, r, median_s, err);
    else if (bound_s > 0)
        (void)printf("%-10s %10.0f %10.0f %9.0f %%  %-10s %8.0f MB\n", row->name, r[0].tokens / r[0].seconds,
                     r[0].tokens / median_s, 100 * bound_s / r[0].seconds, what, r[0].peak_bytes / 1e6);
    if (!o->json && r[0].note[0])
        (void)printf("%-10s %s: %s\n", row->name, r[0].holds ? "holds" : "FAILS", r[0].note);
    (void)fflush(stdout);
    return status;
}

static vt_status open_model(const char *spec, struct vt_bench_model *m, vt_err *err)
{
    struct vt_policy_opts o = {0};
    char *path = NULL;
    vt_ckpt *c = NULL;
    struct vt_stream rng;
    vt_status status;

    m->spec = spec;
    VT_TRY(vt_bench_open(spec, &o, &m->policy, err));
    VT_TRY(vt_bench_bound_measure(&m->bound, err));
    m->weights = vt_policy_start(m->policy);
    VT_TRY(vt_model_find(spec, &path, err));
    m->weight_bytes = (double)vt_fs_size(path);
    status = vt_ckpt_open(path, &c, err);
    free(path);
    if (status != VT_OK)
        return status;
    for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++) {
        const struct vt_tensor *t = vt_ckpt_tensor_at(c, i);
        bool is_embedding = strcmp(t->name, "model.embed_tokens.weight") == 0;

        if (t->n_dims == 2 && !is_embedding && strcmp(t->name, "lm_head.weight") != 0)
            m->n_body += (double)t->shape[0] * (double)t->shape[1];
    }
    m->cfg = *vt_ckpt_config(c);
    m->n_head = (double)m->cfg.n_vocab * m->cfg.d_model;
    vt_ckpt_free(c);
    vt_stream_init(&rng, 1);
    for (int i = 0; i < VT_BENCH_LONG; i++)
        m->prompt[i] = (int32_t)vt_stream_below(&rng, (uint64_t)m->cfg.n_vocab);
    for (int i = 0; i < VT_BENCH_SEQS * VT_BENCH_NEW; i++)
        m->completion[i / VT_BENCH_NEW][i % VT_BENCH_NEW] = (int32_t)vt_stream_below(&rng, (uint64_t)m->cfg.n_vocab);
    return VT_OK;
}

/* False when there is nothing to measure; *exit_code says why. */
static bool parse(int argc, char **argv, struct options *o, int *exit_code)
{
    const char *names[N_ROWS + 1] = {0}, *values[3], *word = NULL;
    const struct vt_arg declared[] = {{.name = "json", .kind = VT_ARG_SWITCH},
                                      {.name = "row", .choices = names},
                                      {.name = "reps", .kind = VT_ARG_INTEGER, .range = VT_WITHIN(1, MAX_REPS)}};
    size_t n_words;
    int64_t n_reps = o->n_reps;
    vt_err err;

    for (int i = 0; i < N_ROWS; i++)
        names[i] = rows[i].name;
    if (!vt_cli_words("bench", declared, 3, argc, argv, values, &word, 1, &n_words, exit_code))
        return false;
    if (values[2] && vt_arg_whole(&declared[2], values[2], &n_reps, &err) != VT_OK) {
        *exit_code = vt_cli_fail(&err);
        return false;
    }
    o->json = values[0] != NULL;
    o->only = values[1];
    o->n_reps = (int)n_reps;
    o->spec = word ? word : o->spec;
    for (int i = 0; i < N_ROWS; i++)
        o->is_check |= o->only && rows[i].is_check && strcmp(o->only, rows[i].name) == 0;
    return true;
}

static void print_head(const struct vt_bench_model *m)
{
    const struct vt_bench_bound *b = &m->bound;

    (void)printf("%s on %d threads, %s\n"
                 "the bound: %.0f GFLOP/s (%s products in cache) and %.1f GB/s (reading memory), measured now; a row's "
                 "own is the slower of its\nFLOPs and the bytes of its weights, keys and values at these rates\n"
                 "%-10s %10s %10s %11s  %-10s %11s\n",
                 m->spec, b->n_threads, b->isa, b->flops / 1e9, b->operands, b->bytes / 1e9, "row", "best tok/s",
                 "median", "of bound", "bound by", "peak memory");
}

int vt_verb_bench(int argc, char **argv)
{
    static struct vt_bench_model m;
    struct options o = {.spec = vt_model_default(), .n_reps = 3};
    int exit_code;
    vt_err err;
    vt_status status;

    if (!parse(argc, argv, &o, &exit_code))
        return exit_code;
    status = open_model(o.spec, &m, &err);
    if (status == VT_OK && !o.json && !o.is_check)
        print_head(&m);
    for (int i = 0; i < N_ROWS && status == VT_OK; i++)
        if (o.only ? strcmp(o.only, rows[i].name) == 0 : !rows[i].is_check)
            status = run_row(&m, &rows[i], &o, &err);
    vt_weights_unref(m.weights);
    vt_policy_close(m.policy);
    if (status == VT_OK)
        return VT_EXIT_OK;
    return vt_model_is_known(o.spec) ? vt_cli_fail(&err) : vt_cli_fail_named(&err);
}
