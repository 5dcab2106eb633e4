# SPDX-License-Identifier: Apache-2.0
"""read_runs.py: recorded runs of vegttt in a notebook. One file, nothing but the standard library; with pandas, frames.

    import read_runs
    r = read_runs.load("runs/boa/20261128-190042")   # or read_runs.all_runs("runs") for every run below a folder
    r.result["fresh"], r.params["lr"]                 # what main returned; the parameters
    r.tables["trajectory"]                            # a DataFrame, or a list of dicts without pandas
    r.samples()                                       # one row a sample, with its first verdict (v_status, v_speedup, …)
    r.verdicts(), r.metrics("step"), r.costs()

Works on a run that is still going or was killed: a torn last line is left out. `vegttt help run-directory` says what every
field means. Numbers too large for a float are texts in the files (seeds, times) and are given as int.
"""
import csv
import json
import pathlib

HEAVY = ("tokens", "logprobs", "logprobs_behaviour")  # lists a sample, left out of samples() unless asked for
WHOLE = ("t", "t_mono", "seed")


def _frame(rows):
    try:
        import pandas
    except ImportError:
        return rows
    return pandas.DataFrame(rows)


def _lines(path):
    """The whole lines of a .jsonl file."""
    if not path.exists():
        return
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            record = json.loads(line)
            for name in WHOLE:
                if isinstance(record.get(name), str) and record[name].isdigit():
                    record[name] = int(record[name])
            yield record


def _cell(text):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text if text != "" else None


def _revive(summary):
    """Numbers that JSON has not: the summary says where they stand."""
    for entry in summary.get("non_finite", []):
        at = summary["result"]
        for key in entry["path"][:-1]:
            at = at[key - 1 if isinstance(at, list) else key]
        last = entry["path"][-1]
        at[last - 1 if isinstance(at, list) else last] = float(entry["is"])
    return summary


class Run:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        if not (self.folder / "run.json").exists():
            raise FileNotFoundError(f"{folder} holds no run: it has no run.json")
        self.about = self._json("run.json")
        self.params = {name: entry["value"] for name, entry in self._json("params.json").items()}
        self.summary = _revive(self._json("summary.json"))
        self.is_finished = bool(self.summary)
        self.result = self.summary.get("result", {})
        self.tables = {p.stem: self._table(p) for p in sorted((self.folder / "tables").glob("*.csv"))}

    def __repr__(self):
        return f"<vegttt run {self.folder}{'' if self.is_finished else ', unfinished'}>"

    def _json(self, name):
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else {}

    @staticmethod
    def _table(path):
        with open(path, newline="") as file:
            return _frame([{k: _cell(v) for k, v in row.items()} for row in csv.DictReader(file)])

    def verdicts(self, again=False):
        """One row a code: its first verdict; with again, the second ones, which confirm."""
        return _frame([v for v in _lines(self.folder / "evals.jsonl") if ("confirms" in v) == again])

    def samples(self, heavy=False):
        """One row a sample, in the order in which they ended, with reward and advantage where they are known and the scalars of
        its first verdict under v_NAME."""
        first = {(v["task"], v["code_sha"]): v for v in _lines(self.folder / "evals.jsonl") if "confirms" not in v}
        rows, by_key = [], {}
        for line in _lines(self.folder / "rollouts.jsonl"):
            if "tokens" not in line:
                if line["key"] in by_key:
                    by_key[line["key"]].update({k: line[k] for k in ("reward", "advantage") if k in line})
                continue
            row = line if heavy else {k: v for k, v in line.items() if k not in HEAVY}
            verdict = first.get((line.get("task"), line.get("code_sha")), {})
            row.update({"v_" + k: v for k, v in verdict.items() if isinstance(v, (bool, int, float, str))})
            rows.append(row)
            by_key[line["key"]] = row
        return _frame(rows)

    def metrics(self, kind=None):
        """What the script logged (run:log), of one kind or all."""
        return _frame([m for m in _lines(self.folder / "metrics.jsonl") if kind in (None, m["kind"])])

    def costs(self):
        """{"charged": {unit: amount}, "spent": …}: of the finished run, else so far."""
        if self.is_finished:
            return self.summary["meter"]
        last = {}
        for last in _lines(self.folder / "meter.jsonl"):
            pass
        return {k: last.get(k, {}) for k in ("charged", "spent")}


def load(folder):
    return Run(folder)


def all_runs(folder="runs"):
    """Every run below a folder, oldest first."""
    found = {p.parent.resolve() for p in pathlib.Path(folder).glob("*/*/run.json")} | \
        {p.parent.resolve() for p in pathlib.Path(folder).glob("run.json")}
    return sorted(map(Run, found), key=lambda r: int(r.about["t"]))
