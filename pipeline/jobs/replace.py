"""Replacing: what changed sources counted before is taken back, in the run that counts them as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.counting.sources import Failure
from pipeline.counting.workers import Workers
from pipeline.errors import UsageError
from pipeline.jobs.count import PlanCount
from pipeline.jobs.plan import Plan
from pipeline.jobs.recount import Rebuilt, rebuild_without
from pipeline.store.layout import Locations
from pipeline.store.ledger import counted_by, read_runs


@dataclass(frozen=True)
class Replacement:
    """What was taken back for changed sources.

    Attributes:
        names: The sources whose earlier contents are to be taken back.
        rebuilt: The hours without these contents; None where there are none, or where the hours cannot be made anew.
        problem: Why the hours cannot be made anew.
    """

    names: Sequence[str] = ()
    rebuilt: Rebuilt | None = None
    problem: str = ""

    @property
    def failures(self) -> list[Failure]:
        """The sources that could not be replaced."""
        if self.rebuilt:
            return []
        return [Failure(name, f"changed, and cannot be replaced: {self.problem}") for name in self.names]


def replace_changed(store: Locations, plan: Plan, counted: PlanCount, scratch: Path, workers: Workers) -> Replacement:
    """Makes the hours of changed sources anew without what these counted before.

    Args:
        store: The store.
        plan: The plan.
        counted: What counting its sources has given.
        scratch: A folder for what does not fit into memory.
        workers: What counts the sources.
    """
    names = _names_to_replace(plan, counted)
    if not names:
        return Replacement()  # and the ledger, which grows with the store's age, need not be read
    ledger = counted_by(read_runs(store))
    superseded = {(known.path, known.source) for name in names for known in plan.superseded[name]}
    unwanted = [source for source in ledger.sources if source.key in superseded]
    try:
        return Replacement(names, rebuild_without(unwanted, ledger, scratch, workers))
    except UsageError as error:
        return Replacement(names, problem=str(error))


def _names_to_replace(plan: Plan, counted: PlanCount) -> list[str]:
    """The sources whose earlier contents are taken back: those that were counted, and those that others contain now."""
    if not plan.replaces_changed:
        return []
    names = {source.name for source, _ in counted.changed.counted}
    skipped = (*plan.duplicates, *plan.starts, *counted.duplicates, *counted.starts)
    names.update(source.name for source, _ in skipped)
    return sorted(names & plan.superseded.keys())
