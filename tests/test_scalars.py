"""Amounts and names that users type and read."""

import pytest

from pipeline.errors import UsageError
from pipeline.scalars import bytes_to_text, column_named_twice, parse_bytes


class TestBytes:
    @pytest.mark.parametrize(
        ("number", "text"),
        [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1234, "1.2 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (1_234_567_890, "1.2 GB"),
            (87_463_454_226_311, "87.5 TB"),
            (2**63 - 1, "9.2 EB"),
            (10**25, "10,000.0 ZB"),
            (-1500, "-1.5 kB"),
        ],
    )
    def test_sizes_are_said_in_thousands(self, number, text):
        assert bytes_to_text(number) == text

    @pytest.mark.parametrize(
        ("text", "number"),
        [
            ("0", 0),
            ("1500", 1500),
            ("1.5 kB", 1500),
            ("20k", 20_000),
            ("1.2 GB", 12 * 10**8),
            ("3tb", 3 * 10**12),
            ("7 B", 7),
        ],
    )
    def test_and_read_as_they_are_said(self, text, number):
        assert parse_bytes(text) == number

    @pytest.mark.parametrize("text", ["", "much", "-1", "1.", "1,000", "1e9", "5 apples", "\u0661"])
    def test_what_is_no_number_of_bytes_is_refused(self, text):
        with pytest.raises(UsageError, match=r"no number of bytes; write it like 1500, 20kB or 1\.5GB"):
            parse_bytes(text)


def test_a_wanted_column_that_is_named_twice_is_said_with_its_name_and_how_often():
    names = ["a", "b", "c", "b", "c", "c"]
    assert column_named_twice(names, ["c", "a"]) == "names the column c 3 times"
    assert column_named_twice(names, ["a", "d"]) == ""
