"""`flowlog hours`, `runs` and `rejects`."""

import json
import weakref
from pathlib import Path

import pandas as pd
import pytest

from pipeline.flowstore import FlowStore
from pipeline.store.ledger import RunRecord
from tests.cli.example import EXAMPLE, READING, write_example


class TestLists:
    def test_hours(self, reading, flowlog):
        listed = json.loads(flowlog("hours", "--json").out)
        assert [{**hour, "file_bytes": 0} for hour in listed] == [
            {"hour": 1, "time": "1970-01-01T01", "rows": 2, "flows": 3, "bytes_tx": 400, "bytes_rx": 1400, "file_bytes": 0},
            {"hour": 2, "time": "1970-01-01T02", "rows": 2, "flows": 2, "bytes_tx": 200, "bytes_rx": 1000, "file_bytes": 0},
            {"hour": 9, "time": "1970-01-01T09", "rows": 1, "flows": 1, "bytes_tx": 1, "bytes_rx": 2, "file_bytes": 0},
        ]
        assert flowlog("hours").out.splitlines()[1].startswith("1     1970-01-01T01     2      3       400     1,400  ")

    def test_runs(self, reading, flowlog):
        first, second = json.loads(flowlog("runs", "--json").out)
        assert [source["path"] for source in second["sources"]] == [str(reading / "more.csv")]
        assert second["hours"] == {"9": {"bytes_tx": 1, "bytes_rx": 2, "flows": 1}}
        header, *lines = flowlog("runs").out.splitlines()
        totals = ["read", "valid", "rejected", "bytes_tx", "bytes_rx", "ignored", "ignored_bytes"]
        assert header.split() == ["run", "finished", "sources", "hours", *totals]
        assert [line.split()[0] for line in lines] == [first["run_id"], second["run_id"]]
        assert lines[1].split()[2:] == ["1", "1", "2", "1", "1", "1", "2", "0", "0"]

    def test_runs_file_by_file(self, reading, flowlog):
        header, _, second = flowlog("runs", "--sources").out.splitlines()
        totals = ["read", "valid", "rejected", "bytes_tx", "bytes_rx", "ignored", "ignored_bytes"]
        assert header.split() == ["run", "source", "format", *totals]
        assert second.split()[1:] == [str(reading / "more.csv"), "CSV", "2", "1", "1", "1", "2", "0", "0"]

    @pytest.mark.parametrize("option", [[], ["--sources"], ["--json"]])
    def test_runs_are_read_one_at_a_time(self, store, flowlog, monkeypatch, option):
        for hour in (10, 11, 12):
            write_example("flows.csv", Path(f"data/raw/{hour}"), pd.DataFrame([EXAMPLE[0] | {"hour": hour}]))
            assert flowlog("ingest").code == 0
        read, held, from_json = [], [], RunRecord.from_json

        def noted(text):
            held.append(sum(record() is not None for record in read))
            record = from_json(text)
            read.append(weakref.ref(record))
            return record

        monkeypatch.setattr(RunRecord, "from_json", noted)
        assert flowlog("runs", *option).code == 0
        assert len(held) >= 5
        assert max(held) <= 2  # the one that is listed, and the one before

    def test_rejects(self, reading, flowlog):
        expected = {
            "run": FlowStore("data/store").runs()[1].run_id,
            "source": str(reading / "more.csv"),
            "row": 3,
            "field": "bytes_tx",
            "rule": "must be at least 0",
            "value": "-1",
            "raw": "a,b,v,-1,2,9",
        }
        assert json.loads(flowlog("rejects", "--json").out) == [expected]
        assert json.loads(flowlog("rejects", "--json", "--reason", "hour").out) == []
        assert json.loads(flowlog("rejects", "--json", "--source", "flows.csv").out) == []
        assert json.loads(flowlog("rejects", "--json", "--run", FlowStore("data/store").runs()[0].run_id).out) == []
        assert flowlog("rejects", "--by", "reason").out == (
            "field     rule                rows\nbytes_tx  must be at least 0     1\n"
        )
        assert json.loads(flowlog("rejects", "--by", "source", "--json").out) == [{"source": expected["source"], "rows": 1}]

    @pytest.mark.parametrize("command", ["hours", "runs", "rejects"])
    def test_an_empty_list_is_said_and_is_an_empty_array(self, folder, flowlog, command):
        (folder / "empty").mkdir()
        flowlog("ingest", "empty")
        assert flowlog(command).out == "none\n"
        assert flowlog(command, "--json").out == "[]\n"

    @pytest.mark.parametrize("command", [["query", "--hour", "1"], *([name] for name in READING)])
    def test_reading_writes_only_results_to_standard_output(self, reading, flowlog, command):
        done = flowlog(*command)
        assert done.code == 0
        assert bool(done.err) == (command == ["verify"])
        assert bool(done.out) == (command != ["verify"])


class TestGaps:
    def test_hours_without_totals_between_those_that_have_some(self, reading, flowlog):
        assert json.loads(flowlog("hours", "--gaps", "--json").out) == [
            {"hour": 3, "time": "1970-01-01T03", "until": "1970-01-01T09", "hours": 6}
        ]
        assert flowlog("hours", "--gaps").out.split() == [
            "hour",
            "time",
            "until",
            "hours",
            "3",
            "1970-01-01T03",
            "1970-01-01T09",
            "6",
        ]

    def test_a_gap_s_ends_are_those_of_a_range(self, reading, flowlog):
        (gap,) = json.loads(flowlog("hours", "--gaps", "--json").out)
        assert flowlog("query", gap["time"], "--until", gap["until"], "--format", "jsonl").out == ""

    def test_there_are_none_before_the_first_and_behind_the_newest(self, ingested, flowlog):
        store = ingested("a,b,v,1,1,5", "a,b,v,1,1,6")
        assert flowlog("hours", "--gaps", "--store", store.locations.root).out == "none\n"
