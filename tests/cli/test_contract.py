"""The command line's contract, which holds for all commands: names, exit codes, and what goes where."""

import json
import re
import shlex
import shutil
import sys

import pandas as pd
import pytest

import pipeline
from pipeline.errors import MENDING
from pipeline.flowstore import FlowStore
from pipeline.store.lock import locked
from tests.cli.example import COMMANDS, EXAMPLE, READING, write_example


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
        assert done.err.count(MENDING) == 1

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

    def test_4_where_the_system_refuses_threads(self, folder, flowlog, no_threads):
        done = flowlog("ingest")
        assert (done.code, done.out) == (4, "")
        assert done.err == (
            "flowlog: the system starts no further thread; a run is there whole, or not at all,"
            " and a higher limit (`ulimit -u`, or a container's of pids) or fewer --workers mend that\n"
        )

    def test_4_where_the_memory_does_not_suffice(self, folder, flowlog, monkeypatch):
        monkeypatch.setattr(FlowStore, "ingest", lambda *_: bytes(1 << 62))
        done = flowlog("ingest")
        assert (done.code, done.out) == (4, "")
        assert done.err.startswith("flowlog: the memory does not suffice; a run is there whole, or not at all, and ")

    def test_a_bug_is_no_sentence_but_a_traceback(self, store, flowlog, monkeypatch):
        monkeypatch.setattr(FlowStore, "page", lambda *_args, **_options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            flowlog("query", "--hour", 1)


LONG = "x" * 300  # longer than a file's name may be
NOT_UTF8 = "\udcff"  # what Python makes of the byte 0xff in an argument

USAGE_ERRORS = [
    # the command line itself
    (["nope"], "No such command 'nope'"),
    (["query", "--hour"], "requires an argument"),
    (["query", "--hour", "1", "--nope"], "No such option: --nope"),
    (["query", "1", "2"], "unexpected extra arguments: 2; the store is given with --store; the end of a range is given with --until"),
    (["hours", "data/store"], "unexpected extra arguments: data/store; the store is given with --store\n"),
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
    (["query", "-30m"], "No such option: -30m; a span up to now is written in hours or days, as -24h or -7d"),
    (["ingest", "--since", "soon"], "flowlog: --since: the hour 'soon' is neither"),
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
    (["query", "--hour", "1", "--top", "many"], "Invalid value for '--top': 'many' is not a valid whole number."),
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
    (["query", "1", "--store", "data/raw/flows.csv"], "flowlog: the store data/raw/flows.csv is not there: something that is not a folder has"),
    (["query", "--hour", "1", "--store", NOT_UTF8], r"flowlog: there is no store in \udcff"),
    (["query", "--hour", "1", "--store", LONG], "flowlog: "),
    (["rejects", "--run", "nope"], "flowlog: there is no run nope; `flowlog runs` lists them"),
    (["rejects", "--run", "nope", "--json"], "flowlog: there is no run nope"),
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
    (["verify", "data/raw"], "flowlog: raw files are read with --deep only; the store is given with --store"),
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
        assert "Example:\n    flowlog ingest /var/log/flows\n" in done.out + done.err

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
            (
                "address,name\n10.0.0.0/8,a\n",
                "apps.csv: the first line must be the header cidr,app[,vpc_id,from,until,logged]",
            ),
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
        arguments = {"forget": ["nowhere"], "drop": ["--before", "1"], "diff": ["1", "2"]}.get(command, [])
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
        "--output", "--exact", "--json",
    },
    "diff": {"--store", "--min-bytes", "--factor", "--fail-on-new", "--json"},
    "hours": {"--store", "--json"},
    "runs": {"--store", "--json"},
    "rejects": {"--store", "--json"},
    "verify": {"--store", "--quiet", "--json"},
    "apps": {"--store", "--hour", "--until", "--top", "--json"},
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
    def test_the_whole_says_of_each_what_it_says_of_itself(self, flowlog, command):
        assert f"\n  {command.ljust(7)}  {COMMANDS[command].get_short_help_str(80)}\n" in flowlog("--help").out

    def test_a_command_that_is_misspelt_is_told_the_one_that_is_meant(self, flowlog):
        done = flowlog("quer")
        assert (done.code, done.out) == (2, "")
        assert "No such command 'quer'. Did you mean 'query'?" in done.err

    @pytest.mark.parametrize("flag", ["-h", "--help"])
    def test_the_whole_lists_the_commands(self, flowlog, flag):
        done = flowlog(flag)
        assert (done.code, done.err) == (0, "")
        assert all(f"\n  {command} " in done.out for command in COMMANDS)

    @pytest.mark.parametrize("command", COMMANDS)
    def test_each_example_is_a_command_line_that_parses(self, command):
        words = shlex.split(COMMANDS[command].help.partition("Example:")[2].split("&&")[0])
        assert words[:2] == ["flowlog", command]
        COMMANDS[command].make_context(command, words[2:])
