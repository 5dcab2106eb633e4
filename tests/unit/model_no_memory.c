/* SPDX-License-Identifier: Apache-2.0
 *
 * model_no_memory.c: the calls of engine/model with each of their allocations failing in turn, on models small enough
 * that every single allocation can be tried. A pattern that gets no memory for its JIT code is interpreted, so opening
 * a tokenizer may succeed.
 */
#include "no_memory.h"

#include "model/adapter.h"
#include "model/chat.h"
#include "model/gguf.h"
#include "model/safetensors.h"
#include "model/tokenizer.h"
#include "model/tokenizer_build.h"
#include "model_common.h"
#include "model_gguf_builder.h"

static char root[64], gguf_path[128], tokenizer_path[128], adapter_path[128], folder_path[128], tensors_path[160];

static void write_gguf(void)
{
    struct builder b;
    struct vt_buf file;
    size_t header;
    vt_err err;
    begin(&b);
    config(&b, "llama");
    tokenizer(&b);
    kv_str(&b, "tokenizer.chat_template",
           "{{ '<|im_start|>' }} You are a helpful AI assistant named SmolLM, trained by "
           "Hugging Face");
    tensors(&b, false, false, false);
    end(&b, &file, &header);
    CHECK_OK(vt_fs_write_atomic(gguf_path, file.p, file.len, &err), err);
    vt_buf_free(&file);
}

static const char tokenizer_json[] =
    "{\"added_tokens\":[{\"id\":4,\"content\":\"<|end|>\",\"special\":true,\"normalized\":false}],\"normalizer\":{"
    "\"type\":\"NFC\"},"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a+|b+\"},"
    "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true}]},\"model\":{"
    "\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\xc4\xa0\":3},\"merges\":[[\"a\",\"b\"]]}}";

static vt_status gguf_calls(void *arg, vt_err *err)
{
    struct vt_gguf *g;
    (void)arg;
    VT_TRY(vt_gguf_open(gguf_path, &g, err));
    vt_gguf_free(g);
    return VT_OK;
}

/* arg: the model's path. */
static vt_status ckpt_calls(void *arg, vt_err *err)
{
    vt_ckpt *c;
    VT_TRY(vt_ckpt_open(arg, &c, err));
    vt_status status = VT_OK;
    for (size_t i = 0; i < vt_ckpt_n_tensors(c) && status == VT_OK; i++)
        status = vt_tensor_check_finite(vt_ckpt_tensor_at(c, i), err);
    vt_ckpt_free(c);
    return status;
}

/* A digest that cannot be looked up or kept in the cache is computed. */
static vt_status digest_calls(void *arg, vt_err *err)
{
    char hex[65], again[65];
    vt_ckpt *c = arg;
    VT_TRY(vt_ckpt_unchanged(c, err));
    VT_TRY(vt_ckpt_digest(c, hex, err));
    VT_TRY(vt_file_digest(gguf_path, again, err));
    return strcmp(hex, again) == 0 ? VT_OK : vt_fail(err, VT_EINTERNAL, "two digests");
}

static vt_status tokenizer_calls(void *arg, vt_err *err)
{
    vt_tokenizer *t;
    (void)arg;
    VT_TRY(vt_tokenizer_from_json(tokenizer_path, &t, err));
    vt_tokenizer_free(t);
    return VT_OK;
}

static vt_status encode_calls(void *arg, vt_err *err)
{
    const vt_tokenizer *t = arg;
    static const char text[] = "ab aabb\xcc\x81\xcc\xa7 ba<|end|>abababababababababababab ab ab ab ab ab ab ab ab ab "
                               "abababababababababababababababababababababababababababababababababababababababababab";
    struct vt_ids ids = {0};
    struct vt_buf out;
    vt_buf_init(&out, 1 << 16);
    vt_status status = vt_tokenizer_encode(t, text, sizeof text - 1, true, &ids, err);
    for (int32_t i = 0; i < 70 && status == VT_OK; i++)
        status = vt_ids_push(&ids, i % 5, err);
    if (status == VT_OK)
        status = vt_tokenizer_decode(t, ids.p, ids.n, &out, err);
    vt_ids_free(&ids);
    vt_buf_free(&out);
    return status;
}

static vt_status chat_calls(void *arg, vt_err *err)
{
    static const struct vt_message m[] = {{"system", "s"}, {"user", "u"}, {"assistant", "<think>a</think>b"}};
    enum vt_chat chat;
    struct vt_buf out;
    vt_status of = vt_chat_of(arg, &chat, err), pick = vt_chat_pick(arg, "llama3", &chat, err);
    if (of == VT_ENOMEM || pick == VT_ENOMEM)
        return VT_ENOMEM;
    VT_TRY(vt_chat_named("harmony", &chat, err)); /* of and pick refuse a template and a tokenizer without its tokens */
    vt_buf_init(&out, 1 << 16);
    vt_status probed = vt_chat_probe(chat, &out, err);
    vt_buf_free(&out);
    VT_TRY(probed);
    for (enum vt_chat k = VT_CHAT_SMOLLM2; k <= VT_CHAT_HARMONY; k++) {
        vt_buf_init(&out, 1 << 16);
        vt_status status = vt_chat_render(k, m, 3, true, NULL, &out, err);
        vt_buf_free(&out);
        VT_TRY(status);
    }
    return VT_OK;
}

static vt_status adapter_calls(void *arg, vt_err *err)
{
    const vt_ckpt *c = arg;
    struct vt_adapter *a = NULL, *copy = NULL, *loaded = NULL;
    char *warning = NULL;
    VT_TRY(vt_adapter_new(vt_ckpt_config(c), 2, 4, VT_LORA_DEFAULT, 7, &a, err));
    a->trained_on = vt_strdup("{\"tasks\":[19]}");
    a->m = vt_alloc_array(a->n_params, sizeof *a->m);
    a->v = vt_alloc_array(a->n_params, sizeof *a->v);
    snprintf(a->base_digest, sizeof a->base_digest, "%064d", 1);
    vt_status status = a->trained_on && a->m && a->v ? VT_OK : vt_fail(err, VT_ENOMEM, "NULL");
    if (status == VT_OK)
        status = vt_adapter_clone(a, &copy, err);
    if (status == VT_OK)
        status = vt_adapter_save(copy, adapter_path, VT_F32, true, err);
    if (status == VT_OK)
        status = vt_adapter_load(adapter_path, vt_ckpt_config(c), "another digest", &loaded, &warning, err);
    if (status == VT_OK && (!warning || !loaded->m || memcmp(loaded->params, a->params, a->n_params * sizeof(float))))
        status = vt_fail(err, VT_EINTERNAL, "the adapter came back changed");
    free(warning);
    warning = NULL;
    vt_adapter_free(loaded);
    loaded = NULL;
    if (status == VT_OK)
        status = vt_adapter_load_on(adapter_path, c, "another digest", &loaded, &warning, err);
    free(warning);
    vt_adapter_free(a);
    vt_adapter_free(copy);
    vt_adapter_free(loaded);
    return status;
}

static vt_status tensors_calls(void *arg, vt_err *err)
{
    static const float values[] = {1, 2, 3, 4, 5, 6};
    static const struct vt_st_item items[] = {{"a", VT_F32, 2, {2, 3}, values}, {"b", VT_BF16, 1, {6}, values}};
    static const struct vt_st_pair meta[] = {{"format", "pt"}};
    vt_st *s;
    (void)arg;
    VT_TRY(vt_st_write(tensors_path, items, 2, meta, 1, err));
    VT_TRY(vt_st_open(tensors_path, &s, err));
    vt_st_free(s);
    return VT_OK;
}

static void every_call(void)
{
    vt_err err;
    vt_ckpt *c = NULL;
    vt_tokenizer *t = NULL;
    /* An adapter is synced to the disk as often as it is saved, which here is a thousand times: in memory that is free.
     */
    snprintf(root, sizeof root, "%s/vegttt-memory-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(root) != NULL);
    setenv("VEGTTT_CACHE", root, 1);
    snprintf(gguf_path, sizeof gguf_path, "%s/model.gguf", root);
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/tokenizer.json", root);
    snprintf(adapter_path, sizeof adapter_path, "%s/adapter", root);
    snprintf(tensors_path, sizeof tensors_path, "%s/tensors.safetensors", root);
    snprintf(folder_path, sizeof folder_path, "%s", GOLDEN("tiny/llama_sharded"));
    write_gguf();
    CHECK_OK(vt_fs_write_atomic(tokenizer_path, tokenizer_json, sizeof tokenizer_json - 1, &err), err);
    CHECK_OK(vt_ckpt_open(gguf_path, &c, &err), err);
    CHECK_OK(vt_tokenizer_from_json(tokenizer_path, &t, &err), err);
    fail_each("vt_gguf_open", gguf_calls, NULL, MUST_FAIL);
    fail_each("vt_ckpt_open of a GGUF file", ckpt_calls, gguf_path, MAY_SUCCEED);
    fail_each("vt_ckpt_open of a folder", ckpt_calls, folder_path, MUST_FAIL);
    fail_each("digests", digest_calls, c, MAY_SUCCEED);
    fail_each("vt_tokenizer_from_json", tokenizer_calls, NULL, MAY_SUCCEED);
    fail_each("encoding", encode_calls, t, MUST_FAIL);
    fail_each("chat", chat_calls, c, MUST_FAIL);
    fail_each("adapter", adapter_calls, c, MUST_FAIL);
    fail_each("safetensors", tensors_calls, NULL, MUST_FAIL);
    vt_tokenizer_free(t);
    vt_ckpt_free(c);
    CHECK_OK(vt_fs_remove_tree(root, &err), err);
    no_memory_total();
}

static const struct test_case cases[] = {TEST(every_call)};
TEST_MAIN(cases)
