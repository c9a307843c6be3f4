"""Runs the kernel under the sanitizers of addresses and of undefined behaviour: test_memory.py starts it as a process of
its own, on a kernel that is instrumented. With the argument `overread` it makes a step too far on purpose.
"""

import ctypes
import os
import random
import sys
from unittest import mock

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.counting.spread import spread
from pipeline.errors import SumOverflow
from pipeline.formats.record import is_answer
from pipeline.kernel import columns
from pipeline.kernel.columns import find_four, lines_from, lines_with, survey
from pipeline.kernel.jsonvalues import Between, count_newlines, cut_arrays, split_json
from pipeline.kernel.library import kernel
from pipeline.kernel.records import exchanged_codes, exchanged_numbers
from pipeline.kernel.texts import Texts, read_times
from pipeline.kernel.totals import SortedTotals, Totals
from pipeline.schema import dictionary_encoded
from pipeline.syntax.times import hours_of
from tests.kernel.lines import (
    DIALECTS,
    NAMES,
    NESTED_OBJECTS,
    NOT_UTF8,
    ODD_VALUES,
    TIMES,
    Delimited,
    Json,
    cases,
    repeated_objects,
)
from tests.records import flows_of, totals_of

#: How many generated blocks it parses.
EXAMPLES = 2000 if "FLOWLOG_SOAK" in os.environ else 80


def parse(case):
    """By the kernel alone: the exact path behind it is not ours to check."""
    case.by_kernel()
    survey(case.data)
    count_newlines(case.data, 1, len(case.data))
    split(case.data)
    lines_from(case.data, b"a", b"z")
    find_four(case.data, b"addr")
    lines_with(case.data, b"addr")


@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(st.one_of(cases(most_lines=6), repeated_objects()))
def parse_generated(case):
    parse(case)


def split(data):
    if data.endswith(b"\n"):
        for key in ("t", "o"):
            cut_arrays(data, key)
    for between in (Between.IS_LAST, Between.ENTERS_ARRAYS, Between.IN_ARRAY):
        for most in (1, 100):
            found = split_json(data, between, most=most)
            split_json(data, between, found.position, found.behind, most)


def split_whatever_stands_at_the_end():
    text = b'{"a": [1.5e-3, -2, "\\u00e9\\"", true, NaN, -Infinity], "b": {}} "x" 12 \xef\xbb\xbf[null], {"a":"%s"}' % (
        b"t" * 20
    )
    for end in range(len(text) + 1):
        split(text[:end])
    split(b"[" * 70_000)
    split(b'{"":' * 70_000)


def parse_whatever_stands_at_the_end():
    """The kernel reads ahead, by up to 16 bytes: each kind of cell, whole and cut, as the last of its block."""
    for dialect in DIALECTS.values():
        line = dialect.delimiter.join(["web", "12345678", "", "1234567.5", "é" + "t" * 30]).encode()
        for end in range(len(line) + 1):
            parse(Delimited(dialect, line[:end]))
            parse(Delimited(dialect, line + b"\n" + line[:end] + b"\n"))
    start, rest = b'{"s":', b',"t": "text","n":12}'
    for value in [*ODD_VALUES, *(b'"%s"' % time.encode() for time in TIMES)]:
        for end in range(len(value) + 1):
            parse(Json(start + value[:end]))
        parse(Json(start + value + rest))
    for end in range(len(rest) + 1):
        parse(Json(start + b"1.5" + rest[:end]))
    for line in NESTED_OBJECTS:
        for end in range(len(line) + 1):
            parse(Json(line + b"\n" + line[:end]))
    for blanks in range(0, 160, 3):  # what stood before a value is looked for in the next line, which may be the last
        long = b'{"s":1,%s"n":2}' % (b" " * blanks)
        for line in (b"{}", b'{"s":1}', b'{"s":1,', long):
            parse(Json(long + b"\n" + line))


def parse_what_has_more_lines_than_there_is_room_for():
    wide, short = b'{"n":1,"v":"%b"}\n' % (b"y" * 60), b'{"n":1,"v":"z"}\n'
    with mock.patch.object(columns, "_LARGE", 1):
        for line in (short, b"{}\n", b"{\n", b"\n", b"x\n", short + b"\n"):
            for count in range(12):
                lines = columns.JsonLines(
                    [columns.JsonColumn(pa.int64(), [["n"]]), columns.JsonColumn(pa.string(), [["v"]])]
                )
                for text in (wide * 9, line * 4 * count, wide + line * count, wide):
                    lines.parse(text)


def tight(text):
    """A column of one text with nothing behind it: Arrow's own memory goes on to the next 64 bytes."""
    return pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array([0, len(text)], pa.int32()).buffers()[1], pa.py_buffer(text)]
    )


def name():
    names = Texts()
    for length in (0, 1, 40):
        texts = [b"x" * length, *NAMES, b"", *(b"%d" % i for i in range(5000))]
        names.codes_of(pa.array([text.decode() for text in texts])[1:])
    for text in (b"", *NAMES):
        names.codes_of(tight(text))
    names.codes_of(
        pa.Array.from_buffers(pa.string(), 1, [None, pa.array([0, 0], pa.int32()).buffers()[1], pa.py_buffer(b"")])
    )
    for text in NOT_UTF8:
        try:
            names.codes_of(tight(text))
        except ValueError:
            continue
        raise AssertionError(f"{text!r} was taken")
    names.sorted_texts()


def read_texts_as_times():
    for text in (b"", b"2026-11-24T08:00:00", b"2026-11-24 08:00:00.123456789", b"1" * 19, b"1" * 33, b"1.5", b"."):
        for length in range(len(text) + 1):
            read_times(tight(text[:length]))


def sum_up():
    generator, texts = random.Random(1), [text.decode() for text in NAMES]
    rows = [(generator.choice([1, 2, 2**40]), *generator.choices(texts, k=3), 2**52, 1) for _ in range(3000)]
    totals, other = Totals(), Totals()
    totals.add(flows_of(rows))
    other.add(flows_of([(hour, "a", "b", "v", hour, 1) for hour in range(1, 3000)]))
    for known_hours_alone in (True, False):
        totals.absorb(other, known_hours_alone=known_hours_alone)
    by_hour = SortedTotals(totals)
    for table in map(by_hour.table, by_hour.hours):
        table.validate(full=True)
    try:
        totals.add(dictionary_encoded(totals_of(*2 * [(1, "a", "b", "v", 2**63 - 1, 0, 1)])))
    except SumOverflow:
        return
    raise AssertionError("a sum has wrapped")


def spread_out():
    hour, most = 3600 * 10**9, 2**53 - 1
    starts = np.array([10**18 + number * hour // 7 for number in range(300)])
    for duration in (-1, 0, 1, hour - 1, hour, 366 * 24 * hour):
        rows = list(spread(flows_of([(1, "a", "b", "v", most, 1)] * 300), (starts, np.maximum(starts, starts + duration))))
        assert sum(part.column("bytes_tx").to_numpy().astype(object).sum() for _, part in rows) == 300 * most


def convert():
    for count in (0, 1, 7, 33):
        numbers = np.array([-(2**63), -1, 0, 1_795_501_126, 1_795_501_126_004, 10**17, 2**63 - 1] * 5)[:count]
        mask, codes = numbers % 2 == 0, np.arange(-1, count - 1, dtype=np.int32)
        hours_of(numbers)
        hours_of(np.array([np.nan, np.inf, -np.inf, 1.5, 1_795_501_126.5, 2.0**63, -0.0] * 5)[:count])
        is_answer(numbers, numbers[::-1], numbers)
        exchanged_numbers(mask, numbers, numbers[::-1])
        exchanged_codes(mask, codes, codes[::-1], count)


def overread():
    data = b"a line\n" * 20
    kernel.survey(data, len(data) + 64, ctypes.c_uint8())


if __name__ == "__main__":
    if sys.argv[1:] == ["overread"]:
        overread()
    parse_generated()
    parse_whatever_stands_at_the_end()
    parse_what_has_more_lines_than_there_is_room_for()
    split_whatever_stands_at_the_end()
    name()
    read_texts_as_times()
    sum_up()
    spread_out()
    convert()
    sys.stdout.write("done\n")
