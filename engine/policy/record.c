/* SPDX-License-Identifier: Apache-2.0
 *
 * record.c: the model record: what a script needs to know to use a model well, as JSON. Defaults are here; an adapter
 * folder may carry its own vegttt_record.json, whose fields win, because the learning rate and the temperature that
 * suit a policy are found on its training tasks.
 *
 * Fields: lr (of one adaptation step), temperature, max_tokens, stop (strings), system, instruction (the prompt's two
 * fixed sentences).
 */
#include "base/alloc.h"
#include "base/fs.h"
#include "base/json.h"
#include "policy/policy_ops.h"
#include <stdlib.h>
#include <string.h>

static const char defaults[] =
    "{\"instruction\":\"Rewrite this C function so that it runs faster and gives the same result.\","
    "\"lr\":0.0001,\"max_tokens\":384,\"stop\":[\"\\n}\"],\"system\":\"You write fast C code.\",\"temperature\":0.6}";

static vt_status overlay(vt_json *record, const char *adapter_dir, vt_err *err)
{
    char *path = vt_path_join(adapter_dir, "vegttt_record.json");
    struct vt_buf text = {0};
    vt_json *own = NULL;
    vt_status status = VT_OK;

    if (!path)
        return vt_fail(err, VT_ENOMEM, "out of memory for a path in %s", adapter_dir);
    if (vt_fs_exists(path)) {
        status = vt_fs_read(path, 1 << 20, &text, err);
        if (status == VT_OK)
            status = vt_json_parse(text.p, text.len, path, &own, err);
        for (const vt_json *c = status == VT_OK ? vt_json_first(own) : NULL; c; c = vt_json_next(c))
            vt_json_put(record, vt_json_key(c), vt_json_clone(c));
        vt_json_free(own);
        vt_buf_free(&text);
    }
    free(path);
    return status;
}

vt_status vt_model_record(const char *model, const char *adapter_dir, char **out, vt_err *err)
{
    vt_json *record = NULL;
    struct vt_buf text;
    vt_status status;

    vt_buf_init(&text, 1 << 20);
    status = vt_json_parse(defaults, sizeof defaults - 1, "the built-in model record", &record, err);
    if (status == VT_OK)
        vt_json_put_str(record, "model", model);
    if (status == VT_OK && adapter_dir)
        status = overlay(record, adapter_dir, err);
    if (status == VT_OK)
        status = vt_json_write(record, true, &text, err);
    if (status == VT_OK)
        *out = vt_buf_take(&text, NULL);
    vt_json_free(record);
    vt_buf_free(&text);
    return status;
}
