"""Tables for people: aligned text, as wide as the terminal at the most, with what is not shown and the total below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from unicodedata import bidirectional

from pipeline.hours import hour_to_text
from pipeline.scalars import printable
from pipeline.widths import columns_of, cut

#: Between two columns.
_GAP = "  "
#: Names are cut down to so many columns of the terminal before a column is left out instead.
_SHORTEST_NAME = 10
#: What a narrow terminal does without, in this order: first the hour's number, beside which its time stands.
_DISPENSABLE = ("hour", "flows", "time", "share")


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        name: What stands above it.
        cells: A text for each row.
        is_number: Whether the texts stand to the right.
        is_name: Whether the texts may be cut in their middle.
    """

    name: str
    cells: Sequence[str]
    is_number: bool = False
    is_name: bool = False

    @property
    def width(self) -> int:
        return max(map(columns_of, (self.name, *self.cells)))


class Foot(NamedTuple):
    """A line below a table: a label, and a cell for each column of numbers, by the column's name."""

    label: str
    cells: Mapping[str, str]


def text_table(columns: Mapping[str, Sequence[object]]) -> str:
    """Rows as aligned text: numbers to the right with thousands separators, an hour with its time beside it.

    Args:
        columns: The cells of each column, by its name; at least one row.
    """
    return aligned(list(_columns(columns)))


def name_columns(columns: Mapping[str, Sequence[object]]) -> list[Column]:
    """The columns of a key: names, which may be cut, and times."""
    return [column._replace(is_name=column.name.endswith(("app", "id"))) for column in _columns(columns)]


def _columns(columns: Mapping[str, Sequence[object]]) -> Iterable[Column]:
    for name, cells in sorted(columns.items(), key=lambda column: column[0] != "hour"):
        # An hour is more of a name.
        is_number = name != "hour" and bool(cells) and all(isinstance(cell, int) for cell in cells)
        yield Column(name, [f"{cell:,}" if is_number else printable(str(cell)) for cell in cells], is_number)
        if name == "hour" and "time" not in columns:
            yield Column("time", [hour_to_text(int(str(hour))) for hour in cells])


def aligned(columns: Sequence[Column], feet: Sequence[Foot] = (), width: int | None = None) -> str:
    """Columns as lines of text.

    Args:
        columns: The columns; those of numbers come last, if there are feet.
        feet: Lines below the rows. Their labels stand below the columns that are no numbers.
        width: The columns of the terminal, within which the lines stay; None for a file, which has room.
    """
    if width is not None:
        columns = [_isolated(column) for column in _fitted(columns, feet, width)]
    numbers = [column for column in columns if column.is_number and feet]
    names = [column for column in columns if not (column.is_number and feet)]
    left = [_GAP.join(cells) for cells in zip(*map(_padded, names), strict=True)] + [foot.label for foot in feet]
    across = max(map(columns_of, left))
    left = [line + " " * (across - columns_of(line)) for line in left]
    below = [column._replace(cells=[*column.cells, *(foot.cells[column.name] for foot in feet)]) for column in numbers]
    table = [_GAP.join(cells).rstrip() for cells in zip(left, *map(_padded, below), strict=True)]
    return "".join(f"{cut(line, width) if width else line}\n" for line in table)


def _padded(column: Column) -> list[str]:
    """A column's name and its cells, all of one width."""
    texts, width = [column.name, *column.cells], column.width
    padding = [" " * (width - columns_of(text)) for text in texts]
    return [pad + text if column.is_number else text + pad for text, pad in zip(texts, padding, strict=True)]


def left_out(columns: Sequence[Column], feet: Sequence[Foot], width: int) -> list[str]:
    """The columns for which a terminal has no room, and the text that stands in all their rows; an hour's number has its time."""
    kept = _kept(columns, feet, width)
    return [_in_short(column) for column in columns if column not in kept and column.name != "hour"]


def _in_short(column: Column) -> str:
    is_same = len(set(column.cells)) == 1 and not column.is_number
    return f"{column.name} ({column.cells[0]})" if is_same else column.name


def _kept(columns: Sequence[Column], feet: Sequence[Foot], width: int) -> list[Column]:
    """The columns that a terminal has room for. Digits are never cut: what is left of a number is another number."""
    kept = list(columns)
    for dispensable in (*_DISPENSABLE, *(column.name for column in reversed(columns) if column.is_number)):
        shortest = width if dispensable == "hour" else _SHORTEST_NAME  # no name is cut for the hour's sake
        if _least(kept, feet, shortest) <= width:
            break
        kept = [column for column in kept if column.name != dispensable or len(kept) == 1]
    return kept


def _least(columns: Sequence[Column], feet: Sequence[Foot], shortest: int) -> int:
    """How wide a table is if its names are cut to so many columns of the terminal."""
    texts = [min(column.width, shortest) if column.is_name else column.width for column in columns if not column.is_number]
    left = max([sum(texts) + len(_GAP) * (len(texts) - 1), *(columns_of(foot.label) for foot in feet)])
    return left + sum(len(_GAP) + _width(column, feet) for column in columns if column.is_number)


def _fitted(columns: Sequence[Column], feet: Sequence[Foot], width: int) -> list[Column]:
    """The columns that a terminal has room for, their names cut if need be."""
    kept = _kept(columns, feet, width)
    room = width - len(_GAP) * (len(kept) - 1) - sum(_width(column, feet) for column in kept if not column.is_name)
    widths = _shared_out(room, {column.name: column.width for column in kept if column.is_name})
    return [_cut_column(column, widths[column.name]) if column.is_name else column for column in kept]


def _width(column: Column, feet: Sequence[Foot]) -> int:
    return max(column.width, *(columns_of(foot.cells.get(column.name, "")) for foot in feet), 0)


def _shared_out(room: int, wanted: Mapping[str, int]) -> dict[str, int]:
    """Widths that fit into some room: the narrow columns get what they want, the wide ones share the rest alike."""
    widths = {}
    for place, name in enumerate(sorted(wanted, key=wanted.__getitem__)):
        widths[name] = max(1, min(wanted[name], room // (len(wanted) - place)))
        room -= widths[name]
    return widths


def _cut_column(column: Column, width: int) -> Column:
    return column._replace(name=cut(column.name, width), cells=[cut(cell, width) for cell in column.cells])


def _isolated(column: Column) -> Column:
    """Keeps letters that are written from right to left from moving the cells beside them (Unicode Standard Annex 9)."""
    return column._replace(cells=[f"\u2068{cell}\u2069" if _is_leftward(cell) else cell for cell in column.cells])


def _is_leftward(text: str) -> bool:
    return not text.isascii() and any(bidirectional(letter) in ("R", "AL", "AN") for letter in text)
