"""`flowlog sql`: the answer in every format, and what is printed where nothing is asked."""

import json
import sys

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.cli import output
from pipeline.flowstore import FlowStore

SUMS = "SELECT hour, sum(bytes_tx) AS sent FROM flows GROUP BY hour ORDER BY hour"


@pytest.fixture(autouse=True)
def _reading(reading):
    """The store of the example."""


class TestAnswers:
    def test_a_table_shows_all_columns_and_says_null(self, flowlog):
        done = flowlog("sql", "SELECT 5 AS hour, 'x' AS name, NULL AS nothing, true AS yes, 12345 AS number, [1] AS list")
        assert (done.code, done.err) == (0, "")
        assert [line.split() for line in done.out.splitlines()] == [
            ["hour", "name", "nothing", "yes", "number", "list"],
            ["5", "x", "NULL", "true", "12,345", "[1]"],
        ]

    def test_no_rows_are_none(self, flowlog):
        assert flowlog("sql", "SELECT 1 WHERE false").out == "none\n"

    def test_a_long_table_is_cut_and_says_so(self, flowlog, monkeypatch):
        monkeypatch.setattr("pipeline.cli.sql.PAGE_ROWS", 2)
        done = flowlog("sql", "FROM range(5)")
        assert len(done.out.splitlines()) == 3
        assert done.err == "3 more rows: LIMIT or a sum shows fewer, --output FILE or --format csv has all\n"

    def test_json(self, flowlog):
        expected = [{"hour": 1, "sent": 400}, {"hour": 2, "sent": 200}, {"hour": 9, "sent": 1}]
        assert json.loads(flowlog("sql", SUMS, "--json").out) == expected
        assert json.loads(flowlog("sql", SUMS, "--format", "json").out) == expected
        assert [json.loads(line) for line in flowlog("sql", SUMS, "--format", "jsonl").out.splitlines()] == expected

    def test_csv(self, flowlog):
        assert flowlog("sql", SUMS, "--format", "csv").out == '"hour","sent"\n1,400\n2,200\n9,1\n'

    def test_formats_of_text_have_what_they_cannot_write_as_text(self, flowlog):
        statement = "SELECT time, 1.5 AS d, 'nan'::DOUBLE AS f, [time] AS l, NULL AS n FROM flows LIMIT 1"
        time = "1970-01-01 01:00:00"
        assert json.loads(flowlog("sql", statement, "--json").out) == [
            {"time": time, "d": 1.5, "f": None, "l": f'["{time}"]', "n": None}
        ]
        assert flowlog("sql", statement, "--format", "csv").out.splitlines()[1] == f'"{time}",1.5,nan,"[""{time}""]",'

    @pytest.mark.parametrize(
        "interval",
        [
            "14 months 1 day 3 hours",
            "-14 months -2 days -3.5 seconds",
            "0 days",
            "100 hours 0.000001 seconds",
            "1 year -1 day",
        ],
    )
    def test_an_interval_is_written_as_duckdb_writes_it(self, flowlog, interval):
        statement = f"SELECT INTERVAL '{interval}' AS it, INTERVAL '{interval}'::VARCHAR AS said"
        (row,) = json.loads(flowlog("sql", statement, "--json").out)
        assert row["it"] == row["said"]

    def test_bytes_are_text_with_what_is_not_utf_8_escaped(self, flowlog):
        statement = r"SELECT 'a\xFFb'::BLOB AS one, ['\xFF'::BLOB] AS some"
        assert json.loads(flowlog("sql", statement, "--json").out) == [{"one": r"a\xffb", "some": r'["\\xff"]'}]

    @pytest.mark.parametrize("name", output._ENDINGS)
    def test_a_file_s_name_gives_the_format(self, flowlog, tmp_path, name):
        done = flowlog("sql", SUMS, "--output", tmp_path / f"x{name}")
        assert (done.code, done.out, done.err) == (0, "", "")
        assert duckdb.sql(f"SELECT sum(sent) FROM '{tmp_path}/x{name}'").fetchall() == [(601,)]

    def test_parquet_keeps_the_types(self, flowlog, tmp_path):
        flowlog("sql", "SELECT time, [hour] AS hours FROM flows", "--output", tmp_path / "x.parquet")
        assert [str(kind) for kind in pq.read_schema(tmp_path / "x.parquet").types] == [
            "timestamp[us]",
            "list<element: int64>",
        ]


class TestWithoutStatement:
    def test_what_is_printed_can_be_typed_into_a_duckdb_shell(self, flowlog):
        done = flowlog("sql")
        assert (done.code, done.err) == (0, "")
        with duckdb.connect() as shell:
            for statement in shell.extract_statements(done.out):
                shell.execute(statement).fetchall()
            assert shell.sql(SUMS).fetchall() == [(1, 400), (2, 200), (9, 1)]

    def test_the_table_of_athena(self, flowlog):
        assert "LOCATION 's3://bucket/flowlog/flows/'" in flowlog("sql", "--athena", "s3://bucket/flowlog").out

    def test_an_empty_folder_for_athena_is_refused(self, flowlog):
        done = flowlog("sql", "--athena", "")
        assert (done.code, done.out) == (2, "")
        assert "write the folder of the store's copy like s3://bucket/flowlog" in done.err

    @pytest.mark.parametrize("options", [["--json"], ["--format", "csv"], ["--output", "x.csv"]])
    def test_options_of_an_answer_are_refused(self, flowlog, options):
        done = flowlog("sql", *options)
        assert (done.code, done.out) == (2, "")
        assert done.err == "flowlog: --format, --output and --json are for the answer to a SELECT, and there is none\n"


class TestErrors:
    def test_they_are_one_line(self, flowlog):
        done = flowlog("sql", "SELECT * FORM flows")
        assert (done.code, done.out) == (2, "")
        assert done.err == 'flowlog: SQL: syntax error at or near "flows" (line 1, column 15)\n'

    def test_what_parquet_has_no_type_for_is_told_and_leaves_no_file(self, flowlog, tmp_path):
        done = flowlog("sql", "SELECT 1 AS n, INTERVAL '1 day' AS age", "--output", tmp_path / "x.parquet")
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(
            "flowlog: Parquet has no type for the column age (month_day_nano_interval); cast it to VARCHAR"
        )
        assert not (tmp_path / "x.parquet").exists()

    def test_contradictions(self, flowlog):
        assert flowlog("sql", "FROM flows", "--athena", "s3://b").code == 2
        assert flowlog("sql", "FROM flows", "--json", "--format", "csv").code == 2

    def test_without_duckdb_the_extra_is_named(self, flowlog, monkeypatch):
        monkeypatch.setitem(sys.modules, "duckdb", None)
        monkeypatch.delitem(sys.modules, "pipeline.query.sql", raising=False)
        done = flowlog("sql", "FROM flows")
        assert (done.code, done.out) == (2, "")
        assert (
            done.err
            == "flowlog: sql needs the package duckdb, which the extra sql installs: pip install 'flowlog-pipeline[sql]'\n"
        )
        assert flowlog("sql").code == 0  # what it prints needs none

    def test_a_store_that_is_not_there(self, flowlog):
        assert "there is no store in nowhere" in flowlog("sql", "FROM flows", "--store", "nowhere").err


def test_a_store_without_hours_has_the_views(flowlog, tmp_path):
    (tmp_path / "raw").mkdir()
    FlowStore(tmp_path / "store", create=True).ingest([str(tmp_path / "raw")])
    done = flowlog("sql", "SELECT count(*) AS n FROM flows, rejects, runs, sources", "--json", "--store", tmp_path / "store")
    assert (done.code, json.loads(done.out)) == (0, [{"n": 0}])
