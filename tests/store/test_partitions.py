"""The Parquet files of hours."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StoreDamaged
from pipeline.query.sums import sort_totals
from pipeline.scalars import INT64_MAX
from pipeline.schema import PARTITION_SCHEMA, TOTALS_SCHEMA
from pipeline.store import partitions
from pipeline.store.layout import Locations
from pipeline.store.partitions import (
    PartitionSummary,
    partition_bytes,
    read_in_pieces,
    read_partition,
    read_partitions,
    read_sums,
    summarise_partition,
)
from tests.query.test_query import stored
from tests.records import write_totals

ROW = {"hour": 5, "src_app": "a", "dest_app": "b", "vpc_id": "v", "bytes_tx": 1, "bytes_rx": 2, "flows": 3}

names = st.text(min_size=1)
sums = st.integers(0, 2**63 - 1)


def totals_of(*rows):
    return sort_totals(pa.Table.from_pylist([ROW | row for row in rows], schema=TOTALS_SCHEMA))


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path)
    store.partition(5).parent.mkdir(parents=True)
    return store


@given(st.dictionaries(st.tuples(names, names, names), st.tuples(sums, sums, sums), min_size=1, max_size=10))
def test_what_is_written_reads_back_equal(tmp_path_factory, content):
    store = Locations(tmp_path_factory.mktemp("store"))
    store.partition(5).parent.mkdir(parents=True)
    rows = [dict(zip(TOTALS_SCHEMA.names, (5, *key, *values), strict=True)) for key, values in content.items()]
    totals = totals_of(*rows)
    write_totals(store.partition(5), totals)
    assert read_partition(store, 5).cast(TOTALS_SCHEMA).equals(totals)


def test_an_unknown_hour_has_no_rows(store):
    assert read_partition(store, 6).cast(TOTALS_SCHEMA).equals(TOTALS_SCHEMA.empty_table())


def test_several_hours_stand_one_behind_the_other_in_one_piece(store):
    for hour, apps in {5: "ab", 7: "c"}.items():
        store.partition(hour).parent.mkdir(exist_ok=True)
        write_totals(store.partition(hour), totals_of(*({"hour": hour, "src_app": app} for app in apps)))
    table = read_partitions(store, [7, 6, 5])
    assert table.equals(pa.concat_tables([read_partition(store, hour).cast(TOTALS_SCHEMA) for hour in (7, 5)]))
    assert {column.num_chunks for column in table.columns} == {1}
    assert read_partitions(store, [1, 2]).equals(TOTALS_SCHEMA.empty_table())


def test_a_file_s_size_is_told_and_0_of_none(store):
    write_totals(store.partition(5), totals_of({}))
    assert [partition_bytes(store, hour) for hour in (5, 6)] == [len(store.partition(5).read_bytes()), 0]


def test_the_file_has_the_columns_of_the_format_and_not_the_hour(store):
    write_totals(store.partition(5), totals_of({}))
    assert pq.read_schema(store.partition(5)).equals(PARTITION_SCHEMA)


def test_the_bytes_of_the_file_depend_on_the_totals_alone(store):
    totals = totals_of(*({"src_app": f"app-{i:03}"} for i in range(500)))
    chunked = pa.concat_tables([totals.slice(0, 123), totals.slice(123)])
    written = []
    for table in (totals, chunked):
        write_totals(store.partition(5), table)
        written.append(store.partition(5).read_bytes())
    assert written[0] == written[1]


def test_the_footer_alone_tells_the_sums(store):
    write_totals(store.partition(5), totals_of({}, {"src_app": "z", "bytes_tx": 2**63 - 1}))
    size = store.partition(5).stat().st_size
    assert summarise_partition(store, 5) == PartitionSummary(
        hour=5, rows=2, flows=6, bytes_tx=2**63, bytes_rx=4, file_bytes=size
    )


def test_a_flipped_bit_in_a_page_is_found_by_its_checksum(store):
    path = store.partition(5)
    write_totals(path, totals_of(*({"src_app": f"app-{i:03}"} for i in range(500))))
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"hour=5/part-0\.parquet"):
        read_partition(store, 5)


def test_what_arrow_says_of_damage_in_several_lines_is_one(store):
    path = store.partition(5)
    write_totals(path, totals_of({}))
    content = bytearray(path.read_bytes())
    content[4:40] = bytes(36)  # the header of the first page
    path.write_bytes(content)
    with pytest.raises(StoreDamaged) as raised:
        read_partition(store, 5)
    assert "\n" in str(raised.value.__cause__)
    assert str(raised.value).isprintable()


def test_a_file_of_another_kind_is_damage_and_not_data(store):
    pq.write_table(pa.table({"src_app": ["a"], "bytes_tx": [1]}), store.partition(5))
    with pytest.raises(StoreDamaged, match="src_app: string, bytes_tx: int64"):
        read_partition(store, 5)
    with pytest.raises(StoreDamaged, match="not a partition"):
        summarise_partition(store, 5)


def test_only_whole_partitions_are_listed(store):
    write_totals(store.partition(5), totals_of({}))
    store.partition(4).parent.mkdir()  # a run was cut off before it moved the file
    for name in ("hour=07", "hour=x", "other"):
        (store.flows / name).mkdir()
    assert store.hours() == [5]


@pytest.mark.parametrize("first", [1, INT64_MAX - 9])
def test_a_short_range_is_all_its_hours_up_to_the_last_that_there_can_be(store, first):
    assert list(store.hours_within(first, first + 5)) == list(range(first, first + 5))
    assert list(store.hours_within(INT64_MAX, INT64_MAX + 5)) == [INT64_MAX]


def test_of_a_long_range_those_hours_are_given_that_have_a_folder(store):
    for hour in (1, 999, 1000, INT64_MAX, INT64_MAX + 1):
        store.partition(hour).parent.mkdir()
    assert list(store.hours_within(1, 1000)) == [1, 5, 999]
    assert list(store.hours_within(5, 2**70)) == [5, 999, 1000, INT64_MAX]


@pytest.mark.parametrize("until", [2, 2**63])
def test_a_range_of_a_store_without_its_folder_is_empty_and_of_one_with_a_file_in_its_place_damage(tmp_path, until):
    store = Locations(tmp_path)
    assert list(store.hours_within(1, until)) == []
    store.flows.touch()
    with pytest.raises(StoreDamaged, match="it must be a folder"):
        store.hours_within(1, until)


@pytest.mark.parametrize("root", ["store", ".", "a//b/", "/x", "../x"])
def test_a_partition_s_path_and_name_are_one(root):
    store = Locations(Path(root))
    assert store.partition_name(7) == str(store.partition(7)) == str(store.flows / "hour=7" / "part-0.parquet")


def test_a_row_group_has_its_own_names_alone_and_not_too_many(store, monkeypatch):
    """A reader that goes on piece by piece has all distinct names of a row group in memory."""
    monkeypatch.setattr(partitions, "_ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(partitions, "_ROW_GROUP_TEXT", 100_000)
    names = [f"{i:04d}" for i in range(250)] + [f"{i:04d}" + "x" * 4_000 for i in range(250, 300)]
    totals = totals_of(*({"src_app": name} for name in names))
    write_totals(store.partition(5), totals)
    footer = pq.read_metadata(store.partition(5))
    groups = [footer.row_group(i) for i in range(footer.num_row_groups)]
    assert [group.num_rows for group in groups] == [100, 100, 50, 12, 13, 12, 13]
    assert all(group.column(0).total_uncompressed_size < 110_000 for group in groups)
    assert groups[0].column(0).total_uncompressed_size < 2_000
    assert read_partition(store, 5).cast(TOTALS_SCHEMA).equals(totals)
    pieces = list(read_in_pieces(store, 5, 40))
    assert max(piece.num_rows for piece in pieces) == 40
    assert pa.Table.from_batches(pieces).column("src_app").to_pylist() == names
    assert list(read_in_pieces(store, 6, 40)) == []


ROWS = [(5, "a", "b", "v", 1, 20, 1), (5, "c", "b", "v", 300, 4000, 2)]
IN_ONE = [{"hour": 5, "bytes_tx": 301, "bytes_rx": 4020, "flows": 3}]
ROW_BY_ROW = [
    {"hour": 5, "bytes_tx": 1, "bytes_rx": 20, "flows": 1},
    {"hour": 5, "bytes_tx": 300, "bytes_rx": 4000, "flows": 2},
]


class TestSums:
    """What a query reads that wants no names: each hour's sums, without its rows where these need not be read."""

    @pytest.fixture
    def store(self, tmp_path):
        return stored(tmp_path, ROWS)

    def edit(self, store, old, new):
        content = store.partition(5).read_bytes()
        assert content.count(old) == 1
        store.partition(5).write_bytes(content.replace(old, new))

    def test_sums_that_the_footer_proves_stand_for_the_rows(self, store):
        assert read_sums(store, [4, 5]).to_pylist() == IN_ONE

    def test_hours_with_a_proof_and_without_stand_beside_one_another(self, tmp_path):
        store = stored(tmp_path, [*ROWS, (6, "a", "b", "v", 7, 8, 9)])
        self.edit(store, b"flowlog.proof", b"flowlog.proo_")
        assert sorted(read_sums(store, [5, 6]).to_pylist(), key=lambda row: row["bytes_tx"]) == [
            ROW_BY_ROW[0],
            {"hour": 6, "bytes_tx": 7, "bytes_rx": 8, "flows": 9},
            ROW_BY_ROW[1],
        ]

    @pytest.mark.parametrize(("old", "new"), [(b"4020", b"4021"), (b"flowlog.bytes_rx", b"flowlog.bytes_xr")])
    def test_where_the_footers_sums_are_not_as_written_the_rows_are_read(self, store, old, new):
        self.edit(store, old, new)
        assert read_sums(store, [5]).to_pylist() == ROW_BY_ROW

    def test_a_flipped_bit_in_any_page_is_damage(self, store):
        whole = store.partition(5).read_bytes()
        footer = int.from_bytes(whole[-8:-4], "little") + 8
        found = 0
        for place in range(4, len(whole) - footer):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            store.partition(5).write_bytes(damaged)
            try:
                assert read_sums(store, [5]).to_pylist() == ROW_BY_ROW  # a column of text was hit, which nobody wants
            except StoreDamaged:
                found += 1
        assert found > 100

    def test_sums_beyond_64_bits_are_left_to_who_adds_them_up(self, tmp_path):
        rows = [(5, app, "b", "v", INT64_MAX, 0, 1) for app in "ac"]
        assert read_sums(stored(tmp_path, rows), [5]).column("bytes_tx").to_pylist() == [INT64_MAX] * 2

    def test_an_hour_without_rows_has_none(self, store):
        write_totals(store.partition(5), totals_of())
        assert read_sums(store, [5]).num_rows == 0
