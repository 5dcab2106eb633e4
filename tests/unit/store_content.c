/* SPDX-License-Identifier: Apache-2.0
 *
 * store_content.c: the content store: put and get, least recently used first, pins and locks across processes, and
 * writers, readers and collectors at once.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "harness.h"
#include "store/content.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static vt_err err;
static char root[64];

static vt_content *begin(void)
{
    vt_content *c = NULL;
    snprintf(root, sizeof root, "/tmp/vegttt-content-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    CHECK_OK(vt_content_open(root, &c, &err), err);
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

/* Ages an object by hand: timestamps, not sleeps, decide the order. */
static void set_used(const vt_content *c, int i, long seconds)
{
    char *path;
    struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};
    CHECK_OK(vt_content_path(c, VT_CONTENT_BUILD, key_of(i), &path, &err), err);
    CHECK_INT(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

static void put_get(void)
{
    vt_content *c = begin();
    struct vt_buf out;
    CHECK_INT(vt_content_get(c, VT_CONTENT_CHECK, key_of(1), 100, &out, &err), VT_ENOENT);
    CHECK_OK(vt_content_put(c, VT_CONTENT_CHECK, key_of(1), "one", 3, &err), err);
    CHECK_OK(vt_content_put(c, VT_CONTENT_CHECK, key_of(1), "one", 3, &err), err);
    CHECK(vt_content_has(c, VT_CONTENT_CHECK, key_of(1)));
    CHECK(!vt_content_has(c, VT_CONTENT_BUILD, key_of(1)));
    CHECK_OK(vt_content_get(c, VT_CONTENT_CHECK, key_of(1), 100, &out, &err), err);
    CHECK_STR(out.p, "one");
    vt_buf_free(&out);
    static const char *const bad[] = {"", "abc", "../../etc/passwd", "0123456789ABCDEF", "01234567/89"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(vt_content_put(c, VT_CONTENT_BUILD, bad[i], "x", 1, &err), VT_EINVAL);
    struct vt_content_size size;
    CHECK_OK(vt_content_total(c, &size, &err), err);
    CHECK_INT(size.n_objects, 1);
    CHECK_INT(size.n_bytes, 3);
    end(c);
}

static bool keep_two(void *arg, enum vt_content_kind kind, const char *key)
{
    (void)arg;
    return kind == VT_CONTENT_BUILD && strcmp(key, key_of(2)) == 0;
}

static void oldest_go_first(void)
{
    vt_content *c = begin();
    struct vt_content_size removed;
    struct vt_buf out;
    int pin;
    for (int i = 0; i < 10; i++) {
        CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(i), "0123456789", 10, &err), err);
        set_used(c, i, 1000 + i);
    }
    CHECK_OK(vt_content_get(c, VT_CONTENT_BUILD, key_of(0), 100, &out, &err), err); /* now the latest */
    vt_buf_free(&out);
    CHECK_OK(vt_content_pin(c, VT_CONTENT_BUILD, key_of(1), &pin, &err), err);
    set_used(c, 1, 1001);
    CHECK_OK(vt_content_gc(c, 60, keep_two, NULL, &removed, &err), err);
    CHECK_INT(removed.n_objects, 4);
    CHECK_INT(removed.n_bytes, 40);
    for (int i = 0; i < 10; i++)
        CHECK_INT(vt_content_has(c, VT_CONTENT_BUILD, key_of(i)), i < 3 || i > 6);
    vt_content_unpin(pin);
    CHECK_OK(vt_content_gc(c, 0, NULL, NULL, &removed, &err), err);
    CHECK_INT(removed.n_objects, 6);
    CHECK_INT(vt_content_pin(c, VT_CONTENT_BUILD, key_of(1), &pin, &err), VT_ENOENT);
    end(c);
}

static void locks_and_pins_of_another_process(void)
{
    vt_content *c = begin();
    int ready[2], lock;
    char byte;
    struct vt_content_size removed;
    CHECK_OK(vt_content_put(c, VT_CONTENT_BUILD, key_of(1), "x", 1, &err), err);
    CHECK_INT(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int theirs, pin;
        byte = vt_content_lock(c, VT_CONTENT_BUILD, key_of(2), &theirs, &err) == VT_OK &&
                       vt_content_pin(c, VT_CONTENT_BUILD, key_of(1), &pin, &err) == VT_OK
                   ? 'y'
                   : 'n';
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(0);
    }
    CHECK_INT(read(ready[0], &byte, 1), 1);
    CHECK_INT(byte, 'y');
    CHECK_INT(vt_content_lock(c, VT_CONTENT_BUILD, key_of(2), &lock, &err), VT_EBUSY);
    CHECK_OK(vt_content_gc(c, 0, NULL, NULL, &removed, &err), err);
    CHECK_INT(removed.n_objects, 0);
    kill(pid, SIGKILL);
    CHECK_INT(waitpid(pid, NULL, 0), pid);
    CHECK_OK(vt_content_lock(c, VT_CONTENT_BUILD, key_of(2), &lock, &err), err);
    vt_content_unlock(lock);
    CHECK_OK(vt_content_gc(c, 0, NULL, NULL, &removed, &err), err);
    CHECK_INT(removed.n_objects, 1);
    close(ready[0]);
    close(ready[1]);
    end(c);
}

/* The bytes of object i: 1 to 5000 of one letter. */
static size_t bytes_of(int i, char *out)
{
    size_t n = 1 + (size_t)i * 97 % 5000;
    memset(out, 'a' + i % 26, n);
    return n;
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
        if (round % 20 == 0 && vt_content_gc(c, 30000, NULL, NULL, NULL, &err) != VT_OK)
            _exit(4);
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
    struct vt_content_size size;
    CHECK_OK(vt_content_gc(c, 30000, NULL, NULL, NULL, &err), err);
    CHECK_OK(vt_content_total(c, &size, &err), err);
    CHECK(size.n_bytes <= 30000);
    end(c);
}

static const struct test_case cases[] = {
    TEST(put_get),
    TEST(oldest_go_first),
    TEST(locks_and_pins_of_another_process),
    TEST(processes_at_once),
};
TEST_MAIN(cases)
