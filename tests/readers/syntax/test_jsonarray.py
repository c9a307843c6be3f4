"""A JSON array of objects, read element by element."""

import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import UnreadableSource
from pipeline.readers.syntax import jsonarray
from pipeline.readers.syntax.jsonarray import read_json_array
from tests.readers.helpers import (
    COLUMNS,
    INTEGER_RULE,
    OBJECT_RULE,
    ONCE_RULE,
    SIZE_RULE,
    TEXT_RULE,
    UTF8_RULE,
    blocks_of,
    comparable,
    gather,
    raw_bytes,
)

GOOD = '{"n": 1, "t": "a", "s": 2.5}'
WINDOWS = [1, 2, 3, 5, 8, 13, 21, 1000]


def read(text):
    """A JSON array of objects with the keys n (integer), t (text) and s (seconds)."""
    return gather(read_json_array(io.BytesIO(raw_bytes(text)), COLUMNS))


class TestElements:
    @pytest.mark.parametrize(
        "text",
        [
            f"[{GOOD},{GOOD}]",
            f"[{GOOD}, {GOOD}]\n",
            f"\ufeff[\n  {GOOD},\n  {GOOD}\n]\n",
            f" \r\n[\t{GOOD}\r\n,\r\n{GOOD} ] \n\n",
            json.dumps([{"x": [1, [2]], **json.loads(GOOD)}] * 2, indent=4),
        ],
    )
    @pytest.mark.parametrize("block_bytes", WINDOWS)
    def test_white_space_and_windows_do_not_matter(self, text, block_bytes):
        with blocks_of(block_bytes):
            assert read(text).records == [(1, 1, "a", 2.5), (2, 1, "a", 2.5)]

    @pytest.mark.parametrize("text", ["[]", "[ ]", "\n[\n]\n", "\ufeff[]"])
    def test_an_empty_array_has_no_records(self, text):
        assert read(text).read == 0

    def test_a_key_that_is_missing_is_null(self):
        assert read('[{}, {"n": null}]').records == [(1, None, None, None), (2, None, None, None)]

    def test_many_elements_come_in_many_batches(self, monkeypatch):
        monkeypatch.setattr(jsonarray, "_BATCH_RECORDS", 2)
        batches = list(read_json_array(io.BytesIO(b"[" + b",".join([GOOD.encode(), b"5"] * 3) + b"]"), COLUMNS))
        assert [batch.read for batch in batches] == [2, 2, 2, 0]
        assert [batch.rows.tolist() for batch in batches] == [[1], [3], [5], []]
        assert [batch.raw_of(row) for batch, row in zip(batches, (1, 3, 5), strict=False)] == [GOOD] * 3


class TestRejects:
    @pytest.mark.parametrize(
        ("element", "field", "rule", "value"),
        [
            ('{"n": 5.0}', "n", INTEGER_RULE, "5.0"),
            ('{"n": true}', "n", INTEGER_RULE, "true"),
            ('{"n": "5"}', "n", INTEGER_RULE, '"5"'),
            ('{"n": 9223372036854775808}', "n", SIZE_RULE, "9223372036854775808"),
            ('{"t": 5}', "t", TEXT_RULE, "5"),
            ('{"t": "\\ud800"}', "t", UTF8_RULE, '"\\ud800"'),
            ('{"s": NaN}', "s", "must be a time, in seconds since 1970 or ISO 8601", "NaN"),
            ("5", "", OBJECT_RULE, "5"),
            ("null", "", OBJECT_RULE, "null"),
            ("[{}]", "", OBJECT_RULE, "[{}]"),
            ('"a"', "", OBJECT_RULE, '"a"'),
            ("-1.5e3", "", OBJECT_RULE, "-1500.0"),
        ],
    )
    @pytest.mark.parametrize("block_bytes", WINDOWS)
    def test_an_unfit_element_is_named_by_its_number_in_the_array(self, element, field, rule, value, block_bytes):
        with blocks_of(block_bytes):
            outcome = read(f"[{GOOD},\n\n{element} , {GOOD}]")
        (reject,) = outcome.rejects
        assert (reject.row, reject.field, reject.rule, reject.value, reject.raw) == (2, field, rule, value, element)
        assert outcome.rows == [1, 3]

    @pytest.mark.parametrize(
        ("element", "field", "rule"),
        [
            ('{"t": "a", "n": 1, "n": 1}', "n", ONCE_RULE),
            ('{"n": ' + "1" * 5000 + "}", "n", SIZE_RULE),
            ("1" * 5000, "", OBJECT_RULE),
        ],
        ids=["a key twice", "a long number", "a number"],
    )
    @pytest.mark.parametrize("block_bytes", [7, 10_000])
    def test_an_ambiguous_or_endless_value_is_the_element_s_fault_alone(self, element, field, rule, block_bytes):
        with blocks_of(block_bytes):
            outcome = read(f"[{GOOD}, {element}, {GOOD}]")
        assert (outcome.rows, outcome.faults) == ([1, 3], [(2, field, rule)])
        assert outcome.raws[2].startswith(element[:4096])

    @pytest.mark.parametrize("others", ['"x": 1, "x": 2', '"x": {"y": 1, "y": 2}', f'"x": {"1" * 5000}'])
    @pytest.mark.parametrize("block_bytes", [7, 10_000])
    def test_what_nobody_asks_for_may_be_anything(self, others, block_bytes):
        with blocks_of(block_bytes):
            assert read("[" + GOOD[:-1] + ", " + others + "}]").records == [(1, 1, "a", 2.5)]

    def test_bytes_that_are_not_utf8_are_rejected_in_a_text(self):
        outcome = read(b'[{"t": "caf\xe9"}, {"t": "b", "x": "\xff"}]')
        assert outcome.cells == [(None, "b", None)]
        assert (outcome.faults, outcome.raws) == ([(1, "t", UTF8_RULE)], {1: '{"t": "caf\\xe9"}'})


class TestNoArray:
    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            ("", "it does not start with ["),
            ("{}", "it does not start with ["),
            ("[", "element 1 of the array is not whole JSON"),
            (f"[{GOOD}", "the array stops short behind element 1"),
            (f"[{GOOD},", "element 2 of the array is not whole JSON"),
            (f"[{GOOD},]", "element 2 of the array is not whole JSON"),
            (f"[{GOOD},,{GOOD}]", "element 2 of the array is not whole JSON"),
            (f"[{GOOD}, {GOOD[:-1]}", "element 2 of the array is not whole JSON"),
            (f"[{GOOD}, {GOOD[:9]}]", "element 2 of the array is not whole JSON"),
            (f"[{GOOD} {GOOD}]", "the array has '{' behind element 1"),
            (f"[{GOOD}}}", "the array has '}' behind element 1"),
            (f"[{GOOD}] x", "there is more text behind the array's end ('x')"),
            (f"[{GOOD}][]", "there is more text behind the array's end ('[')"),
            (f"[{GOOD}]\0", "there is more text behind the array's end"),
            ("[{'n': 1}]", "element 1 of the array is not whole JSON"),
            ("[nul]", "element 1 of the array is not whole JSON"),
            ('[{"t": "a\nb"}]', "element 1 of the array is not whole JSON"),
        ],
    )
    @pytest.mark.parametrize("block_bytes", [1, 4, 1000])
    def test_a_text_that_is_no_whole_array_is_unreadable(self, text, problem, block_bytes):
        with blocks_of(block_bytes), pytest.raises(UnreadableSource) as error:
            read(text)
        assert problem in str(error.value)

    def test_an_array_cut_off_anywhere_is_unreadable(self):
        whole = json.dumps([json.loads(GOOD), {"t": "b]", "x": [1, {}]}])
        assert read(whole).read == 2
        for length in range(len(whole)):
            with pytest.raises(UnreadableSource):
                read(whole[:length])

    @pytest.mark.parametrize("opening", ["[", '{"a":'])
    def test_bottomless_nesting_is_no_bug_at_any_depth(self, opening):
        closing = "]" if opening == "[" else "}"

        def outcome_of(depth):
            try:
                return read("[" + opening * depth + "1" + closing * depth + "]").read
            except UnreadableSource as error:
                return str(error)

        outcomes = {outcome_of(depth) for depth in [*range(880, 1000), 50_000]}
        assert outcomes == {1, "element 1 of the array is too deeply nested"}

    def test_an_endless_element_does_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(jsonarray, "MAX_LINE_BYTES", 100)
        with blocks_of(10), pytest.raises(UnreadableSource, match="element 2 of the array is not whole JSON"):
            read(f'[{GOOD}, {{"x": "{"x" * 10_000}"}}]')


# --- laws --------------------------------------------------------------------------------------------------------

elements = st.sampled_from(
    [
        *[
            GOOD,
            GOOD,
            GOOD,
            "{}",
            '{"n": 5.0}',
            '{"t": "é☃"}',
            '{"t": "]"}',
            '{"n": 1, "n": 2}',
            "[]",
            "[[], 1]",
            "null",
            "true",
        ],
        *["NaN", "-Infinity", "5", "-1", "1.5", "1e5", "1E-5", '"a\\"]"', '""', "{", "1.", "1e", "-", "tru", '"', "]", "x"],
    ]
)
arrays = st.tuples(
    st.lists(elements, max_size=4),
    st.sampled_from([",", ", ", ",\n  ", "\r\n,"]),
    st.sampled_from(["]", "]", "]\n", "", "] x"]),
).map(lambda parts: "[" + parts[1].join(parts[0]) + parts[2])


def read_or_refuse(text):
    try:
        return comparable(read(text))
    except UnreadableSource as error:
        return str(error)


@settings(max_examples=200, deadline=None)
@given(arrays, st.integers(1, 20))
@example("[1.5]", 3)
@example("[1e5]", 3)
def test_it_does_not_matter_where_windows_are_cut(text, block_bytes):
    whole = read_or_refuse(text)
    with blocks_of(block_bytes):
        assert read_or_refuse(text) == whole
