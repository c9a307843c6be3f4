"""Where a store's files are."""

import pytest

from pipeline.errors import UsageError
from pipeline.store.files import PosixFiles
from pipeline.store.layout import Locations


def test_a_user_without_a_home_is_told_what_to_set(homeless):
    store = Locations.at("s3://bucket/store")
    with pytest.raises(UsageError, match=r"no home folder .*s3://bucket/store: set HOME, or XDG_CACHE_HOME"):
        store.lock  # noqa: B018
    with pytest.raises(UsageError, match="set HOME, or XDG_STATE_HOME"):
        store.wal  # noqa: B018


def test_a_user_without_a_home_needs_none_where_a_variable_names_the_folder(homeless, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Locations.at("s3://bucket/store").lock.is_relative_to(tmp_path / "flowlog")


def test_a_store_in_a_folder_needs_no_home(homeless, tmp_path):
    assert Locations(tmp_path).lock == tmp_path / "lock"


def test_the_hours_of_a_range_are_found_without_a_look_at_others(tmp_path, monkeypatch):
    store, looked = Locations(tmp_path), []
    for hour in (3, 5, 8):
        store.partition(hour).parent.mkdir(parents=True)
        store.partition(hour).touch()
    (store.flows / "hour=4").mkdir()  # which a run that was cut off may leave
    assert store.hours() == [3, 5, 8]
    exists = store.files.exists
    monkeypatch.setattr(PosixFiles, "exists", lambda _, path: looked.append(path) or exists(path))
    assert store.hours(4, 8) == [5]
    assert store.partition_name(3) not in looked
    assert store.hours(1, 10**6) == [3, 5, 8]
