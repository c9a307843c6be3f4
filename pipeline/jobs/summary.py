"""What a run did, for whoever asked for it: one value, made once at the run's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.bucket import NO_TRAFFIC, Traffic
from pipeline.counting.sources import Failure, Source
from pipeline.jobs.outcome import Outcome
from pipeline.jobs.plan import Plan
from pipeline.store.ledger import RunRecord

if TYPE_CHECKING:  # which imports Arrow
    from pipeline.counting.reports import BothEnds

#: Numbers by reason where there are none; nobody adds to a summary's.
_NONE = Counter[str]()


class IngestSummary(NamedTuple):
    """What a run did. read = valid + rejected + ignored.

    Attributes:
        run_id: The committed run; None where there was nothing to commit.
        ingested: How many sources were counted.
        known: Skipped: the names of the sources that were counted before, from this path.
        duplicates: Skipped: sources with the same content as another that is counted, and the path of the other.
        starts: Skipped: sources that are the start of another that is counted, and the path of the other.
        empty: Skipped: sources without content.
        too_recent: Skipped: sources that were modified too short a time ago.
        left_alone: What else was met and not taken for raw files: its name, and why.
        changed: Sources that have changed since they were counted, and are not counted again.
        why_changed: How each of these has changed, by its name, as a part of a sentence.
        failures: The sources that failed.
        read: How many records were read from the counted sources; valid and rejected alike.
        notes: How many valid records have something of which a user should know, by what that is.
        ignored: How many were left out on purpose, by reason; ignored_bytes: their bytes, where they are known.
        bytes_tx: The sum over the valid records, in bytes; bytes_rx alike.
        formats: The names of the formats of the counted sources.
        scaled: How many of the valid records have bytes that were multiplied by a sampling factor.
        both_ends: What is reported from both ends of a flow, and so is in the sums twice; None where no record tells.
        unmet_hops: The interfaces of `--hop` that reported none of the records.
        hours: The hours whose totals changed.
        recovered: Runs that an earlier crash had cut off behind their commit, and that were finished first.
        seconds: How long the run took.
        store: The store's folder, from the root.
        started: When the run started, ISO 8601 in UTC; ended: when it was done.
        traffic: What this process has asked of buckets, of those with raw objects and the store's.
    """

    run_id: str | None = None
    ingested: int = 0
    known: Sequence[str] = ()
    duplicates: Sequence[tuple[Source, str]] = ()
    starts: Sequence[tuple[Source, str]] = ()
    empty: Sequence[Source] = ()
    too_recent: Sequence[Source] = ()
    left_alone: Mapping[str, str] = MappingProxyType({})
    changed: Sequence[Source] = ()
    why_changed: Mapping[str, str] = MappingProxyType({})
    failures: Sequence[Failure] = ()
    read: int = 0
    valid: int = 0
    rejected: int = 0
    ignored: Counter[str] = _NONE
    notes: Counter[str] = _NONE
    ignored_bytes: Counter[str] = _NONE
    bytes_tx: int = 0
    bytes_rx: int = 0
    formats: Collection[str] = ()
    scaled: int = 0
    both_ends: BothEnds | None = None
    unmet_hops: Sequence[str] = ()
    hours: Sequence[int] = ()
    recovered: Sequence[str] = ()
    seconds: float = 0.0
    store: str = ""
    started: str = ""
    ended: str = ""
    traffic: Traffic = NO_TRAFFIC

    @property
    def skipped(self) -> int:
        """How many sources need not be counted, or not yet."""
        return sum(map(len, (self.known, self.duplicates, self.starts, self.empty, self.too_recent)))

    @property
    def both_ends_share(self) -> float:
        """What part of all bytes is reported from both ends."""
        total = self.bytes_tx + self.bytes_rx
        return self.both_ends.bytes / total if self.both_ends and total else 0.0

    def kinds_left_alone(self) -> list[tuple[str, int, str]]:
        """Why files were left alone: each reason with how many they are, and the name of one of them."""
        counts = Counter(self.left_alone.values())
        examples = {reason: name for name, reason in reversed(list(self.left_alone.items()))}
        return [(reason, counts[reason], examples[reason]) for reason in counts]

    def to_json(self) -> dict[str, Any]:
        """The object that `flowlog ingest --json` prints."""
        return {
            "run_id": self.run_id,
            "sources": {
                "ingested": self.ingested,
                "skipped": self.skipped,
                "changed": len(self.changed),
                "failed": len(self.failures),
            },
            "rows": {
                "read": self.read,
                "valid": self.valid,
                "rejected": self.rejected,
                "ignored": self.ignored.total(),
            },
            "ignored": dict(self.ignored),
            "notes": dict(self.notes),
            "ignored_bytes": dict(self.ignored_bytes),
            "bytes_tx": self.bytes_tx,
            "bytes_rx": self.bytes_rx,
            "scaled": self.scaled,
            "unmet_hops": list(self.unmet_hops),
            "both_ends": self.both_ends and vars(self.both_ends) | {"share": self.both_ends_share},
            "hours": list(self.hours),
            "failures": [failure._asdict() for failure in self.failures],
            "seconds": round(self.seconds, 3),
            "store": self.store,
            "started": self.started,
            "ended": self.ended,
            "requests": self.traffic.requests,
            "fetched_bytes": self.traffic.bytes_read,
        }


def summary_of(
    plan: Plan,
    outcome: Outcome,
    run: RunRecord | None,
    *,
    recovered: Sequence[str],
    seconds: float,
    store: str,
    started: str,
    ended: str,
    traffic: Traffic = NO_TRAFFIC,
) -> IngestSummary:
    """Sums up a run.

    Args:
        plan: What was to be done with each source.
        outcome: What became of those that were to be counted.
        run: The run's record, if there was something to commit.
        recovered: Runs that an earlier crash had cut off behind their commit, and that were finished first.
        seconds: How long the run took.
        store: The store's folder, from the root.
        started: When the run started, ISO 8601 in UTC.
        ended: When it was done.
        traffic: What was asked of buckets.
    """
    changed = [source for source in plan.changed if source.name not in outcome.replaced]
    return IngestSummary(
        known=plan.known,
        duplicates=[*plan.duplicates, *outcome.duplicates],
        starts=[*plan.starts, *outcome.starts],
        empty=[*plan.empty, *outcome.empty],
        too_recent=plan.too_recent,
        left_alone={**plan.left_alone, **outcome.left_alone},
        changed=changed,
        why_changed={source.name: plan.why_changed(source) for source in changed},
        failures=[*plan.failed, *outcome.failures],
        **(_numbers_of(run, outcome) if run else {}),
        recovered=recovered,
        seconds=seconds,
        store=store,
        started=started,
        ended=ended,
        traffic=traffic,
    )


def _numbers_of(run: RunRecord, outcome: Outcome) -> dict[str, Any]:
    """What a summary has of the run's record, and of the rows that it counted."""
    return {
        "run_id": run.run_id,
        "ingested": len(run.sources),
        "hours": sorted(run.hours),
        "formats": {source.format for source in run.sources},
        "scaled": outcome.scaled,
        "both_ends": outcome.both_ends,
        "unmet_hops": [name for name in run.interpretation.get("hop", ()) if name.casefold() not in outcome.hops],
        **{name: run.by_reason(name) for name in ("ignored", "ignored_bytes", "notes")},
        **{name: run.total(name) for name in ("read", "valid", "rejected", "bytes_tx", "bytes_rx")},
    }
