"""How wide texts are, and where they are cut."""

from unicodedata import east_asian_width

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.widths import columns_of, cut


class TestCut:
    @pytest.mark.parametrize(
        ("text", "width", "expected"),
        [
            ("payments", 8, "payments"),
            ("payments", 7, "pay…nts"),
            ("payments", 6, "pay…ts"),
            ("payments", 2, "p…"),
            ("payments", 1, "…"),
            ("\u65e5\u672c\u8a9e", 5, "\u65e5…\u8a9e"),  # letters of two columns are not halved
            ("\u65e5\u672c\u8a9e", 4, "\u65e5…"),
        ],
    )
    def test_a_long_name_keeps_its_ends_and_is_marked(self, text, width, expected):
        assert cut(text, width) == expected

    @given(st.text(st.characters(codec="utf-8"), max_size=12), st.integers(1, 12))
    def test_no_name_is_wider_than_its_room(self, text, width):
        assert columns_of(cut(text, width)) <= width

    def test_marks_take_no_columns_and_wide_letters_two(self):
        assert columns_of("e\u0301") == 1
        assert columns_of("\u2764\ufe0f") == 1
        assert columns_of("\u65e5a") == sum(2 if east_asian_width(letter) == "W" else 1 for letter in "\u65e5a") == 3
