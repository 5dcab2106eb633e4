#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random quantised blocks and what the gguf package makes of them: make_quants.py > tests/golden/quants.jsonl
(gguf 0.19.0). Lines {type, blocks, values}: hexadecimal bytes of the blocks and of the fp32 values."""
import json

import gguf
import numpy as np

HALVES = {"Q4_0": [0], "Q4_1": [0, 2], "Q8_0": [0], "Q4_K": [0, 2], "Q6_K": [208]}  # offsets of fp16 numbers
rng = np.random.default_rng(1)
for name, offsets in HALVES.items():
    kind = getattr(gguf.GGMLQuantizationType, name)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    n = 3 if block > 32 else 4
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for i in range(n):
        for at in offsets:
            half = np.float16(3e-7 if i == 1 else rng.normal() * 0.05)  # the second block is subnormal
            b[i, at:at + 2] = np.frombuffer(half.tobytes(), np.uint8)
    values = gguf.quants.dequantize(b.reshape(1, -1), kind).astype(np.float32)
    print(json.dumps({"type": name, "blocks": b.tobytes().hex(), "values": values.tobytes().hex()}))
