"""Taking sources back, dropping hours, and counting again."""

import shutil
import weakref
from dataclasses import replace

import pytest

from pipeline.counting import reading
from pipeline.errors import StoreDamaged, UsageError
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.undo import drop, forget
from pipeline.jobs.verify import DeepOptions, verify
from pipeline.store.layout import Locations
from pipeline.store.ledger import RunRecord, counted_by, read_runs

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


@pytest.fixture(autouse=True)
def _unsynced(unsynced):
    """These tests lose no power."""


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


def write(folder, name, *lines):
    (folder / name).write_text(HEADER + "".join(line + "\n" for line in lines))
    return str(folder / name)


def partitions(store):
    return {hour: store.partition(hour).read_bytes() for hour in store.hours()}


def partitions_of(tmp_path, name, *sources):
    """What a store has that was made from these files alone."""
    store = Locations(tmp_path / name)
    if sources:
        ingest(list(sources), store)
    return partitions(store)


class TestForgetting:
    def test_the_hours_are_what_the_other_sources_make_them(self, store, raw, tmp_path):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1", "2,foo,bar,v,2,2")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10", "3,x,y,v,1,1")
        ingest([str(raw)], store)
        summary = forget(store, [b])
        assert (summary.sources, summary.hours) == ([b], [1, 3])
        assert partitions(store) == partitions_of(tmp_path, "only-a", a)
        assert verify(store).problems == []

    def test_a_forgotten_source_is_unknown_and_can_be_counted_again(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10")
        ingest([str(raw)], store)
        before = partitions(store)
        forget(store, [b])
        assert ingest([str(raw)], store).ingested == 1
        assert partitions(store) == before
        assert verify(store).problems == []

    def test_the_only_source_leaves_an_empty_store(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([a], store)
        forget(store, [a])
        assert store.hours() == []
        assert not list(store.flows.iterdir())
        assert verify(store).problems == []

    def test_a_source_may_be_named_by_its_digest_and_be_gone(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10")
        ingest([str(raw)], store)
        (run,) = read_runs(store)
        (raw / "b.csv").unlink()
        assert forget(store, [run.sources[1].digest]).sources == [b]

    def test_it_is_refused_with_the_name_of_a_raw_file_that_is_missing(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10")
        ingest([str(raw)], store)
        before = partitions(store)
        (raw / "a.csv").unlink()
        with pytest.raises(UsageError, match=r"a\.csv is missing or has changed"):
            forget(store, [b])
        assert partitions(store) == before
        assert len(store.run_ids()) == 1
        assert a not in partitions(store)

    def test_sources_of_other_hours_need_not_be_there(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "2,foo,bar,v,10,10")
        ingest([str(raw)], store)
        (raw / "a.csv").unlink()
        assert forget(store, [b]).hours == [2]

    def test_others_are_counted_again_as_they_were_counted_then(self, store, raw, tmp_path):
        apps = tmp_path / "apps.csv"
        apps.write_text("cidr,app\n10.0.0.0/8,inside\n")
        line = "2 1 eni-1 10.0.0.1 192.0.2.1 40000 443 6 1 70 1440003600 1440003660 ACCEPT OK"
        (raw / "a.log").write_text(line + "\n")
        ingest([str(raw)], store, IngestOptions(apps=apps, vpc_id="v"))
        before = partitions(store)
        b = write(raw, "b.csv", "1,foo,bar,v,10,10")
        ingest([b], store)
        forget(store, [b])
        assert partitions(store) == before

    def test_it_is_refused_if_the_mapping_file_changed(self, store, raw, tmp_path):
        apps = tmp_path / "apps.csv"
        apps.write_text("cidr,app\n10.0.0.0/8,inside\n")
        for name in ("a", "b"):
            (raw / f"{name}.log").write_text(
                f"2 1 eni-{name} 10.0.0.1 192.0.2.1 40000 443 6 1 70 1440003600 1440003660 ACCEPT OK\n"
            )
        ingest([str(raw)], store, IngestOptions(apps=apps))
        apps.write_text("cidr,app\n10.0.0.0/8,outside\n")
        reading._load_apps.cache_clear()  # this process still knows what it was; the next one will not
        with pytest.raises(UsageError, match=r"apps\.csv has changed since files were counted with it"):
            forget(store, [str(raw / "a.log")])

    def test_an_unknown_source_is_an_error(self, store, raw):
        ingest([write(raw, "a.csv", "1,foo,bar,v,1,1")], store)
        with pytest.raises(UsageError, match="no source nowhere counts"):
            forget(store, ["nowhere"])


class TestReplacingChanged:
    def test_a_changed_source_is_counted_as_it_is_now(self, store, raw, tmp_path):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10", "2,x,y,v,1,1")
        ingest([str(raw)], store)
        write(raw, "b.csv", "1,foo,bar,v,10,10", "3,x,y,v,1,1")
        summary = ingest([str(raw)], store, IngestOptions(replace_changed=True))
        assert (summary.ingested, summary.changed, summary.hours) == (1, [], [1, 2, 3])
        assert partitions(store) == partitions_of(tmp_path, "fresh", a, b)
        assert verify(store).problems == []
        assert ingest([str(raw)], store, IngestOptions(replace_changed=True)).run_id is None

    def test_new_sources_count_in_the_same_run(self, store, raw, tmp_path):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([a], store)
        write(raw, "a.csv", "1,foo,bar,v,2,2")
        b = write(raw, "b.csv", "1,foo,bar,v,10,10")
        assert ingest([str(raw)], store, IngestOptions(replace_changed=True)).ingested == 2
        assert partitions(store) == partitions_of(tmp_path, "fresh", a, b)
        assert len(store.run_ids()) == 2

    def test_what_cannot_be_replaced_fails_and_the_others_count(self, store, raw):
        for name, line in (("a.csv", "1,foo,bar,v,1,1"), ("b.csv", "1,foo,bar,v,10,10")):
            write(raw, name, line)
        ingest([str(raw)], store)
        (raw / "a.csv").unlink()
        write(raw, "b.csv", "1,foo,bar,v,11,11")
        write(raw, "c.csv", "5,foo,bar,v,1,1")
        summary = ingest([str(raw)], store, IngestOptions(replace_changed=True))
        (failure,) = summary.failures
        assert "cannot be replaced" in failure.error
        assert "a.csv is missing" in failure.error
        assert (summary.ingested, summary.hours) == (1, [5])
        assert verify(store).problems == []

    def test_a_log_that_was_rotated_away_counts_under_its_new_name(self, store, raw, tmp_path):
        log = write(raw, "app.log", "1,foo,bar,v,1,1")
        ingest([log], store)
        (raw / "app.log").rename(raw / "app.log.1")
        write(raw, "app.log", "2,foo,bar,v,10,10")
        ingest([str(raw)], store, IngestOptions(replace_changed=True))
        assert partitions(store) == partitions_of(tmp_path, "fresh", log, str(raw / "app.log.1"))
        assert verify(store, deep=DeepOptions()).problems == []

    def test_new_content_that_stands_in_two_files_counts_once(self, store, raw, tmp_path):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([a], store)
        for name in ("a.csv", "c.csv"):
            write(raw, name, "1,foo,bar,v,20,20")
        ingest([str(raw)], store, IngestOptions(replace_changed=True))
        assert partitions(store) == partitions_of(tmp_path, "fresh", a)

    def test_a_source_that_became_a_copy_of_another_counts_no_more(self, store, raw, tmp_path):
        write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,2,2")
        ingest([str(raw)], store)
        write(raw, "a.csv", "1,foo,bar,v,2,2")
        summary = ingest([str(raw)], store, IngestOptions(replace_changed=True))
        assert (summary.ingested, len(summary.duplicates)) == (0, 1)
        assert partitions(store) == partitions_of(tmp_path, "fresh", b)
        assert verify(store).problems == []

    def test_what_cannot_be_taken_back_is_not_counted_under_another_name_either(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        b = write(raw, "b.csv", "1,foo,bar,v,2,2")
        ingest([a, b], store)
        for name in ("b.csv", "copy.csv"):
            write(raw, name, "1,foo,bar,v,2,2", "1,foo,bar,v,3,3")
        (raw / "a.csv").unlink()
        before = partitions(store)
        summary = ingest([str(raw)], store, IngestOptions(replace_changed=True))
        assert [failure.source for failure in summary.failures] == [str(raw / "b.csv"), str(raw / "copy.csv")]
        assert partitions(store) == before

    def test_a_changed_source_that_cannot_be_read_keeps_what_it_counted(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([a], store)
        before = partitions(store)
        (raw / "a.csv").write_bytes(b"\0")
        summary = ingest([a], store, IngestOptions(replace_changed=True))
        assert len(summary.failures) == 1
        assert partitions(store) == before


class TestDropping:
    def test_the_hours_before_are_gone_and_the_others_stay(self, store, raw):
        ingest([write(raw, "a.csv", "1,foo,bar,v,1,1", "2,foo,bar,v,2,2", "3,foo,bar,v,3,3")], store)
        before = partitions(store)
        assert drop(store, before=3).hours == [1, 2]
        assert partitions(store) == {3: before[3]}
        assert verify(store).problems == []

    def test_a_dropped_hour_does_not_come_back_by_reading_its_files_again(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([a], store)
        drop(store, before=9, every=True)
        assert ingest([a], store).skipped == 1
        assert store.hours() == []

    def test_late_data_makes_a_dropped_hour_anew(self, store, raw):
        ingest([write(raw, "a.csv", "1,foo,bar,v,1,1")], store)
        drop(store, before=9, every=True)
        b = write(raw, "b.csv", "1,foo,bar,v,5,5")
        ingest([b], store)
        assert verify(store, deep=DeepOptions()).problems == []
        forget(store, [b])
        assert store.hours() == []  # what was dropped is no part of what is made anew

    def test_nothing_to_drop_is_no_run(self, store, raw):
        ingest([write(raw, "a.csv", "5,foo,bar,v,1,1")], store)
        assert drop(store, before=5).run_id is None
        assert len(store.run_ids()) == 1


class TestDamagedHours:
    """An hour that is made anew, or dropped, is sound again: the ledger says what it had."""

    @pytest.fixture(params=["missing", "empty", "of earlier", "of another hour"])
    def damaged(self, request, store, raw):
        """Two hours of two sources, of which the partition of hour 1 is not what it should be."""
        ingest([write(raw, "a.csv", "1,foo,bar,v,1,2", "2,foo,bar,v,5,6")], store)
        earlier = store.partition(1).read_bytes()
        ingest([write(raw, "b.csv", "1,foo,bar,v,10,20")], store)
        if request.param == "missing":
            store.partition(1).unlink()
        else:
            other = {"empty": b"", "of earlier": earlier, "of another hour": store.partition(2).read_bytes()}
            store.partition(1).write_bytes(other[request.param])
        assert verify(store).problems != []
        return store

    def test_to_forget_a_source_and_count_it_again_mends_its_hours(self, damaged, raw):
        forget(damaged, [str(raw / "b.csv")])
        assert verify(damaged, deep=DeepOptions()).problems == []
        ingest([str(raw / "b.csv")], damaged)
        assert verify(damaged, deep=DeepOptions()).problems == []
        assert (verify(damaged).bytes_tx, verify(damaged).bytes_rx) == (16, 28)

    def test_so_does_to_forget_all_of_them(self, damaged, raw):
        forget(damaged, [str(raw / "a.csv"), str(raw / "b.csv")])
        assert verify(damaged).problems == []
        assert damaged.hours() == []

    def test_so_does_to_replace_a_changed_source(self, damaged, raw):
        ingest([write(raw, "b.csv", "1,foo,bar,v,30,40")], damaged, IngestOptions(replace_changed=True))
        assert verify(damaged, deep=DeepOptions()).problems == []

    def test_an_hour_that_cannot_be_read_can_be_dropped(self, store, raw):
        ingest([write(raw, "a.csv", "1,foo,bar,v,1,2", "2,foo,bar,v,5,6")], store)
        store.partition(1).write_bytes(b"")
        assert drop(store, before=2).hours == [1]
        assert verify(store).problems == []


class TestProvingDeep:
    def test_a_sound_store_is_what_its_raw_files_add_up_to(self, store, raw):
        write(raw, "a.csv", "1,foo,bar,v,1,1", "x,y,z,v,1,1")
        ingest([str(raw)], store)
        write(raw, "b.csv", "1,foo,bar,v,1,1", "2,x,y,v,1,1")
        ingest([str(raw)], store)
        result = verify(store, deep=DeepOptions())
        assert result.problems == []
        assert (result.proof.hours, result.proof.missing) == (2, [])

    def test_bytes_that_moved_between_apps_are_found(self, store, raw):
        """The sums alone cannot see it, nor can the digest if the ledger was forged as well."""
        a = write(raw, "a.csv", "1,foo,bar,v,1,5", "1,baz,bar,v,5,1")
        ingest([a], store)
        forged = Locations(raw.parent / "forged")
        ingest([write(raw, "b.csv", "1,foo,bar,v,5,1", "1,baz,bar,v,1,5")], forged)
        shutil.copy(forged.partition(1), store.partition(1))
        record = store.record_of(store.run_ids()[0])
        (theirs,) = read_runs(forged)
        (ours,) = read_runs(store)
        record.write_bytes(replace(ours, files=theirs.files).to_json())
        assert verify(store).problems == []
        (problem,) = verify(store, deep=DeepOptions()).problems
        assert "hour=1/part-0.parquet: is not what its raw files add up to" in problem

    def test_hours_whose_raw_files_are_gone_are_said_to_be_unproved(self, store, raw):
        a = write(raw, "a.csv", "1,foo,bar,v,1,1", "2,foo,bar,v,1,1")
        write(raw, "b.csv", "2,foo,bar,v,1,1", "3,foo,bar,v,1,1")
        ingest([str(raw)], store)
        (raw / "a.csv").unlink()
        proof = verify(store, deep=DeepOptions()).proof
        assert (proof.hours, proof.missing, proof.unproved) == (1, [a], [1, 2])

    def test_raw_files_that_were_moved_are_found_where_the_user_says(self, store, raw, tmp_path):
        write(raw, "a.csv", "1,foo,bar,v,1,1")
        ingest([str(raw)], store)
        (tmp_path / "archive").mkdir()
        (raw / "a.csv").rename(tmp_path / "archive" / "old.csv")
        assert verify(store, deep=DeepOptions([str(tmp_path / "archive")])).proof.hours == 1


def test_a_damaged_record_stops_an_undoing(store, raw):
    a = write(raw, "a.csv", "1,foo,bar,v,1,1")
    ingest([a], store)
    store.record_of(store.run_ids()[0]).write_text("{")
    with pytest.raises(StoreDamaged):
        forget(store, [a])


class TestALedgerOfYears:
    @pytest.fixture
    def alive(self, monkeypatch):
        """How many records there were at once, whenever one was read."""
        records, alive = [], []
        from_json = RunRecord.from_json

        def noted(text):
            record = from_json(text)
            records.append(weakref.ref(record))
            alive.append(sum(reference() is not None for reference in records))
            return record

        monkeypatch.setattr(RunRecord, "from_json", noted)
        return alive

    @pytest.fixture
    def counted(self, store, raw):
        for hour in range(1, 9):
            ingest([write(raw, f"{hour}.csv", f"{hour},foo,bar,v,1,1")], store)
        return store

    def test_is_read_once_and_record_by_record_to_forget_a_source(self, counted, raw, alive):
        assert forget(counted, [str(raw / "8.csv")]).hours == [8]
        assert len(alive) < 2 * 8  # its own record too
        assert max(alive) <= 2

    def test_is_read_once_and_record_by_record_to_replace_a_source(self, counted, raw, alive):
        changed = write(raw, "8.csv", "8,foo,bar,v,1,1", "8,foo,bar,v,1,1")
        assert ingest([changed], counted, IngestOptions(replace_changed=True)).ingested == 1
        assert len(alive) < 2 * 8  # its own record too
        assert max(alive) <= 2

    def test_has_one_copy_of_what_all_records_say_of_how_rows_were_understood(self, counted):
        found = counted_by(read_runs(counted))
        assert len(found.sources) == 8
        assert len({id(source.interpretation) for source in found.sources}) == 1
