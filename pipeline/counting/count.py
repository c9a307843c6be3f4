"""Sources into totals: a function of plain values that runs anywhere, in a thread, a process or on another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline import formats
from pipeline.counting.objects import fetched_ahead
from pipeline.counting.opened import opened
from pipeline.counting.pending import Pending
from pipeline.counting.reading import load_apps
from pipeline.counting.rejects import RejectSpool
from pipeline.counting.reports import Reports
from pipeline.counting.sourcecount import Reading, SourceCount
from pipeline.counting.sources import Source
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import NoValidRow, SourceError, UnknownFormat, UnreadableSource
from pipeline.formats.apps import AppMap
from pipeline.formats.detection import NAME_THE_FORMAT
from pipeline.formats.format import Piece, ReadContext
from pipeline.options import ReadOptions

#: Is told that so many bytes of raw files, and so many rows, were read. Whatever it raises ends the counting.
Told = Callable[[int, int], None]
_NAME_ANOTHER = "leave out --format, or name another"


@dataclass(frozen=True)
class Limits:
    """What a group of sources may take, and what ends its counting.

    Attributes:
        totals_bytes: The memory for a table of totals; what does not fit goes to disk.
        strict: Whether the first rejected row ends it all.
        bounded: Whether a source may have rows of so many hours only; the service's log, of many requests, may have more.
    """

    totals_bytes: int
    strict: bool = False
    bounded: bool = True


@dataclass
class GroupCount:
    """What a group of sources added.

    Attributes:
        results: What came of each source, in their order.
        totals: The totals of those that could be counted.
        rejects: Their rejected rows, in the order of the sources and of the rows in each.
        reports: What their valid rows say of who reports them.
    """

    results: list[SourceCount | SourceError]
    totals: HourlyTotals
    rejects: RejectSpool
    reports: Reports

    @property
    def read(self) -> int:
        """The records of the sources that could be counted."""
        return sum(result.read for result in self.results if isinstance(result, SourceCount))


def count_group(
    sources: Sequence[Source], options: ReadOptions, limits: Limits, folder: str, told: Told | None = None
) -> GroupCount:
    """Counts sources, each whole or not at all. What one of them is changes nothing of what another adds.

    Args:
        sources: The sources.
        options: How their rows are understood.
        limits: What the counting may take.
        folder: Where to write what does not fit into memory.
        told: Is told how far the counting has come.

    Raises:
        UsageError: The mapping file is unfit.
        StrictRunStopped: A row was rejected, and none may be.
        SumOverflow: A sum does not fit into int64.
        OSError: What did not fit into memory could not be written.
    """
    group = _Group(options, limits, Path(folder), told or _tell_nobody)
    try:
        for source in fetched_ahead(sources):
            group.count(source)
        return group.result()
    finally:
        group.close()


def _tell_nobody(raw_bytes: int, rows: int) -> None:
    pass


class _Group:
    """Counts the sources of a group, one after the other."""

    def __init__(self, options: ReadOptions, limits: Limits, folder: Path, told: Told) -> None:
        self._options = options
        self._context = ReadContext(options, load_apps(options) or AppMap())
        self._folder = folder
        self._told = told
        self._counted: list[tuple[Source, Reading]] = []
        # What waits must not know the group, or all that was known of its sources would wait for Python's collector.
        new_totals, told_rows = partial(HourlyTotals, folder, limits.totals_bytes), partial(told, 0)
        self._new_pending = partial(Pending, new_totals, options.zero_bytes, limits.strict, limits.bounded, told_rows)
        self._together = self._new_pending()
        self._totals = self._together.totals = new_totals()

    def count(self, source: Source) -> None:
        """Reads a source to its end. As it counts whole or not at all, its rows wait for that with others, or, where they are
        too many, are summed apart.
        """
        reading, own = Reading(source.name, RejectSpool(self._folder)), self._new_pending()
        self._counted.append((source, reading))
        try:
            for piece in self._pieces(source, reading):
                own.put(reading, piece)
                del piece  # as below
                if own.is_full():
                    own.end()
                    own.settle()
                elif own.is_full(beside=self._together):
                    self._together.settle()
            own.end()
        except SourceError as error:
            reading.error = error
            return
        if own.totals:
            own.settle()
            if reading.error is None:
                self._totals.merge(own.totals)
                self._together.reports.merge(own.reports)
        else:
            self._together.take(own)
            if self._together.is_full():
                self._together.settle()

    def _pieces(self, source: Source, reading: Reading) -> Iterator[Piece]:
        """The pieces of a source, and behind them what identifies it.

        Raises:
            SourceError: It cannot be counted.
        """
        count = reading.count
        try:
            with opened(source) as file:
                known, stream = formats.open_source(
                    file.raw, source.name, self._options.format, self._options.settings, file.unpacked
                )
                count.format = known.name
                for piece in known.read(stream, self._context):
                    yield piece
                    del piece  # and its text, before more is read
                    self._told(file.advance(), 0)
                count.content, count.packed_digest = file.identify()
            self._told(file.advance(), 0)
        except OSError as error:
            raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None

    def result(self) -> GroupCount:
        self._together.settle()
        results: list[SourceCount | SourceError] = []
        rejects = RejectSpool(self._folder)
        for source, reading in self._counted:
            result = self._result_of(source, reading)
            results.append(result)
            if isinstance(result, SourceCount):
                rejects.merge(reading.rejects)
        return GroupCount(results, self._totals, rejects, self._together.reports)

    def close(self) -> None:
        """Gives the parsers' memory back: the parsers and the context know each other, and would wait for Python's collector."""
        self._context.parsers.clear()

    def _result_of(self, source: Source, reading: Reading) -> SourceCount | SourceError:
        if reading.error:
            return reading.error
        return self._no_valid_row(source, reading) if reading.count.rejected and not reading.count.valid else reading.count

    def _no_valid_row(self, source: Source, reading: Reading) -> NoValidRow:
        option, known = self._options.format, reading.count.format
        advice = "check whether it is of this format, and the format's settings; --format names another"
        if option != "auto":
            advice = "check whether it is of this format, and the format's settings"
            if other := _looks_like(source, known):
                advice = f"it looks like {other}"
        reason = reading.rejects.first.removeprefix(f"{source.name}: ")
        return NoValidRow(reading.count.read, known + (f" (--format {option})" if option != "auto" else ""), reason, advice)


def _looks_like(source: Source, known: str) -> str:
    """What a source would be taken for if its format had not been named, if that is another than the known one, and what to do."""
    try:
        with source.opened() as file:
            name = formats.open_source(file, source.name)[0].name
    except UnknownFormat as error:
        return f"{error.found}; {_NAME_ANOTHER if error.advice == NAME_THE_FORMAT else error.advice}"
    except (OSError, SourceError):
        return ""
    return f"{name}; {_NAME_ANOTHER}" if name != known else ""
