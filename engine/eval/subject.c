/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.c: makes subjects and keeps the recent ones.
 *
 * The pool: N_TIMED sets of the benchmark's distribution (checked and timed), one or two of every other distribution
 * of the task, and of the irregular scale "hidden" when the task has one. The baseline must pass on all of them before
 * any candidate is judged: a task whose own text fails is an error of the task, not of the candidate.
 */
#include "eval/subject.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/c/assemble.h"
#include "eval/c/check_run.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_TIMED = 4, N_TIMED_FULL = 6, MAX_SUBJECTS = 24 };
static const size_t max_bytes = (size_t)768 << 20; /* of all pools together */
static const uint64_t baseline_deadline_ns = 5000000000ull;

struct vt_subjects {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct vt_subject *item[MAX_SUBJECTS + 64]; /* the surplus is for subjects in use */
    size_t n;
    uint64_t clock, secret;
    char *truth_dir;
};

vt_status vt_subjects_new(const char *truth_dir, uint64_t secret, struct vt_subjects **out, vt_err *err)
{
    struct vt_subjects *s = vt_alloc(sizeof *s);
    *out = s;
    if (!s || !(s->truth_dir = vt_strdup(truth_dir))) {
        free(s);
        *out = NULL;
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    }
    s->secret = secret;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return VT_OK;
}

static void subject_free(struct vt_subject *x)
{
    if (!x)
        return;
    for (int i = 0; i < VT_N_REFERENCES; i++) {
        vt_runner_close(x->reference[i].runner);
        free(x->reference[i].object);
    }
    if (x->pool.set)
        vt_pool_sets_free(&x->pool);
    vt_truth_free(x->truth);
    vt_outputs_free(&x->outputs);
    vt_task_unref(x->task);
    free(x);
}

void vt_subjects_free(struct vt_subjects *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        subject_free(s->item[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->truth_dir);
    free(s);
}

static vt_status make_pool(struct vt_subject *x, uint64_t secret, vt_lease *lease, vt_err *err)
{
    struct vt_set_wish wish[2 * VT_TASK_MAX_DISTS + 2];
    size_t n = 0;
    int each = x->protocol == VT_PROTOCOL_FULL ? 2 : 1;
    wish[n++] = (struct vt_set_wish){x->scale, 0, x->protocol == VT_PROTOCOL_FULL ? N_TIMED_FULL : N_TIMED};
    for (int d = 1; d < vt_task_n_dists(x->task) && d < VT_TASK_MAX_DISTS; d++)
        wish[n++] = (struct vt_set_wish){x->scale, d, each};
    if (vt_task_has_scale(x->task, "hidden") && strcmp(x->scale, "hidden") != 0)
        wish[n++] = (struct vt_set_wish){"hidden", 0, each};
    x->n_timed = (size_t)wish[0].n;
    uint64_t key = vt_seed_mix(secret, x->protocol == VT_PROTOCOL_FULL ? 0xf011 : 0xfa57);
    return vt_pool_sets_make(x->task, x->truth, key, wish, n, lease, &x->pool, err);
}

static vt_status build_reference(struct vt_subject *x, int which, const char *body,
                                 const struct vt_subject_tools *tools, vt_err *err)
{
    static const char *const names[] = {"baseline", "tuned reference"};
    struct vt_buf unit;
    struct vt_build build = {0};
    VT_TRY(vt_assemble_body(x->task, body, &unit, err));
    vt_status s = vt_build_run(tools->broker, tools->cc, tools->lease, unit.p, unit.len, &build, err);
    vt_buf_free(&unit);
    if (s == VT_OK && build.end != VT_BUILD_OK)
        s = vt_fail(err, VT_EFORMAT, "task %s: its %s does not compile: %s", vt_task_name(x->task), names[which],
                    build.diagnostics.n ? build.diagnostics.item[0].text : build.info.refused);
    if (s == VT_OK) {
        x->reference[which].object = build.object;
        x->reference[which].object_len = build.object_len;
        memcpy(x->reference[which].text_sha, build.info.text_sha, sizeof build.info.text_sha);
        build.object = NULL;
    }
    vt_build_free(&build);
    return s;
}

/* Runs a reference on every set; the baseline's least time becomes the base of deadlines. */
static vt_status check_reference(struct vt_subject *x, int which, const struct vt_subject_tools *tools, vt_err *err)
{
    static const char *const names[] = {"baseline", "tuned reference"};
    struct vt_runner *r = NULL;
    char load_error[256];
    struct vt_runner_opts o = {.broker = tools->broker,
                               .object = x->reference[which].object,
                               .object_len = x->reference[which].object_len,
                               .symbol = vt_task_name(x->task),
                               .pool = &x->pool,
                               .outputs = {tools->outputs, NULL}};
    VT_TRY(vt_outputs_fit(tools->outputs, x->pool.out_bytes, err));
    VT_TRY(vt_runner_open(&o, &r, load_error, err));
    if (!r)
        return vt_fail(err, VT_EFORMAT, "task %s: its %s does not load: %s", vt_task_name(x->task), names[which],
                       load_error);
    vt_status s = VT_OK;
    for (size_t i = 0; i < x->pool.n_sets && s == VT_OK; i++) {
        struct vt_check_result c;
        struct vt_call_opts call = {&x->pool.set[i], 0, VT_CLOCK_NONE, i, -1, baseline_deadline_ns, tools->lease};
        char where[160];
        s = vt_check_run(r, &x->pool, tools->outputs, &call, &c, err);
        if (s != VT_OK || c.end == VT_CHECK_RIGHT) {
            if (which == VT_BASELINE && (!x->baseline_ns || c.call.ns < x->baseline_ns))
                x->baseline_ns = c.call.ns;
            continue;
        }
        vt_inputs_describe(x->task, x->pool.set[i].dist, where, sizeof where);
        s = vt_fail(err, VT_EFORMAT,
                    "task %s: its %s fails its own check (%s; %s, largest error %.3g bounds); see `vegttt task check`",
                    vt_task_name(x->task), names[which], where,
                    c.end == VT_CHECK_WRONG     ? "wrong output"
                    : c.end == VT_CHECK_OVERRUN ? "writes past an output"
                                                : "fault",
                    c.compare.worst);
    }
    vt_runner_close(r);
    return s;
}

static vt_status subject_make(struct vt_subjects *all, struct vt_subject *x, const struct vt_subject_tools *tools,
                              vt_err *err)
{
    const struct vt_truth_opts o = {.dir = all->truth_dir};
    if (!vt_task_has_scale(x->task, x->scale))
        return vt_fail(err, VT_EINVAL, "task %s has no sizes for the scale %s", vt_task_name(x->task), x->scale);
    VT_TRY(build_reference(x, VT_BASELINE, vt_task_body(x->task), tools, err));
    VT_TRY(vt_truth_new(x->task, &o, &x->truth, err));
    VT_TRY(make_pool(x, all->secret, tools->lease, err));
    VT_TRY(vt_outputs_fit(&x->outputs, x->pool.out_bytes, err));
    VT_TRY(check_reference(x, VT_BASELINE, tools, err));
    if (vt_task_tuned(x->task)) {
        VT_TRY(build_reference(x, VT_TUNED, vt_task_tuned(x->task), tools, err));
        VT_TRY(check_reference(x, VT_TUNED, tools, err));
    }
    return VT_OK;
}

/* Called with the lock held: drops least recently used subjects beyond the limits. */
static void evict(struct vt_subjects *s)
{
    for (;;) {
        size_t bytes = 0, n_ready = 0, oldest = s->n;
        for (size_t i = 0; i < s->n; i++) {
            const struct vt_subject *x = s->item[i];
            if (!x->is_ready)
                continue;
            bytes += x->pool.in_bytes + x->outputs.bytes;
            n_ready++;
            if (x->refs == 0 && (oldest == s->n || x->used < s->item[oldest]->used))
                oldest = i;
        }
        if (oldest == s->n || (n_ready <= MAX_SUBJECTS && bytes <= max_bytes && s->item[oldest]->status == VT_OK))
            return;
        subject_free(s->item[oldest]);
        s->item[oldest] = s->item[--s->n];
    }
}

static struct vt_subject *find(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol)
{
    for (size_t i = 0; i < s->n; i++) {
        struct vt_subject *x = s->item[i];
        if (x->protocol == protocol && strcmp(x->scale, scale) == 0 &&
            strcmp(vt_task_digest(x->task), vt_task_digest(task)) == 0)
            return x;
    }
    return NULL;
}

/* With the lock held. */
static struct vt_subject *add(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol)
{
    struct vt_subject *x = s->n < sizeof s->item / sizeof s->item[0] ? vt_alloc(sizeof *x) : NULL;
    if (!x)
        return NULL;
    x->task = vt_task_ref(task);
    x->protocol = protocol;
    memcpy(x->scale, scale, strlen(scale) + 1);
    x->pool.in_fd = -1;
    x->outputs.fd = -1;
    x->tuned_log_ratio = NAN;
    s->item[s->n++] = x;
    return x;
}

vt_status vt_subject_get(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol,
                         const struct vt_subject_tools *tools, struct vt_subject **out, vt_err *err)
{
    *out = NULL;
    if (strlen(scale) >= sizeof(*out)->scale)
        return vt_fail(err, VT_EINVAL, "the scale name \"%.40s\" is too long", scale);
    pthread_mutex_lock(&s->lock);
    struct vt_subject *x = find(s, task, scale, protocol);
    if (x) {
        x->refs++;
        while (!x->is_ready)
            pthread_cond_wait(&s->changed, &s->lock);
    } else if ((x = add(s, task, scale, protocol))) {
        x->refs++;
        pthread_mutex_unlock(&s->lock);
        vt_status status = subject_make(s, x, tools, &x->err);
        pthread_mutex_lock(&s->lock);
        x->status = status;
        x->is_ready = true;
        pthread_cond_broadcast(&s->changed);
    }
    vt_status status = x ? x->status : VT_ENOMEM;
    if (!x)
        (void)vt_fail(err, VT_ENOMEM, "cannot prepare task %s: too many tasks are being judged at once",
                      vt_task_name(task));
    else if (status != VT_OK && err)
        *err = x->err;
    if (x) {
        x->used = ++s->clock;
        if (status != VT_OK)
            x->refs--;
    }
    evict(s);
    pthread_mutex_unlock(&s->lock);
    *out = status == VT_OK ? x : NULL;
    return status;
}

void vt_subject_put(struct vt_subjects *s, struct vt_subject *x)
{
    if (!x)
        return;
    pthread_mutex_lock(&s->lock);
    x->refs--;
    evict(s);
    pthread_mutex_unlock(&s->lock);
}
