"""Who watches a cluster's workers, and says in an error what is wrong with them."""

import time
from concurrent.futures import CancelledError
from types import SimpleNamespace

import pytest

from pipeline.counting import cluster
from pipeline.counting.elsewhere import own_build
from pipeline.counting.resources import Resources
from pipeline.errors import ClusterFailed, OtherBuild, StrictRunStopped
from pipeline.scalars import DISTRIBUTION

ADDRESS = "tcp://10.0.0.7:8786"


class Client:
    """A client of a scheduler whose workers are as the test has them."""

    def __init__(self, threads, versions=None):
        self.scheduler = SimpleNamespace(address=ADDRESS)
        self.threads = threads
        self.versions = versions or [own_build()[0]]

    def nthreads(self):
        if isinstance(self.threads, Exception):
            raise self.threads
        return self.threads

    def get_versions(self, packages):
        assert packages == [DISTRIBUTION]
        found = [{"packages": {DISTRIBUTION: version}} for version in (own_build()[0], *self.versions)]
        return {"scheduler": found[0], "workers": {f"tcp://10.0.0.{i}:1": one for i, one in enumerate(found[1:])}}

    def get_executor(self):
        return "the executor"


def watch(threads=None, lone_seconds=0.0):
    made = cluster._Watch(Client({} if threads is None else threads))
    made._seen = time.monotonic() - lone_seconds
    return made


def test_as_many_groups_are_counted_at_once_as_the_workers_have_threads():
    with cluster.of_client(Client({"a": 2, "b": 3}), Resources()) as workers:
        assert (workers.executor, workers.width) == ("the executor", 5)
        workers.watch._client.threads = {"a": 2, "b": 3, "c": 4}
        workers.watch.check()
        assert workers.watch.width == 9


def test_the_memory_is_a_worker_s_and_its_threads_share_it():
    of_one, of_eight = (
        cluster.of_client(Client({"a": threads}), Resources(memory_bytes=1 << 30)).__enter__().totals_bytes
        for threads in (1, 8)
    )
    assert of_one == 64 << 20
    assert of_eight < of_one


@pytest.mark.parametrize("version", ["0.0.9", None])
def test_a_worker_with_another_flowlog_is_refused_by_name(version):
    client = Client({"a": 1}, [own_build()[0], version])
    shown = version or "not installed"
    with pytest.raises(OtherBuild, match=f"10.0.0.1:1 has flowlog .*{shown}.*the run has flowlog {own_build()[0]}"):
        cluster.of_client(client, Resources()).__enter__()


def test_a_scheduler_that_is_gone_is_said():
    with pytest.raises(ClusterFailed, match=f"the scheduler {ADDRESS} is gone.*nothing was committed"):
        watch(OSError("in: closed")).check()


def test_a_cluster_without_workers_is_waited_for_a_while():
    watch(lone_seconds=59).check()
    with pytest.raises(ClusterFailed, match=f"{ADDRESS} has had no worker for 60 seconds"):
        watch(lone_seconds=61).check()


def test_no_scheduler_at_an_address_is_said(monkeypatch):
    monkeypatch.setattr(cluster, "_CONNECT_SECONDS", 0.2)
    with pytest.raises(ClusterFailed, match=r"no scheduler of Dask answers at tcp://127\.0\.0\.1:9"):
        cluster.made("tcp://127.0.0.1:9", Resources()).__enter__()


def test_errors_of_the_cluster_are_told_from_bugs():
    explained = watch().explained
    killed = cluster.KilledWorker("key", SimpleNamespace(address="tcp://10.0.0.8:1"), 3)
    assert "4 workers ended, one after the other" in str(explained(killed))
    assert "10.0.0.8" in str(explained(killed))
    for error in (CancelledError(), cluster.CommClosedError("lost")):
        assert "is gone" in str(explained(error))
    assert "has no flowlog" in str(explained(ModuleNotFoundError("No module named 'pipeline'")))
    for error in (StrictRunStopped("a", "b"), ZeroDivisionError(), OSError(28, "No space left on device")):
        assert explained(error) is error
