/* SPDX-License-Identifier: Apache-2.0
 *
 * base_owned.c: folders that go with their process: a killed owner's is removed by the next, a living one's never, also
 * where process numbers say nothing because the owner lives in another container.
 */
#include "base/fs.h"
#include "base/owned.h"
#include "harness.h"
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char parent[] = "/tmp/vegttt-owned-XXXXXX";

static size_t count(void)
{
    char **names;
    size_t n = 0;
    vt_err err;
    CHECK_OK(vt_fs_list(parent, &names, &n, &err), err);
    vt_fs_list_free(names, n);
    return n;
}

static void living_and_dead(void)
{
    struct vt_owned a, b;
    vt_err err;
    int told[2], ends[2];
    char word;
    CHECK(pipe(told) == 0 && pipe(ends) == 0);
    CHECK_OK(vt_owned_make(parent, "x-", &a, &err), err);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { /* another owner; where it may, in a space of its own, in which its number is 1 */
        struct vt_owned mine;
        close(a.fd);
        if (unshare(CLONE_NEWPID) == 0 && fork() != 0) {
            close(ends[1]);
            wait(NULL);
            _exit(0);
        }
        close(told[0]);
        close(ends[1]);
        word = vt_owned_make(parent, "x-", &mine, NULL) == VT_OK ? 'y' : 'n';
        (void)!write(told[1], &word, 1);
        (void)!read(ends[0], &word, 1); /* until the test closes it; then it dies with its folder left behind */
        _exit(0);
    }
    close(told[1]);
    close(ends[0]);
    CHECK(read(told[0], &word, 1) == 1 && word == 'y');
    CHECK_OK(vt_owned_make(parent, "x-", &b, &err), err);
    CHECK_INT(count(), 3);
    CHECK(vt_fs_is_dir(a.path) && vt_fs_is_dir(b.path));
    vt_owned_remove(&b);
    close(ends[1]);
    CHECK(waitpid(pid, NULL, 0) == pid);
    CHECK_INT(count(), 2);
    CHECK_OK(vt_owned_make(parent, "x-", &b, &err), err);
    CHECK_INT(count(), 2); /* the dead one's went, this one came */
    vt_owned_remove(&a);
    vt_owned_remove(&a);
    vt_owned_remove(&b);
    CHECK_INT(count(), 0);
    close(told[0]);
}

/* Folders of another prefix, links and files are nobody's business. */
static void others(void)
{
    char path[100];
    struct vt_owned a;
    vt_err err;
    struct stat st;
    snprintf(path, sizeof path, "%s/y-mine", parent);
    CHECK(mkdir(path, 0700) == 0);
    snprintf(path, sizeof path, "%s/x-link", parent);
    CHECK(symlink("y-mine", path) == 0);
    CHECK_OK(vt_owned_make(parent, "x-", &a, &err), err);
    CHECK_INT(count(), 3);
    CHECK(stat(a.path, &st) == 0);
    CHECK_INT(st.st_mode & 0777, 0711);
    vt_owned_remove(&a);
    CHECK_INT(vt_owned_make("/nonexistent", "x-", &a, &err), VT_EIO);
    CHECK(strstr(err.msg, "/nonexistent/x-") != NULL);
    CHECK(!a.path);
}

int main(int argc, char **argv)
{
    static const struct test_case cases[] = {TEST(living_and_dead), TEST(others)};
    CHECK(mkdtemp(parent) != NULL);
    int failed = test_main(cases, sizeof cases / sizeof cases[0], argc, argv);
    (void)!vt_fs_remove_tree(parent, NULL);
    return failed;
}
