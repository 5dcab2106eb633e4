/* SPDX-License-Identifier: Apache-2.0
 *
 * pages.cuh: what is done once before a job's steps or a pass's layers: values put at addresses (page tables, fresh slot
 * records), and the keys and values of the page that straddles a prompt's end copied into a sample's own page.
 */
#ifndef VT_CUDA_PAGES_CUH
#define VT_CUDA_PAGES_CUH

#include "cuda/common.cuh"

KERNEL(256, 1) vt_poke(const struct vt_dev_poke *pokes, int n)
{
    const int i = blockIdx.x * 256 + threadIdx.x;
    if (i < n)
        *at<uint64_t>(pokes[i].address) = pokes[i].value;
}

/* grid: (copies, layers). A set lowest bit: a page of one layer, whose layer is `layer` then. */
KERNEL(256, 1) vt_copy_keys(const struct vt_dev_copy *copies, struct vt_dev_shape m, int layer)
{
    const struct vt_dev_copy c = copies[blockIdx.x];
    const int from_layer = layer < 0 ? blockIdx.y : layer;
    const char *from = at<const char>(c.from & ~(uint64_t)1) + ((c.from & 1) ? 0 : (int64_t)from_layer * m.layer_stride);
    char *to = at<char>(c.to & ~(uint64_t)1) + ((c.to & 1) ? 0 : (int64_t)from_layer * m.layer_stride);
    const int tiles = 2 * m.n_kv_heads * (m.head_pad / 64), per_tile = c.n_keys * (VT_DEV_KEY_BYTES / 16);
    for (int i = threadIdx.x; i < tiles * per_tile; i += 256) {
        const size_t offset = (size_t)(i / per_tile) * VT_DEV_PAGE_KEYS * VT_DEV_KEY_BYTES + (size_t)(i % per_tile) * 16;
        *reinterpret_cast<uint4 *>(to + offset) = *reinterpret_cast<const uint4 *>(from + offset);
    }
}

#endif
