/* SPDX-License-Identifier: Apache-2.0
 *
 * cu.h: the part of NVIDIA's driver interface (libcuda.so.1) that the engine uses, written down here so that the build
 * needs no CUDA toolkit and the binary no GPU: the library is opened at run time (driver.c). Types and values are the
 * driver's binary interface, which is frozen per symbol version; tests/gpu/abi.c compares every one of them with
 * cuda.h where a toolkit is present. Names are ours, so both headers can be included together.
 */
#ifndef VT_GPU_CU_H
#define VT_GPU_CU_H

#include <stddef.h>
#include <stdint.h>

typedef int vt_cu_result; /* 0 = success */
typedef int vt_cu_device;
typedef struct vt_cu_ctx_s *vt_cu_ctx;
typedef struct vt_cu_module_s *vt_cu_module;
typedef struct vt_cu_function_s *vt_cu_function;
typedef struct vt_cu_stream_s *vt_cu_stream;
typedef struct vt_cu_event_s *vt_cu_event;
typedef struct vt_cu_graph_s *vt_cu_graph;
typedef struct vt_cu_graph_exec_s *vt_cu_graph_exec;
typedef uint64_t vt_gpu_ptr; /* an address in device memory; 0 = none */

enum { /* results */
       VT_CU_OK = 0,
       VT_CU_INVALID_VALUE = 1,
       VT_CU_OUT_OF_MEMORY = 2,
       VT_CU_NO_DEVICE = 100,
       VT_CU_ECC_UNCORRECTABLE = 214,
       VT_CU_NO_BINARY_FOR_GPU = 209,
       VT_CU_NOT_FOUND = 500,
       VT_CU_NOT_READY = 600,
       VT_CU_ILLEGAL_ADDRESS = 700,
       VT_CU_LAUNCH_OUT_OF_RESOURCES = 701,
       VT_CU_LAUNCH_TIMEOUT = 702,
       VT_CU_ASSERT = 710,
       VT_CU_HARDWARE_STACK_ERROR = 714,
       VT_CU_ILLEGAL_INSTRUCTION = 715,
       VT_CU_MISALIGNED_ADDRESS = 716,
       VT_CU_INVALID_ADDRESS_SPACE = 717,
       VT_CU_INVALID_PC = 718,
       VT_CU_LAUNCH_FAILED = 719,
       VT_CU_SYSTEM_NOT_READY = 802
};

enum { /* device attributes */
       VT_CU_ATTR_CLOCK_KHZ = 13,
       VT_CU_ATTR_N_SM = 16,
       VT_CU_ATTR_MEMORY_CLOCK_KHZ = 36,
       VT_CU_ATTR_BUS_BITS = 37,
       VT_CU_ATTR_L2_BYTES = 38,
       VT_CU_ATTR_PCI_BUS = 33,
       VT_CU_ATTR_PCI_DEVICE = 34,
       VT_CU_ATTR_MAJOR = 75,
       VT_CU_ATTR_MINOR = 76,
       VT_CU_ATTR_SMEM_OPTIN = 97
};

enum {
    VT_CU_FUNC_ATTR_MAX_DYNAMIC_SMEM = 8,
    VT_CU_STREAM_NON_BLOCKING = 1,
    VT_CU_EVENT_DISABLE_TIMING = 2,
    VT_CU_CAPTURE_THREAD_LOCAL = 1,
    VT_CU_LAUNCH_ATTR_CLUSTER = 4,
    VT_CU_LAUNCH_ATTR_PROGRAMMATIC = 6 /* may begin while the kernel before it ends; it waits by itself */
};

struct vt_cu_launch_attr {
    int id;
    char pad[4];
    union {
        char bytes[64];
        struct {
            unsigned x, y, z;
        } cluster;
        int programmatic;
    } value;
};
struct vt_cu_launch {
    unsigned grid[3], block[3], smem;
    vt_cu_stream stream;
    struct vt_cu_launch_attr *attrs;
    unsigned n_attrs;
};

/* A tiled view of device memory for the bulk copy engine (sm_90): opaque, made by the driver. */
struct vt_cu_tensor_map {
    _Alignas(64) uint64_t opaque[16];
};
enum {
    VT_CU_TMAP_BF16 = 9,
    VT_CU_TMAP_INTERLEAVE_NONE = 0,
    VT_CU_TMAP_SWIZZLE_128B = 3,
    VT_CU_TMAP_L2_PROMOTION_256B = 3,
    VT_CU_TMAP_OOB_ZERO = 0
};

/* name here, the driver's symbol, arguments */
#define VT_CU_MAP(X)                                                                                                   \
    X(init, "cuInit", (unsigned flags))                                                                                \
    X(driver_version, "cuDriverGetVersion", (int *version))                                                            \
    X(error_name, "cuGetErrorName", (vt_cu_result code, const char **name))                                            \
    X(error_text, "cuGetErrorString", (vt_cu_result code, const char **text))                                          \
    X(device_count, "cuDeviceGetCount", (int *n))                                                                      \
    X(device_get, "cuDeviceGet", (vt_cu_device * d, int index))                                                        \
    X(device_name, "cuDeviceGetName", (char *name, int len, vt_cu_device d))                                           \
    X(device_uuid, "cuDeviceGetUuid_v2", (unsigned char uuid[16], vt_cu_device d))                                     \
    X(device_bytes, "cuDeviceTotalMem_v2", (size_t * bytes, vt_cu_device d))                                           \
    X(device_attribute, "cuDeviceGetAttribute", (int *value, int attribute, vt_cu_device d))                           \
    X(ctx_retain, "cuDevicePrimaryCtxRetain", (vt_cu_ctx * ctx, vt_cu_device d))                                       \
    X(ctx_release, "cuDevicePrimaryCtxRelease_v2", (vt_cu_device d))                                                   \
    X(ctx_set, "cuCtxSetCurrent", (vt_cu_ctx ctx))                                                                     \
    X(mem_info, "cuMemGetInfo_v2", (size_t * free, size_t * total))                                                    \
    X(mem_alloc, "cuMemAlloc_v2", (vt_gpu_ptr * p, size_t bytes))                                                      \
    X(mem_free, "cuMemFree_v2", (vt_gpu_ptr p))                                                                        \
    X(host_alloc, "cuMemHostAlloc", (void **p, size_t bytes, unsigned flags))                                          \
    X(host_free, "cuMemFreeHost", (void *p))                                                                           \
    X(copy_in, "cuMemcpyHtoDAsync_v2", (vt_gpu_ptr to, const void *from, size_t bytes, vt_cu_stream s))                \
    X(copy_out, "cuMemcpyDtoHAsync_v2", (void *to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s))                     \
    X(copy_across, "cuMemcpyDtoDAsync_v2", (vt_gpu_ptr to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s))             \
    X(fill_bytes, "cuMemsetD8Async", (vt_gpu_ptr p, unsigned char value, size_t n, vt_cu_stream s))                    \
    X(module_load, "cuModuleLoadData", (vt_cu_module * m, const void *image))                                          \
    X(module_unload, "cuModuleUnload", (vt_cu_module m))                                                               \
    X(module_function, "cuModuleGetFunction", (vt_cu_function * f, vt_cu_module m, const char *name))                  \
    X(function_set, "cuFuncSetAttribute", (vt_cu_function f, int attribute, int value))                                \
    X(launch, "cuLaunchKernelEx", (const struct vt_cu_launch *l, vt_cu_function f, void **args, void **extra))         \
    X(stream_new, "cuStreamCreate", (vt_cu_stream * s, unsigned flags))                                                \
    X(stream_free, "cuStreamDestroy_v2", (vt_cu_stream s))                                                             \
    X(stream_wait, "cuStreamSynchronize", (vt_cu_stream s))                                                            \
    X(stream_wait_event, "cuStreamWaitEvent", (vt_cu_stream s, vt_cu_event e, unsigned flags))                         \
    X(event_new, "cuEventCreate", (vt_cu_event * e, unsigned flags))                                                   \
    X(event_free, "cuEventDestroy_v2", (vt_cu_event e))                                                                \
    X(event_record, "cuEventRecord", (vt_cu_event e, vt_cu_stream s))                                                  \
    X(event_query, "cuEventQuery", (vt_cu_event e))                                                                    \
    X(event_wait, "cuEventSynchronize", (vt_cu_event e))                                                               \
    X(event_elapsed, "cuEventElapsedTime", (float *ms, vt_cu_event a, vt_cu_event b))                                  \
    X(capture_begin, "cuStreamBeginCapture_v2", (vt_cu_stream s, int mode))                                            \
    X(capture_end, "cuStreamEndCapture", (vt_cu_stream s, vt_cu_graph * g))                                            \
    X(graph_make, "cuGraphInstantiateWithFlags", (vt_cu_graph_exec * e, vt_cu_graph g, unsigned long long flags))      \
    X(graph_free, "cuGraphDestroy", (vt_cu_graph g))                                                                   \
    X(graph_launch, "cuGraphLaunch", (vt_cu_graph_exec e, vt_cu_stream s))                                             \
    X(graph_exec_free, "cuGraphExecDestroy", (vt_cu_graph_exec e))

/* Newer than the oldest driver served (CUDA 12.0), or of machines with several devices; NULL where absent. */
#define VT_CU_OPTIONAL_MAP(X)                                                                                          \
    X(peer_enable, "cuCtxEnablePeerAccess", (vt_cu_ctx other, unsigned flags))                                         \
    X(copy_peer, "cuMemcpyPeerAsync",                                                                                  \
      (vt_gpu_ptr to, vt_cu_ctx to_ctx, vt_gpu_ptr from, vt_cu_ctx from_ctx, size_t bytes, vt_cu_stream s))            \
    X(max_clusters, "cuOccupancyMaxActiveClusters", (int *n, vt_cu_function f, const struct vt_cu_launch *l))          \
    X(tensor_map_tiled, "cuTensorMapEncodeTiled",                                                                      \
      (struct vt_cu_tensor_map * map, int type, uint32_t rank, void *base, const uint64_t *dims,                       \
       const uint64_t *strides, const uint32_t *box, const uint32_t *element_strides, int interleave, int swizzle,     \
       int l2_promotion, int oob_fill))

struct vt_cu {
#define X(name, symbol, args) vt_cu_result(*name) args;
    VT_CU_MAP(X)
    VT_CU_OPTIONAL_MAP(X)
#undef X
    int version; /* 13000 = CUDA 13.0: the newest the driver serves */
};

#endif
