/* SPDX-License-Identifier: Apache-2.0
 *
 * run_find.c: which directory a run lives in, and who may write there.
 *
 * Two processes that start the same experiment at once must not make two directories for it, so the search and the
 * making happen under a flock on the experiment's folder. A directory counts as a run once it holds run.json, which is
 * written by rename before that lock is let go; one without it is the remains of a crash and is passed over.
 *
 * DIR/lock is held by flock for the life of the handle. The kernel lets go when the process dies, however it dies, so
 * a stale lock is simply taken. The text in it (pid, boot id, host) is for people and for the message of EBUSY.
 */
#include "store/run_find.h"
#include "base/alloc.h"
#include "base/clock.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_RUN_JSON = 1 << 20, MAX_LOCK_TEXT = 4096, N_NAME_TRIES = 100, MAX_NAME = 128 };

/* A name that is one folder: letters, digits, '.', '_', '-', not starting with '.' or '-'. */
static vt_status check_name(const char *name, const char *what, vt_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = strlen(name);
    if (strcmp(name, "latest") == 0)
        return vt_fail(err, VT_EINVAL, "the %s name cannot be 'latest', which names the last run; choose another",
                       what);
    if (len == 0 || len > MAX_NAME || strspn(name, letters) != len || name[0] == '.' || name[0] == '-')
        return vt_fail(err, VT_EINVAL, "the %s name '%.140s' must be 1 to %d letters, digits, '.', '_' or '-'", what,
                       name, (int)MAX_NAME);
    return VT_OK;
}

/* What run.json of a directory says; ENOENT when it holds no readable one. Want of memory is another matter: it must
 * not look as if there were no run, which would begin a second one. */
static vt_status read_about(const char *dir, vt_json **about, vt_err *err)
{
    char path[PATH_MAX];
    struct vt_buf text;
    *about = NULL;
    if (snprintf(path, sizeof path, "%s/run.json", dir) >= (int)sizeof path)
        return VT_ENOENT;
    vt_status status = vt_fs_read(path, MAX_RUN_JSON, &text, err);
    if (status != VT_OK)
        return status == VT_ENOMEM ? status : VT_ENOENT;
    status = vt_json_parse(text.p, text.len, path, about, err);
    vt_buf_free(&text);
    if (status == VT_OK && strlen(vt_json_str(vt_json_get(*about, "id"), "")) == VT_SHA256_HEX - 1)
        return VT_OK;
    vt_json_free(*about);
    *about = NULL;
    return status == VT_ENOMEM ? status : VT_ENOENT;
}

static int newer_first(const void *a, const void *b)
{
    const struct vt_run_entry *x = a, *y = b;
    if (x->created_ns != y->created_ns)
        return x->created_ns < y->created_ns ? 1 : -1;
    return strcmp(y->dir, x->dir);
}

void vt_run_list_free(struct vt_run_entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(entries[i].dir);
        vt_json_free(entries[i].about);
    }
    free(entries);
}

static vt_status list_folder(const char *folder, struct vt_run_entry **out, size_t *n_out, vt_err *err)
{
    char **names;
    size_t n_names, n = 0;
    *out = NULL;
    *n_out = 0;
    if (!vt_fs_exists(folder))
        return VT_OK;
    VT_TRY(vt_fs_list(folder, &names, &n_names, err));
    struct vt_run_entry *entries = vt_alloc_array(n_names + 1, sizeof *entries);
    vt_status status = entries ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory while looking for runs in %s", folder);
    for (size_t i = 0; i < n_names && status == VT_OK; i++) {
        struct vt_run_entry *e = &entries[n];
        e->dir = vt_path_join(folder, names[i]);
        if (!e->dir) {
            status = vt_fail(err, VT_ENOMEM, "out of memory while looking for runs in %s", folder);
            break;
        }
        vt_status read = read_about(e->dir, &e->about, err);
        if (read == VT_OK) {
            e->created_ns = vt_json_int(vt_json_get(e->about, "t"), 0);
            n++;
            continue;
        }
        if (read == VT_ENOMEM)
            status = read;
        free(e->dir);
        e->dir = NULL;
    }
    vt_fs_list_free(names, n_names);
    if (status != VT_OK) {
        vt_run_list_free(entries, n);
        return status;
    }
    qsort(entries, n, sizeof *entries, newer_first);
    *out = entries;
    *n_out = n;
    return VT_OK;
}

vt_status vt_run_list(const char *root, const char *experiment, struct vt_run_entry **out, size_t *n, vt_err *err)
{
    *out = NULL;
    *n = 0;
    VT_TRY(check_name(experiment, "experiment", err));
    char *folder = vt_path_join(root, experiment);
    if (!folder)
        return vt_fail(err, VT_ENOMEM, "out of memory while listing the runs of %s", experiment);
    vt_status status = list_folder(folder, out, n, err);
    free(folder);
    return status;
}

static bool is_stale(const struct vt_run_spec *spec, const char *dir)
{
    for (size_t i = 0; i < spec->n_stale; i++)
        if (strcmp(spec->stale[i], dir) == 0)
            return true;
    return false;
}

/* The newest directory of the run that is not stale, or NULL in *out. */
static vt_status find_by_id(const struct vt_run_spec *spec, const char *folder, const char *id, char **out, vt_err *err)
{
    struct vt_run_entry *entries;
    size_t n;
    *out = NULL;
    VT_TRY(list_folder(folder, &entries, &n, err));
    for (size_t i = 0; i < n && !*out; i++)
        if (strcmp(vt_json_str(vt_json_get(entries[i].about, "id"), ""), id) == 0 && !is_stale(spec, entries[i].dir)) {
            *out = entries[i].dir;
            entries[i].dir = NULL;
        }
    vt_run_list_free(entries, n);
    return VT_OK;
}

static vt_status find_by_name(const struct vt_run_spec *spec, const char *folder, const char *id, char **out,
                              vt_err *err)
{
    vt_json *about;
    *out = vt_path_join(folder, spec->name);
    if (!*out)
        return vt_fail(err, VT_ENOMEM, "out of memory while naming the run %s", spec->name);
    vt_status status = read_about(*out, &about, err);
    if (status != VT_OK) {
        free(*out);
        *out = NULL;
        return status == VT_ENOMEM ? status : VT_OK;
    }
    bool is_same = strcmp(vt_json_str(vt_json_get(about, "id"), ""), id) == 0 && !is_stale(spec, *out);
    vt_json_free(about);
    if (spec->is_fresh)
        return vt_fail(err, VT_EINVAL, "cannot start the run %s afresh: it exists; choose another name", *out);
    if (!is_same)
        return vt_fail(err, VT_EINVAL, "the run %s was made with other parameters or inputs; choose another name",
                       *out);
    return VT_OK;
}

/* <stamp>-<6 hex>; the digits mix the id with time and pid so that runs of one second differ. */
static vt_status make_dir(const struct vt_run_spec *spec, const char *folder, const char *id, char **out, vt_err *err)
{
    for (int i = 0; i < N_NAME_TRIES; i++) {
        char name[64], stamp[32], hex[VT_SHA256_HEX];
        struct vt_sha256 s;
        vt_sha256_init(&s);
        vt_hash_str(&s, "id", id);
        vt_hash_u64(&s, "time", vt_wall_ns());
        vt_hash_u64(&s, "pid", (uint64_t)getpid());
        vt_sha256_hex(&s, hex);
        vt_stamp(stamp, sizeof stamp);
        snprintf(name, sizeof name, "%.15s-%.6s", stamp, hex);
        char *dir = vt_path_join(folder, spec->name ? spec->name : name);
        if (!dir)
            return vt_fail(err, VT_ENOMEM, "out of memory while naming a run in %s", folder);
        if (mkdir(dir, 0755) == 0 || (errno == EEXIST && spec->name)) {
            *out = dir;
            return VT_OK;
        }
        int e = errno;
        if (e != EEXIST)
            vt_fail(err, VT_EIO, "cannot create the run directory %s: %s", dir, strerror(e));
        free(dir);
        if (e != EEXIST)
            return VT_EIO;
    }
    return vt_fail(err, VT_EIO, "cannot find a free name for a run in %s", folder);
}

static vt_status write_identity(const struct vt_run_spec *spec, const char *dir, const char *id, vt_err *err)
{
    char host[256] = "", cwd[PATH_MAX] = "";
    gethostname(host, sizeof host - 1);
    if (!getcwd(cwd, sizeof cwd))
        cwd[0] = '\0';
    vt_json *run = vt_json_object();
    vt_json_put_int(run, "v", 1);
    vt_json_put_u64str(run, "t", vt_wall_ns());
    vt_json_put_str(run, "id", id);
    vt_json_put_str(run, "experiment", spec->experiment);
    vt_json_put_u64str(run, "replicate", spec->replicate);
    vt_json_put_str(run, "host", host);
    vt_json_put_int(run, "pid", getpid());
    vt_json_put_str(run, "cwd", cwd);
    for (const vt_json *c = vt_json_first(spec->about); c; c = vt_json_next(c))
        if (!vt_json_get(run, vt_json_key(c)))
            vt_json_put(run, vt_json_key(c), vt_json_clone(c));
    struct vt_buf text;
    vt_buf_init(&text, MAX_RUN_JSON);
    char *path = vt_path_join(dir, "run.json");
    vt_status status = path ? vt_json_write(run, false, &text, err)
                            : vt_fail(err, VT_ENOMEM, "out of memory while describing the run %s", dir);
    vt_buf_putc(&text, '\n');
    if (status == VT_OK)
        status = vt_fs_write_atomic(path, text.p, text.len, err);
    free(path);
    vt_buf_free(&text);
    vt_json_free(run);
    return status;
}

/* "process 123": who the lock's text says holds it. */
static void describe_holder(int fd, char *out, size_t n)
{
    char text[MAX_LOCK_TEXT];
    ssize_t len = pread(fd, text, sizeof text, 0);
    vt_json *j = NULL;
    if (len > 0 && vt_json_parse(text, (size_t)len, "lock", &j, NULL) == VT_OK)
        snprintf(out, n, "process %lld on %s", (long long)vt_json_int(vt_json_get(j, "pid"), 0),
                 vt_json_str(vt_json_get(j, "host"), "this machine"));
    else
        snprintf(out, n, "another process");
    vt_json_free(j);
}

static vt_status write_holder(int fd, const char *dir, vt_err *err)
{
    struct vt_buf boot, text;
    char host[256] = "";
    gethostname(host, sizeof host - 1);
    vt_status status = vt_fs_read("/proc/sys/kernel/random/boot_id", 256, &boot, err);
    if (status == VT_ENOMEM)
        return status;
    if (status != VT_OK)
        vt_buf_puts(&boot, "unknown");
    boot.p[strcspn(boot.p, "\n")] = '\0';
    vt_buf_init(&text, MAX_LOCK_TEXT);
    vt_buf_printf(&text, "{\"pid\":%ld,\"boot_id\":", (long)getpid());
    vt_json_write_string(&text, boot.p, strlen(boot.p));
    vt_buf_puts(&text, ",\"host\":");
    vt_json_write_string(&text, host, strlen(host));
    vt_buf_puts(&text, "}\n");
    status = vt_buf_check(&text, "the lock's text", err);
    if (status == VT_OK && (ftruncate(fd, 0) != 0 || pwrite(fd, text.p, text.len, 0) != (ssize_t)text.len))
        status = vt_fail(err, VT_EIO, "cannot write %s/lock: %s", dir, strerror(errno));
    vt_buf_free(&boot);
    vt_buf_free(&text);
    return status;
}

/* advice: what else than waiting helps, as the sentence ends. */
static vt_status take_lock(const char *dir, const char *advice, int *lock, vt_err *err)
{
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/lock", dir) >= (int)sizeof path)
        return vt_fail(err, VT_EINVAL, "the run directory %.200s has too long a name", dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return vt_fail(err, VT_EIO, "cannot open %s: %s", path, strerror(errno));
    vt_status status = VT_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *lock = fd;
    } else if (errno == EWOULDBLOCK) {
        char holder[320];
        describe_holder(fd, holder, sizeof holder);
        status = vt_fail(err, VT_EBUSY, "the run %s is being written by %s; wait for it%s", dir, holder, advice);
    } else {
        status = vt_fail(err, VT_EIO, "cannot lock %s: %s", path, strerror(errno));
    }
    if (status != VT_OK)
        close(fd);
    return status;
}

vt_status vt_run_lock_unnamed(const char *dir, int *lock, vt_err *err)
{
    return take_lock(dir, "", lock, err);
}

vt_status vt_run_lock(const char *dir, int *lock, vt_err *err)
{
    int fd = -1;
    VT_TRY(take_lock(dir, " or pass --fresh", &fd, err));
    vt_status status = write_holder(fd, dir, err);
    if (status != VT_OK)
        close(fd);
    else
        *lock = fd;
    return status;
}

static bool is_finished(const char *dir)
{
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/summary.json", dir) < (int)sizeof path && vt_fs_exists(path);
}

static vt_status find_or_make(const struct vt_run_spec *spec, const char *folder, const char *id,
                              struct vt_run_place *out, vt_err *err)
{
    if (spec->name)
        VT_TRY(find_by_name(spec, folder, id, &out->dir, err));
    else if (!spec->is_fresh)
        VT_TRY(find_by_id(spec, folder, id, &out->dir, err));
    if (!out->dir) {
        out->is_new = true;
        VT_TRY(make_dir(spec, folder, id, &out->dir, err));
    }
    if (!out->is_new && is_finished(out->dir))
        return VT_OK; /* never written to again: who may only read it can have it, and several at once */
    VT_TRY(vt_run_lock(out->dir, &out->lock, err));
    return out->is_new ? write_identity(spec, out->dir, id, err) : VT_OK;
}

vt_status vt_run_place_find(const struct vt_run_spec *spec, const char id[VT_SHA256_HEX], struct vt_run_place *out,
                            vt_err *err)
{
    *out = (struct vt_run_place){.lock = -1};
    VT_TRY(check_name(spec->experiment, "experiment", err));
    if (spec->name)
        VT_TRY(check_name(spec->name, "run", err));
    char *folder = vt_path_join(spec->root, spec->experiment);
    if (!folder)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a run of %s", spec->experiment);
    int fd = -1;
    vt_status status = vt_fs_mkdir_p(folder, err);
    if (status != VT_OK)
        goto out;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) != 0) {
        status = vt_fail(err, VT_EIO, "cannot lock the folder %s: %s", folder, strerror(errno));
        goto out;
    }
    status = find_or_make(spec, folder, id, out, err);
out:
    if (fd >= 0)
        close(fd);
    free(folder);
    if (status != VT_OK)
        vt_run_place_free(out);
    return status;
}

void vt_run_place_free(struct vt_run_place *p)
{
    if (p->lock >= 0)
        close(p->lock);
    free(p->dir);
    *p = (struct vt_run_place){.lock = -1};
}

vt_status vt_run_link(const char *target, const char *path, vt_err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.tmp-%ld", path, (long)getpid()) >= (int)sizeof temporary)
        return vt_fail(err, VT_EINVAL, "cannot link %s: the path is too long", path);
    unlink(temporary);
    if (symlink(target, temporary) == 0 && rename(temporary, path) == 0)
        return VT_OK;
    int e = errno;
    unlink(temporary);
    return vt_fail(err, VT_EIO, "cannot link %s to %s: %s", path, target, strerror(e));
}
