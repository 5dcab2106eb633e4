/* SPDX-License-Identifier: Apache-2.0
 *
 * model_common.h: what the model tests share: where the default model's file is, reading a file of JSON lines, and
 * scratch files. Include after harness.h.
 */
#ifndef VT_TEST_MODEL_COMMON_H
#define VT_TEST_MODEL_COMMON_H

#include "base/buf.h"
#include "base/fs.h"
#include "base/json.h"

#define NO_MODEL "the default model's file is not here (set VEGTTT_TEST_MODEL, or run: vegttt model pull smollm2-135m)"
#define GOLDEN(name) VT_SOURCE_DIR "/tests/golden/" name

/* VEGTTT_TEST_MODEL, or the file in the cache; NULL when there is none. Static storage. */
static inline const char *model_path(void)
{
    static char path[4096];
    const char *env = getenv("VEGTTT_TEST_MODEL");
    if (env && vt_fs_exists(env))
        return env;
    char *cache = NULL;
    if (vt_cache_dir(&cache, NULL) != VT_OK)
        return NULL;
    snprintf(path, sizeof path, "%s/models/smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
    free(cache);
    return vt_fs_exists(path) ? path : NULL;
}

/* Calls fn with every line of a JSON-lines file; returns the number of lines, -1 when it cannot be read. A golden text
 * may hold U+0000, which no text of the engine's can (base/json.h); such a line is counted and left out. */
static inline long each_json_line(const char *path, void (*fn)(void *arg, const vt_json *line), void *arg)
{
    struct vt_buf text;
    vt_err err;
    if (vt_fs_read(path, 64 << 20, &text, &err) != VT_OK) {
        printf("  %s\n", err.msg);
        return -1;
    }
    long n = 0;
    for (char *p = text.p, *end; p < text.p + text.len; p = end + 1, n++) {
        end = strchr(p, '\n');
        if (!end)
            end = text.p + text.len;
        vt_json *line = NULL;
        if (memmem(p, (size_t)(end - p), "\\u0000", 6))
            continue;
        if (vt_json_parse(p, (size_t)(end - p), path, &line, &err) != VT_OK) {
            printf("  line %ld: %s\n", n + 1, err.msg);
            n = -1;
            break;
        }
        fn(arg, line);
        vt_json_free(line);
    }
    vt_buf_free(&text);
    return n;
}

/* A scratch path of this process; static storage, one at a time per name. */
static inline const char *scratch_path(const char *name)
{
    static char paths[4][256];
    static int at;
    char *p = paths[at++ & 3];
    const char *dir = getenv("TMPDIR");
    snprintf(p, 256, "%s/vegttt-test-%ld-%s", dir ? dir : "/tmp", (long)getpid(), name);
    return p;
}

static inline void write_scratch(const char *path, const void *bytes, size_t n)
{
    vt_err err;
    CHECK_OK(vt_fs_write_atomic(path, bytes, n, &err), err);
}

#endif
