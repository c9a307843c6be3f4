"""Generated blocks of text: nearly plain, so that the kernel takes most lines, with odd lines in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st

from pipeline.kernel.columns import ParsedLines
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
#: Of JSON, in objects within the record, too.
JSON_COLUMNS = [
    *COLUMNS,
    Column.at("o", "n", kind=Kind.INTEGER),
    Column.at("o", "p", "t", kind=Kind.TEXT),
    Column.at("o", "p", "s.s", kind=Kind.SECONDS),
    Column.at("o", "q", "i", kind=Kind.INTEGER, in_text=True),
    Column.at("o", "q", "f", kind=Kind.INTEGER, in_float=True),
    Column.at("o", "q", "e", kind=Kind.INTEGER, in_text=True, in_float=True),
    Column.at("o", "q", "b", kind=Kind.TEXT, in_text=True),
    Column("id.h", Kind.TEXT, others=(("id", "h"),)),
    Column("j", Kind.TEXT, as_json=True),
    Column("v", Kind.TEXT, in_text=True, varied=True),
]

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
    *[b"1700002799.99999999", b"1700002799999.99999", b"1700002799999999999", b"0.99999999999999999"],
]
ODD_TEXTS = [b"", b" ", b" a ", *NOT_UTF8]


@dataclass(frozen=True)
class Delimited:
    """A block of delimited text, and how it is written."""

    dialect: Dialect
    data: bytes

    columns: ClassVar = COLUMNS

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

    columns: ClassVar = JSON_COLUMNS

    @property
    def block(self) -> TextBlock:
        return TextBlock(self.data, first_line=1)

    def by_kernel(self) -> tuple[ParsedLines | None, list[str]]:
        parser = jsonlines.JsonParser(self.columns)
        return parser._lines.parse(self.data), parser._names

    def whole(self) -> Batch:
        return jsonlines.JsonParser(self.columns).parse(self.block, no_values)

    def exactly(self) -> Batch:
        rejects: list[Reject] = []
        table, rows = jsonlines._parse_lines(self.block, self.columns, no_values, rejects)
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


def _blocks(record: Lines, odd: Lines | None, most_lines: int) -> st.SearchStrategy[bytes]:
    """Blocks of which about one line in ten is odd, if any is; half of them lack the newline at the end."""
    line = record if odd is None else st.integers(0, 9).flatmap(lambda pick: odd if pick == 9 else record)
    data = st.lists(line, max_size=most_lines).map(lambda lines: b"".join(line + b"\n" for line in lines))
    return st.tuples(data, st.booleans()).map(lambda pair: pair[0][:-1] if pair[1] else pair[0])


def delimited(
    dialects: list[Dialect] | None = None, most_lines: int = 12, are_plain: bool = False
) -> st.SearchStrategy[Delimited]:
    """Blocks of delimited text."""

    def of(dialect: Dialect) -> st.SearchStrategy[Delimited]:
        join = dialect.delimiter.encode().join
        blocks = _blocks(_record(dialect).map(join), None if are_plain else _odd(dialect).map(join), most_lines)
        return blocks.map(partial(Delimited, dialect))

    return st.sampled_from(dialects or list(DIALECTS.values())).flatmap(of)


# --- JSON Lines --------------------------------------------------------------------------------------------------

TIMES = [
    *["2011-08-15T03:36:16.748830Z", "2011-08-15T03:36:16.748Z", "2011-08-15T03:36:16Z", "2024-02-29T23:59:59.999999Z"],
    *["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1900-03-01T00:00:00Z", "2000-02-29T00:00:00Z"],
    *[
        "2011-08-15T03:36:16.1Z",
        "2011-08-15T03:36:16.1234567Z",
        "2011-08-15T03:36:16.999999999Z",
        "2011-08-15T03:36:16.000000001Z",
    ],
    *[
        "2011-08-15T03:36:16+02:00",
        "2011-08-15T03:36:16.748830-0730",
        "2011-12-31T23:36:16.5+2359",
        "2011-08-15T03:36:16-00:00",
    ],
    *["2011-08-15 03:36:16Z", "2011-08-15T03:36:16", "2011-08-15 03:36:16 UTC", "2011-08-15 03:36:16.748830 UTC"],
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
    *b'5.0 -5.00 -0.0 5.5 5.0e1 5.0.0 5.0x 15e-1 5.0000000000000000001 4503599627370496.5 "5.00" "5.5" "5." "5.0 "'.split(),
    *b'9007199254740991.0 9007199254740992.0 -9007199254740992.0 9007199254740993 123456789012345678.0 "1e400"'.split(),
    *[b"1" * 19, b"9223372036854775807", b"9223372036854775808", b"1" * 40, b"0." + b"1" * 40, b"1" * 400, b"1e400"],
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
    *b'"12" "-12" "0" "-0" "007" "-" "" "+1" "1.0" "1e3" "\\u0031" "1\\n"'.split(),
    *[b'" 1"', b'"1 "', *(b'"%s"' % (b"9" * digits) for digits in (18, 19, 40))],
    *[b'"9223372036854775807"', b'"-9223372036854775808"', b'"9223372036854775808"'],
    *b'[1,] [,1] [1 [ ] [} {] [{]} ["a] {"a"} {"a":} {"a":1,} {,} { } {1:2} {"a":tru} [1e] [01]'.split(),
    *[b"[1 2]", b'{"a" 1}', b'"\\x"', b'"\\u12g4"', b'["\\u12', b'"\\', b"[\0]", b'{"a":"\t"}'],
    # So deep goes the kernel.
    *[b"[" * depth + b"]" * depth for depth in (63, 64, 65, 66)],
    *[b'{"o":' * depth + b"1" + b"}" * depth for depth in (63, 64, 65, 66)],
    *[b'{"o":' + b"[" * depth + b"]" * (depth + 1) for depth in (62, 63, 64, 65)],
    *[b"{}", b'{"n":1}', b"[]", b"[1,2]", b"5 5", b"5,", b"// 5", b'"2011-08-15"', b'"2011-08-15T03:36:16 +02:00"'],
    *[
        b'"2011-08-15 03:36:16UTC"',
        b'"2011-08-15 03:36:16Z UTC"',
        b'"2011-08-15 03:36:16+02:00 UTC"',
        b'"2011-08-15 UTC"',
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
        b'"2011-08-15T03:36:16.1234567890Z"',
        b'"2011-08-15T03:36:16.%sZ"' % (b"9" * 40),
        b'"%s00:00Z"' % bytes(14),
    ],
    *[
        b'"2011-08-15T03:36:16%s"' % zone
        for zone in (b"+", b"+02", b"+0260", b"+24:00", b"-2:00", b"+02:0", b"+02:00Z", b"+02:00:01")
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

#: Objects in objects, as they should be and as they should not.
NESTED_OBJECTS = [
    *rb"""
        {"o":{"n":1}} {"o":{}} {"o":null} {"o":{"p":{}}} {"o":{"p":null,"n":1}}
        {"o":5} {"o":"a"} {"o":[]} {"o":true} {"o":{"p":5}} {"o":[{"n":1}]} {"o":{"n":{}}} {"o":{"n":[1]}} {"o":{"p":{"t":{}}}}
        {"o":{"n":1},"o":{"n":1}} {"o":{"n":1},"o":null} {"o":null,"o":{"n":1}} {"o":null,"o":null} {"n":1,"o":{"n":2},"n":1}
        {"o":{"n":1,"n":1}} {"o":{"p":{"t":"a"},"p":{}}} {"o":{"x":1,"x":2,"n":1}} {"o":{"p":{"t":"a"},"n":1,"p":null}}
        {"o":{"\u006e":1}} {"\u006f":{"n":1}} {"o":{"n":1,"\u006e":1}} {"o":{"p":{"\t":"a","s\u002es":1}}}
        {"o":{"n":1} {"o":{"n":1}}} {"o":{"n":1,}} {"o":{,}} {"o":{"n":1},} {"o":{"n":1]} {"o":{"n":1}}{} {"o":{"n":1}"x":1} {"o":{"p":{"t":"a"},"n":1}
        {"o.n":1} {"o":{"p.t":"a"}} {"o":{"p":{"s.s":1.5}}} {"o":{"p":{"s":{"s":1.5}}}} {"p":{"t":"a"}}
        {"id.h":"a"} {"id":{"h":"a"}} {"id":{"h":null}} {"id":5} {"id":null} {"id":5,"id.h":"a"} {"id":{"id.h":"b"}}
        {"id.h":"a","id":{"h":"b"}} {"id.h":null,"id":{"h":"b"}} {"id":{"h":"b"},"id.h":5} {"id":{"h":"a"},"id":5}
        {"id":{"h":"a","h":"b"}} {"id":{"h":"a"},"id":{"h":"b"}} {"id.h":null,"id.h":null,"id":{"h":"b"}}
        {"x":{"o":{"n":1}},"o":{"x":{"n":2},"n":3,"q":{"x":[{"i":4}],"i":"5"}}}
    """.split(),
    b'{ "o" : { "n" : 1 } , "n" : 2 }',
    b'{"o":{"x":1} }',
]

_json_text = texts.filter(lambda text: b"\1" not in text).map(lambda text: b'"%s"' % text)
_json_integers = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda number: b"%d" % number)
_json_times = st.one_of(decimals, st.sampled_from([b'"%s"' % time.encode() for time in TIMES]))
_json_in_text = st.one_of(_json_integers, _json_integers.map(lambda number: b'"%s"' % number))
_json_in_float = _json_integers.flatmap(lambda number: st.sampled_from([number, number[-14:].lstrip(b"0") + b"1.0"]))
_json_scalars = st.one_of(
    *[_json_text, _json_integers, decimals, st.sampled_from([b"true", b"false", b"null", b"1e400", b"-1.5E-3", b"0e+0"])],
    st.sampled_from([b'"\\"\\\\\\/\\b\\f\\n\\r\\t"', b'"\\u00e9\\ud800"', b'"}"', b'"{\\"n\\":1}"', b'"],"']),
)
_blank = st.sampled_from([b"", b"", b"", b"", b" ", b" ", b"\t", b"  ", b" " * 130])


def _array(values: list[bytes]) -> bytes:
    return b"[" + b",".join(values) + b"]"


def _object_of(keys: list[bytes], values: list[bytes]) -> bytes:
    return b"{" + b" , ".join(b'"%s": %s' % pair for pair in zip(keys, values, strict=False)) + b"}"


#: What nobody asks for, whose keys are some that are asked for elsewhere.
_json_any = st.recursive(
    _json_scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(_array),
        st.builds(
            _object_of,
            st.lists(st.sampled_from([b"n", b"o", b'\\"}', b"\\u006e"]), max_size=3),
            st.lists(inner, min_size=3, max_size=3),
        ),
    ),
    max_leaves=4,
)
_CELLS: dict[str, Any] = {
    "n": _json_integers,
    "t": _json_text,
    "s": _json_times,
    "u": _json_text,
    "x": _json_any,
    "y": _json_scalars,
    "o": {
        "n": _json_integers,
        "p": {"t": _json_text, "x": _json_any, "s.s": _json_times},
        "q": {
            "i": _json_in_text,
            "f": _json_in_float,
            "e": st.one_of(_json_in_text, _json_in_float),
            "b": st.one_of(_json_text, _json_integers),
        },
    },
    "id": {"h": _json_text, "y": _json_scalars},
    "j": _json_any,
    "v": st.one_of(_json_text, _json_times, _json_integers),
}


@st.composite
def _object(draw: st.DrawFn, is_odd: bool = False, cells: dict[str, Any] = _CELLS) -> bytes:
    """An object that mostly has all keys, in an order of its own; where it is odd, with one value that may be."""
    keys = draw(st.permutations(list(cells))) if draw(st.integers(0, 3)) == 3 else list(cells)
    keys = keys[draw(st.sampled_from([0, 0, 0, 1])) :]
    odd = draw(st.integers(0, len(keys) - 1)) if is_odd and keys else -1
    values = [draw(_value(cells[key], is_odd=i == odd)) for i, key in enumerate(keys)]
    colon, comma, inside = draw(_blank) + b":" + draw(_blank), draw(_blank) + b"," + draw(_blank), draw(_blank)
    pairs = (b'"%s"' % key.encode() + colon + value for key, value in zip(keys, values, strict=True))
    return b"{" + inside + comma.join(pairs) + inside + b"}"


@st.composite
def _value(draw: st.DrawFn, cell: Any, is_odd: bool) -> bytes:
    if is_odd and (not isinstance(cell, dict) or draw(st.booleans())):
        return draw(st.sampled_from(ODD_VALUES))
    if draw(st.integers(0, 9)) == 9:
        return b"null"
    return draw(_object(is_odd, cell) if isinstance(cell, dict) else cell)


def json_lines(most_lines: int = 12) -> st.SearchStrategy[Json]:
    """Blocks of JSON Lines; never empty, and without a byte order mark at the start, which belongs to the file."""
    odd = st.one_of(_object(is_odd=True), _object(is_odd=True), st.sampled_from([*ODD_OBJECTS, *NESTED_OBJECTS]))
    blocks = _blocks(_object(), odd, most_lines)
    return blocks.filter(lambda data: data and not data.startswith(b"\xef\xbb\xbf")).map(Json)


@st.composite
def repeated_objects(draw: st.DrawFn) -> Json:
    """Blocks of a few objects, each some times, and between them the same with a byte or two changed, some times, too."""
    template = st.one_of(_object(), st.sampled_from(ODD_OBJECTS), st.sampled_from(NESTED_OBJECTS))
    templates = draw(st.lists(template, min_size=1, max_size=2))
    changed = [draw(_changed(template)) for template in templates]
    lines = draw(st.lists(st.sampled_from([*templates, *templates, *changed]), min_size=1, max_size=16))
    # Without a byte order mark at the start, which belongs to the file.
    return Json((b"\n".join(lines) + b"\n").removeprefix(b"\xef\xbb\xbf"))


_piece = st.sampled_from([b"", b'"', b"\\/", b"\0", b":", b",", b"{", b"}", b"[", b"0", b" ", b"x"])


@st.composite
def _changed(draw: st.DrawFn, line: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 2))):
        at, much = draw(st.integers(0, len(line))), draw(st.integers(0, 2))
        line = line[:at] + draw(_piece) + line[at + much :]
    return line


def cases(most_lines: int = 12) -> st.SearchStrategy[Case]:
    """Blocks of each kind, half of them delimited text."""
    return st.one_of(delimited(most_lines=most_lines), json_lines(most_lines))


_near_times = st.one_of(decimals, st.sampled_from([b'"%s"' % time.encode() for time in TIMES if "1900" <= time < "2255"]))
_short_texts = _json_text.filter(lambda text: text.isascii() and len(text) <= len('""') + 32)
#: Cells that are the kernel's to read: a time that a double holds to the microsecond, and a short text where nearly all differ.
_PLAIN_CELLS = _CELLS | {
    "s": _near_times,
    "o": _CELLS["o"] | {"p": _CELLS["o"]["p"] | {"s.s": _near_times}},
    "v": st.one_of(_short_texts, _json_integers),
}


def plain_cases() -> st.SearchStrategy[Case]:
    """Blocks of each kind whose every line is the kernel's."""
    return st.one_of(delimited(are_plain=True), _blocks(_object(cells=_PLAIN_CELLS), None, 12).map(Json))
