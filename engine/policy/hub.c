/* SPDX-License-Identifier: Apache-2.0
 *
 * hub.c: hub.h over engine/net. A repository is fetched as it was at one commit, the newest one when it was asked: its
 * list of files gives sizes, and SHA-256 of those that the hub keeps in its store of large files, as it does all
 * weights. Of the files only what a model is made of here is taken (config.json, the tokenizer's, the safetensors that
 * the index names), and pickles never.
 *
 * Each commit has a folder, models/hub/ORG--NAME/COMMIT, which is FOLDER.part until the last file is whole; so a pull
 * that was stopped goes on where it was, and what stands under its name is complete. A .gguf that was asked for by name
 * lies in the same folder, by itself or beside the rest; so what says that the repository itself is whole is its
 * config.json, which comes last. A file "newest" beside it names the commit that hf:ORG/NAME means without a network.
 *
 * HF_ENDPOINT is the hub's address, HF_TOKEN a key for models that need one; it is sent to the hub only, never to where
 * it redirects, and is masked in what the hub says.
 *
 * Circle: fetch asks this file for models of the hub, which checks its address as remote does for every server; and
 * remote looks by fetch for the tokenizer that it names.
 */
#include "policy/hub.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/sha256.h"
#include "net/download.h"
#include "policy/remote.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PREFIX "hf:"
#define DEFAULT_ENDPOINT "https://huggingface.co"
#define CONFIG "config.json"
#define INDEX "model.safetensors.index.json"
#define MAX_LISTING ((size_t)16 << 20)
#define MAX_INDEX ((size_t)64 << 20)
enum { MAX_FILES = 2048, COMMIT = 41 };

struct hub_file {
    const char *path, *oid; /* oid NULL: a small one */
    char sha256[VT_SHA256_HEX];
    int64_t size;
};

struct hub {
    struct vt_net *net;
    char *repo;       /* ORG/NAME */
    const char *gguf; /* one file of it; NULL = a folder */
    char *folder;     /* of all its commits */
    char endpoint[1024], header[1100], commit[COMMIT];
    vt_json *listing;
    int64_t total, before; /* bytes of all files; of those that are whole */
    int stop_fd;
    double said_s;
    void (*progress)(void *arg, const char *line);
    void *arg;
};

/* --- names --- */

bool vt_hub_is_name(const char *name)
{
    return strncmp(name, PREFIX, strlen(PREFIX)) == 0;
}

/* ORG/NAME or ORG/NAME/FILE.gguf of the characters that the hub allows; nothing that leads out of the cache. */
static vt_status parse(const char *name, struct hub *h, vt_err *err)
{
    const char *text = name + strlen(PREFIX);
    char *second, *third;
    bool is_good = text[0] != '\0' && !strstr(text, "..");

    for (const char *c = text; *c; c++)
        is_good = is_good && (isalnum((unsigned char)*c) || strchr("-_./", *c));
    h->repo = vt_strdup(text);
    if (!h->repo)
        return vt_fail(err, VT_ENOMEM, "out of memory for a model's name");
    second = strchr(h->repo, '/');
    third = second ? strchr(second + 1, '/') : NULL;
    if (third)
        *third = '\0';
    h->gguf = third ? third + 1 : NULL;
    is_good = is_good && second && second != h->repo && second[1] && h->repo[0] != '.' && second[1] != '.';
    if (h->gguf)
        is_good = is_good && strlen(h->gguf) > 5 && strcmp(h->gguf + strlen(h->gguf) - 5, ".gguf") == 0 &&
                  !strchr(h->gguf, '/') && h->gguf[0] != '.';
    return is_good ? VT_OK
                   : vt_fail(err, VT_EINVAL,
                             "\"%.200s\" is no model of a hub: write hf:ORGANISATION/NAME, or "
                             "hf:ORGANISATION/NAME/FILE.gguf",
                             name);
}

static vt_status set_folder(struct hub *h, vt_err *err)
{
    char *cache = NULL;
    const char *slash = strchr(h->repo, '/');
    struct vt_buf b;

    VT_TRY(vt_cache_dir(&cache, err));
    vt_buf_init(&b, 1 << 14);
    vt_buf_printf(&b, "%s/models/hub/%.*s--%s", cache, (int)(slash - h->repo), h->repo, slash + 1);
    free(cache);
    h->folder = vt_buf_take(&b, NULL);
    return h->folder ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");
}

/* FOLDER/COMMIT, or the file in it; tail is appended to the commit. */
static char *place(const struct hub *h, const char *tail, const char *file)
{
    struct vt_buf b;

    vt_buf_init(&b, 1 << 14);
    vt_buf_printf(&b, "%s/%s%s", h->folder, h->commit, tail);
    if (file)
        vt_buf_printf(&b, "/%s", file);
    return vt_buf_take(&b, NULL);
}

/* Is what was asked for there, the file or all of the repository that is taken? */
static vt_status is_whole(const struct hub *h, bool *out, vt_err *err)
{
    char *mark = place(h, "", h->gguf ? h->gguf : CONFIG);

    if (!mark)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path");
    *out = vt_fs_exists(mark);
    free(mark);
    return VT_OK;
}

static bool is_commit(const char *text)
{
    return strlen(text) == COMMIT - 1 && strspn(text, "0123456789abcdef") == COMMIT - 1;
}

/* The commit that was fetched last; "" when none was. */
static void read_newest(struct hub *h)
{
    char *path = vt_path_join(h->folder, "newest");
    struct vt_buf text = {0};

    h->commit[0] = '\0';
    if (path && vt_fs_read(path, 256, &text, NULL) == VT_OK && is_commit(text.p))
        snprintf(h->commit, sizeof h->commit, "%s", text.p);
    vt_buf_free(&text);
    free(path);
}

static void close_hub(struct hub *h)
{
    vt_net_close(h->net);
    vt_json_free(h->listing);
    explicit_bzero(h->header, sizeof h->header);
    free(h->repo);
    free(h->folder);
}

static vt_status find(struct hub *h, const char *name, char **path, vt_err *err)
{
    bool is_there;

    VT_TRY(parse(name, h, err));
    VT_TRY(set_folder(h, err));
    read_newest(h);
    if (!h->commit[0])
        return VT_OK;
    VT_TRY(is_whole(h, &is_there, err));
    if (!is_there)
        return VT_OK;
    *path = place(h, "", h->gguf);
    return *path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");
}

vt_status vt_hub_find(const char *name, char **path, vt_err *err)
{
    struct hub h = {0};
    const vt_status status = find(&h, name, path, err);

    close_hub(&h);
    return status;
}

/* --- what the hub says --- */

static vt_status ask(struct hub *h, const char *path, vt_json **out, vt_err *err)
{
    const char *const headers[] = {h->header, NULL};
    char url[2048], what[256];
    struct vt_net_answer a;
    vt_status status;

    *out = NULL;
    snprintf(url, sizeof url, "%s/api/models/%s/%s", h->endpoint, h->repo, path);
    snprintf(what, sizeof what, "asking for the model %.160s", h->repo);
    status = vt_net_ask(h->net,
                        &(struct vt_http_request){.method = "GET",
                                                  .url = url,
                                                  .headers = h->header[0] ? headers : NULL,
                                                  .what = what,
                                                  .patience_s = 60,
                                                  .max_answer = MAX_LISTING},
                        h->stop_fd, &a, err);
    if (status == VT_OK)
        status = vt_json_parse(a.body, a.len, "the hub's answer", out, err);
    free(a.body);
    return status;
}

static vt_status find_commit(struct hub *h, vt_err *err)
{
    vt_json *j;

    VT_TRY(ask(h, "revision/main", &j, err));
    snprintf(h->commit, sizeof h->commit, "%s", vt_json_str(vt_json_get(j, "sha"), ""));
    vt_json_free(j);
    return is_commit(h->commit)
               ? VT_OK
               : vt_fail(err, VT_ENET, "the hub at %.200s names no commit of %.160s", h->endpoint, h->repo);
}

static vt_status list(struct hub *h, vt_err *err)
{
    char path[128];

    snprintf(path, sizeof path, "tree/%s?recursive=false", h->commit);
    return ask(h, path, &h->listing, err);
}

static bool read_file(const vt_json *j, struct hub_file *out)
{
    const vt_json *lfs = vt_json_get(j, "lfs");

    *out = (struct hub_file){.path = vt_json_str(vt_json_get(j, "path"), ""),
                             .oid = lfs && !vt_json_is_null(lfs) ? vt_json_str(vt_json_get(lfs, "oid"), "") : NULL,
                             .size = vt_json_int(vt_json_get(j, "size"), -1)};
    return strcmp(vt_json_str(vt_json_get(j, "type"), ""), "file") == 0 && out->size >= 0 && !strchr(out->path, '/') &&
           out->path[0] && out->path[0] != '.';
}

/* The hub's SHA-256 of a large file, in either case: what cannot be compared is not fetched. */
static vt_status read_hash(const struct hub *h, struct hub_file *f, vt_err *err)
{
    size_t n = 0;

    if (!f->oid)
        return VT_OK;
    while (n < VT_SHA256_HEX - 1 && isxdigit((unsigned char)f->oid[n])) {
        f->sha256[n] = (char)tolower((unsigned char)f->oid[n]);
        n++;
    }
    f->sha256[n] = '\0';
    return n == VT_SHA256_HEX - 1 && !f->oid[n]
               ? VT_OK
               : vt_fail(err, VT_EFORMAT,
                         "the hub at %.200s gives \"%.80s\" as the SHA-256 of %.200s of %.160s, which is none: what "
                         "comes could not be checked",
                         h->endpoint, f->oid, f->path, h->repo);
}

static bool ends_with(const char *text, const char *tail)
{
    const size_t n = strlen(text), k = strlen(tail);

    return n > k && strcmp(text + n - k, tail) == 0;
}

/* Weights: the shards that the index names, or the one file of them all. */
static bool is_weights(const char *path, bool has_index)
{
    return has_index ? strncmp(path, "model-", 6) == 0 && ends_with(path, ".safetensors")
                     : strcmp(path, "model.safetensors") == 0;
}

static bool is_wanted(const struct hub *h, const struct hub_file *f, bool has_index)
{
    static const char *const names[] = {CONFIG,
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "chat_template.jinja",
                                        "vocab.json",
                                        INDEX};

    if (h->gguf)
        return strcmp(f->path, h->gguf) == 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(f->path, names[i]) == 0)
            return true;
    return is_weights(f->path, has_index);
}

/* The files to fetch; what the repository must have. */
static vt_status choose(struct hub *h, struct hub_file *files, size_t *n, vt_err *err)
{
    char ggufs[200] = "";
    bool has_index = false, has_config = false, has_weights = false;
    struct hub_file f;

    *n = 0;
    for (const vt_json *j = vt_json_first(h->listing); j; j = vt_json_next(j))
        has_index = has_index || (read_file(j, &f) && strcmp(f.path, INDEX) == 0);
    for (const vt_json *j = vt_json_first(h->listing); j; j = vt_json_next(j)) {
        if (!read_file(j, &f))
            continue;
        if (ends_with(f.path, ".gguf") && strlen(ggufs) + strlen(f.path) + 3 < sizeof ggufs) {
            const size_t at = strlen(ggufs);
            snprintf(ggufs + at, sizeof ggufs - at, "%s%s", at ? ", " : "", f.path);
        }
        if (!is_wanted(h, &f, has_index) || *n == MAX_FILES)
            continue;
        has_config = has_config || strcmp(f.path, CONFIG) == 0;
        has_weights = has_weights || has_index || h->gguf || is_weights(f.path, has_index);
        VT_TRY(read_hash(h, &f, err));
        h->total += f.size;
        files[(*n)++] = f;
        if (strcmp(f.path, INDEX) == 0) { /* first, since it says what else there must be */
            files[*n - 1] = files[0];
            files[0] = f;
        }
    }
    if (h->gguf)
        return *n == 1 ? VT_OK
                       : vt_fail(err, VT_ENOENT, "%.160s has no file %.80s; it has %s", h->repo, h->gguf,
                                 ggufs[0] ? ggufs : "no .gguf file");
    if (has_config && has_weights)
        return VT_OK;
    return ggufs[0]
               ? vt_fail(err, VT_EINVAL, "%.160s has no safetensors, but .gguf files: name one, hf:%.160s/FILE (%s)",
                         h->repo, h->repo, ggufs)
               : vt_fail(err, VT_EFORMAT, "%.160s holds no model that vegttt reads: no config.json with safetensors",
                         h->repo);
}

/* --- fetching --- */

static void say(const struct hub *h, const char *line)
{
    if (h->progress)
        h->progress(h->arg, line);
}

static void on_bytes(void *arg, int64_t n_bytes)
{
    struct hub *h = arg;
    const double have = (double)(h->before + n_bytes), now = vt_now_s();
    char line[128];

    if (now - h->said_s < 5)
        return;
    h->said_s = now;
    snprintf(line, sizeof line, "%.1f of %.1f MB", have / 1e6, (double)h->total / 1e6);
    say(h, line);
}

static vt_status fetch_file(struct hub *h, const struct hub_file *f, vt_err *err)
{
    char url[2048], what[400], *path = place(h, ".part", f->path);
    vt_status status = path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");

    snprintf(url, sizeof url, "%s/%s/resolve/%s/%s", h->endpoint, h->repo, h->commit, f->path);
    snprintf(what, sizeof what, "%.200s of %.160s", f->path, h->repo);
    if (status == VT_OK && vt_fs_size(path) != f->size) /* it has its name once it is right */
        status = vt_net_download(h->net,
                                 &(struct vt_net_download){.url = url,
                                                           .path = path,
                                                           .credential = h->header[0] ? h->header : NULL,
                                                           .what = what,
                                                           .size = f->size,
                                                           .sha256 = f->oid ? f->sha256 : NULL,
                                                           .stop_fd = h->stop_fd,
                                                           .progress = on_bytes,
                                                           .arg = h},
                                 err);
    h->before += f->size;
    free(path);
    return status;
}

/* A shard that the index names is one of the files, or becomes one. */
static vt_status want_shard(struct hub *h, const char *shard, struct hub_file *files, size_t *n, vt_err *err)
{
    struct hub_file f;

    for (size_t i = 0; i < *n; i++)
        if (strcmp(files[i].path, shard) == 0)
            return VT_OK;
    for (const vt_json *j = vt_json_first(h->listing); j && *n < MAX_FILES; j = vt_json_next(j)) {
        if (!read_file(j, &f) || strcmp(f.path, shard) != 0)
            continue;
        VT_TRY(read_hash(h, &f, err));
        h->total += f.size;
        files[(*n)++] = f;
        return VT_OK;
    }
    return vt_fail(err, VT_EFORMAT,
                   "%.160s at %.12s is not whole: its " INDEX " names %.120s, which is not among its files; nothing of "
                   "it is used",
                   h->repo, h->commit, shard);
}

/* The index has come: every shard that it names is wanted. */
static vt_status want_shards(struct hub *h, struct hub_file *files, size_t *n, vt_err *err)
{
    char *path = place(h, ".part", INDEX);
    const char *last = "";
    struct vt_buf text = {0};
    vt_json *index = NULL;
    const vt_json *map;
    vt_status status = path ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");

    if (status == VT_OK)
        status = vt_fs_read(path, MAX_INDEX, &text, err);
    if (status == VT_OK)
        status = vt_json_parse(text.p, text.len, path, &index, err);
    map = vt_json_get(index, "weight_map");
    if (status == VT_OK && !vt_json_first(map))
        status = vt_fail(err, VT_EFORMAT, "the " INDEX " of %.160s names no weights (\"weight_map\")", h->repo);
    for (const vt_json *j = vt_json_first(map); j && status == VT_OK; j = vt_json_next(j)) {
        const char *shard = vt_json_str(j, "");

        if (strcmp(shard, last) != 0)
            status = want_shard(h, shard, files, n, err);
        last = shard;
    }
    vt_json_free(index);
    vt_buf_free(&text);
    free(path);
    return status;
}

static vt_status move(const struct hub *h, const char *file, vt_err *err)
{
    char *from = place(h, ".part", file), *to = place(h, "", file);
    vt_status status = from && to ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");

    if (status == VT_OK && rename(from, to) != 0)
        status = vt_fail(err, VT_EIO, "cannot move %s to %s: %s", from, to, strerror(errno));
    free(from);
    free(to);
    return status;
}

/* All files are whole: the folder gets its name, or, where there is one with a .gguf in it, what it lacks, config.json
 * last; and it is the newest. */
static vt_status publish(struct hub *h, const struct hub_file *files, size_t n, vt_err *err)
{
    char *folder = place(h, "", NULL), *part = place(h, ".part", NULL), *newest = vt_path_join(h->folder, "newest");
    vt_status status = folder && part && newest ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");

    if (status == VT_OK && h->gguf)
        status = vt_fs_mkdir_p(folder, err);
    if (status == VT_OK && !h->gguf && !vt_fs_exists(folder)) {
        status = move(h, NULL, err);
    } else if (status == VT_OK) {
        for (size_t i = 0; i < n && status == VT_OK; i++)
            if (strcmp(files[i].path, CONFIG) != 0)
                status = move(h, files[i].path, err);
        if (status == VT_OK && !h->gguf)
            status = move(h, CONFIG, err);
        (void)rmdir(part); /* stays where another pull has begun a file of it */
    }
    if (status == VT_OK)
        status = vt_fs_write_atomic(newest, h->commit, strlen(h->commit), err);
    free(folder);
    free(part);
    free(newest);
    return status;
}

static vt_status fetch_all(struct hub *h, vt_err *err)
{
    struct hub_file *files = vt_alloc_array(MAX_FILES, sizeof *files);
    char *part = place(h, ".part", NULL), line[256];
    size_t n = 0;
    vt_status status = files && part ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a list of files");

    if (status == VT_OK)
        status = list(h, err);
    if (status == VT_OK)
        status = choose(h, files, &n, err);
    if (status == VT_OK)
        status = vt_fs_mkdir_p(part, err);
    if (status == VT_OK) {
        snprintf(line, sizeof line, "fetching %.100s at %.12s: %zu files, %.1f MB", h->repo, h->commit, n,
                 (double)h->total / 1e6);
        say(h, line);
    }
    for (size_t i = 0; i < n && status == VT_OK; i++) {
        status = fetch_file(h, &files[i], err);
        if (status == VT_OK && strcmp(files[i].path, INDEX) == 0)
            status = want_shards(h, files, &n, err);
    }
    if (status == VT_OK)
        status = publish(h, files, n, err);
    free(files);
    free(part);
    return status;
}

static vt_status open_hub(struct hub *h, vt_err *err)
{
    const char *endpoint = getenv("HF_ENDPOINT"), *token = getenv("HF_TOKEN");
    const struct vt_http_opts o = {.key_env = "HF_TOKEN"};
    size_t n;

    snprintf(h->endpoint, sizeof h->endpoint, "%s", endpoint && *endpoint ? endpoint : DEFAULT_ENDPOINT);
    for (n = strlen(h->endpoint); n > 0 && h->endpoint[n - 1] == '/'; n--)
        h->endpoint[n - 1] = '\0';
    VT_TRY(vt_remote_check_url(h->endpoint, "HF_ENDPOINT", err));
    for (const char *c = token ? token : ""; *c; c++)
        if (!isgraph((unsigned char)*c))
            return vt_fail(err, VT_EINVAL,
                           "HF_TOKEN holds a character that no key has (white space, perhaps a newline)");
    if (token && *token)
        snprintf(h->header, sizeof h->header, "Authorization: Bearer %.1000s", token);
    VT_TRY(vt_net_open(&o, &h->net, err));
    return token && *token ? vt_http_add_secret(vt_net_http(h->net), token, "(hub token)", err) : VT_OK;
}

vt_status vt_hub_fetch(const char *name, int stop_fd, void (*progress)(void *arg, const char *line), void *arg,
                       char **path, vt_err *err)
{
    struct hub h = {.stop_fd = stop_fd, .progress = progress, .arg = arg};
    vt_status status = parse(name, &h, err);
    bool is_there = false;

    *path = NULL;
    if (status == VT_OK)
        status = set_folder(&h, err);
    if (status == VT_OK)
        status = open_hub(&h, err);
    if (status == VT_OK)
        status = find_commit(&h, err);
    if (status == VT_OK)
        status = is_whole(&h, &is_there, err);
    if (status == VT_OK && !is_there)
        status = fetch_all(&h, err);
    if (status == VT_OK) {
        *path = place(&h, "", h.gguf);
        if (!*path)
            status = vt_fail(err, VT_ENOMEM, "out of memory for a path");
    }
    close_hub(&h);
    return status;
}
