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
    return status == VT_OK ? VT_EXIT_OK : vt_cli_fail_named(&err);
}

static int check(const char *path)
{
    vt_json *split = NULL;
    vt_err err;

    if (vt_split_load(path, &split, &err) != VT_OK)
        return vt_cli_fail_named(&err);
    printf("%s: %s, seed %lld, %zu training and %zu evaluation tasks, hash verified\n", path,
           vt_json_str(vt_json_get(split, "level"), "?"), (long long)vt_json_int(vt_json_get(split, "seed"), 0),
           vt_json_count(vt_json_get(vt_json_get(split, "problem_ids"), "train")),
           vt_json_count(vt_json_get(vt_json_get(split, "problem_ids"), "eval")));
    vt_json_free(split);
    return VT_EXIT_OK;
}

int vt_verb_split(int argc, char **argv)
{
    static const char *const levels[] = {"l1", "l2", NULL};
    static const struct vt_arg options[] = {{.name = "level", .choices = levels},
                                            {.name = "seed", .kind = VT_ARG_INTEGER, .range = VT_AT_LEAST(0)},
                                            {.name = "out"}};
    static const struct vt_cli_action actions[] = {{"make", 0, 7}, {"check", 1, 0}};
    const char *values[3], *words[3] = {0};
    size_t n_words, which;
    int64_t seed = 0;
    int code;
    vt_err err;

    if (!vt_cli_words("split", options, 3, argc, argv, values, words, 3, &n_words, &code) ||
        !vt_cli_action("split", actions, 2, options, values, 3, words, n_words, &which, &code))
        return code;
    if (which == 1)
        return check(words[1]);
    if (!values[0] || !values[1])
        return vt_cli_usage("split");
    if (vt_arg_whole(&options[1], values[1], &seed, &err) != VT_OK)
        return vt_cli_fail(&err);
    return make(values[0][1] - '0', (uint64_t)seed, values[2]);
}
