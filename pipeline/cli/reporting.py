"""What commands say beside their results: on standard error, in lines for people, with commands that can be copied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from pipeline.errors import MENDING, FlowlogError, StoreError
from pipeline.hours import HourRange, hour_to_text
from pipeline.objectpath import is_url
from pipeline.scalars import bytes_to_text, command_line, count_to_text

if TYPE_CHECKING:
    from pipeline.flowstore import FlowStore
    from pipeline.jobs.summary import IngestSummary
    from pipeline.jobs.undo import UndoSummary
    from pipeline.jobs.verify import Verification
    from pipeline.store.partitions import PartitionSummary

#: So many files are named in a command; more would fill the screen.
_MOST_NAMED = 8
#: Of so many names, those with the most bytes, the nearest to a filter's text are looked for.
_MOST_KNOWN = 100_000
#: So many are compared with it letter by letter, and of each so many letters are looked at before.
_MOST_COMPARED, _MOST_LETTERS = 200, 64
#: So many are told.
_MOST_NEAR = 3
#: A smaller part would be shown as 0 %.
_LEAST_SHARE = 0.01
#: Kinds of logs that have the same traffic, and how the names of their formats begin.
SAME_TRAFFIC = (
    ("VNet and NSG flow logs of Azure", "Azure VNet flow log", "Azure NSG flow log"),
    ("flow logs of VPCs and of a Transit Gateway", "AWS VPC Flow Logs", "AWS Transit Gateway Flow Logs"),
)


def ingest_problems(summary: IngestSummary) -> Iterator[str]:
    """The sources that did not count as they should have."""
    for source in summary.changed:
        yield f"changed {source.name}: {summary.why_changed[source.name]}, and is not counted again; --replace-changed counts it as it is now"
    for failure in summary.failures:
        yield f"failed {failure.source}: {failure.error}"


def ingest_lines(summary: IngestSummary, store: PurePath) -> Iterator[str]:
    """All about a run."""
    yield from (f"finished the run {run_id}, which was cut off after its commit" for run_id in summary.recovered)
    yield from (
        f"skipped {source.name}: the same content as {other}, which is counted" for source, other in summary.duplicates
    )
    yield from (f"skipped {source.name}: it is the start of {whole}, which is counted" for source, whole in summary.starts)
    yield from (f"skipped {source.name}: it is empty" for source in summary.empty)
    yield from (f"skipped {source.name}: it was modified less than --min-age ago" for source in summary.too_recent)
    yield from (
        f"left alone {count:,}: {reason}, such as {example}" for reason, count, example in summary.kinds_left_alone()
    )
    yield from ingest_problems(summary)
    counts = f"{summary.ingested:,} ingested, {summary.skipped:,} skipped"
    yield f"sources  {counts}, {len(summary.changed):,} changed, {len(summary.failures):,} failed"
    if asked := [f"{count:,} {kind}" for kind, count in summary.traffic.requests.items() if count]:
        yield f"buckets  requests: {', '.join(asked)}; {_size(summary.traffic.bytes_read)} fetched"
    if summary.run_id is None:
        yield f"{_why_nothing(summary)} ({summary.seconds:.1f} s)"
        return
    ignored = ", ".join(
        f"{count:,} {reason}" + (f" with {_size(size)}" if (size := summary.ignored_bytes[reason]) else "")
        for reason, count in sorted(summary.ignored.items())
    )
    yield (
        f"rows     {summary.read:,} read = {summary.valid:,} valid + {summary.rejected:,} rejected"
        f" + {summary.ignored.total():,} ignored" + (f" ({ignored})" if ignored else "")
    )
    yield f"bytes    {summary.bytes_tx:,} sent, {summary.bytes_rx:,} received"
    if summary.hours:
        first, last = hour_to_text(summary.hours[0]), hour_to_text(summary.hours[-1])
        yield f"hours    {len(summary.hours):,}, from {first} to {last}"
    yield from ingest_notes(summary)
    if summary.rejected:
        rejects = command_line("rejects", "--run", summary.run_id, store=store)
        yield f"note     {rejects} shows what was rejected, and why"
    yield f"run      {summary.run_id} ({summary.seconds:.1f} s)"


def _why_nothing(summary: IngestSummary) -> str:
    """Why a run counted nothing."""
    if summary.changed or summary.failures:
        return "nothing was counted"
    return "nothing new to count" if summary.skipped or summary.left_alone else "no raw file was found: nothing to count"


def _size(number: int) -> str:
    """Bytes within a sentence."""
    return f"{number} bytes" if number < 1000 else bytes_to_text(number)


def ingest_notes(summary: IngestSummary) -> Iterator[str]:
    """What a user should know of the totals that a run has added to."""
    from pipeline.syntax.batch import LOST  # which imports Arrow, that a run that finds nothing new does without

    if lost := summary.ignored[LOST]:
        yield f"note     {lost:,} records say that the source lost some (AWS's SKIPDATA): the totals are too small there"
    if summary.scaled:
        yield f"note     {summary.scaled:,} rows scaled by a sampling rate: their bytes are estimates"
    for kinds, *names in SAME_TRAFFIC:
        if all(any(known.startswith(name) for known in summary.formats) for name in names):
            yield f"note     {kinds} were read: traffic that is in both counts twice; leave out one kind"
    yield from (f"note     {count:,} rows {note}" for note, count in sorted(summary.notes.items()))
    if summary.unmet_hops:
        more = len(summary.unmet_hops) - _MOST_NAMED
        hops = ", ".join(summary.unmet_hops[:_MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
        yield f"note     no record is a report of {hops}: is --hop right?"
    if summary.both_ends and summary.both_ends.bytes:
        share, about = summary.both_ends_share, "" if summary.both_ends.is_exact else "about "
        part = f"{share:.0%}".replace("%", " %") if share >= _LEAST_SHARE else "less than 1 %"
        yield (
            f"note     {about}{part} of the bytes ({_size(summary.both_ends.bytes)}) are reported from both ends: see --logged"
        )


def verify_problems(result: Verification) -> Iterator[str]:
    """What is wrong with a store."""
    yield from (f"wrong: {problem}" for problem in result.problems)


def verify_lines(result: Verification) -> Iterator[str]:
    """All about a proof."""
    yield from verify_problems(result)
    if result.proof:
        yield from (f"missing raw file: {path}" for path in result.proof.missing)
        unproved = len(result.proof.unproved)
        proved = f"{count_to_text(result.proof.hours, 'hour')} counted again from all the raw files"
        yield proved + (f", {unproved:,} not, since a raw file of theirs is missing" if unproved else "")
    numbers = {"run": result.runs, "source": result.sources, "hour": result.hours, "flow": result.flows}
    counted = ", ".join(count_to_text(number, noun) for noun, number in numbers.items())
    problems = len(result.problems)
    state = count_to_text(problems, "problem") if problems else "sound: every total is what was counted"
    yield f"{state} ({counted}, {result.bytes_tx:,} bytes sent, {result.bytes_rx:,} received)"
    if problems:
        yield MENDING
    if result.waiting:
        yield f"{result.waiting:,} acknowledged records wait in the service's log to be moved into flows"


def forget_lines(summary: UndoSummary) -> Iterator[str]:
    """What was taken back."""
    sources, hours = count_to_text(len(summary.sources), "source"), count_to_text(len(summary.hours), "hour")
    yield f"forgot {sources}, made {hours} anew (run {summary.run_id})"


def dry_drop_lines(hours: Sequence[PartitionSummary]) -> Iterator[str]:
    """What would be dropped."""
    rows, flows, size = (sum(getattr(hour, name) for hour in hours) for name in ("rows", "flows", "file_bytes"))
    found = (
        f"{count_to_text(len(hours), 'hour')} with {count_to_text(rows, 'row')}, the sums of {count_to_text(flows, 'flow')}"
    )
    yield f"would drop {found}, in {size:,} bytes on disk"
    yield "nothing was changed"


def drop_lines(summary: UndoSummary, store: FlowStore) -> Iterator[str]:
    """What was dropped, and how it could come back."""
    yield f"dropped {count_to_text(len(summary.hours), 'hour')}" + (f" (run {summary.run_id})" if summary.run_id else "")
    if not summary.hours:
        return
    root = store.locations.root
    try:
        files = store.sources_of(summary.hours, _MOST_NAMED)
    except StoreError as error:  # of an old record; the hours are dropped all the same
        yield f"note     which files had counted there is not known: {error}"
        return
    if files is None:
        listed = command_line("runs", "--sources", store=root)
        yield f"note     the hours come back if their files, which {listed} lists, are forgotten and counted again:"
    elif here := [path for path in files if is_url(path) or Path(path).exists()]:
        if gone := [path for path in files if path not in here]:  # raw files, and what the service was given
            others = count_to_text(len(gone), "source")
            yield f"note     what {others} counted there cannot come back, as {gone[0]}: it is not there any more"
        files = here
        rest = "the rest of the hours comes" if gone else "the hours come"
        yield f"note     {rest} back if their files are forgotten and counted again, with the options of then:"
    else:
        yield "note     the hours cannot come back: their raw files are not there any more"
        return
    for command in ("forget", "ingest"):
        yield f"note     {command_line(command, *(files or ['FILE']), store=root)}"


def nothing_found(store: FlowStore, asked: HourRange, filters: Mapping[str, Sequence[str] | None]) -> Iterator[str]:
    """Why a query found no rows: which hours there are, or which names are near those that it asks for."""
    hours = store.locations.hours()
    if not hours:
        yield "no rows: the store has no hours yet"
    elif not any(asked.first <= hour < asked.until for hour in hours):
        first, last = hour_to_text(hours[0]), hour_to_text(hours[-1])
        yield (
            f"no rows: the store has none for {asked}, but for {count_to_text(len(hours), 'hour')} from {first} to {last}"
            f" ({command_line('hours', store=store.locations.root)} lists them)"
        )
    else:
        given = {name: texts for name, texts in filters.items() if texts}
        try:
            yield from _unknown_names(store, asked, given) or ["no rows: no row passes all the filters together"]
        except FlowlogError:  # sums by name may be too large where the hours' are not
            yield "no rows"


def _unknown_names(store: FlowStore, asked: HourRange, filters: dict[str, Sequence[str]]) -> list[str]:
    """For each text of a filter that no row passes, the names that are most like it."""
    from pipeline.query.query import FILTERS  # imports Arrow, which an ingest that finds nothing new does without

    lines = []
    for name, texts in filters.items():
        alone: list[dict[str, Any]] = [{name: text} for text in texts[:_MOST_NAMED]]
        unknown = [one[name] for one in alone if not store.page(asked.first, asked.until, most=1, **one).count]
        names: set[str] = set()
        for column in FILTERS[name] if unknown else ():
            largest = store.table(asked.first, asked.until, by=column, top=_MOST_KNOWN)
            names.update(largest.column(column).to_pylist())
        for text in unknown:
            option = "--" + name.replace("_", "-")
            near = nearest(text, names)
            lines.append(
                f"no rows: {option} {text} is not in {asked}" + (f"; did you mean {', '.join(near)}?" if near else "")
            )
    return lines


def nearest(text: str, names: Iterable[str]) -> list[str]:
    """The names that are most like a text, whatever their letters' case; none if all are far from it."""
    from difflib import get_close_matches  # only where nothing was found
    from heapq import nlargest

    wanted = _pairs_of_letters(text)
    lower = {name.lower(): name for name in names}
    # difflib takes a tenth of a millisecond for a name: it sees those that have the most pairs of letters in common.
    alike = nlargest(_MOST_COMPARED, lower, key=lambda name: len(wanted & _pairs_of_letters(name)))
    return [lower[name] for name in get_close_matches(text.lower(), alike, _MOST_NEAR)]


def _pairs_of_letters(text: str) -> set[str]:
    letters = text[:_MOST_LETTERS].lower()
    return {letters[place : place + 2] for place in range(len(letters))}
