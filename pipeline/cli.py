"""The command line: parses, calls, prints. What it does stands in `ingest`, `query`, `verify` and their like.

Nothing heavy is imported at the top: `flowlog --help` needs neither Arrow nor pandas, a query no pandas.
"""

from __future__ import annotations

import copy
import math
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipeline.errors import FlowlogError, UsageError
from pipeline.hours import hour_to_text

if TYPE_CHECKING:
    from pipeline.flowstore import FlowStore
    from pipeline.ingest import IngestSummary
    from pipeline.verify import Verification

app = typer.Typer(
    name="flowlog",
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


def _store_path(text: str) -> Path:
    if not text:  # Path("") is the current folder
        raise typer.BadParameter("it is empty; is a variable of the shell not set?")
    return Path(text)


StoreOption = Annotated[
    Path,
    typer.Option("--store", help="The store's folder.", envvar="FLOWLOG_STORE", metavar="DIR", parser=_store_path),
]


def _no_nan(value: float | None) -> float | None:
    """NaN is in every range, as none of its comparisons is true."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        callback=_no_nan,
        help="Seconds to wait for a run that holds the store.",
        envvar="FLOWLOG_WAIT",
        metavar="S",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
DEFAULT_STORE = Path("data/store")
_INTERRUPTED = 130
DEFAULT_RAW = "data/raw"


@app.command()
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
            help="CSV file cidr,app[,vpc_id] that names the apps of addresses.", envvar="FLOWLOG_APPS", metavar="FILE"
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
        typer.Option(min=1, help="Files read at once.  [default: one a processor]", envvar="FLOWLOG_WORKERS", metavar="N"),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            help="The most memory to take, as 512M or 2G; what does not fit goes to disk.  [default: a 32nd of the machine's,"
            " at least 512M]",
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
            callback=_no_nan,
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
        typer.Option(help="A file whose content was counted from another path.", envvar="FLOWLOG_SAME_CONTENT"),
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
            callback=_no_nan,
            min=0,
            help="Leave files alone that were modified less than S seconds ago.",
            envvar="FLOWLOG_MIN_AGE",
            metavar="S",
        ),
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Count raw flow logs, each exactly once, into hourly totals.

    \b
    Example:
      flowlog ingest /var/log/flows '/mnt/s3/AWSLogs/**/*.log.gz' --apps apps.csv --json
    """
    from pipeline.flowstore import FlowStore
    from pipeline.ingest import IngestOptions
    from pipeline.resources import keep_freed_memory, parse_size

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
    )
    keep_freed_memory()
    opened = FlowStore(store, create=True)
    if sys.stderr.isatty():
        from pipeline.progress import ProgressBar

        with ProgressBar() as progress:
            summary = opened.ingest(raw or [DEFAULT_RAW], options, progress)
    else:
        summary = opened.ingest(raw or [DEFAULT_RAW], options)
    _report_ingest(summary)
    if as_json:
        _print_json(summary.to_json())
    raise typer.Exit(3 if summary.failures or summary.plan.changed else 0)


@app.command()
def query(
    hour: Annotated[str, typer.Option(help="The hour: 498752, or in UTC 2026-11-24T08.", metavar="H")],
    store: StoreOption = DEFAULT_STORE,
    until: Annotated[
        str | None, typer.Option(help="Makes it a range: the first hour that is left out.", metavar="H2")
    ] = None,
    src_app: Annotated[str | None, typer.Option(help="Only this source app.", metavar="A")] = None,
    dest_app: Annotated[str | None, typer.Option(help="Only this destination app.", metavar="B")] = None,
    vpc_id: Annotated[str | None, typer.Option(help="Only this VPC.", metavar="V")] = None,
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
    output_format: Annotated[OutputFormat, typer.Option("--format", help="How to print.")] = "table",
    output: Annotated[Path | None, typer.Option(help="Write to a file.", metavar="FILE")] = None,
) -> None:
    """Read the totals of an hour, or of a range of hours.

    JSON has the six fields of the flow record; the other formats also have `flows`, the number of records summed.

    \b
    Example:
      flowlog query --hour 2026-11-24T00 --until 2026-11-25T00 --by src_app,dest_app --top 10
    """
    from pipeline.output import write_rows

    columns = None if by is None else [column.strip() for column in by.split(",")]
    rows = _open(store, without=("numpy", "pandas", "cloudpickle")).table(
        hour, until, src_app=src_app, dest_app=dest_app, vpc_id=vpc_id, by=columns, sort=sort, top=top
    )
    write_rows(rows, output_format, output)


@app.command()
def hours(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """List the hours that have totals.

    \b
    Example:
      flowlog hours --store /srv/flowlog
    """
    summaries = _open(store).hours()
    _print_rows(
        [
            {
                "hour": summary.hour,
                "time": hour_to_text(summary.hour),
                "rows": summary.rows,
                "flows": summary.flows,
                "bytes_tx": summary.bytes_tx,
                "bytes_rx": summary.bytes_rx,
                "file_bytes": summary.file_bytes,
            }
            for summary in summaries
        ],
        as_json,
    )


@app.command()
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
        _print_json([asdict(record) for record in records])
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


@app.command()
def rejects(
    store: StoreOption = DEFAULT_STORE,
    run: Annotated[str | None, typer.Option(help="Only of this run.", metavar="RUN")] = None,
    source: Annotated[str | None, typer.Option(help="Only of files whose path contains this.", metavar="TEXT")] = None,
    reason: Annotated[str | None, typer.Option(help="Only if the field or the rule contains this.", metavar="TEXT")] = None,
    by: Annotated[Grouping | None, typer.Option(help="Count them instead of listing them.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the rows that were rejected, and why.

    \b
    Example:
      flowlog rejects --by reason
    """
    from pipeline.rejects import rejects_by

    found = _open(store).rejects(run, source, reason)
    _print_rows((rejects_by(found, by) if by else found).to_pylist(), as_json)


@app.command()
def verify(
    raw: Annotated[
        list[str] | None, typer.Argument(help="With --deep: where raw files may be that were moved.", metavar="RAW...")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    deep: Annotated[bool, typer.Option("--deep", help="Also count the raw files again that are still there.")] = False,
    wait: WaitOption = 0,
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
    from pipeline.verify import DeepOptions

    result = opened.verify(wait, DeepOptions(tuple(raw or ())) if deep else None)
    if as_json:
        _print_json(asdict(result))
    _report_verification(result)
    raise typer.Exit(5 if result.problems else 0)


@app.command()
def forget(
    sources: Annotated[list[str], typer.Argument(help="Paths or digests of counted files.", metavar="SOURCE...")],
    store: StoreOption = DEFAULT_STORE,
    wait: WaitOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Take counted files back: their hours are made anew from the other files that count there.

    The other files must still be where they were; if one is missing, nothing is changed.

    \b
    Example:
      flowlog forget /var/log/flows/2026-11-24T08.log.gz
    """
    from dataclasses import asdict

    summary = _open(store, without=()).forget(sources, wait)
    if as_json:
        _print_json(asdict(summary))
    _say(f"forgot {len(summary.sources):,} sources, made {len(summary.hours):,} hours anew (run {summary.run_id})")


@app.command()
def drop(
    before: Annotated[
        str, typer.Option(help="The first hour that is kept: 498752, or in UTC 2026-11-24T08.", metavar="HOUR")
    ],
    store: StoreOption = DEFAULT_STORE,
    wait: WaitOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Drop old hours. The files that were counted stay known, so that the hours do not come back.

    \b
    Example:
      flowlog drop --before 2025-11-24T00
    """
    from dataclasses import asdict

    summary = _open(store).drop(before, wait)
    if as_json:
        _print_json(asdict(summary))
    _say(f"dropped {len(summary.hours):,} hours" + (f" (run {summary.run_id})" if summary.run_id else ""))


@app.command()
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
        int, typer.Option(min=1, help="The longest body of a request, in bytes.", envvar="FLOWLOG_MAX_BODY", metavar="BYTES")
    ] = 32 << 20,
    flush_seconds: Annotated[
        float,
        typer.Option(
            callback=_no_nan,
            min=0.1,
            help="Move the log into flows when it is so old.",
            envvar="FLOWLOG_FLUSH_SECONDS",
            metavar="S",
        ),
    ] = 60,
    flush_bytes: Annotated[
        int,
        typer.Option(min=1, help="Or when it is so long, in bytes.", envvar="FLOWLOG_FLUSH_BYTES", metavar="BYTES"),
    ] = 32 << 20,
    token: Annotated[
        str | None,
        typer.Option(
            help="Ask clients for this bearer token; better set by the variable, which other users cannot see.",
            envvar="FLOWLOG_TOKEN",
        ),
    ] = None,
) -> None:
    """Serve the store over HTTP: POST /flows counts records, GET /flows?hour=N has their sums.

    What is acknowledged is on disk. It is moved into the store's hours from time to time, and when the service ends.

    \b
    Example:
      flowlog serve --store /srv/flowlog --port 3000
    """
    try:
        from pipeline.service.server import ServeOptions
        from pipeline.service.server import serve as serve_until_told
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("pipeline"):
            raise
        raise UsageError(f"there is no {error.name}; the service needs it: pip install 'flowlog[serve]'") from None

    serve_until_told(store, ServeOptions(host, port, zero_bytes, max_body, flush_seconds, flush_bytes, token))


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
    from pipeline.output import text_table, write_text

    if as_json:
        _print_json(rows)
    elif rows:
        write_text(text_table({name: [row[name] for row in rows] for name in rows[0]}))
    else:
        write_text("none\n")


def _print_json(value: object) -> None:
    from pipeline.output import write_object

    write_object(value)


def _say(text: str) -> None:
    from pipeline.output import printable

    print(printable(text), file=sys.stderr)


def _report_ingest(summary: IngestSummary) -> None:
    plan = summary.plan
    for line in (
        *(f"finished the run {run_id}, which was cut off behind its commit" for run_id in summary.recovered),
        *(f"skipped {source.name}: the same content as {twin}, which is counted" for source, twin in plan.twins),
        *(f"skipped {source.name}: it is empty" for source in plan.empty),
        *(f"skipped {source.name}: it was modified too short a time ago" for source in plan.young),
        *(f"left alone {name}: {reason}" for name, reason in plan.left_alone.items()),
        *(f"changed {source.name}: it was counted with other content, and is not counted again" for source in plan.changed),
        *(f"failed {failure.source}: {failure.error}" for failure in summary.failures),
    ):
        _say(line)
    counts = f"{summary.ingested:,} ingested, {plan.skipped:,} skipped"
    _say(f"sources  {counts}, {len(plan.changed):,} changed, {len(summary.failures):,} failed")
    if summary.run_id is None:
        _say(f"nothing new to count ({summary.seconds:.1f} s)")
    else:
        _report_run(summary)


def _report_run(summary: IngestSummary) -> None:
    ignored = ", ".join(f"{count:,} {reason}" for reason, count in sorted(summary.ignored.items()))
    _say(
        f"rows     {summary.read:,} read = {summary.valid:,} valid + {summary.rejected:,} rejected"
        f" + {summary.ignored.total():,} ignored" + (f" ({ignored})" if ignored else "")
    )
    _say(f"bytes    {summary.bytes_tx:,} sent, {summary.bytes_rx:,} received")
    if summary.hours:
        first, last = hour_to_text(summary.hours[0]), hour_to_text(summary.hours[-1])
        _say(f"hours    {len(summary.hours):,}, from {first} to {last}")
    if lost := summary.ignored["SKIPDATA"]:
        _say(f"note     AWS lost records in {lost:,} intervals (SKIPDATA): the totals are too small there")
    if summary.rejected:
        _say(f"note     flowlog rejects --run {summary.run_id} shows what was rejected, and why")
    _say(f"run      {summary.run_id} ({summary.seconds:.1f} s)")


def _report_verification(result: Verification) -> None:
    for problem in result.problems:
        _say(f"wrong: {problem}")
    if result.proof:
        for path in result.proof.missing:
            _say(f"not there any more: {path}")
        proved = f"{result.proof.hours:,} hours counted again from all their raw files"
        _say(f"{proved}, {len(result.proof.unproved):,} not, for want of a raw file")
    counted = f"{result.runs:,} runs, {result.sources:,} sources, {result.hours:,} hours, {result.flows:,} flows"
    state = f"{len(result.problems):,} problems" if result.problems else "sound: every total is what was counted"
    _say(f"{state} ({counted}, {result.bytes_tx:,} bytes sent, {result.bytes_rx:,} received)")
    if result.waiting:
        _say(f"{result.waiting:,} acknowledged records wait in the service's log to be moved into flows")


def _app_for(names: list[str]) -> typer.Typer:
    """The command line, with the one command alone that is asked for, if it is one.

    Typer makes every option of every command that it has, which takes as long as all the rest of an hour's answer.
    """
    asked_for = [command for command in app.registered_commands if command.callback and command.callback.__name__ in names]
    if not asked_for:
        return app  # it knows what to say
    alone = copy.copy(app)
    alone.registered_commands = asked_for
    alone.callback()(lambda: None)  # or Typer would take the name of a command that is the only one for its argument
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
        _say(f"flowlog: {error}")
        sys.exit(error.exit_code)
    except SystemExit as exit_:
        if exit_.code == _INTERRUPTED:
            _say("flowlog: interrupted; a run is there whole, or not at all")
        raise
