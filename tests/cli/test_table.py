"""Tables for people: how wide, which columns, what is cut."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli.table import Column, Foot, aligned, left_out
from pipeline.widths import columns_of

TIMES = [Column("hour", ["498752", "498752"]), Column("time", ["2026-11-24T08", "2026-11-24T08"])]


def names(*cells):
    return Column("src_app", list(cells), is_name=True)


def numbers(name, *cells):
    return Column(name, list(cells), is_number=True)


class TestWidth:
    COLUMNS = (*TIMES, names("a-long-name-of-an-app", "b"), numbers("bytes_tx", "1", "20"), numbers("flows", "3", "4"))
    FEET = (Foot("total (2 rows)", {"bytes_tx": "21", "flows": "7"}),)

    def lines(self, width):
        return aligned(self.COLUMNS, self.FEET, width).splitlines()

    def test_where_there_is_room_nothing_is_cut(self):
        expected = [
            "hour    time           src_app                bytes_tx  flows",
            "498752  2026-11-24T08  a-long-name-of-an-app         1      3",
            "498752  2026-11-24T08  b                            20      4",
            "total (2 rows)                                      21      7",
        ]
        assert self.lines(None) == self.lines(61) == self.lines(200) == expected

    def test_then_the_hours_number_goes_beside_which_its_time_stands(self):
        assert self.lines(60)[1] == "2026-11-24T08  a-long-name-of-an-app         1      3"
        assert left_out(self.COLUMNS, self.FEET, 60) == []

    def test_then_names_are_cut(self):
        assert self.lines(45)[1] == "2026-11-24T08  a-long…an-app         1      3"
        assert left_out(self.COLUMNS, self.FEET, 45) == []

    def test_then_columns_go_and_are_named(self):
        assert self.lines(30)[0] == "src_app               bytes_tx"
        assert left_out(self.COLUMNS, self.FEET, 30) == ["time (2026-11-24T08)", "flows"]

    def test_digits_are_never_cut(self):
        columns = [names("web"), numbers("bytes_tx", "1,234,567"), numbers("bytes_rx", "7,654,321")]
        feet = [Foot("total (100 rows)", {"bytes_tx": "1,234,567", "bytes_rx": "7,654,321"})]
        for width in range(1, 50):
            written = "".join(aligned(columns, feet, width).split("\n")[1:])
            shown = {part for part in written.split() if part.strip("0123456789,…") == "" and len(part) > 3}
            assert shown <= {"1,234,567", "7,654,321"}

    @given(st.integers(1, 80), st.text(min_size=1, max_size=30), st.integers(0, 10**20))
    def test_no_line_is_wider_than_the_terminal(self, width, name, number):
        text = repr(name)[1:-1]
        columns = [*TIMES, names(text, "b"), numbers("bytes_tx", f"{number:,}", "1"), numbers("share", "1%", "2%")]
        feet = [Foot(f"total ({number:,} rows)", {"bytes_tx": f"{number + 1:,}", "share": "100%"})]
        assert all(columns_of(line) <= width for line in aligned(columns, feet, width).splitlines())

    def test_the_narrow_names_are_spared_where_wide_ones_are_cut(self):
        columns = [Column("a", ["x" * 30], is_name=True), Column("b", ["short"], is_name=True)]
        assert aligned(columns, width=27).splitlines()[1] == "xxxxxxxxxx…xxxxxxxxx  short"

    def test_a_label_may_be_wider_than_the_names(self):
        table = aligned([names("a"), numbers("flows", "1")], [Foot("other (1,000 rows)", {"flows": "5"})])
        assert table.splitlines() == ["src_app             flows", "a                       1", "other (1,000 rows)      5"]


class TestRightToLeft:
    def test_letters_from_right_to_left_are_isolated_on_a_terminal_alone(self):
        name = "\u05d0\u05d1\u05d2"
        columns = [names(name, "b"), numbers("flows", "1", "2")]
        assert f"\u2068{name}\u2069" in aligned(columns, width=80)
        assert "\u2068" not in aligned(columns)
        first, second = aligned(columns, width=80).splitlines()[1:]
        assert columns_of(first) == columns_of(second)
