/* SPDX-License-Identifier: Apache-2.0
 *
 * driver.c: the driver's table of functions, filled once a process from libcuda.so.1, and what needs no open device:
 * counting and looking. The library stays open until the process ends: the driver installs handlers of its own.
 */
#include "gpu/driver.h"
#include "gpu/library.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

static struct {
    pthread_once_t once;
    vt_status status;
    vt_err err;
    struct vt_cu cu;
} driver = {.once = PTHREAD_ONCE_INIT};

static vt_status fill(struct vt_cu *cu, vt_err *err)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (!lib)
        return vt_fail(err, VT_EUNSUPPORTED, "there is no NVIDIA driver here (libcuda.so.1 cannot be opened)");
#define X(name, symbol, args) VT_TRY(vt_gpu_library_symbol(lib, "the NVIDIA driver", symbol, &cu->name, err));
    VT_CU_MAP(X)
#undef X
#define X(name, symbol, args)                                                                                          \
    do {                                                                                                               \
        void *address = dlsym(lib, symbol);                                                                            \
        memcpy(&cu->name, &address, sizeof address);                                                                   \
    } while (0);
    VT_CU_OPTIONAL_MAP(X)
#undef X
    const vt_cu_result r = cu->init(0);
    if (r == VT_CU_NO_DEVICE)
        return vt_fail(err, VT_EUNSUPPORTED, "the NVIDIA driver finds no device");
    if (r != VT_CU_OK)
        return vt_fail(err, VT_EUNSUPPORTED, "the NVIDIA driver does not start: error %d of cuInit", (int)r);
    (void)cu->driver_version(&cu->version);
    if (cu->version < 12000)
        return vt_fail(err, VT_EUNSUPPORTED, "the NVIDIA driver serves CUDA %d.%d; vegttt needs 12.0 or newer",
                       cu->version / 1000, cu->version % 1000 / 10);
    return VT_OK;
}

static void fill_once(void)
{
    driver.status = fill(&driver.cu, &driver.err);
}

vt_status vt_gpu_driver(const struct vt_cu **out, vt_err *err)
{
    *out = NULL;
    (void)pthread_once(&driver.once, fill_once);
    if (driver.status != VT_OK) {
        if (err)
            *err = driver.err;
        return driver.status;
    }
    *out = &driver.cu;
    return VT_OK;
}

vt_status vt_gpu_explain(const struct vt_cu *cu, vt_cu_result result, const char *doing, vt_err *err)
{
    const char *name = NULL, *text = NULL;
    if (result == VT_CU_OK)
        return VT_OK;
    (void)cu->error_name(result, &name);
    (void)cu->error_text(result, &text);
    return vt_fail(err, result == VT_CU_OUT_OF_MEMORY ? VT_ENOMEM : VT_EIO, "%s: the driver says %s (%s)", doing,
                   name ? name : "an unknown error", text ? text : "no text");
}

int vt_gpu_driver_version(void)
{
    const struct vt_cu *cu;
    return vt_gpu_driver(&cu, NULL) == VT_OK ? cu->version : 0;
}

int vt_gpu_count(vt_err *err)
{
    const struct vt_cu *cu;
    int n = 0;
    if (vt_gpu_driver(&cu, err) != VT_OK)
        return 0;
    if (vt_gpu_explain(cu, cu->device_count(&n), "counting the GPUs", err) != VT_OK)
        return 0;
    return n;
}

vt_status vt_gpu_look(int index, struct vt_gpu_props *out, vt_err *err)
{
    const struct vt_cu *cu;
    int n = 0;
    vt_cu_device d = 0;
    unsigned char uuid[16] = {0};
    size_t bytes = 0;
    memset(out, 0, sizeof *out);
    VT_TRY(vt_gpu_driver(&cu, err));
    VT_TRY(vt_gpu_explain(cu, cu->device_count(&n), "counting the GPUs", err));
    if (index < 0 || index >= n)
        return vt_fail(err, VT_EINVAL, "there is no GPU %d; this process sees %d, counted from 0", index, n);
    VT_TRY(vt_gpu_explain(cu, cu->device_get(&d, index), "choosing a GPU", err));
    VT_TRY(vt_gpu_explain(cu, cu->device_name(out->name, (int)sizeof out->name, d), "reading a GPU's name", err));
    VT_TRY(vt_gpu_explain(cu, cu->device_uuid(uuid, d), "reading a GPU's identity", err));
    VT_TRY(vt_gpu_explain(cu, cu->device_bytes(&bytes, d), "reading a GPU's memory size", err));
    out->bytes = bytes;
    for (int i = 0; i < 16; i++)
        (void)snprintf(out->uuid + 2 * i, 3, "%02x", uuid[i]);
    const struct {
        int attribute, *to;
    } attributes[] = {{VT_CU_ATTR_MAJOR, &out->major},
                      {VT_CU_ATTR_MINOR, &out->minor},
                      {VT_CU_ATTR_N_SM, &out->n_sm},
                      {VT_CU_ATTR_L2_BYTES, &out->l2_bytes},
                      {VT_CU_ATTR_SMEM_OPTIN, &out->smem_optin},
                      {VT_CU_ATTR_CLOCK_KHZ, &out->clock_khz},
                      {VT_CU_ATTR_MEMORY_CLOCK_KHZ, &out->memory_clock_khz},
                      {VT_CU_ATTR_BUS_BITS, &out->bus_bits},
                      {VT_CU_ATTR_PCI_BUS, &out->pci_bus},
                      {VT_CU_ATTR_PCI_DEVICE, &out->pci_device}};
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
        VT_TRY(vt_gpu_explain(cu, cu->device_attribute(attributes[i].to, attributes[i].attribute, d),
                              "reading a GPU's properties", err));
    return VT_OK;
}
