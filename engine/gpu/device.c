/* SPDX-License-Identifier: Apache-2.0
 *
 * device.c: an open device (gpu.h). It holds the device's primary context, which cuBLASLt uses too. Every block of
 * memory is listed with its size and name, so that closing frees what was forgotten and the accounts stay right.
 */
#include "base/alloc.h"
#include "gpu/driver.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct block {
    vt_gpu_ptr p;
    size_t bytes;
    const char *what;
};

struct vt_gpu {
    const struct vt_cu *cu;
    int index;
    vt_cu_device device;
    vt_cu_ctx ctx;
    struct vt_gpu_props props;
    uint64_t budget;
    struct vt_gpu_book *book;
    pthread_mutex_t lock; /* guards blocks, dead_err and peers */
    uint64_t peers;       /* devices whose memory was asked to be in reach */
    struct block *blocks;
    size_t n_blocks, cap_blocks;
    atomic_bool is_dead;
    vt_err dead_err;
};

bool vt_gpu_is_sticky(vt_cu_result r)
{
    return r == VT_CU_ECC_UNCORRECTABLE || r == VT_CU_ILLEGAL_ADDRESS || r == VT_CU_LAUNCH_TIMEOUT ||
           (r >= VT_CU_ASSERT && r <= VT_CU_LAUNCH_FAILED);
}

bool vt_gpu_is_dead(const vt_gpu *g)
{
    return atomic_load(&g->is_dead);
}

static vt_status say_dead(vt_gpu *g, vt_err *err)
{
    pthread_mutex_lock(&g->lock);
    if (err)
        *err = g->dead_err;
    pthread_mutex_unlock(&g->lock);
    return VT_EIO;
}

vt_status vt_gpu_check(vt_gpu *g, vt_cu_result result, const char *doing, vt_err *err)
{
    vt_err own;
    if (result == VT_CU_OK)
        return VT_OK;
    if (vt_gpu_is_dead(g))
        return say_dead(g, err);
    const vt_status status = vt_gpu_explain(g->cu, result, doing, &own);
    if (vt_gpu_is_sticky(result)) {
        pthread_mutex_lock(&g->lock);
        (void)vt_fail(
            &g->dead_err, VT_EIO,
            "%.400s. GPU %d (%s) cannot be used again by this process: end it and run the same command again, "
            "which goes on where it stopped",
            own.msg, g->index, g->props.name);
        atomic_store(&g->is_dead, true);
        pthread_mutex_unlock(&g->lock);
        return say_dead(g, err);
    }
    if (err)
        *err = own;
    return status;
}

static vt_status alive(vt_gpu *g, vt_err *err)
{
    return vt_gpu_is_dead(g) ? say_dead(g, err) : VT_OK;
}

static vt_status open_into(vt_gpu *g, uint64_t budget, vt_err *err)
{
    size_t free_bytes = 0, total = 0;
    VT_TRY(vt_gpu_driver(&g->cu, err));
    VT_TRY(vt_gpu_look(g->index, &g->props, err));
    VT_TRY(vt_gpu_check(g, g->cu->device_get(&g->device, g->index), "choosing a GPU", err));
    VT_TRY(vt_gpu_check(g, g->cu->ctx_retain(&g->ctx, g->device), "opening a GPU", err));
    VT_TRY(vt_gpu_bind(g, err));
    VT_TRY(vt_gpu_check(g, g->cu->mem_info(&free_bytes, &total), "reading the free GPU memory", err));
    g->budget = budget ? budget : (uint64_t)free_bytes / 10 * 9;
    g->book = vt_gpu_book_new(g->budget);
    return g->book ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory while opening a GPU");
}

vt_status vt_gpu_open(int index, uint64_t budget, vt_gpu **out, vt_err *err)
{
    *out = NULL;
    vt_gpu *g = vt_alloc(sizeof *g);
    if (!g)
        return vt_fail(err, VT_ENOMEM, "out of memory while opening a GPU");
    g->index = index;
    pthread_mutex_init(&g->lock, NULL);
    const vt_status status = open_into(g, budget, err);
    if (status != VT_OK) {
        vt_gpu_close(g);
        return status;
    }
    *out = g;
    return VT_OK;
}

void vt_gpu_close(vt_gpu *g)
{
    if (!g)
        return;
    if (g->ctx && g->cu->ctx_set(g->ctx) == VT_CU_OK)
        while (g->n_blocks)
            (void)g->cu->mem_free(g->blocks[--g->n_blocks].p);
    if (g->ctx)
        (void)g->cu->ctx_release(g->device);
    vt_gpu_book_free(g->book);
    pthread_mutex_destroy(&g->lock);
    free(g->blocks);
    free(g);
}

vt_status vt_gpu_bind(vt_gpu *g, vt_err *err)
{
    return vt_gpu_check(g, g->cu->ctx_set(g->ctx), "binding a GPU to a thread", err);
}

const struct vt_gpu_props *vt_gpu_props(const vt_gpu *g)
{
    return &g->props;
}

const struct vt_cu *vt_gpu_cu(const vt_gpu *g)
{
    return g->cu;
}

int vt_gpu_index(const vt_gpu *g)
{
    return g->index;
}

/* --- memory --- */

static bool list_block(vt_gpu *g, struct block b)
{
    bool is_listed = true;
    pthread_mutex_lock(&g->lock);
    if (g->n_blocks == g->cap_blocks) {
        const size_t cap = g->cap_blocks ? 2 * g->cap_blocks : 64;
        struct block *grown = vt_realloc_array(g->blocks, cap, sizeof *grown);
        if (grown) {
            g->blocks = grown;
            g->cap_blocks = cap;
        }
        is_listed = grown != NULL;
    }
    if (is_listed)
        g->blocks[g->n_blocks++] = b;
    pthread_mutex_unlock(&g->lock);
    return is_listed;
}

static struct block unlist_block(vt_gpu *g, vt_gpu_ptr p)
{
    struct block b = {0};
    pthread_mutex_lock(&g->lock);
    for (size_t i = g->n_blocks; i-- > 0;) { /* what was taken last is often given first */
        if (g->blocks[i].p != p)
            continue;
        b = g->blocks[i];
        g->blocks[i] = g->blocks[--g->n_blocks];
        break;
    }
    pthread_mutex_unlock(&g->lock);
    return b;
}

vt_status vt_gpu_alloc(vt_gpu *g, size_t bytes, const char *what, vt_gpu_ptr *out, vt_err *err)
{
    char doing[160];
    *out = 0;
    VT_TRY(alive(g, err));
    bytes = bytes ? bytes : 1;
    VT_TRY(vt_gpu_book_take(g->book, bytes, what, err));
    (void)snprintf(doing, sizeof doing, "taking %.1f MB of GPU memory for %s", (double)bytes / 1e6, what);
    vt_gpu_ptr p = 0;
    vt_status status = vt_gpu_check(g, g->cu->mem_alloc(&p, bytes), doing, err);
    if (status == VT_OK && !list_block(g, (struct block){.p = p, .bytes = bytes, .what = what})) {
        (void)g->cu->mem_free(p);
        status = vt_fail(err, VT_ENOMEM, "out of memory for the list of GPU memory");
    }
    if (status != VT_OK) {
        vt_gpu_book_give(g->book, bytes, what);
        return status;
    }
    *out = p;
    return VT_OK;
}

void vt_gpu_free(vt_gpu *g, vt_gpu_ptr p)
{
    if (!p)
        return;
    const struct block b = unlist_block(g, p);
    if (!b.p)
        return;
    (void)g->cu->mem_free(p);
    vt_gpu_book_give(g->book, b.bytes, b.what);
}

uint64_t vt_gpu_bytes(const vt_gpu *g, uint64_t *peak)
{
    return vt_gpu_book_used(g->book, peak);
}

uint64_t vt_gpu_budget(const vt_gpu *g)
{
    return g->budget;
}

vt_status vt_gpu_host_alloc(vt_gpu *g, size_t bytes, void **out, vt_err *err)
{
    *out = NULL;
    VT_TRY(alive(g, err));
    VT_TRY(vt_gpu_check(g, g->cu->host_alloc(out, bytes ? bytes : 1, 0), "taking pinned memory", err));
    memset(*out, 0, bytes);
    return VT_OK;
}

void vt_gpu_host_free(vt_gpu *g, void *p)
{
    if (p)
        (void)g->cu->host_free(p);
}

vt_status vt_gpu_copy_in(vt_gpu *g, vt_gpu_ptr to, const void *from, size_t bytes, vt_cu_stream s, vt_err *err)
{
    VT_TRY(alive(g, err));
    return bytes ? vt_gpu_check(g, g->cu->copy_in(to, from, bytes, s), "copying to the GPU", err) : VT_OK;
}

vt_status vt_gpu_copy_out(vt_gpu *g, void *to, vt_gpu_ptr from, size_t bytes, vt_cu_stream s, vt_err *err)
{
    VT_TRY(alive(g, err));
    return bytes ? vt_gpu_check(g, g->cu->copy_out(to, from, bytes, s), "copying from the GPU", err) : VT_OK;
}

/* Asks once; where it is refused the driver copies by way of the host. */
static void reach(vt_gpu *g, const vt_gpu *other)
{
    const uint64_t bit = (uint64_t)1 << (other->index % 64);
    pthread_mutex_lock(&g->lock);
    const bool is_new = !(g->peers & bit);
    g->peers |= bit;
    pthread_mutex_unlock(&g->lock);
    if (is_new && g->cu->peer_enable && other->ctx != g->ctx)
        (void)g->cu->peer_enable(other->ctx, 0);
}

static vt_status copy_by_host(vt_gpu *g, vt_gpu_ptr to, vt_gpu *other, vt_gpu_ptr from, void *host, size_t bytes,
                              vt_cu_stream s, vt_err *err)
{
    VT_TRY(vt_gpu_bind(other, err));
    VT_TRY(vt_gpu_copy_out(other, host, from, bytes, NULL, err));
    VT_TRY(vt_gpu_stream_wait(other, NULL, err));
    VT_TRY(vt_gpu_bind(g, err));
    VT_TRY(vt_gpu_copy_in(g, to, host, bytes, s, err));
    return vt_gpu_stream_wait(g, s, err);
}

vt_status vt_gpu_copy_from(vt_gpu *g, vt_gpu_ptr to, vt_gpu *other, vt_gpu_ptr from, size_t bytes, vt_cu_stream s,
                           vt_err *err)
{
    VT_TRY(alive(g, err));
    VT_TRY(alive(other, err));
    if (g->cu->copy_peer) {
        reach(g, other);
        return vt_gpu_check(g, g->cu->copy_peer(to, g->ctx, from, other->ctx, bytes, s), "copying between GPUs", err);
    }
    void *host = vt_alloc(bytes);
    if (!host)
        return vt_fail(err, VT_ENOMEM, "out of memory copying %zu bytes between GPUs", bytes);
    const vt_status status = copy_by_host(g, to, other, from, host, bytes, s, err);
    free(host);
    return status;
}

vt_status vt_gpu_fill(vt_gpu *g, vt_gpu_ptr p, unsigned char value, size_t bytes, vt_cu_stream s, vt_err *err)
{
    VT_TRY(alive(g, err));
    return bytes ? vt_gpu_check(g, g->cu->fill_bytes(p, value, bytes, s), "filling GPU memory", err) : VT_OK;
}

/* --- streams and events --- */

vt_status vt_gpu_stream_new(vt_gpu *g, vt_cu_stream *out, vt_err *err)
{
    *out = NULL;
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->stream_new(out, VT_CU_STREAM_NON_BLOCKING), "making a stream", err);
}

void vt_gpu_stream_free(vt_gpu *g, vt_cu_stream s)
{
    if (s)
        (void)g->cu->stream_free(s);
}

vt_status vt_gpu_stream_wait(vt_gpu *g, vt_cu_stream s, vt_err *err)
{
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->stream_wait(s), "waiting for the GPU", err);
}

vt_status vt_gpu_event_new(vt_gpu *g, bool is_timed, vt_cu_event *out, vt_err *err)
{
    *out = NULL;
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->event_new(out, is_timed ? 0 : VT_CU_EVENT_DISABLE_TIMING), "making an event", err);
}

void vt_gpu_event_free(vt_gpu *g, vt_cu_event e)
{
    if (e)
        (void)g->cu->event_free(e);
}

vt_status vt_gpu_event_record(vt_gpu *g, vt_cu_event e, vt_cu_stream s, vt_err *err)
{
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->event_record(e, s), "recording an event", err);
}

vt_status vt_gpu_event_wait(vt_gpu *g, vt_cu_event e, vt_err *err)
{
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->event_wait(e), "waiting for the GPU", err);
}

vt_status vt_gpu_event_ms(vt_gpu *g, vt_cu_event from, vt_cu_event to, float *ms, vt_err *err)
{
    *ms = 0;
    VT_TRY(alive(g, err));
    return vt_gpu_check(g, g->cu->event_elapsed(ms, from, to), "reading the time between two events", err);
}

/* --- kernels --- */

vt_status vt_gpu_module_load(vt_gpu *g, const void *image, const char *what, vt_cu_module *out, vt_err *err)
{
    char doing[320];
    *out = NULL;
    VT_TRY(alive(g, err));
    (void)snprintf(doing, sizeof doing, "loading %s on %s (compute capability %d.%d)", what, g->props.name,
                   g->props.major, g->props.minor);
    return vt_gpu_check(g, g->cu->module_load(out, image), doing, err);
}

void vt_gpu_module_free(vt_gpu *g, vt_cu_module m)
{
    if (m)
        (void)g->cu->module_unload(m);
}

vt_status vt_gpu_kernel(vt_gpu *g, vt_cu_module m, const char *name, size_t smem, vt_cu_function *out, vt_err *err)
{
    char doing[160];
    *out = NULL;
    VT_TRY(alive(g, err));
    (void)snprintf(doing, sizeof doing, "finding the kernel %s", name);
    VT_TRY(vt_gpu_check(g, g->cu->module_function(out, m, name), doing, err));
    if (smem <= 48 * 1024)
        return VT_OK;
    (void)snprintf(doing, sizeof doing, "giving the kernel %s %zu bytes of shared memory", name, smem);
    return vt_gpu_check(g, g->cu->function_set(*out, VT_CU_FUNC_ATTR_MAX_DYNAMIC_SMEM, (int)smem), doing, err);
}

vt_status vt_gpu_launch(vt_gpu *g, vt_cu_stream s, vt_cu_function f, const char *what, const struct vt_gpu_grid *grid,
                        void **args, vt_err *err)
{
    struct vt_cu_launch_attr attrs[2] = {0};
    struct vt_cu_launch l = {.grid = {grid->x, grid->y ? grid->y : 1, grid->z ? grid->z : 1},
                             .block = {grid->threads, 1, 1},
                             .smem = grid->smem,
                             .stream = s,
                             .attrs = attrs};
    if (grid->cluster > 1) {
        attrs[l.n_attrs].id = VT_CU_LAUNCH_ATTR_CLUSTER;
        attrs[l.n_attrs].value.cluster.x = grid->cluster;
        attrs[l.n_attrs].value.cluster.y = attrs[l.n_attrs].value.cluster.z = 1;
        l.n_attrs++;
    }
    if (grid->is_eager) {
        attrs[l.n_attrs].id = VT_CU_LAUNCH_ATTR_PROGRAMMATIC;
        attrs[l.n_attrs++].value.programmatic = 1;
    }
    VT_TRY(alive(g, err));
    const vt_cu_result r = g->cu->launch(&l, f, args, NULL);
    if (r == VT_CU_OK)
        return VT_OK;
    char doing[160];
    (void)snprintf(doing, sizeof doing, "launching %s with %u x %u x %u blocks of %u threads", what, grid->x, l.grid[1],
                   l.grid[2], grid->threads);
    return vt_gpu_check(g, r, doing, err);
}
