"""Generated blocks of text: nearly plain, so that the kernel takes most lines, with odd lines in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from hypothesis import strategies as st

from pipeline.kernel.columns import JsonLines, ParsedLines
from pipeline.syntax import jsonlines
from pipeline.syntax.batch import Batch, Reject
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.csvrecords import CsvBlock
from pipeline.syntax.delimited import CSV, DelimitedParser, Dialect

Lines = st.SearchStrategy[bytes]

#: Those of CSV, AWS text, and Zeek's TSV with either text for "unset".
DIALECTS = {
    "csv": CSV,
    "spaces": Dialect(" ", null="-"),
    "tabs": Dialect("\t", null="-"),
    "tabs, (empty)": Dialect("\t", null="(empty)"),
}

#: In the file's order; `x` is not wanted, and the others are wanted in another order.
HEADER = ["u", "n", "x", "s", "t"]
COLUMNS = [Column("n", Kind.INTEGER), Column("t", Kind.TEXT), Column("s", Kind.SECONDS), Column("u", Kind.TEXT)]
TYPES = {column.name: column.kind.value for column in COLUMNS}

#: Around the eight bytes of a word, the sixteen and twenty-four that the kernel compares as words, and far beyond.
LENGTHS = [1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 300]


def twins(length: int) -> list[bytes]:
    """Names of one length that differ from the first in one byte only."""
    plain = b"n" * length
    return [plain, *(plain[:i] + b"m" + plain[i + 1 :] for i in sorted({0, length // 2, length - 1}))]


NAMES = [name for length in LENGTHS for name in twins(length)]
SCRIPTS = [
    text.encode() for text in ("é", "☃", "🙂", "naïve-é", "app-☃☃☃", "🙂🙂", "\ufeffa", "\U0010ffff", "\ud7ff", "\ue000")
]
#: They start like what stands for "no value", or end like it.
NEARLY_NULL = [b"--", b"-a", b"a-", b"-\1", b"(empty)\1", b"(empty)x", b"(empty", b"(emptY)"]
NOT_UTF8 = [
    b"\xff",
    b"caf\xe9",
    b"\x80",  # a continuation of nothing
    b"\xc0\x80",  # overlong
    b"\xe0\x80\xaf",
    b"\xf0\x82\x82\xac",
    b"\xed\xa0\x80",  # a surrogate
    b"\xf4\x90\x80\x80",  # above U+10FFFF
    b"\xf5\x80\x80\x80",
    b"a\xc3",  # cut off
    b"a\xe2\x82",
    b"a\xf0\x9f\x99",
]

integers = st.one_of(st.integers(0, 9999), st.integers(-(10**18) + 1, 10**18 - 1)).map(lambda number: b"%d" % number)
plain_integers = st.one_of(integers, st.sampled_from([b"0", b"-0", b"007", b"0" * 18, b"9" * 18, b"-" + b"9" * 18]))
decimals = st.tuples(st.integers(-(10**6), 10**11), st.integers(0, 4), st.integers(0, 9999)).map(
    lambda parts: b"%d" % parts[0] if not parts[1] else b"%d.%0*d" % (parts[0], parts[1], parts[2] % 10 ** parts[1])
)
texts = st.one_of(
    st.sampled_from([b"web", b"db", b"10.0.0.1", b"10.0.0.2"]),
    st.sampled_from(NAMES),
    st.sampled_from([*SCRIPTS, *NEARLY_NULL, b"a\1b", b"\1"]),
)

ODD_NUMBERS = [
    *[
        b" 5",
        b"5 ",
        b"\t5",
        b"+5",
        b"5.",
        b".5",
        b"5.0",
        b"5.0.0",
        b"--5",
        b"-",
        b"5-",
        b"1e3",
        b"nan",
        b"inf",
        b"0x10",
        b"x",
    ],
    *[b"", b"5\1", b"\1", b"\xff", b"\xd9\xa5", b"1" * 19, b"-" + b"1" * 19, b"0" * 19 + b"1", b"9" * 20, b"9" * 40],
    *[
        b"9223372036854775807",
        b"9223372036854775808",
        b"-9223372036854775808",
        b"-9223372036854775809",
        b"1_000",
        b"1" * 5000,
    ],
    *[b"9007199254740993", b"1234567890123456.5", b"0.1234567890123456789", b"123456789.123456789", b"1" * 400 + b".5"],
]
ODD_TEXTS = [b"", b" ", b" a ", *NOT_UTF8]


@dataclass(frozen=True)
class Delimited:
    """A block of delimited text, and how it is written."""

    dialect: Dialect
    data: bytes

    @property
    def block(self) -> TextBlock:
        return (CsvBlock if self.dialect.quoted else TextBlock)(self.data, first_line=1)

    def parser(self) -> DelimitedParser:
        return DelimitedParser(HEADER, COLUMNS, self.dialect)

    def by_kernel(self) -> tuple[ParsedLines | None, list[str]]:
        """What the kernel makes of it, and the names of the columns that it gives."""
        parser = self.parser()
        return parser._lines.parse(self.data), parser._names

    def whole(self) -> Batch:
        return self.parser().parse(self.block)

    def exactly(self) -> Batch:
        """What the exact path makes of all its lines."""
        return self.parser()._parse_exactly(self.block)


def no_values(number: int) -> list[bytes]:
    """What a line is that is not one value: broken."""
    del number
    return []


@dataclass(frozen=True)
class Json:
    """A block of JSON Lines."""

    data: bytes

    @property
    def block(self) -> TextBlock:
        return TextBlock(self.data, first_line=1)

    def by_kernel(self) -> tuple[ParsedLines | None, list[str]]:
        return JsonLines(TYPES).parse(self.data), list(TYPES)

    def whole(self) -> Batch:
        return jsonlines.JsonParser(COLUMNS).parse(self.block, no_values)

    def exactly(self) -> Batch:
        rejects: list[Reject] = []
        table, rows = jsonlines._parse_lines(self.block, COLUMNS, no_values, rejects)
        return Batch(table, rows, self.block.raw_of, rejects)


Case = Delimited | Json


def _record(dialect: Dialect) -> st.SearchStrategy[list[bytes]]:
    """A plain record, in the file's order."""
    cells = [texts, plain_integers, texts, decimals, texts]
    if dialect.null is not None:
        cells = [st.one_of(cell, cell, cell, st.just(dialect.null.encode())) for cell in cells]
    return st.tuples(*cells).map(list)


def _odd(dialect: Dialect) -> st.SearchStrategy[list[bytes]]:
    """A record with a cell that is not plain, or of another width; a blank line is one without cells."""
    place = st.sampled_from(range(len(HEADER)))

    @st.composite
    def spoiled(draw: st.DrawFn) -> list[bytes]:
        record, i = draw(_record(dialect)), draw(place)
        record[i] = draw(st.sampled_from(ODD_TEXTS if HEADER[i] in "tux" else ODD_NUMBERS))
        return record

    misshapen = st.lists(texts, max_size=2 * len(HEADER))
    return st.one_of(spoiled(), spoiled(), misshapen)


def _blocks(record: Lines, odd: Lines, most_lines: int) -> st.SearchStrategy[bytes]:
    """Blocks of which about one line in ten is odd; half of them lack the newline at the end."""
    line = st.integers(0, 9).flatmap(lambda pick: odd if pick == 9 else record)
    data = st.lists(line, max_size=most_lines).map(lambda lines: b"".join(line + b"\n" for line in lines))
    return st.tuples(data, st.booleans()).map(lambda pair: pair[0][:-1] if pair[1] else pair[0])


def delimited(dialects: list[Dialect] | None = None, most_lines: int = 12) -> st.SearchStrategy[Delimited]:
    """Blocks of delimited text."""

    def of(dialect: Dialect) -> st.SearchStrategy[Delimited]:
        join = dialect.delimiter.encode().join
        blocks = _blocks(_record(dialect).map(join), _odd(dialect).map(join), most_lines)
        return blocks.map(partial(Delimited, dialect))

    return st.sampled_from(dialects or list(DIALECTS.values())).flatmap(of)


# --- JSON Lines --------------------------------------------------------------------------------------------------

TIMES = [
    *["2011-08-15T03:36:16.748830Z", "2011-08-15T03:36:16.748Z", "2011-08-15T03:36:16Z", "2024-02-29T23:59:59.999999Z"],
    *["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1900-03-01T00:00:00Z", "2000-02-29T00:00:00Z"],
    *["0100-01-01T00:00:00Z", "2255-06-05T23:47:34.740991Z", "9999-12-31T23:59:59Z"],
]
#: What is plain in one column is odd in another, or broken; none spans lines.
ODD_VALUES = [
    *[
        b"true",
        b"false",
        b"nul",
        b"nullx",
        b"NaN",
        b"Infinity",
        b"-",
        b"+5",
        b"5.",
        b".5",
        b"007",
        b"-007",
        b"00.5",
        b"1e3",
        b"1E-3",
    ],
    *[b"5.0", b"1" * 19, b"9223372036854775807", b"9223372036854775808", b"1" * 40, b"0." + b"1" * 40, b"1" * 400, b"1e400"],
    *[
        b'"',
        b'"open',
        b'"5"',
        b'"a\\nb"',
        b'"\\u0041"',
        b'"\\ud800"',
        b'"tab\there"',
        b'"nul\0"',
        b'"a"b"',
        b"'a'",
        b"a",
        b"",
    ],
    *[b"{}", b'{"n":1}', b"[]", b"[1,2]", b"5 5", b"5,", b"// 5", b'"2011-08-15"', b'"2011-08-15T03:36:16+02:00"'],
    *[
        b'"2011-08-15 03:36:16Z"',
        b'"2011-08-15T03:36:16"',
        b'"2011-08-15T03:36Z"',
        b'"2011-02-29T00:00:00Z"',
        b'"1900-02-29T00:00:00Z"',
    ],
    *[
        b'"2011-08-15T24:00:00Z"',
        b'"2011-08-15T03:36:60Z"',
        b'"2011-13-15T03:36:16Z"',
        b'"2011-00-15T03:36:16Z"',
        b'"0000-01-01T00:00:00Z"',
    ],
    *[
        b'"2011-08-15T03:36:16.Z"',
        b'"2011-08-15T03:36:16.1Z"',
        b'"2011-08-15T03:36:16.1234567Z"',
        b'"2011-08-15T03:36:16.%sZ"' % (b"9" * 40),
    ],
    *[b'"2011-08-15T03:36:16Zx"', b'"2011-08-1\xd9\xa5T03:36:16Z"', *(b'"%s"' % text for text in NOT_UTF8)],
]
#: Lines that are no objects, or are more than one, or are not written as most are.
ODD_OBJECTS = [
    *[
        b"",
        b" ",
        b"{",
        b"}",
        b"{}",
        b"{ }",
        b"null",
        b"5",
        b"[]",
        b'"a"',
        b"{}{}",
        b"{} {}",
        b"{},",
        b"{,}",
        b'{"n":1,}',
        b'{"n":1;"t":"a"}',
    ],
    *[
        b'{"n" 1}',
        b'{"n":}',
        b"{n:1}",
        b'{"n":1} ',
        b' {"n":1}',
        b'{"n":1}x',
        b'{"n":1,"n":1}',
        b'{"n":1,"n":2}',
        b'{"t":null,"t":"a"}',
    ],
    *[
        b'{"\\u006e":1}',
        b'{"\xff":1,"n":1}',
        b'{"":1,"n":1}',
        b'{"x":1,"x":2,"n":1}',
        b'{"n":1\0}',
        b'{"n":1}\0',
        b'{"nn":2,"n":1}',
    ],
    *[
        b'{"%s":1,"n":1}' % (b"k" * 300),
        b"{%s}" % b",".join(b'"k%d":%d' % (i, i) for i in range(100)),
        b'\xef\xbb\xbf{"n":1}',
    ],
]

_json_text = texts.filter(lambda text: b"\1" not in text).map(lambda text: b'"%s"' % text)
_json_integers = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda number: b"%d" % number)
_json_times = st.one_of(decimals, st.sampled_from([b'"%s"' % time.encode() for time in TIMES]))
_json_any = st.one_of(_json_text, _json_integers, decimals, st.sampled_from([b"true", b"false", b"null"]))
_blank = st.sampled_from([b"", b"", b"", b"", b" ", b" ", b"\t", b"  ", b" " * 130])


@st.composite
def _object(draw: st.DrawFn, is_odd: bool = False) -> bytes:
    """An object that mostly has all keys, in an order of its own; where it is odd, with one value that may be."""
    cells = {"n": _json_integers, "t": _json_text, "s": _json_times, "u": _json_text, "x": _json_any, "y": _json_any}
    keys = draw(st.permutations(list(cells))) if draw(st.integers(0, 3)) == 3 else list(cells)
    keys = keys[draw(st.sampled_from([0, 0, 0, 1])) :]
    values = [b"null" if draw(st.integers(0, 9)) == 9 else draw(cells[key]) for key in keys]
    if is_odd:
        values[draw(st.integers(0, len(values) - 1))] = draw(st.sampled_from(ODD_VALUES))
    colon, comma, inside = draw(_blank) + b":" + draw(_blank), draw(_blank) + b"," + draw(_blank), draw(_blank)
    pairs = (b'"%s"' % key.encode() + colon + value for key, value in zip(keys, values, strict=True))
    return b"{" + inside + comma.join(pairs) + inside + b"}"


def json_lines(most_lines: int = 12) -> st.SearchStrategy[Json]:
    """Blocks of JSON Lines; never empty, and without a byte order mark at the start, which belongs to the file."""
    odd = st.one_of(_object(is_odd=True), _object(is_odd=True), st.sampled_from(ODD_OBJECTS))
    blocks = _blocks(_object(), odd, most_lines)
    return blocks.filter(lambda data: data and not data.startswith(b"\xef\xbb\xbf")).map(Json)


@st.composite
def repeated_objects(draw: st.DrawFn) -> Json:
    """Blocks of a few objects, each some times, and between them the same with a byte or two changed, some times, too."""
    templates = draw(st.lists(st.one_of(_object(), st.sampled_from(ODD_OBJECTS)), min_size=1, max_size=2))
    changed = [draw(_changed(template)) for template in templates]
    lines = draw(st.lists(st.sampled_from([*templates, *templates, *changed]), min_size=1, max_size=16))
    # Without a byte order mark at the start, which belongs to the file.
    return Json((b"\n".join(lines) + b"\n").removeprefix(b"\xef\xbb\xbf"))


_piece = st.sampled_from([b"", b'"', b"\\/", b"\0", b":", b",", b"{", b"}", b"0", b" ", b"x"])


@st.composite
def _changed(draw: st.DrawFn, line: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 2))):
        at, much = draw(st.integers(0, len(line))), draw(st.integers(0, 2))
        line = line[:at] + draw(_piece) + line[at + much :]
    return line


def cases(most_lines: int = 12) -> st.SearchStrategy[Case]:
    """Blocks of each kind, half of them delimited text."""
    return st.one_of(delimited(most_lines=most_lines), json_lines(most_lines))
