/* SPDX-License-Identifier: Apache-2.0
 *
 * store_no_memory.c: the calls of engine/store with each of their allocations failing in turn. What they leave on the
 * disk must stay usable: after each failure the next try works on the same folder.
 */
#include "no_memory.h"
#include "store/content.h"
#include "store/csv.h"
#include "store/run.h"
#include "store/split.h"

static char root[64];

static const char *in_root(const char *name)
{
    static char path[4][256];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", root, name);
    return path[at];
}

static void empty_root(void)
{
    vt_err err;
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    CHECK_OK(vt_fs_mkdir_p(root, &err), err);
}

static vt_status content_calls(void *arg, vt_err *err)
{
    static const char key[] = "0123456789abcdef", other[] = "fedcba9876543210";
    vt_content *c;
    struct vt_buf out;
    struct vt_content_listing l;
    (void)arg;
    VT_TRY(vt_content_open(in_root("store"), &c, err));
    vt_status status = vt_content_put(c, VT_CONTENT_BUILD, key, "some bytes", 10, err);
    if (status == VT_OK)
        status = vt_content_put(c, VT_CONTENT_SAMPLE, other, "", 0, err);
    if (status == VT_OK && (status = vt_content_get(c, VT_CONTENT_BUILD, key, 100, &out, err)) == VT_OK) {
        if (strcmp(out.p, "some bytes") != 0)
            status = vt_fail(err, VT_EINTERNAL, "got '%s'", out.p);
        vt_buf_free(&out);
    }
    if (status == VT_OK && (status = vt_content_list(c, &l, err)) == VT_OK) {
        if (l.n != 2 || vt_content_trim(&l, 0, NULL) != 2)
            status = vt_fail(err, VT_EINTERNAL, "the store has %zu objects", l.n);
        vt_content_listing_free(&l);
    }
    vt_content_close(c);
    return status;
}

/* Closing trims: a trim that gets no memory is left to the next day. */
static vt_status content_close_call(void *arg, vt_err *err)
{
    vt_content *c = NULL;
    (void)arg;
    vt_status status = vt_content_open(in_root("store"), &c, err);
    if (status == VT_OK)
        status = vt_content_put(c, VT_CONTENT_CHECK, "0123456789abcdef", "x", 1, err);
    vt_content_close(c);
    return status;
}

static vt_status journal_calls(void *arg, vt_err *err)
{
    vt_journal *j;
    (void)arg;
    VT_TRY(vt_journal_open(in_root("journal.jsonl"), &j, err));
    vt_json *value = vt_json_object();
    vt_json_put_str(value, "text", "some text");
    vt_status status = NULL_IS_NO_MEMORY(value, err);
    for (int i = 0; i < 40 && status == VT_OK; i++) { /* past the first size of its table */
        char key[16];
        snprintf(key, sizeof key, "key%d", i);
        status = vt_journal_put(j, key, value, err);
        if (status == VT_OK && !vt_journal_get(j, key))
            status = vt_fail(err, VT_EINTERNAL, "%s was lost", key);
    }
    if (status == VT_OK)
        status = vt_journal_sync(j, err);
    vt_json_free(value);
    vt_journal_close(j);
    return status;
}

static vt_status line_calls(void *arg, vt_err *err)
{
    struct vt_jsonl w;
    struct vt_jsonl_reader r;
    vt_json *line = NULL;
    (void)arg;
    VT_TRY(vt_jsonl_open(&w, in_root("lines.jsonl"), VT_JSONL_REBUILD, err));
    vt_buf_puts(vt_jsonl_begin(&w), ",\"list\":[1,2,\"three\"]");
    vt_status status = vt_jsonl_end(&w, err);
    if (status == VT_OK)
        status = vt_jsonl_sync(&w, err);
    vt_jsonl_close(&w);
    VT_TRY(status);
    VT_TRY(vt_jsonl_reader_open(&r, in_root("lines.jsonl"), err));
    status = vt_jsonl_next(&r, &line, err);
    if (status == VT_OK && (!line || vt_json_count(vt_json_get(line, "list")) != 3))
        status = vt_fail(err, VT_EINTERNAL, "the line was lost");
    vt_json_free(line);
    vt_jsonl_reader_close(&r);
    return status;
}

static vt_status use_run(vt_run *r, vt_err *err)
{
    char *path, hex[65];
    bool is_edited;
    VT_TRY(vt_run_source_put(r, "a/b.lua", "text", 4, &is_edited, err));
    VT_TRY(vt_run_blob_put(r, "bytes", 5, hex, err));
    VT_TRY(vt_run_path(r, "tables/x.csv", &path, err));
    free(path);
    VT_TRY(vt_run_sync(r, err));
    vt_json *summary = vt_json_object();
    vt_json_put_num(summary, "fast_1", 0.5);
    vt_status status = vt_run_finish(r, summary, err);
    vt_json_free(summary);
    return status;
}

static vt_status list_calls(vt_err *err)
{
    struct vt_run_entry *entries = NULL;
    size_t n = 0;
    VT_TRY(vt_run_list(in_root("runs"), "boa", &entries, &n, err));
    vt_run_list_free(entries, n);
    return n >= 1 ? VT_OK : vt_fail(err, VT_EINTERNAL, "the run is not listed");
}

/* arg: the run's name, or NULL for one that is found by its id. */
static vt_status run_calls(void *arg, vt_err *err)
{
    vt_json *params = vt_json_object(), *about = vt_json_object();
    vt_json_put_num(params, "lr", 1e-4);
    vt_json_put_str(about, "command", "vegttt x.lua");
    struct vt_run_spec spec = {
        .root = in_root("runs"), .experiment = "boa", .name = arg, .params = params, .about = about};
    char id[65];
    vt_run *r = NULL;
    vt_status status = params && about ? VT_OK : vt_fail(err, VT_ENOMEM, "NULL");
    if (status == VT_OK)
        status = vt_run_id_of("boa", params, 0, id, err);
    if (status == VT_OK)
        status = vt_run_open(&spec, &r, NULL, err);
    if (status == VT_OK && strcmp(vt_run_id(r), id) != 0)
        status = vt_fail(err, VT_EINTERNAL, "another id");
    if (status == VT_OK)
        status = use_run(r, err);
    if (status == VT_OK)
        status = list_calls(err);
    vt_run_close(r);
    vt_json_free(params);
    vt_json_free(about);
    return status;
}

static char run_name[] = "named";

/* One run that was recorded and finished, to be taken up again. */
static void make_run(void)
{
    vt_err err;
    empty_root();
    CHECK_OK(run_calls(NULL, &err), err);
}

static void make_named_run(void)
{
    vt_err err;
    empty_root();
    CHECK_OK(run_calls(run_name, &err), err);
}

static vt_status split_calls(void *arg, vt_err *err)
{
    vt_json *made = NULL, *loaded = NULL;
    struct vt_buf text;
    (void)arg;
    vt_buf_init(&text, 1 << 20);
    vt_status status = vt_split_make(1, 42, &made, err);
    if (status == VT_OK)
        status = vt_split_write(made, &text, err);
    if (status == VT_OK)
        status = vt_split_load(VT_SOURCE_DIR "/splits/l1_seed42.json", &loaded, err);
    vt_buf_free(&text);
    vt_json_free(made);
    vt_json_free(loaded);
    return status;
}

static vt_status table_calls(void *arg, vt_err *err)
{
    static const char *const columns[] = {"a", "b"};
    static const struct vt_cell cells[] = {{VT_CELL_TEXT, 0, "one, two"}, {VT_CELL_NUMBER, 0.1, NULL}};
    static const struct vt_table t = {2, 1, columns, cells};
    struct vt_buf csv, markdown;
    (void)arg;
    vt_buf_init(&csv, 1000);
    vt_buf_init(&markdown, 1000);
    vt_status status = vt_csv_write(&t, &csv, err);
    if (status == VT_OK)
        status = vt_markdown_write(&t, 3, &markdown, err);
    vt_buf_free(&csv);
    vt_buf_free(&markdown);
    return status;
}

static void every_call(void)
{
    vt_err err;
    snprintf(root, sizeof root, "/tmp/vegttt-memory-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
    fail_each("content", content_calls, NULL, MUST_FAIL);
    fail_each_from("vt_content_close", empty_root, content_close_call, NULL, MAY_SUCCEED);
    fail_each_from("journal", empty_root, journal_calls, NULL, MUST_FAIL);
    fail_each("lines", line_calls, NULL, MUST_FAIL);
    fail_each_from("a new run", empty_root, run_calls, NULL, MUST_FAIL);
    fail_each_from("a run of that name", empty_root, run_calls, run_name, MUST_FAIL);
    fail_each_from("a run taken up again", make_run, run_calls, NULL, MUST_FAIL);
    fail_each_from("a run of that name taken up again", make_named_run, run_calls, run_name, MUST_FAIL);
    fail_each("split", split_calls, NULL, MUST_FAIL);
    fail_each("tables", table_calls, NULL, MUST_FAIL);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};
TEST_MAIN(cases)
