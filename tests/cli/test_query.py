"""`flowlog query`: which rows, and how they are written."""

import json
import sys
import time
from pathlib import Path

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from tests.cli.example import ANSWERS


class TestQuery:
    def test_a_table_is_for_people(self, reading, flowlog):
        done = flowlog("query", "--hour", 1)
        assert (done.code, done.err) == (0, "")
        assert done.out == (
            "hour  time           src_app  dest_app  vpc_id  bytes_tx  bytes_rx  flows   share\n"
            "1     1970-01-01T01  baz      qux       vpc-0        100       500      1   33.3%\n"
            "1     1970-01-01T01  foo      bar       vpc-0        300       900      2   66.7%\n"
            "total (2 rows)                                       400     1,400      3  100.0%\n"
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
            "flowlog: the sum of bytes_tx for src_app 'a' does not fit into 64 bits, so it can be neither stored nor shown: leave out the"
            " source that has such numbers; a query may ask for fewer hours, or by more columns\n"
        )


class TestPeople:
    """What a table has for people, on a terminal and in a pipe; and what programs get instead."""

    @pytest.fixture(autouse=True)
    def _store(self, ingested, tmp_path, monkeypatch):
        ingested("web,db,v,1500000,500000,1", "cart,db,v,999,1,1", "a-very-long-name-of-an-app,db,v,7000,1000,1")
        monkeypatch.chdir(tmp_path)

    @pytest.fixture
    def terminal(self, monkeypatch):
        """Makes standard output a terminal; in the test, for pytest changes it behind the fixtures."""

        def make(columns=80):
            monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
            monkeypatch.setenv("COLUMNS", str(columns))

        return make

    def table(self, done):
        assert done.code == 0
        return [line.split() for line in done.out.splitlines()]

    def test_what_top_leaves_out_is_one_row_and_the_total_is_of_all(self, flowlog):
        done = flowlog("query", "1", "--store", "store", "--by", "src_app", "--top", 1)
        assert done.out == (
            "src_app          bytes_tx  bytes_rx  flows   share\n"
            "web             1,500,000   500,000      1   99.6%\n"
            "other (2 rows)      7,999     1,001      2    0.4%\n"
            "total (3 rows)  1,507,999   501,001      3  100.0%\n"
        )
        assert done.err == ""

    def test_a_terminal_gets_sizes_for_people_and_with_exact_their_digits(self, flowlog, terminal):
        terminal()
        table = self.table(flowlog("query", "1", "--store", "store", "--by", "src_app", "--top", 1))
        assert table[1] == ["web", "1.5", "MB", "500.0", "kB", "1", "99.6%"]
        table = self.table(flowlog("query", "1", "--store", "store", "--by", "src_app", "--top", 1, "--exact"))
        assert table[1] == ["web", "1,500,000", "500,000", "1", "99.6%"]

    def test_a_narrow_terminal_gets_lines_that_fit(self, flowlog, terminal):
        terminal(columns=60)
        done = flowlog("query", "1", "--store", "store")
        assert max(map(len, done.out.splitlines())) <= 60
        assert "a-very-…an-app  db" in done.out
        assert done.err == "the terminal is too narrow for time (1970-01-01T01), flows\n"

    def test_a_file_gets_the_digits_whatever_the_terminal(self, flowlog, terminal):
        terminal()
        flowlog("query", "1", "--store", "store", "--format", "table", "--output", "out.txt")
        assert "1,500,000" in Path("out.txt").read_text(encoding="utf-8")

    def test_a_long_answer_is_cut_with_a_line_that_says_so_and_its_total_is_whole(self, flowlog, monkeypatch):
        monkeypatch.setattr("pipeline.cli.query.PAGE_ROWS", 2)
        done = flowlog("query", "1", "--store", "store", "--by", "src_app")
        assert [line[0] for line in self.table(done)] == ["src_app", "a-very-long-name-of-an-app", "cart", "other", "total"]
        assert self.table(done)[-1] == ["total", "(3", "rows)", "1,507,999", "501,001", "3", "100.0%"]
        assert done.err.startswith("1 more rows: ")
        assert flowlog("query", "1", "--store", "store", "--top", 2).err == ""
        assert flowlog("query", "1", "--store", "store", "--top", 9).err.startswith("1 more rows: ")
        assert len(flowlog("query", "1", "--store", "store", "--format", "csv").out.splitlines()) == 1 + 3

    def test_programs_get_neither_total_nor_shares(self, flowlog):
        for output_format in ("json", "jsonl", "csv"):
            done = flowlog("query", "1", "--store", "store", "--top", 1, "--format", output_format)
            assert "web" in done.out
            assert not any(word in done.out for word in ("other", "total", "share"))

    def test_days_and_months_are_columns_to_sum_by(self, flowlog):
        done = flowlog("query", "1", "--store", "store", "--by", "month,day", "--json")
        assert json.loads(done.out) == [{"month": "1970-01", "day": "1970-01-01", "bytes_tx": 1507999, "bytes_rx": 501001}]

    def test_where_no_byte_was_sent_there_is_no_share(self, flowlog, ingested):
        ingested("a,b,v,0,0,2")
        assert self.table(flowlog("query", "2", "--store", "store", "--by", "src_app"))[1] == ["a", "0", "0", "1", "-"]


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
            (["1", "--src-app", "wbe"], "no rows: --src-app wbe is not in 1970-01-01T01; did you mean web"),
            (["1", "--app", "Web.3"], "no rows: --app Web.3 is not in 1970-01-01T01; did you mean Web.2, "),
            (["1", "--app", "DB"], "no rows: --app DB is not in 1970-01-01T01; did you mean db, "),
            (["1", "--vpc-id", "nothing-like-it"], "no rows: --vpc-id nothing-like-it is not in 1970-01-01T01\n"),
            (["1", "--src-app", "web", "--vpc-id", "w"], "no rows: no row passes all the filters together"),
            (["7"], "no rows: the store has none for 1970-01-01T07, but for 1 hour from 1970-01-01T01 to 1970-01-01T01"),
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
