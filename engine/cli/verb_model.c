/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_model.c: `vegttt model pull|info|ls|check`: fetch a model into the cache, say what a file holds and how it was
 * understood, compare a folder with the user's own transformers (model_check.c).
 */
#include "base/fs.h"
#include "base/json.h"
#include "base/mail.h"
#include "cli/model_check.h"
#include "cli/verbs.h"
#include "model/chat.h"
#include "model/tokenizer.h"
#include "policy/native.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vegttt/policy.h>

static void print_progress(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "vegttt: %s\n", line);
}

/* A model that vegttt knows by name may be missing or damaged in the cache, which is no fault of the name. */
static int fail(const char *name, const vt_err *err)
{
    return vt_model_is_known(name) ? vt_cli_fail(err) : vt_cli_fail_named(err);
}

static int pull(const char *name)
{
    char *path = NULL;
    vt_err err;
    struct vt_mail mail = VT_MAIL;
    vt_status status = vt_model_pull(name, print_progress, NULL, &path, vt_mail_deliver, &mail, NULL, &err);

    if (status == VT_OK)
        status = vt_mail_wait(&mail, &err);
    if (status != VT_OK)
        return fail(name, &err);
    puts(path);
    free(path);
    return VT_EXIT_OK;
}

static void print_config(const vt_ckpt *c)
{
    static const char *const archs[] = {"llama", "qwen2", "qwen3"};
    const struct vt_lm_config *g = vt_ckpt_config(c);

    printf("architecture  %s, %d layers, d_model %d, d_ff %d\n", archs[g->arch], g->n_layers, g->d_model, g->d_ff);
    printf("attention     %d heads, %d kv heads, head_dim %d, rope theta %g%s%s\n", g->n_heads, g->n_kv_heads,
           g->head_dim, (double)g->rope_theta, g->qkv_bias ? ", q k v biases" : "", g->qk_norm ? ", q k norms" : "");
    if (g->rope_factor != 0 && g->rope_orig_ctx == 1)
        printf("rope scaling  linear, by %g\n", (double)g->rope_factor);
    else if (g->rope_factor != 0)
        printf("rope scaling  Llama 3's, by %g beyond %d tokens (low %g, high %g)\n", (double)g->rope_factor,
               g->rope_orig_ctx, (double)g->rope_low, (double)g->rope_high);
    printf("context       %d tokens\nvocabulary    %d, unembedding %s\n", g->n_ctx, g->n_vocab,
           g->tied ? "tied to the embedding" : "separate");
}

static void print_tensors(const vt_ckpt *c)
{
    size_t count[16] = {0};
    double bytes[16] = {0}, parameters = 0;

    for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++) {
        const struct vt_tensor *t = vt_ckpt_tensor_at(c, i);
        double n = 1, rows;

        for (int d = 0; d < t->n_dims; d++)
            n *= (double)t->shape[d];
        rows = t->n_dims ? n / (double)t->shape[t->n_dims - 1] : 1;
        parameters += n;
        count[t->dtype]++;
        bytes[t->dtype] += rows * (double)t->row_bytes;
    }
    printf("parameters    %.0f in %zu tensors\n", parameters, vt_ckpt_n_tensors(c));
    for (int d = 0; d <= VT_Q6_K; d++)
        if (count[d])
            printf("  %-11s %zu tensors, %.1f MB\n", vt_dtype_name((enum vt_dtype)d), count[d], bytes[d] / 1e6);
}

/* The tokens that end a sample, by text. */
static void print_ends(const vt_tokenizer *t)
{
    size_t n, len;
    const int32_t *ends = vt_tokenizer_ends(t, &n);

    printf("ends          ");
    for (size_t i = 0; i < n; i++) {
        const char *bytes = vt_tokenizer_bytes(t, ends[i], &len);

        printf("%s%.*s (%d)", i ? ", " : "", (int)len, bytes, ends[i]);
    }
    printf("%s\n", n ? "" : "none: samples end at their length or a stop string");
}

/* The chat format and a short conversation in it, or why there is none. */
static void print_chat(const vt_ckpt *c)
{
    enum vt_chat chat;
    struct vt_buf text, line;
    vt_err err;

    if (vt_chat_of(c, &chat, &err) != VT_OK) {
        printf("chat          %s\n", err.msg);
        return;
    }
    printf("chat          %s, turns end with %s\n", vt_chat_name(chat), vt_chat_stop(chat));
    vt_buf_init(&text, 1 << 16);
    vt_buf_init(&line, 1 << 18);
    if (vt_chat_probe(chat, &text, &err) == VT_OK) {
        vt_json_write_string(&line, text.p, text.len);
        if (line.status == VT_OK)
            printf("  renders     %s\n", line.p);
    }
    vt_buf_free(&text);
    vt_buf_free(&line);
}

static int info(const char *name)
{
    char *path = NULL, digest[65];
    vt_ckpt *c = NULL;
    vt_err err;
    vt_status status = vt_model_find(name, &path, &err);

    if (status == VT_OK)
        status = vt_ckpt_open(path, &c, &err);
    if (status == VT_OK)
        status = vt_ckpt_digest(c, digest, &err);
    if (status == VT_OK) {
        printf("file          %s\nname          %s\nsha256        %s\n", path, vt_ckpt_name(c), digest);
        print_config(c);
        print_tensors(c);
        if (vt_ckpt_tokenizer(c))
            print_ends(vt_ckpt_tokenizer(c));
        else
            printf("tokenizer     none: put its tokenizer.json beside it\n");
        print_chat(c);
    }
    vt_ckpt_free(c);
    free(path);
    return status == VT_OK ? VT_EXIT_OK : fail(name, &err);
}

static int ls(void)
{
    const char *const names[] = {vt_model_default()};
    char *path = NULL;
    vt_err err;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (vt_model_find(names[i], &path, &err) == VT_OK)
            printf("%-16s %.1f MB  %s\n", names[i], (double)vt_fs_size(path) / 1e6, path);
        else
            printf("%-16s not fetched: vegttt model pull %s\n", names[i], names[i]);
        free(path);
        path = NULL;
    }
    return VT_EXIT_OK;
}

int vt_verb_model(int argc, char **argv)
{
    static const struct vt_arg options[] = {{.name = "chat", .kind = VT_ARG_TEXT},
                                            {.name = "python", .kind = VT_ARG_TEXT},
                                            {.name = "fp32", .kind = VT_ARG_SWITCH}};
    enum { PULL, INFO, LS, CHECK, N_ACTIONS };
    static const struct vt_cli_action actions[N_ACTIONS] = {
        {"pull", 1, 0}, {"info", 1, 0}, {"ls", 0, 0}, {"check", 1, 7}};
    const char *words[3] = {0}, *values[3];
    size_t n, which;
    int code;

    if (!vt_cli_words("model", options, 3, argc, argv, values, words, 3, &n, &code) ||
        !vt_cli_action("model", actions, N_ACTIONS, options, values, 3, words, n, &which, &code))
        return code;
    switch (which) {
    case PULL:
        return pull(words[1]);
    case INFO:
        return info(words[1]);
    case LS:
        return ls();
    default:
        return vt_model_check(&(struct vt_model_check){words[1], values[0], values[1], values[2] != NULL});
    }
}
