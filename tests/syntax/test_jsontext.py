"""A stream of JSON as text: its next lines, before anybody has said what they are."""

import io

from hypothesis import given
from hypothesis import strategies as st

from pipeline.syntax.jsontext import JsonText


@given(st.lists(st.sampled_from([b"", b" ", b"{}", b'{"a":1}']), max_size=6), st.booleans(), st.integers(1, 8))
def test_the_next_lines_are_those_that_a_split_gives_and_stay_there(lines, ends_in_newline, count):
    content = b"\n".join(lines) + b"\n" * ends_in_newline
    text, split = JsonText(io.BytesIO(content)), content.split(b"\n", count)
    for _ in range(2):
        assert text.next_lines(count) == (b"\n".join(split[:count]), len(split) <= count)
    assert text.rest == content
