#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""policy_rivals.py MODEL.gguf [--bf16 MODEL-bf16.gguf] [--vegttt build/vegttt] [--rows …] [--reps 3] [--json OUT]

The CPU policy beside what people would run instead, alternately, in one process tree on the same weights, and the
ratio of the bests. Every figure is best and median of --reps. Rows: prefill, decode1, decode8, decode16, decode32,
decode64, score, score_shared, lora. Rivals: llama.cpp through llama-cpp-python (best of the given files), torch and
PEFT in bf16 (and fp32 with --fp32). "counted" tokens are those a user asked for; sharing the prompt of a group between
its samples means fewer are computed.

Needs (not part of vegttt): pip install torch transformers peft gguf numpy llama-cpp-python. MODEL-bf16.gguf is made
by convert_gguf.py. Run it alone on the machine; the share of CPU time used by others is printed.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PROMPT, NEW, ROWS, SEQS = 256, 128, ("prefill", "decode1", "decode8", "decode16", "decode32", "decode64", "score", "score_shared", "lora"), 32

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("model")
parser.add_argument("--bf16")
parser.add_argument("--vegttt", default="build/vegttt")
parser.add_argument("--rows", default=",".join(ROWS))
parser.add_argument("--reps", type=int, default=3)
parser.add_argument("--threads", type=int, default=os.cpu_count())
parser.add_argument("--fp32", action="store_true")
parser.add_argument("--json")
args = parser.parse_args()
os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))


def token_ids(n, seed):
    import numpy
    return numpy.random.default_rng(seed).integers(300, 49000, n).tolist()


def busy_share(before, seconds):
    """CPU time of everybody else since `before`, as a share of the machine."""
    now = cpu_times()
    return max(0.0, (now[0] - before[0]) - (now[1] - before[1])) / (seconds * os.cpu_count())


def cpu_times():
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    own = os.times()
    hertz = os.sysconf("SC_CLK_TCK")
    return (sum(fields) - fields[3] - fields[4]) / hertz, own.user + own.system + own.children_user + own.children_system


class Llama:
    """llama.cpp's decode and prefill of one file; raises when this build cannot load it."""

    def __init__(self, path):
        import ctypes
        import llama_cpp as lib
        self.lib, self.name = lib, "llama.cpp " + os.path.basename(path)
        self.quiet = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(self.quiet, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        self.vocabulary = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self.model))

    def context(self, n_seq, n_ctx):
        p = self.lib.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = n_ctx, 2048, 512, n_seq
        p.n_threads = p.n_threads_batch = args.threads
        p.kv_unified, p.flash_attn_type, p.no_perf = True, 1, True
        return self.lib.llama_init_from_model(self.model, p)

    def decode(self, ctx, batch, tokens, positions, sequences, wants):
        batch.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, positions[i], 1
            batch.seq_id[i][0], batch.logits[i] = sequences[i], wants[i]
        if self.lib.llama_decode(ctx, batch):
            raise RuntimeError("llama_decode failed")

    def prefill(self, n):
        ctx, batch = self.context(1, n + 64), self.lib.llama_batch_init(2048, 0, 1)
        tokens = token_ids(n, 1)
        start = time.perf_counter()
        self.decode(ctx, batch, tokens, range(n), [0] * n, [0] * (n - 1) + [1])
        self.lib.llama_get_logits_ith(ctx, -1)
        seconds = time.perf_counter() - start
        self.lib.llama_batch_free(batch)
        self.lib.llama_free(ctx)
        return n, seconds

    def generate(self, width):
        """NEW tokens for `width` samples of one prompt, temperature 1, with each token's log-probability."""
        import numpy
        ctx = self.context(width, PROMPT + NEW * width + 64)
        batch = self.lib.llama_batch_init(2048, 0, 1)
        memory = self.lib.llama_get_memory(ctx)
        self.decode(ctx, batch, token_ids(PROMPT, 1), range(PROMPT), [0] * PROMPT, [0] * (PROMPT - 1) + [1])
        for s in range(1, width):
            self.lib.llama_memory_seq_cp(memory, 0, s, -1, -1)
        current, rng = token_ids(width, 7), numpy.random.default_rng(0)
        start = time.perf_counter()
        for i in range(NEW):
            self.decode(ctx, batch, current, [PROMPT + i] * width, range(width), [1] * width)
            logits = numpy.ctypeslib.as_array(self.lib.llama_get_logits(ctx), shape=(width, self.vocabulary))
            if SAMPLES_OUTSIDE:
                top = logits.max(1, keepdims=True)
                p = numpy.exp(logits - top)
                total = p.sum(1)
                chosen = (p.cumsum(1) < rng.random((width, 1)) * total[:, None]).sum(1).clip(0, self.vocabulary - 1)
                current = chosen.tolist()
        seconds = time.perf_counter() - start
        self.lib.llama_batch_free(batch)
        self.lib.llama_free(ctx)
        return NEW * width, seconds


# llama.cpp is timed without the sampling and log-probabilities that ours includes: the bar is against its better figure.
SAMPLES_OUTSIDE = False


class Torch:
    """transformers and PEFT on the dequantised weights."""

    NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm"}

    def __init__(self, path, dtype):
        import gguf
        import numpy
        import torch
        from transformers import LlamaConfig, LlamaForCausalLM
        self.torch, self.name = torch, f"torch {dtype}"
        torch.set_num_threads(args.threads)
        weights = {}
        for tensor in gguf.GGUFReader(path).tensors:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
            name = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}.get(tensor.name)
            if name is None:
                _, layer, kind, _ = tensor.name.split(".")
                name = f"model.layers.{layer}.{self.NAMES[kind]}.weight"
                if kind in ("attn_q", "attn_k"):  # llama.cpp interleaves the halves of each head for its rope
                    heads = values.shape[0] // 64
                    values = values.reshape(heads, 32, 2, -1).swapaxes(1, 2).reshape(heads * 64, -1)
            weights[name] = torch.from_numpy(numpy.ascontiguousarray(values))
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        config = LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                             head_dim=64, vocab_size=49152, max_position_embeddings=8192, rms_norm_eps=1e-5, tie_word_embeddings=True,
                             rope_parameters={"rope_type": "default", "rope_theta": 1e5})
        config._attn_implementation = "sdpa"
        self.model = LlamaForCausalLM(config)
        self.model.load_state_dict(weights)
        self.model.tie_weights()
        self.model = self.model.to({"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]).eval()
        prompt = token_ids(PROMPT, 5)
        self.batch = torch.tensor([prompt + token_ids(NEW, 100 + i) for i in range(SEQS)])
        self.trainer = None

    def logprobs(self, model, rows):
        logits = model(input_ids=rows, use_cache=False, logits_to_keep=NEW + 1).logits[:, :-1]
        return self.torch.log_softmax(logits.float(), -1).gather(2, rows[:, PROMPT:, None])[..., 0]

    def score(self):
        start = time.perf_counter()
        with self.torch.no_grad():
            for i in range(0, SEQS, 4):
                self.logprobs(self.model, self.batch[i:i + 4])
        return SEQS * (PROMPT + NEW), time.perf_counter() - start

    def score_shared(self):
        from transformers import DynamicCache
        start = time.perf_counter()
        with self.torch.no_grad():
            prompt = self.model(input_ids=self.batch[:1, :PROMPT], use_cache=True, logits_to_keep=1)
            for i in range(0, SEQS, 8):
                rows = self.batch[i:i + 8]
                cache = DynamicCache()
                for layer, (keys, values) in enumerate((l.keys, l.values) for l in prompt.past_key_values.layers):
                    cache.update(keys.expand(8, -1, -1, -1), values.expand(8, -1, -1, -1), layer)
                logits = self.model(input_ids=rows[:, PROMPT:], past_key_values=cache, use_cache=True).logits[:, :-1]
                self.torch.log_softmax(logits.float(), -1).gather(2, rows[:, PROMPT + 1:, None])
        return SEQS * (PROMPT + NEW), time.perf_counter() - start

    def lora(self):
        torch = self.torch
        if self.trainer is None:
            from peft import LoraConfig, get_peft_model
            targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
            peft = get_peft_model(self.model, LoraConfig(r=16, lora_alpha=32, target_modules=targets, lora_dropout=0.0))
            self.trainer = peft, torch.optim.AdamW([p for p in peft.parameters() if p.requires_grad], lr=1e-5, betas=(0.9, 0.95))
        peft, optimiser = self.trainer
        peft.train()
        start = time.perf_counter()
        optimiser.zero_grad()
        for i in range(0, SEQS, 4):
            (-self.logprobs(peft, self.batch[i:i + 4]).sum()).backward()
        optimiser.step()
        return SEQS * (PROMPT + NEW), time.perf_counter() - start


def ours(row):
    """`vegttt bench` of one row: (counted tokens, seconds of the middle one of three, the record)."""
    row = "score" if row == "score_shared" else row
    out = subprocess.run([args.vegttt, "bench", args.model, "--row", row, "--json"], check=True, capture_output=True, text=True).stdout
    record = json.loads(out.strip().splitlines()[-1])
    return record["tokens"], record["median_seconds"], record


def measure(row, rivals):
    """Alternates ours and each rival; returns name -> list of tokens per second."""
    rates, records = {}, []
    for rep in range(args.reps + 1):
        tokens, seconds, record = ours(row)
        if rep:
            rates.setdefault("vegttt", []).append(tokens / seconds)
            records.append(record)
        for rival in rivals:
            call = {"prefill": lambda: rival.prefill(512), "score": lambda: rival.score(), "score_shared": lambda: rival.score_shared(),
                    "lora": lambda: rival.lora()}.get(row) or (lambda: rival.generate(int(row[len("decode"):])))
            tokens, seconds = call()
            if rep:  # the first round warms caches
                rates.setdefault(rival.name, []).append(tokens / seconds)
    return rates, records


def main():
    rows = args.rows.split(",")
    llamas, torches, results = [], [], []
    if any(r.startswith(("prefill", "decode")) for r in rows):
        for path in filter(None, (args.bf16, args.model)):
            probe = subprocess.run([sys.executable, "-c", PROBE, path, str(args.threads)], capture_output=True)
            if probe.returncode == 0:
                llamas.append(Llama(path))
            else:
                print(f"llama.cpp cannot run {os.path.basename(path)} here (exit {probe.returncode}); left out")
    if any(r.startswith(("score", "lora")) for r in rows):
        torches = [Torch(args.model, d) for d in (["bf16", "fp32"] if args.fp32 else ["bf16"])]
    print(f"{'row':13} {'vegttt best':>12} {'median':>9} {'of bound':>9}   {'rival':28} {'best':>9} {'median':>9}   ratio of bests")
    for row in rows:
        before, start = cpu_times(), time.perf_counter()
        rates, records = measure(row, llamas if row.startswith(("prefill", "decode")) else torches)
        foreign = busy_share(before, time.perf_counter() - start)
        own = rates.pop("vegttt")
        if not rates:
            rates = {"no rival": [float("nan")]}
        name, best = max(rates.items(), key=lambda item: max(item[1]))
        share = max(r.get("bound_share", float("nan")) for r in records)
        print(f"{row:13} {max(own):12.0f} {statistics.median(own):9.0f} {100 * share:8.0f}%   {name:28} {max(best):9.0f} "
              f"{statistics.median(best):9.0f}   {max(own) / max(best):.2f}   (others used {100 * foreign:.0f}% of the machine)", flush=True)
        results.append({"row": row, "vegttt": own, "rivals": rates, "records": records, "foreign": foreign})
        if args.json:
            json.dump(results, open(args.json, "w"), indent=1)


PROBE = """
import sys, ctypes, llama_cpp as lib
lib.llama_backend_init()
model = lib.llama_model_load_from_file(sys.argv[1].encode(), lib.llama_model_default_params())
p = lib.llama_context_default_params(); p.n_ctx = 256; p.n_batch = 128; p.n_threads = p.n_threads_batch = int(sys.argv[2])
ctx = lib.llama_init_from_model(model, p); batch = lib.llama_batch_init(128, 0, 1); batch.n_tokens = 128
for i in range(128):
    batch.token[i] = 300 + i; batch.pos[i] = i; batch.n_seq_id[i] = 1; batch.seq_id[i][0] = 0; batch.logits[i] = 1
sys.exit(1 if lib.llama_decode(ctx, batch) else 0)
"""

if __name__ == "__main__":
    main()
