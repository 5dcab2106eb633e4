/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_hub.c: models of a hub, against tests/double/hub_server.py: connections that break in the middle of a file,
 * redirects, files that are not what the hub says, keys.
 */
#include "base/fs.h"
#include "base/sha256.h"
#include "harness.h"
#include "policy/hub.h"
#include "served.h"

#define FOLDER VT_SOURCE_DIR "/tests/golden/tiny/chat"
static const char *const commits[] = {"cccccccccccccccccccccccccccccccccccccccc",
                                      "dddddddddddddddddddddddddddddddddddddddd"};

static vt_err err;
static char cache[] = "/tmp/vegttt-hub-XXXXXX";

static struct served hub_of(const char *folder, const char *const *more)
{
    const char *args[20] = {folder};
    int n = 1;

    for (; more && *more; more++)
        args[n++] = *more;
    struct served s = serve("hub_server.py", args);
    setenv("HF_ENDPOINT", s.url, 1);
    return s;
}

static struct served hub(const char *const *more)
{
    return hub_of(FOLDER, more);
}

static int count_of(const struct served *s, const char *name)
{
    char command[256], line[512] = "";
    FILE *f;
    const char *at;

    snprintf(command, sizeof command,
             "python3 -c 'import urllib.request as u; print(u.urlopen(\"%s/counts\").read().decode())'", s->url);
    f = popen(command, "r");
    if (f && !fgets(line, sizeof line, f))
        line[0] = '\0';
    if (f)
        pclose(f);
    at = strstr(line, name);
    return at ? (int)strtol(at + strlen(name) + 2, NULL, 10) : -1;
}

static vt_status fetch(const char *name, char **path)
{
    return vt_hub_fetch(name, -1, NULL, NULL, path, &err);
}

static void empty_cache(void)
{
    CHECK_OK(vt_fs_remove_tree(cache, &err), err);
    CHECK_OK(vt_fs_mkdir_p(cache, &err), err);
}

/* The folder has the repository's files as they are. */
static void check_whole(const char *path)
{
    static const char *const files[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"};
    char **names = NULL;
    size_t n = 0;

    for (size_t i = 0; i < 4; i++) {
        char a[512], b[512], ha[65] = "a", hb[65] = "b";

        snprintf(a, sizeof a, "%s/%s", FOLDER, files[i]);
        snprintf(b, sizeof b, "%s/%s", path, files[i]);
        CHECK_OK(vt_sha256_file(a, ha, &err), err);
        CHECK_OK(vt_sha256_file(b, hb, &err), err);
        CHECK_STR(ha, hb);
    }
    CHECK_OK(vt_fs_list(path, &names, &n, &err), err);
    CHECK_INT(n, 4); /* nothing else: no pickle, no part */
    vt_fs_list_free(names, n);
}

static void a_folder_comes_whole_and_is_there_without_a_network(void)
{
    struct served s = hub(NULL);
    char *path = NULL, *again = NULL;

    empty_cache();
    CHECK_OK(vt_hub_find("hf:org/tiny", &path, &err), err);
    CHECK(path == NULL);
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    CHECK(path && strstr(path, "/org--tiny/cccccccc"));
    if (path)
        check_whole(path);
    CHECK_OK(fetch("hf:org/tiny", &again), err);
    CHECK_INT(count_of(&s, "files"), 4); /* nothing came twice */
    free(again);
    unserve(&s);
    CHECK_OK(vt_hub_find("hf:org/tiny", &again, &err), err);
    CHECK(again && path && strcmp(again, path) == 0);
    free(again);
    free(path);
}

/* What has come is kept, whether an attempt failed or the whole process was killed in the middle. */
static void a_connection_that_breaks_is_gone_on_with(void)
{
    const char *const cuts[] = {"--cut", "20000", "--redirect", NULL};
    struct served s = hub(cuts);
    const long long size = vt_fs_size(FOLDER "/model.safetensors");
    char *path = NULL;
    pid_t pid;
    int status;

    empty_cache();
    CHECK(size > 100000);
    pid = fork();
    if (pid == 0)
        _exit(fetch("hf:org/tiny", &path) == VT_OK ? 0 : 1);
    for (int i = 0; i < 400 && count_of(&s, "parts") < 2; i++)
        usleep(1000);
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    if (path)
        check_whole(path);
    CHECK(count_of(&s, "parts") >= 4);
    /* Each byte once, and what a killed process had not written yet. */
    CHECK(count_of(&s, "bytes") < size + 64 * 1024 + 40000);
    CHECK_INT(count_of(&s, "leaks"), 0);
    free(path);
    unserve(&s);
}

static void a_server_without_parts_is_read_from_the_beginning(void)
{
    const char *const args[] = {"--cut", "20000", "--cuts", "2", "--no-range", NULL};
    struct served s = hub(args);
    char *path = NULL;

    empty_cache();
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    if (path)
        check_whole(path);
    free(path);
    unserve(&s);
}

static void a_key_goes_to_the_hub_alone(void)
{
    const char *const args[] = {"--token", "hf_secret31415926", "--redirect", NULL};
    struct served s = hub(args);
    char *path = NULL;

    empty_cache();
    unsetenv("HF_TOKEN");
    CHECK_INT(fetch("hf:org/tiny", &path), VT_ENET);
    CHECK(strstr(err.msg, "401") && strstr(err.msg, "set HF_TOKEN"));
    setenv("HF_TOKEN", "hf_secret31415926", 1);
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    CHECK_INT(count_of(&s, "leaks"), 0);
    free(path);
    unserve(&s);
    const char *const echo[] = {"--echo-token", NULL};
    s = hub(echo);
    empty_cache();
    CHECK_INT(fetch("hf:org/tiny", &path), VT_ENET);
    CHECK(strstr(err.msg, "403") && !strstr(err.msg, "31415926"));
    unsetenv("HF_TOKEN");
    unserve(&s);
}

static void what_is_not_what_the_hub_says_is_dropped(void)
{
    static const struct {
        const char *args[6];
        const char *says;
    } rows[] = {{{"--wrong-hash"}, "its SHA-256 is another"},
                {{"--wrong-part", "--cut", "20000"}, "another part of it than was asked for"},
                {{"--oid", "0123abcd"}, "\"0123abcd\" as the SHA-256 of model.safetensors"}};

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct served s = hub(rows[i].args);
        char *path = NULL;

        empty_cache();
        CHECK_INT(fetch("hf:org/tiny", &path), VT_EFORMAT);
        if (!strstr(err.msg, rows[i].says))
            CHECK_STR(err.msg, rows[i].says);
        CHECK_OK(vt_hub_find("hf:org/tiny", &path, &err), err);
        CHECK(path == NULL);
        unserve(&s);
        s = hub(NULL); /* the same again, of an honest one */
        CHECK_OK(fetch("hf:org/tiny", &path), err);
        if (path)
            check_whole(path);
        free(path);
        unserve(&s);
    }
}

static void a_new_commit_is_another_folder(void)
{
    const char *const args[] = {"--commit", commits[1], NULL};
    struct served s = hub(NULL);
    char *first = NULL, *second = NULL, *found = NULL;

    empty_cache();
    CHECK_OK(fetch("hf:org/tiny", &first), err);
    unserve(&s);
    s = hub(args);
    CHECK_OK(fetch("hf:org/tiny", &second), err);
    CHECK(first && second && strstr(first, commits[0]) && strstr(second, commits[1]) && vt_fs_exists(first));
    CHECK_OK(vt_hub_find("hf:org/tiny", &found, &err), err);
    CHECK(found && second && strcmp(found, second) == 0);
    free(first);
    free(second);
    free(found);
    unserve(&s);
}

static void a_hash_in_upper_case_is_the_same(void)
{
    const char *const args[] = {"--oid", "upper", NULL};
    struct served s = hub(args);
    char *path = NULL;

    empty_cache();
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    if (path)
        check_whole(path);
    free(path);
    unserve(&s);
}

/* Of a day nobody wants to wait, and its milliseconds fit no int. */
static void a_pause_of_a_day_is_not_waited_for(void)
{
    const char *const args[] = {"--busy", "86400", NULL};
    struct served s = hub(args);
    char *path = NULL;

    empty_cache();
    CHECK_INT(fetch("hf:org/tiny", &path), VT_ENET);
    CHECK(strstr(err.msg, "it asks for a pause of 86400 s"));
    CHECK_INT(count_of(&s, "requests"), 4); /* two of the list, one of a file, this one: it is not tried again */
    unserve(&s);
}

/* A repository of a test: files of the tiny model, and what is written beside them. */
static const char *repository(const char *const *copied, const char *const *written)
{
    static char folder[64];
    char path[256];

    snprintf(folder, sizeof folder, "%s-repo", cache);
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
    CHECK_OK(vt_fs_mkdir_p(folder, &err), err);
    for (; *copied; copied++) {
        struct vt_buf b = {0};

        snprintf(path, sizeof path, "%s/%s", FOLDER, *copied);
        CHECK_OK(vt_fs_read(path, 1 << 24, &b, &err), err);
        snprintf(path, sizeof path, "%s/%s", folder, *copied);
        CHECK_OK(vt_fs_write_atomic(path, b.p, b.len, &err), err);
        vt_buf_free(&b);
    }
    for (; *written; written += 2) {
        snprintf(path, sizeof path, "%s/%s", folder, written[0]);
        CHECK_OK(vt_fs_write_atomic(path, written[1], strlen(written[1]), &err), err);
    }
    return folder;
}

/* One file of a commit does not stand for all of it, whichever comes first. */
static void a_gguf_of_a_repository_is_not_the_repository(void)
{
    const char *const copied[] = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", NULL};
    const char *const written[] = {"x.gguf", "GGUF of a test", "y.gguf", "another", NULL};
    const char *folder = repository(copied, written);
    struct served s = hub_of(folder, NULL);
    char *gguf = NULL, *path = NULL, *other = NULL, file[512];

    empty_cache();
    CHECK_OK(fetch("hf:org/tiny/x.gguf", &gguf), err);
    CHECK_OK(vt_hub_find("hf:org/tiny", &path, &err), err);
    CHECK(path == NULL);
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    CHECK_OK(fetch("hf:org/tiny/y.gguf", &other), err);
    CHECK(gguf && vt_fs_size(gguf) == 14);
    CHECK(other && vt_fs_size(other) == 7);
    for (int i = 0; path && i < 4; i++) {
        snprintf(file, sizeof file, "%s/%s", path, copied[i]);
        CHECK(vt_fs_exists(file));
    }
    free(path);
    CHECK_OK(vt_hub_find("hf:org/tiny", &path, &err), err);
    CHECK(path != NULL);
    CHECK_INT(count_of(&s, "files"), 6);
    free(path);
    free(gguf);
    free(other);
    unserve(&s);
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
}

#define SHARD(n) "model-0000" n "-of-00002.safetensors"

/* What the index names is there, also under a name that no shard usually has; or nothing is. */
static void every_shard_of_the_index_is_there_or_nothing(void)
{
    static const char index[] = "{\"weight_map\":{\"a\":\"" SHARD("1") "\",\"b\":\"extra.safetensors\"}}";
    const char *const copied[] = {"config.json", "tokenizer.json", NULL};
    const char *const lacks[] = {"model.safetensors.index.json", index, SHARD("1"), "first", NULL};
    const char *const has[] = {
        "model.safetensors.index.json", index, SHARD("1"), "first", "extra.safetensors", "more", NULL};
    const char *folder = repository(copied, lacks);
    struct served s = hub_of(folder, NULL);
    char *path = NULL, file[512];

    empty_cache();
    CHECK_INT(fetch("hf:org/tiny", &path), VT_EFORMAT);
    CHECK(strstr(err.msg, "names extra.safetensors, which is not among its files"));
    CHECK_INT(count_of(&s, "files"), 1); /* the index: no weights come in vain */
    CHECK_OK(vt_hub_find("hf:org/tiny", &path, &err), err);
    CHECK(path == NULL);
    unserve(&s);
    folder = repository(copied, has);
    s = hub_of(folder, NULL);
    CHECK_OK(fetch("hf:org/tiny", &path), err);
    snprintf(file, sizeof file, "%s/extra.safetensors", path ? path : "");
    CHECK_INT(vt_fs_size(file), 4);
    free(path);
    unserve(&s);
    CHECK_OK(vt_fs_remove_tree(folder, &err), err);
}

static void names_that_are_none_are_refused(void)
{
    static const char *const names[] = {"hf:",          "hf:tiny",     "hf:org/",           "hf:/tiny",
                                        "hf:../tiny",   "hf:org/../x", "hf:org/a b",        "hf:org/tiny/x.bin",
                                        "hf:.org/tiny", "hf:org/.t",   "hf:org/t/a/b.gguf", "hf:org/tiny?x"};
    char *path = NULL;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (vt_hub_find(names[i], &path, &err) != VT_EINVAL || !strstr(err.msg, "hf:ORGANISATION/NAME")) {
            printf("  %s was not refused\n", names[i]);
            test_failures_in_case++;
        }
    }
    struct served s = hub(NULL);
    CHECK_INT(fetch("hf:org/other", &path), VT_ENOENT);
    CHECK_INT(fetch("hf:org/tiny/x.gguf", &path), VT_ENOENT);
    CHECK(strstr(err.msg, "has no file x.gguf"));
    unserve(&s);
}

static const struct test_case cases[] = {TEST(a_folder_comes_whole_and_is_there_without_a_network),
                                         TEST(a_connection_that_breaks_is_gone_on_with),
                                         TEST(a_server_without_parts_is_read_from_the_beginning),
                                         TEST(a_key_goes_to_the_hub_alone),
                                         TEST(what_is_not_what_the_hub_says_is_dropped),
                                         TEST(a_new_commit_is_another_folder),
                                         TEST(a_hash_in_upper_case_is_the_same),
                                         TEST(a_pause_of_a_day_is_not_waited_for),
                                         TEST(a_gguf_of_a_repository_is_not_the_repository),
                                         TEST(every_shard_of_the_index_is_there_or_nothing),
                                         TEST(names_that_are_none_are_refused)};

int main(int argc, char **argv)
{
    without_proxies();
    unsetenv("HF_TOKEN");
    signal(SIGPIPE, SIG_IGN);
    if (!mkdtemp(cache))
        return 1;
    setenv("VEGTTT_CACHE", cache, 1);
    const int code = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    const vt_status removed = vt_fs_remove_tree(cache, NULL);

    return code ? code : removed != VT_OK;
}
