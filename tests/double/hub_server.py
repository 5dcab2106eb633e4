#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A hub of models for tests, as huggingface.co answers: one repository, org/tiny, made of the files of a folder.

    hub_server.py FOLDER [--token T] [--cut BYTES] [--cuts N] [--redirect] [--wrong-hash] [--wrong-part] [--no-range]
                         [--echo-token] [--oid upper|TEXT] [--busy SECONDS] [--commit HEX] [--port PORT]

It prints the port it listens on (127.0.0.1), a line by itself, and serves until its standard input ends or it is killed.
*.safetensors and *.gguf lie in the store of large files, with their SHA-256; --redirect sends whoever asks for one to
http://localhost:PORT/cdn/…, another host by name, where a credential is an error. --cut breaks the connection after so
many bytes of each answer with a file, the first N times (--cuts, for ever without it). --oid upper writes hashes in
upper case, --oid TEXT that text in place of each. --busy refuses files and asks for so long a pause. GET /counts tells what happened.
"""
import argparse, hashlib, json, pathlib, socket, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

LOCK = threading.Lock()
COUNTS = {"requests": 0, "files": 0, "parts": 0, "cuts": 0, "bytes": 0, "leaks": 0}


def handler(o, files):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self, status, body, headers=()):
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for k, v in dict(headers).items():
                self.send_header(k, v)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            return data

        def say(self, status, body, headers=()):
            self.wfile.write(self.answer(status, body, headers))

        def give(self, data):
            if o.busy:
                return self.say(429, {"error": "busy"}, {"Retry-After": o.busy})
            part = self.headers.get("Range", "")
            start = int(part[len("bytes="):-1]) if part and not o.no_range else 0
            if start >= len(data) and start:
                return self.say(416, {"error": "no such range"}, {"Content-Range": "bytes */%d" % len(data)})
            said = start + (o.wrong_part and start > 0)
            headers = {"Content-Range": "bytes %d-%d/%d" % (said, len(data) - 1, len(data))} if start else {}
            out = self.answer(206 if start else 200, data[start:], headers)
            with LOCK:
                COUNTS["files"] += 1
                COUNTS["parts"] += start > 0
                cut = o.cut if o.cut and (o.cuts < 0 or COUNTS["cuts"] < o.cuts) and len(out) > o.cut else 0
                COUNTS["cuts"] += cut > 0
                COUNTS["bytes"] += cut or len(out)
            self.wfile.write(out[:cut] if cut else out)
            if cut:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def do_GET(self):
            path = self.path.split("?")[0]
            with LOCK:
                COUNTS["requests"] += 1
            if path == "/counts":
                return self.say(200, COUNTS)
            said = self.headers.get("Authorization", "")
            if path.startswith("/cdn/"):
                with LOCK:
                    COUNTS["leaks"] += bool(said)
                return self.say(400, {"error": "only one auth mechanism"}) if said else self.give(files[path[5:]])
            if o.token and said != "Bearer " + o.token:
                return self.say(401, {"error": "Invalid credentials in Authorization header: " + said})
            if o.echo_token:
                return self.say(403, {"error": "Access to org/tiny is restricted for " + said}, {"X-Error": said})
            if path == "/api/models/org/tiny/revision/main":
                return self.say(200, {"id": "org/tiny", "sha": o.commit})
            if path == "/api/models/org/tiny/tree/" + o.commit:
                out = []
                for name, data in files.items():
                    e = {"type": "file", "path": name, "size": len(data), "oid": "0" * 40}
                    if name.endswith((".safetensors", ".gguf")):
                        e["lfs"] = {"oid": hashlib.sha256(b"other" if o.wrong_hash else data).hexdigest(), "size": len(data), "pointerSize": 134}
                        if o.oid:
                            e["lfs"]["oid"] = e["lfs"]["oid"].upper() if o.oid == "upper" else o.oid
                    out.append(e)
                out += [{"type": "directory", "path": "onnx", "oid": "1" * 40, "size": 0},
                        {"type": "file", "path": "pytorch_model.bin", "size": 10**12, "oid": "2" * 40}]
                return self.say(200, out)
            base = "/org/tiny/resolve/%s/" % o.commit
            if path.startswith(base) and path[len(base):] in files:
                name = path[len(base):]
                if o.redirect and name.endswith((".safetensors", ".gguf")):
                    port = self.server.server_address[1]
                    return self.say(302, b"", {"Location": "http://localhost:%d/cdn/%s?Signature=abc" % (port, name)})
                return self.give(files[name])
            return self.say(404, {"error": "Repository not found"})

    return Handler


class Listener(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def main():
    a = argparse.ArgumentParser()
    a.add_argument("folder")
    a.add_argument("--token", default="")
    a.add_argument("--cut", type=int, default=0)
    a.add_argument("--cuts", type=int, default=-1)
    for name in ("--redirect", "--wrong-hash", "--wrong-part", "--no-range", "--echo-token"):
        a.add_argument(name, action="store_true")
    a.add_argument("--oid", default="")
    a.add_argument("--busy", default="")
    a.add_argument("--commit", default="c" * 40)
    a.add_argument("--port", type=int, default=0)
    o = a.parse_args()
    files = {f.name: f.read_bytes() for f in sorted(pathlib.Path(o.folder).iterdir()) if f.is_file()}
    listener = Listener(("127.0.0.1", o.port), handler(o, files))
    print(listener.server_address[1], flush=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    while sys.stdin.buffer.read(1):
        pass


if __name__ == "__main__":
    main()
