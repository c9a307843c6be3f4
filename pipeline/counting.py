"""One source, from its bytes to its totals: read, validate, sum. Several at once, each whole or not at all."""

from __future__ import annotations

import os
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from pipeline import readers
from pipeline.aggregation import HourlyTotals, aggregate, sums_of
from pipeline.errors import SourceChanged, SourceError, StrictRunStopped, UnreadableSource, UsageError
from pipeline.ledger import SourceRecord
from pipeline.readers.addresses import AppMap, load_app_map
from pipeline.readers.interface import ReadOptions
from pipeline.rejects import RejectSpool
from pipeline.schema import ZeroBytes, flow_schema
from pipeline.sources import Source, digest_of
from pipeline.store import files
from pipeline.validation import validate


@dataclass(frozen=True)
class Interpretation:
    """What decides, beside its bytes, what a source counts as. The ledger keeps it, so that it can be counted again.

    Attributes:
        format: One of `readers.FORMAT_OPTIONS`.
        apps: The path of the mapping file, if any, and its digest.
        vpc_id: The VPC of records that have none.
        aws_fields: The fields of AWS text without a header, in order; None for AWS's default.
        zero_bytes: Whether a record may have 0 bytes in a direction.
    """

    format: str = "auto"
    apps: str | None = None
    apps_digest: str | None = None
    vpc_id: str | None = None
    aws_fields: tuple[str, ...] | None = None
    zero_bytes: ZeroBytes = "accept"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Interpretation:
        fields = dict(fields)
        if fields["aws_fields"] is not None:
            fields["aws_fields"] = tuple(fields["aws_fields"])
        return cls(**fields)

    def load_apps(self) -> AppMap:
        """Loads the mapping file.

        Raises:
            UsageError: It is unfit, or another than it was.
        """
        return AppMap() if self.apps is None else _load_apps(Path(self.apps), self.apps_digest)


@lru_cache(maxsize=4)
def _load_apps(path: Path, digest: str | None) -> AppMap:
    apps = load_app_map(path)
    if digest_of_mapping(path) != digest:
        raise UsageError(f"the mapping file {path} is not what it was; its names would no longer fit the totals")
    return apps


def digest_of_mapping(path: Path) -> str:
    """What identifies a mapping file: the digest of its bytes.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return digest_of(Source.at(path))
    except UnreadableSource as error:
        reason = str(error).removeprefix("cannot be read: ")
        raise UsageError(f"the mapping file {path} cannot be read: {reason}") from None


class Progress(Protocol):
    """Is told how far a run has come."""

    def start(self, total_bytes: int) -> None:
        """The run will read so many bytes of raw files."""

    def advance(self, raw_bytes: int, rows: int) -> None:
        """So much more was read. Called from several threads."""


class Silent:
    """Nobody wants to know."""

    def start(self, total_bytes: int) -> None: ...
    def advance(self, raw_bytes: int, rows: int) -> None: ...


@dataclass
class Counted:
    """A source that was read to its end: its record for the ledger, its totals and its rejects."""

    record: SourceRecord
    totals: HourlyTotals
    rejects: RejectSpool


class SourceCounter:
    """Counts sources, several at once.

    Args:
        interpretation: How their rows are understood.
        scratch: A folder for what does not fit into memory.
        workers: How many are read at once; None for one a processor.
        totals_bytes: How much memory all their totals may take.
        progress: Is told how far it has come.
        strict: Whether the first rejected row ends it all.

    Raises:
        UsageError: The mapping file is unfit.
    """

    def __init__(
        self,
        interpretation: Interpretation,
        scratch: Path,
        workers: int | None,
        totals_bytes: int,
        progress: Progress | None = None,
        strict: bool = False,
    ) -> None:
        self._interpretation = interpretation
        self._read_options = ReadOptions(interpretation.load_apps(), interpretation.vpc_id, interpretation.aws_fields)
        self._scratch = scratch
        self._workers = workers or os.cpu_count() or 1
        self._at_once = 2 * self._workers  # as many are read ahead of the one whose turn it is
        self._totals_bytes = totals_bytes
        self._progress = progress or Silent()
        self._strict = strict

    def new_totals(self) -> HourlyTotals:
        """For the whole run, or for one of the sources that are being read or wait for their turn in it."""
        return HourlyTotals(self._scratch, self._totals_bytes // (1 + self._at_once + 1))

    def count_all(self, sources: Iterable[Source]) -> Iterator[tuple[Source, Counted | SourceError]]:
        """Counts the sources; gives the results in the order of the sources, and holds few of them at a time.

        Raises:
            StrictRunStopped: A row was rejected, and `strict` was asked for.
            StoreUnwritable: What did not fit into memory could not be written.
        """
        stop = threading.Event()
        waiting: deque[tuple[Source, Future[Counted | SourceError]]] = deque()
        with ThreadPoolExecutor(self._workers, thread_name_prefix="source") as pool:
            try:
                for source in sources:
                    waiting.append((source, pool.submit(self._count_or_error, source, stop)))
                    if len(waiting) > self._at_once:
                        first, future = waiting.popleft()
                        yield first, future.result()
                while waiting:
                    first, future = waiting.popleft()
                    yield first, future.result()
            finally:
                stop.set()  # where the run was given up, what is still being read is of no use
                for _, future in waiting:
                    future.cancel()

    def _count_or_error(self, source: Source, stop: threading.Event) -> Counted | SourceError:
        try:
            return self._count(source, stop)
        except SourceError as error:
            return error

    def _count(self, source: Source, stop: threading.Event) -> Counted:
        """Reads one source to its end. It counts whole, or not at all."""
        schema = flow_schema(self._interpretation.zero_bytes)
        totals, rejects = self.new_totals(), RejectSpool(self._scratch)
        read, ignored, sums = 0, Counter[str](), Counter[str]()
        position = 0
        try:
            with source.path.open("rb") as file:
                known, stream = readers.open_source(file, source.name, self._interpretation.format)
                for unchecked in known.read(stream, self._read_options):
                    if stop.is_set():
                        raise UnreadableSource("the run was stopped")
                    batch = validate(unchecked, schema)
                    if batch.rejects and self._strict:
                        raise StrictRunStopped(source.name, str(min(batch.rejects, key=lambda reject: reject.row)))
                    counted = aggregate(batch.table)
                    with files.writing(self._scratch):
                        totals.add(counted)
                        rejects.add(source.name, batch.rejects)
                    sums.update(sums_of(counted))
                    ignored += batch.ignored
                    read += batch.read
                    reached = max(position, file.tell())  # a Parquet reader jumps about
                    self._progress.advance(reached - position, batch.read)
                    position = reached
                if not source.is_unchanged(file):
                    raise SourceChanged
        except OSError as error:
            raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None
        self._progress.advance(source.size - position, 0)
        with files.writing(self._scratch):
            hours = totals.hours()
        record = SourceRecord(
            path=source.name,
            digest=source.digest,
            size=source.size,
            mtime_ns=source.mtime_ns,
            format=known.name,
            read=read,
            valid=sums["flows"],
            rejected=rejects.count,
            ignored=dict(ignored),
            bytes_tx=sums["bytes_tx"],
            bytes_rx=sums["bytes_rx"],
            hours=hours,
        )
        return Counted(record, totals, rejects)
