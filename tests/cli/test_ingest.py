"""`flowlog ingest`: what it counts, and what it says of that."""

import json
import sys
from datetime import datetime, timedelta

import pytest

from pipeline.flowstore import FlowStore
from tests.cli.example import ANSWERS, WRITERS, write_example


class TestTheExample:
    @pytest.mark.parametrize("name", WRITERS)
    def test_whatever_its_format_it_gives_the_sums_of_each_hour(self, tmp_path, flowlog, name):
        raw, store = write_example(name, tmp_path / "raw"), tmp_path / "store"
        done = flowlog("ingest", raw, "--store", store)
        assert (done.code, done.out) == (0, "")
        for hour, expected in ANSWERS.items():
            done = flowlog("query", "--store", store, "--hour", hour, "--format", "json")
            assert (done.code, json.loads(done.out), done.err) == (0, expected, "")
            assert [list(record) for record in json.loads(done.out)] == [list(record) for record in expected]

    def test_it_counts_once_in_each_format_for_these_are_other_bytes(self, tmp_path, flowlog):
        for name in WRITERS:
            write_example(name, tmp_path / "raw")
        done = flowlog("ingest", tmp_path / "raw", "--store", tmp_path / "store", "--json")
        assert json.loads(done.out)["bytes_tx"] == 4 * 600

    def test_a_bare_command_reads_data_raw_into_data_store(self, folder, flowlog):
        assert flowlog("ingest").code == 0
        assert json.loads(flowlog("query", "--hour", 1, "--format", "json").out) == ANSWERS[1]
        assert (folder / "data" / "store" / "flows").is_dir()


class TestIngest:
    def test_json_is_one_object_of_the_contracts_shape(self, folder, flowlog):
        (folder / "data" / "raw" / "more.csv").write_text(
            "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,5,7,2\na,b,v,-1,2,9\n"
        )
        (folder / "data" / "raw" / "torn.parquet").write_bytes(b"PAR1 torn")
        done = flowlog("ingest", "--json")
        report = json.loads(done.out)
        assert done.code == 3
        assert report["sources"] == {"ingested": 2, "skipped": 0, "changed": 0, "failed": 1}
        assert report["rows"] == {"read": 7, "valid": 6, "rejected": 1, "ignored": 0}
        assert (report["bytes_tx"], report["bytes_rx"], report["hours"]) == (605, 2407, [1, 2])
        ((failure,), source) = (report["failures"], str(folder / "data" / "raw" / "torn.parquet"))
        assert set(failure) == {"source", "error"}
        assert failure["source"] == source
        assert "Parquet" in failure["error"]
        assert report["run_id"] == FlowStore("data/store").runs()[0].run_id
        assert 0 <= report["seconds"] < 60
        contract = {"run_id", "sources", "rows", "bytes_tx", "bytes_rx", "hours", "failures", "seconds"}
        more = {
            "ignored",
            "ignored_bytes",
            "notes",
            "scaled",
            "both_ends",
            "unmet_hops",
            "store",
            "started",
            "ended",
            "requests",
            "fetched_bytes",
        }
        assert set(report) - contract == more
        assert report["store"] == str(folder / "data" / "store")
        started, ended = (datetime.fromisoformat(report[name]) for name in ("started", "ended"))
        assert started.utcoffset() == ended.utcoffset() == timedelta(0)
        assert started <= ended <= started + timedelta(seconds=60)

    def test_nothing_new_is_the_same_object_without_a_run(self, store, flowlog):
        done = flowlog("ingest", "--json")
        report = json.loads(done.out)
        assert done.code == 0
        assert report["run_id"] is None
        assert report["sources"] == {"ingested": 0, "skipped": 1, "changed": 0, "failed": 0}
        assert (report["bytes_tx"], report["hours"], report["failures"]) == (0, [], [])
        assert "nothing new to count" in flowlog("ingest").err

    def test_a_folder_without_raw_files_is_told_from_one_without_news(self, folder, flowlog):
        (folder / "empty").mkdir()
        done = flowlog("ingest", "empty")
        assert done.code == 0
        assert "no raw file was found: nothing to count (" in done.err
        (folder / "empty" / "unfinished.tmp").touch()
        assert "nothing new to count" in flowlog("ingest", "empty").err

    def test_the_summary_goes_to_standard_error(self, folder, flowlog):
        done = flowlog("ingest")
        assert done.out == ""
        lines = done.err.splitlines()
        assert lines[:4] == [
            "sources  1 ingested, 0 skipped, 0 changed, 0 failed",
            "rows     5 read = 5 valid + 0 rejected + 0 ignored",
            "bytes    600 sent, 2,400 received",
            "hours    2, from 1970-01-01T01 to 1970-01-01T02",
        ]
        assert lines[4].startswith("run      ")

    def test_rejected_rows_are_no_failure_but_noted_with_the_command_that_shows_them(self, folder, flowlog):
        (folder / "bad.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,-1,2,9\na,b,v,1,2,9\n")
        done = flowlog("ingest", "bad.csv")
        assert done.code == 0
        run_id = FlowStore("data/store").runs()[0].run_id
        assert f"flowlog rejects --run {run_id} shows what was rejected, and why" in done.err

    def test_twins_empty_files_and_files_still_being_written_are_named(self, folder, flowlog):
        raw = folder / "data" / "raw"
        (raw / "twin.csv").write_bytes((raw / "flows.csv").read_bytes())
        (raw / "empty.csv").touch()
        (raw / "half.csv.part").write_text("half")
        done = flowlog("ingest")
        assert done.code == 0
        assert f"skipped {raw / 'twin.csv'}: the same content as {raw / 'flows.csv'}, which is counted" in done.err
        assert f"skipped {raw / 'empty.csv'}: it is empty" in done.err
        assert f"left alone 1: named like what is still being written, such as {raw / 'half.csv.part'}" in done.err

    def test_a_terminal_sees_a_progress_bar_and_a_file_does_not(self, folder, flowlog, monkeypatch):
        assert "\x1b" not in flowlog("ingest", "--store", "first").err
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
        monkeypatch.setenv("TERM", "xterm")
        done = flowlog("ingest", "--store", "second", "--json")
        assert "\x1b" in done.err
        assert json.loads(done.out)["rows"]["read"] == 5

    def test_a_name_that_would_drive_the_terminal_is_shown_escaped(self, folder, flowlog):
        (folder / "data" / "raw" / "a\x1b[2J\u202e.csv").write_text("what is this\n")
        done = flowlog("ingest")
        assert done.code == 3
        assert r"a\x1b[2J\u202e.csv: unknown format" in done.err
        assert "\x1b" not in done.err
