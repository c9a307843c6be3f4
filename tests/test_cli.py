"""The command line's contract: names, shapes, exit codes, and what goes where."""

import json
import re
import shlex
import shutil
import sys
import time
from datetime import datetime, timedelta

import pandas as pd
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import typer.main

import pipeline
from pipeline import cli
from pipeline.flowstore import FlowStore
from pipeline.store.lock import locked

COMMANDS = typer.main.get_command(cli.app).commands
READING = ["hours", "runs", "rejects", "verify"]  # and query, which needs an hour

EXAMPLE = [
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 300, "hour": 1},
    {"src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 200, "bytes_rx": 600, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 1},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
    {"src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-1", "bytes_tx": 100, "bytes_rx": 500, "hour": 2},
]
ANSWERS = {
    1: [
        {"hour": 1, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500},
        {"hour": 1, "src_app": "foo", "dest_app": "bar", "vpc_id": "vpc-0", "bytes_tx": 300, "bytes_rx": 900},
    ],
    2: [
        {"hour": 2, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-0", "bytes_tx": 100, "bytes_rx": 500},
        {"hour": 2, "src_app": "baz", "dest_app": "qux", "vpc_id": "vpc-1", "bytes_tx": 100, "bytes_rx": 500},
    ],
    3: [],
}
WRITERS = {
    "array.json": lambda frame, path: path.write_text(json.dumps(frame.to_dict("records"), indent=1)),
    "lines.jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "flows.csv": lambda frame, path: frame.to_csv(path, index=False),
    "flows.parquet": lambda frame, path: frame.to_parquet(path, index=False),
}


def write_example(name, folder, frame=None):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[name](pd.DataFrame(EXAMPLE) if frame is None else frame, path)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with the example in data/raw, where a checkout has its sample."""
    monkeypatch.chdir(tmp_path)
    write_example("flows.csv", tmp_path / "data" / "raw")
    return tmp_path


def fill(folder):
    """Ingests the example and one more file, of whose two rows one is rejected."""
    (folder / "more.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\na,b,v,-1,2,9\n")
    store = FlowStore(folder / "data" / "store", create=True)
    for raw in (write_example("flows.csv", folder / "data" / "raw"), folder / "more.csv"):
        store.ingest([str(raw)])


@pytest.fixture
def store(folder, unsynced):
    """A store in data/store, to be changed."""
    fill(folder)
    return FlowStore("data/store")


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    fill(folder)
    return folder


@pytest.fixture
def reading(filled, monkeypatch):
    """The current folder, with the same store in data/store, for commands that change nothing."""
    monkeypatch.chdir(filled)
    return filled


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
        assert set(report) - contract == {"ignored", "store", "started", "ended"}
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


class TestQuery:
    def test_a_table_is_for_people(self, reading, flowlog):
        done = flowlog("query", "--hour", 1)
        assert (done.code, done.err) == (0, "")
        assert done.out == (
            "hour  time           src_app  dest_app  vpc_id  bytes_tx  bytes_rx  flows\n"
            "1     1970-01-01T01  baz      qux       vpc-0        100       500      1\n"
            "1     1970-01-01T01  foo      bar       vpc-0        300       900      2\n"
        )

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (["--hour", "1", "--until", "3"], [(1, "baz", "vpc-0"), (1, "foo", "vpc-0"), (2, "baz", "vpc-0"), (2, "baz", "vpc-1")]),
            (["--hour", "1970-01-01T01", "--until", "1970-01-01T02"], [(1, "baz", "vpc-0"), (1, "foo", "vpc-0")]),
            (["--hour", "1", "--src-app", "foo"], [(1, "foo", "vpc-0")]),
            (["--hour", "1", "--dest-app", "qux"], [(1, "baz", "vpc-0")]),
            (["--hour", "2", "--vpc-id", "vpc-1"], [(2, "baz", "vpc-1")]),
            (["--hour", "1", "--until", "3", "--top", "1"], [(1, "foo", "vpc-0")]),
            (["--hour", "1", "--until", "3", "--sort", "flows", "--top", "2"], [(1, "foo", "vpc-0"), (1, "baz", "vpc-0")]),
        ],
    )  # fmt: skip
    def test_options_choose_rows(self, reading, flowlog, options, expected):
        records = json.loads(flowlog("query", *options, "--format", "json").out)
        assert [(record["hour"], record["src_app"], record["vpc_id"]) for record in records] == expected

    @pytest.mark.parametrize("by", ["vpc_id,hour", "vpc_id, hour", " vpc_id ,hour "])
    def test_by_takes_a_list_of_columns(self, reading, flowlog, by):
        done = flowlog("query", "--hour", 1, "--until", 3, "--by", by, "--format", "jsonl")
        assert [json.loads(line) for line in done.out.splitlines()] == [
            {"vpc_id": "vpc-0", "hour": 1, "bytes_tx": 400, "bytes_rx": 1400},
            {"vpc_id": "vpc-0", "hour": 2, "bytes_tx": 100, "bytes_rx": 500},
            {"vpc_id": "vpc-1", "hour": 2, "bytes_tx": 100, "bytes_rx": 500},
        ]

    @pytest.mark.parametrize("output_format", ["table", "json", "jsonl", "csv", "parquet"])
    def test_output_goes_into_a_file_and_nowhere_else(self, reading, flowlog, tmp_path, output_format):
        shown = flowlog("query", "--hour", 1, "--format", output_format)
        done = flowlog("query", "--hour", 1, "--format", output_format, "--output", tmp_path / "out")
        assert (done.code, done.stdout, done.err) == (0, b"", "")
        assert (tmp_path / "out").read_bytes() == shown.stdout

    def test_csv_and_parquet_have_the_number_of_flows(self, reading, flowlog, tmp_path):
        flowlog("query", "--hour", 1, "--format", "csv", "--output", tmp_path / "out.csv")
        flowlog("query", "--hour", 1, "--format", "parquet", "--output", tmp_path / "out.parquet")
        expected = [record | {"flows": flows} for record, flows in zip(ANSWERS[1], (1, 2), strict=True)]
        assert pa_csv.read_csv(tmp_path / "out.csv").to_pylist() == expected
        assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected

    def test_a_sum_that_cannot_be_shown_is_refused_in_a_sentence(self, ingested, flowlog, tmp_path):
        ingested(*(f"a,b,v,{2**53 - 1},0,{hour}" for hour in (1, 2) for _ in range(600)))
        done = flowlog("query", "--store", tmp_path / "store", "--hour", 1, "--until", 3, "--by", "src_app")
        assert (done.code, done.out) == (4, "")
        assert done.err == (
            "flowlog: the sum of bytes_tx for src_app 'a' does not fit into 64 bits, so it can be neither stored nor shown\n"
        )


class TestWhen:
    """Which hours: as a number, a time, a day, a word or a span; the store has hours of a day, and of this moment."""

    @pytest.fixture(autouse=True)
    def _store(self, ingested, tmp_path, monkeypatch):
        self.now = int(time.time()) // 3600
        hours = [498744, 498752, 498767, 498768, self.now - 24, self.now - 23, self.now]
        ingested(*(f"a,b,v,1,1,{hour}" for hour in hours))
        monkeypatch.chdir(tmp_path)

    def hours(self, done):
        assert done.code == 0
        return [record["hour"] for record in json.loads(done.out)]

    def test_a_bare_query_shows_the_latest_hour(self, flowlog):
        assert self.hours(flowlog("query", "--store", "store", "--json")) == [max(self.now, 498768)]
        assert self.hours(flowlog("query", "latest", "--store", "store", "--json")) == [max(self.now, 498768)]

    @pytest.mark.parametrize("given", [["{}"], ["--hour", "{}"], ["--hour={}"], ["--", "{}"]])
    @pytest.mark.parametrize(("when", "hours"), [("2026-11-24", [498744, 498752, 498767]), ("2026-11-24T08", [498752])])
    def test_a_day_is_a_range(self, flowlog, given, when, hours):
        words = [word.format(when) for word in given]
        assert self.hours(flowlog("query", "--store", "store", "--json", *words)) == hours

    @pytest.mark.parametrize(
        "given", [["-24h"], ["-1d"], ["--hour", "-24h"], ["--", "-24h"], ["--app", "a", "-24h", "--sort", "hour"]]
    )
    def test_a_span_ends_with_the_hour_that_is_running_and_is_no_option(self, flowlog, given):
        found = self.hours(flowlog("query", "--json", "--store", "store", *given))
        assert [hour for hour in found if hour not in (498744, 498752, 498767, 498768)] == [self.now - 23, self.now]

    def test_a_value_that_looks_like_a_span_is_its_options(self, ingested, flowlog):
        ingested("-24h,b,v,1,1,5")
        assert self.hours(flowlog("query", "5", "--src-app", "-24h", "--json", "--store", "store")) == [5]
        assert self.hours(flowlog("query", "--src-app", "-24h", "-999999d", "--json", "--store", "store")) == [5]

    def test_a_range_ends_before_the_first_hour_of_what_until_means(self, flowlog):
        done = flowlog("query", "2026-11-24T08", "--until", "2026-11-25", "--json", "--store", "store")
        assert self.hours(done) == [498752, 498767]
        done = flowlog("query", "2026-11-24", "--until", "latest", "--json", "--store", "store")
        assert max(self.now, 498768) not in self.hours(done)

    def test_a_store_without_hours_has_no_latest_one_and_says_so(self, flowlog, tmp_path):
        (tmp_path / "empty").mkdir()
        flowlog("ingest", "empty", "--store", "other")
        done = flowlog("query", "--store", "other")
        assert (done.code, done.out, done.err) == (0, "none\n", "no rows: the store has no hours yet\n")
        assert flowlog("query", "--store", "other", "--json").out == "[]\n"


class TestFilters:
    @pytest.fixture(autouse=True)
    def _store(self, ingested, tmp_path, monkeypatch):
        ingested(
            "web,cart,v,1,0,1", "web-2,cart,v,2,0,1", "cart,db,w,4,0,1", "d*b,web,v,8,0,1", "x\\*y,Web.2,v,16,0,1", "a\\,b,v,32,0,1"
        )  # fmt: skip
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("filters", "total"),
        [
            (["--src-app", "web"], 1),
            (["--src-app", "web", "--src-app", "cart"], 1 + 4),
            (["--src-app", "web*"], 1 + 2),
            (["--src-app", "*-2"], 2),
            (["--src-app", "w*b*"], 1 + 2),
            (["--src-app", "*"], 63),
            (["--src-app", "web*", "--src-app", "cart", "--vpc-id", "v"], 1 + 2),
            (["--app", "web"], 1 + 8),
            (["--app", "cart"], 1 + 2 + 4),
            (["--app", "web*", "--app", "db"], 1 + 2 + 4 + 8),
            (["--app", "web*", "--dest-app", "cart"], 1 + 2),
            (["--src-app", "we?"], 0),  # the star alone is a wildcard
            (["--src-app", "[w]eb"], 0),
            (["--dest-app", "web.2"], 0),
            (["--dest-app", "Web*2"], 16),
            (["--src-app", r"d\*b"], 8),  # a star that is meant
            (["--src-app", r"d\*"], 0),
            (["--src-app", "d*b"], 8),
            (["--src-app", r"*\\*y"], 16),
            (["--src-app", "a\\"], 32),
            (["--src-app", "a*"], 32),
        ],
    )  # fmt: skip
    def test_a_filter_given_twice_means_either_and_a_star_any_text(self, flowlog, filters, total):
        done = flowlog("query", "1", "--store", "store", "--json", *filters)
        assert sum(record["bytes_tx"] for record in json.loads(done.out)) == total
        assert done.err == ""

    @pytest.mark.parametrize(
        ("question", "advice"),
        [
            (["1", "--src-app", "wbe"], "no rows: --src-app wbe is not there; did you mean web"),
            (["1", "--app", "Web.3"], "no rows: --app Web.3 is not there; did you mean Web.2, "),
            (["1", "--app", "DB"], "no rows: --app DB is not there; did you mean db, "),
            (["1", "--vpc-id", "nothing-like-it"], "no rows: --vpc-id nothing-like-it is not there\n"),
            (["1", "--src-app", "web", "--vpc-id", "w"], "no rows: no row passes all the filters together"),
            (["7"], "no rows: the store has none for 1970-01-01T07, but for 1 hours from 1970-01-01T01 to 1970-01-01T01"),
            (["2026-11-24"], "no rows: the store has none for 2026-11-24T00 to 2026-11-24T23, but for"),
        ],
    )
    @pytest.mark.parametrize("output_format", ["table", "csv"])
    def test_where_nothing_is_found_the_hours_or_the_nearest_names_are_told(self, flowlog, question, advice, output_format):
        done = flowlog("query", "--store", "store", "--format", output_format, *question)
        assert done.code == 0
        assert done.err.startswith(advice)
        assert flowlog("query", "--store", "store", "--json", *question).err == ""

    def test_a_filter_longer_than_any_name_finds_nothing_or_is_refused(self, flowlog):
        for text in ("x" * 100_000, "x*" * 50_000):
            assert flowlog("query", "1", "--store", "store", "--app", text).code in (0, 2)


class TestOutputFormats:
    @pytest.mark.parametrize("ending", ["parquet", "csv", "json", "jsonl", "ndjson", "CSV"])
    def test_the_name_of_the_file_says_the_format(self, reading, flowlog, tmp_path, ending):
        output_format = {"ndjson": "jsonl", "CSV": "csv"}.get(ending, ending)
        shown = flowlog("query", "1", "--format", output_format)
        done = flowlog("query", "1", "--output", tmp_path / f"out.{ending}")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert (tmp_path / f"out.{ending}").read_bytes() == shown.stdout

    def test_a_format_that_is_given_goes_before_the_name(self, reading, flowlog, tmp_path):
        flowlog("query", "1", "--output", tmp_path / "out.csv", "--format", "jsonl")
        assert (tmp_path / "out.csv").read_bytes().startswith(b"{")
        flowlog("query", "1", "--output", tmp_path / "out.csv", "--json")
        assert json.loads((tmp_path / "out.csv").read_bytes()) == ANSWERS[1]

    def test_json_is_short_for_its_format(self, reading, flowlog):
        assert flowlog("query", "1", "--json").out == flowlog("query", "1", "--format", "json").out


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
        assert header.split() == ["run", "finished", "sources", "hours", "read", "valid", "rejected", "bytes_tx", "bytes_rx"]
        assert [line.split()[0] for line in lines] == [first["run_id"], second["run_id"]]
        assert lines[1].split()[2:] == ["1", "1", "2", "1", "1", "1", "2"]

    def test_runs_file_by_file(self, reading, flowlog):
        header, _, second = flowlog("runs", "--sources").out.splitlines()
        assert header.split() == ["run", "source", "format", "read", "valid", "rejected", "bytes_tx", "bytes_rx"]
        assert second.split()[1:] == [str(reading / "more.csv"), "CSV", "2", "1", "1", "1", "2"]

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

    def test_many_files_are_not_all_named(self, ingested, flowlog, tmp_path):
        for hour in range(1, 11):
            ingested(f"a,b,v,1,1,{hour}")
        done = flowlog("drop", "--before", "10", "--store", tmp_path / "store")
        listed, *commands = [line.removeprefix("note     ") for line in done.err.splitlines()[1:]]
        assert f"flowlog runs --sources --store {tmp_path / 'store'} lists" in listed
        assert commands == [f"flowlog {name} FILE --store {tmp_path / 'store'}" for name in ("forget", "ingest")]


class TestSchedulers:
    @pytest.fixture
    def noted(self, folder):
        """Raw files of which much can be said, but no problem."""
        raw = folder / "data" / "raw"
        (raw / "twin.csv").write_bytes((raw / "flows.csv").read_bytes())
        (raw / "empty.csv").touch()
        (raw / "bad.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,-1,2,9\na,b,v,1,2,9\n")

    def test_json_alone_is_all_that_is_printed(self, noted, folder, flowlog):
        commands = [
            ["ingest"],
            ["verify", "--deep"],
            ["forget", folder / "data/raw/bad.csv"],
            ["drop", "--before", "2"],
            ["ingest"],
        ]
        for command in commands:
            done = flowlog(*command, "--json")
            assert (done.code, done.err) == (0, "")
            assert json.loads(done.out)

    def test_quiet_prints_nothing(self, noted, folder, flowlog, monkeypatch):
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # nor a progress bar
        for command in (["ingest"], ["verify"], ["forget", folder / "data/raw/bad.csv"], ["drop", "--before", "2", "--dry-run"],
                        ["drop", "--before", "2"], ["ingest"]):  # fmt: skip
            done = flowlog(*command, "--quiet")
            assert (done.code, done.out, done.err) == (0, "", "")

    @pytest.mark.parametrize("option", ["--quiet", "--json"])
    def test_problems_are_told_all_the_same(self, store, folder, flowlog, option):
        (folder / "data" / "raw" / "torn.parquet").write_bytes(b"PAR1 torn")
        write_example("flows.csv", folder / "data" / "raw", pd.DataFrame(EXAMPLE * 2))
        done = flowlog("ingest", option)
        assert done.code == 3
        assert [line.split()[0] for line in done.err.splitlines()] == ["changed", "failed"]
        done = flowlog("ingest", "nowhere", option)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("flowlog: there is no file or folder nowhere")
        store.locations.partition(9).unlink()
        done = flowlog("verify", option)
        assert done.code == 5
        assert all(line.startswith("wrong: ") for line in done.err.splitlines())
        assert done.err

    @pytest.mark.parametrize("name", ["data/store", "other", "with space", "it's"])
    def test_the_commands_of_notes_can_be_copied(self, noted, flowlog, name):
        done = flowlog("ingest", "--store", name)
        (note,) = [line for line in done.err.splitlines() if "flowlog rejects" in line]
        command = note.removeprefix("note     flowlog ").removesuffix(" shows what was rejected, and why")
        assert ("--store" in command) == (name != "data/store")
        assert len(json.loads(flowlog(*shlex.split(command), "--json").out)) == 1

    def test_the_store_is_named_where_the_variable_names_another(self, noted, flowlog, monkeypatch):
        monkeypatch.setenv("FLOWLOG_STORE", "other")
        assert "--store data/store shows what was rejected" in flowlog("ingest", "--store", "data/store").err

    def test_the_version(self, flowlog):
        done = flowlog("--version")
        assert (done.code, done.out, done.err) == (0, f"flowlog {pipeline.__version__}\n", "")


class TestExitCodes:
    def test_3_where_a_source_failed_and_the_others_counted(self, folder, flowlog):
        (folder / "data" / "raw" / "torn.log.gz").write_bytes(b"\x1f\x8b\x08\0torn")
        done = flowlog("ingest", "--json")
        assert done.code == 3
        assert json.loads(done.out)["sources"] == {"ingested": 1, "skipped": 0, "changed": 0, "failed": 1}
        assert f"failed {folder / 'data' / 'raw' / 'torn.log.gz'}: " in done.err

    def test_3_where_a_counted_source_has_other_content_now(self, store, folder, flowlog):
        write_example("flows.csv", folder / "data" / "raw", pd.DataFrame(EXAMPLE * 2))
        before = flowlog("query", "--hour", 1).out
        done = flowlog("ingest", "--json")
        assert done.code == 3
        assert json.loads(done.out)["sources"] == {"ingested": 0, "skipped": 0, "changed": 1, "failed": 0}
        assert f"changed {folder / 'data' / 'raw' / 'flows.csv'}: it was counted with other content" in done.err
        assert flowlog("query", "--hour", 1).out == before

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            (["--strict"], "stopped by --strict, nothing was committed: .*more.csv: row 3: bytes_tx must be at least 0"),
            (["--max-reject-ratio", "0.1"], "1 of 7 rows were rejected .*the first: .*more.csv: row 3: bytes_tx must be"),
            (["--max-reject-ratio", "0"], "stopped by --max-reject-ratio 0, nothing was committed"),
        ],
    )
    def test_4_where_the_user_wants_no_such_rows_and_nothing_is_committed(self, folder, flowlog, options, sentence):
        (folder / "data" / "raw" / "more.csv").write_text(
            "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\na,b,v,-1,2,9\n"
        )
        done = flowlog("ingest", "--json", *options)
        assert (done.code, done.out) == (4, "")
        assert re.search(sentence, done.err)
        store = folder / "data" / "store"
        assert not (store / "flows").exists()
        assert not (store / "runs").exists()
        assert flowlog("ingest").code == 0  # and nothing is in the way of a milder run

    def test_4_where_a_source_fails_a_strict_run(self, folder, flowlog):
        (folder / "data" / "raw" / "torn.parquet").write_bytes(b"PAR1 torn")
        done = flowlog("ingest", "--strict")
        assert (done.code, done.out) == (4, "")
        assert "torn.parquet" in done.err
        assert not (folder / "data" / "store" / "runs").exists()

    def test_a_ratio_that_is_just_reached_is_allowed(self, folder, flowlog):
        (folder / "half.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\na,b,v,-1,2,9\n")
        assert flowlog("ingest", "half.csv", "--max-reject-ratio", "0.5").code == 0

    @pytest.mark.parametrize("command", ["ingest", "verify"])
    def test_5_where_the_store_is_locked_and_the_holder_is_named(self, store, flowlog, command):
        with locked(store.locations):
            done = flowlog(command)
            assert flowlog("query", "--hour", 1).code == 0  # readers need no lock
        assert (done.code, done.out) == (5, "")
        assert done.err.startswith("flowlog: the store data/store is in use by process ")

    @pytest.mark.parametrize(
        ("command", "damaged"),
        [
            (["query", "--hour", "1"], "flows/hour=1/part-0.parquet"),
            (["hours"], "flows/hour=1/part-0.parquet"),
            (["verify"], "flows/hour=1/part-0.parquet"),
            (["runs"], "runs/{run}.json"),
            (["verify"], "runs/{run}.json"),
            (["rejects"], "rejects/run={run}/part-0.parquet"),
            (["verify"], "rejects/run={run}/part-0.parquet"),
        ],
    )
    def test_5_where_a_file_of_the_store_is_damaged_and_it_is_named(self, store, flowlog, command, damaged):
        path = store.locations.root / damaged.format(run=store.runs()[1].run_id)
        path.write_bytes(b"torn")
        done = flowlog(*command)
        assert (done.code, done.out) == (5, "")
        assert f"the store is damaged: {path}: " in done.err

    @pytest.mark.parametrize(
        ("name", "commands"),
        [
            ("flows", [["query", "--hour", "1", "--until", "9"], ["hours"], ["verify"]]),
            ("runs", [["runs"], ["verify"], ["ingest", "more.csv"]]),
            ("rejects", [["rejects"], ["verify"]]),
            ("staging", [["verify"], ["ingest", "more.csv"]]),
        ],
    )
    def test_5_where_a_folder_of_the_store_is_a_file(self, store, flowlog, name, commands):
        path = store.locations.root / name
        shutil.rmtree(path)
        path.write_text("not a folder")
        for command in commands:
            done = flowlog(*command)
            assert (done.code, done.out) == (5, "")
            assert str(path) in done.err

    def test_5_where_an_ingest_meets_a_damaged_hour_and_the_store_stays_as_it_was(self, store, folder, flowlog):
        store.locations.partition(9).write_bytes(b"torn")
        (folder / "late.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\n")
        done = flowlog("ingest", "late.csv")
        assert done.code == 5
        assert "hour=9/part-0.parquet" in done.err
        assert len(store.runs()) == 2

    def test_an_interrupted_run_says_so(self, folder, flowlog, monkeypatch):
        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(FlowStore, "ingest", interrupted)
        done = flowlog("ingest")
        assert (done.code, done.out) == (130, "")
        assert "interrupted" in done.err

    def test_a_bug_is_no_sentence_but_a_traceback(self, store, flowlog, monkeypatch):
        monkeypatch.setattr(FlowStore, "table", lambda *_args, **_options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            flowlog("query", "--hour", 1)


LONG = "x" * 300  # longer than a file's name may be
NOT_UTF8 = "\udcff"  # what Python makes of the byte 0xff in an argument

USAGE_ERRORS = [
    # the command line itself
    (["nope"], "No such command 'nope'"),
    (["query", "--hour"], "requires an argument"),
    (["query", "--hour", "1", "--nope"], "No such option: --nope"),
    (["query", "1", "surprise"], "unexpected extra argument"),
    (["query", "1", "--hour", "2"], "flowlog: the hours are given twice, as 1 and as --hour 2"),
    (["query", "--until", "2"], "flowlog: --until ends a range that has no start"),
    (["query", "1", "--json", "--format", "csv"], "flowlog: --json is short for --format json"),
    # hours
    (["query", "--hour", "noon"], "flowlog: the hour 'noon' is neither an integer"),
    (["query", "--hour", ""], "flowlog: the hour '' is neither"),
    (["query", "--hour", "0"], "flowlog: the hour 0 must be positive"),
    (["query", "--hour", "-1"], "flowlog: the hour -1 must be positive"),
    (["query", "--hour", "9" * 30], "must be at most 2147483647"),
    (["query", "20261124"], "flowlog: the hour 20261124 looks like a date: write 2026-11-24"),
    (["query", "1795507200"], "looks like a time in seconds: that is the hour 498752"),
    (["query", "-30m"], "No such option"),
    (["query", "-0h"], "at least one hour"),
    pytest.param(["query", "--hour", "9" * 5000], "must be at most 2147483647", id="an hour of 5,000 digits"),
    (["query", "--hour", "2026-02-30T00"], "not on the calendar"),
    (["query", "--hour", NOT_UTF8], "neither an integer"),
    (["query", "--hour", "1", "--until", "soon"], "flowlog: the hour 'soon' is neither"),
    (["query", "--hour", "2", "--until", "2"], "flowlog: until (2) must be later than hour (2)"),
    # columns and counts
    (["query", "--hour", "1", "--by", "nope"], "flowlog: cannot group by nope; the columns are hour, src_app"),
    (["query", "--hour", "1", "--by", ""], "flowlog: cannot group by "),
    (["query", "--hour", "1", "--by", "src_app,src_app"], "each once"),
    (["query", "--hour", "1", "--sort", "nope"], "flowlog: cannot sort by nope; the columns are hour, src_app"),
    (["query", "--hour", "1", "--sort", NOT_UTF8], r"flowlog: cannot sort by \udcff"),
    (["query", "--hour", "1", "--by", "src_app", "--sort", "hour"], "flowlog: cannot sort by hour"),
    (["query", "--hour", "1", "--top", "0"], "flowlog: top must be at least 1, not 0"),
    (["query", "--hour", "1", "--top", "-3"], "flowlog: top must be at least 1, not -3"),
    (["query", "--hour", "1", "--top", "many"], "Invalid value for '--top'"),
    (["query", "--hour", "1", "--format", "xml"], "Invalid value for '--format'"),
    (["query", "1", "--output", "nowhere/out.csv"], "flowlog: cannot write nowhere/out.csv: No such file or directory"),
    (["query", "1", "--output", ".", "--format", "csv"], "flowlog: cannot write .: Is a directory"),
    (["query", "1", "--output", f"{LONG}.csv"], f"flowlog: cannot write {LONG}.csv: File name too long"),
    (["query", "1", "--output", "out.xlsx"], "the name out.xlsx does not tell a format; end it in .parquet, .csv, .json, .jsonl, .ndjson, or"),
    (["query", "1", "--output", "out"], "the name out does not tell a format"),
    (["query", "1", "--output", ""], "it is empty"),
    # stores
    *(([name, "--store", "nowhere"], "flowlog: there is no store in nowhere; `flowlog ingest --store nowhere` makes") for name in READING),
    (["query", "--hour", "1", "--store", "nowhere"], "flowlog: there is no store in nowhere"),
    (["query", "--hour", "1", "--store", "data/raw/flows.csv"], "flowlog: there is no store in data/raw/flows.csv"),
    (["query", "--hour", "1", "--store", NOT_UTF8], r"flowlog: there is no store in \udcff"),
    (["query", "--hour", "1", "--store", LONG], "flowlog: "),
    (["rejects", "--run", "nope"], "flowlog: there is no run nope; `flowlog runs` lists them"),
    (["rejects", "--by", "day"], "Invalid value for '--by'"),
    (["forget", "nowhere.csv"], "flowlog: no source nowhere.csv counts in this store; `flowlog runs --sources` lists"),
    (["forget", NOT_UTF8], r"flowlog: no source \udcff counts in this store"),
    (["forget", LONG], "flowlog: no source xxx"),
    (["forget"], "Missing argument 'SOURCE...'"),
    (["drop"], "Missing option '--before'"),
    (["drop", "--before", "soon"], "flowlog: the hour 'soon' is neither"),
    (["drop", "--before", "0"], "flowlog: the hour 0 must be positive"),
    (["drop", "--before", "20261124"], "flowlog: the hour 20261124 looks like a date: write 2026-11-24"),
    (["drop", "--before", "1795507200"], "looks like a time in seconds: that is the hour 498752"),
    (["drop", "--before", "10"], "1970-01-01T10 is after the newest hour, 1970-01-01T09, so that none of the 3 hours would be"),
    (["drop", "--before", "today", "--dry-run"], "none of the 3 hours would be left; --all"),
    (["forget", ""], "flowlog: an empty path"),
    (["verify", "data/raw"], "flowlog: raw files are read with --deep only"),
    (["verify", "--deep", "nowhere"], "flowlog: there is no file or folder nowhere"),
    # raw files and how to read them
    (["ingest", "nowhere.csv"], "flowlog: there is no file or folder nowhere.csv"),
    (["ingest", "data/raw", "nowhere"], "flowlog: there is no file or folder nowhere"),
    (["ingest", NOT_UTF8], r"flowlog: there is no file or folder \udcff"),
    (["ingest", LONG], "flowlog: "),
    (["ingest", "--format", "xml"], "Invalid value for '--format'"),
    (["ingest", "--workers", "0"], "Invalid value for '--workers'"),
    (["ingest", "--workers", "two"], "Invalid value for '--workers'"),
    (["ingest", "--memory", "much"], "'much' is no amount of memory; write it like 512M or 2G"),
    (["ingest", "--max-reject-ratio", "1.5"], "Invalid value for '--max-reject-ratio'"),
    (["ingest", "--max-reject-ratio", "nan"], "Invalid value for '--max-reject-ratio'"),
    (["ingest", "--wait", "-1"], "Invalid value for '--wait'"),
    (["ingest", "--wait", "nan"], "Invalid value for '--wait'"),
    (["ingest", "--min-age", "-1"], "Invalid value for '--min-age'"),
    (["ingest", "--zero-bytes", "maybe"], "Invalid value for '--zero-bytes'"),
    (["ingest", "--same-content", "maybe"], "Invalid value for '--same-content'"),
    (["ingest", "--apps", "nowhere.csv"], "flowlog: the mapping file nowhere.csv cannot be read"),
    (["ingest", "--apps", "."], "flowlog: the mapping file . "),
]  # fmt: skip


class TestUsersErrors:
    @pytest.mark.parametrize(
        ("arguments", "sentence"), USAGE_ERRORS, ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else ""
    )
    def test_each_is_a_sentence_on_standard_error_and_exit_code_2(self, reading, flowlog, arguments, sentence):
        done = flowlog(*arguments)
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err

    def test_no_command_at_all_shows_the_help(self, flowlog):
        done = flowlog()
        assert done.code == 2
        assert "Commands:" in done.out + done.err

    @pytest.mark.parametrize(
        "command",
        [
            ["query", "--hour", "1", "--src-app", NOT_UTF8],
            ["query", "--hour", "1", "--vpc-id", NOT_UTF8],
            ["rejects", "--reason", NOT_UTF8],
            ["rejects", "--source", NOT_UTF8],
        ],
    )
    def test_a_filter_that_is_not_utf8_finds_nothing_or_is_refused(self, reading, flowlog, command):
        done = flowlog(*command)
        assert done.code in (0, 2)

    def test_a_vpc_id_that_is_not_utf8_is_refused(self, folder, flowlog):
        (folder / "conn.log").write_text(
            "#separator \\x09\n#fields\tts\tid.orig_h\tid.resp_h\torig_ip_bytes\tresp_ip_bytes\n"
            "1795507200.0\t10.0.0.1\t10.0.0.2\t1\t2\n"
        )
        done = flowlog("ingest", "conn.log", "--vpc-id", NOT_UTF8)
        assert done.code == 2

    @pytest.mark.parametrize(
        ("mapping", "sentence"),
        [
            ("address,name\n10.0.0.0/8,a\n", "apps.csv: the first line must be the header cidr,app or cidr,app,vpc_id"),
            ("cidr,app\n10.0.0.0/8,a\n10.0.0.0/99,b\n", "apps.csv: line 3: cidr: '10.0.0.0/99' does not appear to be"),
            ("cidr,app\n10.0.0.0/8,a\n10.1.0.0/16,\n", "apps.csv: line 3: app must not be empty"),
            ("cidr,app\n10.0.0.0/8,a\n10.0.0.0/8,b\n", "apps.csv: line 3: 10.0.0.0/8 is 'a' on line 2 already, not 'b'"),
            ("", "apps.csv: the first line must be the header"),
        ],
    )
    def test_a_mapping_file_is_refused_by_file_line_and_field(self, folder, flowlog, mapping, sentence):
        (folder / "apps.csv").write_text(mapping)
        done = flowlog("ingest", "--apps", "apps.csv")
        assert (done.code, done.out) == (2, "")
        assert sentence in done.err
        assert not (folder / "data" / "store" / "runs").exists()

    def test_all_that_is_wrong_with_a_query_is_said_at_once(self, reading, flowlog):
        done = flowlog("query", "--hour", 5, "--until", 1, "--by", "x", "--sort", "y", "--top", 0)
        assert done.code == 2
        assert all(word in done.err for word in ("until (1)", "group by x", "sort by y", "top must be"))

    def test_more_rows_than_64_bits_count_are_all_rows_or_refused(self, reading, flowlog):
        assert flowlog("query", "--hour", 1, "--top", 10**23).code in (0, 2)

    @pytest.mark.parametrize("arguments", [["ingest", ""], ["ingest", "--store", ""]])
    def test_an_empty_path_is_refused_and_is_not_the_current_folder(self, folder, flowlog, arguments):
        done = flowlog(*arguments)  # what a shell makes of "$LOGS" where LOGS is not set
        assert (done.code, done.out) == (2, "")
        assert not (folder / "flows").exists()

    def test_a_store_that_cannot_be_made_is_exit_code_5(self, folder, flowlog):
        (folder / "file").touch()
        done = flowlog("ingest", "--store", "file/store")
        assert done.code == 5
        assert done.err.startswith("flowlog: cannot write to the store: file: ")


class TestEnvironment:
    def test_the_store_can_be_set_for_every_command(self, ingested, flowlog, tmp_path, monkeypatch):
        ingested("foo,bar,v,1,1,1")
        monkeypatch.chdir(tmp_path)
        commands = [["query", "--hour", "1"], ["ingest", "raw", "--json"], *([name] for name in READING)]
        monkeypatch.setenv("FLOWLOG_STORE", "store")
        assert [flowlog(*command).code for command in commands] == [0] * 6
        assert json.loads(flowlog("ingest", "raw", "--json").out)["sources"]["skipped"] == 1
        assert not (tmp_path / "data").exists()
        assert [flowlog(*command, "--store", "nowhere").code for command in commands if command[0] != "ingest"] == [2] * 5

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("FLOWLOG_STRICT", "1", 4),
            ("FLOWLOG_STRICT", "0", 0),
            ("FLOWLOG_MAX_REJECT_RATIO", "0.1", 4),
            ("FLOWLOG_MAX_REJECT_RATIO", "0.9", 0),
            ("FLOWLOG_FORMAT", "parquet", 3),
            ("FLOWLOG_WORKERS", "0", 2),
            ("FLOWLOG_WAIT", "-1", 2),
            ("FLOWLOG_ZERO_BYTES", "maybe", 2),
            ("FLOWLOG_APPS", "nowhere.csv", 2),
        ],
    )
    def test_a_variable_is_as_good_as_the_option(self, folder, flowlog, monkeypatch, name, value, code):
        (folder / "half.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\na,b,v,-1,2,9\n")
        monkeypatch.setenv(name, value)
        assert flowlog("ingest", "half.csv").code == code

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_variable_that_is_set_but_empty_is_refused_unless_the_option_is_given(
        self, reading, flowlog, monkeypatch, command
    ):
        arguments = {"forget": ["nowhere"], "drop": ["--before", "1"]}.get(command, [])
        for variable in {option.envvar for option in COMMANDS[command].params if option.envvar}:
            monkeypatch.setenv(variable, "")
            done = flowlog(command, *arguments)
            assert (done.code, done.out) == (2, "")
            assert f"{variable} is empty; unset it, or give it a value" in done.err
            monkeypatch.delenv(variable)
        monkeypatch.setenv("FLOWLOG_STORE", "")
        assert (
            "is empty"
            not in flowlog(command, *arguments, "--store", "nowhere/at/all", *(["--help"] if command == "serve" else [])).err
        )

    def test_the_option_wins(self, folder, flowlog, monkeypatch):
        monkeypatch.setenv("FLOWLOG_ZERO_BYTES", "reject")
        (folder / "zero.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,0,2,9\na,b,v,1,2,9\n")
        report = json.loads(flowlog("ingest", "zero.csv", "--store", "first", "--json").out)
        assert report["rows"]["rejected"] == 1
        report = json.loads(flowlog("ingest", "zero.csv", "--store", "second", "--zero-bytes", "accept", "--json").out)
        assert report["rows"]["rejected"] == 0

    def test_every_option_of_ingest_but_json_has_its_variable(self):
        options = {
            parameter.opts[0]: parameter.envvar for parameter in COMMANDS["ingest"].params if parameter.opts[0][:2] == "--"
        }
        assert options.pop("--json") is None
        assert options.pop("--help", None) is None
        assert options == {name: "FLOWLOG_" + name.removeprefix("--").upper().replace("-", "_") for name in options}


CONTRACT = {
    "ingest": {
        "--store", "--format", "--apps", "--vpc-id", "--workers", "--memory", "--strict", "--max-reject-ratio", "--zero-bytes",
        "--wait", "--same-content", "--quiet", "--json",
    },
    "query": {
        "--store", "--hour", "--until", "--src-app", "--dest-app", "--app", "--vpc-id", "--by", "--sort", "--top", "--format",
        "--output", "--json",
    },
    "hours": {"--store", "--json"},
    "runs": {"--store", "--json"},
    "rejects": {"--store", "--json"},
    "verify": {"--store", "--quiet", "--json"},
    "forget": {"--store", "--quiet", "--json"},
    "drop": {"--store", "--before", "--dry-run", "--all", "--quiet", "--json"},
    "serve": {"--store", "--host", "--port", "--zero-bytes", "--max-body", "--flush-seconds", "--flush-bytes", "--token", "--allowed-host"},
}  # fmt: skip


class TestHelp:
    def test_the_contracts_commands_are_there(self):
        assert CONTRACT.keys() <= COMMANDS.keys()

    @pytest.mark.parametrize("command", CONTRACT)
    def test_each_has_the_contracts_options(self, command):
        options = {option for parameter in COMMANDS[command].params for option in parameter.opts}
        assert CONTRACT[command] <= options

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_explains_itself_with_an_example(self, flowlog, command, flag):
        done = flowlog(command, flag)
        assert (done.code, done.err) == (0, "")
        lines = [line.strip() for line in done.out.splitlines()]
        assert lines[lines.index("Example:") + 1].startswith(f"flowlog {command}")
        assert all(option in done.out for option in CONTRACT.get(command, ()))

    @pytest.mark.parametrize("command", COMMANDS)
    def test_a_command_is_made_alone_and_says_what_it_says_among_the_others(self, flowlog, monkeypatch, command):
        questions = [[command, "-h"], [command, "--nope"], [command, "--store", ""], ["--store", "x", command]]
        assert len(cli._app_for([command]).registered_commands) == 1
        alone = [flowlog(*question) for question in questions]
        monkeypatch.setattr(cli, "_app_for", lambda _: cli.app)
        assert alone == [flowlog(*question) for question in questions]

    @pytest.mark.parametrize("names", [[], ["quer"], ["--help"], ["main"]])
    def test_what_is_no_command_is_answered_by_all_of_them(self, names):
        assert cli._app_for(names) is cli.app

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_the_whole_lists_the_commands(self, flowlog, flag):
        done = flowlog(flag)
        assert (done.code, done.err) == (0, "")
        assert all(f"\n  {command} " in done.out for command in COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_example_is_a_command_line_that_parses(self, command):
        words = COMMANDS[command].help.partition("Example:")[2].split("&&")[0].replace("'", "").split()
        assert words[:2] == ["flowlog", command]
        COMMANDS[command].make_context(command, words[2:])
