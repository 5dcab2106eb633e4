/* SPDX-License-Identifier: Apache-2.0
 *
 * bind_no_memory.c: what the Lua half calls of the engine, with each allocation failing in turn, Lua's own among them
 * (for which Lua collects garbage and tries again: a value that is not anchored then shows). Each call must succeed or
 * raise an error of memory; the state, the policy and the run it works on stay usable. A turn that waits for an
 * operation waits for ever when its end gets lost.
 */
#define NO_MEMORY_DENSE 100 /* each call writes files or runs a model */
#include "base/fs.h"
#include "bind/bind.h"
#include "no_memory.h"

#define CHAT VT_SOURCE_DIR "/tests/golden/tiny/chat"

static char said[1024], root[] = "/tmp/vegttt-memory-XXXXXX";
static vt_bind *bind;

static void keep(void *arg, enum vt_output stream, const char *text, size_t len)
{
    (void)arg;
    (void)stream;
    snprintf(said, sizeof said, "%.*s", (int)(len < 1000 ? len : 1000), text);
}

static void no_progress(void *arg, const struct vt_progress *p)
{
    (void)arg;
    (void)p;
}

static void never(void *arg, int exit_code, const char *err_text, const char *out_text)
{
    (void)arg;
    (void)exit_code;
    (void)err_text;
    (void)out_text;
    abort();
}

static const struct vt_bind_host host = {
    .lua_dir = VT_SOURCE_DIR "/tests/unit/bind_lua", .print = keep, .progress = no_progress, .stop_now = never};

static vt_status open_call(void *arg, vt_err *err)
{
    vt_bind *b = NULL;
    (void)arg;
    VT_TRY(vt_bind_open(&host, &b, err));
    vt_bind_close(b);
    return VT_OK;
}

static vt_status main_call(void *arg, vt_err *err)
{
    char spec[] = CHAT, *argv[] = {arg, root, spec};
    int exit_code = -1;
    vt_status s = vt_bind_main(bind, "vegttt.calls", 3, argv, &exit_code, err);
    if (s != VT_OK)
        return strstr(err->msg, "memory") ? vt_fail(err, VT_ENOMEM, "no memory") : s;
    if (exit_code == 0)
        return VT_OK;
    return exit_code == 1 ? vt_fail(err, VT_ENOMEM, "%s", said)
                          : vt_fail(err, VT_EINTERNAL, "exit %d: %s", exit_code, said);
}

static void every_call(void)
{
    static char calls[][8] = {"values", "task",   "files", "run",    "store",  "open",
                              "text",   "sample", "score", "update", "halves", "close"};
    vt_err err;
    CHECK(mkdtemp(root) != NULL);
    fail_each("vt_bind_open", open_call, NULL, MAY_SUCCEED);
    CHECK_OK(vt_bind_open(&host, &bind, &err), err);
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        fail_each(calls[i], main_call, calls[i], MAY_SUCCEED);
    vt_bind_close(bind);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};

TEST_MAIN(cases)
