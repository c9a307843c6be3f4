"""Sums of sums by any columns of their key, and which rows, in which order: what a query needs, in Arrow alone.

A query starts without numpy and without the kernel; `counting.totals` has what a run needs.

Arrow's functions are called by their names, which stand in its documentation, and not as `pyarrow.compute` and
`Table.group_by` have them: at their import these make a documented function of Python for each of hundreds, and bring the
data sets and their file systems along. That takes longer than a range of hours its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import partial, reduce

import pyarrow as pa
from pyarrow._acero import AggregateNodeOptions, Declaration, TableSourceNodeOptions
from pyarrow._compute import CastOptions, MatchSubstringOptions, SetLookupOptions, SortOptions, call_function

from pipeline.errors import SumOverflow, UsageError
from pipeline.scalars import INT64_MAX
from pipeline.schema import COUNT, KEY, SUMS, TOTALS_SCHEMA


def merge(totals: Iterable[pa.Table], by: Sequence[str] = KEY) -> pa.Table:
    """Sums totals by their key. Associative and commutative.

    Args:
        totals: Tables with `schema.TOTALS_SCHEMA`.
        by: The columns of the key that are kept; the sums run over the others.

    Returns:
        One row for each distinct `by`: those columns, and the sums.

    Raises:
        SumOverflow: A sum does not fit into int64.
    """
    summed = (*SUMS, COUNT)
    schema = pa.schema([TOTALS_SCHEMA.field(name) for name in (*by, *summed)])
    table = pa.concat_tables([schema.empty_table(), *(table.select(schema.names) for table in totals)])
    if all(_cannot_wrap(table.column(name)) for name in summed):
        return _group(table, by, summed)
    # Arrow's sum of integers wraps silently; its sum of decimals has room for 2**63 sums of int64.
    grouped = _group(_cast(table, summed, pa.decimal128(38)), by, summed)
    for name in summed:
        _refuse_overflow(grouped, by, name)
    return _cast(grouped, summed, pa.int64())


def _group(table: pa.Table, by: Sequence[str], summed: Sequence[str]) -> pa.Table:
    sums = [(name, "hash_sum", None, name) for name in summed]
    steps = [
        Declaration("table_source", TableSourceNodeOptions(table)),
        Declaration("aggregate", AggregateNodeOptions(sums, keys=list(by))),
    ]
    # Threads are used over sources, not within: the sums of small blocks are not worth handing around.
    return Declaration.from_sequence(steps).to_table(use_threads=False).select([*by, *summed])


def _cast(table: pa.Table, names: Sequence[str], type_: pa.DataType) -> pa.Table:
    for name in names:
        column = call_function("cast", [table.column(name)], CastOptions.safe(type_))
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def _cannot_wrap(column: pa.ChunkedArray) -> bool:
    """Whether the sum of the whole column, and so of any group, stays far below int64's end.

    No value is negative. A float's rounding (one part in 2**53) is nothing beside the margin.
    """
    floats = call_function("cast", [column], CastOptions.unsafe(pa.float64()))
    total = call_function("sum", [floats]).as_py() or 0.0
    return bool(total < INT64_MAX // 2)


def _refuse_overflow(grouped: pa.Table, by: Sequence[str], name: str) -> None:
    over = call_function("greater", [grouped.column(name), pa.scalar(INT64_MAX, pa.decimal128(38))])
    if rows := call_function("filter", [grouped, over]).slice(0, 1).to_pylist():
        raise SumOverflow(name, ", ".join(f"{key} {rows[0][key]!r}" for key in by))


def rows_with(table: pa.Table, filters: Iterable[tuple[Sequence[str], Sequence[str]]]) -> pa.Table:
    r"""The rows that pass all of some filters, of which there is at least one.

    Args:
        table: Its columns of text are not dictionary-encoded.
        filters: Each some columns and some texts: one of the columns must have one of the texts, in which `*` stands for any
            text, and `\*` for a `*`.
    """
    either, both = (
        partial(reduce, lambda one, other, name=name: call_function(name, [one, other])) for name in ("or", "and")
    )
    masks = (either([_is_one_of(table.column(name), texts) for name in columns]) for columns, texts in filters)
    return call_function("filter", [table, both(masks)])


def literally(text: str) -> str:
    """A text as a filter that only this text passes."""
    return text.replace("*", r"\*")


def literally_meant(text: str) -> str:
    """The text that passes a filter without a `*` that stands for any text; of `literally`, its text."""
    return text.replace(r"\*", "*")


def _is_one_of(column: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    exact = [literally_meant(text) for text in texts if not _WILD.search(text)]
    mask = call_function("is_in", [column], SetLookupOptions(pa.array(exact, pa.string()), skip_nulls=True))
    for text in texts:
        if _WILD.search(text):
            try:
                matches = call_function("match_substring_regex", [column], MatchSubstringOptions(_expression(text)))
            except pa.ArrowInvalid:
                raise UsageError(f"the filter {text[:40]!r}… is longer than any name: {len(text):,} characters") from None
            mask = call_function("or", [mask, matches])
    return mask


#: A `*` that stands for any text.
_WILD = re.compile(r"(?<!\\)\*")


def _expression(text: str) -> str:
    """A filter as a regular expression of RE2, which Arrow uses: its time grows with the text alone."""
    parts = (re.escape(part.replace(r"\*", "*")) for part in _WILD.split(text))
    return rf"(?s)\A{'.*'.join(parts)}\z"


def total_bytes(table: pa.Table) -> pa.ChunkedArray:
    """Both directions together, in a type that has room for two sums of int64."""
    wide = _cast(table, SUMS, pa.decimal128(19))
    return call_function("add", [wide.column(name) for name in SUMS])


def sort_totals(totals: pa.Table, by: Sequence[str] = KEY) -> pa.Table:
    """The rows sorted by their key, text by its UTF-8 bytes: the store's order."""
    return sort_rows(totals, [(name, "ascending") for name in by]).combine_chunks()


def sort_rows(table: pa.Table, order: Sequence[tuple[str, str]]) -> pa.Table:
    """Rows sorted by columns, each "ascending" or "descending".

    Not by `Table.sort_by`: that starts Arrow's pool of threads, as filtering by an expression and Parquet's `pre_buffer` do,
    and of the processes that end right behind it, as a query does, one in a hundred was aborted ("terminate called").
    """
    return call_function("take", [table, call_function("sort_indices", [table], SortOptions(list(order)))])
