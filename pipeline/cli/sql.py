"""`flowlog sql`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.arguments import FormatJsonOption, FormatOption, OutputOption, StoreOption, open_store
from pipeline.cli.extras import not_installed
from pipeline.cli.output import PAGE_ROWS, say, write_all, write_text, written_as
from pipeline.cli.table import Column, aligned
from pipeline.errors import UsageError
from pipeline.scalars import DEFAULT_STORE, printable

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.flowstore import FlowStore


def sql(
    statement: Annotated[
        str | None,
        typer.Argument(
            help="A SELECT over flows, rejects, runs and sources. Without one, prints what to type into the DuckDB shell.",
            metavar="[SELECT]",
        ),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    athena: Annotated[
        str | None,
        typer.Option(
            help="Print the statement that makes Athena's table of a copy of the store there.", metavar="S3-FOLDER"
        ),
    ] = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    as_json: FormatJsonOption = False,
) -> None:
    """Ask the totals and the ledger in SQL.

    DuckDB answers, which the extra sql installs. It reads the store and nothing else, and changes nothing. Times are UTC.

    \b
    Example:
      flowlog sql "SELECT time, sum(bytes_tx) FROM flows GROUP BY ALL ORDER BY 1"
    """
    opened = open_store(store)
    if statement is None:
        if output_format or output or as_json:
            raise UsageError("--format, --output and --json are for the answer to a SELECT, and there is none")
        write_text(_shell_views(opened) if athena is None else _athena_table(opened, athena))
        return
    if athena is not None:
        raise UsageError("--athena prints a statement for Athena, and takes no SELECT")
    how = written_as(output_format, output, as_json=as_json)
    try:
        rows = opened.sql(statement)
    except ModuleNotFoundError as error:
        raise not_installed("sql", "sql", error) from None
    if how == "table":
        say(_write_page(rows, output))
        return
    if how == "parquet":
        _refuse_unfit_for_parquet(rows)
    write_all([rows if how == "parquet" else _plain(rows, for_json=how != "csv")], how, output)


def _athena_table(store: FlowStore, folder: str) -> str:
    from pipeline.query.views import athena_table  # imports Arrow

    return athena_table(store.locations, folder)


def _shell_views(store: FlowStore) -> str:
    from pipeline.query.views import views  # as above

    made = "".join(f"CREATE OR REPLACE VIEW {name} AS\n{query};\n\n" for name, query in views(store.locations).items())
    return f"-- For the DuckDB shell. Times are UTC.\n{made}SUMMARIZE flows;\n"


def _write_page(rows: pa.Table, target: Path | None) -> Iterator[str]:
    """Writes the first rows as a table, and says how many more there are."""
    cells = _plain(rows.slice(0, PAGE_ROWS), for_json=False).to_pydict()
    write_text(aligned([_column(name, column) for name, column in cells.items()]) if rows.num_rows else "none\n", target)
    if (more := rows.num_rows - PAGE_ROWS) > 0:
        yield f"{more:,} more rows: LIMIT or a sum shows fewer, --output FILE or --format csv has all"


def _column(name: str, cells: Sequence[object]) -> Column:
    is_number = name != "hour" and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in cells)
    return Column(printable(name), [f"{cell:,}" if is_number else _shown(cell) for cell in cells], is_number)


def _shown(cell: object) -> str:
    return "NULL" if cell is None else str(cell).lower() if isinstance(cell, bool) else printable(str(cell))


def _plain(rows: pa.Table, *, for_json: bool) -> pa.Table:
    """The rows with numbers, truth and text alone, as the formats of text have them: other values as text, lists as JSON."""
    import pyarrow as pa
    import pyarrow.compute as pc

    def plain(column: Any) -> Any:
        kind = column.type
        if pa.types.is_floating(kind) and for_json:  # which has no NaN and no infinity
            return pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
        if any(
            is_kind(kind) for is_kind in (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_string)
        ):
            return column
        if pa.types.is_decimal(kind) and kind.scale:
            return plain(column.cast(pa.float64()))
        text_of = _text_of_interval if pa.types.is_interval(kind) else _text_of
        return pa.array([None if cell is None else text_of(cell) for cell in column.to_pylist()], pa.string())

    return pa.table([plain(column) for column in rows.columns], names=rows.column_names)


def _text_of(cell: object) -> str:
    if isinstance(cell, list | dict):
        return json.dumps(cell, default=_text_of, ensure_ascii=False)
    return cell.decode("utf-8", "backslashreplace") if isinstance(cell, bytes) else str(cell)


def _text_of_interval(interval: tuple[int, int, int]) -> str:
    """An interval of months, days and nanoseconds as DuckDB writes it: `1 year 2 months -1 day 03:00:00.5`."""
    months, days, nanoseconds = interval
    years = int(months / 12)  # towards 0, as all parts may be below 0
    named = ((years, "year"), (months - 12 * years, "month"), (days, "day"))
    parts = [f"{number} {noun}{'s' * (abs(number) != 1)}" for number, noun in named if number]
    if nanoseconds or not parts:
        seconds, rest = divmod(abs(nanoseconds), 10**9)
        fraction = f".{rest:09}".rstrip("0") if rest else ""
        sign = "-" if nanoseconds < 0 else ""
        parts.append(f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}")
    return " ".join(parts)


def _refuse_unfit_for_parquet(rows: pa.Table) -> None:
    """Refuses columns of types that Parquet has not.

    Raises:
        UsageError: There is one, as an interval.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for field in rows.schema:
        try:
            pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
        except pa.ArrowNotImplementedError:
            raise UsageError(
                f"Parquet has no type for the column {field.name} ({field.type}); cast it to VARCHAR, or choose another format"
            ) from None
