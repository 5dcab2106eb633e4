#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/golden/tiny/: random models of the supported architectures small enough to commit, with what
transformers and PEFT compute for them.

    python tests/golden/make_tiny.py tests/golden/tiny       (torch 2.15.0, transformers 5.23.0, peft 0.21.2, on CPU)

A folder NAME holds config.json and model.safetensors (or shards) as transformers saves them, a PEFT adapter (r 4,
alpha 8, all seven modules, B not zero) in adapter/, and
  golden.json   sequences {prompt, completion, w}; logp (base) and logp_lora (with the adapter) of each completion
                token in fp64, with the largest difference that fp32 eager attention shows (fp32_max_diff);
                loss = -sum w * logp_lora
  grad.safetensors  gradients of that loss with respect to the adapter, under the adapter's own names
All on the stored (fp32 or bf16) weights in fp64, except where transformers itself computes in fp32 (the normalising
factor of RMSNorm, the rope tables). Gradients are rounded to fp32. One sequence at a time, no padding.
"""
import json
import pathlib
import sys

import peft
import torch
import transformers
from safetensors.torch import save_file

out = pathlib.Path(sys.argv[1])
common = dict(vocab_size=90, intermediate_size=72, num_hidden_layers=2, max_position_embeddings=512, rms_norm_eps=1e-5,
              initializer_range=0.2, bos_token_id=0, eos_token_id=1, pad_token_id=None, attn_implementation="eager")
llama3_rope = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)
models = {
    "llama": (transformers.LlamaForCausalLM, torch.float32, "5GB",
              transformers.LlamaConfig(hidden_size=48, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                                       rope_parameters=llama3_rope, tie_word_embeddings=False, **common)),
    "llama_sharded": (transformers.LlamaForCausalLM, torch.bfloat16, "20KB",
                      transformers.LlamaConfig(hidden_size=32, num_attention_heads=2, num_key_value_heads=1, head_dim=16,
                                               tie_word_embeddings=True, **common)),
    "qwen2": (transformers.Qwen2ForCausalLM, torch.bfloat16, "5GB",
              transformers.Qwen2Config(hidden_size=64, num_attention_heads=2, num_key_value_heads=1,
                                       rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=True, **common)),
    "qwen3": (transformers.Qwen3ForCausalLM, torch.float32, "5GB",
              transformers.Qwen3Config(hidden_size=32, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
                                       rope_parameters=dict(rope_type="default", rope_theta=1e6), tie_word_embeddings=False, **common)),
}


def logprobs(model, prompt, completion):
    logits = model(torch.tensor([prompt + completion])).logits[0]
    logp = torch.log_softmax(logits, -1)
    at = torch.arange(len(prompt) - 1, len(prompt) + len(completion) - 1)
    return logp[at, torch.tensor(completion)]


def draw_sequences(g):
    rows = []
    shared = torch.randint(2, 90, (70,), generator=g).tolist()
    for prompt, n in ((shared, 20), (shared, 9), (shared[:1], 5), (torch.randint(2, 90, (130,), generator=g).tolist(), 33)):
        w = torch.randint(-8, 9, (n,), generator=g).double() / 8
        rows.append(dict(prompt=prompt, completion=torch.randint(0, 90, (n,), generator=g).tolist(), w=w.tolist()))
    return rows


for seed, (name, (cls, dtype, shard, config)) in enumerate(models.items()):
    torch.manual_seed(seed)
    folder = out / name
    model = cls(config)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "norm" in key:
                p.copy_(1 + 0.3 * torch.randn_like(p))
            elif "bias" in key:
                p.copy_(0.5 * torch.randn_like(p))
    model = model.to(dtype)
    model.save_pretrained(folder, max_shard_size=shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = cls.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    rows = draw_sequences(torch.Generator().manual_seed(100 + seed))
    single = cls.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    with torch.no_grad():
        worst = 0.0
        for r in rows:
            exact = logprobs(model, r["prompt"], r["completion"])
            worst = max(worst, (exact - logprobs(single, r["prompt"], r["completion"])).abs().max().item())
            r["logp"] = exact.tolist()
    modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    lora = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=modules, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, p in lora.named_parameters():
            if "lora_" in key:
                p.copy_((0.2 * torch.randn_like(p)).float().double())
    loss = torch.zeros((), dtype=torch.float64)
    for r in rows:
        logp = logprobs(lora, r["prompt"], r["completion"])
        r["logp_lora"] = logp.tolist()
        loss = loss - (torch.tensor(r["w"], dtype=torch.float64) * logp).sum()
    loss.backward()
    grads = {k.replace(".default", ""): p.grad.float().contiguous() for k, p in lora.named_parameters() if "lora_" in k}
    save_file(grads, folder / "grad.safetensors")
    lora.float().save_pretrained(folder / "adapter")
    (folder / "adapter" / "README.md").unlink(missing_ok=True)
    golden = dict(fp32_max_diff=worst, loss=loss.item(), sequences=rows)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, sum(p.numel() for p in single.parameters()), "parameters, fp32 differs by", worst)
