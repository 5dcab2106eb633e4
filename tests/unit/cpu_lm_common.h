/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_common.h: what the language-model tests share: opening models, running jobs, reading golden sequences and
 * comparing adapters' tensors by their PEFT names. Include after harness.h. A failed job is a failed CHECK.
 */
#ifndef VT_TEST_CPU_LM_COMMON_H
#define VT_TEST_CPU_LM_COMMON_H

#include "base/alloc.h"
#include "cpu/lm_cpu.h"
#include "cpu/lm_parts.h"
#include "model/lm_door.h"
#include "model/safetensors.h"
#include "model_common.h"

/* Sanitizers run ten times slower: the same paths, fewer repetitions of them. */
#ifndef __has_feature /* clang's way to say so */
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) ||               \
    __has_feature(thread_sanitizer)
enum { IS_SANITIZED = 1 };
#else
enum { IS_SANITIZED = 0 };
#endif

struct model {
    vt_ckpt *ckpt;
    vt_lm *lm;
};

/* A sequence of a golden file. */
struct seq {
    int32_t *prompt, *tokens;
    int n_prompt, n;
    float *w, *logp, *want;
};

static const struct vt_lm_ops *const only_cpu[] = {&vt_lm_cpu_ops, NULL};

/* Behind the door. */
/* Also what a rotation leaves out. */
static inline bool is_full(void)
{
    return getenv("VEGTTT_FULL") != NULL;
}

static inline struct vt_cpu *cpu_of(const vt_lm *lm)
{
    return lm->be;
}

static inline bool open_with(struct model *m, const char *path, const struct vt_lm_opts *opts)
{
    vt_err err = {0};
    struct vt_lm_opts o = *opts;
    o.backends = only_cpu;
    m->lm = NULL;
    m->ckpt = NULL;
    CHECK_OK(vt_ckpt_open(path, &m->ckpt, &err), err);
    if (m->ckpt)
        CHECK_OK(vt_lm_open(m->ckpt, &o, &m->lm, &err), err);
    return m->lm != NULL;
}

static inline bool open_model(struct model *m, const char *path, enum vt_lm_precision p, const char *isa, int n_threads)
{
    const struct vt_lm_opts o = {.precision = p, .isa = isa, .n_threads = n_threads, .max_memory = (uint64_t)6 << 30};
    return open_with(m, path, &o);
}

static inline void close_model(struct model *m)
{
    vt_lm_close(m->lm);
    vt_ckpt_free(m->ckpt);
}

static inline vt_lm_group *prefill(vt_lm *lm, const int32_t *tokens, int n, int adapter)
{
    vt_err err = {0};
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = tokens, .n_tokens = n, .adapter = adapter}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    return job.group.group;
}

static inline void score_rows(vt_lm *lm, vt_lm_group **groups, const int32_t *const *tokens, const int *n, int n_rows,
                              float *const *out)
{
    vt_err err = {0};
    struct vt_lm_job job = {.kind = VT_LM_SCORE,
                            .score = {.groups = groups, .tokens = tokens, .n = n, .n_rows = n_rows, .logprob = out}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
}

/* Scores one sequence by itself into s->logp. */
static inline void score_seq(vt_lm *lm, struct seq *s, int adapter)
{
    vt_lm_group *g = prefill(lm, s->prompt, s->n_prompt, adapter);
    if (!g)
        return;
    const int32_t *tokens = s->tokens;
    score_rows(lm, &g, &tokens, &s->n, 1, &s->logp);
    vt_lm_group_close(lm, g);
}

/* Sequences with equal neighbouring prompts become one batch when `pack`, else every sequence is its own. Values go to
 * s->logp; with grad the gradient of -sum w logp is added to *grad, which NULL begins anew. Returns the loss. */
static inline double train(vt_lm *lm, struct seq *s, int n, int adapter, bool pack, vt_lm_grad **grad)
{
    enum { MOST = 64 };
    static struct vt_lm_prompt_batch batches[MOST];
    static const int32_t *tokens[MOST];
    static float *logp[MOST];
    static const float *w[MOST];
    static const float *const *w_batch[MOST];
    static int lengths[MOST];
    vt_err err = {0};
    int n_batches = 0;
    double loss = 0;
    for (int i = 0; i < n; i++) {
        struct vt_lm_prompt_batch *b = n_batches ? &batches[n_batches - 1] : NULL;
        tokens[i] = s[i].tokens;
        logp[i] = s[i].logp;
        w[i] = s[i].w;
        lengths[i] = s[i].n;
        if (pack && b && b->n_prompt == s[i].n_prompt && memcmp(b->prompt, s[i].prompt, (size_t)b->n_prompt * 4) == 0) {
            b->n_rows++;
            continue;
        }
        w_batch[n_batches] = &w[i];
        batches[n_batches++] = (struct vt_lm_prompt_batch){.prompt = s[i].prompt,
                                                           .n_prompt = s[i].n_prompt,
                                                           .tokens = &tokens[i],
                                                           .n = &lengths[i],
                                                           .n_rows = 1,
                                                           .logprob = &logp[i]};
    }
    struct vt_lm_job job = {.kind = VT_LM_FORWARD,
                            .forward = {.adapter = adapter, .batches = batches, .n_batches = n_batches}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    for (int i = 0; i < n; i++)
        for (int t = 0; t < s[i].n; t++)
            loss -= (double)s[i].w[t] * (double)s[i].logp[t];
    struct vt_lm_tape *tape = job.forward.tape;
    if (!grad) {
        vt_lm_tape_free(lm, tape);
        return loss;
    }
    job = (struct vt_lm_job){.kind = VT_LM_BACKWARD, .backward = {.tape = tape, .w = w_batch, .grad = *grad}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    *grad = job.backward.grad;
    return loss;
}

/* A gradient's numbers; the caller frees them. */
static inline float *grad_floats(vt_lm *lm, const vt_lm_grad *g)
{
    vt_err err = {0};
    float *x = NULL;
    size_t n;
    if (g)
        CHECK_OK(vt_lm_grad_read(lm, g, &x, &n, &err), err);
    return x;
}

static inline int32_t *json_ids(const vt_json *a, int *n)
{
    *n = (int)vt_json_count(a);
    int32_t *ids = vt_alloc_array((size_t)*n, sizeof *ids);
    int i = 0;
    for (const vt_json *c = vt_json_first(a); c; c = vt_json_next(c))
        ids[i++] = (int32_t)vt_json_int(c, -1);
    return ids;
}

static inline float *json_floats(const vt_json *a, int n)
{
    float *x = vt_alloc_array((size_t)n, sizeof *x);
    int i = 0;
    for (const vt_json *c = vt_json_first(a); c && i < n; c = vt_json_next(c))
        x[i++] = (float)vt_json_num(c, 0);
    return x;
}

static inline struct seq json_seq(const vt_json *o, const char *prompt, const char *completion)
{
    struct seq s = {0};
    s.prompt = json_ids(vt_json_get(o, prompt), &s.n_prompt);
    s.tokens = json_ids(vt_json_get(o, completion), &s.n);
    s.w = json_floats(vt_json_get(o, "w"), s.n);
    s.logp = vt_alloc_array((size_t)s.n, sizeof *s.logp);
    return s;
}

static inline void free_seq(struct seq *s)
{
    free(s->prompt);
    free(s->tokens);
    free(s->w);
    free(s->logp);
    free(s->want);
}

static inline vt_json *read_json(const char *path)
{
    struct vt_buf text;
    vt_json *j = NULL;
    vt_err err = {0};
    CHECK_OK(vt_fs_read(path, 64 << 20, &text, &err), err);
    CHECK_OK(vt_json_parse(text.p, text.len, path, &j, &err), err);
    vt_buf_free(&text);
    return j;
}

/* Mean and maximum of |got - want|. */
struct gap {
    double sum, max;
    int n;
};
static inline void gap_add(struct gap *g, const float *got, const float *want, int n)
{
    for (int i = 0; i < n; i++) {
        double d = fabs((double)got[i] - (double)want[i]);
        g->sum += d;
        if (!(d <= g->max))
            g->max = d;
    }
    g->n += n;
}
static inline double gap_mean(const struct gap *g)
{
    return g->n ? g->sum / g->n : 0;
}

/* Module of a PEFT tensor name; false when the name is none. *is_b: B, else A. */
static inline bool parse_peft(const char *name, int n_layers, int *layer, enum vt_target *target, bool *is_b)
{
    static const char *const modules[VT_LORA_N] = {"q_proj",    "k_proj",  "v_proj",    "o_proj",
                                                   "gate_proj", "up_proj", "down_proj", "lm_head"};
    const char *l = strstr(name, "layers.");
    *layer = l ? (int)strtol(l + 7, NULL, 10) : n_layers;
    *is_b = strstr(name, "lora_B") != NULL;
    for (int t = 0; t < VT_LORA_N; t++) {
        if (!strstr(name, modules[t]))
            continue;
        *target = (enum vt_target)t;
        return true;
    }
    return false;
}

struct likeness {
    double rel, cosine, norm; /* |a-b|/|b|, a.b/|a||b|, |a|/|b| */
};
static inline struct likeness compare(const float *a, const float *b, size_t n)
{
    double aa = 0, bb = 0, ab = 0, dd = 0;
    for (size_t i = 0; i < n; i++) {
        double x = (double)a[i], y = (double)b[i];
        aa += x * x;
        bb += y * y;
        ab += x * y;
        dd += (x - y) * (x - y);
    }
    return (struct likeness){.rel = bb > 0 ? sqrt(dd / bb) : sqrt(dd),
                             .cosine = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : aa == bb,
                             .norm = bb > 0 ? sqrt(aa / bb) : 1};
}

struct worst {
    double rel, cosine, norm; /* largest rel, smallest cosine, largest |norm - 1| */
    int n;
};
/* Every tensor of a safetensors file against values laid out as the adapter's parameters. */
static inline struct worst compare_file(const char *path, const struct vt_adapter *a, const float *values)
{
    struct worst worst = {.cosine = 1};
    vt_err err = {0};
    vt_st *st = NULL;
    CHECK_OK(vt_st_open(path, &st, &err), err);
    for (size_t i = 0; st && i < vt_st_n(st); i++) {
        const struct vt_tensor *t = vt_st_at(st, i);
        int layer;
        enum vt_target target;
        bool is_b;
        size_t off[2];
        if (!parse_peft(t->name, a->cfg.n_layers, &layer, &target, &is_b) ||
            !vt_adapter_at(a, layer, target, &off[0], &off[1]))
            continue;
        size_t n_row = (size_t)t->shape[1], n = (size_t)t->shape[0] * n_row;
        float *want = vt_alloc_array(n, sizeof *want);
        for (int64_t r = 0; r < t->shape[0]; r++)
            vt_tensor_row(t, r, want + (size_t)r * n_row);
        struct likeness l = compare(values + off[is_b], want, n);
        worst.rel = l.rel > worst.rel ? l.rel : worst.rel;
        worst.cosine = l.cosine < worst.cosine ? l.cosine : worst.cosine;
        worst.norm = fabs(l.norm - 1) > worst.norm ? fabs(l.norm - 1) : worst.norm;
        worst.n++;
        free(want);
    }
    vt_st_free(st);
    return worst;
}

/* Reproducible numbers without a seed's luck: a linear congruential generator. */
static inline uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Completion `number` of n tokens, with weights, behind prompt `prompt`: those of one prompt and length have the same.
 */
static inline void random_seq(struct seq *s, int n_vocab, int prompt, int n_prompt, int number, int n)
{
    uint32_t of_prompt = 5u + (uint32_t)prompt, state = 900u + (uint32_t)number;
    *s = (struct seq){.n_prompt = n_prompt, .n = n};
    s->prompt = vt_alloc_array((size_t)n_prompt, sizeof *s->prompt);
    s->tokens = vt_alloc_array((size_t)n, sizeof *s->tokens);
    s->w = vt_alloc_array((size_t)n, sizeof *s->w);
    s->logp = vt_alloc_array((size_t)n, sizeof *s->logp);
    for (int t = 0; t < n_prompt; t++)
        s->prompt[t] = (int32_t)(next_random(&of_prompt) % (uint32_t)n_vocab);
    for (int t = 0; t < n; t++) {
        s->tokens[t] = (int32_t)(next_random(&state) % (uint32_t)n_vocab);
        s->w[t] = (float)(next_random(&state) % 17) / 8 - 1;
    }
}

/* An adapter that does something: its B is not zero. */
static inline struct vt_adapter *random_adapter(const struct vt_lm_config *cfg, int rank, uint64_t seed)
{
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    uint32_t state = 3;
    CHECK_OK(vt_adapter_new(cfg, rank, 2 * (float)rank, VT_LORA_DEFAULT, seed, &a, &err), err);
    for (size_t i = 0; a && i < a->n_params; i++)
        if (a->params[i] == 0)
            a->params[i] = ((float)(next_random(&state) % 2001) - 1000) * 1e-4f;
    return a;
}

#endif
