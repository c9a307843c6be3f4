"""Canonical flow records: the six fields under their own names, in each syntax."""

import csv
import gzip
import io
import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MissingColumns, SourceError, UnreadableSource
from pipeline.schema import COLUMNS, FLOW_SCHEMA
from tests.formats.helpers import INTEGER_RULE, TEXT_RULE, UTF8_RULE, blocks_of, format_of, read

FLOWS = [(498752, "web", "db", "vpc-1", 100, 0), (498753, 'é, "x"\n', "db", "vpc-2", 2**53 - 1, 7), (1, "a", "b", "-", 0, 0)]


def as_csv(records, columns=COLUMNS):
    target = io.StringIO()
    writer = csv.DictWriter(target, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(records)
    return target.getvalue().encode()


def as_json_lines(records, columns=COLUMNS):
    return "".join(json.dumps({name: record[name] for name in columns}) + "\n" for record in records).encode()


def as_json_array(records, columns=COLUMNS):
    return json.dumps(
        [{name: record[name] for name in columns} for record in records], indent=2, ensure_ascii=False
    ).encode()


def as_parquet(records, columns=COLUMNS):
    types = {field.name: field.type for field in FLOW_SCHEMA} | {"x": pa.int64()}
    target = io.BytesIO()
    pq.write_table(pa.table({name: pa.array([record[name] for record in records], types[name]) for name in columns}), target)
    return target.getvalue()


WRITERS = {"CSV": as_csv, "JSON Lines": as_json_lines, "JSON array": as_json_array, "Parquet": as_parquet}
#: The number of the first record: a CSV file has a header line before it.
FIRST = {"CSV": 2, "JSON Lines": 1, "JSON array": 1, "Parquet": 1}
syntaxes = pytest.mark.parametrize("syntax", WRITERS)


def records_of(flows):
    return [dict(zip(COLUMNS, flow, strict=True)) | {"x": 1} for flow in flows]


@syntaxes
def test_what_was_written_is_read(syntax):
    data = WRITERS[syntax](records_of(FLOWS))
    assert format_of(data) == syntax.split()[0]
    outcome = read(data)
    assert (outcome.cells, outcome.rejects, outcome.ignored) == (FLOWS, [], {})


@syntaxes
@pytest.mark.parametrize("seed", range(4))
def test_fields_may_stand_in_any_order_among_others(syntax, seed):
    columns = random.Random(seed).sample([*COLUMNS, "x"], 7)
    assert read(WRITERS[syntax](records_of(FLOWS), columns)).cells == FLOWS


@syntaxes
def test_it_can_be_compressed(syntax):
    assert read(gzip.compress(WRITERS[syntax](records_of(FLOWS)))).cells == FLOWS


@pytest.mark.parametrize("syntax", ["CSV", "Parquet"])
@pytest.mark.parametrize("missing", COLUMNS)
def test_a_field_that_the_file_lacks_is_named(syntax, missing):
    columns = [name for name in COLUMNS if name != missing]
    with pytest.raises(MissingColumns) as error:
        read(WRITERS[syntax](records_of(FLOWS), columns))
    assert (error.value.missing, error.value.found) == ([missing], columns)


@pytest.mark.parametrize("syntax", ["JSON Lines", "JSON array"])
@pytest.mark.parametrize("missing", COLUMNS)
def test_a_field_that_a_json_object_lacks_is_null_for_the_schema_to_refuse(syntax, missing):
    outcome = read(WRITERS[syntax](records_of(FLOWS[:1]), [name for name in COLUMNS if name != missing]))
    assert outcome.cells == [tuple(None if name == missing else cell for name, cell in zip(COLUMNS, FLOWS[0], strict=True))]


INTEGERS, TEXTS = ("hour", "bytes_tx", "bytes_rx"), ("src_app", "dest_app", "vpc_id")


@pytest.mark.parametrize(
    ("syntax", "field", "cell", "rule"),
    [
        *[(syntax, field, "five", INTEGER_RULE) for syntax in ("CSV", "JSON Lines", "JSON array") for field in INTEGERS],
        *[(syntax, field, 5, TEXT_RULE) for syntax in ("JSON Lines", "JSON array") for field in TEXTS],
    ],
)
def test_an_unfit_cell_is_rejected_under_its_row_and_name(syntax, field, cell, rule):
    good, other = records_of(FLOWS[::2])
    outcome = read(WRITERS[syntax]([good, good | {field: cell}, other]))
    assert (outcome.cells, outcome.faults) == (FLOWS[::2], [(FIRST[syntax] + 1, field, rule)])


def test_a_text_that_is_not_utf8_is_rejected_in_every_syntax_of_text():
    bad = [
        data.replace(b"web", b"w\xff")
        for data in (WRITERS[name](records_of(FLOWS)) for name in WRITERS if name != "Parquet")
    ]
    assert [read(data).faults for data in bad] == [[(2, "src_app", UTF8_RULE)], *[[(1, "src_app", UTF8_RULE)]] * 2]


@pytest.mark.parametrize("line", ["1,,b,v,1,2", "0,a,b,v,1,2", "1,a,b,v,-1,2", f"1,a,b,v,1,{2**60}"])
def test_the_rules_of_the_record_are_left_to_the_schema(line):
    assert read(",".join(COLUMNS) + "\n" + line).rejects == []


apps = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)  # no text has a NUL
flows = st.tuples(*[st.integers(-(2**63), 2**63 - 1), apps, apps, apps, st.integers(0, 2**53), st.integers(0, 2**53)])


def trimmed(found):
    """Blanks around a cell of CSV are no part of it."""
    return [tuple(cell.strip(" \t") if isinstance(cell, str) else cell for cell in flow) for flow in found]


@settings(max_examples=60, deadline=None)
@given(st.lists(flows, max_size=5), st.integers(1, 200))
def test_the_same_records_read_the_same_in_every_syntax(found, block_bytes):
    for name, write in WRITERS.items():
        option = {"CSV": "csv", "Parquet": "parquet"}.get(name, "json")
        if not found and name == "JSON Lines":
            continue  # an empty file is of no format
        with blocks_of(block_bytes):
            outcome = read(write(records_of(found)), option=option)
        assert (outcome.cells, outcome.read) == (trimmed(found) if name == "CSV" else found, len(found))


class TestCsvOfSpreadsheets:
    """What people's programs make of CSV."""

    HEADER = ",".join(COLUMNS)
    TURNED = ",".join([*COLUMNS[:4], "bytes_rx", "bytes_tx"])

    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    @pytest.mark.parametrize("glued", [False, True])
    @pytest.mark.parametrize(
        "header",
        [HEADER, TURNED, TURNED.upper(), TURNED.title(), TURNED.replace(",", ", "), '"' + TURNED.replace(",", '","') + '"'],
    )
    def test_a_second_header_is_refused(self, mark, glued, header):
        text = f"{mark}{self.HEADER}\n1,a,b,v,100,7" + "\n" * (not glued) + f"{mark}{header}\n1,a,b,v,7,100\n"
        with pytest.raises(
            UnreadableSource, match=f"line {3 - glued}: a second header; ingest the files that were joined here"
        ):
            read(text)

    def test_a_name_that_is_a_column_s_is_no_header(self):
        assert read(f"{self.HEADER}\n1,src_app,hour,v,1,2\n").cells == [(1, "src_app", "hour", "v", 1, 2)]

    @pytest.mark.parametrize("quote", ["", '"'])
    @pytest.mark.parametrize("space", [" ", "\t", "  "])
    def test_blanks_around_a_cell_are_no_part_of_it(self, quote, space):
        rows = [self.HEADER, "1,a,b,c d,1,2"]
        before = [("," + space).join(quote + cell + quote for cell in row.split(",")) for row in rows]
        behind = [(space + ",").join(row.split(",")) for row in rows]
        inside = [",".join(f'"{space}{cell}{space}"' for cell in row.split(",")) for row in rows]
        for lines in (before, behind, inside):
            if space != "\t" or not quote or lines is not before:
                assert read("\n".join([*lines, rows[1]])).cells == [(1, "a", "b", "c d", 1, 2)] * 2

    @pytest.mark.parametrize("end", ["\r", "\r\n"])
    @pytest.mark.parametrize("last", ["", None])
    def test_lines_may_end_as_old_macs_and_windows_have_it(self, end, last):
        lines = [self.HEADER, "1,a,b,v,1,2", '2,"a,a",b,v,3,x', "3,a,b,v,5,6", *([] if last is None else [last])]
        outcome = read(end.join(lines))
        assert (outcome.rows, outcome.faults) == ([2, 4], [(3, "bytes_rx", INTEGER_RULE)])

    def test_lines_that_end_in_both_ways_are_refused_in_our_words(self):
        text = self.HEADER + "\r" + "1,a,b,v,1,2\r" * 10_000 + "1,a,b,v,1,2\n"
        with pytest.raises(UnreadableSource, match="its lines end in carriage returns at first, and in newlines later"):
            read(text)
        with pytest.raises(UnreadableSource, match="the header line cannot be read: a carriage return stands inside it"):
            read(self.HEADER + "\r1,a,b,v,1,2\n")


@pytest.mark.parametrize("syntax", ["CSV", "JSON array", "Parquet"])
def test_no_records_are_no_records(syntax):
    assert read(WRITERS[syntax]([])).read == 0


@pytest.mark.parametrize("syntax", ["JSON Lines", "JSON array", "Parquet"])
def test_a_file_cut_off_anywhere_gives_no_record_that_was_not_written(syntax):
    data = WRITERS[syntax](records_of(FLOWS))
    for length in range(len(data)):
        try:
            found = read(data[:length]).cells
        except SourceError:
            continue
        assert syntax == "JSON Lines"  # the others know where they end
        assert found == FLOWS[: len(found)]
