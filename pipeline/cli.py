"""The command line: parses, calls, prints. What it does stands in `ingest`, `query`, `verify` and their like.

Nothing heavy is imported at the top: `flowlog --help` needs neither Arrow nor pandas, a query no pandas.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.arguments import Command, Group, JsonOption, QuietOption, StoreOption, WaitOption, no_nan, parse_path
from pipeline.errors import FlowlogError, RunStopped, UsageError
from pipeline.output import say, text_table, write_object, write_text
from pipeline.scalars import DEFAULT_STORE, hour_to_text

if TYPE_CHECKING:
    from pipeline.flowstore import FlowStore
    from pipeline.store.partitions import PartitionSummary

app = typer.Typer(
    name="flowlog",
    cls=Group,
    help="Turns raw network flow logs into hourly totals that people trust.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


RawFormat = Literal["auto", "csv", "json", "parquet", "aws-vpc", "zeek"]  # a test holds these against the readers
OutputFormat = Literal["table", "json", "jsonl", "csv", "parquet"]  # and these against the writers
Grouping = Literal["run", "source", "reason"]  # and these against `rejects.GROUPINGS`


_INTERRUPTED = 130
DEFAULT_RAW = "data/raw"
_command = partial(app.command, cls=Command)


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        from pipeline import __version__  # looked up when it is asked for

        write_text(f"flowlog {__version__}\n")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None: ...


@_command()
def ingest(
    raw: Annotated[
        list[str] | None,
        typer.Argument(help=f"Files, folders or glob patterns.  [default: {DEFAULT_RAW}]", metavar="RAW..."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    raw_format: Annotated[
        RawFormat, typer.Option("--format", help="The raw files' format; auto looks into each.", envvar="FLOWLOG_FORMAT")
    ] = "auto",
    apps: Annotated[
        Path | None,
        typer.Option(
            help="CSV file cidr,app[,vpc_id] that names the apps of addresses.",
            envvar="FLOWLOG_APPS",
            metavar="FILE",
            parser=parse_path,
        ),
    ] = None,
    vpc_id: Annotated[
        str | None, typer.Option(help="The VPC of records that name none.", envvar="FLOWLOG_VPC_ID", metavar="ID")
    ] = None,
    aws_fields: Annotated[
        str | None,
        typer.Option(
            help="Fields of AWS text without a header line, in order, split by spaces.",
            envvar="FLOWLOG_AWS_FIELDS",
            metavar="FIELDS",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="How many files are read at once.  [default: one a processor; fewer where the memory is short]",
            envvar="FLOWLOG_WORKERS",
            metavar="N",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="The most memory to take, as 512M or 2G; what does not fit goes to disk.  [default: what the workers use, about"
            " 670M for two and 130M for each more; at most half of the memory]",
            envvar="FLOWLOG_MEMORY",
            metavar="SIZE",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Stop at the first rejected row or failed file; commit nothing.", envvar="FLOWLOG_STRICT"
        ),
    ] = False,
    max_reject_ratio: Annotated[
        float | None,
        typer.Option(
            callback=no_nan,
            min=0,
            max=1,
            help="Commit nothing if more than this part of the rows is rejected.",
            envvar="FLOWLOG_MAX_REJECT_RATIO",
            metavar="R",
        ),
    ] = None,
    zero_bytes: Annotated[
        Literal["accept", "reject"],
        typer.Option(help="Whether a record may have 0 bytes in a direction.", envvar="FLOWLOG_ZERO_BYTES"),
    ] = "accept",
    wait: WaitOption = 0,
    same_content: Annotated[
        Literal["skip", "count"],
        typer.Option(
            help="What to do with a file whose content, or the start of it, was counted from another path.",
            envvar="FLOWLOG_SAME_CONTENT",
        ),
    ] = "skip",
    replace_changed: Annotated[
        bool,
        typer.Option(
            "--replace-changed",
            help="Take a file back that changed after it was counted, and count it as it is now.",
            envvar="FLOWLOG_REPLACE_CHANGED",
        ),
    ] = False,
    min_age: Annotated[
        float,
        typer.Option(
            callback=no_nan,
            min=0,
            help="Leave files alone that were modified less than S seconds ago.",
            envvar="FLOWLOG_MIN_AGE",
            metavar="S",
        ),
    ] = 0,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            help="Leave files and folders alone by their name, or by their path in the folder that is read; may be repeated.",
            envvar="FLOWLOG_EXCLUDE",
            metavar="GLOB",
        ),
    ] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count raw flow logs, each exactly once, into hourly totals.

    \b
    Example:
      flowlog ingest /var/log/flows '/mnt/s3/AWSLogs/**/*.log.gz' --apps apps.csv --json
    """
    from pipeline.counting.resources import keep_freed_memory
    from pipeline.flowstore import FlowStore
    from pipeline.jobs.ingest import IngestOptions
    from pipeline.reporting import ingest_lines, ingest_problems
    from pipeline.scalars import parse_size

    options = IngestOptions(
        format=raw_format,
        apps=apps,
        vpc_id=vpc_id,
        aws_fields=None if aws_fields is None else tuple(aws_fields.split()),
        workers=workers,
        memory_bytes=None if memory is None else parse_size(memory),
        strict=strict,
        max_reject_ratio=max_reject_ratio,
        zero_bytes=zero_bytes,
        wait_seconds=wait,
        same_content=same_content,
        replace_changed=replace_changed,
        min_age_seconds=min_age,
        exclude=tuple(exclude or ()),
    )
    keep_freed_memory()
    opened = FlowStore(store, create=True)
    if sys.stderr.isatty() and not quiet:
        from pipeline.progress import ProgressBar

        with ProgressBar() as progress:
            summary = opened.ingest(raw or [DEFAULT_RAW], options, progress)
    else:
        summary = opened.ingest(raw or [DEFAULT_RAW], options)
    say(ingest_problems(summary) if quiet or as_json else ingest_lines(summary, store))
    if as_json:
        _print_after_commit(summary.to_json())
    raise typer.Exit(3 if summary.failures or summary.changed else 0)


@_command()
def query(
    when: Annotated[
        str | None,
        typer.Argument(
            help="The hours: 498752, or in UTC 2026-11-24T08, 2026-11-24, latest, today, yesterday, -24h, -7d.  [default: latest]",
            metavar="[WHEN]",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    hour: Annotated[str | None, typer.Option(help="Another way to give WHEN.", metavar="WHEN")] = None,
    until: Annotated[
        str | None, typer.Option(help="Makes it a range: the first hour that is left out.", metavar="WHEN")
    ] = None,
    src_app: Annotated[
        list[str] | None,
        typer.Option(help="Only this source app; more than once: any of them. * stands for any text.", metavar="A"),
    ] = None,
    dest_app: Annotated[list[str] | None, typer.Option(help="Only this destination app; alike.", metavar="B")] = None,
    app: Annotated[
        list[str] | None, typer.Option(help="Only rows with this app on either side; alike.", metavar="X")
    ] = None,
    vpc_id: Annotated[list[str] | None, typer.Option(help="Only this VPC; alike.", metavar="V")] = None,
    by: Annotated[
        str | None, typer.Option(help="Sum over all but these columns, as src_app,dest_app.", metavar="COLS")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Sort by a column, or by bytes (both directions); sums the largest first.", metavar="COL"),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="The first N rows; without --sort those with the most bytes.", metavar="N")
    ] = None,
    output_format: Annotated[
        OutputFormat | None,
        typer.Option("--format", help="How to print.  [default: as the name of --output ends; else table]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Write to a file; its name gives the format: .parquet, .csv, .json, .jsonl, .ndjson.",
            metavar="FILE",
            parser=parse_path,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
) -> None:
    """Read the totals of an hour, or of a range of hours.

    JSON and JSON Lines have the six fields of the flow record; the other formats also have `flows`, the number of
    records summed.

    \b
    Example:
      flowlog query 2026-11-24 --by src_app,dest_app --top 10
    """
    from pipeline.output import format_of, write_rows

    if when is not None and hour is not None:
        raise UsageError(f"the hours are given twice, as {when} and as --hour {hour}")
    if until is not None and (when or hour) is None:
        raise UsageError("--until ends a range that has no start: flowlog query WHEN --until WHEN")
    if as_json and output_format not in (None, "json"):
        raise UsageError(f"--json is short for --format json, and contradicts --format {output_format}")
    written_as = "json" if as_json else output_format or format_of(output)
    asked = "latest" if (given := hour if when is None else when) is None else given
    columns = None if by is None else [column.strip() for column in by.split(",")]
    filters: dict[str, Any] = {
        "src_app": src_app or None,
        "dest_app": dest_app or None,
        "vpc_id": vpc_id or None,
        "app": app or None,
    }
    opened = _open(store, without=("numpy", "pandas", "cloudpickle"))
    rows = opened.table(asked, until, by=columns, sort=sort, top=top, **filters)
    write_rows(rows, written_as, output)
    if not rows.num_rows and written_as != "json":
        from pipeline.reporting import nothing_found  # seldom

        say(nothing_found(opened, opened.hours_of(asked, until), filters))


@_command()
def hours(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the hours that have totals.

    \b
    Example:
      flowlog hours --store /srv/flowlog
    """
    _print_rows([_hour_row(summary) for summary in _open(store).hours()], as_json)


def _hour_row(summary: PartitionSummary) -> dict[str, object]:
    return {
        "hour": summary.hour,
        "time": hour_to_text(summary.hour),
        "rows": summary.rows,
        "flows": summary.flows,
        "bytes_tx": summary.bytes_tx,
        "bytes_rx": summary.bytes_rx,
        "file_bytes": summary.file_bytes,
    }


@_command()
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
    from dataclasses import asdict

    records = _open(store).runs()
    if as_json:
        write_object([asdict(record) for record in records])
    elif sources:
        names = ("format", "read", "valid", "rejected", "bytes_tx", "bytes_rx")
        _print_rows(
            [
                {"run": record.run_id, "source": source.path, **{name: getattr(source, name) for name in names}}
                for record in records
                for source in record.sources
            ]
        )
    else:
        totals = ("read", "valid", "rejected", "bytes_tx", "bytes_rx")
        _print_rows(
            [
                {
                    "run": record.run_id,
                    "finished": record.finished,
                    "sources": len(record.sources),
                    "hours": len(record.hours),
                    **{name: record.total(name) for name in totals},
                }
                for record in records
            ]
        )


@_command()
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
    from pipeline.output import write_json_rows, write_page
    from pipeline.query.rejects import rejects_by

    found = _open(store).each_reject(run, source, reason)
    tables = iter([rejects_by(found, by)]) if by else found
    if as_json:
        write_json_rows(tables)
    elif more := write_page(tables):
        say([f"{more:,} more rows: --json has all, --by reason counts them, --run, --source and --reason choose among them"])


@_command()
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
    from dataclasses import asdict

    opened = _open(store, without=() if deep else ("pandas",))
    if raw and not deep:
        raise UsageError("raw files are read with --deep only")
    from pipeline.jobs.verify import DeepOptions
    from pipeline.reporting import verify_lines, verify_problems

    result = opened.verify(wait, DeepOptions(tuple(raw or ())) if deep else None)
    say(verify_problems(result) if quiet or as_json else verify_lines(result))
    if as_json:
        try:
            write_object(asdict(result))
        except UsageError:
            if not result.problems:  # which weigh more
                raise
    raise typer.Exit(5 if result.problems else 0)


@_command()
def forget(
    sources: Annotated[list[str], typer.Argument(help="Paths or digests of counted files.", metavar="SOURCE...")],
    store: StoreOption = DEFAULT_STORE,
    wait: WaitOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take counted files back, as if never counted.

    Their hours are made anew from the other files that count there. These must still be where they were; if one is
    missing, nothing is changed.

    \b
    Example:
      flowlog forget /var/log/flows/2026-11-24T08.log.gz
    """
    from dataclasses import asdict

    from pipeline.reporting import forget_lines

    summary = _open(store, without=()).forget(sources, wait)
    if as_json:
        _print_after_commit(asdict(summary))
    elif not quiet:
        say(forget_lines(summary))


@_command()
def drop(
    before: Annotated[
        str,
        typer.Option(
            help="The first hour that is kept: 498752, or in UTC 2026-11-24T08, 2026-11-24, -400d.", metavar="WHEN"
        ),
    ],
    store: StoreOption = DEFAULT_STORE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be dropped, and change nothing.")] = False,
    every: Annotated[
        bool, typer.Option("--all", help="Allow a cut-off after the newest hour, which leaves no hour.")
    ] = False,
    wait: WaitOption = 0,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Drop old hours. The files that were counted stay known, so that the hours do not come back.

    \b
    Example:
      flowlog drop --before -400d --dry-run
    """
    from dataclasses import asdict

    from pipeline.reporting import drop_lines, dry_drop_lines

    opened = _open(store)
    if dry_run:
        hours = opened.droppable(before, every=every)
        if as_json or not quiet:
            _print_rows([_hour_row(hour) for hour in hours], as_json)
        if not (as_json or quiet):
            say(dry_drop_lines(hours))
        return
    summary = opened.drop(before, wait, every=every)
    if as_json:
        _print_after_commit(asdict(summary))
    elif not quiet:
        say(drop_lines(summary, opened))


@_command()
def serve(
    store: StoreOption = DEFAULT_STORE,
    host: Annotated[
        str,
        typer.Option(help="The address to listen on; 0.0.0.0 is all of this machine's.", envvar="FLOWLOG_HOST"),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes any that is free.", envvar="FLOWLOG_PORT")
    ] = 3000,
    zero_bytes: Annotated[
        Literal["accept", "reject"],
        typer.Option(help="Whether a record may have 0 bytes in a direction.", envvar="FLOWLOG_ZERO_BYTES"),
    ] = "reject",
    max_body: Annotated[
        int, typer.Option(min=1, help="The longest body of a request.", envvar="FLOWLOG_MAX_BODY", metavar="BYTES")
    ] = 32 << 20,
    flush_seconds: Annotated[
        float,
        typer.Option(
            callback=no_nan,
            min=0.1,
            help="Move the log into flows when its oldest request has waited this many seconds.",
            envvar="FLOWLOG_FLUSH_SECONDS",
            metavar="S",
        ),
    ] = 60,
    flush_bytes: Annotated[
        int,
        typer.Option(
            min=1,
            help="Move the log into flows also when it has this many bytes.",
            envvar="FLOWLOG_FLUSH_BYTES",
            metavar="BYTES",
        ),
    ] = 32 << 20,
    token: Annotated[
        str | None,
        typer.Option(
            help="Ask clients for this bearer token; better set by the variable, which other users cannot see.",
            envvar="FLOWLOG_TOKEN",
        ),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A further host name under which clients may reach the service; may be repeated, * allows any.",
            envvar="FLOWLOG_ALLOWED_HOST",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Serve the store over HTTP.

    POST /flows counts records, and GET /flows?hour=N gives their sums. A record that is acknowledged is on disk, and is moved into the store's hours from time to time, and when the service ends.

    \b
    Example:
      flowlog serve --store /srv/flowlog --port 3000
    """
    import signal
    import threading

    told_to_end = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):  # what follows takes a second, in which a scheduler may change its mind
        signal.signal(number, lambda *_: told_to_end.set())
    try:
        from pipeline.service.server import ServeOptions
        from pipeline.service.server import serve as serve_until_told
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pipeline"):
            raise
        raise UsageError(
            f"the service needs the package {error.name}, which the extra serve installs: pip install 'flowlog[serve]'"
        ) from None

    allowed = tuple(allowed_host or ())
    options = ServeOptions(host, port, zero_bytes, max_body, flush_seconds, flush_bytes, token, allowed)
    serve_until_told(store, options, told_to_end)


def _open(store: Path, without: tuple[str, ...] = ("pandas",)) -> FlowStore:
    """Opens a store that is there.

    Args:
        store: Its folder.
        without: What need not be imported. Arrow imports numpy and cloudpickle at its start, and pandas when it first sees
            a Python value, to know theirs; numpy or pandas takes as long as all the rest of a query, in which nothing is
            theirs.
    """
    sys.meta_path.insert(0, _Without({name for name in without if name not in sys.modules}))
    from pipeline.flowstore import FlowStore

    return FlowStore(store)


class _Without:
    """A finder of modules that says that some are not there."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname in self._names:
            raise ModuleNotFoundError(f"this command does without {fullname}", name=fullname)


def _print_rows(rows: list[dict[str, object]], as_json: bool = False) -> None:
    if as_json:
        write_object(rows)
    elif rows:
        write_text(text_table({name: [row[name] for row in rows] for name in rows[0]}))
    else:
        write_text("none\n")


def _print_after_commit(summary: dict[str, object]) -> None:
    """Prints what a run did. That this cannot be printed changes nothing of what it did, nor the exit code."""
    try:
        write_object(summary)
    except UsageError as error:
        say([f"flowlog: {error}; what was done is done"])


def _app_for(names: list[str]) -> typer.Typer:
    """The command line, with the one command alone that is asked for, if it is one.

    Typer makes every option of every command that it has, which takes as long as all the rest of an hour's answer.
    """
    asked_for = [command for command in app.registered_commands if command.callback and command.callback.__name__ in names]
    if not asked_for:
        return app  # it knows what to say
    alone = copy.copy(app)
    alone.registered_commands = asked_for
    alone.callback(cls=Group)(
        lambda: None
    )  # or Typer would take the name of a command that is the only one for its argument
    return alone


def main() -> None:
    """Runs the command line. Errors that are the user's become a sentence and an exit code; others are bugs."""
    # numpy's linear algebra, of which there is none here, would start threads that wait for work by spinning.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Threads that come back from the kernel wait so long for the lock of one that runs Python, as an import does.
    sys.setswitchinterval(0.0005)
    try:
        _app_for(sys.argv[1:2])()
    except FlowlogError as error:
        say([f"flowlog: {error}"])
        sys.exit(error.exit_code)
    except MemoryError:  # Arrow's is one, too
        advice = "a smaller --memory or fewer workers need less"
        say([f"flowlog: the memory does not suffice; a run is there whole, or not at all, and {advice}"])
        sys.exit(RunStopped.exit_code)
    except SystemExit as exit_:
        if exit_.code == _INTERRUPTED:
            say(["flowlog: interrupted; a run is there whole, or not at all"])
        raise
