"""Which raw objects there are below a URL, which are left alone, and how few requests it takes to know."""

import os
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.counting.sources import Failure
from pipeline.errors import BucketDenied, BucketUnusable, UsageError
from pipeline.hours import hours_of
from pipeline.jobs.find import find
from pipeline.objectpath import object_path

PART = st.text("ab.*", min_size=1, max_size=3).filter(lambda text: text.strip("."))
KEYS = st.lists(st.lists(PART.filter(lambda text: "*" not in text), min_size=1, max_size=3).map("/".join), max_size=6)


def put(logs, *keys):
    for key in keys:
        logs.put(key, key.encode())


def found_by(*urls, **options):
    return [source.name.removeprefix("s3://logs/") for source in find(urls, **options).objects]


def requests(logs):
    return {kind: count for kind, count in logs.traffic().requests.items() if kind != "put"}


class TestFinding:
    @pytest.fixture(autouse=True)
    def some(self, logs):
        put(logs, "a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv", "f.gz")

    @pytest.mark.parametrize(
        ("url", "keys"),
        [
            ("", ["a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv", "f.gz"]),
            ("/", ["a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv", "f.gz"]),
            ("/a", ["a/b.csv", "a/c/d.csv"]),  # and nothing of ab/
            ("/a/", ["a/b.csv", "a/c/d.csv"]),
            ("/a.csv", ["a.csv"]),
            ("/*.csv", ["a.csv"]),
            ("/a*", ["a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv"]),
            ("/*/*.csv", ["a/b.csv", "ab/e.csv"]),
            ("/**/*.csv", ["a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv"]),
            ("/a/**", ["a/b.csv", "a/c/d.csv"]),
            ("/**/c", ["a/c/d.csv"]),
            ("/*/c/d.csv", ["a/c/d.csv"]),
            ("/*/c", ["a/c/d.csv"]),
            ("/?b", ["ab/e.csv"]),
            ("/[!a]*", ["f.gz"]),
            ("/a*/", ["a/b.csv", "a/c/d.csv", "ab/e.csv"]),
            ("/**/", ["a.csv", "a/b.csv", "a/c/d.csv", "ab/e.csv", "f.gz"]),
        ],
    )
    def test_a_url_leads_to_what_a_path_would(self, url, keys):
        assert found_by(f"s3://logs{url}") == keys

    def test_an_object_whose_key_looks_like_a_pattern_is_found_by_it(self, logs):
        put(logs, "x[1].csv")
        assert found_by("s3://logs/x[1].csv") == ["x[1].csv"]

    @pytest.mark.parametrize("start", ["0", "a/0", "a/.0", "a/..0", "2026-10", " ", "a b/my ", "!", "a]", "\x80"])
    def test_a_pattern_may_begin_with_any_letter(self, logs, start):
        put(logs, f"{start}1.csv")
        assert found_by(f"s3://logs/{start}*") == [f"{start}1.csv"]

    def test_an_object_that_several_urls_lead_to_is_found_once(self):
        assert found_by("s3://logs/a", "s3://logs/a/b.csv", "s3://logs/**/b.csv") == ["a/b.csv", "a/c/d.csv"]

    def test_only_an_object_whose_own_url_it_is_was_named(self):
        assert find(["s3://logs/a.csv", "s3://logs/f*"]).named == {"s3://logs/a.csv"}

    def test_files_and_objects_are_found_side_by_side(self, raw):
        found = find(["s3://logs/f.gz", "a.csv"])
        assert (found.files, len(found.objects)) == ([str(raw / "a.csv")], 1)

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("s3://logs/x", "there is no object s3://logs/x, and none below it"),
            ("s3://logs/a.csv/", "there is no object s3://logs/a.csv/, and none below it"),
            ("s3://logs/x*", "nothing matches s3://logs/x*"),
            ("s3://logs/{yyyy}/", "nothing matches s3://logs/{yyyy}/"),
            ("http://logs/x", "http://logs/x is no bucket that flowlog reads"),
            ("s3://", "s3:// has no name of a bucket"),
            ("s3://logs/a//b", "cannot be asked for: a part of the key is empty"),
        ],
    )
    def test_where_nothing_is_the_url_is_named(self, url, told):
        with pytest.raises(UsageError) as error:
            find([url])
        assert told in str(error.value)

    def test_a_store_in_a_bucket_is_no_raw_object(self):
        assert found_by("s3://logs/", store=object_path("s3://logs/a")) == ["a.csv", "ab/e.csv", "f.gz"]
        with pytest.raises(UsageError, match="is part of the store"):
            find(["s3://logs/a/c"], object_path("s3://logs/a"))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS, pattern=st.lists(st.one_of(PART, st.just("**")), min_size=1, max_size=3).map("/".join))
def test_a_pattern_leads_to_the_objects_whose_files_it_would(logs, tmp_path_factory, keys, pattern):
    folder = tmp_path_factory.mktemp("raw")
    logs.delete([found.key for page in logs.list() for found in page])
    files = [key for key in keys if not any(other != key and other.startswith(f"{key}/") for other in keys)]
    for key in files:
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_text(key)
        put(logs, key)
    pattern = f"{pattern.rstrip('*')}*"  # at the end, Python's `**` also takes a file for a folder
    try:
        expected = sorted(os.path.relpath(path, folder) for path in find([f"{folder}/{pattern}"]).files)
    except UsageError:
        expected = []
    try:
        assert found_by(f"s3://logs/{pattern}") == expected
    except UsageError:
        assert expected == []


class TestLeftAlone:
    def left_alone(self, *urls, **options):
        left = find(urls, **options).left_alone
        return {name.removeprefix("s3://logs/"): reason for name, reason in left.items()}

    def test_markers_tests_and_what_is_being_written_are_left_alone_and_named_once(self, logs):
        put(logs, "x/_SUCCESS", "x/aws-logs-write-test", "x/a.csv.crc", "x/b.tmp", "x/_temporary/1", "x/_temporary/2", "x/c")
        assert found_by("s3://logs/x") == ["x/c"]
        assert self.left_alone("s3://logs/x") == {
            "x/_SUCCESS": "a marker of the program that filled the folder",
            "x/_temporary": "a marker of the program that filled the folder",
            "x/a.csv.crc": "the checksums of another file",
            "x/aws-logs-write-test": "what AWS writes to try whether it may write",
            "x/b.tmp": "named like what is still being written",
        }

    def test_who_names_one_means_it_unless_it_can_be_no_log(self, logs):
        put(logs, "b.tmp", "_SUCCESS")
        assert found_by("s3://logs/b.tmp") == ["b.tmp"]
        reason = "a marker of the program that filled the folder; leave it out"
        assert find(["s3://logs/_SUCCESS"]).failed == [Failure("s3://logs/_SUCCESS", reason)]

    def test_the_markers_of_folders_are_left_alone_and_other_empty_objects_are_found(self, logs):
        put(logs, "x/y/a.csv")
        for key in ("x", "x/y", "x/empty.csv"):
            logs.put(key, b"")
        assert found_by("s3://logs/x") == ["x/empty.csv", "x/y/a.csv"]
        assert self.left_alone("s3://logs/") == dict.fromkeys(("x", "x/y"), "the empty object that marks a folder")

    def test_exclude_goes_by_names_and_by_paths_below_the_prefix(self, logs):
        put(logs, "x/a.csv", "x/old/a.csv", "x/new/b.csv", "x/new/old.csv")
        assert found_by("s3://logs/x", exclude=["old"]) == ["x/a.csv", "x/new/b.csv", "x/new/old.csv"]
        assert found_by("s3://logs/x", exclude=["new/b*", "old/*"]) == ["x/a.csv", "x/new/old.csv"]
        assert self.left_alone("s3://logs/x", exclude=["old"]) == {"x/old": "named by --exclude old"}
        assert self.left_alone("s3://logs/x*/*.csv", exclude=["a.*"]) == {"x/a.csv": "named by --exclude a.*"}

    def test_what_was_modified_before_since_is_left_alone(self, logs):
        put(logs, "x/a.csv")
        assert found_by("s3://logs/x", since=hours_of("-1h", lambda: 1).first) == ["x/a.csv"]
        assert self.left_alone("s3://logs/x", since=hours_of("2099-01-01", lambda: 1).first) == {
            "x/a.csv": "modified before the time that --since names"
        }


class TestRequests:
    def test_dates_are_listed_and_nothing_beside_them(self, logs):
        put(logs, "l/2020/01/01/a", "l/2020/01/02/b")
        with pytest.raises(UsageError):
            find(["s3://logs/l/{yyyy}/{mm}/{dd}/"], since=hours_of("-2d", lambda: 1).first)
        assert requests(logs)["list"] in (
            4,
            5,
        )  # the days of 76 hours: two days, and what zones and a wrong clock add to them
        assert len(requests(logs)) == 1

    def test_what_dates_share_is_listed_once(self, logs):
        put(logs, "l/eu/2020/01/01/a", "l/us/2020/01/01/b")
        since = hours_of("2020-01-01", lambda: 1).first
        assert found_by("s3://logs/l/*/{yyyy}/01/01/", since=since) == ["l/eu/2020/01/01/a", "l/us/2020/01/01/b"]
        years = datetime.now(UTC).year - 2019 + 1  # the zones' years too
        assert requests(logs)["list"] in (1 + 2 * years, 1 + 2 * (years + 1))

    def test_a_pattern_lists_the_names_on_its_way_and_no_depth(self, logs):
        put(logs, *(f"{account}/{region}/{day}/x" for account in "ab" for region in "cd" for day in "ef"))
        assert len(found_by("s3://logs/*/c/e/")) == 2
        assert requests(logs) == {"list": 1 + 2}

    def test_of_a_flat_folder_only_what_begins_like_the_pattern_is_listed(self, logs, monkeypatch):
        put(logs, *(f"x/{day:02}.log" for day in range(1, 31)))
        asked = []
        listing = logs.list
        monkeypatch.setattr(logs, "list", lambda prefix, after="": asked.append((prefix, after)) or listing(prefix, after))
        assert found_by("s3://logs/x/2*.log") == [f"x/{day}.log" for day in range(20, 30)]
        assert asked == [("x", "x/1")]

    def test_an_object_that_is_named_costs_one_request(self, logs):
        put(logs, "a", "b")
        found_by("s3://logs/a", "s3://logs/b")
        assert requests(logs) == {"head": 2}


class TestRefusals:
    def test_a_prefix_that_may_not_be_listed_fails_and_others_are_found(self, logs, monkeypatch):
        put(logs, "a/x", "b/y")
        listing = logs.list

        def refuse(prefix, after=""):
            if prefix == "a":
                raise BucketDenied("s3://logs/a", "no")
            return listing(prefix, after)

        monkeypatch.setattr(logs, "list", refuse)
        found = find(["s3://logs/a/", "s3://logs/b/"])
        assert found.failed == [Failure("s3://logs/a/", "cannot be looked for: no")]
        assert [source.name for source in found.objects] == ["s3://logs/b/y"]

    def test_a_bucket_that_is_not_there_is_an_error_of_the_request(self, logs, monkeypatch):
        def refuse(prefix, after=""):
            raise BucketUnusable("s3://logs", "there is no such bucket")

        monkeypatch.setattr(logs, "list", refuse)
        with pytest.raises(UsageError, match="cannot use s3://logs: there is no such bucket"):
            find(["s3://logs/a/"])
