"""JSON values one a line; and arrays of texts are cut out of JSON objects, or their line is left as it is."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kernel.jsonvalues import Between, count_newlines, cut_arrays, split_json


def cut(*lines):
    """The lines, how many arrays were cut out of each, and the texts of each array."""
    found = cut_arrays("".join(f"{line}\n" for line in lines).encode(), "t")
    texts = [found.texts[start:end] for start, end in zip(found.ends, found.ends[1:], strict=False)]
    assert [len(text.splitlines()) for text in texts] == found.counts
    return [(line.decode(), count) for line, count in found.lines], [text.decode().splitlines() for text in texts]


def test_the_number_of_each_array_on_its_line_takes_its_place():
    lines, texts = cut('{"a":[{"t":["x","y,]"]},{"t":[]}],"tt":["z"],"t":["w"]}', '{"t":["v"]}', '{"b":["t"]}', "[]")
    assert lines == [
        ('{"a":[{"t":0},{"t":1}],"tt":["z"],"t":2}', 3),
        ('{"t":0}', 1),
        ('{"b":["t"]}', 0),
        ("[]", 0),
    ]
    assert texts == [["x", "y,]"], [], ["w"], ["v"]]


@pytest.mark.parametrize(
    "line",
    [
        *('{"t":5}', '{"t":"a"}', '{"t":null}', '{"t":{}}'),
        *('{"t":[5]}', '{"t":["a",null]}', '{"t":[["a"]]}', '{"t":[""]}', '{"t":["é"]}'),
        *('{"t":["a\\n"]}', '{"b":"\\"t\\":[","t":["a"]}', '{"\\u0074":3,"t":["a"]}'),
    ],
)
def test_a_line_whose_arrays_are_not_of_plain_texts_is_left(line):
    assert cut('{"t":["a"]}', line, '{"t":["b"]}') == ([('{"t":0}', 1), (line, -1), ('{"t":0}', 1)], [["a"], ["b"]])


_texts = st.lists(st.text("ab,]:", min_size=1, max_size=20), max_size=5)
_values = st.recursive(
    st.one_of(st.integers(0, 9), st.text('t"[', max_size=3)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abt"), st.one_of(inner, _texts))),
    max_leaves=8,
)


@given(st.lists(_values, max_size=6))
def test_the_arrays_put_back_make_the_line(values):
    found = cut_arrays("".join(json.dumps(value, separators=(",", ":")) + "\n" for value in values).encode(), "t")
    first = 0
    for value, (line, count) in zip(values, found.lines, strict=True):
        pieces = [
            found.texts[found.ends[place] : found.ends[place + 1]].decode().splitlines()
            for place in range(first, first + max(count, 0))
        ]
        first += len(pieces)

        def put_back(pairs, pieces=pieces, count=count):
            return {key: pieces[cell] if key == "t" and count > 0 else cell for key, cell in pairs}

        assert json.loads(line, object_pairs_hook=put_back) == value


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text('a"\\\n\x01é', max_size=40)
    | st.sampled_from(["a" * 15, "a" * 16, "a" * 17]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=20), inner, max_size=3),
)


@given(st.lists(_values, max_size=5), st.sampled_from([None, 1]), st.sampled_from(["", " ", "\n"]))
def test_values_come_without_the_blanks_between_their_parts(values, indent, gap):
    text = "".join(json.dumps(value, indent=indent) + gap + "," for value in values).encode()
    found = split_json(text, Between.IS_LAST)
    assert found.lines == b"".join(json.dumps(value, separators=(",", ":")).encode() + b"\n" for value in values)
    assert [json.loads(text[start:end]) for start, end in zip(found.starts, found.ends, strict=True)] == values


@given(st.binary(max_size=40), st.integers(1, 40), st.integers(0, 1600), st.integers(0, 1700))
def test_newlines_are_counted_as_python_counts_them(some, times, start, end):
    text = (some + b"\n") * times
    assert count_newlines(text, start, end) == text.count(b"\n", start, end)
