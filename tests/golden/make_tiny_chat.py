#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/tiny/chat/: a random Llama with a tokenizer and a chat template, for tests that need the whole way
from a task to a verdict and back in milliseconds. Standard library only; the same bytes every time.

    python3 tests/golden/make_tiny_chat.py tests/golden/tiny/chat

Every byte is a token; a few more are whole answers, right and wrong, to the prompts of tasks 5 (scale_matrix) and 19
(relu). Dimension 0 of the residual stream is the same in every position and no layer writes to it, so the first column of
lm_head is a bias: it makes answers likely that end in "\n}". The rest of the weights is noise, so that what a token's
probability is depends on its context and an update has something to move.
"""
import json
import math
import pathlib
import random
import struct
import sys

out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)
D, FF, LAYERS, HEADS, KV, HEAD = 32, 48, 2, 2, 1, 16

# --- tokenizer: GPT-2's bytes, no merges, added tokens ---
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
symbols, extra = {}, 0
for b in range(256):
    if b in printable:
        symbols[b] = chr(b)
    else:
        symbols[b] = chr(256 + extra)
        extra += 1
loop = "  for (int i = 0; i < n; i++)\n    "
answers = [(loop + "y[i] = x[i] * s;", 0.35), (loop + "y[i] = x[i] > 0.0f ? x[i] : 0.0f;", 0.2),
           (loop + "y[i] = x[i] +;", 0.05), (loop + "y[i] = 0.0f;", 0.05), ("\n}", 0.3)]
specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
added = [{"id": 256 + i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
          "special": i < len(specials)} for i, text in enumerate(specials + [a for a, _ in answers])]
V = 256 + len(added)
tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
             "post_processor": None, "decoder": {"type": "ByteLevel"},
             "model": {"type": "BPE", "dropout": None, "unk_token": None, "byte_fallback": False,
                       "vocab": {symbols[b]: b for b in range(256)}, "merges": []}}
(out / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False) + "\n", encoding="utf-8")
template = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
            "'\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
(out / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "chat_template": template}, indent=1) + "\n")
(out / "config.json").write_text(json.dumps({
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": D, "intermediate_size": FF,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KV, "head_dim": HEAD,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "vocab_size": V, "bos_token_id": None,
    "eos_token_id": 258, "torch_dtype": "float32"}, indent=1) + "\n")

# --- weights ---
rng = random.Random(1)


def noise(rows, cols, scale):
    return [[rng.gauss(0, scale) for _ in range(cols)] for _ in range(rows)]


def wanted(token):
    """The probability that the bias gives a token."""
    if token >= 256 + len(specials):
        return answers[token - 256 - len(specials)][1]
    if token == 258:
        return 0.02
    if token < 256 and (chr(token).isalnum() or chr(token) in " ;=+*()\n") and token < 127:
        return 0.04 / 71
    return 1e-6


embed = noise(V, D, 1.0)
for row in embed:
    row[0] = 3.0
head = noise(V, D, 0.12)
# RMSNorm leaves about 3 / sqrt((9 + D - 1) / D) in dimension 0.
bias = 3.0 / math.sqrt((9 + D - 1) / D)
for token, row in enumerate(head):
    row[0] = math.log(wanted(token)) / bias
tensors = {"model.embed_tokens.weight": embed, "lm_head.weight": head, "model.norm.weight": [1.0] * D}
for layer in range(LAYERS):
    p = f"model.layers.{layer}."
    for name, rows, cols in (("self_attn.q_proj", HEADS * HEAD, D), ("self_attn.k_proj", KV * HEAD, D),
                             ("self_attn.v_proj", KV * HEAD, D), ("self_attn.o_proj", D, HEADS * HEAD),
                             ("mlp.gate_proj", FF, D), ("mlp.up_proj", FF, D), ("mlp.down_proj", D, FF)):
        tensors[p + name + ".weight"] = noise(rows, cols, 0.15)
    for name in ("self_attn.o_proj", "mlp.down_proj"):
        tensors[p + name + ".weight"][0] = [0.0] * len(tensors[p + name + ".weight"][0])
    for name in ("input_layernorm", "post_attention_layernorm"):
        tensors[p + name + ".weight"] = [1.0] * D

header, body = {"__metadata__": {"format": "pt"}}, b""
for name in sorted(tensors):
    t = tensors[name]
    flat = [x for row in t for x in row] if isinstance(t[0], list) else t
    data = struct.pack(f"<{len(flat)}f", *flat)
    header[name] = {"dtype": "F32", "shape": [len(t), len(t[0])] if isinstance(t[0], list) else [len(t)],
                    "data_offsets": [len(body), len(body) + len(data)]}
    body += data
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
(out / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + body)
