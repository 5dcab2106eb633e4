# SPDX-License-Identifier: Apache-2.0
"""wire.py: the protobuf codec and the request schemas of the double of the Tinker service (mock_server.py)."""
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
