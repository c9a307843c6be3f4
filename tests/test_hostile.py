"""Input made to do harm: never a traceback, never a hang, and memory that does not follow the input."""

import gzip
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.verify import verify
from pipeline.query.query import Query, run_query
from pipeline.query.rejects import find_rejects
from pipeline.store.layout import Locations
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.parquet import read_parquet

ROOT = Path(__file__).parents[1]
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"

MEASURED = r"""
import json, re, sys
from pathlib import Path
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.store.layout import Locations
summary = ingest([sys.argv[1]], Locations(Path(sys.argv[2])), IngestOptions(workers=1))
# Not getrusage: it starts from the peak of the process that was forked, which is pytest's.
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps(summary.to_json() | {"peak_mib": int(peak) // 1024}))
"""


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


def measured(raw, store):
    """Ingests one file in a process of its own: its summary, and its peak memory in MiB."""
    command = [sys.executable, "-c", MEASURED, str(raw), str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


WATCHED = r"""
import re, sys
from pathlib import Path
from pipeline.cli import app
try:
    app(sys.argv[1:])
finally:
    print(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1], file=sys.stderr)
"""


def peak_of_command(*arguments):
    """The peak memory of a command, in MiB, in a process of its own."""
    command = [sys.executable, "-c", WATCHED, *arguments]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    return int(done.stderr.splitlines()[-1]) // 1024


def gzipped(path, pieces):
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        for piece in pieces:
            file.write(packer.compress(piece))
        file.write(packer.flush())


#: What Python, Arrow and pandas take, and the few blocks that are under way.
BOUND_MIB = 500


class TestBombs:
    def test_a_bomb_of_nothing_is_refused_in_bounded_memory(self, store, tmp_path):
        gzipped(tmp_path / "bomb.csv.gz", [HEADER.encode(), *[bytes(1 << 20)] * 200])
        result = measured(tmp_path / "bomb.csv.gz", store)
        assert "line 2 is longer than 4 MiB" in result["failures"][0]["error"]
        assert result["peak_mib"] < BOUND_MIB

    def test_a_bomb_of_valid_rows_is_counted_in_bounded_memory(self, store, tmp_path):
        row = b"1,a,b,v,1,1\n"
        gzipped(tmp_path / "bomb.csv.gz", [HEADER.encode(), *[row * 100_000] * 40])
        result = measured(tmp_path / "bomb.csv.gz", store)
        assert result["rows"]["valid"] == 4_000_000
        assert result["peak_mib"] < BOUND_MIB

    def test_a_bomb_of_bad_rows_keeps_its_rejects_in_bounded_memory(self, store, tmp_path):
        row = b"0,a,b,v,1,1," + b"x" * 200 + b"\n"
        gzipped(tmp_path / "bomb.csv.gz", [HEADER.encode(), b"1,a,b,v,1,1\n", *[row * 10_000] * 20])
        result = measured(tmp_path / "bomb.csv.gz", store)
        assert result["rows"]["rejected"] == 200_000
        assert result["peak_mib"] < BOUND_MIB + 150

    @pytest.mark.parametrize(
        ("row", "count"),
        [(b"x\n", 250_000), (b"0,a,b,v,1,1\n", 250_000), (b"1,a,b,v,1," + b"x" * 4000 + b"\n", 60_000)],
        ids=["short", "invalid", "long"],
    )
    def test_a_bomb_of_rejects_is_kept_and_shown_in_bounded_memory(self, store, tmp_path, row, count):
        gzipped(tmp_path / "bomb.csv.gz", [HEADER.encode(), *[row * (count // 100)] * 100, b"1,a,b,v,1,1\n"])
        result = measured(tmp_path / "bomb.csv.gz", store)
        assert result["rows"]["rejected"] == count
        assert result["peak_mib"] < BOUND_MIB
        assert max(peak_of_command(command, "--store", str(store.root)) for command in ("rejects", "verify")) < 250

    def test_long_names_that_come_again_and_again_are_in_memory_once(self, store, tmp_path):
        """As text, they are 480 MB; so are those of the hour that the second file finds in the store."""
        name = b"n" * 4_000
        for number in range(2):
            rows = b"".join(b"1,%b,d%d,%b,1,1\n" % (name, 2 * i + number, name) for i in range(1_000))
            pieces = [rows.replace(b",d", b",%d-" % i) for i in range(60)]
            gzipped(tmp_path / f"{number}.csv.gz", [HEADER.encode(), *pieces])
            result = measured(tmp_path / f"{number}.csv.gz", store)
            assert result["rows"]["valid"] == 60_000
            assert result["peak_mib"] < BOUND_MIB
        assert peak_of_command("verify", "--store", str(store.root)) < 250
        for question in (["--top", "1"], ["--by", "src_app", "--until", "9"], ["--app", "*d7"]):
            assert peak_of_command("query", "1", *question, "--store", str(store.root)) < 250

    def test_blank_lines_without_end_are_no_rows(self, store, tmp_path):
        gzipped(tmp_path / "bomb.csv.gz", [HEADER.encode(), *[b"\n" * (1 << 20)] * 30])
        result = measured(tmp_path / "bomb.csv.gz", store)
        assert result["rows"]["read"] == 0
        assert result["peak_mib"] < BOUND_MIB


@pytest.mark.parametrize("start", ["", HEADER, "[", '{"src_app": "', "#separator \\x09\n"])
def test_a_line_of_100_megabytes_is_refused_in_bounded_memory(store, tmp_path, start):
    with (tmp_path / "long.log").open("w") as file:
        file.write(start)
        for _ in range(100):
            file.write("x" * (1 << 20))
    result = measured(tmp_path / "long.log", store)
    assert len(result["failures"]) == 1
    assert result["peak_mib"] < BOUND_MIB + 100


def test_ten_thousand_columns_are_read(store, tmp_path):
    names = [f"c{i}" for i in range(10_000)]
    header = ",".join([*names[:5000], *HEADER.strip().split(","), *names[5000:]])
    row = ",".join([*["x"] * 5000, "1", "a", "b", "v", "1", "2", *["y"] * 5000])
    (tmp_path / "wide.csv").write_text(f"{header}\n{row}\n{row},z\n")
    summary = ingest([str(tmp_path / "wide.csv")], store)
    assert (summary.valid, summary.rejected) == (1, 1)


@pytest.mark.parametrize(
    "start",
    [
        HEADER.strip() + "," * 3_000_000,
        "srcaddr dstaddr start bytes" + " a" * 1_500_000,
        "#separator \\x09\n#fields\tts\tid.orig_h\tid.resp_h" + "\ta" * 1_500_000,
    ],
    ids=["csv", "aws", "zeek"],
)
def test_a_header_of_millions_of_columns_is_refused_early(store, tmp_path, start):
    gzipped(tmp_path / "wide.log.gz", [start.encode(), b"\n1\n"])
    result = measured(tmp_path / "wide.log.gz", store)
    assert "columns; at most 16,384 are read" in result["failures"][0]["error"]
    assert result["peak_mib"] < BOUND_MIB


def parquet_of(path, names, **options):
    """Flow records with these source apps, and nothing else that differs."""
    ones, texts = pa.array([1] * len(names)), pa.array(["b"] * len(names)).dictionary_encode()
    columns = {"hour": ones, "src_app": names, "dest_app": texts, "vpc_id": texts, "bytes_tx": ones, "bytes_rx": ones}
    pq.write_table(pa.table(columns), path, compression="zstd", **options)


class TestParquet:
    def test_a_long_name_that_stands_once_is_not_made_as_often_as_it_is_pointed_to(self, store, tmp_path):
        names = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 10_000, pa.int32()), pa.array(["x" * 100_000, "a"]))
        parquet_of(tmp_path / "a.parquet", names)
        assert (tmp_path / "a.parquet").stat().st_size < 10_000
        result = measured(tmp_path / "a.parquet", store)
        assert (result["rows"]["valid"], result["rows"]["rejected"]) == (10_000, 10_000)
        assert result["peak_mib"] < 350
        (first, *_) = find_rejects(store).slice(0, 1).to_pylist()
        assert (first["field"], first["rule"]) == ("src_app", "must have at most 4,096 bytes")
        assert first["value"] == "x" * 224 + "… (100,000 bytes)"
        assert len(first["raw"]) < 500

    def test_a_column_of_too_many_bytes_in_a_row_group_is_refused_before_it_is_read(self, store, tmp_path):
        parquet_of(tmp_path / "a.parquet", pa.array(["x" * 10_000_000] * 20), use_dictionary=False)
        result = measured(tmp_path / "a.parquet", store)
        assert (
            "row group 0 has 190 MiB in 20 rows; at most 512 MiB, and 4 MiB a row, are read"
            in result["failures"][0]["error"]
        )
        assert result["peak_mib"] < 350

    def test_a_footer_of_many_megabytes_is_refused_before_it_is_read(self, store, tmp_path):
        parquet_of(tmp_path / "a.parquet", pa.array(["a"]))
        data = (tmp_path / "a.parquet").read_bytes()
        (tmp_path / "a.parquet").write_bytes(data[:-8] + bytes(17 << 20) + (17 << 20).to_bytes(4, "little") + b"PAR1")
        summary = ingest([str(tmp_path)], store)
        assert "has a footer of 17 MiB, at most 16 MiB are read" in summary.failures[0].error

    def test_the_texts_of_a_batch_are_its_own(self, tmp_path):
        """Arrow gives each batch of a row group the texts of all before it."""
        parquet_of(tmp_path / "a.parquet", pa.array([f"{i:05}" + "x" * 3000 for i in range(9000)]))
        with (tmp_path / "a.parquet").open("rb") as file:
            batches = list(read_parquet(file, [Column("src_app", Kind.TEXT)]))
        assert len(batches) > 2
        assert all(len(batch.table.column(0).chunk(0).dictionary) <= batch.table.num_rows for batch in batches)


NAMES = ["../../etc/passwd", "a=b/c", "100%", "a\nb", "a\tb", "\x1b[31mred\x1b[0m", "a\x00b", "\u202eevil", "", "ü" * 300]


class TestNames:
    def test_any_name_of_an_app_is_kept_as_it_is(self, store, tmp_path):
        records = [
            {"hour": 1, "src_app": name, "dest_app": "b", "vpc_id": name, "bytes_tx": 1, "bytes_rx": 2} for name in NAMES
        ]
        (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
        summary = ingest([str(tmp_path / "a.jsonl")], store)
        assert (summary.valid, summary.rejected) == (len(NAMES) - 1, 1)  # the empty name
        found = run_query(store, Query(1)).column("src_app").to_pylist()
        assert sorted(found) == sorted(name for name in NAMES if name)
        assert verify(store).problems == []
        assert {path.name for path in store.root.rglob("*")} == {
            *("flows", "hour=1", "part-0.parquet", "rejects", f"run={summary.run_id}"),
            *("runs", f"{summary.run_id}.json", "staging", "ledger.sqlite", "lock"),
        }

    @pytest.mark.parametrize("name", ["a\nb.csv", "a b.csv", "-rf.csv", "hour=1.csv", "%41.csv", "\x1b[31m.csv", "'\"`.csv"])
    def test_any_name_of_a_file_is_counted_once_under_its_name(self, store, tmp_path, name):
        (tmp_path / name).write_text(HEADER + "1,a,b,v,1,1\n0,a,b,v,1,1\n")
        assert ingest([str(tmp_path)], store).ingested == 1
        assert ingest([str(tmp_path / name)], store).run_id is None
        assert find_rejects(store).column("source").to_pylist() == [str(tmp_path / name)]

    def test_a_file_name_that_is_not_utf8_is_counted_once_and_shown_escaped(self, store, tmp_path):
        path = os.fsencode(tmp_path) + b"/caf\xe9.csv"
        with open(path, "w") as file:  # noqa: PTH123 - a Path of bytes there is not
            file.write(HEADER + "1,a,b,v,1,1\n0,a,b,v,1,1\n")
        assert ingest([str(tmp_path)], store).ingested == 1
        assert ingest([str(tmp_path)], store).skipped == 1
        assert find_rejects(store).column("source").to_pylist()[0].endswith(r"caf\xe9.csv")

    def test_the_terminal_sees_no_escape_of_a_name(self, flowlog, tmp_path):
        record = {"hour": 1, "src_app": "\x1b[31mred", "dest_app": "b", "vpc_id": "v\x07", "bytes_tx": 1, "bytes_rx": -2}
        (tmp_path / "\x1b[2J.jsonl").write_text(json.dumps(record) + "\n" + json.dumps(record | {"bytes_rx": 2}))
        store = ["--store", str(tmp_path / "store")]
        shown = [
            flowlog("ingest", str(tmp_path), *store),
            flowlog("ingest", str(tmp_path), *store, "--strict"),
            flowlog("query", "--hour", "1", *store),
            flowlog("rejects", *store),
            flowlog("runs", "--sources", *store),
        ]
        for outcome in shown:
            text = outcome.out + outcome.err
            assert not set(text) & {"\x1b", "\x07"}
        assert r"\x1b[31mred" in shown[2].out


def test_concatenated_and_empty_members_count_like_one(store, tmp_path):
    pieces = [HEADER, "1,a,b,v,1,1\n1,a,", "b,v,2,2\n", "", "1,a,b,v,4,4"]
    (tmp_path / "a.csv.gz").write_bytes(b"".join(gzip.compress(piece.encode()) for piece in pieces))
    assert ingest([str(tmp_path)], store).bytes_tx == 7


@pytest.mark.parametrize("text", ["", "\n\n\n", HEADER, HEADER.strip(), "[]", " [ ]\n", HEADER + "\n\n"])
def test_a_file_without_a_row_has_no_totals_and_no_traceback(store, tmp_path, text):
    (tmp_path / "a.csv").write_text(text)
    summary = ingest([str(tmp_path)], store)
    assert (summary.read, store.hours()) == (0, [])


def test_nearly_everything_may_be_bad(store, tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + "x\n" * 1000 + "7,a,b,v,1,1\n")
    summary = ingest([str(tmp_path)], store, IngestOptions(max_reject_ratio=1.0))
    assert (summary.read, summary.rejected, store.hours()) == (1001, 1000, [7])
