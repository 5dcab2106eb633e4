/* SPDX-License-Identifier: Apache-2.0
 *
 * dtype.c: what one stored weight is worth. Every consumer (packers, trainers, tests) asks here, so a weight has one
 * value whatever its storage. Products and sums are rounded to fp32 one at a time (the build sets -ffp-contract=off),
 * which is how the goldens were made and what GGUF's reference reader does.
 *
 * Block layouts (byte order little-endian, d and m are fp16):
 *   Q4_0  d, 16 bytes: element j in the low nibble of byte j, element j + 16 in the high one; d * (q - 8)
 *   Q4_1  d, m, 16 bytes in the same order; d * q + m
 *   Q8_0  d, 32 int8; d * q
 *   Q4_K  256 weights: d, dmin, 12 bytes that pack eight 6-bit scales and eight 6-bit minima, 128 bytes of nibbles
 *         (per 64 weights 32 bytes: low nibbles first); (d * sc) * q - (dmin * m)
 *   Q6_K  256 weights: 128 bytes of low nibbles, 64 bytes of 2-bit high parts, 16 int8 scales, d; (d * sc) * (q - 32)
 * llama.cpp keeps the rows of q and k of llama models in adjacent-pair rope order: file row h*hd + 2*i + s is row
 * h*hd + s*hd/2 + i of the Hugging Face matrix. permute_heads says so and row access undoes it.
 */
#include "model/dtype.h"

#include <math.h>
#include <string.h>

static const struct vt_dtype_info infos[] = {
    [VT_F32] = {"F32", 1, 4},       [VT_F16] = {"F16", 1, 2},       [VT_BF16] = {"BF16", 1, 2},
    [VT_Q8_0] = {"Q8_0", 32, 34},   [VT_Q4_0] = {"Q4_0", 32, 18},   [VT_Q4_1] = {"Q4_1", 32, 20},
    [VT_Q4_K] = {"Q4_K", 256, 144}, [VT_Q6_K] = {"Q6_K", 256, 210},
};

const struct vt_dtype_info *vt_dtype_info(enum vt_dtype t)
{
    return &infos[t];
}

const char *vt_dtype_name(enum vt_dtype t)
{
    return (size_t)t < sizeof infos / sizeof infos[0] ? infos[t].name : "unknown";
}

bool vt_dtype_row_bytes(enum vt_dtype t, int64_t n, size_t *out)
{
    const struct vt_dtype_info *info = &infos[t];
    if (n <= 0 || n % info->block != 0 || n > INT64_MAX / info->bytes)
        return false;
    *out = (size_t)(n / info->block * info->bytes);
    return true;
}

int64_t vt_tensor_n_rows(const struct vt_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < t->n_dims; i++)
        n *= t->shape[i];
    return n;
}

float vt_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, fraction = h & 0x3ffu, bits;
    if (exponent == 0x1f)
        bits = sign | 0x7f800000u | fraction << 13;
    else if (exponent)
        bits = sign | (exponent + 112) << 23 | fraction << 13;
    else { /* zero or subnormal: fraction * 2^-24 is exact in fp32 */
        float magnitude = (float)fraction * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof bits);
        bits |= sign;
    }
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

float vt_bf16_to_f32(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t vt_f32_to_bf16(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static uint16_t load_u16(const unsigned char *p)
{
    return (uint16_t)(p[0] | (unsigned)p[1] << 8);
}

static float load_f16(const unsigned char *p)
{
    return vt_f16_to_f32(load_u16(p));
}

static void row_q4_0(const unsigned char *p, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 32; b++, p += 18, out += 32) {
        float d = load_f16(p);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)((p[2 + j] & 15) - 8);
            out[j + 16] = d * (float)((p[2 + j] >> 4) - 8);
        }
    }
}

static void row_q4_1(const unsigned char *p, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 32; b++, p += 20, out += 32) {
        float d = load_f16(p), m = load_f16(p + 2);
        for (int j = 0; j < 16; j++) {
            out[j] = d * (float)(p[4 + j] & 15) + m;
            out[j + 16] = d * (float)(p[4 + j] >> 4) + m;
        }
    }
}

static void row_q8_0(const unsigned char *p, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 32; b++, p += 34, out += 32) {
        float d = load_f16(p);
        for (int j = 0; j < 32; j++)
            out[j] = d * (float)(int8_t)p[2 + j];
    }
}

/* Scale and minimum of sub-block j of a Q4_K block: eight pairs of six bits in twelve bytes. */
static void q4_k_scale(const unsigned char *s, int j, float *scale, float *min)
{
    if (j < 4) {
        *scale = (float)(s[j] & 63);
        *min = (float)(s[j + 4] & 63);
    } else {
        *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
        *min = (float)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
    }
}

static void row_q4_k(const unsigned char *p, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 256; b++, p += 144) {
        float d = load_f16(p), dmin = load_f16(p + 2);
        const unsigned char *q = p + 16;
        for (int j = 0; j < 8; j++, out += 32) {
            float scale, min;
            q4_k_scale(p + 4, j, &scale, &min);
            float ds = d * scale, dm = dmin * min;
            const unsigned char *half = q + (j / 2) * 32;
            for (int i = 0; i < 32; i++)
                out[i] = ds * (float)(j & 1 ? half[i] >> 4 : half[i] & 15) - dm;
        }
    }
}

static void row_q6_k(const unsigned char *p, int64_t n, float *out)
{
    for (int64_t b = 0; b < n / 256; b++, p += 210, out += 256) {
        float d = load_f16(p + 208);
        for (int i = 0; i < 256; i++) {
            int half = i / 128, quarter = i % 128 / 32, l = i % 32;
            unsigned low = p[half * 64 + (quarter & 1) * 32 + l], high = p[128 + half * 32 + l];
            low = quarter < 2 ? low & 15u : low >> 4;
            int q = (int)(low | (high >> (2 * quarter) & 3u) << 4) - 32;
            float scale = (float)(int8_t)p[192 + i / 16];
            out[i] = d * scale * (float)q;
        }
    }
}

const void *vt_tensor_raw_row(const struct vt_tensor *t, int64_t i)
{
    if (t->permute_heads > 0) {
        int64_t head_dim = vt_tensor_n_rows(t) / t->permute_heads, half = head_dim / 2;
        int64_t head = i / head_dim, in_head = i % head_dim;
        i = head * head_dim + 2 * (in_head % half) + in_head / half;
    }
    return (const unsigned char *)t->data + (size_t)i * t->row_bytes;
}

void vt_tensor_row(const struct vt_tensor *t, int64_t i, float *out)
{
    const unsigned char *p = vt_tensor_raw_row(t, i);
    int64_t n = t->shape[t->n_dims - 1];
    switch (t->dtype) {
    case VT_F32:
        memcpy(out, p, (size_t)n * sizeof *out);
        break;
    case VT_F16:
        for (int64_t j = 0; j < n; j++)
            out[j] = load_f16(p + 2 * j);
        break;
    case VT_BF16:
        for (int64_t j = 0; j < n; j++)
            out[j] = vt_bf16_to_f32(load_u16(p + 2 * j));
        break;
    case VT_Q8_0:
        row_q8_0(p, n, out);
        break;
    case VT_Q4_0:
        row_q4_0(p, n, out);
        break;
    case VT_Q4_1:
        row_q4_1(p, n, out);
        break;
    case VT_Q4_K:
        row_q4_k(p, n, out);
        break;
    case VT_Q6_K:
        row_q6_k(p, n, out);
        break;
    }
}

vt_status vt_tensor_check_finite(const struct vt_tensor *t, vt_err *err)
{
    float block[256];
    const struct vt_dtype_info *info = &infos[t->dtype];
    int64_t n = t->shape[t->n_dims - 1], n_rows = vt_tensor_n_rows(t);
    struct vt_tensor piece = *t; /* a row is checked in pieces of at most 256 weights, so no memory is needed */
    piece.n_dims = 1;
    piece.permute_heads = 0;
    for (int64_t row = 0; row < n_rows; row++) {
        const unsigned char *p = vt_tensor_raw_row(t, row);
        for (int64_t at = 0; at < n; at += 256) {
            piece.shape[0] = n - at < 256 ? n - at : 256;
            piece.data = p + at / info->block * info->bytes;
            vt_tensor_row(&piece, 0, block);
            for (int64_t j = 0; j < piece.shape[0]; j++)
                if (!isfinite(block[j]))
                    return vt_fail(
                        err, VT_EFORMAT,
                        "tensor %s holds a NaN or infinite weight at row %lld, column %lld; the checkpoint is damaged",
                        t->name, (long long)row, (long long)(at + j));
        }
    }
    return VT_OK;
}
