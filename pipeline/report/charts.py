"""Where each area, cell and ribbon of a chart lies, in the units of its SVG. The template has the texts and the colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from pipeline.report.figures import Matrix, Ranked
from pipeline.report.timeline import Series

WIDTH = 960


@dataclass(frozen=True)
class Tick:
    """A mark on an axis, at `at`, for a value."""

    at: float
    value: int


@dataclass(frozen=True)
class Stack:
    """A chart of stacked areas.

    Attributes:
        areas: The outline of each app's area, and last that of the others, as an SVG path; "" for nothing.
        totals: The bytes of each period.
        slot: How wide a period is.
        ticks: Marks of round numbers of bytes.
    """

    areas: Sequence[str]
    totals: Sequence[int]
    slot: float
    ticks: Sequence[Tick]


STACK_HEIGHT = 260


def stack(series: Series) -> Stack:
    """Stacks the areas of a series, in steps: each period is as wide as another, and as high as its bytes."""
    totals = series.totals
    most = _round_above(max(totals))
    slot = WIDTH / len(totals)
    floor, areas = [0] * len(totals), []
    for values in (*series.bytes, series.other):
        ceiling = [low + value for low, value in zip(floor, values, strict=True)]
        areas.append(_steps(floor, ceiling, slot, STACK_HEIGHT / most) if any(values) else "")
        floor = ceiling
    ticks = [Tick(STACK_HEIGHT * (1 - part / 4), most * part // 4) for part in range(1, 5)]
    return Stack(areas, totals, slot, ticks)


def _steps(floor: Sequence[int], ceiling: Sequence[int], width: float, scale: float) -> str:
    """The outline between two lines of steps."""
    upper = [f"{_y(high, scale)}H{_n((place + 1) * width)}" for place, high in enumerate(ceiling)]
    lower = [f"{_y(low, scale)}H{_n(place * width)}" for place, low in reversed(list(enumerate(floor)))]
    return "M0 " + "V".join(upper) + "V" + "V".join(lower) + "Z"


def _y(value: int, scale: float) -> str:
    return _n(STACK_HEIGHT - value * scale)


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _round_above(value: int) -> int:
    """A round number that is not less, and of which a quarter is round, too."""
    size = 10 ** max(0, len(str(value)) - 2)
    return next(size * factor for factor in (4, 8, 12, 16, 20, 24, 32, 40, 60, 80, 100) if size * factor >= value)


@dataclass(frozen=True)
class Cell:
    """A pair of apps: which row and column of the matrix, its bytes, and how dark it is, from 0 to 1."""

    row: int
    column: int
    bytes: int
    shade: float


def heat(matrix: Matrix) -> list[Cell]:
    """The cells that have bytes. The shade grows with the square root: a tenth of the bytes is still seen."""
    most = max((cell for row in matrix.cells for cell in row), default=0)
    return [
        Cell(row, column, cell, (cell / most) ** 0.5)
        for row, cells in enumerate(matrix.cells)
        for column, cell in enumerate(cells)
        if cell
    ]


@dataclass(frozen=True)
class Node:
    """An app at the left or the right edge: from `y` on, so high."""

    name: str | None
    y: float
    height: float
    bytes: int


@dataclass(frozen=True)
class Ribbon:
    """A pair's way from the left to the right, as an SVG path; `place` is the pair's rank, None for all others."""

    path: str
    place: int | None
    bytes: int


@dataclass(frozen=True)
class Sankey:
    """A flow of two sides: source apps on the left, destination apps on the right, a ribbon for each pair."""

    left: Sequence[Node]
    right: Sequence[Node]
    ribbons: Sequence[Ribbon]
    height: int


#: The height of all bytes together, and the least room that a node takes, so that names do not overlap.
_BYTES_HEIGHT, _GAP, _ROOM, _NODE_WIDTH = 440, 4, 14, 10
#: Where the ribbons begin and end: names stand beside them.
LEFT, RIGHT = 240, WIDTH - 240


def sankey(pairs: Ranked) -> Sankey:
    """The flow of the pairs with the most bytes; what is left flows from "other" to "other"."""
    links: list[tuple[str | None, str | None, int, int | None]] = [
        (source, destination, total.bytes, place)
        for place, ((source, destination), total) in enumerate(zip(pairs.names, pairs.totals, strict=True))
        if total.bytes
    ]
    if pairs.other.bytes:
        links.append((None, None, pairs.other.bytes, None))
    left, right = _nodes([(link[0], link[2]) for link in links]), _nodes([(link[1], link[2]) for link in links])
    whole = sum(link[2] for link in links)
    scale = _BYTES_HEIGHT / whole if whole else 0
    left_nodes, right_nodes = _placed(left, scale), _placed(right, scale)
    from_y = {node.name: node.y for node in left_nodes}
    to_y = {node.name: node.y for node in right_nodes}
    ribbons = []
    for source, destination, count, place in links:
        height = count * scale
        ribbons.append(Ribbon(_ribbon(from_y[source], to_y[destination], height), place, count))
        from_y[source] += height
        to_y[destination] += height
    height = max((node.y + max(node.height, _ROOM) for node in (*left_nodes, *right_nodes)), default=0)
    return Sankey(left_nodes, right_nodes, ribbons, round(height))


def _nodes(ends: Sequence[tuple[str | None, int]]) -> dict[str | None, int]:
    """The bytes of each app, the largest first, the others last."""
    sums: dict[str | None, int] = {}
    for name, count in ends:
        sums[name] = sums.get(name, 0) + count
    return dict(sorted(sums.items(), key=lambda item: (item[0] is None, -item[1])))


def _placed(sums: dict[str | None, int], scale: float) -> list[Node]:
    heights = [count * scale for count in sums.values()]
    *starts, _ = accumulate((max(height + _GAP, _ROOM) for height in heights), initial=0.0)
    return [Node(*node) for node in zip(sums, starts, heights, sums.values(), strict=True)]


def _ribbon(left: float, right: float, height: float) -> str:
    x0, x1 = LEFT + _NODE_WIDTH, RIGHT - _NODE_WIDTH
    middle = (x0 + x1) / 2
    return (
        f"M{x0} {_n(left)}C{_n(middle)} {_n(left)} {_n(middle)} {_n(right)} {x1} {_n(right)}"
        f"V{_n(right + height)}C{_n(middle)} {_n(right + height)} {_n(middle)} {_n(left + height)} {x0} {_n(left + height)}Z"
    )
