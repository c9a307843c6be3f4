"""Which attempt flushes which segment, and whether it has."""

from pipeline.wal import flushes, segments
from pipeline.wal.flushes import Notes
from pipeline.wal.inspection import inspect
from tests.records import write_record
from tests.wal.conftest import request, write


class TestNotes:
    def test_are_kept_for_the_segments_that_are_there(self, store):
        first, second = write(store, request(1)), write(store, request(2))
        assert flushes.read_notes(store) == Notes({}, False)
        flushes.note(store, first, "run-1")
        flushes.note(store, second, "run-2")
        assert flushes.read_notes(store) == Notes({first: "run-1", second: "run-2"}, False)
        segments.remove(store, first)
        flushes.note(store, second, "run-3")
        assert flushes.read_notes(store) == Notes({second: "run-3"}, False)

    def test_each_flipped_byte_is_seen_and_leaves_the_other_notes(self, store):
        names = [write(store, request(1)), write(store, request(2))]
        for name in names:
            flushes.note(store, name, "run-1")
        content = store.moves.read_bytes()
        for offset in range(len(content)):
            store.moves.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
            hit = names[offset // (len(content) // 2)]
            assert flushes.read_notes(store) == Notes({name: "run-1" for name in names if name != hit}, True)
        assert len(inspect(store).problems) == 1


class TestIsFlushed:
    def test_follows_the_run_from_its_record_to_its_renames(self, store):
        attempt = "00000001-0123456789abcdef"
        staged = store.staged(attempt, store.partition(7))
        staged.parent.mkdir(parents=True)
        staged.touch()
        assert not flushes.is_flushed(store, None, 7)
        assert not flushes.is_flushed(store, attempt, 7)
        store.runs.mkdir()
        write_record(store.record_of("00000001"), {"attempt": attempt, "run_id": "00000001"})
        assert not flushes.is_flushed(store, attempt, 7)
        store.partition(7).parent.mkdir(parents=True)
        staged.rename(store.partition(7))
        assert flushes.is_flushed(store, attempt, 7)

    def test_is_not_misled_by_another_run_that_took_the_number_of_one_that_was_killed(self, store):
        store.runs.mkdir()
        write_record(store.record_of("00000001"), {"attempt": "00000001-aaaaaaaaaaaaaaaa", "run_id": "00000001"})
        assert not flushes.is_flushed(store, "00000001-bbbbbbbbbbbbbbbb", 7)
