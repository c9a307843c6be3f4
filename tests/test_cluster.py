"""Workers killed, stopped and woken, the driver killed, the scheduler killed: each byte counts once.

A cluster carries tasks out twice where a worker is lost, and a worker that was given up may wake at any time. Whatever happens, the
store is, byte by byte, what a run on this machine alone makes of the same files; a run that was cut off is given again.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import DeepOptions, verify
from pipeline.store.layout import Locations
from tests.cluster import ROOT, Cluster
from tests.crash_driver import state

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
TRIALS = 50 if "FLOWLOG_SOAK" in os.environ else 3
#: Prints how many partial files the run took, and how many more there were: of tasks that were carried out once more.
DRIVER = """
import sys
from pathlib import Path
from pipeline.counting import elsewhere, pool
from pipeline.jobs import commit
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.store.layout import Locations
pool._LEAST_GROUP_BYTES = 1
taken, take = set(), elsewhere.Partial.taken
def taking(partial):
    taken.update(file.path for file in partial.files)
    return take(partial)
elsewhere.Partial.taken = taking
committing = commit.commit
def counted(store, transaction, *others):
    there = {str(path) for path in transaction.scratch.absolute().glob("*.arrow")}
    print(len(taken), len(there - taken), flush=True)
    return committing(store, transaction, *others)
commit.commit = counted
raw, store, address = sys.argv[1:]
try:
    ingest([raw], Locations(Path(store)), IngestOptions(on="dask", scheduler=address, wait_seconds=60))
except Exception as error:
    print(type(error).__name__, error, file=sys.stderr)
    sys.exit(getattr(error, "exit_code", 1))
"""


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Files of which each takes a worker a tenth of a second or so, with some rejected rows."""
    folder, chance = tmp_path_factory.mktemp("raw"), random.Random(1)
    for number in range(24):
        lines = [
            f"{chance.randrange(1, 9)},a{chance.randrange(40)},b{chance.randrange(40)},v,{i},1\n" for i in range(30_000)
        ]
        (folder / f"{number:02}.csv").write_text(HEADER + "".join(lines) + "0,bad,row,v,1,1\n" * (number % 3))
    return folder


@pytest.fixture(scope="module")
def expected(raw, tmp_path_factory):
    store = Locations(tmp_path_factory.mktemp("alone"))
    ingest([str(raw)], store)
    return state(store)


class Trial:
    """A run on a cluster, to which something happens."""

    def __init__(self, cluster, raw, folder, chance):
        self.cluster, self.raw, self.folder, self.chance = cluster, raw, folder, chance
        self.store = Locations(folder / "store")
        self.stopped = []
        self.taken = self.more = 0

    def drive(self):
        command = [sys.executable, "-c", DRIVER, str(self.raw), str(self.store.root), self.cluster.address]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def started(self):
        """A driver whose workers have begun to write."""
        driver, deadline = self.drive(), time.monotonic() + 120
        while driver.poll() is None and not any(self.store.staging.glob("*/scratch/*.arrow")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return driver

    def pause(self):
        time.sleep(self.chance.random() * self.chance.choice([0.1, 0.5, 1.5]))

    def end(self, driver):
        """Waits for a driver; gives its exit code."""
        out, error = driver.communicate(timeout=180)
        assert "Traceback" not in error, error
        if out:
            self.taken, self.more = map(int, out.split())
        self.error = error
        return driver.returncode

    def run(self, kind):
        getattr(self, kind)()
        for worker in self.stopped:  # whoever was given up wakes behind the commit
            worker.send_signal(signal.SIGCONT)

    def kill_workers(self):
        driver = self.started()
        for _ in range(self.chance.randrange(1, 4)):
            self.pause()
            self.cluster.kill(self.chance.choice(self.cluster.workers))
        assert self.end(driver) == 0, self.error

    def stop_a_worker(self):
        driver = self.started()
        self.pause()
        worker = self.chance.choice(self.cluster.workers)
        worker.send_signal(signal.SIGSTOP)
        if self.chance.random() < 0.3:
            time.sleep(self.chance.random() * 4)
            worker.send_signal(signal.SIGCONT)
        else:
            self.stopped.append(worker)
        assert self.end(driver) == 0, self.error

    def kill_the_driver(self):
        driver = self.started()
        if self.chance.random() < 0.5:
            self.stopped.append(self.chance.choice(self.cluster.workers))
            self.stopped[0].send_signal(signal.SIGSTOP)
        self.pause()
        driver.kill()
        driver.communicate()
        assert self.end(self.drive()) == 0, self.error

    def kill_the_scheduler(self):
        driver = self.started()
        self.pause()
        self.cluster.scheduler.kill()
        code = self.end(driver)
        assert code in (0, 4), self.error
        if code:
            assert "nothing was committed" in self.error
            assert self.store.run_ids() == []
        with Cluster(self.folder) as self.cluster:
            assert self.end(self.drive()) == 0, self.error


KINDS = ("kill_workers", "stop_a_worker", "kill_the_driver", "kill_the_scheduler")


def test_whatever_is_killed_stopped_or_woken_the_store_is_that_of_a_run_alone(raw, expected, tmp_path):
    chance, done, clusters = random.Random(4), Counter(), []
    try:
        for number in range(TRIALS):
            kind = KINDS[number % len(KINDS)] if number < len(KINDS) else chance.choice(KINDS)
            folder = tmp_path / str(number)
            folder.mkdir()
            if not clusters or clusters[-1].scheduler.poll() is not None:
                clusters.append(Cluster(folder))
            trial = Trial(clusters[-1], raw, folder, chance)
            trial.run(kind)
            ingest([str(raw)], trial.store)  # whatever a worker has left behind is swept
            assert state(trial.store) == expected, (number, kind)
            assert verify(trial.store, deep=DeepOptions(raw=[str(raw)])).problems == [], (number, kind)
            done.update({kind: 1, "taken": trial.taken, "more": trial.more, "with more": bool(trial.more)})
    finally:
        for cluster in clusters:
            cluster.__exit__()
        sys.stdout.write(f"{dict(done)}\n")
