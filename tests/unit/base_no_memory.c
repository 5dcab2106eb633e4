/* SPDX-License-Identifier: Apache-2.0
 *
 * base_no_memory.c: the calls of engine/base with each of their allocations failing in turn.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/json_text.h"
#include "base/owned.h"
#include "base/sha256.h"
#include "base/thread.h"
#include "no_memory.h"
#include <fcntl.h>
#include <sys/stat.h>

static char root[64], path[128];

static void make_root(void)
{
    vt_err err;
    snprintf(root, sizeof root, "/tmp/vegttt-memory-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    snprintf(path, sizeof path, "%s/file", root);
    CHECK_OK(vt_fs_write_atomic(path, "0123456789", 10, &err), err);
}

static void remove_root(void)
{
    vt_err err;
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
}

static vt_status alloc_calls(void *arg, vt_err *err)
{
    (void)arg;
    void *p[] = {vt_alloc(10),           vt_alloc_array(3, 10), vt_alloc_aligned(64, 10), vt_realloc_array(NULL, 3, 10),
                 vt_strdup("some text"), vt_strndup("some", 2)};
    bool is_whole = true;
    for (size_t i = 0; i < sizeof p / sizeof p[0]; i++) {
        is_whole = is_whole && p[i];
        free(p[i]);
    }
    return is_whole ? VT_OK : vt_fail(err, VT_ENOMEM, "NULL");
}

static vt_status buf_calls(void *arg, vt_err *err)
{
    struct vt_buf b;
    size_t len = 0;
    vt_buf_init(&b, 100000);
    vt_buf_add(&b, "abc", 3);
    for (int i = 0; i < 100; i++)
        vt_buf_printf(&b, "%d and a longer text %s;", i, (const char *)arg);
    vt_buf_puts(&b, "end");
    vt_buf_putc(&b, '.');
    vt_status status = vt_buf_check(&b, "a text", err);
    char *text = vt_buf_take(&b, &len);
    if (status == VT_OK && (!text || len < 1000))
        status = vt_fail(err, VT_EINTERNAL, "a text was lost");
    free(text);
    char *empty = vt_buf_take(&b, &len); /* of an empty buffer: one NUL byte */
    if (status == VT_OK)
        status = NULL_IS_NO_MEMORY(empty, err);
    free(empty);
    return status;
}

static vt_status read_call(void *arg, vt_err *err)
{
    struct vt_buf out;
    (void)arg;
    VT_TRY(vt_fs_read(path, 100, &out, err));
    vt_buf_free(&out);
    VT_TRY(vt_fs_read_regular(path, 100, &out, err));
    vt_buf_free(&out);
    return VT_OK;
}

static vt_status write_calls(void *arg, vt_err *err)
{
    bool is_new;
    (void)arg;
    VT_TRY(vt_fs_write_new(path, "other", 5, &is_new, err));
    return vt_fs_write_atomic(path, "0123456789", 10, err);
}

static vt_status mkdir_call(void *arg, vt_err *err)
{
    char deep[128];
    (void)arg;
    snprintf(deep, sizeof deep, "%s/a/b/c", root);
    VT_TRY(vt_fs_mkdir_p(deep, err));
    return vt_fs_remove_tree(deep, err);
}

static vt_status list_call(void *arg, vt_err *err)
{
    char **names;
    size_t n;
    (void)arg;
    VT_TRY(vt_fs_list("/proc/self/fdinfo/..", &names, &n, err)); /* some fifty names */
    vt_fs_list_free(names, n);
    return VT_OK;
}

static vt_status place_calls(void *arg, vt_err *err)
{
    char *cache = NULL, *exe = NULL, *joined = NULL;
    (void)arg;
    vt_status status = vt_cache_dir(&cache, err);
    if (status == VT_OK)
        status = vt_exe_dir(&exe, err);
    if (status == VT_OK)
        status = NULL_IS_NO_MEMORY(joined = vt_path_join(root, "x"), err);
    free(cache);
    free(exe);
    free(joined);
    return status;
}

static vt_status map_calls(void *arg, vt_err *err)
{
    struct vt_map m;
    char hex[VT_SHA256_HEX];
    (void)arg;
    VT_TRY(vt_map_open(path, &m, err));
    vt_map_close(&m);
    return vt_sha256_file(path, hex, err);
}

static vt_status parse_and_write(void *arg, vt_err *err)
{
    static const char text[] = "{\"b\":[1.5,\"x\\u00e9\",null,true,{\"deep\":[]}],\"a\":\"text\",\"c\":\"12\"}";
    vt_json *j, *copy;
    struct vt_buf out;
    double num;
    int64_t integer;
    const char *str;
    (void)arg;
    char lines[] = "{\"t\":1,\"t\":2,\"x\":[1.5,{}]}";
    VT_TRY(vt_json_text_check(lines, sizeof lines - 1, 8, "a line", err));
    VT_TRY(vt_json_parse_line(lines, sizeof lines - 1, "a line", &j, err));
    vt_json_free(j);
    VT_TRY(vt_json_parse(text, sizeof text - 1, "a text", &j, err));
    copy = vt_json_clone(j);
    vt_buf_init(&out, 1000);
    vt_status status = NULL_IS_NO_MEMORY(copy, err);
    if (status == VT_OK)
        status = vt_json_write(copy, true, &out, err);
    if (status == VT_OK && strncmp(out.p, "{\"a\":\"text\",\"b\":[1.5,", 20) != 0)
        status = vt_fail(err, VT_EINTERNAL, "lost members: %s", out.p);
    if (status == VT_OK)
        status = vt_json_need_str(copy, "a", "a text", &str, err);
    if (status == VT_OK)
        status = vt_json_need_num(vt_json_get(copy, "b"), "x", "a text", &num, err) == VT_EFORMAT
                     ? VT_OK
                     : vt_fail(err, VT_EINTERNAL, "an array has a member");
    if (status == VT_OK)
        status = vt_json_need_int(copy, "c", "a text", &integer, err);
    vt_buf_free(&out);
    vt_json_free(copy);
    vt_json_free(j);
    return status;
}

static vt_status build_and_write(void *arg, vt_err *err)
{
    vt_json *o = vt_json_object(), *list = vt_json_array();
    struct vt_buf out;
    (void)arg;
    vt_json_push(list, vt_json_new_num(1.5));
    vt_json_push(list, vt_json_new_str("a\0b", 3));
    vt_json_push(list, vt_json_new_bool(true));
    vt_json_push(list, vt_json_new_null());
    vt_json_put(o, "list", list);
    vt_json_put_str(o, "text", "some text");
    vt_json_put_str(o, "none", NULL);
    vt_json_put_num(o, "num", 0.1);
    vt_json_put_int(o, "int", INT64_MAX);
    vt_json_put_u64str(o, "seed", UINT64_MAX);
    vt_json_put_bool(o, "flag", false);
    vt_json_put_num(o, "num", 0.2);
    vt_buf_init(&out, 1000);
    vt_status status = vt_json_check(o, err);
    if (status == VT_OK)
        status = vt_json_write(o, true, &out, err);
    if (status == VT_OK && strcmp(out.p, "{\"flag\":false,\"int\":\"9223372036854775807\",\"list\":[1.5,\"a\xEF\xBF\xBD"
                                         "b\",true,null],\"none\":null,\"num\":0.2,\"seed\":\"18446744073709551615\","
                                         "\"text\":\"some text\"}") != 0)
        status = vt_fail(err, VT_EINTERNAL, "lost members: %s", out.p);
    vt_buf_free(&out);
    vt_json_free(o);
    return status;
}

static vt_status thread_calls(void *arg, vt_err *err)
{
    vt_pool *pool;
    (void)arg;
    VT_TRY(vt_pool_new(3, &pool, err));
    vt_pool_free(pool);
    vt_lease *l = vt_lease_new();
    vt_lease_free(l);
    return NULL_IS_NO_MEMORY(l, err);
}

/* A child that cannot be noted goes on running: the timing is noisier, and nothing else happens. */
static vt_status lease_children(void *arg, vt_err *err)
{
    vt_lease *l = arg;
    (void)err;
    for (pid_t p = 1 << 28; p < (1 << 28) + 20; p++)
        vt_lease_child_add(l, p);
    for (pid_t p = 1 << 28; p < (1 << 28) + 20; p++)
        vt_lease_child_del(l, p);
    return VT_OK;
}

static vt_status owned_call(void *arg, vt_err *err)
{
    struct vt_owned o;
    vt_status s = vt_owned_make(arg, "owned-", &o, err);
    vt_owned_remove(&o);
    return s;
}

static void every_call(void)
{
    make_root();
    fail_each("alloc", alloc_calls, NULL, MUST_FAIL);
    char word[] = "xyz";
    fail_each("buf", buf_calls, word, MUST_FAIL);
    fail_each("vt_fs_read", read_call, NULL, MUST_FAIL);
    fail_each("vt_fs_write", write_calls, NULL, MUST_FAIL);
    fail_each("vt_fs_mkdir_p", mkdir_call, NULL, MUST_FAIL);
    fail_each("vt_fs_list", list_call, NULL, MUST_FAIL);
    fail_each("places", place_calls, NULL, MUST_FAIL);
    fail_each("maps", map_calls, NULL, MUST_FAIL);
    fail_each("JSON read", parse_and_write, NULL, MUST_FAIL);
    fail_each("JSON built", build_and_write, NULL, MUST_FAIL);
    fail_each("threads", thread_calls, NULL, MUST_FAIL);
    vt_lease *l = vt_lease_new();
    fail_each("lease children", lease_children, l, MAY_SUCCEED);
    vt_lease_free(l);
    fail_each("vt_owned_make", owned_call, root, MAY_SUCCEED); /* orphans stay for the next one */
    remove_root();
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};
TEST_MAIN(cases)
