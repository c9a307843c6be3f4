"""The kernel as other machines have it: it says what this machine's says."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.kernel import columns, jsonvalues, library, texts, totals
from pipeline.kernel.jsonvalues import Between, cut_arrays, split_json
from pipeline.schema import DICTIONARY_TEXT
from tests.kernel.lines import (
    DIALECTS,
    NAMES,
    NESTED_OBJECTS,
    NOT_UTF8,
    ODD_NUMBERS,
    ODD_OBJECTS,
    ODD_VALUES,
    Delimited,
    Json,
    cases,
    plain_cases,
    repeated_objects,
)
from tests.kernel.test_totals import many, rows_in, totals_from
from tests.records import flows_of, records

SOURCES = Path(library.__file__).parent
_USERS = (columns, jsonvalues, texts, totals)


#: The flags of the other builds: without the instructions of x86, and for a processor of x86-64 without AVX2.
BUILDS = {"portable": ("-O1", "-U__SSE2__"), "without AVX2": ("-O3",)}


@pytest.fixture(scope="module", params=BUILDS)
def portable(request, tmp_path_factory):
    """Has the kernel's calls go to another build, for as long as it is entered."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    built = tmp_path_factory.mktemp("portable") / "_kernel.so"
    flags = ("-std=gnu11", *BUILDS[request.param], "-fPIC", "-shared", '-DKERNEL_VERSION="another"')
    subprocess.run([compiler, *flags, *sorted(map(str, SOURCES.glob("*.c"))), "-o", str(built)], check=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(library, "_PATH", built)
        patch.setattr(library, "_AVX2_PATH", built)
        other = library._load()

    @contextmanager
    def entered():
        with pytest.MonkeyPatch.context() as patch:
            for user in _USERS:
                patch.setattr(user, "kernel", other)
            yield

    assert other.kernel_version() == b"another"
    return entered


def said_of(case):
    """What the kernel makes of a block, in each of its ways."""
    lines, _ = case.by_kernel()
    read = None if lines is None else ([[*map(repr, column.to_pylist())] for column in lines.columns], lines.odd.tolist())
    seen = columns.survey(case.data)
    found = [
        columns.find_four(case.data, b"addr"),
        columns.lines_from(case.data, b"a", b"z"),
    ]
    values = split_json(case.data, Between.ENTERS_ARRAYS)
    split = (values.starts.tolist(), values.ends.tolist(), values.lines, values.position, values.stop, values.error)
    cut = cut_arrays(values.lines, "t") if values.lines else None
    return read, seen, found, split, cut


def check(portable, case):
    expected = said_of(case)
    with portable():
        assert said_of(case) == expected


@given(case=st.one_of(plain_cases(), cases(), repeated_objects()))
@settings(max_examples=50)
def test_it_says_the_same_of_any_lines(portable, case):
    check(portable, case)


@pytest.mark.parametrize("name", DIALECTS)
def test_it_does_wherever_text_ends(portable, name):
    """It looks for the ends of cells in 64 bytes at once, and there may be ends at any place of these."""
    dialect = DIALECTS[name]
    for length in range(140):
        for cell in ("x" * length, "é" * (length // 2), "x," * (length // 2)):
            line = dialect.delimiter.join([cell, "12345678", cell, "1234567.5", "db"]).encode()
            check(portable, Delimited(dialect, line + b"\n" + line))


def test_it_does_wherever_json_ends(portable):
    for length in range(140):
        for text in (b"x" * length, b"x" * length + b'\\"y', b" " * length, b"\x1f" * (length % 9), b"\xc3\xa9" * length):
            line = b'{"n":12345678,"x":"%s","t":"%s","s":1234567.5,"v":"%s"}' % (text, text, text)
            check(portable, Json(line + b"\n" + line))


def test_it_does_of_every_odd_cell_and_value(portable):
    for cell in (*ODD_NUMBERS, *NAMES, *NOT_UTF8):
        for dialect in DIALECTS.values():
            line = dialect.delimiter.encode().join([cell, cell, b"x", b"1.5", cell])
            check(portable, Delimited(dialect, line + b"\n" + line))
    for value in ODD_VALUES:
        check(portable, Json(b'{"n":%s,"t":"web"}\n{"x":%s,"t":"web"}\n' % (value, value)))
    for line in (*ODD_OBJECTS, *NESTED_OBJECTS):
        check(portable, Json(line + b"\n" + line))


def test_names_keep_their_codes(portable):
    data = b"\n".join([*NAMES, *NAMES])
    with portable():
        (column,) = columns.DelimitedLines([DICTIONARY_TEXT], b" ", quoted=False, null=None).parse(data).columns
    assert column.to_pylist() == [name.decode() for name in [*NAMES, *NAMES]]
    assert len(column.dictionary) == len(NAMES)


@given(st.lists(records, min_size=2, max_size=2))
def test_sums_are_the_same(portable, parts):
    one, two = map(flows_of, parts)
    with portable():
        ours = sums_of(one, two)
    assert ours == sums_of(one, two)


def test_so_are_those_of_many_keys(portable):
    flows = many(100_000)
    with portable():
        ours = sums_of(flows, flows.slice(30_000))
    assert ours == sums_of(flows, flows.slice(30_000))


def sums_of(one, two):
    """The rows of two tables together."""
    whole = totals_from(one)
    whole.absorb(totals_from(two))
    return rows_in(whole)
