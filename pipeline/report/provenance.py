"""Where a report's numbers come from: the sources, what was rejected and ignored in them, and whether the store is sound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StoreError
from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.query.rejects import rejects_by
from pipeline.store.layout import Locations
from pipeline.store.ledger import ActiveSource, RunRecord, active_sources, read_runs
from pipeline.syntax.batch import LOST, OTHER_REPORTER, REPEATED

#: So many runs are listed.
_LISTED = 8


@dataclass(frozen=True)
class Run:
    """A run that has counted into the span.

    Attributes:
        number: Its number.
        finished: When it was done, by the clock, ISO 8601 in UTC.
        sources: How many of its sources count in the span; rows: how many valid rows these have.
    """

    number: str
    finished: str
    sources: int
    rows: int


@dataclass(frozen=True)
class LeftOut:
    """Records that were left out for one reason: how many, and their bytes, where these are known."""

    reason: str
    records: int
    bytes: int


@dataclass(frozen=True)
class Provenance:
    """Where the totals of a span come from. A source that reaches beyond the span is told whole.

    Attributes:
        runs: How many runs have counted into the span; last_runs: the last of them, the newest first.
        formats: How many sources are of each format.
        read: The records of these sources: valid + rejected + lost + those of `twice` and of `ignored`.
        rejected_by: The rejected rows by what is wrong with them.
        lost: The records in which the source itself says that it has lost some.
        twice: The records that were left out because another one has the same bytes, by reason.
        ignored: The records that were left out for another reason, by reason.
        notes: How many rows have something of which a user should know, by what that is.
        gaps: The hours of the span without any source, as ranges.
        idle: How many sources had nothing to count in any hour; idle_lost: their records of what the source has lost.
        problems: What `verify` finds wrong; empty if the store is sound. None if it could not look, and `unproved` says why.
    """

    runs: int
    last_runs: Sequence[Run]
    formats: Counter[str]
    read: int
    valid: int
    rejected: int
    rejected_by: Counter[str]
    lost: int
    twice: Sequence[LeftOut]
    ignored: Sequence[LeftOut]
    notes: Counter[str]
    gaps: Sequence[HourRange]
    idle: int
    idle_lost: int
    problems: Sequence[str] | None
    unproved: str = ""

    @property
    def sources(self) -> int:
        """How many sources count in the span."""
        return self.formats.total()


def provenance_of(store: FlowStore, span: HourRange) -> Provenance:
    """Looks up where the totals of a span come from, and proves the store.

    Raises:
        StoreDamaged: A run's record, or its rejects, cannot be read.
    """
    runs, own, idle = list[Run](), list[ActiveSource](), list[ActiveSource]()
    rejected_by = Counter[str]()
    for (number, finished), active in _runs_of(store.locations):
        idle += [found for found in active if not found.source.hours]
        if sources := [found for found in active if any(span.first <= hour < span.until for hour in found.hours)]:
            runs.append(Run(number, finished, len(sources), sum(found.source.valid for found in sources)))
            rejected_by += _reasons(store, number, sources)
            own += sources
    ignored, sizes, notes = Counter[str](), Counter[str](), Counter[str]()
    for found in own:
        ignored.update(found.source.ignored)
        sizes.update(found.source.ignored_bytes or {})
        notes.update(found.source.notes)
    lost = ignored.pop(LOST, 0)
    left_out = [LeftOut(reason, count, sizes[reason]) for reason, count in ignored.most_common()]
    problems, unproved = _proof(store)
    return Provenance(
        runs=len(runs),
        last_runs=runs[: -_LISTED - 1 : -1],
        formats=Counter(found.source.format for found in own),
        read=sum(found.source.read for found in own),
        valid=sum(found.source.valid for found in own),
        rejected=sum(found.source.rejected for found in own),
        rejected_by=rejected_by,
        lost=lost,
        twice=[found for found in left_out if found.reason in (REPEATED, OTHER_REPORTER)],
        ignored=[found for found in left_out if found.reason not in (REPEATED, OTHER_REPORTER)],
        notes=notes,
        gaps=_gaps(span, {hour for found in own for hour in found.hours if span.first <= hour < span.until}),
        idle=len(idle),
        idle_lost=sum(found.source.ignored.get(LOST, 0) for found in idle),
        problems=problems,
        unproved=unproved,
    )


def _runs_of(store: Locations) -> Iterator[tuple[tuple[str, str], list[ActiveSource]]]:
    """The number and the end of each run that has sources which count, the oldest first, and these sources.

    The records are read one by one: a ledger of years has half a million.
    """
    runs: dict[tuple[str, str], tuple[str, str]] = {}

    def noted() -> Iterator[RunRecord]:
        for run in read_runs(store):
            runs.update({(source.path, source.digest): (run.run_id, run.finished) for source in run.sources})
            yield run

    sources: dict[tuple[str, str], list[ActiveSource]] = {}
    for found in active_sources(noted()):
        sources.setdefault(runs[found.key], []).append(found)
    yield from sorted(sources.items(), key=lambda run: int(run[0][0]))


def _reasons(store: FlowStore, run_id: str, sources: Sequence[ActiveSource]) -> Counter[str]:
    """The rejected rows of some sources of a run by what is wrong with them."""
    paths = pa.array([found.source.path for found in sources if found.source.rejected], pa.string())
    if not len(paths):
        return Counter()
    theirs = (rows.filter(pc.is_in(rows.column("source"), paths)) for rows in store.each_reject(run_id))
    return Counter(
        {f"{row['field']} {row['rule']}".strip(): row["rows"] for row in rejects_by(theirs, "reason").to_pylist()}
    )


def _gaps(span: HourRange, hours: Iterable[int]) -> list[HourRange]:
    """The ranges of hours that none of some hours is in."""
    gaps, first = [], span.first
    for hour in sorted(hours):
        if hour > first:
            gaps.append(HourRange(first, hour))
        first = hour + 1
    return [*gaps, HourRange(first, span.until)] if first < span.until else gaps


def _proof(store: FlowStore) -> tuple[Sequence[str] | None, str]:
    try:
        return store.verify().problems, ""
    except StoreError as error:  # a run holds the store, or it may not be read
        return None, str(error)
