/* SPDX-License-Identifier: Apache-2.0
 *
 * subject.c: makes subjects and keeps the recent ones.
 *
 * The baseline must pass on every set of the pool before any candidate is judged: a task whose own text fails is an
 * error of the task, not of the candidate. Its texts are candidates of the tier like any other.
 */
#include "eval/subject.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_IN_USE = 64 };

struct vt_subjects {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    const struct vt_tier_ops *ops;
    const struct vt_tier_caps *caps;
    struct vt_subject **item; /* room for caps->max_grounds and MAX_IN_USE more */
    size_t n;
    uint64_t clock, secret;
};

vt_status vt_subjects_new(const struct vt_tier_ops *ops, const struct vt_tier_caps *caps, uint64_t secret,
                          struct vt_subjects **out, vt_err *err)
{
    struct vt_subjects *s = vt_alloc(sizeof *s);
    *out = s;
    if (!s || !(s->item = vt_alloc_array(caps->max_grounds + MAX_IN_USE, sizeof(*s->item)))) {
        free(s);
        *out = NULL;
        return vt_fail(err, VT_ENOMEM, "cannot open the evaluator: out of memory");
    }
    s->ops = ops;
    s->caps = caps;
    s->secret = secret;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    return VT_OK;
}

static void subject_free(const struct vt_tier_ops *ops, struct vt_subject *x)
{
    for (int i = 0; i < VT_N_REFERENCES; i++)
        ops->candidate_close(x->reference[i].c);
    if (x->ground)
        ops->ground_close(x->ground);
    vt_task_unref(x->task);
    free(x);
}

void vt_subjects_free(struct vt_subjects *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++)
        subject_free(s->ops, s->item[i]);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
    free(s->item);
    free(s);
}

/* ---- making one ---- */

static const char *const reference_names[] = {"baseline", "tuned reference"};

static vt_status build_reference(struct vt_subjects *all, struct vt_station *station, struct vt_subject *x, int which,
                                 vt_err *err)
{
    struct vt_stage_result r = {.passed = false};
    VT_TRY(all->ops->reference(station, x->task, (enum vt_reference)which, &x->reference[which].c, &r, err));
    if (x->reference[which].c && !r.passed)
        return vt_fail(err, VT_EFORMAT, "task %s: its %s does not compile: %s", vt_task_name(x->task),
                       reference_names[which], r.why);
    memcpy(x->reference[which].artefact, r.artefact, sizeof r.artefact);
    return VT_OK;
}

static vt_status refuse_reference(const struct vt_subject *x, int which, const struct vt_check *c, vt_err *err)
{
    char where[160], sizes[VT_SCALE_SIZE + 8 * VT_TASK_MAX_SIZES], diff[160] = "";
    vt_layout l;
    vt_inputs_describe(x->task, x->pool.set[c->set].dist, x->pool.set[c->set].spice, where, sizeof where);
    vt_scale_describe(x->task, x->pool.set[c->set].scale, sizes, sizeof sizes);
    if (c->end == VT_CHECK_WRONG && c->compare.n_diffs > 0 &&
        vt_task_layout(x->task, x->pool.set[c->set].scale, &l, NULL) == VT_OK)
        vt_diff_describe(x->task, &l, &c->compare.diff[0], diff, sizeof diff);
    return vt_fail(
        err, VT_EFORMAT,
        "task %s: its %s fails its own check (%s; sizes %s; %s, largest error %.3g bounds%s%s); if it may not be "
        "called with such sizes, say so in the task's `range` or `where`; see `vegttt task check`",
        vt_task_name(x->task), reference_names[which], where, sizes,
        c->end == VT_CHECK_WRONG     ? "wrong output"
        : c->end == VT_CHECK_OVERRUN ? "writes past an output"
                                     : "fault",
        c->compare.worst, diff[0] ? "; " : "", diff);
}

/* An honest kernel may round twice as unluckily as the task's own text. On a contaminated or drawn set where that text
 * uses more than half of its bound, or is a little outside, the bound is no measure: the set is left out. So is any but
 * a timed one of a user's function, whose distributions nobody chose for it (a division of equal numbers errs the same
 * way every time), and one beyond ordinary numbers where the function has no finite value, or its text, not written for
 * such numbers, another. */
static const double most_of_bound = 0.5, least_wrong = 8;

static bool is_unfit(const struct vt_subject *x, const struct vt_check *c)
{
    size_t first = x->pool.n_timed, spiced = first + x->pool.n_spiced;
    bool is_beyond = x->pool.set[c->set].spice >= VT_SPICE_HUGE;
    bool may_be = is_beyond || c->set >= x->pool.first_drawn || (c->set >= first && c->set < spiced) ||
                  (vt_task_unit(x->task) && c->set >= first);
    bool is_near = c->end == VT_CHECK_WRONG && c->n_unwritten == 0 && c->compare.worst < least_wrong;
    if (is_beyond && (c->compare.is_beyond || (c->end == VT_CHECK_WRONG && c->n_unwritten == 0)))
        return true;
    return may_be && (is_near || (c->end == VT_CHECK_RIGHT && c->compare.worst > most_of_bound));
}

static vt_status judge_reference(struct vt_subject *x, int which, const struct vt_check *c, vt_err *err)
{
    if (which == VT_BASELINE && c->set < x->pool.first_drawn && (!x->baseline_ns || c->ns < x->baseline_ns))
        x->baseline_ns = c->ns;
    if (is_unfit(x, c))
        x->pool.set[c->set].is_unfit = true;
    else if (c->end != VT_CHECK_RIGHT)
        return refuse_reference(x, which, c, err);
    return VT_OK;
}

/* The drawn sets, one after the other, in a process or a few. */
static vt_status check_drawn(struct vt_subjects *all, struct vt_station *station, struct vt_subject *x, int which,
                             vt_err *err)
{
    enum { MAX_SERIES = 64 };
    struct vt_call call[MAX_SERIES];
    struct vt_check check[MAX_SERIES];
    size_t most = all->caps->max_series < MAX_SERIES ? all->caps->max_series : MAX_SERIES, n_done = 0;
    for (size_t at = x->pool.first_drawn; at < x->pool.n_sets && most > 0; at += n_done) {
        size_t n = x->pool.n_sets - at < most ? x->pool.n_sets - at : most;
        for (size_t i = 0; i < n; i++)
            call[i] = (struct vt_call){.set = at + i,
                                       .against = at + i,
                                       .random = at + i,
                                       .n_rounds = 2,
                                       .deadline_ns = (uint64_t)all->caps->reference_deadline_s * 1000000000u};
        VT_TRY(all->ops->series(station, x->reference[which].c, call, n, check, &n_done, err));
        for (size_t i = 0; i < n_done; i++)
            VT_TRY(judge_reference(x, which, &check[i], err));
    }
    return VT_OK;
}

/* Runs a reference on every set; the baseline's least time becomes the base of deadlines. */
static vt_status check_reference(struct vt_subjects *all, struct vt_station *station, struct vt_subject *x, int which,
                                 vt_err *err)
{
    struct vt_candidate *c = x->reference[which].c;
    struct vt_stage_result r = {.passed = false};
    VT_TRY(all->ops->load(station, c, x->ground, true, &r, err));
    if (!r.passed)
        return vt_fail(err, VT_EFORMAT, "task %s: its %s does not load: %s", vt_task_name(x->task),
                       reference_names[which], r.why);
    for (size_t i = 0; i < x->pool.first_drawn; i++) {
        const struct vt_call call = {.set = i,
                                     .against = i,
                                     .random = i,
                                     .deadline_ns = (uint64_t)all->caps->reference_deadline_s * 1000000000u};
        struct vt_check check;
        VT_TRY(all->ops->check(station, c, &call, &check, err));
        VT_TRY(judge_reference(x, which, &check, err));
    }
    VT_TRY(check_drawn(all, station, x, which, err));
    all->ops->unload(c);
    return VT_OK;
}

static vt_status subject_make(struct vt_subjects *all, struct vt_station *station, struct vt_subject *x, vt_err *err)
{
    if (!vt_task_has_scale(x->task, x->pool.scale))
        return vt_fail(err, VT_EINVAL, "task %s has no sizes for the scale %s", vt_task_name(x->task), x->pool.scale);
    VT_TRY(vt_pool_check(&x->pool, all->ops->name, all->caps->max_pool_bytes, err));
    VT_TRY(build_reference(all, station, x, VT_BASELINE, err));
    if (all->caps->max_series > 0)
        vt_pool_draw(&x->pool);
    VT_TRY(all->ops->ground_open(station, &x->pool, &x->ground, &x->bytes, err));
    VT_TRY(check_reference(all, station, x, VT_BASELINE, err));
    VT_TRY(build_reference(all, station, x, VT_TUNED, err));
    return x->reference[VT_TUNED].c ? check_reference(all, station, x, VT_TUNED, err) : VT_OK;
}

/* ---- the cache ---- */

/* With the lock held: the one to go next. A failed one goes before all others, so that what failed because of the
 * machine is tried again. */
static size_t find_victim(const struct vt_subjects *s)
{
    size_t bytes = 0, n_ready = 0, oldest = s->n;
    for (size_t i = 0; i < s->n; i++) {
        const struct vt_subject *x = s->item[i];
        if (!x->is_ready)
            continue;
        if (x->refs == 0 && x->status != VT_OK)
            return i;
        bytes += x->bytes;
        n_ready++;
        if (x->refs == 0 && (oldest == s->n || x->used < s->item[oldest]->used))
            oldest = i;
    }
    return n_ready <= s->caps->max_grounds && bytes <= s->caps->max_ground_bytes ? s->n : oldest;
}

static void evict(struct vt_subjects *s)
{
    for (size_t i; (i = find_victim(s)) < s->n;) {
        subject_free(s->ops, s->item[i]);
        s->item[i] = s->item[--s->n];
    }
}

static struct vt_subject *find(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol)
{
    for (size_t i = 0; i < s->n; i++) {
        struct vt_subject *x = s->item[i];
        if (x->protocol == protocol && strcmp(x->pool.scale, scale) == 0 &&
            strcmp(vt_task_digest(x->task), vt_task_digest(task)) == 0)
            return x;
    }
    return NULL;
}

/* With the lock held. */
static struct vt_subject *add(struct vt_subjects *s, vt_task *task, const char *scale, vt_protocol protocol)
{
    struct vt_subject *x = s->n < s->caps->max_grounds + MAX_IN_USE ? vt_alloc(sizeof *x) : NULL;
    if (!x)
        return NULL;
    x->task = vt_task_ref(task);
    x->protocol = protocol;
    vt_pool_plan(&x->pool, task, scale, protocol == VT_PROTOCOL_FULL, s->caps->max_series > 0, s->secret);
    for (int i = 0; i < VT_MAX_LANES; i++)
        x->tuned_log_ratio[i] = NAN;
    s->item[s->n++] = x;
    return x;
}

vt_status vt_subject_get(struct vt_subjects *s, struct vt_station *station, vt_task *task, const char *scale,
                         vt_protocol protocol, struct vt_subject **out, vt_err *err)
{
    *out = NULL;
    if (strlen(scale) >= sizeof(*out)->pool.scale)
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
        vt_status status = subject_make(s, station, x, &x->err);
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
