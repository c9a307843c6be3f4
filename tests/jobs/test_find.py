"""Which raw files there are, which are left alone, and their names."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.counting.sources import name_of, path_of
from pipeline.errors import UsageError
from pipeline.jobs.find import find


def names(paths, raw):
    return [os.path.relpath(path, raw) for path in paths]


class TestFinding:
    def test_a_folder_is_walked_in_the_order_of_paths(self, raw):
        assert names(find(["."]).files, raw) == ["a.csv", "b.csv", "deep/c.csv", "deep/er/d.log.gz"]

    def test_patterns_reach_any_depth(self, raw):
        assert names(find(["**/*.csv"]).files, raw) == ["a.csv", "b.csv", "deep/c.csv"]
        assert names(find(["deep/*"]).files, raw) == ["deep/c.csv", "deep/er/d.log.gz"]  # a folder that matches is searched

    def test_a_file_named_twice_is_found_once(self, raw):
        assert names(find(["a.csv", "*.csv", str(raw / "a.csv"), "deep/../a.csv"]).files, raw) == ["a.csv", "b.csv"]

    def test_a_path_that_is_missing_and_a_pattern_that_matches_nothing_are_errors(self, raw):
        with pytest.raises(UsageError, match=r"nothing matches \*\.parquet"):
            find(["*.parquet"])
        with pytest.raises(UsageError, match=r"no file or folder nowhere\.csv"):
            find(["nowhere.csv"])

    def test_a_file_whose_name_looks_like_a_pattern_is_taken_as_it_is(self, raw):
        (raw / "x[1].csv").write_text("x")
        assert names(find(["x[1].csv"]).files, raw) == ["x[1].csv"]

    @pytest.mark.parametrize("name", [".hidden", "_hidden", "x.tmp", "x.part", "x.partial", "x.inprogress"])
    def test_files_still_being_written_are_left_alone_in_folders_and_named(self, raw, name):
        (raw / "deep" / name).write_text("half")
        found = find(["deep"])
        assert names(found.files, raw) == ["deep/c.csv", "deep/er/d.log.gz"]
        assert list(found.left_alone) == [str(raw / "deep" / name)]
        assert names(find([f"deep/{name}"]).files, raw) == [f"deep/{name}"]  # who names a file means it

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("_SUCCESS", "a marker of the program that filled the folder"),
            ("_metadata", "a marker of the program that filled the folder"),
            ("_committed_123", "a marker of the program that filled the folder"),
            (".part-0.parquet.crc", "the checksums of another file"),
            ("part-0.crc", "the checksums of another file"),
            ("aws-logs-write-test", "what AWS writes to try whether it may write"),
        ],
    )
    def test_what_is_no_log_by_its_name_is_left_alone_in_a_folder_and_fails_where_it_is_named(self, raw, name, reason):
        (raw / "deep" / name).write_text("1")
        for given_ in ("deep", "deep/*", f"deep/{name[:-1]}?"):
            found = find([given_])
            assert found.left_alone == {str(raw / "deep" / name): reason} or (given_ == "deep/*" and name[0] == ".")
            assert found.failed == []
        (failure,) = find([f"deep/{name}"]).failed
        assert failure.source == str(raw / "deep" / name)
        assert failure.error == f"{reason}; leave it out"

    @pytest.mark.parametrize(
        ("pattern", "left"),
        [
            ("c.csv", ["deep/c.csv"]),
            ("*.csv", ["a.csv", "b.csv", "deep/c.csv"]),
            ("deep/*.csv", ["deep/c.csv"]),
            ("deep/er", ["deep/er"]),
            ("er", ["deep/er"]),
            ("er/", ["deep/er"]),
            ("deep/*", ["deep/c.csv", "deep/er"]),
            ("**/a.csv", ["a.csv"]),
            ("eep", []),
        ],
    )
    def test_what_is_excluded_is_left_alone_by_its_name_or_its_path_in_the_folder(self, raw, pattern, left):
        found = find(["."], exclude=[pattern])
        assert found.left_alone == {str(raw / name): f"named by --exclude {pattern}" for name in left}
        everything = ["a.csv", "b.csv", "deep/c.csv", "deep/er/d.log.gz"]
        assert names(found.files, raw) == [name for name in everything if not any(name.startswith(x) for x in left)]

    def test_what_is_excluded_is_left_alone_where_a_pattern_matches_it_and_fails_where_it_is_named(self, raw):
        assert names(find(["*.csv"], exclude=["b.*", "x"]).files, raw) == ["a.csv"]
        (failure,) = find(["b.csv"], exclude=["b.*"]).failed
        assert failure.error == "named by --exclude b.*; leave it out"

    def test_a_file_is_known_to_have_been_named_though_it_lies_in_a_folder_too(self, raw):
        assert find([".", "a.csv"]).named == {str(raw / "a.csv")}
        assert find([".", "*.csv"]).named == set()

    def test_a_link_to_a_folder_is_not_followed_but_named(self, raw, tmp_path):
        (raw / "link").symlink_to(tmp_path)
        assert find(["."]).left_alone == {str(raw / "link"): "a link to a folder; name the folder itself"}

    def test_a_hidden_folder_is_left_alone_and_named(self, raw):
        (raw / "deep" / "er").rename(raw / "_er")
        assert find(["."]).left_alone == {str(raw / "_er"): "named like what is still being written"}

    def test_a_folder_that_cannot_be_read_is_a_failure(self, raw, monkeypatch):
        scandir = os.scandir

        def refuse(folder):
            if folder == str(raw / "deep"):
                raise PermissionError(13, "Permission denied", folder)
            return scandir(folder)

        monkeypatch.setattr(os, "scandir", refuse)
        found = find(["."])
        (failure,) = found.failed
        assert (failure.source, failure.error) == (str(raw / "deep"), "the folder cannot be read: Permission denied")
        assert names(found.files, raw) == ["a.csv", "b.csv"]

    def test_a_link_to_a_file_is_a_file_and_one_that_leads_nowhere_too(self, raw):
        (raw / "deep" / "b").symlink_to(raw / "b.csv")
        (raw / "deep" / "circle").symlink_to("circle")
        (raw / "deep" / "nowhere").symlink_to("void")
        assert names(find(["deep"]).files, raw) == [
            "deep/b",
            "deep/c.csv",
            "deep/circle",
            "deep/er/d.log.gz",
            "deep/nowhere",
        ]

    def test_a_link_to_a_file_of_the_store_is_no_raw_file(self, raw):
        (raw / "linked.csv").symlink_to(raw / "deep" / "c.csv")
        assert names(find(["*.csv"], store=raw / "deep").files, raw) == ["a.csv", "b.csv"]
        with pytest.raises(UsageError, match=r"linked\.csv is part of the store"):
            find(["linked.csv"], store=raw / "deep")

    @pytest.mark.parametrize("given_", ["./a.csv", "deep/..//a.csv", "./*a.csv", "deep//../a*"])
    def test_however_a_path_is_written_it_is_the_same_file(self, raw, given_):
        assert find([given_]).files == [str(raw / "a.csv")]

    def test_the_store_is_no_raw_file_even_below_a_folder_that_is_searched(self, raw):
        assert names(find(["."], store=raw / "deep").files, raw) == ["a.csv", "b.csv"]

    def test_nor_is_it_or_a_part_of_it_when_it_is_named(self, raw):
        store = raw / "deep"
        for path in (store, next(path for path in store.rglob("*"))):
            with pytest.raises(UsageError, match="is part of the store, and no raw file"):
                find([str(path)], store=store)

    def test_nor_when_a_pattern_happens_to_match_it(self, raw):
        assert names(find(["**"], store=raw / "deep").files, raw) == ["a.csv", "b.csv"]


class TestNames:
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            (b"/raw/a.csv", "/raw/a.csv"),
            ("/raw/ü.csv".encode(), "/raw/ü.csv"),
            (rb"/raw/a\b.csv", r"/raw/a\b.csv"),
            (b"/raw/\xff.csv", r"/raw/\xff.csv"),
            (rb"/raw/\xff.csv", r"/raw/\x5cxff.csv"),
            (b"/raw/\\\xff", r"/raw/\x5c\xff"),
        ],
    )
    def test_one_that_is_not_utf8_is_escaped_and_one_that_looks_so_too(self, path, name):
        assert name_of(Path(os.fsdecode(path))) == name

    @given(
        st.lists(st.sampled_from([b"a", b"\\", b"x", b"f", b"\xff", b"\xc3\xa4", b"\xc3", b"/"]), min_size=1).map(b"".join)
    )
    def test_each_has_a_name_of_its_own_that_can_be_stored_and_leads_back(self, raw):
        path = Path(os.fsdecode(b"/" + raw))
        assert path_of(name_of(path)) == path
        assert name_of(path).encode()
