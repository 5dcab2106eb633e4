/* SPDX-License-Identifier: Apache-2.0
 *
 * double_server.h: a training and sampling service such as a remote one, inside the test's process: it answers later,
 * on a thread of its own, and says things its own way.
 *
 * It holds models, which move with every update; checkpoints, which are states of models under names that it makes up
 * and keeps on disk, so that they are there after a crash; and samplers, which are published states. Only a sampler can
 * be sampled from or scored. It draws with randomness of its own. The arithmetic is the native backend's.
 */
#ifndef VT_DOUBLE_SERVER_H
#define VT_DOUBLE_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <vegttt/policy.h>

enum { DOUBLE_NAME = 64 };

enum double_kind {
    DOUBLE_CREATE,  /* checkpoint ("" = untrained) -> model: a new one in that state */
    DOUBLE_FORWARD, /* model, seqs -> their logp */
    DOUBLE_TRAIN,   /* model, seqs, loss or their w -> logp, report, checkpoint; the model moves on */
    DOUBLE_LOOK_UP, /* checkpoint: is it there? */
    DOUBLE_PUBLISH, /* checkpoint ("" = untrained) -> sampler */
    DOUBLE_SAMPLE,  /* sampler, sample */
    DOUBLE_SCORE    /* sampler, score */
};

/* One message and its answer. It belongs to the sender, who keeps it until the answer. */
struct double_call {
    enum double_kind kind;
    char model[DOUBLE_NAME], checkpoint[DOUBLE_NAME], sampler[DOUBLE_NAME]; /* in or out, as the kinds say */
    struct vt_train_seq *seqs;
    size_t n;
    bool has_loss; /* else the sequences' w count */
    enum vt_loss loss;
    struct vt_loss_opts loss_opts;
    struct vt_update_opts opts;
    struct vt_update_report report;
    struct vt_sample_request *sample;
    struct vt_score_request *score;

    vt_status status;
    vt_err err;
    void (*answer)(struct double_call *c); /* on the server's thread */
    void *user;

    struct double_call *next; /* the server's, as what follows */
    uint64_t due_ns;
    bool is_cancelled;
};

struct double_server;

/* delay_ms: how long a message is under way at most. */
vt_status double_server_open(const char *model, const struct vt_policy_opts *o, int delay_ms,
                             struct double_server **out, vt_err *err) VT_MUST_USE;
void double_server_close(struct double_server *s); /* nothing may be under way; NULL is allowed */
void double_server_send(struct double_server *s, struct double_call *c);
/* Asks that c be answered soon. c may be anywhere on its way, but its sender must have it still. */
void double_server_cancel(struct double_server *s, struct double_call *c);
vt_policy *double_server_policy(struct double_server *s); /* the tokenizer's side of it, and the model's sizes */

#endif
