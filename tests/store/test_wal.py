"""A segment is JSON Lines, whole requests, and no two have the same bytes."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StoreDamaged
from pipeline.store import wal
from pipeline.store.locations import Locations
from pipeline.store.wal import Mark, Writer, mend, read_requests, seal
from tests.records import write_record

LINE = b'{"src_app":"a","dest_app":"b","vpc_id":"v","bytes_tx":1,"bytes_rx":2,"hour":%d}\n'


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path / "store")
    store.wal.mkdir(parents=True)
    return store


def request(number, key=None):
    lines = b"".join(LINE % (hour + 1) for hour in range(number))
    return seal(lines, Mark(f"s-{number}", 1000 + number, key, None if key is None else wal.digest_of(lines)))


def write(store, *requests):
    writer = Writer(store, "reject")
    writer.append(b"".join(requests))
    writer.close()
    return writer.name


class TestRequests:
    def test_come_back_as_they_were(self):
        first, second = request(1), request(3, 'odd "key" \\')
        found = list(read_requests(first + second))
        assert [logged.lines for logged in found] == [LINE % 1, LINE % 1 + LINE % 2 + LINE % 3]
        assert [logged.mark.id for logged in found] == ["s-1", "s-3"]
        assert [logged.mark.at for logged in found] == [1001, 1003]
        assert [logged.mark.key for logged in found] == [None, 'odd "key" \\']
        assert found[1].mark.content == wal.digest_of(found[1].lines)
        assert [logged.end for logged in found] == [len(first), len(first + second)]

    def test_are_json_lines_with_the_mark_beside_the_last_records_fields(self):
        *records, last = [json.loads(line) for line in request(2, "k").splitlines()]
        assert set(records[0]) | {"request"} == set(last)
        assert set(last["request"]) == {"id", "at", "key", "content", "xxh3"}

    @given(st.data())
    def test_a_torn_or_flipped_end_is_no_request(self, data):
        whole, torn = request(2), request(3)
        cut = data.draw(st.integers(1, len(torn) - 1))
        damaged = torn[:cut] + bytes(data.draw(st.integers(0, len(torn) - cut))) if data.draw(st.booleans()) else torn[:cut]
        if damaged != torn:
            assert [logged.end for logged in read_requests(whole + damaged + request(1))] == [len(whole)]

    def test_a_name_cannot_look_like_a_mark(self):
        name = ',"request":{"id":"x","at":1,"xxh3":"' + "0" * 32 + '"}}\n'
        lines = json.dumps({"src_app": name}).encode() + b"\n"
        (logged,) = read_requests(seal(lines, Mark("s", 1)))
        assert logged.lines == lines


class TestMending:
    def test_cuts_off_what_is_not_whole(self, store):
        name = write(store, request(1), request(2), request(3)[:-5])
        assert [logged.mark.id for logged in mend(store, name)] == ["s-1", "s-2"]
        assert store.segment(name).read_bytes() == request(1) + request(2)

    @pytest.mark.parametrize("content", [b"", request(2)[:-1], b"\0" * 50])
    def test_removes_a_segment_without_a_request(self, store, content):
        name = write(store, content)
        assert mend(store, name) == []
        assert store.segments() == []

    def test_leaves_a_whole_segment_as_it_is(self, store):
        name = write(store, request(1), request(2))
        assert len(mend(store, name)) == 2
        assert store.segment(name).read_bytes() == request(1) + request(2)


class TestWriter:
    def test_what_a_failed_append_left_is_cut_off(self, store, monkeypatch):
        writer = Writer(store, "reject")
        writer.append(request(1))
        sync = os.fsync

        def failing(descriptor):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(os, "fsync", failing)
        with pytest.raises(OSError, match="Input/output"):
            writer.append(request(2))
        monkeypatch.setattr(os, "fsync", sync)
        assert store.segment(writer.name).read_bytes() == request(1) + request(2)
        assert writer.size == len(request(1))
        writer.cut()
        writer.append(request(3))
        writer.close()
        assert store.segment(writer.name).read_bytes() == request(1) + request(3)

    def test_segments_sort_by_time_and_say_what_zero_bytes_meant(self, store):
        names = [Writer(store, mode).name for mode in ("reject", "accept", "reject")]
        assert store.segments() == sorted(names) == names
        assert [wal.zero_bytes_of(name) for name in names] == ["reject", "accept", "reject"]

    def test_other_files_are_no_segments(self, store):
        for name in (
            "lock",
            "move.json",
            "keys.sqlite",
            "keys.sqlite-wal",
            "x.jsonl",
            "x.maybe.jsonl",
            "x.reject.jsonl.tmp",
        ):
            (store.wal / name).touch()
        assert store.segments() == []


class TestNotesOfMoves:
    def test_are_kept_for_the_segments_that_are_there(self, store):
        first, second = write(store, request(1)), write(store, request(2))
        assert wal.noted_moves(store) == {}
        wal.note_move(store, first, "run-1")
        wal.note_move(store, second, "run-2")
        assert wal.noted_moves(store) == {first: "run-1", second: "run-2"}
        wal.remove(store, first)
        wal.note_move(store, second, "run-3")
        assert wal.noted_moves(store) == {second: "run-3"}

    @pytest.mark.parametrize("content", [b"", b"[]", b"torn", b"{", b"\xff"])
    def test_damaged_notes_are_said(self, store, content):
        store.move.write_bytes(content)
        with pytest.raises(StoreDamaged, match=r"move\.json"):
            wal.noted_moves(store)


class TestIsMoved:
    def test_follows_the_run_from_its_record_to_its_renames(self, store):
        attempt = "00000001-0123456789abcdef"
        staged = store.staged(attempt, store.partition(7))
        staged.parent.mkdir(parents=True)
        staged.touch()
        assert not wal.is_moved(store, None, 7)
        assert not wal.is_moved(store, attempt, 7)
        store.runs.mkdir()
        write_record(store.record_of("00000001"), {"attempt": attempt, "run_id": "00000001"})
        assert not wal.is_moved(store, attempt, 7)
        store.partition(7).parent.mkdir(parents=True)
        staged.rename(store.partition(7))
        assert wal.is_moved(store, attempt, 7)

    def test_is_not_misled_by_another_run_that_took_the_number_of_one_that_was_killed(self, store):
        store.runs.mkdir()
        write_record(store.record_of("00000001"), {"attempt": "00000001-aaaaaaaaaaaaaaaa", "run_id": "00000001"})
        assert not wal.is_moved(store, "00000001-bbbbbbbbbbbbbbbb", 7)
