"""`flowlog forget` and `drop`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from pipeline.cli.arguments import JsonOption, QuietOption, StoreOption, WaitOption, open_store, progress_bar
from pipeline.cli.inspect import hour_row
from pipeline.cli.output import print_after_commit, print_rows, say
from pipeline.cli.reporting import drop_lines, dry_drop_lines, forget_lines
from pipeline.scalars import DEFAULT_STORE


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
    with progress_bar(quiet=quiet or as_json) as progress:
        summary = open_store(store, without=()).forget(sources, wait, progress)
    if as_json:
        print_after_commit(asdict(summary))
    elif not quiet:
        say(forget_lines(summary))


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
    opened = open_store(store)
    if dry_run:
        hours = opened.droppable(before, every=every)
        if as_json or not quiet:
            print_rows([hour_row(hour) for hour in hours], as_json)
        if not (as_json or quiet):
            say(dry_drop_lines(hours))
        return
    summary = opened.drop(before, wait, every=every)
    if as_json:
        print_after_commit(asdict(summary))
    elif not quiet:
        say(drop_lines(summary, opened))
