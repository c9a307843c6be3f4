"""What became of a plan's sources once they were counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeGuard

from pipeline.counting.sources import Failure, Source
from pipeline.errors import EmptySource, OtherLog, SourceError
from pipeline.jobs.plan import Plan, met_as
from pipeline.store.index import Met

if TYPE_CHECKING:  # all import Arrow, which a run that finds nothing new does without
    from pipeline.counting.reports import BothEnds
    from pipeline.jobs.count import PlanCount, Result
    from pipeline.jobs.replace import Replacement


class Outcome(NamedTuple):
    """What a plan could not know before its sources were counted.

    Attributes:
        duplicates: Skipped: sources with the same content as another that was counted, and the path of the other.
        starts: Skipped: sources that are the start of another that was counted, and the path of the other.
        empty: Skipped: sources without content.
        left_alone: Sources that turned out to be another log: the name, and which log.
        failures: The sources that failed.
        replaced: The names of the changed sources whose earlier contents were taken back.
        met: What is to be remembered of files that were not counted.
        scaled: How many of the rows that count have bytes that were multiplied by a sampling factor.
        both_ends: What is reported from both ends of a flow; None where no row that counts tells.
        hops: The interfaces of `--hop` that reported some of the records, in small letters.
    """

    duplicates: Sequence[tuple[Source, str]] = ()
    starts: Sequence[tuple[Source, str]] = ()
    empty: Sequence[Source] = ()
    left_alone: Mapping[str, str] = MappingProxyType({})
    failures: Sequence[Failure] = ()
    replaced: Collection[str] = ()
    met: Sequence[Met] = ()
    scaled: int = 0
    both_ends: BothEnds | None = None
    hops: Collection[str] = ()


def outcome_of(plan: Plan, counted: PlanCount, replacement: Replacement, reading: str) -> Outcome:
    """Says what became of each source that was to be counted.

    Args:
        plan: The plan.
        counted: What counting has given.
        replacement: What was taken back.
        reading: How files are read (`reading.fingerprint`): whether a file is empty, or another log, depends on it.
    """
    reports = counted.reports(replaced=replacement.rebuilt is not None)
    results = counted.results
    empty = [source for source, result in results if isinstance(result, EmptySource)]
    other_logs = [(source, result.found) for source, result in results if _is_left_alone(result, source, plan)]
    # Changed sources that could not replace what they counted before do not count: nothing is skipped as their duplicate.
    given_up = set() if replacement.rebuilt else {source.name for source, _ in counted.changed.counted}
    duplicates = [pair for pair in counted.duplicates if pair[1] not in given_up]
    starts = [pair for pair in counted.starts if pair[1] not in given_up]
    waiting = [
        Failure(source.name, f"it has the content of {path}, or its start, which could not be replaced")
        for source, path in (*counted.duplicates, *counted.starts)
        if path in given_up and source.name not in plan.superseded  # of a changed source, the replacement says so
    ]
    met = [
        *(met_as(source, reading=reading) for source in empty),
        *(met_as(source, reason=found, reading=reading) for source, found in other_logs),
        *(met_as(source, source.digest) for source, _ in (*duplicates, *starts)),
    ]
    return Outcome(
        duplicates=duplicates,
        starts=starts,
        empty=empty,
        left_alone={source.name: found for source, found in other_logs},
        failures=[*failures_of(results, plan), *replacement.failures, *waiting],
        replaced=replacement.names if replacement.rebuilt else (),
        met=met,
        scaled=reports.scaled,
        both_ends=reports.both_ends(),
        hops=reports.hops,
    )


def failures_of(results: Iterable[Result], plan: Plan) -> list[Failure]:
    """The sources that could not be counted, though they should have been."""
    return [
        Failure(source.name, str(result))
        for source, result in results
        if isinstance(result, SourceError)
        and not isinstance(result, EmptySource)
        and not _is_left_alone(result, source, plan)
    ]


def _is_left_alone(result: object, source: Source, plan: Plan) -> TypeGuard[OtherLog]:
    """Whether a source is another log, and was not named itself: a source that was named fails."""
    return isinstance(result, OtherLog) and source.name not in plan.named
