"""Text in blocks of whole lines, each with its place in the file."""

import io
from itertools import accumulate
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.kernel.columns import survey
from pipeline.scalars import MAX_RAW_BYTES
from pipeline.syntax import blocks
from pipeline.syntax.blocks import TextBlock, raw_text, text_blocks
from pipeline.syntax.csvrecords import CsvBlock
from tests.formats.helpers import blocks_of


def blocks_in(stream, block_bytes, kind=TextBlock):
    with blocks_of(block_bytes):
        return list(text_blocks(stream, kind))


def cut(data, block_bytes):
    return [(block.data, block.first_line) for block in blocks_in(io.BytesIO(data), block_bytes)]


class TestBlocks:
    def test_a_block_ends_with_a_whole_line_and_knows_its_first(self):
        assert cut(b"one\ntwo\nthree\nfour", 9) == [(b"one\ntwo\n", 1), (b"three\n", 3), (b"four", 4)]

    def test_a_line_longer_than_a_block_stays_whole(self):
        assert cut(b"a\n" + b"long" * 5 + b"\nb\n", 4) == [(b"a\n", 1), (b"long" * 5 + b"\n", 2), (b"b\n", 3)]

    def test_nothing_has_no_blocks(self):
        assert cut(b"", 4) == []

    @settings(deadline=None)
    @given(st.text("ab\n\r", max_size=60).map(str.encode), st.integers(1, 70), st.integers(1, 9))
    def test_the_blocks_together_are_the_file(self, data, block_bytes, looked_at):
        with patch.object(blocks, "_LOOKED_AT", looked_at):
            found = blocks_in(io.BytesIO(data), block_bytes)
        assert b"".join(block.data for block in found) == data
        assert all(block.data.endswith(b"\n") for block in found[:-1])
        line = 1
        for block in found:
            assert block.first_line == line
            line += block.data.count(b"\n")

    def test_a_block_that_ends_with_a_line_is_not_copied(self):
        stream = io.BytesIO(b"a line\n" * 2000)
        (block,) = blocks_in(stream, 20_000)
        assert block.data is stream.getvalue()

    def test_of_a_file_no_more_is_read_than_its_last_whole_line(self):
        read = []

        class File(io.BytesIO):
            def fileno(self):
                return 0

            def read(self, size=-1):
                read.append(super().read(size))
                return read[-1]

        found = blocks_in(File(b"a line\n" * 2000), 10_000)
        assert [len(block.data) for block in found] == [9_996, 4_004]
        assert all(any(block.data is text for text in read) for block in found)

    @pytest.mark.parametrize("header", [b"hour,bytes\n", b"\n", b"x" * 5_000 + b"\n"])
    def test_a_header_is_a_block_of_its_own_so_that_nobody_copies_what_is_behind_it(self, header):
        asked = []

        class File(io.BytesIO):
            def fileno(self):
                return 0

        def is_header(line):
            asked.append(line)
            return True

        data = header + b"a line\n" * 2000
        found = [block.data for block in text_blocks(File(data), TextBlock, is_header=is_header)]
        # To look for the end of a line that is so long would cost something.
        assert found == ([data] if len(header) > 4096 else [header, b"a line\n" * 2000])
        assert asked == found[:-1]

    def test_a_first_line_that_is_no_header_stays_with_the_others(self, tmp_path):
        path = tmp_path / "lines"
        path.write_bytes(b"a line\n" * 2000)
        with path.open("rb") as file:
            assert [block.data for block in text_blocks(file, TextBlock, is_header=lambda _: False)] == [path.read_bytes()]

    def test_another_cut_may_keep_lines_together(self):
        class BehindSemicolon(TextBlock):
            def last_end(self, rest):
                data = rest + self.data
                return data.rfind(b";\n") + 2 if b";\n" in data else 0

        found = blocks_in(io.BytesIO(b"a\nb;\nc;\n"), 3, BehindSemicolon)
        assert [(block.data, block.first_line) for block in found] == [(b"a\nb;\n", 1), (b"c;\n", 3)]

    @pytest.mark.parametrize("block_bytes", [1, 3, 4, 5, 7, 99])
    def test_a_byte_order_mark_is_taken_off_the_start_of_each_line(self, block_bytes):
        """Joining files that have one makes it."""
        data = b"\xef\xbb\xbfa\n\xef\xbb\xbfb\r\n\xef\xbb\xbf\nc\xef\xbb\xbf\n\xef\xbb\xbf"
        found = blocks_in(io.BytesIO(data), block_bytes)
        assert b"".join(block.data for block in found) == b"a\nb\r\n\nc\xef\xbb\xbf\n"

    @pytest.mark.parametrize("codec", ["utf-16", "utf-16-be", "utf-32"])
    def test_utf_16_and_utf_32_are_refused_by_name(self, codec):
        data = "\ufeffhour".encode(codec) if codec == "utf-16-be" else "hour".encode(codec)
        with pytest.raises(UnknownFormat, match="UTF-16 or UTF-32 text; convert it to UTF-8"):
            cut(data, 99)

    def test_an_endless_line_is_no_log_and_does_not_fill_the_memory(self, monkeypatch):
        monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 10)
        assert cut(b"a\n" + b"x" * 10 + b"\n", 4)[-1] == (b"x" * 10 + b"\n", 2)
        with pytest.raises(UnreadableSource, match="line 2 is longer than"):
            cut(b"a\n" + b"x" * 20 + b"\n", 4)

    @pytest.mark.parametrize("before", range(12))
    def test_whether_a_line_is_too_long_does_not_depend_on_where_a_block_ends(self, monkeypatch, before):
        monkeypatch.setattr(blocks, "MAX_LINE_BYTES", 10)
        assert cut(b"a\n" * before + b"x" * 10 + b"\n", 8)
        with pytest.raises(UnreadableSource, match=f"line {before + 1} is longer than"):
            cut(b"a\n" * before + b"x" * 11 + b"\n", 8)


class TestPieces:
    """A block of two million lines could be two million rejects at once."""

    @given(st.text("ab\n\r", max_size=60).map(str.encode), st.integers(1, 7))
    def test_the_pieces_of_a_block_are_its_lines_a_few_at_a_time(self, data, most):
        with patch.object(blocks, "MAX_LINES_AT_ONCE", most):
            pieces = list(TextBlock(data, 5).pieces())
        assert b"".join(piece.data for piece in pieces) == data
        assert all(piece.line_count <= most for piece in pieces)
        assert [piece.first_line for piece in pieces] == list(accumulate((p.line_count for p in pieces), initial=5))[:-1]

    @given(st.lists(st.sampled_from([b"a,b", b'"a\nb",c', b'"\n\n""\n"', b""]), max_size=20), st.integers(1, 7))
    def test_a_record_of_several_lines_stays_whole(self, records, most):
        data = b"".join(record + b"\n" for record in records)
        with patch.object(blocks, "MAX_LINES_AT_ONCE", most):
            pieces = list(CsvBlock(data, 5).pieces())
        assert b"".join(piece.data for piece in pieces) == data
        assert [row for piece in pieces for row in piece.rows().tolist()] == CsvBlock(data, 5).rows().tolist()
        assert all(piece.data.count(b'"') % 2 == 0 for piece in pieces)


class TestLines:
    @pytest.mark.parametrize(
        ("data", "rows"),
        [
            (b"", []),
            (b"a", [1]),
            (b"a\n", [1]),
            (b"a\nb", [1, 2]),
            (b"\n\na\n", [3]),
            (b"a\n\nb\n", [1, 3]),
            (b"a\n\n\n", [1]),
            (b"a\r\n\r\nb\r\n", [1, 3]),
            (b"\r\na\r\n", [2]),
            (b"\r", []),
            (b"a\n\r", [1]),
            (b" \n\t\n", [1, 2]),  # white space is not nothing
            (b"a\rb\n", [1]),  # a return alone ends no line
        ],
    )
    def test_blank_lines_are_no_rows(self, data, rows):
        assert TextBlock(data, 1).rows().tolist() == rows
        assert TextBlock(data, 101).rows().tolist() == [row + 100 for row in rows]

    def test_a_line_is_found_by_its_number_in_the_file(self):
        block = TextBlock(b"a\r\n\nb\nc", 7)
        assert [block.line(number) for number in (7, 8, 9, 10)] == [b"a", b"", b"b", b"c"]

    @given(st.text("ab\n", max_size=40).map(str.encode))
    def test_lines_are_found_by_what_they_hold_and_cut_out(self, data):
        block = TextBlock(data, 7)
        lines = data.splitlines(keepends=True)
        starts = [0, *accumulate(map(len, lines))][: len(lines)]
        found = block.lines_with(b"abab")
        assert found == [start for start, line in zip(starts, lines, strict=True) if b"abab" in line]
        pieces = list(block.cut_at(found))
        assert b"".join(piece.data for piece in pieces) == data
        assert [piece.data for piece in pieces if b"abab" in piece.data] == [line for line in lines if b"abab" in line]
        ends = accumulate((piece.data.count(b"\n") for piece in pieces), initial=7)
        assert [piece.first_line for piece in pieces] == [*ends][:-1]

    def test_the_lines_behind_the_first_keep_their_numbers(self):
        first, rest = TextBlock(b"\r\n\na\r\n\nb\nc\n", 7).split_first()
        assert (first, rest.data, rest.first_line) == (b"a", b"\nb\nc\n", 10)
        assert TextBlock(b"a", 1).split_first()[1].rows().tolist() == []
        assert TextBlock(b"\n\r\n", 1).split_first() is None

    def test_a_line_behind_a_lone_return_is_not_blank(self):
        """Else whoever looks for the first line of a block passes over all that begin so, without a word."""
        first, rest = TextBlock(b"\n\ra\n\rb\n", 1).split_first()
        assert (first, rest.data, rest.first_line) == (b"\ra", b"\rb\n", 3)

    @given(st.text('ab \n\r"').map(str.encode))
    def test_and_are_what_a_look_at_them_alone_tells(self, data):
        found = TextBlock(data, 7).split_first()
        assert found is None or found[1].survey == survey(found[1].data)

    @pytest.mark.parametrize(
        ("data", "plain"),
        [(b"", True), (b"a\nb\n", True), (b"a\r\nb\r\n", True), (b"a\rb\n", False), (b"a\r\r\n", False), (b"a\n\r", False)],
    )
    def test_a_block_with_a_lone_carriage_return_is_not_plain(self, data, plain):
        assert TextBlock(data, 1).is_plain is plain


class TestRawText:
    def test_bytes_that_are_not_utf8_are_shown_escaped(self):
        assert TextBlock(b"a\n\xc3\xa9\xff\n", 1).raw_of(2) == "é\\xff"

    def test_a_long_row_is_cut_with_a_note_of_its_length(self):
        assert raw_text(b"x" * MAX_RAW_BYTES) == "x" * MAX_RAW_BYTES
        assert raw_text(b"x" * 5000) == "x" * MAX_RAW_BYTES + "… (5,000 bytes)"

    @settings(deadline=None)
    @given(st.binary(max_size=20))
    def test_any_bytes_can_be_shown_and_stored(self, raw):
        raw_text(raw).encode("utf-8")
