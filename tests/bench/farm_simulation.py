#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""farm_simulation.py [--service S] [--asker MS] [--server MS] [--jobs N]: where the design of queues stops scaling.

Jobs pass who asks and the Redis server (one thread each), one of W workers, and both again; each worker holds its next
job already. The defaults were measured on two cores: a judgement 0.52 s (build, check and timing of 151 candidates of a run of
boa), CPU of who asks and of the server by tests/bench/farm_rate.c; give yours. Printed for W = 1 … 16,384: jobs a second,
the share of W times one worker, and what is busiest. Judgements vary (log-normal, sigma 0.6), the stations do not."""
import argparse
import heapq
import random

WINDOW = 4096  # jobs of one who asks that are on their way at a time (engine/farm/ask.c)


class Station:
    """One thread that does one thing after the other."""

    def __init__(self, seconds):
        self.seconds, self.free, self.busy = seconds, 0.0, 0.0

    def pass_at(self, now):
        self.free = max(self.free, now) + self.seconds
        self.busy += self.seconds
        return self.free


def simulate(workers, jobs, service, asker_s, server_s, seed):
    """Seconds until the last answer is back, and how busy each station was."""
    rng = random.Random(seed)
    asker, server = Station(asker_s / 2), Station(server_s / 2)
    left, done, idle, waiting, judging, last = jobs, 0, workers, 0, 0.0, 0.0
    first = min(WINDOW, jobs)
    events = [(0.0, i, "enter") for i in range(first)]  # sorted, so a heap
    left -= first
    number = first

    def at(time, what):
        nonlocal number
        number += 1
        heapq.heappush(events, (time, number, what))

    def begin(now):
        nonlocal judging
        time = service * rng.lognormvariate(-0.18, 0.6)  # mean: service
        judging += time
        at(now + time, "judged")

    while events:
        now, _, what = heapq.heappop(events)
        if what == "enter":
            at(asker.pass_at(now), "sent")
        elif what == "sent":
            at(server.pass_at(now), "queued")
        elif what == "queued":
            if idle:
                idle -= 1
                begin(now)
            else:
                waiting += 1
        elif what == "judged":
            at(server.pass_at(now), "answered")
            if waiting:  # held ahead: the next one begins at once
                waiting -= 1
                begin(now)
            else:
                idle += 1
        else:
            last = asker.pass_at(now)
            done += 1
            if left:
                left -= 1
                at(last, "enter")
    return last, {"who asks": asker.busy / last, "the server": server.busy / last, "the workers": judging / last / workers}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--service", type=float, default=0.52, help="seconds of a judgement on one worker")
    p.add_argument("--asker", type=float, default=0.06, help="CPU ms a job of who asks")
    p.add_argument("--server", type=float, default=0.04, help="CPU ms a job of the server")
    p.add_argument("--jobs", type=int, default=20000)
    a = p.parse_args()
    def rate_of(workers):
        jobs = max(a.jobs, 40 * workers)
        time, busy = simulate(workers, jobs if workers > 1 else 400, a.service, a.asker / 1e3, a.server / 1e3, 1)
        return (jobs if workers > 1 else 400) / time, busy

    one, _ = rate_of(1)
    print(f"{'workers':>8} {'jobs/s':>9} {'of W x 1':>9}  busiest")
    for workers in (1, 4, 16, 64, 256, 1024, 4096, 16384):
        rate, busy = rate_of(workers)
        name = max(busy, key=busy.get)
        print(f"{workers:8d} {rate:9.1f} {rate / (workers * one):9.2f}  {name}, {100 * busy[name]:.0f} %")


if __name__ == "__main__":
    main()
