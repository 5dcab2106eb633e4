/* SPDX-License-Identifier: Apache-2.0
 *
 * gpu.h: NVIDIA devices for everybody: which there are, their memory with an accounted budget, streams, events, pinned
 * host memory, modules, kernels and graphs. Nothing of NVIDIA's is linked: the driver, NVRTC (nvrtc.h) and cuBLASLt
 * (blas.h) are opened at run time, so one binary runs with and without a GPU. Where the driver is missing vt_gpu_open
 * says so in one sentence (EUNSUPPORTED) and nothing else is needed.
 *
 * Memory is planned, never found out: a device is opened with a budget, every allocation has a name, and what does not
 * fit the budget is refused with a table of what holds the rest.
 *
 * Errors. A failed call's sentence has the driver's name of the error. Some errors (an illegal address, a failed
 * launch, an uncorrectable memory error) poison the process's context: such a device is marked dead, and every later
 * call answers at once, with EIO and the first error's sentence. The process has to end; whatever it journals first
 * can be resumed by the next one.
 *
 * Threads: a call may come from any thread that called vt_gpu_bind for this device; the accounts are guarded. Handles
 * (streams, events, modules) are used by one thread at a time. Nothing here assumes that there is one device.
 */
#ifndef VT_GPU_GPU_H
#define VT_GPU_GPU_H

#include "gpu/cu.h"
#include <stdbool.h>
#include <vegttt/err.h>

typedef struct vt_gpu vt_gpu;

struct vt_gpu_props {
    char name[128];                               /* "NVIDIA H100 80GB HBM3" */
    char uuid[40];                                /* "GPU-…" without the dashes' meaning: 32 hex digits */
    int major, minor, n_sm, l2_bytes, smem_optin; /* smem_optin: most shared memory of a block */
    int clock_khz, memory_clock_khz, bus_bits, pci_bus, pci_device;
    uint64_t bytes; /* of memory */
};

/* Number of devices this process can use; 0 with the reason in *err (may be NULL) when there is no driver. */
int vt_gpu_count(vt_err *err);
vt_status vt_gpu_look(int index, struct vt_gpu_props *out, vt_err *err) VT_MUST_USE; /* without opening it */
int vt_gpu_driver_version(void);                                                     /* 13000; 0 = no driver */

/* budget: most bytes that this handle may hold; 0 = nine tenths of what is free now. Binds the calling thread. */
vt_status vt_gpu_open(int index, uint64_t budget, vt_gpu **out, vt_err *err) VT_MUST_USE;
void vt_gpu_close(vt_gpu *g);                              /* frees what is still allocated; NULL is allowed */
vt_status vt_gpu_bind(vt_gpu *g, vt_err *err) VT_MUST_USE; /* makes the device current on this thread */
const struct vt_gpu_props *vt_gpu_props(const vt_gpu *g);
const struct vt_cu *vt_gpu_cu(const vt_gpu *g); /* the driver's table, for what is not wrapped below */
int vt_gpu_index(const vt_gpu *g);

/* OK, or result explained: "DOING: the driver says NAME (text)". Marks the device dead when the error is sticky. */
vt_status vt_gpu_check(vt_gpu *g, vt_cu_result result, const char *doing, vt_err *err) VT_MUST_USE;
bool vt_gpu_is_sticky(vt_cu_result result); /* pure */
bool vt_gpu_is_dead(const vt_gpu *g);

/* --- memory --- */

/* what: a static string; blocks of one name are one row of the table. 256-byte aligned, not cleared. */
vt_status vt_gpu_alloc(vt_gpu *g, size_t bytes, const char *what, vt_gpu_ptr *out, vt_err *err) VT_MUST_USE;
void vt_gpu_free(vt_gpu *g, vt_gpu_ptr p); /* 0 is allowed */
uint64_t vt_gpu_bytes(const vt_gpu *g, uint64_t *peak);
uint64_t vt_gpu_budget(const vt_gpu *g);
vt_status vt_gpu_host_alloc(vt_gpu *g, size_t bytes, void **out, vt_err *err) VT_MUST_USE; /* pinned, cleared */
void vt_gpu_host_free(vt_gpu *g, void *p);

/* The table itself, on a device that exists or not: blocks with names, and the sentence of a refusal. */
struct vt_gpu_book;
struct vt_gpu_book *vt_gpu_book_new(uint64_t budget);
void vt_gpu_book_free(struct vt_gpu_book *b);
vt_status vt_gpu_book_take(struct vt_gpu_book *b, uint64_t bytes, const char *what, vt_err *err) VT_MUST_USE;
void vt_gpu_book_give(struct vt_gpu_book *b, uint64_t bytes, const char *what);
uint64_t vt_gpu_book_used(const struct vt_gpu_book *b, uint64_t *peak);

/* --- copies; ordered on the stream, host side pinned or the call waits --- */

vt_status vt_gpu_copy_in(vt_gpu *g, vt_gpu_ptr to, const void *from, size_t bytes, vt_cu_stream s,
                         vt_err *err) VT_MUST_USE;
vt_status vt_gpu_copy_out(vt_gpu *g, void *to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s, vt_err *err) VT_MUST_USE;
/* From another device's memory, whose writers have ended: straight where the devices reach each other's, else by way
 * of the host. */
vt_status vt_gpu_copy_from(vt_gpu *g, vt_gpu_ptr to, vt_gpu *other, vt_gpu_ptr from, size_t bytes, vt_cu_stream s,
                           vt_err *err) VT_MUST_USE;
vt_status vt_gpu_fill(vt_gpu *g, vt_gpu_ptr p, unsigned char value, size_t bytes, vt_cu_stream s,
                      vt_err *err) VT_MUST_USE;

/* --- streams and events --- */

vt_status vt_gpu_stream_new(vt_gpu *g, vt_cu_stream *out, vt_err *err) VT_MUST_USE;
void vt_gpu_stream_free(vt_gpu *g, vt_cu_stream s);
vt_status vt_gpu_stream_wait(vt_gpu *g, vt_cu_stream s, vt_err *err) VT_MUST_USE;
vt_status vt_gpu_event_new(vt_gpu *g, bool is_timed, vt_cu_event *out, vt_err *err) VT_MUST_USE;
void vt_gpu_event_free(vt_gpu *g, vt_cu_event e);
vt_status vt_gpu_event_record(vt_gpu *g, vt_cu_event e, vt_cu_stream s, vt_err *err) VT_MUST_USE;
vt_status vt_gpu_event_wait(vt_gpu *g, vt_cu_event e, vt_err *err) VT_MUST_USE;
vt_status vt_gpu_event_ms(vt_gpu *g, vt_cu_event from, vt_cu_event to, float *ms, vt_err *err) VT_MUST_USE;

/* --- kernels --- */

/* image: a cubin, fatbin or PTX text in memory. */
vt_status vt_gpu_module_load(vt_gpu *g, const void *image, const char *what, vt_cu_module *out,
                             vt_err *err) VT_MUST_USE;
void vt_gpu_module_free(vt_gpu *g, vt_cu_module m);
/* smem: dynamic shared memory it may ask for; 0 = the default limit of 48 KB. */
vt_status vt_gpu_kernel(vt_gpu *g, vt_cu_module m, const char *name, size_t smem, vt_cu_function *out,
                        vt_err *err) VT_MUST_USE;

struct vt_gpu_grid {
    unsigned x, y, z;
    unsigned threads;
    unsigned smem;
    unsigned cluster; /* blocks along x that share memory; 0 or 1 = none */
    bool is_eager;    /* may begin before the kernel ahead has ended; it waits by itself for what it reads */
};
/* what names the kernel in errors. Errors of the kernel itself show at the next wait. */
vt_status vt_gpu_launch(vt_gpu *g, vt_cu_stream s, vt_cu_function f, const char *what, const struct vt_gpu_grid *grid,
                        void **args, vt_err *err) VT_MUST_USE;

#endif
