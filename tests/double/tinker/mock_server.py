#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A strict, deterministic, recording stand-in for a Tinker server (Python >= 3.9, standard library only).

Why: the C client needs something to talk to that is not written by the people who write the client, that refuses
what the real service refuses, that fails on demand, and that can be reasoned about with pen and paper.
Checked against the official SDK 0.25.0 and 0.38.0 (peers/tinker_sdk_loop.py). Listens on 127.0.0.1 only.

    python3 mock_server.py --port 8010 --record t.json   # then TINKER_BASE_URL=http://127.0.0.1:8010 TINKER_API_KEY=tml-x
    options of interest: --wire auto|proto|json  --schema 0.38|0.25  --fail-every N  --drop-every N  --max-inflight M
                         --latency MS  --hold S  --jwt  --retrieve-futures  --max-chunk-len N  --fault JSON (repeatable)

--wire proto = hosted contract of SDK >= 0.25 (JSON fwd/bwd bodies: 415; sample and fwd/bwd results only as protobuf)
--wire json  = SkyRL 0.3.0 style (no protobuf, ids without ':', a failed future is HTTP 400 {"detail"}, no finish, no dynamic_config)
--wire auto  = both accepted; result encoding follows the Accept header of retrieve_future (default)

THE TOY MODEL (exact; all arithmetic in IEEE double, results narrowed to float32 on the wire)
  splitmix64(x): x+=0x9E3779B97F4A7C15; x=(x^x>>30)*0xBF58476D1CE4E5B9; x=(x^x>>27)*0x94D049BB133111EB; x^=x>>31   (mod 2^64)
  base = first 8 bytes of SHA-256(base_model), little-endian;  h(t,a,b) = (splitmix64(base ^ (t<<56) ^ (a<<28) ^ b) >> 11) * 2^-52 - 1   in [-1,1)
  token v = 256*hi + lo. Vocabulary --vocab (49152). Context of a token = the previous token u only (bigram).
  s1(u,hi) = 2*h(1,u,hi) + [hi==eos_hi]*2 + sum_d th[d]  *p1(d,hi)     p1(d,hi)=h(3,d,hi)   d = 0..7
  s2(hi,lo)= 2*h(2,hi,lo)+ [v==eos]*4     + sum_d th[8+d]*p2(d,lo)     p2(d,lo)=h(4,d,lo)
  log p(v|u) = log_softmax(s1(u,.))[hi] + log_softmax(s2(hi,.))[lo]     (the last hi group may be short)
  th = 16 trainable numbers, zero for a new LoRA (rank and seed are stored but do not alter the function, as B=0 in a real LoRA).
  d log p/d th[d] = p1(d,hi)-E_{hi'~p(.|u)} p1(d,hi');   d log p/d th[8+d] = p2(d,lo)-E_{lo'~p(.|hi)} p2(d,lo')
  Sampling: random.Random(f"{seed}:{i}") for sample i; per token r1 then r2; inverse CDF over hi, then lo, of p^(1/T) exactly
  (temperature 0 = argmax, no draws; top_k/top_p: one draw over the kept tokens sorted by (-p, id)). No seed: seed = "<sampler>:<seq_id>".
  Returned log-probabilities are those of the untempered, untruncated model, so forward() on the same tokens returns the same numbers.
  A sampled stop token ends the sequence, is included, stop_reason stop. eos (--eos, default 2) ends it too when stop is absent or strings;
  an explicit list of token ids replaces eos, [] stops at nothing.
  Stop strings match on the toy detokenisation: token v is the text "<v>".
  optim_step = AdamW on th with the gradient SUM since the last step (after grad_clip_norm), m/v bias-corrected, decoupled decay; version += 1.
LOSSES (sums): cross_entropy -w*l | importance_sampling -r*A | ppo -min(r*A, clamp(r)*A) | cispo -sg(clamp(r))*l*A | dro -(l*A - b/2*(l-q)^2), r=exp(l-q)

CONTROL (no key needed): GET /__mock__/state, GET /__mock__/transcript, POST /__mock__/fault {..}, POST /__mock__/reset_faults
FAULT object: {"path":"asample","from":1,"count":2,"status":429,"headers":{"retry-after":"1"},"body":{"detail":"x"},"action":"status"}
  path = suffix match on the endpoint ("" any); from = 1-based index among matching requests; count -1 = for ever. action:
  status | drop_before | drop_after (request executed, answer lost) | truncate (half of the body, then close) | empty400 (bare 400, Content-Length 0)
  | future_error (the promise created by this request fails; "error","category") | try_again (retrieve_future: 408 body, or "http":200)
  | expired (retrieve_future: 410) | metadata (retrieve_future: complete_metadata first, if allowed) | slow (body byte by byte, "seconds" in all)
"""
import argparse, array, base64, bisect, hashlib, heapq, io, itertools, json, math, random, re, signal, socket, struct, sys, tarfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

M64 = (1 << 64) - 1
PB = "application/x-protobuf"

# ---------------------------------------------------------------- protobuf: schema tables and codec
# field number -> (name, type[, repeated]); map:X = map<string,X>; b:T = bytes holding a little-endian array of T
SCHEMA = {
    "ForwardBackwardRequest": {1: ("model_id", "string"), 2: ("seq_id", "int"), 3: ("data", "Datum", 1), 4: ("loss_fn", "string"),
                               5: ("loss_fn_config", "map:double"), 6: ("forward_only", "bool"), 7: ("loss_fn_config_v2", "map:LossConfigValue")},
    "LossConfigValue": {1: ("number", "double"), 2: ("text", "string")},
    "Datum": {1: ("model_input", "Chunk", 1), 2: ("loss_fn_inputs", "map:Tensor"), 3: ("model_input_spans", "ProvenanceSpan", 1),
              4: ("loss_fn_input_spans", "ProvenanceSpan", 1)},
    "ProvenanceSpan": {1: ("prompt_tokens", "Span"), 2: ("sampled_tokens", "Span")},
    "Span": {1: ("sequence_id", "string"), 2: ("offset", "int"), 3: ("length", "int")},
    "Chunk": {1: ("encoded_text", "EncodedTextChunk"), 2: ("image", "ImageChunk"), 3: ("dmel", "DmelChunk")},
    "EncodedTextChunk": {1: ("tokens", "b:i")},
    "ImageChunk": {1: ("data", "bytes"), 2: ("format", "string"), 3: ("expected_tokens", "int"), 4: ("override_dimensions", "Dims")},
    "Dims": {1: ("width", "int"), 2: ("height", "int")}, "DmelChunk": {1: ("dmel", "bytes")},
    "Tensor": {1: ("dense", "bytes"), 2: ("sparse_csr", "SparseCsr"), 3: ("dtype", "int"), 4: ("shape", "int", 1)},
    "SparseCsr": {1: ("values", "bytes"), 2: ("crow_indices", "b:q"), 3: ("col_indices", "b:q")},
    "ForwardBackwardOutput": {1: ("loss_fn_output_type", "string"), 2: ("loss_fn_outputs", "ArrayRecord", 1), 3: ("metrics", "map:double")},
    "ArrayRecord": {1: ("type_tag", "string"), 2: ("fields", "map:BatchedTensor"), 3: ("num_datums", "int")},
    "BatchedTensor": {1: ("data", "bytes"), 2: ("offsets", "b:q"), 3: ("dtype", "int"), 4: ("trailing_shape", "int", 1)},
    "SampleResponse": {1: ("sequences", "SampledSequence", 1), 2: ("prompt_logprobs", "b:f"), 3: ("topk_prompt_logprobs", "TopkLogprobs"),
                       4: ("prompt_cache_hit_tokens", "int")},
    "SampledSequence": {1: ("stop_reason", "int"), 2: ("tokens", "b:i"), 3: ("logprobs", "b:f"), 4: ("topk_sampled_logprobs", "TopkLogprobs")},
    "TopkLogprobs": {1: ("token_ids", "b:i"), 2: ("logprobs", "b:f"), 3: ("k", "int"), 4: ("length", "int")},
}
DTYPE = {1: ("float32", "f"), 2: ("int64", "q"), 3: ("int32", "i")}


class Bad(Exception):
    """A refused request: HTTP status, JSON body."""
    def __init__(self, status, detail, loc=None):
        self.status = status
        self.body = {"detail": [{"loc": loc, "msg": detail, "type": "value_error"}]} if loc is not None else {"detail": detail}


class UserError(Exception):
    """A request that was accepted but whose promise fails."""
    def __init__(self, msg, category="user"):
        super().__init__(msg)
        self.category = category


def varint(b, i):
    r = s = 0
    while True:
        if i >= len(b) or s > 63:
            raise Bad(400, "protobuf: truncated or overlong varint at byte %d" % i)
        r |= (b[i] & 127) << s
        i += 1
        if b[i - 1] < 128:
            return r & M64, i
        s += 7


def enc_varint(n):
    n &= M64
    o = bytearray()
    while n > 127:
        o.append(n & 127 | 128)
        n >>= 7
    o.append(n)
    return bytes(o)


def arr(code, b):
    if len(b) % struct.calcsize("<" + code):
        raise Bad(400, "protobuf: array payload of %d bytes is not a multiple of the item size" % len(b))
    a = array.array(code)
    a.frombytes(b)
    return a if sys.byteorder == "little" else (a.byteswap() or a)


def raw(code, xs):
    return struct.pack("<%d%s" % (len(xs), code), *xs)


def pb_decode(msg, b, path=""):
    spec, out, i = SCHEMA[msg], {}, 0
    while i < len(b):
        tag, i = varint(b, i)
        num, wt = tag >> 3, tag & 7
        if num not in spec:
            raise Bad(400, "protobuf: unknown field %d in %s%s" % (num, path, msg))
        name, typ, rep = (spec[num] + (0,))[:3]
        if wt == 0:
            val, i = varint(b, i)
        elif wt == 1:
            val, i = b[i:i + 8], i + 8
        elif wt == 5:
            val, i = b[i:i + 4], i + 4
        elif wt == 2:
            n, i = varint(b, i)
            if i + n > len(b):
                raise Bad(400, "protobuf: %s%s.%s runs past the end" % (path, msg, name))
            val, i = b[i:i + n], i + n
        else:
            raise Bad(400, "protobuf: wire type %d in %s%s.%s" % (wt, path, msg, name))
        want = {"int": 0, "bool": 0, "double": 1}.get(typ, 2)
        if wt != want and not (typ == "int" and rep and wt == 2):
            raise Bad(400, "protobuf: %s%s.%s has wire type %d, expected %d" % (path, msg, name, wt, want))
        here = path + msg + "."
        if typ.startswith("map:"):
            k, v, j = "", None, 0
            vt = typ[4:]
            while j < len(val):
                t, j = varint(val, j)
                if t == 10:
                    n, j = varint(val, j); k, j = val[j:j + n].decode(), j + n
                elif t == 17 and vt == "double":
                    v, j = struct.unpack("<d", val[j:j + 8])[0], j + 8
                elif t == 18 and vt != "double":
                    n, j = varint(val, j); v, j = pb_decode(vt, val[j:j + n], here), j + n
                else:
                    raise Bad(400, "protobuf: bad map entry in %s%s" % (here, name))
            out.setdefault(name, {})[k] = (0.0 if vt == "double" else {}) if v is None else v
            continue
        if typ == "int":
            sg = lambda x: x - (1 << 64) if x >> 63 else x
            if rep and wt == 2:
                j = 0
                while j < len(val):
                    x, j = varint(val, j)
                    out.setdefault(name, []).append(sg(x))
                continue
            val = sg(val)
        elif typ == "bool":
            val = bool(val)
        elif typ == "double":
            val = struct.unpack("<d", val)[0]
        elif typ == "string":
            try:
                val = val.decode()
            except UnicodeDecodeError:
                raise Bad(400, "protobuf: %s%s is not UTF-8" % (here, name))
        elif typ.startswith("b:"):
            val = arr(typ[2:], val)
        elif typ != "bytes":
            val = pb_decode(typ, val, here)
        if rep:
            out.setdefault(name, []).append(val)
        else:
            out[name] = val
    return out


def pb_encode(msg, d):
    o = bytearray()

    def put(num, wt, payload):
        o.extend(enc_varint(num << 3 | wt))
        if wt == 2:
            o.extend(enc_varint(len(payload)))
        o.extend(payload)
    for num, f in SCHEMA[msg].items():
        name, typ, rep = (f + (0,))[:3]
        if d.get(name) is None:
            continue
        val = d[name]
        if typ.startswith("map:"):
            for k in val:
                e = bytearray(b"\x0a" + enc_varint(len(k.encode())) + k.encode())
                if typ == "map:double":
                    e += b"\x11" + struct.pack("<d", val[k])
                else:
                    sub = pb_encode(typ[4:], val[k]); e += b"\x12" + enc_varint(len(sub)) + sub
                put(num, 2, bytes(e))
        elif typ == "int":
            if rep and val:
                put(num, 2, b"".join(enc_varint(x) for x in val))
            elif not rep and val:
                put(num, 0, enc_varint(val))
        elif typ == "bool":
            if val:
                put(num, 0, b"\x01")
        elif typ == "double":
            put(num, 1, struct.pack("<d", val))
        elif typ == "string":
            if val:
                put(num, 2, val.encode())
        elif typ == "bytes":
            put(num, 2, val)
        elif typ.startswith("b:"):
            put(num, 2, raw(typ[2:], val))
        else:
            for x in (val if rep else [val]):
                put(num, 2, pb_encode(typ, x))
    return bytes(o)


def view(msg, d):
    """Decoded protobuf as JSON for transcripts: every array spelled out, NaN as the string "NaN"."""
    num = lambda xs: [x if x == x else "NaN" for x in xs]
    out = {}
    for _, f in SCHEMA[msg].items():
        name, typ = f[0], f[1]
        if name not in d:
            continue
        v = d[name]
        if isinstance(v, array.array):
            v = num(v)
        elif isinstance(v, (bytes, bytearray)):
            v = num(arr(DTYPE[d["dtype"]][1], v)) if d.get("dtype") in DTYPE else {"base64": base64.b64encode(v).decode()}
        elif typ.startswith("map:") and typ != "map:double":
            v = {k: view(typ[4:], x) for k, x in v.items()}
        elif isinstance(v, dict) and typ in SCHEMA:
            v = view(typ, v)
        elif isinstance(v, list) and typ in SCHEMA:
            v = [view(typ, x) for x in v]
        out[name] = v
    return out


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


# ---------------------------------------------------------------- request schemas (pydantic-like strictness)
CHUNK_S, TENSOR_S = "ModelInputChunk", "TensorData"
ADAM = {"learning_rate": "num", "beta1": "num", "beta2": "num", "eps": "num", "weight_decay": "num", "grad_clip_norm": "num"}
FWD = {"data": "list!", "loss_fn": "str!", "loss_fn_config": "obj?"}
REQ = {  # type suffix: ! required, ? optional and nullable, nothing = optional but not null; + = added after 0.25
    "client/config": {"sdk_version": "str!"}, "client/dynamic_config": {"sdk_version": "str!"}, "auth/token": {},
    "create_session": {"tags": "list!", "user_metadata": "obj?", "sdk_version": "str!", "project_id": "str?", "display_name": "str?+", "type": "lit:create_session"},
    "session_heartbeat": {"session_id": "str!", "type": "lit:session_heartbeat"},
    "finish": {"reason": "obj!", "detail": "str?"},
    "create_model": {"session_id": "str!", "model_seq_id": "int!", "base_model": "str!", "user_metadata": "obj?", "lora_config": "obj?",
                     "optimizer_config": "obj+", "type": "lit:create_model"},
    "get_info": {"model_id": "str!", "type": "lit:get_info"}, "unload_model": {"model_id": "str!", "type": "lit:unload_model"},
    "optim_step": {"adam_params": "obj!", "model_id": "str!", "seq_id": "int!", "type": "lit:optim_step"},
    "save_weights": {"model_id": "str!", "path": "str?", "seq_id": "int!", "ttl_seconds": "int?", "overwrite": "bool", "user_metadata": "obj?+", "type": "lit:save_weights"},
    "load_weights": {"model_id": "str?", "seq_id": "int?", "session_id": "str?", "model_seq_id": "int?", "base_model": "str?", "user_metadata": "obj?", "path": "str!",
                     "optimizer": "bool!", "optimizer_config": "obj?+", "weights_access_token": "str?", "type": "lit:load_weights"},
    "save_weights_for_sampler": {"model_id": "str!", "path": "str?", "sampling_session_seq_id": "int?", "kind": "str+", "seq_id": "int!", "ttl_seconds": "int?",
                                 "user_metadata": "obj?+", "type": "lit:save_weights_for_sampler"},
    "create_sampling_session": {"session_id": "str!", "sampling_session_seq_id": "int!", "base_model": "str?", "model_path": "str?", "type": "lit:create_sampling_session"},
    "join_sampling_session": {"sampling_session_id": "str!", "type": "lit:join_sampling_session"},
    "asample": {"num_samples": "int", "prompt": "obj!", "sampling_params": "obj!", "base_model": "str?", "model_path": "str?", "sampling_session_id": "str?", "seq_id": "int?",
                "prompt_logprobs": "bool?", "topk_prompt_logprobs": "int", "topk_sample_logprobs": "int+", "target_prompt_logprobs": "obj?+", "prompt_alt_tokens_k": "int+",
                "prompt_logprobs_last_n": "int?+", "record_stability_info": "bool?+", "type": "lit:sample"},
    "sampling_params": {"max_tokens": "int?", "seed": "int?", "stop": "any?", "temperature": "num", "top_k": "int", "top_p": "num"},
    "adam_params": ADAM, "lora_config": {"rank": "int!", "seed": "int?", "train_unembed": "bool", "train_mlp": "bool", "train_attn": "bool"},
    "retrieve_future": {"request_id": "str!", "allow_metadata_only": "bool"}, "cancel_future": {"request_id": "str!"},
    "retrieve_futures": {"target": "obj!", "prev_cursor": "int", "timeout": "num?", "retrieved_request_ids": "list"},
    "forward_backward": {"forward_backward_input": "obj!", "model_id": "str!", "seq_id": "int!"},
    "forward": {"forward_input": "obj!", "model_id": "str!", "seq_id": "int!"}, "fwd_input": FWD,
    "datum": {"model_input": "obj!", "loss_fn_inputs": "obj!"}, "model_input": {"chunks": "list!"}, "chunk": {"type": "lit:encoded_text", "tokens": "list!"},
    "tensor": {"data": "list!", "dtype": "str!", "shape": "list?", "sparse_crow_indices": "list?", "sparse_col_indices": "list?"},
    "weights_info": {"tinker_path": "str!"}, "ttl": {"ttl_seconds": "int?"},
}
TYPES = {"str": str, "int": int, "bool": bool, "obj": dict, "list": list}
CFG_KEYS = {"cross_entropy": (), "importance_sampling": (), "ppo": ("clip_low_threshold", "clip_high_threshold"),
            "cispo": ("clip_low_threshold", "clip_high_threshold"), "dro": ("beta",)}


def check(kind, d, loc=("body",), old=False):
    if not isinstance(d, dict):
        raise Bad(422, "Input should be an object", list(loc))
    spec = REQ[kind]
    for k in d:
        if k not in spec or (old and spec[k].endswith("+")):
            raise Bad(422, "Extra inputs are not permitted: '%s'" % k, list(loc) + [k])
    for k, t in spec.items():
        here = list(loc) + [k]
        t = t.rstrip("+")
        if k not in d:
            if t.endswith("!"):
                raise Bad(422, "Field required: '%s'" % k, here)
            continue
        v = d[k]
        if t.startswith("lit:"):
            if v != t[4:]:
                raise Bad(422, "Input should be '%s'" % t[4:], here)
            continue
        if v is None:
            if t.endswith("?"):
                continue
            raise Bad(422, "Input should not be null: '%s'" % k, here)
        t = t.rstrip("!?")
        if t == "any":
            continue
        if t == "num":
            if isinstance(v, bool) or not isinstance(v, (int, float)) or not math.isfinite(v):
                raise Bad(422, "Input should be a finite number: '%s'" % k, here)
        elif not isinstance(v, TYPES[t]) or (t == "int" and isinstance(v, bool)):
            raise Bad(422, "Input should be a valid %s: '%s'" % (t, k), here)
    return d


def ints(xs, what, lo=None, hi=None):
    for i, x in enumerate(xs):
        if isinstance(x, bool) or not isinstance(x, int):
            raise Bad(422, "%s[%d] should be an integer" % (what, i), ["body", what, i])
    return xs


# ---------------------------------------------------------------- server state
class Future:
    def __init__(self, rid, kind):
        self.rid, self.kind, self.result, self.proto, self.error, self.ready, self.meta_sent = rid, kind, None, None, None, None, False


class Model:
    def __init__(self, mid, sess, base, lora, meta):
        self.id, self.sess, self.base, self.lora, self.meta = mid, sess, base, lora, meta
        self.th, self.m, self.v, self.t, self.version, self.grad = [0.0] * 16, [0.0] * 16, [0.0] * 16, 0, 0, [0.0] * 16
        self.next, self.queue, self.seen, self.fwd, self.fwdbwd, self.dist, self.dead = 1, {}, {}, 0, 0, None, False

    def d(self):
        if self.dist is None or self.dist.th != tuple(self.th):
            self.dist = Dist(self.base, self.th)
        return self.dist


class World:
    def __init__(self, a):
        self.a, self.lock = a, threading.Condition(threading.RLock())
        self.sessions, self.models, self.samplers, self.futures, self.ckpt, self.base_dist = {}, {}, {}, {}, {}, {}
        self.counts, self.faults, self.log, self.n, self.counted, self.jwts = {}, [dict(f, seen=0, done=0) for f in a.fault], [], 0, 0, {}
        self.t0 = time.time()

    def base(self, name):
        if name not in self.a.model:
            raise Bad(400, "base_model '%s' is not supported; supported: %s" % (name, ", ".join(self.a.model)))
        return Base.get(name, self.a.vocab, self.a.eos)

    def base_d(self, name):
        if name not in self.base_dist:
            self.base_dist[name] = Dist(self.base(name), [0.0] * 16)
        return self.base_dist[name]

    def session(self, sid):
        s = self.sessions.get(sid)
        if s is None:
            raise Bad(404, "Session not found: %s" % sid)
        if s["finished"]:
            raise Bad(400, "Session %s has finished" % sid)
        return s

    def model(self, mid):
        m = self.models.get(mid)
        if m is None:
            raise Bad(404, "Model not found: %s" % mid)
        self.session(m.sess)
        return m

    def new_future(self, key, kind):
        rid = "req-" + hashlib.sha256(repr(key).encode()).hexdigest()[:16] if self.a.wire != "json" else str(len(self.futures) + 1)
        f = self.futures[rid] = Future(rid, kind)
        return f

    def finish(self, f, fn):
        err = getattr(self.tls, "future_error", None) if hasattr(self, "tls") else None
        try:
            if err:
                raise UserError(err.get("error", "injected failure"), err.get("category", "server"))
            f.result, f.proto = fn()
        except UserError as e:
            f.error = {"error": str(e), "category": e.category}
        f.ready = time.time() + self.a.latency / 1000.0
        self.lock.notify_all()

    def train_op(self, m, seq, kind, body_key, fn):
        """One entry of a model's ordered queue: same seq again -> same promise, a gap -> wait."""
        if seq < 1:
            raise Bad(422, "seq_id starts at 1", ["body", "seq_id"])
        if seq in m.seen:
            f, k = m.seen[seq]
            if k != body_key:
                raise Bad(400, "seq_id %d of %s was already used by a different request" % (seq, m.id))
            return f
        if m.dead:
            raise Bad(400, "Model %s is unloaded" % m.id)
        f = self.new_future((m.id, seq), kind)
        m.seen[seq] = (f, body_key)
        err = getattr(self.tls, "future_error", None)
        m.queue[seq] = (f, fn, err)
        while m.next in m.queue:
            g, fn2, e2 = m.queue.pop(m.next)
            m.next += 1
            self.tls.future_error = e2
            self.finish(g, fn2)
        self.tls.future_error = None
        return f


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


# ---------------------------------------------------------------- HTTP
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tinker-mock"
    disable_nagle_algorithm = True

    def log_message(self, *a):
        pass

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            out = b""
            while True:
                n = int(self.rfile.readline().split(b";")[0], 16)
                if n == 0:
                    while self.rfile.readline().strip():
                        pass
                    return out
                out += self.rfile.read(n)
                self.rfile.readline()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_any(self):
        w = self.server.w
        body = self.read_body()
        path, _, query = self.path.partition("?")
        self.q = dict(p.partition("=")[::2] for p in query.split("&") if p)
        if path.startswith("/__mock__/"):
            return self.control(w, path, body)
        prefix = w.a.prefix.rstrip("/") + "/api/v1/"
        ep = path[len(prefix):] if path.startswith(prefix) else None
        self.extra, self.rec = {}, {"decoded": None}
        w.tls.future_error = None
        fault = self.pick_fault(w, ep)
        act = fault.get("action", "status") if fault else None
        t0 = time.time()
        if act == "drop_before":
            self.record(w, body, t0, None, None, None, "connection closed before processing")
            return self.abort()
        if act in ("status", "empty400"):
            status, ctype, out = (400, None, b"") if act == "empty400" else (fault.get("status", 503), "application/json", json.dumps(fault.get("body", {"detail": "injected"})).encode())
            self.extra = dict(fault.get("headers", {}))
        else:
            if act == "future_error":
                w.tls.future_error = fault
            try:
                status, ctype, out = self.dispatch(w, ep, body, fault if act in ("try_again", "expired", "metadata") else None)
            except Bad as e:
                status, ctype, out = e.status, "application/json", json.dumps(e.body).encode()
            except Exception as e:  # a bug of the mock: loud, but do not kill the connection thread
                import traceback
                traceback.print_exc()
                status, ctype, out = 500, "application/json", json.dumps({"detail": "mock bug: %r" % e}).encode()
        self.record(w, body, t0, status, ctype, out, {"drop_after": "request executed, connection closed without an answer",
                                                       "truncate": "half of the body, then connection closed"}.get(act))
        if act == "drop_after":
            return self.abort()
        try:
            self.send_response(status)
            if ctype:
                self.send_header("Content-Type", ctype)
            for k, v in self.extra.items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(len(out)))
            self.end_headers()
            if act == "truncate":
                self.wfile.write(out[:len(out) // 2]); self.wfile.flush()
                return self.abort()
            if act == "slow":
                for i in range(len(out)):
                    self.wfile.write(out[i:i + 1]); self.wfile.flush()
                    time.sleep(fault.get("seconds", 1.0) / max(1, len(out)))
            elif self.command != "HEAD":
                self.wfile.write(out)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_any

    def abort(self):
        self.close_connection = True
        try:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def pick_fault(self, w, ep):
        if ep is None:
            return None
        with w.lock:
            for f in w.faults:
                if ep.endswith(f.get("path", "")):
                    f["seen"] += 1
                    c = f.get("count", 1)
                    if f["seen"] >= f.get("from", 1) and (c < 0 or f["done"] < c):
                        f["done"] += 1
                        return f
            if self.command == "POST" and ep not in ("client/config", "client/dynamic_config", "telemetry", "session_heartbeat", "create_session", "auth/token"):
                w.counted += 1
                a = w.a
                if a.fail_every and w.counted % a.fail_every == 0:
                    return {"status": a.fail_status, "headers": {"retry-after": "1"}, "body": {"detail": "injected failure (--fail-every)"}}
                if a.drop_every and w.counted % a.drop_every == 0:
                    return {"action": a.drop_mode}
        return None

    def record(self, w, body, t0, status, ctype, out, note):
        with w.lock:
            w.n += 1
            if not w.a.record and not w.a.verbose:
                return
            if w.a.verbose:
                print(w.n, self.command, self.path, status, note or "", file=sys.stderr)
            keep = re.compile(r"^(content-type|content-encoding|accept|accept-encoding|content-length|transfer-encoding|expect|user-agent|x-idempotency-key|x-tinker-.*|x-sdk-.*|x-stainless-retry-count|x-stainless-read-timeout)$", re.I)
            hdr = {k.lower(): v for k, v in self.headers.items() if keep.match(k)}
            if self.headers.get("X-API-Key"):
                hdr["x-api-key"] = "(jwt)" if self.headers["X-API-Key"].startswith("eyJ") else "(api key)"
            req = {"method": self.command, "path": self.path, "headers": hdr}
            self.body_view(req, body, (self.headers.get("Content-Type") or ""), self.rec.get("req"))
            e = {"n": w.n, "at_ms": round((t0 - w.t0) * 1000), "took_ms": round((time.time() - t0) * 1000), "request": req}
            if status is not None:
                res = {"status": status, "headers": dict({"content-type": ctype} if ctype else {}, **self.extra)}
                self.body_view(res, out, ctype or "", self.rec.get("res"))
                e["response"] = res
            if note:
                e["note"] = note
            if self.path.endswith("/telemetry"):
                e["request"].pop("json", None)
            w.log.append(e)

    @staticmethod
    def body_view(d, b, ctype, msg):
        if PB in ctype:
            d["base64"] = base64.b64encode(b).decode()
            if msg:
                try:
                    d["protobuf_message"], d["decoded"] = msg, view(msg, pb_decode(msg, b))
                except Bad as e:
                    d["decode_error"] = e.body
        elif b:
            try:
                d["json"] = json.loads(b)
            except ValueError:
                d["base64"] = base64.b64encode(b).decode()

    def control(self, w, path, body):
        what = path[len("/__mock__/"):]
        with w.lock:
            if what == "fault":
                w.faults.append(dict(json.loads(body), seen=0, done=0)); out = {"ok": True}
            elif what == "reset_faults":
                w.faults.clear(); w.a.fail_every = w.a.drop_every = 0; out = {"ok": True}
            elif what == "transcript":
                out = w.log
            elif what == "state":
                out = {"requests": w.n, "counts": w.counts, "sessions": w.sessions, "samplers": {k: {x: y for x, y in v.items() if x not in ("dist", "done")} for k, v in w.samplers.items()},
                       "models": {k: {"version": m.version, "adam_steps": m.t, "forward": m.fwd, "forward_backward": m.fwdbwd, "theta": m.th, "next_seq": m.next,
                                      "queued_seqs": sorted(m.queue), "grad": m.grad} for k, m in w.models.items()},
                       "checkpoints": sorted(w.ckpt), "unanswered_futures": [f.rid for f in w.futures.values() if f.ready is None]}
            elif what.startswith("archive/"):
                buf = io.BytesIO()
                with tarfile.open(fileobj=buf, mode="w") as t:
                    for n, c in (("adapter_config.json", b'{"r":16}'), ("adapter_model.safetensors", b"\x02\0\0\0\0\0\0\0{}"), ("checkpoint_complete", b"")):
                        ti = tarfile.TarInfo(n); ti.size = len(c); t.addfile(ti, io.BytesIO(c))
                data = buf.getvalue()
                if self.headers.get("X-API-Key"):
                    data = b"X-API-Key must not be sent to the signed URL"
                self.send_response(400 if self.headers.get("X-API-Key") else 200)
                self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)
                return
            else:
                out = {"detail": "unknown control path"}
            data = json.dumps(out, default=str).encode()
        self.send_response(200); self.send_header("Content-Type", "application/json"); self.send_header("Content-Length", str(len(data))); self.end_headers(); self.wfile.write(data)

    # ---- authentication and routing
    def auth(self, w, ep):
        k = self.headers.get("X-API-Key", "")
        deny = Bad(401, "Unable to validate credential")
        if w.a.wire == "json":
            return
        if w.a.jwt and ep not in ("client/config", "auth/token"):
            if k not in w.jwts or time.time() > w.jwts[k]:
                self.extra["WWW-Authenticate"] = 'Bearer error="invalid_token"'
                raise Bad(401, "Invalid JWT")
        elif w.a.api_key and k != w.a.api_key or not k.startswith(("tml-", "eyJ")):
            raise deny

    def dispatch(self, w, ep, body, fault):
        if ep is None:
            raise Bad(404, "Not Found")
        with w.lock:
            w.counts[self.command + " " + re.sub(r"(sessions|training_runs|samplers)/[^/]+", r"\1/*", ep)] = w.counts.get(self.command + " " + re.sub(r"(sessions|training_runs|samplers)/[^/]+", r"\1/*", ep), 0) + 1
        self.auth(w, ep)
        if self.command == "POST" and ep in ("retrieve_future", "retrieve_futures"):
            b = self.json(body, ep)
            return (self.retrieve if ep == "retrieve_future" else self.retrieve_many)(w, b, fault)
        with w.lock:
            out = self.route(w, ep, body)
        if isinstance(out, tuple):
            return out
        return 200, "application/json", json.dumps(out).encode()

    def json(self, body, kind, loc=("body",)):
        if "application/json" not in self.headers.get("Content-Type", ""):
            raise Bad(415, "Content-Type must be application/json for this endpoint")
        try:
            d = json.loads(body, parse_constant=lambda c: (_ for _ in ()).throw(ValueError(c)))
        except ValueError as e:
            raise Bad(400, "body is not valid JSON: %s" % e)
        return check(kind, d, loc, self.server.w.a.schema == "0.25")

    def route(self, w, ep, body):
        a, cmd = w.a, self.command
        J = a.wire == "json"
        if cmd == "POST":
            if ep == "client/config":
                if not J:
                    self.json(body, ep)
                return {"pjwt_auth_enabled": bool(a.jwt)} if J else {
                    "pjwt_auth_enabled": bool(a.jwt), "credential_default_source": "api_key", "parallel_fwdbwd_chunks": True, "proto_compress_fwdbwd": bool(a.zstd),
                    "fwdbwd_max_chunk_len": a.max_chunk_len, "fwdbwd_max_chunk_bytes_count": a.max_chunk_bytes, "use_pyqwest_transport": False,
                    "sample_use_retrieve_futures": bool(a.retrieve_futures), "sample_max_concurrent_requests": 2000}
            if ep == "client/dynamic_config" and not J:
                self.json(body, ep)
                return {"refresh_interval_sec": 300, "sample_cancel_enabled": True, "sample_cancel_max_batch_size": 64}
            if ep == "auth/token":
                exp = time.time() + a.jwt_lifetime
                e = lambda o: base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
                tok = e({"alg": "none", "typ": "JWT"}) + "." + e({"iss": "passport-mock", "iat": int(time.time()), "exp": int(exp), "n": len(w.jwts)}) + ".sig"
                w.jwts[tok] = exp
                return {"jwt": tok}
            if ep == "telemetry":
                return {"status": "accepted"}
            if ep == "create_session":
                b = self.json(body, ep)
                if a.min_sdk and b["sdk_version"] < a.min_sdk:
                    raise Bad(400, "Your Tinker SDK version is no longer supported. Please upgrade to the latest version.")
                n = len(w.sessions)
                sid = ("session_%08x" if J else "%08x-0000-4000-8000-000000000000") % (splitmix(n) >> 32)
                w.sessions[sid] = {"sdk_version": b["sdk_version"], "tags": b["tags"], "user_metadata": b.get("user_metadata"), "finished": None, "heartbeats": 0,
                                   "models": {}, "samplers": {}}
                return {"type": "create_session", "info_message": None, "warning_message": None, "error_message": None, "session_id": sid}
            if ep == "session_heartbeat":
                b = self.json(body, ep)
                s = w.sessions.get(b["session_id"])
                if s is None:
                    raise Bad(404, "Session not found")
                if s["finished"]:
                    raise Bad(410, "Session has finished")
                s["heartbeats"] += 1
                return {"type": "session_heartbeat"}
            m = re.match(r"^sessions/([^/]+)/finish$", ep)
            if m and not J:
                b = self.json(body, "finish")
                s = w.sessions.get(m[1])
                if s is None:
                    raise Bad(404, "Session not found")
                if b["reason"].get("type") not in ("success", "errored", "interrupted") or set(b["reason"]) != {"type"}:
                    raise Bad(422, "reason must be {\"type\": success|errored|interrupted}", ["body", "reason"])
                s["finished"] = s["finished"] or dict(b)
                return 204, None, b""
            if ep == "create_model":
                return self.create_model(w, self.json(body, ep))
            if ep == "get_info":
                mod = w.model(self.json(body, ep)["model_id"])
                return {"type": "get_info", "model_id": mod.id, "model_data": {"arch": "toy-bigram", "model_name": mod.base.name, "tokenizer_id": mod.base.name + ":rev0"},
                        "is_lora": True, "lora_rank": mod.lora["rank"], "model_name": mod.base.name, "optimizer_config": {"type": "adamw"}}
            if ep == "unload_model":
                mod = w.model(self.json(body, ep)["model_id"])
                mod.dead = True
                f = w.new_future((mod.id, "unload"), "unload_model")
                w.finish(f, lambda: ({"model_id": mod.id, "type": "unload_model"}, None))
                return {"request_id": f.rid, "model_id": mod.id}
            if ep in ("forward_backward", "forward"):
                return self.fwdbwd(w, ep, body)
            if ep == "optim_step":
                b = self.json(body, ep)
                p = check("adam_params", b["adam_params"], ("body", "adam_params"))
                for k, lo_, hi_ in (("learning_rate", 0, 1e9), ("beta1", 0, 1 - 1e-12), ("beta2", 0, 1 - 1e-12), ("eps", 0, 1e9), ("weight_decay", 0, 1e9)):
                    if not lo_ <= p.get(k, lo_) <= hi_:
                        raise Bad(422, "%s out of range" % k, ["body", "adam_params", k])
                mod = w.model(b["model_id"])
                f = w.train_op(mod, b["seq_id"], "optim_step", body, lambda: op_adam(w, mod, p))
                return {"request_id": f.rid, "model_id": mod.id}
            if ep in ("save_weights", "save_weights_for_sampler", "load_weights"):
                return self.weights(w, ep, self.json(body, ep), body)
            if ep == "create_sampling_session":
                b = self.json(body, ep)
                s = w.session(b["session_id"])
                if (b.get("base_model") is None) == (b.get("model_path") is None):
                    raise Bad(400, "Exactly one of base_model or model_path must be provided")
                return {"type": "create_sampling_session", "sampling_session_id": self.sampler(w, b["session_id"], s, b["sampling_session_seq_id"], b.get("base_model"), b.get("model_path"))}
            if ep == "join_sampling_session" and not J:
                s = w.samplers.get(self.json(body, ep)["sampling_session_id"])
                if s is None:
                    raise Bad(404, "Sampling session not found")
                s["clients"] += 1
                return {"type": "join_sampling_session", "client_counter": s["clients"]}
            if ep == "asample":
                return self.asample(w, self.json(body, ep), body)
            if ep == "cancel_future" and not J:
                f = w.futures.get(self.json(body, ep)["request_id"])
                if f is None:
                    raise Bad(404, "Future not found")
                return 204, None, b""
            if ep == "weights_info":
                c = w.ckpt.get(self.json(body, ep)["tinker_path"])
                if c is None:
                    raise Bad(404, "Checkpoint not found")
                return {"base_model": c["base"], "is_lora": True, "lora_rank": c["lora"]["rank"], "train_unembed": c["lora"].get("train_unembed", True),
                        "train_mlp": c["lora"].get("train_mlp", True), "train_attn": c["lora"].get("train_attn", True), "optimizer_config": {"type": "adamw"}}
        if cmd == "GET":
            if ep == "healthz":
                return {"status": "ok"}
            if ep == "get_server_capabilities":
                return {"supported_models": [{"model_name": x, "max_context_length": 32768, "trainable": True, "sampleable": True} for x in a.model]}
            m = re.match(r"^samplers/(.+)$", ep)
            if m:
                s = w.samplers.get(m[1])
                if s is None:
                    raise Bad(404, "Sampler not found")
                return {"sampler_id": m[1], "base_model": s["base"], "model_path": s["path"]}
            if ep == "sessions":
                return {"sessions": list(w.sessions)}
            m = re.match(r"^sessions/([^/]+)$", ep)
            if m and m[1] in w.sessions:
                s = w.sessions[m[1]]
                return {"training_run_ids": list(s["models"].values()), "sampler_ids": list(s["samplers"].values())}
        return self.rest(w, ep, body)

    # ---- REST administration
    def rest(self, w, ep, body):
        cmd = self.command

        def run(m):
            return {"training_run_id": m.id, "base_model": m.base.name, "model_owner": "mock", "is_lora": True, "corrupted": False, "lora_rank": m.lora["rank"],
                    "last_request_time": ISO(w.t0), "last_checkpoint": None, "last_sampler_checkpoint": None, "user_metadata": m.meta}

        def ck(p, c):
            return {"checkpoint_id": p.split("/", 3)[3], "checkpoint_type": c["kind"], "time": ISO(c["time"]), "tinker_path": p, "size_bytes": 128, "public": c["public"],
                    "expires_at": ISO(c["expires"]) if c["expires"] else None}
        lim, off = int(self.q.get("limit", 20)), int(self.q.get("offset", 0))
        if cmd == "GET" and ep == "training_runs":
            ms = list(w.models.values())
            return {"training_runs": [run(m) for m in ms[off:off + lim]], "cursor": {"offset": off, "limit": lim, "total_count": len(ms)}}
        if cmd == "GET" and ep == "checkpoints":
            cs = list(w.ckpt.items())
            return {"checkpoints": [ck(*x) for x in cs[off:off + lim]], "cursor": {"offset": off, "limit": lim, "total_count": len(cs)}}
        m = re.match(r"^training_runs/([^/]+)$", ep)
        if cmd == "GET" and m and m[1] in w.models:
            return run(w.models[m[1]])
        m = re.match(r"^training_runs/([^/]+)/checkpoints$", ep)
        if cmd == "GET" and m and m[1] in w.models:
            return {"checkpoints": [ck(p, c) for p, c in w.ckpt.items() if p.startswith("tinker://%s/" % m[1])]}
        m = re.match(r"^training_runs/([^/]+)/checkpoints/((?:sampler_)?weights/[^/]+)(?:/(publish|ttl|archive))?$", ep)
        if m:
            p = "tinker://%s/%s" % (m[1], m[2])
            if p not in w.ckpt:
                raise Bad(404, "Checkpoint not found: %s" % p)
            c = w.ckpt[p]
            if cmd == "DELETE" and not m[3]:
                del w.ckpt[p]
                return 204, None, b""
            if m[3] == "publish" and cmd in ("POST", "DELETE"):
                c["public"] = cmd == "POST"
                return 204, None, b""
            if m[3] == "ttl" and cmd == "PUT":
                b = self.json(body, "ttl")
                if "ttl_seconds" not in b:
                    raise Bad(422, "Field required: 'ttl_seconds'", ["body", "ttl_seconds"])
                c["expires"] = time.time() + b["ttl_seconds"] if b["ttl_seconds"] else None
                return 204, None, b""
            if m[3] == "archive" and cmd == "GET":
                self.extra["Location"] = "http://127.0.0.1:%d/__mock__/archive/%s.tar" % (w.a.port, m[2].replace("/", "_"))
                return 302, "application/json", b"{}"
        raise Bad(404, "Not Found: %s %s" % (cmd, ep))

    # ---- models, weights
    def create_model(self, w, b):
        s = w.session(b["session_id"])
        lora = check("lora_config", b.get("lora_config") or {}, ("body", "lora_config"))
        if not 1 <= lora["rank"] <= 128:
            raise Bad(400, "lora_config.rank must be in 1..128")
        if not any(lora.get(k, True) for k in ("train_mlp", "train_attn", "train_unembed")):
            raise Bad(400, "at least one of train_mlp, train_attn, train_unembed must be true")
        oc = b.get("optimizer_config")
        if oc is not None and oc.get("type") != "adamw":
            raise Bad(400, "optimizer_config.type '%s' is not supported by this mock" % oc.get("type"))
        mid = self.new_model(w, b["session_id"], s, b["model_seq_id"], w.base(b["base_model"]), lora, b.get("user_metadata"))
        rid = "req-create-" + hashlib.sha256(mid.encode()).hexdigest()[:12]
        if w.a.wire == "json":
            f = w.models[mid].seen.get("create") or w.new_future(mid, "create_model")
            w.models[mid].seen["create"] = f
        else:
            f = w.futures.get(rid) or Future(rid, "create_model")
            w.futures[rid] = f
        if f.ready is None:
            w.finish(f, lambda: ({"model_id": mid, "type": "create_model"}, None))
        return {"request_id": f.rid} if w.a.wire != "json" else {"request_id": f.rid, "model_id": mid, "base_model": b["base_model"], "status": "created"}

    @staticmethod
    def new_model(w, sid, s, n, base, lora, meta):
        if n in s["models"]:
            return s["models"][n]
        mid = "%s:train:%d" % (sid, n) if w.a.wire != "json" else "model_%08x" % (splitmix(1000 + len(w.models)) >> 32)
        s["models"][n] = mid
        w.models[mid] = Model(mid, sid, base, lora, meta)
        return mid

    @staticmethod
    def sampler(w, sid, s, n, base_model, path, dist=None, name=None):
        if n in s["samplers"]:
            old = w.samplers[s["samplers"][n]]
            if old["key"] != (base_model, path):
                raise Bad(400, "sampling_session_seq_id %d was already used" % n)
            return s["samplers"][n]
        if path is not None:
            c = w.ckpt.get(path)
            if c is None or c["kind"] != "sampler":
                raise Bad(404, "Sampler checkpoint not found: %s (a training checkpoint cannot be sampled)" % path)
            base_model_name, dist = c["base"], Dist(Base.get(c["base"], w.a.vocab, w.a.eos), c["th"])
        elif dist is not None:
            base_model_name = name
        else:
            base_model_name, dist = base_model, w.base_d(base_model)
        ssid = "%s:sample:%d" % (sid, n) if w.a.wire != "json" else "sampling_%08x" % (splitmix(2000 + len(w.samplers)) >> 32)
        s["samplers"][n] = ssid
        w.samplers[ssid] = {"base": base_model_name, "path": path, "key": (base_model, path), "session": sid, "dist": dist, "seen": {}, "clients": 0, "done": {}, "samples": 0}
        return ssid

    def weights(self, w, ep, b, body):
        ttl = b.get("ttl_seconds")
        if ttl is not None and not 3600 <= ttl <= 10 * 365 * 86400:
            raise Bad(400, "ttl_seconds must be between 3600 and 10 years")
        if ep == "load_weights":
            if b.get("session_id") is not None:      # create-via-load: no model_id, no seq_id
                if b.get("model_id") is not None or b.get("seq_id") is not None or b.get("model_seq_id") is None:
                    raise Bad(422, "set either model_id and seq_id, or session_id and model_seq_id", ["body"])
                s = w.session(b["session_id"])
                c = self.find(w, b["path"], "training")
                mid = self.new_model(w, b["session_id"], s, b["model_seq_id"], w.base(b.get("base_model") or c["base"]), dict(c["lora"]), b.get("user_metadata"))
                mod = w.models[mid]
                key = "load0"
                f = mod.seen.get(key) or w.new_future((mid, 0), "load_weights")
                mod.seen[key] = f
                if f.ready is None:
                    w.finish(f, lambda: self.do_load(mod, c, b))
                return {"request_id": f.rid, "model_id": mid}
            if b.get("model_id") is None or b.get("seq_id") is None:
                raise Bad(422, "set either model_id and seq_id, or session_id and model_seq_id", ["body"])
            mod = w.model(b["model_id"])
            if b["seq_id"] not in mod.seen:
                self.find(w, b["path"], "training")
            f = w.train_op(mod, b["seq_id"], ep, body, lambda: self.do_load(mod, self.find(w, b["path"], "training"), b))
            return {"request_id": f.rid, "model_id": mod.id}
        mod = w.model(b["model_id"])
        name = b.get("path")
        if name is not None and not NAME.match(name):
            raise Bad(400, "checkpoint name '%s' may hold only letters, digits, '_', '-', '.'" % name)
        kind = "weights" if ep == "save_weights" else "sampler_weights"
        if ep == "save_weights" and name is None:
            raise Bad(400, "path is required")
        sess = w.session(mod.sess)
        if ep != "save_weights" and (name is None) == (b.get("sampling_session_seq_id") is None):
            raise Bad(400, "exactly one of path and sampling_session_seq_id must be set")
        path = "tinker://%s/%s/%s" % (mod.id, kind, name)
        if name is not None and b["seq_id"] not in mod.seen and path in w.ckpt and not b.get("overwrite"):
            raise Bad(409, "Checkpoint '%s' already exists for model '%s'" % (name, mod.id))

        def go():
            if name is None:
                ss = self.sampler(w, mod.sess, sess, b["sampling_session_seq_id"], ("ephemeral", mod.id, b["seq_id"]), None, Dist(mod.base, mod.th), mod.base.name)
                return {"path": None, "sampling_session_id": ss, "type": ep}, None
            w.ckpt[path] = {"kind": "training" if ep == "save_weights" else "sampler", "base": mod.base.name, "lora": mod.lora, "th": list(mod.th), "m": list(mod.m), "v": list(mod.v),
                            "t": mod.t, "version": mod.version, "time": time.time(), "public": False, "expires": time.time() + ttl if ttl else None}
            return {"path": path, "type": ep}, None
        # the official SDK takes a fresh sampling_session_seq_id when it repeats an ephemeral save, so that field is no part of the identity
        ident = json.dumps({k: v for k, v in b.items() if k != "sampling_session_seq_id"}, sort_keys=True)
        f = w.train_op(mod, b["seq_id"], ep, ident, go)
        return {"request_id": f.rid, "model_id": mod.id}

    @staticmethod
    def find(w, path, kind):
        if not re.match(r"^tinker://[^/]+/(weights|sampler_weights)/[^/]+$", path):
            raise Bad(400, "path must be tinker://<run>/<weights|sampler_weights>/<name>")
        c = w.ckpt.get(path)
        if c is None or c["kind"] != kind:
            raise Bad(404, "Checkpoint not found: %s" % path)
        return c

    @staticmethod
    def do_load(mod, c, b):
        if c["lora"]["rank"] != mod.lora["rank"]:
            raise UserError("checkpoint has rank %d, model has rank %d" % (c["lora"]["rank"], mod.lora["rank"]))
        mod.th, mod.version = list(c["th"]), c["version"]
        mod.m, mod.v, mod.t = (list(c["m"]), list(c["v"]), c["t"]) if b["optimizer"] else ([0.0] * 16, [0.0] * 16, 0)
        mod.grad = [0.0] * 16
        return {"path": b["path"], "model_id": mod.id, "type": "load_weights"}, None

    # ---- forward / backward
    def fwdbwd(self, w, ep, body):
        ctype, a = self.headers.get("Content-Type", ""), w.a
        if PB in ctype:
            if a.wire == "json":   # what SkyRL 0.3.0 does with a protobuf body
                return 500, "text/plain; charset=utf-8", b"Internal Server Error"
            if ep == "forward":
                raise Bad(404, "there is no protobuf /forward; set forward_only on /forward_backward")
            rawb = body
            if self.headers.get("Content-Encoding", "identity").lower() == "zstd":
                try:
                    import zstandard
                    rawb = zstandard.ZstdDecompressor().decompressobj().decompress(body)
                except ImportError:
                    raise Bad(415, "this mock has no zstd; do not compress unless client/config says so")
            self.rec["req"] = "ForwardBackwardRequest"
            d = pb_decode("ForwardBackwardRequest", rawb)
            for k in ("model_id", "seq_id", "loss_fn", "data"):
                if not d.get(k):
                    raise Bad(400, "ForwardBackwardRequest.%s is missing (proto3 default values are not sent)" % k)
            data = []
            for i, t in enumerate(d["data"]):
                toks = []
                for c in t.get("model_input", []):
                    if set(c) != {"encoded_text"}:
                        raise Bad(400, "data[%d].model_input: the toy model takes encoded_text chunks only" % i)
                    toks += list(c["encoded_text"].get("tokens", []))
                data.append((toks, {k: tensor_pb(v, ("data", i, "loss_fn_inputs", k)) for k, v in t.get("loss_fn_inputs", {}).items()}))
            cfg = dict(d.get("loss_fn_config", {}))
            for k, v in d.get("loss_fn_config_v2", {}).items():   # v2 wins where both are present
                if "number" not in v:
                    raise Bad(400, "loss_fn_config_v2.%s: only numbers are understood here" % k)
                cfg[k] = v["number"]
            mid, seq, fn, fwd = d["model_id"], d["seq_id"], d["loss_fn"], bool(d.get("forward_only"))
        else:
            if a.wire == "proto":
                raise Bad(415, "forward_backward takes application/x-protobuf")
            b = self.json(body, ep)
            key = "forward_input" if ep == "forward" else "forward_backward_input"
            fi = check("fwd_input", b[key], ("body", key))
            data = []
            for i, t in enumerate(fi["data"]):
                loc = ("body", key, "data", i)
                check("datum", t, loc)
                data.append((model_tokens_json(t["model_input"], loc + ("model_input",)), {k: tensor_json(v, loc + ("loss_fn_inputs", k)) for k, v in t["loss_fn_inputs"].items()}))
            mid, seq, fn, cfg, fwd = b["model_id"], b["seq_id"], fi["loss_fn"], fi.get("loss_fn_config") or {}, ep == "forward"
        if not data:
            raise Bad(400, "data is empty")
        if len(data) > a.max_chunk_len:
            raise Bad(400, "%d datums in one request; client/config says at most %d" % (len(data), a.max_chunk_len))
        if any(not t for t, _ in data):
            raise Bad(400, "a datum has no input tokens")
        mod = w.model(mid)
        f = w.train_op(mod, seq, "forward" if fwd else "forward_backward", body, lambda: op_fwdbwd(w, mod, data, fn, cfg, fwd))
        return {"request_id": f.rid, "model_id": mod.id}

    # ---- sampling
    def asample(self, w, b, body):
        sp = check("sampling_params", b["sampling_params"], ("body", "sampling_params"))
        toks = model_tokens_json(b["prompt"], ("body", "prompt"))
        if not toks:
            raise Bad(400, "prompt is empty")
        if sp.get("max_tokens") is None:
            raise Bad(400, "max_tokens is required")
        if not 1 <= sp["max_tokens"] <= 32768 or not 1 <= b.get("num_samples", 1) <= 1024:
            raise Bad(400, "max_tokens or num_samples out of range")
        if sp.get("temperature", 1) < 0 or not 0 < sp.get("top_p", 1) <= 1 or sp.get("top_k", -1) < -1:
            raise Bad(400, "temperature, top_p or top_k out of range")
        st = sp.get("stop")
        if st is not None and not isinstance(st, str) and not (isinstance(st, list) and (all(isinstance(x, str) for x in st) or all(isinstance(x, int) and not isinstance(x, bool) for x in st))):
            raise Bad(422, "stop must be a string, a list of strings or a list of integers", ["body", "sampling_params", "stop"])
        if b.get("target_prompt_logprobs") is not None or b.get("prompt_alt_tokens_k"):
            raise Bad(400, "target_prompt_logprobs and prompt_alt_tokens_k are not supported by this mock")
        ln = b.get("prompt_logprobs_last_n")
        if ln is not None and not (b.get("prompt_logprobs") and 1 <= ln <= len(toks) - 1):
            raise Bad(400, "prompt_logprobs_last_n needs prompt_logprobs and 1 <= n <= len(prompt)-1")
        if b.get("sampling_session_id") is not None:
            if b.get("seq_id") is None:
                raise Bad(422, "'seq_id' must be provided with 'sampling_session_id'", ["body", "seq_id"])
            s = w.samplers.get(b["sampling_session_id"])
            if s is None:
                raise Bad(404, "Sampling session not found")
            w.session(s["session"])
            dist, seen, sid, seq = s["dist"], s["seen"], b["sampling_session_id"], b["seq_id"]
        else:
            if (b.get("base_model") is None) == (b.get("model_path") is None):
                raise Bad(422, "exactly one of sampling_session_id, base_model, model_path", ["body"])
            c = self.find(w, b["model_path"], "sampler") if b.get("model_path") else None
            dist = Dist(Base.get(c["base"], w.a.vocab, w.a.eos), c["th"]) if c else w.base_d(b["base_model"])
            s, seen, sid, seq = None, {}, "direct", len(w.futures)
        if seq in seen:
            f, k = seen[seq]
            if k != body:
                raise Bad(400, "seq_id %d of %s was already used by a different request" % (seq, sid))
        else:
            now = time.time()
            if w.a.max_inflight and sum(1 for f in w.futures.values() if f.kind == "sample" and (f.ready is None or f.ready > now)) >= w.a.max_inflight:
                self.extra["retry-after"] = "1"
                raise Bad(429, "Too many sampling requests in flight")
            f = w.new_future((sid, seq), "sample")
            seen[seq] = (f, body)
            w.finish(f, lambda: op_sample(w, dist, toks, b, "%s:%s" % (sid, seq)))
            if s is not None:
                s["samples"] += b.get("num_samples", 1)
                s["done"].setdefault(seq // 1000000000, []).append(f)
        out = {"request_id": f.rid}
        if w.a.wire != "json":
            out["sample_sequence_ids"] = ["%s-s%d" % (f.rid, i) for i in range(b.get("num_samples", 1))]
        return out

    # ---- promises
    def retrieve(self, w, b, fault):
        J = w.a.wire == "json"
        end = time.time() + w.a.hold
        ta = {"type": "try_again", "request_id": b["request_id"], "queue_state": (fault or {}).get("queue_state", "active"), "queue_state_reason": (fault or {}).get("reason")}
        with w.lock:
            f = w.futures.get(b["request_id"])
            if f is None:
                raise Bad(404, "Future not found: %s" % b["request_id"])
            act = (fault or {}).get("action")
            if act == "try_again":
                return fault.get("http", 408), "application/json", json.dumps(ta).encode()
            if act == "expired":
                raise Bad(410, "Promise expired")
            while f.ready is None or f.ready > time.time():
                left = (end if f.ready is None else min(end, f.ready)) - time.time()
                if time.time() >= end:
                    return (408, "application/json", json.dumps({"detail": "Timeout waiting for result"} if J else ta).encode())
                w.lock.wait(max(0.001, left))
            if act == "metadata" and b.get("allow_metadata_only") and f.proto:
                return 200, "application/json", json.dumps({"status": "complete_metadata", "request_id": f.rid, "response_payload_size": len(f.proto[1])}).encode()
            if f.error:
                if J:
                    raise Bad(400, f.error["error"])
                return 200, "application/json", json.dumps(f.error).encode()
            if f.proto and not J and PB in self.headers.get("Accept", ""):
                self.rec["res"] = f.proto[0]
                return 200, PB, f.proto[1]
            if f.proto and w.a.wire == "proto":
                raise Bad(406, "this result exists only as application/x-protobuf; send Accept: application/x-protobuf")
            return 200, "application/json", json.dumps(f.result).encode()

    def retrieve_many(self, w, b, fault):
        t = b["target"]
        if t.get("type", "sampling_session") != "sampling_session" or t.get("sampling_session_id") not in w.samplers:
            raise Bad(404, "Sampling session not found")
        s, cur, end = w.samplers[t["sampling_session_id"]], b.get("prev_cursor", 0), time.time() + (w.a.hold if b.get("timeout") is None else b["timeout"])
        with w.lock:
            while True:
                q = s["done"].get(t.get("cloned_sampler_id", 0), [])
                new = q[cur:cur + len(list(itertools.takewhile(lambda f: f.ready is not None and f.ready <= time.time(), q[cur:])))]
                if new or time.time() >= end:
                    comps = [{"state": "failed", "request_id": f.rid} if f.error else {"state": "finished", "request_id": f.rid, "response_payload_uncompressed_size": len(f.proto[1])} for f in new]
                    return 200, "application/json", json.dumps({"completions": comps, "cursor": cur + len(new)}).encode()
                w.lock.wait(0.02)


def main():
    p = argparse.ArgumentParser(description="strict deterministic Tinker test server")
    p.add_argument("--port", type=int, default=8010)
    p.add_argument("--prefix", default="", help="path in front of /api/v1, as in the hosted base URL")
    p.add_argument("--model", action="append", help="supported base model (repeatable)")
    p.add_argument("--vocab", type=int, default=49152)
    p.add_argument("--eos", type=int, default=2)
    p.add_argument("--wire", choices=["auto", "proto", "json"], default="auto")
    p.add_argument("--proto", "--protobuf", dest="wire", action="store_const", const="proto")
    p.add_argument("--json", dest="wire", action="store_const", const="json")
    p.add_argument("--schema", choices=["0.38", "0.25"], default="0.38", help="0.25: request fields added later are refused")
    p.add_argument("--lenient", action="store_true", help="cross_entropy without weights means all ones")
    p.add_argument("--latency", type=float, default=0, help="ms until a promise is ready")
    p.add_argument("--hold", type=float, default=2.0, help="seconds that retrieve_future waits before 408")
    p.add_argument("--fail-every", type=int, default=0)
    p.add_argument("--fail-status", type=int, default=503)
    p.add_argument("--drop-every", type=int, default=0)
    p.add_argument("--drop-mode", choices=["drop_after", "drop_before", "truncate"], default="drop_after")
    p.add_argument("--max-inflight", type=int, default=0)
    p.add_argument("--max-chunk-len", type=int, default=1024)
    p.add_argument("--max-chunk-bytes", type=int, default=5000000)
    p.add_argument("--jwt", action="store_true")
    p.add_argument("--jwt-lifetime", type=float, default=3600)
    p.add_argument("--zstd", action="store_true", help="advertise proto_compress_fwdbwd (needs the zstandard module)")
    p.add_argument("--retrieve-futures", action="store_true")
    p.add_argument("--api-key", default="")
    p.add_argument("--min-sdk", default="", help="refuse create_session with a smaller sdk_version (string compare)")
    p.add_argument("--fault", action="append", type=json.loads, default=[])
    p.add_argument("--record", default="")
    p.add_argument("--verbose", action="store_true")
    a = p.parse_args()
    a.model = a.model or ["toy/bigram-49k", "Qwen/Qwen3-8B"]
    ThreadingHTTPServer.daemon_threads = True
    ThreadingHTTPServer.request_queue_size = 512
    srv = ThreadingHTTPServer(("127.0.0.1", a.port), Handler)
    a.port = srv.server_address[1]
    w = srv.w = World(a)
    w.tls = threading.local()
    w.tls.future_error = None

    def stop(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGTERM, stop)
    print("mock on http://127.0.0.1:%d%s wire=%s" % (a.port, a.prefix, a.wire), flush=True)
    try:
        srv.serve_forever(poll_interval=0.1)
    except KeyboardInterrupt:
        pass
    if a.record and a.record != "-":
        opts = {k: v for k, v in vars(a).items() if k not in ("record", "port", "verbose") and v != p.get_default(k)}
        with open(a.record, "w") as f:
            json.dump({"server_options": opts, "exchanges": w.log}, f, indent=1)


if __name__ == "__main__":
    main()
