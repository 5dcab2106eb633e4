/* SPDX-License-Identifier: Apache-2.0
 *
 * verb_split.c: `vegttt split make` writes a KernelBench split as its authors' script does, `vegttt split check`
 * verifies one.
 */
#include "base/buf.h"
#include "base/fs.h"
#include "cli/verbs.h"
#include "store/split.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int make(int level, uint64_t seed, const char *path)
{
    vt_json *split = NULL;
    struct vt_buf text;
    vt_err err;
    vt_status status = vt_split_make(level, seed, &split, &err);

    vt_buf_init(&text, 1 << 20);
    if (status == VT_OK)
        status = vt_split_write(split, &text, &err);
    if (status == VT_OK && path)
        status = vt_fs_write_atomic(path, text.p, text.len, &err);
    else if (status == VT_OK)
        puts(text.p);
    vt_json_free(split);
    vt_buf_free(&text);
    return status == VT_OK ? VT_EXIT_OK : vt_cli_fail(&err);
}

static int check(const char *path)
{
    vt_json *split = NULL;
    vt_err err;

    if (vt_split_load(path, &split, &err) != VT_OK)
        return vt_cli_fail(&err);
    printf("%s: %s, seed %lld, %zu training and %zu evaluation tasks, hash verified\n", path,
           vt_json_str(vt_json_get(split, "level"), "?"), (long long)vt_json_int(vt_json_get(split, "seed"), 0),
           vt_json_count(vt_json_get(vt_json_get(split, "problem_ids"), "train")),
           vt_json_count(vt_json_get(vt_json_get(split, "problem_ids"), "eval")));
    vt_json_free(split);
    return VT_EXIT_OK;
}

int vt_verb_split(int argc, char **argv)
{
    int level = 0;
    unsigned long long seed = 0;
    bool has_seed = false;
    const char *out = NULL;
    char *end;

    if (argc == 3 && strcmp(argv[1], "check") == 0)
        return check(argv[2]);
    if (argc < 2 || strcmp(argv[1], "make") != 0)
        return vt_cli_usage("split");
    for (int i = 2; i < argc; i += 2) {
        if (i + 1 >= argc)
            return vt_cli_usage("split");
        if (strcmp(argv[i], "--level") == 0) {
            level = strcmp(argv[i + 1], "l1") == 0 ? 1 : strcmp(argv[i + 1], "l2") == 0 ? 2 : 0;
        } else if (strcmp(argv[i], "--seed") == 0) {
            seed = strtoull(argv[i + 1], &end, 10);
            has_seed = argv[i + 1][0] >= '0' && argv[i + 1][0] <= '9' && *end == '\0';
        } else if (strcmp(argv[i], "--out") == 0) {
            out = argv[i + 1];
        } else {
            return vt_cli_usage("split");
        }
    }
    return level && has_seed ? make(level, seed, out) : vt_cli_usage("split");
}
