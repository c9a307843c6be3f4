"""What a reader gives: batches of records, each with its way back to the raw row.

A batch moves through the program and keeps its promise at every step: `read` = rows still in it + rejected + ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.kernel.numbers import distinct
from pipeline.scalars import MAX_VALUE_BYTES, shortened
from pipeline.schema import FLOW_SCHEMA

RowNumbers = npt.NDArray[np.int64]
Integers = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
#: The memory of a reject, beside its texts.
REJECT_BYTES = 256
#: Why records are left out, in the words of all formats.
OTHER_EVENT, REPEATED, OTHER_REPORTER = "other kind of event", "repeated record", "other reporter"
DENIED, NO_TRAFFIC, LOST, CONTROL = "denied", "no traffic", "lost by the source", "control message"
#: What is left out for one of these reasons is traffic, whose bytes are told; the others' bytes are none, or mean something else.
OF_TRAFFIC = frozenset({REPEATED, OTHER_REPORTER, DENIED})
#: The rule that a null breaks.
MISSING = "must not be missing"


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be counted, and why.

    Attributes:
        row: Its number in the file (see `Batch.rows`).
        field: The column that breaks a rule; "" if the row as a whole does.
        rule: The rule that it breaks, as in "must be an integer".
        value: The offending cell as text, cut where it is long; "" if there is none.
        raw: The row as it stands in the file, cut where it is long.
    """

    row: int
    field: str
    rule: str
    value: str
    raw: str

    def __str__(self) -> str:
        where = f"row {self.row}: " + (f"{self.field} " if self.field else "")
        return f"{where}{self.rule}" + (f", not {self.value!r}" if self.value else "")


@dataclass(frozen=True)
class Fault:
    """Cells that break a rule.

    Attributes:
        column: The column that they are in, under the name that the file gives it.
        rule: The rule, as a user will read it.
        bad: Marks them, one for each row of a batch.
        cells: The column, to show them; bytes or values.
    """

    column: str
    rule: str
    bad: Mask
    cells: pa.Array | pa.ChunkedArray


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The records that were left out on purpose for one reason.

    Attributes:
        rows: Their row numbers.
        sizes: The bytes of each, sent and received together; 0 where they are unknown.
    """

    rows: RowNumbers
    sizes: Integers

    @classmethod
    def of(cls, rows: RowNumbers) -> LeftOut:
        """Records whose bytes are unknown."""
        return cls(rows, np.zeros(len(rows), np.int64))

    def __len__(self) -> int:
        return len(self.rows)

    def and_of(self, more: LeftOut) -> LeftOut:
        """These and others, behind them."""
        return LeftOut(np.concatenate([self.rows, more.rows]), np.concatenate([self.sizes, more.sizes]))


_NOTHING = LeftOut.of(np.empty(0, np.int64))


@dataclass(frozen=True)
class Batch:
    """Some records of a source, or of several sources whose lines were gathered in one block.

    Attributes:
        table: Their columns. What they are depends on the stage: a format's own columns first, then the flow record's.
        rows: One row number for each row of `table`: the line on which the record starts in a text file, or in a gathered block;
            its number in Parquet and in JSON that is not one record a line (see `syntax.jsonrecords`). All count from 1.
        raw_of: Gives the raw text of a row, from its row number.
        rejects: The records that were found unfit so far.
        left_out: The records that were left out on purpose, by reason.
        raw_bytes: The memory that is kept for `raw_of`.
        notes: The row numbers of records of which a user should know something, whether they are still in or not: by what that
            is, as the end of a sentence that begins with how many rows it is ("have no …").
        marks: What else is known of each row of `table`, in columns of its own; None where that is nothing.
        hops: The interfaces of `--hop` that reported some of the records, in small letters.
    """

    table: pa.Table
    rows: RowNumbers
    raw_of: Callable[[int], str]
    rejects: Sequence[Reject] = ()
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    raw_bytes: int = 0
    notes: Mapping[str, RowNumbers] = field(default_factory=dict)
    marks: pa.Table | None = None
    hops: frozenset[str] = frozenset()

    @classmethod
    def without_rows(cls, rejects: Sequence[Reject] = (), left_out: Mapping[str, LeftOut] | None = None) -> Batch:
        """A batch that has no flow record: what became of other records is all that it says."""
        return cls(FLOW_SCHEMA.empty_table(), np.empty(0, np.int64), _no_raw, rejects, left_out or {})

    @property
    def read(self) -> int:
        """The number of records that the batch started with."""
        return self.table.num_rows + len(self.rejects) + sum(map(len, self.left_out.values()))

    @cached_property
    def hours(self) -> Integers:
        """The distinct hours of its flow records, in order; a record without one has the hour 0."""
        column = self.table.column("hour")
        return distinct((column.fill_null(0) if column.null_count else column).to_numpy())

    @property
    def noted(self) -> dict[str, RowNumbers]:
        """The row numbers of the records that are still in and have a note, by note."""
        noted = {note: rows if rows is self.rows else rows[np.isin(rows, self.rows)] for note, rows in self.notes.items()}
        return {note: rows for note, rows in noted.items() if len(rows)}

    @property
    def nbytes(self) -> int:
        """The memory that it takes, about: texts that it shares with others are counted as its own."""
        rejects = sum(REJECT_BYTES + len(reject.value) + len(reject.raw) for reject in self.rejects)
        marks = 0 if self.marks is None else self.marks.nbytes
        return self.table.nbytes + marks + self.raw_bytes + rejects

    def without_raw(self) -> Batch:
        """The same without the raw text, for a batch of which no row will be rejected any more."""
        return replace(self, raw_of=_no_raw, raw_bytes=0)

    def with_table(self, table: pa.Table) -> Batch:
        """The same rows with other columns."""
        return replace(self, table=table)

    def of_rows(self, kept: Mask) -> Batch:
        """Some of its rows, as the mask says, and nothing of the others."""
        return self._without(~kept, rejects=(), left_out={})

    def joined_by(self, other: Batch) -> Batch:
        """Its rows and those of another batch, which come from the same lines as its own."""
        return replace(
            self,
            table=pa.concat_tables([self.table, other.table]),
            rows=np.concatenate([self.rows, other.rows]),
            rejects=[*self.rejects, *other.rejects],
            left_out={
                reason: self.left_out.get(reason, _NOTHING).and_of(other.left_out.get(reason, _NOTHING))
                for reason in self.left_out.keys() | other.left_out.keys()
            },
            notes=_joined(self.notes, other.notes),
            marks=_joined_marks(self, other),
            hops=self.hops | other.hops,
        )

    def note(self, notes: Mapping[str, Mask]) -> Batch:
        """Notes something about the rows that are marked."""
        found = {note: self.rows if mask.all() else self.rows[mask] for note, mask in notes.items() if mask.any()}
        return replace(self, notes=_joined(self.notes, found)) if found else self

    def ignore(self, unwanted: Mapping[str, Mask], sizes: Integers | None = None) -> Batch:
        """Leaves rows out, counted under their reasons; a row that is marked for several counts under the first.

        Args:
            unwanted: The rows, by reason.
            sizes: The bytes of each row of the batch, kept where the row is left out for a reason `OF_TRAFFIC`; None where they are
                unknown.
        """
        out, left_out = np.zeros(self.table.num_rows, dtype=bool), dict(self.left_out)
        for reason, mask in unwanted.items():
            found = mask & ~out
            if found.any():
                rows = self.rows[found]
                left = LeftOut.of(rows) if sizes is None or reason not in OF_TRAFFIC else LeftOut(rows, sizes[found])
                left_out[reason] = left_out.get(reason, _NOTHING).and_of(left)
                out |= found
        return self._without(out, left_out=left_out) if out.any() else self

    def reject(self, *faults: Fault) -> Batch:
        """Rejects the rows that the faults mark, each once, for the first of its faults."""
        bad = np.zeros(self.table.num_rows, dtype=bool)
        rejects: list[Reject] = []
        for fault in faults:
            rejects += [self._reject(fault, int(i)) for i in np.flatnonzero(fault.bad & ~bad)]
            bad |= fault.bad
        return self._without(bad, rejects=[*self.rejects, *rejects]) if rejects else self

    def _reject(self, fault: Fault, position: int) -> Reject:
        row = int(self.rows[position])
        cell = fault.cells[position]
        if isinstance(cell, pa.DictionaryScalar):
            cell = cell.value
        if not cell.is_valid:
            return Reject(row, fault.column, MISSING, "", self.raw_of(row))
        return Reject(row, fault.column, fault.rule, shown_text(cell, MAX_VALUE_BYTES), self.raw_of(row))

    def _without(self, mask: Mask, **changes: object) -> Batch:
        kept = ~mask
        chosen = pa.array(kept)
        marks = None if self.marks is None else self.marks.filter(chosen)
        return replace(self, table=self.table.filter(chosen), rows=self.rows[kept], marks=marks, **changes)  # type: ignore[arg-type]


def _joined_marks(*batches: Batch) -> pa.Table | None:
    """The marks of both; where a batch has none of a kind, its rows have 0, or null for a text."""
    schemas = [batch.marks.schema for batch in batches if batch.marks is not None]
    if not schemas:
        return None
    schema = pa.unify_schemas(schemas)

    def marks_of(batch: Batch) -> pa.Table:
        count = batch.table.num_rows
        kept = batch.marks if batch.marks is not None else pa.table({})
        return pa.table(
            [
                kept.column(field.name)
                if field.name in kept.column_names
                else pa.nulls(count, field.type)
                if pa.types.is_dictionary(field.type)
                else pa.array(np.zeros(count, field.type.to_pandas_dtype()))
                for field in schema
            ],
            schema=schema,
        )

    return pa.concat_tables(map(marks_of, batches))


def _joined(these: Mapping[str, RowNumbers], others: Mapping[str, RowNumbers]) -> dict[str, RowNumbers]:
    """The row numbers of both, by what is said of them."""
    return {
        **these,
        **others,
        **{said: np.concatenate([these[said], others[said]]) for said in these.keys() & others.keys()},
    }


def _no_raw(row: int) -> str:
    raise AssertionError(f"row {row} is no record, or none that is rejected")


def exact_sum(values: Integers) -> int:
    """A sum, however large: the high and the low bits of the numbers are summed apart, and neither sum can wrap below 2**31 rows."""
    return (int((values >> 32).sum()) << 32) + int((values & 0xFFFFFFFF).sum())


def shown_text(cell: pa.Scalar, most: int) -> str:
    """A cell that is not null as text of so many bytes at most; of a long one no more is copied."""
    if not isinstance(cell, pa.BinaryScalar):  # of which those of text are kinds
        return shortened(str(cell.as_py()).encode(), most)
    return shortened(memoryview(cell.as_buffer()), most)
