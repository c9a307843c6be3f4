"""`flowlog query`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pipeline.cli.arguments import (
    FormatJsonOption,
    FormatOption,
    OutputOption,
    StoreOption,
    UntilOption,
    open_store,
)
from pipeline.cli.output import PAGE_ROWS, say, write_rows, written_as
from pipeline.cli.pages import rows_cut, write_answer
from pipeline.errors import UsageError
from pipeline.scalars import DEFAULT_STORE


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
    until: UntilOption = None,
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
        str | None,
        typer.Option(
            help="Sum over all but these columns, as src_app,dest_app; day and month are columns, too.", metavar="COLS"
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Sort by a column, or by bytes (both directions); sums the largest first.", metavar="COL"),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="The first N rows; without --sort those with the most bytes.", metavar="N")
    ] = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="All digits of sizes on a terminal; a pipe or a file has them anyway.")
    ] = False,
    as_json: FormatJsonOption = False,
) -> None:
    """Read the totals of an hour, or of a range of hours.

    A table is for people: at most 1,000 rows, with the sums of the others and of all. JSON and JSON Lines have the six
    fields of the flow record, CSV and Parquet also `flows`, the number of records summed; they have all rows.

    \b
    Example:
      flowlog query 2026-11-24 --by src_app,dest_app --top 10
    """
    if when is not None and hour is not None:
        raise UsageError(f"the hours are given twice, as {when} and as --hour {hour}")
    given = hour if when is None else when
    if until is not None and given is None:
        raise UsageError("--until ends a range that has no start: flowlog query WHEN --until WHEN")
    how = written_as(output_format, output, as_json=as_json)
    asked = "latest" if given is None else given
    columns = None if by is None else [column.strip() for column in by.split(",")]
    filters: dict[str, Any] = {
        "src_app": src_app or None,
        "dest_app": dest_app or None,
        "vpc_id": vpc_id or None,
        "app": app or None,
    }
    opened = open_store(store, without=("numpy", "pandas", "cloudpickle"))
    if how == "table":
        page = opened.page(asked, until, most=PAGE_ROWS, by=columns, sort=sort, top=top, **filters)
        write_answer(page, output, exact=exact)
        say(rows_cut(page, top))
        is_empty = not page.count
    else:
        tables = opened.each_table(asked, until, by=columns, sort=sort, top=top, **filters)
        is_empty = not write_rows(tables, how, output)
    if is_empty and how != "json":
        from pipeline.cli.reporting import nothing_found  # seldom

        say(nothing_found(opened, opened.hours_of(asked, until), filters))
