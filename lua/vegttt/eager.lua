-- SPDX-License-Identifier: Apache-2.0
--
-- The Python of `vegttt baseline`: what PyTorch eager takes for tasks, one JSON line a task and scale on standard output;
-- the tasks come as JSON lines on standard input, the scales as arguments. A line names the machine, the versions and
-- whether TF32 was on (it is off, as in KernelBench's defaults for fp32). Times are CUDA events' around one call, caches
-- emptied before each, the median of up to 50 calls or two seconds.
return [==[
import json
import sys

import torch
import torch.nn.functional as F

EAGER = {
    4: lambda a, x: a @ x.unsqueeze(1),
    5: lambda x: x * 3.14,
    12: lambda a, b: torch.diag(a) @ b,
    14: lambda a, b: torch.triu(a @ b),
    15: lambda a, b: torch.tril(a @ b),
    18: lambda a, b: a.T @ b.T,
    28: F.hardsigmoid,
    29: F.softplus,
    30: lambda x: x / (1 + torch.abs(x)),
    32: lambda x: F.hardtanh(x, -1.0, 1.0),
    36: lambda x: x / torch.sqrt(torch.mean(x ** 2, dim=1, keepdim=True) + 1e-5),
    55: F.conv2d,
    65: F.conv_transpose2d,
    70: F.conv_transpose3d,
    76: lambda x, w: F.conv1d(x, w, stride=3, dilation=4),
    82: lambda x, w: F.conv2d(x, w.unsqueeze(1), groups=x.shape[1]),
    87: lambda x, w: F.conv2d(x, w[:, :, None, None]),
    89: lambda x: torch.cumsum(x, dim=1),
    95: F.cross_entropy,
    98: lambda p, t: F.kl_div(torch.log(p), t, reduction="batchmean"),
}


def inputs(task, scale):
    sizes = task["sizes"][scale]
    for array in task["arrays"]:
        if array["role"] == "out":
            continue
        shape = [int(eval(d, {}, sizes)) for d in array["shape"]]  # the task's own size expressions
        if array["dtype"] == "i64":
            yield torch.randint(0, int(sizes[array["max"]]), shape, device="cuda")
        elif task["id"] == 98:
            yield torch.softmax(torch.randn(shape, device="cuda"), dim=-1)
        else:
            yield torch.rand(shape, device="cuda")


def median_us(call, flush):
    times, spent = [], 0.0
    for i in range(53):
        flush.zero_()
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        ms = begin.elapsed_time(end)
        spent += ms
        if i >= 3:
            times.append(ms)
        if spent > 2000 and len(times) >= 5:
            break
    return 1e3 * sorted(times)[len(times) // 2]


def main():
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    flush = torch.empty(256 << 20, dtype=torch.uint8, device="cuda")
    scales = sys.argv[1:]
    for line in sys.stdin:
        task = json.loads(line)
        if task["id"] not in EAGER:
            continue
        for scale in scales:
            sizes = " ".join(f"{k}={v}" for k, v in sorted(task["sizes"][scale].items()))
            row = {"task": task["id"], "sizes": sizes, "name": task["name"], "scale": scale, "machine": torch.cuda.get_device_name(),
                   "driver": torch.version.cuda, "torch": torch.__version__, "tf32": False}
            try:
                args = list(inputs(task, scale))
                with torch.no_grad():
                    row["us"] = round(median_us(lambda: EAGER[task["id"]](*args), flush), 2)
            except Exception as e:  # a table says what it lacks
                row["error"] = str(e).split("\n")[0][:200]
            args = None
            torch.cuda.empty_cache()
            print(json.dumps(row), flush=True)


main()
]==]
