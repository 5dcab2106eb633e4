/* SPDX-License-Identifier: Apache-2.0
 *
 * model_folder.c: the configuration files of a model folder. The input is up to seven texts with NULs between them:
 * config.json, generation_config.json, tokenizer.json, tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json, adapter_config.json; an empty text is an absent file. They are laid into VEGTTT_FUZZ_FOLDER (by
 * default a new folder in /dev/shm), which may hold weights (model.safetensors, adapter_model.safetensors), and opened
 * as a model and as an adapter.
 */
#include "base/fs.h"
#include "fuzz.h"
#include "model/adapter.h"
#include "model/chat.h"

#include <string.h>
#include <unistd.h>

static const char *folder(void)
{
    static char made[] = "/dev/shm/vegttt-fuzz-XXXXXX";
    static const char *dir;
    if (!dir)
        dir = getenv("VEGTTT_FUZZ_FOLDER");
    if (!dir)
        dir = mkdtemp(made);
    if (!dir)
        abort();
    return dir;
}

static void lay(const char *name, const unsigned char *text, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder(), name);
    (void)unlink(path);
    FILE *f = n ? fopen(path, "wb") : NULL;
    if (f && (fwrite(text, 1, n, f) != n || fclose(f) != 0))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const names[] = {"config.json",           "generation_config.json",  "tokenizer.json",
                                        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                        "adapter_config.json"};
    for (size_t i = 0; i < 6; i++) { /* the last one only beside an opened model: as a model's file it is refused */
        const unsigned char *end = size ? memchr(data, 0, size) : NULL;
        size_t n = end ? (size_t)(end - data) : size;
        lay(names[i], data, n);
        data += end ? n + 1 : n;
        size -= end ? n + 1 : n;
    }
    vt_ckpt *c = NULL;
    vt_err err = {0};
    lay(names[6], NULL, 0);
    vt_status status = vt_ckpt_open(folder(), &c, &err);
    must_explain(status, &err);
    if (status == VT_OK) {
        struct vt_adapter *a = NULL;
        enum vt_chat chat;
        must_explain(vt_chat_of(c, &chat, &err), &err);
        lay(names[6], data, size);
        must_explain(vt_adapter_load_on(folder(), c, NULL, &a, NULL, &err), &err);
        vt_adapter_free(a);
    }
    vt_ckpt_free(c);
    return 0;
}
