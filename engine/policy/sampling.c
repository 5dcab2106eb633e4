/* SPDX-License-Identifier: Apache-2.0
 *
 * sampling.c: sample requests as continuous batching. A request's prompt becomes a group (computed once), its samples
 * become slots; slots of all requests are decoded together, BURST tokens at a time, and a finished sample's place is
 * taken by the next one waiting. The backend's numerics make this invisible: a sample depends on its weights, prompt,
 * parameters and seed only.
 *
 * Text is matched against stop strings here, byte by byte as it grows, so a stop string may span tokens. Tokens drawn
 * after the stop inside a burst are dropped. The kept tokens include the one that completed the stop.
 */
#include "base/alloc.h"
#include "policy/native.h"
#include <stdlib.h>
#include <string.h>

enum { BURST = 4, MAX_ACTIVE = 160, MAX_STOP_IDS = 4 };

struct slot {
    vt_lm_slot *lm; /* NULL until opened and after the end */
    bool is_over;
    struct vt_buf text;
};

struct sample_work {
    struct sample_work *next;
    struct vt_sample_request *r;
    vt_weights *weights;
    vt_policy_done *done;
    void *arg;
    vt_lm_group *group;
    struct slot *slots; /* [r->n] */
    int n_opened, n_over, max_active;
    int32_t stop_ids[MAX_STOP_IDS];
    int n_stop_ids;
    vt_status status;
    vt_err err;
};

/* One decode job's arrays; MAX_ACTIVE rows of BURST tokens. Only one job is in flight, but policies are many. */
struct burst {
    vt_policy *p;
    vt_lm_slot *lm[MAX_ACTIVE];
    struct sample_work *work[MAX_ACTIVE];
    int index[MAX_ACTIVE];
    int32_t tokens[MAX_ACTIVE * BURST];
    float logprob[MAX_ACTIVE * BURST], behaviour[MAX_ACTIVE * BURST];
    int n_out[MAX_ACTIVE];
    unsigned char finished[MAX_ACTIVE];
};

void vt_sample_clear(struct vt_sample *s)
{
    free(s->tokens);
    free(s->logprobs);
    free(s->logprobs_behaviour);
    free(s->text);
    memset(s, 0, sizeof *s);
}

static void free_work(vt_policy *p, struct sample_work *w)
{
    for (int i = 0; w->slots && i < w->r->n; i++) {
        if (w->slots[i].lm)
            vt_lm_slot_close(p->lm, w->slots[i].lm);
        vt_buf_free(&w->slots[i].text);
    }
    if (w->group)
        vt_lm_group_close(p->lm, w->group);
    free(w->slots);
    vt_weights_unref(w->weights);
    free(w);
}

static void finish_work(vt_policy *p, struct sample_work *w)
{
    vt_policy_done *done = w->done;
    void *arg = w->arg;
    vt_status status = w->status;
    vt_err err = w->err;

    if (status != VT_OK)
        for (int i = 0; i < w->r->n; i++)
            vt_sample_clear(&w->r->out[i]);
    free_work(p, w);
    done(arg, status, &err);
}

/* Unlinks the works that are over or failed and returns them as a list. Mutex held. */
static struct sample_work *take_finished(vt_policy *p)
{
    struct sample_work *finished = NULL, **last = &finished;

    for (struct sample_work **at = &p->samples; *at;) {
        struct sample_work *w = *at;

        if (w->n_over < w->r->n && w->status == VT_OK) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        w->next = NULL;
        *last = w;
        last = &w->next;
    }
    return finished;
}

/* After a job: let the next one start, then tell the callers of finished works, without the mutex. */
static void conclude(vt_policy *p)
{
    struct sample_work *finished = take_finished(p);

    vt_native_job_done(p);
    pthread_mutex_unlock(&p->mutex);
    while (finished) {
        struct sample_work *next = finished->next;

        finish_work(p, finished);
        finished = next;
    }
}

/* Position of the earliest stop string that ends in text[from..len), or -1. */
static long find_stop(const struct vt_sample_request *r, const char *text, size_t from, size_t len)
{
    long best = -1;

    for (int s = 0; s < r->n_stop; s++) {
        size_t n = strlen(r->stop[s]);
        size_t start = from > n - 1 ? from - (n - 1) : 0;
        const char *hit;

        if (n == 0 || start + n > len)
            continue;
        hit = memmem(text + start, len - start, r->stop[s], n);
        if (hit && (best < 0 || hit - text < best))
            best = (long)(hit - text);
    }
    return best;
}

static void end_slot(vt_policy *p, struct sample_work *w, int i, unsigned finish)
{
    struct slot *slot = &w->slots[i];
    struct vt_sample *out = &w->r->out[i];
    vt_err err;

    vt_lm_slot_close(p->lm, slot->lm);
    slot->lm = NULL;
    slot->is_over = true;
    w->n_over++;
    out->finish = finish;
    if (vt_buf_check(&slot->text, "a sample's text", &err) != VT_OK) {
        w->status = err.code;
        w->err = err;
        return;
    }
    out->text_len = slot->text.len;
    out->text = vt_buf_take(&slot->text, NULL);
    if (w->r->each)
        w->r->each(w->r->each_arg, i);
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
        int32_t token = b->tokens[row * BURST + t];
        size_t before = text->len, n_bytes = 0;
        const char *bytes = vt_tokenizer_bytes(b->p->tokenizer, token, &n_bytes);
        long stop;

        out->tokens[out->n_tokens] = token;
        out->logprobs[out->n_tokens] = b->logprob[row * BURST + t];
        out->logprobs_behaviour[out->n_tokens] = b->behaviour[row * BURST + t];
        out->n_tokens++;
        if (is_stop_id(w, token)) {
            end_slot(b->p, w, i, VT_FINISH_STOP);
            return;
        }
        if (bytes)
            vt_buf_add(text, bytes, n_bytes);
        stop = find_stop(w->r, text->p, before, text->len);
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

static void fail_work(struct sample_work *w, const vt_err *err)
{
    if (w->status != VT_OK)
        return;
    w->status = err->code;
    w->err = *err;
}

static void on_decoded(struct vt_lm_job *job)
{
    struct burst *b = job->user;
    vt_policy *p = b->p;

    pthread_mutex_lock(&p->mutex);
    for (int row = 0; row < job->decode.n_slots; row++) {
        if (job->status != VT_OK)
            fail_work(b->work[row], &job->err);
        else
            take_tokens(b, row);
    }
    free(b);
    conclude(p);
}

static void on_prefilled(struct vt_lm_job *job)
{
    struct sample_work *w = job->user;
    vt_policy *p = w->weights->policy;

    pthread_mutex_lock(&p->mutex);
    if (job->status != VT_OK)
        fail_work(w, &job->err);
    else
        w->group = job->group.group;
    conclude(p);
}

static int count_active(const vt_policy *p)
{
    int n = 0;

    for (const struct sample_work *w = p->samples; w; w = w->next)
        n += w->n_opened - w->n_over;
    return n;
}

static bool open_slot(vt_policy *p, struct sample_work *w)
{
    const struct vt_sample_request *r = w->r;
    struct vt_sampling s = {.temperature = r->temperature,
                            .top_p = r->top_p,
                            .top_k = r->top_k,
                            .min_p = r->min_p,
                            .banned = r->banned,
                            .n_banned = r->n_banned};
    int i = w->n_opened;
    vt_err err;

    if (vt_lm_slot_open(p->lm, w->group, r->seeds[i], &s, r->max_tokens, w->stop_ids, w->n_stop_ids, &w->slots[i].lm,
                        &err) != VT_OK) {
        fail_work(w, &err);
        return false;
    }
    w->n_opened++;
    return true;
}

/* Opens waiting samples while there is room, in request order. */
static void refill(vt_policy *p)
{
    int n_active = count_active(p);

    for (struct sample_work *w = p->samples; w; w = w->next) {
        if (!w->group || w->status != VT_OK)
            continue;
        while (w->n_opened < w->r->n && n_active < w->max_active && open_slot(p, w))
            n_active++;
    }
}

static bool start_prefill(vt_policy *p)
{
    int n_active = count_active(p);

    for (struct sample_work *w = p->samples; w; w = w->next) {
        if (w->group || w->status != VT_OK)
            continue;
        if (n_active > 0 && n_active + w->r->n > w->max_active)
            return false;
        p->job = (struct vt_lm_job){.kind = VT_LM_GROUP, .done = on_prefilled, .user = w};
        p->job.group.tokens = w->r->prompt;
        p->job.group.n_tokens = w->r->n_prompt;
        p->job.group.adapter = w->weights->adapter;
        vt_lm_submit(p->lm, &p->job);
        return true;
    }
    return false;
}

static int fill_burst(vt_policy *p, struct burst *b)
{
    int n = 0;

    for (struct sample_work *w = p->samples; w; w = w->next) {
        for (int i = 0; i < w->n_opened && n < MAX_ACTIVE; i++) {
            if (w->slots[i].is_over || w->status != VT_OK)
                continue;
            b->lm[n] = w->slots[i].lm;
            b->work[n] = w;
            b->index[n++] = i;
        }
    }
    return n;
}

/* A failure with no job to report it: the works leave through an empty job of their own. */
static void on_nothing(struct vt_lm_job *job)
{
    vt_policy *p = job->user;

    pthread_mutex_lock(&p->mutex);
    conclude(p);
}

bool vt_native_start_sampling(vt_policy *p)
{
    struct burst *b;
    int n;

    if (!p->samples)
        return false;
    if (start_prefill(p))
        return true;
    refill(p);
    b = vt_alloc(sizeof *b);
    if (!b) {
        vt_err err;

        vt_fail(&err, VT_ENOMEM, "out of memory for a batch of samples");
        for (struct sample_work *w = p->samples; w; w = w->next)
            fail_work(w, &err);
    }
    n = b ? fill_burst(p, b) : 0;
    p->job = (struct vt_lm_job){.kind = VT_LM_DECODE, .done = on_decoded, .user = b};
    if (n == 0) {
        free(b);
        p->job.done = on_nothing;
        p->job.user = p;
        vt_lm_submit(p->lm, &p->job);
        return true;
    }
    b->p = p;
    p->job.decode.slots = b->lm;
    p->job.decode.n_slots = n;
    p->job.decode.n_steps = BURST;
    p->job.decode.tokens = b->tokens;
    p->job.decode.logprob = b->logprob;
    p->job.decode.logprob_behaviour = b->behaviour;
    p->job.decode.n_out = b->n_out;
    p->job.decode.finished = b->finished;
    vt_lm_submit(p->lm, &p->job);
    return true;
}

static vt_status check_request(const vt_policy *p, const struct vt_sample_request *r, vt_err *err)
{
    if (r->weights->policy != p)
        return vt_fail(err, VT_EINVAL, "cannot sample: the weights belong to another policy");
    if (r->n < 1)
        return vt_fail(err, VT_EINVAL, "cannot draw %d samples: ask for at least one", r->n);
    if (r->n_prompt < 1)
        return vt_fail(err, VT_EINVAL, "cannot sample from an empty prompt: give it at least one token");
    if (r->max_tokens < 1)
        return vt_fail(err, VT_EINVAL, "max_tokens is %d: ask for at least one token", r->max_tokens);
    if (!(r->temperature >= 0) || r->temperature > 100)
        return vt_fail(err, VT_EINVAL, "temperature %g is outside 0 to 100", (double)r->temperature);
    if (!(r->top_p > 0 && r->top_p <= 1) || !(r->min_p >= 0 && r->min_p <= 1) || r->top_k < 0)
        return vt_fail(err, VT_EINVAL, "top_p must be in (0, 1], min_p in [0, 1] and top_k 0 or more");
    if (r->n_prompt + r->max_tokens > p->caps.n_ctx)
        return vt_fail(err, VT_ELIMIT,
                       "the prompt has %d tokens and max_tokens is %d: together they pass the model's context of %d",
                       r->n_prompt, r->max_tokens, p->caps.n_ctx);
    return VT_OK;
}

/* The widest batch of this shape that fits the memory limit; refuses when not even one sample does. */
static vt_status plan_batch(vt_policy *p, const struct vt_sample_request *r, int *max_active, vt_err *err)
{
    struct vt_lm_shapes s = {.purpose = VT_LM_SAMPLING,
                             .n_groups = 8,
                             .n_prompt = r->n_prompt,
                             .n_new = r->max_tokens,
                             .adapter = r->weights->adapter};
    vt_status status = VT_OK;

    for (s.n_slots = MAX_ACTIVE; s.n_slots >= 1; s.n_slots /= 2) {
        status = vt_lm_plan(p->lm, &s, NULL, err);
        if (status != VT_ENOMEM)
            break;
        s.n_groups = 1;
    }
    *max_active = s.n_slots;
    return status;
}

static void find_stop_ids(const vt_policy *p, struct sample_work *w)
{
    static const char end_of_text[] = "<|endoftext|>";
    int32_t ids[2] = {vt_tokenizer_eos(p->tokenizer),
                      vt_tokenizer_find(p->tokenizer, end_of_text, sizeof end_of_text - 1)};

    for (int i = 0; i < 2; i++)
        if (ids[i] >= 0 && vt_tokenizer_is_control(p->tokenizer, ids[i]) && !is_stop_id(w, ids[i]))
            w->stop_ids[w->n_stop_ids++] = ids[i];
}

static vt_status make_outputs(struct sample_work *w, vt_err *err)
{
    struct vt_sample_request *r = w->r;
    size_t n = (size_t)r->max_tokens + BURST;

    memset(r->out, 0, (size_t)r->n * sizeof *r->out);
    for (int i = 0; i < r->n; i++) {
        vt_buf_init(&w->slots[i].text, 16u << 20);
        r->out[i].tokens = vt_alloc_array(n, sizeof *r->out[i].tokens);
        r->out[i].logprobs = vt_alloc_array(n, sizeof *r->out[i].logprobs);
        r->out[i].logprobs_behaviour = vt_alloc_array(n, sizeof *r->out[i].logprobs_behaviour);
        if (!r->out[i].tokens || !r->out[i].logprobs || !r->out[i].logprobs_behaviour)
            return vt_fail(err, VT_ENOMEM, "out of memory for %d samples of %d tokens", r->n, r->max_tokens);
    }
    return VT_OK;
}

vt_status vt_policy_sample(vt_policy *p, struct vt_sample_request *r, vt_policy_done *done, void *arg, vt_err *err)
{
    struct sample_work *w;
    vt_status status;

    VT_TRY(check_request(p, r, err));
    w = vt_alloc(sizeof *w);
    if (w)
        w->slots = vt_alloc_array((size_t)r->n, sizeof *w->slots);
    if (!w || !w->slots) {
        free(w);
        return vt_fail(err, VT_ENOMEM, "out of memory for %d samples", r->n);
    }
    w->r = r;
    w->done = done;
    w->arg = arg;
    w->weights = vt_weights_ref(r->weights);
    find_stop_ids(p, w);
    status = plan_batch(p, r, &w->max_active, err);
    if (status == VT_OK)
        status = make_outputs(w, err);
    if (status != VT_OK) {
        for (int i = 0; i < r->n; i++)
            vt_sample_clear(&r->out[i]);
        free_work(p, w);
        return status;
    }
    pthread_mutex_lock(&p->mutex);
    struct sample_work **last = &p->samples;
    while (*last)
        last = &(*last)->next;
    *last = w;
    vt_native_pump(p);
    pthread_mutex_unlock(&p->mutex);
    return VT_OK;
}

void vt_native_cancel_samples(vt_policy *p)
{
    vt_err err;

    vt_fail(&err, VT_ECANCELLED, "sampling was cancelled: the policy was closed");
    while (p->samples) {
        struct sample_work *w = p->samples;

        p->samples = w->next;
        fail_work(w, &err);
        finish_work(p, w);
    }
}
