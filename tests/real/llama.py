#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""llama.py: the backend of completions servers against llama.cpp, served by llama-cpp-python with the default model's own
file: best_of_n.lua as it is, what the server can, and its answers beside the native policy's.

Needs a Python that has llama_cpp with its server ($VEGTTT_LLAMA_PYTHON, else python3), and the default model in the cache.
The same file runs on both sides; llama.cpp rounds activations to 8 bits where the weights are Q4_1, which costs it 0.05
nats a token on average and 0.6 at most (measured against fp64), so that is what they may be apart.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(os.environ.get("VEGTTT_ROOT") or pathlib.Path(__file__).resolve().parent.parent.parent)
VEGTTT = os.environ.get("VEGTTT") or str(ROOT / "build" / "vegttt")
PYTHON = os.environ.get("VEGTTT_LLAMA_PYTHON") or "python3"
MEAN_NATS, MOST_NATS = 0.1, 0.7
failures, passed = [], 0


def check(good, message):
    global passed
    if good:
        passed += 1
    else:
        failures.append(message)
        print("  " + message)


def skip(why):
    print(f"skip llama: {why}")
    print("0 passed, 0 failed, 1 skipped")
    sys.exit(0)


def free_port():
    import socket
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def model_file():
    p = subprocess.run([VEGTTT, "model", "pull", "smollm2-135m"], capture_output=True, text=True)
    if p.returncode != 0:
        skip("the default model is not in the cache and cannot be fetched")
    return p.stdout.strip().splitlines()[-1]


def start(path, port, log):
    server = subprocess.Popen([PYTHON, "-m", "llama_cpp.server", "--model", path, "--host", "127.0.0.1", "--port", str(port), "--n_ctx", "1024",
                               "--logits_all", "true", "--model_alias", "smollm2"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    for _ in range(600):
        if server.poll() is not None:
            skip("llama_cpp.server did not start")
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"http://127.0.0.1:{port}/v1/models", timeout=5).read()
            return server
        except OSError:
            time.sleep(0.2)
    server.kill()
    skip("llama_cpp.server did not answer in two minutes")


def vegttt(work, *arguments):
    env = dict(os.environ, XDG_DATA_HOME=str(work))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_API_KEY"):
        env.pop(name, None)
    return subprocess.run([VEGTTT, *arguments], cwd=work, env=env, capture_output=True, text=True, timeout=1500)


def main():
    if subprocess.run([PYTHON, "-c", "import llama_cpp.server.app"], capture_output=True).returncode != 0:
        skip("no Python here has llama_cpp.server (pip install 'llama-cpp-python[server]'; VEGTTT_LLAMA_PYTHON names it)")
    path, port = model_file(), free_port()
    with tempfile.TemporaryDirectory() as work, open(os.path.join(work, "server.log"), "w") as log:
        server = start(path, port, log)
        try:
            model = f"openai:http://127.0.0.1:{port}/v1#smollm2"
            p = vegttt(work, str(ROOT / "experiments" / "best_of_n.lua"), "--model", model, "--chat", "smollm2", "--k", "2", "--tasks", "4",
                       "--max_tokens", "24", "--split", str(ROOT / "splits" / "l1_seed42.json"))
            check(p.returncode == 0, f"best_of_n.lua ended with {p.returncode}: {p.stderr[-400:]}")
            check("the model's log-probabilities, seeds, no scores, one sample at a time" in p.stderr, f"what the server can: {p.stderr[:400]}")
            p = vegttt(work, str(ROOT / "tests" / "real" / "agree.lua"), "--model", model, "--chat", "smollm2")
            check(p.returncode == 0, f"agree.lua ended with {p.returncode}: {p.stderr[-400:]}")
            print("  " + "".join(re.findall(r"^agree .*$", p.stdout + p.stderr, re.M)))
            found = re.search(r"agree tokens (\d+) mean (\S+) max (\S+) same (\d+) apart (\d+) widest (\S+)", p.stdout + p.stderr)
            check(found is not None, "agree.lua printed no line")
            if found:
                n, mean, most, same, apart, widest = (float(x) for x in found.groups())
                check(n >= 30, f"only {n:.0f} tokens were compared")
                check(0 <= mean <= MEAN_NATS, f"log-probabilities are {mean} nats apart on average")
                check(most <= MOST_NATS, f"one log-probability is {most} nats apart")
                check(widest <= 2 * MEAN_NATS + most, f"greedy answers part where the other token is {widest} nats less likely")
        finally:
            server.kill()
            server.wait()
    print(f"{passed} passed, {len(failures)} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
