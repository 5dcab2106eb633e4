/* SPDX-License-Identifier: Apache-2.0
 *
 * roofline.c: the read bandwidth of one core per working-set size.
 *
 * Reading is at least as fast as any mix of reads and writes, and the largest buffer not above the task's footprint is
 * taken, so the floor errs on the side of believing. Noise can only make the measured speed too low; the best of many
 * passes is kept, and so is the better of two measurements.
 */
#include "eval/c/roofline.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_PASSES = 6, PASS_BYTES = 16 << 20 };

typedef uint64_t line __attribute__((vector_size(64)));

#define READ_ALL(name, attribute)                                                                                      \
    attribute static uint64_t name(const line *p, size_t n_lines)                                                      \
    {                                                                                                                  \
        line a = {0}, b = a, c = a, d = a;                                                                             \
        for (size_t i = 0; i + 4 <= n_lines; i += 4) {                                                                 \
            a ^= p[i];                                                                                                 \
            b ^= p[i + 1];                                                                                             \
            c ^= p[i + 2];                                                                                             \
            d ^= p[i + 3];                                                                                             \
        }                                                                                                              \
        a ^= b ^ c ^ d;                                                                                                \
        return a[0] ^ a[1] ^ a[2] ^ a[3] ^ a[4] ^ a[5] ^ a[6] ^ a[7];                                                  \
    }

typedef uint64_t read_all_fn(const line *p, size_t n_lines);
READ_ALL(read_all_plain, )
#if defined(__x86_64__)
READ_ALL(read_all_256, __attribute__((target("avx2"))))
READ_ALL(read_all_512, __attribute__((target("avx512f"))))
#endif

static read_all_fn *widest(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return read_all_512;
    if (__builtin_cpu_supports("avx2"))
        return read_all_256;
#endif
    return read_all_plain;
}

/* The compiler may not drop what computed v. */
static void use(uint64_t v)
{
    __asm__ volatile("" : : "r"(v));
}

static double measure(const line *p, size_t bytes)
{
    read_all_fn *read_all = widest();
    double best = 0;
    size_t n_reads = bytes < PASS_BYTES ? PASS_BYTES / bytes : 1;
    use(read_all(p, bytes / sizeof *p));
    for (int pass = 0; pass < N_PASSES; pass++) {
        uint64_t from = vt_now_ns();
        for (size_t i = 0; i < n_reads; i++)
            use(read_all(p, bytes / sizeof *p));
        double speed = (double)(bytes * n_reads) / (double)(vt_now_ns() - from);
        best = speed > best ? speed : best;
    }
    return best;
}

static bool load(const char *file, struct vt_roofline *out)
{
    struct vt_buf text;
    vt_json *j = NULL;
    bool ok = false;
    if (vt_fs_read(file, 65536, &text, NULL) != VT_OK)
        return false;
    if (vt_json_parse(text.p, text.len, file, &j, NULL) == VT_OK && vt_json_count(j) == VT_ROOFLINE_N) {
        size_t i = 0;
        for (const vt_json *c = vt_json_first(j); c; c = vt_json_next(c))
            out->bytes_per_ns[i++] = vt_json_num(c, 0);
        ok = out->bytes_per_ns[0] > 0 && out->bytes_per_ns[VT_ROOFLINE_N - 1] > 0;
    }
    vt_json_free(j);
    vt_buf_free(&text);
    return ok;
}

static vt_status keep(const char *file, const struct vt_roofline *r, vt_err *err)
{
    struct vt_buf text;
    vt_json *j = vt_json_array();
    for (int i = 0; i < VT_ROOFLINE_N; i++)
        vt_json_push(j, vt_json_new_num(r->bytes_per_ns[i]));
    vt_buf_init(&text, 65536);
    vt_status s = vt_json_write(j, false, &text, err);
    if (s == VT_OK)
        s = vt_fs_write_atomic(file, text.p, text.len, err);
    vt_buf_free(&text);
    vt_json_free(j);
    return s;
}

vt_status vt_roofline_refresh(const char *file, struct vt_roofline *r, vt_err *err)
{
    const size_t largest = (size_t)VT_ROOFLINE_FIRST << (VT_ROOFLINE_N - 1);
    line *p = vt_alloc_aligned(64, largest);
    if (!p)
        return vt_fail(err, VT_ENOMEM, "cannot measure memory bandwidth: out of memory");
    memset(p, 1, largest);
    for (int i = 0; i < VT_ROOFLINE_N; i++) {
        double speed = measure(p, (size_t)VT_ROOFLINE_FIRST << i);
        r->bytes_per_ns[i] = speed > r->bytes_per_ns[i] ? speed : r->bytes_per_ns[i];
    }
    free(p);
    return file ? keep(file, r, err) : VT_OK;
}

vt_status vt_roofline_get(const char *file, struct vt_roofline *out, vt_err *err)
{
    memset(out, 0, sizeof *out);
    if (file && load(file, out))
        return VT_OK;
    return vt_roofline_refresh(file, out, err);
}

double vt_roofline_floor_ns(const struct vt_roofline *r, int64_t bytes)
{
    double speed = r->bytes_per_ns[0];
    for (int i = 0; i < VT_ROOFLINE_N; i++)
        if (i == 0 || ((int64_t)VT_ROOFLINE_FIRST << i) <= bytes)
            speed = r->bytes_per_ns[i];
    return speed > 0 ? 0.8 * (double)bytes / speed : 0;
}

void vt_machine_class(char *out, size_t n)
{
    static const char *const keys[] = {"vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part"};
    struct vt_buf text;
    size_t at = 0;
    snprintf(out, n, "%s", "unknown");
    if (vt_fs_read("/proc/cpuinfo", 1 << 20, &text, NULL) != VT_OK)
        return;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        for (const char *p = text.p; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
            size_t len = strlen(keys[k]);
            if (strncmp(p, keys[k], len) != 0 || (p[len] != '\t' && p[len] != ' ' && p[len] != ':') ||
                p[len + 1] == 'n')
                continue;
            const char *value = strchr(p, ':');
            if (!value)
                break;
            int width = (int)strcspn(value + 2, "\n");
            int put = snprintf(out + at, n - at, "%s%.*s", at ? "/" : "", width, value + 2);
            if (put > 0 && (size_t)put < n - at)
                at += (size_t)put;
            break;
        }
    }
    vt_buf_free(&text);
}
