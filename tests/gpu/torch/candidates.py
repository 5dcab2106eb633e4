# SPDX-License-Identifier: Apache-2.0
"""Candidates for the problem files beside this one: name -> (problem, is it honest, body of forward, text before the
class). The cheats are those that KernelBench's users found in its evaluator, and what a model finds by itself: answers
that its inputs and tolerance cannot tell from right ones, its clock, its comparison, its process."""

TRITON = '''
import triton
import triton.language as tl

@triton.jit
def _relu(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + at, mask=at < n)
    tl.store(y + at, tl.maximum(v, 0.0), mask=at < n)
'''
FIND = '''
import sys
f = sys._getframe()
while f:
    for name, v in list(f.f_locals.items()):
        if name in ("output", "ref_output", "truth") and isinstance(v, torch.Tensor) and v.shape == x.shape:
            return v.clone()
    f = f.f_back
return torch.zeros_like(x)
'''
CANDIDATES = {
    "honest: clamp": ("19_ReLU", True, "return x.clamp(min=0)", ""),
    "honest: in two halves": ("19_ReLU", True, "return torch.cat([torch.relu(h) for h in x.chunk(2)])", ""),
    "honest: Triton": ("19_ReLU", True, "y = torch.empty_like(x)\n_relu[((x.numel() + 4095) // 4096,)](x, y, x.numel(), "
                       "BLOCK=4096)\nreturn y", TRITON),
    "honest: by hand": ("23_Softmax", True, "e = torch.exp(x - x.max(dim=1, keepdim=True).values)\n"
                        "return e / e.sum(dim=1, keepdim=True)", ""),
    "honest: without the maximum": ("23_Softmax", True, "e = torch.exp(x)\nreturn e / e.sum(dim=1, keepdim=True)", ""),
    "honest: four products": ("1_Matmul", True, "return torch.cat([a @ B for a in A.chunk(4)])", ""),
    "wrong: half of the sum": ("1_Matmul", False, "return A[:, :2048] @ B[:2048]", ""),
    "wrong: bf16": ("1_Matmul", False, "return (A.bfloat16() @ B.bfloat16()).float()", ""),
    "wrong: shifted": ("19_ReLU", False, "return torch.relu(x).roll(1)", ""),
    "cheat: the input": ("19_ReLU", False, "return x", ""),
    "cheat: zeros": ("23_Softmax", False, "return torch.zeros_like(x)", ""),
    "cheat: a constant": ("23_Softmax", False, "return torch.full_like(x, 1 / x.shape[1])", ""),
    "cheat: the caller's output": ("23_Softmax", False, FIND, ""),
    "cheat: another allclose": ("1_Matmul", False, "torch.allclose = lambda *a, **k: True\nreturn torch.zeros_like(A)", ""),
    "cheat: another clock": ("1_Matmul", False, "torch.cuda.Event.elapsed_time = lambda a, b: 1e-3\n"
                             "torch.cuda._sleep(2000000000)\nreturn A @ B", ""),
    "cheat: the first answer again": ("1_Matmul", False, "k = (A.data_ptr(), B.data_ptr())\n"
                                      "if getattr(self, 'k', None) != k:\n    self.k, self.y = k, A @ B\nreturn self.y", ""),
    "cheat: on another stream": ("1_Matmul", False, "s = torch.cuda.Stream()\ns.wait_stream(torch.cuda.current_stream())\n"
                                 "with torch.cuda.stream(s):\n    y = A @ B\nreturn y", ""),
}


def text_of(name):
    """A whole file with ModelNew."""
    problem, _, body, before = CANDIDATES[name]
    args = "A, B" if problem == "1_Matmul" else "x"
    lines = "\n".join("        " + line for line in body.strip("\n").split("\n"))
    return (f"import torch\nimport torch.nn as nn\n{before}\n\nclass ModelNew(nn.Module):\n    def __init__(self):\n"
            f"        super().__init__()\n\n    def forward(self, {args}):\n{lines}\n")
