# SPDX-License-Identifier: Apache-2.0
"""What the user's own Python makes of a model folder, for `vegttt model check`: renderings of the chat template, token
ids, log-probabilities in fp32 and the ids that end a sample. Run as: model_check.py FOLDER ADAPTER|"" ANSWER.json

The questions are here, the answers are written next to them, and the C half (model_check.c) asks vegttt the same.
Dates that templates put into a prompt are those that vegttt pins, since a prompt may not change at midnight.
"""
import json
import os
import sys

folder, adapter, out = sys.argv[1:4]
try:
    import torch
    import transformers
    if adapter:
        import peft
except ImportError as e:
    wanted = "torch transformers" + (" peft" if adapter else "")
    sys.exit(f"this Python has no {e.name}: pip install {wanted}, or name another one with --python")
transformers.logging.set_verbosity_error()

U, A, S = "user", "assistant", "system"
conversations = [
    [(U, "Hello")],
    [(S, "Be brief."), (U, "Write a loop.\n")],
    [(S, ""), (U, "x")],
    [(U, "  a "), (A, "b\n"), (U, "c")],
    [(U, "q"), (A, "<think>\nidea\n</think>\n\nfour"), (U, "more")],
    [(S, " spaced\t\n"), (U, "\u2003wide\u00a0"), (A, "\n answer \n")],
]
code = """#include <math.h>
void softmax(const float *restrict x, float *restrict y, int n)
{
    float most = x[0], sum = 0.0f;
    for (int i = 1; i < n; i++)
        most = x[i] > most ? x[i] : most;
    for (int i = 0; i < n; i++) {
        y[i] = expf(x[i] - most);
        sum += y[i];
    }
    for (int i = 0; i < n; i++)
        y[i] /= sum; /* 1.5e-8 off */
}
"""
texts = [
    code, "", " ", "The quick brown fox", "don't I'LL we've", "12345 3.14 \u0663\u00b2", "\t\tx\r\n\r\n  y",
    "e\u0301 \u00e9 A\u030a", "日本語 naïve Привет 👍🏽", "<|im_start|>user\nhi<|im_end|>",
    "<|endoftext|><|eot_id|></s>", "a\u00a0b\u3000c\u200bd", "foo_bar(baz) != !x", "…—“quoted”",
]
answer = {"transformers": transformers.__version__, "renderings": [], "texts": [], "sequences": [], "ends": []}


def strftime(form):
    return "26 Jul 2024" if form == "%d %b %Y" else "2025-08-05"


tokenizer = None
if os.path.exists(os.path.join(folder, "tokenizer.json")):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
for conversation in conversations if tokenizer and tokenizer.chat_template else []:
    messages = [{"role": role, "content": content} for role, content in conversation]
    for generation in (False, True):
        try:
            text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation,
                                                 date_string="26 Jul 2024", strftime_now=strftime)
        except Exception:
            text = None  # the template refuses this conversation
        answer["renderings"].append({"messages": messages, "generation_prompt": generation, "text": text})
# Some classes of transformers rebuild the split from code of their own; the plain class reads it from the file.
plain = transformers.PreTrainedTokenizerFast.from_pretrained(folder) if tokenizer else None
answer["class"] = type(tokenizer).__name__
for text in texts if tokenizer else []:
    ids, file_ids = (t(text, add_special_tokens=False)["input_ids"] for t in (tokenizer, plain))
    answer["texts"].append({"text": text, "ids": ids, "file_ids": file_ids})

model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
if adapter:
    model = peft.PeftModel.from_pretrained(model, adapter)
model.eval()
ends = model.generation_config.eos_token_id
answer["ends"] = ends if isinstance(ends, list) else [] if ends is None else [ends]
n_vocab = model.config.vocab_size
drawn = [(1 + i * i * 7919 + 31 * i) % n_vocab for i in range(96)]
for ids in [drawn] + [row["ids"][:160] for row in answer["texts"][:1]]:
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].float(), -1)
    at = torch.arange(7, len(ids) - 1)
    values = logp[at, torch.tensor(ids[8:])].tolist()
    answer["sequences"].append({"prompt": ids[:8], "tokens": ids[8:], "logp": values})
with open(out, "w") as f:
    json.dump(answer, f)
