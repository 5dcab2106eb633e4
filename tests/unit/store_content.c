/* SPDX-License-Identifier: Apache-2.0
 *
 * store_content.c: the content store: put and get, least recently used first, what changed since the listing stays, and
 * writers, readers and trimmers at once.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "harness.h"
#include "store/content.h"
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>

static vt_err err;
static char root[64];

static vt_content *begin(void)
{
    vt_content *c = NULL;
    char dir[80];
    snprintf(root, sizeof root, "/tmp/vegttt-content-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    snprintf(dir, sizeof dir, "%s/a/b", root);
    CHECK_OK(vt_content_open(dir, &c, &err), err);
    return c;
}

static void end(vt_content *c)
{
    vt_content_close(c);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static const char *key_of(int i)
{
    static char key[4][32];
    static int at;
    at = (at + 1) % 4;
    snprintf(key[at], sizeof key[at], "%08x%08x", (unsigned)i * 2654435761u, (unsigned)i);
    return key[at];
}

static const char *path_of(const vt_content *c, enum vt_content_kind kind, int i)
{
    static char path[4][256];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s/%.2s/%s", vt_content_dir(c),
             kind == VT_CONTENT_BUILD   ? "build"
             : kind == VT_CONTENT_CHECK ? "check"
                                        : "sample",
             key_of(i), key_of(i));
    return path[at];
}

static bool has(const vt_content *c, int i)
{
    return vt_fs_exists(path_of(c, VT_CONTENT_BUILD, i));
}

/* Ages a file by hand: timestamps, not sleeps, decide the order. */
static void set_used(const char *path, long seconds)
{
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_builds(vt_content *c, int n)
{
    for (int i = 0; i < n; i++) {
        CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(i), "0123456789", 10, &err), err);
        set_used(path_of(c, VT_CONTENT_BUILD, i), 1000 + i);
    }
}

static void get_build(vt_content *c, int i)
{
    struct vt_buf out;
    CHECK_OK(vt_content_get(c, VT_CONTENT_BUILD, key_of(i), 100, &out, &err), err);
    CHECK_STR(out.p, "0123456789");
    vt_buf_free(&out);
}

static void put_get(void)
{
    vt_content *c = begin();
    struct vt_content_listing l;
    struct vt_buf out;
    CHECK_INT(vt_content_get(c, VT_CONTENT_CHECK, key_of(1), 100, &out, &err), VT_ENOENT);
    CHECK_OK(vt_content_put(c, VT_CONTENT_CHECK, key_of(1), "one", 3, &err), err);
    CHECK_OK(vt_content_put(c, VT_CONTENT_CHECK, key_of(1), "other bytes", 11, &err), err); /* never replaces */
    CHECK(vt_fs_exists(path_of(c, VT_CONTENT_CHECK, 1)));
    CHECK_INT(vt_content_get(c, VT_CONTENT_BUILD, key_of(1), 100, &out, &err), VT_ENOENT);
    CHECK_INT(vt_content_get(c, VT_CONTENT_CHECK, key_of(1), 2, &out, &err), VT_ELIMIT);
    CHECK_OK(vt_content_get(c, VT_CONTENT_CHECK, key_of(1), 3, &out, &err), err);
    CHECK_STR(out.p, "one");
    vt_buf_free(&out);
    static const char *const bad[] = {"", "abcdef0", "../../escaped", "0123456789ABCDEF", "01234567/89"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(vt_content_put(c, VT_CONTENT_BUILD, bad[i], "x", 1, &err), VT_EINVAL);
    CHECK_OK(vt_content_list(c, &l, &err), err);
    CHECK_INT(l.n, 1);
    CHECK_INT(l.n_bytes, 3 + VT_CONTENT_SEAL);
    vt_content_listing_free(&l);
    end(c);
}

/* Absent, and gone, so that the next put makes it whole. */
static void expect_damaged(vt_content *c, const char *path)
{
    struct vt_buf out;
    CHECK_INT(vt_content_get(c, VT_CONTENT_BUILD, key_of(0), 100, &out, &err), VT_ENOENT);
    CHECK(!vt_fs_exists(path));
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(0), "0123456789", 10, &err), err);
    get_build(c, 0);
}

static void damaged_is_absent(void)
{
    vt_content *c = begin();
    const char *path = path_of(c, VT_CONTENT_BUILD, 0);
    struct vt_buf file, out;
    put_builds(c, 1);
    CHECK_OK(vt_fs_read(path, 1000, &file, &err), err);
    CHECK_INT(file.len, 10 + VT_CONTENT_SEAL);
    for (size_t i = 0; i < file.len; i++) {
        file.p[i] ^= 1;
        CHECK_OK(vt_fs_write_atomic(path, file.p, file.len, &err), err);
        expect_damaged(c, path);
        file.p[i] ^= 1;
        CHECK_OK(vt_fs_write_atomic(path, file.p, i, &err), err);
        expect_damaged(c, path);
    }
    /* While somebody else uses it, it is only absent. */
    CHECK_OK(vt_fs_write_atomic(path, "not sealed", 10, &err), err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    CHECK_INT(flock(fd, LOCK_SH), 0);
    CHECK_INT(vt_content_get(c, VT_CONTENT_BUILD, key_of(0), 100, &out, &err), VT_ENOENT);
    CHECK(vt_fs_exists(path));
    close(fd);
    expect_damaged(c, path);
    vt_buf_free(&file);
    end(c);
}

static void oldest_go_first(void)
{
    vt_content *c = begin();
    struct vt_content_listing l;
    put_builds(c, 10);
    get_build(c, 0); /* a get makes it the latest, and so does a put */
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(1), "0123456789", 10, &err), err);
    CHECK_OK(vt_content_list(c, &l, &err), err);
    CHECK_INT(l.n, 10);
    const uint64_t each = 10 + VT_CONTENT_SEAL;
    CHECK_INT(l.n_bytes, 10 * each);
    CHECK_INT(vt_content_trim(&l, 10 * each, NULL), 0);
    CHECK_INT(vt_content_trim(&l, 6 * each + 1, NULL), 4);
    for (int i = 0; i < 10; i++)
        CHECK_INT(has(c, i), i < 2 || i > 5);
    vt_content_listing_free(&l);
    end(c);
}

/* Between the listing and the removal anything may happen in other processes. */
static void used_since_it_was_listed(void)
{
    vt_content *c = begin();
    struct vt_content_listing old, now;
    put_builds(c, 5);
    CHECK_OK(vt_content_list(c, &old, &err), err);
    get_build(c, 0);
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(1), "0123456789", 10, &err), err);
    CHECK_INT(unlink(path_of(c, VT_CONTENT_BUILD, 2)), 0); /* another process trims, a third one makes it anew */
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(2), "0123456789", 10, &err), err);
    int fd = open(path_of(c, VT_CONTENT_BUILD, 3), O_RDONLY | O_CLOEXEC); /* a reader of object 3 is at work */
    CHECK_INT(flock(fd, LOCK_SH), 0);
    CHECK_INT(vt_content_trim(&old, 0, NULL), 1);
    for (int i = 0; i < 5; i++)
        CHECK_INT(has(c, i), i != 4);
    close(fd);
    CHECK_OK(vt_content_list(c, &now, &err), err);
    CHECK_INT(vt_content_trim(&now, 0, NULL), 4);
    vt_content_listing_free(&old);
    vt_content_listing_free(&now);
    end(c);
}

/* A trim that has locked an object is about to remove it: a reader waits for that, and then there is none. */
static void a_reader_waits_for_a_trim(void)
{
    vt_content *c = begin();
    struct vt_buf out;
    int ready[2];
    char byte;
    put_builds(c, 1);
    CHECK_INT(pipe(ready), 0);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(path_of(c, VT_CONTENT_BUILD, 0), O_RDONLY | O_CLOEXEC);
        if (flock(fd, LOCK_EX) != 0 || write(ready[1], "y", 1) != 1)
            _exit(1);
        vt_sleep_ms(100);
        _exit(unlink(path_of(c, VT_CONTENT_BUILD, 0)) != 0);
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    CHECK_INT(vt_content_get(c, VT_CONTENT_BUILD, key_of(0), 100, &out, &err), VT_ENOENT);
    int status = -1;
    CHECK_INT(waitpid(pid, &status, 0), pid);
    CHECK_INT(status, 0);
    close(ready[0]);
    close(ready[1]);
    end(c);
}

static void what_a_crash_left(void)
{
    vt_content *c = begin();
    struct vt_content_listing l;
    char old[300], young[300];
    put_builds(c, 1);
    snprintf(old, sizeof old, "%s.tmp-1-0", path_of(c, VT_CONTENT_BUILD, 0));
    snprintf(young, sizeof young, "%s.tmp-2-0", path_of(c, VT_CONTENT_BUILD, 0));
    CHECK_OK(vt_fs_write_atomic(old, "0123", 4, &err), err);
    CHECK_OK(vt_fs_write_atomic(young, "0123", 4, &err), err);
    set_used(old, 500);
    CHECK_OK(vt_content_list(c, &l, &err), err);
    CHECK_INT(l.n, 2);
    CHECK_INT(vt_content_trim(&l, 10 + VT_CONTENT_SEAL, NULL), 1);
    CHECK(has(c, 0) && !vt_fs_exists(old) && vt_fs_exists(young));
    vt_content_listing_free(&l);
    end(c);
}

/* Makes the store too large by a hole of VT_CONTENT_MAX_BYTES in object 0, which is then the oldest. */
static void fill(vt_content *c)
{
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(0), "", 0, &err), err);
    CHECK_INT(truncate(path_of(c, VT_CONTENT_BUILD, 0), (off_t)VT_CONTENT_MAX_BYTES), 0);
    set_used(path_of(c, VT_CONTENT_BUILD, 0), 1000);
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(1), "new", 3, &err), err);
}

static vt_content *reopen(vt_content *c)
{
    char dir[80];
    snprintf(dir, sizeof dir, "%s", vt_content_dir(c));
    vt_content_close(c);
    CHECK_OK(vt_content_open(dir, &c, &err), err);
    return c;
}

static void trimmed_once_a_day(void)
{
    vt_content *c = begin();
    char stamp[128];
    fill(c);
    c = reopen(c);
    CHECK(!has(c, 0) && has(c, 1));
    fill(c);
    c = reopen(c); /* not again today */
    CHECK(has(c, 0));
    snprintf(stamp, sizeof stamp, "%s/trimmed", vt_content_dir(c));
    set_used(stamp, 1000);
    c = reopen(c); /* it put nothing */
    CHECK(has(c, 0));
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(2), "new", 3, &err), err);
    c = reopen(c);
    CHECK(!has(c, 0) && has(c, 1) && has(c, 2));
    end(c);
}

/* The bytes of object i: 1 to 5000 of one letter. */
static size_t bytes_of(int i, char *out)
{
    size_t n = 1 + (size_t)i * 97 % 5000;
    memset(out, 'a' + i % 26, n);
    return n;
}

/* What a reader holds a lock on keeps its name: nobody removes it, nobody puts another file there. */
static void hold(const char *path)
{
    struct stat held, named;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (flock(fd, LOCK_SH) == 0 && fstat(fd, &held) == 0 && held.st_nlink > 0)
        for (int i = 0; i < 20; i++)
            if (stat(path, &named) != 0 || named.st_ino != held.st_ino)
                _exit(5);
    close(fd);
}

static void worker(vt_content *c, uint64_t seed)
{
    struct vt_stream s;
    vt_stream_init(&s, seed);
    static char expected[5001];
    for (int round = 0; round < 300; round++) {
        int i = (int)vt_stream_below(&s, 40);
        size_t n = bytes_of(i, expected);
        struct vt_buf out;
        vt_status status = vt_content_get(c, VT_CONTENT_SAMPLE, key_of(i), 1 << 20, &out, &err);
        if (status == VT_OK) {
            if (out.len != n || memcmp(out.p, expected, n) != 0)
                _exit(2); /* half an object */
            vt_buf_free(&out);
        } else if (status != VT_ENOENT || vt_content_put(c, VT_CONTENT_SAMPLE, key_of(i), expected, n, &err) != VT_OK) {
            _exit(3);
        }
        hold(path_of(c, VT_CONTENT_SAMPLE, i));
        if (round % 20 == 0) {
            struct vt_content_listing l;
            if (vt_content_list(c, &l, &err) != VT_OK)
                _exit(4);
            vt_content_trim(&l, 30000, NULL);
            vt_content_listing_free(&l);
        }
    }
    _exit(0);
}

static void processes_at_once(void)
{
    vt_content *c = begin();
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            worker(c, (uint64_t)i);
    }
    for (int i = 0; i < 4; i++) {
        int status = -1;
        waitpid(pids[i], &status, 0);
        CHECK_INT(status, 0);
    }
    struct vt_content_listing l;
    CHECK_OK(vt_content_list(c, &l, &err), err);
    vt_content_trim(&l, 30000, NULL);
    vt_content_listing_free(&l);
    CHECK_OK(vt_content_list(c, &l, &err), err);
    CHECK(l.n_bytes <= 30000);
    vt_content_listing_free(&l);
    end(c);
}

static const struct test_case cases[] = {
    TEST(put_get),
    TEST(damaged_is_absent),
    TEST(oldest_go_first),
    TEST(used_since_it_was_listed),
    TEST(a_reader_waits_for_a_trim),
    TEST(what_a_crash_left),
    TEST(trimmed_once_a_day),
    TEST(processes_at_once),
};
TEST_MAIN(cases)
