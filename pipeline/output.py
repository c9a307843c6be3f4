"""How results look: aligned text for people; JSON, JSON Lines, CSV and Parquet for programs."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.hours import hour_to_text
from pipeline.schema import COUNT

_CHUNK_ROWS = 65_536
#: C0 and C1 control characters, and what reorders text: a name must not move the cursor or recolour a terminal.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text with its control characters escaped, safe to print on a terminal."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def text_table(rows: pa.Table) -> str:
    """Rows as aligned text: numbers to the right with thousands separators, an hour with its time beside it."""
    columns = {name: rows.column(name).to_pylist() for name in rows.column_names}
    if "hour" in columns:
        times = [hour_to_text(hour) for hour in columns["hour"]]
        columns = {
            "hour": [str(hour) for hour in columns["hour"]],
            "time": times,
            **{n: c for n, c in columns.items() if n != "hour"},
        }
    is_number = {name: all(isinstance(cell, int) for cell in cells) and bool(cells) for name, cells in columns.items()}
    cells = [
        [name, *(f"{cell:,}" if is_number[name] else printable(str(cell)) for cell in column)]
        for name, column in columns.items()
    ]
    widths = [max(map(len, column)) for column in cells]
    justify: list[Callable[[str, int], str]] = [str.rjust if is_number[name] else str.ljust for name in columns]
    lines = (
        "  ".join(just(cell, width) for just, cell, width in zip(justify, line, widths, strict=True)).rstrip()
        for line in zip(*cells, strict=True)
    )
    return "\n".join(lines) + "\n"


def _write_table(rows: pa.Table, out: IO[bytes]) -> None:
    text = text_table(rows) if rows.num_rows else "nothing\n"
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
    if output_format in ("json", "jsonl"):
        rows = rows.drop_columns(COUNT)
    if target is None and output_format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal; name a file with --output, or redirect")
    with _opened(target) as out:
        _WRITERS[output_format](rows, out)


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        yield sys.stdout.buffer
        return
    try:
        with target.open("wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from None


def write_object(value: Any) -> None:
    """Writes a JSON document to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
