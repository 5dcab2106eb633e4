/* SPDX-License-Identifier: Apache-2.0
 *
 * shared.cuh: what the runner (C, on the host) and the trusted kernels (compiled by NVRTC) agree on: structures of
 * plain members, eight bytes each or pairs of four, so that both compilers lay them out alike. Pointers are device
 * addresses.
 */
#ifndef VT_EVAL_CUDA_DEVICE_SHARED_CUH
#define VT_EVAL_CUDA_DEVICE_SHARED_CUH

enum { VT_DEV_ARRAYS = 12, VT_DEV_SLOTS = 256, VT_DEV_DIFFS = 64, VT_DEV_MARGINS = 64 };

/* How an array is generated: eval/dists.h as numbers. */
struct vt_dev_gen {
    unsigned long long data, rows, quantile; /* rows: vt_dev_row[n_rows]; quantile: float[1025] */
    unsigned long long key;
    long long n, block, n_rows;
    long long dim_n, dim_m; /* the last two dimensions, for `keep` */
    unsigned long long max; /* of labels */
    double fan_in;
    int kind, is_normal, dtype, keep;
    int has_range, is_mask;
    float lo, hi, unit, from;
};
struct vt_dev_row {
    float scale, shift;
    long long at;
    double total;
};

/* What a comparison found. Slots spread the sums of many threads over addresses; the host adds them up. */
struct vt_dev_slot {
    unsigned long long n_checked, worst; /* worst: the bits of a double */
};
struct vt_dev_diff {
    long long array, index;
    double expected, got, bound;
};
struct vt_dev_tally {
    struct vt_dev_slot slot[VT_DEV_SLOTS];
    unsigned long long n_wrong, n_nan, n_diffs;
    struct vt_dev_diff diff[VT_DEV_DIFFS]; /* in the order of arrival */
};

/* Where the truth's text writes its outputs. */
enum { VT_SINK_ROW_MAX, VT_SINK_STORE, VT_SINK_COMPARE };
struct vt_dev_sink {
    unsigned long long got[VT_DEV_ARRAYS];     /* the candidate's outputs */
    unsigned long long store[VT_DEV_ARRAYS];   /* STORE: two doubles an element, value and bound, under the key */
    unsigned long long row_max[VT_DEV_ARRAYS]; /* doubles as bits, one a row; 0 = not wanted */
    long long row[VT_DEV_ARRAYS];              /* elements of a row */
    long long is_exact[VT_DEV_ARRAYS];
    unsigned long long tally;
    unsigned long long key;
    double k, rtol, atol;
    long long mode;
};

/* Bytes around arrays, which nobody may write, and what they hold. */
struct vt_dev_margins {
    unsigned long long from[VT_DEV_MARGINS], len[VT_DEV_MARGINS], value[VT_DEV_MARGINS];
    long long n;
};

#endif
