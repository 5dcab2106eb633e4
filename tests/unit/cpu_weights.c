/* SPDX-License-Identifier: Apache-2.0
 *
 * cpu_weights.c: the cache file of packed weights: what it holds is what packing gives, a file damaged anywhere is
 * packed again and repaired, and without a writable cache the pack stays in memory.
 */
#include "harness.h"

#include "base/alloc.h"
#include "base/fs.h"
#include "cpu/kernels.h"

#define TINY VT_SOURCE_DIR "/tests/golden/tiny/llama"

static char cache[64];

static vt_ckpt *open_tiny(void)
{
    vt_err err = {0};
    vt_ckpt *c = NULL;
    CHECK_OK(vt_ckpt_open(TINY, &c, &err), err);
    return c;
}

static void cache_begin(void)
{
    (void)snprintf(cache, sizeof cache, "/tmp/vegttt-weights-XXXXXX");
    CHECK(mkdtemp(cache) != NULL);
    CHECK_INT(setenv("VEGTTT_CACHE", cache, 1), 0);
}
static void cache_end(void)
{
    vt_err err = {0};
    CHECK_OK(vt_fs_remove_tree(cache, &err), err);
}

/* Every matrix of p has the bytes that packing its tensor gives. */
static void check_pack(const vt_ckpt *c, const struct vt_pack *p, enum vt_lm_precision precision)
{
    vt_err err = {0};
    int n = 0;
    for (size_t i = 0; i < vt_ckpt_n_tensors(c); i++) {
        const struct vt_tensor *t = vt_ckpt_tensor_at(c, i);
        const struct vt_matrix *have = vt_pack_matrix(p, t->name);
        struct vt_matrix want;
        if (t->n_dims != 2) {
            CHECK(have == NULL);
            continue;
        }
        CHECK(have != NULL);
        if (!have)
            return;
        enum vt_layout layout = vt_layout_of(precision, t->dtype);
        size_t bytes = vt_matrix_bytes(layout, (int)t->shape[0], (int)t->shape[1]);
        void *memory = vt_alloc_aligned(64, bytes);
        CHECK_OK(vt_matrix_pack(t, layout, memory, &want, &err), err);
        CHECK_INT(have->layout, want.layout);
        CHECK_INT(have->n_out, want.n_out);
        CHECK_INT(have->n_in, want.n_in);
        CHECK_INT((uintptr_t)have->data % 64, 0);
        CHECK(memcmp(have->data, memory, bytes) == 0);
        free(memory);
        n++;
    }
    CHECK(n > 8);
    CHECK(vt_pack_matrix(p, "no.such.tensor") == NULL);
}

static void open_and_check(const vt_ckpt *c, enum vt_lm_precision precision)
{
    vt_err err = {0};
    struct vt_pack *p = NULL;
    CHECK_OK(vt_pack_open(c, precision, &p, &err), err);
    if (p)
        check_pack(c, p, precision);
    vt_pack_close(p);
}

/* Path of the only file in the cache's folder of packs. */
static char *pack_path(void)
{
    vt_err err = {0};
    char **names = NULL, *folder = vt_path_join(cache, "packed"), *path = NULL;
    size_t n = 0;
    CHECK_OK(vt_fs_list(folder, &names, &n, &err), err);
    CHECK_INT(n, 1);
    if (n)
        path = vt_path_join(folder, names[0]);
    vt_fs_list_free(names, n);
    free(folder);
    return path;
}

static void test_contents(void)
{
    vt_ckpt *c = open_tiny();
    for (int p = 0; c && p < 2; p++) {
        cache_begin();
        open_and_check(c, (enum vt_lm_precision)p); /* packs */
        open_and_check(c, (enum vt_lm_precision)p); /* maps */
        cache_end();
    }
    vt_ckpt_free(c);
}

static void test_damage(void)
{
    vt_err err = {0};
    vt_ckpt *c = open_tiny();
    cache_begin();
    open_and_check(c, VT_LM_FAST);
    char *path = pack_path();
    struct vt_buf sound = {0}, now = {0};
    CHECK_OK(vt_fs_read(path, (size_t)1 << 30, &sound, &err), err);
    /* a bit of the header, of the table, of a matrix, the last one; then lengths */
    const size_t at[] = {0, 9, 17, 25, 40, 130, sound.len / 2, sound.len - 1};
    for (size_t i = 0; i < sizeof at / sizeof at[0] + 3; i++) {
        unsigned char *bad = vt_alloc(sound.len + 64);
        size_t n = sound.len;
        memcpy(bad, sound.p, n);
        if (i < sizeof at / sizeof at[0])
            bad[at[i]] ^= 0x10;
        else
            n = i == sizeof at / sizeof at[0] ? 0 : i % 2 ? n - 64 : n + 64;
        CHECK_OK(vt_fs_write_atomic(path, bad, n, &err), err);
        open_and_check(c, VT_LM_FAST);
        CHECK_OK(vt_fs_read(path, (size_t)1 << 30, &now, &err), err);
        CHECK(now.len == sound.len && memcmp(now.p, sound.p, now.len) == 0);
        vt_buf_free(&now);
        free(bad);
    }
    vt_buf_free(&sound);
    free(path);
    cache_end();
    vt_ckpt_free(c);
}

static void test_no_cache(void)
{
    vt_ckpt *c = open_tiny();
    CHECK_INT(setenv("VEGTTT_CACHE", TINY "/config.json", 1), 0); /* a file: no folder can be made in it */
    open_and_check(c, VT_LM_FAST);
    vt_ckpt_free(c);
}

static const struct test_case cases[] = {TEST(test_contents), TEST(test_damage), TEST(test_no_cache)};
TEST_MAIN(cases)
