"""The proof: a sound store is sound, and each way to damage one is found and named."""

import json
import shutil
import subprocess
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import MENDING, StoreDamaged, StoreLocked
from pipeline.flowstore import FlowStore
from pipeline.jobs.verify import DeepOptions
from pipeline.store.lock import locked
from pipeline.store.partitions import read_partitions
from tests.conftest import ingest_records
from tests.records import forge_record, write_totals


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Two runs: hour 1 with two keys and hour 2, one row rejected; then hour 1 again."""
    folder = tmp_path_factory.mktemp("built")
    ingest_records(folder, "foo,bar,v,100,300,1", "baz,qux,v,10,20,1", "foo,bar,v,5,6,2", "foo,bar,v,-1,0,2")
    ingest_records(folder, "foo,bar,v,200,600,1")
    return folder / "store"


@pytest.fixture
def store(built, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(built, tmp_path / "store")
    return FlowStore(tmp_path / "store")


def run_record(store, number=0):
    return store.locations.record_of(store.locations.run_ids()[number])


def rewrite(store, edit, hour=1):
    """Puts other totals into an hour, in a file that is whole."""
    totals = edit(read_partitions(store.locations, [hour]))
    store.locations.partition(hour).unlink()
    write_totals(store.locations.partition(hour), totals)


def edit_record(store, edit, number=0):
    forge_record(store.locations, edit, number + 1)


def changed(totals, column, row, value):
    """The totals with another value in one cell."""
    rows = totals.to_pylist()
    rows[row][column] = value
    return pa.Table.from_pylist(rows, schema=totals.schema)


class TestSound:
    def test_a_store_that_was_only_ever_ingested_into_is_sound(self, store):
        result = store.verify()
        assert result.problems == []
        assert (result.runs, result.sources, result.hours) == (2, 2, 2)
        assert (result.flows, result.bytes_tx, result.bytes_rx) == (4, 315, 926)

    def test_so_is_one_that_holds_nothing_yet(self, ingested):
        store = ingested("")  # a header alone
        result = store.verify()
        assert (result.problems, result.runs, result.hours, result.flows) == ([], 1, 0, 0)

    def test_looking_changes_nothing(self, store):
        def content():
            return {path: path.read_bytes() for path in store.locations.flows.rglob("*.parquet")}

        before = content()
        store.verify()
        assert content() == before

    def test_what_a_run_has_staged_without_a_commit_is_no_damage(self, store):
        staged = store.locations.staging_of("00000009-0123456789abcdef") / "flows" / "hour=1"
        staged.mkdir(parents=True)
        (staged / "part-0.parquet").write_bytes(b"half")
        assert store.verify().problems == []

    def test_a_folder_that_an_interrupted_run_made_is_no_damage(self, store):
        store.locations.partition(3).parent.mkdir()
        assert store.verify().problems == []


NOTHING = {"hour": 1, "src_app": "foo", "dest_app": "bar", "vpc_id": "w", "bytes_tx": 0, "bytes_rx": 0, "flows": 0}
PARTITIONS = [
    pytest.param(
        lambda totals: changed(totals, "bytes_tx", 0, 11),
        ["bytes_tx is 311, but the ledger has 310"],
        id="a value",
    ),
    pytest.param(lambda totals: changed(totals, "flows", 0, 7), ["flows is 9, but the ledger has 3"], id="a count"),
    pytest.param(
        lambda totals: pa.concat_tables([totals, totals.slice(1, 1)]),
        [
            "bytes_tx is 610, but the ledger has 310",
            "bytes_rx is 1,820, but the ledger has 920",
            "flows is 5, but the ledger has 3",
            "a key stands in more than one row",
        ],
        id="a row twice",
    ),
    pytest.param(
        lambda totals: pa.concat_tables([totals, changed(totals.slice(1, 1), "src_app", 0, "zzz")]),
        [
            "bytes_tx is 610, but the ledger has 310",
            "bytes_rx is 1,820, but the ledger has 920",
            "flows is 5, but the ledger has 3",
        ],
        id="an extra row",
    ),
    pytest.param(
        lambda totals: totals.slice(1),
        [
            "bytes_tx is 300, but the ledger has 310",
            "bytes_rx is 900, but the ledger has 920",
            "flows is 2, but the ledger has 3",
        ],
        id="a row is gone",
    ),
    pytest.param(lambda totals: totals.slice(0, 0), ["has no rows"], id="all rows are gone"),
    pytest.param(lambda totals: totals.take([1, 0]), ["its rows are not sorted by their key"], id="another order"),
    pytest.param(
        lambda totals: changed(changed(totals, "src_app", 1, "baz"), "dest_app", 1, "qux"),
        ["a key stands in more than one row"],
        id="one key twice, the sums unchanged",
    ),
    pytest.param(lambda totals: changed(totals, "src_app", 0, ""), ["has an empty src_app"], id="an empty name"),
    pytest.param(lambda totals: changed(totals, "vpc_id", 0, None), ["has nulls"], id="a null"),
    pytest.param(
        lambda totals: changed(changed(totals, "bytes_tx", 0, -10), "bytes_tx", 1, 320),
        ["has -10 in bytes_tx"],
        id="a negative sum, the total unchanged",
    ),
    pytest.param(
        lambda totals: changed(changed(totals, "flows", 0, -1), "flows", 1, 4),
        ["has -1 in flows"],
        id="less than no record",
    ),
    pytest.param(
        lambda totals: pa.Table.from_pylist([*totals.to_pylist(), NOTHING], schema=totals.schema),
        ["has a row without flows and bytes"],
        id="a row that no record made",
    ),
]


class TestPartitions:
    @pytest.mark.parametrize(("edit", "problems"), PARTITIONS)
    def test_other_rows_are_found(self, store, edit, problems):
        rewrite(store, edit)
        where = store.locations.partition(1)
        assert store.verify().problems == [f"{where}: {problem}" for problem in problems]

    def test_a_deleted_hour_is_found(self, store):
        store.locations.partition(1).unlink()
        assert store.verify().problems == [
            f"{store.locations.partition(1)}: is missing; runs have counted 3 flows in this hour"
        ]

    def test_an_hour_that_nobody_counted_is_found(self, store):
        store.locations.partition(7).parent.mkdir()
        store.locations.partition(7).write_bytes(store.locations.partition(2).read_bytes())
        assert store.verify().problems == [f"{store.locations.partition(7)}: no run has counted anything in this hour"]

    def test_an_older_copy_put_back_is_found(self, ingested):
        store = ingested("a,b,v,1,2,1")
        old = store.locations.partition(1).read_bytes()
        ingested("a,b,v,10,20,1")
        store.locations.partition(1).write_bytes(old)
        (first, *_) = store.verify().problems
        assert first == f"{store.locations.partition(1)}: bytes_tx is 1, but the ledger has 11"

    def test_a_flipped_byte_is_found_wherever_it_may_change_what_is_read(self, store):
        path = store.locations.partition(1)
        whole, totals = path.read_bytes(), store.table(1)
        for position in range(0, len(whole), 23):  # so many that each part of the file is hit
            torn = bytearray(whole)
            torn[position] ^= 0x80
            path.write_bytes(torn)
            if not store.verify().problems:
                assert store.table(1).equals(totals), position

    @pytest.mark.parametrize("column", ["src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx", "flows"])
    def test_a_flipped_bit_in_a_columns_cells_is_found(self, store, column):
        path = store.locations.partition(1)
        footer = pq.read_metadata(path)
        chunk = footer.row_group(0).column(footer.schema.names.index(column))
        torn = bytearray(path.read_bytes())
        torn[(chunk.dictionary_page_offset or chunk.data_page_offset) + chunk.total_compressed_size - 1] ^= 1
        path.write_bytes(torn)
        (problem,) = store.verify().problems
        assert problem.startswith(f"the store is damaged: {path}: ")

    @pytest.mark.parametrize("position", [0, -1])
    def test_a_flipped_bit_in_a_files_signature_is_found_for_others_refuse_such_a_file(self, store, position):
        path = store.locations.partition(1)
        torn = bytearray(path.read_bytes())
        torn[position] ^= 1
        path.write_bytes(torn)
        assert any(str(path) in problem for problem in store.verify().problems)

    def test_statistics_that_lie_are_found_for_others_skip_rows_by_them(self, ingested):
        store = ingested("alpha,b,v,1,1,1", "zulu,b,v,1,1,1")
        path = store.locations.partition(1)
        whole = path.read_bytes()
        start = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
        path.write_bytes(whole[:start] + whole[start:].replace(b"zulu", b"beta"))  # the footer's largest src_app
        asked = duckdb.sql(f"SELECT count(*) FROM read_parquet('{path}') WHERE src_app = 'zulu'").fetchall()
        assert asked == [(0,)]  # what this is about: its row is there, and is not found
        assert any(str(path) in problem for problem in store.verify().problems)

    @pytest.mark.parametrize("keep", [0, 4, 100, -1])
    def test_a_file_that_was_cut_off_is_found(self, store, keep):
        path = store.locations.partition(1)
        path.write_bytes(path.read_bytes()[:keep])
        (problem,) = store.verify().problems
        assert problem.startswith(f"the store is damaged: {path}: ")

    def test_a_file_that_another_tool_wrote_is_found(self, store):
        path = store.locations.partition(1)
        pq.write_table(pq.ParquetFile(path).read().replace_schema_metadata(None), path)
        (problem,) = store.verify().problems
        assert problem.startswith(f"the store is damaged: {path}: not a partition of a flowlog store")

    def test_a_footer_with_other_sums_is_found_for_hours_are_listed_by_it(self, store):
        path = store.locations.partition(1)
        table = pq.ParquetFile(path).read()
        footer = table.schema.metadata | {b"flowlog.bytes_tx": b"7"}
        pq.write_table(table.replace_schema_metadata(footer), path)
        assert store.verify().problems == [f"{path}: its footer says that bytes_tx is 7, but it is 310"]

    def test_a_file_with_other_columns_is_found(self, store):
        path = store.locations.partition(1)
        pq.write_table(pa.table({"x": [1]}), path)
        assert store.verify().problems == [f"the store is damaged: {path}: its columns are x: int64"]

    def test_every_damaged_hour_is_named_not_only_the_first(self, store):
        for hour in (1, 2):
            store.locations.partition(hour).write_bytes(b"torn")
        assert len(store.verify().problems) == 2

    @pytest.mark.parametrize(
        "name",
        [
            "hour=1/part-1.parquet",  # a stale copy: read as data, it counts everything twice
            "hour=1/part-0.parquet.bak",
            "hour=1/.part-0.parquet",
            "hour=01/part-0.parquet",
            "hour=9/deep/part-0.parquet",
            "_SUCCESS",
            "part-0.parquet",
        ],
    )
    def test_whatever_else_lies_beside_the_data_is_found(self, store, name):
        stray = store.locations.flows / name
        stray.parent.mkdir(parents=True, exist_ok=True)
        stray.write_bytes(store.locations.partition(1).read_bytes())
        assert store.verify().problems == [
            f"{stray}: is no file of the store; tools that read the folder may take it for data"
        ]


def set_source(**fields):
    return lambda record: record["sources"][0].update(fields)


SHAPES = {
    "no run_id": lambda record: record.pop("run_id"),
    "another run_id than the file's name": lambda record: record.update(run_id="another"),
    "a field too many": lambda record: record.update(surprise=1),
    "no sources": lambda record: record.update(sources=None),
    "a source that is a text": lambda record: record.update(sources=["a.csv"]),
    "a source without a digest": lambda record: record["sources"][0].pop("digest"),
    "a count that is a text": set_source(read="4"),
    "a sum that is null": set_source(bytes_tx=None),
    "ignored that is a number": set_source(ignored=3),
    "hours in a list": lambda record: record.update(hours=[]),
    "files in a list": lambda record: record.update(files=[]),
    "forgotten sources without a digest": lambda record: record.update(forgotten=[{"path": "a.csv"}]),
    "forgotten that is a number": lambda record: record.update(forgotten=7),
    "an interpretation that is a list": lambda record: record.update(interpretation=[]),
    "an hour that is no number": lambda record: record["hours"].update(x={}),
    "an hour that is null": lambda record: record["hours"].update({"1": None}),
    "an hour without its sums": lambda record: record["hours"].update({"1": {"flows": 2}}),
    "an hour's sum that is a text": lambda record: record["hours"]["1"].update(bytes_tx="110"),
}


#: The command line, where each store is large enough, and no thread may look at an hour.
IN_COPIES = """
from pipeline.jobs import hours
hours._WORTH_HOURS, hours.processors, hours.ThreadPoolExecutor = 0, lambda: 2, None
from pipeline.__main__ import main
main()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
def test_copies_of_the_process_find_in_a_large_store_what_threads_find_in_a_small_one(store):
    store.locations.partition(1).write_bytes(b"torn")
    store.locations.partition(2).unlink()
    command = [sys.executable, "-c", IN_COPIES, "verify", "--json", "--store", str(store.locations.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 5
    assert json.loads(done.stdout)["problems"] == store.verify().problems
    assert len(store.verify().problems) == 2


class TestLedger:
    def test_a_deleted_record_is_found_by_what_it_had_counted(self, store):
        run_record(store, 1).unlink()
        store.locations.index.unlink()
        assert store.verify().problems == [
            f"{store.locations.partition(1)}: bytes_tx is 310, but the ledger has 110",
            f"{store.locations.partition(1)}: bytes_rx is 920, but the ledger has 320",
            f"{store.locations.partition(1)}: flows is 3, but the ledger has 2",
        ]

    def test_a_deleted_record_is_found_by_its_rejects_too(self, ingested):
        ingested("foo,bar,v,1,1,1")
        store = ingested("foo,bar,v,-1,0,1", "foo,bar,v,1,0,1")
        run = run_record(store, 1)
        run.unlink()
        assert any(run.stem in problem for problem in store.verify().problems)

    def test_a_record_that_stands_there_twice_is_found(self, store):
        copy, original = store.locations.record_of("00000003"), run_record(store, 1)
        copy.write_bytes(original.read_bytes())
        assert store.verify().problems == [f"the store is damaged: {copy}: it is the record of the run {original.stem}"]

    @pytest.mark.parametrize(
        ("edit", "problem"),
        [
            (set_source(read=9), "9 rows read are not valid + rejected + ignored"),
            (set_source(valid=2), "its sources have flows 2, but 3 were added to its hours"),
            (set_source(bytes_tx=7), "its sources have bytes_tx 7, but 115 were added to its hours"),
            (set_source(bytes_rx=7), "its sources have bytes_rx 7, but 326 were added to its hours"),
            (set_source(rejected=5, read=8), "has 1 rows, but the run rejected 5"),
            (lambda record: record["hours"]["1"].update(bytes_tx=7), "bytes_tx is 310, but the ledger has 207"),
            (lambda record: record["hours"].pop("1"), "but 5 were added to its hours"),
            (lambda record: record["hours"].update({"9": record["hours"].pop("1")}), "hour=9/part-0.parquet: is missing"),
            (lambda record: record["sources"].clear(), "its sources have flows 0, but 3 were added"),
        ],
    )
    def test_an_edited_number_is_found(self, store, edit, problem):
        edit_record(store, edit)
        assert any(problem in found for found in store.verify().problems)

    @pytest.mark.parametrize("edit", SHAPES.values(), ids=SHAPES)
    def test_a_record_of_another_shape_is_a_problem_of_that_file(self, store, edit):
        edit_record(store, edit)
        assert any(str(run_record(store)) in problem for problem in store.verify().problems)

    def test_a_source_taken_back_that_no_run_counted_is_a_problem(self, store):
        edit_record(store, lambda record: record.update(forgotten=[{"path": "a.csv", "digest": "00"}]), number=1)
        assert any(str(run_record(store, 1)) in problem for problem in store.verify(deep=DeepOptions()).problems)

    @pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"7", b"\xff", b'{"version": 3}'])
    def test_an_unreadable_record_is_named_and_the_others_are_still_looked_at(self, store, text):
        path = run_record(store)
        path.write_bytes(text)
        result = store.verify()
        assert result.problems[0].startswith(f"the store is damaged: {path}: is not a run's record: ")
        assert (result.runs, result.flows) == (1, 1)

    def test_a_missing_rejects_file_is_found(self, store):
        path = store.locations.rejects_of(store.locations.run_ids()[0])
        path.unlink()
        assert store.verify().problems == [f"{path}: has 0 rows, but the run rejected 1"]

    def test_a_damaged_rejects_file_is_found(self, store):
        path = store.locations.rejects_of(store.locations.run_ids()[0])
        path.write_bytes(b"torn")
        (problem,) = store.verify().problems
        assert problem.startswith(f"the store is damaged: {path}: ")

    def test_a_rejects_file_with_other_columns_is_found(self, store):
        path = store.locations.rejects_of(store.locations.run_ids()[0])
        pq.write_table(pa.table({"x": [1]}), path)
        (problem,) = store.verify().problems
        assert str(path) in problem

    def test_a_run_that_was_cut_off_behind_its_commit_is_named_and_the_next_ingest_mends_it(self, store, ingested):
        path, run_id = store.locations.partition(2), store.locations.run_ids()[0]
        staged = store.locations.staged(json.loads(run_record(store).read_text())["attempt"], path)
        staged.parent.mkdir(parents=True)
        path.rename(staged)
        assert store.verify().problems == [
            f"the run {run_id} is committed but was cut off; any ingest into this store finishes it",
            f"{path}: is missing; runs have counted 1 flows in this hour",
        ]
        assert ingested("a,b,v,1,1,1").verify().problems == []


class TestLock:
    def test_a_store_in_use_is_not_looked_at(self, store):
        with locked(store.locations), pytest.raises(StoreLocked, match="in use by process"):
            store.verify()

    def test_it_is_free_again_afterwards_whatever_was_found(self, store):
        run_record(store).write_bytes(b"")
        store.verify()
        assert store.verify().problems


class TestCommand:
    def test_a_sound_store_is_exit_code_0(self, store, flowlog):
        done = flowlog("verify", "--store", store.locations.root)
        assert done.code == 0
        assert done.err == (
            "sound: every total is what was counted (2 runs, 2 sources, 2 hours, 4 flows, 315 bytes sent, 926 received)\n"
        )

    def test_a_problem_is_exit_code_5_and_a_line_each(self, store, flowlog):
        rewrite(store, lambda totals: totals.take([1, 0]))
        store.locations.partition(2).unlink()
        done = flowlog("verify", "--store", store.locations.root)
        assert done.code == 5
        assert done.err.splitlines() == [
            f"wrong: {store.locations.partition(1)}: its rows are not sorted by their key",
            f"wrong: {store.locations.partition(2)}: is missing; runs have counted 1 flows in this hour",
            "2 problems (2 runs, 2 sources, 1 hour, 4 flows, 315 bytes sent, 926 received)",
            MENDING,
        ]

    @pytest.mark.parametrize(("damage", "code"), [(False, 0), (True, 5)])
    def test_json_has_the_problems_and_the_counts(self, store, flowlog, damage, code):
        problems = []
        if damage:
            store.locations.partition(2).unlink()
            problems = [f"{store.locations.partition(2)}: is missing; runs have counted 1 flows in this hour"]
        done = flowlog("verify", "--store", store.locations.root, "--json")
        assert done.code == code
        assert json.loads(done.out) == {
            "problems": problems,
            "runs": 2,
            "sources": 2,
            "hours": 1 if damage else 2,
            "flows": 4,
            "bytes_tx": 315,
            "bytes_rx": 926,
            "waiting": 0,
            "proof": None,
        }

    def test_a_store_in_use_is_exit_code_5(self, store, flowlog):
        with locked(store.locations):
            done = flowlog("verify", "--store", store.locations.root)
        assert (done.code, done.out) == (5, "")
        assert "in use by process" in done.err

    def test_reading_a_damaged_hour_raises_rather_than_answering(self, store):
        store.locations.partition(1).write_bytes(b"torn")
        with pytest.raises(StoreDamaged):
            store.table(1)
