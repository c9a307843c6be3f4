"""What every format promises, whatever it is and however it is written."""

import bz2
import contextlib
import gzip
import io
import json
import pickle
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.counting.count import Limits, count_group
from pipeline.counting.sources import Source
from pipeline.errors import OtherLog, SourceError, UnknownFormat
from pipeline.flowstore import FlowStore
from pipeline.formats import format_options
from pipeline.formats.head import Container
from pipeline.jobs.ingest import IngestOptions
from pipeline.jobs.verify import DeepOptions
from pipeline.options import ReadOptions
from pipeline.schema import TOTALS_SCHEMA
from tests.conformance.executors import alone, plain, rejects_of, totals_of
from tests.formats.helpers import blocks_of, format_of, read

DOCS = Path(__file__).parents[2] / "docs" / "formats"
#: None of them says what is in a file.
NAMES = ["raw", "flows.csv", "flows.json", "conn.log", "part-0.parquet", "archive.gz", "vpc_flow_logs.log.zst"]
COMPRESS = {
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "zstd": lambda data: pa.Codec("zstd").compress(data, asbytes=True),
}


def in_another_order(value):
    """The same with the keys of all objects the other way round."""
    if isinstance(value, dict):
        return {key: in_another_order(inner) for key, inner in reversed(value.items())}
    return [in_another_order(inner) for inner in value] if isinstance(value, list) else value


def with_further_keys(value):
    """The same with keys in all objects that no format knows."""
    if isinstance(value, dict):
        further = {"x-": {"bytes": [1, {"src": None}]}, "x-bytes": "9"}
        return further | {key: with_further_keys(inner) for key, inner in value.items()}
    return [with_further_keys(inner) for inner in value] if isinstance(value, list) else value


def rewritten(sample, change):
    """A text with a change in the JSON of each line."""
    return b"".join(json.dumps(change(json.loads(line))).encode() + b"\n" for line in sample.splitlines())


def with_bad_cells(container, sample, row):
    """A file again and again, each time with another cell of a row changed into what no column may have."""
    if container is Container.PARQUET:
        table = pq.read_table(io.BytesIO(sample))
        for place, name in enumerate(table.column_names):
            cells = table.column(name).to_pylist()
            cells[row - 1] = None
            sink = io.BytesIO()
            pq.write_table(
                table.set_column(place, table.schema.field(name), pa.array(cells, table.schema.field(name).type)), sink
            )
            yield sink.getvalue()
        return
    before, line, behind = (b"".join(part) for part in parted(sample.splitlines(keepends=True), row - 1))
    if container is Container.JSON:
        changed = (json.dumps(other).encode() + b"\n" for other in with_bad_leaves(json.loads(line)))
    else:
        changed = (line[: cell.start()] + "☃".encode() + line[cell.end() :] for cell in re.finditer(rb"[^\s,|]+", line))
    yield from (before + other + behind for other in changed)


def parted(lines, place):
    return lines[:place], lines[place : place + 1], lines[place + 1 :]


def with_bad_leaves(value):
    """A JSON value again and again, each time with another of what it has inside as an object that nobody expects."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from (value | {key: other} for other in with_bad_leaves(inner))
    else:
        yield {"x": [1]}


def bytes_of(outcome):
    return sum(tx + rx for *_, tx, rx in outcome.records)


@dataclass(frozen=True)
class Case:
    """A sample of a format, and what is in it.

    Attributes:
        sample: A file with flows, a row that must be rejected, and rows that are ignored, if the format has such.
        flows: The flow records: hour, src_app, dest_app, vpc_id, bytes_tx, bytes_rx.
        rejected: By the number of a row that must be rejected: the field that is unfit, and a part of the raw text.
        ignored: How many rows are left out, by reason.
        columns: The fields for which the first flow's row is rejected where one of its cells cannot be read, or, in Parquet, is null.
            None where a row is no line, so that no cell of one can be changed by itself.
    """

    sample: bytes
    flows: list[tuple]
    rejected: dict[int, tuple[str, str]]
    ignored: dict[str, int]
    columns: set[str] | None = None


@cache
def alone_in_a_folder(sample):
    """What becomes of a sample that has no neighbours: remembered, as each format asks for those of all."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "raw")
        path.write_bytes(sample)
        return plain(alone(Source.at(path), folder))


class FormatClaims:
    """The claims. A subclass gives the fixtures `known`, a format, and `case`, its sample; `cases` are those of all formats."""

    def count(self, *paths, folder):
        return count_group([Source.at(path) for path in paths], ReadOptions(), Limits(1 << 30), str(folder))

    @pytest.mark.parametrize("name", NAMES)
    def test_it_is_known_by_its_content_under_any_name(self, known, case, name):
        assert format_of(case.sample, name) == known.name

    def test_its_option_names_it(self, known, case):
        assert format_of(case.sample, option=known.option) == known.name

    def test_under_the_name_of_a_format_that_it_is_not_it_fails(self, known, case, tmp_path):
        """Were all its rows ignored, it would be a file that is counted; were it another log, a folder would leave it alone."""
        path = tmp_path / "raw"
        path.write_bytes(case.sample)
        for option in set(format_options()) - {"auto", known.option}:
            group = count_group([Source.at(path)], ReadOptions(format=option), Limits(1 << 30), str(tmp_path))
            result = group.results[0]
            assert isinstance(result, SourceError) or result.valid == len(case.flows), (
                option
            )  # both of AWS's read both lines
            assert not isinstance(result, OtherLog), option

    def test_a_sample_has_the_flows_that_it_says(self, case):
        outcome = read(case.sample)
        assert outcome.cells == case.flows
        assert outcome.ignored == case.ignored

    def test_each_row_is_valid_rejected_or_ignored(self, case):
        outcome = read(case.sample)
        assert outcome.read == len(case.flows) + len(case.rejected) + sum(case.ignored.values())

    def test_a_reject_has_its_row_its_field_and_its_raw_text(self, case):
        rejects = read(case.sample).rejects
        assert {reject.row: reject.field for reject in rejects} == {row: field for row, (field, _) in case.rejected.items()}
        assert all(case.rejected[reject.row][1] in reject.raw for reject in rejects)

    @pytest.mark.parametrize("codec", COMPRESS)
    def test_packed_it_is_the_same(self, case, codec):
        assert read(COMPRESS[codec](case.sample)) == read(case.sample)

    @pytest.mark.parametrize("block_bytes", [1, 7, 50, 170, 1000])
    def test_where_blocks_end_changes_nothing(self, case, block_bytes):
        expected = read(case.sample)
        with blocks_of(block_bytes):
            assert read(case.sample) == expected

    def test_lines_may_end_as_windows_ends_them(self, known, case):
        if known.container is not Container.PARQUET:
            outcome = read(case.sample.replace(b"\n", b"\r\n"))
            assert (outcome.cells, outcome.ignored) == (case.flows, case.ignored)

    def test_a_byte_order_mark_changes_nothing(self, known, case):
        if known.container is not Container.PARQUET:
            outcome = read(b"\xef\xbb\xbf" + case.sample)
            assert (outcome.cells, outcome.ignored) == (case.flows, case.ignored)

    @pytest.mark.parametrize("end", [b"\n", b""])
    def test_files_that_were_joined_each_with_a_byte_order_mark_count_both_or_fail(self, known, case, end):
        if known.container is not Container.PARQUET:
            try:
                outcome = read(b"\xef\xbb\xbf".join([case.sample.removesuffix(b"\n") + end, case.sample]))
            except SourceError:
                assert known.container is Container.TEXT
            else:
                repeated = outcome.ignored["repeated record"] > case.ignored.get("repeated record", 0)
                assert outcome.cells == (1 if repeated else 2) * case.flows

    def test_a_return_in_front_of_each_line_takes_no_row_away(self, known, case):
        if known.container is Container.TEXT:
            with contextlib.suppress(SourceError):
                assert read(case.sample.replace(b"\n", b"\n\r")).read == read(case.sample).read

    @pytest.mark.parametrize("changed", [in_another_order, with_further_keys], ids=["another order", "further keys"])
    def test_keys_in_another_order_and_keys_that_nobody_knows_change_nothing(self, known, case, changed):
        if known.container is Container.JSON:
            outcome = read(rewritten(case.sample, changed))
            assert (outcome.cells, outcome.ignored) == (case.flows, case.ignored)
            assert {reject.row: reject.field for reject in outcome.rejects} == {
                row: field for row, (field, _) in case.rejected.items()
            }

    def test_a_bad_cell_is_its_rows_fault_alone(self, known, case):
        before, found = read(case.sample), set()
        row = before.rows[0]
        for changed in with_bad_cells(known.container, case.sample, row) if case.columns is not None else ():
            try:
                outcome = read(changed)
            except UnknownFormat:
                continue  # the cell told which log this is
            assert [record for record in outcome.records if record[0] != row] == before.records[1:]
            assert [reject for reject in outcome.rejects if reject.row != row] == before.rejects
            own = [reject.field for reject in outcome.rejects if reject.row == row]
            assert (row in outcome.rows) + len(own) + outcome.ignored.total() - before.ignored.total() == 1
            found.update(own)
        assert found == (case.columns or set())

    @pytest.mark.parametrize("options", [{}, {"logged": ("0.0.0.0/0", "::/0")}], ids=str)
    def test_what_another_reporter_has_is_told_to_the_byte(self, case, options):
        naive, once = read(case.sample, both_ends="count"), read(case.sample, **options)
        assert bytes_of(once) + once.ignored_bytes["other reporter"] == bytes_of(naive)
        assert len(once.records) + once.ignored["other reporter"] == len(naive.records)
        assert once.rejects == naive.rejects

    def test_it_can_be_proved_and_taken_back(self, case, tmp_path):
        (tmp_path / "raw").write_bytes(case.sample)
        store = FlowStore(tmp_path / "store", create=True)
        assert store.ingest([str(tmp_path / "raw")]).valid == len(case.flows)
        assert store.verify(deep=DeepOptions()).problems == []
        store.forget([str(tmp_path / "raw")])
        assert store.hours() == []
        assert store.verify().problems == []

    def test_twice_in_a_folder_it_adds_twice(self, case, tmp_path, unsynced):
        (tmp_path / "raw").mkdir()
        for name in ("first", "second"):
            (tmp_path / "raw" / name).write_bytes(case.sample)
        store = FlowStore(tmp_path / "store", create=True)
        store.ingest([str(tmp_path / "raw")], IngestOptions(same_content="count"))
        expected = Counter()
        for *key, tx, rx in case.flows:
            expected.update({(*key, "bytes_tx"): 2 * tx, (*key, "bytes_rx"): 2 * rx, (*key, "flows"): 2})
        hours = [hour for hour, *_ in case.flows]
        totals = store.table(min(hours), max(hours) + 1).to_pylist()
        keys = {tuple(row[name] for name in TOTALS_SCHEMA.names[:4]): row for row in totals}
        assert {(*key, name): row[name] for key, row in keys.items() for name in TOTALS_SCHEMA.names[4:]} == expected

    def test_spread_over_hours_it_has_the_same_sums(self, case, tmp_path):
        path = tmp_path / "raw"
        path.write_bytes(case.sample)
        group = count_group([Source.at(path)], ReadOptions(spread="hours"), Limits(1 << 30), str(tmp_path))
        counted, expected = [row for rows in totals_of(group).values() for row in rows], Counter()
        for _, *key, tx, rx in case.flows:
            expected.update({(*key, "bytes_tx"): tx, (*key, "bytes_rx"): rx, (*key, "flows"): 1})
        spread = Counter()
        for row in counted:
            key = tuple(row[name] for name in TOTALS_SCHEMA.names[1:4])
            spread.update({(*key, name): row[name] for name in TOTALS_SCHEMA.names[4:]})
        assert spread == expected

    def test_neighbours_of_all_formats_change_nothing(self, case, cases, tmp_path):
        samples = [sample for other in [*cases.values(), case] for sample in (case.sample, other.sample)]
        paths = [tmp_path / str(number) for number in range(len(samples))]
        for path, sample in zip(paths, samples, strict=True):
            path.write_bytes(sample)
        group = self.count(*paths, folder=tmp_path)
        assert list(map(plain, group.results)) == list(map(alone_in_a_folder, samples))

    def test_what_was_counted_travels(self, case, tmp_path):
        path = tmp_path / "raw"
        path.write_bytes(case.sample)
        group = self.count(path, folder=tmp_path)
        copied = pickle.loads(pickle.dumps(group))
        assert copied.results == group.results
        assert rejects_of(copied) == rejects_of(group) != []
        assert totals_of(copied) == totals_of(group) != {}

    @given(data=st.data())
    def test_a_damaged_file_is_read_or_refused(self, known, case, data):
        start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(case.sample))] * 2)))
        damaged = case.sample[:start] + data.draw(st.binary(max_size=20)) + case.sample[end:]
        for option in ("auto", known.option):
            read_or_refuse(damaged, option)

    @given(st.binary(min_size=1, max_size=200))
    @example(b"{}")
    @example(b"[]")
    @example(b"PAR1")
    @example(b"\n\n#fields\n")
    @example(b"-\n" * 20)
    def test_random_bytes_are_read_or_refused(self, known, content):
        read_or_refuse(content, known.option)

    def test_a_page_says_what_it_is_and_what_can_be_set(self, known):
        rows = [
            line for line in (DOCS / "README.md").read_text().splitlines() if f"`{known.option}`" in line and "|" in line
        ]
        (page,) = {page for row in rows for page in re.findall(r"\((\S+\.md)\)", row)}
        text = (DOCS / page).read_text()
        assert re.search(rf"`(?:--format )?{known.option}`", text)
        assert all(f"--set {setting.name}=" in text for setting in known.settings)
        assert all(setting.name.startswith(f"{known.option}.") for setting in known.settings)


def read_or_refuse(content, option):
    """Reads what may be no file of any format; the only error is one that fails this source alone."""
    try:
        outcome = read(content, option=option)
    except SourceError:
        return
    assert outcome.read == len(outcome.records) + len(outcome.rejects) + sum(outcome.ignored.values())
