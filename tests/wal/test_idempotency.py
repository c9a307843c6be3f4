"""Keys are kept for a day of the service's clock; a damaged database is told, and gives back what can be proved of it."""

import os
import shutil
import sqlite3
from contextlib import closing

import pytest

from pipeline.errors import StoreDamaged, StoreUnwritable
from pipeline.store.layout import Locations
from pipeline.wal import idempotency as module
from pipeline.wal.idempotency import KEPT_SECONDS, IdempotencyKeys, is_damaged


@pytest.fixture
def store(tmp_path):
    return made(tmp_path / "store")


def made(root):
    store = Locations(root)
    store.wal.mkdir(parents=True)
    return store


class TestKeeping:
    def test_keeps_for_a_day_and_forgets_behind_two(self, store):
        with closing(IdempotencyKeys(store)) as keys:
            keys.keep({"a": (0, "x"), "b": (1, "y")})
            assert [keys.find(key) for key in "abc"] == ["x", "y", None]
            keys.go_on_from(KEPT_SECONDS)
            assert [keys.find(key) for key in "ab"] == ["x", "y"]
            keys.go_on_from(KEPT_SECONDS + 1)
            assert [keys.find(key) for key in "ab"] == [None, "y"]
            keys.keep({"a": (keys.now(), "z")})
        with closing(IdempotencyKeys(store)) as keys:
            assert [keys.find(key) for key in "ab"] == ["z", "y"]
            keys.go_on_from(3 * KEPT_SECONDS)
            keys.keep({})
            assert keys._reading.execute("SELECT count(*) FROM keys").fetchone() == (1,)  # the clock

    def test_the_clock_goes_on_where_it_stopped_and_never_back(self, store):
        with closing(IdempotencyKeys(store)) as keys:
            assert keys.now() == 0
            keys.go_on_from(1000)
            keys.go_on_from(500)
            assert keys.now() == 1000
            keys.keep({})
        with closing(IdempotencyKeys(store)) as keys:
            assert keys.now() == 1000

    def test_nothing_is_left_in_the_journal(self, store):
        with closing(IdempotencyKeys(store)) as keys:
            keys.keep({"a": (0, "x")})
            assert store.wal.joinpath("keys.sqlite-wal").stat().st_size == 0

    def test_a_folder_that_cannot_be_written_is_said(self, store):
        shutil.rmtree(store.wal)
        with pytest.raises(StoreUnwritable, match=r"keys\.sqlite"):
            IdempotencyKeys(store)


KEPT = {f"key-{number}": (number, f"{number:032x}") for number in range(4)}


class TestDamage:
    @pytest.fixture
    def content(self, store, monkeypatch):
        connect = sqlite3.connect

        def small(path, **options):  # smaller pages, so that more bytes mean something
            connection = connect(path, **options)
            connection.execute("PRAGMA page_size = 1024")
            return connection

        monkeypatch.setattr(module.sqlite3, "connect", small)
        with closing(IdempotencyKeys(store)) as keys:
            keys.keep(KEPT)
        return store.keys.read_bytes()

    def test_a_flipped_byte_loses_no_other_key_and_is_told(self, content, tmp_path):
        means_something = [offset for offset in range(len(content)) if content[offset] or offset % 50 == 0]
        for offset in {*means_something[:: 1 if "FLOWLOG_SOAK" in os.environ else 13], 0, 18}:
            store = made(tmp_path / str(offset))
            store.keys.write_bytes(content[:offset] + bytes([content[offset] ^ 0x10]) + content[offset + 1 :])
            told = is_damaged(store)
            with closing(IdempotencyKeys(store)) as keys:
                lost = [key for key, (_, digest) in KEPT.items() if keys.find(key) != digest]
                keys.keep({"new": (5, "0" * 32)})
                assert keys.find("new") == "0" * 32
            assert len(lost) <= 1
            kept = store.damaged_files()
            assert kept or not (lost or told)
            assert len(kept) <= 1
            assert not is_damaged(store)

    def test_the_longest_keys_are_found_again(self, store):
        longest = {letter + '"' * 254: (number, "0" * 32) for number, letter in enumerate("abcdefgh")}
        with closing(IdempotencyKeys(store)) as keys:
            keys.keep(longest)
        content = store.keys.read_bytes()
        store.keys.write_bytes(b"?" + content[1:])
        with closing(IdempotencyKeys(store)) as keys:
            assert all(keys.find(key) for key in longest)
        assert [path.read_bytes()[:1] for path in store.damaged_files()] == [b"?"]

    def test_a_row_that_is_damaged_meanwhile_is_no_answer(self, store):
        with closing(IdempotencyKeys(store)) as keys:
            keys.keep(KEPT)
            keys._writing.execute("UPDATE keys SET sealed = replace(sealed, '0', '1') WHERE key = 'key-1'")
            keys._writing.commit()
            assert keys.find("key-2") == KEPT["key-2"][1]
            with pytest.raises(StoreDamaged, match="not as it was written"):
                keys.find("key-1")

    def test_a_database_that_breaks_is_said(self, store):
        with closing(IdempotencyKeys(store)) as keys:
            keys._writing.execute("DROP TABLE keys")
            with pytest.raises(StoreDamaged):
                keys.find("a")
            with pytest.raises(StoreUnwritable):
                keys.keep({"a": (1, "x")})

    def test_what_is_no_database_is_put_aside(self, store):
        store.keys.write_bytes(b"torn" * 1000)
        assert is_damaged(store)
        with closing(IdempotencyKeys(store)) as keys:
            assert keys.find("a") is None
        assert [path.read_bytes() for path in store.damaged_files()] == [b"torn" * 1000]
