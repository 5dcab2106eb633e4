/* SPDX-License-Identifier: Apache-2.0
 *
 * tinker_weights.c: what weights are at a service: the names of two things that it keeps, a checkpoint with the
 * optimiser, from which training goes on, and the same state published for sampling. Both are saved with every update,
 * under names of this client's, with a time to live; so weights stay what they are while the model that made them moves
 * on, and a run that was killed finds them again. A snapshot is a small file that holds the names.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "policy/tinker.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SIDECAR "vegttt_tinker.json"

uint64_t vt_tinker_random(void)
{
    uint64_t v = 0;

    (void)!getrandom(&v, sizeof v, 0);
    return v;
}

vt_status vt_tinker_weights_new(vt_policy *p, const char *id, int step, const char *trained_on, const char *checkpoint,
                                const char *sampler_path, struct vt_tinker_model *model, vt_weights **out, vt_err *err)
{
    struct vt_tinker_weights *w = vt_alloc(sizeof *w);
    vt_status status;

    if (!w)
        return vt_fail(err, VT_ENOMEM, "out of memory for weights");
    snprintf(w->checkpoint, sizeof w->checkpoint, "%s", checkpoint);
    snprintf(w->sampler_path, sizeof w->sampler_path, "%s", sampler_path);
    w->model = model;
    status = vt_weights_new(p, id, step, trained_on, w, out, err);
    if (status != VT_OK)
        free(w);
    return status;
}

void vt_tinker_free_weights(vt_policy *p, void *state)
{
    struct vt_tinker_weights *w = state;

    (void)p;
    free(w->model);
    free(w);
}

vt_status vt_tinker_open_weights(vt_policy *p, vt_err *err)
{
    const struct vt_tinker *t = vt_tinker_of(p);
    struct vt_sha256 h;
    char id[65], tokens[65];

    vt_policy_text_digest(t->remote.text.tokenizer, tokens); /* it makes prompts of texts, and texts of samples */
    vt_sha256_init(&h);
    vt_hash_str(&h, "backend", "tinker");
    vt_hash_str(&h, "tokens", tokens);
    vt_hash_str(&h, "service", t->base);
    vt_hash_str(&h, "model", t->model);
    vt_hash_u64(&h, "rank", (uint64_t)p->opts.rank);
    vt_hash_u64(&h, "targets", p->opts.targets);
    vt_hash_u64(&h, "init_seed", p->opts.init_seed);
    vt_sha256_hex(&h, id);
    VT_TRY(vt_tinker_weights_new(p, id, 0, NULL, "", "", NULL, &p->base, err));
    p->start = vt_weights_ref(p->base);
    return VT_OK;
}

/* --- models: whose they are is guarded by the remote's mutex, since handles are let go on any thread --- */

struct vt_tinker_model *vt_tinker_take_model(struct vt_tinker *t, struct vt_tinker_weights *w)
{
    struct vt_tinker_model *m;

    pthread_mutex_lock(&t->remote.mutex);
    m = w->model;
    w->model = NULL;
    pthread_mutex_unlock(&t->remote.mutex);
    if (m && m->generation != t->generation) { /* it went with its session */
        free(m);
        return NULL;
    }
    return m;
}

void vt_tinker_free_forward(vt_policy *p, void *state)
{
    struct vt_tinker *t = vt_tinker_of(p);
    struct vt_tinker_held *held = state;

    pthread_mutex_lock(&t->remote.mutex);
    if (held->model && !held->from->model) { /* it was not moved */
        held->from->model = held->model;
        held->model = NULL;
    }
    pthread_mutex_unlock(&t->remote.mutex);
    free(held->model);
    free(held);
}

/* --- jobs --- */

struct file_job {
    struct vt_remote_job job;
    struct vt_tinker_calls calls;
    int n_open;
};

static void end(struct file_job *j, vt_status status, const vt_err *err)
{
    if (--j->n_open == 0)
        vt_remote_end(&j->job, status, err);
}

static void halt(struct vt_remote_job *job)
{
    vt_tinker_cancel_calls(&((struct file_job *)job)->calls);
}

static vt_status start(vt_policy *p, vt_request *r, void (*begin)(struct vt_remote_job *job), vt_err *err)
{
    struct file_job *j = vt_alloc(sizeof *j);

    if (!j)
        return vt_fail(err, VT_ENOMEM, "out of memory for a request about %s", r->dir);
    j->job.begin = begin;
    j->job.halt = halt;
    j->n_open = 1;
    vt_remote_start(&vt_tinker_of(p)->remote, r, &j->job);
    return VT_OK;
}

/* --- saving --- */

static vt_status write_sidecar(const vt_weights *w, const char *dir, vt_err *err)
{
    const struct vt_tinker_weights *state = w->state;
    const struct vt_tinker *t = vt_tinker_of(w->policy);
    vt_json *j = vt_json_object();
    char *path = vt_path_join(dir, SIDECAR);
    struct vt_buf text;
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    vt_json_put_int(j, "v", 1);
    vt_json_put_str(j, "id", w->id);
    vt_json_put_str(j, "service", t->base);
    vt_json_put_str(j, "model", t->model);
    vt_json_put_str(j, "checkpoint", state->checkpoint);
    vt_json_put_str(j, "sampler", state->sampler_path);
    vt_json_put_int(j, "step", w->step);
    vt_json_put_str(j, "trained_on", w->trained_on);
    status = vt_json_write(j, true, &text, err);
    if (status == VT_OK && !path)
        status = vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    if (status == VT_OK)
        status = vt_fs_mkdir_p(dir, err);
    if (status == VT_OK)
        status = vt_fs_write_atomic(path, text.p, text.len, err);
    vt_json_free(j);
    vt_buf_free(&text);
    free(path);
    return status;
}

static void begin_save(struct vt_remote_job *job)
{
    vt_err err;
    const vt_status status = write_sidecar(job->request->weights, job->request->dir, &err);

    end((struct file_job *)job, status, &err);
}

vt_status vt_tinker_save(vt_policy *p, vt_request *r, vt_err *err)
{
    const struct vt_tinker_weights *w = r->weights->state;

    if (!w->checkpoint[0])
        return vt_fail(err, VT_EINVAL,
                       "cannot save the base model's weights to %s: the service keeps no checkpoint of it", r->dir);
    if (r->snapshot == VT_SNAPSHOT_EXPORT)
        return vt_fail(
            err, VT_EUNSUPPORTED,
            "the weights of %s stay at the service; a snapshot of them is a name, not files for other programs",
            p->spec);
    return start(p, r, begin_save, err);
}

/* --- loading --- */

struct sidecar {
    vt_json *json;
    const char *id, *checkpoint, *sampler;
};

static vt_status read_sidecar(const vt_policy *p, const char *dir, struct sidecar *out, vt_err *err)
{
    const struct vt_tinker *t = vt_tinker_of(p);
    char *path = vt_path_join(dir, SIDECAR);
    const char *service, *model;
    struct vt_buf text = {0};
    vt_status status =
        path ? vt_fs_read(path, 1 << 20, &text, err) : vt_fail(err, VT_ENOMEM, "out of memory for a path");

    *out = (struct sidecar){0};
    if (status == VT_OK)
        status = vt_json_parse(text.p, text.len, path, &out->json, err);
    if (status == VT_OK)
        status = vt_json_need_str(out->json, "id", path, &out->id, err);
    if (status == VT_OK)
        status = vt_json_need_str(out->json, "checkpoint", path, &out->checkpoint, err);
    if (status == VT_OK)
        status = vt_json_need_str(out->json, "sampler", path, &out->sampler, err);
    if (status == VT_OK)
        status = vt_json_need_str(out->json, "service", path, &service, err);
    if (status == VT_OK)
        status = vt_json_need_str(out->json, "model", path, &model, err);
    if (status == VT_OK &&
        (strlen(out->id) != 64 || strlen(out->checkpoint) >= VT_TINKER_NAME || strlen(out->sampler) >= VT_TINKER_NAME))
        status = vt_fail(err, VT_EFORMAT, "%s names no weights; remove the folder and let the run make it again", path);
    if (status == VT_OK && (strcmp(model, t->model) != 0 || strcmp(service, t->base) != 0))
        status = vt_fail(err, VT_EINVAL, "%s belongs to the model %.80s at %.120s, not to %.80s at %.120s", path, model,
                         service, t->model, t->base);
    vt_buf_free(&text);
    free(path);
    return status;
}

vt_status vt_tinker_read_snapshot(vt_policy *p, const char *dir, struct vt_snapshot *out, vt_err *err)
{
    struct sidecar s;
    const vt_status status = read_sidecar(p, dir, &s, err);

    if (status == VT_OK) {
        *out = (struct vt_snapshot){.step = (int)vt_json_int(vt_json_get(s.json, "step"), 0), .is_trainable = true};
        memcpy(out->id, s.id, sizeof out->id);
    }
    vt_json_free(s.json);
    return status;
}

/* The service's word that it keeps the checkpoint comes first: a snapshot is a name. */
static void on_info(void *arg, vt_status status, const struct vt_tinker_reply *reply, const vt_err *why)
{
    struct file_job *j = arg;
    const vt_request *r = j->job.request;
    struct sidecar s = {0};
    vt_err err = why ? *why : (vt_err){0};

    if (status != VT_OK && reply->status == 404)
        status =
            vt_fail(&err, VT_ENOENT,
                    "the service does not keep the checkpoint that %.200s names any more: it was deleted, or its time "
                    "to live has passed",
                    r->dir);
    if (status == VT_OK)
        status = read_sidecar(r->policy, r->dir, &s, &err);
    if (status == VT_OK)
        status = vt_tinker_weights_new(r->policy, s.id, (int)vt_json_int(vt_json_get(s.json, "step"), 0),
                                       vt_json_str(vt_json_get(s.json, "trained_on"), NULL), s.checkpoint, s.sampler,
                                       NULL, r->out, &err);
    vt_json_free(s.json);
    end(j, status, &err);
}

static void begin_load(struct vt_remote_job *job)
{
    struct file_job *j = (struct file_job *)job;
    struct vt_tinker_post p = {.endpoint = "weights_info", .calls = &j->calls, .done = on_info, .arg = j};
    struct sidecar s;
    struct vt_buf b;
    vt_err err;
    vt_status status = read_sidecar(job->request->policy, job->request->dir, &s, &err);

    vt_buf_init(&b, 1 << 12);
    if (status == VT_OK) {
        vt_buf_puts(&b, "{\"tinker_path\":");
        vt_json_write_string(&b, s.checkpoint, strlen(s.checkpoint));
        vt_buf_putc(&b, '}');
        p.body = vt_buf_take(&b, &p.len);
        status = p.body ? vt_tinker_send(vt_tinker_of(job->request->policy), &p, NULL, &err)
                        : vt_fail(&err, VT_ENOMEM, "out of memory for a request");
    }
    vt_buf_free(&b);
    vt_json_free(s.json);
    if (status != VT_OK)
        end(j, status, &err);
}

vt_status vt_tinker_load(vt_policy *p, vt_request *r, vt_err *err)
{
    return start(p, r, begin_load, err);
}
