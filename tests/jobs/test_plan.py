"""What a run is to do with each raw file."""

import gzip
import os
import time
from pathlib import PurePath

import pytest

from pipeline.counting.content import identify
from pipeline.counting.sources import Source
from pipeline.jobs import compare, plan
from pipeline.jobs.find import find
from pipeline.jobs.plan import make_plan
from pipeline.store.index import open_index
from pipeline.store.layout import Locations
from pipeline.store.ledger import RunRecord, SourceRecord


def record_of(path, **fields):
    """A source as the ledger has it once it was counted."""
    source, content = Source.at(path), identify(Source.at(path)).content()
    numbers = {**dict.fromkeys(("read", "valid", "rejected", "bytes_tx", "bytes_rx"), 0), "read": 1, **fields}
    return SourceRecord(
        source.name,
        content.digest,
        content.size,
        content.head,
        "",
        source.size,
        source.mtime_ns,
        format="CSV",
        ignored={},
        **numbers,
    )


def plan_of(tmp_path, *raw, counted=(), **options):
    """The plan for some raw paths in a store that has counted some sources."""
    store = Locations(tmp_path / "store")
    store.runs.mkdir(parents=True, exist_ok=True)
    run = RunRecord("00000001", "", "", list(counted))
    store.record_of("00000001").write_bytes(run.to_json())
    with open_index(store) as index:
        return make_plan(find(raw), index, **options)


def names_of(sources):
    return [source.path.name for source in sources]


def longer(path, *more):
    path.write_text(path.read_text() + "".join(more))


class TestPlanning:
    def test_what_was_never_counted_is_new(self, raw, tmp_path):
        made = plan_of(tmp_path, ".")
        assert [source.path.name for source in made.new] == ["a.csv", "b.csv", "c.csv", "d.log.gz"]

    def test_what_was_counted_from_this_path_is_known(self, raw, tmp_path):
        made = plan_of(tmp_path, "a.csv", counted=[record_of(raw / "a.csv")])
        assert [PurePath(name).name for name in made.known] == ["a.csv"]
        assert not made.new

    def test_an_unchanged_known_file_is_not_read_again(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        (raw / "a.csv").write_text("A.csv")  # the same size; made to look untouched
        os.utime(raw / "a.csv", ns=(counted.mtime_ns, counted.mtime_ns))
        assert len(plan_of(tmp_path, "a.csv", counted=[counted]).known) == 1

    def test_a_touched_known_file_is_read_and_recognised(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        os.utime(raw / "a.csv", ns=(1, 1))
        assert len(plan_of(tmp_path, "a.csv", counted=[counted]).known) == 1

    def test_a_renamed_copy_is_a_duplicate_and_is_named_with_what_it_copies(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        made = plan_of(tmp_path, "copy.csv", counted=[record_of(raw / "a.csv")])
        assert [(source.path.name, other) for source, other in made.duplicates] == [("copy.csv", str(raw / "a.csv"))]

    def test_of_two_new_files_with_the_same_content_the_first_goes_before_the_other(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        made = plan_of(tmp_path, "copy.csv", "a.csv")
        assert names_of(made.new) == ["a.csv"]
        assert names_of(rival.source for rival in made.rivals) == ["copy.csv"]

    def test_of_a_file_and_a_longer_one_that_starts_with_it_the_longer_goes_before_the_other(self, raw, tmp_path):
        for length in (2, 1, 3):
            (raw / f"{length}.csv").write_text("a line\n" * length)
        made = plan_of(tmp_path, "1.csv", "2.csv", "3.csv")
        assert names_of(made.new) == ["3.csv"]
        assert names_of(rival.source for rival in made.rivals) == ["2.csv", "1.csv"]
        assert [len(rival.others) for rival in made.rivals] == [1, 2]

    @pytest.mark.parametrize("size", [63, 64, 65, 100, 65_535, 65_536, 65_537, 5_000_000])
    @pytest.mark.parametrize("more", [1, 70, 70_000])
    def test_a_file_that_has_grown_is_told_whatever_its_size_and_its_name(self, raw, tmp_path, size, more):
        text = os.urandom(size - 1) + b"!"
        (raw / "a.csv").write_bytes(text)
        (raw / "like-a.csv").write_bytes(text[:-1] + b"?" + b"x" * more)
        counted = record_of(raw / "a.csv")
        (raw / "renamed.gz").write_bytes(gzip.compress(text + b"x" * more, 1))
        made = plan_of(tmp_path, ".", counted=[counted])
        assert names_of(made.changed) == ["renamed.gz"]
        assert "like-a.csv" in names_of(made.new)
        assert made.why_changed(made.changed[0]).startswith(f"it starts with all that was counted from {raw / 'a.csv'}")

    def test_a_file_that_starts_with_one_without_records_has_not_grown(self, raw, tmp_path):
        counted = record_of(raw / "a.csv", read=0)
        (raw / "b.csv").write_text("a.csv and more")
        longer(raw / "a.csv", "and something else")
        assert names_of(plan_of(tmp_path, "a.csv", "b.csv", counted=[counted]).new) == ["a.csv", "b.csv"]

    def test_a_file_that_has_grown_under_another_name_counts_as_another_where_the_user_says_so(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        (raw / "b.csv").write_text("a.csv and more")
        assert names_of(plan_of(tmp_path, "b.csv", counted=[counted], same_content="count").new) == ["b.csv"]

    def test_new_content_at_a_path_whose_earlier_content_is_elsewhere_is_new(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        (raw / "a.csv.1.gz").write_bytes(gzip.compress(b"a.csv"))
        (raw / "a.csv").write_text("another log")
        made = plan_of(tmp_path, "a.csv", "a.csv.1.gz", counted=[counted])
        assert (names_of(made.new), names_of(made.changed)) == (["a.csv"], [])
        assert names_of(plan_of(tmp_path, "a.csv", counted=[counted]).changed) == ["a.csv"]  # as far as that run can see

    def test_nor_has_a_path_changed_whose_earlier_content_has_grown_elsewhere(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        (raw / "a.csv.1").write_text("a.csv and more")
        (raw / "a.csv").write_text("another log")
        made = plan_of(tmp_path, "a.csv", "a.csv.1", counted=[counted])
        assert (names_of(made.new), names_of(made.changed)) == (["a.csv"], ["a.csv.1"])

    def test_of_all_that_was_counted_from_a_path_the_last_tells_whether_it_has_changed(self, raw, tmp_path):
        first = record_of(raw / "a.csv")
        (raw / "a.csv").write_text("the second")
        second = record_of(raw / "a.csv")
        (raw / "a.csv.1").write_text("the second")
        (raw / "a.csv").write_text("the third")
        made = plan_of(tmp_path, "a.csv", "a.csv.1", counted=[first, second])
        assert (names_of(made.new), names_of(made.changed)) == (["a.csv"], [])

    def test_files_that_share_their_long_start_are_told_by_their_ends(self, raw, tmp_path):
        start = os.urandom(100_000)
        for name, end in (("1", b"x"), ("2", b"y"), ("3", b"x"), ("4", b"xx")):
            (raw / f"{name}.gz").write_bytes(gzip.compress(start + end, 1) + gzip.compress(b"" if name == "4" else b"."))
        made = plan_of(tmp_path, "*.gz")
        assert names_of(made.new) == ["1.gz", "2.gz", "4.gz"]
        assert names_of(rival.source for rival in made.rivals) == ["3.gz"]

    def test_files_with_the_same_content_count_each_where_the_user_says_so(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        counted = record_of(raw / "a.csv")
        made = plan_of(tmp_path, "copy.csv", "a.csv", counted=[counted], same_content="count")
        assert [source.path.name for source in made.new] == ["copy.csv"]
        assert [PurePath(name).name for name in made.known] == ["a.csv"]  # but no path counts twice

    def test_and_are_not_read_where_nothing_was_counted_from_their_paths(self, raw, tmp_path, monkeypatch):
        for name in ("large.csv", "copy.csv"):
            (raw / name).write_text("a row\n" * 100_000)
        monkeypatch.setattr(compare, "identify", None)
        monkeypatch.setattr(plan, "look_at", None)
        made = plan_of(tmp_path, "copy.csv", "large.csv", same_content="count")
        assert names_of(made.new) == ["copy.csv", "large.csv"]

    def test_one_file_under_two_names_counts_once_even_so(self, raw, tmp_path):
        (raw / "b.csv").unlink()
        (raw / "b.csv").hardlink_to(raw / "a.csv")
        made = plan_of(tmp_path, "a.csv", "b.csv", same_content="count")
        assert (names_of(made.new), len(made.rivals)) == (["a.csv"], 1)

    def test_other_content_at_a_known_path_is_changed(self, raw, tmp_path):
        counted = record_of(raw / "a.csv")
        (raw / "a.csv").write_text("a.csv and more")
        made = plan_of(tmp_path, "a.csv", counted=[counted])
        assert [source.path.name for source in made.changed] == ["a.csv"]
        assert made.new == []

    @pytest.mark.parametrize("age", [0, 3600])
    def test_files_of_a_clock_that_is_a_day_ahead_are_counted(self, raw, tmp_path, age):
        tomorrow = time.time() + 86_400
        os.utime(raw / "a.csv", (tomorrow, tomorrow))
        made = plan_of(tmp_path, "a.csv", min_age_seconds=age)
        assert (len(made.too_recent), len(made.new)) == (0, 1)

    def test_a_file_of_a_clock_that_is_a_little_ahead_may_still_be_written(self, raw, tmp_path):
        soon = time.time() + 30
        os.utime(raw / "a.csv", (soon, soon))
        assert len(plan_of(tmp_path, "a.csv", min_age_seconds=60).too_recent) == 1

    def test_a_known_file_that_is_too_recent_is_left_for_the_next_run_too(self, raw, tmp_path):
        made = plan_of(tmp_path, ".", counted=[record_of(raw / "a.csv")], min_age_seconds=60)
        assert (len(made.too_recent), made.known, made.new) == (4, [], [])

    def test_of_many_files_the_few_that_are_not_known_are_found(self, tmp_path):
        folder = tmp_path / "many"
        folder.mkdir()
        for number in range(700):
            (folder / f"{number}.csv").write_text(f"{number}\n")
        counted = [record_of(path) for path in sorted(folder.iterdir())]
        (folder / "7.csv").write_text("7, and more\n")
        os.utime(folder / "650.csv", (1, 1))
        (folder / "900.csv").write_text("900\n")
        made = plan_of(tmp_path, str(folder), counted=counted)
        assert names_of(made.changed) == ["7.csv"]
        assert names_of(made.new) == ["900.csv"]
        assert sorted(made.known) == sorted(record.path for record in counted if not record.path.endswith("/7.csv"))

    @pytest.mark.parametrize(("age", "recent"), [(0, 0), (3600, 4)])
    def test_files_that_are_too_recent_are_left_for_the_next_run(self, raw, tmp_path, age, recent):
        made = plan_of(tmp_path, ".", min_age_seconds=age)
        assert (len(made.too_recent), len(made.new)) == (recent, 4 - recent)

    def test_an_empty_file_is_skipped_for_it_may_only_just_have_been_made(self, raw, tmp_path):
        (raw / "new.csv").touch()
        made = plan_of(tmp_path, "new.csv")
        assert [source.path.name for source in made.empty] == ["new.csv"]

    def test_so_is_one_in_which_nothing_is_packed(self, raw, tmp_path):
        (raw / "new.gz").write_bytes(gzip.compress(b""))
        assert names_of(plan_of(tmp_path, "new.gz").empty) == ["new.gz"]

    def test_a_file_that_vanishes_or_cannot_be_opened_fails_alone(self, raw, tmp_path):
        (raw / "gone.csv").symlink_to(raw / "nowhere")
        made = plan_of(tmp_path, ".")
        assert [(failure.source, len(made.new)) for failure in made.failed] == [(str(raw / "gone.csv"), 4)]

    def test_a_named_pipe_is_no_raw_file(self, raw, tmp_path):
        os.mkfifo(raw / "pipe")
        (failure,) = plan_of(tmp_path, ".").failed
        assert failure.error == "not a regular file"
