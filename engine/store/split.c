/* SPDX-License-Identifier: Apache-2.0
 *
 * split.c: making, writing and checking splits.
 *
 * The hash is over the object without split_hash, keys sorted, no spaces, which is Python's
 * json.dumps(sort_keys=True, separators=(",", ":")). Loading also checks what the hash cannot: that a file somebody
 * made and hashed anew still holds two disjoint lists of ids.
 */
#include "store/split.h"
#include "base/fs.h"
#include "base/rng.h"
#include "base/sha256.h"
#include <stdlib.h>
#include <string.h>

enum { N_PROBLEMS = 100, N_TRAIN = 80, MAX_FILE = 1 << 20, MAX_ID = 100000 };

/* Fingerprints that the data set library gave the two published levels. */
static const char *const fingerprints[] = {"66eecc5652b90a3e", "1b4eaca419d28f8e"};

static vt_status split_hash(const vt_json *split, char hex[VT_SHA256_HEX], vt_err *err)
{
    VT_TRY(vt_json_check(split, err));
    vt_json *hashed = vt_json_object();
    struct vt_buf text;
    vt_buf_init(&text, MAX_FILE);
    for (const vt_json *c = vt_json_first(split); c; c = vt_json_next(c))
        if (strcmp(vt_json_key(c), "split_hash") != 0)
            vt_json_put(hashed, vt_json_key(c), vt_json_clone(c));
    vt_status status = vt_json_write(hashed, true, &text, err);
    if (status == VT_OK)
        vt_sha256_of(text.p, text.len, hex);
    vt_json_free(hashed);
    vt_buf_free(&text);
    return status;
}

static int compare_ids(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return (x > y) - (x < y);
}

static vt_json *id_list(int *ids, size_t n)
{
    vt_json *list = vt_json_array();
    qsort(ids, n, sizeof *ids, compare_ids);
    for (size_t i = 0; i < n; i++)
        vt_json_push(list, vt_json_new_num(ids[i]));
    return list;
}

static vt_json *dataset(int level)
{
    vt_json *d = vt_json_object();
    vt_json_put_str(d, "name", "ScalingIntelligence/KernelBench");
    vt_json_put_str(d, "config_name", "default");
    vt_json_put_str(d, "version", "0.0.0");
    vt_json_put_str(d, "fingerprint", fingerprints[level - 1]);
    vt_json_put_int(d, "num_rows", N_PROBLEMS);
    return d;
}

vt_status vt_split_make(int level, uint64_t seed, vt_json **out, vt_err *err)
{
    *out = NULL;
    if (level < 1 || level > 2)
        return vt_fail(err, VT_EINVAL, "cannot split level %d: levels 1 and 2 are known", level);
    struct vt_mt19937 m;
    int ids[N_PROBLEMS];
    for (int i = 0; i < N_PROBLEMS; i++)
        ids[i] = i + 1;
    vt_mt19937_seed(&m, seed);
    vt_mt19937_shuffle(&m, ids, N_PROBLEMS);

    vt_json *split = vt_json_object(), *lists = vt_json_object();
    vt_json_put(split, "dataset", dataset(level));
    vt_json_put_str(split, "level", level == 1 ? "level_1" : "level_2");
    if (seed <= UINT64_C(1) << 53)
        vt_json_put_int(split, "seed", (int64_t)seed);
    else
        vt_json_put_u64str(split, "seed", seed);
    vt_json_put(lists, "train", id_list(ids, N_TRAIN));
    vt_json_put(lists, "eval", id_list(ids + N_TRAIN, N_PROBLEMS - N_TRAIN));
    vt_json_put(split, "problem_ids", lists);
    char hex[VT_SHA256_HEX];
    vt_status status = split_hash(split, hex, err);
    if (status == VT_OK) {
        vt_json_put_str(split, "split_hash", hex);
        status = vt_json_check(split, err);
    }
    if (status != VT_OK) {
        vt_json_free(split);
        return status;
    }
    *out = split;
    return VT_OK;
}

static void indent(struct vt_buf *out, int depth)
{
    vt_buf_printf(out, "\n%*s", 2 * depth, "");
}

/* json.dumps(indent=2): containers are open over lines, empty ones do not occur in a split. */
static vt_status write_indented(const vt_json *j, int depth, struct vt_buf *out, vt_err *err)
{
    if (!vt_json_is_object(j) && !vt_json_is_array(j))
        return vt_json_write(j, false, out, err);
    bool is_object = vt_json_is_object(j);
    vt_buf_putc(out, is_object ? '{' : '[');
    for (const vt_json *c = vt_json_first(j); c; c = vt_json_next(c)) {
        if (c != vt_json_first(j))
            vt_buf_putc(out, ',');
        indent(out, depth + 1);
        if (is_object) {
            vt_json_write_string(out, vt_json_key(c), strlen(vt_json_key(c)));
            vt_buf_puts(out, ": ");
        }
        VT_TRY(write_indented(c, depth + 1, out, err));
    }
    indent(out, depth);
    vt_buf_putc(out, is_object ? '}' : ']');
    return VT_OK;
}

vt_status vt_split_write(const vt_json *split, struct vt_buf *out, vt_err *err)
{
    VT_TRY(write_indented(split, 0, out, err));
    return vt_buf_check(out, "a split", err);
}

/* Marks the ids of one list in `seen`; false when the list is no list, empty, out of range or names an id twice. */
static bool check_ids(const vt_json *list, unsigned char *seen)
{
    if (!vt_json_is_array(list) || !vt_json_first(list))
        return false;
    for (const vt_json *c = vt_json_first(list); c; c = vt_json_next(c)) {
        int64_t id = vt_json_is_number(c) ? vt_json_int(c, 0) : 0;
        if (id < 1 || id > MAX_ID || seen[id])
            return false;
        seen[id] = 1;
    }
    return true;
}

static vt_status check_split(const vt_json *split, const char *path, vt_err *err)
{
    static const char advice[] = "restore it or make it anew with `vegttt split`";
    const char *recorded = vt_json_str(vt_json_get(split, "split_hash"), NULL);
    if (!recorded || !vt_json_str(vt_json_get(split, "level"), NULL) || !vt_json_get(split, "seed"))
        return vt_fail(err, VT_EFORMAT, "%s is not a split file: level, seed or split_hash is missing; %s", path,
                       advice);
    char hex[VT_SHA256_HEX];
    VT_TRY(split_hash(split, hex, err));
    if (strcmp(hex, recorded) != 0)
        return vt_fail(err, VT_EFORMAT, "%s does not match its split_hash; %s", path, advice);
    unsigned char seen[MAX_ID + 1] = {0};
    const vt_json *lists = vt_json_get(split, "problem_ids");
    if (!check_ids(vt_json_get(lists, "train"), seen) || !check_ids(vt_json_get(lists, "eval"), seen))
        return vt_fail(err, VT_EFORMAT, "%s does not hold two disjoint lists of problem ids; %s", path, advice);
    return VT_OK;
}

vt_status vt_split_load(const char *path, vt_json **out, vt_err *err)
{
    *out = NULL;
    struct vt_buf text;
    vt_json *split = NULL;
    VT_TRY(vt_fs_read(path, MAX_FILE, &text, err));
    vt_status status = vt_json_parse(text.p, text.len, path, &split, err);
    if (status == VT_OK)
        status = check_split(split, path, err);
    if (status != VT_OK)
        vt_json_free(split);
    else
        *out = split;
    vt_buf_free(&text);
    return status;
}
