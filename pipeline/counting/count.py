"""One source, from its bytes to its totals: read, validate, sum. Several at once, each whole or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from pipeline import formats
from pipeline.counting.content import SMALL_BYTES, Watch, small_text
from pipeline.counting.distinct_hours import DistinctHours
from pipeline.counting.interpretation import Interpretation
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Source
from pipeline.counting.tally import JoinedTally, SourceTally, Tally
from pipeline.counting.totals import HourlyTotals
from pipeline.counting.validation import is_prepared, may_be_rejected, validate
from pipeline.errors import NoValidRow, SourceChanged, SourceError, StrictRunStopped, UnknownFormat, UnreadableSource
from pipeline.formats.apps import AppMap
from pipeline.formats.format import Format, ReadOptions, Split
from pipeline.formats.joined import JoinedText, parts_of
from pipeline.schema import ZeroBytes, flow_schema
from pipeline.store import files
from pipeline.store.ledger import SourceRecord
from pipeline.syntax.batch import REJECT_BYTES, Batch
from pipeline.syntax.blocks import BLOCK_BYTES


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


@dataclass(frozen=True)
class Counted:
    """A source that was read to its end: its record for the ledger, and its rejects."""

    record: SourceRecord
    rejects: RejectSpool


@dataclass(frozen=True)
class Lot:
    """One source, or some small ones, counted together.

    Attributes:
        number: Its place among the lots, in the order of their sources.
        results: What became of each source.
        totals: Of those that could be counted.
    """

    number: int
    results: list[tuple[Source, Counted | SourceError]]
    totals: HourlyTotals


#: Rows are validated so many at a time, or as many as take so much memory: a call of pandera takes milliseconds, however few
#: they are.
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1 << 19, 1 << 26
#: The memory of a batch beside its rows: there may be many without one.
_BATCH_BYTES = 1 << 13
#: So many times as many rows wait rather than wait for the import of what validates them.
_PATIENCE = 4
#: Small sources are counted together, in lots of up to so many bytes and sources.
_LOT_BYTES, _LOT_SOURCES = 1 << 23, 1024
#: Their texts are read as one up to so many bytes: as many as are one block, which is then not copied.
_JOINED_BYTES = BLOCK_BYTES - (1 << 16)


class SourceCounter:
    """Counts sources, several at once.

    Args:
        interpretation: How their rows are understood.
        scratch: A folder for what does not fit into memory.
        resources: What they may take of the machine.
        progress: Is told how far it has come.
        strict: Whether the first rejected row ends it all.
        alone: Whether each source is read alone: several times as much work for small ones, but no shortcut.
        bounded: Whether a source may have rows of so many hours only; the service's log, of many requests, may have more.

    Raises:
        UsageError: The mapping file is unfit.
    """

    def __init__(
        self,
        interpretation: Interpretation,
        scratch: Path,
        resources: Resources,
        progress: Progress | None = None,
        strict: bool = False,
        alone: bool = False,
        bounded: bool = True,
    ) -> None:
        self._interpretation = interpretation
        self._read_options = ReadOptions(
            interpretation.load_apps() or AppMap(),
            interpretation.vpc_id,
            interpretation.aws_fields,
            is_named=interpretation.format != "auto",
        )
        self._scratch = scratch
        self._resources = resources
        self._progress = progress or Silent()
        self._strict = strict
        self._alone = alone
        self._bounded = bounded

    def new_totals(self) -> HourlyTotals:
        """For the whole run, for each lot that is being read, or for one that waits to be taken over into the run's."""
        return HourlyTotals(self._scratch, self._resources.totals_bytes)

    def count_all(self, lots: Iterable[Sequence[Source]]) -> Iterator[Lot]:
        """Counts lots of sources (see `lots_of`); gives each as it is done, and holds few of them at a time.

        Raises:
            StrictRunStopped: A row was rejected, and `strict` was asked for.
            StoreUnwritable: What did not fit into memory could not be written.
        """
        stop = threading.Event()
        running: set[Future[Lot]] = set()
        with ThreadPoolExecutor(self._resources.threads, thread_name_prefix="source") as pool:
            try:
                for number, sources in enumerate(lots):
                    running.add(pool.submit(self._count_lot, number, sources, stop))
                    if len(running) > self._resources.threads:
                        done, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in done)
                yield from (future.result() for future in as_completed(running))
            finally:
                stop.set()  # where the run was given up, what is still being read is of no use
                for future in running:
                    future.cancel()

    def _count_lot(self, number: int, sources: Sequence[Source], stop: threading.Event) -> Lot:
        """Counts a lot: what may be read as one text first, then each of the others."""
        totals, waiting = self.new_totals(), _Waiting(self._interpretation.zero_bytes)
        read: dict[str, SourceTally | SourceError] = {}
        if len(sources) > 1 and not self._alone:
            for joined in self._join(sources):
                if self._read_joined(joined, waiting):
                    read.update((tally.source.name, tally) for tally in joined.tallies)
                if waiting.is_enough:
                    self._settle(waiting, totals)
        for source in sources:
            if source.name not in read:
                read[source.name] = self._read_alone(source, waiting, totals, stop)
        self._settle(waiting, totals)
        return Lot(number, [(source, self._result_of(read[source.name])) for source in sources], totals)

    def _read_joined(self, joined: JoinedTally, waiting: _Waiting) -> bool:
        """Has the rows of a joined text wait; none of them, if one of its sources is at fault: which one, reading each alone
        will tell.
        """
        try:
            batches = list(joined.text.read(self._read_options))
            hours = DistinctHours()
            for batch in batches:
                hours.add(batch.table)
        except SourceError:
            return False
        for batch in batches:
            waiting.put(joined, batch)
        for tally in joined.tallies:
            self._progress.advance(tally.source.size, 0)
        self._progress.advance(0, sum(batch.read for batch in batches))
        return True

    def _read_alone(
        self, source: Source, waiting: _Waiting, totals: HourlyTotals, stop: threading.Event
    ) -> SourceTally | SourceError:
        """Reads a source to its end, and has its rows wait. As it counts whole or not at all, those that cannot wait for its
        end are summed apart.
        """
        tally, own = SourceTally(source, RejectSpool(self._scratch)), _Waiting(self._interpretation.zero_bytes)
        apart: HourlyTotals | None = None
        hours = DistinctHours()
        try:
            for batch in self._read(tally, stop):
                if self._bounded:
                    hours.add(batch.table)
                own.put(tally, batch)
                if own.is_enough:
                    apart = apart or self.new_totals()
                    self._settle(own, apart)
        except SourceError as error:
            return error
        if apart:
            with files.writing(self._scratch):
                totals.absorb(apart)
        waiting.put_all(own)
        if waiting.is_enough:
            self._settle(waiting, totals)
        return tally

    def _join(self, sources: Sequence[Source]) -> Iterator[JoinedTally]:
        """The texts of those of the sources that may be read as one, by how they start."""
        told: dict[bytes, tuple[Format, Split] | None] = {}
        joined: dict[tuple[str, bytes], JoinedTally] = {}
        size = 0
        for source in sources:
            read = source.text or small_text(source)
            text = read.data if read and len(read.data) <= _JOINED_BYTES else b""
            line = text.partition(b"\n")[0]
            if line not in told:
                told[line] = formats.format_told_by(line, self._interpretation.format)
            known, split = told[line] or (None, None)
            parts = parts_of(text, split) if split else None
            if known is None or parts is None or read is None:
                continue
            if source.digest not in ("", read.content.digest):
                continue  # it has changed, as reading it alone will tell
            header, records = parts
            if size + len(records) > _JOINED_BYTES:
                yield from joined.values()
                joined, size = {}, 0
            if (known.name, header) not in joined:
                joined[known.name, header] = JoinedTally(JoinedText(known, header), [])
            group = joined[known.name, header]
            group.text.add(records)
            group.tallies.append(
                SourceTally(source, RejectSpool(self._scratch), known.name, read.content, read.packed_digest)
            )
            size += len(records)
        yield from joined.values()

    def _read(self, tally: SourceTally, stop: threading.Event) -> Iterator[Batch]:
        """The batches of a source, unchecked."""
        source, position = tally.source, 0
        try:
            with source.path.open("rb") as file:
                watch = Watch(file)
                known, stream = formats.open_source(
                    watch.packed,
                    source.name,
                    self._interpretation.format,
                    has_aws_fields=self._read_options.aws_fields is not None,
                    through=watch.unpacked,
                )
                tally.format = known.name
                for batch in known.read(stream, self._read_options):
                    if stop.is_set():
                        raise UnreadableSource("the run was stopped")
                    yield batch
                    reached = max(position, file.tell())  # a Parquet reader jumps about
                    self._progress.advance(reached - position, batch.read)
                    position = reached
                tally.content, tally.packed_digest = watch.content(), watch.packed_digest()
                if not source.is_unchanged(file.fileno()) or source.digest not in ("", tally.content.digest):
                    raise SourceChanged
        except OSError as error:
            raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None
        self._progress.advance(source.size - position, 0)

    def _settle(self, waiting: _Waiting, totals: HourlyTotals) -> None:
        """Validates the batches that wait, and adds them to the totals and to what is known of their sources."""
        taken = waiting.take()
        if not taken:
            return  # and wait for no import
        checked = validate([batch for _, batch in taken], flow_schema(self._interpretation.zero_bytes))
        for (tally, _), batch in zip(taken, checked, strict=True):
            if batch.rejects and self._strict:
                first = min(batch.rejects, key=lambda reject: reject.row)
                name, row = tally.where(first.row)
                raise StrictRunStopped(name, str(replace(first, row=row)))
            with files.writing(self._scratch):
                tally.add(batch, totals.add(batch.table))

    def _result_of(self, read: SourceTally | SourceError) -> Counted | SourceError:
        if isinstance(read, SourceTally) and read.rejects.count and not read.valid:
            return self._no_valid_row(read)
        return Counted(read.record(), read.rejects) if isinstance(read, SourceTally) else read

    def _no_valid_row(self, tally: SourceTally) -> NoValidRow:
        option = self._interpretation.format
        advice = "check whether it is of this format, and the format's settings; --format names another"
        if option != "auto":
            advice = "check whether it is of this format, and the format's settings"
            if other := _looks_like(tally):
                advice = f"it looks like {other}"
        reason = tally.rejects.first.removeprefix(f"{tally.source.name}: ")
        return NoValidRow(tally.read, tally.format + (f" (--format {option})" if option != "auto" else ""), reason, advice)


def _looks_like(tally: SourceTally) -> str:
    """What a source would be taken for if its format had not been named, if that is another, and what to do."""
    try:
        with tally.source.path.open("rb") as file:
            name = formats.open_source(file, tally.source.name)[0].name
    except UnknownFormat as error:
        return f"{error.found}; {error.advice}"
    except (OSError, SourceError):
        return ""
    return f"{name}; leave out --format, or name another" if name != tally.format else ""


class _Waiting:
    """Batches that wait to be validated together."""

    def __init__(self, zero_bytes: ZeroBytes) -> None:
        self._zero_bytes = zero_bytes
        self._batches: list[tuple[Tally, Batch]] = []
        self._rows = self._bytes = 0

    def put(self, tally: Tally, batch: Batch) -> None:
        if may_be_rejected(batch.table, self._zero_bytes):
            self._bytes += REJECT_BYTES * batch.table.num_rows
        else:
            batch = batch.without_raw()
        self._batches.append((tally, batch))
        self._rows += batch.read
        self._bytes += batch.nbytes + _BATCH_BYTES

    def put_all(self, other: _Waiting) -> None:
        self._batches += other._batches
        self._rows += other._rows
        self._bytes += other._bytes

    @property
    def is_enough(self) -> bool:
        most = 1 if is_prepared() else _PATIENCE
        return self._rows >= most * _ROWS_AT_ONCE or self._bytes >= _BYTES_AT_ONCE

    def take(self) -> list[tuple[Tally, Batch]]:
        taken = self._batches
        self._batches, self._rows, self._bytes = [], 0, 0
        return taken


def lots_of(sources: Iterable[Source]) -> Iterator[list[Source]]:
    """Cuts a list of sources into lots: a big one is a lot of its own, small ones that lie side by side share one."""
    lot: list[Source] = []
    size = 0
    for source in sources:
        if lot and (source.size >= SMALL_BYTES or size + source.size > _LOT_BYTES or len(lot) == _LOT_SOURCES):
            yield lot
            lot, size = [], 0
        lot.append(source)
        size += source.size
        if source.size >= SMALL_BYTES:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot
