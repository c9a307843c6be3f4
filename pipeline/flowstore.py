"""The store for notebooks and programs: what the commands do, as Arrow tables and pandas frames."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import chain, pairwise
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from pipeline.errors import UsageError
from pipeline.hours import LAST_HOUR, SECONDS_PER_HOUR, HourRange, When, end_of, hours_of
from pipeline.scalars import command_line
from pipeline.store.chain import check_version
from pipeline.store.layout import Locations

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pipeline.counting.pool import Progress
    from pipeline.jobs.summary import IngestSummary
    from pipeline.jobs.undo import UndoSummary
    from pipeline.jobs.verify import DeepOptions, Verification
    from pipeline.jobs.where import Given
    from pipeline.options import IngestOptions
    from pipeline.query.diff import Difference
    from pipeline.query.page import Page
    from pipeline.query.query import Query, Selection
    from pipeline.query.unnamed import Unnamed
    from pipeline.store.ledger import RunRecord
    from pipeline.store.partitions import PartitionSummary

#: From so many hours on copies of this process look at their files, a part of so many at a time: a look takes 60 microseconds, in which
#: Python's lock is held, and a copy is made in ten milliseconds.
_WORTH_COPIES, _PART = 1_000, 64


class FlowStore:
    """A store of hourly totals.

    Args:
        path: Its folder, or its URL in a bucket: "s3://bucket/flowlog".
        create: Whether the store may be missing, as it is before the first ingest.

    Raises:
        UsageError: There is no store.
        StoreUnreadable: The operating system does not say whether there is one.
        StoreVersion: There is one of another version, which this flowlog does not read.

    Example:
        >>> store = FlowStore("data/store")
        >>> store.frame("2026-11-24T08", until="2026-11-25T00", by=["src_app"], top=10)
    """

    def __init__(self, path: str | PathLike[str], create: bool = False) -> None:
        self.locations = Locations.at(path)
        try:
            is_other = self._is_other_than_folder()
            exists = check_version(self.locations) or self.locations.exist()
        except (OSError, ValueError) as error:  # a ValueError for a NUL
            reason = getattr(error, "strerror", error)
            raise UsageError(f"cannot look at the store {path}: {reason}") from None
        if is_other:
            problem = "cannot be made" if create else "is not there"
            raise UsageError(f"the store {path} {problem}: something that is not a folder has its name")
        if not create and not exists:
            make = command_line("ingest", store=self.locations.root)
            raise UsageError(f"there is no store in {path}; `{make}` makes one")

    def _is_other_than_folder(self) -> bool:
        """Whether something that is no folder is where the store should be."""
        root = self.locations.root
        try:
            return isinstance(root, Path) and not stat.S_ISDIR(root.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def table(
        self,
        hour: When = "latest",
        until: When | None = None,
        *,
        by: str | Sequence[str] | None = None,
        timestamps: bool = False,
        **selection: Unpack[Selection],
    ) -> pa.Table:
        """The totals of an hour, or of a range of hours, as an Arrow table.

        Args:
            hour: The hours, as `hours.hours_of` has them: `498752`, `"2026-11-24T08"`, `"2026-11-24"`, `"latest"`, `"-24h"`,
                a `date`, a `datetime`, …
            until: The hour behind the last of the range that starts where `hour` does; the first, if it means more than one.
            by: The columns of the key to keep, or one of them; the sums run over the others.
            timestamps: Whether to add `time`, the UTC time at which the hour starts.
            **selection: `src_app`, `dest_app`, `vpc_id`, `app`, `sort` and `top`, as `query.Query` has them.

        Returns:
            `hour` (int64), `src_app`, `dest_app`, `vpc_id`, `bytes_tx`, `bytes_rx` and `flows`; or `by` and the sums.

        Raises:
            UsageError: The question cannot be answered; the message lists all that is wrong with it.
            StoreDamaged: A file of the store cannot be read.
        """
        from pipeline.query.query import run_query  # an ingest that finds nothing new does without Arrow

        table = run_query(self.locations, self._query(hour, until, by, selection))
        return _with_time(table) if timestamps else table

    def each_table(
        self,
        hour: When = "latest",
        until: When | None = None,
        *,
        by: str | Sequence[str] | None = None,
        **selection: Unpack[Selection],
    ) -> Iterator[pa.Table]:
        """The same as several tables, one at the least: all hours together may be more than the memory holds."""
        from pipeline.query.query import each_table  # as above

        return each_table(self.locations, self._query(hour, until, by, selection))

    def _query(self, hour: When, until: When | None, by: str | Sequence[str] | None, selection: Selection) -> Query:
        from pipeline.query.query import Query  # as above

        asked = self.hours_of(hour, until)
        end = None if until is None and asked.until == asked.first + 1 else asked.until
        columns = Query.by if by is None else (by,) if isinstance(by, str) else tuple(by)
        return Query(asked.first, end, by=columns, **selection)

    def page(
        self,
        hour: When = "latest",
        until: When | None = None,
        *,
        most: int = 1000,
        by: str | Sequence[str] | None = None,
        **selection: Unpack[Selection],
    ) -> Page:
        """The first rows of what `table` gives, and the sums of all its rows: what a table or a chart with "other" shows.

        Args:
            hour: The hours, as `table` takes them; until, by and the selection alike.
            until: As above.
            most: The most rows.
            by: As above.
            **selection: As above.

        Raises:
            UsageError, StoreDamaged: As `table` does.
        """
        from pipeline.query.page import read_page  # as above

        return read_page(self.locations, self._query(hour, until, by, selection), most)

    def frame(self, hour: When = "latest", until: When | None = None, **options: Any) -> pd.DataFrame:
        """The same as a pandas frame: `hour` is int64, `time` is a UTC timestamp."""
        return self.table(hour, until, **options).to_pandas()

    def diff(self, before: When, after: When, *, min_bytes: int = 0, factor: float = 2.0) -> Difference:
        """What changed between two hours, days or spans: new pairs, vanished pairs, pairs whose bytes stepped.

        Args:
            before: The hours to compare with, as `table` takes them.
            after: The hours that are compared.
            min_bytes: Smaller changes are left out.
            factor: How many times as many bytes, or as few, are a step.

        Raises:
            UsageError: A span has no totals.
            StoreDamaged: A file of the store cannot be read.
        """
        from pipeline.query.diff import diff  # as above

        now = datetime.now(UTC)
        first, second = (hours_of(when, self.locations.newest_hour, now) for when in (before, after))
        return diff(self.locations, first, second, min_bytes, factor)

    def unnamed(self, hour: When = "latest", until: When | None = None, top: int = 20) -> Unnamed:
        """The addresses that have no name in some hours, those with the most bytes first, and what part of the bytes is named.

        Args:
            hour: The hours, as `table` has them.
            until: As there.
            top: How many addresses to give at the most.

        Raises:
            UsageError, StoreDamaged: As `table` does.
        """
        from pipeline.query.unnamed import find_unnamed  # few ask for it

        return find_unnamed(self.table(hour, until, by=("src_app", "dest_app", "vpc_id")), top)

    def hours_of(self, hour: When, until: When | None = None) -> HourRange:
        """The hours that are meant by what `table` takes.

        Raises:
            UsageError: What was given is not an hour, a day or a span.
        """
        now = datetime.now(UTC)  # once, or midnight could come between the two
        asked = hours_of(hour, self.locations.newest_hour, now)
        return asked if until is None else HourRange(asked.first, end_of(until, self.locations.newest_hour, now))

    def hours(self) -> list[PartitionSummary]:
        """The hours that have totals, in order, each in short."""
        return self._in_short(self.locations.hours_within(1, LAST_HOUR + 1))

    def gaps(self) -> list[HourRange]:
        """The hours between the first and the newest that have totals which have none themselves, in order."""
        hours = self.locations.hours()
        return [HourRange(hour + 1, later) for hour, later in pairwise(hours) if later > hour + 1]

    def _in_short(self, hours: Sequence[int]) -> list[PartitionSummary]:
        from pipeline.store.partitions import summarise_partition  # as above

        look = partial(summarise_partition, self.locations)
        found = self._by_copies(look, hours) if len(hours) >= _WORTH_COPIES else None
        found = found or self.locations.map_many(look, hours)
        return [summary for summary in found if summary is not None]  # a run may have dropped it meanwhile

    def _by_copies(
        self, look: Callable[[int], PartitionSummary | None], hours: Sequence[int]
    ) -> Iterator[PartitionSummary | None] | None:
        """What looking at many hours gives, by copies of this process; None where there may be none, or each look waits for an answer."""
        from pipeline.counting.resources import processors  # what a few hours do without
        from pipeline.forks import each_in_copies, may_copy

        if self.locations.files.threads is not None or not may_copy():
            return None
        parts = [hours[start : start + _PART] for start in range(0, len(hours), _PART)]
        return chain.from_iterable(each_in_copies(lambda part: list(map(look, part)), parts, processors()))

    def runs(self) -> list[RunRecord]:
        """The committed runs, oldest first, each with its sources."""
        return list(self.each_run())

    def each_run(self) -> Iterator[RunRecord]:
        """The same, one at a time: all the sources of years may be more than the memory holds. Taking one may raise StoreDamaged."""
        from pipeline.store.ledger import read_runs  # a query needs no ledger

        return read_runs(self.locations)

    def rejects(self, run: str | None = None, source: str | None = None, reason: str | None = None) -> pa.Table:
        """The rejected rows, with `run`, `source`, `row`, `field`, `rule`, `value` and `raw`.

        Args:
            run: Only of this run.
            source: Only of sources whose path contains this text.
            reason: Only those whose field or rule contains this text.

        Raises:
            UsageError: There is no such run.
            StoreDamaged: A file of the store cannot be read.
        """
        from pipeline.query.rejects import find_rejects  # a query needs no rejects

        return find_rejects(self.locations, run, source, reason)

    def each_reject(
        self, run: str | None = None, source: str | None = None, reason: str | None = None
    ) -> Iterator[pa.Table]:
        """The same, some thousands at a time: all together may be more than the memory holds."""
        from pipeline.query.rejects import each_reject  # as above

        return each_reject(self.locations, run, source, reason)

    def sql(self, statement: str) -> pa.Table:
        """The answer of DuckDB to a SELECT over `flows`, `rejects`, `runs` and `sources` (see `query.views`); it reads the store alone.

        Raises:
            UsageError: The statement cannot be carried out; the sentence says where it is wrong.
            ModuleNotFoundError: DuckDB is not installed; the extra sql has it.
        """
        from pipeline.query.sql import run_sql  # imports DuckDB, which an extra installs

        return run_sql(self.locations, statement)

    def verify(self, wait_seconds: float = 0, deep: DeepOptions | None = None) -> Verification:
        """Whether the totals are what the ledger says was counted; a sound store has no `problems`.

        Args:
            wait_seconds: How long to wait for a run that holds the store.
            deep: Also counts the raw files again that are still there.

        Raises:
            StoreLocked: A run holds the store.
            StoreUnreadable: One of the store's own folders cannot be read.
            UsageError: A raw path of `deep` does not exist, or a mapping file is not what it was.
        """
        from pipeline.jobs.verify import verify  # a query needs no proof

        return verify(self.locations, wait_seconds, deep)

    def ingest(
        self,
        raw: Sequence[str],
        options: IngestOptions | None = None,
        progress: Progress | None = None,
        executor: Given | None = None,
    ) -> IngestSummary:
        """Counts the new ones among some raw files, exactly once.

        Args:
            raw: Paths, folders and glob patterns.
            options: How.
            progress: Is told how far this has come.
            executor: Where the files are read: any `concurrent.futures.Executor`, or a `distributed.Client`. Its workers must see
                the files and the store under the same paths. Merging and the commit stay in this process.

        Raises:
            UsageError, RunStopped, StoreError: As `jobs.ingest.ingest` does; nothing is committed then, unless the error says so.
        """
        from pipeline.jobs.ingest import ingest  # a query needs neither readers nor validation

        return ingest(raw, self.locations, options, progress, executor)

    def forget(self, sources: Sequence[str], wait_seconds: float = 0, progress: Progress | None = None) -> UndoSummary:
        """Takes sources back: makes their hours anew from the raw files of the others that count there.

        Args:
            sources: Paths of counted sources, or their digests.
            wait_seconds: How long to wait for a run that holds the store.
            progress: Is told how far this has come.

        Raises:
            UsageError: No source is called so, or the hours cannot be made anew; nothing is changed then.
        """
        from pipeline.jobs.undo import forget  # a query undoes nothing

        return forget(self.locations, sources, wait_seconds=wait_seconds, progress=progress)

    def drop(self, before: When, wait_seconds: float = 0, *, every: bool = False) -> UndoSummary:
        """Drops the hours before one. What was counted stays known, and does not come back.

        Args:
            before: The first hour that is kept.
            wait_seconds: How long to wait for a run that holds the store.
            every: Whether all hours may be dropped.

        Raises:
            UsageError: No hour would be left.
        """
        from pipeline.jobs.undo import drop  # a query undoes nothing

        return drop(self.locations, end_of(before, self.locations.newest_hour), wait_seconds, every=every)

    def droppable(self, before: When, *, every: bool = False) -> list[PartitionSummary]:
        """The hours that `drop` would drop, each in short; nothing is changed."""
        from pipeline.jobs.undo import droppable  # as above

        return self._in_short(droppable(self.locations, end_of(before, self.locations.newest_hour), every=every))

    def sources_of(self, hours: Sequence[int], most: int) -> list[str] | None:
        """The paths of the sources that were counted into some hours, dropped or not; None if these are more than `most`."""
        from pipeline.jobs.undo import sources_of  # as above

        return sources_of(self.locations, hours, most)


def _with_time(table: pa.Table) -> pa.Table:
    """Adds `time`, behind `hour`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "hour" not in table.column_names:
        raise UsageError("a time can be added only where the rows have their hour")
    seconds = pc.multiply_checked(table.column("hour"), SECONDS_PER_HOUR)
    position = table.column_names.index("hour") + 1
    return table.add_column(position, "time", seconds.cast(pa.timestamp("s", tz="UTC")))
