"""`flowlog hours`, `runs`, `rejects` and `verify`: what a store has, and whether it is sound."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.cli.arguments import JsonOption, QuietOption, StoreOption, WaitOption, open_store, progress_bar
from pipeline.cli.output import print_rows, say, write_json_rows, write_object, write_objects, write_page
from pipeline.cli.reporting import verify_lines, verify_problems
from pipeline.errors import UsageError
from pipeline.hours import HourRange, hour_to_text
from pipeline.scalars import DEFAULT_STORE

if TYPE_CHECKING:
    from pipeline.store.ledger import RunRecord, SourceRecord
    from pipeline.store.partitions import PartitionSummary

Grouping = Literal["run", "source", "reason"]  # a test holds these against `rejects.GROUPINGS`


def hours(
    store: StoreOption = DEFAULT_STORE,
    gaps: Annotated[
        bool, typer.Option("--gaps", help="List those between the first and the newest that have none instead.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the hours that have totals.

    \b
    Example:
      flowlog hours --store /srv/flowlog
    """
    opened = open_store(store, without=("numpy", "pandas", "cloudpickle"))
    if gaps:
        print_rows([_gap_row(gap) for gap in opened.gaps()], as_json)
        return
    print_rows([hour_row(summary) for summary in opened.hours()], as_json)


def _gap_row(gap: HourRange) -> dict[str, object]:
    """Hours without totals, as a query would name them: from `hour` on, and before `until`."""
    return {
        "hour": gap.first,
        "time": hour_to_text(gap.first),
        "until": hour_to_text(gap.until),
        "hours": gap.until - gap.first,
    }


def hour_row(summary: PartitionSummary) -> dict[str, object]:
    """An hour as `hours` and `drop --dry-run` list it."""
    return {
        "hour": summary.hour,
        "time": hour_to_text(summary.hour),
        "rows": summary.rows,
        "flows": summary.flows,
        "bytes_tx": summary.bytes_tx,
        "bytes_rx": summary.bytes_rx,
        "file_bytes": summary.file_bytes,
    }


def runs(
    store: StoreOption = DEFAULT_STORE,
    sources: Annotated[bool, typer.Option("--sources", help="List what each run counted, file by file.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the committed runs: what was counted.

    \b
    Example:
      flowlog runs --sources
    """
    records = open_store(store).each_run()
    if as_json:
        write_objects(map(asdict, records))
    elif sources:
        print_rows(_source_row(record.run_id, source) for record in records for source in record.sources)
    else:
        print_rows(map(_run_row, records))


def _run_row(record: RunRecord) -> dict[str, object]:
    """A run as `runs` lists it."""
    return {
        "run": record.run_id,
        "finished": record.finished,
        "sources": len(record.sources),
        "hours": len(record.hours),
        **{name: record.total(name) for name in ("read", "valid", "rejected", "bytes_tx", "bytes_rx")},
        **{name: record.by_reason(name).total() for name in ("ignored", "ignored_bytes")},
    }


def _source_row(run_id: str, source: SourceRecord) -> dict[str, object]:
    """A source as `runs --sources` lists it."""
    names = ("format", "read", "valid", "rejected", "bytes_tx", "bytes_rx")
    return {
        "run": run_id,
        "source": source.path,
        **{name: getattr(source, name) for name in names},
        "ignored": sum(source.ignored.values()),
        "ignored_bytes": sum((source.ignored_bytes or {}).values()),
    }


def rejects(
    store: StoreOption = DEFAULT_STORE,
    run: Annotated[str | None, typer.Option(help="Only rows of this run.", metavar="RUN")] = None,
    source: Annotated[str | None, typer.Option(help="Only rows of files whose path contains this.", metavar="TEXT")] = None,
    reason: Annotated[str | None, typer.Option(help="Only rows whose field or rule contains this.", metavar="TEXT")] = None,
    by: Annotated[Grouping | None, typer.Option(help="Count the rejected rows instead of listing them.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rows that were rejected, and why.

    \b
    Example:
      flowlog rejects --by reason
    """
    from pipeline.query.rejects import rejects_by  # imports Arrow

    found = open_store(store).each_reject(run, source, reason)
    tables = iter([rejects_by(found, by)]) if by else found
    if as_json:
        write_json_rows(tables)
    elif more := write_page(tables):
        say([f"{more:,} more rows: --json has all, --by reason counts them, --run, --source and --reason choose among them"])


def verify(
    raw: Annotated[
        list[str] | None, typer.Argument(help="With --deep: where to look for raw files that were moved.", metavar="RAW...")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    deep: Annotated[
        bool, typer.Option("--deep", help="Count the raw files that are still there again, and compare.")
    ] = False,
    wait: WaitOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Prove that the totals are what was counted.

    \b
    Example:
      flowlog verify --deep /archive/flows
    """
    opened = open_store(store, without=() if deep else ("pandas",))
    if raw and not deep:
        raise UsageError("raw files are read with --deep only; the store is given with --store")
    from pipeline.jobs.verify import DeepOptions  # imports Arrow

    with progress_bar(quiet=quiet or as_json or not deep) as progress:
        result = opened.verify(wait, DeepOptions(tuple(raw or ()), progress=progress) if deep else None)
    say(verify_problems(result) if quiet or as_json else verify_lines(result))
    if as_json:
        try:
            write_object(asdict(result))
        except UsageError:
            if not result.problems:  # which weigh more
                raise
    raise typer.Exit(5 if result.problems else 0)
