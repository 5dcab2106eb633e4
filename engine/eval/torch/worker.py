# SPDX-License-Identifier: Apache-2.0
"""worker.py: the Python half of the torch tier. Two processes of it, each on one end of a socket (descriptor 3), serve
the evaluator, which owns the clock; messages are JSON behind four bytes of length.

  judge   trusted. It knows the problem: makes input sets from keys and compares outputs with a truth in double precision.
  run     loads a candidate, or the problem's own Model (the baseline), once it has walled itself in. It never sees truths,
          other sets, or the judge.

What the two share is memory that the judge owns: staged inputs, which are another set's until the moment before the
clock starts, and outputs, which are poisoned before every call and read after it. On the CPU these are files in a
folder of shared memory, on a GPU they are lent by CUDA's handles. Nothing that the candidate's process says is believed
but that it is done: a wrong word costs itself time or leaves a poisoned output.
"""
import ast
import base64
import copy
import ctypes
import importlib.util
import json
import os
import resource
import socket
import struct
import sys
import textwrap

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RTOL = ATOL = 1e-4  # KernelBench's for fp32; the absolute part shrinks with outputs that are small altogether
CHUNK = 1 << 25


# ---- messages ----

def receive(sock, n):
    data = b""
    while len(data) < n:
        part = sock.recv(n - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


def serve(handlers):
    sock = socket.socket(fileno=3)
    while True:
        request = json.loads(receive(sock, struct.unpack("<I", receive(sock, 4))[0]))
        try:
            reply = handlers[request["op"]](request) or {}
        except BaseException as e:  # a candidate may raise anything
            reply = {"error": f"{type(e).__name__}: {e}"[:600]}
        text = json.dumps(reply).encode()
        sock.sendall(struct.pack("<I", len(text)) + text)


def room():
    """Bytes that the device has left, with what this process has kept for nothing."""
    if DEVICE == "cpu":
        return 8 << 30
    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0]


def bytes_of(values):
    return sum(v.numel() * v.element_size() for v in values if isinstance(v, torch.Tensor))


def keep(cache, key, values, most):
    """Remembers values while what is remembered takes at most so much; the oldest go first."""
    cache[key] = values
    while len(cache) > 1 and sum(bytes_of(v) for v in cache.values()) > most:
        cache.pop(next(iter(cache)))


def wait_for_device():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


# ---- modules from text ----

def load_module(text, name, folder):
    """A module from a file: Triton and inspect want to read it again."""
    path = os.path.join(folder, name + ".py")
    with open(path, "w") as f:
        f.write(text)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def with_body(problem, body):
    """The problem with ModelNew: its Model with this text as the body of forward."""
    lines = problem.split("\n")
    for node in ast.parse(problem).body:
        if not isinstance(node, ast.ClassDef) or node.name != "Model":
            continue
        for method in node.body:
            if isinstance(method, ast.FunctionDef) and method.name == "forward":
                first = method.body[0]
                indent = " " * first.col_offset
                new = textwrap.indent(textwrap.dedent(body).strip("\n"), indent)
                lines[first.lineno - 1:method.end_lineno] = [new]
                head = lines[node.lineno - 1]
                lines[node.lineno - 1] = head.replace("class Model", "class ModelNew", 1)
                return "\n".join(lines).replace("super(Model,", "super(ModelNew,")
    raise ValueError("the problem file has no class Model with a method forward")


def make_model(cls, module, key):
    torch.manual_seed(key)
    with torch.device(DEVICE):
        args = module.get_init_inputs()
        torch.manual_seed(key)
        return cls(*args).to(DEVICE)


# ---- shared memory ----

def storage_view(t):
    """All of a tensor's storage as one row of elements."""
    return t.as_strided((t.untyped_storage().nbytes() // t.element_size(),), (1,), 0)


def describe(t):
    return {"dtype": str(t.dtype).split(".")[1], "size": list(t.size()), "stride": list(t.stride()),
            "offset": t.storage_offset(), "n": t.untyped_storage().nbytes() // t.element_size()}


def lend(t, path):
    """A tensor as large as t's storage that another process can map, and how."""
    d = describe(t)
    if DEVICE == "cpu":
        shared = torch.from_file(path, shared=True, size=max(d["n"], 1), dtype=t.dtype)
        os.chmod(path, 0o666)
        d["path"] = path
    else:
        shared = torch.empty(max(d["n"], 1), dtype=t.dtype, device=DEVICE)
        d["handle"] = [base64.b64encode(x).decode() if isinstance(x, bytes) else x
                       for x in shared.untyped_storage()._share_cuda_()]
        d["is_bytes"] = [isinstance(x, bytes) for x in shared.untyped_storage()._share_cuda_()]
        d["at"] = shared.storage_offset()
    return shared, d


def borrow(d):
    dtype = getattr(torch, d["dtype"])
    if DEVICE == "cpu":
        shared = torch.from_file(d["path"], shared=True, size=max(d["n"], 1), dtype=dtype)
    else:
        handle = [base64.b64decode(x) if b else x for x, b in zip(d["handle"], d["is_bytes"])]
        storage = torch.UntypedStorage._new_shared_cuda(*handle)
        shared = torch.empty(0, dtype=dtype, device=DEVICE).set_(storage, d["at"], (max(d["n"], 1),), (1,))
    return shared.as_strided(d["size"], d["stride"], d["offset"])


def poison(t, random):
    if t.dtype.is_floating_point:
        t.fill_(float("nan"))
    else:
        t.fill_(random % 100 if t.dtype != torch.bool else random % 2 == 1)


def tensors_of(out):
    outs = [out] if isinstance(out, torch.Tensor) else list(out)
    if not outs or not all(isinstance(t, torch.Tensor) for t in outs):
        raise ValueError("the model's output is no tensor, nor a tuple of tensors")
    return outs


# ---- the judge ----

class Judge:
    def hello(self, q):
        name = torch.cuda.get_device_name() if DEVICE == "cuda" else f"{torch.get_num_threads()} threads"
        return {"torch": torch.__version__, "device": DEVICE, "name": name,
                "n_devices": torch.cuda.device_count() if DEVICE == "cuda" else 0, "cuda": torch.version.cuda or "", "tf32_conv": torch.backends.cudnn.allow_tf32}

    def inputs_of(self, s):
        """Set s, from its key. Every other set is the benchmark's inputs times a number from -4 to -2, where the model has
        finite values there: what is right for numbers from 0 to 1 only shows."""
        torch.manual_seed(self.key + 7919 * (s + 1))
        factor = -2 - 2 * torch.rand(1).item()
        with torch.device(DEVICE):
            values = [v.to(DEVICE) if isinstance(v, torch.Tensor) else v for v in self.module.get_inputs()]
        if s % 2 and self.takes_scaled:
            values = [v * factor if isinstance(v, torch.Tensor) and v.dtype.is_floating_point else v for v in values]
        return values

    def run_model(self, model, values):
        """On copies: a model may work in place."""
        with torch.no_grad():
            return tensors_of(model(*[v.clone() if isinstance(v, torch.Tensor) else v for v in values]))

    def problem(self, q):
        self.key, self.truths, self.sets, self.takes_scaled = int(q["key"]), {}, {}, True
        self.folder, self.share = q["folder"], room() // 12
        self.module = load_module(q["text"], "problem", self.folder)
        self.model = make_model(self.module.Model, self.module, self.key)
        outs = self.run_model(self.model, self.inputs_of(1))
        self.takes_scaled = all(bool(torch.isfinite(t).all()) for t in outs if t.dtype.is_floating_point)
        values = self.inputs_of(0)
        self.constants = [None if isinstance(v, torch.Tensor) else v for v in values]
        json.dumps(self.constants)
        staged = [lend(v, f"{self.folder}/in{i}") if isinstance(v, torch.Tensor) else (None, None)
                  for i, v in enumerate(values)]
        lent = [lend(t.contiguous(), f"{self.folder}/out{i}") for i, t in enumerate(outs)]
        self.staged = [s for s, _ in staged]
        self.out = [s.as_strided(d["size"], d["stride"], 0) for s, d in lent]
        self.error_of_baseline = 1.0
        return {"inputs": [d for _, d in staged], "outputs": [d for _, d in lent], "constants": self.constants,
                "takes_scaled": self.takes_scaled, "truth": self.measure_baseline()}

    def ready(self, q):
        pass

    def set_of(self, s):
        if s not in self.sets:
            keep(self.sets, s, self.inputs_of(s), self.share)
        return self.sets[s]

    def reveal(self, q):
        for shared, v in zip(self.staged, self.set_of(q["set"])):
            if shared is not None:
                shared.copy_(storage_view(v))
        for t in self.out:
            poison(t, q["random"])
        wait_for_device()
        room()  # what comparisons took is the candidate's now

    def truth_of(self, s):
        """In double precision, with an exact convolution; in single where the model cannot."""
        if s in self.truths:
            return self.truths[s]
        values = self.set_of(s)
        try:
            if 4 * bytes_of(values) + 4 * bytes_of(self.out) > room():
                raise RuntimeError("no room for doubles")
            double = [v.double() if isinstance(v, torch.Tensor) and v.dtype.is_floating_point else v for v in values]
            truth = self.run_model(copy.deepcopy(self.model).double(), double)
            del double
            self.kind = "float64"
        except (RuntimeError, TypeError):
            allowed = torch.backends.cudnn.allow_tf32
            torch.backends.cudnn.allow_tf32 = False
            truth = self.run_model(self.model, values)
            torch.backends.cudnn.allow_tf32 = allowed
            self.kind = "float32"
        keep(self.truths, s, truth, self.share)
        return truth

    def measure_baseline(self):
        """An honest kernel may be twice as far from the truth as the model itself, where that is far (TF32)."""
        for s in range(2):
            for t, v in zip(self.out, self.run_model(self.model, self.set_of(s))):
                t.copy_(v)
            worst = self.compare({"set": s})["worst"]
            self.error_of_baseline = max(self.error_of_baseline, 2 * worst if worst == worst else 1.0)
        return self.kind

    def compare(self, q):
        got = [t.clone() for t in self.out]  # the first thing that is done
        r = {"n_checked": 0, "n_wrong": 0, "n_nan": 0, "worst": 0.0, "digest": 0, "diffs": []}
        for k, (g, v) in enumerate(zip(got, self.truth_of(q["set"]))):
            g, v = g.reshape(-1), v.reshape(-1)
            finite = v.double().pow(2).mean().sqrt().item() if v.dtype.is_floating_point else 0.0
            level = min(1.0, finite) if finite == finite else 1.0
            for at in range(0, v.numel(), CHUNK):
                self.compare_chunk(r, k, at, g[at:at + CHUNK], v[at:at + CHUNK], level)
        r["digest"] %= 1 << 52
        r["worst"] = min(r["worst"], 1e30)  # no infinities in JSON
        return r

    def compare_chunk(self, r, k, at, g, v, level):
        r["n_checked"] += v.numel()
        if v.dtype.is_floating_point:
            g64, v64 = g.double(), v.double()
            bound = (RTOL * v64.abs() + ATOL * level) * self.error_of_baseline
            error = (g64 - v64).abs()
            right = torch.where(torch.isfinite(v64), error <= bound, (g64 == v64) | (g64.isnan() & v64.isnan()))
            ratio = torch.where(torch.isfinite(error), error / bound, torch.zeros_like(error))
            r["worst"] = max(r["worst"], ratio.max().item())
            r["n_nan"] += int((g64.isnan() & ~v64.isnan()).sum())
            bits = g.contiguous().view(torch.int32 if g.element_size() == 4 else torch.uint8)
        else:
            right, bound, bits = g == v, None, g
        n_wrong = int((~right).sum())
        r["n_wrong"] += n_wrong
        r["digest"] = r["digest"] * 31 + int(bits.to(torch.int64).sum())
        if n_wrong:
            r["worst"] = max(r["worst"], 1e9 if bound is None else r["worst"])
            for i in (~right).nonzero()[:8 - len(r["diffs"])].reshape(-1).tolist():
                r["diffs"].append([k, at + i, f"{float(v[i]):.9g}", f"{float(g[i]):.9g}"])


# ---- the walls of a candidate ----

PR_SET_NO_NEW_PRIVS, CLONE_NEWUSER, CLONE_NEWNET, NOBODY = 38, 0x10000000, 0x40000000, 65534
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
READ = 1 << 0 | 1 << 2 | 1 << 3  # execute, read files, read folders
ALL = (1 << 13) - 1


def landlock(readable, writable):
    """The filesystem but for these, and TCP where the kernel can; the interface's number, 0 = there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if abi < 1:
        return 0
    handled = ALL | (1 << 13 if abi >= 2 else 0) | (1 << 14 if abi >= 3 else 0)
    attr = struct.pack("<QQ", handled, 3) if abi >= 4 else struct.pack("<Q", handled)
    ruleset = libc.syscall(CREATE_RULESET, attr, ctypes.c_size_t(len(attr)), 0)
    if ruleset < 0:
        return 0
    for path, rights in [(p, READ) for p in readable] + [(p, handled) for p in writable]:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        if not os.path.isdir(path):
            rights &= 1 << 0 | 1 << 1 | 1 << 2 | (1 << 14 if abi >= 3 else 0)
        libc.syscall(ADD_RULE, ruleset, 1, struct.pack("<Qi", rights, fd), 0)
        os.close(fd)
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    ok = libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return abi if ok else 0


def wall_in(folder):
    """Of the calling process and for good. The layers that hold."""
    libc = ctypes.CDLL(None, use_errno=True)
    layers = []
    is_root = os.geteuid() == 0
    if libc.unshare(CLONE_NEWNET if is_root else CLONE_NEWUSER | CLONE_NEWNET) == 0:
        layers.append("net")
    if is_root:
        os.chown(folder, NOBODY, NOBODY)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
        layers.append("uid")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    packages = os.path.dirname(os.path.dirname(os.path.abspath(torch.__file__)))
    readable = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/opt", "/proc", "/sys", sys.prefix, sys.base_prefix,
                packages, os.environ.get("CUDA_HOME", "/usr/local/cuda")]
    devices = [f"/dev/{f}" for f in os.listdir("/dev")
               if f.startswith("nvidia") or f in ("null", "zero", "random", "urandom")]
    abi = landlock(readable, [folder] + devices)
    if abi:
        layers += [f"landlock {abi}", "no new privileges"] + (["tcp"] if abi >= 4 else [])
    return layers


class Run:
    """One candidate a process."""

    def hello(self, q):
        if DEVICE == "cuda":
            torch.zeros(1, device=DEVICE)
        return {"torch": torch.__version__, "device": DEVICE}

    def load(self, q):
        folder = q["folder"]
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for name in ("HOME", "TMPDIR", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"):
            os.environ[name] = folder
        self.inputs = [c if d is None else borrow(d) for d, c in zip(q["inputs"], q["constants"])]
        self.outputs = [borrow(d) for d in q["outputs"]]
        layers = wall_in(folder)
        has_floor = any(x.startswith("landlock") for x in layers) and ("net" in layers or "tcp" in layers)
        if q["needs_walls"] and not has_floor:
            return {"layers": layers, "unwalled": True}
        try:
            text = q["code"] if q["is_whole"] else with_body(q["problem"], q["code"])
            compile(text, "candidate.py", "exec")
        except (SyntaxError, ValueError) as e:
            line = getattr(e, "lineno", 0) or 0
            return {"layers": layers, "syntax": f"line {line}: {getattr(e, 'msg', e)}"[:300]}
        module = load_module(text, "candidate", folder)
        if not hasattr(module, "get_init_inputs"):
            module.get_init_inputs = load_module(q["problem"], "problem", folder).get_init_inputs
        self.model = make_model(getattr(module, q["class"]), module, int(q["key"]))
        wait_for_device()
        return {"layers": layers}

    def warm(self, q):
        """What is compiled at a first call (Triton) is compiled here, on whatever the inputs hold."""
        self.run()
        wait_for_device()

    def run(self):
        with torch.no_grad():
            return tensors_of(self.model(*self.inputs))

    def call(self, q):
        outs = self.run()
        if len(outs) != len(self.outputs):
            raise ValueError(f"it returned {len(outs)} tensors, not {len(self.outputs)}")
        for to, t in zip(self.outputs, outs):
            if t.shape != to.shape or t.dtype != to.dtype:
                raise ValueError(f"it returned {list(t.shape)} of {t.dtype}, not {list(to.shape)} of {to.dtype}")
            to.copy_(t)
        wait_for_device()


def main():
    who = {"judge": Judge, "run": Run}[sys.argv[1]]()
    serve({name: getattr(who, name) for name in dir(who) if not name.startswith("_")})


main()
