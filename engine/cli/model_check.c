/* SPDX-License-Identifier: Apache-2.0
 *
 * model_check.c: `vegttt model check FOLDER`. A recogniser that is wrong is silent, so this asks someone else: the
 * user's Python renders a few conversations, encodes a few texts and computes log-probabilities of two sequences with
 * transformers in fp32 (model_check.py, embedded); here vegttt does the same and the two are compared. One command on
 * a real folder says whether the chat format, the tokenizer, the weights and the config were understood.
 *
 * Bars: renderings and ids are equal or not. Log-probabilities at full speed are bf16's; a rope factor, an epsilon or
 * a head read wrongly moves them by tenths, rounding by hundredths. --fp32 compares to a thousandth.
 */
#include "cli/model_check.h"

#include "base/alloc.h"
#include "base/embedded.h"
#include "base/fs.h"
#include "base/json.h"
#include "cli/verbs.h"
#include "loop/loop.h"
#include "model/chat.h"
#include "model/lm.h"
#include "model/tokenizer.h"
#include "policy/backends.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_MESSAGES = 8, MAX_ANSWER = 64 << 20, PYTHON_S = 3600 };
static const double fast_bar = 0.05, exact_bar = 1e-3;
extern const struct vt_embedded vt_embedded_check[];

struct check {
    const struct vt_model_check *o;
    char *folder, *adapter; /* adapter NULL: none */
    char *scratch, *script, *answer_path;
    vt_json *answer;
    vt_ckpt *ckpt;
    vt_lm *lm;
    struct vt_adapter *lora;
    char last_line[256]; /* of Python's output */
    bool differs;
};

static void keep_line(void *arg, const char *line)
{
    struct check *c = arg;
    if (line[0])
        (void)snprintf(c->last_line, sizeof c->last_line, "%s", line);
}

static vt_status split_spec(struct check *c, vt_err *err)
{
    const char *spec = c->o->spec, *plus = vt_fs_exists(spec) ? NULL : strrchr(spec, '+');
    c->folder = plus ? vt_strndup(spec, (size_t)(plus - spec)) : vt_strdup(spec);
    c->adapter = plus ? vt_strdup(plus + 1) : NULL;
    if (!c->folder || (plus && !c->adapter))
        return vt_fail(err, VT_ENOMEM, "out of memory for the model spec");
    if (!vt_fs_is_dir(c->folder) || (c->adapter && !vt_fs_is_dir(c->adapter)))
        return vt_fail(err, VT_EUNSUPPORTED,
                       "vegttt model check compares folders that transformers can load; %s is none",
                       vt_fs_is_dir(c->folder) ? c->adapter : c->folder);
    return VT_OK;
}

static vt_status ask_python(struct check *c, vt_err *err)
{
    char *cache = NULL, name[64];
    int code = 0;
    struct vt_buf text;
    VT_TRY(vt_cache_dir(&cache, err));
    (void)snprintf(name, sizeof name, "check-%ld", (long)getpid());
    c->scratch = vt_path_join(cache, name);
    free(cache);
    c->script = c->scratch ? vt_path_join(c->scratch, "model_check.py") : NULL;
    c->answer_path = c->scratch ? vt_path_join(c->scratch, "answer.json") : NULL;
    if (!c->script || !c->answer_path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a scratch folder");
    VT_TRY(vt_fs_mkdir_p(c->scratch, err));
    VT_TRY(vt_fs_write_atomic(c->script, vt_embedded_check[0].text, vt_embedded_check[0].len, err));
    const char *python = c->o->python ? c->o->python : "python3";
    const char *const argv[] = {python, c->script, c->folder, c->adapter ? c->adapter : "", c->answer_path, NULL};
    VT_TRY(vt_child_run(argv, PYTHON_S, keep_line, c, &code, err));
    if (code != 0)
        return vt_fail(err, VT_EINVAL, "%s could not load %s with transformers: %s", python, c->o->spec, c->last_line);
    VT_TRY(vt_fs_read(c->answer_path, MAX_ANSWER, &text, err));
    vt_status status = vt_json_parse(text.p, text.len, c->answer_path, &c->answer, err);
    vt_buf_free(&text);
    return status;
}

static void say(struct check *c, const char *what, size_t equal, size_t n, const char *detail)
{
    printf("%-14s %zu of %zu equal%s%s\n", what, equal, n, detail[0] ? "; " : "", detail);
    c->differs |= equal != n;
}

/* A text on one line, for a person to compare. */
static void print_text(const char *who, const char *text)
{
    struct vt_buf b;
    vt_buf_init(&b, 1 << 20);
    vt_json_write_string(&b, text, strlen(text));
    printf("  %-13s%s\n", who, b.status == VT_OK && b.p ? b.p : "(too long)");
    vt_buf_free(&b);
}

/* vegttt's rendering of one of Python's conversations equals it; the first that does not is printed. */
static bool same_rendering(const vt_json *row, enum vt_chat chat, bool show)
{
    struct vt_message m[MAX_MESSAGES];
    struct vt_buf out;
    vt_err err = {0};
    size_t n = 0;
    const char *want = vt_json_str(vt_json_get(row, "text"), NULL);
    for (const vt_json *e = vt_json_first(vt_json_get(row, "messages")); e && n < MAX_MESSAGES;
         e = vt_json_next(e), n++)
        m[n] = (struct vt_message){vt_json_str(vt_json_get(e, "role"), ""), vt_json_str(vt_json_get(e, "content"), "")};
    vt_buf_init(&out, 1 << 20);
    vt_status status =
        vt_chat_render(chat, m, n, vt_json_bool(vt_json_get(row, "generation_prompt"), false), NULL, &out, &err);
    bool same = !want || (status == VT_OK && strcmp(out.p, want) == 0); /* no text: the template refuses it */
    if (!same && show) {
        print_text("transformers", want);
        print_text("vegttt", status == VT_OK ? out.p : err.msg);
    }
    vt_buf_free(&out);
    return same;
}

static void check_renderings(struct check *c)
{
    enum vt_chat chat;
    vt_err err = {0};
    const vt_json *rows = vt_json_get(c->answer, "renderings");
    size_t n = vt_json_count(rows), equal = 0;
    bool is_shown = false;
    if (vt_chat_pick(c->ckpt, c->o->chat, &chat, &err) != VT_OK) {
        printf("%-14s %s\n", "chat", err.msg);
        c->differs |= n > 0;
        return;
    }
    if (n == 0) {
        printf("%-14s transformers finds no chat template here; vegttt renders %s\n", "chat", vt_chat_name(chat));
        return;
    }
    for (const vt_json *row = vt_json_first(rows); row; row = vt_json_next(row)) {
        bool same = same_rendering(row, chat, !is_shown);
        equal += same;
        is_shown |= !same;
    }
    say(c, "renderings", equal, n, vt_chat_name(chat));
}

/* key: "ids" of the class that transformers takes, "file_ids" of tokenizer.json read as it stands. */
static bool same_ids(const vt_tokenizer *t, const vt_json *row, const char *key)
{
    const char *text = vt_json_str(vt_json_get(row, "text"), "");
    const vt_json *want = vt_json_first(vt_json_get(row, key));
    struct vt_ids ids = {0};
    vt_err err = {0};
    bool same = vt_tokenizer_encode(t, text, strlen(text), true, &ids, &err) == VT_OK;
    for (size_t i = 0; i < ids.n && same; i++, want = vt_json_next(want))
        same = want && vt_json_int(want, -1) == ids.p[i];
    vt_ids_free(&ids);
    return same && !want;
}

static void check_tokenizer(struct check *c)
{
    const vt_tokenizer *t = vt_ckpt_tokenizer(c->ckpt);
    const vt_json *rows = vt_json_get(c->answer, "texts");
    size_t n = vt_json_count(rows), equal = 0, n_other = 0, n_ends = 0;
    const vt_json *first = NULL;
    if (!t || n == 0) {
        printf("%-14s %s\n", "tokenizer",
               t   ? "transformers finds none here"
               : n ? "vegttt finds no tokenizer.json"
                   : "none here");
        c->differs |= (t == NULL) != (n == 0);
        return;
    }
    for (const vt_json *row = vt_json_first(rows); row; row = vt_json_next(row)) {
        bool same = same_ids(t, row, "ids"), is_file = !same && same_ids(t, row, "file_ids");
        equal += same || is_file;
        n_other += is_file;
        first = same || is_file || first ? first : row;
    }
    say(c, "token ids", equal, n, "");
    if (n_other)
        printf("  of these, %zu as tokenizer.json says; transformers' class %s splits them by code of its own\n",
               n_other, vt_json_str(vt_json_get(c->answer, "class"), "?"));
    if (first)
        print_text("first text", vt_json_str(vt_json_get(first, "text"), ""));
    const int32_t *ends = vt_tokenizer_ends(t, &n_ends);
    printf("%-14s vegttt:", "ends");
    for (size_t i = 0; i < n_ends; i++)
        printf(" %d", ends[i]);
    printf("; transformers:");
    for (const vt_json *e = vt_json_first(vt_json_get(c->answer, "ends")); e; e = vt_json_next(e)) {
        bool is_there = false;
        for (size_t i = 0; i < n_ends; i++)
            is_there |= vt_json_int(e, -1) == ends[i];
        printf(" %lld%s", (long long)vt_json_int(e, -1), is_there ? "" : " (missing)");
        c->differs |= !is_there;
    }
    printf("\n");
}

static int32_t *ids_of(const vt_json *list, int *n)
{
    *n = (int)vt_json_count(list);
    int32_t *ids = vt_alloc_array((size_t)*n + 1, sizeof *ids);
    int i = 0;
    for (const vt_json *e = ids ? vt_json_first(list) : NULL; e; e = vt_json_next(e))
        ids[i++] = (int32_t)vt_json_int(e, 0);
    return ids;
}

/* Adds one sequence's differences to *sum, *most and *n. */
static vt_status score(struct check *c, const vt_json *row, int adapter, double *sum, double *most, int *n, vt_err *err)
{
    int n_prompt, n_tokens;
    int32_t *prompt = ids_of(vt_json_get(row, "prompt"), &n_prompt),
            *tokens = ids_of(vt_json_get(row, "tokens"), &n_tokens);
    float *logp = vt_alloc_array((size_t)n_tokens + 1, sizeof *logp);
    struct vt_lm_job group = {.kind = VT_LM_GROUP,
                              .group = {.tokens = prompt, .n_tokens = n_prompt, .adapter = adapter}};
    vt_status status = prompt && tokens && logp ? vt_lm_run(c->lm, &group, err)
                                                : vt_fail(err, VT_ENOMEM, "out of memory for a sequence");
    if (status == VT_OK) {
        const int32_t *const rows = tokens;
        struct vt_lm_job job = {
            .kind = VT_LM_SCORE,
            .score = {.groups = &group.group.group, .tokens = &rows, .n = &n_tokens, .n_rows = 1, .logprob = &logp}};
        status = vt_lm_run(c->lm, &job, err);
        vt_lm_group_close(c->lm, group.group.group);
    }
    const vt_json *want = vt_json_first(vt_json_get(row, "logp"));
    for (int i = 0; i < n_tokens && want && status == VT_OK; i++, want = vt_json_next(want)) {
        double d = fabs((double)logp[i] - vt_json_num(want, NAN));
        *sum += d;
        *most = isnan(d) || d > *most ? d : *most;
        ++*n;
    }
    free(prompt);
    free(tokens);
    free(logp);
    return status;
}

static vt_status check_values(struct check *c, vt_err *err)
{
    struct vt_lm_opts o = {.precision = c->o->fp32 ? VT_LM_F32 : VT_LM_FAST};
    double sum = 0, most = 0, bar = c->o->fp32 ? exact_bar : fast_bar;
    int id = 0, n = 0;
    VT_TRY(vt_lm_asked(&o, err));
    VT_TRY(vt_lm_open(c->ckpt, &o, &c->lm, err));
    vt_status status = c->lora ? vt_lm_adapter_put(c->lm, c->lora, &id, err) : VT_OK;
    const vt_json *rows = vt_json_get(c->answer, "sequences");
    for (const vt_json *row = vt_json_first(rows); row && status == VT_OK; row = vt_json_next(row))
        status = score(c, row, id, &sum, &most, &n, err);
    VT_TRY(status);
    bool is_near = n > 0 && sum / n <= bar;
    printf("%-14s %.2g apart on average, %.2g at most, over %d tokens (%s, bar %g on average)%s\n", "log-probs",
           n ? sum / n : NAN, most, n, vt_lm_numerics(c->lm), bar, is_near ? "" : ": this is another model");
    c->differs |= !is_near;
    return VT_OK;
}

static vt_status carry_out(struct check *c, vt_err *err)
{
    VT_TRY(split_spec(c, err));
    VT_TRY(vt_ckpt_open(c->folder, &c->ckpt, err)); /* a refusal is an answer, and needs no Python */
    if (c->adapter)
        VT_TRY(vt_adapter_load_on(c->adapter, c->ckpt, NULL, &c->lora, NULL, err));
    VT_TRY(ask_python(c, err));
    printf("%-14s %s\n", "transformers", vt_json_str(vt_json_get(c->answer, "transformers"), "?"));
    check_renderings(c);
    check_tokenizer(c);
    return check_values(c, err);
}

int vt_model_check(const struct vt_model_check *o)
{
    struct check c = {.o = o};
    vt_err err;
    vt_status status = carry_out(&c, &err);
    if (c.lm)
        vt_lm_close(c.lm);
    vt_adapter_free(c.lora);
    vt_ckpt_free(c.ckpt);
    vt_json_free(c.answer);
    if (c.scratch) {
        vt_err ignored;
        vt_status removed = vt_fs_remove_tree(c.scratch, &ignored);
        (void)removed;
    }
    free(c.scratch);
    free(c.script);
    free(c.answer_path);
    free(c.folder);
    free(c.adapter);
    if (status != VT_OK)
        return vt_cli_fail(&err);
    printf("%s\n", c.differs ? "vegttt and transformers do not agree" : "vegttt and transformers agree");
    return c.differs ? VT_EXIT_SCRIPT : VT_EXIT_OK;
}
