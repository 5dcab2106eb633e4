/* SPDX-License-Identifier: Apache-2.0
 *
 * run.h: the run directory, ROOT/<experiment>/<stamp>-<6 hex>/ or ROOT/<experiment>/NAME/.
 *
 *     run.json       identity; written once           params.json, env.json   parameters and machine; env.json once
 *     source/        the experiment's texts           journal.jsonl           key -> result (journal.h)
 *     rollouts.jsonl, evals.jsonl, inputs.jsonl       append-only
 *     metrics.jsonl, meter.jsonl, tables/, plots/     rebuilt by every attempt
 *     blobs/ab/<sha256>                               prompts, assembled sources, compiler logs
 *     log/attempt_NN.log, log/latest                  one log an attempt
 *     summary.json                                    written last, by rename: its presence means finished
 *     lock                                            held (flock) while a process writes here; names pid and boot
 *
 * The run id is a hash of experiment name, canonical parameters and replicate; the caller puts the digest of everything
 * that is read before the run among the parameters. What a run reads later stands in inputs.jsonl: the caller compares
 * it and names the directories whose inputs are not what they were (`stale`). Opening looks for the newest other
 * directory of the same id, finished or not, and continues it; is_fresh makes a new one. A lock dies with its process,
 * so a killed run leaves nothing to clean up, and two live writers are refused with EBUSY.
 *
 * Opening an unfinished run begins an attempt: a new log, empty metrics, meter and tables. A finished run is never
 * written to again: opening it locks nothing and needs no right to write (`latest` then stays what it was), and nothing
 * begins.
 *
 * The handle owns its journal and line writers; accessors lend them. One thread.
 */
#ifndef VT_STORE_RUN_H
#define VT_STORE_RUN_H

#include "store/journal.h"
#include "store/jsonl.h"

typedef struct vt_run vt_run;

struct vt_run_spec {
    const char *root;         /* "runs" */
    const char *experiment;   /* letters, digits, '.', '_', '-' */
    const char *name;         /* --run NAME, same letters; NULL = stamp and 6 hex */
    const vt_json *params;    /* parameter values: enter the id */
    uint64_t replicate;       /* --replicate N, 0 by default: enters the id */
    bool is_fresh;            /* --fresh */
    const char *const *stale; /* directories not to be continued */
    size_t n_stale;
    const vt_json *origins; /* written as params.json (value, type and origin of each); NULL = params */
    const vt_json *env;     /* written as env.json; NULL = {} */
    const vt_json *about;   /* further members of run.json (command line, parent sweep); may be NULL */
    bool is_part;           /* of another run, which stays ROOT/latest */
};

struct vt_run_state {
    bool is_resumed;  /* the directory existed */
    bool is_finished; /* summary.json existed */
    int attempt;      /* 1 on the first; of a finished run the last one */
};

enum vt_run_lines { VT_RUN_ROLLOUTS, VT_RUN_EVALS, VT_RUN_INPUTS, VT_RUN_METRICS, VT_RUN_METER, VT_RUN_N_LINES };

/* EBUSY when another process writes the run; EINVAL when NAME exists with another id or is stale, or with is_fresh. */
vt_status vt_run_open(const struct vt_run_spec *spec, vt_run **out, struct vt_run_state *state,
                      vt_err *err) VT_MUST_USE;
void vt_run_close(vt_run *r);

const char *vt_run_dir(const vt_run *r);
const char *vt_run_id(const vt_run *r); /* 64 hex digits */
/* These three exist while an attempt runs: they are NULL for a finished run. */
const char *vt_run_log_path(const vt_run *r);
vt_journal *vt_run_journal(vt_run *r);
struct vt_jsonl *vt_run_lines(vt_run *r, enum vt_run_lines which);
/* DIR/relative, malloc'd, its folder created; for tables/, plots/ and ckpt/. */
vt_status vt_run_path(const vt_run *r, const char *relative, char **out, vt_err *err) VT_MUST_USE;

/* Keeps a source text as source/NAME (folders of NAME are flattened with '+'). When the run already holds another text
 * of that name, the new one goes beside it as NAME.2, NAME.3, …; *is_edited says so. */
vt_status vt_run_source_put(vt_run *r, const char *name, const void *bytes, size_t n, bool *is_edited,
                            vt_err *err) VT_MUST_USE;

/* blobs/ by SHA-256. hex has VT_SHA256_HEX bytes. */
vt_status vt_run_blob_put(vt_run *r, const void *bytes, size_t n, char *hex, vt_err *err) VT_MUST_USE;

vt_status vt_run_sync(vt_run *r, vt_err *err) VT_MUST_USE; /* everything recorded so far is on the disk */
/* Syncs, then writes summary.json. The run stays open. */
vt_status vt_run_finish(vt_run *r, const vt_json *summary, vt_err *err) VT_MUST_USE;

/* The runs of an experiment, newest first: what their run.json says. */
struct vt_run_entry {
    char *dir;
    vt_json *about;
    int64_t created_ns;
};
/* An absent folder has none. Free with vt_run_list_free. */
vt_status vt_run_list(const char *root, const char *experiment, struct vt_run_entry **out, size_t *n,
                      vt_err *err) VT_MUST_USE;
void vt_run_list_free(struct vt_run_entry *entries, size_t n);

vt_status vt_run_id_of(const char *experiment, const vt_json *params, uint64_t replicate, char *hex,
                       vt_err *err) VT_MUST_USE;

#endif
