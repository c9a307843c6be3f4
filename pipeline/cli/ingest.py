"""`flowlog ingest`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.arguments import JsonOption, QuietOption, StoreOption, parameter, progress_bar, takes
from pipeline.cli.extras import not_installed
from pipeline.cli.metrics import watched
from pipeline.cli.output import print_after_commit, say
from pipeline.cli.reporting import ingest_lines, ingest_problems
from pipeline.errors import UsageError
from pipeline.flowstore import FlowStore
from pipeline.options import AWS_FIELDS, METRICS_FILE, IngestOptions, setting_of_aws
from pipeline.process import keep_freed_memory
from pipeline.scalars import DEFAULT_STORE

DEFAULT_RAW = "data/raw"


@takes(IngestOptions)
def ingest(
    raw: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Files, folders or glob patterns; s3://, gs:// and az:// alike.  [default: {DEFAULT_RAW}]",
            metavar="RAW...",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    *,
    options: IngestOptions,
    aws_fields: Annotated[str | None, parameter(AWS_FIELDS)] = None,
    metrics_file: Annotated[Path | None, parameter(METRICS_FILE, Path)] = None,
    quiet: QuietOption = False,
    as_json: JsonOption = False,
) -> None:
    """Count raw flow logs, each exactly once, into hourly totals.

    \b
    Example:
      flowlog ingest /var/log/flows 's3://logs/**/*.log.gz' --apps apps.csv --json
    """
    keep_freed_memory()
    if aws_fields is not None:
        setting = setting_of_aws(aws_fields)
        if setting in options.settings:
            raise UsageError(f"{setting} is given twice, by --set and by {AWS_FIELDS.name}")
        options = replace(options, settings={**options.settings, setting: aws_fields})
    with watched(metrics_file, store) as tell, progress_bar(quiet=quiet) as progress:
        try:
            summary = FlowStore(store, create=True).ingest(raw or [DEFAULT_RAW], options, progress)
        except ModuleNotFoundError as error:
            if error.name != "distributed":
                raise
            raise not_installed("--on dask", "dask", error) from None
        exit_code = 3 if summary.failures or summary.changed else 0
        tell(summary, exit_code)
    say(ingest_problems(summary) if quiet or as_json else ingest_lines(summary, store))
    if as_json:
        print_after_commit(summary.to_json())
    raise typer.Exit(exit_code)
