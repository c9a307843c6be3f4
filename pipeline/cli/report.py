"""`flowlog report`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.arguments import StoreOption, UntilOption, open_store, parse_path
from pipeline.cli.output import say, write_text
from pipeline.cli.reporting import nothing_found
from pipeline.errors import UsageError
from pipeline.scalars import DEFAULT_STORE


def report(
    when: Annotated[
        str,
        typer.Argument(
            help="The hours: 498752, or in UTC 2026-11-24T08, 2026-11-24, latest, today, yesterday, -24h, -7d.",
            metavar="[WHEN]",
        ),
    ] = "latest",
    store: StoreOption = DEFAULT_STORE,
    until: UntilOption = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write to this file.  [default: standard output]", metavar="FILE", parser=parse_path),
    ] = None,
) -> None:
    """Show the totals as pictures, in one HTML file.

    The file opens without a network. The page has bytes over time, the matrix of apps, the largest pairs and what is new, and says where the totals come from.

    \b
    Example:
      flowlog report -7d --output report.html
    """
    if output is None and sys.stdout.isatty():
        raise UsageError("a page is no text for a terminal; name a file with --output, or redirect")
    opened = open_store(store)

    from pipeline.forks import copies  # what other commands do without
    from pipeline.report.figures import figures_of  # imports Arrow
    from pipeline.report.page import render  # and a template engine
    from pipeline.report.provenance import provenance_of

    span = opened.hours_of(when, until)
    # To prove the store takes longer than to read it.
    with copies(partial(provenance_of, opened), [[span]]) as (provenance,):
        figures = figures_of(opened, span)
        page = render(str(opened.locations.root), figures, next(provenance))
    write_text(page, output)
    if output is not None:
        say([f"wrote {output}"])
    if not figures.span.hours:
        say(nothing_found(opened, span, {}))
