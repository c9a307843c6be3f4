"""A segment is JSON Lines, whole requests, and no two have the same bytes."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.digests import digest_of_bytes
from pipeline.store import files
from pipeline.wal import segments
from pipeline.wal.inspection import damaged_file_problems
from pipeline.wal.segments import Mark, SegmentWriter, mend, seal
from tests.wal.conftest import LINE, request, write


class TestEntries:
    def test_come_back_as_they_were(self):
        first, second = request(1), request(3, 'odd "key" \\')
        content = segments.read(first + second)
        found = content.entries
        assert [entry.data for entry in found] == [first, second]
        assert [entry.mark.id for entry in found] == ["s-1", "s-3"]
        assert [entry.mark.at for entry in found] == [1001, 1003]
        assert [entry.mark.key for entry in found] == [None, 'odd "key" \\']
        assert found[1].mark.content == digest_of_bytes(LINE % 1 + LINE % 2 + LINE % 3)
        assert (content.damaged, content.end, content.whole) == ([], len(first + second), first + second)

    def test_are_json_lines_with_the_mark_beside_the_last_records_fields(self):
        *records, last = [json.loads(line) for line in request(2, "k").splitlines()]
        assert set(records[0]) | {"request"} == set(last)
        assert set(last["request"]) == {"id", "at", "key", "content", "bytes", "xxh3"}

    def test_a_name_cannot_look_like_a_seal(self):
        within = seal(LINE % 1, Mark("s", 1)).decode()
        lines = json.dumps({"src_app": within}).encode() + b"\n"
        (entry,) = segments.read(seal(lines, Mark("s", 1))).entries
        assert json.loads(entry.data)["src_app"] == within


class TestDamage:
    """Three requests, of which the middle one has more than one record and a key."""

    ENTRIES = (request(1), request(3, 'a "key"'), request(2))
    CONTENT = b"".join(ENTRIES)

    @pytest.mark.parametrize("change", [1, 2, 4, 8, 16, 32, 64, 128, 255])
    def test_each_flipped_byte_damages_the_request_that_has_it_and_no_other(self, change):
        start = 0
        for hit in self.ENTRIES:
            rest = [whole for whole in self.ENTRIES if whole is not hit]
            for offset in range(start, start + len(hit)):
                content = bytearray(self.CONTENT)
                content[offset] ^= change
                found = segments.read(bytes(content))
                assert [entry.data for entry in found.entries] == rest
                assert found.damaged == [(start, start + len(hit))]
            start += len(hit)

    def test_a_file_that_ends_at_whatever_byte_is_torn_and_not_damaged(self):
        for end in range(len(self.CONTENT) + 1):
            found = segments.read(self.CONTENT[:end])
            whole = [self.CONTENT[: len(b"".join(self.ENTRIES[:number]))] for number in range(4)]
            assert found.damaged == []
            assert found.whole == max((start for start in whole if len(start) <= end), key=len)
            assert found.end == len(found.whole)

    @given(st.data())
    def test_whatever_becomes_of_some_bytes_all_other_requests_are_there(self, data):
        requests = [
            request(data.draw(st.integers(1, 3)), data.draw(st.none() | st.text("ab", min_size=1))) for _ in range(5)
        ]
        content = b"".join(requests)
        start = data.draw(st.integers(0, len(content) - 1))
        length = data.draw(st.integers(1, 300))
        other = data.draw(st.binary(min_size=length, max_size=length))
        found = segments.read((content[:start] + other + content[start + length :])[: len(content)])
        position = 0
        for one in requests:
            if position + len(one) <= start or position >= start + length:
                assert one in found.whole
            position += len(one)

    @pytest.mark.parametrize(
        "tail", [b"\0", b"\0" * 4096, b"\xff" * 10, b"\n", b"{}\n", b'{"a":1}}\n', LINE[:20] + b"\0" * 50]
    )
    def test_an_end_that_is_no_beginning_of_a_request_is_damage(self, tail):
        found = segments.read(request(1) + tail)
        assert found.damaged == [(len(request(1)), len(request(1) + tail))]


class TestMending:
    def test_cuts_off_what_is_not_whole(self, store):
        name = write(store, request(1), request(2), request(3)[:-5])
        assert [entry.mark.id for entry in mend(store, name).entries] == ["s-1", "s-2"]
        assert store.segment(name).read_bytes() == request(1) + request(2)
        assert store.damaged_files() == []

    @pytest.mark.parametrize("content", [b"", request(2)[:-1]])
    def test_removes_a_segment_without_a_request(self, store, content):
        name = write(store, content)
        assert mend(store, name).entries == []
        assert store.segments() == store.damaged_files() == []

    def test_leaves_a_whole_segment_as_it_is(self, store):
        name = write(store, request(1), request(2))
        assert len(mend(store, name).entries) == 2
        assert store.segment(name).read_bytes() == request(1) + request(2)

    @pytest.mark.parametrize("whole", [True, False])
    def test_puts_damage_aside_as_it_was_found(self, store, whole):
        damaged = request(3).replace(b'"hour":2', b'"hour":9')
        content = damaged + (request(1) + request(2)[:40] if whole else b"")
        name = write(store, content)
        mend(store, name)
        assert [store.segment(name).read_bytes() for name in store.segments()] == [request(1)] * whole
        (kept,) = store.damaged_files()
        assert kept.read_bytes() == content
        assert kept.name.startswith(f"{name}.")
        assert damaged_file_problems(store) == [
            f"{kept}: the bytes 0 to {len(damaged) - 1} are damaged, and what was acknowledged there does not count"
        ]

    @pytest.mark.parametrize("step", ["make_folder", "create", "write", "sync"])
    def test_can_be_cut_off_anywhere_and_repeated(self, store, monkeypatch, step):
        content = request(1) + request(3).replace(b'"hour":2', b'"hour":9') + request(2)
        name = write(store, content)
        owner = files.PosixFiles if step == "create" else files
        do = getattr(owner, step)

        def cut_off(*arguments):
            do(*arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(owner, step, cut_off)
        with pytest.raises(KeyboardInterrupt):
            mend(store, name)
        monkeypatch.undo()
        assert mend(store, name).whole == request(1) + request(2)
        assert store.segment(name).read_bytes() == request(1) + request(2)
        assert [kept.read_bytes() for kept in store.damaged_files()] == [content]

    def test_a_second_damage_is_put_beside_the_first(self, store):
        name = write(store, b"\0" + request(1) + request(2))
        mend(store, name)
        store.segment(name).write_bytes(request(1) + b"\0" + request(2))
        mend(store, name)
        assert len(store.damaged_files()) == 2


class TestWriter:
    def test_what_a_failed_append_left_is_cut_off(self, store, monkeypatch):
        writer = SegmentWriter(store, "reject")
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
        names = [SegmentWriter(store, mode).name for mode in ("reject", "accept", "reject")]
        assert store.segments() == sorted(names) == names
        assert [segments.zero_bytes_of(name) for name in names] == ["reject", "accept", "reject"]

    def test_other_files_are_no_segments(self, store):
        for name in (
            "lock",
            "moves.jsonl",
            "keys.sqlite",
            "keys.sqlite-wal",
            "x.jsonl",
            "x.maybe.jsonl",
            "x.reject.jsonl.tmp",
        ):
            (store.wal / name).touch()
        assert store.segments() == []
