/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: sample requests as continuous batching. A request's prompt becomes a group (computed once), its samples
 * become slots; slots of all requests are decoded together, a burst of tokens at a time, and a finished sample's place
 * is taken by the next one waiting. The backend's numerics make this invisible: a sample depends on its weights,
 * prompt, parameters and seed only.
 *
 * Text is matched against stop strings here, byte by byte as it grows, so a stop string may span tokens. Tokens drawn
 * after the stop inside a burst are dropped. The kept tokens include the one that completed the stop.
 */
#include "base/alloc.h"
#include "policy/native.h"
#include <stdlib.h>
#include <string.h>

struct slot {
    vt_lm_slot *lm; /* NULL until opened and after the end */
    bool is_over;
    struct vt_buf text;
};

struct sample_work {
    struct vt_native_work work;
    struct vt_sample_request *r;
    vt_lm_group *group;
    struct slot *slots; /* [r->n] */
    int n_opened, n_over, max_active;
    int32_t stop_ids[VT_TOKENIZER_MAX_ENDS];
    int n_stop_ids;
};

/* One decode job: n_rows slots, n_steps tokens each. The arrays follow in the same allocation. */
struct burst {
    vt_policy *p;
    struct vt_lm_job job;
    int n_rows, n_steps;
    vt_lm_slot **lm;
    struct sample_work **work;
    int *index, *n_out;
    int32_t *tokens;
    float *logprob, *behaviour;
    unsigned char *finished;
    bool *has_ended; /* row's sample is final */
};

static struct sample_work *work_of(struct vt_native_work *w)
{
    return (struct sample_work *)w;
}

static void release_work(vt_policy *p, struct vt_native_work *work)
{
    struct sample_work *w = work_of(work);
    vt_lm *lm = vt_native_of(p)->lm;

    for (int i = 0; i < w->r->n; i++) {
        if (work->status != VT_OK)
            vt_sample_clear(&w->r->out[i]);
        if (w->slots[i].lm)
            vt_lm_slot_close(lm, w->slots[i].lm);
        vt_buf_free(&w->slots[i].text);
    }
    if (w->group)
        vt_lm_group_close(lm, w->group);
    free(w->slots);
    free(w);
}

/* Works that are over, or have failed, and have no job in the model's hands end. Mutex held. */
static void end_finished(struct vt_native *n)
{
    for (struct vt_native_work *w = n->samples.first, *next; w; w = next) {
        next = w->next;
        if (w->n_jobs == 0 && (w->status != VT_OK || work_of(w)->n_over == work_of(w)->r->n))
            vt_native_end(n, &n->samples, w);
    }
}

/* A job is over. Mutex held. */
static void conclude(vt_policy *p)
{
    end_finished(p->state);
    vt_native_job_done(p);
}

/* Position of the earliest stop string that ends in text[from..len), and which; or -1. */
static long find_stop(const struct vt_sample_request *r, const char *text, size_t from, size_t len, int *which)
{
    long best = -1;

    for (int s = 0; s < r->n_stop; s++) {
        size_t n = strlen(r->stop[s]);
        size_t start = from > n - 1 ? from - (n - 1) : 0;
        const char *hit;

        if (n == 0 || start + n > len)
            continue;
        hit = memmem(text + start, len - start, r->stop[s], n);
        if (hit && (best < 0 || hit - text < best)) {
            best = (long)(hit - text);
            *which = s;
        }
    }
    return best;
}

static void end_slot(vt_policy *p, struct sample_work *w, int i, unsigned finish)
{
    struct slot *slot = &w->slots[i];
    struct vt_sample *out = &w->r->out[i];
    vt_err err;

    vt_lm_slot_close(vt_native_of(p)->lm, slot->lm);
    slot->lm = NULL;
    slot->is_over = true;
    w->n_over++;
    out->finish = finish;
    if (vt_buf_check(&slot->text, "a sample's text", &err) != VT_OK) {
        vt_native_fail(&w->work, &err);
        return;
    }
    out->text_len = slot->text.len;
    out->text = vt_buf_take(&slot->text, NULL);
}

static bool is_stop_id(const struct sample_work *w, int32_t token)
{
    for (int i = 0; i < w->n_stop_ids; i++)
        if (w->stop_ids[i] == token)
            return true;
    return false;
}

/* Appends row `row` of the burst to its sample; ends the slot where it must. */
static void take_tokens(const struct burst *b, int row)
{
    struct sample_work *w = b->work[row];
    int i = b->index[row];
    struct vt_sample *out = &w->r->out[i];
    struct vt_buf *text = &w->slots[i].text;

    for (int t = 0; t < b->n_out[row]; t++) {
        int32_t token = b->tokens[row * b->n_steps + t];
        size_t before = text->len, n_bytes = 0;
        const char *bytes = vt_tokenizer_bytes(vt_native_of(b->p)->text.tokenizer, token, &n_bytes);
        long stop;

        out->tokens[out->n_tokens] = token;
        out->logprobs[out->n_tokens] = b->logprob[row * b->n_steps + t];
        out->logprobs_behaviour[out->n_tokens] = b->behaviour[row * b->n_steps + t];
        out->n_tokens++;
        if (is_stop_id(w, token)) {
            end_slot(b->p, w, i, VT_FINISH_STOP);
            return;
        }
        if (bytes)
            vt_buf_add(text, bytes, n_bytes);
        stop = find_stop(w->r, text->p, before, text->len, &out->stop);
        if (stop >= 0) {
            text->len = (size_t)stop;
            text->p[stop] = '\0';
            end_slot(b->p, w, i, VT_FINISH_STOP);
            return;
        }
    }
    if (b->finished[row])
        end_slot(b->p, w, i, b->finished[row] == 1 ? VT_FINISH_STOP : VT_FINISH_LENGTH);
}

/* Samples that ended are handed out while nothing can end their work: its jobs are counted until afterwards. */
static void tell_ended(const struct burst *b)
{
    for (int row = 0; row < b->n_rows; row++) {
        const struct vt_sample_request *r = b->work[row]->r;

        if (b->has_ended[row] && r->each)
            r->each(r->each_arg, b->index[row]);
    }
}

static void on_decoded(struct vt_lm_job *job)
{
    struct burst *b = job->user;
    vt_policy *p = b->p;
    struct vt_native *n = p->state;

    vt_native_lock(n);
    for (int row = 0; row < b->n_rows; row++) {
        struct sample_work *w = b->work[row];

        if (job->status != VT_OK)
            vt_native_fail(&w->work, &job->err);
        if (w->work.status != VT_OK)
            continue;
        take_tokens(b, row);
        b->has_ended[row] = w->slots[b->index[row]].is_over && w->work.status == VT_OK;
    }
    vt_native_unlock(p);
    tell_ended(b);
    vt_native_lock(n);
    for (int row = 0; row < b->n_rows; row++)
        b->work[row]->work.n_jobs = 0;
    free(b);
    n->is_decoding = false;
    conclude(p);
    vt_native_unlock(p);
}

static void on_prefilled(struct vt_lm_job *job)
{
    struct sample_work *w = job->user;
    vt_policy *p = w->work.request->policy;

    vt_native_lock(p->state);
    if (job->status != VT_OK)
        vt_native_fail(&w->work, &job->err);
    else
        w->group = job->group.group;
    w->work.n_jobs = 0;
    conclude(p);
    vt_native_unlock(p);
}

static int count_active(const struct vt_native *n)
{
    int n_active = 0;

    for (struct vt_native_work *w = n->samples.first; w; w = w->next)
        n_active += work_of(w)->n_opened - work_of(w)->n_over;
    return n_active;
}

static bool open_slot(struct vt_native *n, struct sample_work *w)
{
    const struct vt_sample_request *r = w->r;
    struct vt_sampling s = {.temperature = r->temperature,
                            .top_p = r->top_p,
                            .top_k = r->top_k,
                            .min_p = r->min_p,
                            .banned = r->banned,
                            .n_banned = r->n_banned};
    const int i = w->n_opened;
    const uint64_t seed = vt_sample_seed(r->seed, r->stream, r->index ? r->index[i] : i + 1);
    vt_err err;

    if (vt_lm_slot_open(n->lm, w->group, seed, &s, r->max_tokens, w->stop_ids, w->n_stop_ids, &w->slots[i].lm, &err) !=
        VT_OK) {
        vt_native_fail(&w->work, &err);
        return false;
    }
    w->n_opened++;
    return true;
}

/* Opens waiting samples while there is room, in request order. */
static void refill(struct vt_native *n)
{
    int n_active = count_active(n);

    for (struct vt_native_work *work = n->samples.first; work; work = work->next) {
        struct sample_work *w = work_of(work);

        if (!w->group || work->status != VT_OK)
            continue;
        while (w->n_opened < w->r->n && n_active < w->max_active && open_slot(n, w))
            n_active++;
    }
}

static bool start_prefill(struct vt_native *n)
{
    const int n_active = count_active(n);

    for (struct vt_native_work *work = n->samples.first; work; work = work->next) {
        struct sample_work *w = work_of(work);
        struct vt_lm_job *job;

        if (w->group || work->n_jobs > 0 || work->status != VT_OK)
            continue;
        if (n_active > 0 && n_active + w->r->n > w->max_active)
            return false;
        job = vt_native_job(work, VT_LM_GROUP, on_prefilled);
        job->group.tokens = w->r->prompt;
        job->group.n_tokens = w->r->n_prompt;
        job->group.adapter = vt_native_adapter(work->request->weights);
        vt_native_submit(n, job);
        return true;
    }
    return false;
}

static bool is_decodable(const struct sample_work *w, int i)
{
    return !w->slots[i].is_over && w->work.status == VT_OK;
}

/* Room for a burst of all slots that are open, at most limit; the arrays in the order of their alignment. NULL when
 * memory is out. */
static struct burst *new_burst(struct vt_native *n, int n_steps, int limit)
{
    const size_t row = sizeof(vt_lm_slot *) + sizeof(struct sample_work *) + 2 * sizeof(int) + 2 * sizeof(char);
    const size_t token = sizeof(int32_t) + 2 * sizeof(float);
    size_t n_rows = 0, n_tokens, bytes;
    struct burst *b;

    for (struct vt_native_work *work = n->samples.first; work; work = work->next)
        for (int i = 0; i < work_of(work)->n_opened; i++)
            n_rows += is_decodable(work_of(work), i);
    n_rows = n_rows < (size_t)limit ? n_rows : (size_t)limit;
    n_tokens = n_rows * (size_t)n_steps;
    bytes = sizeof *b + n_rows * row + n_tokens * token;
    b = vt_alloc(bytes);
    if (!b)
        return NULL;
    b->n_steps = n_steps;
    b->lm = (vt_lm_slot **)(b + 1);
    b->work = (struct sample_work **)(b->lm + n_rows);
    b->index = (int *)(b->work + n_rows);
    b->n_out = b->index + n_rows;
    b->tokens = (int32_t *)(b->n_out + n_rows);
    b->logprob = (float *)(b->tokens + n_tokens);
    b->behaviour = b->logprob + n_tokens;
    b->finished = (unsigned char *)(b->behaviour + n_tokens);
    b->has_ended = (bool *)(b->finished + n_rows);
    return b;
}

static void fill_burst(struct vt_native *n, struct burst *b, int limit)
{
    for (struct vt_native_work *work = n->samples.first; work; work = work->next) {
        struct sample_work *w = work_of(work);

        for (int i = 0; i < w->n_opened && b->n_rows < limit; i++) {
            if (!is_decodable(w, i))
                continue;
            work->n_jobs = 1;
            work->owns_job = false;
            b->lm[b->n_rows] = w->slots[i].lm;
            b->work[b->n_rows] = w;
            b->index[b->n_rows++] = i;
        }
    }
}

static void submit_burst(vt_policy *p, struct burst *b)
{
    struct vt_native *n = p->state;

    b->p = p;
    b->job = (struct vt_lm_job){.kind = VT_LM_DECODE, .done = on_decoded, .user = b};
    b->job.decode.slots = b->lm;
    b->job.decode.n_slots = b->n_rows;
    b->job.decode.n_steps = b->n_steps;
    b->job.decode.tokens = b->tokens;
    b->job.decode.logprob = b->logprob;
    b->job.decode.logprob_behaviour = b->behaviour;
    b->job.decode.n_out = b->n_out;
    b->job.decode.finished = b->finished;
    n->is_decoding = true;
    vt_native_submit(n, &b->job);
}

bool vt_native_start_sampling(vt_policy *p)
{
    struct vt_native *n = p->state;
    const struct vt_lm_limits *limits = vt_lm_limits(n->lm);
    struct burst *b;

    if (!n->samples.first)
        return false;
    if (start_prefill(n))
        return true;
    if (n->is_decoding) /* the next burst's slots are what this one leaves */
        return false;
    refill(n);
    b = new_burst(n, limits->burst, limits->max_slots);
    if (!b) {
        vt_err err;

        vt_fail(&err, VT_ENOMEM, "out of memory for a batch of samples");
        for (struct vt_native_work *w = n->samples.first; w; w = w->next)
            vt_native_fail(w, &err);
    } else {
        fill_burst(n, b, limits->max_slots);
    }
    end_finished(n); /* what failed just now */
    if (!b || b->n_rows == 0) {
        free(b);
        return false;
    }
    submit_burst(p, b);
    return true;
}

/* The widest batch of this shape that fits the memory limit; refuses when not even one sample does. */
static vt_status plan_batch(const struct vt_native *n, const vt_request *request, int *max_active, vt_err *err)
{
    struct vt_lm_shapes s = {.purpose = VT_LM_SAMPLING,
                             .n_groups = 8,
                             .n_prompt = request->sample->n_prompt,
                             .n_new = request->sample->max_tokens,
                             .adapter = vt_native_adapter(request->weights)};
    vt_status status = VT_OK;

    for (s.n_slots = vt_lm_limits(n->lm)->max_slots; s.n_slots >= 1; s.n_slots /= 2) {
        status = vt_lm_plan(n->lm, &s, NULL, err);
        if (status != VT_ENOMEM)
            break;
        s.n_groups = 1;
    }
    *max_active = s.n_slots;
    return status;
}

static void find_stop_ids(const struct vt_native *n, struct sample_work *w)
{
    size_t n_ends;
    const int32_t *ends = vt_tokenizer_ends(n->text.tokenizer, &n_ends);

    for (size_t i = 0; i < n_ends; i++)
        w->stop_ids[w->n_stop_ids++] = ends[i];
}

static vt_status make_outputs(struct sample_work *w, int burst, vt_err *err)
{
    struct vt_sample_request *r = w->r;
    size_t n = (size_t)r->max_tokens + (size_t)burst;

    for (int i = 0; i < r->n; i++) {
        vt_buf_init(&w->slots[i].text, 16u << 20);
        r->out[i].stop = -1;
        r->out[i].tokens = vt_alloc_array(n, sizeof *r->out[i].tokens);
        r->out[i].logprobs = vt_alloc_array(n, sizeof *r->out[i].logprobs);
        r->out[i].logprobs_behaviour = vt_alloc_array(n, sizeof *r->out[i].logprobs_behaviour);
        if (!r->out[i].tokens || !r->out[i].logprobs || !r->out[i].logprobs_behaviour)
            return vt_fail(err, VT_ENOMEM, "out of memory for %d samples of %d tokens", r->n, r->max_tokens);
    }
    return VT_OK;
}

vt_status vt_native_sample(vt_policy *p, vt_request *request, vt_err *err)
{
    struct vt_native *n = p->state;
    struct vt_sample_request *r = request->sample;
    struct sample_work *w = vt_alloc(sizeof *w);
    vt_status status;

    if (w)
        w->slots = vt_alloc_array((size_t)r->n, sizeof *w->slots);
    if (!w || !w->slots) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for %d samples", r->n);
    }
    w->work.request = request;
    w->work.release = release_work;
    w->r = r;
    find_stop_ids(n, w);
    status = plan_batch(n, request, &w->max_active, err);
    if (status == VT_OK)
        status = make_outputs(w, vt_lm_limits(n->lm)->burst, err);
    if (status != VT_OK) {
        w->work.status = status;
        release_work(p, &w->work);
        return status;
    }
    vt_native_enqueue(p, &n->samples, &w->work);
    return VT_OK;
}
