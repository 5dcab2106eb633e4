# SPDX-License-Identifier: Apache-2.0
"""toy.py: the model of the double of the Tinker service and what its operations compute (mock_server.py says how)."""
import argparse, array, base64, bisect, hashlib, heapq, io, itertools, json, math, random, re, signal, socket, struct, sys, tarfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from wire import *  # noqa: F403

# ---------------------------------------------------------------- the toy model
def splitmix(x):
    x = (x + 0x9E3779B97F4A7C15) & M64
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M64
    return x ^ x >> 31


def lse(xs):
    m = max(xs)
    return m + math.log(sum(math.exp(x - m) for x in xs))


class Base:
    """Hash tables of one base model; immutable."""
    cache = {}

    def __init__(self, name, vocab, eos):
        self.name, self.V, self.eos = name, vocab, eos
        self.base = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
        self.NH = (vocab + 255) // 256
        self.p1 = [[self.h(3, d, x) for x in range(self.NH)] for d in range(8)]
        self.p2 = [[self.h(4, d, x) for x in range(256)] for d in range(8)]

    def h(self, t, a, b):
        return (splitmix(self.base ^ t << 56 ^ a << 28 ^ b) >> 11) * 2.0 ** -52 - 1.0

    @classmethod
    def get(cls, name, vocab, eos):
        k = (name, vocab, eos)
        if k not in cls.cache:
            cls.cache[k] = cls(*k)
        return cls.cache[k]


class Dist:
    """Base model + one value of th. Everything is computed on first use and kept."""
    def __init__(self, base, th):
        self.b, self.th = base, tuple(th)
        self.a1 = [sum(th[d] * base.p1[d][x] for d in range(8)) for x in range(base.NH)] if any(th) else [0.0] * base.NH
        self.a2 = [sum(th[8 + d] * base.p2[d][x] for d in range(8)) for x in range(256)] if any(th) else [0.0] * 256
        self.c1, self.c2, self.e1, self.e2, self.lz, self.srt, self.full = {}, {}, {}, {}, {}, {}, {}

    def l1(self, u):
        r = self.c1.get(u)
        if r is None:
            b = self.b
            s = [2 * b.h(1, u, x) + self.a1[x] for x in range(b.NH)]
            s[b.eos >> 8] += 2
            z = lse(s)
            r = self.c1[u] = [x - z for x in s]
        return r

    def l2(self, hi):
        r = self.c2.get(hi)
        if r is None:
            b = self.b
            s = [2 * b.h(2, hi, x) + self.a2[x] for x in range(min(256, b.V - 256 * hi))]
            if hi == b.eos >> 8:
                s[b.eos & 255] += 4
            z = lse(s)
            r = self.c2[hi] = [x - z for x in s]
        return r

    def logp(self, u, v):
        return self.l1(u)[v >> 8] + self.l2(v >> 8)[v & 255]

    def grad(self, u, v, w, g):
        """g += w * d logp(u,v) / d th"""
        hi, lo, b = v >> 8, v & 255, self.b
        e1 = self.e1.get(u)
        if e1 is None:
            p = [math.exp(x) for x in self.l1(u)]
            e1 = self.e1[u] = [sum(a * q for a, q in zip(p, b.p1[d])) for d in range(8)]
        e2 = self.e2.get(hi)
        if e2 is None:
            p = [math.exp(x) for x in self.l2(hi)]
            e2 = self.e2[hi] = [sum(a * q for a, q in zip(p, b.p2[d])) for d in range(8)]
        for d in range(8):
            g[d] += w * (b.p1[d][hi] - e1[d])
            g[8 + d] += w * (b.p2[d][lo] - e2[d])

    def topk(self, u, k):
        out = []
        l1 = self.l1(u)
        for hi in sorted(range(self.b.NH), key=lambda x: (-l1[x], x)):
            if len(out) == k and l1[hi] < out[0][0][0]:   # log p(lo|hi) <= 0, nothing better can follow
                break
            s = self.srt.get(hi)
            if s is None:
                l2 = self.l2(hi)
                s = self.srt[hi] = sorted(((x, -i) for i, x in enumerate(l2)), reverse=True)
            for x, nl in s[:k]:
                e = ((l1[hi] + x, -(256 * hi - nl)),)
                if len(out) < k:
                    heapq.heappush(out, e)
                elif e > out[0]:
                    heapq.heapreplace(out, e)
                else:
                    break
        return [(-n, lp) for ((lp, n),) in sorted(out, reverse=True)]

    def draw(self, u, T, top_k, top_p, rng):
        l1 = self.l1(u)
        if T == 0:
            return self.topk(u, 1)[0][0]
        if (top_k and top_k > 0) or top_p < 1:
            key = (u, T)
            f = self.full.get(key)
            if f is None:
                s = [(l1[hi] + x) / T for hi in range(self.b.NH) for x in self.l2(hi)]
                z = lse(s)
                f = sorted(((-math.exp(x - z), v) for v, x in enumerate(s)))
                if len(self.full) > 32:
                    self.full.clear()
                self.full[key] = f
            keep = f[:top_k] if top_k and top_k > 0 else f
            if top_p < 1:
                acc, n = 0.0, 0
                for q, _ in keep:
                    acc, n = acc - q, n + 1
                    if acc >= top_p:
                        break
                keep = keep[:n]
            tot = -sum(q for q, _ in keep)
            r = rng.random() * tot
            for q, v in keep:
                r += q
                if r < 0:
                    return v
            return keep[-1][1]
        lz = self.lz.get(T)
        if lz is None:
            lz = self.lz[T] = [lse([x / T for x in self.l2(hi)]) for hi in range(self.b.NH)]

        def pick(s, r):
            z = lse(s)
            acc = 0.0
            for i, x in enumerate(s):
                acc += math.exp(x - z)
                if r < acc:
                    return i
            return len(s) - 1
        hi = pick([a / T + b for a, b in zip(l1, lz)], rng.random())
        return 256 * hi + pick([x / T for x in self.l2(hi)], rng.random())



# ---------------------------------------------------------------- operations
def model_tokens_json(mi, loc):
    check("model_input", mi, loc)
    out = []
    for i, c in enumerate(mi["chunks"]):
        if isinstance(c, dict) and c.get("type", "encoded_text") != "encoded_text":
            if c["type"] in ("image", "image_asset_pointer", "dmel"):
                raise Bad(400, "the toy model is text only: chunk type '%s'" % c["type"])
        check("chunk", c, loc + ("chunks", i))
        out += ints(c["tokens"], "tokens")
    return out


def tensor_json(t, loc):
    check("tensor", t, loc)
    if t["dtype"] not in ("float32", "int64"):
        raise Bad(422, "dtype should be 'float32' or 'int64'", list(loc) + ["dtype"])
    for i, x in enumerate(t["data"]):
        if isinstance(x, bool) or not isinstance(x, int if t["dtype"] == "int64" else (int, float)):
            raise Bad(422, "data[%d] is not %s" % (i, t["dtype"]), list(loc) + ["data", i])
    sp = t.get("sparse_crow_indices"), t.get("sparse_col_indices")
    shape = t.get("shape") or [len(t["data"])]
    return dense(t["dtype"], list(t["data"]), sp if sp[0] is not None else None, shape, loc)


def tensor_pb(t, loc):
    if t.get("dtype", 0) not in DTYPE:
        raise Bad(400, "%s: dtype %d is not FLOAT32/INT64/INT32" % ("/".join(map(str, loc)), t.get("dtype", 0)))
    name, code = DTYPE[t["dtype"]]
    if ("dense" in t) == ("sparse_csr" in t):
        raise Bad(400, "%s: exactly one of dense, sparse_csr must be set" % "/".join(map(str, loc)))
    if not t.get("shape"):
        raise Bad(400, "%s: shape is empty" % "/".join(map(str, loc)))
    if "dense" in t:
        return dense(name, list(arr(code, t["dense"])), None, t["shape"], loc)
    s = t["sparse_csr"]
    return dense(name, list(arr(code, s.get("values", b""))), (list(s.get("crow_indices", [])), list(s.get("col_indices", []))), t["shape"], loc)


def dense(dtype, data, sparse, shape, loc):
    where = "/".join(map(str, loc))
    n = 1
    for x in shape:
        n *= x
    if sparse is not None:
        crow, col = sparse
        if len(shape) != 2 or len(crow) != shape[0] + 1 or crow[0] != 0 or crow[-1] != len(data) or len(col) != len(data) or any(a > b for a, b in zip(crow, crow[1:])):
            raise Bad(400, "%s: malformed CSR" % where)
        full = [0] * n
        for r in range(shape[0]):
            for j in range(crow[r], crow[r + 1]):
                if not 0 <= col[j] < shape[1]:
                    raise Bad(400, "%s: CSR column out of range" % where)
                full[r * shape[1] + col[j]] = data[j]
        data = full
    elif n != len(data):
        raise Bad(400, "%s: shape %s does not hold %d values" % (where, shape, len(data)))
    return dtype, data, list(shape)


def op_fwdbwd(w, m, data, loss_fn, cfg, forward_only):
    """-> (JSON result, protobuf bytes)"""
    if loss_fn not in CFG_KEYS:
        raise UserError("loss_fn '%s' is not implemented by this server" % loss_fn)
    for k in cfg:
        if k not in CFG_KEYS[loss_fn]:
            raise UserError("loss_fn '%s' does not take config key '%s'" % (loss_fn, k))
    if loss_fn == "dro" and "beta" not in cfg:
        raise UserError("loss_fn 'dro' needs config key 'beta'")
    lo, hi = cfg.get("clip_low_threshold", 0.8), cfg.get("clip_high_threshold", 1.2)
    beta = cfg.get("beta", 0.0)
    keys = {"target_tokens", "weights"} if loss_fn == "cross_entropy" else {"target_tokens", "logprobs", "advantages"}
    D, V, total, outs, grads, ntok = m.d(), m.base.V, 0.0, [], [], 0
    for i, (x, inp) in enumerate(data):
        have = set(inp)
        if have - keys:
            raise UserError("datum %d: could not convert loss function inputs to array record: unexpected %s for %s" % (i, sorted(have - keys), loss_fn), "unknown")
        if keys - have and not (w.a.lenient and keys - have == {"weights"}):
            raise UserError("datum %d: missing loss_fn_inputs %s for %s" % (i, sorted(keys - have), loss_fn))
        dt, tgt, shape = inp["target_tokens"]
        if dt == "float32":
            raise UserError("datum %d: target_tokens must be int64" % i)
        if shape[0] != len(x) or len(shape) > 2:
            raise UserError("datum %d: target_tokens has shape %s but model_input has %d tokens" % (i, shape, len(x)))
        K = shape[1] if len(shape) == 2 else 1
        if K > 1 and loss_fn != "cross_entropy":
            raise UserError("datum %d: 2-D targets only with cross_entropy" % i)
        for t in itertools.chain(x, tgt):
            if not 0 <= t < V:
                raise UserError("datum %d: token %d outside the vocabulary of %d" % (i, t, V))
        cols = {}
        for k in keys - {"target_tokens"}:
            if k not in inp:
                cols[k] = [1.0] * len(tgt)
                continue
            dt, v, s = inp[k]
            if dt != "float32" or s != shape:
                raise UserError("datum %d: %s must be float32 of shape %s, got %s %s" % (i, k, shape, dt, s))
            if any(not math.isfinite(z) for z in v):
                raise UserError("datum %d: %s holds a NaN or infinity" % (i, k))
            cols[k] = v
        lps, els = [], []
        for j, t in enumerate(tgt):
            u = x[j // K]
            l = D.logp(u, t)
            if loss_fn == "cross_entropy":
                wt = cols["weights"][j]
                L, dL = -wt * l, -wt
            else:
                q, A = cols["logprobs"][j], cols["advantages"][j]
                r = math.exp(min(l - q, 80.0))
                c = min(max(r, lo), hi)
                if loss_fn == "importance_sampling":
                    L, dL = -r * A, -r * A
                elif loss_fn == "ppo":
                    L, dL = -min(r * A, c * A), (-r * A if r * A <= c * A else 0.0)
                elif loss_fn == "cispo":
                    L, dL = -c * l * A, -c * A
                else:
                    L, dL = -(l * A - beta / 2 * (l - q) ** 2), -(A - beta * (l - q))
            lps.append(l); els.append(L); total += L; ntok += 1
            if dL and not forward_only:
                grads.append((u, t, dL))
        outs.append((lps, els, shape))
    if not forward_only:
        for u, t, dL in grads:
            D.grad(u, t, dL, m.grad)
    m.fwd, m.fwdbwd = m.fwd + forward_only, m.fwdbwd + (not forward_only)
    metrics = {"loss:sum": total, "num_tokens:sum": float(ntok), "model_version:max": float(m.version)}
    f32 = lambda xs: [struct.unpack("<f", struct.pack("<f", z))[0] for z in xs]
    js = {"loss_fn_output_type": "TorchLossReturn", "metrics": metrics, "loss_fn_outputs": [
        {"logprobs": {"data": f32(l), "dtype": "float32", "shape": s}, "elementwise_loss": {"data": f32(e), "dtype": "float32", "shape": s}} for l, e, s in outs]}
    recs, group = [], []   # one ArrayRecord per run of equal trailing shape (so that clients meet several)
    for key, run in itertools.groupby(outs, key=lambda o: tuple(o[2][1:])):
        run = list(run)
        fields = {}
        for name, ix in (("logprobs", 0), ("elementwise_loss", 1)):
            off = [0]
            for o in run:
                off.append(off[-1] + 4 * len(o[ix]))
            fields[name] = {"data": raw("f", [z for o in run for z in o[ix]]), "offsets": off, "dtype": 1, "trailing_shape": list(key)}
        recs.append({"fields": fields, "num_datums": len(run)})
    pb = pb_encode("ForwardBackwardOutput", {"loss_fn_output_type": "TorchLossReturn", "loss_fn_outputs": recs, "metrics": metrics})
    return js, ("ForwardBackwardOutput", pb)


def op_adam(w, m, p):
    lr, b1, b2, eps = p.get("learning_rate", 1e-4), p.get("beta1", .9), p.get("beta2", .95), p.get("eps", 1e-12)
    wd, clip = p.get("weight_decay", 0.0), p.get("grad_clip_norm", 0.0)
    g = m.grad
    norm = math.sqrt(sum(x * x for x in g))
    if clip > 0 and norm > clip:
        g = [x * clip / norm for x in g]
    m.t += 1
    for i in range(16):
        m.m[i] = b1 * m.m[i] + (1 - b1) * g[i]
        m.v[i] = b2 * m.v[i] + (1 - b2) * g[i] * g[i]
        m.th[i] -= lr * (wd * m.th[i] + m.m[i] / (1 - b1 ** m.t) / (math.sqrt(m.v[i] / (1 - b2 ** m.t)) + eps))
    m.grad = [0.0] * 16
    m.version += 1
    return {"metrics": {"grad_norm:mean": norm, "model_version:max": float(m.version)}, "type": "optim_step"}, None


def op_sample(w, D, tokens, b, seedkey):
    sp = b["sampling_params"]
    T, K = sp.get("temperature", 1), sp.get("max_tokens")
    n, stop, eos = b.get("num_samples", 1), sp.get("stop"), D.b.eos
    for t in tokens:
        if not 0 <= t < D.b.V:
            raise UserError("token %d outside the vocabulary of %d" % (t, D.b.V))
    stop_ids, stop_strs = set(), []
    if isinstance(stop, str):
        stop_strs = [stop]
    elif stop and isinstance(stop[0], str):
        stop_strs = list(stop)
    elif stop:
        stop_ids = set(stop)
    if stop is None:
        stop_ids = {eos}
    seed = sp.get("seed") if sp.get("seed") is not None else seedkey
    ks = b.get("topk_sample_logprobs", 0)
    seqs = []
    for i in range(n):
        rng, out, lps, why, u, text, tk = random.Random("%s:%d" % (seed, i)), [], [], 1, tokens[-1], "", []
        while len(out) < K:
            v = D.draw(u, T, sp.get("top_k", -1), sp.get("top_p", 1), rng)
            out.append(v); lps.append(D.logp(u, v)); text += "<%d>" % v
            if ks:
                tk.append(D.topk(u, ks))
            u = v
            if v in stop_ids or (stop_strs and (v == eos or any(s in text for s in stop_strs))):
                why = 0
                break
        seqs.append((why, out, lps, tk))
    pl, topk, kp = None, None, b.get("topk_prompt_logprobs", 0)
    first = max(1, len(tokens) - b["prompt_logprobs_last_n"]) if b.get("prompt_logprobs_last_n") else 1
    if b.get("prompt_logprobs"):
        pl = [float("nan") if j < first else D.logp(tokens[j - 1], tokens[j]) for j in range(len(tokens))]
    if kp:
        topk = [None if j < first else D.topk(tokens[j - 1], kp) for j in range(len(tokens))]
    none = lambda x: None if x is None or x != x else x
    js = {"type": "sample", "sequences": [dict({"stop_reason": ("stop", "length")[y], "tokens": o, "logprobs": l}) for y, o, l, _ in seqs],
          "prompt_cache_hit_tokens": 0}
    if pl is not None:
        js["prompt_logprobs"] = [none(x) for x in pl]
    if topk is not None:
        js["topk_prompt_logprobs"] = [None if r is None else [[v, lp] for v, lp in r] for r in topk]

    def table(rows, k):
        cells = [c for r in rows for c in ([(0, -99999.0)] * k if r is None else r + [(0, -99999.0)] * (k - len(r)))]
        return {"token_ids": [c[0] for c in cells], "logprobs": [c[1] for c in cells], "k": k, "length": len(rows)}
    pb = {"sequences": [dict({"stop_reason": y, "tokens": o, "logprobs": l}, **({"topk_sampled_logprobs": table(t, ks)} if ks else {})) for y, o, l, t in seqs]}
    if pl is not None:
        pb["prompt_logprobs"] = pl
    if topk is not None:
        pb["topk_prompt_logprobs"] = table(topk, kp)
    return js, ("SampleResponse", pb_encode("SampleResponse", pb))


NAME = re.compile(r"^[A-Za-z0-9_.-]{1,255}$")
ISO = lambda t: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))
