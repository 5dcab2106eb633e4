#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A server of the completions API for tests, answering in the shapes of the servers that people run.

    openai_server.py [--shape vllm|sglang|llamacpp|plain|bare] [--fault JSON]... [--key KEY] [--latency SECONDS]
                     [--weights N] [--port PORT]

It prints the port it listens on (127.0.0.1), a line by itself, and serves until its standard input ends or it is killed.

Shapes, from recorded answers and the servers' sources:
  vllm      prompts of token ids; "token_ids" where return_token_ids is asked for; n samples, which differ; seeds; top_k,
            min_p; "prompt_logprobs" as a list of {"ID": {"logprob", "rank", "decoded_token"}}; "stop_reason"
  processed the same, log-probabilities after temperature (--logprobs-mode processed_logprobs)
  sglang    the same without "prompt_logprobs" (an unknown field is ignored); echo gives the prompt's log-probabilities;
            "matched_stop"; the n samples of one seed are the same
  llamacpp  llama.cpp's own server: n is ignored, "logprobs" is {"content": [{"id", "token", "logprob", "top_logprobs"}]},
            return_token_ids is ignored, echo too
  plain     llama-cpp-python: text only (token ids are answered with 422), n is ignored
  bare      no log-probabilities (asked for, 500), no seeds, text only, and any field that OpenAI has not is refused

Left out, top_k is 1 at llamacpp and plain, as their defaults are not those of the model: a client that leaves it out gets
the likeliest tokens only. top_k -1 is refused by plain (422), 0 by sglang (400).

The model is a bigram over bytes: tokens 0-255 are bytes, 257 <|im_start|>, 258 <|im_end|>; after token u, token v in
{10, 32..126, 258} has the logit ((31 u + 17 v + WEIGHTS) mod 13) / 4, all others none.

A fault is {"path": "completions", "from": 1, "count": 1, "action": A, …}: "from" counts requests of that path, count -1
is for ever. A: status (with "status", "headers", "body"), drop, truncate, garbage, short (a log-probability is missing),
hang (until the client goes), lie (with "how", see lie below), echo (an error that repeats the key, cut into the sentence
after "before" bytes).
"""
import argparse, json, math, random, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

END, ALLOWED = 258, [10] + list(range(32, 127)) + [258]
WEIGHTS = 0
LOCK = threading.Lock()
COUNTS = {"requests": 0, "completions": 0, "samples": 0}


def logits(u, temperature=1.0):
    return [((31 * u + 17 * v + WEIGHTS) % 13) / 4 / temperature for v in ALLOWED]


def log_softmax(xs):
    top = max(xs)
    total = math.log(sum(math.exp(x - top) for x in xs)) + top
    return [x - total for x in xs]


RAW = {}


def raw(u):
    if u not in RAW:
        RAW[u] = dict(zip(ALLOWED, log_softmax(logits(u))))
    return RAW[u]


def spell(v):
    return "" if v >= 256 else chr(v)


def encode(text):
    out, i = [], 0
    special = {"<|im_start|>": 257, "<|im_end|>": 258}
    while i < len(text):
        for name, v in special.items():
            if text.startswith(name, i):
                out.append(v)
                i += len(name)
                break
        else:
            out += text[i].encode()
            i += 1
    return out


def draw(rng, u, q):
    lps = log_softmax(logits(u, q["temperature"])) if q["temperature"] > 0 else None
    if lps is None or q["top_k"] == 1:
        ls = logits(u)
        return ALLOWED[max(range(len(ls)), key=lambda i: (ls[i], -i))], 0.0
    kept = sorted(zip(lps, ALLOWED), key=lambda x: (-x[0], x[1]))
    if q["top_k"] > 0:
        kept = kept[:q["top_k"]]
    if q["min_p"] > 0:
        kept = [x for x in kept if x[0] >= kept[0][0] + math.log(q["min_p"])]
        if q["min_p"] >= 1:
            kept = kept[:1]
    total = sum(math.exp(x[0]) for x in kept)
    r = rng.random() * total
    for lp, v in kept:
        r -= math.exp(lp)
        if r <= 0:
            break
    return v, lp - math.log(total)


def sample(prompt, q, seed):
    rng, tokens, drawn, text, reason, stop = random.Random(seed), [], [], "", "length", None
    u = prompt[-1]
    while len(tokens) < q["max_tokens"]:
        v, lp = draw(rng, u, q)
        tokens.append(v)
        drawn.append(lp)
        u = v
        if v == END:
            reason = "stop"
            break
        text += spell(v)
        hits = [(text.index(s), s) for s in q["stop"] if s in text]
        if hits:
            at, stop = min(hits)
            text, reason = text[:at], "stop"
            break
    return tokens, drawn, text, reason, stop


def openai_logprobs(prompt, tokens, lps, echo):
    all_tokens = (prompt if echo else []) + tokens
    values = ([None] + [raw(u).get(v, -1e4) for u, v in zip(prompt, prompt[1:])] if echo else []) + lps
    before = [None] + all_tokens[:-1] if echo else [prompt[-1]] + tokens[:-1]
    top = []
    for u, v, lp in zip(before, all_tokens, values):
        if u is None:
            top.append(None)
            continue
        best = max(raw(u), key=lambda x: (raw(u)[x], -x))
        top.append({spell(v) or "<end>": lp, spell(best) or "<end>": raw(u)[best]})
    return {"tokens": [spell(v) for v in all_tokens], "token_logprobs": values, "top_logprobs": top, "text_offset": []}


def processed_logprobs(prompt, tokens, q):
    """vLLM with --logprobs-mode processed_logprobs."""
    values, top, u = [], [], prompt[-1]
    for v in tokens:
        dist = dict(zip(ALLOWED, log_softmax(logits(u, q["temperature"] or 1))))
        best = max(dist, key=lambda x: (dist[x], -x))
        values.append(dist[v])
        top.append({spell(v) or "<end>": dist[v], spell(best) or "<end>": dist[best]})
        u = v
    return {"tokens": [spell(v) for v in tokens], "token_logprobs": values, "top_logprobs": top, "text_offset": []}


class Server:
    def __init__(self, o):
        self.shape, self.key, self.latency = o.shape, o.key, o.latency
        self.faults = [dict(json.loads(f)) for f in o.fault]
        self.rng = random.Random(1)

    def fault_of(self, path):
        with LOCK:
            for f in self.faults:
                if not path.endswith(f.get("path", "")):
                    continue
                f["seen"] = f.get("seen", 0) + 1
                n = f["seen"] - f.get("from", 1)
                if n >= 0 and (f.get("count", 1) < 0 or n < f.get("count", 1)):
                    return f
        return None

    def models(self):
        m = {"id": "toy", "object": "model", "owned_by": "tests"}
        if self.shape in ("vllm", "sglang", "processed"):
            m["max_model_len"] = 4096
        if self.shape == "llamacpp":
            m["meta"] = {"n_ctx": 4096}
        return 200, {"object": "list", "data": [m]}

    def completions(self, q):
        s, prompt = self.shape, q["prompt"]
        takes_ids = s in ("vllm", "sglang", "llamacpp", "processed")
        if not takes_ids and not isinstance(prompt, str):
            return 422, {"detail": [{"loc": ["body", "prompt"], "msg": "Input should be a valid string", "type": "string_type"}]}
        ids = encode(prompt) if isinstance(prompt, str) else prompt
        if s == "bare" and q.get("logprobs") is not None:
            return 500, {"error": {"message": "logprobs is not supported for models created with logits_all=False"}}
        if q["model"] != "toy":
            return 404, {"error": {"message": "The model `%s` does not exist." % q["model"], "type": "NotFoundError"}}
        q.setdefault("temperature", 1)
        q.setdefault("max_tokens", 16)
        unknown = [k for k in ("top_k", "min_p", "repetition_penalty", "repeat_penalty", "return_token_ids") if k in q]
        if s == "bare" and unknown:
            return 400, {"error": {"message": "Unrecognized request argument supplied: %s" % unknown[0]}}
        if s == "plain" and q.get("top_k", 0) < 0:
            return 422, {"detail": [{"loc": ["body", "top_k"], "msg": "Input should be greater than or equal to 0", "type": "greater_than_equal"}]}
        if s == "sglang" and q.get("top_k", -1) == 0:
            return 400, {"error": {"message": "top_k must be -1 (disable) or at least 1, got 0"}}
        q["top_k"] = q.get("top_k", 1 if s in ("llamacpp", "plain") else 0) if s != "bare" else 0
        q["min_p"] = q.get("min_p", 0) if s != "bare" else 0
        if (q.get("repeat_penalty", 1), q.get("repetition_penalty", 1)) != (1, 1) or q.get("top_p", 1) != 1:
            return 400, {"error": {"message": "the double has no such sampling"}}
        q["stop"] = q.get("stop") or []
        n = q.get("n", 1) if s in ("vllm", "sglang", "processed") else 1
        with LOCK:
            COUNTS["completions"] += 1
            COUNTS["samples"] += n
        choices = []
        for i in range(n):
            seed = q.get("seed")
            if seed is None or s == "bare":
                seed = self.rng.random()
            elif s != "sglang":
                seed = "%d:%d" % (seed, i)
            tokens, drawn, text, reason, stop = sample(ids, q, seed)
            c = {"index": i, "text": text, "finish_reason": reason, "logprobs": None}
            echo = bool(q.get("echo")) and s in ("sglang", "plain")
            lps = [raw(u)[v] for u, v in zip([ids[-1]] + tokens, tokens)]
            if q.get("logprobs") is not None:
                if s == "llamacpp":
                    tops = [[{"id": v, "token": spell(v), "logprob": lp} for v, lp in [(max(raw(u), key=lambda x: (raw(u)[x], -x)),
                             max(raw(u).values()))]] for u in [ids[-1]] + tokens[:-1]]
                    c["logprobs"] = {"content": [{"id": v, "token": spell(v), "bytes": list(spell(v).encode()), "logprob": lp, "top_logprobs": t}
                                                 for v, lp, t in zip(tokens, lps, tops)]}
                elif s == "processed":
                    c["logprobs"] = processed_logprobs(ids, tokens, q)
                else:
                    c["logprobs"] = openai_logprobs(ids, tokens, lps, echo)
            if s in ("vllm", "processed"):
                c["stop_reason"] = stop
                c["prompt_logprobs"] = None
                if q.get("prompt_logprobs") is not None:
                    c["prompt_logprobs"] = [None] + [{str(v): {"logprob": raw(u).get(v, -9999.0), "rank": 1, "decoded_token": spell(v)}}
                                                     for u, v in zip(ids, ids[1:])]
            if s == "sglang":
                c["matched_stop"] = stop if stop else END if reason == "stop" else None
            if s in ("vllm", "sglang", "processed") and q.get("return_token_ids"):
                c["token_ids"], c["prompt_token_ids"] = tokens, ids
            if echo:
                c["text"] = (prompt if isinstance(prompt, str) else "".join(map(spell, ids))) + text
            choices.append(c)
        total = sum(len(c["text"]) for c in choices)
        return 200, {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "toy", "choices": choices,
                     "usage": {"prompt_tokens": len(ids), "completion_tokens": total, "total_tokens": len(ids) + total}}


def lie(out, how):
    choices = out["choices"]
    if how == "fewer":
        choices.pop()
    if how == "more":
        choices.append(dict(choices[0], index=len(choices)))
    if how == "twice":
        choices[-1]["index"] = 0
    for c in choices:
        lps = c["logprobs"]["token_logprobs"] if c.get("logprobs") else []
        if how == "positive":
            lps[-1] = 2.5
        if how == "nan":
            lps[-1] = "NaN"
        if how == "infinite":
            lps[-1] = -1e39
        if how == "other ids":
            c["token_ids"] = [65 + i % 20 for i, _ in enumerate(c["token_ids"])]
        if how == "no such id":
            c["token_ids"][-1] = 2000000000
        if how == "other text":
            c["text"] = "quite another text"
        if how == "longer":
            c["token_ids"], lps[:], c["text"] = c["token_ids"] * 50, lps * 50, c["text"] * 50
        if how == "positive score" and c.get("prompt_logprobs"):
            for v in list(c["prompt_logprobs"][-1].values()):
                v["logprob"] = 3.5
        if how == "cut ids":
            c["prompt_token_ids"] = c["prompt_token_ids"][1:]
    if how == "cut prompt":
        out["usage"]["prompt_tokens"] -= 1
    if how == "many tokens":
        out["usage"]["completion_tokens"] = 2**31 + 7


def handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body, headers=(), cut=None):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            for k, v in dict(headers).items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if cut is None else data[:cut])
            if cut is not None:
                self.close_connection = True

        def serve(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with LOCK:
                COUNTS["requests"] += 1
            if server.latency:
                time.sleep(server.latency)
            path = self.path
            if path == "/counts":
                return self.answer(200, COUNTS)
            fault = server.fault_of(path)
            action = fault["action"] if fault else ""
            if action == "drop":
                self.close_connection = True
                return None
            if action == "hang":
                self.rfile.read(1)
                self.close_connection = True
                return None
            if action == "status":
                return self.answer(fault["status"], fault.get("body", {"error": {"message": "as the test wants it"}}), fault.get("headers", {}))
            if action == "echo":
                key = (self.headers.get("Authorization") or "")[7:]
                said = "x" * fault.get("before", 0) + " " + {"plain": key, "slash": key.replace("/", "\\/"), "unicode": "".join("\\u%04x" % ord(c) for c in key),
                                                             "percent": "".join("%%%02X" % ord(c) for c in key)}[fault.get("form", "plain")]
                return self.answer(fault.get("status", 400), ('{"error":{"message":"%s"}}' % said).encode(), {"X-Echo": key, "Location": "http://127.0.0.1:1/?k=" + key})
            if server.key and self.headers.get("Authorization") != "Bearer " + server.key:
                return self.answer(401, {"error": {"message": "Incorrect API key provided: %s" % self.headers.get("Authorization")}})
            if path.endswith("/models"):
                status, out = server.models()
            elif path.endswith("/completions"):
                status, out = server.completions(json.loads(body))
            else:
                status, out = 404, {"detail": "Not Found"}
            if action == "short" and status == 200:
                c = out["choices"][0]
                c["logprobs"]["token_logprobs"].pop()
            if action == "lie" and status == 200:
                lie(out, fault["how"])
            if action == "garbage":
                return self.answer(200, b'{"choices": [{"text": "half of')
            return self.answer(status, out, cut=20 if action == "truncate" else None)

        do_GET = do_POST = serve

    return Handler


class Listener(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--shape", default="vllm", choices=["vllm", "processed", "sglang", "llamacpp", "plain", "bare"])
    a.add_argument("--fault", action="append", default=[])
    a.add_argument("--key", default="")
    a.add_argument("--latency", type=float, default=0)
    a.add_argument("--port", type=int, default=0)
    a.add_argument("--weights", type=int, default=0)
    o = a.parse_args()
    global WEIGHTS
    WEIGHTS = o.weights
    listener = Listener(("127.0.0.1", o.port), handler(Server(o)))
    print(listener.server_address[1], flush=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    while sys.stdin.buffer.read(1):
        pass


if __name__ == "__main__":
    main()
