"""JSON Lines: one object a line."""

import io
import json
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import UnreadableSource
from pipeline.syntax import jsonlines
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json
from tests.formats.helpers import (
    COLUMNS,
    IN_TEXT_RULE,
    INTEGER_RULE,
    OBJECT_RULE,
    ONCE_RULE,
    SECONDS_RULE,
    SIZE_RULE,
    TEXT_RULE,
    UTF8_RULE,
    WITHIN_RULE,
    blocks_of,
    comparable,
    gather,
    raw_bytes,
)

GOOD = '{"n": 1, "t": "a", "s": 2.5}'


def read(text):
    """JSON Lines with the keys n (integer), t (text) and s (seconds)."""
    return read_columns(text, COLUMNS)


def read_columns(text, columns):
    parser = JsonParser(columns)
    return gather(
        piece if isinstance(piece, Batch) else (parser, piece) for piece in read_json(io.BytesIO(raw_bytes(text)), parser)
    )


def record(**values):
    """A good record, but for some values, which are JSON as it stands in the file."""
    cells = {"n": "1", "t": '"a"', "s": "2.5"} | values
    return "{" + ", ".join(f'"{key}": {value}' for key, value in cells.items()) + "}"


both_paths = pytest.mark.parametrize("beside", ["", "{}x\n"], ids=["alone", "beside a bad line"])


class TestRecords:
    def test_many_blank_lines_are_passed_over_at_once(self):
        text = b"\n" * 500 + b"\r\n" * 500
        with mock.patch.object(jsonlines, "_parse_lines") as one_by_one:
            assert JsonParser(COLUMNS).parse(TextBlock(text, 1)).read == 0
        one_by_one.assert_not_called()

    @pytest.mark.parametrize(
        "line",
        [
            '{"n":1,"t":"a","s":2.5}',
            '{"s": 2.5, "t": "a", "n": 1}',
            '{"x": [1, {"n": 9}], "n": 1, "t": "a", "y": null, "s": 2.5, "z": true}',
            '{"\\u006e": 1, "t": "\\u0061", "s": 25e-1}',
            ' \t{ "n" : 1 , "t" : "a" , "s" : 2.5 } \t',
        ],
    )
    @both_paths
    def test_keys_may_stand_in_any_order_among_others(self, line, beside):
        assert read(f"{line}\n{beside}").records == [(1, 1, "a", 2.5)]

    @pytest.mark.parametrize(
        ("text", "rows"),
        [
            ("{0}\n{0}\n", [1, 2]),
            ("{0}\n{0}", [1, 2]),
            ("\ufeff{0}\n{0}\n", [1, 2]),
            ("{0}\n\ufeff{0}\n", [1, 2]),  # where files were joined
            ("{0}\r\n{0}\r\n", [1, 2]),
            ("\n\n{0}\n\r\n\n{0}\n\n", [3, 6]),
            ("\n" * 100 + "{0}\n" + "\n" * 100 + "{0}", [101, 202]),
        ],
    )
    def test_a_record_has_its_line_s_number(self, text, rows):
        assert read(text.format(GOOD)).records == [(row, 1, "a", 2.5) for row in rows]
        assert read(text.format(record(n="5.0"))).faults == [(row, "n", INTEGER_RULE) for row in rows]

    @pytest.mark.parametrize("text", ["", "\n", "\r\n\n", "\ufeff"])
    def test_nothing_has_no_records(self, text):
        assert read(text).read == 0

    @both_paths
    def test_a_key_that_is_missing_is_null_as_if_it_said_so(self, beside):
        outcome = read('{}\n{"n": null, "t": null, "s": null}\n{"N": 1}\n' + beside)
        assert outcome.records == [(row, None, None, None) for row in (1, 2, 3)]

    @pytest.mark.parametrize(
        ("values", "cells"),
        [
            ({"n": "-9223372036854775808"}, (-(2**63), "a", 2.5)),
            ({"n": "9223372036854775807"}, (2**63 - 1, "a", 2.5)),
            ({"n": "-0"}, (0, "a", 2.5)),
            ({"t": '""'}, (1, "", 2.5)),
            ({"t": '"\\u0000\\n\\"}{\\ud83d\\ude42é"'}, (1, '\0\n"}{🙂é', 2.5)),
            ({"s": "3"}, (1, "a", 3.0)),
            ({"s": "-1e3"}, (1, "a", -1000.0)),
            ({"s": '"2011-08-15T03:36:16Z"'}, (1, "a", 1313379376.0)),
            ({"x": "NaN"}, (1, "a", 2.5)),
            ({"x": '"\\ud800"'}, (1, "a", 2.5)),
            ({"x": "1e400"}, (1, "a", 2.5)),
        ],
    )
    @both_paths
    def test_a_value_is_taken_as_it_is(self, values, cells, beside):
        assert read(f"{record(**values)}\n{beside}").cells == [cells]


class TestRejects:
    @pytest.mark.parametrize(
        ("key", "value", "rule"),
        [
            ("n", "5.0", INTEGER_RULE),
            ("n", "true", INTEGER_RULE),
            ("n", '"5"', INTEGER_RULE),
            ("n", "[]", INTEGER_RULE),
            ("n", "NaN", INTEGER_RULE),
            ("n", "9223372036854775808", SIZE_RULE),
            ("n", "-9223372036854775809", SIZE_RULE),
            ("n", "9" * 90, SIZE_RULE),
            ("t", "5", TEXT_RULE),
            ("t", "true", TEXT_RULE),
            ("t", '{"a": 1}', TEXT_RULE),
            ("t", '"\\ud800"', UTF8_RULE),
            ("t", '"\\udc00"', UTF8_RULE),
            ("s", "true", SECONDS_RULE),
            ("s", '"noon"', SECONDS_RULE),
            ("s", "[]", SECONDS_RULE),
        ],
    )
    def test_a_value_of_another_kind_is_named_as_it_stands(self, key, value, rule):
        bad = record(**{key: value})
        outcome = read(f"{GOOD}\n{bad}\n{GOOD}\n")
        (reject,) = outcome.rejects
        assert (reject.row, reject.field, reject.rule, reject.value, reject.raw) == (2, key, rule, value, bad)
        assert outcome.rows == [1, 3]

    @pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400"])
    @both_paths
    def test_a_time_that_is_no_number_is_rejected_whatever_stands_beside_it(self, value, beside):
        assert read(f"{record(s=value)}\n{beside}").faults[:1] == [(1, "s", SECONDS_RULE)]

    def test_bytes_that_are_not_utf8_are_rejected_in_a_text_and_ignored_elsewhere(self):
        outcome = read(b'{"n": 1, "t": "caf\xe9", "s": 1}\n{"n": 1, "t": "a", "s": 1, "x\xff": "\xff"}\n')
        assert outcome.rows == [2]
        assert (outcome.faults, outcome.raws) == ([(1, "t", UTF8_RULE)], {1: '{"n": 1, "t": "caf\\xe9", "s": 1}'})

    @pytest.mark.parametrize(
        "line",
        [
            *[
                "{",
                "}",
                "x",
                '{"n": 1',
                '{"n": 1,}',
                "{'n': 1}",
                '{"n" 1}',
                '{"n": 01}',
                '{"n": +1}',
                '{"n": 0x10}',
                '{"n": 1.}',
            ],
            *["5", "null", "true", '"a"', " ", "\t"],
            *[GOOD + ",", GOOD + "x", GOOD + GOOD + "x", GOOD + GOOD[:-1], GOOD + "\0", "\0" + GOOD],
            *['{"n": 1, "t": "a\tb"}', '{"t": "a\0b"}', '{"t": "a\rb"}', '{"t": "\\x"}'],
            *['{"n":', '{"n": 1, "x": [', '{"x": {"n": 1}', "{,"],
        ],
    )
    def test_a_line_that_is_no_object_is_rejected_as_it_stands(self, line):
        outcome = read(f"{GOOD}\n{line}\n{GOOD}\n")
        assert outcome.rows == [1, 3]
        assert (outcome.faults, outcome.raws) == ([(2, "", OBJECT_RULE)], {2: line})

    @pytest.mark.parametrize("line", [f"[{GOOD},{GOOD}]", f" [{GOOD}]\n[]\n[{GOOD}]", f"[{GOOD}\n,{GOOD}]"])
    def test_an_array_behind_lines_of_objects_is_its_records(self, line):
        """As where an array was joined to lines: one rejected row could be all records of an hour."""
        outcome = read(f"{GOOD}\n{GOOD[:-1]}\n{line}\n{GOOD}\n")
        assert outcome.rows == [1, 3, 4, 5]
        assert outcome.faults == [(2, "", OBJECT_RULE)]

    @pytest.mark.parametrize("tail", ["", "\n", "\n\n", "\r\n\r\n", "\n\n\n"])
    def test_two_objects_in_one_line_are_two_records_however_the_file_ends(self, tail):
        assert read(GOOD + GOOD + tail).rows == [1, 2]

    @pytest.mark.parametrize(
        "line",
        [
            '{"n": 1, "n": 1, "t": "a", "s": 1}',
            '{"n": 1, "t": "a", "s": 1, "n": null}',
            '{"n": 1, "\\u006e": 1, "t": "a", "s": 1}',
        ],
    )
    @both_paths
    def test_a_key_that_is_there_twice_is_ambiguous_whatever_stands_beside_it(self, line, beside):
        assert read(f"{line}\n{beside}").faults[:1] == [(1, "n", ONCE_RULE)]

    @pytest.mark.parametrize(
        "others",
        [
            '"x": 1, "x": 2',
            '"x": {"y": 1, "y": 2}',
            f'"x": {"[" * 5000}{"]" * 5000}',
            f'"x": {"1" * 5000}',
        ],
        ids=["a key twice", "a key twice within", "deep", "long"],
    )
    def test_what_nobody_asks_for_is_judged_alike_whatever_stands_beside_it(self, others):
        line = '{"n": 1, "t": "a", "s": 1, ' + others + "}\n"
        alone, beside = read(line), read(line + "{}x\n")
        assert (alone.records, alone.rejects) == (beside.records, beside.rejects[:-1])

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    @pytest.mark.parametrize("key", ["n", "t", None], ids=str)
    def test_bottomless_nesting_is_no_bug_at_any_depth(self, opening, key):
        closing = "]" if opening == "[" else "}"
        nested = [opening * depth + "1" + closing * depth for depth in range(880, 1000)]
        lines = [text if key is None else f'{{"{key}": {text}}}' for text in nested]
        assert read("\n".join(lines)).read == len(lines)

    def test_the_good_lines_among_many_are_kept(self):
        lines = [GOOD] * 500
        for bad in (0, 99, 100, 499):
            lines[bad] = record(n='"5"')
        lines[250] = "{"
        outcome = read("\n".join(lines))
        assert outcome.faults == [
            (row, "" if row == 251 else "n", OBJECT_RULE if row == 251 else INTEGER_RULE) for row in (1, 100, 101, 251, 500)
        ]
        assert len(outcome.records) == 495
        assert outcome.rows == sorted(outcome.rows)


NESTED = [
    Column.at("payload", "connection", "src", kind=Kind.TEXT),
    Column.at("payload", "bytes.sent", kind=Kind.INTEGER, in_text=True),
]
SENT, SRC = "payload.bytes.sent", "payload.connection.src"


def read_nested(text):
    """JSON Lines with a text in an object in an object, and an integer, perhaps as a text, under a key with a dot."""
    return read_columns(text, NESTED)


class TestPaths:
    @pytest.mark.parametrize(
        "line",
        [
            '{"payload":{"connection":{"src":"a"},"bytes.sent":"12"}}',
            '{"payload": {"bytes.sent": 12, "connection": {"port": 5, "src": "a"}}}',
            '{"x": {"payload": 1, "y": [{}]}, "payload": {"connection": {"src": "\\u0061", "x": []}, "bytes.sent": "12"}}',
            '{"payload":{"conn\\u0065ction":{"src":"a"},"bytes.sent":"12"},"src":"b","bytes.sent":1}',
        ],
    )
    @both_paths
    def test_a_column_is_found_in_the_objects_that_its_path_names(self, line, beside):
        assert read_nested(f"{line}\n{beside}").cells == [("a", 12)]

    @pytest.mark.parametrize(
        "line",
        [
            "{}",
            '{"payload": null}',
            '{"payload": {}}',
            '{"payload": {"connection": null}}',
            '{"payload": {"connection": {"src": null}, "bytes.sent": null}}',
            '{"payload": {"bytes": {"sent": 5}}, "payload.bytes.sent": 5, "connection": {"src": "a"}}',
        ],
    )
    @both_paths
    def test_it_is_null_where_an_object_on_the_way_is_missing(self, line, beside):
        assert read_nested(f"{line}\n{beside}").cells == [(None, None)]

    @pytest.mark.parametrize(
        ("line", "fault"),
        [
            ('{"payload": 5}', (SRC, WITHIN_RULE)),
            ('{"payload": []}', (SRC, WITHIN_RULE)),
            ('{"payload": {"connection": "a"}}', (SRC, WITHIN_RULE)),
            ('{"payload": {"connection": {"src": {"a": 1}}}}', (SRC, TEXT_RULE)),
            ('{"payload": {"connection": {"src": ["a"]}}}', (SRC, TEXT_RULE)),
            ('{"payload": {"connection": {"src": "a", "src": "a"}}}', (SRC, ONCE_RULE)),
            ('{"payload": {"connection": {"src": "a"}, "connection": {}}}', (SRC, ONCE_RULE)),
            ('{"payload": {"connection": null, "connection": {"src": "a"}}}', (SRC, ONCE_RULE)),
            ('{"payload": {"connection": {"src": "a"}}, "payload": null}', (SRC, ONCE_RULE)),
            ('{"payload": {"bytes.sent": {}}}', (SENT, IN_TEXT_RULE)),
            ('{"payload": {"bytes.sent": []}}', (SENT, IN_TEXT_RULE)),
            ('{"payload": {"bytes.sent": "x"}}', (SENT, IN_TEXT_RULE)),
            ('{"payload": {"bytes.sent": "9223372036854775808"}}', (SENT, SIZE_RULE)),
        ],
    )
    @both_paths
    def test_what_does_not_fit_is_rejected_under_the_whole_path(self, line, fault, beside):
        assert read_nested(f"{line}\n{beside}").faults[:1] == [(1, *fault)]

    def test_the_value_that_is_in_the_way_is_shown(self):
        (reject,) = read_nested('{"payload": {"connection": [1, 2]}}').rejects
        assert (reject.field, reject.value) == (SRC, "[1, 2]")

    def test_a_column_that_another_stands_in_for_may_be_anything_within_objects_too(self):
        columns = [Column.at("a", "n", kind=Kind.INTEGER), Column.at("a", "m", kind=Kind.INTEGER, instead_of="a.n")]
        outcome = read_columns('{"a":{"n":1,"m":"x"}}\n{"a":{"n":null,"m":"x"}}\n{"a":{"m":2}}\n', columns)
        assert outcome.records == [(1, 1, None), (3, None, 2)]
        assert outcome.faults == [(2, "a.m", INTEGER_RULE)]


# --- laws --------------------------------------------------------------------------------------------------------

VALUES = [
    "1",
    '"a"',
    "2.5",
    "null",
    "true",
    "5.0",
    '"5"',
    "1e400",
    "NaN",
    "-Infinity",
    "-0",
    "9223372036854775808",
    "[]",
    "{}",
]
VALUES += [
    '"\\ud800"',
    '"\\udc00"',
    '"\\u0000"',
    '"é"',
    '"}\\n{"',
    "01",
    '"a',
    '{"n": 1}',
    '{"a": 1, "a": 1}',
    '"2011-08-15T03:36:16Z"',
    '"\t"',
]
LINES = ["x", "[]", "5", "{", "}", "{}", "{}{}", " ", "{} ", "\ufeff{}", "\r", "", "", "{},", '{"n":1}\r{"n":2}']


def objects():
    good = {"n": "1", "t": '"a"', "s": "2.5"}
    pairs = [
        st.integers(0, 6).flatmap(
            lambda pick, key=key, value=value: st.tuples(
                st.just(key), st.sampled_from(VALUES) if pick == 0 else st.just(value)
            )
        )
        for key, value in good.items()
    ]
    extra = st.lists(st.tuples(st.sampled_from(["n", "x", "\\u006e"]), st.sampled_from(VALUES)), max_size=2)
    some = st.integers(0, 4).flatmap(lambda pick: extra if pick == 0 else st.just([]))
    return st.tuples(st.tuples(*pairs), some).map(
        lambda found: "{" + ",".join(f'"{key}":{value}' for key, value in [*found[0], *found[1]]) + "}"
    )


def files():
    line = st.integers(0, 4).flatmap(lambda pick: st.sampled_from(LINES) if pick == 0 else objects())
    end = st.sampled_from(["\n", "\n", "\n", "\r\n", ""])
    text = st.lists(st.tuples(line, end).map("".join), min_size=1, max_size=6).map("".join)
    noise = st.sampled_from([b"", b"", b"", b"\xff", b"\0"])
    return st.tuples(text.map(str.encode), noise, st.integers(0, 80)).map(
        lambda found: found[0][: found[2]] + found[1] + found[0][found[2] :]
    )


def read_or_refuse(data):
    try:
        return comparable(read(data))
    except UnreadableSource as error:
        return str(error)


LAW = settings(max_examples=60, deadline=None)


@LAW
@given(files())
@example(b'{"n":1,"t":"a","s":1,"x":1,"x":2}\n')
@example(b'{"n":1,"t":"a","s":NaN}\n')
@example(b"{}{}\n\n")
def test_the_fast_path_and_python_s_json_module_agree(data):
    whole = read_or_refuse(data)
    with mock.patch.object(jsonlines, "_parse_arrow", return_value=None):
        assert read_or_refuse(data) == whole


@LAW
@given(files(), st.integers(5, 60))
def test_it_does_not_matter_where_blocks_are_cut(data, block_bytes):
    whole = read_or_refuse(data)
    with blocks_of(block_bytes):
        assert read_or_refuse(data) == whole


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@LAW
@given(st.lists(st.dictionaries(st.sampled_from(["n", "t", "s", "x"]), values), max_size=5), st.booleans())
def test_every_object_is_a_record_or_a_reject_of_its_own_line(records, ensure_ascii):
    lines = [json.dumps(found, ensure_ascii=ensure_ascii) for found in records]
    outcome = read("\n".join(lines).encode("utf-8", "surrogatepass"))
    assert sorted(outcome.rows + [reject.row for reject in outcome.rejects]) == list(range(1, len(lines) + 1))
    assert outcome.read == len(lines)
    for row, n, t, _ in outcome.records:
        assert (n, t) == (records[row - 1].get("n"), records[row - 1].get("t"))


class TestOtherPlaces:
    COLUMN = Column("id.h", Kind.TEXT, others=(("id", "h"), ("id_h",)))

    @pytest.mark.parametrize(
        ("line", "value"),
        [
            ('{"id.h": "a"}', "a"),
            ('{"id": {"h": "a"}}', "a"),
            ('{"id_h": "a"}', "a"),
            ('{"id_h": "c", "id": {"h": "b"}, "id.h": "a"}', "a"),
            ('{"id_h": "c", "id": {"h": "b"}, "id.h": null}', "b"),
            ('{"id_h": "c", "id": {}}', "c"),
            ('{"id_h": "c", "id": 5}', "c"),
            ('{"id": 5}', None),
            ("{}", None),
        ],
    )
    def test_the_first_place_that_has_a_value_counts(self, line, value):
        assert read_columns(line, [self.COLUMN]).cells == [(value,)]

    @pytest.mark.parametrize(
        ("line", "rule"),
        [
            ('{"id_h": 5}', TEXT_RULE),
            ('{"id.h": 5, "id_h": "c"}', TEXT_RULE),
            ('{"id_h": null, "id_h": null}', ONCE_RULE),
        ],
    )
    def test_a_fault_at_any_place_has_the_name_of_the_column(self, line, rule):
        assert read_columns(line, [self.COLUMN]).faults == [(1, "id.h", rule)]


@pytest.mark.parametrize("extra", ["", '"x": "\\u00e4", ', '"x": {"y": [1]}, '])
def test_a_text_may_stand_for_no_value(extra):
    columns = [Column("n", Kind.INTEGER, null="-"), Column("t", Kind.TEXT, null="-"), Column("u", Kind.TEXT)]
    lines = [f'{{{extra}"n": {n}, "t": "{t}", "u": "-"}}' for n, t in ((1, "a"), (2, "-"), ('"-"', "-"), ('"--"', "b"))]
    batch = JsonParser(columns).parse(TextBlock("\n".join(lines).encode(), 1))
    rows = sorted(zip(batch.rows.tolist(), *(column.to_pylist() for column in batch.table.columns), strict=True))
    assert rows == [(1, 1, "a", "-"), (2, 2, None, "-"), (3, None, None, "-")]
    assert [reject.row for reject in batch.rejects] == [4]
