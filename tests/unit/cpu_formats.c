/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_formats.c: what a config.json or adapter_config.json says is what is computed: tiny models with members of their
 * config replaced, against transformers and PEFT in fp64 (tests/golden/formats, made by make_formats.py). A key that
 * was read wrongly (a rope factor ignored, rope_scaling behind rope_parameters, alpha over r instead of over its root)
 * moves these values by tenths.
 */
#include "harness.h"

#include "cpu_lm_common.h"
#include <fcntl.h>
#include <sys/stat.h>

#define FORMATS GOLDEN("formats/")

/* tests/golden/tiny/NAME (or its adapter) as links in a scratch folder, with members of one file replaced. */
static const char *patched(const char *source, const char *file, const vt_json *patch)
{
    const char *dir = scratch_path("cpu-formats");
    char path[512], from[512];
    struct vt_buf text;
    vt_json *j = NULL;
    vt_err err = {0};
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(from, sizeof from, "%s/%s", source, file);
    CHECK_OK(vt_fs_read(from, 1 << 20, &text, &err), err);
    CHECK_OK(vt_json_parse(text.p, text.len, from, &j, &err), err);
    vt_buf_free(&text);
    vt_json *made = vt_json_object();
    for (const vt_json *e = vt_json_first(j); e; e = vt_json_next(e))
        if (!vt_json_get(patch, vt_json_key(e)))
            vt_json_put(made, vt_json_key(e), vt_json_clone(e));
    for (const vt_json *e = vt_json_first(patch); e; e = vt_json_next(e))
        if (!vt_json_is_null(e)) /* null: removed */
            vt_json_put(made, vt_json_key(e), vt_json_clone(e));
    vt_buf_init(&text, 1 << 20);
    CHECK_OK(vt_json_write(made, false, &text, &err), err);
    snprintf(path, sizeof path, "%s/%s", dir, file);
    write_scratch(path, text.p, text.len);
    vt_buf_free(&text);
    vt_json_free(made);
    vt_json_free(j);
    static const char *const weights[] = {"model.safetensors", "adapter_model.safetensors"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", source, weights[i]);
        snprintf(path, sizeof path, "%s/%s", dir, weights[i]);
        if (vt_fs_exists(from))
            CHECK_INT(symlink(from, path), 0);
    }
    return dir;
}

/* The same bar as for the goldens of the models themselves: fp32 against fp64. */
static void compare_golden(vt_lm *lm, const vt_json *line, int adapter)
{
    struct seq s = json_seq(line, "prompt", "tokens");
    float *want = json_floats(vt_json_get(line, "logp"), s.n);
    double worst = 0;
    score_seq(lm, &s, adapter);
    for (int i = 0; i < s.n; i++)
        worst = fmax(worst, fabs((double)s.logp[i] - (double)want[i]));
    if (!(s.n == 12 && worst <= 1e-4)) {
        struct vt_buf text;
        vt_buf_init(&text, 1 << 16);
        CHECK(vt_json_write(vt_json_get(line, "config"), false, &text, NULL) == VT_OK);
        printf("  %s: off by %g\n", text.p, worst);
        vt_buf_free(&text);
        test_failures_in_case++;
    }
    free(want);
    free_seq(&s);
}

static void expect_word(vt_status status, const vt_err *err, const char *word)
{
    CHECK_INT(status, VT_EUNSUPPORTED);
    if (!strstr(err->msg, word))
        CHECK_STR(err->msg, word);
}

static void check_model(void *arg, const vt_json *line)
{
    char source[512];
    const char *word = vt_json_str(vt_json_get(line, "refused"), NULL);
    snprintf(source, sizeof source, "%s/%s", GOLDEN("tiny"), vt_json_str(vt_json_get(line, "base"), "?"));
    const char *dir = patched(source, "config.json", vt_json_get(line, "config"));
    struct model m;
    vt_err err = {0};
    ((int *)arg)[word != NULL]++;
    if (word) {
        vt_ckpt *c = NULL;
        expect_word(vt_ckpt_open(dir, &c, &err), &err, word);
        return;
    }
    if (open_model(&m, dir, VT_LM_F32, NULL, 1))
        compare_golden(m.lm, line, 0);
    close_model(&m);
}

static void models(void)
{
    int counts[2] = {0};
    vt_err err = {0};
    CHECK(each_json_line(FORMATS "models.jsonl", check_model, counts) > 0);
    CHECK_INT(counts[0], 19);
    CHECK_INT(counts[1], 5);
    CHECK_OK(vt_fs_remove_tree(patched(GOLDEN("tiny/llama"), "config.json", NULL), &err), err);
}

struct adapters {
    struct model m;
    int counts[2];
};

static void check_adapter(void *arg, const vt_json *line)
{
    struct adapters *x = arg;
    const char *word = vt_json_str(vt_json_get(line, "refused"), NULL);
    const char *dir = patched(GOLDEN("tiny/llama/adapter"), "adapter_config.json", vt_json_get(line, "config"));
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    int id = 0;
    vt_status status = vt_adapter_load_on(dir, x->m.ckpt, NULL, &a, NULL, &err);
    x->counts[word != NULL]++;
    if (word) {
        expect_word(status, &err, word);
        return;
    }
    CHECK_OK(status, err);
    if (!a)
        return;
    CHECK_OK(vt_lm_adapter_put(x->m.lm, a, &id, &err), err);
    compare_golden(x->m.lm, line, id);
    vt_lm_adapter_drop(x->m.lm, id);
    vt_adapter_free(a);
}

static void adapters(void)
{
    struct adapters x = {0};
    vt_err err = {0};
    if (!open_model(&x.m, GOLDEN("tiny/llama"), VT_LM_F32, NULL, 1))
        return;
    CHECK(each_json_line(FORMATS "adapters.jsonl", check_adapter, &x) > 0);
    CHECK_INT(x.counts[0], 10);
    CHECK_INT(x.counts[1], 12);
    close_model(&x.m);
    CHECK_OK(vt_fs_remove_tree(patched(GOLDEN("tiny/llama/adapter"), "adapter_config.json", NULL), &err), err);
}

/* PEFT saves the base's head beside an adapter of it and puts it back on loading. The same head is ignored, another
 * one (here: the adapter on a base whose head is the embedding) is refused. */
static void adapter_of_the_head(void)
{
    struct model m;
    struct vt_adapter *a = NULL;
    vt_err err = {0};
    int id = 0;
    if (!open_model(&m, GOLDEN("tiny/llama"), VT_LM_F32, NULL, 1))
        return;
    CHECK_OK(vt_adapter_load_on(FORMATS "lm_head", m.ckpt, NULL, &a, NULL, &err), err);
    if (a) {
        CHECK_INT(a->targets, 1u << VT_LORA_Q | 1u << VT_LORA_UNEMBED);
        CHECK_OK(vt_lm_adapter_put(m.lm, a, &id, &err), err);
        struct vt_buf text;
        vt_json *line = NULL;
        CHECK_OK(vt_fs_read(FORMATS "lm_head/golden.json", 1 << 16, &text, &err), err);
        CHECK_OK(vt_json_parse(text.p, text.len, "golden.json", &line, &err), err);
        compare_golden(m.lm, line, id);
        vt_json_free(line);
        vt_buf_free(&text);
    }
    vt_adapter_free(a);
    a = NULL;
    CHECK_INT(vt_adapter_load(FORMATS "lm_head", vt_lm_cfg(m.lm), NULL, &a, NULL, &err), VT_EUNSUPPORTED);
    CHECK(strstr(err.msg, "lm_head.base_layer.weight") != NULL);
    close_model(&m);
}

/* Packed weights are found by the file's digest, norms are read from the open file: a file that was replaced in
 * between, by one of the same size and times, is not opened as a mixture of both. */
static void replaced_file(void)
{
    const char *dir = scratch_path("replaced");
    char path[512];
    struct vt_buf bytes;
    struct model m = {0};
    vt_err err = {0};
    const struct vt_lm_opts o = {.backends = only_cpu, .precision = VT_LM_F32, .n_threads = 1};
    CHECK_OK(vt_fs_mkdir_p(dir, &err), err);
    snprintf(path, sizeof path, "%s/config.json", dir);
    CHECK_INT(symlink(GOLDEN("tiny/llama/config.json"), path), 0);
    CHECK_OK(vt_fs_read(GOLDEN("tiny/llama/model.safetensors"), 1 << 20, &bytes, &err), err);
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    write_scratch(path, bytes.p, bytes.len);
    struct stat before;
    CHECK_INT(stat(path, &before), 0);
    CHECK_OK(vt_ckpt_open(dir, &m.ckpt, &err), err);
    bytes.p[bytes.len - 2] ^= 1;
    write_scratch(path, bytes.p, bytes.len);
    CHECK_INT(utimensat(AT_FDCWD, path, (struct timespec[2]){before.st_atim, before.st_mtim}, 0), 0);
    if (m.ckpt)
        CHECK_INT(vt_lm_open(m.ckpt, &o, &m.lm, &err), VT_EIO);
    CHECK(strstr(err.msg, "was changed or replaced") != NULL);
    close_model(&m);
    if (open_with(&m, dir, &o)) /* opened anew it is the new file */
        CHECK(vt_ckpt_unchanged(m.ckpt, &err) == VT_OK);
    close_model(&m);
    vt_buf_free(&bytes);
    CHECK_OK(vt_fs_remove_tree(dir, &err), err);
}

static const struct test_case cases[] = {TEST(models), TEST(adapters), TEST(adapter_of_the_head), TEST(replaced_file)};
TEST_MAIN(cases)
