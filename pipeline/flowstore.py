"""The store for notebooks and programs: what the commands do, as Arrow tables and pandas frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import index
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError
from pipeline.hours import SECONDS_PER_HOUR, parse_hour
from pipeline.store.locations import Locations

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from pipeline.counting import Progress
    from pipeline.ingest import IngestOptions, IngestSummary
    from pipeline.ledger import RunRecord
    from pipeline.store.partitions import PartitionSummary
    from pipeline.undo import UndoSummary
    from pipeline.verify import DeepOptions, Verification

Hour = int | str


class FlowStore:
    """A store of hourly totals.

    Args:
        path: Its folder.
        create: Whether the folder may be missing, as it is before the first ingest.

    Raises:
        UsageError: There is no store.

    Example:
        >>> store = FlowStore("data/store")
        >>> store.frame("2026-11-24T08", until="2026-11-25T00", by=["src_app"], top=10)
    """

    def __init__(self, path: str | PathLike[str], create: bool = False) -> None:
        self.locations = Locations(Path(path))
        try:
            exists = self.locations.exist()
        except OSError as error:
            raise UsageError(f"cannot look at the store {path}: {error.strerror}") from None
        if not create and not exists:
            raise UsageError(f"there is no store in {path}; `flowlog ingest --store {path}` makes one")

    def table(
        self,
        hour: Hour,
        until: Hour | None = None,
        *,
        src_app: str | None = None,
        dest_app: str | None = None,
        vpc_id: str | None = None,
        by: str | Sequence[str] | None = None,
        sort: str | None = None,
        top: int | None = None,
        timestamps: bool = False,
    ) -> pa.Table:
        """The totals of an hour, or of a range of hours, as an Arrow table.

        Args:
            hour: The hour (`498752` or `"2026-11-24T08"`), or the first of a range.
            until: The hour behind the last of the range.
            src_app: Only this source app.
            dest_app: Only this destination app.
            vpc_id: Only this VPC.
            by: The columns of the key to keep; the sums run over the others.
            sort: A column, or "bytes" for both directions together.
            top: How many rows at the most.
            timestamps: Whether to add `time`, the UTC time at which the hour starts.

        Returns:
            `hour` (int64), `src_app`, `dest_app`, `vpc_id`, `bytes_tx`, `bytes_rx` and `flows`; or `by` and the sums.

        Raises:
            UsageError: The question cannot be answered; the message lists all that is wrong with it.
            StoreDamaged: A file of the store cannot be read.
        """
        from pipeline.query import Query, run_query  # an ingest that finds nothing new does without Arrow

        chosen: dict[str, Any] = {} if by is None else {"by": (by,) if isinstance(by, str) else tuple(by)}
        last = None if until is None else _as_hour(until)
        query = Query(_as_hour(hour), last, src_app, dest_app, vpc_id, sort=sort, top=top, **chosen)
        table = run_query(self.locations, query)
        return _with_time(table) if timestamps else table

    def frame(self, hour: Hour, until: Hour | None = None, **options: Any) -> pd.DataFrame:
        """The same as a pandas frame: `hour` is int64, `time` is a UTC timestamp."""
        return self.table(hour, until, **options).to_pandas()

    def hours(self) -> list[PartitionSummary]:
        """The hours that have totals, in order, each in short."""
        from pipeline.store.partitions import summarise_partition  # as above

        found = (summarise_partition(self.locations, hour) for hour in self.locations.hours())
        return [summary for summary in found if summary is not None]  # a run may have dropped it meanwhile

    def runs(self) -> list[RunRecord]:
        """The committed runs, oldest first, each with its sources."""
        from pipeline.ledger import read_runs  # a query needs no ledger

        return list(read_runs(self.locations))

    def rejects(self, run: str | None = None, source: str | None = None, reason: str | None = None) -> pa.Table:
        """The rejected rows, with `run`, `source`, `row`, `field`, `rule`, `value` and `raw`.

        Args:
            run: Only of this run.
            source: Only of sources whose path contains this text.
            reason: Only those whose field or rule contains this text.
        """
        from pipeline.rejects import find_rejects  # a query needs no rejects

        return find_rejects(self.locations, run, source, reason)

    def verify(self, wait_seconds: float = 0, deep: DeepOptions | None = None) -> Verification:
        """Whether the totals are what the ledger says was counted; a sound store has no `problems`.

        Args:
            wait_seconds: How long to wait for a run that holds the store.
            deep: Also counts the raw files again that are still there.
        """
        from pipeline.verify import verify  # a query needs no proof

        return verify(self.locations, wait_seconds, deep)

    def ingest(
        self,
        raw: Sequence[str],
        options: IngestOptions | None = None,
        progress: Progress | None = None,
        of_log: Callable[[RunRecord], None] | None = None,
    ) -> IngestSummary:
        """Counts the new ones among some raw files (paths, folders, glob patterns), exactly once.

        `of_log` is for the service, as `ingest.ingest` tells.
        """
        from pipeline.ingest import ingest  # a query needs neither readers nor validation

        return ingest(raw, self.locations, options, progress, of_log)

    def forget(self, sources: Sequence[str], wait_seconds: float = 0) -> UndoSummary:
        """Takes sources back: makes their hours anew from the raw files of the others that count there."""
        from pipeline.undo import forget  # a query undoes nothing

        return forget(self.locations, sources, wait_seconds=wait_seconds)

    def drop(self, before: Hour, wait_seconds: float = 0) -> UndoSummary:
        """Drops the hours before one. What was counted stays known, and does not come back."""
        from pipeline.undo import drop  # a query undoes nothing

        return drop(self.locations, _as_hour(before), wait_seconds)


def _as_hour(hour: Hour) -> int:
    try:
        return parse_hour(hour) if isinstance(hour, str) else index(hour)
    except TypeError:
        raise UsageError(f"the hour {hour!r} is neither an integer nor a text") from None


def _with_time(table: pa.Table) -> pa.Table:
    """Adds `time`, behind `hour`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if "hour" not in table.column_names:
        raise UsageError("a time can be added only where the rows have their hour")
    try:
        seconds = pc.multiply_checked(table.column("hour"), SECONDS_PER_HOUR)
    except pa.ArrowInvalid:
        raise UsageError("an hour is too far from now to have a time") from None
    position = table.column_names.index("hour") + 1
    return table.add_column(position, "time", seconds.cast(pa.timestamp("s", tz="UTC")))
