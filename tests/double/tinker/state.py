# SPDX-License-Identifier: Apache-2.0
"""state.py: what the double of the Tinker service keeps: sessions, models, promises (mock_server.py)."""
import argparse, array, base64, bisect, hashlib, heapq, io, itertools, json, math, random, re, signal, socket, struct, sys, tarfile, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from toy import *  # noqa: F403

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
