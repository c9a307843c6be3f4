"""`flowlog ingest`."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Annotated

import typer

from pipeline.cli.arguments import JsonOption, QuietOption, StoreOption, parameter, takes
from pipeline.cli.output import print_after_commit, say
from pipeline.cli.reporting import ingest_lines, ingest_problems
from pipeline.errors import UsageError
from pipeline.flowstore import FlowStore
from pipeline.options import AWS_FIELDS, IngestOptions, setting_of_aws
from pipeline.scalars import DEFAULT_STORE

DEFAULT_RAW = "data/raw"


@takes(IngestOptions)
def ingest(
    raw: Annotated[
        list[str] | None,
        typer.Argument(help=f"Files, folders or glob patterns.  [default: {DEFAULT_RAW}]", metavar="RAW..."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    *,
    options: IngestOptions,
    aws_fields: Annotated[str | None, parameter(AWS_FIELDS)] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count raw flow logs, each exactly once, into hourly totals.

    \b
    Example:
      flowlog ingest /var/log/flows '/mnt/s3/AWSLogs/**/*.log.gz' --apps apps.csv --json
    """
    if aws_fields is not None:
        setting = setting_of_aws(aws_fields)
        if setting in options.settings:
            raise UsageError(f"{setting} is given twice, by --set and by {AWS_FIELDS.name}")
        options = replace(options, settings={**options.settings, setting: aws_fields})
    opened = FlowStore(store, create=True)
    if sys.stderr.isatty() and not quiet:
        from pipeline.cli.progress import ProgressBar  # imports rich

        with ProgressBar() as progress:
            summary = opened.ingest(raw or [DEFAULT_RAW], options, progress)
    else:
        summary = opened.ingest(raw or [DEFAULT_RAW], options)
    say(ingest_problems(summary) if quiet or as_json else ingest_lines(summary, store))
    if as_json:
        print_after_commit(summary.to_json())
    raise typer.Exit(3 if summary.failures or summary.changed else 0)
