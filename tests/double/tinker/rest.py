# SPDX-License-Identifier: Apache-2.0
"""rest.py: the further endpoints of the double of the Tinker service: administration, models, weights, sampling, promises."""
import argparse, array, base64, bisect, hashlib, heapq, io, itertools, json, math, random, re, signal, socket, struct, sys, tarfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from state import *  # noqa: F403


class Rest:
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
