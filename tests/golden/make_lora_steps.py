#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/lora/steps.json: what one Adam step does to log-probabilities, for learning rates down to those
at which nothing in single precision is sure any more.

    python tests/golden/make_lora_steps.py MODEL.gguf tests/golden/lora       (torch 2.15.0, gguf 0.19.0, on CPU)

The default model's file, dequantised; the adapter, the batch and its weights of tests/golden/lora; one AdamW step with
betas 0.9 and 0.95, eps 1e-12, no decay. Everything in fp64, written out here because transformers computes norms,
rotary tables and softmax in fp32 whatever the weights are. The file names two starts:
  b0   A of the file, B = 0       bnz  A and B of the file
each with logp0 (by sequence and completion token) and, by learning rate, dlogp = logp after the step - logp0.
The script ends with a check of logp0 against the *_fp64 fields of b0.json and bnz.json, which other code made.
"""
import json
import pathlib
import sys

import gguf
import numpy
import torch
from safetensors.torch import load_file

RATES = (1e-3, 1e-4, 1e-5, 1e-6, 3e-7)
MODULES = {"q_proj": "attn_q", "k_proj": "attn_k", "v_proj": "attn_v", "o_proj": "attn_output", "gate_proj": "ffn_gate",
           "up_proj": "ffn_up", "down_proj": "ffn_down"}

model, folder = sys.argv[1], pathlib.Path(sys.argv[2])
reader = gguf.GGUFReader(model)
field = lambda name: reader.fields[name].contents()
n_layers, n_heads, n_kv = (field("llama." + k) for k in ("block_count", "attention.head_count", "attention.head_count_kv"))
eps, theta = field("llama.attention.layer_norm_rms_epsilon"), field("llama.rope.freq_base")
raw = {t.name: torch.from_numpy(numpy.array(gguf.dequantize(t.data, t.tensor_type))).double() for t in reader.tensors}


def unpermute(w, heads):
    return w.view(heads, w.shape[0] // heads // 2, 2, w.shape[1]).swapaxes(1, 2).reshape(w.shape)


embed = raw["token_embd.weight"]
head_dim = embed.shape[1] // n_heads
half = head_dim // 2
weights = []
for layer in range(n_layers):
    w = {m: raw[f"blk.{layer}.{g}.weight"] for m, g in MODULES.items()}
    w["q_proj"], w["k_proj"] = unpermute(w["q_proj"], n_heads), unpermute(w["k_proj"], n_kv)
    weights.append(w)


def rms(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + eps) * w


def rope(x, cos, sin):
    a, b = x[..., :half], x[..., half:]
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def logprobs(adapter, prompt, completion):
    ids = torch.tensor(prompt + completion)
    n = len(ids)
    angle = torch.arange(n).double()[:, None] * theta ** (-torch.arange(half).double() / half)
    cos, sin = angle.cos(), angle.sin()
    hidden = torch.full((n, n), -torch.inf).double().triu(1)

    def linear(x, layer, m):
        a, b = adapter[layer, m]
        return x @ weights[layer][m].T + scale * (x @ a.T) @ b.T

    x = embed[ids]
    for layer in range(n_layers):
        h = rms(x, raw[f"blk.{layer}.attn_norm.weight"])
        q, k, v = (linear(h, layer, m).view(n, -1, head_dim).swapaxes(0, 1) for m in ("q_proj", "k_proj", "v_proj"))
        q, k = rope(q, cos, sin), rope(k, cos, sin)
        k, v = (t.repeat_interleave(n_heads // n_kv, 0) for t in (k, v))
        p = torch.softmax(q @ k.swapaxes(1, 2) / head_dim**0.5 + hidden, -1)
        x = x + linear((p @ v).swapaxes(0, 1).reshape(n, -1), layer, "o_proj")
        h = rms(x, raw[f"blk.{layer}.ffn_norm.weight"])
        h = torch.nn.functional.silu(linear(h, layer, "gate_proj")) * linear(h, layer, "up_proj")
        x = x + linear(h, layer, "down_proj")
    x = rms(x[len(prompt) - 1 : n - 1], raw["output_norm.weight"]) @ embed.T
    return torch.log_softmax(x, -1)[torch.arange(len(completion)), torch.tensor(completion)]


batch = json.loads((folder / "batch.json").read_text())
scale = batch["scale"]
stored = load_file(folder / "adapter_model.safetensors")
out = {}
for start in ("b0", "bnz"):
    adapter = {}
    for name, value in stored.items():
        part = name.split(".")
        key = int(part[part.index("layers") + 1]), part[-3]
        ab = value.double() * (0 if start == "b0" and part[-2] == "lora_B" else 1)
        adapter.setdefault(key, [None, None])["AB".index(part[-2][-1])] = ab
    params = [p.requires_grad_() for pair in adapter.values() for p in pair]
    first = [p.detach().clone() for p in params]
    row = out[start] = {"logp0": [], "dlogp": {}}
    for s in batch["sequences"]:
        logp = logprobs(adapter, s["prompt_ids"], s["completion_ids"])
        (-(torch.tensor(s["w"]).double() * logp).sum()).backward()
        row["logp0"].append(logp.tolist())
    for lr in RATES:
        with torch.no_grad():
            for p, p0 in zip(params, first):
                p.copy_(p0 - lr * p.grad / (p.grad.abs() + 1e-12))
            after = [logprobs(adapter, s["prompt_ids"], s["completion_ids"]).tolist() for s in batch["sequences"]]
        row["dlogp"][f"{lr:g}"] = [[x - y for x, y in zip(a, b)] for a, b in zip(after, row["logp0"])]
        flat = torch.tensor(sum(row["dlogp"][f"{lr:g}"], []))
        print(start, lr, "rms", flat.square().mean().sqrt().item(), "by rate", flat.square().mean().sqrt().item() / lr, flush=True)
    want = json.loads((folder / f"{start}.json").read_text())["logp0_fp64"]
    gap = max(abs(x - y) for a, b in zip(row["logp0"], want) for x, y in zip(a, b))
    print(start, "logp0 against the other fp64:", gap)
    assert gap < 1e-5
(folder / "steps.json").write_text(json.dumps(out, indent=0) + "\n")
