"""Questions in SQL: what the views have, and that a question reads the store and nothing else."""

from collections import Counter

import duckdb
import pyarrow.parquet as pq
import pytest

from pipeline.errors import StoreDamaged, UsageError
from pipeline.flowstore import FlowStore
from pipeline.query.sql import run_sql
from pipeline.query.views import athena_table, views
from pipeline.store.layout import Locations
from pipeline.store.ledger import active_sources
from tests.conformance.memory import BucketPath, MemoryBucket, MemoryFiles

LINES = ["a,b,v,1,2,1", "a,c,v,4,8,1", "a,b,w,16,32,3"]
REJECTED = "a,b,v,-1,2,2"


@pytest.fixture
def store(ingested):
    ingested(*LINES)
    return ingested("a,b,v,64,128,9", REJECTED)


def rows(store, statement):
    return [tuple(row.values()) for row in store.sql(statement).to_pylist()]


def content_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestViews:
    def test_flows_have_the_totals_with_their_times(self, store):
        assert store.sql("SELECT * EXCLUDE time FROM flows ORDER BY ALL").equals(
            store.table(1, until=10).sort_by([(name, "ascending") for name in ("hour", "src_app", "dest_app")])
        )
        assert rows(store, "SELECT DISTINCT time::VARCHAR FROM flows WHERE hour = 3") == [("1970-01-01 03:00:00",)]

    def test_sums_are_integers_where_they_fit(self, store):
        assert rows(store, "SELECT sum(bytes_tx), avg(bytes_tx) FROM flows") == [(85, 21.25)]
        assert (
            str(rows(store, "SELECT 2::HUGEINT ** 70::HUGEINT AS a, 9223372036854775807::HUGEINT + 1 AS b")[0][1])
            == "9223372036854775808"
        )

    def test_rejects_have_what_flowlog_rejects_shows(self, store):
        assert store.sql("FROM rejects").to_pylist() == store.rejects().to_pylist()
        assert rows(store, "SELECT run, rule FROM rejects") == [("00000002", "must be at least 0")]

    def test_runs_have_the_sums_of_their_sources(self, store):
        store.drop(2)
        asked = "SELECT run, sources, read, valid, rejected, bytes_tx, hours, dropped FROM runs"
        assert rows(store, asked) == [
            (
                run.run_id,
                len(run.sources),
                *map(run.total, ("read", "valid", "rejected", "bytes_tx")),
                len(run.hours),
                run.dropped,
            )
            for run in store.runs()
        ]

    def test_sources_know_which_of_them_count(self, store, tmp_path):
        first = str(tmp_path / "raw" / "1.flows")
        store.forget([first])
        assert rows(store, "SELECT path FROM sources WHERE NOT active") == [(first,)]
        store.ingest([first])  # which counts again
        active = {(source.source.path, source.source.digest): 1 for source in active_sources(store.runs())}
        counted = Counter((path, digest) for path, digest in rows(store, "SELECT path, digest FROM sources WHERE active"))
        assert counted == active
        assert rows(store, "SELECT run FROM sources WHERE NOT active") == [("00000001",)]

    def test_ignored_records_have_their_bytes(self, tmp_path):
        (tmp_path / "a.log").write_text(
            "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status\n"
            "2 1 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1764144000 1764144060 ACCEPT OK\n"
            "2 1 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 70 1764144000 1764144060 REJECT OK\n"
        )
        store = FlowStore(tmp_path / "store", create=True)
        store.ingest([str(tmp_path / "a.log")])
        assert rows(store, "SELECT ignored, ignored_bytes FROM runs") == [(1, 70)]
        assert rows(store, "SELECT ignored, ignored_bytes FROM sources") == [(1, 70)]

    @pytest.mark.parametrize("name", ["flows", "rejects", "runs", "sources"])
    def test_an_empty_store_has_them_with_the_same_columns(self, store, tmp_path, name):
        empty = tmp_path / "empty"
        (empty / "runs").mkdir(parents=True)
        asked = f"SELECT column_name, column_type FROM (DESCRIBE {name})"
        assert FlowStore(empty).sql(asked).equals(store.sql(asked))
        assert rows(FlowStore(empty), f"FROM {name}") == []

    @pytest.mark.parametrize("name", ["it's", "a[1]", "*", "what?", "ü b", 'q"q', "per%cent"])
    def test_the_store_may_have_any_name(self, store, tmp_path, name):
        moved = store.locations.root.rename(tmp_path / name)
        (tmp_path / "a1").mkdir()  # which a pattern would mean
        assert rows(
            FlowStore(moved),
            "SELECT (SELECT count(*) FROM flows), (SELECT count(*) FROM rejects), (SELECT count(*) FROM runs)",
        ) == [(4, 1, 2)]

    def test_a_store_may_be_reached_by_a_link_and_a_relative_path(self, store, tmp_path, monkeypatch):
        (tmp_path / "link").symlink_to("store")
        monkeypatch.chdir(tmp_path / "raw")
        assert rows(FlowStore("../link"), "SELECT count(*) FROM flows") == [(4,)]

    @pytest.mark.parametrize("name", ["flows", "rejects", "sources", "runs"])
    def test_a_duckdb_shell_takes_them_as_they_are(self, store, name):
        with duckdb.connect() as shell:
            for view, query in views(store.locations).items():
                shell.execute(f"CREATE VIEW {view} AS {query}")
            assert shell.sql(f"FROM {name}").to_arrow_table().equals(store.sql(f"FROM {name}"))

    def test_names_that_are_there_twice_are_told_apart(self, store):
        assert store.sql("SELECT 1 AS a, 2 AS a, 3 AS a").to_pylist() == [{"a": 1, "a_1": 2, "a_2": 3}]


CHANGING = [
    "CREATE TABLE x AS FROM flows",
    "COPY flows TO '{store}/flows/x.csv'",
    "WITH x AS (COPY flows TO '{store}/flows/x.csv') FROM x",
    "FROM query('WITH x AS (COPY flows TO ''{store}/flows/x.csv'') FROM x')",
    "EXPLAIN ANALYZE COPY flows TO '{store}/flows/x.csv'",
    "EXPORT DATABASE '{store}/flows'",
    "ATTACH '{store}/flows/x.db'",
    "FROM enable_logging(storage = 'file', storage_path = '{store}/flows')",
    "FROM enable_profiling(save_location = '{store}/flows/x.json')",
    "SET enable_external_access = true",
    "INSTALL httpfs",
    "FROM flows; DROP VIEW flows",
    "",
    "-- nothing",
]  # fmt: skip


class TestReadingAlone:
    @pytest.mark.parametrize("statement", CHANGING)
    def test_what_does_more_than_to_select_is_refused(self, store, tmp_path, statement):
        before = content_of(tmp_path)
        with pytest.raises(UsageError, match=r"^SQL: "):
            store.sql(statement.format(store=store.locations.root))
        assert content_of(tmp_path) == before

    @pytest.mark.parametrize(
        "source", ["read_text('{other}')", "read_csv('{other}')", "'{other}'", "glob('{folder}/*')", "sniff_csv('{other}')"]
    )
    def test_other_files_cannot_be_read(self, store, tmp_path, source):
        (tmp_path / "secret.csv").write_text("a\n1\n")
        with pytest.raises(UsageError, match=r"^SQL: "):
            store.sql(f"FROM {source.format(other=tmp_path / 'secret.csv', folder=tmp_path)}")

    def test_variables_of_python_are_no_tables(self, store):
        secret = store.rejects()  # noqa: F841 - DuckDB would find it
        with pytest.raises(UsageError, match="Table with name secret does not exist"):
            store.sql("FROM secret")

    def test_nothing_is_left_in_the_current_folder(self, store, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        store.sql("SELECT count(*) FROM flows ORDER BY 1")
        assert list((tmp_path / "here").iterdir()) == []


class TestErrors:
    @pytest.mark.parametrize(
        ("statement", "sentence"),
        [
            ("SELECT * FORM flows", 'SQL: syntax error at or near "flows" (line 1, column 15)'),
            ("SELECT *\n  FORM flows", 'SQL: syntax error at or near "flows" (line 2, column 8)'),
            ("  -- ü\nSELECT 'é', nope FROM flows", 'SQL: Referenced column "nope" not found in FROM clause!; Candidate bindings: "hour", "time" (line 2, column 13)'),
            ("FROM flow", 'SQL: Table with name flow does not exist!; Did you mean "flows"? (line 1, column 6)'),
            ("SELECT src_app::INT FROM flows", "SQL: Could not convert string 'a' to INT32 when casting from source column src_app (line 1, column 15)"),
            ("FROM flows; FROM runs", "SQL: Expected a single SELECT statement"),
            ("SELECT '\0'", "SQL: the statement must be valid UTF-8, without a NUL"),
            ("SELECT '\udce9'", "SQL: the statement must be valid UTF-8, without a NUL"),
        ],
    )  # fmt: skip
    def test_they_are_one_line_with_the_place(self, store, statement, sentence):
        with pytest.raises(UsageError) as error:
            store.sql(statement)
        assert str(error.value) == sentence

    @pytest.mark.parametrize("hour", [1, 3])  # the first is looked at before the statement is
    def test_a_damaged_file_is_the_store_s_fault(self, store, hour):
        store.locations.partition(hour).write_bytes(b"PAR1 torn")
        with pytest.raises(StoreDamaged, match=f"hour={hour}"):
            store.sql("FROM flows")

    @pytest.mark.parametrize("torn", [b"", b'{"version": 2,', b"\0" * 40, b"\xff\xfe", b"no JSON"])
    @pytest.mark.parametrize("statement", ["FROM runs", "FROM sources"])
    def test_a_damaged_record_is_named_with_what_to_do(self, store, statement, torn):
        path = store.locations.runs / "00000002.json"
        path.write_bytes(torn)
        with pytest.raises(StoreDamaged) as error:
            store.sql(statement)
        assert f"{path} is no JSON; see what flowlog verify --store {store.locations.root} says" in str(error.value)

    def test_a_damaged_file_in_a_bucket_is_named_as_it_is_there(self):
        files = MemoryFiles(MemoryBucket())
        files.create(BucketPath("bucket/store/flows/hour=3/part-0.parquet"), b"PAR1 torn")
        with pytest.raises(StoreDamaged, match=r"damaged: bucket/store: .*'bucket/store/flows/hour=3/part-0\.parquet'"):
            run_sql(Locations(BucketPath("bucket/store"), files), "FROM flows")


class TestAthena:
    def test_the_table_has_the_types_of_the_files(self, store):
        statement = athena_table(store.locations, "s3://bucket/flow logs/")
        types = {"string": "string", "int64": "bigint"}
        columns = [
            f"  {field.name} {types[str(field.type)]}" for field in pq.ParquetFile(store.locations.partition(1)).schema_arrow
        ]
        assert statement.partition("CREATE EXTERNAL TABLE flows (\n")[2].startswith(
            ",\n".join(columns) + "\n)\nPARTITIONED BY (hour bigint)\n"
        )
        assert "LOCATION 's3://bucket/flow logs/flows/'" in statement
        assert "'storage.location.template' = 's3://bucket/flow logs/flows/hour=${hour}/'" in statement

    def test_the_hours_are_the_store_s_and_ten_years_more(self, store):
        assert f"'projection.hour.range' = '1,{9 + 87660}'" in athena_table(store.locations, "s3://bucket")

    @pytest.mark.parametrize(
        "folder", ["bucket/x", "s3://", "s3://bucket/it's", "s3://bucket/${hour}", "s3://bucket/a\nb", "https://bucket"]
    )
    def test_what_is_no_folder_of_a_bucket_is_refused(self, store, folder):
        with pytest.raises(UsageError, match="write the folder of the store's copy like s3://bucket/flowlog"):
            athena_table(store.locations, folder)
