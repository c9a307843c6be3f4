"""`flowlog forget` and `drop`, and their like."""

import json
import shlex

import pandas as pd
import pytest

from pipeline.flowstore import FlowStore
from tests.cli.example import EXAMPLE, write_example


class TestUndoing:
    def test_drop_takes_the_hours_before_one(self, store, flowlog):
        done = flowlog("drop", "--before", "1970-01-01T02", "--json")
        assert done.code == 0
        assert json.loads(done.out) == {"run_id": store.runs()[-1].run_id, "sources": [], "hours": [1]}
        assert [hour.hour for hour in store.hours()] == [2, 9]
        done = flowlog("drop", "--before", 2, "--json")
        assert (done.code, json.loads(done.out)["run_id"]) == (0, None)

    def test_forget_takes_a_source_back(self, store, folder, flowlog):
        done = flowlog("forget", "more.csv", "--json")
        assert done.code == 0
        assert json.loads(done.out) == {
            "run_id": store.runs()[-1].run_id,
            "sources": [str(folder / "more.csv")],
            "hours": [9],
        }
        assert [hour.hour for hour in store.hours()] == [1, 2]

    def test_verify_deep_counts_again(self, store, folder, flowlog):
        proof = json.loads(flowlog("verify", "--deep", "--json").out)["proof"]
        assert proof == {"hours": 3, "missing": [], "unproved": []}
        (folder / "archive").mkdir()
        (folder / "more.csv").rename(folder / "archive" / "moved.csv")
        done = flowlog("verify", "--deep", "--json")
        assert (done.code, json.loads(done.out)["proof"]["unproved"]) == (0, [9])
        assert f"missing raw file: {folder / 'more.csv'}" in flowlog("verify", "--deep").err
        done = flowlog("verify", "--deep", "archive/moved.csv", "--json")
        assert json.loads(done.out)["proof"] == {"hours": 3, "missing": [], "unproved": []}

    def test_a_changed_file_can_be_counted_as_it_is_now(self, store, folder, flowlog):
        write_example("flows.csv", folder / "data" / "raw", pd.DataFrame(EXAMPLE[:1]))
        done = flowlog("ingest", "--replace-changed", "--json")
        assert done.code == 0
        assert json.loads(done.out)["sources"]["changed"] == 0
        assert json.loads(flowlog("query", "--hour", 1, "--until", 3, "--format", "json").out) == [
            {"hour": 1, "src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300}
        ]

    def test_a_young_file_is_left_for_the_next_run(self, folder, flowlog):
        done = flowlog("ingest", "--min-age", 3600)
        assert done.code == 0
        assert f"skipped {folder / 'data' / 'raw' / 'flows.csv'}: it was modified less than --min-age ago" in done.err
        assert flowlog("ingest", "--min-age", 0, "--json").code == 0
        assert len(FlowStore("data/store").runs()) == 1


class TestDropping:
    """A typo destroys nothing."""

    def state(self, store):
        return {path: path.read_bytes() for path in store.locations.root.rglob("*") if path.is_file()}

    @pytest.mark.parametrize("before", ["20261124", "1795507200", "today", "2027-01-01", "10"])
    def test_a_cut_off_behind_the_newest_hour_drops_nothing(self, store, flowlog, before):
        done = flowlog("drop", "--before", before)
        assert (done.code, done.out) == (2, "")
        assert [hour.hour for hour in store.hours()] == [1, 2, 9]

    def test_all_drops_every_hour(self, store, flowlog):
        assert flowlog("drop", "--before", "today", "--all").code == 0
        assert store.hours() == []

    def test_the_newest_hour_may_be_the_only_one_that_is_kept(self, store, flowlog):
        assert flowlog("drop", "--before", "latest").code == 0
        assert [hour.hour for hour in store.hours()] == [9]

    def test_a_day_is_kept_from_its_first_hour_on(self, ingested, flowlog, tmp_path):
        store = ingested("a,b,v,1,1,23", "a,b,v,1,1,24", "a,b,v,1,1,25")
        assert flowlog("drop", "--before", "1970-01-02", "--store", tmp_path / "store").code == 0
        assert [hour.hour for hour in store.hours()] == [24, 25]

    def test_a_dry_run_shows_the_hours_and_changes_nothing(self, store, flowlog):
        before = self.state(store)
        done = flowlog("drop", "--before", "3", "--dry-run")
        assert done.code == 0
        assert [line.split()[:4] for line in done.out.splitlines()[1:]] == [
            ["1", "1970-01-01T01", "2", "3"],
            ["2", "1970-01-01T02", "2", "2"],
        ]
        size = sum(hour.file_bytes for hour in store.hours()[:2])
        assert (
            done.err
            == f"would drop 2 hours with 4 rows, the sums of 5 flows, in {size:,} bytes on disk\nnothing was changed\n"
        )
        listed = json.loads(flowlog("drop", "--before", "3", "--dry-run", "--json").out)
        assert listed == json.loads(flowlog("hours", "--json").out)[:2]
        assert self.state(store) == before

    def test_the_way_back_can_be_copied_and_brings_the_hours_back(self, store, folder, flowlog):
        before = flowlog("query", "-999999d", "--json").out
        done = flowlog("drop", "--before", "9")
        commands = [line.split("flowlog ", 1)[1] for line in done.err.splitlines() if line.startswith("note     flowlog ")]
        raw = folder / "data" / "raw" / "flows.csv"
        assert commands == [f"forget {raw}", f"ingest {raw}"]
        assert [flowlog(*shlex.split(command)).code for command in commands] == [0, 0]
        assert flowlog("query", "-999999d", "--json").out == before

    def test_where_the_raw_files_are_gone_there_is_no_way_back(self, store, folder, flowlog):
        (folder / "data" / "raw" / "flows.csv").unlink()
        assert "the hours cannot come back" in flowlog("drop", "--before", "9").err

    def test_what_does_not_come_back_is_told_where_only_some_of_the_raw_files_are_gone(self, store, folder, flowlog):
        more = folder / "data" / "raw" / "more.csv"
        more.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,more,b,v,5,5\n")
        assert flowlog("ingest").code == 0
        more.unlink()
        notes = [line for line in flowlog("drop", "--before", "9").err.splitlines() if line.startswith("note")]
        assert notes[0] == f"note     what 1 source counted there cannot come back, as {more}: it is not there any more"
        assert notes[1].startswith("note     the rest of the hours comes back if their files are forgotten")

    def test_what_is_dropped_is_told_as_such_though_an_old_record_is_damaged(self, store, flowlog):
        assert flowlog("ingest").code == 0  # which has the index read the newest record
        store.locations.record_of("00000001").write_bytes(b"")
        done = flowlog("drop", "--before", "2")
        assert (done.code, store.locations.hours()) == (0, [2, 9])
        assert done.err.startswith(
            "dropped 1 hour (run 00000003)\nnote     which files had counted there is not known: the store"
        )

    def test_many_files_are_not_all_named(self, ingested, flowlog, tmp_path):
        for hour in range(1, 11):
            ingested(f"a,b,v,1,1,{hour}")
        done = flowlog("drop", "--before", "10", "--store", tmp_path / "store")
        listed, *commands = [line.removeprefix("note     ") for line in done.err.splitlines()[1:]]
        assert f"flowlog runs --sources --store {tmp_path / 'store'} lists" in listed
        assert commands == [f"flowlog {name} FILE --store {tmp_path / 'store'}" for name in ("forget", "ingest")]
