"""Kills a real run at every step on the file system, and holds what is left against a run that was never killed.

Run by `test_crash.py` in a process of its own, because it forks: the imports are paid once, and each run still is
a process that a SIGKILL ends without any clean-up.

    python -m tests.crash_driver FOLDER [ingest|replace|drop|forget] [once|twice|every]

FOLDER has raw files in `raw` and a store in `base`. `twice` kills the recovery as well, at one step for each, `every` at
each step for each. Prints how many steps there are, and each step behind which something was wrong.
"""

import json
import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pandas as pd  # noqa: F401 - see conftest.py
import pyarrow.parquet as pq

from pipeline.errors import UsageError
from pipeline.jobs import imports
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.undo import drop, forget
from pipeline.jobs.verify import verify
from pipeline.query.rejects import find_rejects
from pipeline.schema import PARTITION_SCHEMA
from pipeline.store.files import PosixFiles
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_runs

#: The operations that change something on disk, or make it durable.
STEPS = ("fsync", "link", "mkdir", "rename", "replace", "rmdir", "unlink")


class Steps:
    """Counts the steps of this process, and ends it right before one of them."""

    def __init__(self, fatal=0):
        self.count = 0
        self.fatal = fatal

    def step(self):
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self):
        for name in STEPS:
            setattr(os, name, self._before(getattr(os, name)))
        PosixFiles.create = self._half_way(PosixFiles.create)

    def _before(self, operation):
        def stepping(*args, **kwargs):
            self.step()
            return operation(*args, **kwargs)

        return stepping

    def _half_way(self, create):
        def stepping(files, path, content):
            if isinstance(content, Path):  # a link
                create(files, path, content)
                return
            self.step()
            create(files, path, content[: len(content) // 2])
            self.step()
            path.write_bytes(content)

        return stepping


ACTIONS = {
    "ingest": lambda raw, store: ingest([str(raw)], store, IngestOptions(workers=1)),
    "replace": lambda raw, store: ingest([str(raw)], store, IngestOptions(workers=1, replace_changed=True)),
    "drop": lambda raw, store: drop(store, before=2),
    "forget": lambda raw, store: forget_once(store, raw / "a.csv"),
}


def forget_once(store, path):
    """Forgets a source; a source that is forgotten already is none."""
    with suppress(UsageError):
        forget(store, [str(path)])


def run_in_child(action, raw, store, fatal=0):
    """Runs an action in a child that is killed right before that step; returns its steps, or None if it was killed."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        steps = Steps(fatal)
        steps.watch()
        ACTIONS[action](raw, store)
        os.write(send, str(steps.count).encode())
        os._exit(0)
    os.close(send)
    _, status = os.waitpid(child, 0)
    with os.fdopen(receive) as pipe:
        count = pipe.read()
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return None
    assert os.waitstatus_to_exitcode(status) == 0, "the action failed"
    return int(count)


def partitions(store):
    return {hour: store.partition(hour).read_bytes() for hour in store.hours()}


def state(store):
    """All that a store says, but for the names and times of its runs."""
    runs = [(run.sources, run.hours) for run in read_runs(store)]
    return partitions(store), runs, find_rejects(store).drop_columns("run").to_pylist(), store.staged_runs()


def faults(store, before, after):
    """What a reader finds wrong who looks at the store right now."""
    for hour, content in partitions(store).items():
        if content not in (before.get(hour), after.get(hour)):
            yield f"hour {hour} is neither its old file nor its new one"
        if not pq.read_schema(store.partition(hour)).equals(PARTITION_SCHEMA):
            yield f"hour {hour} is no partition"
    for path in store.flows.rglob("*"):
        if path.is_file() and path.name != "part-0.parquet":
            yield f"{path} lies below the data"


def main(folder, action, times):
    imports.finish()  # once, and not in each child
    raw, base, reference, victim = (folder / name for name in ("raw", "base", "reference", "victim"))
    shutil.copytree(base, reference)
    steps = run_in_child(action, raw, Locations(reference))
    expected = state(Locations(reference))
    before, after = partitions(Locations(base)), expected[0]
    found = []
    tried = 0
    for first in range(1, steps + 1):
        for second in {"once": [0], "twice": [1 + first * 7 % 29], "every": range(1, steps + 10)}[times]:
            shutil.rmtree(victim, ignore_errors=True)
            shutil.copytree(base, victim)
            store = Locations(victim)
            killed = run_in_child(action, raw, store, fatal=first)
            wrong = list(faults(store, before, after)) + (["it was not killed"] if killed is not None else [])
            if second:
                run_in_child(action, raw, store, fatal=second)
                wrong += faults(store, before, after)
            run_in_child(action, raw, store)
            wrong += ["the store differs from one that was never cut off"] if state(store) != expected else []
            wrong += verify(store).problems
            found += [f"step {first}, {second}: {problem}" for problem in wrong]
            tried += 1
    sys.stdout.write(json.dumps({"steps": steps, "tried": tried, "wrong": found}) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
