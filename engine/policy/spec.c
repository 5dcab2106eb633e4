/* SPDX-License-Identifier: Apache-2.0
 *
 * spec.c: what a native spec names. MODEL or MODEL+ADAPTER: MODEL is a name that fetch.c knows, a file or a folder;
 * ADAPTER is a folder or the name of one under experiments/adapters. Whether all that is there is seen from names and
 * first bytes, so that a command line can be refused before anything is made.
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "policy/native.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where shipped adapters may lie: beside the sources, beside the binary's build folder, installed. */
static vt_status find_adapter(const char *name, char **out, vt_err *err)
{
    static const char *const places[] = {"experiments/adapters", "../experiments/adapters",
                                         "../share/vegttt/experiments/adapters"};
    char *exe = NULL;

    if (vt_fs_is_dir(name)) {
        *out = vt_strdup(name);
        return *out ? VT_OK : vt_fail(err, VT_ENOMEM, "out of memory for a path");
    }
    VT_TRY(vt_exe_dir(&exe, err));
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *root = i == 0 ? vt_strdup(places[i]) : vt_path_join(exe, places[i]);
        char *dir = root ? vt_path_join(root, name) : NULL;

        free(root);
        if (!dir) {
            free(exe);
            return vt_fail(err, VT_ENOMEM, "out of memory for a path");
        }
        if (vt_fs_is_dir(dir)) {
            free(exe);
            *out = dir;
            return VT_OK;
        }
        free(dir);
    }
    free(exe);
    return vt_fail(err, VT_ENOENT,
                   "there is no adapter \"%s\": name a folder with adapter_model.safetensors, or one under "
                   "experiments/adapters",
                   name);
}

/* A path that exists as a whole is a model whatever it contains. */
vt_status vt_native_split_spec(const char *spec, char **model, char **adapter, vt_err *err)
{
    const char *plus = vt_fs_exists(spec) ? NULL : strrchr(spec, '+');
    vt_status status;

    *adapter = NULL;
    *model = plus ? vt_strndup(spec, (size_t)(plus - spec)) : vt_strdup(spec);
    if (!*model)
        return vt_fail(err, VT_ENOMEM, "out of memory for the model spec");
    if (!plus)
        return VT_OK;
    status = plus[1] ? find_adapter(plus + 1, adapter, err)
                     : vt_fail(err, VT_EINVAL, "the model spec \"%s\" ends in + without an adapter", spec);
    if (status != VT_OK) {
        free(*model);
        *model = NULL;
    }
    return status;
}

/* what: dir is said not to be when it has no file of that name. */
static vt_status need_file(const char *dir, const char *name, const char *what, vt_err *err)
{
    char *path = vt_path_join(dir, name);
    vt_status status = VT_OK;

    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", dir);
    if (!vt_fs_exists(path))
        status = vt_fail(err, VT_EFORMAT, "the folder %s is no %s: it has no %s", dir, what, name);
    free(path);
    return status;
}

static vt_status check_file(const char *path, vt_err *err)
{
    const size_t n = strlen(path);
    char magic[4] = "";
    FILE *f;
    size_t n_read;

    if (n > 12 && strcmp(path + n - 12, ".safetensors") == 0)
        return VT_OK;
    f = fopen(path, "rb");
    if (!f)
        return vt_fail(err, VT_EIO, "cannot read the model %s: %s", path, strerror(errno));
    n_read = fread(magic, 1, sizeof magic, f);
    fclose(f);
    if (n_read != sizeof magic || memcmp(magic, "GGUF", sizeof magic) != 0)
        return vt_fail(err, VT_EFORMAT, "%s is no model: name a .gguf file or a Hugging Face folder", path);
    return VT_OK;
}

static vt_status check_model(const char *model, vt_err *err)
{
    if (vt_model_is_known(model))
        return VT_OK;
    if (!vt_fs_exists(model))
        return vt_model_unknown(model, err);
    if (!vt_fs_is_dir(model))
        return check_file(model, err);
    return need_file(model, "config.json", "model", err);
}

vt_status vt_native_check_spec(const char *spec, vt_err *err)
{
    char *model = NULL, *adapter = NULL;
    vt_status status = vt_native_split_spec(spec, &model, &adapter, err);

    if (status == VT_OK)
        status = check_model(model, err);
    if (status == VT_OK && adapter)
        status = need_file(adapter, "adapter_model.safetensors", "adapter", err);
    free(model);
    free(adapter);
    return status;
}
