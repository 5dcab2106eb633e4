/* SPDX-License-Identifier: Apache-2.0
 *
 * remote.c: keys of servers, and jobs.
 *
 * A key is read from its environment variable and lives in this process only: it is in no spec (a URL with credentials
 * is refused), so in no record of a run; the HTTP client masks it in errors and traces; and a process that holds one
 * writes no core file. The limit is 1, not 0, because the kernel hands cores to a program in spite of 0.
 */
#include "policy/remote.h"
#include "base/alloc.h"
#include "base/fs.h"
#include "policy/native.h"
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

/* --- opening --- */

static void tell(void (*to)(void *arg, const char *line), void *arg, const char *format, va_list args)
{
    char line[512];

    if (!to)
        return;
    vsnprintf(line, sizeof line, format, args);
    to(arg, line);
}

void vt_remote_say(const vt_policy *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(p->opts.progress, p->opts.progress_arg, format, args);
    va_end(args);
}

void vt_remote_notice(const vt_policy *p, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(p->opts.notice, p->opts.notice_arg, format, args);
    va_end(args);
}

static void write_no_core(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_cur > 1) {
        l.rlim_cur = 1;
        (void)!setrlimit(RLIMIT_CORE, &l);
    }
}

/* What cannot stand in a header cannot be a key. */
static vt_status read_key(struct vt_remote *m, const char *key_env, vt_err *err)
{
    const char *key = getenv(key_env);

    if (!key || !*key)
        return VT_OK;
    for (const char *c = key; *c; c++)
        if (!isgraph((unsigned char)*c))
            return vt_fail(err, VT_EINVAL, "%s holds a character that no key has (white space, perhaps a newline)",
                           key_env);
    write_no_core();
    m->key = vt_strdup(key);
    return m->key ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a key");
}

/* A known model's file, or the path itself. */
static vt_status open_text(struct vt_remote *m, const vt_policy *p, const char *tokenizer, vt_err *err)
{
    char *path = NULL;
    vt_status status;

    if (!tokenizer)
        return vt_policy_text_open(NULL, p->opts.chat, &m->text, err);
    VT_TRY(vt_model_find(tokenizer, &path, err));
    status = vt_policy_text_open(path, p->opts.chat, &m->text, err);
    free(path);
    return status;
}

vt_status vt_remote_open(struct vt_remote *m, const vt_policy *p, const struct vt_remote_spec *s, const char *key_env,
                         vt_err *err)
{
    const struct vt_http_opts o = {.trace = p->trace_http, .key_env = key_env};

    pthread_mutex_init(&m->mutex, NULL);
    VT_TRY(read_key(m, key_env, err));
    VT_TRY(open_text(m, p, s->tokenizer, err));
    VT_TRY(vt_net_open(&o, &m->net, err));
    return m->key ? vt_http_add_secret(vt_net_http(m->net), m->key, "(api key)", err) : VT_OK;
}

void vt_remote_close(struct vt_remote *m)
{
    vt_net_close(m->net);
    vt_policy_text_close(&m->text);
    if (m->key)
        explicit_bzero(m->key, strlen(m->key));
    free(m->key);
    pthread_mutex_destroy(&m->mutex);
}

/* --- what answers hold --- */

/* Servers that sum in half precision are above 0 by a little for what is as good as certain. */
bool vt_remote_logprob(double v, float *out)
{
    *out = (float)(v > 0 ? 0 : v);
    return isfinite(v) && isfinite(*out) && v <= 1e-3;
}

size_t vt_remote_answer_limit(int64_t n_tokens)
{
    return ((size_t)1 << 20) + 512 * (size_t)n_tokens;
}

vt_status vt_remote_check_tokens(const struct vt_remote *m, const struct vt_sample_request *r,
                                 const struct vt_sample *s, vt_err *err)
{
    const int n_vocab = m->text.tokenizer ? vt_tokenizer_size(m->text.tokenizer) : INT32_MAX;

    if (s->n_tokens > r->max_tokens)
        return vt_fail(err, VT_ENET, "the server gave a sample of %d tokens where %d were asked for at most",
                       s->n_tokens, r->max_tokens);
    for (int i = 0; s->tokens && i < s->n_tokens; i++)
        if (s->tokens[i] < 0 || s->tokens[i] >= n_vocab)
            return vt_fail(err, VT_ENET, "the server gave the token %d in a sample, and the model has %d", s->tokens[i],
                           n_vocab);
    return VT_OK;
}

/* --- who waits --- */

void vt_remote_wait_on(struct vt_remote_wait **list, struct vt_remote_wait *w)
{
    w->next = *list;
    w->link = list;
    if (w->next)
        w->next->link = &w->next;
    *list = w;
}

void vt_remote_stop_waiting(struct vt_remote_wait *w)
{
    if (!w->link)
        return;
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
}

/* Those who wait again while they are woken wait for the next time. */
void vt_remote_wake(struct vt_remote_wait **list)
{
    struct vt_remote_wait *woken = *list;

    *list = NULL;
    if (woken)
        woken->link = &woken;
    while (woken) {
        struct vt_remote_wait *w = woken;

        vt_remote_stop_waiting(w);
        w->fn(w->arg);
    }
}

/* --- jobs --- */

static void unref(struct vt_remote_job *j)
{
    bool is_last;

    pthread_mutex_lock(&j->remote->mutex);
    is_last = --j->refs == 0;
    pthread_mutex_unlock(&j->remote->mutex);
    if (!is_last)
        return;
    if (j->free)
        j->free(j);
    else
        free(j);
}

static void begin(void *arg)
{
    struct vt_remote_job *j = arg;

    j->begin(j);
}

static void halt(void *arg)
{
    struct vt_remote_job *j = arg;

    if (!j->is_over) {
        j->is_halted = true;
        j->halt(j);
    }
    unref(j);
}

void vt_remote_start(struct vt_remote *m, vt_request *r, struct vt_remote_job *j)
{
    j->remote = m;
    j->request = r;
    j->refs = 1;
    j->beginning = (struct vt_post){.fn = begin, .arg = j};
    j->halting = (struct vt_post){.fn = halt, .arg = j};
    pthread_mutex_lock(&m->mutex); /* so that no halt is posted before the beginning */
    r->state = j;
    vt_net_post(m->net, &j->beginning);
    pthread_mutex_unlock(&m->mutex);
}

void vt_remote_end(struct vt_remote_job *j, vt_status status, const vt_err *err)
{
    vt_request *r = j->request;

    j->is_over = true;
    pthread_mutex_lock(&j->remote->mutex);
    r->state = NULL;
    pthread_mutex_unlock(&j->remote->mutex);
    vt_request_finish(r, status, err);
    unref(j);
}

/* --- operations --- */

static struct vt_remote *remote_of(const vt_policy *p)
{
    return p->state;
}

vt_status vt_remote_encode(vt_policy *p, const char *text, size_t len, bool special, int32_t **ids, size_t *n,
                           vt_err *err)
{
    return vt_policy_text_encode(&remote_of(p)->text, text, len, special, ids, n, err);
}

vt_status vt_remote_decode(vt_policy *p, const int32_t *ids, size_t n, char **text, size_t *len, vt_err *err)
{
    return vt_policy_text_decode(&remote_of(p)->text, ids, n, text, len, err);
}

vt_status vt_remote_render(vt_policy *p, const char *const *roles, const char *const *contents, size_t n,
                           bool generation_prompt, const char *reasoning, char **text, vt_err *err)
{
    return vt_policy_text_render(&remote_of(p)->text, roles, contents, n, generation_prompt, reasoning, text, err);
}

void vt_remote_cancel(vt_policy *p, vt_request *r)
{
    struct vt_remote *m = remote_of(p);
    struct vt_remote_job *j;

    pthread_mutex_lock(&m->mutex);
    j = r->state;
    if (j && !j->was_halted) {
        j->was_halted = true;
        j->refs++;
        vt_net_post(m->net, &j->halting);
    }
    pthread_mutex_unlock(&m->mutex);
}
