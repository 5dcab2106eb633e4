/* SPDX-License-Identifier: Apache-2.0
 *
 * model_chat.c: any conversation in every chat format. The input is cut into turns at bytes 1, 2 and 3, which stand for
 * system, user and assistant; its first byte chooses the format and the options. A rendering holds the last question.
 */
#include "base/buf.h"
#include "fuzz.h"
#include "model/chat.h"
#include <string.h>

enum { MAX_TURNS = 12 };

/* Cuts text (NUL-terminated, changed here) into turns; their number. */
static size_t cut(char *text, size_t n, struct vt_message *m)
{
    static const char *const roles[] = {"system", "user", "assistant"};
    size_t n_turns = 0;
    for (size_t i = 0; i < n && n_turns < MAX_TURNS; i++) {
        if (text[i] < 1 || text[i] > 3)
            continue;
        m[n_turns++] = (struct vt_message){roles[text[i] - 1], text + i + 1};
        text[i] = '\0';
    }
    return n_turns;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const reasonings[] = {NULL, NULL, "low", "off"};
    struct vt_message m[MAX_TURNS];
    if (size == 0 || memchr(data, 0, size))
        return 0;
    char *text = malloc(size);
    if (!text)
        abort();
    memcpy(text, data + 1, size - 1);
    text[size - 1] = '\0';
    size_t n = cut(text, size - 1, m);
    enum vt_chat chat = (enum vt_chat)(data[0] % (VT_CHAT_HARMONY + 1));
    struct vt_buf out;
    vt_err err = {0};
    vt_buf_init(&out, 1 << 24);
    vt_status status = vt_chat_render(chat, m, n, data[0] & 64, reasonings[data[0] >> 4 & 3], &out, &err);
    must_explain(status, &err);
    const bool trims = chat == VT_CHAT_LLAMA3 || chat == VT_CHAT_LLAMA31;
    if (status == VT_OK && !trims && strcmp(m[n - 1].role, "user") == 0 && !strstr(out.p, m[n - 1].content))
        abort();
    if (vt_chat_stop(chat)[0] == '\0')
        abort();
    vt_buf_free(&out);
    free(text);
    return 0;
}
