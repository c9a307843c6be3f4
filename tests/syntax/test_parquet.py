"""Parquet files, read row group by row group."""

import contextlib
import gzip
import io
import json
from itertools import permutations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import MissingColumns, SourceError, UnreadableSource
from pipeline.syntax import parquet
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.compression import decompressed
from pipeline.syntax.parquet import parquet_schema, read_parquet, seekable
from tests.formats.helpers import INTEGER_RULE, SIZE_RULE, UTF8_RULE, gather

COLUMNS = [Column("n", Kind.INTEGER), Column("t", Kind.TEXT)]
NULLS = ("-", "None")
FLOAT_RULE = "must be an integer that a floating-point number holds exactly"


def parquet_file(columns, **options):
    """A Parquet file of these columns: (name, values, Arrow type)."""
    arrays = [values if isinstance(values, pa.Array) else pa.array(values) for _, values in columns]
    target = io.BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, [name for name, _ in columns]), target, **options)
    return target.getvalue()


def read(data, columns=COLUMNS, null_texts=None):
    return gather(read_parquet(io.BytesIO(data), columns, null_texts))


def read_n(array, null_texts=None):
    """A file whose column n is this."""
    return read(parquet_file([("n", array), ("t", ["a"] * len(array))]), null_texts=null_texts)


def read_t(array, null_texts=None):
    return read(parquet_file([("n", list(range(len(array)))), ("t", array)]), null_texts=null_texts)


class TestIntegersInFloats:
    """What pandas makes of integers, where one is missing."""

    @pytest.mark.parametrize("type_", [pa.float64(), pa.float32(), pa.float16()], ids=str)
    @pytest.mark.parametrize("null_texts", [None, NULLS])
    def test_whole_numbers_are_integers_and_nan_is_missing(self, type_, null_texts):
        column = pa.array(np.array([5, float("nan"), -7, 0], np.float64).astype(type_.to_pandas_dtype()), type_)
        outcome = read_n(pa.concat_arrays([column, pa.nulls(1, type_)]), null_texts)
        assert ([n for n, _ in outcome.cells], outcome.rejects) == ([5, None, -7, 0, None], [])

    @pytest.mark.parametrize("number", [0.5, -1.5, 1e-300])
    def test_a_fraction_is_rejected(self, number):
        outcome = read_n(pa.array([1.0, number, 3.0]))
        assert (outcome.rows, outcome.faults) == ([1, 3], [(2, "n", INTEGER_RULE)])
        assert outcome.rejects[0].value == str(number)

    @pytest.mark.parametrize("number", [2.0**53, -(2.0**53), 2.0**63, 1e300, float("inf"), -float("inf")])
    def test_what_may_stand_for_several_integers_is_rejected(self, number):
        outcome = read_n(pa.array([1.0, number, 2.0**53 - 1]))
        assert (outcome.rows, outcome.faults) == ([1, 3], [(2, "n", FLOAT_RULE)])

    def test_single_precision_holds_fewer(self):
        assert read_n(pa.array([2.0**24 - 1, 2.0**24], pa.float32())).faults == [(2, "n", FLOAT_RULE)]

    def test_a_number_may_be_a_text_where_other_types_are_tolerated(self):
        assert read_t(pa.array([111122223333.0, None]), NULLS).cells == [(0, "111122223333"), (1, None)]
        with pytest.raises(UnreadableSource, match="the column t has the type double; it must have a text type"):
            read_t(pa.array([1.0]))


class TestJoined:
    """`cat` of several files: the last footer finds the first file's rows."""

    PARTS = (
        parquet_file([("n", [1]), ("t", ["a"])]),
        parquet_file([("n", [2]), ("t", ["b"])]),
        parquet_file([("n", list(range(5000))), ("t", ["c"] * 5000)], compression="none", use_dictionary=False),
    )

    @pytest.mark.parametrize("order", list(permutations(range(3), 2)) + list(permutations(range(3))), ids=str)
    def test_files_one_behind_the_other_are_refused(self, order):
        with pytest.raises(UnreadableSource, match="two or more Parquet files lie one behind the other in it; ingest them"):
            read(b"".join(self.PARTS[i] for i in order))

    @pytest.mark.parametrize("between", [b"", b"\n", b"\r\n", b"\xef\xbb\xbf"])
    def test_they_are_found_wherever_one_ends_and_whatever_joins_them(self, monkeypatch, between):
        for size in range(12, 40):
            monkeypatch.setattr(parquet, "_LOOK_BYTES", size)
            with pytest.raises(UnreadableSource, match="one behind the other"):
                read(self.PARTS[0] + between + self.PARTS[1])

    @pytest.mark.parametrize("text", ["PAR1PAR1", "\1\0\0\0PAR1PAR1", "PAR1" * 100])
    def test_a_text_that_looks_like_their_joint_is_a_text(self, text):
        data = parquet_file([("n", [1, 2]), ("t", [text, "x" + text])], compression="none", use_dictionary=False)
        assert read(data).cells == [(1, text), (2, "x" + text)]


class TestColumns:
    def test_names_may_be_spelt_in_another_way(self):
        data = parquet_file([("N_", [1, None]), ("t_", ["a", "b"])])
        batches = read_parquet(io.BytesIO(data), COLUMNS, name_of=lambda name: name.lower().rstrip("_"))
        assert gather(batches).cells == [(1, "a"), (None, "b")]

    def test_a_name_in_two_spellings_is_ambiguous(self):
        data = parquet_file([("n", [1]), ("N", [2]), ("t", ["a"])])
        with pytest.raises(UnreadableSource, match="the column n 2 times"):
            list(read_parquet(io.BytesIO(data), COLUMNS, name_of=str.lower))

    @pytest.mark.parametrize(
        "columns",
        [
            [("n", [1, 2]), ("t", ["a", "b"])],
            [("t", ["a", "b"]), ("n", [1, 2])],
            [("x", [[1], [2]]), ("t", ["a", "b"]), ("x", [1, 2]), ("n", [1, 2])],
        ],
    )
    def test_columns_are_found_by_their_names(self, columns):
        assert read(parquet_file(columns)).records == [(1, 1, "a"), (2, 2, "b")]

    def test_missing_columns_are_named_with_what_the_file_has(self):
        with pytest.raises(MissingColumns) as error:
            read(parquet_file([("N", [1]), ("t", ["a"]), ("x", [1])]))
        assert (error.value.missing, error.value.found) == (["n"], ["N", "t", "x"])

    def test_a_wanted_column_that_stands_there_twice_is_ambiguous(self):
        with pytest.raises(UnreadableSource, match="names the column n 2 times"):
            read(parquet_file([("n", [1]), ("t", ["a"]), ("n", [1])]))

    def test_an_optional_column_that_is_not_there_is_left_out(self):
        optional = [*COLUMNS, Column("x", Kind.INTEGER, required=False)]
        assert read(parquet_file([("t", ["a"]), ("n", [1])]), optional).records == [(1, 1, "a")]

    def test_a_column_may_have_a_name_that_is_not_utf8(self):
        data = parquet_file([("n", [1]), ("t", ["a"]), ("xyz", [1])]).replace(b"xyz", b"x\xffz")
        try:
            parquet_schema(io.BytesIO(data))
            outcome = read(data)
        except UnreadableSource:
            return
        assert outcome.records == [(1, 1, "a")]

    def test_no_rows_are_no_records(self):
        assert read(parquet_file([("n", pa.array([], pa.int64())), ("t", pa.array([], pa.string()))])).read == 0


class TestNested:
    """Columns within columns, by their paths; a column that may lie at several places has the first value."""

    COLUMNS = (
        Column.at("a", "n", kind=Kind.INTEGER, required=False),
        Column.at("a", "b", "t", kind=Kind.TEXT, required=False),
        Column("s", Kind.SECONDS, required=False, path=("s",), others=(("a", "s"),)),
    )

    def read(self, records, schema=None):
        target = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(records, schema), target, row_group_size=2)
        return read(target.getvalue(), list(self.COLUMNS))

    def test_a_cell_is_null_where_what_is_around_it_is(self):
        records = [
            {"a": {"n": 1, "b": {"t": "x"}, "s": 8}, "s": 5, "other": [1]},
            {"a": {"n": 2, "b": None, "s": 9}, "s": None, "other": []},
            {"a": None, "s": 7, "other": None},
        ]
        assert self.read(records).cells == [(1, "x", 5.0), (2, None, 9.0), (None, None, 7.0)]

    def test_a_reject_is_named_by_its_path(self):
        outcome = self.read([{"a": {"n": 1.5}}, {"a": {"n": 2.0}}])
        assert (outcome.cells, outcome.faults) == ([(2,)], [(1, "a.n", INTEGER_RULE)])
        assert json.loads(outcome.raws[1]) == {"a.n": 1.5}

    def test_a_timestamp_is_a_time(self):
        schema = pa.schema([("s", pa.timestamp("us"))])
        assert self.read([{"s": 1_764_144_010_000_000}], schema).cells == [(1_764_144_010_000_000.0,)]

    def test_what_is_no_struct_has_nothing_within(self):
        assert self.read([{"a": 5, "s": 1}]).cells == [(1.0,)]
        with pytest.raises(MissingColumns, match=r"missing column a\.n"):
            target = io.BytesIO()
            pq.write_table(pa.table({"a": [5]}), target)
            read(target.getvalue(), [Column.at("a", "n", kind=Kind.INTEGER)])


class TestTypes:
    @pytest.mark.parametrize(
        "kind", [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()], ids=str
    )
    def test_any_width_of_integer_is_an_integer(self, kind):
        assert read_n(pa.array([5, None, 0], kind)).cells == [(5, "a"), (None, "a"), (0, "a")]

    def test_an_unsigned_integer_beyond_64_bits_is_rejected(self):
        outcome = read_n(pa.array([2**63 - 1, 2**63, None, 2**64 - 1], pa.uint64()))
        assert outcome.records == [(1, 2**63 - 1, "a"), (3, None, "a")]
        assert outcome.faults == [(2, "n", SIZE_RULE), (4, "n", SIZE_RULE)]
        assert json.loads(outcome.raws[4]) == {"n": 2**64 - 1, "t": "a"}

    @pytest.mark.parametrize(
        "array",
        [
            pa.array([True, False]),
            pa.array(["1", "2"]),
            pa.array([None, None]),
            pa.array([[1], [2]]),
            pa.array([{"n": 1}, {"n": 2}]),
            pa.array([1, 2]).cast(pa.decimal128(20, 0)),
            pa.array([1, 2]).cast(pa.timestamp("s")),
        ],
        ids=lambda array: str(array.type),
    )
    def test_a_column_of_another_type_is_refused_whole(self, array):
        with pytest.raises(UnreadableSource, match=r"the column n has the type .*; it must have an integer type"):
            read_n(array)

    @pytest.mark.parametrize(
        "kind",
        [
            *[pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary()],
            *[pa.dictionary(pa.int32(), pa.string()), pa.dictionary(pa.int8(), pa.large_string())],
        ],
        ids=str,
    )
    def test_any_kind_of_text_is_a_text(self, kind):
        assert read_t(pa.array(["é", None, ""]).cast(kind)).cells == [(0, "é"), (1, None), (2, "")]

    @pytest.mark.parametrize(
        "array", [pa.array([1]), pa.array([1.5]), pa.array([True]), pa.array([["a"]])], ids=lambda a: str(a.type)
    )
    def test_what_is_no_text_is_refused_whole(self, array):
        with pytest.raises(UnreadableSource, match=r"the column t has the type .*; it must have a text type"):
            read_t(array)

    @pytest.mark.parametrize(
        "array",
        [pa.array([b"a", b"caf\xe9", None]), pa.array([b"a", b"caf\xe9", None]).view(pa.string())],
        ids=["bytes", "text"],
    )
    def test_a_text_that_is_not_utf8_is_rejected(self, array):
        outcome = read_t(array)
        assert outcome.cells == [(0, "a"), (2, None)]
        (reject,) = outcome.rejects
        assert (reject.row, reject.field, reject.rule, reject.value) == (2, "t", UTF8_RULE, "caf\\xe9")
        assert json.loads(reject.raw) == {"n": 1, "t": "caf\\xe9"}

    def test_numbers_may_be_written_as_text_where_the_format_allows_it(self):
        outcome = read_n(pa.array(["5", "-", "None", None, " 7 ", "", "x", "5.0", "9" * 19]), NULLS)
        assert outcome.records == [(1, 5, "a"), (2, None, "a"), (3, None, "a"), (4, None, "a"), (5, 7, "a")]
        assert outcome.faults == [
            (6, "n", INTEGER_RULE),
            (7, "n", INTEGER_RULE),
            (8, "n", INTEGER_RULE),
            (9, "n", SIZE_RULE),
        ]

    def test_texts_may_be_written_as_numbers_where_the_format_allows_it(self):
        assert read_t(pa.array([123456789012, None]), NULLS).cells == [(0, "123456789012"), (1, None)]

    def test_the_texts_for_no_value_are_null_where_the_format_has_them(self):
        assert read_t(pa.array(["-", "None", "none", ""]), NULLS).cells == [(0, None), (1, None), (2, "none"), (3, "")]
        assert read_t(pa.array(["-", "None"])).cells == [(0, "-"), (1, "None")]


class TestRows:
    @pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
    @pytest.mark.parametrize("pages", ["1.0", "2.0"])
    def test_text_in_a_delta_encoding_is_a_text(self, encoding, pages):
        """As DuckDB and Spark write it in version 2; Arrow does not give it out as its distinct texts."""
        columns = [("n", [1, 2, 3]), ("t", ["a", None, "a"])]
        data = parquet_file(
            columns,
            use_dictionary=False,
            column_encoding={"t": encoding, "n": "PLAIN"},
            data_page_version=pages,
            row_group_size=2,
        )
        assert read(data).records == [(1, 1, "a"), (2, 2, None), (3, 3, "a")]

    def test_a_row_counts_once_where_its_row_group_turns_out_to_have_such_text(self, monkeypatch):
        class Turning(pq.ParquetFile):
            def __init__(self, *args, read_dictionary, **options):
                super().__init__(*args, read_dictionary=read_dictionary, **options)
                self.is_plain = not read_dictionary

            def iter_batches(self, *args, **options):
                for i, batch in enumerate(super().iter_batches(*args, **options)):
                    if i == 2 and not self.is_plain:
                        raise OSError("Not yet implemented: DecodeArrow of DictAccumulator for DeltaByteArrayDecoder.")
                    yield batch

        monkeypatch.setattr(parquet, "_BATCH_ROWS", 2)
        monkeypatch.setattr(parquet, "_PLAIN_ROWS", 3)
        monkeypatch.setattr(parquet.pq, "ParquetFile", Turning)
        rows = list(range(1, 16))
        outcome = read(parquet_file([("n", rows), ("t", ["a"] * len(rows))], row_group_size=8))
        assert outcome.records == [(row, row, "a") for row in rows]

    def test_a_row_s_number_counts_through_batches_and_row_groups(self, monkeypatch):
        monkeypatch.setattr(parquet, "_BATCH_ROWS", 3)
        texts = ["a", b"\xff", "b", "c", "d", "e", b"\xff", "f"]
        array = pa.array([text if isinstance(text, bytes) else text.encode() for text in texts])
        data = parquet_file([("n", list(range(10, 18))), ("t", array)], row_group_size=4)
        outcome = read(data)
        assert outcome.records == [(1, 10, "a"), (3, 12, "b"), (4, 13, "c"), (5, 14, "d"), (6, 15, "e"), (8, 17, "f")]
        assert {row: json.loads(raw)["n"] for row, raw in outcome.raws.items()} == {2: 11, 7: 16}

    def test_a_row_is_rejected_once_for_the_first_of_its_faults(self):
        array = pa.array([2**63], pa.uint64())
        assert read(parquet_file([("t", [b"\xff"]), ("n", array)])).faults == [(1, "n", SIZE_RULE)]

    @settings(max_examples=25, deadline=None)
    @given(
        st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1) | st.none(), st.text(max_size=4) | st.none()), max_size=20),
        st.integers(1, 7),
        st.sampled_from(["snappy", "gzip", "zstd", "none"]),
    )
    def test_what_was_written_is_read(self, rows, group, codec):
        columns = [("n", pa.array([n for n, _ in rows], pa.int64())), ("t", pa.array([t for _, t in rows], pa.string()))]
        outcome = read(parquet_file(columns, row_group_size=group, compression=codec))
        assert outcome.cells == rows
        assert outcome.rows == list(range(1, len(rows) + 1))


class TestDamage:
    DATA = parquet_file([("n", list(range(50))), ("t", [f"app-{i}" for i in range(50)])], write_page_checksum=True)

    def test_a_file_cut_off_anywhere_is_unreadable(self):
        for length in range(0, len(self.DATA), 7):
            with pytest.raises(UnreadableSource):
                read(self.DATA[:length])
            with pytest.raises(UnreadableSource, match="no readable footer; is it cut off"):
                parquet_schema(io.BytesIO(self.DATA[:length]))

    def test_a_flipped_bit_in_a_checked_page_is_noticed(self):
        columns = [("n", [1, 2]), ("t", ["foo", "bar"])]
        options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        damaged = bytearray(parquet_file(columns, write_page_checksum=True, **options))
        damaged[damaged.index(b"foo")] ^= 1
        with pytest.raises(UnreadableSource, match="cannot be read to its end"):
            read(bytes(damaged))

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(st.integers(4, len(DATA) - 1), st.integers(1, 255)), min_size=1, max_size=3))
    def test_damage_anywhere_is_the_source_s_fault(self, flips):
        damaged = bytearray(self.DATA)
        for position, bits in flips:
            damaged[position] ^= bits
        with contextlib.suppress(SourceError):
            read(bytes(damaged))

    def test_it_can_be_read_through_another_compression(self):
        stream = seekable(decompressed(io.BytesIO(gzip.compress(self.DATA))))
        assert gather(read_parquet(stream, COLUMNS)).records == read(self.DATA).records

    def test_the_file_stays_open(self):
        raw = io.BytesIO(self.DATA)
        parquet_schema(raw)
        raw.seek(0)
        assert gather(read_parquet(raw, COLUMNS)).read == 50
        assert not raw.closed
