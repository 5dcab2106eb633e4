/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_model.h: what the measurements of the policy share: the shapes that are measured (DECISIONS.md section 15) and
 * random weights for them. Include after harness.h.
 */
#ifndef VT_TEST_GPU_BENCH_MODEL_H
#define VT_TEST_GPU_BENCH_MODEL_H

#include "base/clock.h"
#include "base/rng.h"
#include "cuda/cuda.h"
#include "cuda/cuda_parts.h"
#include "direct.h"
#include "numbers.h"

enum { GROUPS = 5, EACH = 32, SLOTS = GROUPS * EACH, PROMPT = 600, MOST_NEW = 128, MOST_RUNS = 16, TRAINED = 296 };

static const struct shape {
    const char *name;
    struct vt_lm_config cfg;
    double decode_bar, score_bar, step_bar; /* tok/s on an H200; seconds */
} shapes[] = {{"135m",
               {.arch = VT_ARCH_LLAMA,
                .n_layers = 30,
                .d_model = 576,
                .d_ff = 1536,
                .n_heads = 9,
                .n_kv_heads = 3,
                .head_dim = 64,
                .n_vocab = 49152,
                .n_ctx = 8192,
                .rms_eps = 1e-5f,
                .rope_theta = 1e5f,
                .tied = true},
               100e3,
               1e6,
               0.2},
              {"1.5b",
               {.arch = VT_ARCH_QWEN2,
                .n_layers = 28,
                .d_model = 1536,
                .d_ff = 8960,
                .n_heads = 12,
                .n_kv_heads = 2,
                .head_dim = 128,
                .n_vocab = 151936,
                .n_ctx = 32768,
                .rms_eps = 1e-6f,
                .rope_theta = 1e6f,
                .tied = true,
                .qkv_bias = true},
               60e3,
               400e3,
               0.8},
              {"7b",
               {.arch = VT_ARCH_QWEN2,
                .n_layers = 28,
                .d_model = 3584,
                .d_ff = 18944,
                .n_heads = 28,
                .n_kv_heads = 4,
                .head_dim = 128,
                .n_vocab = 152064,
                .n_ctx = 32768,
                .rms_eps = 1e-6f,
                .rope_theta = 1e6f,
                .qkv_bias = true},
               27e3,
               150e3,
               3.5}};

/* Normal values of deviation 0.02 (norms 1, biases 0): a block made here, repeated over all matrices. */
static inline vt_status random_weights(struct vt_cuda *be, void *arg, vt_err *err)
{
    enum { BLOCK = 8 << 20 };
    struct vt_stream rng;
    uint16_t *block = vt_alloc_array(BLOCK, sizeof *block);
    (void)arg;
    vt_stream_init(&rng, 1);
    for (int i = 0; i < BLOCK; i++)
        block[i] = vt_f32_to_bf16((float)(0.02 * normal(&rng)));
    const struct vt_cu *cu = vt_gpu_cu(be->gpu);
    const uint64_t total = be->w.matrix_bytes, first = sizeof *block * (uint64_t)BLOCK;
    vt_status status = vt_gpu_copy_in(be->gpu, be->w.matrices, block, total < first ? total : first, be->stream, err);
    for (uint64_t done = first; done < total && status == VT_OK;) {
        const uint64_t n = total - done < first ? total - done : first;
        status = vt_gpu_check(be->gpu, cu->copy_across(be->w.matrices + done, be->w.matrices, n, be->stream), "filling",
                              err);
        done += n;
    }
    const size_t n = be->w.vector_bytes / sizeof(float);
    float *ones = vt_alloc_array(n, sizeof *ones);
    for (size_t i = 0; i < n; i++)
        ones[i] = 1;
    if (status == VT_OK)
        status = vt_gpu_copy_in(be->gpu, be->w.vectors, ones, n * sizeof *ones, be->stream, err);
    for (int i = 0; i < be->cfg.n_layers && status == VT_OK; i++)
        if (be->w.layers[i].bias)
            status = vt_gpu_fill(be->gpu, be->w.layers[i].bias, 0, (size_t)be->shape.qkv_dim * sizeof(float),
                                 be->stream, err);
    if (status == VT_OK)
        status = vt_gpu_stream_wait(be->gpu, be->stream, err);
    free(block);
    free(ones);
    return status;
}

static inline int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
