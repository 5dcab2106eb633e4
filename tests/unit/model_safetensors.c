/* SPDX-License-Identifier: Apache-2.0
 *
 * model_safetensors.c: our writer read back, a file of Hugging Face's writer, and headers that lie: truncation at every
 * byte, holes, overlaps, counts of 2^63. Each gives one sentence.
 */
#include "model/safetensors.h"

#include "harness.h"
#include "model_common.h"

static vt_status open_text(const char *header, size_t n_data, vt_st **s, vt_err *err)
{
    const char *path = scratch_path("t.safetensors");
    struct vt_buf b;
    size_t n = strlen(header);
    vt_buf_init(&b, 1 << 20);
    for (size_t i = 0; i < 8; i++)
        vt_buf_putc(&b, (char)(n >> (8 * i) & 0xff));
    vt_buf_puts(&b, header);
    for (size_t i = 0; i < n_data; i++)
        vt_buf_putc(&b, 0);
    write_scratch(path, b.p, b.len);
    vt_buf_free(&b);
    *s = NULL;
    *err = (vt_err){0};
    vt_status status = vt_st_open(path, s, err);
    unlink(path);
    return status;
}

static void round_trip(void)
{
    const char *path = scratch_path("round.safetensors");
    const float values[6] = {1, -2.5f, 3.14159274f, 0, -0.0f, 1e-30f};
    const struct vt_st_item items[] = {
        {.name = "z.weight", .dtype = VT_F32, .n_dims = 2, .shape = {2, 3}, .values = values},
        {.name = "a\"quoted\"", .dtype = VT_BF16, .n_dims = 1, .shape = {6}, .values = values},
    };
    vt_st *s = NULL;
    vt_err err = {0};
    CHECK_OK(vt_st_write(path, items, 2, &(struct vt_st_pair){"format", "pt"}, 1, &err), err);
    CHECK_OK(vt_st_open(path, &s, &err), err);
    if (s) {
        float row[6];
        CHECK_INT(vt_st_n(s), 2);
        CHECK(vt_st_find(s, "absent") == NULL && vt_st_at(s, 2) == NULL);
        const struct vt_tensor *z = vt_st_find(s, "z.weight"), *a = vt_st_find(s, "a\"quoted\"");
        CHECK(z && z->dtype == VT_F32 && z->n_dims == 2 && z->shape[0] == 2 && z->shape[1] == 3 && z->row_bytes == 12);
        CHECK(z && memcmp(z->data, values, sizeof values) == 0);
        CHECK(z && ((uintptr_t)z->data & 7) == 0);
        if (a)
            vt_tensor_row(a, 0, row);
        for (int i = 0; a && i < 6; i++)
            CHECK_NEAR(row[i], vt_bf16_to_f32(vt_f32_to_bf16(values[i])), 0);
    }
    vt_st_free(s);
    unlink(path);
    CHECK_INT(
        vt_st_write(path,
                    &(struct vt_st_item){.name = "q", .dtype = VT_Q8_0, .n_dims = 1, .shape = {32}, .values = values},
                    1, NULL, 0, &err),
        VT_EINVAL);
    CHECK_OK(vt_st_write(path, NULL, 0, NULL, 0, &err), err); /* no tensors: a valid file */
    CHECK_OK(vt_st_open(path, &s, &err), err);
    CHECK_INT(vt_st_n(s), 0);
    vt_st_free(s);
    unlink(path);
}

static void lying_headers(void)
{
    static const struct {
        const char *header;
        size_t n_data;
        vt_status status;
        const char *says;
    } rows[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, VT_OK, ""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7, VT_EFORMAT, "cut off"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, VT_EFORMAT, "belong to none"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, VT_EFORMAT, "hole"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
         "\"data_offsets\":[4,12]}}",
         12, VT_EFORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],"
         "\"data_offsets\":[0,8]}}",
         8, VT_EFORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],"
         "\"data_offsets\":[4,8]}}",
         8, VT_EFORMAT, "twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT, "does not fit its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, VT_EFORMAT, "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT, "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT, "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[9223372036854775808],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT,
         "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,4503599627370496,2],\"data_offsets\":[0,8]}}", 8,
         VT_EFORMAT, "impossible shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4503599627370496,1024],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT,
         "does not fit its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, VT_EFORMAT, "0 dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, VT_EFORMAT, "5 dimensions"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, VT_EUNSUPPORTED, "I64"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,8]}}", 8, VT_EUNSUPPORTED, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, VT_EFORMAT, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0]}}", 8, VT_EFORMAT, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":\"0,8\"}}", 8, VT_EFORMAT, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,1e300]}}", 8, VT_EFORMAT, "data_offsets"},
        {"{\"a\":[1,2,3]}", 8, VT_EUNSUPPORTED, "dtype"},
        {"{\"__metadata__\":{\"k\":1}}", 0, VT_OK, ""},
        {"{}", 0, VT_OK, ""},
        {"{}   ", 0, VT_OK, ""},
        {"{\"a\":", 8, VT_EFORMAT, "t.safetensors"},
        {"[1]", 8, VT_EFORMAT, "no safetensors file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        vt_st *s;
        vt_err err;
        vt_status status = open_text(rows[i].header, rows[i].n_data, &s, &err);
        if (status != rows[i].status || !strstr(err.msg, rows[i].says)) {
            printf("  %s\n", rows[i].header);
            CHECK_INT(status, rows[i].status);
            CHECK_STR(err.msg, rows[i].says);
        }
        vt_st_free(s);
    }
}

static void damaged_files(void)
{
    const char *path = scratch_path("cut.safetensors");
    struct vt_buf file;
    vt_err err = {0};
    vt_st *s = NULL;
    CHECK_OK(vt_fs_read(GOLDEN("tiny/llama_sharded/model-00003-of-00003.safetensors"), 1 << 20, &file, &err), err);
    uint64_t header = 0;
    memcpy(&header, file.p, 8);
    for (size_t n = 1; n < file.len; n = n < 8 + header + 50 ? n + 1 : n + 997) {
        write_scratch(path, file.p, n);
        CHECK_INT(vt_st_open(path, &s, &err), VT_EFORMAT);
        CHECK(strlen(err.msg) > 20);
    }
    static const uint64_t lengths[] = {0, 1, 1ull << 63, UINT64_MAX, UINT64_MAX - 7, 100000001};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(file.p, &lengths[i], 8);
        write_scratch(path, file.p, file.len);
        CHECK_INT(vt_st_open(path, &s, &err), VT_EFORMAT);
    }
    unlink(path);
    CHECK_INT(vt_st_open(path, &s, &err), VT_ENOENT);
    vt_buf_free(&file);
}

static const struct test_case cases[] = {TEST(round_trip), TEST(lying_headers), TEST(damaged_files)};
TEST_MAIN(cases)
