/* SPDX-License-Identifier: Apache-2.0
 *
 * store_tidy.c: how much a folder takes and gives back, and what can and cannot be removed as a run.
 */
#include "base/fs.h"
#include "no_memory.h"
#include "store/run.h"
#include "store/tidy.h"
#include <sys/stat.h>

static vt_err err;
static char root[64];

static const char *in_root(const char *name)
{
    static char path[4][256];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", root, name);
    return path[at];
}

static void begin(void)
{
    snprintf(root, sizeof root, "/tmp/vegttt-tidy-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void end(void)
{
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static void put(const char *name, size_t n)
{
    static const char bytes[4096];
    CHECK_OK(vt_fs_write_atomic(in_root(name), bytes, n, &err), err);
}

static struct vt_tree_size size_of(const char *name)
{
    struct vt_tree_size size = {0};
    CHECK_OK(vt_tree_size(in_root(name), &size, &err), err);
    return size;
}

/* A file of two names counts once; it is given back only with the folder that holds both. Links are not followed. */
static void linked_files(void)
{
    begin();
    CHECK_OK(vt_fs_mkdir_p(in_root("runs/a/ckpt"), &err), err);
    CHECK_OK(vt_fs_mkdir_p(in_root("runs/b"), &err), err);
    put("runs/a/one", 100);
    put("runs/a/ckpt/state", 1000);
    CHECK_INT(link(in_root("runs/a/ckpt/state"), in_root("runs/a/selected")), 0);
    CHECK_INT(size_of("runs/a").n_bytes, 1100);
    CHECK_INT(size_of("runs/a").n_freed, 1100);
    CHECK_INT(link(in_root("runs/a/ckpt/state"), in_root("runs/b/state")), 0);
    CHECK_INT(size_of("runs/a").n_bytes, 1100);
    CHECK_INT(size_of("runs/a").n_freed, 100);
    CHECK_INT(size_of("runs/b").n_freed, 0);
    CHECK_INT(size_of("runs").n_freed, 1100);
    CHECK_INT(symlink("../a", in_root("runs/b/link")), 0);
    CHECK_INT(size_of("runs/b").n_bytes, 1000);
    CHECK_INT(size_of("runs/a/one").n_bytes, 100);
    CHECK_INT(size_of("nothing").n_bytes, 0);
    /* Of both together it counts once, and goes. */
    char a[256], b[256];
    snprintf(a, sizeof a, "%s", in_root("runs/a"));
    snprintf(b, sizeof b, "%s", in_root("runs/b"));
    struct vt_tree_size both[2];
    CHECK_OK(vt_tree_sizes((const char *const[]){a, b}, 2, both, &err), err);
    CHECK_INT(both[0].n_freed, 1100);
    CHECK_INT(both[1].n_bytes + both[1].n_freed, 0);
    end();
}

static vt_run *open_run(const char *name)
{
    vt_run *r = NULL;
    char runs[128];
    snprintf(runs, sizeof runs, "%s", in_root("runs"));
    struct vt_run_spec spec = {.root = runs, .experiment = "e", .name = name};
    CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
    return r;
}

static void removal(void)
{
    begin();
    vt_run *r = open_run("one");
    const char *dir = in_root("runs/e/one");
    char kept[256];
    snprintf(kept, sizeof kept, "%s", dir);
    CHECK_INT(vt_run_remove(kept, true, &err), VT_EBUSY);
    CHECK_INT(vt_run_remove(kept, false, &err), VT_EBUSY);
    CHECK(vt_fs_exists(in_root("runs/e/one/run.json")));
    vt_run_close(r);
    CHECK_OK(vt_run_remove(kept, true, &err), err);
    CHECK(vt_fs_exists(in_root("runs/e/one/run.json")));
    CHECK(vt_fs_exists(in_root("runs/latest")));
    CHECK_INT(symlink("one", in_root("runs/e/by_link")), 0);
    CHECK_INT(vt_run_remove(in_root("runs/e/by_link"), false, &err), VT_EINVAL);
    CHECK_OK(vt_run_remove(kept, false, &err), err);
    CHECK(!vt_fs_exists(kept));
    struct stat st;
    CHECK(lstat(in_root("runs/latest"), &st) != 0); /* it led there */
    CHECK_INT(vt_run_remove(kept, false, &err), VT_ENOENT);
    /* Another run's removal leaves the link to the newest one. */
    vt_run_close(open_run("two"));
    vt_run_close(open_run("three"));
    CHECK_OK(vt_run_remove(in_root("runs/e/two"), false, &err), err);
    CHECK(vt_fs_exists(in_root("runs/latest/run.json")));
    /* What a crash left of one goes; a folder that is nobody's run stays. */
    CHECK_INT(unlink(in_root("runs/e/three/run.json")), 0);
    CHECK_OK(vt_run_remove(in_root("runs/e/three"), false, &err), err);
    CHECK_OK(vt_fs_mkdir_p(in_root("runs/e/mine"), &err), err);
    put("runs/e/mine/x", 1);
    CHECK_INT(vt_run_remove(in_root("runs/e/mine"), false, &err), VT_ENOENT);
    CHECK(vt_fs_exists(in_root("runs/e/mine/x")));
    end();
}

/* Several at once, of two folders: all that can go go, one in use and one that is no run are named by an error and
 * stay. */
static void many(void)
{
    enum { N = 40, IN_USE = 7 };
    static char paths[N + 1][256];
    const char *dirs[N + 1];
    bool is_removed[N + 1];
    begin();
    vt_run *kept = NULL;
    for (int i = 0; i < N; i++) {
        char name[32], runs[128];
        snprintf(name, sizeof name, "run%d", i);
        snprintf(runs, sizeof runs, "%s", in_root("runs"));
        struct vt_run_spec spec = {.root = runs, .experiment = i < N / 2 ? "e" : "f", .name = name};
        vt_run *r = NULL;
        CHECK_OK(vt_run_open(&spec, &r, NULL, &err), err);
        snprintf(paths[i], sizeof paths[i], "%s/%s/%s", runs, spec.experiment, name);
        dirs[i] = paths[i];
        if (i == IN_USE)
            kept = r;
        else
            vt_run_close(r);
    }
    CHECK_INT(vt_runs_remove(dirs, N, true, is_removed, &err), VT_EBUSY);
    CHECK(vt_fs_exists(dirs[0]) && !is_removed[0]);
    CHECK_INT(vt_runs_remove(dirs, N, false, is_removed, &err), VT_EBUSY);
    for (int i = 0; i < N; i++) {
        CHECK_INT(is_removed[i], i != IN_USE);
        CHECK_INT(vt_fs_exists(dirs[i]), i == IN_USE);
    }
    vt_run_close(kept);
    snprintf(paths[0], sizeof paths[0], "%s", in_root("runs/g/none"));
    dirs[1] = paths[IN_USE];
    CHECK_INT(vt_runs_remove(dirs, 2, false, is_removed, &err), VT_ENOENT);
    CHECK(!is_removed[0] && is_removed[1]);
    end();
}

static vt_status measure(void *arg, vt_err *e)
{
    struct vt_tree_size size;
    (void)arg;
    return vt_tree_size(in_root("a"), &size, e);
}

static void no_memory(void)
{
    begin();
    CHECK_OK(vt_fs_mkdir_p(in_root("a"), &err), err);
    put("a/x", 10);
    CHECK_INT(link(in_root("a/x"), in_root("a/y")), 0);
    fail_each("vt_tree_size", measure, NULL, MUST_FAIL);
    no_memory_total();
    end();
}

static const struct test_case cases[] = {TEST(linked_files), TEST(removal), TEST(many), TEST(no_memory)};
TEST_MAIN(cases)
