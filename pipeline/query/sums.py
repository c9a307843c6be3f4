"""Sums of sums by any columns of their key, and which rows, in which order: what a query needs, in Arrow alone.

A query starts without numpy and without the kernel; `counting.totals` has what a run needs.

Arrow's functions are called by their names, which stand in its documentation, and not as `pyarrow.compute` and
`Table.group_by` have them: at their import these make a documented function of Python for each of hundreds, and bring the
data sets and their file systems along. That takes longer than a range of hours its answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import pyarrow as pa
from pyarrow._acero import AggregateNodeOptions, Declaration, TableSourceNodeOptions
from pyarrow._compute import CastOptions, MatchSubstringOptions, SetLookupOptions, SortOptions, call_function

from pipeline.errors import SumOverflow, UsageError
from pipeline.hours import period_of
from pipeline.scalars import INT64_MAX
from pipeline.schema import COUNT, KEY, SUMS, TOTAL_BYTES, TOTALS_SCHEMA


def merge(totals: Iterable[pa.Table], by: Sequence[str] = KEY, summed: Sequence[str] = (*SUMS, COUNT)) -> pa.Table:
    """Sums totals by their key. Associative and commutative.

    Args:
        totals: Tables with `schema.TOTALS_SCHEMA`; the text of all or of none is dictionary-encoded, and so is the result's.
        by: The columns of the key that are kept; the sums run over the others.
        summed: The columns of int64 that are summed; none of their values is negative.

    Returns:
        One row for each distinct `by`: those columns, and the sums.

    Raises:
        SumOverflow: A sum does not fit into int64.
    """
    tables = [table.select([*by, *summed]) for table in totals]
    table, texts = _in_ranks(pa.concat_tables(tables or [TOTALS_SCHEMA.empty_table().select([*by, *summed])]))
    if all(_cannot_wrap(table.column(name)) for name in summed):
        return _with_texts(_group(table, by, summed), texts)
    # Arrow's sum of integers wraps silently; its sum of decimals has room for 2**63 sums of int64.
    grouped = _with_texts(_group(_cast(table, summed, pa.decimal128(38)), by, summed), texts)
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
        table = table.set_column(table.column_names.index(name), name, _to(table.column(name), type_))
    return table


def _to(column: pa.ChunkedArray, type_: pa.DataType) -> pa.ChunkedArray:
    return call_function("cast", [column], CastOptions.safe(type_))


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
        table: The columns of text may be dictionary-encoded: each distinct text is then compared once.
        filters: Each some columns and some texts: one of the columns must have one of the texts, in which `*` stands for any
            text, and `\*` for a `*`.
    """
    either, both = (
        partial(reduce, lambda one, other, name=name: call_function(name, [one, other])) for name in ("or", "and")
    )
    masks = (either([_rows_of(table.column(name), texts) for name in columns]) for columns, texts in filters)
    return call_function("filter", [table, both(masks)])


def literally(text: str) -> str:
    """A text as a filter that only this text passes."""
    return text.replace("*", r"\*")


def literally_meant(text: str) -> str:
    """The one text that passes a filter in which no `*` stands for any text: what `literally` was given."""
    return text.replace(r"\*", "*")


def _rows_of(column: pa.ChunkedArray, texts: Sequence[str]) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return _is_one_of(column, texts)
    masks = [_take(_is_one_of(chunk.dictionary, texts), chunk.indices) for chunk in column.chunks]
    return pa.chunked_array(masks, pa.bool_())


def _is_one_of(column: pa.Array | pa.ChunkedArray, texts: Sequence[str]) -> pa.Array | pa.ChunkedArray:
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


def with_periods(table: pa.Table, periods: Sequence[str]) -> pa.Table:
    """Adds columns with the "day" or the "month" of each row's hour, as dictionary-encoded text."""
    for period in periods:
        hours = call_function("dictionary_encode", [table.column("hour").combine_chunks()])
        texts = [period_of(hour, period) for hour in hours.dictionary.to_pylist()]
        distinct = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        places = _take(pa.array([distinct[text] for text in texts], pa.int32()), hours.indices)
        table = table.append_column(period, pa.DictionaryArray.from_arrays(places, pa.array(list(distinct), pa.string())))
    return table


def total_of(column: pa.ChunkedArray) -> int:
    """What int64 values that are not negative add up to, beyond 64 bits too."""
    if not _cannot_wrap(column):
        column = _to(column, pa.decimal128(38))
    return int(call_function("sum", [column]).as_py() or 0)


def total_bytes(table: pa.Table) -> pa.ChunkedArray:
    """Both directions together, in a type that has room for two sums of int64."""
    wide = _cast(table, SUMS, pa.decimal128(19))
    return call_function("add", [wide.column(name) for name in SUMS])


def bytes_of(totals: pa.Table, by: Sequence[str]) -> pa.ChunkedArray:
    """Both directions together, as int64.

    Raises:
        SumOverflow: They do not fit, for a row that `by` names.
    """
    table = totals.select(list(by)).append_column(TOTAL_BYTES, _to(total_bytes(totals), pa.decimal128(38)))
    _refuse_overflow(table, by, TOTAL_BYTES)
    return _to(table.column(TOTAL_BYTES), pa.int64())


def sort_totals(totals: pa.Table, by: Sequence[str] = KEY) -> pa.Table:
    """The rows sorted by their key, text by its UTF-8 bytes: the store's order."""
    return sort_rows(totals, [(name, "ascending") for name in by]).combine_chunks()


def sort_rows(table: pa.Table, order: Sequence[tuple[str, str]]) -> pa.Table:
    """Rows sorted by columns, each "ascending" or "descending"; dictionary-encoded text stays so.

    Not by `Table.sort_by`: that starts Arrow's pool of threads, as filtering by an expression and Parquet's `pre_buffer` do,
    and of the processes that end right behind it, as a query does, one in a hundred was aborted ("terminate called").
    """
    table, texts = _in_ranks(table)
    return _with_texts(_take(table, call_function("sort_indices", [table], SortOptions(list(order)))), texts)


def _take(values: Any, indices: pa.Array) -> Any:
    return call_function("take", [values, indices])


def _encoded_columns(table: pa.Table) -> list[tuple[int, str]]:
    """The places and names of the columns of dictionary-encoded text."""
    return [(place, field.name) for place, field in enumerate(table.schema) if pa.types.is_dictionary(field.type)]


def _in_ranks(table: pa.Table) -> tuple[pa.Table, dict[str, pa.Array]]:
    """Numbers for dictionary-encoded text, which sort and group as the text does; and the sorted texts of each such column."""
    sorted_texts = {}
    ascending = SortOptions([("", "ascending")])
    for place, name in _encoded_columns(table):
        column = table.column(name).combine_chunks()  # with one dictionary
        order = call_function("sort_indices", [column.dictionary], ascending)
        ranks = call_function("cast", [call_function("sort_indices", [order], ascending)], CastOptions.safe(pa.int32()))
        sorted_texts[name] = _take(column.dictionary, order)
        table = table.set_column(place, name, _take(ranks, column.indices))
    return table, sorted_texts


def _with_texts(table: pa.Table, texts: Mapping[str, pa.Array]) -> pa.Table:
    for name, dictionary in texts.items():
        column = pa.DictionaryArray.from_arrays(table.column(name).combine_chunks(), dictionary)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def with_own_texts(table: pa.Table) -> pa.Table:
    """The same rows without the dictionary-encoded texts that no row has: what is kept of a few rows is then small."""
    for place, name in _encoded_columns(table):
        column = table.column(name).combine_chunks()
        used = call_function("dictionary_encode", [column.indices])
        texts = _take(column.dictionary, used.dictionary)
        table = table.set_column(place, name, pa.DictionaryArray.from_arrays(used.indices, texts))
    return table


#: Rows whose text is decoded into one array: Arrow's text has at most 2 GiB in an array.
_DECODED_ROWS = 65_536


def decoded(table: pa.Table) -> pa.Table:
    """The same rows without dictionary-encoded text."""
    for place, name in _encoded_columns(table):
        texts = [
            _take(chunk.dictionary, chunk.indices.slice(start, _DECODED_ROWS))
            for chunk in table.column(name).chunks
            for start in range(0, len(chunk), _DECODED_ROWS)
        ]
        table = table.set_column(place, name, pa.chunked_array(texts, pa.string()))
    return table
