"""JSON in whatever container: lines, arrays, objects over many lines, side by side, or any of these behind one another."""

import io
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import UnreadableSource
from pipeline.kernel.jsonvalues import Between, Stop, split_json
from pipeline.syntax import jsonrecords, jsontext
from pipeline.syntax.batch import Batch
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json
from pipeline.syntax.jsontext import JsonText
from tests.formats.helpers import (
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
    """JSON objects with the keys n (integer), t (text) and s (seconds)."""
    parser = JsonParser(COLUMNS)
    return gather(
        piece if isinstance(piece, Batch) else (parser, piece) for piece in read_json(io.BytesIO(raw_bytes(text)), parser)
    )


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
        monkeypatch.setattr(jsontext, "split_json", lambda *args, **options: split_json(*args, **{"most": 2} | options))
        batches = list(read_json(io.BytesIO(b"[" + b",".join([GOOD.encode(), b"5"] * 3) + b"]"), JsonParser(COLUMNS)))
        assert [batch.read for batch in batches] == [2, 2, 2]
        assert [batch.rows.tolist() for batch in batches] == [[1], [3], [5]]
        assert [batch.raw_of(row) for batch, row in zip(batches, (1, 3, 5), strict=True)] == [GOOD] * 3


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
            ("[", "element 1 of the array, on line 1, is not whole JSON: the text stops short (truncated)"),
            (f"[{GOOD}", "element 2 of the array, on line 1, is not whole JSON: the text stops short"),
            (f"[{GOOD},\n", "element 2 of the array, on line 2, is not whole JSON: the text stops short"),
            (f"[{GOOD},,{GOOD}]", "element 2 of the array, on line 1, is not whole JSON: it is broken on line 1, at ','"),
            (f"[,{GOOD}]", "element 1 of the array, on line 1, is not whole JSON: it is broken on line 1, at ','"),
            (f"[{GOOD}, {GOOD[:-1]}", "element 2 of the array, on line 1, is not whole JSON: the text stops short"),
            (
                f"[{GOOD},\n{GOOD[:9]}]",
                "element 2 of the array, on line 2, is not whole JSON: it is broken on line 2, at ']'",
            ),
            (f"[{GOOD} {GOOD}]", "element 2 of the array, on line 1, is not whole JSON: it is broken on line 1, at '{'"),
            (f"[{GOOD}}}", "element 2 of the array, on line 1, is not whole JSON: it is broken on line 1, at '}'"),
            (f"[{GOOD}] x", "record 2, on line 1, is not whole JSON: it is broken on line 1, at 'x'"),
            (f"[{GOOD}]\0", "record 2, on line 1, is not whole JSON: it is broken on line 1, at '\\x00'"),
            ("[{'n': 1}]", 'element 1 of the array, on line 1, is not whole JSON: it is broken on line 1, at "\'"'),
            ("[nul]", "element 1 of the array, on line 1, is not whole JSON: it is broken on line 1, at ']'"),
            ('[{"t": "a\nb"}]', "element 1 of the array, on line 1, is not whole JSON: it is broken on line 1, at '\\n'"),
        ],
    )
    @pytest.mark.parametrize("block_bytes", [1, 4, 1000])
    def test_a_text_that_is_no_whole_array_is_unreadable(self, text, problem, block_bytes):
        with blocks_of(block_bytes), pytest.raises(UnreadableSource) as error:
            read(text)
        assert str(error.value).startswith(problem)

    def test_an_array_cut_off_anywhere_is_unreadable(self):
        whole = json.dumps([json.loads(GOOD), {"t": "b]", "x": [1, {}]}])
        assert read(whole).read == 2
        for length in range(1, len(whole)):
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

        outcomes = {outcome_of(depth) for depth in [*range(880, 1000), 50_000, 70_000]}
        assert outcomes == {1, "element 1 of the array, on line 1, is too deeply nested"}

    def test_an_endless_element_does_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(jsontext, "MAX_LINE_BYTES", 2 << 20)
        with (
            blocks_of(1000),
            pytest.raises(UnreadableSource, match="element 2 of the array, on line 1, is longer than 2 MiB"),
        ):
            read(f'[{GOOD}, {{"x": "{"x" * 3_000_000}"}}]')


PRETTY = json.dumps(json.loads(GOOD), indent=2)
RECORD = (1, "a", 2.5)


class TestContainers:
    @pytest.mark.parametrize(
        ("text", "rows"),
        [
            (PRETTY, [1]),
            (f"{PRETTY}\n{PRETTY}\n", [1, 2]),
            (f"\n\n{PRETTY}\n\n{PRETTY}", [1, 2]),
            (f"\ufeff{PRETTY}\n\ufeff{PRETTY}\n", [1, 2]),
            (PRETTY.replace("\n", "\r\n") * 2, [1, 2]),
            (json.dumps([json.loads(GOOD)] * 2, indent=4), [1, 2]),
            (GOOD * 3, [1, 2, 3]),
            (f"{GOOD} {GOOD}\t{GOOD}", [1, 2, 3]),
            (f"{GOOD}\r{GOOD}\r{GOOD}\r", [1, 2, 3]),
            (f"{GOOD}, {GOOD},{GOOD}", [1, 2, 3]),
            (f"{GOOD},\n{GOOD},\n{GOOD},\n", [1, 2, 3]),
            (f"[\n{GOOD},\n{GOOD},\n]\n", [1, 2]),
            (f"[{GOOD}][{GOOD}]\n[]\n[{GOOD}]", [1, 2, 3]),
            (f"[{GOOD}]\n{GOOD}", [1, 2]),
            (f"{GOOD}\n{GOOD}\n{PRETTY}\n{GOOD}\n{GOOD}\n", [1, 2, 3, 4, 5]),
            (f"{GOOD}\n\n\n{PRETTY}{GOOD}", [1, 4, 5]),
            (f"{GOOD}\n[{GOOD},\n{GOOD}]\n", [1, 2, 3]),
            (f"{GOOD}\n{GOOD}{GOOD}\n\ufeff{GOOD}\n", [1, 2, 2, 3]),
        ],
    )
    @pytest.mark.parametrize("block_bytes", [1, 7, 64, 1000])
    def test_what_stands_between_records_does_not_matter(self, text, rows, block_bytes):
        with blocks_of(block_bytes):
            assert read(text).records == [(row, *RECORD) for row in rows]

    def test_a_reject_of_a_record_over_many_lines_has_all_its_text(self):
        bad = PRETTY.replace("1", "1.5")
        outcome = read(f"{PRETTY}\n{bad}\n{PRETTY}\n")
        assert (outcome.rows, outcome.faults, outcome.raws) == ([1, 3], [(2, "n", INTEGER_RULE)], {2: bad})

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            (f"{PRETTY}\n{PRETTY[:-3]}", "record 2, on line 6, is not whole JSON: the text stops short (truncated)"),
            (PRETTY[:-3], "record 1, on line 1, is not whole JSON: the text stops short (truncated)"),
            (
                f"{PRETTY}\n{PRETTY.replace(':', '', 1)}\n{PRETTY}",
                "record 2, on line 6, is not whole JSON: it is broken on line 7",
            ),
            (GOOD + GOOD[:-1], "record 2, on line 1, is not whole JSON: the text stops short (truncated)"),
            (f'{{"records": [\n{GOOD},\n{GOOD},\n', "record 1, on line 1, is not whole JSON: the text stops short"),
            (
                f"{GOOD}\n{{\n" + '"a": [1],\n' * 9 + "]}\n" + GOOD,
                "record 2, on line 2, is not whole JSON: it is broken on line 12",
            ),
        ],
    )
    def test_a_broken_record_over_many_lines_is_the_fault_of_the_file(self, text, problem):
        with pytest.raises(UnreadableSource) as error:
            read(text)
        assert str(error.value).startswith(problem)

    @pytest.mark.parametrize("torn", ['{"n":', '{"n": 1,', "{", '{"n": 1, "x": [1,', '{"n": 1, "t": "a', f'{GOOD}{{"n":'])
    def test_a_torn_line_among_lines_is_rejected_alone(self, torn):
        lines = [GOOD, torn, GOOD, torn, torn, GOOD]
        outcome = read("\n".join(lines))
        assert (outcome.rows, list(outcome.raws)) == ([1, 3, 6], [2, 4, 5])
        assert read(f"{torn}\n{GOOD}\n{GOOD}\n").rows == [2, 3]
        assert read(f"{GOOD}\n{GOOD}\n{torn}").rows == [1, 2]

    def test_a_long_line_of_many_values_needs_no_end(self, monkeypatch):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 100)
        monkeypatch.setattr(jsontext, "MAX_LINE_BYTES", 200)
        with blocks_of(64):
            assert read(GOOD * 100).rows == list(range(1, 101))
            assert read(f"{GOOD}\n{GOOD * 100}").rows == list(range(1, 102))
            with pytest.raises(UnreadableSource, match="line 2 is longer"):
                read(f'{GOOD}\n{{"x": "{"x" * 300}"}}')

    def test_a_long_line_of_many_values_in_a_block_is_read_value_by_value(self, monkeypatch):
        monkeypatch.setattr(jsonrecords, "LONG_LINE_BYTES", 100)
        assert read(f"{GOOD}\n{GOOD * 100}\n{GOOD}\n").rows == list(range(1, 103))
        assert read(f"{GOOD}\n{GOOD * 2}\n{GOOD}\n").rows == [1, 2, 2, 3]

    def test_a_value_that_is_almost_a_number_waits_for_the_rest(self):
        for text in ("1", "-", "-Inf", "1.", "1.5", "1e", "1e+", "1e5", "tru", "N", '"', '"\\', '"\\u00e'):
            for before in ("", "5,", '{"a":', '{"a": [1, '):
                found = split_json((before + text).encode(), Between.IN_ARRAY)
                assert (found.stop, found.error) == (Stop.CUT, len(before + text))


class TestAround:
    """Large objects around an array; small ones are values like all others."""

    @pytest.mark.parametrize(
        "text",
        [
            '{"events": [1, 2, 3]}',
            '{"token": {"events": [9]}, "events": [1, 2, 3], "other": [4]}',
            '{"events": [1]}{"a": [], "events":[2,3,]}\n',
            '{"events": [1, 2]}\n{"events": []}\n[3]',
            '{\n  "events": [\n    1,\n    2\n  ],\n  "n": "\\"events\\": [7]"\n}, {"events": [3]}',
            '{"events": 5, "logEvents": [1, 2, 3]}',
        ],
    )
    @pytest.mark.parametrize("block_bytes", [1, 5, 10])
    def test_the_elements_of_the_array_are_the_values(self, monkeypatch, text, block_bytes):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 1)
        with blocks_of(block_bytes):
            blocks = list(JsonText(io.BytesIO(text.encode())).values(1, around=("events", "logEvents")))
        assert [(row, block.value(row)) for block in blocks for row in block.numbers(block.line_count).tolist()] == [
            (row, b"%d" % row) for row in (1, 2, 3)
        ]

    def test_what_stands_before_the_array_is_known(self, monkeypatch):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 1)
        with blocks_of(4):
            text = JsonText(io.BytesIO(b'{"type": "x", "events": [1]}{"events": [2], "type": 7}[3]'))
            assert [text.members.get("type") for _ in text.values(1, around=("events",))] == [b'"x"\n', None, None]

    @pytest.mark.parametrize(
        "text",
        [
            '{"events": [1, 2',
            '{"events": [1] "a": 2}',
            '{"a" 1}',
            "{1: 2}",
            '{"events": [1]',
            '{"a": 1,}',
            '{,"a": 1}',
            '{"other": [1, 2]}',
        ],
    )
    def test_an_object_that_is_not_whole_is_unreadable(self, monkeypatch, text):
        monkeypatch.setattr(jsontext, "LONG_LINE_BYTES", 1)
        with blocks_of(2), pytest.raises(UnreadableSource):
            list(JsonText(io.BytesIO(text.encode())).values(1, around=("events",)))


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
streams = st.lists(st.tuples(elements, st.sampled_from(["\n", "\n", "", " ", ",\n", "\n\ufeff"])), max_size=6).map(
    lambda parts: "".join(map("".join, parts))
)


def read_or_refuse(text):
    try:
        return comparable(read(text))
    except UnreadableSource as error:
        return str(error)


@settings(max_examples=100, deadline=None)
@given(arrays | streams, st.integers(1, 20))
@example("[1.5]", 3)
@example("[1e5]", 3)
def test_it_does_not_matter_where_windows_are_cut(text, block_bytes):
    whole = read_or_refuse(text)
    with blocks_of(block_bytes):
        assert read_or_refuse(text) == whole


def values_of(text):
    """The values of a stream by Python's json module alone: an array's are its elements."""
    decoder, position = json.JSONDecoder(), 0
    while True:
        while text[position : position + 1] in (" ", "\t", "\r", "\n", "\ufeff", ",") and position < len(text):
            position += 1
        if position == len(text):
            return
        value, position = decoder.raw_decode(text, position)
        yield from value if isinstance(value, list) else [value]


keys = st.sampled_from(["n", "t", "s", "x", 'a"b', "\u00e9"])
leaves = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "a", "}{", "],[", '\\"', "\n", "\u2028"])
things = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=2), max_leaves=4
)
records = st.fixed_dictionaries(
    {"n": st.integers(0, 99), "t": st.sampled_from(["a", "{", "\u00e9"])}, optional={"x": things}
)


@st.composite
def written(draw):
    """Records, and the same in any mixture of containers."""
    found, text = [], ""
    for _ in range(draw(st.integers(1, 6))):
        some = draw(st.lists(records, min_size=1, max_size=3))
        found += some
        indent = draw(st.sampled_from([None, None, 0, 1, 4]))
        if draw(st.integers(0, 3)) == 3:
            text += json.dumps(some, indent=indent)
        else:
            text += draw(st.sampled_from(["", " ", "\n", ",", ",\n"])).join(json.dumps(one, indent=indent) for one in some)
        text += draw(st.sampled_from(["\n", "\n", "\n", "\r\n", "", " ", "\n\n"]))
    return found, text


@settings(max_examples=100, deadline=None)
@given(written(), st.integers(1, 40))
def test_the_records_are_those_that_python_finds_in_the_whole_text(case, block_bytes):
    found, text = case
    # A line that ends in a comma, where none stands behind the objects before it, is no record of JSON Lines.
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if not text.startswith("[") and not lines[0].endswith(",") and any(line.endswith(",") for line in lines):
        return
    assert list(values_of(text)) == found
    with blocks_of(block_bytes):
        outcome = read(text)
    assert [(n, t) for n, t, _ in outcome.cells] == [(one["n"], one["t"]) for one in found]
    assert outcome.rows == sorted(outcome.rows)
    assert not outcome.rejects


@settings(max_examples=100, deadline=None)
@given(arrays | streams | written().map(lambda case: case[1]), st.integers(0, 30))
def test_the_splitter_takes_what_python_takes(text, cut):
    """The first value of any text: where it ends, and that it is the same one."""
    text = text[cut:].lstrip(" \t\r\n\ufeff,")
    found = split_json(text.encode("utf-8", "surrogatepass"), most=1)
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError:
        assert not len(found.starts)
        return
    if text[end : end + 1] in (".", "e", "E") and found.stop is Stop.CUT:
        return  # Python takes the number, and we wait for the rest
    assert found.ends.tolist() == [len(text[:end].encode("utf-8", "surrogatepass"))]
    assert repr(json.loads(found.lines)) == repr(value)
