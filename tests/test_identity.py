"""A source is its content, whatever it is called, however it is packed, and when it is given: once is once."""

import bz2
import gzip
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.counting import content
from pipeline.counting.sources import Source
from pipeline.errors import StrictRunStopped
from pipeline.flowstore import FlowStore
from pipeline.jobs.ingest import IngestOptions
from pipeline.jobs.plan import _KEPT_BYTES
from pipeline.jobs.verify import DeepOptions

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
ZEEK = (
    "#separator \\x09\n#fields\tts\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\torig_ip_bytes\tresp_ip_bytes\n"
    "#types\ttime\taddr\tport\taddr\tport\tenum\tcount\tcount\n"
)


def zstd(data):
    return pa.compress(data, codec="zstd", asbytes=True)


PACKINGS = {
    "": bytes,
    ".gz": gzip.compress,
    ".parts.gz": lambda data: gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]),
    ".zst": zstd,
    ".bz2": bz2.compress,
}


def rows(app, count, first=0):
    """Canonical CSV whose rows have 1, 2, 4, … bytes, so that a sum tells which were counted, and how often."""
    return HEADER + "".join(f"{1 + i % 3},{app},b,v,{4**i},0\n" for i in range(first, count))


def write(path, text, packing=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PACKINGS[packing](text.encode()))
    return str(path)


@pytest.fixture
def raw(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"


@pytest.fixture
def store(tmp_path, unsynced):
    return FlowStore(tmp_path / "store", create=True)


def ingest(store, *paths, **options):
    return store.ingest([str(path) for path in paths], IngestOptions(**options))


def sums(store):
    """The bytes of each app, over all hours."""
    rows = store.table(1, until=1_000_000).to_pylist() if store.hours() else []
    total = Counter()
    for row in rows:
        total[row["src_app"]] += row["bytes_tx"]
    return dict(total)


def bits(count):
    return sum(4**i for i in range(count))


def is_sound(store, deep=True):
    result = store.verify(deep=DeepOptions() if deep else None)
    return (result.problems, result.proof.missing if deep else []) == ([], [])


class Opened:
    """Counts the raw files that are opened."""

    def __init__(self, monkeypatch):
        self.names = []
        real, real_os = Path.open, os.open

        def opened(path, *arguments, **options):
            self.names.append(path.name)
            return real(path, *arguments, **options)

        def opened_os(path, *arguments, **options):
            self.names.append(Path(os.fsdecode(path)).name)
            return real_os(path, *arguments, **options)

        monkeypatch.setattr(Path, "open", opened)
        monkeypatch.setattr(os, "open", opened_os)

    def among(self, folder):
        return sorted({name for name in self.names if list(folder.rglob(name))})


class TestRotation:
    @pytest.mark.parametrize("packing", PACKINGS)
    def test_a_log_and_what_rotation_packs_of_it_count_once_in_one_run_and_in_two(self, raw, store, packing):
        text = rows("a", 3)
        write(raw / "conn.log", text)
        write(raw / f"conn.2026{packing}", text, packing)
        assert ingest(store, raw).ingested == 1
        assert sums(store) == {"a": bits(3)}
        (raw / "conn.log").unlink()
        write(raw / f"conn.2027{packing}", text, packing)
        summary = ingest(store, raw)
        assert (summary.run_id, summary.skipped) == (None, 2)
        assert is_sound(store)

    def test_parquet_packed_once_more_is_the_same_source(self, raw, store):
        table = pa.table(
            {"hour": [1], "src_app": ["a"], "dest_app": ["b"], "vpc_id": ["v"], "bytes_tx": [5], "bytes_rx": [1]}
        )
        pa.parquet.write_table(table, raw / "a.parquet")
        (raw / "a.parquet.gz").write_bytes(gzip.compress((raw / "a.parquet").read_bytes()))
        assert ingest(store, raw).ingested == 1
        assert sums(store) == {"a": 5}

    def test_the_ledger_has_the_content_and_the_file_as_it_lay(self, raw, store):
        text = rows("a", 3)
        path = Path(write(raw / "a.csv.gz", text, ".gz"))
        big = Path(write(raw / "b.csv.gz", rows("b", 3) + "".join(f"1,x{i},b,v,1,1\n" for i in range(300_000)), ".gz"))
        ingest(store, raw)
        for record, file in zip(store.runs()[0].sources, (path, big), strict=True):
            assert (record.digest, record.size) == (
                content.text_of(gzip.decompress(file.read_bytes())).content.digest,
                len(gzip.decompress(file.read_bytes())),
            )
            assert (record.packed_digest, record.packed_size) == (content.digest_of(Source.at(file)), file.stat().st_size)

    def test_a_new_log_under_the_name_of_one_that_was_rotated_away_counts(self, raw, store):
        log = raw / "conn.log"
        for day in range(4):
            for old in range(day - 1, 0, -1):
                (raw / f"conn.log.{old}.gz").rename(raw / f"conn.log.{old + 1}.gz")
            if day:
                (raw / "conn.log.1.gz").write_bytes(gzip.compress(log.read_bytes()))
            write(log, rows(f"day-{day}", 2))
            summary = ingest(store, raw)
            assert (summary.ingested, list(summary.changed), summary.failures) == (1, [], [])
        assert sums(store) == {f"day-{day}": bits(2) for day in range(4)}
        assert is_sound(store)

    def test_a_raw_file_that_was_packed_since_is_found_to_forget_another_and_to_prove_the_store(self, raw, store):
        write(raw / "a.log", rows("a", 3))
        b = write(raw / "b.log", rows("b", 3))
        ingest(store, raw)
        (raw / "a.log.gz").write_bytes(gzip.compress((raw / "a.log").read_bytes()))
        (raw / "a.log").unlink()
        assert is_sound(store)
        store.forget([b])
        assert sums(store) == {"a": bits(3)}
        assert is_sound(store)

    def test_a_run_that_finds_nothing_new_opens_no_raw_file(self, raw, store, monkeypatch):
        write(raw / "conn.log", rows("a", 3))
        write(raw / "conn.log.gz", rows("a", 3), ".gz")
        write(raw / "part.log", rows("a", 2))
        write(raw / "header.csv", HEADER)
        write(raw / "zeek" / "dns.log", ZEEK.replace("#fields", "#path\tdns\n#fields") + "1\n")
        (raw / "nothing.gz").write_bytes(gzip.compress(b""))
        assert ingest(store, raw).ingested == 2
        opened = Opened(monkeypatch)
        summary = ingest(store, raw)
        assert opened.among(raw) == []
        assert (summary.run_id, summary.skipped, len(summary.left_alone)) == (None, 5, 1)
        os.utime(raw / "conn.log.gz")
        ingest(store, raw)
        assert opened.among(raw) == ["conn.log.gz"]

    def test_without_the_index_they_are_read_once_more_and_not_counted_again(self, raw, store):
        write(raw / "conn.log", rows("a", 3))
        write(raw / "conn.log.gz", rows("a", 3), ".gz")
        write(raw / "part.log", rows("a", 2))
        ingest(store, raw)
        store.locations.index.unlink()
        assert ingest(store, raw).run_id is None

    def test_a_twin_counts_once_what_it_was_a_twin_of_is_forgotten(self, raw, store):
        a = write(raw / "a.csv", rows("a", 3))
        write(raw / "b.csv", rows("a", 3))
        ingest(store, raw)
        ingest(store, raw)
        store.forget([a])
        Path(a).unlink()
        assert ingest(store, raw).ingested == 1
        assert sums(store) == {"a": bits(3)}

    def test_a_small_file_is_read_and_unpacked_once(self, raw, store, monkeypatch):
        for i in range(5):
            write(raw / f"{i}.csv.gz", rows(f"app-{i}", 9), ".gz")
        opened = Opened(monkeypatch)
        assert ingest(store, raw).ingested == 5
        assert sorted(name for name in opened.names if name.endswith(".csv.gz")) == sorted(p.name for p in raw.iterdir())

    def test_contents_for_which_there_is_no_room_are_read_again(self, raw, store, monkeypatch):
        assert _KEPT_BYTES
        monkeypatch.setattr("pipeline.jobs.plan._KEPT_BYTES", 0)
        for i in range(5):
            write(raw / f"{i}.csv.gz", rows(f"app-{i}", 9), ".gz")
        assert ingest(store, raw).ingested == 5


class TestGrowth:
    @pytest.mark.parametrize("packing", PACKINGS)
    def test_a_file_that_was_counted_before_it_was_whole_is_changed_whatever_it_is_called_then(self, raw, store, packing):
        ingest(store, write(raw / "current" / "conn.log", rows("a", 2)))
        (raw / "current" / "conn.log").unlink()
        write(raw / f"conn.2026{packing}", rows("a", 5), packing)
        summary = ingest(store, raw)
        assert [source.path.name for source in summary.changed] == [f"conn.2026{packing}"]
        assert sums(store) == {"a": bits(2)}
        assert ingest(store, raw, replace_changed=True).ingested == 1
        assert sums(store) == {"a": bits(5)}
        assert is_sound(store)

    def test_or_counts_as_another_where_the_user_says_so(self, raw, store):
        ingest(store, write(raw / "a.csv", rows("a", 2)))
        write(raw / "b.csv", rows("a", 5))
        ingest(store, raw, same_content="count")
        assert sums(store) == {"a": bits(2) + bits(5)}

    @pytest.mark.parametrize("order", [(2, 5), (5, 2)])
    def test_a_part_and_the_whole_given_at_once_count_once(self, raw, store, order):
        for name, count in zip("ab", order, strict=True):
            write(raw / f"{name}.csv", rows("a", count))
        summary = ingest(store, raw)
        assert [source.path.name for source, _ in summary.starts] == [f"{'ab'[order.index(2)]}.csv"]
        assert sums(store) == {"a": bits(5)}
        for _ in range(2):
            assert ingest(store, raw).run_id is None
        assert is_sound(store)

    def test_the_part_is_still_known_once_the_whole_is_packed_and_has_replaced_it(self, raw, store):
        ingest(store, write(raw / "part.csv", rows("a", 2)))
        whole = write(raw / "whole.csv", rows("a", 5))
        ingest(store, raw, replace_changed=True)
        write(raw / "whole.csv.gz", rows("a", 5), ".gz")
        Path(whole).unlink()
        write(raw / "part-again.csv", rows("a", 2))
        assert ingest(store, raw).run_id is None
        write(raw / "larger.csv", rows("a", 7))
        ingest(store, raw, replace_changed=True)
        assert ingest(store, raw).run_id is None
        assert sums(store) == {"a": bits(7)}

    def test_a_header_alone_is_no_part_of_anything(self, raw, store):
        write(raw / "a.csv", HEADER)
        write(raw / "b.csv", rows("a", 2))
        assert ingest(store, raw).ingested == 2
        write(raw / "a.csv", rows("b", 2))
        write(raw / "c.csv", rows("c", 2))
        assert ingest(store, raw).ingested == 2
        assert sums(store) == {app: bits(2) for app in "abc"}

    def test_a_part_counts_where_the_whole_cannot_be_read(self, raw, store):
        write(raw / "a.csv", rows("a", 2))
        write(raw / "b.csv", rows("a", 2) + "x" * 40_000_000)
        summary = ingest(store, raw)
        assert (summary.ingested, len(summary.failures)) == (1, 1)
        assert sums(store) == {"a": bits(2)}

    def test_a_part_that_ends_within_a_row_stops_no_strict_run(self, raw, store):
        whole = rows("a", 5)
        write(raw / "a.csv", whole[:-4])
        write(raw / "b.csv", whole)
        assert ingest(store, raw, strict=True).ingested == 1


class TestAtTheSamePath:
    def test_two_that_replace_what_was_one_both_count(self, raw, store):
        ingest(store, write(raw / "a.csv", rows("a", 2)))
        (raw / "a.csv").unlink()
        for name in "xy":
            write(raw / f"{name}.csv", rows("a", 2) + f"9,{name},b,v,5,5\n")
        ingest(store, raw, replace_changed=True)
        assert sums(store) == {"a": 2 * bits(2), "x": 5, "y": 5}
        assert is_sound(store)


class TestFailing:
    def test_two_bad_files_with_the_same_content_both_fail(self, raw, store):
        for name in "ab":
            write(raw / f"{name}.csv", HEADER + "x,y,z,v,1,1\n")
            write(raw / f"{name}.txt", "what is this")
        summary = ingest(store, raw)
        assert sorted(Path(failure.source).name for failure in summary.failures) == ["a.csv", "a.txt", "b.csv", "b.txt"]
        assert (summary.run_id, summary.skipped) == (None, 0)

    def test_of_equal_files_the_one_counts_whose_name_is_no_other_logs(self, raw, store):
        line = {"ts": 1762160400.5, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "id.orig_p": 4, "id.resp_p": 5}
        line |= {"proto": "tcp", "orig_ip_bytes": 3, "resp_ip_bytes": 4, "conn_state": "SF", "uid": "C1"}
        for name in ("a/open_conn.log", "b/conn.log", "c/conn.log"):
            write(raw / name, json.dumps(line) + "\n")
        summary = ingest(store, raw)
        assert [record.path for record in store.runs()[0].sources] == [str(raw / "b" / "conn.log")]
        assert [source.path.parent.name for source, _ in summary.duplicates] == ["c"]
        assert len(summary.left_alone) + len(summary.failures) == 1
        assert ingest(store, raw).run_id is None

    @pytest.mark.parametrize("forced", ["aws-vpc", "zeek", "csv"])
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_wrong_format_fails_and_the_right_one_counts_afterwards(self, raw, store, forced, count):
        for i in range(count):  # alone, and read together
            line = f"1762160400.0\t10.0.0.{i}\t1\t10.0.1.1\t2\ttcp\t3\t4\n"
            write(raw / f"{i}.log", ZEEK + line * 5 if forced != "zeek" else f"a b {i}\n" * 5)
        summary = ingest(store, raw, format=forced)
        assert (summary.run_id, len(summary.failures)) == (None, count)
        if forced == "aws-vpc":
            for failure in summary.failures:
                assert failure.error.startswith(
                    "none of its 8 rows is valid as AWS VPC Flow Logs, text (--format aws-vpc): row "
                )
                assert "it looks like Zeek conn.log, TSV; leave out --format" in failure.error
        if forced != "zeek":
            assert ingest(store, raw).ingested == count

    def test_a_named_format_that_is_wrong_for_an_unknown_file_is_not_asked_for_again(self, raw, store):
        write(raw / "notes.txt", "a b c\n" * 3)
        (failure,) = ingest(store, raw, format="aws-vpc").failures
        assert failure.error.endswith("it looks like text that starts with 'a b c'; leave out --format, or name another")

    def test_a_source_without_a_valid_row_fails_and_keeps_no_rejects_and_is_tried_again(self, raw, store):
        bad = Path(write(raw / "bad.csv", HEADER + "x,a,b,v,1,1\n" * 3))
        write(raw / "good.csv", rows("a", 2))
        for _ in range(2):
            (failure,) = ingest(store, raw).failures
            assert failure.error.startswith("none of its 3 rows is valid as CSV: row 2: hour must be an integer, not 'x'; ")
        assert store.rejects().num_rows == 0
        write(bad, rows("b", 1))
        assert ingest(store, raw).ingested == 1

    def test_so_does_one_of_several_batches_and_one_of_which_some_rows_are_left_out(self, raw, store, monkeypatch):
        monkeypatch.setattr("pipeline.counting.pending._ROWS_AT_ONCE", 1)  # each batch is validated alone
        write(raw / "a.csv", HEADER + f"x,a,b,v,1,1,{'-' * 5000}\n" * 2000)
        line = "2 1 eni-1 10.0.0.1 10.0.0.2 40000 443 6 1 {} 3600 3660 {} OK\n"
        write(raw / "b.log", line.format(1, "REJECT") + line.format("x", "ACCEPT"))
        assert len(ingest(store, raw).failures) == 2
        assert store.hours() == []

    def test_one_of_which_all_rows_are_left_out_is_fine(self, raw, store):
        write(raw / "a.log", "2 1 eni-1 - - - - - - - 3600 3660 - NODATA\n")
        write(raw / "b.log", "2 1 eni-1 10.0.0.1 10.0.0.2 40000 443 6 1 1 3600 3660 REJECT OK\n")
        assert ingest(store, raw).ingested == 2

    def test_it_neither_counts_for_the_ratio_nor_lets_a_strict_run_go_on(self, raw, store):
        write(raw / "bad.csv", HEADER + "x,a,b,v,1,1\n" * 3)
        write(raw / "good.csv", rows("a", 2))
        assert ingest(store, raw, max_reject_ratio=0.1).ingested == 1
        with pytest.raises(StrictRunStopped, match=r"bad\.csv: row 2: hour"):
            ingest(store, raw, strict=True)


class TestOtherLogs:
    @pytest.fixture
    def zeek(self, raw):
        """A folder as Zeek leaves it: hourly, packed, with other logs beside."""
        for hour in range(3):
            day = raw / "2026-11-24"
            line = f"{1762160400 + 3600 * hour}.0\t10.0.0.{hour}\t1\t10.0.1.1\t2\ttcp\t{4**hour}\t4\n"
            for kind in ("conn", "dns", "http", "open_conn"):
                text = ZEEK.replace("#fields", f"#path\t{kind}\n#fields") + line
                write(day / f"{kind}.{hour:02}:00:00-{hour + 1:02}:00:00.log.gz", text, ".gz")
        write(raw / "current" / "conn.log", ZEEK.replace("#fields", "#path\tconn\n#fields"))
        write(raw / "current" / "dns.log", ZEEK.replace("#fields", "#path\tdns\n#fields"))
        return raw

    def test_a_folder_as_zeek_leaves_it_counts_its_conn_logs_and_is_no_failure(self, zeek, store):
        summary = ingest(store, zeek)
        assert (summary.ingested, summary.failures) == (4, [])
        assert sum(sums(store).values()) == bits(3)
        assert sorted(count for _, count, _ in summary.kinds_left_alone()) == [3, 3, 4]
        assert ingest(store, zeek).run_id is None

    def test_the_same_file_fails_where_it_is_named(self, zeek, store):
        name = next(iter((zeek / "2026-11-24").glob("dns.*")))
        ingest(store, zeek)
        (failure,) = ingest(store, name).failures
        assert failure.source == str(name)
        assert "dns" in failure.error

    def test_what_nobody_recognises_fails_in_a_folder_too(self, raw, store):
        write(raw / "a.txt", "what is this\n")
        assert len(ingest(store, raw).failures) == 1

    def test_other_options_look_at_them_again(self, zeek, store, monkeypatch):
        ingest(store, zeek)
        opened = Opened(monkeypatch)
        ingest(store, zeek, vpc_id="another")
        assert len([name for name in opened.among(zeek) if "dns" in name]) == 4


class TestNames:
    def test_two_names_that_look_alike_are_two_sources(self, raw, store, flowlog):
        names = [os.fsdecode(b"\xff.csv"), r"\xff.csv"]
        for app, name in zip("ab", names, strict=True):
            write(raw / name, rows(app, 2) + f"x,{app},b,v,1,1\n")
        assert ingest(store, raw).ingested == 2
        assert ingest(store, raw).run_id is None
        assert is_sound(store)
        assert sorted(store.rejects().column("source").to_pylist()) == sorted(
            [str(raw / r"\xff.csv"), str(raw / r"\x5cxff.csv")]
        )
        root = store.locations.root
        assert flowlog("forget", raw / r"\xff.csv", "--store", root).code == 0  # the file of this very name
        assert sums(store) == {"a": bits(2)}
        assert is_sound(store)
        assert flowlog("forget", raw / r"\xff.csv", "--store", root).code == 0  # as the ledger calls the other
        assert sums(store) == {}
        assert ingest(store, raw).ingested == 2
        assert flowlog("forget", raw / names[0], "--store", root).code == 0
        assert sums(store) == {"b": bits(2)}


class TestExclude:
    def test_what_is_excluded_is_left_alone_in_one_line_and_may_be_named_twice(self, raw, store, flowlog):
        for name in ("a.csv", "old/b.csv", "old/c.csv", "x.txt"):
            write(raw / name, rows(name, 2))
        done = flowlog("ingest", raw, "--store", store.locations.root, "--exclude", "old/*", "--exclude", "*.txt")
        assert done.code == 0
        assert f"left alone 2: named by --exclude old/*, such as {raw}/old/" in done.err
        assert f"left alone 1: named by --exclude *.txt, such as {raw / 'x.txt'}" in done.err
        assert sums(store) == {"a.csv": bits(2)}

    def test_a_pattern_that_matches_nothing_is_exit_code_2_and_makes_no_store(self, raw, tmp_path, flowlog):
        done = flowlog("ingest", raw / "*.log", "--store", tmp_path / "none")
        assert done.code == 2
        assert "nothing matches" in done.err
        assert not (tmp_path / "none").exists()


FILES = st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.sampled_from(sorted(PACKINGS)))


def given_in_runs(runs):
    """Runs in which no file of an app is shorter than one of an earlier run: as logs grow."""
    longest = Counter()
    for files in runs:
        before = Counter(longest)
        made = [(app, max(count, before[app]), packing) for app, count, packing in files]
        for app, count, _ in made:
            longest[app] = max(longest[app], count)
        yield made


@pytest.mark.parametrize("replace", [True, False])
@settings(
    max_examples=settings.default.max_examples // 4,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    runs=st.lists(st.lists(FILES, min_size=1, max_size=5), min_size=1, max_size=4), names=st.randoms(use_true_random=False)
)
def test_whatever_is_given_in_whatever_runs_each_content_counts_once(tmp_path_factory, unsynced, replace, runs, names):
    """The longest of an app's contents has the rows of all; without `--replace-changed` the longest of the first run."""
    folder = tmp_path_factory.mktemp("any")
    store, expected, number = FlowStore(folder / "store", create=True), {}, 0
    for files in given_in_runs(runs):
        paths = []
        for app, count, packing in files:
            number += 1
            paths.append(write(folder / "raw" / f"{names.randrange(10)}" / f"{number}{packing}", rows(app, count), packing))
        summary = ingest(store, *paths, replace_changed=replace)
        assert summary.failures == []
        counted = {record.path for record in store.runs()[-1].sources} if summary.run_id else set()
        told = [*summary.changed, *(source for source, _ in (*summary.duplicates, *summary.starts))]
        assert counted | {*summary.known} | {source.name for source in told} == set(paths)
        for app in {app for app, _, _ in files}:
            longest = max(count for other, count, _ in files if other == app)
            if longest and (replace or app not in expected):
                expected[app] = bits(longest)
        assert sums(store) == expected
    everything = ingest(store, folder / "raw", replace_changed=replace)
    assert sums(store) == expected
    assert replace is False or everything.run_id is None
    assert is_sound(store)
    shutil.rmtree(folder)
