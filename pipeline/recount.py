"""Counting again: what sources that were counted before add to their hours, from their raw files as they are now.

Totals cannot be taken apart by source. To take a source back, its hours are made anew from the other sources; to prove
an hour, it is made anew from all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from pipeline.aggregation import HourlyTotals
from pipeline.counting import Counted, SourceCounter
from pipeline.errors import SourceError, UnreadableSource
from pipeline.interpretation import Interpretation
from pipeline.ledger import SourceRecord, Standing
from pipeline.resources import Resources
from pipeline.sources import Source, digest_of


def find_again(sources: Iterable[Standing], candidates: Iterable[Path] = ()) -> dict[str, Source]:
    """Finds the raw files of counted sources.

    Args:
        sources: The sources.
        candidates: Where they may be beside the paths from which they were counted.

    Returns:
        The file of each digest that was found; its content is what it was.
    """
    wanted = {standing.source.digest for standing in sources}
    sizes = {standing.source.size for standing in sources}
    found: dict[str, Source] = {}
    for path in dict.fromkeys([*(Path(standing.source.path) for standing in sources), *candidates]):
        try:
            source = Source.at(path)
            if source.size in sizes and (digest := digest_of(source)) in wanted:
                found.setdefault(digest, replace(source, digest=digest))
        except UnreadableSource:
            continue
    return found


def recount(
    sources: Collection[Standing],
    files: dict[str, Source],
    hours: Collection[int],
    scratch: Path,
    resources: Resources,
) -> tuple[HourlyTotals, list[str]]:
    """Counts sources again, each as it was counted.

    Args:
        sources: The sources; all of them are in `files`.
        files: What `find_again` gives.
        hours: Only what they add to these hours, and still count for.
        scratch: A folder for what does not fit into memory.
        resources: What this may take of the machine.

    Returns:
        The totals, and what stands against them: a sentence for each source that counts otherwise now.

    Raises:
        UsageError: A mapping file is not what it was.
    """
    by_interpretation: dict[str, list[Standing]] = defaultdict(list)
    for standing in sources:
        by_interpretation[str(standing.interpretation)].append(standing)
    totals: HourlyTotals | None = None
    problems: list[str] = []
    for group in by_interpretation.values():
        counter = SourceCounter(Interpretation.from_json(group[0].interpretation), scratch, resources)
        totals = totals or counter.new_totals()
        for lot in counter.count_all([files[standing.source.digest]] for standing in group):
            standing, (_, counted) = group[lot.number], lot.results[0]
            if problem := _difference(standing.source, counted):
                problems.append(f"{standing.source.path}: {problem}")
                continue
            for hour, read in lot.totals.by_hour():
                if hour in hours and hour in standing.hours:
                    totals.add(read())
    return totals or HourlyTotals(scratch, resources.totals_bytes), sorted(problems)


def _difference(before: SourceRecord, counted: Counted | SourceError) -> str | None:
    if isinstance(counted, SourceError):
        return str(counted)
    for name in ("read", "valid", "rejected", "bytes_tx", "bytes_rx"):
        was, is_now = getattr(before, name), getattr(counted.record, name)
        if was != is_now:
            return f"{name} was {was:,} when it was counted, and is {is_now:,} now"
    return None
