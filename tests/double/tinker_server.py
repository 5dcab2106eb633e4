#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tinker_server.py [options of tinker/mock_server.py]: the double of the Tinker service for tests: it prints the port it
listens on, a line by itself, and ends with its standard input. Its model has the vocabulary of tests/golden/tiny/chat."""
import os
import pathlib
import ctypes
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def end_with_parent():
    """Called in the child: whoever kills this script ends the server with it (PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)



def main():
    options = sys.argv[1:]
    for name, value in (("--vocab", "264"), ("--eos", "258"), ("--hold", "1")):
        if name not in options:
            options += [name, value]
    if "--model" not in options:
        options += ["--model", "toy/tiny"]
    server = subprocess.Popen([sys.executable, str(HERE / "tinker" / "mock_server.py"), *(() if "--port" in options else ("--port", "0")), *options], stdout=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, preexec_fn=end_with_parent)
    print(server.stdout.readline().split("127.0.0.1:")[1].split()[0].split("/")[0], flush=True)
    while sys.stdin.buffer.read(1):
        pass
    server.terminate() if "--record" in options else server.kill()
    server.wait()
    os._exit(0)


if __name__ == "__main__":
    main()
