"""Workers killed, stopped and woken, the driver killed, the scheduler killed: each byte counts once.

A cluster carries tasks out twice where a worker is lost, and a worker that was given up may wake at any time. Whatever happens, the
store is, byte by byte, what a run on this machine alone makes of the same files; a run that was cut off is given again.
"""

import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter

import pytest

from pipeline.counting import pool
from pipeline.flowstore import FlowStore
from pipeline.jobs import where
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.verify import DeepOptions, verify
from pipeline.store.layout import Locations
from tests.cluster import Cluster, run_driver, start
from tests.conformance.executors import Inline
from tests.conformance.memory import BucketPath, MemoryBucket, MemoryFiles
from tests.crash_driver import state

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
#: What differs between any two runs.
CHANCE = ("store", "started", "ended", "seconds")
IS_LONG = "FLOWLOG_SOAK" in os.environ


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Files of which each takes a worker a tenth of a second or so, with some rejected rows."""
    folder, chance = tmp_path_factory.mktemp("raw"), random.Random(1)
    for number in range(16):
        lines = [f"{chance.randrange(1, 9)},a{chance.randrange(40)},b{chance.randrange(40)},v,{i},1\n" for i in range(4_000)]
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
        self.store, self.report = Locations(folder / "store"), folder / "report"
        self.stopped = []
        self.taken = self.more = 0

    def drive(self):
        self.report.unlink(missing_ok=True)
        return start(run_driver, str(self.raw), str(self.store.root), self.cluster.address, str(self.report))

    def started(self):
        """A driver whose workers have begun to write."""
        driver, deadline = self.drive(), time.monotonic() + 120
        while driver.is_alive() and not any(self.store.scratch.glob("workers-*/*.arrow")):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return driver

    def pause(self):
        time.sleep(self.chance.random() * self.chance.choice([0.1, 0.5, 1.5]))

    def end(self, driver):
        """Waits for a driver; gives its exit code."""
        deadline = time.monotonic() + 180
        while driver.is_alive() and time.monotonic() < deadline:
            self.cluster.mend()
            driver.join(0.5)
        report = json.loads(self.report.read_text())
        self.error, self.taken, self.more = report["error"], report.get("taken", 0), report.get("more", 0)
        return report["code"]

    def run(self, kind):
        getattr(self, kind)()
        for worker in self.stopped:  # whoever was given up wakes behind the commit
            os.kill(worker.pid, signal.SIGCONT)

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
        os.kill(worker.pid, signal.SIGSTOP)
        if self.chance.random() < 0.3:
            time.sleep(self.chance.random() * 4)
            os.kill(worker.pid, signal.SIGCONT)
        else:
            self.stopped.append(worker)
        assert self.end(driver) == 0, self.error

    def kill_the_driver(self):
        driver = self.started()
        if self.chance.random() < 0.5:
            self.stopped.append(self.chance.choice(self.cluster.workers))
            os.kill(self.stopped[0].pid, signal.SIGSTOP)
        self.pause()
        driver.kill()
        driver.join()
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

    def attack_all(self):
        """Kills a worker and the driver, and wakes another worker while the next driver is at work."""
        driver = self.started()
        self.cluster.kill(self.cluster.workers[0])
        os.kill(self.cluster.workers[1].pid, signal.SIGSTOP)
        driver.kill()
        driver.join()
        driver = self.started()
        os.kill(self.cluster.workers[1].pid, signal.SIGCONT)
        assert self.end(driver) == 0, self.error


KINDS = ("kill_workers", "stop_a_worker", "kill_the_driver", "kill_the_scheduler")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as made:
        yield made


class TestTheSameJob:
    @pytest.fixture
    def ingested(self, flowlog, cluster, raw, tmp_path, monkeypatch):
        """Runs it here and there, with the same options; gives both outcomes, and the stores."""
        monkeypatch.setattr(pool, "_LEAST_GROUP_BYTES", 1)

        def run(*options):
            stores = tmp_path / "here", tmp_path / "there"
            on = (), ("--on", "dask", "--scheduler", cluster.address)
            return [
                (flowlog("ingest", raw, "--store", store, *options, *where), Locations(store))
                for store, where in zip(stores, on, strict=True)
            ]

        return run

    def test_the_store_and_the_summary_are_those_of_a_run_here(self, ingested):
        (here, store), (there, other) = ingested("--json")
        assert (there.code, there.err) == (here.code, here.err) == (0, "")
        ours, theirs = (
            {name: value for name, value in json.loads(one.out).items() if name not in CHANCE} for one in (here, there)
        )
        assert theirs == ours
        assert state(other) == state(store)
        assert verify(other, deep=DeepOptions()).problems == []

    @pytest.mark.parametrize("options", [["--strict"], ["--max-reject-ratio", "0"]])
    def test_it_stops_for_the_same_reasons(self, ingested, options):
        (here, _), (there, store) = ingested("--quiet", *options)
        assert there.code == here.code == 4
        assert there.err.partition(":")[0] == here.err.partition(":")[0]
        assert (store.run_ids(), store.staged_runs()) == ([], [])

    def test_a_mapping_file_is_read_there(self, ingested, tmp_path):
        (tmp_path / "apps.csv").write_text("cidr,app\n10.0.0.0/8,inner\n")
        (here, store), (there, other) = ingested("--quiet", "--apps", tmp_path / "apps.csv")
        assert there.code == here.code == 0
        assert state(other) == state(store)

    def test_changed_files_are_replaced(self, cluster, raw, tmp_path, flowlog):
        copy = tmp_path / "copy"
        shutil.copytree(raw, copy)
        command = ["ingest", copy, "--store", tmp_path / "there", "--on", "dask", "--scheduler", cluster.address]
        assert flowlog(*command).code == 0
        with (copy / "03.csv").open("a") as file:
            file.write("9,a,b,v,1,1\n")
        assert flowlog(*command, "--replace-changed").code == 0
        assert flowlog("ingest", copy, "--store", tmp_path / "here").code == 0
        here, there = (Locations(tmp_path / name) for name in ("here", "there"))
        assert state(here)[0] == state(there)[0]

    def test_a_client_may_be_given_and_is_not_closed(self, cluster, raw, expected, tmp_path):
        from distributed import Client

        with Client(cluster.address, set_as_default=False) as client:
            FlowStore(tmp_path, create=True).ingest([str(raw)], executor=client)
            assert client.submit(len, "abc").result() == 3
        assert state(Locations(tmp_path)) == expected

    def test_any_other_executor_alike(self, raw, expected, tmp_path):
        executor = Inline()
        FlowStore(tmp_path, create=True).ingest([str(raw)], executor=executor)
        assert state(Locations(tmp_path)) == expected

    def test_a_store_in_a_bucket_where_the_workers_see_the_machine_s_cache(self, cluster, raw, tmp_path):
        store = Locations(BucketPath("/bucket/store"), MemoryFiles(MemoryBucket()), tmp_path)
        summary = ingest([str(raw)], store, IngestOptions(on="dask", scheduler=cluster.address))
        assert summary.ingested == len(list(raw.iterdir()))
        assert verify(store, deep=DeepOptions()).problems == []


class TestUsage:
    @pytest.fixture
    def raw_file(self, tmp_path):
        (tmp_path / "a.csv").write_text(HEADER + "1,a,b,v,1,1\n")
        return tmp_path / "a.csv"

    @pytest.mark.parametrize(
        ("options", "problem"),
        [
            (["--scheduler", "tcp://a:1"], "--scheduler names a scheduler of Dask; it needs --on dask"),
            (["--on", "dask", "--scheduler", "a"], "'a' is no address; write it like tcp://10.0.0.7:8786"),
        ],
    )
    def test_a_scheduler_must_be_one(self, flowlog, raw_file, tmp_path, options, problem):
        outcome = flowlog("ingest", raw_file, "--store", tmp_path / "store", *options)
        assert outcome.code == 2
        assert problem in outcome.err
        assert not (tmp_path / "store").exists()

    def test_the_extra_is_named_where_it_is_not_installed(self, flowlog, raw_file, tmp_path, monkeypatch):
        monkeypatch.setattr(where, "find_spec", lambda name: None)
        outcome = flowlog("ingest", raw_file, "--store", tmp_path / "store", "--on", "dask")
        assert outcome.code == 2
        assert "pip install 'flowlog-pipeline[dask]'" in outcome.err

    def test_where_nothing_is_new_no_cluster_is_asked_for(self, flowlog, raw_file, tmp_path):
        command = "ingest", raw_file, "--store", tmp_path / "store"
        assert flowlog(*command).code == 0
        outcome = flowlog(*command, "--on", "dask", "--scheduler", "tcp://127.0.0.1:9")
        assert outcome.code == 0
        assert "nothing new to count" in outcome.err

    def test_a_scheduler_that_does_not_answer_commits_nothing(self, flowlog, raw_file, tmp_path, monkeypatch):
        from pipeline.counting import cluster

        monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.2)
        outcome = flowlog("ingest", raw_file, "--store", tmp_path / "s", "--on", "dask", "--scheduler", "tcp://127.0.0.1:9")
        assert outcome.code == 4
        assert "no scheduler of Dask answers at tcp://127.0.0.1:9" in outcome.err
        assert Locations(tmp_path / "s").run_ids() == []


def test_whatever_is_killed_stopped_or_woken_the_store_is_that_of_a_run_alone(cluster, raw, expected, tmp_path):
    chance, done, clusters = random.Random(4), Counter(), [cluster]
    try:
        for number in range(50 if IS_LONG else 1):
            kind = chance.choice(KINDS) if IS_LONG else "attack_all"
            folder = tmp_path / str(number)
            folder.mkdir()
            if not clusters[-1].scheduler.is_alive():
                clusters.append(Cluster(folder))
            trial = Trial(clusters[-1], raw, folder, chance)
            trial.run(kind)
            ingest([str(raw)], trial.store)  # whatever a worker has left behind is swept
            assert state(trial.store) == expected, (number, kind)
            assert verify(trial.store, deep=DeepOptions(raw=[str(raw)])).problems == [], (number, kind)
            for worker in trial.stopped:  # it has left the cluster by itself, or soon does
                clusters[-1].kill(worker)
            done.update({kind: 1, "taken": trial.taken, "more": trial.more, "with more": bool(trial.more)})
            sys.stdout.write(f"{number + 1} {dict(done)}\n")
            sys.stdout.flush()
    finally:
        for made in clusters:
            made.__exit__()
