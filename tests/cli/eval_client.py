#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges candidates with vegttt from Python: eval_client.py VEGTTT TASK FILE.c… Requests go out at once, verdicts come
back in completion order; a trainer would make its rewards from them. With VEGTTT_SOCKET set a running
`vegttt eval --socket PATH` is asked instead of a process of our own."""
import json
import os
import socket
import subprocess
import sys


def judge(vegttt, requests):
    path = os.environ.get("VEGTTT_SOCKET")
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    if not path:
        done = subprocess.run([vegttt, "eval", "--serve"], input=lines, stdout=subprocess.PIPE, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        s.sendall(lines.encode())
        s.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in s.makefile()]


if __name__ == "__main__":
    vegttt, task, *files = sys.argv[1:]
    for v in judge(vegttt, [{"id": f, "task": task, "code": open(f).read()} for f in files]):
        print(v["id"], v.get("error") if "status" not in v else f"{v['status']} reward {v['speedup']:.2f}")
