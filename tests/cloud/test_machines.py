"""Exactly once in a real bucket, by real processes: killed, stopped, cut off, refused, and racing each other, at any request.

A run is done once, and its requests are counted at a proxy. Then it is done in a new copy of the store for each request, with
something going wrong there, and the objects that are left are held against those of the run in which nothing went wrong. The
suite takes the telling ones of the requests, and `make soak` all of them.
"""

import os
import re
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.bucket import Bucket
from tests.cloud import servers
from tests.cloud.conftest import of_seaweed
from tests.cloud.machine import Machine
from tests.cloud.proxy import CUT, PASSED, SWALLOWED, Fault, Proxy

IS_SOAK = "FLOWLOG_SOAK" in os.environ
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
#: What the store has before, and what the run adds: to hours that are there, to a new one, and rejects of its own.
BEFORE = {"a.csv": "1,a,b,v,1,1\n2,a,b,v,2,2\n0,bad,b,v,1,1\n"}
ADDED = {"b.csv": "1,a,b,v,10,10\n3,a,b,v,3,3\n1,bad,b,v,x,1\n", "c.csv": "1,c,d,v,5,5\n"}
#: More of them, from another machine: an hour that both change, and one of its own.
OTHERS = {"d.csv": "1,a,b,v,100,100\n4,a,b,v,4,4\n"}


def write_raw(folder, files):
    folder.mkdir()
    for name, rows in files.items():
        (folder / name).write_text(HEADER + rows)
    return folder


@dataclass(frozen=True)
class Store:
    """A store in a bucket, looked at past any proxy."""

    bucket: Bucket
    name: str

    @property
    def url(self):
        return f"{self.bucket.url}/{self.name}"

    def objects(self, *below):
        """The objects below some of the store's folders, by their names in the store."""
        keys = [found.key for page in self.bucket.list(self.name) for found in page]
        names = {key.removeprefix(f"{self.name}/"): key for key in keys}
        return {name: self.bucket.read_start(key, 1 << 20)[0] for name, key in names.items() if name.startswith(below)}

    def totals(self):
        """The sums by key, as any reader of the partitions finds them."""
        found = {}
        for name, content in self.objects("flows/").items():
            hour = int(name.removeprefix("flows/hour=").partition("/")[0])
            for row in pq.read_table(pa.BufferReader(content)).to_pylist():
                key = (hour, row["src_app"], row["dest_app"], row["vpc_id"])
                assert key not in found
                found[key] = (row["bytes_tx"], row["bytes_rx"], row["flows"])
        return found


@dataclass
class World:
    """A server, a proxy before it, and two machines: `ours` goes through the proxy, `other` past it."""

    bucket: Bucket
    proxy: Proxy
    ours: Machine
    other: Machine
    folder: object
    numbers: object

    def store(self, objects=None):
        """A new store, with objects of another."""
        store = Store(self.bucket, f"store-{next(self.numbers)}")
        for name, content in (objects or {}).items():
            self.bucket.create(f"{store.name}/{name}", content)
        return store


@pytest.fixture(scope="module")
def world(seaweed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    name = f"machines-{os.getpid()}"
    servers.make_bucket(seaweed["filer"], name)
    with Proxy(seaweed["port"]) as proxy, pytest.MonkeyPatch.context() as environment:
        for variable, value in of_seaweed(seaweed["port"]).items():
            environment.setenv(variable, value)
        bucket = Bucket(f"s3://{name}")
        bucket.names()  # opened here, where the settings are
        write_raw(folder / "before", BEFORE)
        write_raw(folder / "raw", BEFORE | ADDED)
        write_raw(folder / "others", OTHERS)
        with (
            Machine(folder / "ours", of_seaweed(proxy.port)) as ours,
            Machine(folder / "other", of_seaweed(seaweed["port"])) as other,
        ):
            yield World(bucket, proxy, ours, other, folder, count(1))


def ingest(machine, raw, store):
    return machine.run("ingest", raw, "--store", store.url, "--quiet")


@dataclass(frozen=True)
class Run:
    """The run in which nothing went wrong: the store before, its objects behind, and the requests."""

    before: dict
    behind: dict
    requests: list

    def at(self, *telling):
        """The numbers of the requests at which something is to go wrong: all of them, or the first of each telling kind."""
        if IS_SOAK:
            return range(1, len(self.requests) + 1)
        asked = [f"{request.method} {request.target}" for request in self.requests]
        return [1 + next(number for number, text in enumerate(asked) if re.search(kind, text)) for kind in telling]


#: The requests that matter most: the commit, the first that publishes, and the one that clears away.
COMMIT, PUBLISH, CLEAR = "PUT .*/runs/", "PUT .*/flows/", "POST"


@pytest.fixture(scope="module")
def run(world):
    """The run in which nothing goes wrong."""
    store = world.store()
    assert ingest(world.other, world.folder / "before", store).code == 0
    before = store.objects("")
    world.proxy.reset()
    assert ingest(world.ours, world.folder / "raw", store).code == 0
    return Run(before, store.objects("flows/", "rejects/"), list(world.proxy.requests))


def check(world, run, store):
    """Nothing of the run is lost, nothing is twice, and nothing is left over, once it is repeated on another machine."""
    assert ingest(world.other, world.folder / "raw", store).code == 0
    assert store.objects("flows/", "rejects/") == run.behind
    assert len(store.objects("runs/")) == 2
    if IS_SOAK:  # what may have been alive is cleared away by the run behind the next
        assert ingest(world.other, world.folder / "raw", store).code == 0
        assert store.objects("staging/") == {}


def test_a_run_makes_few_requests_and_one_without_news_makes_four(world):
    store = world.store()
    counts = []
    for raw in ("before", "before", "before", "others"):
        world.proxy.reset()
        assert ingest(world.ours, world.folder / raw, store).code == 0
        counts.append(Counter(request.method for request in world.proxy.requests))
    assert counts[2] == {"GET": 4}
    # As many; then a look at each of two hours, a staged file for each, the commit, and each file from there to its place.
    assert counts[3] == {"GET": 4 + 2 + 2, "PUT": 2 + 1 + 2, "POST": 1}


def at(number, fault):
    return lambda request: fault if request.number == number else PASSED


def test_killed_at_any_request_and_repeated_a_run_leaves_the_same_objects(world, run):
    for number in run.at(COMMIT, PUBLISH, CLEAR):
        store = world.store(run.before)

        def kill(request, number=number):
            if request.number < number:
                return PASSED
            world.ours.signal(signal.SIGKILL)
            return CUT

        world.proxy.reset(kill)
        assert ingest(world.ours, world.folder / "raw", store).code == -signal.SIGKILL, number
        check(world, run, store)


@pytest.mark.skipif(not IS_SOAK, reason="make soak")  # or one request later, which is the same to most
def test_killed_when_the_server_has_acted_and_repeated_a_run_leaves_the_same_objects(world, run):
    for number in run.at():
        store = world.store(run.before)

        def kill(request, number=number):
            if request.number <= number:
                return PASSED
            world.ours.signal(signal.SIGKILL)
            return CUT

        world.proxy.reset(kill)
        ingest(world.ours, world.folder / "raw", store)
        check(world, run, store)


#: What may happen to one request without anything happening to the run.
FAULTS = {
    "the answer is lost": SWALLOWED,
    "the connection is cut": CUT,
    "the server is overloaded": Fault(status=503),
    "the server has failed when it had acted": Fault(status=500, is_late=True),
    "the answer is cut short": Fault(keeps=10),
    "the server is slow": Fault(seconds=1),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_run_goes_on_when_at_any_request(world, run, fault):
    for number in run.at(COMMIT):
        store = world.store(run.before)
        world.proxy.reset(at(number, FAULTS[fault]))
        ended = ingest(world.ours, world.folder / "raw", store)
        assert ended.code == 0, (number, ended.output)
        assert store.objects("flows/", "rejects/") == run.behind
        if IS_SOAK:
            check(world, run, store)


def test_a_process_that_is_stopped_at_any_request_and_woken_behind_another_run_puts_nothing_old_back(world, run):
    for number in run.at(COMMIT, PUBLISH):
        store = world.store(run.before)
        stopped, woken = threading.Event(), threading.Event()

        def stop(request, number=number, stopped=stopped, woken=woken):
            if request.number == number:
                world.ours.signal(signal.SIGSTOP)
                stopped.set()
                woken.wait()  # on its way, the request is as old as the process
            return PASSED

        world.proxy.reset(stop)
        world.ours.start("ingest", world.folder / "raw", "--store", store.url, "--quiet")
        stopped.wait()
        assert ingest(world.other, world.folder / "others", store).code == 0
        between = store.totals()
        world.ours.signal(signal.SIGCONT)
        woken.set()
        ended = world.ours.wait()
        assert ended.code == 0, (number, ended.output)
        for key, (sent, received, flows) in between.items():
            now = store.totals()[key]
            assert now >= (sent, received, flows), (number, key)
        assert store.totals() == truth(BEFORE, ADDED, OTHERS), number


def truth(*raw):
    """The sums by key, from the files' valid rows."""
    sums = Counter()
    for files in raw:
        for row in (row for rows in files.values() for row in rows.split()):
            hour, src_app, dest_app, vpc_id, sent, received = row.split(",")
            if src_app != "bad":
                for place, value in enumerate((int(sent), int(received), 1)):
                    sums[int(hour), src_app, dest_app, vpc_id, place] += value
    keys = {key[:4] for key in sums}
    return {key: tuple(sums[*key, place] for place in range(3)) for key in keys}


def test_two_machines_at_once_lose_nothing_and_count_nothing_twice(world):
    store = world.store()
    world.proxy.reset()
    raw = []
    for turn in range(20 if IS_SOAK else 1):
        mine, yours, both = ({f"{turn}-{who}.csv": f"{turn + 1},{who},x,v,1,1\n1,a,b,v,{turn + 1},7\n"} for who in "myb")
        raw += [mine, yours, both]
        for machine, files in ((world.ours, mine | both), (world.other, yours | both)):
            folder = write_raw(machine.folder / f"raw-{turn}", files)
            machine.start("ingest", folder, "--store", store.url, "--quiet")
        ended = [world.ours.wait(), world.other.wait()]
        assert [end.code for end in ended] == [0, 0], [end.output for end in ended]
        assert store.totals() == truth(*raw)
    assert len(store.objects("runs/")) == len(raw) // 3 * 2
    assert world.other.run("verify", "--store", store.url).code == 0
