/* SPDX-License-Identifier: Apache-2.0
 *
 * base_memory.c: errors, checked allocation, buffers, files and folders.
 */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/fs.h"
#include "harness.h"
#include <sys/stat.h>

static void errors(void)
{
    vt_err err = {0};
    CHECK_INT(vt_fail(&err, VT_EIO, "cannot read %s", "x"), VT_EIO);
    CHECK_INT(vt_err_context(&err, "line %d", 3), VT_EIO);
    CHECK_STR(err.msg, "line 3: cannot read x");
    vt_fail(&err, VT_ENET, "again: %s", err.msg);
    CHECK_STR(err.msg, "again: line 3: cannot read x");
    CHECK_INT(vt_fail(NULL, VT_ELIMIT, "nobody listens"), VT_ELIMIT);
    char longer[2000];
    memset(longer, 'y', sizeof longer);
    longer[sizeof longer - 1] = '\0';
    vt_fail(&err, VT_EIO, "%s", longer);
    vt_err_context(&err, "%s", longer);
    CHECK_INT(strlen(err.msg), VT_ERR_MSG - 1);
    CHECK_STR(vt_status_name(VT_EBUDGET), "EBUDGET");
    CHECK_STR(vt_status_name((vt_status)-99), "EUNKNOWN");
}

static void checked_products(void)
{
    size_t v;
    CHECK(!vt_mul_size(SIZE_MAX / 2, 3, &v));
    CHECK(!vt_add_size(SIZE_MAX, 1, &v));
    CHECK(vt_alloc_array(SIZE_MAX / 2, 3) == NULL);
    CHECK(vt_realloc_array(NULL, SIZE_MAX / 2, 3) == NULL);
    CHECK(vt_alloc_array(SIZE_MAX / 16 + 2, 16) == NULL); /* 16 bytes when the product wraps */
    CHECK(vt_realloc_array(NULL, SIZE_MAX / 16 + 2, 16) == NULL);
    char *p = vt_alloc(0);
    CHECK(p != NULL);
    free(p);
    void *aligned = vt_alloc_aligned(64, 100);
    CHECK_INT((uintptr_t)aligned % 64, 0);
    free(aligned);
    vt_alloc_fail_at(2);
    char *first = vt_alloc(1), *second = vt_alloc(1), *third = vt_alloc(1);
    CHECK(first && !second && third);
    CHECK_INT(vt_alloc_fail_at(5), 0); /* it struck */
    CHECK_INT(vt_alloc_fail_at(0), 5);
    free(first);
    free(third);
}

static void buffer_limits(void)
{
    struct vt_buf b;
    vt_err err;
    vt_buf_init(&b, 10);
    CHECK_STR(b.p, "");
    vt_buf_puts(&b, "12345");
    vt_buf_printf(&b, "%d", 67890);
    CHECK_STR(b.p, "1234567890");
    CHECK_OK(vt_buf_check(&b, "the answer", &err), err);
    vt_buf_putc(&b, 'x');
    CHECK_INT(vt_buf_check(&b, "the answer", &err), VT_ELIMIT);
    CHECK_STR(err.msg, "the answer is larger than 10 bytes");
    CHECK_STR(b.p, "1234567890");
    vt_buf_clear(&b);
    vt_buf_puts(&b, "123456789ab");
    vt_buf_puts(&b, "c"); /* it would fit, but a text with a hole is no text */
    CHECK_INT(b.len, 0);
    CHECK(vt_buf_take(&b, NULL) == NULL);
    vt_buf_free(&b);
    vt_buf_free(&b);
    vt_buf_init(&b, 1 << 20);
    for (int i = 0; i < 5000; i++)
        vt_buf_printf(&b, "%d,", i);
    CHECK_INT(b.len, 5 * 4000 + 4 * 900 + 3 * 90 + 2 * 10);
    vt_buf_printf(&b, "%s", "");
    size_t len = 0;
    char *taken = vt_buf_take(&b, &len);
    CHECK(taken && strlen(taken) == len);
    free(taken);
    vt_alloc_fail_at(1);
    vt_buf_puts(&b, "x");
    CHECK_INT(vt_buf_check(&b, "b", &err), VT_ENOMEM);
    vt_buf_free(&b);
}

static void files_and_folders(void)
{
    char root[] = "/tmp/vegttt-fs-XXXXXX";
    vt_err err;
    struct vt_buf b;
    CHECK(mkdtemp(root) != NULL);
    char *deep = vt_path_join(root, "a/b//c"), *file = vt_path_join(root, "a/b/c/file");
    CHECK_OK(vt_fs_mkdir_p(deep, &err), err);
    CHECK_OK(vt_fs_mkdir_p(deep, &err), err);
    CHECK_OK(vt_fs_write_atomic(file, "hello", 5, &err), err);
    CHECK_OK(vt_fs_write_atomic(file, "world!", 6, &err), err);
    CHECK_OK(vt_fs_read(file, 100, &b, &err), err);
    CHECK_STR(b.p, "world!");
    vt_buf_free(&b);
    CHECK_INT(vt_fs_read(file, 5, &b, &err), VT_ELIMIT);
    CHECK_INT(vt_fs_size(file), 6);
    char **names;
    size_t n;
    CHECK_OK(vt_fs_list(deep, &names, &n, &err), err);
    CHECK_INT(n, 1); /* no temporary file is left */
    vt_fs_list_free(names, n);
    struct vt_map map;
    CHECK_OK(vt_map_open(file, &map, &err), err);
    CHECK(map.len == 6 && memcmp(map.p, "world!", 6) == 0);
    vt_map_close(&map);
    CHECK_INT(vt_map_open(deep, &map, &err), VT_EINVAL);
    char outside[] = "/tmp/vegttt-outside-XXXXXX", *link = vt_path_join(root, "a/b/link");
    CHECK(mkdtemp(outside) != NULL);
    char *kept = vt_path_join(outside, "kept");
    CHECK_OK(vt_fs_write_atomic(kept, "x", 1, &err), err);
    CHECK_INT(symlink(outside, link), 0);
    char *below = vt_path_join(root, "a/b/c/file/x");
    CHECK(vt_fs_mkdir_p(below, &err) != VT_OK);
    CHECK(strstr(err.msg, "c/file") != NULL);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    CHECK(!vt_fs_exists(root));
    CHECK(vt_fs_exists(kept)); /* the link went, not what it pointed at */
    CHECK_OK(vt_fs_remove_tree(outside, &err), err);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    free(kept);
    CHECK_INT(vt_fs_read(file, 5, &b, &err), VT_ENOENT);
    CHECK(strstr(err.msg, file) != NULL);
    CHECK_INT(vt_fs_write_atomic("/proc/vegttt-no", "x", 1, &err), VT_ENOENT);
    free(deep);
    free(file);
    free(link);
    free(below);
}

static void folders_are_listed_in_order(void)
{
    char root[] = "/tmp/vegttt-list-XXXXXX", path[64], **names;
    size_t n;
    vt_err err;
    CHECK(mkdtemp(root) != NULL);
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "%s/%02d", root, i * 27 % 40);
        CHECK_OK(vt_fs_write_atomic(path, "x", 1, &err), err);
    }
    CHECK_OK(vt_fs_list(root, &names, &n, &err), err);
    CHECK_INT(n, 40);
    for (size_t i = 1; i < n; i++)
        CHECK(strcmp(names[i - 1], names[i]) < 0);
    vt_fs_list_free(names, n);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static void a_new_file_replaces_none(void)
{
    char root[] = "/tmp/vegttt-new-XXXXXX", **names;
    size_t n;
    bool is_new = false;
    vt_err err;
    struct vt_buf b;
    CHECK(mkdtemp(root) != NULL);
    char *path = vt_path_join(root, "file"), *absent = vt_path_join(root, "no/file");
    CHECK_OK(vt_fs_write_new(path, "one", 3, &is_new, &err), err);
    CHECK(is_new);
    CHECK_OK(vt_fs_write_new(path, "two", 3, &is_new, &err), err);
    CHECK(!is_new);
    CHECK_INT(vt_fs_write_new(absent, "one", 3, &is_new, &err), VT_ENOENT);
    CHECK_OK(vt_fs_read(path, 100, &b, &err), err);
    CHECK_STR(b.p, "one");
    vt_buf_free(&b);
    CHECK_OK(vt_fs_list(root, &names, &n, &err), err);
    CHECK_INT(n, 1); /* no temporary file is left */
    vt_fs_list_free(names, n);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    free(path);
    free(absent);
}

static void cache_folder(void)
{
    char root[] = "/tmp/vegttt-cache-XXXXXX";
    vt_err err;
    char *dir = NULL, *expected;
    CHECK(mkdtemp(root) != NULL);
    setenv("XDG_CACHE_HOME", root, 1);
    unsetenv("VEGTTT_CACHE");
    CHECK_OK(vt_cache_dir(&dir, &err), err);
    expected = vt_path_join(root, "vegttt");
    CHECK_STR(dir, expected);
    CHECK(vt_fs_is_dir(dir));
    free(dir);
    setenv("XDG_CACHE_HOME", "relative", 1); /* as if it were not set */
    setenv("HOME", root, 1);
    CHECK_OK(vt_cache_dir(&dir, &err), err);
    free(expected);
    expected = vt_path_join(root, ".cache/vegttt");
    CHECK_STR(dir, expected);
    free(dir);
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    CHECK_INT(vt_cache_dir(&dir, &err), VT_EINVAL);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    free(expected);
    CHECK_OK(vt_exe_dir(&dir, &err), err);
    CHECK(vt_fs_is_dir(dir));
    free(dir);
}

static void clocks(void)
{
    char stamp[32];
    vt_stamp(stamp, sizeof stamp);
    CHECK_INT(strlen(stamp), 15);
    uint64_t start = vt_now_ns();
    vt_sleep_ms(2);
    CHECK(vt_now_ns() - start >= 2000000);
}

static const struct test_case cases[] = {
    TEST(errors),
    TEST(checked_products),
    TEST(buffer_limits),
    TEST(files_and_folders),
    TEST(folders_are_listed_in_order),
    TEST(a_new_file_replaces_none),
    TEST(cache_folder),
    TEST(clocks),
};
TEST_MAIN(cases)
