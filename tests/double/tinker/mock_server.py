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

CONTROL (no key needed): GET /__mock__/state, GET /__mock__/transcript, POST /__mock__/fault {..}, POST /__mock__/reset_faults,
  POST /__mock__/forget
FAULT object: {"path":"asample","from":1,"count":2,"status":429,"headers":{"retry-after":"1"},"body":{"detail":"x"},"action":"status"}
  path = suffix match on the endpoint ("" any); from = 1-based index among matching requests; count -1 = for ever. action:
  status | drop_before | drop_after (request executed, answer lost) | truncate (half of the body, then close) | empty400 (bare 400, Content-Length 0)
  | future_error (the promise created by this request fails; "error","category") | try_again (retrieve_future: 408 body, or "http":200)
  | lie (of a result in JSON, "how": positive, longer, no such id, positive batch)
  | expired (retrieve_future: 410) | metadata (retrieve_future: complete_metadata first, if allowed) | slow (body byte by byte, "seconds" in all)
"""
import argparse, array, base64, bisect, hashlib, heapq, io, itertools, json, math, random, re, signal, socket, struct, sys, tarfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from rest import *  # noqa: F403

# ---------------------------------------------------------------- HTTP
class Handler(Rest, BaseHTTPRequestHandler):
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

    def lie(self, result, how):
        for s in result.get("sequences", []):
            if how == "positive":
                s["logprobs"][-1] = 2.5
            if how == "longer":
                s["tokens"], s["logprobs"] = s["tokens"] * 50, s["logprobs"] * 50
            if how == "no such id":
                s["tokens"][-1] = 9999
        for o in result.get("loss_fn_outputs", []):
            if how == "positive batch":
                o["logprobs"]["data"][-1] = 1.5
        return json.dumps(result).encode()

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
        if act == "lie" and status == 200 and ctype == "application/json":
            out = self.lie(json.loads(out), fault["how"])
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
            elif what == "forget":  # a restart: sessions and what belongs to them are gone, checkpoints are not
                w.lost = getattr(w, "lost", 0) + len(w.sessions)
                w.sessions.clear(); w.samplers.clear(); w.models.clear(); out = {"ok": True}
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
                n = len(w.sessions) + getattr(w, "lost", 0)
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
