"""JSON values that follow one another: where each is in a text, and the same values one a line."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64
from dataclasses import dataclass
from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from pipeline.kernel.library import kernel

#: What a call of the kernel takes at the most, so that memory does not depend on how short values are.
MOST_VALUES = 1 << 15


class Between(IntFlag):
    """What may stand where the next value does: the flags of jsonvalues.c.

    IN_ARRAY: The values are an array's. ENTERS_ARRAYS: values that are arrays are not taken. IS_LAST: no text follows.
    """

    IN_ARRAY = 1
    ENTERS_ARRAYS = 2
    IS_LAST = 4


class Behind(IntEnum):
    """What the next value stands behind."""

    START = 0
    VALUE = 1
    COMMA = 2


class Stop(IntEnum):
    """Why no further value was taken.

    USED_UP: The text is used up. CUT: it ends within a value. BROKEN: a value is no JSON. CLOSED: the array's bracket was met.
    ENTERED: an array begins that is not to be taken. FULL: so many values were taken as were asked for. TOO_DEEP: a value is nested
    more deeply than any log.
    """

    USED_UP = 0
    CUT = 1
    BROKEN = 2
    CLOSED = 3
    ENTERED = 4
    FULL = 5
    TOO_DEEP = 6


@dataclass(frozen=True)
class Values:
    """Values that were taken off a text.

    Attributes:
        starts: Where each begins.
        ends: Where each ends.
        lines: The same values, each on a line of its own, without the blanks between their parts.
        position: Where to go on: behind the last value, or where the one begins that was not taken.
        behind: What is before that place.
        stop: Why no further value was taken.
        error: Where a value is broken, or cut.
    """

    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    lines: bytes
    position: int
    behind: Behind
    stop: Stop
    error: int


class _Split(ctypes.Structure):
    """`json_split` of jsonvalues.c."""

    _fields_ = (
        ("position", c_int64),
        ("error", c_int64),
        ("size", c_int64),
        ("behind", c_int32),
        ("status", c_int32),
    )


def count_newlines(text: bytes, start: int, end: int) -> int:
    """The newlines from one offset to another: as `bytes.count` has it, which looks at one byte at a time."""
    return int(kernel.count_newlines(text, max(start, 0), min(end, len(text))))


def split_json(
    text: bytes,
    between: Between = Between.IS_LAST,
    position: int = 0,
    behind: Behind = Behind.START,
    most: int = MOST_VALUES,
) -> Values:
    """Takes values off a text, until something else stands there.

    Args:
        text: Bytes, not a view of them: the kernel relies on the 0 behind them.
        between: Where the values are.
        position: Where to begin.
        behind: What is before that place.
        most: The most values that are taken.
    """
    at = _Split(position=position, behind=behind)
    room = min(most, len(text) - position + 1)
    places, lines = np.empty((2, room), np.int64), np.empty(len(text) - position + room, np.uint8)
    starts = places.ctypes.data
    count = kernel.split_json(
        text, len(text), between, ctypes.byref(at), room, starts, starts + places.strides[0], lines.ctypes.data
    )
    written = lines[: at.size].tobytes()
    return Values(places[0, :count], places[1, :count], written, at.position, Behind(at.behind), Stop(at.status), at.error)


@dataclass(frozen=True)
class CutLines:
    """JSON objects, one a line, out of which arrays of texts were cut.

    Attributes:
        lines: Each line, and how many arrays were cut out of it: the number of each stands in its place, counted from 0 on each
            line. A line that was left as it is has -1.
        texts: The texts of all arrays, one a line.
        ends: Where in `texts` those of each array end; before the first, 0.
        counts: How many texts each array has.
    """

    lines: list[tuple[bytes, int]]
    texts: bytes
    ends: list[int]
    counts: list[int]


def cut_arrays(lines: bytes, key: str) -> CutLines:
    """Cuts the arrays out that stand under a key, wherever in an object.

    A line is left as it is where it has an escape, or such an array has anything but texts of ASCII that are not empty, or another
    value stands under the key.

    Args:
        lines: Objects as `Values.lines` has them, each with its newline.
        key: In ASCII, without what JSON escapes.
    """
    quoted = f'"{key}":'.encode()
    room, line_count = len(lines) // (len(quoted) + len("[]")) + 1, lines.count(b"\n")
    rest, texts = np.empty(2 * len(lines), np.uint8), np.empty(len(lines), np.uint8)
    cut, places, written = np.empty(line_count, np.int32), np.zeros((2, room + 1), np.int64), np.zeros(2, np.int64)
    ends, counts = places[0], places[1]
    outputs = (rest, cut, texts, ends[1:], counts, written)
    count = kernel.cut_arrays(lines, len(lines), quoted, len(quoted), *(output.ctypes.data for output in outputs))
    left = rest[: written[0]].tobytes().split(b"\n")[:-1]
    return CutLines(
        list(zip(left, cut.tolist(), strict=True)),
        texts[: written[1]].tobytes(),
        ends[: count + 1].tolist(),
        counts[:count].tolist(),
    )
