/* SPDX-License-Identifier: Apache-2.0
 *
 * store_lines.c: line files and the journal under torn tails, corrupt middles, a full disk, a killed writer and random
 * damage.
 */
#include "base/clock.h"
#include "base/fs.h"
#include "base/rng.h"
#include "harness.h"
#include "store/journal.h"
#include "store/jsonl.h"
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

static vt_err err;
static char root[64], path[128];

static void make_root(void)
{
    snprintf(root, sizeof root, "/tmp/vegttt-lines-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    snprintf(path, sizeof path, "%s/journal.jsonl", root);
}

static void remove_root(void)
{
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static void write_file(const void *bytes, size_t n)
{
    CHECK_OK(vt_fs_write_atomic(path, bytes, n, &err), err);
}

static vt_status put_n(struct vt_jsonl *w, int i)
{
    vt_buf_printf(vt_jsonl_begin(w), ",\"i\":%d", i);
    return vt_jsonl_end(w, &err);
}

/* Reads the whole file; returns the number of good lines whose "i" counts up from 0, -1 when one does not. */
static int count_lines(bool *is_torn, int *n_bad, uint64_t *bad_line)
{
    struct vt_jsonl_reader r;
    int n = 0;
    *n_bad = 0;
    CHECK_OK(vt_jsonl_reader_open(&r, path, &err), err);
    for (;;) {
        vt_json *line;
        if (vt_jsonl_next(&r, &line, &err) != VT_OK) {
            (*n_bad)++;
            *bad_line = r.line;
            continue;
        }
        if (!line)
            break;
        if (vt_json_int(vt_json_get(line, "i"), -1) != n + *n_bad || vt_json_int(vt_json_get(line, "v"), 0) != 1 ||
            vt_json_int(vt_json_get(line, "t"), 0) <= 0)
            n = -1000000;
        n++;
        vt_json_free(line);
    }
    *is_torn = r.is_torn;
    vt_jsonl_reader_close(&r);
    return n;
}

static void append_reopen_append(void)
{
    bool is_torn;
    int n_bad;
    uint64_t bad;
    make_root();
    for (int round = 0; round < 3; round++) {
        struct vt_jsonl w;
        CHECK_OK(vt_jsonl_open(&w, path, VT_JSONL_APPEND, &err), err);
        for (int i = 0; i < 10; i++)
            CHECK_OK(put_n(&w, round * 10 + i), err);
        CHECK_OK(vt_jsonl_sync(&w, &err), err);
        CHECK_INT(w.len, vt_fs_size(path));
        vt_jsonl_close(&w);
        vt_jsonl_close(&w);
    }
    CHECK_INT(count_lines(&is_torn, &n_bad, &bad), 30);
    CHECK(!is_torn && n_bad == 0);
    struct vt_jsonl w;
    CHECK_OK(vt_jsonl_open(&w, path, VT_JSONL_REBUILD, &err), err);
    CHECK_INT(vt_fs_size(path), 0);
    vt_jsonl_begin(&w);
    CHECK_OK(vt_jsonl_end(&w, &err), err);
    struct vt_buf *line = vt_jsonl_begin(&w);
    vt_buf_puts(line, ",\"i\":1");
    CHECK_OK(vt_jsonl_end(&w, &err), err);
    struct vt_jsonl_reader r;
    vt_json *j;
    CHECK_OK(vt_jsonl_reader_open(&r, path, &err), err);
    CHECK_OK(vt_jsonl_next(&r, &j, &err), err);
    CHECK_INT(vt_json_count(j), 3);
    vt_json_free(j);
    CHECK_OK(vt_jsonl_next(&r, &j, &err), err);
    CHECK_INT(vt_json_int(vt_json_get(j, "i"), 0), 1);
    vt_json_free(j);
    vt_jsonl_reader_close(&r);
    vt_jsonl_close(&w);
    remove_root();
}

static void torn_tail_at_every_byte(void)
{
    make_root();
    struct vt_jsonl w;
    CHECK_OK(vt_jsonl_open(&w, path, VT_JSONL_APPEND, &err), err);
    for (int i = 0; i < 3; i++)
        CHECK_OK(put_n(&w, i), err);
    size_t two = 0;
    vt_jsonl_close(&w);
    struct vt_buf whole;
    CHECK_OK(vt_fs_read(path, 1 << 20, &whole, &err), err);
    for (int newlines = 0; newlines < 2; two++)
        newlines += whole.p[two] == '\n';
    for (size_t cut = two; cut < whole.len; cut++) {
        bool is_torn;
        int n_bad;
        uint64_t bad;
        write_file(whole.p, cut);
        CHECK_INT(count_lines(&is_torn, &n_bad, &bad), 2);
        CHECK_INT(is_torn, cut > two);
        CHECK_OK(vt_jsonl_open(&w, path, VT_JSONL_APPEND, &err), err);
        CHECK_INT(vt_fs_size(path), two);
        CHECK_OK(put_n(&w, 2), err);
        vt_jsonl_close(&w);
        CHECK_INT(count_lines(&is_torn, &n_bad, &bad), 3);
        CHECK(!is_torn);
    }
    vt_buf_free(&whole);
    remove_root();
}

static void corrupt_middle_is_named(void)
{
    static const char text[] =
        "{\"v\":1,\"t\":\"5\",\"i\":0}\n{\"v\":1,\"t\":\"5\",\"i\":\n{\"v\":1,\"t\":\"5\",\"i\":2}\n[1]\n{\"v\"";
    bool is_torn;
    int n_bad;
    uint64_t bad;
    make_root();
    write_file(text, sizeof text - 1);
    CHECK_INT(count_lines(&is_torn, &n_bad, &bad), 2);
    CHECK_INT(n_bad, 2);
    CHECK_INT(bad, 4);
    CHECK(is_torn);
    vt_journal *j;
    CHECK_INT(vt_journal_open(path, &j, &err), VT_EFORMAT);
    CHECK(strstr(err.msg, "line 1 of ") && strstr(err.msg, path)); /* it has no key */
    remove_root();
}

static void device_full(void)
{
    struct vt_jsonl w;
    CHECK_OK(vt_jsonl_open(&w, "/dev/full", VT_JSONL_APPEND, &err), err);
    CHECK_INT(put_n(&w, 0), VT_EIO);
    CHECK(strstr(err.msg, "/dev/full") && strstr(err.msg, "No space"));
    vt_jsonl_close(&w);
}

/* A limit on the file size makes the kernel write only part of a line, as a disk does that fills up. */
static void short_write_is_cut_back(void)
{
    bool is_torn;
    int n_bad, n_done = 0;
    uint64_t bad;
    struct rlimit old, small = {1000, RLIM_INFINITY};
    make_root();
    struct vt_jsonl w;
    CHECK_OK(vt_jsonl_open(&w, path, VT_JSONL_APPEND, &err), err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    while (put_n(&w, n_done) == VT_OK)
        n_done++;
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK(strstr(err.msg, path) != NULL);
    CHECK(n_done > 5);
    CHECK_INT(vt_fs_size(path), w.len);
    CHECK_INT(count_lines(&is_torn, &n_bad, &bad), n_done);
    CHECK(!is_torn);
    CHECK_OK(put_n(&w, n_done), err); /* space again: the same call succeeds */
    CHECK_INT(count_lines(&is_torn, &n_bad, &bad), n_done + 1);
    vt_jsonl_close(&w);
    remove_root();
}

/* What could not be written is not there: the next attempt computes it again. */
static void journal_of_a_full_disk(void)
{
    struct rlimit old, small = {4000, RLIM_INFINITY};
    vt_journal *j;
    make_root();
    CHECK_OK(vt_journal_open(path, &j, &err), err);
    vt_json *one = vt_json_new_num(1), *large = vt_json_new_str(path, strlen(path));
    CHECK_OK(vt_journal_put(j, "kept", one, &err), err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    small.rlim_max = old.rlim_max;
    setrlimit(RLIMIT_FSIZE, &small);
    char key[32];
    int n = 0;
    do
        snprintf(key, sizeof key, "k%d", n++);
    while (vt_journal_put(j, key, large, &err) == VT_OK);
    CHECK(vt_journal_get(j, key) == NULL);
    CHECK_INT(vt_journal_put(j, "kept", large, &err), VT_EIO);
    CHECK_NEAR(vt_json_num(vt_journal_get(j, "kept"), 0), 1, 0);
    setrlimit(RLIMIT_FSIZE, &old);
    CHECK_OK(vt_journal_put(j, key, large, &err), err);
    CHECK_STR(vt_json_str(vt_journal_get(j, key), ""), path);
    vt_json_free(one);
    vt_json_free(large);
    vt_journal_close(j);
    remove_root();
}

/* However many entries there are, a key that is not among them is found to be absent: the table is never full. */
static void absent_at_every_size(void)
{
    vt_journal *j;
    char key[32];
    make_root();
    CHECK_OK(vt_journal_open(path, &j, &err), err);
    vt_json *one = vt_json_new_num(1);
    for (int i = 0; i < 260; i++) {
        snprintf(key, sizeof key, "k%d", i);
        CHECK_OK(vt_journal_put(j, key, one, &err), err);
        CHECK(vt_journal_get(j, "absent") == NULL);
    }
    vt_json_free(one);
    vt_journal_close(j);
    remove_root();
}

static void read_only_folder(void)
{
    struct vt_jsonl w;
    CHECK_INT(vt_jsonl_open(&w, "/proc/vegttt.jsonl", VT_JSONL_APPEND, &err), VT_EIO);
    CHECK(strstr(err.msg, "/proc/vegttt.jsonl") != NULL);
    vt_jsonl_close(&w);
    struct vt_jsonl_reader r;
    CHECK_INT(vt_jsonl_reader_open(&r, "/proc/vegttt.jsonl", &err), VT_ENOENT);
}

static void journal_put_get_reopen(void)
{
    vt_journal *j;
    char key[32];
    make_root();
    CHECK_OK(vt_journal_open(path, &j, &err), err);
    CHECK(vt_journal_get(j, "k0") == NULL);
    for (int i = 0; i < 1000; i++) {
        vt_json *value = vt_json_new_num(i / 7.0);
        snprintf(key, sizeof key, "k%d", i % 500);
        CHECK_OK(vt_journal_put(j, key, value, &err), err);
        vt_json_free(value);
    }
    CHECK_INT(vt_journal_put(j, "none", NULL, &err), VT_ENOMEM);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 500; i++) {
            snprintf(key, sizeof key, "k%d", i);
            CHECK(vt_json_num(vt_journal_get(j, key), -1) == (i + 500) / 7.0); /* the last line of a key wins */
        }
        CHECK_OK(vt_journal_sync(j, &err), err);
        vt_journal_close(j);
        CHECK_OK(vt_journal_open(path, &j, &err), err);
    }
    vt_journal_close(j);
    remove_root();
}

static void killed_writer_loses_nothing_it_was_told(void)
{
    make_root();
    for (int round = 0; round < 8; round++) {
        int told[2];
        CHECK_INT(pipe(told), 0);
        pid_t pid = fork();
        if (pid == 0) {
            vt_journal *j;
            vt_json *value = vt_json_new_str("abcdefghijklmnopqrstuvwxyz", 26);
            if (vt_journal_open(path, &j, &err) != VT_OK)
                _exit(1);
            for (int i = 0;; i++) {
                char key[32];
                snprintf(key, sizeof key, "%d.%d", round, i);
                if (vt_journal_put(j, key, value, &err) != VT_OK || write(told[1], &i, sizeof i) != (ssize_t)sizeof i)
                    _exit(1);
            }
        }
        close(told[1]);
        int last = -1, i;
        while (last < 100 + round * 37 && read(told[0], &i, sizeof i) == (ssize_t)sizeof i)
            last = i;
        kill(pid, SIGKILL);
        while (read(told[0], &i, sizeof i) == (ssize_t)sizeof i)
            last = i;
        CHECK_INT(waitpid(pid, NULL, 0), pid);
        close(told[0]);
        vt_journal *j;
        CHECK_OK(vt_journal_open(path, &j, &err), err);
        int n_lost = 0;
        for (int k = 0; k <= last; k++) {
            char key[32];
            snprintf(key, sizeof key, "%d.%d", round, k);
            n_lost += vt_journal_get(j, key) == NULL;
        }
        CHECK_INT(n_lost, 0);
        CHECK(last >= 100);
        vt_journal_close(j);
    }
    remove_root();
}

static void random_damage_never_crashes(void)
{
    struct vt_stream s;
    vt_journal *j;
    int n_refused = 0;
    make_root();
    vt_stream_init(&s, 5);
    CHECK_OK(vt_journal_open(path, &j, &err), err);
    for (int i = 0; i < 5; i++) {
        vt_json *value = vt_json_object();
        vt_json_put_str(value, "text", "a\\\"\n\xC3\xA9");
        vt_json_put_num(value, "x", 0.1 * i);
        CHECK_OK(vt_journal_put(j, i % 2 ? "odd" : "even", value, &err), err);
        vt_json_free(value);
    }
    vt_journal_close(j);
    struct vt_buf whole;
    CHECK_OK(vt_fs_read(path, 1 << 20, &whole, &err), err);
    for (int round = 0; round < 2000; round++) {
        char *damaged = malloc(whole.len);
        memcpy(damaged, whole.p, whole.len);
        for (uint64_t flips = 1 + vt_stream_below(&s, 3); flips; flips--)
            damaged[vt_stream_below(&s, whole.len)] ^= (char)(1u << vt_stream_below(&s, 8));
        int fd = open(path, O_WRONLY | O_TRUNC);
        CHECK_INT(write(fd, damaged, whole.len), whole.len);
        close(fd);
        free(damaged);
        if (vt_journal_open(path, &j, &err) == VT_OK)
            vt_journal_close(j);
        else
            n_refused += strstr(err.msg, "line ") != NULL;
    }
    CHECK(n_refused > 100);
    vt_buf_free(&whole);
    remove_root();
}

/* Arrays of numbers come empty, all else as it is: texts that look like them, arrays of other things, what is nested.
 */
static void light_lines(void)
{
    static const char line[] = "{\"a\":[1,-2.5e+3],\"t\":\"x\\\"y\\\\\",\"u\":\"[1,2]\",\"s\":[\"1\"],\"n\":[[1,2],[]],"
                               "\"o\":{\"b\":[3],\"c\":4},\"e\":[]}\n";
    vt_json *j = NULL;
    struct vt_jsonl_reader r;

    make_root();
    write_file(line, sizeof line - 1);
    CHECK_OK(vt_jsonl_reader_open(&r, path, &err), err);
    r.is_light = true;
    CHECK_OK(vt_jsonl_next(&r, &j, &err), err);
    CHECK_INT(vt_json_count(vt_json_get(j, "a")), 0);
    CHECK_STR(vt_json_str(vt_json_get(j, "t"), ""), "x\"y\\");
    CHECK_STR(vt_json_str(vt_json_get(j, "u"), ""), "[1,2]");
    CHECK_STR(vt_json_str(vt_json_first(vt_json_get(j, "s")), ""), "1");
    CHECK_INT(vt_json_count(vt_json_get(j, "n")), 2);
    CHECK_INT(vt_json_count(vt_json_first(vt_json_get(j, "n"))), 0);
    CHECK_INT(vt_json_count(vt_json_get(vt_json_get(j, "o"), "b")), 0);
    CHECK_NEAR(vt_json_num(vt_json_get(vt_json_get(j, "o"), "c"), 0), 4, 0);
    vt_json_free(j);
    vt_jsonl_reader_close(&r);
    remove_root();
}

static const struct test_case cases[] = {
    TEST(light_lines),
    TEST(append_reopen_append),
    TEST(torn_tail_at_every_byte),
    TEST(corrupt_middle_is_named),
    TEST(device_full),
    TEST(short_write_is_cut_back),
    TEST(read_only_folder),
    TEST(absent_at_every_size),
    TEST(journal_put_get_reopen),
    TEST(killed_writer_loses_nothing_it_was_told),
    TEST(random_damage_never_crashes),
    TEST(journal_of_a_full_disk),
};
TEST_MAIN(cases)
