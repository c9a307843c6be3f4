"""The one commit that all jobs share: hours that change, rejects, and the run's record."""

from collections import Counter

import pytest

from pipeline.counting.rejects import RejectSpool
from pipeline.counting.totals import HourlyTotals
from pipeline.errors import StoreDamaged
from pipeline.jobs.commit import Change, commit
from pipeline.query.query import Query, run_query
from pipeline.query.rejects import find_rejects
from pipeline.schema import dictionary_encoded
from pipeline.store.index import open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import read_runs
from pipeline.store.transaction import Transaction
from pipeline.syntax.batch import Reject
from tests.conformance.memory import BucketPath, MemoryBucket, MemoryFiles
from tests.records import flows_of

pytestmark = pytest.mark.usefixtures("unsynced")


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


def committed(store, *rows, rejects=(), before_commit=None, **change):
    """Commits a run that adds some flow records."""
    store.local.mkdir(parents=True, exist_ok=True)
    with open_index(store) as index:
        last = index.last
    with Transaction(store, last) as transaction:
        totals, spool = HourlyTotals(store.scratch, 1 << 20), RejectSpool(store.scratch)
        if rows:
            totals.add(dictionary_encoded(flows_of(rows)))
        spool.add("a.csv", rejects)
        made = Change(added=[totals], rejects=spool, **change)
        return commit(store, transaction, made, "2026", before_commit=before_commit)


def hour(store, number):
    return [tuple(row.values()) for row in run_query(store, Query(number)).to_pylist()]


def test_records_are_added_to_what_the_hour_has_and_the_record_says_how_much(store):
    committed(store, (1, "a", "b", "v", 5, 6))
    run = committed(store, (1, "a", "b", "v", 1, 1), (2, "a", "b", "v", 7, 7))
    assert hour(store, 1) == [(1, "a", "b", "v", 6, 7, 2)]
    assert run.hours == {
        1: {"bytes_tx": 1, "bytes_rx": 1, "flows": 1},
        2: {"bytes_tx": 7, "bytes_rx": 7, "flows": 1},
    }
    assert [record.run_id for record in read_runs(store)] == ["00000001", "00000002"]


def test_an_hour_anew_keeps_nothing_and_the_record_says_the_difference(store):
    committed(store, (1, "a", "b", "v", 5, 6), (1, "c", "d", "v", 1, 1))
    run = committed(store, (1, "a", "b", "v", 2, 2), anew={1: None})
    assert hour(store, 1) == [(1, "a", "b", "v", 2, 2, 1)]
    assert run.hours == {1: {"bytes_tx": -4, "bytes_rx": -5, "flows": -1}}


def test_an_hour_of_which_nothing_is_left_goes_with_its_file(store):
    committed(store, (1, "a", "b", "v", 5, 6), (2, "a", "b", "v", 5, 6))
    run = committed(store, anew={1: None}, dropped=True)
    assert store.hours() == [2]
    assert (run.dropped, run.hours) == (True, {1: {"bytes_tx": -5, "bytes_rx": -6, "flows": -1}})


def test_rejects_and_each_new_file_stand_in_the_record(store):
    run = committed(store, (1, "a", "b", "v", 5, 6), rejects=[Reject(2, "hour", "must be positive", "0", "0,a,b,v,1,1")])
    assert find_rejects(store).column("row").to_pylist() == [2]
    assert sorted(run.files) == ["flows/hour=1/part-0.parquet", "rejects/run=00000001/part-0.parquet"]


def test_who_is_told_the_record_right_before_the_commit_may_give_the_run_up(store):
    def refuse(run):
        assert run.hours[1]["flows"] == 1
        raise StoreDamaged("a.csv", "is not what was acknowledged")

    with pytest.raises(StoreDamaged):
        committed(store, (1, "a", "b", "v", 5, 6), before_commit=refuse)
    assert store.hours() == store.run_ids() == store.staged_runs() == []


class TestRequests:
    """How often a bucket is asked whether an hour is there."""

    YEAR = tuple((hour, "a", "b", "v", 1, 1) for hour in range(1, 41))

    @pytest.fixture
    def asked(self):
        return Counter()

    @pytest.fixture
    def store(self, tmp_path, asked):
        def count(kind, path, act):
            asked[kind, path.rpartition("store/")[2].partition("/")[0]] += 1
            return act()

        files = MemoryFiles(MemoryBucket(), count)
        return Locations(BucketPath("bucket/store"), files, machine=tmp_path / "machine")

    def test_the_first_run_asks_once_and_not_for_each_hour(self, store, asked):
        committed(store, *self.YEAR)
        assert (asked["list", "flows"], asked["get", "flows"]) == (1, 0)
        assert asked["put", "flows"] == len(self.YEAR)

    def test_a_first_run_of_few_hours_looks_at_each(self, store, asked):
        committed(store, *self.YEAR[:5])
        assert (asked["list", "flows"], asked["get", "flows"]) == (0, 5)

    def test_a_later_run_believes_no_listing(self, store, asked):
        committed(store, *self.YEAR[:1])
        asked.clear()
        committed(store, *self.YEAR)
        assert (asked["list", "flows"], asked["get", "flows"]) == (0, len(self.YEAR))
        assert run_query(store, Query(1, 2)).column("bytes_tx").to_pylist() == [2]

    def test_an_hour_whose_record_is_lost_is_not_lost_too(self, store, asked):
        committed(store, *self.YEAR[:1])
        store.files.delete([store.runs])
        store.index.unlink()
        committed(store, *self.YEAR)
        assert run_query(store, Query(1, 2)).column("bytes_tx").to_pylist() == [2]
