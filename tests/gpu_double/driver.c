/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c: a libcuda.so.1 for tests without a GPU: one device whose memory is this process's and whose kernels, shared
 * objects made by nvrtc.c, run at their launch, thread after thread. Enough for the cuda tier of the evaluator; what it
 * does not use answers with an error. A kernel that reaches outside memory ends the process, as a poisoned context
 * would make it end.
 */
#include "gpu/cu.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { UNSUPPORTED = 801, MAX_MODULES = 4096 };
struct dim {
    unsigned x, y, z;
};
struct vt_cu_module_s {
    void *handle;
    int fd;
    struct dim *block, *thread, *grid, *size;
};
struct vt_cu_function_s {
    struct vt_cu_module_s *module;
    void (*call)(void **args);
    size_t shared;
};
struct vt_cu_event_s {
    struct timespec at;
};
static size_t used;

#define API(name, ...)                                                                                                 \
    vt_cu_result name(__VA_ARGS__);                                                                                    \
    vt_cu_result name(__VA_ARGS__)
#define UNUSED(name)                                                                                                   \
    vt_cu_result name(void);                                                                                           \
    vt_cu_result name(void)                                                                                            \
    {                                                                                                                  \
        return UNSUPPORTED;                                                                                            \
    }

static size_t memory(void)
{
    return (size_t)2 << 30;
}
static void *host(vt_gpu_ptr p)
{
    return (void *)(uintptr_t)p;
}

API(cuInit, unsigned flags)
{
    return (vt_cu_result)flags;
}
API(cuDriverGetVersion, int *version)
{
    *version = 13000;
    return VT_CU_OK;
}
API(cuGetErrorName, vt_cu_result code, const char **name)
{
    static char text[32];
    snprintf(text, sizeof text, "DOUBLE_%d", code);
    *name = text;
    return VT_CU_OK;
}
API(cuGetErrorString, vt_cu_result code, const char **text)
{
    *text = code ? "an error of the double" : "no error";
    return VT_CU_OK;
}
API(cuDeviceGetCount, int *n)
{
    *n = 1;
    return VT_CU_OK;
}
API(cuDeviceGet, vt_cu_device *d, int index)
{
    *d = index;
    return VT_CU_OK;
}
API(cuDeviceGetName, char *name, int len, vt_cu_device d)
{
    snprintf(name, (size_t)len, "double of a GPU %d", d);
    return VT_CU_OK;
}
API(cuDeviceGetUuid_v2, unsigned char uuid[16], vt_cu_device d)
{
    memset(uuid, d + 7, 16);
    return VT_CU_OK;
}
API(cuDeviceTotalMem_v2, size_t *bytes, vt_cu_device d)
{
    *bytes = memory() + (size_t)d;
    return VT_CU_OK;
}
API(cuDeviceGetAttribute, int *value, int attribute, vt_cu_device d)
{
    *value = attribute == VT_CU_ATTR_MAJOR        ? 8
             : attribute == VT_CU_ATTR_N_SM       ? 1
             : attribute == VT_CU_ATTR_SMEM_OPTIN ? 100000
             : attribute == VT_CU_ATTR_L2_BYTES   ? 1 << 16
                                                  : d;
    return VT_CU_OK;
}
API(cuDevicePrimaryCtxRetain, vt_cu_ctx *ctx, vt_cu_device d)
{
    *ctx = (vt_cu_ctx)(void *)&used;
    return d;
}
API(cuDevicePrimaryCtxRelease_v2, vt_cu_device d)
{
    return d;
}
API(cuCtxSetCurrent, vt_cu_ctx ctx)
{
    return ctx ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuMemGetInfo_v2, size_t *free_bytes, size_t *total)
{
    *total = memory();
    *free_bytes = *total - used;
    return VT_CU_OK;
}
API(cuMemAlloc_v2, vt_gpu_ptr *p, size_t bytes)
{
    const size_t n = (bytes + 255) / 256 * 256;
    if (n > memory() - used)
        return VT_CU_OUT_OF_MEMORY;
    size_t *at = mmap(NULL, n + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return VT_CU_OUT_OF_MEMORY;
    *at = n;
    used += n;
    *p = (vt_gpu_ptr)(uintptr_t)at + 4096;
    return VT_CU_OK;
}
API(cuMemFree_v2, vt_gpu_ptr p)
{
    size_t *at = host(p - 4096);
    const size_t n = *at;
    used -= n;
    return munmap(at, n + 4096);
}
API(cuMemHostAlloc, void **p, size_t bytes, unsigned flags)
{
    *p = calloc(1, bytes + flags);
    return *p ? VT_CU_OK : VT_CU_OUT_OF_MEMORY;
}
API(cuMemFreeHost, void *p)
{
    free(p);
    return VT_CU_OK;
}
API(cuMemcpyHtoDAsync_v2, vt_gpu_ptr to, const void *from, size_t bytes, vt_cu_stream s)
{
    memcpy(host(to), from, bytes);
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuMemcpyDtoHAsync_v2, void *to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s)
{
    memcpy(to, host(from), bytes);
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuMemcpyDtoDAsync_v2, vt_gpu_ptr to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s)
{
    memcpy(host(to), host(from), bytes);
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuMemsetD8Async, vt_gpu_ptr p, unsigned char value, size_t n, vt_cu_stream s)
{
    memset(host(p), value, n);
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}

/* The image is an ELF file whose end the section table knows. */
static size_t image_size(const unsigned char *image)
{
    uint64_t at;
    uint16_t size, n;
    memcpy(&at, image + 0x28, sizeof at);
    memcpy(&size, image + 0x3a, sizeof size);
    memcpy(&n, image + 0x3c, sizeof n);
    return (size_t)at + (size_t)size * n;
}
static void *need(void *handle, const char *name)
{
    return dlsym(handle, name);
}
API(cuModuleLoadData, vt_cu_module *out, const void *image)
{
    char path[64];
    struct vt_cu_module_s *m = calloc(1, sizeof *m);
    m->fd = memfd_create("module", MFD_CLOEXEC);
    const size_t n = image_size(image);
    if (write(m->fd, image, n) != (ssize_t)n)
        return VT_CU_INVALID_VALUE;
    snprintf(path, sizeof path, "/proc/self/fd/%d", m->fd);
    m->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!m->handle)
        return VT_CU_NO_BINARY_FOR_GPU;
    m->block = need(m->handle, "vt_double_block");
    m->thread = need(m->handle, "vt_double_thread");
    m->grid = need(m->handle, "vt_double_grid");
    m->size = need(m->handle, "vt_double_size");
    *out = m;
    return VT_CU_OK;
}
API(cuModuleUnload, vt_cu_module m)
{
    dlclose(m->handle);
    close(m->fd);
    free(m);
    return VT_CU_OK;
}
API(cuModuleGetFunction, vt_cu_function *out, vt_cu_module m, const char *name)
{
    char symbol[256];
    snprintf(symbol, sizeof symbol, "vt_double_call_%s", name);
    void *address = dlsym(m->handle, symbol);
    if (!address)
        return VT_CU_NOT_FOUND;
    struct vt_cu_function_s *f = calloc(1, sizeof *f);
    f->module = m;
    f->shared = 48 << 10;
    memcpy(&f->call, &address, sizeof address);
    *out = f;
    return VT_CU_OK;
}
API(cuFuncSetAttribute, vt_cu_function f, int attribute, int value)
{
    f->shared = (size_t)value;
    return attribute == VT_CU_FUNC_ATTR_MAX_DYNAMIC_SMEM ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuLaunchKernelEx, const struct vt_cu_launch *l, vt_cu_function f, void **args, void **extra)
{
    struct vt_cu_module_s *m = f->module;
    if (extra || l->smem > f->shared || l->block[0] * l->block[1] * l->block[2] > 1024)
        return VT_CU_INVALID_VALUE;
    *m->grid = (struct dim){l->grid[0], l->grid[1], l->grid[2]};
    *m->size = (struct dim){l->block[0], l->block[1], l->block[2]};
    for (unsigned bz = 0; bz < l->grid[2]; bz++)
        for (unsigned by = 0; by < l->grid[1]; by++)
            for (unsigned bx = 0; bx < l->grid[0]; bx++)
                for (unsigned z = 0; z < l->block[2]; z++)
                    for (unsigned y = 0; y < l->block[1]; y++)
                        for (unsigned x = 0; x < l->block[0]; x++) {
                            *m->block = (struct dim){bx, by, bz};
                            *m->thread = (struct dim){x, y, z};
                            f->call(args);
                        }
    return VT_CU_OK;
}
API(cuStreamCreate, vt_cu_stream *s, unsigned flags)
{
    *s = malloc(1 + flags);
    return VT_CU_OK;
}
API(cuStreamDestroy_v2, vt_cu_stream s)
{
    free(s);
    return VT_CU_OK;
}
API(cuStreamSynchronize, vt_cu_stream s)
{
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuEventCreate, vt_cu_event *e, unsigned flags)
{
    *e = calloc(1, sizeof **e + flags);
    return VT_CU_OK;
}
API(cuEventDestroy_v2, vt_cu_event e)
{
    free(e);
    return VT_CU_OK;
}
API(cuEventRecord, vt_cu_event e, vt_cu_stream s)
{
    clock_gettime(CLOCK_MONOTONIC, &e->at);
    return s ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuEventQuery, vt_cu_event e)
{
    return e ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuEventSynchronize, vt_cu_event e)
{
    return e ? VT_CU_OK : VT_CU_INVALID_VALUE;
}
API(cuEventElapsedTime, float *ms, vt_cu_event a, vt_cu_event b)
{
    *ms = (float)((double)(b->at.tv_sec - a->at.tv_sec) * 1e3 + (double)(b->at.tv_nsec - a->at.tv_nsec) / 1e6);
    return VT_CU_OK;
}
UNUSED(cuStreamWaitEvent)
UNUSED(cuStreamBeginCapture_v2)
UNUSED(cuStreamEndCapture)
UNUSED(cuGraphInstantiateWithFlags)
UNUSED(cuGraphDestroy)
UNUSED(cuGraphLaunch)
UNUSED(cuGraphExecDestroy)
