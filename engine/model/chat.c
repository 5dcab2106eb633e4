/* SPDX-License-Identifier: Apache-2.0
 *
 * chat.c: conversations as text, one renderer per format. Templates are Jinja programs; running them would need an
 * interpreter, and every model here uses one of eight texts. Which one is told by the whole template's digest
 * (chat_known.c), never by a marker inside it: many templates share their markers and differ in a default turn, a
 * trimmed space or a separator. Each renderer follows its original template for plain turns (no tools) and is checked
 * against renderings of that template (tests/golden/chat_*.jsonl).
 *
 * Dates: Llama 3 and Harmony put the current day into the prompt. Here it is fixed, since a prompt that changes at
 * midnight would change every sample key and every result.
 *
 * `reasoning`: Harmony's effort (low, medium, high; NULL = medium); for Qwen3 "off" closes the thinking block in the
 * generation prompt, NULL leaves it to the model. Other formats have no such setting and refuse one.
 */
#include "model/chat.h"

#include "model/text.h"

#include <string.h>

#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN2_SYSTEM "You are a helpful assistant."
#define QWEN25_SYSTEM "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define BEGIN_OF_TEXT "<|begin_of_text|>"
#define LLAMA3_DATE "26 Jul 2024"
#define HARMONY_DATE "2025-08-05"

static bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static bool is_role(const struct vt_message *m, const char *role)
{
    return strcmp(m->role, role) == 0;
}

static struct vt_text whole(const char *s)
{
    return (struct vt_text){s, strlen(s)};
}

static void put(struct vt_buf *out, struct vt_text t)
{
    vt_buf_add(out, t.p, t.len);
}

static void chatml_turn(struct vt_buf *out, const char *role, struct vt_text content)
{
    vt_buf_printf(out, "<|im_start|>%s\n", role);
    put(out, content);
    vt_buf_puts(out, "<|im_end|>\n");
}

/* default_system NULL: no system turn unless the conversation has one. */
static void render_chatml(const struct vt_message *m, size_t n, const char *default_system, struct vt_buf *out)
{
    if (default_system && !is_role(&m[0], "system"))
        chatml_turn(out, "system", whole(default_system));
    for (size_t i = 0; i < n; i++)
        chatml_turn(out, m[i].role, whole(m[i].content));
}

static struct vt_text strip_newlines(struct vt_text t, bool left, bool right)
{
    while (left && t.len > 0 && t.p[0] == '\n') {
        t.p++;
        t.len--;
    }
    while (right && t.len > 0 && t.p[t.len - 1] == '\n')
        t.len--;
    return t;
}

/* What follows the last occurrence of mark in t; all of t when there is none. */
static struct vt_text after_last(struct vt_text t, const char *mark)
{
    size_t n = strlen(mark);
    for (size_t at = t.len; at-- > 0;)
        if (t.len - at >= n && memcmp(t.p + at, mark, n) == 0)
            return (struct vt_text){t.p + at + n, t.len - at - n};
    return t;
}

/* Splits an assistant turn into what stood in <think> and the answer. */
static void split_thinking(const char *content, struct vt_text *thinking, struct vt_text *answer)
{
    const char *end = strstr(content, "</think>");
    *thinking = (struct vt_text){"", 0};
    *answer = whole(content);
    if (!end)
        return;
    struct vt_text before = strip_newlines((struct vt_text){content, (size_t)(end - content)}, false, true);
    *thinking = strip_newlines(after_last(before, "<think>"), true, false);
    *answer = strip_newlines(after_last(whole(content), "</think>"), true, false);
}

static bool is_tool_response(const char *s)
{
    static const char open[] = "<tool_response>", close[] = "</tool_response>";
    size_t n = strlen(s);
    return strncmp(s, open, sizeof open - 1) == 0 && n >= sizeof close - 1 &&
           strcmp(s + n - (sizeof close - 1), close) == 0;
}

/* Thinking is kept only after the last question: older turns lose it. */
static void render_qwen3(const struct vt_message *m, size_t n, struct vt_buf *out)
{
    size_t last_query = n - 1;
    for (size_t i = n; i-- > 0;)
        if (is_role(&m[i], "user") && !is_tool_response(m[i].content)) {
            last_query = i;
            break;
        }
    for (size_t i = 0; i < n; i++) {
        struct vt_text thinking, answer;
        if (!is_role(&m[i], "assistant")) {
            chatml_turn(out, m[i].role, whole(m[i].content));
            continue;
        }
        split_thinking(m[i].content, &thinking, &answer);
        vt_buf_puts(out, "<|im_start|>assistant\n");
        if (i > last_query && (i == n - 1 || thinking.len > 0)) {
            vt_buf_puts(out, "<think>\n");
            put(out, strip_newlines(thinking, true, true));
            vt_buf_puts(out, "\n</think>\n\n");
            answer = strip_newlines(answer, true, false);
        }
        put(out, answer);
        vt_buf_puts(out, "<|im_end|>\n");
    }
}

/* White space of Python's str.strip, which Jinja's trim uses. */
static bool is_space(uint32_t c)
{
    return (c >= 0x9 && c <= 0xd) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static struct vt_text trim(const char *s)
{
    struct vt_text t = whole(s);
    size_t first = t.len, end = 0, at = 0;
    while (at < t.len) {
        uint32_t cp = 0;
        size_t n = vt_utf8_next(t.p + at, t.len - at, &cp);
        if (n == 0 || !is_space(cp)) {
            first = at < first ? at : first;
            end = at + (n ? n : 1);
        }
        at += n ? n : 1;
    }
    return end ? (struct vt_text){t.p + first, end - first} : (struct vt_text){t.p, 0};
}

static void llama3_turn(struct vt_buf *out, const char *role, const char *before, struct vt_text content)
{
    vt_buf_printf(out, "<|start_header_id|>%s<|end_header_id|>\n\n%s", role, before);
    put(out, content);
    vt_buf_puts(out, "<|eot_id|>");
}

static void render_llama3(const struct vt_message *m, size_t n, struct vt_buf *out)
{
    vt_buf_puts(out, BEGIN_OF_TEXT);
    for (size_t i = 0; i < n; i++)
        llama3_turn(out, m[i].role, "", trim(m[i].content));
}

static void render_llama31(const struct vt_message *m, size_t n, struct vt_buf *out)
{
    bool has_system = is_role(&m[0], "system");
    vt_buf_puts(out, BEGIN_OF_TEXT);
    llama3_turn(out, "system", "Cutting Knowledge Date: December 2023\nToday Date: " LLAMA3_DATE "\n\n",
                trim(has_system ? m[0].content : ""));
    for (size_t i = has_system; i < n; i++)
        llama3_turn(out, m[i].role, "", trim(m[i].content));
}

static vt_status render_harmony(const struct vt_message *m, size_t n, bool generation_prompt, const char *effort,
                                struct vt_buf *out, vt_err *err)
{
    bool has_system = is_role(&m[0], "system");
    if (strcmp(effort, "low") != 0 && strcmp(effort, "medium") != 0 && strcmp(effort, "high") != 0)
        return vt_fail(
            err, VT_EINVAL,
            "cannot render a Harmony conversation with reasoning \"%.40s\"; low, medium and high are possible", effort);
    vt_buf_printf(out,
                  "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge "
                  "cutoff: 2024-06\n"
                  "Current date: " HARMONY_DATE "\n\nReasoning: %s\n\n"
                  "# Valid channels: analysis, commentary, final. Channel must be included for every message.<|end|>",
                  effort);
    if (has_system && m[0].content[0] != '\0')
        vt_buf_printf(out, "<|start|>developer<|message|># Instructions\n\n%s\n\n<|end|>", m[0].content);
    for (size_t i = has_system; i < n; i++) {
        if (is_role(&m[i], "system"))
            return vt_fail(err, VT_EINVAL,
                           "cannot render message %zu: Harmony takes a system message at the start only", i + 1);
        if (is_role(&m[i], "user")) {
            vt_buf_printf(out, "<|start|>user<|message|>%s<|end|>", m[i].content);
            continue;
        }
        if (contains(m[i].content, "<|channel|>"))
            return vt_fail(err, VT_EINVAL,
                           "cannot render message %zu: an assistant turn is the text of its final channel, without "
                           "<|channel|> tags",
                           i + 1);
        bool ends_here = i == n - 1 && !generation_prompt;
        vt_buf_printf(out, "<|start|>assistant<|channel|>final<|message|>%s%s", m[i].content,
                      ends_here ? "<|return|>" : "<|end|>");
    }
    return VT_OK;
}

static vt_status check_messages(enum vt_chat chat, const struct vt_message *m, size_t n, const char *reasoning,
                                vt_err *err)
{
    if (n == 0)
        return vt_fail(err, VT_EINVAL, "cannot render an empty conversation; give at least one message");
    for (size_t i = 0; i < n; i++)
        if (!m[i].role || !m[i].content ||
            (!is_role(&m[i], "system") && !is_role(&m[i], "user") && !is_role(&m[i], "assistant")))
            return vt_fail(
                err, VT_EINVAL,
                "cannot render message %zu with role \"%.40s\"; a role is system, user or assistant, with a content",
                i + 1, m[i].role ? m[i].role : "");
    if (reasoning && chat != VT_CHAT_HARMONY && !(chat == VT_CHAT_QWEN3 && strcmp(reasoning, "off") == 0))
        return vt_fail(err, VT_EINVAL, "cannot render with reasoning \"%.40s\": this chat format has no such setting",
                       reasoning);
    return VT_OK;
}

vt_status vt_chat_render(enum vt_chat chat, const struct vt_message *m, size_t n, bool generation_prompt,
                         const char *reasoning, struct vt_buf *out, vt_err *err)
{
    static const char chatml_prompt[] = "<|im_start|>assistant\n";
    const char *prompt = chatml_prompt;
    VT_TRY(check_messages(chat, m, n, reasoning, err));
    switch (chat) {
    case VT_CHAT_SMOLLM2:
        render_chatml(m, n, SMOLLM2_SYSTEM, out);
        break;
    case VT_CHAT_CHATML:
        render_chatml(m, n, NULL, out);
        break;
    case VT_CHAT_QWEN2:
        render_chatml(m, n, QWEN2_SYSTEM, out);
        break;
    case VT_CHAT_QWEN25:
        render_chatml(m, n, QWEN25_SYSTEM, out);
        break;
    case VT_CHAT_QWEN3:
        render_qwen3(m, n, out);
        if (reasoning)
            prompt = "<|im_start|>assistant\n<think>\n\n</think>\n\n";
        break;
    case VT_CHAT_LLAMA3:
    case VT_CHAT_LLAMA31:
        (chat == VT_CHAT_LLAMA3 ? render_llama3 : render_llama31)(m, n, out);
        prompt = "<|start_header_id|>assistant<|end_header_id|>\n\n";
        break;
    case VT_CHAT_HARMONY:
        VT_TRY(render_harmony(m, n, generation_prompt, reasoning ? reasoning : "medium", out, err));
        prompt = "<|start|>assistant";
        break;
    }
    if (generation_prompt)
        vt_buf_puts(out, prompt);
    return vt_buf_check(out, "a rendered conversation", err);
}

const char *vt_chat_stop(enum vt_chat chat)
{
    switch (chat) {
    case VT_CHAT_LLAMA3:
    case VT_CHAT_LLAMA31:
        return "<|eot_id|>";
    case VT_CHAT_HARMONY:
        return "<|return|>";
    default:
        return "<|im_end|>";
    }
}

const char *vt_chat_bos(enum vt_chat chat)
{
    return chat == VT_CHAT_LLAMA3 || chat == VT_CHAT_LLAMA31 ? BEGIN_OF_TEXT : NULL;
}
