#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""rival_llama.py MODEL.gguf THREADS: llama.cpp's prefill and decode of one file, through llama-cpp-python.

Decode is timed without the sampling and the log-probabilities that ours includes: the bar is against its better figure.
"""
import ctypes
import sys
import time

import rival


class Llama:
    def __init__(self, path, threads):
        import llama_cpp as lib
        self.lib, self.threads = lib, threads
        self.quiet = lib.llama_log_callback(lambda *_: None)
        lib.llama_log_set(self.quiet, ctypes.c_void_p(0))
        lib.llama_backend_init()
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")

    def context(self, n_seq, n_ctx):
        p = self.lib.llama_context_default_params()
        p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = n_ctx, 2048, 512, n_seq
        p.n_threads = p.n_threads_batch = self.threads
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
        tokens = rival.token_ids(n, 1)
        start = time.perf_counter()
        self.decode(ctx, batch, tokens, range(n), [0] * n, [0] * (n - 1) + [1])
        self.lib.llama_get_logits_ith(ctx, -1)
        seconds = time.perf_counter() - start
        self.lib.llama_batch_free(batch)
        self.lib.llama_free(ctx)
        return n, seconds

    def generate(self, width):
        """NEW steps of `width` samples that share one prompt, logits of every sample fetched."""
        n = rival.PROMPT
        ctx = self.context(width, n + rival.NEW * width + 64)
        batch = self.lib.llama_batch_init(2048, 0, 1)
        memory = self.lib.llama_get_memory(ctx)
        self.decode(ctx, batch, rival.token_ids(n, 1), range(n), [0] * n, [0] * (n - 1) + [1])
        for s in range(1, width):
            self.lib.llama_memory_seq_cp(memory, 0, s, -1, -1)
        tokens = rival.token_ids(width, 7)
        start = time.perf_counter()
        for i in range(rival.NEW):
            self.decode(ctx, batch, tokens, [n + i] * width, range(width), [1] * width)
            self.lib.llama_get_logits(ctx)
        seconds = time.perf_counter() - start
        self.lib.llama_batch_free(batch)
        self.lib.llama_free(ctx)
        return rival.NEW * width, seconds


def start():
    llama = Llama(sys.argv[1], int(sys.argv[2]))
    rows = {f"decode{b}": (lambda width=b: llama.generate(width)) for b in (1, 8, 16, 32, 64)}
    rows["prefill"] = lambda: llama.prefill(rival.PREFILL)
    return rows


if __name__ == "__main__":
    rival.serve(start)
