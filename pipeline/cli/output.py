"""Where results go, and how programs get them: JSON, JSON Lines, CSV and Parquet. `table` and `pages` are for people."""

from __future__ import annotations

import io
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.cli.table import text_table
from pipeline.errors import UsageError
from pipeline.scalars import printable

if TYPE_CHECKING:
    import pyarrow as pa

_CHUNK_ROWS = 65_536


def say(lines: Iterable[str]) -> None:
    """Writes lines to standard error, beside a command's results."""
    for line in lines:
        sys.stderr.write(printable(line) + "\n")


def _write_json(tables: Iterable[pa.Table], out: IO[bytes]) -> None:
    _write_array(_records_of(tables), out, b"[\n ", b",\n ", b"\n]")
    out.write(b"\n")


def _write_array(
    values: Iterable[bytes], out: IO[bytes], start: bytes = b"[", between: bytes = b", ", end: bytes = b"]"
) -> None:
    """Writes a JSON array of values as they come; nothing where the first of them cannot be had."""
    before, behind = start, b"[]"
    for value in values:
        out.write(before + value)
        before, behind = between, end
    out.write(behind)


def _write_json_lines(tables: Iterable[pa.Table], out: IO[bytes]) -> None:
    out.writelines(record + b"\n" for record in _records_of(tables))


def _records_of(tables: Iterable[pa.Table]) -> Iterator[bytes]:
    """The rows as JSON objects, some at a time, so that a large answer need not be in memory as Python values."""
    import json  # only here and below: tables and CSV start faster without it

    for table in tables:
        for batch in table.to_batches(max_chunksize=_CHUNK_ROWS):
            for record in batch.to_pylist():
                yield json.dumps(record, ensure_ascii=False).encode()


def _write_csv(tables: Iterable[pa.Table], out: IO[bytes]) -> None:
    import pyarrow.csv as pa_csv  # only here: the other formats start faster without it

    _write_all(
        tables, lambda schema: pa_csv.CSVWriter(out, schema, write_options=pa_csv.WriteOptions(quoting_style="needed"))
    )


def _write_parquet(tables: Iterable[pa.Table], out: IO[bytes]) -> None:
    import pyarrow.parquet as pq

    _write_all(tables, lambda schema: pq.ParquetWriter(out, schema))


def _write_all(tables: Iterable[pa.Table], writer_for: Callable[[pa.Schema], Any]) -> None:
    tables = iter(tables)
    first = next(tables)
    with writer_for(first.schema) as writer:
        for table in chain([first], tables):
            if table.num_rows:
                writer.write_table(table)


_WRITERS: dict[str, Callable[[Iterable[pa.Table], IO[bytes]], None]] = {
    "json": _write_json,
    "jsonl": _write_json_lines,
    "csv": _write_csv,
    "parquet": _write_parquet,
}

#: The values of `--format` of `query` and `sql`.
OUTPUT_FORMATS = ("table", *_WRITERS)
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


def written_as(output_format: str | None, target: Path | None, *, as_json: bool) -> str:
    """The format that `--format`, `--output` and `--json` ask for.

    Raises:
        UsageError: They contradict each other, or the name of the file asks for no format.
    """
    if as_json and output_format not in (None, "json"):
        raise UsageError(f"--json is short for --format json, and contradicts --format {output_format}")
    return "json" if as_json else output_format or format_of(target)


def write_rows(tables: Iterable[pa.Table], output_format: str, target: Path | None) -> bool:
    """Writes a query's rows for programs, as they come: exact and complete.

    Args:
        tables: What `query.each_table` gives. JSON has the flow record's fields alone, as the service gives them; the
            other formats have `flows` as well.
        output_format: One of `OUTPUT_FORMATS`, but not a table.
        target: A file; None for standard output.

    Returns:
        Whether there are any.

    Raises:
        UsageError: The file cannot be written, or bytes would go to a terminal.
    """
    from pipeline.schema import COUNT  # imports Arrow, which a summary does without

    if output_format in ("json", "jsonl"):
        tables = (table.drop_columns(COUNT) for table in tables)
    return write_all(tables, output_format, target)


def write_all(tables: Iterable[pa.Table], output_format: str, target: Path | None) -> bool:
    """The same for rows of any kind, with all their columns."""
    if target is None and output_format == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is no text for a terminal; name a file with --output, or redirect")
    tables = iter(tables)
    first = _until_rows(tables)  # before a file is opened: a store that is damaged there leaves none behind
    with _opened(target) as out:
        _WRITERS[output_format](chain(first, tables), out)
    return bool(first[-1].num_rows)


def _until_rows(tables: Iterator[pa.Table]) -> list[pa.Table]:
    """Takes tables up to the first that has rows."""
    taken = []
    for table in tables:
        taken.append(table)
        if table.num_rows:
            break
    return taken


@contextmanager
def _opened(target: Path | None) -> Iterator[IO[bytes]]:
    if target is None:
        with standard_output() as out:
            yield out
        return
    try:
        with target.open("wb") as file:
            try:
                yield file
            except BaseException:
                _empty(file)
                raise
    except OSError as error:
        raise UsageError(f"cannot write {target}: {error.strerror}") from None


def _empty(file: io.BufferedWriter) -> None:
    """Leaves nothing of what was written: half of an answer would look like a whole one."""
    with suppress(OSError):  # a pipe keeps what it has got
        file.raw.truncate(0)  # where the disk is full, this makes room for what still waits to be written
        file.truncate(0)


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
    with standard_output() as out:
        _write_array(_records_of(tables), out)
        out.write(b"\n")


def write_object_with_rows(value: dict[str, Any], name: str, tables: Iterable[pa.Table]) -> None:
    """Writes a JSON object to standard output, in one line; the rows of some tables are the array that is its last member."""
    import json  # as above

    with standard_output() as out:
        out.write(f"{json.dumps(value, ensure_ascii=False)[:-1]}, {json.dumps(name)}: ".encode())
        _write_array(_records_of(tables), out)
        out.write(b"}\n")


def write_object(value: Any) -> None:
    """Writes a JSON document to standard output, in one line: what a scheduler appends to a file is JSON Lines."""
    import json  # as above

    write_text(json.dumps(value, ensure_ascii=False) + "\n")


def write_objects(values: Iterable[Any]) -> None:
    """Writes JSON documents to standard output, as they come: one array, in one line."""
    import json  # as above

    with standard_output() as out:
        _write_array((json.dumps(value, ensure_ascii=False).encode() for value in values), out)
        out.write(b"\n")


def write_text(text: str, target: Path | None = None) -> None:
    """Writes to a file, or to standard output; in UTF-8 whatever the locale says."""
    with _opened(target) as out:
        out.write(text.encode())


def print_rows(rows: Iterable[Mapping[str, object]], as_json: bool = False) -> None:
    """Writes rows to standard output, aligned or as a JSON array; all have the same columns."""
    if as_json:
        write_objects(rows)
        return
    columns = defaultdict[str, list[object]](list)
    for row in rows:
        for name, cell in row.items():
            columns[name].append(cell)
    write_text(text_table(columns) if columns else "none\n")


def print_after_commit(summary: dict[str, object]) -> None:
    """Prints what a run did. That this cannot be printed changes nothing of what it did, nor the exit code."""
    try:
        write_object(summary)
    except UsageError as error:
        say([f"flowlog: {error}; what was done is done"])
