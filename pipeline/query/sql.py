"""Questions in SQL, answered by DuckDB over the store's files. A question reads the store and nothing else, and changes nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pyarrow as pa

from pipeline.errors import StoreDamaged, UsageError
from pipeline.query.views import pattern_of, text_of, views
from pipeline.scalars import command_line, is_utf8, real_path
from pipeline.store.layout import Locations

_KIND = re.compile(r"[\w ]+ Error: ")
_EXPLAIN = "EXPLAIN "


def run_sql(store: Locations, text: str) -> pa.Table:
    """Answers a question in SQL.

    Args:
        store: The store.
        text: One statement that selects, over `views.views`.

    Returns:
        The rows. Where DuckDB has 128 bits, as for sums, the column is int64 if its numbers fit; names that are there twice are
        told apart by a number.

    Raises:
        UsageError: The statement cannot be carried out; the sentence says where it is wrong.
        StoreDamaged: A file of the store cannot be read.
    """
    if not is_utf8(text) or "\0" in text:
        raise UsageError("SQL: the statement must be valid UTF-8, without a NUL")
    with _on_disk(store) as found, _connected(found) as connection:
        _check(connection, found, text)
        with _explained(found, text):
            return _with_names(_in_int64(connection.sql(text).to_arrow_table()))


@contextmanager
def _on_disk(store: Locations) -> Iterator[Locations]:
    """The store, by its real path; of one in a bucket, a copy of what the views read: DuckDB itself reads no bucket."""
    if isinstance(store.root, Path):
        yield Locations(real_path(store.root), store.files)
        return

    def copy(source: str, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            target.write_bytes(store.files.read(source))

    with TemporaryDirectory(prefix="flowlog-") as scratch, ThreadPoolExecutor(store.files.threads) as pool:
        for part in (store.flows, store.rejects, store.runs):
            names = list(store.files.sizes(part))
            list(pool.map(copy, [f"{part}/{name}" for name in names], [Path(scratch, part.name, name) for name in names]))
        try:
            yield Locations(Path(scratch))
        except StoreDamaged as error:  # which names the copy
            raise StoreDamaged(store.name, error.problem.replace(scratch, store.name), error.advice) from None


@contextmanager
def _connected(store: Locations) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB that has the store's views, and no way to anything else."""
    allowed = [
        form
        for folder in (store.flows, store.rejects, store.runs)
        for form in (text_of(str(folder)), pattern_of(folder, ""))
    ]
    with TemporaryDirectory(prefix="flowlog-") as scratch, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = {text_of(scratch)}")  # it would be `.tmp` in the current folder
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET errors_as_json = true")
        connection.execute("SET python_enable_replacements = false")  # or names of Python's variables would be tables
        with _explained(store, ""):  # each view looks at its first file
            for name, query in views(store).items():
                connection.execute(f"CREATE VIEW {name} AS {query}")
        connection.execute(f"SET allowed_directories = [{', '.join(allowed)}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        yield connection


def _check(connection: duckdb.DuckDBPyConnection, store: Locations, text: str) -> None:
    """Refuses what does more than to read.

    A statement that starts with WITH may write files by COPY since DuckDB 2.0, in the folders that are allowed too. As the
    argument of `query` it may not: that takes one statement which selects, and in which a COPY is an error.
    """
    with _explained(store, text):
        statements = connection.extract_statements(text)
    kinds = [statement.type for statement in statements]
    if kinds == [duckdb.StatementType.SELECT]:
        query = statements[0].query
        with _explained(store, text, shift=len(_EXPLAIN) - len(text[: text.find(query)].encode())):
            connection.execute(_EXPLAIN + query)  # names and types, of which `query` does not say where they are wrong
    with _explained(store, ""):
        connection.execute(f"EXPLAIN FROM query({text_of(text)})")


@contextmanager
def _explained(store: Locations, text: str, shift: int = 0) -> Iterator[None]:
    """Says what is wrong with a statement, and where, as far as DuckDB knows the place in the text.

    Args:
        store: The store.
        text: The statement; "" where DuckDB's places are those of another text.
        shift: How many bytes DuckDB has before it.
    """
    try:
        yield
    except duckdb.Error as error:
        message, position = _parsed(str(error))
        if str(store.root) in message and isinstance(error, duckdb.IOException | duckdb.InvalidInputException):
            advice = f"see what {command_line('verify', store=store.root)} says"
            raise StoreDamaged(str(store.root), message, advice) from None
        if isinstance(error, duckdb.PermissionException):
            message += "; this reads the store's views alone"
        place = _place(text.encode()[: position - shift]) if text and position is not None else ""
        raise UsageError(f"SQL: {message}{place}") from None


def _parsed(error: str) -> tuple[str, int | None]:
    """DuckDB's sentences, in a line, and the place in bytes."""
    said = _KIND.sub("", error, count=1)
    try:
        found = json.loads(said)
    except ValueError:
        found = {"exception_message": said.partition("\n\nLINE ")[0]}
    first, *others = str(found["exception_message"]).splitlines() or [""]
    hints = [line for line in others if line.startswith(("Did you mean", "Candidate bindings"))]
    place = found.get("position")
    return "; ".join([first, *hints]), None if place is None else int(place)


def _place(before: bytes) -> str:
    *lines, last = before.decode(errors="ignore").split("\n")
    return f" (line {len(lines) + 1}, column {len(last) + 1})"


def _in_int64(rows: pa.Table) -> pa.Table:
    for position, field in enumerate(rows.schema):
        if pa.types.is_decimal(field.type) and field.type.scale == 0:
            try:
                column = rows.column(position).cast(pa.int64())
            except pa.ArrowInvalid:  # a number that does not fit
                continue
            rows = rows.set_column(position, field.name, column)
    return rows


def _with_names(rows: pa.Table) -> pa.Table:
    """Names of their own for all columns, as DuckDB gives them to those of a subquery."""
    names: list[str] = []
    for name in rows.column_names:
        number, unique = 0, name
        while unique in names:
            number += 1
            unique = f"{name}_{number}"
        names.append(unique)
    return rows.rename_columns(names)
