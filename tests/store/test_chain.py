"""A run's record as a file: its seal, its place in the chain, the version of the store."""

import json

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StoreDamaged, StoreVersion, UsageError
from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.query.query import Query, run_query
from pipeline.store.chain import checksum_of, seal
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_run, read_runs
from tests.records import forge_record


@given(st.binary())
def test_what_is_sealed_has_its_checksum_and_ends_with_it(fields):
    assert checksum_of(seal(fields)) == xxhash.xxh3_128_hexdigest(fields)


@given(st.binary(max_size=100))
def test_what_was_not_sealed_has_none(content):
    assert checksum_of(content) is None


def test_every_flipped_bit_of_a_record_is_found_by_whoever_reads_it(ingested):
    store = ingested("a,b,v,1,2,3").locations
    path = store.record_of("00000001")
    whole = path.read_bytes()
    for position in range(len(whole)):
        for bit in range(8):
            torn = bytearray(whole)
            torn[position] ^= 1 << bit
            path.write_bytes(torn)
            with pytest.raises(StoreDamaged, match=r"00000001\.json"):
                read_run(store, "00000001")
    path.write_bytes(whole)
    assert read_run(store, "00000001").checksum == checksum_of(whole)


@pytest.mark.parametrize("cut", [slice(None, -1), slice(1, None), slice(None, 0), slice(None, 100)])
def test_a_record_that_was_cut_is_found(ingested, cut):
    store = ingested("a,b,v,1,2,3").locations
    path = store.record_of("00000001")
    path.write_bytes(path.read_bytes()[cut])
    with pytest.raises(StoreDamaged):
        read_run(store, "00000001")


def test_each_record_has_the_checksum_of_the_one_before_it(ingested):
    for hour in (1, 2, 3):
        store = ingested(f"a,b,v,1,2,{hour}")
    first, second, third = store.runs()
    assert [first.run_id, second.run_id, third.run_id] == ["00000001", "00000002", "00000003"]
    assert [first.previous, second.previous, third.previous] == ["", first.checksum, second.checksum]


class TestAChainThatIsBroken:
    """Whoever relies on all records is told: hours made anew without a lost run's sources would lose their bytes."""

    @pytest.fixture
    def store(self, ingested):
        for hour in (1, 2, 3):
            store = ingested(f"a,b,v,1,2,{hour}")
        return store.locations

    def test_by_a_record_that_is_gone(self, store):
        store.record_of("00000002").unlink()
        with pytest.raises(StoreDamaged, match=r"00000002\.json: is missing, and later runs are there"):
            list(read_runs(store))

    def test_by_two_that_changed_places(self, store):
        second, third = store.record_of("00000002"), store.record_of("00000003")
        contents = second.read_bytes(), third.read_bytes()
        second.write_bytes(contents[1])
        third.write_bytes(contents[0])
        with pytest.raises(StoreDamaged, match=r"00000002\.json: it is the record of the run 00000003"):
            list(read_runs(store))

    def test_by_one_of_another_store(self, store, tmp_path):
        (tmp_path / "other.csv").write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n7,a,b,v,1,1\n")
        ingest([str(tmp_path / "other.csv")], other := Locations(tmp_path / "other"))
        store.record_of("00000001").write_bytes(other.record_of("00000001").read_bytes())
        with pytest.raises(StoreDamaged, match=r"00000002\.json: does not follow the record before it"):
            list(read_runs(store))

    def test_by_nothing_where_the_store_is_whole(self, store):
        assert len(list(read_runs(store))) == 3


class TestAStoreOfVersion1:
    SENTENCE = (
        r"made by flowlog 0\.1 \(store version 1\), which this flowlog does not read.*ingest the raw files into a new folder"
    )

    @pytest.fixture
    def store(self, ingested):
        """As flowlog 0.1 left it: a record named by a time, which has no checksum."""
        store = ingested("a,b,v,1,2,3").locations
        path = store.record_of("00000001")
        record = json.loads(path.read_text()) | {"version": 1}
        for name in ("attempt", "previous", "checksum"):
            del record[name]
        path.write_text(json.dumps(record))
        return store

    @pytest.fixture(params=["named by a time", "named by a number"])
    def old(self, store, request):
        if request.param == "named by a time":
            store.record_of("00000001").rename(store.runs / "20261124T112217-469629-2fa0.json")
        return store

    def test_is_refused_by_name_whatever_is_asked_of_it(self, old, flowlog):
        for command in (["query", "--hour", 3], ["hours"], ["runs"], ["rejects"], ["verify"], ["drop", "--before", 9]):
            done = flowlog(*command, "--store", old.root)
            assert (done.code, done.out) == (5, "")
            assert "made by flowlog 0.1 (store version 1)" in done.err

    def test_is_refused_by_an_ingest_before_anything_is_written(self, old, tmp_path):
        before = old.partition(3).read_bytes()
        with pytest.raises(StoreVersion, match=self.SENTENCE):
            ingest([str(tmp_path / "raw")], old)
        with pytest.raises(StoreVersion, match=self.SENTENCE):
            FlowStore(old.root, create=True)
        with pytest.raises(StoreVersion, match=self.SENTENCE):
            verify(old)
        assert old.partition(3).read_bytes() == before

    def test_a_store_of_a_later_version_is_refused_too(self, ingested):
        store = ingested("a,b,v,1,2,3").locations
        forge_record(store, lambda record: record.update(version=3))
        with pytest.raises(StoreVersion, match=r"another flowlog \(store version 3\)"):
            FlowStore(store.root)

    def test_a_flipped_bit_in_the_version_is_damage_and_keeps_nobody_from_asking(self, ingested):
        store = ingested("a,b,v,1,2,3").locations
        path = store.record_of("00000001")
        path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 3'))
        assert run_query(FlowStore(store.root).locations, Query(3)).num_rows == 1
        (problem,) = (problem for problem in verify(store).problems if "00000001.json" in problem)
        assert "checksum" in problem


class TestNumbers:
    def test_a_run_is_found_by_its_number_with_and_without_zeros(self, ingested):
        store = ingested("a,b,v,-1,2,3", "a,b,v,1,2,3")
        for run in ("1", "00000001", "0001"):
            assert store.rejects(run=run).num_rows == 1

    @pytest.mark.parametrize("run", ["2", "0", "", "x", "1.0", "-1", "../runs/00000001", "100000001"])
    def test_what_is_no_runs_number_is_refused(self, ingested, run):
        store = ingested("a,b,v,-1,2,3", "a,b,v,1,2,3")
        with pytest.raises(UsageError, match="there is no run"):
            store.rejects(run=run)

    def test_they_grow_wider_beyond_eight_digits_and_stay_in_order(self, tmp_path):
        store = Locations(tmp_path)
        for number in (99_999_999, 100_000_000, 7):
            store.record_of(f"{number:08d}").parent.mkdir(exist_ok=True)
            store.record_of(f"{number:08d}").touch()
            store.rejects_of(f"{number:08d}").parent.mkdir(parents=True)
        (store.runs / "000000008.json").touch()  # no number is written in two ways
        (store.runs / "00000000.json").touch()
        assert store.run_ids() == store.runs_with_rejects() == ["00000007", "99999999", "100000000"]
