"""Lines of text into typed columns."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.kernel.library import MORE_LINES, Column, Field, KernelMemory, check, kernel
from pipeline.kernel.texts import Texts
from pipeline.schema import DICTIONARY_TEXT

#: What the kernel reads -> its number in kernel.h.
_KINDS = {DICTIONARY_TEXT: 1, pa.int64(): 2, pa.float64(): 3, pa.string(): 5}
_SKIPPED, _JSON_TEXT = 0, 4
#: A longer text is not plain in a column of texts that are not dictionary-encoded.
_LONGEST_VARIED = 64
#: How JSON may write a cell, as kernel.h has it.
_IN_TEXT, _IN_FLOAT = 1, 2
#: So many columns and objects the kernel has a bit for.
_MOST_NUMBERS = 64
#: The keys have a table in the kernel, of which they take a half at most.
_MOST_KEYS = 128
#: A dictionary that has so many texts, or bytes of them, is left to the batches that have it, and a new one begun.
_MOST_TEXTS, _MOST_TEXT_BYTES = 1 << 16, 1 << 22
_ALIGNMENT = 64  # as Arrow's
#: Text of so many bytes does not fit into the processor's cache, so that to look at all of it takes a fifth of the time of parsing it.
#: What is expected to have n lines is given room for so many times n.
_LARGE, _MARGIN = 1 << 20, 1.125


@dataclass(frozen=True)
class ParsedLines:
    """What became of some lines.

    Attributes:
        columns: The cells of the plain ones.
        odd: The numbers of the others, from 0 on.
        line_count: How many lines there were.
    """

    columns: list[pa.Array]
    odd: npt.NDArray[np.int64]
    line_count: int


#: The bytes that `survey` looks for, those of the first bit first; and which of them are there where these bits are set. The bit
#: behind them is that of the letters.
_SURVEYED = b'\0\r"\xef'
_SEEN = [bytes(byte for i, byte in enumerate(_SURVEYED) if bits >> i & 1) for bits in range(1 << len(_SURVEYED))]


class Survey(NamedTuple):
    """What a look at all bytes of some text tells.

    Attributes:
        line_count: The number of lines; the last one may lack its newline.
        seen: Which bytes are there of those that decide how text is read: 0, a carriage return, a quote, 0xEF, the first of a
            byte order mark.
        has_letters: Whether an r or a w may be there, one of which is in each header of AWS.
    """

    line_count: int
    seen: bytes
    has_letters: bool


def survey(data: bytes) -> Survey:
    """Looks at all bytes once: Python would look for each of them alone, and hold its lock meanwhile."""
    seen = ctypes.c_uint8()
    line_count = kernel.survey(data, len(data), seen)
    letters, others = divmod(seen.value, len(_SEEN))
    return Survey(line_count, _SEEN[others], bool(letters))


def find_four(data: bytes, four: bytes, start: int = 0) -> int:
    """Where four bytes stand first, in this order, from an offset on; -1 where they do not: many times faster than `bytes.find`."""
    return int(kernel.find_four(data, len(data), start, four))


def lines_with(data: bytes, four: bytes) -> list[int]:
    """Where the lines start that have these four bytes somewhere."""
    return _starts(kernel.lines_with, data, four)


def lines_from(data: bytes, low: bytes, high: bytes) -> list[int]:
    """Where the lines start whose first byte is one from `low` to `high`."""
    return _starts(kernel.lines_from, data, ord(low), ord(high))


def _starts(find: Callable[..., int], data: bytes, *wanted: bytes | int) -> list[int]:
    """The offsets that the kernel finds, with room for as many: mostly there are few."""
    room = 16
    while True:
        starts = np.empty(room, np.int64)
        count = find(data, len(data), *wanted, starts.ctypes.data, room)
        if count <= room:
            return starts[:count].tolist()
        room = count


#: Where in some memory the values of a column are, their validity, and their bytes.
Place = tuple[int, int, int]


class LineParser(KernelMemory):
    """Parses lines that are alike. Not for several threads at once.

    Args:
        types: Of the columns: text (`schema.DICTIONARY_TEXT`), int64 or float64; of JSON, also string; None for cells that are not
            wanted.
        nullable: Whether cells may be missing.
        foreign: The bytes with which text is not plain, so that none of it can be parsed here; `survey` looks for them.
        shortest: The bytes of the shortest line that can be plain, with its newline: text may be all blank lines.
    """

    def __init__(self, types: Sequence[pa.DataType | None], nullable: bool, foreign: bytes, shortest: int) -> None:
        self._types = types
        self._nullable = nullable
        self._foreign = frozenset(foreign)
        self._shortest = shortest
        self._columns = (Column * len(types))()
        for column, type_ in zip(self._columns, types, strict=True):
            column.kind = _SKIPPED if type_ is None else _KINDS[type_]
        self._texts = {i: Texts() for i, type_ in enumerate(types) if type_ == DICTIONARY_TEXT}

    def parse(self, data: bytes, known: Callable[[], Survey] | None = None) -> ParsedLines | None:
        """Parses whole lines, the last of which may lack its newline. None if the text is not plain.

        Args:
            data: The lines.
            known: Gives what `survey` says of them, where that may be known.
        """
        surveyed = known() if known else survey(data)
        return self._parse(data, surveyed.line_count) if self._foreign.isdisjoint(surveyed.seen) else None

    def _parse(self, data: bytes, most_lines: int) -> ParsedLines | None:
        """Parses lines; None if there are more than so many."""
        room = min(most_lines, len(data) // self._shortest + 1)
        memory, places = self._allocate(room)
        odd = np.empty(most_lines, np.int64)
        rows, odd_count, line_count = self._call(data, most_lines, room, odd.ctypes.data)
        if rows == MORE_LINES:
            return None
        check(rows)
        return ParsedLines(self._arrays(memory, places, rows), odd[:odd_count].copy(), line_count)

    def _call(self, data: bytes, most_lines: int, room: int, odd: int) -> tuple[int, int, int]:
        """Has the kernel parse lines.

        Args:
            data: The lines.
            most_lines: There are no more, or they need not be parsed.
            room: For so many rows there is memory.
            odd: Where the kernel writes the numbers of odd lines.

        Returns:
            The number of rows, or what the kernel returns instead; how many lines are odd; how many there are.
        """
        raise NotImplementedError

    def _allocate(self, rows: int) -> tuple[pa.Buffer, dict[int, Place]]:
        """Memory for all columns, and where in it the values of each are, their validity, and their bytes."""
        size, places = 0, {}
        for i, type_ in enumerate(self._types):
            if type_ is not None:
                validity = size + _aligned((rows + 1) * _width(type_))
                data = validity + _aligned(rows * self._nullable)
                places[i] = size, validity, data
                size = data + (rows + 1) * _LONGEST_VARIED * (type_ == pa.string())
        memory = pa.allocate_buffer(size)
        for i, (values, validity, data) in places.items():
            column = self._columns[i]
            column.values = memory.address + values
            column.is_valid = memory.address + validity if self._nullable else None
            column.bytes = memory.address + data
            column.texts = self._texts[i].handle if i in self._texts else None
        return memory, places

    def _arrays(self, memory: pa.Buffer, places: dict[int, Place], rows: int) -> list[pa.Array]:
        arrays = []
        for i, (values, validity, data) in places.items():
            bits, nulls = None, 0
            if self._nullable:
                bits = pa.allocate_buffer(-(-rows // 8))
                nulls = kernel.pack_bits(memory.address + validity, rows, bits.address)
            type_ = pa.int32() if i in self._texts else self._types[i]
            is_text = type_ == pa.string()
            buffers = [bits if nulls else None, memory.slice(values, (rows + is_text) * _width(type_))]
            if is_text:
                buffers.append(memory.slice(data, rows * _LONGEST_VARIED))
            array = pa.Array.from_buffers(type_, rows, buffers, null_count=nulls)
            arrays.append(self._with_dictionary(i, array) if i in self._texts else array)
        return arrays

    def _with_dictionary(self, i: int, codes: pa.Array) -> pa.DictionaryArray:
        texts = self._texts[i]
        if len(texts) > _MOST_TEXTS or texts.nbytes > _MOST_TEXT_BYTES:
            self._texts[i] = Texts()
        return pa.DictionaryArray.from_arrays(codes, texts.texts(), safe=False)


def _width(type_: pa.DataType) -> int:
    return 4 if type_ in (DICTIONARY_TEXT, pa.int32(), pa.string()) else 8


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class DelimitedLines(LineParser):
    """Parses lines of delimited text.

    Args:
        types: One for each cell of a line.
        delimiter: A single byte.
        quoted: Whether cells may be quoted; text with a quote is then not plain, nor a text with blanks around it.
        null: What stands for "no value"; None where nothing does.
    """

    def __init__(self, types: Sequence[pa.DataType | None], delimiter: bytes, quoted: bool, null: bytes | None) -> None:
        foreign = b'\r\0"' if quoted else b"\r\0"
        super().__init__(types, nullable=null is not None, foreign=foreign, shortest=max(2, len(types)))
        self._delimiter = ord(delimiter)
        self._quoted = quoted
        self._null = null or b""

    def _call(self, data: bytes, most_lines: int, room: int, odd: int) -> tuple[int, int, int]:
        del room
        odd_count = ctypes.c_int64()
        rows = kernel.parse_delimited(
            data,
            len(data),
            self._delimiter,
            self._quoted,
            self._null,
            len(self._null),
            len(self._types),
            self._columns,
            odd,
            odd_count,
        )
        return int(rows), odd_count.value, most_lines


@dataclass(frozen=True)
class JsonColumn:
    """A column of JSON objects.

    Attributes:
        type: Text (`schema.DICTIONARY_TEXT`, or string where nearly all texts differ), int64 or float64.
        paths: Where a record may have it: the keys that lead to each place, from the outermost on.
        in_text: Whether an integer may also stand in a text; or, of a text, whether a bare integer is the text of its digits.
        in_float: Whether an integer may also have a fraction of zeros.
        as_json: Whether any value may stand there, which becomes text, as it is written.
    """

    type: pa.DataType
    paths: Sequence[Sequence[str]]
    in_text: bool = False
    in_float: bool = False
    as_json: bool = False


class JsonLines(LineParser):
    """Parses JSON objects, one a line.

    Args:
        columns: Those that are wanted; they and the objects that they are in are fewer than 64. A cell is null where its key is
            not there, nor the objects around it.
    """

    def __init__(self, columns: Sequence[JsonColumn]) -> None:
        super().__init__([column.type for column in columns], nullable=True, foreign=b"\r", shortest=len("{}\n"))
        for column, wanted in zip(self._columns, columns, strict=True):
            column.forms = _IN_TEXT * wanted.in_text | _IN_FLOAT * wanted.in_float
            column.kind = _JSON_TEXT if wanted.as_json else column.kind
        self._fields = _fields_of(columns)
        self._density = 0.0  # lines a byte, of the last large text

    def parse(self, data: bytes, known: Callable[[], Survey] | None = None) -> ParsedLines | None:
        """The same. Large text is not looked at before, which would be one more way through it: how many lines it has is guessed from
        the text before, and a line is odd that has a foreign byte.
        """
        if len(data) < _LARGE:
            return super().parse(data, known)
        parsed = self._parse_guessed(data) or super().parse(data, known)
        self._density = parsed.line_count / len(data) if parsed else 0.0
        return parsed

    def _parse_guessed(self, data: bytes) -> ParsedLines | None:
        """Parses lines in the room that is guessed; None if they are more, or so few that their cells would keep much memory for nothing."""
        guess = int(len(data) * self._density * _MARGIN)
        parsed = self._parse(data, guess)
        return parsed if parsed and 2 * parsed.line_count >= guess else None

    def _call(self, data: bytes, most_lines: int, room: int, odd: int) -> tuple[int, int, int]:
        odd_count, line_count = ctypes.c_int64(), ctypes.c_int64()
        rows = kernel.parse_json_lines(
            data,
            len(data),
            most_lines,
            len(self._types),
            self._columns,
            room,
            len(self._fields),
            self._fields,
            odd,
            odd_count,
            line_count,
        )
        return int(rows), odd_count.value, line_count.value


def _fields_of(columns: Sequence[JsonColumn]) -> ctypes.Array[Field]:
    """The keys that lead to some columns, numbered as jsonlines.c has it. They keep the texts alive whose addresses they have.

    Raises:
        ValueError: Two columns are at one place, or one is within another; or they are too many.
    """
    places = [(tuple(path), number) for number, column in enumerate(columns) for path in column.paths]
    ways = dict.fromkeys(path[:end] for path, _ in places for end in range(len(path)))
    # The record is the first object: its way is ().
    objects = {way: len(columns) + i for i, way in enumerate(sorted(ways, key=len))}
    if len({*objects, *dict(places)}) < len(objects) + len(places):
        raise ValueError(f"of {places}, two are one place, or one is within another")
    keys = [*places, *list(objects.items())[1:]]
    if len(columns) + len(objects) > _MOST_NUMBERS or len(keys) > _MOST_KEYS:
        raise ValueError(f"{len(columns)} columns, in {len(objects)} objects, are too many")
    fields = (Field * len(keys))()
    for field, (path, number) in zip(fields, keys, strict=True):
        key = path[-1].encode()
        field.key, field.key_length, field.within, field.number = key, len(key), objects[path[:-1]], number
    return fields
