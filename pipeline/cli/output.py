"""How results look: aligned text for people; JSON, JSON Lines, CSV and Parquet for programs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from unicodedata import combining, east_asian_width

from pipeline.errors import UsageError
from pipeline.scalars import hour_to_text, printable

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 65_536


def say(lines: Iterable[str]) -> None:
    """Writes lines to standard error, beside a command's results."""
    for line in lines:
        sys.stderr.write(printable(line) + "\n")


def text_table(columns: Mapping[str, Sequence[object]], *, times: bool = True) -> str:
    """Rows as aligned text: numbers to the right with thousands separators, an hour with its time beside it.

    Args:
        columns: The cells of each column, by its name; at least one row.
        times: Whether a column named hour has hours, as those of the store do.
    """
    if times and "hour" in columns and "time" not in columns:
        hours = [int(str(hour)) for hour in columns["hour"]]
        rest = {name: cells for name, cells in columns.items() if name != "hour"}
        columns = {"hour": hours, "time": [hour_to_text(hour) for hour in hours], **rest}
    shown = [_shown_column(name, cells) for name, cells in columns.items()]
    lines = ("  ".join(cells).rstrip() for cells in zip(*shown, strict=True))
    return "\n".join(lines) + "\n"


def _shown_column(name: str, cells: Sequence[object]) -> list[str]:
    """A column's name and its cells, all of one width."""
    is_number = name != "hour" and all(isinstance(cell, int) for cell in cells)  # an hour is more of a name
    texts = [name, *(f"{cell:,}" if is_number else printable(str(cell)) for cell in cells)]
    width = max(map(_columns_of, texts))
    padding = [" " * (width - _columns_of(text)) for text in texts]
    return [pad + text if is_number else text + pad for text, pad in zip(texts, padding, strict=True)]


def _columns_of(text: str) -> int:
    """How many columns of a terminal a text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def _write_table(rows: pa.Table, out: IO[bytes]) -> None:
    text = text_table(rows.to_pydict()) if rows.num_rows else "none\n"
    out.write(text.encode())


def _write_json(rows: pa.Table, out: IO[bytes]) -> None:
    separator = b"[\n "
    for record in _records(rows):
        out.write(separator + record)
        separator = b",\n "
    out.write(b"\n]\n" if rows.num_rows else b"[]\n")


def _write_json_lines(rows: pa.Table, out: IO[bytes]) -> None:
    out.writelines(record + b"\n" for record in _records(rows))


def _records(rows: pa.Table) -> Iterator[bytes]:
    """JSON objects, in chunks, so that a large answer need not be in memory as Python values."""
    import json  # only here and below: tables and CSV start faster without it

    for batch in rows.to_batches(max_chunksize=_CHUNK_ROWS):
        for record in batch.to_pylist():
            yield json.dumps(record, ensure_ascii=False).encode()


def _write_csv(rows: pa.Table, out: IO[bytes]) -> None:
    import pyarrow.csv as pa_csv  # only here: the other formats start faster without it

    pa_csv.write_csv(rows, out, pa_csv.WriteOptions(quoting_style="needed"))


def _write_parquet(rows: pa.Table, out: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    pq.write_table(rows, out)


_WRITERS: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {
    "table": _write_table,
    "json": _write_json,
    "jsonl": _write_json_lines,
    "csv": _write_csv,
    "parquet": _write_parquet,
}

#: The values of `query --format`.
OUTPUT_FORMATS = tuple(_WRITERS)
#: What the name of a file says of its format.
_ENDINGS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def format_of(target: Path | None) -> str:
    """The format that the name of a file asks for; a table for standard output.

    Raises:
        UsageError: The name asks for none.
    """
    if target is None:
        return "table"
    try:
        return _ENDINGS[target.suffix.lower()]
    except KeyError:
        raise UsageError(
            f"the name {target} does not tell a format; end it in {', '.join(_ENDINGS)}, or give --format {'|'.join(OUTPUT_FORMATS)}"
        ) from None


def write_rows(rows: pa.Table, output_format: str, target: Path | None) -> None:
    """Writes a query's rows.

    Args:
        rows: What `query.run_query` gives. JSON has the flow record's fields alone, as the service gives them; the
            other formats have `flows` as well.
        output_format: One of `OUTPUT_FORMATS`.
        target: A file; None for standard output.

    Raises:
        UsageError: The file cannot be written, or bytes would go to a terminal.
    """
    from pipeline.schema import COUNT  # imports Arrow, which a summary does without

    if output_format in ("json", "jsonl"):
        rows = rows.drop_columns(COUNT)
    write_all(rows, output_format, target)


def write_all(rows: pa.Table, output_format: str, target: Path | None) -> None:
    """The same for rows of any kind, with all their columns."""
    if target is None and output_format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal; name a file with --output, or redirect")
    with _opened(target) as out:
        _WRITERS[output_format](rows, out)


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        with standard_output() as out:
            yield out
        return
    try:
        with target.open("wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from None


@contextmanager
def standard_output() -> Iterator[IO[bytes]]:
    """Standard output as bytes. A reader that has gone has seen enough, as `head` does, and is no error."""
    if sys.stdout is None:  # it was closed before Python started
        yield io.BytesIO()
        return
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tries again at its end
        if not isinstance(error, BrokenPipeError):
            raise UsageError(f"cannot write to standard output: {error.strerror}") from None


#: Rows of a table that may be longer than anybody reads.
PAGE_ROWS = 1000


def write_page(tables: Iterable[pa.Table]) -> int:
    """Writes the first rows of some tables to standard output, aligned; gives how many more there are."""
    columns: dict[str, list[object]] = {}
    shown = rows = 0
    for table in tables:
        page = table.slice(0, PAGE_ROWS - shown)
        for name, cells in page.to_pydict().items():
            columns.setdefault(name, []).extend(cells)
        shown += page.num_rows
        rows += table.num_rows
    write_text(text_table(columns) if shown else "none\n")
    return rows - shown


def write_json_rows(tables: Iterable[pa.Table]) -> None:
    """Writes the rows of some tables to standard output, as they come: one JSON array of objects, in one line."""
    separator = b""
    with standard_output() as out:
        out.write(b"[")
        for table in tables:
            for record in _records(table):
                out.write(separator + record)
                separator = b", "
        out.write(b"]\n")


def write_object(value: Any) -> None:
    """Writes a JSON document to standard output, in one line: what a scheduler appends to a file is JSON Lines."""
    import json  # as above

    write_text(json.dumps(value, ensure_ascii=False) + "\n")


def write_text(text: str) -> None:
    """Writes to standard output, in UTF-8 whatever the locale says."""
    with standard_output() as out:
        out.write(text.encode())


def print_rows(rows: list[dict[str, object]], as_json: bool = False) -> None:
    if as_json:
        write_object(rows)
    elif rows:
        write_text(text_table({name: [row[name] for row in rows] for name in rows[0]}))
    else:
        write_text("none\n")


def print_after_commit(summary: dict[str, object]) -> None:
    """Prints what a run did. That this cannot be printed changes nothing of what it did, nor the exit code."""
    try:
        write_object(summary)
    except UsageError as error:
        say([f"flowlog: {error}; what was done is done"])
