/* SPDX-License-Identifier: Apache-2.0
 *
 * run.c: the handle of a run directory.
 *
 * Opening is: compute the id, find or make the directory and lock it (run_find.c), then begin an attempt unless the
 * run is finished. Everything that resuming needs is in journal.jsonl; metrics, meter and tables are what the script
 * computes from it and are therefore written anew. Nothing here is final until vt_run_finish renames summary.json into
 * place, after all line files have reached the disk.
 */
#include "store/run.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include "store/run_find.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DOCUMENT = 64 << 20, MAX_SOURCE = 16 << 20, N_SOURCE_TEXTS = 1000 };

static const struct {
    const char *file;
    enum vt_jsonl_mode mode;
} line_files[VT_RUN_N_LINES] = {
    [VT_RUN_ROLLOUTS] = {"rollouts.jsonl", VT_JSONL_APPEND}, [VT_RUN_EVALS] = {"evals.jsonl", VT_JSONL_APPEND},
    [VT_RUN_INPUTS] = {"inputs.jsonl", VT_JSONL_APPEND},     [VT_RUN_METRICS] = {"metrics.jsonl", VT_JSONL_REBUILD},
    [VT_RUN_METER] = {"meter.jsonl", VT_JSONL_REBUILD},
};

struct vt_run {
    struct vt_run_place place;
    char id[VT_SHA256_HEX];
    int attempt;
    char *log_path; /* NULL until an attempt has begun */
    vt_journal *journal;
    struct vt_jsonl lines[VT_RUN_N_LINES];
};

vt_status vt_run_id_of(const char *experiment, const vt_json *params, uint64_t replicate, char *hex, vt_err *err)
{
    struct vt_buf text;
    vt_buf_init(&text, MAX_DOCUMENT);
    vt_status status = VT_OK;
    if (params)
        status = vt_json_write(params, true, &text, err);
    if (status == VT_OK) {
        struct vt_sha256 s;
        vt_sha256_init(&s);
        vt_hash_str(&s, "experiment", experiment);
        vt_hash_field(&s, "params", text.p, text.len);
        vt_hash_u64(&s, "replicate", replicate);
        vt_sha256_hex(&s, hex);
    }
    vt_buf_free(&text);
    return status;
}

static bool leaves_folder(const char *relative)
{
    if (relative[0] == '/')
        return true;
    for (const char *p = relative; *p; p += strspn(p, "/")) {
        size_t n = strcspn(p, "/");
        if (n == 2 && p[0] == '.' && p[1] == '.')
            return true;
        p += n;
    }
    return false;
}

vt_status vt_run_path(const vt_run *r, const char *relative, char **out, vt_err *err)
{
    *out = NULL;
    if (leaves_folder(relative))
        return vt_fail(err, VT_EINVAL, "the path '%.200s' leaves the run directory", relative);
    char *path = vt_path_join(r->place.dir, relative);
    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory while naming %s in a run", relative);
    char *slash = strrchr(path, '/');
    *slash = '\0'; /* vt_path_join put one in */
    vt_status status = vt_fs_mkdir_p(path, err);
    *slash = '/';
    if (status != VT_OK)
        free(path);
    else
        *out = path;
    return status;
}

static vt_status write_document(const vt_run *r, const char *name, const vt_json *value, vt_err *err)
{
    char *path;
    struct vt_buf text;
    VT_TRY(vt_run_path(r, name, &path, err));
    vt_buf_init(&text, MAX_DOCUMENT);
    vt_status status = vt_json_write(value, false, &text, err);
    vt_buf_putc(&text, '\n');
    if (status == VT_OK && (status = vt_buf_check(&text, path, err)) == VT_OK)
        status = vt_fs_write_atomic(path, text.p, text.len, err);
    vt_buf_free(&text);
    free(path);
    return status;
}

/* Writes a document of a new run; a resumed one keeps what it has. */
static vt_status write_once(const vt_run *r, const char *name, const vt_json *value, vt_err *err)
{
    char *path;
    VT_TRY(vt_run_path(r, name, &path, err));
    bool is_there = vt_fs_exists(path);
    free(path);
    if (is_there)
        return VT_OK;
    vt_json *empty = value ? NULL : vt_json_object();
    vt_status status = write_document(r, name, value ? value : empty, err);
    vt_json_free(empty);
    return status;
}

/* The highest NN of log/attempt_NN.log, 0 when there is none. */
static vt_status last_attempt(const vt_run *r, int *out, vt_err *err)
{
    char *folder, **names;
    size_t n;
    *out = 0;
    VT_TRY(vt_run_path(r, "log/latest", &folder, err));
    *strrchr(folder, '/') = '\0';
    vt_status status = vt_fs_list(folder, &names, &n, err);
    free(folder);
    if (status != VT_OK)
        return status;
    for (size_t i = 0; i < n; i++) {
        int number;
        if (sscanf(names[i], "attempt_%6d.log", &number) == 1 && number > *out)
            *out = number;
    }
    vt_fs_list_free(names, n);
    return VT_OK;
}

static vt_status begin_log(vt_run *r, vt_err *err)
{
    char relative[64], *link = NULL;
    snprintf(relative, sizeof relative, "log/attempt_%02d.log", r->attempt + 1);
    VT_TRY(vt_run_path(r, relative, &r->log_path, err));
    r->attempt++;
    VT_TRY(vt_fs_write_atomic(r->log_path, "", 0, err));
    VT_TRY(vt_run_path(r, "log/latest", &link, err));
    vt_status status = vt_run_link(relative + 4, link, err);
    free(link);
    return status;
}

/* Takes away what an attempt that did not end left, and this one writes anew. */
static vt_status clear_rebuilt(const vt_run *r, vt_err *err)
{
    static const char *const gone[] = {"tables", "plots"};
    for (size_t i = 0; i < sizeof gone / sizeof gone[0]; i++) {
        char *path;
        VT_TRY(vt_run_path(r, gone[i], &path, err));
        vt_status status = vt_fs_remove_tree(path, err);
        free(path);
        if (status != VT_OK)
            return status;
    }
    return VT_OK;
}

static void end_attempt(vt_run *r)
{
    vt_journal_close(r->journal);
    r->journal = NULL;
    for (int i = 0; i < VT_RUN_N_LINES; i++)
        vt_jsonl_close(&r->lines[i]);
    free(r->log_path);
    r->log_path = NULL;
}

static vt_status begin(vt_run *r, vt_err *err)
{
    char *path;
    VT_TRY(vt_run_path(r, "journal.jsonl", &path, err));
    vt_status status = vt_journal_open(path, &r->journal, err);
    free(path);
    for (int i = 0; i < VT_RUN_N_LINES && status == VT_OK; i++) {
        if ((status = vt_run_path(r, line_files[i].file, &path, err)) != VT_OK)
            break;
        status = vt_jsonl_open(&r->lines[i], path, line_files[i].mode, err);
        free(path);
    }
    if (status == VT_OK && (status = clear_rebuilt(r, err)) == VT_OK)
        status = begin_log(r, err);
    if (status != VT_OK)
        end_attempt(r);
    return status;
}

static bool is_finished(const vt_run *r)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/summary.json", r->place.dir) < (int)sizeof path && vt_fs_exists(path);
}

/* ROOT/latest, relative so that the folder can be moved. */
static vt_status link_latest(const vt_run *r, const struct vt_run_spec *spec, vt_err *err)
{
    char *link = vt_path_join(spec->root, "latest");
    char *target = vt_path_join(spec->experiment, strrchr(r->place.dir, '/') + 1);
    vt_status status = link && target ? vt_run_link(target, link, err)
                                      : vt_fail(err, VT_ENOMEM, "out of memory while linking %s", r->place.dir);
    free(link);
    free(target);
    return status;
}

vt_status vt_run_open(const struct vt_run_spec *spec, vt_run **out, struct vt_run_state *state, vt_err *err)
{
    *out = NULL;
    vt_run *r = vt_alloc(sizeof *r);
    if (!r)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a run of %s", spec->experiment);
    r->place.lock = -1;
    vt_status status = spec->about ? vt_json_check(spec->about, err) : VT_OK;
    if (status != VT_OK ||
        (status = vt_run_id_of(spec->experiment, spec->params, spec->replicate, r->id, err)) != VT_OK ||
        (status = vt_run_place_find(spec, r->id, &r->place, err)) != VT_OK ||
        (status = write_once(r, "params.json", spec->origins ? spec->origins : spec->params, err)) != VT_OK ||
        (status = write_once(r, "env.json", spec->env, err)) != VT_OK ||
        (status = last_attempt(r, &r->attempt, err)) != VT_OK)
        goto out;
    if (!spec->is_part && (status = link_latest(r, spec, err)) != VT_OK) {
        if (!is_finished(r) || status == VT_ENOMEM)
            goto out;
        status = VT_OK; /* who may only read still reads it */
    }
    struct vt_run_state found = {.is_resumed = !r->place.is_new, .is_finished = is_finished(r)};
    if (!found.is_finished && (status = begin(r, err)) != VT_OK)
        goto out;
    found.attempt = r->attempt;
    if (state)
        *state = found;
    *out = r;
    r = NULL;
out:
    vt_run_close(r);
    return status;
}

void vt_run_close(vt_run *r)
{
    if (!r)
        return;
    end_attempt(r);
    vt_run_place_free(&r->place);
    free(r);
}

const char *vt_run_dir(const vt_run *r)
{
    return r->place.dir;
}

const char *vt_run_id(const vt_run *r)
{
    return r->id;
}

const char *vt_run_log_path(const vt_run *r)
{
    return r->log_path;
}

vt_journal *vt_run_journal(vt_run *r)
{
    return r->journal;
}

struct vt_jsonl *vt_run_lines(vt_run *r, enum vt_run_lines which)
{
    return r->log_path ? &r->lines[which] : NULL;
}

/* 1 = the file holds these bytes, 0 = it holds others, -1 = there is none. */
static vt_status compare_file(const char *path, const void *bytes, size_t n, int *out, vt_err *err)
{
    *out = -1;
    if (!vt_fs_exists(path))
        return VT_OK;
    struct vt_buf text;
    VT_TRY(vt_fs_read(path, MAX_SOURCE, &text, err));
    *out = text.len == n && (n == 0 || memcmp(text.p, bytes, n) == 0);
    vt_buf_free(&text);
    return VT_OK;
}

vt_status vt_run_source_put(vt_run *r, const char *name, const void *bytes, size_t n, bool *is_edited, vt_err *err)
{
    *is_edited = false;
    if (n > MAX_SOURCE)
        return vt_fail(err, VT_ELIMIT, "the source %.200s is larger than %d bytes", name, (int)MAX_SOURCE);
    for (int i = 1; i <= N_SOURCE_TEXTS; i++) {
        char relative[PATH_MAX], *path;
        int len = i == 1 ? snprintf(relative, sizeof relative, "source/%s", name)
                         : snprintf(relative, sizeof relative, "source/%s.%d", name, i);
        if (len >= (int)sizeof relative)
            return vt_fail(err, VT_EINVAL, "the source name %.200s is too long", name);
        for (char *p = relative + strlen("source/"); *p; p++)
            if (*p == '/')
                *p = '+';
        VT_TRY(vt_run_path(r, relative, &path, err));
        int comparison;
        vt_status status = compare_file(path, bytes, n, &comparison, err);
        if (status == VT_OK && comparison < 0) {
            *is_edited = i > 1;
            status = vt_fs_write_atomic(path, bytes, n, err);
        }
        free(path);
        if (status != VT_OK || comparison != 0)
            return status;
    }
    return vt_fail(err, VT_ELIMIT, "the run holds %d texts of the source %.200s already", (int)N_SOURCE_TEXTS, name);
}

vt_status vt_run_blob_put(vt_run *r, const void *bytes, size_t n, char *hex, vt_err *err)
{
    char relative[128], *path;
    vt_sha256_of(bytes, n, hex);
    snprintf(relative, sizeof relative, "blobs/%.2s/%s", hex, hex);
    VT_TRY(vt_run_path(r, relative, &path, err));
    vt_status status = vt_fs_exists(path) ? VT_OK : vt_fs_write_atomic(path, bytes, n, err);
    free(path);
    return status;
}

vt_status vt_run_sync(vt_run *r, vt_err *err)
{
    if (!r->log_path)
        return VT_OK;
    VT_TRY(vt_journal_sync(r->journal, err));
    for (int i = 0; i < VT_RUN_N_LINES; i++)
        VT_TRY(vt_jsonl_sync(&r->lines[i], err));
    return VT_OK;
}

vt_status vt_run_finish(vt_run *r, const vt_json *summary, vt_err *err)
{
    VT_TRY(vt_run_sync(r, err));
    return write_document(r, "summary.json", summary, err);
}
