"""Delimited text: CSV, and logs whose fields are split by a space or a tab."""

import csv
import io
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.errors import MissingColumns, SourceError, UnreadableSource
from pipeline.syntax import delimited
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.csvrecords import CsvBlock, csv_record_ends
from pipeline.syntax.delimited import CsvParser, DelimitedParser, Dialect, read_csv
from tests.formats.helpers import (
    COLUMNS,
    INTEGER_RULE,
    SECONDS_RULE,
    SIZE_RULE,
    UTF8_RULE,
    blocks_of,
    comparable,
    gather,
    raw_bytes,
)

CSV_RULE = "must be well-formed CSV"
SPACES = Dialect(" ", null="-")
TABS = Dialect("\t", null="-")


def read(text):
    """A CSV file with the columns n (integer), t (text) and s (seconds)."""
    return gather(read_csv(io.BytesIO(raw_bytes(text)), lambda header: CsvParser(header, COLUMNS)))


def read_split(text, dialect):
    """The same three columns, without a header."""
    parser = DelimitedParser(["n", "t", "s"], COLUMNS, dialect)
    return gather(parser.parse(block) for block in delimited.text_blocks(io.BytesIO(raw_bytes(text)), TextBlock))


class TestHeader:
    @pytest.mark.parametrize(
        "text",
        [
            "n,t,s\n1,a,2.5\n",
            "s,n,t\n2.5,1,a\n",
            "x,t,y,s,n,z\n7,a,8,2.5,1,9\n",
            "n,x,t,x,s\n1,8,a,9,2.5\n",  # what nobody asks for may stand there twice
            " n , t , s \n1,a,2.5\n",
            '"n","t","s"\n1,a,2.5\n',
            "\ufeffn,t,s\n1,a,2.5\n",
            "n,t,s\r\n1,a,2.5\r\n",
            "n,t,s\n1,a,2.5",
            "n,t,s,\n1,a,2.5,\n",
        ],
    )
    def test_columns_are_found_by_their_names(self, text):
        assert read(text).records == [(2, 1, "a", 2.5)]

    def test_blank_lines_may_stand_before_it(self):
        assert read("\n\r\nn,t,s\n1,a,2.5\n").records == [(4, 1, "a", 2.5)]

    def test_a_header_cell_may_span_lines(self):
        assert read('n,"a\nnote",t,s\n1,,a,2.5\n').records == [(3, 1, "a", 2.5)]

    @pytest.mark.parametrize("text", ["n,t,s\n", "n,t,s", "n,t,s\n\n\r\n", "\ufeffn,t,s\n"])
    def test_a_header_alone_has_no_records(self, text):
        outcome = read(text)
        assert (outcome.records, outcome.rejects, outcome.read) == ([], [], 0)

    @pytest.mark.parametrize("text", ["", "\n", "\r\n\n"])
    def test_nothing_has_no_records(self, text):
        assert read(text).read == 0

    @pytest.mark.parametrize(
        ("text", "missing", "found"),
        [
            ("n,x,s\n1,2,3\n", ["t"], ["n", "x", "s"]),
            ("n;t;s\n1;2;3\n", ["n", "t", "s"], ["n;t;s"]),
            ("N,t,s\n", ["n"], ["N", "t", "s"]),
            ("1,a,2.5\n", ["n", "t", "s"], ["1", "a", "2.5"]),
        ],
    )
    def test_missing_columns_are_named_with_what_the_file_has(self, text, missing, found):
        with pytest.raises(MissingColumns) as error:
            read(text)
        assert (error.value.missing, error.value.found) == (missing, found)

    def test_a_wanted_column_that_stands_there_twice_is_ambiguous(self):
        with pytest.raises(UnreadableSource, match="the header names the column t 2 times"):
            read("n,t,s,t\n1,a,2.5,b\n")

    @pytest.mark.parametrize(
        ("header", "problem"),
        [
            (b"n,t\xff,s\n", "it is not UTF-8 text; mend it, or name another format by --format"),
            (b"n,t,s\r1,a,2.5\r\n", "a carriage return stands inside it"),
            (b'n,"t"x,s\n', ""),
        ],
    )
    def test_a_header_that_cannot_be_read_is_said_so(self, header, problem):
        with pytest.raises(UnreadableSource, match=f"the header line cannot be read: {problem}"):
            read(header)


class TestCells:
    @pytest.mark.parametrize(
        ("cell", "value"),
        [(" 5 ", 5), ("\t5", 5), ('"5"', 5), ('" 5 "', 5), ("-5", -5), ("007", 7), ("9223372036854775807", 2**63 - 1)],
    )
    def test_an_integer(self, cell, value):
        assert read(f"n,t,s\n{cell},a,1\n").cells == [(value, "a", 1.0)]

    @pytest.mark.parametrize(
        ("cell", "rule", "value"),
        [
            ("", INTEGER_RULE, ""),
            ('""', INTEGER_RULE, ""),
            ("-", INTEGER_RULE, "-"),
            ("null", INTEGER_RULE, "null"),
            ("x", INTEGER_RULE, "x"),
            ("+5", INTEGER_RULE, "+5"),
            ("5.0", INTEGER_RULE, "5.0"),
            ("0x10", INTEGER_RULE, "0x10"),
            ("0X10", INTEGER_RULE, "0X10"),
            ("1e3", INTEGER_RULE, "1e3"),
            ("1 000", INTEGER_RULE, "1 000"),
            ("9223372036854775808", SIZE_RULE, "9223372036854775808"),
            ("true", INTEGER_RULE, "true"),
        ],
    )
    def test_what_is_no_integer_is_rejected_as_it_stands(self, cell, rule, value):
        (reject,) = read(f"n,t,s\n1,a,1\n{cell},a,1\n").rejects
        assert (reject.row, reject.field, reject.rule, reject.value, reject.raw) == (3, "n", rule, value, f"{cell},a,1")

    @pytest.mark.parametrize(
        ("cell", "value"),
        [
            ("", ""),
            ('""', ""),
            (" a ", "a"),
            ("\ta", "a"),
            ('" a "', "a"),
            (" ", ""),
            ("a b", "a b"),
            ('"a,b"', "a,b"),
            ('"a\nb"', "a\nb"),
            ('"a\r\nb"', "a\r\nb"),
            ('"a\rb"', "a\rb"),
            ('"\n\n"', "\n\n"),
            ('"a""b"', 'a"b'),
            ('""""', '"'),
            ('""""""', '""'),
            ("null", "null"),
            ("NA", "NA"),
            ("-", "-"),
            ("0x10", "0x10"),
            ("é☃", "é☃"),
        ],
    )
    @pytest.mark.parametrize("beside", ["", "b,x,1\n"], ids=["alone", "beside a bad row"])
    def test_a_text_is_taken_as_it_is(self, cell, value, beside):
        assert read(f"t,n,s\n{cell},1,1\n{beside}").cells == [(1, value, 1.0)]

    def test_a_byte_order_mark_is_text_but_at_the_start_of_a_line(self):
        assert read("t,n,s\n\ufeffa,1,1\nb\ufeff,2,1\n").cells == [(1, "a", 1.0), (2, "b\ufeff", 1.0)]

    @pytest.mark.parametrize("line", ["a\0b,2,1", "b,2\0,1", '"\0",2,1', "\0\0\0b,2,1", "\0"])
    @pytest.mark.parametrize("beside", ["", 'c,"3",1\n'], ids=["plain", "beside quotes"])
    def test_a_row_with_a_nul_is_rejected(self, line, beside):
        outcome = read(f"t,n,s\na,1,1\n{line}\n{beside}")
        assert outcome.faults == [(3, "", "must not contain NUL bytes")]
        assert outcome.rows == [2, 4][: 1 + bool(beside)]

    def test_a_text_that_is_not_utf8_is_rejected(self):
        (reject,) = read(b"n,t,s\n1,caf\xe9,1\n2,a,1\n").rejects
        assert (reject.row, reject.field, reject.rule) == (2, "t", UTF8_RULE)
        assert (reject.value, reject.raw) == ("caf\\xe9", "1,caf\\xe9,1")

    def test_a_column_that_nobody_asks_for_may_hold_anything(self):
        assert read(b'n,x,t,s\n1,\xff0x,a,1\n2,"\n",b,1\n').records == [(2, 1, "a", 1.0), (3, 2, "b", 1.0)]

    @pytest.mark.parametrize("cell", ["+5", "nan", "inf", "Infinity", "x", ""])
    @pytest.mark.parametrize("beside", ["", "x,b,1\n"], ids=["alone", "beside a bad row"])
    def test_what_is_no_time_is_rejected_whatever_stands_beside_it(self, cell, beside):
        assert (2, "s", SECONDS_RULE) in read(f"n,t,s\n1,a,{cell}\n{beside}").faults

    def test_a_row_is_rejected_once_for_the_first_of_its_faults(self):
        assert read(b"s,t,n\nx,\xff,y\n").faults == [(2, "n", INTEGER_RULE)]


class TestShape:
    def test_short_and_long_records_are_rejected_with_their_number_of_fields(self):
        outcome = read("n,t,s\n1,a\n2,b,1\n\n3\n4,c,1,x\n,,,,,\n")
        assert outcome.records == [(3, 2, "b", 1.0)]
        assert [(reject.row, reject.rule, reject.value, reject.raw) for reject in outcome.rejects] == [
            (2, "must have 3 fields", "2", "1,a"),
            (5, "must have 3 fields", "1", "3"),
            (6, "must have 3 fields", "4", "4,c,1,x"),
            (7, "must have 3 fields", "6", ",,,,,"),
        ]

    def test_a_file_of_misshapen_records_alone_is_read_to_its_end(self):
        assert read("n,t,s\n1\n2\n").faults == [(2, "", "must have 3 fields"), (3, "", "must have 3 fields")]

    @pytest.mark.parametrize("line", [b"\xff", b"1,\xff", b"1,a,1,\xff", b"\xff" * 200])
    def test_a_misshapen_record_may_hold_any_bytes(self, line):
        outcome = read(b"n,t,s\n1,a,1\n" + line + b"\n2,b,1\n")
        assert outcome.records == [(2, 1, "a", 1.0), (4, 2, "b", 1.0)]
        assert outcome.faults == [(3, "", "must have 3 fields")]

    @pytest.mark.parametrize("dialect", [SPACES, TABS], ids=["spaces", "tabs"])
    def test_a_misshapen_line_of_a_log_may_hold_any_bytes(self, dialect):
        outcome = read_split(b"\xff\xff\n", dialect)
        assert outcome.faults == [(1, "", "must have 3 fields")]

    @pytest.mark.parametrize(
        ("text", "rows"),
        [
            ("n,t,s\n{},a,1\n{},b,1\n", [2, 3]),
            ("n,t,s\n\n{},a,1\n\r\n\n{},b,1\n\n", [3, 6]),
            ('n,t,s\n{},"a\n\nb",1\n{},b,1\n', [2, 5]),
            ('n,t,s\n\n{},"\r\n",1\r\n\n{},b,1', [3, 6]),
            ("n,t,s\r\n{},a,1\r\n\r\n{},b,1\r\n", [2, 4]),
            ('\ufeff\nn,t,s\n{},a,1\n{},"b\rc",1\n', [3, 4]),
        ],
    )
    def test_a_record_has_the_number_of_the_line_on_which_it_starts(self, text, rows):
        assert read(text.format("1", "2")).rows == rows
        assert read(text.format("x", "y")).faults == [(row, "n", INTEGER_RULE) for row in rows]

    def test_the_raw_text_of_a_record_is_all_its_lines(self):
        outcome = read('n,t,s\n1,a,1\n"x","a\n""b"",\n",1\r\n2,b\n')
        assert outcome.raws == {3: '"x","a\n""b"",\n",1', 6: "2,b"}

    def test_a_line_of_carriage_returns_is_read_alike_beside_quotes_and_without_them(self):
        bare, quoted = read("n,t,s\n1,a,1\n\r\r\n2,b,1\n"), read('n,t,s\n1,"a",1\n\r\r\n2,b,1\n')
        assert (bare.records, bare.rejects) == (quoted.records, quoted.rejects)


class TestQuotesAndReturns:
    @pytest.mark.parametrize(
        ("record", "cells"),
        [
            ('1,a"b,1', (1, 'a"b', 1.0)),  # a quote inside a bare cell is a character
            ('1,a"b"c,1', (1, 'a"b"c', 1.0)),
            ('1, "a",1', (1, "a", 1.0)),  # but for one behind blanks
            ('1, "a,b",1', (1, "a,b", 1.0)),
            ('1,a"",1', (1, 'a""', 1.0)),
        ],
    )
    def test_a_quote_inside_a_bare_cell_is_a_character(self, record, cells):
        assert read(f"n,t,s\n{record}\n2,b,1\n").cells == [cells, (2, "b", 1.0)]

    @pytest.mark.parametrize("record", ['1,"a"b,1', '1,"a" ,1', '1,""a"",1', '"1"x,"a",1'])
    def test_text_behind_a_closing_quote_is_rejected(self, record):
        outcome = read(f"n,t,s\n{record}\n2,b,1\n")
        assert outcome.records == [(3, 2, "b", 1.0)]
        assert (outcome.faults, outcome.raws) == ([(2, "", CSV_RULE)], {2: record})

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ('n,t,s\n1,"a,1\n', 2),
            ('n,t,s\n1,a,1\n2,"b,1\n3,c,1\n', 3),
            ('n,t,s\n1,a,1\n\n2,b,"', 4),
            ('n,t,s\n1,"a\n\n",1\n2,"b\n', 5),
            ('n,t,s\n1,a"b,1\n2,"b\n', 3),
            ('"n,t,s\n1,a,1\n', 1),
        ],
    )
    def test_a_quote_that_is_never_closed_is_named_with_its_line(self, text, line):
        with pytest.raises(
            UnreadableSource, match=f"^line {line}: a quote is opened that is never closed; is the file cut off"
        ):
            read(text)

    @pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 8, 13, 1000])
    def test_a_quoted_cell_may_cross_the_border_of_blocks(self, block_bytes):
        with blocks_of(block_bytes):
            outcome = read('n,t,s\n1,"a\n""b"",\n",1\n\n2,"\n\n\n\n\n",1\nx,"c\n",1\n3,d,1\n')
        assert outcome.records == [(2, 1, 'a\n"b",\n', 1.0), (6, 2, "\n" * 5, 1.0), (14, 3, "d", 1.0)]
        assert (outcome.faults, outcome.raws) == ([(12, "n", INTEGER_RULE)], {12: 'x,"c\n",1'})

    def test_a_lone_carriage_return_ends_no_record(self):
        outcome = read('n,t,s\n1,a\rb,1\n2,"a\rb",1\n3,c,1\r\n')
        assert outcome.records == [(3, 2, "a\rb", 1.0), (4, 3, "c", 1.0)]
        assert (outcome.faults, outcome.raws) == ([(2, "", CSV_RULE)], {2: "1,a\rb,1"})

    def test_a_lone_carriage_return_at_the_file_s_end_belongs_to_the_line_s_end(self):
        assert read("n,t,s\n1,a,1\r").records == [(2, 1, "a", 1.0)]


class TestLogs:
    @pytest.mark.parametrize("dialect", [SPACES, TABS], ids=["spaces", "tabs"])
    def test_a_line_is_split_and_its_unset_fields_are_null(self, dialect):
        lines = ["1 a 2.5", "- - -", "\r", "-1 -- -.5"]
        text = "\n".join(lines).replace(" ", dialect.delimiter)
        assert read_split(text, dialect).records == [(1, 1, "a", 2.5), (2, None, None, None), (4, -1, "--", -0.5)]

    def test_without_an_unset_text_nothing_is_null(self):
        assert read_split("1 - 2\n", Dialect(" ")).records == [(1, 1, "-", 2.0)]

    def test_quotes_are_characters(self):
        assert read_split('1 "a 2.5\n2 b" 1\n3 "" 1\n', SPACES).records == [
            (1, 1, '"a', 2.5),
            (2, 2, 'b"', 1.0),
            (3, 3, '""', 1.0),
        ]

    @pytest.mark.parametrize("line", ["1  a 1", " 1 a 1", "1 a 1 ", " "])
    def test_each_space_splits(self, line):
        (reject,) = read_split(f"{line}\n2 b 1\n", SPACES).rejects
        assert (reject.row, reject.rule, reject.value) == (1, "must have 3 fields", str(line.count(" ") + 1))

    def test_a_lone_carriage_return_is_a_character(self):
        assert read_split("1 a\rb 1\n2 c 1\r\n", SPACES).records == [(1, 1, "a\rb", 1.0), (2, 2, "c", 1.0)]


# --- laws --------------------------------------------------------------------------------------------------------

GOOD = ["1", "22", "333"]
ODD = ["", " 5", "5 ", "x", "-", "+5", "5.0", "0x10", "9" * 19, "-1", "é", "\0", "1e400", "nan", "-inf", "\ufeff1", "a\rb"]
QUOTED = ['"5"', '"a,b"', '"a""b"', '"a\nb"', '"a\r\nb"', '"\r"', '""', '"\n\n"', '""""']
STRAY = ['a"b', '"a"b', ' "a"', '"""', '"']
BYTES = [b"\xff", b"\xc3"]


def files(delimiter, *odd):
    """Raw files without a header that mix good and bad cells, records, blank lines and line ends."""
    good = st.sampled_from([cell.encode() for cell in GOOD])
    bad = st.sampled_from([cell if isinstance(cell, bytes) else cell.encode() for cells in odd for cell in cells])
    cell = st.integers(0, 4).flatmap(lambda pick: bad if pick == 0 else good)
    record = st.lists(cell, min_size=3, max_size=3)
    misshapen = st.lists(cell, min_size=1, max_size=5)
    line = st.integers(0, 9).flatmap(lambda pick: misshapen if pick == 0 else st.just([]) if pick == 1 else record)
    end = st.sampled_from([b"\n", b"\n", b"\n", b"\r\n", b"\r\r\n"])
    lines = st.lists(st.tuples(line.map(delimiter.encode().join), end).map(b"".join), min_size=1, max_size=6)
    return st.tuples(lines.map(b"".join), st.booleans()).map(lambda file: file[0][:-1] if file[1] else file[0])


def read_or_refuse(reader, data):
    try:
        return comparable(reader(data))
    except SourceError as error:
        return repr(error)


def read_body(data):
    return read(b"n,t,s\n" + data)


LAW = settings(max_examples=60, deadline=None)
csv_files = files(",", ODD, BYTES, QUOTED, STRAY)


class TestWhereBlocksAreCut:
    """The records and the rejects do not depend on it."""

    @LAW
    @given(files(",", ODD, BYTES), st.integers(1, 40))
    @example(b"1,a,1\n\xef\xbb\xbf2,b,1\n", 3)
    def test_csv_without_quotes(self, data, block_bytes):
        whole = read_or_refuse(read_body, data)
        with blocks_of(block_bytes):
            assert read_or_refuse(read_body, data) == whole

    @LAW
    @given(csv_files, st.integers(1, 40))
    @example(b'1,"a",1\n\r\r\n2,b,1\n', 3)
    def test_csv_with_quotes(self, data, block_bytes):
        whole = read_or_refuse(read_body, data)
        with blocks_of(block_bytes):
            assert read_or_refuse(read_body, data) == whole

    @LAW
    @given(st.sampled_from([SPACES, TABS]), st.data(), st.integers(1, 40))
    def test_logs(self, dialect, data, block_bytes):
        text = data.draw(files(dialect.delimiter, [cell for cell in ODD if cell.strip() == cell], BYTES, STRAY))
        whole = comparable(read_split(text, dialect))
        with blocks_of(block_bytes):
            assert comparable(read_split(text, dialect)) == whole


class TestFastAndExactPath:
    """Where the fast path answers, the exact ones give the same: columns of bytes by Arrow, or record by record."""

    @staticmethod
    def answers(parser, block):
        """What the parser says of the block by itself, without its fast path, and without Arrow at all."""
        whole = comparable(gather([parser.parse(block)]))
        with mock.patch.object(DelimitedParser, "_parse_typed", return_value=None):
            exact = comparable(gather([parser.parse(block)]))
            with mock.patch.object(DelimitedParser, "_parse_arrow", return_value=None):
                one_by_one = comparable(gather([parser.parse(block)]))
        return whole, exact, one_by_one

    @LAW
    @given(csv_files)
    @example(b"1,a,+5\n")
    @example(b"1,a,inf\n")
    @example(b"\xff\n")
    def test_csv(self, data):
        parser = DelimitedParser(["n", "t", "s"], COLUMNS, delimited.CSV)
        try:
            whole, exact, one_by_one = self.answers(parser, CsvBlock(data, 1))
        except UnreadableSource:  # a quote is never closed
            return
        assert whole == exact == one_by_one

    @LAW
    @given(st.sampled_from([SPACES, TABS]), st.data())
    def test_logs(self, dialect, data):
        text = data.draw(files(dialect.delimiter, [cell for cell in ODD if cell.strip() == cell], BYTES, STRAY))
        whole, exact, one_by_one = self.answers(DelimitedParser(["n", "t", "s"], COLUMNS, dialect), TextBlock(text, 1))
        assert whole == exact == one_by_one


@LAW
@given(
    st.lists(st.text('ab ",\n\ré', max_size=8), max_size=6),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.integers(1, 40),
)
def test_what_python_s_csv_module_writes_is_read_as_it_was(texts, quoting, block_bytes):
    target = io.StringIO()
    csv.writer(target, quoting=quoting).writerows([["n", "t", "s"], *([1, text, 2] for text in texts)])
    with blocks_of(block_bytes):
        outcome = read(target.getvalue())
    assert outcome.cells == [(1, text.strip(" "), 2.0) for text in texts]


@settings(deadline=None)
@given(st.text('a",\n', max_size=40).map(str.encode))
def test_records_end_where_a_walk_through_the_bytes_ends_them(data):
    ends, state, i = [], "start of cell", 0
    while i < len(data):
        byte = data[i : i + 1]
        if state == "quoted":
            if data[i : i + 2] == b'""':
                i += 1
            elif byte == b'"':
                state = "bare"
        elif byte == b'"' and state == "start of cell":
            state = "quoted"
        else:
            state = "start of cell" if byte in b",\n" else "bare"
            ends += [i + 1] if byte == b"\n" else []
        i += 1
    assert csv_record_ends(data).tolist() == ends
