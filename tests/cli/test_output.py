"""How results look, and that they read back equal."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from unicodedata import east_asian_width

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cli import output
from pipeline.cli.output import OUTPUT_FORMATS, printable, write_object, write_rows
from pipeline.cli.table import text_table
from pipeline.errors import UsageError
from pipeline.schema import TOTALS_SCHEMA

ROOT = Path(__file__).parents[2]
FULL = Path("/dev/full")
EXACT_FORMATS = [name for name in OUTPUT_FORMATS if name != "table"]
FIELDS = ["hour", "src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx"]


def totals(*rows):
    """Totals from (src_app, bytes_tx); the rest does not matter."""
    return pa.Table.from_pylist(
        [
            {"hour": 1, "src_app": app, "dest_app": "b", "vpc_id": "v", "bytes_tx": tx, "bytes_rx": 2, "flows": 3}
            for app, tx in rows
        ],
        schema=TOTALS_SCHEMA,
    )


@pytest.fixture
def written(tmp_path):
    """What a format writes into a file."""

    def write(rows, output_format):
        write_rows([rows], output_format, tmp_path / "out")
        return (tmp_path / "out").read_bytes()

    return write


ROWS = totals(("foo", 10), ('say "hi", ü', 2**63 - 1))


class TestFormats:
    def test_json_is_an_array_of_objects_with_the_six_fields_in_their_order(self, written):
        text = written(ROWS, "json")
        records = json.loads(text)
        assert [list(record) for record in records] == [FIELDS, FIELDS]
        assert records == ROWS.drop_columns("flows").to_pylist()
        assert "ü".encode() in text

    def test_json_lines_are_the_same_objects_one_a_line(self, written):
        lines = written(ROWS, "jsonl").decode().splitlines()
        assert [json.loads(line) for line in lines] == ROWS.drop_columns("flows").to_pylist()

    def test_csv_has_a_header_and_the_number_of_flows(self, written):
        text = written(ROWS, "csv")
        header, first, *_ = csv.reader(io.StringIO(text.decode()))
        assert header == [*FIELDS, "flows"]
        assert first == ["1", "foo", "b", "v", "10", "2", "3"]
        assert pa_csv.read_csv(io.BytesIO(text)) == ROWS
        assert pd.read_csv(io.BytesIO(text)).to_dict("records") == ROWS.to_pylist()

    def test_parquet_keeps_the_types(self, written):
        assert pq.read_table(io.BytesIO(written(ROWS, "parquet"))).equals(ROWS)

    @pytest.mark.parametrize(("output_format", "text"), [("json", b"[]\n"), ("jsonl", b"")])
    def test_nothing_is_written_as_nothing(self, written, output_format, text):
        assert written(totals(), output_format) == text

    def test_nothing_keeps_its_columns_where_the_format_has_them(self, written):
        assert pa_csv.read_csv(io.BytesIO(written(totals(), "csv"))).column_names == TOTALS_SCHEMA.names
        assert pq.read_table(io.BytesIO(written(totals(), "parquet"))).equals(totals())

    @pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
    def test_chunks_leave_no_seam(self, written, monkeypatch, count):
        monkeypatch.setattr(output, "_CHUNK_ROWS", 2)
        rows = totals(*((f"a{i}", i) for i in range(count)))
        assert json.loads(written(rows, "json")) == rows.drop_columns("flows").to_pylist()
        assert len(written(rows, "jsonl").splitlines()) == count

    @pytest.mark.parametrize("output_format", EXACT_FORMATS)
    def test_several_tables_leave_no_seam(self, tmp_path, output_format):
        none = totals()
        for name, tables in (("one", [ROWS]), ("several", [none, ROWS.slice(0, 1), none, ROWS.slice(1)])):
            assert write_rows(tables, output_format, tmp_path / name)
        assert not write_rows([none], output_format, tmp_path / "none")
        if output_format == "parquet":
            assert pq.read_table(tmp_path / "several").equals(ROWS)
        else:
            assert (tmp_path / "several").read_bytes() == (tmp_path / "one").read_bytes()

    def test_an_answer_that_fails_at_its_start_leaves_no_file(self, tmp_path):
        def torn():
            yield totals()
            raise UsageError

        with pytest.raises(UsageError):
            write_rows(torn(), "csv", tmp_path / "out")
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("output_format", EXACT_FORMATS)
    def test_one_that_fails_later_leaves_nothing_in_it(self, tmp_path, output_format):
        def torn():
            yield totals(*((f"a{number}", number) for number in range(10_000)))
            raise UsageError

        with pytest.raises(UsageError):
            write_rows(torn(), output_format, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == b""

    @settings(max_examples=40)
    @given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), min_size=1, max_size=5))
    @example(["a\nb", "a\r\nb", "\r", "\n", '"', '""', ",", "'", "\t", " a ", "\0", "\x1b[31m", "\u2028", "\ufeff", "NULL"])
    def test_any_name_reads_back_equal(self, tmp_path_factory, names):
        target = tmp_path_factory.getbasetemp() / "any-name"
        rows = totals(*((name, 1) for name in names))
        for output_format in EXACT_FORMATS:
            write_rows([rows], output_format, target)
            content = target.read_bytes()
            if output_format == "json":
                assert [record["src_app"] for record in json.loads(content)] == names
            elif output_format == "jsonl":
                assert [json.loads(line)["src_app"] for line in content.split(b"\n")[:-1]] == names
            elif output_format == "csv":
                records = csv.reader(io.StringIO(content.decode(), newline=""))
                assert [record[1] for record in records] == ["src_app", *names]
            else:
                assert pq.read_table(target).column("src_app").to_pylist() == names


class TestTable:
    def test_numbers_stand_to_the_right_with_separators_and_an_hour_has_its_time(self):
        rows = pa.table({"src_app": ["foo", "a-long-name"], "hour": [498752, 1], "bytes_tx": [7, 1234567]})
        assert text_table(rows.to_pydict()) == (
            "hour    time           src_app       bytes_tx\n"
            "498752  2026-11-24T08  foo                  7\n"
            "1       1970-01-01T01  a-long-name  1,234,567\n"
        )

    def test_names_longer_than_any_header_line_up(self):
        rows = pa.table({"src_app": ["a" * 40, "b"], "dest_app": ["c", "d" * 30], "flows": [10**18, 0]})
        header, first, second = text_table(rows.to_pydict()).splitlines()
        assert [line.index(cell) for line, cell in ((header, "dest_app"), (first, "c"), (second, "d"))] == [42] * 3
        assert {len(header), len(first), len(second)} == {len(first)}

    def test_names_whose_letters_are_two_columns_wide_line_up(self):
        lines = text_table(
            pa.table({"src_app": ["\u65e5\u672c\u8a9e", "ab"], "dest_app": ["x", "x"]}).to_pydict()
        ).splitlines()
        before = [line[: line.rindex("x")] for line in lines[1:]]
        widths = [sum(2 if east_asian_width(letter) in "WF" else 1 for letter in text) for text in before]
        assert widths[0] == widths[1]

    def test_hours_whose_sums_pass_64_bits_are_shown_whole(self, ingested, flowlog, tmp_path):
        ingested(*(f"{app},b,v,{2**53 - 1},0,1" for app in "ab" for _ in range(600)))
        assert f"{1200 * (2**53 - 1):,}" in flowlog("hours", "--store", tmp_path / "store").out

    @pytest.mark.parametrize("command", [["runs"], ["runs", "--sources"]])
    def test_runs_whose_sums_pass_64_bits_are_shown_whole(self, ingested, flowlog, tmp_path, command):
        ingested(*(f"a,b,v,{2**53 - 1},0,{hour}" for hour in (1, 2) for _ in range(600)))
        assert f"{1200 * (2**53 - 1):,}" in flowlog(*command, "--store", tmp_path / "store").out

    @pytest.mark.parametrize(
        ("name", "shown"),
        [
            ("plain", "plain"),
            ("ü \u65e5\u672c \U00010000", "ü \u65e5\u672c \U00010000"),
            ("a\x1b[31mb", r"a\x1b[31mb"),
            ("a\nb\tc\rd", r"a\nb\tc\rd"),
            ("\0\x7f\x9b", r"\x00\x7f\x9b"),
            ("\u202eabc\u202c", r"\u202eabc\u202c"),  # right-to-left override
            ("\u2066a\u2069", r"\u2066a\u2069"),  # isolates
            ("\u200e\u200f", r"\u200e\u200f"),
            ("\u061c", r"\u061c"),  # the Arabic letter mark, the last of Unicode's bidirectional controls
            ("a\u2028b\u2029", r"a\u2028b\u2029"),
            ("\udcff", r"\udcff"),  # a byte of an argument that is not UTF-8
        ],
    )
    def test_what_would_move_the_cursor_or_the_order_of_letters_is_escaped(self, name, shown):
        assert printable(name) == shown
        if "\udcff" not in name:
            assert shown in text_table(totals((name, 1)).to_pydict())


class TestTargets:
    @pytest.mark.parametrize("output_format", EXACT_FORMATS)
    def test_standard_output_and_a_file_get_the_same(self, written, capsysbinary, output_format):
        expected = written(ROWS, output_format)
        write_rows([ROWS], output_format, None)
        assert capsysbinary.readouterr().out == expected

    def test_a_file_is_written_over(self, written, tmp_path):
        (tmp_path / "out").write_bytes(b"x" * 10_000)
        assert json.loads(written(ROWS, "json"))

    @pytest.mark.parametrize("name", [".", "nowhere/out"])
    def test_a_file_that_cannot_be_written_is_named(self, tmp_path, name):
        with pytest.raises(UsageError, match=r"cannot write .*: (Is a directory|No such file or directory)"):
            write_rows([ROWS], "csv", tmp_path / name)

    @pytest.mark.parametrize("output_format", EXACT_FORMATS)
    @pytest.mark.skipif(not FULL.exists(), reason="Linux's full device")
    def test_a_full_disk_is_the_users_error(self, output_format):
        with pytest.raises(UsageError, match="cannot write /dev/full: No space left on device"):
            write_rows([ROWS], output_format, FULL)

    def test_a_terminal_gets_no_parquet(self, monkeypatch, tmp_path):
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
        with pytest.raises(UsageError, match="name a file with --output"):
            write_rows([ROWS], "parquet", None)
        write_rows([ROWS], "parquet", tmp_path / "out")
        assert pq.read_table(tmp_path / "out").num_rows == 2

    def test_an_object_is_json_with_its_letters(self, capsys):
        write_object({"app": "ü", "runs": [1, None]})
        text = capsys.readouterr().out
        assert json.loads(text) == {"app": "ü", "runs": [1, None]}
        assert "ü" in text
        assert text.endswith("}\n")

    def test_an_object_is_utf8_whatever_the_locale_says(self, monkeypatch):
        terminal = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", terminal)
        write_object({"app": "ü"})
        terminal.flush()
        assert json.loads(terminal.buffer.getvalue()) == {"app": "ü"}


class TestBrokenPipes:
    """Who reads standard output may stop, as `head` does, and may never have been there."""

    @pytest.fixture
    def store(self, ingested, tmp_path):
        ingested(*(f"app-{i},b,v,1,1,1" for i in range(5000)))  # more than a pipe holds
        return str(tmp_path / "store")

    def run(self, *arguments, stdout):
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(command, cwd=ROOT, stdout=stdout, stderr=subprocess.PIPE, check=False, text=True)

    @pytest.mark.parametrize(
        "command",
        [["query", "1", "--format", "csv"], ["query", "--hour", "1", "--top", "1", "--format", "json"], ["hours", "--json"]],
        ids=["much", "little", "an object"],
    )
    def test_a_reader_that_has_gone_is_no_error(self, store, command):
        reader, writer = os.pipe()
        os.close(reader)
        finished = self.run(*command, "--store", store, stdout=writer)
        os.close(writer)
        assert (finished.returncode, finished.stderr) == (0, "")

    @pytest.mark.skipif(not FULL.exists(), reason="Linux's full device")
    @pytest.mark.parametrize("command", [["query", "--hour", "1"], ["hours"]])
    def test_a_full_disk_behind_standard_output_is_said_in_a_sentence(self, store, command):
        with FULL.open("wb") as full:
            finished = self.run(*command, "--store", store, stdout=full)
        assert finished.returncode not in (0, 1)
        assert "Traceback" not in finished.stderr
        assert "No space left on device" in finished.stderr


class TestEnd:
    """The process ends without taking apart what it has built, but not before all is said and done."""

    def test_all_output_is_there(self, ingested, tmp_path):
        ingested(*(f"app-{i},b,v,1,1,1" for i in range(5000)))
        query = ["query", "--hour", "1", "--format", "csv", "--store", str(tmp_path / "store")]
        finished = run_process("-m", "pipeline", *query)
        assert (finished.returncode, len(finished.stdout.splitlines())) == (0, 5001)

    @pytest.mark.parametrize(
        ("arguments", "code"), [(["--help"], 0), (["query", "nonsense"], 2), (["hours", "--store", "missing"], 2)]
    )
    def test_the_exit_code_is_that_of_the_command(self, arguments, code):
        assert run_process("-m", "pipeline", *arguments).returncode == code

    @pytest.mark.parametrize(
        ("work", "said"),
        [
            ("threading.Thread(target=lambda: (time.sleep(0.2), print('done'))).start()", "done\n"),
            ("global pool; pool = ThreadPoolExecutor(1); pool.submit(int).result()", ""),
        ],
        ids=["works", "idles in a pool"],
    )
    def test_a_thread_that_works_is_waited_for_and_one_that_idles_is_not(self, work, said):
        finished = run_process(
            "-c",
            "import sys, threading, time\n"
            "from concurrent.futures import ThreadPoolExecutor\n"
            "from pipeline import __main__, cli\n"
            f"def main():\n    {work}\n    sys.exit(3)\n"
            "cli.main = main\n"
            "__main__.main()\n",
        )
        assert (finished.returncode, finished.stdout) == (3, said)

    @pytest.mark.parametrize(
        ("call", "code", "seconds", "is_waited_for"),
        [  # the imports that are not waited for take longer than the command on any machine, however busy
            ("from pipeline.jobs.ingest import ingest; ingest([raw], Locations(Path(store)))", 0, 1, True),
            ("sys.argv[1:] = ['ingest', raw, '--store', store]; __main__.main()", 3, 50, False),
        ],
        ids=["Python", "flowlog"],
    )
    def test_imports_under_way_are_waited_for_where_python_ends_the_process(
        self, tmp_path, call, code, seconds, is_waited_for
    ):
        """Python would cut them off in the middle of Arrow, which then waits for ever."""
        (tmp_path / "raw.log").write_text("no flow log\n")  # nothing to validate: the imports are of no use
        finished = run_process(
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from pipeline import __main__\n"
            "from pipeline.counting import validation\n"
            "from pipeline.store.layout import Locations\n"
            f"raw, store = {str(tmp_path / 'raw.log')!r}, {str(tmp_path / 'store')!r}\n"
            f"validation.prepare = lambda: (time.sleep({seconds}), print('imported'))\n"
            f"{call}\n",
        )
        assert (finished.returncode, "imported" in finished.stdout) == (code, is_waited_for)


def run_process(*arguments):
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, check=False, text=True, timeout=60)
