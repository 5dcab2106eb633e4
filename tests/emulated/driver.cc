/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.cc: a libcuda.so.1 for tests without a GPU: two devices, whose memory is this process's
 * and whose kernels run on this CPU at their launch (fibers.cc). Streams are in order because everything is done at once;
 * a stream that is captured keeps its launches instead, and a graph repeats them. EMULATED_MEMORY_MB: how much memory the
 * device has (default 2048). EMULATED_HOPPER: it has compute capability 9.0 instead of 8.0.
 */
#define _Alignas alignas
extern "C" {
#include "gpu/cu.h"
}
#include "fibers.h"
#include "include/emulated_view.h"
#include "kernels.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

struct function_s {
    const struct emulated_kernel *kernel;
    size_t shared;
};
typedef std::vector<std::function<void()>> graph_s;

std::mutex lock;
std::map<vt_gpu_ptr, size_t> blocks;
size_t used;
thread_local graph_s *captured; /* what is being recorded; NULL = nothing */

size_t memory()
{
    const char *mb = getenv("EMULATED_MEMORY_MB");
    return (size_t)(mb ? atol(mb) : 2048) << 20;
}

bool is_hopper()
{
    return getenv("EMULATED_HOPPER") != NULL;
}
int most_shared()
{
    return (is_hopper() ? 227 : 163) << 10;
}

void *host(vt_gpu_ptr p)
{
    return (void *)(uintptr_t)p;
}

void now_or_later(const std::function<void()> &work)
{
    if (captured)
        captured->push_back(work);
    else
        work();
}

} // namespace

extern "C" {

/* For the other doubles: runs work(arg), or keeps that for the graph which is being recorded; arg is copied. */
void emulated_do(void (*work)(void *arg), const void *arg, size_t bytes)
{
    std::vector<char> copy((const char *)arg, (const char *)arg + bytes);
    now_or_later([work, copy]() mutable { work(copy.data()); });
}

vt_cu_result cuInit(unsigned)
{
    return VT_CU_OK;
}
vt_cu_result cuDriverGetVersion(int *version)
{
    *version = 13000;
    return VT_CU_OK;
}
vt_cu_result cuGetErrorName(vt_cu_result code, const char **name)
{
    static char text[32];
    snprintf(text, sizeof text, "EMULATED_%d", code);
    *name = text;
    return VT_CU_OK;
}
vt_cu_result cuGetErrorString(vt_cu_result, const char **text)
{
    *text = "an emulated error";
    return VT_CU_OK;
}
vt_cu_result cuDeviceGetCount(int *n)
{
    *n = 2;
    return VT_CU_OK;
}
vt_cu_result cuDeviceGet(vt_cu_device *d, int index)
{
    *d = index;
    return VT_CU_OK;
}
vt_cu_result cuDeviceGetName(char *name, int len, vt_cu_device)
{
    snprintf(name, (size_t)len, "emulated GPU");
    return VT_CU_OK;
}
vt_cu_result cuDeviceGetUuid_v2(unsigned char uuid[16], vt_cu_device)
{
    memset(uuid, 7, 16);
    return VT_CU_OK;
}
vt_cu_result cuDeviceTotalMem_v2(size_t *bytes, vt_cu_device)
{
    *bytes = memory();
    return VT_CU_OK;
}
vt_cu_result cuDeviceGetAttribute(int *value, int attribute, vt_cu_device)
{
    *value = attribute == VT_CU_ATTR_MAJOR              ? (is_hopper() ? 9 : 8)
             : attribute == VT_CU_ATTR_N_SM             ? 8
             : attribute == VT_CU_ATTR_SMEM_OPTIN       ? most_shared()
             : attribute == VT_CU_ATTR_L2_BYTES         ? 1 << 20
             : attribute == VT_CU_ATTR_MEMORY_CLOCK_KHZ ? 3201000
             : attribute == VT_CU_ATTR_BUS_BITS         ? 6144
                                                        : 0;
    return VT_CU_OK;
}
vt_cu_result cuDevicePrimaryCtxRetain(vt_cu_ctx *ctx, vt_cu_device)
{
    *ctx = (vt_cu_ctx)&lock;
    return VT_CU_OK;
}
vt_cu_result cuDevicePrimaryCtxRelease_v2(vt_cu_device)
{
    return VT_CU_OK;
}
vt_cu_result cuCtxSetCurrent(vt_cu_ctx)
{
    return VT_CU_OK;
}
vt_cu_result cuMemGetInfo_v2(size_t *free_bytes, size_t *total)
{
    std::lock_guard<std::mutex> guard(lock);
    *total = memory();
    *free_bytes = *total - used;
    return VT_CU_OK;
}
vt_cu_result cuMemAlloc_v2(vt_gpu_ptr *p, size_t bytes)
{
    std::lock_guard<std::mutex> guard(lock);
    const size_t rounded = (bytes + 255) / 256 * 256;
    if (rounded > memory() - used)
        return VT_CU_OUT_OF_MEMORY;
    void *memory_of = aligned_alloc(256, rounded);
    if (!memory_of)
        return VT_CU_OUT_OF_MEMORY;
    memset(memory_of, 0xff, bytes); /* not a number: nobody may count on what was there */
    *p = (vt_gpu_ptr)(uintptr_t)memory_of;
    blocks[*p] = rounded;
    used += rounded;
    return VT_CU_OK;
}
vt_cu_result cuMemFree_v2(vt_gpu_ptr p)
{
    std::lock_guard<std::mutex> guard(lock);
    auto found = blocks.find(p);
    if (found == blocks.end())
        return VT_CU_INVALID_VALUE;
    used -= found->second;
    blocks.erase(found);
    free(host(p));
    return VT_CU_OK;
}
vt_cu_result cuMemHostAlloc(void **p, size_t bytes, unsigned)
{
    *p = malloc(bytes ? bytes : 1);
    return *p ? VT_CU_OK : VT_CU_OUT_OF_MEMORY;
}
vt_cu_result cuMemFreeHost(void *p)
{
    free(p);
    return VT_CU_OK;
}
vt_cu_result cuMemcpyHtoDAsync_v2(vt_gpu_ptr to, const void *from, size_t bytes, vt_cu_stream)
{
    memcpy(host(to), from, bytes);
    return VT_CU_OK;
}
vt_cu_result cuMemcpyDtoHAsync_v2(void *to, vt_gpu_ptr from, size_t bytes, vt_cu_stream)
{
    memcpy(to, host(from), bytes);
    return VT_CU_OK;
}
vt_cu_result cuCtxEnablePeerAccess(vt_cu_ctx, unsigned)
{
    return VT_CU_OK;
}
vt_cu_result cuMemcpyPeerAsync(vt_gpu_ptr to, vt_cu_ctx, vt_gpu_ptr from, vt_cu_ctx, size_t bytes, vt_cu_stream)
{
    memcpy(host(to), host(from), bytes);
    return VT_CU_OK;
}
vt_cu_result cuMemcpyDtoDAsync_v2(vt_gpu_ptr to, vt_gpu_ptr from, size_t bytes, vt_cu_stream)
{
    now_or_later([=] { memcpy(host(to), host(from), bytes); });
    return VT_CU_OK;
}
vt_cu_result cuMemsetD8Async(vt_gpu_ptr p, unsigned char value, size_t n, vt_cu_stream)
{
    now_or_later([=] { memset(host(p), value, n); });
    return VT_CU_OK;
}
vt_cu_result cuModuleLoadData(vt_cu_module *m, const void *)
{
    *m = (vt_cu_module)&lock;
    return VT_CU_OK;
}
vt_cu_result cuModuleUnload(vt_cu_module)
{
    return VT_CU_OK;
}
vt_cu_result cuModuleGetFunction(vt_cu_function *f, vt_cu_module, const char *name)
{
    const struct emulated_kernel *kernel = emulated_find(name);
    if (!kernel)
        return VT_CU_NOT_FOUND;
    *f = (vt_cu_function) new function_s{kernel, 48 << 10}; /* as long as the process */
    return VT_CU_OK;
}
vt_cu_result cuFuncSetAttribute(vt_cu_function f, int, int value)
{
    if (value > most_shared())
        return VT_CU_INVALID_VALUE;
    ((function_s *)f)->shared = (size_t)value;
    return VT_CU_OK;
}
vt_cu_result cuLaunchKernelEx(const vt_cu_launch *l, vt_cu_function f, void **args, void **)
{
    const function_s *of = (const function_s *)f;
    struct emulated_grid grid = {l->grid[0], l->grid[1], l->block[0], 1, l->smem};
    for (unsigned i = 0; i < l->n_attrs; i++)
        if (l->attrs[i].id == VT_CU_LAUNCH_ATTR_CLUSTER)
            grid.cluster = l->attrs[i].value.cluster.x;
    if (!grid.x || !grid.y || grid.y > 65535 || !grid.threads || grid.threads > 1024 || l->smem > of->shared ||
        grid.x % grid.cluster || grid.cluster > 8)
        return VT_CU_INVALID_VALUE;
    const std::function<void()> thread = of->kernel->bind(args);
    now_or_later([=] { emulated_run(grid, thread); });
    return VT_CU_OK;
}
vt_cu_result cuOccupancyMaxActiveClusters(int *n, vt_cu_function, const vt_cu_launch *l)
{
    *n = 8 / (int)l->attrs[0].value.cluster.x;
    return VT_CU_OK;
}
vt_cu_result cuTensorMapEncodeTiled(vt_cu_tensor_map *map, int, uint32_t, void *base, const uint64_t *dims,
                                    const uint64_t *strides, const uint32_t *box, const uint32_t *, int, int, int, int)
{
    const struct emulated_view v = {(uint64_t)(uintptr_t)base, {dims[0], dims[1]}, strides[0], {box[0], box[1]}};
    if ((uintptr_t)base % 16 || strides[0] % 16 || box[0] * 2 > 128 || box[1] > 256)
        return VT_CU_INVALID_VALUE;
    memset(map, 0, sizeof *map);
    memcpy(map, &v, sizeof v);
    return VT_CU_OK;
}
vt_cu_result cuStreamCreate(vt_cu_stream *s, unsigned)
{
    *s = (vt_cu_stream)malloc(1);
    return VT_CU_OK;
}
vt_cu_result cuStreamDestroy_v2(vt_cu_stream s)
{
    free(s);
    return VT_CU_OK;
}
vt_cu_result cuStreamSynchronize(vt_cu_stream)
{
    return VT_CU_OK;
}
vt_cu_result cuStreamWaitEvent(vt_cu_stream, vt_cu_event, unsigned)
{
    return VT_CU_OK;
}
vt_cu_result cuEventCreate(vt_cu_event *e, unsigned)
{
    *e = (vt_cu_event)calloc(1, sizeof(double));
    return VT_CU_OK;
}
vt_cu_result cuEventDestroy_v2(vt_cu_event e)
{
    free(e);
    return VT_CU_OK;
}
vt_cu_result cuEventRecord(vt_cu_event e, vt_cu_stream)
{
    *(double *)(void *)e = (double)clock() / CLOCKS_PER_SEC;
    return VT_CU_OK;
}
vt_cu_result cuEventQuery(vt_cu_event)
{
    return VT_CU_OK;
}
vt_cu_result cuEventSynchronize(vt_cu_event)
{
    return VT_CU_OK;
}
vt_cu_result cuEventElapsedTime(float *ms, vt_cu_event a, vt_cu_event b)
{
    *ms = (float)(1e3 * (*(double *)(void *)b - *(double *)(void *)a));
    return VT_CU_OK;
}
vt_cu_result cuStreamBeginCapture_v2(vt_cu_stream, int)
{
    captured = new graph_s;
    return VT_CU_OK;
}
vt_cu_result cuStreamEndCapture(vt_cu_stream, vt_cu_graph *g)
{
    *g = (vt_cu_graph)captured;
    captured = NULL;
    return VT_CU_OK;
}
vt_cu_result cuGraphInstantiateWithFlags(vt_cu_graph_exec *e, vt_cu_graph g, unsigned long long)
{
    *e = (vt_cu_graph_exec) new graph_s(*(graph_s *)g);
    return VT_CU_OK;
}
vt_cu_result cuGraphDestroy(vt_cu_graph g)
{
    delete (graph_s *)g;
    return VT_CU_OK;
}
vt_cu_result cuGraphLaunch(vt_cu_graph_exec e, vt_cu_stream)
{
    for (const auto &work : *(graph_s *)e)
        work();
    return VT_CU_OK;
}
vt_cu_result cuGraphExecDestroy(vt_cu_graph_exec e)
{
    delete (graph_s *)e;
    return VT_CU_OK;
}
}
