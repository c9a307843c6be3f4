"""What the kernel makes of lines of text: what the exact path makes of them, or nothing."""

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, example, find, given, settings
from hypothesis import strategies as st

from pipeline.kernel import columns
from pipeline.kernel.columns import DelimitedLines, JsonColumn, JsonLines, Survey, find_four, lines_from, survey
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.decimals import float_of
from pipeline.syntax.delimited import CSV, DelimitedParser, Dialect
from tests.formats.helpers import gather
from tests.kernel.lines import (
    COLUMNS,
    DIALECTS,
    HEADER,
    NAMES,
    NEARLY_NULL,
    NESTED_OBJECTS,
    ODD_NUMBERS,
    ODD_OBJECTS,
    ODD_TEXTS,
    ODD_VALUES,
    TIMES,
    Delimited,
    Json,
    cases,
    delimited,
    json_lines,
    plain_cases,
    repeated_objects,
)


def bitwise(cell):
    """A cell in a form in which only equal bits are equal; -0 is 0, as it is to Python's JSON."""
    return (cell + 0.0).hex() if isinstance(cell, float) else cell


def cells_of(batch, column):
    """A column's cells; what may be any JSON in one form, however it was written."""
    cells = batch.table.column(column.name).to_pylist()
    return [json.dumps(json.loads(cell)) if cell is not None else None for cell in cells] if column.as_json else cells


def records_of(batch, wanted=COLUMNS):
    """Row number -> cells, of the rows that a batch has."""
    columns = [cells_of(batch, column) for column in wanted]
    return {row: tuple(map(bitwise, cells)) for row, *cells in zip(batch.rows.tolist(), *columns, strict=True)}


def by_kernel(case):
    """What the kernel makes of the plain lines of a block, by the number of the line; and the other lines' numbers."""
    lines, names = case.by_kernel()
    assert lines.line_count == case.block.line_count
    for column in lines.columns:
        column.validate(full=True)
    numbers = case.block.numbers(lines.line_count)
    batch = Batch(pa.table(lines.columns, names=names), np.delete(numbers, lines.odd), str)
    return records_of(batch, case.columns), numbers[lines.odd]


def check_whole(case):
    whole, exact = case.whole(), case.exactly()
    assert records_of(whole, case.columns) == records_of(exact, case.columns)
    assert gather([whole]).rejects == gather([exact]).rejects
    assert whole.read == exact.read


GOOD_JSON = b'{"n":5,"t":"web","s":1.5,"u":"db"}\n'


class TestAgreesWithTheExactPath:
    @given(cases())
    def test_on_each_line_that_it_does_not_call_odd(self, case):
        plain, _ = by_kernel(case)
        exact = records_of(case.exactly(), case.columns)
        assert plain == {row: exact.get(row) for row in plain}

    @given(cases())
    @example(Delimited(CSV, b""))
    @example(Delimited(CSV, b"\n"))
    @example(Delimited(CSV, b"web,5,,1.5,db"))
    @example(Delimited(CSV, b"\xef\xbb\xbfweb,5,,1.5,db\nweb,5,,1.5,db\nweb,5,,1.5,db\n"))
    @example(Delimited(CSV, b"\xef\xbb\xbf5,5,,1.5,db\n5,5,,1.5,db\n\n\nx,5,x,1.5,db\n\nweb,5,,1.5,db"))
    def test_on_blocks_with_odd_lines_between(self, case):
        check_whole(case)

    @given(repeated_objects())
    @example(Json(GOOD_JSON * 2 + b'{"\\/":77,"t":"web","s":1.5,"u":"db"}\n' * 2))  # a key that is odd, as long as another
    # Cut off in a key.
    @example(Json(b'{"a":1,    "n":5}\n' * 2 + b'{"a":1,"x\n{"n":7}\n' * 3 + b'{"a":1,    "n":5}\n' * 4))
    @example(Json(b'{"n":5,"t":"web","s":1.5,"u":"db"\0"x"}\n' + GOOD_JSON * 3))  # a NUL where a lead might be
    @example(Json(b'{"t":"a",%b"n":7}\n{"t":"a"\0005}\n' % (b" " * 130) + GOOD_JSON * 3))
    @example(Json(b"{%b%b}\n" % (b",".join(b'"k%d":%d' % (i, i) for i in range(64)), b'{"k0":5,"n":3') + GOOD_JSON * 3))
    # The same bytes, within another object than in the line before.
    @example(Json(b'{"o":{"x":1,"n":2}}\n{"x":1,"n":2}\n{"o":{"n":1},"t":"a"}\n{"n":1},"t":"a"}\n' * 2))
    @example(Json(b'{"o":{"n":1},"o":{"n":1}}\n{"o":{"n":1}}\n{"o":{"x":1},"o":{"n":1}}\n' * 2))
    def test_on_objects_that_are_nearly_as_the_line_before(self, case):
        check_whole(case)

    @settings(max_examples=30)
    @given(st.lists(delimited([DIALECTS["spaces"]], most_lines=6), min_size=2, max_size=3))
    def test_on_each_block_of_a_file_whatever_stood_in_those_before(self, blocks):
        parser = blocks[0].parser()
        batches = [parser.parse(case.block) for case in blocks]
        assert list(map(records_of, batches)) == [records_of(case.exactly()) for case in blocks]

    @given(plain_cases())
    def test_and_calls_no_plain_line_odd(self, case):
        plain, odd = by_kernel(case)
        assert (len(plain), odd.tolist()) == (case.block.line_count, [])

    @pytest.mark.parametrize("blocks", [delimited, json_lines])
    def test_and_the_laws_are_not_hollow(self, blocks):
        """Some blocks have plain lines and odd ones, whose odd lines are read apart, and unfit lines do occur."""

        def is_mixed(case):
            plain, odd = by_kernel(case)
            return 0 < len(odd) <= len(plain)

        quickly = settings(max_examples=500, phases=[Phase.generate], database=None)
        assert find(blocks(), is_mixed, settings=quickly)
        assert find(blocks(), lambda case: case.exactly().rejects, settings=quickly)

    @pytest.mark.parametrize("name", DIALECTS)
    @pytest.mark.parametrize("end", [b"\n", b""], ids=["newline", "no newline"])
    def test_wherever_the_data_ends(self, name, end):
        """The last lines are read from a copy that is padded: nothing depends on where it begins."""
        dialect = DIALECTS[name]
        for before, length in product(range(3), range(40)):
            line = dialect.delimiter.join(["web", "12345678", "x", "1234567.5", "é" + "t" * length]).encode()
            case = Delimited(dialect, b"a\n" * before + (line + b"\n") * 2 + line + end)
            plain, odd = by_kernel(case)
            assert (len(plain), len(odd)) == (3, before)
            assert plain == records_of(case.exactly())

    @pytest.mark.parametrize("end", [b"\n", b""], ids=["newline", "no newline"])
    def test_wherever_json_ends(self, end):
        for before, length in product(range(3), range(40)):
            line = '{"n":12345678,"s":1234567.5,"t":"%s"}' % ("é" + "t" * length)
            case = Json(b"a\n" * before + (line.encode() + b"\n") * 2 + line.encode() + end)
            plain, odd = by_kernel(case)
            assert (len(plain), len(odd)) == (3, before)
            assert plain == records_of(case.exactly(), case.columns)

    @pytest.mark.parametrize("name", DIALECTS)
    @pytest.mark.parametrize("cell", [*ODD_NUMBERS, *ODD_TEXTS, *NEARLY_NULL, *NAMES], ids=ascii)
    def test_on_every_cell_at_the_end_of_a_block(self, name, cell):
        dialect = DIALECTS[name]
        for position, end in product(range(len(HEADER)), (b"\n", b"")):
            record = [b"web", b"5", b"x", b"1.5", b"db"]
            line = dialect.delimiter.encode().join(record) + b"\n"
            record[position] = cell
            check_whole(Delimited(dialect, 3 * line + dialect.delimiter.encode().join(record) + end))

    @pytest.mark.parametrize(
        "value", [*ODD_VALUES, *(b'"%s"' % name for name in NAMES), *(b'"%s"' % t.encode() for t in TIMES)], ids=ascii
    )
    def test_on_every_value_of_json_at_the_end_of_a_block(self, value):
        for key, end in product(b"n t s u x".split(), (b"\n", b"")):
            check_whole(Json(3 * GOOD_JSON + b'{"%s":%s}' % (key, value) + end))
            check_whole(Json(3 * GOOD_JSON + b'{"%s": %s ,"a":1}' % (key, value) + end))
        for line in (
            b'{"o":%s}',
            b'{"id":%s}',
            b'{"o":{"n":%s}}',
            b'{"o":{"q":{"i":%s ,"x":1}}}',
            b'{"o":{"q":{"f":%s,"x":1}}}',
            b'{"o":{"q":{"e":%s}}}',
            b'{"o":{"x":[%s]},"n":1}',
        ):
            check_whole(Json(3 * GOOD_JSON + line % value))

    @pytest.mark.parametrize("line", [*ODD_OBJECTS, *NESTED_OBJECTS], ids=ascii)
    def test_on_every_object_of_json(self, line):
        for end in (b"\n", b""):
            check_whole(Json(3 * GOOD_JSON + line + end))
            check_whole(Json(2 * GOOD_JSON + line + b"\n" + GOOD_JSON))


class TestOddLines:
    """It judges nothing: what is not plain is named, whatever is wrong with it."""

    @pytest.mark.parametrize(
        ("line", "odd"),
        [
            (b"web,5,,1.5,db", False),
            (b"web,-5,anything \xff,1,", False),
            (b"", True),
            (b",", True),
            (b",,,,", True),
            (b"web,5,,1.5", True),
            (b"web,5,,1.5,db,", True),
            (b"web,5,,1.5,db,more", True),
            (b"web,+5,,1.5,db", True),
            (b"web, 5,,1.5,db", True),
            (b"web,5.0,,1.5,db", True),
            (b"web,9223372036854775807,,1764151200000000000,db", False),
            (b"web,-9223372036854775807,,9999999999999999999,db", False),
            (b"web,9223372036854775808,,1.5,db", True),
            (b"web,11111111111111111111,,1.5,db", True),
            (b"web,5,,9007199254740993.5,db", True),
            (b"web,5,,+1.5,db", True),
            (b"web,5,,1e3,db", True),
            (b"web,5,,1.,db", True),
            (b"web,5,,nan,db", True),
            (b"\xff,5,,1.5,db", True),
            (b"web,5,,1.5,\xed\xa0\x80", True),
        ],
    )
    def test_they_are_named_wherever_they_stand(self, line, odd):
        good = b"web,5,,1.5,db\n"
        for before, behind in product(range(3), repeat=2):
            lines = DelimitedParser(HEADER, COLUMNS, CSV)._lines.parse(before * good + line + b"\n" + behind * good)
            assert lines.odd.tolist() == ([before] if odd else [])
            assert len(lines.columns[0]) == before + behind + (not odd)

    def test_a_null_is_no_number_where_nothing_stands_for_it(self):
        parse = DelimitedLines([pa.int64(), DICTIONARY_TEXT], b" ", quoted=False, null=None).parse
        assert parse(b"- -\n1 -\n").odd.tolist() == [0]

    @pytest.mark.parametrize(("quoted", "data"), [(True, b'a,"b"\n'), (True, b"a,b\r\n"), (False, b"a,b\r\n")])
    def test_text_with_quotes_or_returns_is_not_plain_at_all(self, quoted, data):
        lines = DelimitedLines([DICTIONARY_TEXT, DICTIONARY_TEXT], b",", quoted=quoted, null=None)
        assert lines.parse(data) is None
        assert lines.parse(b"a,b\n").line_count == 1

    def test_a_quote_is_a_character_where_there_are_no_quotes(self):
        (column,) = DelimitedLines([DICTIONARY_TEXT], b" ", quoted=False, null=None).parse(b'"\n').columns
        assert column.to_pylist() == ['"']


class TestTexts:
    def test_names_that_differ_in_one_byte_are_different(self):
        random.Random(1).shuffle(names := [*NAMES, *NAMES])
        (column,) = DelimitedLines([DICTIONARY_TEXT], b" ", quoted=False, null=None).parse(b"\n".join(names)).columns
        assert column.to_pylist() == [name.decode() for name in names]
        assert len(column.dictionary) == len(NAMES)

    def test_it_is_utf8_where_python_says_so(self):
        """All sequences of two bytes, and those of three and four around each border."""
        border = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xFF]
        sequences = {
            *map(bytes, product(range(256), repeat=2)),
            *map(bytes, product(range(0xDF, 256), range(256), border)),
            *map(bytes, product(range(0xEF, 0xF8), range(256), border, [0x7F, 0x80, 0xBF, 0xC0])),
        }
        texts = [text for text in sorted(sequences) if not set(text) & set(b"\n\r\0")]
        lines = DelimitedLines([DICTIONARY_TEXT], b" ", quoted=False, null=None).parse(
            b"\n".join(text.replace(b" ", b"x") for text in texts)
        )

        def is_utf8(text):
            try:
                text.decode()
            except UnicodeDecodeError:
                return False
            return True

        assert lines.odd.tolist() == [i for i, text in enumerate(texts) if not is_utf8(text)]
        assert 0 < len(lines.odd) < len(texts)

    def test_a_block_with_a_nul_in_it_is_left_to_the_exact_path(self):
        lines = DelimitedLines([DICTIONARY_TEXT, None], b" ", quoted=False, null=None)
        assert lines.parse(b"a b\n") is not None
        assert lines.parse(b"a b\na \0\n") is None

    def test_a_dictionary_that_has_grown_is_left_to_its_batches(self):
        lines = DelimitedLines([DICTIONARY_TEXT, DICTIONARY_TEXT], b" ", quoted=False, null=None)
        blocks = [[(f"a{start + i}", "same") for i in range(30_000)] for start in range(0, 120_000, 30_000)]
        columns = [lines.parse("\n".join(map(" ".join, block)).encode()).columns for block in blocks]
        for block, (first, second) in zip(blocks, columns, strict=True):
            assert first.to_pylist() == [text for text, _ in block]
            assert second.to_pylist() == ["same"] * len(block)
        assert [len(first.dictionary) for first, _ in columns] == [30_000, 60_000, 90_000, 30_000]


def read_alone(type_, texts):
    """What a column of cells, one a line, is read as; None where the line is odd."""
    lines = DelimitedLines([type_], b",", quoted=False, null=None).parse("\n".join(texts).encode())
    values = iter(lines.columns[0].to_pylist())
    odd = set(lines.odd.tolist())
    return [None if i in odd else next(values) for i in range(lines.line_count)]


#: Of a digit more than a double holds: dividing what it holds instead would give another number.
BEYOND_A_DOUBLE = [
    *["900719925474099.5", "90071992547409.93", "9007199254740.995", "900719925474.0995", "90071992547.40995"],
    *["9007199254.740993", "900719925.4740993", "90071992.54740993", "9007199254.740995"],
]


class TestNumbers:
    @given(st.lists(st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", fullmatch=True), min_size=1, max_size=20))
    @example(BEYOND_A_DOUBLE)
    @example(
        ["0.1", "0.3", "1258531221.486539", "9007199254740992", "9007199254740993", "-0", "-0.0", "999999999999.999999999"]
    )
    def test_a_decimal_is_what_the_exact_path_makes_of_it_to_the_last_bit_or_odd(self, texts):
        for text, value in zip(texts, read_alone(pa.float64(), texts), strict=True):
            assert value is None or value.hex() == float_of(text).hex()

    def test_so_are_many_that_take_their_digits_to_the_limit(self):
        generator = random.Random(7)
        texts = [
            f"{generator.randrange(10 ** generator.randint(1, 16))}.{generator.randrange(10**9)}" for _ in range(50_000)
        ]
        read = [
            (text, value) for text, value in zip(texts, read_alone(pa.float64(), texts), strict=True) if value is not None
        ]
        assert [value.hex() for _, value in read] == [float_of(text).hex() for text, _ in read]
        assert len(texts) > len(read) > len(texts) // 5

    @given(
        st.lists(
            st.integers(10**8, 10**10).flatmap(lambda whole: st.from_regex(rf"{whole}(\.[0-9]{{1,5}})?", fullmatch=True)),
            min_size=1,
        )
    )
    def test_a_time_of_our_days_to_ten_microseconds_is_never_odd(self, texts):
        assert read_alone(pa.float64(), texts) == [float(text) for text in texts]

    def test_nor_is_one_of_this_century_to_the_microsecond(self):
        texts = [
            f"{seconds}.{micro:06}" for seconds in (946684800, 1258531221, 4102444800) for micro in range(0, 10**6, 997)
        ]
        assert read_alone(pa.float64(), texts) == [float(text) for text in texts]

    @given(st.lists(st.from_regex(r"[0-9x]{9,11}[.x/:][0-9.x/:]{0,7}", fullmatch=True), min_size=1, max_size=20))
    @example(
        [
            "1258531221.486539",
            "125853122x.486539",
            "1258531221.48653x",
            "1258531221.",
            "1258531221.4865391",
            "9999999999.999999",
        ]
    )
    def test_what_is_nearly_a_time_is_odd(self, texts):
        for text, value in zip(texts, read_alone(pa.float64(), texts), strict=True):
            is_number = text.replace(".", "", 1).isdecimal() and not text.endswith(".")
            assert value is None or (is_number and value.hex() == float(text).hex())
            assert value is not None or not is_number or float(text) * 10**6 > 2**53 or len(text.partition(".")[2]) > 6

    @given(st.lists(st.text("0123456789-+. x", min_size=1, max_size=24), min_size=1, max_size=20))
    def test_an_integer_of_up_to_18_digits_is_itself_and_all_else_is_odd(self, texts):
        def expected(text):
            digits = text.removeprefix("-")
            return int(text) if digits.isdecimal() and len(digits) <= 18 else None

        assert read_alone(pa.int64(), texts) == [expected(text) for text in texts]

    @pytest.mark.parametrize("digits", range(1, 22))
    def test_an_integer_of_any_length_stands_beside_any_byte(self, digits):
        number = "9" * digits
        lines = DelimitedLines([pa.int64(), pa.int64()], b"\t", quoted=False, null=None).parse(
            f"-{number}\t{number}\n".encode()
        )
        assert [column.to_pylist() for column in lines.columns] == (
            [[-int(number)], [int(number)]] if digits <= 18 else [[], []]
        )


def read_times(texts):
    """What a column of times in JSON is read as; None where the line is odd."""
    lines = JsonLines([JsonColumn(pa.float64(), [["s"]])]).parse("\n".join(f'{{"s":"{text}"}}' for text in texts).encode())
    values = iter(lines.columns[0].to_pylist())
    odd = set(lines.odd.tolist())
    return [None if i in odd else next(values) for i in range(lines.line_count)]


class TestTimes:
    moments = st.datetimes(timezones=st.just(UTC))

    @pytest.mark.parametrize("digits", range(10))
    @pytest.mark.parametrize("zone", ["Z", "+0000", "+01:00", "-0930", "+23:59", "-00:00"])
    def test_up_to_nanoseconds_and_an_offset_are_not_odd(self, digits, zone):
        texts = [f"2026-11-24T{hour:02}:15:30{'.123456789'[: digits + 1] if digits else ''}{zone}" for hour in range(24)]
        assert read_times(texts) == [datetime.fromisoformat(text).timestamp() for text in texts]

    @given(st.lists(moments, min_size=1, max_size=20))
    @example([datetime(4321, 6, 7, 8, 9, 10, micro, UTC) for micro in range(1, 10**6, 9973)])
    @example([datetime(150, 6, 7, 8, 9, 10, micro, UTC) for micro in range(1, 10**6, 9973)])
    def test_a_time_is_python_s_to_the_last_bit_or_odd(self, moments):
        texts = [moment.strftime("%m-%dT%H:%M:%S.%fZ") for moment in moments]
        texts = [f"{moment.year:04}-{text}" for moment, text in zip(moments, texts, strict=True)]
        for moment, value in zip(moments, read_times(texts), strict=True):
            assert value is None or value.hex() == moment.timestamp().hex()

    @pytest.mark.parametrize("end", ["Z", ".748Z", ".748830Z"])
    def test_no_day_of_our_centuries_is_odd(self, end):
        days = [datetime(1899, 12, 31, 23, 59, 58, tzinfo=UTC) + timedelta(days) for days in range(100_000)]
        texts = [f"{day:%Y-%m-%dT%H:%M:%S}{end}" for day in days]
        assert read_times(texts) == [datetime.fromisoformat(text).timestamp() for text in texts]


class TestShapes:
    def test_nothing_has_no_lines(self):
        lines = DelimitedLines([DICTIONARY_TEXT, None, pa.int64()], b",", quoted=True, null=None).parse(b"")
        assert (lines.line_count, lines.odd.tolist(), [len(column) for column in lines.columns]) == (0, [], [0, 0])

    def test_columns_have_their_types_and_cells_that_nobody_wants_have_none(self):
        types = [pa.float64(), None, DICTIONARY_TEXT, None, pa.int64()]
        lines = DelimitedLines(types, b"\t", quoted=False, null=b"-").parse(b"1\tx\ta\t\xff\t-\n-\t\t-\t\t7")
        assert [column.type for column in lines.columns] == [pa.float64(), DICTIONARY_TEXT, pa.int64()]
        assert [column.to_pylist() for column in lines.columns] == [[1.0, None], ["a", None], [None, 7]]
        assert [column.null_count for column in lines.columns] == [1, 1, 1]

    def test_a_batch_outlives_the_parser_and_its_later_blocks(self):
        lines = DelimitedLines([DICTIONARY_TEXT, pa.int64()], b" ", quoted=False, null=b"-")
        first = lines.parse(b"a 1\n- -\n").columns
        lines.parse(b"b 2\nc 3\n")
        del lines
        assert [column.to_pylist() for column in first] == [["a", None], [1, None]]

    def test_a_blank_line_is_no_record_of_one_empty_cell(self):
        """With a single column, the two could be taken for each other."""
        wanted = [Column("t", Kind.TEXT)]
        parser, block = DelimitedParser(["t"], wanted, Dialect("\t", null="-")), TextBlock(b"a\n\nb\n\nc\n", 1)
        assert records_of(parser.parse(block), wanted) == {1: ("a",), 3: ("b",), 5: ("c",)}
        assert records_of(parser._parse_exactly(block), wanted) == {1: ("a",), 3: ("b",), 5: ("c",)}

    @given(st.binary(max_size=40) | st.text('a\n"\r\0ïrw', max_size=600).map(str.encode), st.integers(0, 20))
    def test_a_survey_counts_the_lines_and_sees_which_bytes_are_there(self, data, more):
        data = b"b\n" * 16 * 255 * (more // 10) + data + b"\n" * more
        found = survey(data)
        assert found.line_count == data.count(b"\n") + (data[-1:] not in (b"\n", b""))
        assert found.seen == bytes(byte for byte in b'\0\r"\xef' if byte in data)
        assert found.has_letters == (b"r" in data or b"w" in data)

    @pytest.mark.parametrize("odd", [b"\0", b"\r", b'"', b"\xef", b'\0\r"\xef', b"r", b"w"])
    @pytest.mark.parametrize("place", [0, 1, 31, 32, 4079, 4080, 8159, 8160, 9000])
    def test_a_byte_is_seen_wherever_it_stands(self, odd, place):
        found = survey(b"-" * place + odd + b"-" * (9000 - place))
        assert found == Survey(1, b"" if odd in b"rw" else odd, odd in b"rw")

    @given(
        st.text("adr", max_size=12).map(str.encode),
        st.integers(4080, 4110),
        st.integers(0, 20),
        st.sampled_from([b"-", b"a", b"d", b"r", b"rad-"]),
    )
    @example(b"addr", 0, 0, b"-")
    @example(b"addr", 4094, 0, b"-")
    @example(b"addr", 8190, 5000, b"rad-")
    def test_four_bytes_are_found_wherever_and_among_whatever_they_stand(self, data, before, behind, others):
        data = (others * before)[:before] + data + (others * behind)[:behind]
        assert find_four(data, b"addr") == data.find(b"addr")
        assert find_four(data, b"addr", before + 1) == data.find(b"addr", before + 1)
        assert not any(find_four(data[:length], b"addr") >= 0 for length in range(4))

    @given(
        st.text("#a\n@Z", max_size=80).map(str.encode), st.integers(0, 2), st.sampled_from([b"##", b"az", b"AZ", b"\n\n"])
    )
    def test_lines_are_found_by_their_first_byte(self, data, more, first):
        data = data + b"##\na\n" * (more * 1000)
        starts = [0, *(i + 1 for i, byte in enumerate(data) if byte == ord("\n"))]
        wanted = [start for start in starts if start < len(data) and first[0] <= data[start] <= first[1]]
        assert lines_from(data, first[:1], first[1:]) == wanted


def read_objects(columns, *lines):
    """The rows that the kernel makes of lines of JSON, and the numbers of the odd ones."""
    parsed = JsonLines(columns).parse("\n".join(lines).encode())
    return list(zip(*(column.to_pylist() for column in parsed.columns), strict=True)), parsed.odd.tolist()


class TestStretches:
    """Values that are skipped, and were the same so far, are compared with those of a line before, and not looked at."""

    COLUMNS = (JsonColumn(pa.int64(), [["n"]]), JsonColumn(DICTIONARY_TEXT, [["o", "t"]]), JsonColumn(pa.string(), [["v"]]))
    LINE = '{"x":"c","y":[1,{}],"n":%d,"o":{"k":true,"t":"a","z":{"n":2}},"p":0.5,"v":"%d","q":{"n":7},"r":null}'

    @pytest.mark.parametrize("where", [3, 60, 130])
    @pytest.mark.parametrize(
        ("old", "new", "cells"),
        [
            ('"x":"c"', '"x":"d"', (5, "a", "5")),
            ('"x":"c"', '"x":"cc"', (5, "a", "5")),
            ('"y":[1,{}]', '"n":7', None),  # twice
            ('"k":true', '"k" :true', (5, "a", "5")),
            ('"k":true', '"t":"b"', None),
            ('"k":true,', "", (5, "a", "5")),
            ('"p":0.5', '"p":0.5,"w":1', (5, "a", "5")),
            ('"p":0.5', '"p":00.5', None),
            ('{"n":2}}', '{"n":2}},"n":3', None),
            ('"r":null}', '"r":null,"n":6}', None),
            ('"r":null}', '"r":null} ', None),
            ('"r":null}', '"r":null', None),
            (',"q":{"n":7},"r":null}', "}", (5, "a", "5")),
        ],
    )
    def test_a_line_may_differ_from_those_before(self, where, old, new, cells):
        lines = [self.LINE % (i, i) for i in range(200)]
        expected = [(i, "a", str(i)) for i in range(200)]
        assert read_objects(self.COLUMNS, *lines) == (expected, [])
        lines[where] = (self.LINE % (5, 5)).replace(old, new)
        expected[where : where + 1] = [cells] if cells else []
        assert read_objects(self.COLUMNS, *lines) == (expected, [] if cells else [where])

    def test_a_value_may_change_back(self):
        lines = [f'{{"x":{i // 7 % 2},"n":{i},"y":{i // 50}}}' for i in range(300)]
        assert read_objects([JsonColumn(pa.int64(), [["n"]])], *lines) == ([(i,) for i in range(300)], [])

    def test_a_line_without_a_text_that_is_kept_has_none(self):
        lines = ['{"v":"ab"}', "{}", '{"v":null}', '{"v":"","n":1}', '{"v":"%s"}' % ("c" * 64), '{"v":"%s"}' % ("c" * 65)]
        rows, odd = read_objects(self.COLUMNS, *lines, '{"v":"é"}', '{"v":5}', '{"v":"d"}')
        assert [row[2] for row in rows] == ["ab", None, None, "", "c" * 64, "d"]
        assert odd == [5, 6, 7]  # too long, perhaps no UTF-8, no text


class TestGuesses:
    """Large text of JSON is not looked at before it is parsed: how many lines it has is guessed from the text before."""

    COLUMNS = (JsonColumn(pa.int64(), [["n"]]), JsonColumn(pa.string(), [["v"]]))

    @pytest.fixture(autouse=True)
    def _any_text_is_large(self, monkeypatch):
        monkeypatch.setattr(columns, "_LARGE", 1)

    LINES = st.sampled_from(['{"n":1}', '{"n":2,"v":"abc"}', "", "x", "{", '{"v":"%s"}' % ("y" * 60), '{"n":3}\r'])
    TEXTS = st.tuples(st.lists(LINES, max_size=9), st.sampled_from(["", "\n"])).map(
        lambda text: "\n".join(text[0]) + text[1]
    )

    @given(st.lists(TEXTS, max_size=6))
    @example(['{"n":1,"v":"%s"}' % ("y" * 60), '{"n":1}\n' * 50, "\n" * 50, '{"n":1}'])
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_what_is_parsed_does_not_depend_on_the_text_before(self, texts):
        lines = JsonLines(self.COLUMNS)
        for text in map(str.encode, texts):
            found, alone = lines.parse(text), JsonLines(self.COLUMNS).parse(text)
            if alone is None:  # a return made all of it foreign, where it was looked at
                with_returns = {i for i, line in enumerate(text.split(b"\n")) if b"\r" in line}
                assert found is None or with_returns <= set(found.odd.tolist())
                continue
            assert (found.line_count, found.odd.tolist()) == (alone.line_count, alone.odd.tolist())
            assert [column.to_pylist() for column in found.columns] == [column.to_pylist() for column in alone.columns]

    def test_text_is_looked_at_once_and_where_the_guess_is_far_off(self):
        lines, looks = JsonLines(self.COLUMNS), []

        def parse(text):
            return lines.parse(text, lambda: looks.append(text) or survey(text)).line_count

        long, short = b'{"n":1,"v":"%b"}\n' % (b"y" * 50) * 100, b'{"n":1}\n' * 100
        assert [parse(text) for text in (long, long, short, short, long, long)] == [100] * 6
        assert looks == [long, short, long]

    def test_cells_keep_no_memory_for_lines_that_are_not_there(self):
        lines, before = JsonLines(self.COLUMNS), pa.total_allocated_bytes()
        assert lines.parse(b"\n" * 50_000).line_count == 50_000
        wide = lines.parse(b'{"n":1,"v":"%b"}\n' % (b"y" * 60) * 500)
        assert wide.line_count == 500
        assert pa.total_allocated_bytes() - before < 1000 * (8 + 4 + 64 + 2)


class TestPaths:
    COLUMNS = (
        JsonColumn(pa.int64(), [["bytes"]]),
        JsonColumn(DICTIONARY_TEXT, [["flow", "ends", "src"]]),
        JsonColumn(DICTIONARY_TEXT, [["flow", "ends.dst"]]),
    )

    def test_objects_are_entered_that_lead_to_a_column_and_others_skipped(self):
        lines = [
            '{"bytes":1,"flow":{"ends":{"src":"a"},"ends.dst":"b"}}',
            '{"flow":{"ends":{"bytes":9,"src":"a","x":[{"src":"c"}]},"x":{"ends":{}},"ends.dst":"b"},"bytes":1}',
            '{"x":{"bytes":2,"flow":{"ends.dst":"\\"}"}},"bytes":1,"flow":{"ends.dst":"b","ends":{"src":"a"}},"y":[[],{},1e9]}',
        ]
        assert read_objects(self.COLUMNS, *lines, *lines) == ([(1, "a", "b")] * 6, [])

    def test_the_same_bytes_may_mean_another_column_in_another_object(self):
        columns = [JsonColumn(pa.int64(), [["n"]]), JsonColumn(pa.int64(), [["o", "n"]])]
        lines = ['{"o":{"x":1,"n":2}}', '{"x":1,"n":2}', '{"o":{"x":1},"n":3}', '{"x":1},"n":3}', '{"o":{"x":1},"n":3}}']
        assert read_objects(columns, *lines, *lines[:1]) == ([(None, 2), (2, None), (3, None), (None, 2)], [3, 4])

    def test_an_object_that_is_not_there_or_null_or_empty_has_no_cells(self):
        lines = ['{"bytes":1}', '{"bytes":1,"flow":null}', '{"flow":{},"bytes":1}', '{"bytes":1,"flow":{"ends":{}}}']
        assert read_objects(self.COLUMNS, *lines) == ([(1, None, None)] * 4, [])

    def test_blanks_between_the_parts_may_differ_from_line_to_line(self):
        lines = [
            '{"flow":{"ends.dst":"b"},"bytes":1}',
            '{"flow": {"ends.dst": "b"}, "bytes": 1}',
            '{ "flow":{ "ends.dst":\t"b" } ,"bytes":1 }',
        ]
        assert read_objects(self.COLUMNS, *lines, *lines) == ([(1, None, "b")] * 6, [])

    @pytest.mark.parametrize(
        "line",
        [
            '{"flow":5}',
            '{"flow":[]}',
            '{"flow":{"ends":"a"}}',
            '{"bytes":{}}',
            '{"flow":{"ends":{"src":["a"]}}}',
            '{"flow":{},"flow":{}}',
            '{"flow":{"ends":null,"ends":{"src":"a"}}}',
            '{"flow":{"en\\u0064s":{"src":"a"}}}',
            '{"x":[1,]}',
        ],
    )
    def test_what_the_exact_path_must_judge_is_odd(self, line):
        good = '{"bytes":1,"flow":{"ends":{"src":"a"},"ends.dst":"b"}}'
        assert read_objects(self.COLUMNS, good, line, good) == ([(1, "a", "b")] * 2, [1])

    def test_a_column_may_have_two_places_and_a_line_only_one_of_them(self):
        columns = [JsonColumn(DICTIONARY_TEXT, [["id.h"], ["id", "h"]])]
        lines = ['{"id.h":"a"}', '{"id":{"h":"b"}}', '{"id.h":"a","id":{"h":"b"}}', '{"id.h":"a","id":{}}']
        assert read_objects(columns, *lines) == ([("a",), ("b",), ("a",)], [2])

    @pytest.mark.parametrize(
        "paths",
        [
            [["a"], ["a"]],
            [["a"], ["a", "b"]],
            [["a", "b"], ["a"]],
            [[f"o{i}", "n"] for i in range(32)],
            [[str(i)] for i in range(64)],
        ],
    )
    def test_columns_that_exclude_each_other_or_are_too_many_are_refused(self, paths):
        with pytest.raises(ValueError, match=r"one place|too many"):
            JsonLines([JsonColumn(pa.int64(), [path]) for path in paths])

    def test_63_columns_of_the_record_have_a_bit_each(self):
        columns = [JsonColumn(pa.int64(), [[str(i)]]) for i in range(63)]
        line = "{" + ",".join(f'"{i}":{i}' for i in range(63)) + "}"
        assert read_objects(columns, line, '{"62":7}', '{"62":7,"62":7}') == ([tuple(range(63)), (*[None] * 62, 7)], [2])


def test_an_integer_may_stand_in_a_text_where_the_column_says_so():
    lines = ['{"n":"1234"}', '{"n":-5}', '{"n":"-5"}', '{"n":"0"}', '{"n":null}', f'{{"n":"{2**63 - 1}"}}']
    odd = ['"007"', '"+1"', '" 1"', '"1 "', '"1.0"', '""', '"1e3"', '"-"', '"x"', '"1', "1.0", f'"{2**63}"']
    rows, numbers = read_objects(
        [JsonColumn(pa.int64(), [["n"]], in_text=True)], *lines, *(f'{{"n":{value}}}' for value in odd)
    )
    assert rows == [(1234,), (-5,), (-5,), (0,), (None,), (2**63 - 1,)]
    assert numbers == list(range(len(lines), len(lines) + len(odd)))
    assert read_objects([JsonColumn(pa.int64(), [["n"]])], *lines[:2]) == ([(-5,)], [0])


@pytest.mark.parametrize("in_text", [False, True])
def test_an_integer_may_have_a_fraction_of_zeros_where_the_column_says_so(in_text):
    plain, odd = ["5.0", "-5.00", "-0.0", "9007199254740991.0"], ["5.5", "5.", "5.0e1", "9007199254740992.0", "1e3", "NaN"]
    forms = ['{{"n":"{}"}}', '{{"n":{}}}'] if in_text else ['{{"n":{}}}']
    lines = [form.format(value) for value in plain + odd for form in forms]
    rows, numbers = read_objects([JsonColumn(pa.int64(), [["n"]], in_text, in_float=True)], *lines)
    assert rows == [(cell,) for cell in (5, -5, 0, 2**53 - 1) for _ in forms]
    assert numbers == list(range(len(rows), len(lines)))
    assert read_objects([JsonColumn(pa.int64(), [["n"]], in_text)], *lines) == ([], list(range(len(lines))))


def test_an_integer_is_the_text_of_its_digits_where_the_column_says_so():
    lines = ['{"t":"ab"}', '{"t":2048}', '{"t":"2048"}', '{"t":-5}', '{"t":0}', '{"t":null}', "{}", '{"t":%s}' % ("9" * 19)]
    odd = ["1.0", "1e3", "-0", "007", "+1", "-", "true", "{}", "[1]", "9" * 20, '"a']
    rows, numbers = read_objects(
        [JsonColumn(DICTIONARY_TEXT, [["t"]], in_text=True)], *lines, *(f'{{"t":{value}}}' for value in odd)
    )
    assert rows == [("ab",), ("2048",), ("2048",), ("-5",), ("0",), (None,), (None,), ("9" * 19,)]
    assert numbers == list(range(len(lines), len(lines) + len(odd)))
    assert read_objects([JsonColumn(DICTIONARY_TEXT, [["t"]])], *lines[:2]) == ([("ab",)], [1])
