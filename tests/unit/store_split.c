/* SPDX-License-Identifier: Apache-2.0
 *
 * store_split.c: the published split files byte for byte, damage of every kind refused; tables as CSV and Markdown.
 */
#include "base/fs.h"
#include "base/rng.h"
#include "harness.h"
#include "store/csv.h"
#include "store/split.h"
#include <fcntl.h>

static vt_err err;

static const struct {
    const char *path;
    int level;
    uint64_t seed;
} published[] = {
    {VT_SOURCE_DIR "/splits/l1_seed42.json", 1, 42},
    {VT_SOURCE_DIR "/splits/l1_seed43.json", 1, 43},
    {VT_SOURCE_DIR "/splits/l1_seed44.json", 1, 44},
    {VT_SOURCE_DIR "/splits/l2_seed42.json", 2, 42},
};

static void published_files_byte_for_byte(void)
{
    for (int i = 0; i < 4; i++) {
        vt_json *split = NULL, *loaded = NULL;
        struct vt_buf ours, theirs;
        vt_buf_init(&ours, 1 << 20);
        CHECK_OK(vt_split_make(published[i].level, published[i].seed, &split, &err), err);
        CHECK_OK(vt_split_write(split, &ours, &err), err);
        CHECK_OK(vt_fs_read(published[i].path, 1 << 20, &theirs, &err), err);
        CHECK_STR(ours.p, theirs.p);
        CHECK_INT(ours.len, theirs.len);
        CHECK_OK(vt_split_load(published[i].path, &loaded, &err), err);
        vt_json_free(split);
        vt_json_free(loaded);
        vt_buf_free(&ours);
        vt_buf_free(&theirs);
    }
}

/* A number of JSON has 53 bits; a longer seed is a text, which keeps them all. */
static void seeds_keep_their_digits(void)
{
    const uint64_t seeds[] = {UINT64_C(1) << 53, UINT64_MAX};
    const char *const shown[] = {"\"seed\": 9007199254740992,", "\"seed\": \"18446744073709551615\","};
    for (int i = 0; i < 2; i++) {
        vt_json *split = NULL;
        struct vt_buf text;
        vt_buf_init(&text, 1 << 20);
        CHECK_OK(vt_split_make(1, seeds[i], &split, &err), err);
        CHECK_OK(vt_split_write(split, &text, &err), err);
        CHECK(strstr(text.p, shown[i]) != NULL);
        vt_json_free(split);
        vt_buf_free(&text);
    }
}

static void unknown_levels(void)
{
    vt_json *split;
    CHECK_INT(vt_split_make(0, 42, &split, &err), VT_EINVAL);
    CHECK_INT(vt_split_make(3, 42, &split, &err), VT_EINVAL);
    CHECK(split == NULL);
}

static void every_changed_byte_is_refused(void)
{
    char path[] = "/tmp/vegttt-split-XXXXXX";
    struct vt_buf text;
    struct vt_stream s;
    int fd = mkstemp(path), n_accepted = 0;
    vt_stream_init(&s, 3);
    CHECK_OK(vt_fs_read(published[0].path, 1 << 20, &text, &err), err);
    for (int round = 0; round < 3000; round++) {
        size_t at = (size_t)vt_stream_below(&s, text.len);
        char kept = text.p[at];
        text.p[at] ^= (char)(1u << vt_stream_below(&s, 8));
        CHECK_INT(ftruncate(fd, 0), 0);
        CHECK_INT(pwrite(fd, text.p, text.len, 0), text.len);
        vt_json *split;
        bool is_blank = strchr(" \n\t\r", kept) != NULL; /* white space is not hashed */
        if (vt_split_load(path, &split, &err) == VT_OK) {
            n_accepted += !is_blank;
            vt_json_free(split);
        } else {
            CHECK(strstr(err.msg, path) != NULL);
        }
        text.p[at] = kept;
    }
    CHECK_INT(n_accepted, 0);
    for (size_t cut = 0; cut < text.len; cut += 7) {
        vt_json *split;
        CHECK_INT(ftruncate(fd, 0), 0);
        CHECK_INT(pwrite(fd, text.p, cut, 0), cut);
        CHECK(vt_split_load(path, &split, &err) != VT_OK);
    }
    vt_buf_free(&text);
    close(fd);
    unlink(path);
}

static void hashed_anew_but_senseless(void)
{
    /* Hashes by Python: sha256 of json.dumps without split_hash, sorted, no spaces. */
    static const char *const texts[] = {
        "{\"level\":\"level_1\",\"problem_ids\":{\"eval\":[2],\"train\":[1,2]},\"seed\":1,\"split_hash\":\""
        "8551f82c9ee35ef66b802c710b7495bf515b409a8230176b44d33aca83b1887f\"}",
        "{\"level\":\"level_1\",\"problem_ids\":{\"eval\":[],\"train\":[1,2]},\"seed\":1,\"split_hash\":\""
        "9683a5e784e3e5cf33339da20da372b1c388366c7ee6c311ad611e3ba81180a0\"}",
        "{\"level\":\"level_1\",\"problem_ids\":{\"eval\":[0],\"train\":[1,2]},\"seed\":1,\"split_hash\":\""
        "a260dddc1be835847de57a6b6c1bbc387b37e3d62419ae82531357ab710ace3f\"}",
        "{\"problem_ids\":{\"eval\":[3],\"train\":[1,2]},\"seed\":1,\"split_hash\":\""
        "f61dd7b0c09801868f492a65ec3f5742efa5f40c373c643bf75c26ac6e2c9aa7\"}",
        "{\"level\":\"level_1\",\"problem_ids\":{\"eval\":[1e18],\"train\":[1,2]},\"seed\":1}",
        "[]",
    };
    for (int i = 0; i < 6; i++) {
        char path[] = "/tmp/vegttt-split-XXXXXX";
        int fd = mkstemp(path);
        vt_json *split;
        CHECK_INT(write(fd, texts[i], strlen(texts[i])), strlen(texts[i]));
        close(fd);
        CHECK_INT(vt_split_load(path, &split, &err), VT_EFORMAT);
        if (i < 3)
            CHECK(strstr(err.msg, "disjoint") != NULL);
        if (i == 3)
            CHECK(strstr(err.msg, "level, seed or split_hash is missing") != NULL);
        unlink(path);
    }
}

static void tables(void)
{
    static const char *const columns[] = {"rule", "fast_1", "note"};
    static const struct vt_cell cells[] = {
        {VT_CELL_TEXT, 0, "best, of \"n\""},
        {VT_CELL_NUMBER, 0.1, NULL},
        {VT_CELL_TEXT, 0, "a|b\nc"},
        {VT_CELL_TEXT, 0, "plain"},
        {VT_CELL_NUMBER, NAN, NULL},
        {VT_CELL_NUMBER, 10001, NULL},
        {VT_CELL_EMPTY, 0, NULL},
        {VT_CELL_NUMBER, 2.0 / 3, NULL},
        {VT_CELL_NUMBER, -INFINITY, NULL},
    };
    static const struct vt_table t = {3, 3, columns, cells};
    struct vt_buf out;
    vt_buf_init(&out, 4096);
    CHECK_OK(vt_csv_write(&t, &out, &err), err);
    CHECK_STR(
        out.p,
        "rule,fast_1,note\r\n\"best, of \"\"n\"\"\",0.1,\"a|b\nc\"\r\nplain,,10001\r\n,0.6666666666666666,-inf\r\n");
    vt_buf_clear(&out);
    CHECK_OK(vt_markdown_write(&t, 3, &out, &err), err);
    CHECK_STR(
        out.p,
        "| rule | fast_1 | note |\n| --- | ---: | --- |\n| best, of \"n\" | 0.1 | a\\|b c |\n| plain |  | 10001 |\n"
        "|  | 0.667 | -inf |\n");
    vt_buf_free(&out);
    vt_buf_init(&out, 10);
    CHECK_INT(vt_csv_write(&t, &out, &err), VT_ELIMIT);
    vt_buf_free(&out);
}

static const struct test_case cases[] = {
    TEST(published_files_byte_for_byte), TEST(seeds_keep_their_digits),   TEST(unknown_levels),
    TEST(every_changed_byte_is_refused), TEST(hashed_anew_but_senseless), TEST(tables),
};
TEST_MAIN(cases)
