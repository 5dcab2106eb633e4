/* SPDX-License-Identifier: Apache-2.0
 *
 * queue.h: what stands in Redis (or Valkey) between those who ask (ask.h) and those who judge (worker.h).
 *
 *   vegttt:NAME:classes          hash    CLASS -> who its workers are (vt_eval_class as JSON)
 *   vegttt:NAME:jobs:CLASS       stream  one entry a job: rid, reply, key, job; consumer group "workers"
 *   vegttt:NAME:result:RID       text    the answer of a job, as `eval --serve` would give it; a week
 *   vegttt:NAME:worker:WORKER    text    somebody who lives; as long as a lease
 *   vegttt:NAME:done:REPLY       channel the RID of a job that has its answer
 *
 * RID is the verdict's key, so whoever asks the same again finds it answered; of a request that wants a fresh verdict
 * it is the key and a number of its own.
 *
 * What is promised. A job is an entry until its answer stands in result:RID, and an answer is written only where there
 * is none (SET NX): a job may be judged twice, when its worker was thought dead, and counts once. A worker's lease is
 * its worker: key. While that stands nobody takes its jobs, however long they last; when it is gone anybody may. Who
 * asks looks after its own jobs: one that has neither an entry nor an answer (the server lost its last second, or all)
 * is entered again.
 *
 * Classes keep apart what cannot be compared: workers of one stream have the same evaluator, compiler and machine.
 */
#ifndef VT_FARM_QUEUE_H
#define VT_FARM_QUEUE_H

#include "base/buf.h"
#include "eval/eval.h"
#include "net/redis.h"

#define VT_QUEUE_GROUP "workers"
enum {
    VT_QUEUE_KEY_MAX = 512,
    VT_QUEUE_CLASS_SIZE = 17,
    VT_QUEUE_RID_SIZE = 96,
    VT_QUEUE_ENTRY_SIZE = 48, /* of a stream entry's id */
    VT_QUEUE_JOB_MAX = 4 << 20
};
#define VT_QUEUE_RESULT_S "604800"

/* "vegttt:NAME:WHAT" and, unless it is NULL, ":PART". */
void vt_queue_name(const struct vt_redis_address *a, const char *what, const char *part, char out[VT_QUEUE_KEY_MAX]);

/* A class with strings of its own. */
struct vt_queue_class {
    char id[VT_QUEUE_CLASS_SIZE];
    char *tier, *scale, *evaluator, *toolchain, *machine;
};
void vt_queue_class_id(const struct vt_eval_class *c, char id[VT_QUEUE_CLASS_SIZE]);
void vt_queue_class_free(struct vt_queue_class *c);
void vt_queue_class_lend(const struct vt_queue_class *c, struct vt_eval_class *out);

/* Says that there are workers of this class and makes their stream, which may be there. */
void vt_queue_announce(vt_redis *r, const struct vt_redis_address *a, const struct vt_eval_class *c);
/* The class to be asked, from the answer to HGETALL: the wanted one, or the only one. EFORMAT also where the text of a
 * class is not what its id says. */
vt_status vt_queue_class_choose(const struct vt_redis_address *a, const struct vt_resp_reader *reply,
                                struct vt_queue_class *out, vt_err *err) VT_MUST_USE;

/* A name that nobody else has: 16 hexadecimal digits. */
vt_status vt_queue_new_name(char out[VT_QUEUE_CLASS_SIZE], vt_err *err) VT_MUST_USE;

/* One entry of a stream; its job is lent from the reply. */
struct vt_queue_entry {
    char id[VT_QUEUE_ENTRY_SIZE];
    bool is_job; /* false: it was withdrawn after somebody took it, or is none */
    char rid[VT_QUEUE_RID_SIZE], reply[VT_QUEUE_CLASS_SIZE], key[VT_EVAL_KEY_SIZE];
    const char *job;
    size_t job_len;
};
/* The next entry of a list of entries; false where the reader stands at none. */
bool vt_queue_entry_next(struct vt_resp_reader *r, struct vt_queue_entry *out);

/* One that was given to somebody (XPENDING), and how often it was given to anybody. */
struct vt_queue_pending {
    char entry[VT_QUEUE_ENTRY_SIZE], owner[64];
    int n_deliveries;
};
bool vt_queue_pending_next(struct vt_resp_reader *r, struct vt_queue_pending *out);

#endif
