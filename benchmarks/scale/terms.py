"""What each part of a run costs, measured here in processor time, which other programs disturb less than the clock."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from benchmarks.inputs import program
from pipeline.counting.count import Limits
from pipeline.counting.elsewhere import Partial, PartialFile, count_elsewhere, job_of, own_build
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.resources import Resources
from pipeline.counting.sourcecount import SourceCount
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.digests import NO_CONTENT
from pipeline.jobs.commit import Change, commit
from pipeline.jobs.count import record_of
from pipeline.jobs.find import find
from pipeline.jobs.ingest import ingest
from pipeline.jobs.plan import make_plan
from pipeline.options import IngestOptions, ReadOptions
from pipeline.schema import FLOW_SCHEMA
from pipeline.store.chain import LastRun
from pipeline.store.index import open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import RunRecord, now
from pipeline.store.lock import locked
from pipeline.store.transaction import Transaction

MIB = 1 << 20
#: Of each format so many rows are counted, of as many pairs of apps as a service graph has.
_ROWS, _PAIRS = 600_000, 3000
FORMATS = ("csv", "jsonl", "aws", "zeek", "gcp", "suricata", "azure", "netobserv", "nfdump-csv", "nfdump-ndjson", "goflow2")
_FIRST_HOUR = 498_750
_LIMITS = Limits(64 * MIB)


@dataclass(frozen=True)
class Terms:
    """What each part costs, in seconds of one processor.

    Attributes:
        run: A run's own: its lock, its index, its record.
        plan: To find a new file, to look at its start, and to write of it into the record.
        count: To count a MiB of a format, as it lies (AWS's is packed), by the name of the format; rows: in such a MiB.
        file: To count a file, beside its bytes, where it is too large to be gathered with others.
        key: To add the first record of a key, and to write the key into a partial file, beside what a record takes.
        key_bytes: The bytes of a key in a partial file.
        take: To check a MiB of partial files.
        merge: To merge a key of a partial file.
        publish: To write and publish an hour; publish_key: and each of its keys.
        task: To hand a group over and to take its result, by the run and the scheduler.
    """

    run: float
    plan: float
    count: dict[str, float]
    rows: dict[str, float]
    file: float
    key: float
    key_bytes: float
    take: float
    merge: float
    publish: float
    publish_key: float
    task: float


def measured() -> Terms:
    """Measures all of them, in a minute or two."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        count, rows = {}, {}
        for name in FORMATS:
            count[name], rows[name] = _counting(name, work)
        take, merge, key_bytes = _merging(work)
        publish, publish_key = _publishing(work)
        return Terms(
            _running(work),
            _planning(work),
            count,
            rows,
            _opening(work),
            _adding(work, key_bytes),
            key_bytes,
            take,
            merge,
            publish,
            publish_key,
            _handing_over(),
        )


def processor_time(function: Callable[[], object], runs: int = 5, clock: Callable[[], float] = time.process_time) -> float:
    """The least that some runs of a function take, in seconds."""
    taken = []
    for _ in range(runs):
        began = clock()
        function()
        taken.append(clock() - began)
    return min(taken)


def _counting(name: str, work: Path) -> tuple[float, float]:
    """The seconds, and the rows, of a MiB of a format."""
    seconds, size, _ = _counted(name, work, files=1)
    return seconds / size * MIB, _ROWS / size * MIB


def _opening(work: Path, files: int = 10) -> float:
    """The seconds for a file: those by which many files take longer than one with the same rows."""
    many, one = (_counted("aws", work / f"files-{count}", count)[0] for count in (files, 1))
    return max(0, many - one) / (files - 1)


def _adding(work: Path, key_bytes: float) -> float:
    """The seconds for a key: those by which files of many hours take longer than as many of two."""
    (many, _, many_bytes), (few, _, few_bytes) = (_counted("aws", work / f"hours-{hours}", 48, hours) for hours in (48, 2))
    return max(0, many - few) / ((many_bytes - few_bytes) / key_bytes)


def _counted(name: str, work: Path, files: int, hours: int = 2) -> tuple[float, float, float]:
    """The seconds to count the rows of a format in some files, the bytes of these, and those of the partial files."""
    raw, scratch = work / name, work / "scratch"
    graph = ["--apps=200", f"--pairs={_PAIRS}", "--skew=1.1", f"--hours={hours}"]
    program("-m", "benchmarks.generate", "--format", name, f"--rows={_ROWS}", f"--files={files}", *graph, str(raw))
    scratch.mkdir(parents=True, exist_ok=True)
    sources = [Source.at(path) for path in sorted(raw.iterdir())]
    job = job_of(sources, ReadOptions(timezone="UTC"), _LIMITS, scratch)
    seconds = processor_time(lambda: pickle.dumps(count_elsewhere(own_build(), job)), clock=time.thread_time)
    partial = count_elsewhere(own_build(), job)
    return seconds, sum(source.size for source in sources), sum(file.size for file in partial.files)


def _flows(hours: int, keys: int, first: int = 0) -> pa.Table:
    """As many keys in each hour."""
    names = pa.array([f"app-{first + key:07}" for key in range(keys)])
    columns = {
        "hour": pa.array([_FIRST_HOUR + hour for hour in range(hours) for _ in range(keys)], pa.int64()),
        **{
            name: pa.DictionaryArray.from_arrays(pa.array([*range(keys)] * hours, pa.int32()), names)
            for name in ("src_app", "dest_app", "vpc_id")
        },
        **{name: pa.array([1 << 20] * hours * keys, pa.int64()) for name in ("bytes_tx", "bytes_rx")},
    }
    return pa.table(columns).select(FLOW_SCHEMA.names)


def _merging(work: Path, groups: int = 16, keys: int = 20_000) -> tuple[float, float, float]:
    """The seconds to check a MiB of partial files, and to merge a key; the bytes of a key."""
    merged, files = (
        HourlyTotals(work, 0),
        list[PartialFile](),
    )  # which has nothing in memory: where keys are many, little fits
    for _ in range(groups):  # which have the same keys, as groups of a service graph do
        group = HourlyTotals(work, 64 * MIB)
        group.add(_flows(1, keys))
        group.to_disk()
        files += map(PartialFile.at, group.paths)
        merged.merge(group)
    size = sum(file.size for file in files)
    partial = Partial("", [], merged, RejectSpool(work), Reports(), files)
    take = processor_time(partial.taken)
    merge = processor_time(lambda: [read() for _, read in merged.by_hour()])
    return take / size * MIB, merge / groups / keys, size / groups / keys


def _publishing(work: Path, hours: int = 48, keys: int = 20_000) -> tuple[float, float]:
    """The seconds to publish an hour, and each of its keys: from hours with one key, and with many."""

    def publish(count: int) -> float:
        def run() -> None:
            with tempfile.TemporaryDirectory(dir=work) as root:
                store = Locations(Path(root))
                with Transaction(store, LastRun()) as transaction:
                    totals = HourlyTotals(store.scratch, 1 << 30)
                    totals.add(_flows(hours, count))
                    commit(store, transaction, Change(added=[totals]), now(), Resources(workers=1))

        return processor_time(run) / hours

    few, many = publish(1), publish(keys)
    return few, (many - few) / keys


def _running(work: Path) -> float:
    """The seconds for a run of one small file."""
    (work / "one.csv").write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,1\n")

    def run() -> None:
        with tempfile.TemporaryDirectory(dir=work) as root:
            ingest([str(work / "one.csv")], Locations(Path(root)), IngestOptions(workers=1))

    return processor_time(run)


def _planning(work: Path, files: int = 3000) -> float:
    """The seconds for a new file."""
    raw = work / "small"
    raw.mkdir()
    for number in range(files):
        (raw / f"{number}.csv").write_text(f"hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n{number + 1},a,b,v,1,1\n" * 20)
    store = Locations(work / "planned")

    def run() -> None:
        with locked(store), open_index(store) as index:
            plan = make_plan(find([str(raw)]), index)
            records = [record_of(source, SourceCount("csv", NO_CONTENT, hours={1, 2})) for source in plan.new]
            RunRecord("00000001", now(), now(), records, {}).to_json()

    return processor_time(run) / files


def _handing_over(tasks: int = 200) -> float:
    """The seconds for a group, with a scheduler in this process, whose part is in it."""
    from distributed import Client, LocalCluster

    job = b"x" * 20_000  # some hundred sources
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", memory_limit=0
        ) as local,
        Client(local, set_as_default=False) as client,
        nullcontext(client.get_executor()) as executor,
    ):
        executor.submit(len, job).result()
        return (
            processor_time(lambda: [future.result() for future in [executor.submit(len, job) for _ in range(tasks)]]) / tasks
        )
