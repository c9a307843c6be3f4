"""Which raw files there are, and which of them are new."""

import io
import os
import time
from dataclasses import replace

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.ledger import RunRecord, SourceRecord, open_index
from pipeline.sources import DigestingFile, Source, digest_of, find, plan
from pipeline.store.locations import Locations


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder of raw files, which is the current one."""
    folder = tmp_path / "raw"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "deep/c.csv", "deep/er/d.log.gz"):
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


def names(paths, raw):
    return [str(path.relative_to(raw)) for path in paths]


def plan_of(tmp_path, *raw, counted=(), same_content="skip", min_age_seconds=0):
    """The plan for some raw paths in a store that has counted some sources."""
    store = Locations(tmp_path / "store")
    store.runs.mkdir(parents=True, exist_ok=True)
    fields = dict.fromkeys(("read", "valid", "rejected", "bytes_tx", "bytes_rx"), 0)
    sources = [
        SourceRecord(s.name, s.digest or digest_of(s), s.size, s.mtime_ns, format="CSV", ignored={}, **fields)
        for s in counted
    ]
    run = RunRecord("run-1", "", "", sources)
    store.record_of("run-1").write_bytes(run.to_json())
    with open_index(store) as index:
        return plan(find(raw), index, same_content, min_age_seconds=min_age_seconds)


class TestFinding:
    def test_a_folder_is_walked_in_the_order_of_paths(self, raw):
        assert names(find(["."]).files, raw) == ["a.csv", "b.csv", "deep/c.csv", "deep/er/d.log.gz"]

    def test_patterns_reach_any_depth(self, raw):
        assert names(find(["**/*.csv"]).files, raw) == ["a.csv", "b.csv", "deep/c.csv"]
        assert names(find(["deep/*"]).files, raw) == ["deep/c.csv", "deep/er/d.log.gz"]  # a folder that matches is searched

    def test_a_file_named_twice_is_found_once(self, raw):
        assert names(find(["a.csv", "*.csv", str(raw / "a.csv"), "deep/../a.csv"]).files, raw) == ["a.csv", "b.csv"]

    def test_a_missing_path_is_an_error_but_a_pattern_may_match_nothing(self, raw):
        assert find(["*.parquet"]).left_alone == {"*.parquet": "nothing matches it"}
        with pytest.raises(UsageError, match=r"no file or folder nowhere\.csv"):
            find(["nowhere.csv"])

    def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(self, raw):
        (raw / "x[1].csv").write_text("x")
        assert names(find(["x[1].csv"]).files, raw) == ["x[1].csv"]

    @pytest.mark.parametrize("name", [".hidden", "_SUCCESS", "x.tmp", "x.part", "x.partial", "x.inprogress"])
    def test_files_still_being_written_are_left_alone_in_folders_and_named(self, raw, name):
        (raw / "deep" / name).write_text("half")
        found = find(["deep"])
        assert names(found.files, raw) == ["deep/c.csv", "deep/er/d.log.gz"]
        assert list(found.left_alone) == [str(raw / "deep" / name)]
        assert names(find([f"deep/{name}"]).files, raw) == [f"deep/{name}"]  # who names a file means it

    def test_a_link_to_a_folder_is_not_followed_but_named(self, raw, tmp_path):
        (raw / "link").symlink_to(tmp_path)
        assert find(["."]).left_alone == {str(raw / "link"): "a link to a folder; name the folder itself"}

    def test_a_hidden_folder_is_left_alone_and_named(self, raw):
        (raw / "deep" / "er").rename(raw / "_er")
        assert find(["."]).left_alone == {str(raw / "_er"): "named like what is still being written"}

    def test_a_folder_that_cannot_be_read_is_a_failure(self, raw, monkeypatch):
        def walk(top, onerror):
            onerror(PermissionError(13, "Permission denied", str(raw / "deep")))
            return iter(())

        monkeypatch.setattr(os, "walk", walk)
        (failure,) = find(["."]).failed
        assert failure.error == "the folder cannot be read: Permission denied"

    def test_the_store_is_no_raw_file_even_below_a_folder_that_is_searched(self, raw):
        assert names(find(["."], store=raw / "deep").files, raw) == ["a.csv", "b.csv"]

    def test_nor_is_it_or_a_part_of_it_when_it_is_named(self, raw):
        store = raw / "deep"
        for path in (store, next(path for path in store.rglob("*"))):
            with pytest.raises(UsageError, match="is part of the store, and no raw file"):
                find([str(path)], store=store)
            assert find([str(path)], store=store, of_log=True).files

    def test_nor_when_a_pattern_happens_to_match_it(self, raw):
        assert names(find(["**"], store=raw / "deep").files, raw) == ["a.csv", "b.csv"]


class TestPlanning:
    def test_what_was_never_counted_is_new(self, raw, tmp_path):
        made = plan_of(tmp_path, ".")
        assert [source.path.name for source in made.new] == ["a.csv", "b.csv", "c.csv", "d.log.gz"]

    def test_what_has_a_size_of_its_own_is_new_unread(self, raw, tmp_path):
        (raw / "a.csv").write_bytes(b"1")
        (raw / "b.csv").write_bytes(b"22")
        (raw / "c.csv").write_bytes(b"23")
        made = plan_of(tmp_path, "a.csv", "b.csv", "c.csv")
        assert [source.path.name for source in made.new] == ["a.csv", "b.csv", "c.csv"]
        assert [len(source.digest) for source in made.new] == [0, 32, 32]

    def test_but_not_if_something_of_its_size_was_counted(self, raw, tmp_path):
        (raw / "a.csv").write_bytes(b"same")
        (raw / "b.csv").write_bytes(b"same")
        made = plan_of(tmp_path, "b.csv", counted=[Source.at(raw / "a.csv")])
        assert [source.path.name for source, _ in made.twins] == ["b.csv"]

    def test_what_was_counted_from_this_path_is_known(self, raw, tmp_path):
        made = plan_of(tmp_path, "a.csv", counted=[Source.at(raw / "a.csv")])
        assert [source.path.name for source in made.known] == ["a.csv"]
        assert not made.new

    def test_an_unchanged_known_file_is_not_read_again(self, raw, tmp_path):
        counted = Source.at(raw / "a.csv")
        (raw / "a.csv").write_text("A.csv")  # the same size; made to look untouched
        os.utime(raw / "a.csv", ns=(counted.mtime_ns, counted.mtime_ns))
        assert len(plan_of(tmp_path, "a.csv", counted=[counted]).known) == 1

    def test_a_touched_known_file_is_read_and_recognised(self, raw, tmp_path):
        counted = Source.at(raw / "a.csv")
        os.utime(raw / "a.csv", ns=(1, 1))
        assert len(plan_of(tmp_path, "a.csv", counted=[counted]).known) == 1

    def test_a_renamed_copy_is_a_twin_and_is_named_with_what_it_copies(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        made = plan_of(tmp_path, "copy.csv", counted=[Source.at(raw / "a.csv")])
        assert [(source.path.name, twin) for source, twin in made.twins] == [("copy.csv", str(raw / "a.csv"))]

    def test_of_two_new_files_with_the_same_content_the_first_counts(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        made = plan_of(tmp_path, "copy.csv", "a.csv")
        assert [source.path.name for source in made.new] == ["a.csv"]
        assert [(source.path.name, twin) for source, twin in made.twins] == [("copy.csv", str(raw / "a.csv"))]

    def test_files_with_the_same_content_count_each_where_the_user_says_so(self, raw, tmp_path):
        (raw / "copy.csv").write_text("a.csv")
        counted = Source.at(raw / "a.csv")
        made = plan_of(tmp_path, "copy.csv", "a.csv", counted=[counted], same_content="count")
        assert [source.path.name for source in made.new] == ["copy.csv"]
        assert [source.path.name for source in made.known] == ["a.csv"]  # but no path counts twice

    def test_one_file_under_two_names_counts_once_even_so(self, raw, tmp_path):
        (raw / "b.csv").unlink()
        (raw / "b.csv").hardlink_to(raw / "a.csv")
        made = plan_of(tmp_path, "a.csv", "b.csv", same_content="count")
        assert ([source.path.name for source in made.new], len(made.twins)) == (["a.csv"], 1)

    def test_other_content_at_a_known_path_is_changed(self, raw, tmp_path):
        counted = replace(Source.at(raw / "a.csv"), digest=digest_of(Source.at(raw / "a.csv")))
        (raw / "a.csv").write_text("a.csv and more")
        made = plan_of(tmp_path, "a.csv", counted=[counted])
        assert [source.path.name for source in made.changed] == ["a.csv"]
        assert made.new == []

    @pytest.mark.parametrize("age", [0, 3600])
    def test_files_from_the_future_are_counted(self, raw, tmp_path, age):
        """A clock was set back since they were written."""
        tomorrow = time.time() + 24 * 3600
        for path in raw.rglob("*"):
            os.utime(path, (tomorrow, tomorrow))
        assert len(plan_of(tmp_path, ".", min_age_seconds=age).new) == 4

    @pytest.mark.parametrize(("age", "young"), [(0, 0), (3600, 4)])
    def test_files_that_are_too_young_are_left_for_the_next_run(self, raw, tmp_path, age, young):
        made = plan_of(tmp_path, ".", min_age_seconds=age)
        assert (len(made.young), len(made.new)) == (young, 4 - young)

    def test_an_empty_file_is_skipped_for_it_may_only_just_have_been_made(self, raw, tmp_path):
        (raw / "new.csv").touch()
        made = plan_of(tmp_path, "new.csv")
        assert [source.path.name for source in made.empty] == ["new.csv"]
        assert made.skipped == 1

    def test_a_file_that_vanishes_or_cannot_be_opened_fails_alone(self, raw, tmp_path):
        (raw / "gone.csv").symlink_to(raw / "nowhere")
        made = plan_of(tmp_path, ".")
        assert [(failure.source, len(made.new)) for failure in made.failed] == [(str(raw / "gone.csv"), 4)]

    def test_a_named_pipe_is_no_raw_file(self, raw, tmp_path):
        os.mkfifo(raw / "pipe")
        (failure,) = plan_of(tmp_path, ".").failed
        assert failure.error == "not a regular file"


def test_a_digest_is_of_the_bytes_alone(raw):
    (raw / "copy.csv").write_text("a.csv")
    assert digest_of(Source.at(raw / "a.csv")) == digest_of(Source.at(raw / "copy.csv"))
    assert digest_of(Source.at(raw / "a.csv")) != digest_of(Source.at(raw / "b.csv"))


class TestDigestingFile:
    @given(
        content=st.binary(max_size=60),
        steps=st.lists(st.tuples(st.integers(0, 70), st.integers(-1, 30)), max_size=6),
        into=st.booleans(),
    )
    def test_it_has_the_digest_of_the_whole_file_however_it_was_read(self, content, steps, into):
        file = DigestingFile(io.BytesIO(content))
        for position, size in steps:
            file.seek(position)
            if into and size >= 0:
                buffer = bytearray(size)
                count = file.readinto(memoryview(buffer))
                assert bytes(buffer[:count]) == content[position : position + size]
            else:
                assert file.read(size) == (content[position:] if size < 0 else content[position : position + size])
        assert file.digest() == xxhash.xxh3_128_hexdigest(content)
