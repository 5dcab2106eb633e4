/* SPDX-License-Identifier: Apache-2.0
 *
 * store_run.c: the run directory: identity, resume, finish, locks between real processes, edited sources, blobs.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/sha256.h"
#include "harness.h"
#include "store/run.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static vt_err err;
static char root[64];
static vt_json *params;

static struct vt_run_spec begin(void)
{
    snprintf(root, sizeof root, "/tmp/vegttt-run-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    params = vt_json_object();
    vt_json_put_num(params, "steps", 5);
    vt_json_put_num(params, "lr", 1e-4);
    return (struct vt_run_spec){.root = root, .experiment = "boa", .params = params};
}

static void end(void)
{
    vt_json_free(params);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static vt_status put_line(struct vt_jsonl *w, int i)
{
    vt_buf_printf(vt_jsonl_begin(w), ",\"i\":%d", i);
    return vt_jsonl_end(w, &err);
}

/* The journal has the results 0..n-1 of record() and no further one. */
static bool has_results(vt_run *r, int n)
{
    char key[32];
    for (int i = 0; i <= n; i++) {
        snprintf(key, sizeof key, "key%d", i);
        if ((vt_json_int(vt_json_get(vt_journal_get(vt_run_journal(r), key), "i"), -1) == i) != (i < n))
            return false;
    }
    return true;
}

static vt_status record(vt_run *r, int i)
{
    char key[32];
    vt_json *o = vt_json_object();
    vt_json_put_int(o, "i", i);
    snprintf(key, sizeof key, "key%d", i);
    vt_status status = vt_journal_put(vt_run_journal(r), key, o, &err);
    for (int k = 0; k < VT_RUN_N_LINES && status == VT_OK; k++)
        status = put_line(vt_run_lines(r, (enum vt_run_lines)k), i);
    vt_json_free(o);
    return status;
}

static bool has_file(const vt_run *r, const char *name)
{
    char *path = vt_path_join(vt_run_dir(r), name);
    bool has = vt_fs_exists(path);
    free(path);
    return has;
}

static void id_depends_on_what_it_should(void)
{
    char a[VT_SHA256_HEX], b[VT_SHA256_HEX];
    vt_json *x = vt_json_object(), *y = vt_json_object();
    vt_json_put_num(x, "a", 1);
    vt_json_put_num(x, "b", 2);
    vt_json_put_num(y, "b", 2);
    vt_json_put_num(y, "a", 1);
    CHECK_OK(vt_run_id_of("boa", x, 0, a, &err), err);
    CHECK_OK(vt_run_id_of("boa", y, 0, b, &err), err);
    CHECK_STR(a, b); /* the order of parameters does not matter */
    CHECK_OK(vt_run_id_of("boa", y, 1, b, &err), err);
    CHECK(strcmp(a, b) != 0);
    CHECK_OK(vt_run_id_of("sdpo", x, 0, b, &err), err);
    CHECK(strcmp(a, b) != 0);
    vt_json_put_num(y, "a", 1.0000000000000002);
    CHECK_OK(vt_run_id_of("boa", y, 0, b, &err), err);
    CHECK(strcmp(a, b) != 0);
    vt_json_free(x);
    vt_json_free(y);
}

static void resume_and_finish(void)
{
    struct vt_run_spec spec = begin();
    struct vt_run_state state;
    vt_run *r;
    char dir[256];
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(!state.is_resumed && !state.is_finished);
    CHECK_INT(state.attempt, 1);
    CHECK_OK(record(r, 0), err);
    CHECK(has_file(r, "run.json") && has_file(r, "params.json") && has_file(r, "env.json") &&
          has_file(r, "log/attempt_01.log"));
    char *table;
    CHECK_OK(vt_run_path(r, "tables/x.csv", &table, &err), err);
    CHECK_OK(vt_fs_write_atomic(table, "a\r\n", 3, &err), err);
    free(table);
    CHECK_INT(vt_run_path(r, "../x", &table, &err), VT_EINVAL);
    snprintf(dir, sizeof dir, "%s", vt_run_dir(r));
    vt_run_close(r);

    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(state.is_resumed && !state.is_finished);
    CHECK_INT(state.attempt, 2);
    CHECK_STR(vt_run_dir(r), dir);
    CHECK(has_results(r, 1));
    CHECK(vt_run_lines(r, VT_RUN_ROLLOUTS)->len > 0 && vt_run_lines(r, VT_RUN_EVALS)->len > 0);
    CHECK(vt_run_lines(r, VT_RUN_METRICS)->len == 0 && vt_run_lines(r, VT_RUN_METER)->len == 0);
    CHECK(!has_file(r, "tables/x.csv"));
    CHECK_OK(record(r, 1), err);
    CHECK_OK(vt_run_finish(r, params, &err), err);
    vt_run_close(r);

    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(state.is_resumed && state.is_finished);
    CHECK_INT(state.attempt, 2);
    CHECK(vt_run_journal(r) == NULL && vt_run_lines(r, VT_RUN_METER) == NULL);
    char *meter = vt_path_join(dir, "meter.jsonl");
    CHECK(vt_fs_size(meter) > 0); /* looking at a finished run leaves it whole */
    free(meter);
    CHECK(has_file(r, "summary.json") && !has_file(r, "log/attempt_03.log"));
    vt_run_close(r);

    const char *stale[] = {"elsewhere", dir};
    spec.stale = stale; /* its inputs are not what they were */
    spec.n_stale = 2;
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(!state.is_resumed && strcmp(vt_run_dir(r), dir) != 0);
    vt_run_close(r);
    spec.n_stale = 1; /* the newest of two */
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(!state.is_finished && strcmp(vt_run_dir(r), dir) != 0);
    snprintf(dir, sizeof dir, "%s", vt_run_dir(r));
    vt_run_close(r);
    struct vt_run_entry *runs;
    size_t n_runs;
    CHECK_OK(vt_run_list(spec.root, spec.experiment, &runs, &n_runs, &err), err);
    CHECK_INT(n_runs, 2);
    CHECK_STR(runs[0].dir, dir);
    CHECK_STR(vt_json_str(vt_json_get(runs[1].about, "experiment"), ""), spec.experiment);
    vt_run_list_free(runs, n_runs);
    CHECK_OK(vt_run_list(spec.root, "nothing", &runs, &n_runs, &err), err);
    CHECK_INT(n_runs, 0);
    vt_run_list_free(runs, n_runs);
    char link[300], target[300] = "";
    snprintf(link, sizeof link, "%s/latest", root);
    CHECK(readlink(link, target, sizeof target - 1) > 0);
    CHECK_STR(target, dir + strlen(root) + 1);
    end();
}

static void write_into(const vt_run *r, const char *name)
{
    char *path = NULL;
    CHECK_OK(vt_run_path(r, name, &path, &err), err);
    CHECK_OK(vt_fs_write_atomic(path, "x", 1, &err), err);
    free(path);
}

/* What a resumed run keeps of the attempt before, and what it takes away; how attempts are counted. */
static void what_an_attempt_leaves(void)
{
    struct vt_run_spec spec = begin();
    struct vt_run_state state;
    vt_json *first = vt_json_object(), *second = vt_json_object();
    struct vt_buf text;
    char path[300], target[300] = "", latest[300] = "";
    vt_run *r;
    vt_json_put_str(first, "machine", "the first");
    vt_json_put_str(second, "machine", "the second");
    spec.env = first;
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    write_into(r, "tables/x.csv");
    write_into(r, "plots/x.svg");
    write_into(r, "log/attempt_99.log");
    write_into(r, "log/attempt_100.log"); /* before 99 in a sorted list */
    vt_run_close(r);
    spec.env = second;
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK_INT(state.attempt, 101);
    CHECK(has_file(r, "log/attempt_101.log") && !has_file(r, "tables/x.csv") && !has_file(r, "plots/x.svg"));
    snprintf(path, sizeof path, "%s/env.json", vt_run_dir(r));
    CHECK_OK(vt_fs_read(path, 1 << 20, &text, &err), err);
    CHECK(strstr(text.p, "the first") != NULL && strstr(text.p, "the second") == NULL);
    vt_buf_free(&text);
    vt_run_close(r);
    /* A cell of a sweep is not the latest run: its sweep is. */
    snprintf(path, sizeof path, "%s/latest", root);
    CHECK(readlink(path, latest, sizeof latest - 1) > 0);
    vt_json_put_num(params, "lr", 2e-4);
    spec.is_part = true;
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(!state.is_resumed);
    vt_run_close(r);
    CHECK(readlink(path, target, sizeof target - 1) > 0);
    CHECK_STR(target, latest);
    vt_json_free(first);
    vt_json_free(second);
    end();
}

static void fresh_named_and_other_parameters(void)
{
    struct vt_run_spec spec = begin();
    struct vt_run_state state;
    vt_run *first, *second, *r;
    CHECK_OK(vt_run_open(&spec, &first, &state, &err), err);
    spec.is_fresh = true;
    CHECK_OK(vt_run_open(&spec, &second, &state, &err), err);
    CHECK(!state.is_resumed);
    CHECK(strcmp(vt_run_dir(first), vt_run_dir(second)) != 0);
    spec.is_fresh = false;
    char newest[256];
    snprintf(newest, sizeof newest, "%s", vt_run_dir(second));
    vt_run_close(first);
    vt_run_close(second);
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK_STR(vt_run_dir(r), newest);
    vt_run_close(r);
    spec.name = "mine";
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(!state.is_resumed);
    vt_run_close(r);
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(state.is_resumed);
    vt_run_close(r);
    spec.replicate = 1;
    CHECK_INT(vt_run_open(&spec, &r, &state, &err), VT_EINVAL);
    CHECK(strstr(err.msg, "other parameters") != NULL);
    static const char *const bad[] = {"", "..", ".x", "a/b", "-x", "a b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        spec.name = bad[i];
        CHECK_INT(vt_run_open(&spec, &r, &state, &err), VT_EINVAL);
    }
    end();
}

/* Starts `n` processes that open the run at the same moment and hold it; returns how many got it. */
static int race(const struct vt_run_spec *spec, int n, pid_t *pids)
{
    int go[2], told[2], n_winners = 0;
    CHECK_INT(pipe(go), 0);
    CHECK_INT(pipe(told), 0);
    for (int i = 0; i < n; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char c;
            vt_run *r;
            close(go[1]);
            (void)!read(go[0], &c, 1); /* end of file is the signal */
            vt_status status = vt_run_open(spec, &r, NULL, &err);
            c = status == VT_OK ? 'w' : status == VT_EBUSY && strstr(err.msg, "process ") ? 'b' : '?';
            (void)!write(told[1], &c, 1);
            pause();
            _exit(0);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < n; i++) {
        char c = '?';
        CHECK_INT(read(told[0], &c, 1), 1);
        CHECK(c == 'w' || c == 'b');
        n_winners += c == 'w';
    }
    close(told[0]);
    close(told[1]);
    return n_winners;
}

static void racing_processes_and_stale_lock(void)
{
    enum { N = 6 };
    struct vt_run_spec spec = begin();
    for (int round = 0; round < 5; round++) {
        pid_t pids[N];
        vt_run *r;
        CHECK_INT(race(&spec, N, pids), 1);
        CHECK_INT(vt_run_open(&spec, &r, NULL, &err), VT_EBUSY);
        for (int i = 0; i < N; i++) {
            kill(pids[i], SIGKILL); /* the winner dies with the lock in its hand */
            waitpid(pids[i], NULL, 0);
        }
        CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
        vt_run_close(r);
    }
    char folder[128], **names;
    size_t n;
    snprintf(folder, sizeof folder, "%s/boa", root);
    CHECK_OK(vt_fs_list(folder, &names, &n, &err), err);
    CHECK_INT(n, 1); /* no racer made a second directory */
    vt_fs_list_free(names, n);
    end();
}

static void killed_run_resumes(void)
{
    struct vt_run_spec spec = begin();
    int told[2], i, last = -1;
    CHECK_INT(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        vt_run *r;
        if (vt_run_open(&spec, &r, NULL, &err) != VT_OK)
            _exit(1);
        for (i = 0;; i++)
            if (record(r, i) != VT_OK || write(told[1], &i, sizeof i) != (ssize_t)sizeof i)
                _exit(1);
    }
    close(told[1]);
    while (last < 200 && read(told[0], &i, sizeof i) == (ssize_t)sizeof i)
        last = i;
    kill(pid, SIGKILL);
    while (read(told[0], &i, sizeof i) == (ssize_t)sizeof i)
        last = i;
    waitpid(pid, NULL, 0);
    close(told[0]);
    vt_run *r;
    struct vt_run_state state;
    CHECK_OK(vt_run_open(&spec, &r, &state, &err), err);
    CHECK(state.is_resumed && state.attempt == 2);
    CHECK(has_results(r, last + 1) || has_results(r, last + 2)); /* told of `last`, killed at any later moment */
    vt_run_close(r);
    end();
}

static void edited_sources_stand_side_by_side(void)
{
    struct vt_run_spec spec = begin();
    vt_run *r;
    bool is_edited;
    CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
    static const struct {
        const char *text;
        bool is_edited;
    } puts[] = {{"one", false}, {"one", false}, {"two", true}, {"two", false}, {"one", false}, {"", true}};
    for (int i = 0; i < 6; i++) {
        CHECK_OK(vt_run_source_put(r, "lua/boa.lua", puts[i].text, strlen(puts[i].text), &is_edited, &err), err);
        CHECK_INT(is_edited, puts[i].is_edited);
    }
    CHECK(has_file(r, "source/lua+boa.lua") && has_file(r, "source/lua+boa.lua.2") &&
          has_file(r, "source/lua+boa.lua.3"));
    CHECK_OK(vt_run_source_put(r, "../../../escape", "x", 1, &is_edited, &err), err);
    CHECK(has_file(r, "source/..+..+..+escape"));
    vt_run_close(r);
    end();
}

static void blobs(void)
{
    struct vt_run_spec spec = begin();
    vt_run *r;
    char hex[VT_SHA256_HEX];
    struct vt_buf out;
    CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
    CHECK_OK(vt_run_blob_put(r, "abc", 3, hex, &err), err);
    CHECK_OK(vt_run_blob_put(r, "abc", 3, hex, &err), err);
    CHECK_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    char *path =
        vt_path_join(vt_run_dir(r), "blobs/ba/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK_OK(vt_fs_read(path, 100, &out, &err), err);
    CHECK_STR(out.p, "abc");
    vt_buf_free(&out);
    free(path);
    vt_run_close(r);
    end();
}

static void damage_is_one_sentence(void)
{
    struct vt_run_spec spec = begin();
    vt_run *r;
    CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
    char *journal;
    CHECK_OK(vt_run_path(r, "journal.jsonl", &journal, &err), err);
    vt_run_close(r);
    CHECK_OK(vt_fs_write_atomic(journal, "{\"key\":\"a\",\"value\":1}\n{oops}\n", 29, &err), err);
    CHECK_INT(vt_run_open(&spec, &r, NULL, &err), VT_EFORMAT);
    CHECK(strstr(err.msg, "line 2 of ") && strstr(err.msg, journal));
    free(journal);
    spec.root = "/proc/vegttt";
    CHECK(vt_run_open(&spec, &r, NULL, &err) != VT_OK);
    CHECK(strstr(err.msg, "/proc/vegttt") != NULL);
    end();
}

static void read_only_root(void)
{
    bool is_root = geteuid() == 0; /* root may write anywhere, so be nobody for the length of one call */
    struct vt_run_spec spec = begin();
    vt_run *r;
    CHECK_INT(chmod(root, 0555), 0);
    if (is_root)
        CHECK_INT(seteuid(65534), 0);
    vt_status status = vt_run_open(&spec, &r, NULL, &err);
    if (is_root)
        CHECK_INT(seteuid(0), 0);
    CHECK_INT(status, VT_EIO);
    CHECK(strstr(err.msg, root) && strstr(err.msg, "Permission denied"));
    chmod(root, 0755);
    end();
}

static const struct test_case cases[] = {
    TEST(id_depends_on_what_it_should),
    TEST(resume_and_finish),
    TEST(what_an_attempt_leaves),
    TEST(fresh_named_and_other_parameters),
    TEST(racing_processes_and_stale_lock),
    TEST(killed_run_resumes),
    TEST(edited_sources_stand_side_by_side),
    TEST(blobs),
    TEST(damage_is_one_sentence),
    TEST(read_only_root),
};
TEST_MAIN(cases)
