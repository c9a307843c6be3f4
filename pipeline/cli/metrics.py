"""The metrics of a run as a file for node_exporter's textfile collector.

The text format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. The collector reads files whose
names end in .prom, and wants them written whole: https://github.com/prometheus/node_exporter#textfile-collector
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

from pipeline.cli.endings import ending_of
from pipeline.cli.output import say
from pipeline.errors import FlowlogError, UsageError
from pipeline.flowstore import FlowStore
from pipeline.hours import SECONDS_PER_HOUR
from pipeline.scalars import real_path
from pipeline.store.layout import Locations

if TYPE_CHECKING:
    from pipeline.jobs.summary import IngestSummary

#: Exit codes of a run that did what it should: all is counted, or all but the sources that failed or changed.
_SUCCESS = (0, 3)
_LAST_SUCCESS = "flowlog_last_success_timestamp_seconds"

#: The values of a metric, by their labels.
Values = Mapping[tuple[tuple[str, str], ...], float]


class Metric(NamedTuple):
    """A metric: what it says, and its values by their labels."""

    name: str
    help: str
    values: Values


@contextmanager
def watched(file: Path | None, store: PurePath) -> Iterator[Callable[[IngestSummary, int], None]]:
    """Writes the metrics of a run, also of one that is given up, into a file, if there is to be one.

    Args:
        file: The file.
        store: The store's folder.

    Yields:
        What is to be told the run's summary and its exit code.

    Raises:
        UsageError: The file cannot be written, before the run has done anything. Afterwards it is only said.
    """
    if file is None:
        yield lambda *_: None
        return
    _check_writable(file)
    try:
        yield lambda summary, exit_code: _write_or_say(file, store, summary, exit_code)
    except Exception as error:
        ending = ending_of(error)
        _write_or_say(file, store, None, ending.exit_code if ending else 1)
        raise


def _write_or_say(file: Path, store: PurePath, summary: IngestSummary | None, exit_code: int) -> None:
    try:
        write_metrics(file, store, summary, exit_code)
    except UsageError as error:
        say([f"flowlog: {error}; what was done is done"])


def _check_writable(file: Path) -> None:
    try:
        if file.is_dir():
            raise UsageError(f"cannot write the metrics to {file}: it is a folder")
        with suppress(FileNotFoundError):
            file.stat()
        if not os.access(real_path(file).parent, os.W_OK):
            raise UsageError(f"cannot write the metrics to {file}: its folder must be there, and writable")
    except OSError as error:
        raise UsageError(f"cannot write the metrics to {file}: {error.strerror}") from None


def write_metrics(file: Path, store: PurePath, summary: IngestSummary | None, exit_code: int) -> None:
    """Writes what a run did, whole: under another name first, which the collector does not read.

    Args:
        file: The file; readable for everybody, since the exporter is another user. The time of the last success stays in it.
        store: The store's folder, which all metrics have as a label: the collector wants no metric twice with the same labels.
        summary: What the run did; None where it was given up.
        exit_code: The command's.

    Raises:
        UsageError: The file cannot be written.
    """
    now = time.time()
    success = now if exit_code in _SUCCESS else _last_success(file)
    labels = {"store": Locations.at(store).name}
    metrics = [*_of_attempt(now, success, exit_code), *(_of_run(summary) if summary else ()), *_of_store(store)]
    text = "".join(f"{line}\n" for metric in metrics if metric.values for line in _lines(metric, labels))
    target = real_path(file)
    new = target.with_name(f".flowlog.{os.getpid()}")
    try:
        with new.open("w", encoding="utf-8", errors="backslashreplace") as out:
            out.write(text)
            os.fchmod(out.fileno(), 0o644)
        new.replace(target)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise UsageError(f"cannot write the metrics to {file}: {error.strerror}") from None


def _last_success(file: Path) -> float | None:
    """What the file of an earlier run says."""
    with suppress(OSError, ValueError):
        # A label may have blanks, as the path of the store.
        found = re.search(rf"^{_LAST_SUCCESS}(?:\{{.*\}})? (\S+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
        return float(found[1]) if found else None
    return None


def _of_attempt(now: float, success: float | None, exit_code: int) -> Iterator[Metric]:
    yield Metric("flowlog_last_attempt_timestamp_seconds", "When a run last ended, whatever came of it.", {(): now})
    yield Metric(_LAST_SUCCESS, "When a run last ended with exit code 0 or 3.", {} if success is None else {(): success})
    yield Metric("flowlog_last_exit_code", "The exit code of the last run.", {(): exit_code})


def _of_run(summary: IngestSummary) -> Iterator[Metric]:
    yield Metric("flowlog_run_seconds", "How long the last run took.", {(): summary.seconds})
    sources = {
        "ingested": summary.ingested,
        "skipped": summary.skipped,
        "changed": len(summary.changed),
        "failed": len(summary.failures),
        "left_alone": len(summary.left_alone),
    }
    yield Metric("flowlog_run_sources", "Sources of the last run, by what became of them.", _by("outcome", sources))
    rows = {"valid": summary.valid, "rejected": summary.rejected, "ignored": summary.ignored.total()}
    yield Metric("flowlog_run_rows", "Rows that the last run read, by what became of them.", _by("outcome", rows))
    sums = {"tx": summary.bytes_tx, "rx": summary.bytes_rx}
    yield Metric("flowlog_run_bytes", "Bytes that the last run counted.", _by("direction", sums))
    yield Metric("flowlog_run_ignored_rows", "Rows that the last run left out on purpose.", _by("reason", summary.ignored))
    yield Metric(
        "flowlog_run_ignored_bytes",
        "Bytes that the last run left out on purpose, where they are known.",
        _by("reason", summary.ignored_bytes),
    )
    yield Metric(
        "flowlog_run_lost_records",
        "Records of the last run that say that the source lost some.",
        {(): _lost(summary) if summary.ignored else 0},
    )


def _lost(summary: IngestSummary) -> int:
    from pipeline.syntax.batch import LOST  # imports Arrow, which a run without anything new does without

    return summary.ignored[LOST]


def _of_store(store: PurePath) -> Iterator[Metric]:
    with suppress(FlowlogError, OSError):  # of which the run has said what is to be said
        locations = FlowStore(store, create=True).locations
        sizes = locations.sizes()
        hours = list(sizes)
        yield Metric("flowlog_store_partitions", "Hours that have totals.", {(): len(hours)})
        yield Metric("flowlog_store_bytes", "The size of the files with the totals.", {(): sum(sizes.values())})
        newest: Values = {(): hours[-1] * SECONDS_PER_HOUR} if hours else {}
        yield Metric("flowlog_store_newest_hour_timestamp_seconds", "The start of the newest hour that has totals.", newest)


def _by(label: str, values: Mapping[str, int]) -> Values:
    return {((label, name),): value for name, value in values.items()}


def _lines(metric: Metric, labels: Mapping[str, str]) -> Iterator[str]:
    yield f"# HELP {metric.name} {metric.help}"
    yield f"# TYPE {metric.name} gauge"
    for own, value in metric.values.items():
        inner = ",".join(f'{name}="{_escaped(text)}"' for name, text in (*labels.items(), *own))
        yield f"{metric.name}{{{inner}}} {value!r}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
