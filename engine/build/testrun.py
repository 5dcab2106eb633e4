# SPDX-License-Identifier: Apache-2.0
"""testrun.py: finds the tests and runs one of them so that it cannot fool or hang the caller.

A test is a program or a script that ends with a line `N passed, N failed[, N skipped]` and an exit code that agrees.
One without that line has failed. One that is not done at its deadline is killed and named, with everything it started:
the process that runs it is made the subreaper of its descendants, so that a child which left its session or lost its
parent is found too. A test that ends and leaves processes behind has failed as well. Tests run in lanes, a process
each, one more than there are cores, since every test waits now and then; those that look at times have the machine to
themselves afterwards.

Used by selftest.py (all tests), sanitize.py, coverage.py and tests/mutants/run.py (some tests in other builds).
"""
import ctypes
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import time

CLOSING = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
PR_SET_CHILD_SUBREAPER = 36
DEADLINE_S, FULL_FACTOR = 600, 6  # of one test; on a quiet machine the longest takes a fifth of it
LONGER = {"lua": 2}  # tests that are many
MOST_LANES = 4
LONG = re.compile(r"lua$|cli_|readme_|unit_unused$|test_cpu_lm_lora$|test_policy_native$")  # begin with them
ALONE = re.compile(r"test_eval_(timing|hacks|queue)|kill_|unit_selftest$")  # they look at times, or choose instants


class Test:
    def __init__(self, name, command, is_program=False):
        self.name, self.command, self.is_program = name, command, is_program


class Result:
    """What one run of one test gave. `why` is empty when it passed; log is the whole text; cpu: seconds of cores."""

    def __init__(self, passed, failed, skipped, seconds, why, log, cpu=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped
        self.seconds, self.why, self.log, self.cpu = seconds, why, log, cpu

    def lines(self, pattern):
        return [line for line in self.log.splitlines() if re.match(pattern, line)]


def discover(root, build, is_full=False):
    """Every test of the tree at root, built in build, in the order they run."""
    root, build = pathlib.Path(root), pathlib.Path(build)
    tests = [Test(p.name, [str(p)], True) for p in sorted((build / "tests").glob("test_*")) if os.access(p, os.X_OK)]
    for p in sorted(root.glob("tests/unit/*.sh")) + sorted(root.glob("tests/kill/*.sh")) + sorted(root.glob("tests/readme/*.sh")):
        tests.append(Test(f"{p.parent.name}_{p.stem}", ["sh", str(p)]))
    for p in sorted(root.glob("tests/cli/*.case")):
        tests.append(Test(f"cli_{p.stem}", ["sh", str(p.parent / "run.sh"), p.name]))
    for p in sorted(root.glob("tests/unit/*.py")) + sorted(root.glob("tests/real/*.py")): # real: skipped where no such server is
        tests.append(Test(f"{p.parent.name}_{p.stem}", [sys.executable, str(p)]))
    if is_full:
        tests.append(Test("fuzz", [sys.executable, str(root / "tests" / "fuzz" / "run.py")]))
    if (root / "tests" / "lua").is_dir():
        tests.append(Test("lua", [str(build / "vegttt"), "test", str(root / "tests" / "lua")]))
    return tests


def children_of(pid):
    """Pids of the living descendants of pid, zombies left out."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                state, parent = open(f"/proc/{entry}/stat").read().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            parents.setdefault(int(parent), []).append((int(entry), state))
    found, todo = [], [pid]
    while todo:
        for child, state in parents.get(todo.pop(), []):
            todo.append(child)
            if state not in "ZX":
                found.append(child)
    return found


def name_of(pid):
    try:
        return open(f"/proc/{pid}/cmdline").read().replace("\0", " ").strip()[:80] or open(f"/proc/{pid}/comm").read().strip()
    except OSError:
        return f"process {pid}"


def cpu_of_children():
    """Seconds of cores that processes used which this one has waited for, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def reap():
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def end_descendants(grace_s):
    """Waits for what is left of a test's processes, kills what does not go; the names of those."""
    end = time.monotonic() + grace_s
    while True:
        reap()
        left = children_of(os.getpid())
        if not left or time.monotonic() > end:
            break
        time.sleep(0.02)
    names = [name_of(pid) for pid in left]
    end = time.monotonic() + 10
    while left and time.monotonic() < end:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        time.sleep(0.02)
        reap()
        left = children_of(os.getpid())
    return names


class Runner:
    def __init__(self, root, build, logs, is_full=False, env=None):
        self.root, self.build, self.logs = str(root), str(build), pathlib.Path(logs)
        self.logs.mkdir(parents=True, exist_ok=True)
        self.deadline_s = float(os.environ.get("VEGTTT_DEADLINE", DEADLINE_S * (FULL_FACTOR if is_full else 1)))
        self.env = dict(os.environ, VEGTTT=f"{build}/vegttt", VEGTTT_ROOT=self.root, **(env or {}))
        self.env.setdefault("VEGTTT_CASES_CACHE", str(self.logs / "cases_cache"))
        if is_full:
            self.env["VEGTTT_FULL"] = "1"
        self.adopt()

    @staticmethod
    def adopt():
        """From now on this process is the parent of descendants that lose theirs."""
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def fetch_model(self, program=None):
        """The tests of the language model use the real default weights: fetched once, kept in the user's cache."""
        try:
            done = subprocess.run([program or self.env["VEGTTT"], "model", "pull", "smollm2-135m"], stdout=subprocess.PIPE, timeout=600,
                                  env=self.env, stdin=subprocess.DEVNULL)
            path = done.stdout.decode().strip() if done.returncode == 0 else ""
        except (OSError, subprocess.TimeoutExpired):
            path = ""
        if not path:
            print("the default model could not be fetched: its tests will be skipped", flush=True)
        self.env["VEGTTT_TEST_MODEL"] = path

    def run(self, test, arguments=(), guard=None):
        """guard: called in the test's process before the test begins."""
        log_path = self.logs / f"{test.name}.log"
        began, used, is_hung = time.monotonic(), cpu_of_children(), False
        deadline_s = self.deadline_s * LONGER.get(test.name, 1)
        with open(log_path, "wb") as log:
            try:
                process = subprocess.Popen(test.command + list(arguments), stdout=log, stderr=subprocess.STDOUT,
                                           stdin=subprocess.DEVNULL, cwd=self.root, env=self.env, start_new_session=True,
                                           preexec_fn=guard)
            except OSError as e:
                return Result(0, 1, 0, 0, f"cannot be started: {e}", "")
            try:
                code = process.wait(deadline_s)
            except subprocess.TimeoutExpired:
                is_hung, code = True, None
                if test.is_program:  # harness.h answers with the name of the case
                    process.send_signal(signal.SIGQUIT)
                    time.sleep(0.5)
            except BaseException:
                end_descendants(0)
                raise
            left = end_descendants(0 if is_hung else min(5, deadline_s))
            process.poll()
        text = log_path.read_bytes().decode(errors="replace")
        closing = CLOSING.findall(text)
        passed, failed, skipped = (int(n or 0) for n in closing[-1]) if closing else (0, 0, 0)
        why = ""
        if is_hung:
            why = f"HUNG: was not done after {deadline_s:g} s and was killed"
        elif not closing:
            why = f"ended with exit code {code} and without a closing line"
        elif (code == 0) != (failed == 0):
            why = f"exit code {code}, although {failed} failed"
        elif left:
            why = "left processes behind: " + "; ".join(left)
        if why:
            failed = max(failed, 1)
        elif failed:
            why = f"{failed} failed"
        return Result(passed, failed, skipped, time.monotonic() - began, why, text, cpu_of_children() - used)


def closing_line(passed, failed, skipped):
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def report(name, result):
    """One test's line, with the end of its log when it failed and the names of what it skipped."""
    print(f"{name:34} {result.seconds:5.0f} s  {result.cpu:4.0f} of cores  {result.passed} passed, {result.failed} failed, {result.skipped} skipped")
    if result.failed:
        for line in [line for line in result.log.splitlines() if not CLOSING.match(line)][-25:]:
            print("    " + line)
        print(f"    {name}: {result.why}")
    for line in result.lines("skip "):
        print("    " + line)
    sys.stdout.flush()


def lane(runner, tests, take, give):
    """A process of its own, and so the subreaper of what its tests leave behind: runs the tests whose numbers it takes."""
    runner.adopt()
    for number in iter(take.recv, None):
        give.send((number, runner.run(tests[number])))


def run_in_lanes(runner, tests, n_lanes):
    """Yields (test, Result) as they end: first those that do not mind company, long ones before short ones, then the
    others one by one in this process."""
    together = sorted((t for t in tests if n_lanes > 1 and not ALONE.match(t.name)), key=lambda t: not LONG.match(t.name))
    todo, lanes = list(range(len(together))), {}  # lanes: where a result comes from -> (process, where a number goes to)
    for _ in range(min(n_lanes, len(together))):
        (take, to_lane), (from_lane, give) = multiprocessing.Pipe(False), multiprocessing.Pipe(False)
        process = multiprocessing.get_context("fork").Process(target=lane, args=(runner, together, take, give), daemon=True)
        process.start()
        to_lane.send(todo.pop(0))
        lanes[from_lane] = (process, to_lane)
    while lanes:
        for from_lane in multiprocessing.connection.wait(list(lanes)):
            number, result = from_lane.recv()
            process, to_lane = lanes[from_lane]
            if todo:
                to_lane.send(todo.pop(0))
            else:
                to_lane.send(None)
                process.join()
                del lanes[from_lane]
            yield together[number], result
    for test in tests:
        if test not in together:
            yield test, runner.run(test)


def run_all(runner, tests, afterwards=None):
    """Runs and reports tests, in lanes; ends with the closing line and returns the exit code.
    afterwards({test: Result}) does more, prints what it found and gives (passed, failed)."""
    began, passed, failed, skipped, bad, results = time.monotonic(), 0, 0, 0, [], {}
    for test, result in run_in_lanes(runner, tests, min(MOST_LANES, len(os.sched_getaffinity(0)) + 1)):
        results[test.name] = result
        report(test.name, result)
        passed, failed, skipped = passed + result.passed, failed + result.failed, skipped + result.skipped
        if result.failed:
            bad.append(test.name)
    if afterwards:
        more = afterwards(results)
        passed, failed = passed + more[0], failed + more[1]
        bad += ["mutants"] if more[1] else []
    print(f"{time.monotonic() - began:.0f} s; logs in {runner.logs}")
    if bad:
        print("failed: " + " ".join(bad))
    print(closing_line(passed, failed, skipped), flush=True)
    return 0 if passed and not failed else 1


def compiler_of(build):
    """The C compiler of a configured build, for further builds beside it."""
    cache = pathlib.Path(build) / "CMakeCache.txt"
    found = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache.read_text(), re.M) if cache.exists() else None
    return found.group(1) if found else "cc"


def make(root, build, targets, options=(), compiler="cc"):
    """Configures (once) and builds targets; the text of what went wrong, empty when nothing did."""
    jobs = str(len(os.sched_getaffinity(0)))
    if not (pathlib.Path(build) / "build.ninja").exists():
        launcher = ["-DCMAKE_C_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        command = ["cmake", "-S", str(root), "-B", str(build), "-G", "Ninja", f"-DCMAKE_C_COMPILER={compiler}", *launcher, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        if done.returncode:
            return done.stdout.decode(errors="replace")
    done = subprocess.run(["ninja", "-C", str(build), "-j", jobs, *targets], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL)
    return done.stdout.decode(errors="replace") if done.returncode else ""
