"""The job: find the new raw files, count them, and commit their totals as one run."""

from __future__ import annotations

import atexit
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.counting.interpretation import Interpretation, digest_of_mapping
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Failure
from pipeline.errors import StrictRunStopped, UsageError
from pipeline.jobs.find import Found, find
from pipeline.jobs.plan import Plan, SameContent, plan
from pipeline.scalars import is_utf8, real_path
from pipeline.store.index import Index, open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import now
from pipeline.store.lock import locked
from pipeline.store.transaction import recover

if TYPE_CHECKING:
    from pipeline.counting.pool import Progress
    from pipeline.schema import ZeroBytes
    from pipeline.store.ledger import RunRecord

T = TypeVar("T")
#: So many sources at a time are given to a thread: to hand over a small one costs more than to read it.
_CHUNK = 32


@dataclass(frozen=True)
class IngestOptions:
    """How to ingest.

    Attributes:
        format: One of `readers.FORMAT_OPTIONS`.
        apps: The mapping file that names the apps of addresses, if any.
        vpc_id: The VPC of records that have none.
        aws_fields: The fields of AWS text without a header, in order; None for AWS's default.
        workers: How many sources are read at once; None for one a processor.
        strict: Stop at the first rejected row or failed source.
        max_reject_ratio: Stop if more than this part of the rows is rejected, 0 to 1; None for no limit.
        zero_bytes: Whether a record may have 0 bytes in a direction.
        wait_seconds: How long to wait for another run that holds the store.
        same_content: What to do with a file whose content was counted from another path.
        replace_changed: Whether a source that changed after it was counted is taken back and counted as it is now.
        min_age_seconds: Files that were modified less than so long ago are left for the next run.
        memory_bytes: The most memory that the run should take; None for a fixed part of the machine's.
        exclude: Patterns of the files and folders that are left alone, as `sources.find` has them.
    """

    format: str = "auto"
    apps: Path | None = None
    vpc_id: str | None = None
    aws_fields: tuple[str, ...] | None = None
    workers: int | None = None
    strict: bool = False
    max_reject_ratio: float | None = None
    zero_bytes: ZeroBytes = "accept"
    wait_seconds: float = 0
    same_content: SameContent = "skip"
    replace_changed: bool = False
    min_age_seconds: float = 0
    memory_bytes: int | None = None
    exclude: tuple[str, ...] = ()

    @property
    def resources(self) -> Resources:
        """What the run may take of the machine."""
        return Resources(self.workers, self.memory_bytes)

    def interpretation(self) -> Interpretation:
        """What of it decides what a source counts as.

        Raises:
            UsageError: There is no mapping file, the VPC is no text that can be stored, or AWS has no such fields.
        """
        if not is_utf8(self.vpc_id or ""):
            raise UsageError("the VPC must be valid UTF-8")
        apps, digest = None, None
        if self.apps is not None:
            apps, digest = str(real_path(self.apps)), digest_of_mapping(self.apps)
        aws_fields = None
        if self.aws_fields is not None:
            from pipeline.formats.awsfields import fields_given  # imports Arrow by its package, which few runs need so early

            aws_fields = fields_given(self.aws_fields)
        return Interpretation(self.format, apps, digest, self.vpc_id, aws_fields, self.zero_bytes)


@dataclass
class IngestSummary:
    """What a run did. read = valid + rejected + ignored.

    Attributes:
        run_id: The committed run; None where there was nothing to commit.
        plan: What was found, and what was skipped; behind the run, what became of it.
        ingested: How many sources were counted.
        failures: The sources that failed.
        read: How many records were read from the counted sources; valid and rejected alike.
        ignored: How many were left out on purpose, by reason.
        bytes_tx: The sum over the valid records, in bytes; bytes_rx alike.
        hours: The hours whose totals changed.
        recovered: Runs that an earlier crash had cut off behind their commit, and that were finished first.
        seconds: How long it took.
        store: The store's folder, from the root.
        started: When it started, ISO 8601 in UTC; ended: when it was done.
    """

    plan: Plan
    run_id: str | None = None
    ingested: int = 0
    failures: list[Failure] = field(default_factory=list)
    read: int = 0
    valid: int = 0
    rejected: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    bytes_tx: int = 0
    bytes_rx: int = 0
    hours: list[int] = field(default_factory=list)
    recovered: list[str] = field(default_factory=list)
    seconds: float = 0.0
    store: str = ""
    started: str = ""
    ended: str = ""

    def to_json(self) -> dict[str, Any]:
        """The object that `flowlog ingest --json` prints."""
        return {
            "run_id": self.run_id,
            "sources": {
                "ingested": self.ingested,
                "skipped": self.plan.skipped,
                "changed": len(self.plan.changed),
                "failed": len(self.failures),
            },
            "rows": {
                "read": self.read,
                "valid": self.valid,
                "rejected": self.rejected,
                "ignored": self.ignored.total(),
            },
            "ignored": dict(self.ignored),
            "bytes_tx": self.bytes_tx,
            "bytes_rx": self.bytes_rx,
            "hours": self.hours,
            "failures": [asdict(failure) for failure in self.failures],
            "seconds": round(self.seconds, 3),
            "store": self.store,
            "started": self.started,
            "ended": self.ended,
        }


def ingest(
    raw: Sequence[str],
    store: Locations,
    options: IngestOptions | None = None,
    progress: Progress | None = None,
    of_log: Callable[[RunRecord], None] | None = None,
) -> IngestSummary:
    """Counts the new ones among some raw files, exactly once.

    Args:
        raw: Files, folders and glob patterns.
        store: The store; it is made if it is missing.
        options: How.
        progress: Is told how far it has come.
        of_log: The raw files are the store's own log, which without it are none; is told the run's record right before
            the commit, and may give the run up by raising.

    Raises:
        UsageError: A raw path does not exist or is the store's own, or the mapping file is unfit.
        RunStopped: The run was given up; nothing was committed.
        StoreError: The store cannot be used.
    """
    started, began = now(), time.monotonic()
    options = options or IngestOptions()
    interpretation = options.interpretation()
    # What is wrong with a request is said before there is a store, and also where nothing is new.
    interpretation.load_apps()
    found = find(raw, store.root, of_log is not None, options.exclude)
    with locked(store, options.wait_seconds):
        recovered = recover(store)
        with open_index(store) as index:
            made = _plan(found, index, options, interpretation)
            summary = IngestSummary(
                made,
                recovered=recovered,
                failures=list(made.failed),
                store=str(store.root.absolute()),
                started=started,
            )
            if options.strict and summary.failures:
                raise StrictRunStopped(summary.failures[0].source, summary.failures[0].error)
            if made.new or made.rivals or (made.replaced and options.replace_changed):
                _start_imports()
                from pipeline.jobs.run import Run  # Arrow and what is on it, which are of no use where nothing is new

                Run(store, index.last, options, interpretation, summary).count(progress, of_log)
            index.remember(summary.plan.met)
    summary.seconds, summary.ended = time.monotonic() - began, now()
    return summary


def _plan(found: Found, index: Index, options: IngestOptions, interpretation: Interpretation) -> Plan:
    with ThreadPoolExecutor(options.resources.threads) as pool:

        def map_all(function: Callable[[Any], T], values: Sequence[Any]) -> Iterator[T]:
            if values:  # there may be rows to validate
                _start_imports()
            chunks = [values[i : i + _CHUNK] for i in range(0, len(values), _CHUNK)]
            return chain.from_iterable(pool.map(lambda chunk: list(map(function, chunk)), chunks))

        return plan(
            found,
            index,
            options.same_content,
            options.replace_changed,
            options.min_age_seconds,
            cache(interpretation.fingerprint),
            map_all,
        )


@cache
def _start_imports() -> None:
    """Has a thread import what takes long, first what is needed first, while others read files."""

    def work() -> None:
        import pipeline.counting.validation
        import pipeline.jobs.run

        pipeline.counting.validation.prepare()
        import pyarrow.parquet  # noqa: F401 - the hours are written last

    # A daemon, so that a command that is done need not wait for it. But where Python itself ends the process, it would cut
    # the thread off, and Arrow's threads with it, for which it may be waiting: the process would hang.
    thread = Thread(target=work, daemon=True)
    atexit.register(thread.join)
    thread.start()
