/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_lm_refuse.c: misuse, hostile input and shortage: one sentence each, nothing lost, and the model works on. Also
 * what the sampler's settings mean: temperature 0, top-k, top-p, min-p, bans, stop ids.
 */
#include "harness.h"

#include "cpu_lm_common.h"

static char *tiny_path(const char *name, const char *file)
{
    static char paths[2][512];
    static int at;
    char *p = paths[at++ & 1];
    snprintf(p, 512, "%s/%s%s%s", GOLDEN("tiny"), name, file ? "/" : "", file ? file : "");
    return p;
}

static bool open_tiny(struct model *m)
{
    return open_model(m, tiny_path("llama", NULL), VT_LM_FAST, NULL, 2);
}

static void says(const vt_err *err, vt_status want, const char *part)
{
    CHECK_INT(err->code, want);
    if (!strstr(err->msg, part))
        printf("  message: %s\n", err->msg);
    CHECK(strstr(err->msg, part) != NULL);
}

static void bad_prompts(void)
{
    struct model m;
    vt_err err = {0};
    int32_t tokens[600] = {0};
    if (!open_tiny(&m))
        return;
    struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = tokens, .n_tokens = 0}};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "prompt is empty");
    job.group.n_tokens = 513;
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_ELIMIT);
    says(&err, VT_ELIMIT, "513 tokens, but the model's context is 512");
    job.group.n_tokens = 3;
    tokens[1] = 90;
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "ids 0 to 89");
    tokens[1] = -1;
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    tokens[1] = 5;
    job.group.adapter = 77;
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "no adapter 77");
    job.group.adapter = 0;
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    vt_lm_group_close(m.lm, job.group.group);
    close_model(&m);
}

static void bad_samples(void)
{
    struct model m;
    vt_err err = {0};
    const int32_t tokens[] = {1, 2, 3}, outside[] = {90};
    struct vt_sampling s = {.temperature = 1, .top_p = 1};
    vt_lm_slot *slot = NULL;
    if (!open_tiny(&m))
        return;
    vt_lm_group *g = prefill(m.lm, tokens, 3, 0);
    CHECK(vt_lm_slot_open(m.lm, g, 1, &s, 510, NULL, 0, &slot, &err) == VT_ELIMIT);
    says(&err, VT_ELIMIT, "context of 512");
    CHECK(vt_lm_slot_open(m.lm, g, 1, &s, 0, NULL, 0, &slot, &err) == VT_EINVAL);
    s.temperature = NAN;
    CHECK(vt_lm_slot_open(m.lm, g, 1, &s, 5, NULL, 0, &slot, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "temperature");
    s = (struct vt_sampling){.temperature = 1, .top_p = 0};
    CHECK(vt_lm_slot_open(m.lm, g, 1, &s, 5, NULL, 0, &slot, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "top_p");
    s = (struct vt_sampling){.temperature = 1, .top_p = 1, .banned = outside, .n_banned = 1};
    CHECK(vt_lm_slot_open(m.lm, g, 1, &s, 5, NULL, 0, &slot, &err) == VT_EINVAL);
    CHECK(slot == NULL);
    int n_out;
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = &slot, .n_slots = 0, .n_steps = 1, .n_out = &n_out}};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "at least 1");
    job = (struct vt_lm_job){.kind = VT_LM_SCORE};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    const int32_t *rows[] = {tokens};
    int n[] = {510};
    job = (struct vt_lm_job){.kind = VT_LM_SCORE, .score = {.groups = &g, .tokens = rows, .n = n, .n_rows = 1}};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_ELIMIT);
    vt_lm_group_close(m.lm, g);
    close_model(&m);
}

/* One slot, n tokens in one job. */
static int draw(vt_lm *lm, vt_lm_group *g, const struct vt_sampling *s, uint64_t seed, int n, const int32_t *stops,
                int n_stops, int32_t *tokens, float *logprob, float *behaviour, int *finished)
{
    vt_lm_slot *slot = NULL;
    vt_err err = {0};
    int n_out = 0;
    unsigned char end = 0;
    CHECK_OK(vt_lm_slot_open(lm, g, seed, s, n, stops, n_stops, &slot, &err), err);
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = &slot,
                                       .n_slots = 1,
                                       .n_steps = n,
                                       .tokens = tokens,
                                       .logprob = logprob,
                                       .logprob_behaviour = behaviour,
                                       .n_out = &n_out,
                                       .finished = &end}};
    CHECK_OK(vt_lm_run(lm, &job, &err), err);
    vt_lm_slot_close(lm, slot);
    *finished = end;
    return n_out;
}

static void sampler_settings(void)
{
    enum { VOCAB = 90 };
    struct model m;
    const int32_t prompt[] = {4, 8, 15, 16};
    float table[VOCAB], logprob[8], behaviour[8];
    int32_t all[VOCAB], tokens[8];
    int finished;
    if (!open_tiny(&m))
        return;
    vt_lm_group *g = prefill(m.lm, prompt, 4, 0), *groups[VOCAB];
    const int32_t *rows[VOCAB];
    int n[VOCAB];
    float *out[VOCAB];
    for (int i = 0; i < VOCAB; i++) { /* the whole distribution of the first token, by scoring each */
        all[i] = i;
        rows[i] = &all[i];
        out[i] = &table[i];
        groups[i] = g;
        n[i] = 1;
    }
    score_rows(m.lm, groups, rows, n, VOCAB, out);
    double total = 0;
    int best = 0, order[VOCAB];
    for (int i = 0; i < VOCAB; i++) {
        total += exp((double)table[i]);
        best = table[i] > table[best] ? i : best;
    }
    CHECK_NEAR(total, 1, 1e-5);
    for (int i = 0; i < VOCAB; i++) { /* by rank */
        int rank = 0;
        for (int j = 0; j < VOCAB; j++)
            rank += table[j] > table[i];
        order[rank] = i;
    }
    const struct vt_sampling greedy = {.temperature = 0, .top_p = 1};
    draw(m.lm, g, &greedy, 1, 1, NULL, 0, tokens, logprob, behaviour, &finished);
    CHECK_INT(tokens[0], best);
    CHECK_INT(finished, 2);
    CHECK(behaviour[0] == 0 && logprob[0] == table[best]);
    const int32_t banned[] = {best};
    const struct vt_sampling no_best = {.temperature = 0, .top_p = 1, .banned = banned, .n_banned = 1};
    draw(m.lm, g, &no_best, 1, 1, NULL, 0, tokens, logprob, behaviour, &finished);
    CHECK_INT(tokens[0], order[1]);
    const int32_t stop[] = {best};
    CHECK_INT(draw(m.lm, g, &greedy, 1, 8, stop, 1, tokens, logprob, behaviour, &finished), 1);
    CHECK_INT(finished, 1);

    enum { DRAWS = 4000 };
    struct vt_sampling settings[] = {
        {.temperature = 0.7f, .top_p = 1},
        {.temperature = 1, .top_p = 1, .top_k = 3},
        {.temperature = 1.5f, .top_p = 0.4f},
        {.temperature = 1, .top_p = 1, .min_p = 0.3f},
        {.temperature = 0.8f, .top_p = 0.9f, .top_k = 12, .min_p = 0.05f, .banned = banned, .n_banned = 1}};
    for (size_t k = 0; k < sizeof settings / sizeof settings[0]; k++) {
        const struct vt_sampling *s = &settings[k];
        double p[VOCAB] = {0}, sum = 0, kept = 0, chi = 0;
        int count[VOCAB] = {0}, n_kept = 0, last = VOCAB;
        for (int r = 0; r < VOCAB; r++) /* the definition, by rank */
            sum += p[r] = order[r] == best && s->n_banned ? 0 : exp((double)table[order[r]] / (double)s->temperature);
        int first = p[0] == 0;
        if (s->top_k)
            last = first + s->top_k;
        sum = 0;
        for (int r = 0; r < last; r++)
            sum += p[r];
        double running = 0;
        for (int r = 0; r < last && s->top_p < 1; r++)
            if ((running += p[r]) >= (double)s->top_p * sum)
                last = r + 1;
        for (int r = first; r < last; r++) {
            if (p[r] < (double)s->min_p * p[first])
                break;
            kept += p[r];
            n_kept++;
        }
        int n_behaviour_wrong = 0, n_outside = 0;
        for (uint64_t seed = 0; seed < DRAWS; seed++) {
            draw(m.lm, g, s, seed, 1, NULL, 0, tokens, logprob, behaviour, &finished);
            int rank = 0;
            while (order[rank] != tokens[0])
                rank++;
            count[rank]++;
            n_outside += rank < first || rank >= first + n_kept;
            n_behaviour_wrong +=
                fabs((double)behaviour[0] - log(p[rank] / kept)) > 1e-4 || logprob[0] != table[tokens[0]];
        }
        CHECK_INT(n_outside, 0);
        CHECK_INT(n_behaviour_wrong, 0);
        for (int r = first; r < first + n_kept; r++) {
            const double want = DRAWS * p[r] / kept;
            if (want > 5)
                chi += (count[r] - want) * (count[r] - want) / want;
        }
        CHECK(chi < 3.0 * n_kept + 20); /* far beyond the 1 in 10^6 of a chi-square with n_kept - 1 degrees */
    }
    vt_lm_group_close(m.lm, g);
    close_model(&m);
}

static void everything_banned(void)
{
    struct model m;
    vt_err err = {0};
    const int32_t prompt[] = {1};
    int32_t banned[90], token;
    float a, b;
    int n_out;
    unsigned char finished;
    vt_lm_slot *slot = NULL;
    for (int i = 0; i < 90; i++)
        banned[i] = i;
    const struct vt_sampling s = {.temperature = 1, .top_p = 1, .banned = banned, .n_banned = 90};
    if (!open_tiny(&m))
        return;
    vt_lm_group *g = prefill(m.lm, prompt, 1, 0);
    CHECK_OK(vt_lm_slot_open(m.lm, g, 1, &s, 4, NULL, 0, &slot, &err), err);
    struct vt_lm_job job = {.kind = VT_LM_DECODE,
                            .decode = {.slots = &slot,
                                       .n_slots = 1,
                                       .n_steps = 2,
                                       .tokens = &token,
                                       .logprob = &a,
                                       .logprob_behaviour = &b,
                                       .n_out = &n_out,
                                       .finished = &finished}};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "banned");
    vt_lm_slot_close(m.lm, slot);
    vt_lm_group_close(m.lm, g);
    close_model(&m);
}

static void shortage(void)
{
    struct model m;
    vt_err err = {0};
    struct vt_lm_needs needs;
    const struct vt_lm_opts o = {.precision = VT_LM_FAST, .n_threads = 1, .max_memory = 4 << 20};
    const struct vt_lm_shapes small = {.n_groups = 1, .n_prompt = 8, .n_slots = 1, .n_new = 8},
                              large = {.n_groups = 4, .n_prompt = 400, .n_slots = 4000, .n_new = 100},
                              train_large = {.n_groups = 4,
                                             .n_prompt = 400,
                                             .n_slots = 4000,
                                             .n_new = 100,
                                             .purpose = VT_LM_TRAINING},
                              too_long = {.n_groups = 1, .n_prompt = 500, .n_slots = 1, .n_new = 13};
    if (!open_with(&m, tiny_path("llama", NULL), &o))
        return;
    CHECK_OK(vt_lm_plan(m.lm, &small, &needs, &err), err);
    CHECK(needs.wanted > 0 && needs.held > 0 && needs.limit == o.max_memory);
    CHECK(vt_lm_plan(m.lm, &large, &needs, &err) == VT_ENOMEM);
    says(&err, VT_ENOMEM, "MB");
    CHECK(vt_lm_plan(m.lm, &train_large, &needs, &err) == VT_ENOMEM);
    CHECK(vt_lm_plan(m.lm, &too_long, &needs, &err) == VT_ELIMIT);
    enum { MANY = 60 };
    vt_lm_group *groups[MANY] = {0};
    int32_t tokens[500] = {0};
    int n = 0;
    for (; n < MANY; n++) { /* fills the memory with prompts until one is refused */
        struct vt_lm_job job = {.kind = VT_LM_GROUP, .group = {.tokens = tokens, .n_tokens = 500}};
        if (vt_lm_run(m.lm, &job, &err) != VT_OK)
            break;
        groups[n] = job.group.group;
    }
    CHECK(n > 0 && n < MANY);
    says(&err, VT_ENOMEM, "raise the memory limit");
    uint64_t peak, held = vt_lm_bytes(m.lm, &peak);
    CHECK(held <= o.max_memory && peak <= o.max_memory);
    for (int i = 0; i < n; i++)
        vt_lm_group_close(m.lm, groups[i]);
    vt_lm_group *again = prefill(m.lm, tokens, 500, 0);
    CHECK(again != NULL);
    vt_lm_group_close(m.lm, again);
    close_model(&m);
}

static void training_misuse(void)
{
    struct model m;
    vt_err err = {0};
    const int32_t prompt[] = {1, 2}, completion[] = {3, 4};
    const int32_t *tokens[] = {completion};
    const int n[] = {2};
    float logprob[2], w_row[] = {1, NAN};
    float *out[] = {logprob};
    const float *w[] = {w_row};
    const float *const *w_batch[] = {w};
    struct vt_lm_prompt_batch batch = {
        .prompt = prompt, .n_prompt = 2, .tokens = tokens, .n = n, .n_rows = 1, .logprob = out};
    if (!open_tiny(&m))
        return;
    struct vt_lm_job job = {.kind = VT_LM_FORWARD, .forward = {.batches = &batch, .n_batches = 0}};
    CHECK(vt_lm_run(m.lm, &job, &err) == VT_EINVAL);
    job.forward.n_batches = 1;
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    struct vt_lm_job back = {.kind = VT_LM_BACKWARD, .backward = {.tape = job.forward.tape, .w = w_batch}};
    CHECK(vt_lm_run(m.lm, &back, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "frozen");
    int id = 0;
    struct vt_adapter *a = NULL;
    CHECK_OK(vt_adapter_new(vt_lm_cfg(m.lm), 2, 4, VT_LORA_DEFAULT, 1, &a, &err), err);
    CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
    job.forward.adapter = id;
    CHECK_OK(vt_lm_run(m.lm, &job, &err), err);
    back.backward.tape = job.forward.tape;
    CHECK(vt_lm_run(m.lm, &back, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "not finite");
    a->params[3] = INFINITY;
    CHECK(vt_lm_adapter_put(m.lm, a, &id, &err) == VT_EINVAL);
    a->cfg.d_model *= 2;
    CHECK(vt_lm_adapter_put(m.lm, a, &id, &err) == VT_EINVAL);
    says(&err, VT_EINVAL, "was made for a model");
    a->cfg.d_model /= 2;
    vt_adapter_free(a);
    CHECK(vt_lm_adapter_clone(m.lm, 0, &id, &err) == VT_EINVAL);
    close_model(&m);
}

/* A copy of a tiny checkpoint whose weight is NaN must be refused by name. */
static void damaged_weights(void)
{
    char dir[256], file[300], command[700];
    vt_err err = {0};
    struct vt_buf bytes;
    snprintf(dir, sizeof dir, "%s", scratch_path("nan"));
    snprintf(file, sizeof file, "%s/model.safetensors", dir);
    snprintf(command, sizeof command, "%s/config.json", dir);
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    CHECK_OK(vt_fs_read(tiny_path("llama", "config.json"), 1 << 20, &bytes, &err), err);
    write_scratch(command, bytes.p, bytes.len);
    vt_buf_free(&bytes);
    CHECK_OK(vt_fs_read(tiny_path("llama", "model.safetensors"), 16 << 20, &bytes, &err), err);
    const unsigned char nan[] = {0, 0, 0xc0, 0x7f};
    memcpy(bytes.p + bytes.len - 8, nan, sizeof nan);
    write_scratch(file, bytes.p, bytes.len);
    vt_buf_free(&bytes);
    vt_ckpt *ckpt = NULL;
    vt_lm *lm = NULL;
    const struct vt_lm_opts o = {.backends = only_cpu, .n_threads = 2};
    vt_status status = vt_ckpt_open(dir, &ckpt, &err);
    if (status == VT_OK)
        status = vt_lm_open(ckpt, &o, &lm, &err);
    CHECK(status == VT_EFORMAT);
    says(&err, VT_EFORMAT, "NaN");
    CHECK(strstr(err.msg, "weight") != NULL);
    vt_lm_close(lm);
    vt_ckpt_free(ckpt);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

/* A whole model of zeros with one head of this width; its folder. */
static const char *write_wide(int head_dim)
{
    enum { D = 32, FF = 32, VOCAB = 40 };
    const struct {
        const char *name;
        int rows, columns; /* columns 0: a vector */
    } tensors[] = {{"model.embed_tokens.weight", VOCAB, D},
                   {"model.layers.0.input_layernorm.weight", D, 0},
                   {"model.layers.0.post_attention_layernorm.weight", D, 0},
                   {"model.layers.0.self_attn.q_proj.weight", head_dim, D},
                   {"model.layers.0.self_attn.k_proj.weight", head_dim, D},
                   {"model.layers.0.self_attn.v_proj.weight", head_dim, D},
                   {"model.layers.0.self_attn.o_proj.weight", D, head_dim},
                   {"model.layers.0.mlp.gate_proj.weight", FF, D},
                   {"model.layers.0.mlp.up_proj.weight", FF, D},
                   {"model.layers.0.mlp.down_proj.weight", D, FF},
                   {"model.norm.weight", D, 0}};
    static char dir[256];
    char path[300], text[600];
    struct vt_buf file, header;
    size_t at = 0;
    vt_err err = {0};
    vt_buf_init(&header, 1 << 20);
    vt_buf_init(&file, 1 << 24);
    vt_buf_add(&header, "{", 1);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++) {
        const int columns = tensors[i].columns;
        const size_t bytes = (size_t)tensors[i].rows * (size_t)(columns ? columns : 1) * sizeof(float);
        char shape[32];
        snprintf(shape, sizeof shape, columns ? "%d,%d" : "%d", tensors[i].rows, columns);
        snprintf(text, sizeof text, "%s\"%s\":{\"dtype\":\"F32\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                 i ? "," : "", tensors[i].name, shape, at, at + bytes);
        vt_buf_add(&header, text, strlen(text));
        at += bytes;
    }
    vt_buf_add(&header, "}", 1);
    const uint64_t n_header = header.len;
    void *zeros = vt_alloc(at);
    vt_buf_add(&file, (const char *)&n_header, sizeof n_header);
    vt_buf_add(&file, header.p, header.len);
    vt_buf_add(&file, zeros, at);
    snprintf(dir, sizeof dir, "%s", scratch_path("wide"));
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    write_scratch(path, file.p, file.len);
    snprintf(path, sizeof path, "%s/config.json", dir);
    snprintf(text, sizeof text,
             "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_act\":\"silu\","
             "\"hidden_size\":%d,\"intermediate_size\":%d,\"vocab_size\":%d,\"head_dim\":%d,"
             "\"num_attention_heads\":1,\"num_key_value_heads\":1,\"num_hidden_layers\":1,"
             "\"max_position_embeddings\":64,\"rms_norm_eps\":1e-5,\"rope_theta\":10000.0,"
             "\"tie_word_embeddings\":true}",
             D, FF, VOCAB, head_dim);
    write_scratch(path, text, strlen(text));
    free(zeros);
    vt_buf_free(&file);
    vt_buf_free(&header);
    return dir;
}

/* Heads as wide as the kernels' rows run; wider ones are refused, not run over the end of those. */
static void wide_heads(void)
{
    for (int head_dim = 256; head_dim <= 258; head_dim += 2) {
        struct model m = {0};
        vt_err err = {0};
        const int32_t tokens[] = {1, 2, 3};
        const struct vt_lm_opts o = {.backends = only_cpu, .n_threads = 1, .max_memory = 1 << 30};
        const char *dir = write_wide(head_dim);
        CHECK_OK(vt_ckpt_open(dir, &m.ckpt, &err), err);
        if (m.ckpt && head_dim == 256) {
            CHECK_OK(vt_lm_open(m.ckpt, &o, &m.lm, &err), err);
            vt_lm_group_close(m.lm, prefill(m.lm, tokens, 3, 0));
        } else if (m.ckpt) {
            CHECK(vt_lm_open(m.ckpt, &o, &m.lm, &err) == VT_EUNSUPPORTED);
            says(&err, VT_EUNSUPPORTED, "up to 256");
        }
        close_model(&m);
        CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    }
}

static void unknown_isa(void)
{
    vt_err err = {0};
    vt_ckpt *ckpt = NULL;
    vt_lm *lm = NULL;
    const struct vt_lm_opts o = {.backends = only_cpu, .isa = "sse9", .n_threads = 1};
    CHECK_OK(vt_ckpt_open(tiny_path("llama", NULL), &ckpt, &err), err);
    CHECK(vt_lm_open(ckpt, &o, &lm, &err) == VT_EUNSUPPORTED);
    says(&err, VT_EUNSUPPORTED, "sse9");
    vt_ckpt_free(ckpt);
}

static void count_cancelled(struct vt_lm_job *job)
{
    int *n = job->user;
    *n += job->status == VT_ECANCELLED || job->status == VT_OK;
}

static void close_with_work_queued(void)
{
    enum { JOBS = 40 };
    static struct vt_lm_job jobs[JOBS];
    struct model m;
    int n_done = 0;
    const int32_t empty[] = {1};
    if (!open_tiny(&m))
        return;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct vt_lm_job){.kind = VT_LM_SCORE, .done = count_cancelled, .user = &n_done};
        jobs[i].score.n_rows = 0;
        if (i == 0) {
            jobs[i].kind = VT_LM_GROUP;
            jobs[i].group.tokens = empty;
            jobs[i].group.n_tokens = 1;
        }
        vt_lm_submit(m.lm, &jobs[i]);
    }
    vt_lm_queue_stop(m.lm);
    int n_called = 0;
    for (int i = 0; i < JOBS; i++)
        n_called += jobs[i].status != VT_OK || i == 0;
    CHECK_INT(n_called, JOBS);
    if (jobs[0].status == VT_OK)
        vt_lm_group_close(m.lm, jobs[0].group.group);
    close_model(&m);
}

static const struct test_case cases[] = {TEST(bad_prompts),           TEST(bad_samples), TEST(sampler_settings),
                                         TEST(everything_banned),     TEST(shortage),    TEST(training_misuse),
                                         TEST(damaged_weights),       TEST(wide_heads),  TEST(unknown_isa),
                                         TEST(close_with_work_queued)};
TEST_MAIN(cases)
