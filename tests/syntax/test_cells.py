"""What counts as an integer, a text and a time, in text and in JSON alike."""

import re
import time

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MissingColumns, UnreadableSource
from pipeline.schema import dictionary_encoded
from pipeline.syntax.cells import Column, Kind, json_cell, parse_column, parsed_schema, present_columns
from tests.formats.helpers import (
    COLUMNS,
    EXACT_RULE,
    IN_TEXT_RULE,
    INTEGER_RULE,
    SECONDS_RULE,
    SIZE_RULE,
    TEXT_RULE,
    UTF8_RULE,
)


def parse(cell, kind):
    """One cell of text: its value, and the rule that it breaks, if it does."""
    values, broken = parse_column(pa.array([cell], pa.binary()), kind)
    assert values.type == kind.parsed_type
    rules = [rule for rule, bad in broken.items() if bad[0]]
    return values[0].as_py(), rules[0] if rules else None


class TestIntegersInText:
    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            (b"0", 0),
            (b"5", 5),
            (b" 5 ", 5),
            (b"\t5", 5),
            (b"-5", -5),
            (b"-0", 0),
            (b"007", 7),
            (b"0" * 30 + b"7", 7),
            (b" -00000000000000000000000000005\t", -5),
            (b"9223372036854775807", 2**63 - 1),
            (b"-9223372036854775808", -(2**63)),
            (b"0" * 5000 + b"12", 12),
        ],
    )
    def test_it_is_an_integer(self, cell, value):
        assert parse(cell, Kind.INTEGER) == (value, None)

    @pytest.mark.parametrize(
        "cell",
        [
            *b"x 5.0 5. +5 0x10 0X10 1e3 1_000 1,000 --5 5- nan true '5' \xff".split(),
            *[b"", b" ", b"- 5", b"5 5", b"5\0", b"\n5", b"5\n", b"\x0b5", b"\xa05", b"\xef\xbb\xbf5"],
            *["\N{ARABIC-INDIC DIGIT FIVE}".encode(), "\N{FULLWIDTH DIGIT FIVE}".encode()],
        ],
    )
    def test_it_is_none(self, cell):
        assert parse(cell, Kind.INTEGER) == (None, INTEGER_RULE)

    @pytest.mark.parametrize("cell", [b"9223372036854775808", b"-9223372036854775809", b"1" * 19 + b"0", b"9" * 10_000])
    def test_it_is_too_large(self, cell):
        assert parse(cell, Kind.INTEGER) == (None, SIZE_RULE)

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.none(), st.text("0123456789-+ \t.xe_", max_size=22).map(str.encode)), max_size=6))
    def test_a_column_is_read_as_cell_by_cell(self, cells):
        values, broken = parse_column(pa.array(cells, pa.binary()), Kind.INTEGER)

        def expected(cell):
            if cell is None or not re.fullmatch(rb"[ \t]*-?[0-9]+[ \t]*", cell):
                return None
            number = int(cell.strip(b" \t"))
            return number if -(2**63) <= number < 2**63 else None

        assert values.to_pylist() == [expected(cell) for cell in cells]
        bad = [any(mask[i] for mask in broken.values()) for i in range(len(cells))]
        assert bad == [cell is not None and expected(cell) is None for cell in cells]


class TestTextInText:
    @pytest.mark.parametrize("cell", [b"", b" a ", b"5", "é ☃ 🙂".encode(), b"\0", b"a\nb", b"\xef\xbb\xbfa"])
    def test_valid_utf8_is_taken_as_it_is(self, cell):
        assert parse(cell, Kind.TEXT) == (cell.decode(), None)

    @pytest.mark.parametrize("cell", [b"\xff", b"caf\xe9", b"\xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf5\x80\x80\x80"])
    def test_other_bytes_are_rejected(self, cell):
        assert parse(cell, Kind.TEXT) == (None, UTF8_RULE)

    def test_the_cells_beside_a_bad_one_are_kept(self):
        values, broken = parse_column(pa.array([b"a", b"\xff", None, b"b"]), Kind.TEXT)
        assert values.to_pylist() == ["a", None, None, "b"]
        assert broken[UTF8_RULE].tolist() == [False, True, False, False]


class TestTimesInText:
    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            (b"0", 0.0),
            (b"1258531221.486539", 1258531221.486539),
            (b" 1.5\t", 1.5),
            (b"-1.5", -1.5),
            (b"1.", 1.0),
            (b".5", 0.5),
            (b"1e3", 1000.0),
            (b"1.5E-3", 0.0015),
            (b"2011-08-15T03:36:16Z", 1313379376.0),
            (b" 2011-08-15T05:36:16.5+0200\t", 1313379376.5),
        ],
    )
    def test_it_is_a_time(self, cell, value):
        assert parse(cell, Kind.SECONDS) == (value, None)

    @pytest.mark.parametrize(
        "cell",
        [
            b"",
            *b". +5 x nan NaN inf -Infinity 0x1p3 1e 1_0 1,5 1.5.2 \xff 2011-08-15 20110815T 2011-W33 2011-08-15T T03:36".split(),
        ],
    )
    def test_it_is_none(self, cell):
        assert parse(cell, Kind.SECONDS) == (None, SECONDS_RULE)


@pytest.mark.parametrize("kind", Kind)
def test_a_null_breaks_no_rule(kind):
    assert parse(None, kind) == (None, None)
    assert json_cell(None, kind) == (None, None)


@pytest.mark.parametrize("kind", Kind)
def test_an_empty_column_has_the_kind_s_type(kind):
    values, broken = parse_column(pa.array([], pa.binary()), kind)
    assert (values.type, len(values)) == (kind.parsed_type, 0)
    assert not any(mask.any() for mask in broken.values())


class TestJson:
    @pytest.mark.parametrize(
        ("value", "kind", "cell"),
        [
            (5, Kind.INTEGER, 5),
            (-(2**63), Kind.INTEGER, -(2**63)),
            (2**63 - 1, Kind.INTEGER, 2**63 - 1),
            ("", Kind.TEXT, ""),
            ("é\0", Kind.TEXT, "é\0"),
            (5, Kind.SECONDS, 5.0),
            (-1.5, Kind.SECONDS, -1.5),
            ("2011-08-15T03:36:16.748830Z", Kind.SECONDS, 1313379376.74883),
            ("2011-08-15T05:36:16+02:00", Kind.SECONDS, 1313379376.0),
            ("2011-08-15T03:36:16", Kind.SECONDS, 1313379376.0),  # without a zone: UTC
            ("2011-08-15 03:36:16", Kind.SECONDS, 1313379376.0),
            ("0001-01-01T00:00:00+14:00", Kind.SECONDS, -62135647200.0),
            ("9999-12-31T23:59:59-14:00", Kind.SECONDS, 253402351199.0),
        ],
    )
    def test_it_is_what_it_should_be(self, value, kind, cell):
        found, rule = json_cell(value, kind)
        assert (found, type(found), rule) == (cell, type(cell), None)

    def test_a_time_without_a_zone_does_not_depend_on_where_it_is_read(self, monkeypatch):
        monkeypatch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        try:
            assert json_cell("2011-08-15T03:36:16", Kind.SECONDS) == (1313379376.0, None)
        finally:
            monkeypatch.undo()
            time.tzset()

    @pytest.mark.parametrize("value", [5.0, 1e3, True, False, "5", "", [], [5], {}, float("nan")])
    def test_it_is_no_integer(self, value):
        assert json_cell(value, Kind.INTEGER) == (None, INTEGER_RULE)

    @pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 10**4000])
    def test_an_integer_is_too_large(self, value):
        assert json_cell(value, Kind.INTEGER) == (None, SIZE_RULE)

    @pytest.mark.parametrize(
        ("value", "cell"),
        [
            ("1234", 1234),
            (1234, 1234),
            ("-5", -5),
            ("0", 0),
            ("-0", 0),
            (str(2**63 - 1), 2**63 - 1),
            (str(-(2**63)), -(2**63)),
        ],
    )
    def test_an_integer_may_stand_in_a_text_where_its_column_says_so(self, value, cell):
        assert json_cell(value, Kind.INTEGER, in_text=True) == (cell, None)

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "-",
            "+5",
            " 5",
            "5 ",
            "5\n",
            "05",
            "-05",
            "5.0",
            "5e3",
            "0x5",
            "5_0",
            "\N{ARABIC-INDIC DIGIT FIVE}",
            "x",
            5.0,
            True,
            [],
            {},
        ],
    )
    def test_nothing_else_may(self, value):
        assert json_cell(value, Kind.INTEGER, in_text=True) == (None, IN_TEXT_RULE)

    @pytest.mark.parametrize("value", [str(2**63), str(-(2**63) - 1), "1" * 5000, 2**63])
    def test_an_integer_in_a_text_is_too_large(self, value):
        assert json_cell(value, Kind.INTEGER, in_text=True) == (None, SIZE_RULE)

    @pytest.mark.parametrize("in_text", [False, True])
    @pytest.mark.parametrize(
        ("value", "cell", "rule"),
        [
            (5, 5, None),
            (5.0, 5, None),
            (-1e3, -1000, None),
            (-0.0, 0, None),
            (2.0**53 - 1, 2**53 - 1, None),
            (5.5, None, INTEGER_RULE),
            (float("nan"), None, INTEGER_RULE),
            (2.0**53, None, EXACT_RULE),
            (-1e300, None, EXACT_RULE),
            (float("inf"), None, EXACT_RULE),
            (2**63, None, SIZE_RULE),
            (True, None, INTEGER_RULE),
            ([5.0], None, INTEGER_RULE),
        ],
    )
    def test_an_integer_may_be_a_floating_point_number_where_its_column_says_so(self, value, cell, rule, in_text):
        rule = IN_TEXT_RULE if in_text and rule == INTEGER_RULE else rule
        assert json_cell(value, Kind.INTEGER, in_text, in_float=True) == (cell, rule)

    @pytest.mark.parametrize(
        ("value", "cell", "rule"),
        [
            ("5", 5, None),
            ("49444.0", 49444, None),
            ("5e3", 5000, None),
            ("-0.0", 0, None),
            ("5.5", None, IN_TEXT_RULE),
            ("5.", None, IN_TEXT_RULE),
            (".5", None, IN_TEXT_RULE),
            ("05.0", None, IN_TEXT_RULE),
            ("5.0 ", None, IN_TEXT_RULE),
            ("nan", None, IN_TEXT_RULE),
            ("1e400", None, EXACT_RULE),
        ],
    )
    def test_a_text_may_then_have_one_too(self, value, cell, rule):
        assert json_cell(value, Kind.INTEGER, in_text=True, in_float=True) == (cell, rule)
        assert json_cell(value, Kind.INTEGER, in_float=True) == (None, INTEGER_RULE)

    @pytest.mark.parametrize("value", [5, 5.0, True, [], {}])
    def test_it_is_no_text(self, value):
        assert json_cell(value, Kind.TEXT) == (None, TEXT_RULE)

    @pytest.mark.parametrize("value", ["\ud800", "a\udc00"])
    def test_a_lone_surrogate_is_no_text(self, value):
        assert json_cell(value, Kind.TEXT) == (None, UTF8_RULE)

    @pytest.mark.parametrize(
        "value",
        [
            True,
            "",
            "5",
            "noon",
            "2011-08-15",
            "20110815",
            "2011W33",
            "2011-08-15T",
            "2011-13-01T00:00:00",
            [],
            {},
            float("nan"),
            float("inf"),
            -float("inf"),
            10**400,
        ],
    )
    def test_it_is_no_time(self, value):
        assert json_cell(value, Kind.SECONDS) == (None, SECONDS_RULE)


class TestColumns:
    def test_a_path_is_named_by_its_keys_and_a_key_may_have_a_dot(self):
        column = Column.at("jsonPayload", "bytes.sent", kind=Kind.INTEGER)
        assert (column.name, column.places) == ("jsonPayload.bytes.sent", [("jsonPayload", "bytes.sent")])
        assert Column("id.orig_h", Kind.TEXT).places == [("id.orig_h",)]
        assert Column("id.h", Kind.TEXT, others=(("id", "h"), ("id_h",))).places == [("id.h",), ("id", "h"), ("id_h",)]

    def test_those_of_the_header_are_found_in_the_order_in_which_they_are_asked_for(self):
        columns = [Column("a", Kind.TEXT), Column("b", Kind.TEXT, required=False), Column("c", Kind.TEXT)]
        assert [column.name for column in present_columns(columns, ["c", "x", "x", "a"])] == ["a", "c"]

    def test_missing_ones_are_named_together_with_what_is_there(self):
        with pytest.raises(MissingColumns) as error:
            present_columns(COLUMNS, ["N", "t", "x"])
        assert (error.value.missing, error.value.found) == (["n", "s"], ["N", "t", "x"])
        assert str(error.value).startswith("missing columns n, s; the file has: N, t, x; have the log written with them")

    def test_one_that_stands_there_twice_is_ambiguous(self):
        with pytest.raises(UnreadableSource, match="the header names the column t 2 times"):
            present_columns(COLUMNS, ["n", "t", "s", "t"])

    def test_as_parsed_and_as_a_batch_has_them_they_differ_in_how_text_is_kept(self):
        parsed = pa.table([[1, 2], ["a", None], [None, 2.5]], schema=parsed_schema(COLUMNS))
        pieces = pa.concat_tables([parsed, parsed.slice(1)])
        assert dictionary_encoded(pieces).schema == pa.schema([(column.name, column.kind.value) for column in COLUMNS])
        assert dictionary_encoded(pieces).to_pylist() == pieces.to_pylist()
        assert dictionary_encoded(dictionary_encoded(pieces)).equals(dictionary_encoded(pieces))
