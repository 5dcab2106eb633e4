#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rival_torch.py MODEL.gguf THREADS bf16|fp32: transformers and PEFT on the dequantised weights of SmolLM2-135M.

Rows: score (the whole rows, four at a time), score_shared (the prompt computed once, its cache given to eight rows at a
time), lora and lora_checkpointed (one LoRA r16 step with AdamW, without and with gradient checkpointing).
"""
import sys
import time

import rival

NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
         "ffn_norm": "post_attention_layernorm"}


def load(path):
    import gguf
    import numpy
    import torch
    weights = {}
    for tensor in gguf.GGUFReader(path).tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}.get(tensor.name)
        if name is None:
            _, layer, kind, _ = tensor.name.split(".")
            name = f"model.layers.{layer}.{NAMES[kind]}.weight"
            if kind in ("attn_q", "attn_k"):  # the file interleaves the halves of each head for its rope
                heads = values.shape[0] // 64
                values = values.reshape(heads, 32, 2, -1).swapaxes(1, 2).reshape(heads * 64, -1)
        weights[name] = torch.from_numpy(numpy.ascontiguousarray(values))
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    return weights


class Torch:
    def __init__(self, path, threads, dtype):
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        torch.set_num_threads(threads)
        config = LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                             head_dim=64, vocab_size=49152, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True,
                             rope_parameters={"rope_type": "default", "rope_theta": 1e5})
        config._attn_implementation = "sdpa"
        dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
        self.torch, self.model = torch, LlamaForCausalLM(config)
        self.model.load_state_dict(load(path))
        self.model.tie_weights()
        self.model = self.model.to(dtype).eval()
        prompt = rival.token_ids(rival.PROMPT, 5)
        self.batch = torch.tensor([prompt + rival.token_ids(rival.NEW, 100 + i) for i in range(rival.SEQS)])
        self.counted = rival.SEQS * (rival.PROMPT + rival.NEW)
        self.trainer = None

    def logprobs(self, model, rows):
        logits = model(input_ids=rows, use_cache=False, logits_to_keep=rival.NEW + 1).logits[:, :-1]
        return self.torch.log_softmax(logits.float(), -1).gather(2, rows[:, rival.PROMPT:, None])[..., 0]

    def score(self):
        start = time.perf_counter()
        with self.torch.no_grad():
            for i in range(0, rival.SEQS, 4):
                self.logprobs(self.model, self.batch[i:i + 4])
        return self.counted, time.perf_counter() - start

    def score_shared(self):
        from transformers import DynamicCache
        start = time.perf_counter()
        with self.torch.no_grad():
            prompt = self.model(input_ids=self.batch[:1, :rival.PROMPT], use_cache=True, logits_to_keep=1)
            for i in range(0, rival.SEQS, 8):
                rows = self.batch[i:i + 8]
                cache = DynamicCache()
                for layer, (keys, values) in enumerate((l.keys, l.values) for l in prompt.past_key_values.layers):
                    cache.update(keys.expand(8, -1, -1, -1), values.expand(8, -1, -1, -1), layer)
                logits = self.model(input_ids=rows[:, rival.PROMPT:], past_key_values=cache, use_cache=True).logits[:, :-1]
                self.torch.log_softmax(logits.float(), -1).gather(2, rows[:, rival.PROMPT + 1:, None])
        return self.counted, time.perf_counter() - start

    def lora(self, checkpointed):
        torch = self.torch
        if self.trainer is None:
            from peft import LoraConfig, get_peft_model
            targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            peft = get_peft_model(self.model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, lora_dropout=0.0))
            peft.enable_input_require_grads()
            self.trainer = peft, torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-5, betas=(0.9, 0.95))
        peft, optimiser = self.trainer
        if checkpointed:
            peft.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        else:
            peft.gradient_checkpointing_disable()
        peft.train()
        start = time.perf_counter()
        optimiser.zero_grad()
        for i in range(0, rival.SEQS, 4):
            (-self.logprobs(peft, self.batch[i:i + 4]).sum()).backward()
        optimiser.step()
        seconds = time.perf_counter() - start
        peft.eval()
        return self.counted, seconds


def start():
    torch = Torch(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    return {"score": torch.score, "score_shared": torch.score_shared, "lora": lambda: torch.lora(False),
            "lora_checkpointed": lambda: torch.lora(True)}


if __name__ == "__main__":
    rival.serve(start)
