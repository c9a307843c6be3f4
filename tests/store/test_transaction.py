"""Staging, the one commit point, publishing, and recovery."""

import os
from pathlib import Path

import pytest

from pipeline.errors import StoreDamaged, StoreOvertaken, StoreUnpublished, StoreUnwritable
from pipeline.store import files
from pipeline.store.chain import LastRun, seal
from pipeline.store.layout import Locations
from pipeline.store.transaction import Transaction, recover, scratch_folder

RUN = "00000001"


@pytest.fixture
def store(tmp_path):
    store = Locations(tmp_path)
    store.partition(1).parent.mkdir(parents=True)
    store.partition(1).write_text("old")
    return store


def content(store):
    return {hour: store.partition(hour).read_text() for hour in store.hours()}


def stage(transaction, store):
    transaction.stage(store.partition(1), b"new")
    transaction.stage(store.partition(2), b"new")


def record_of(transaction):
    fields = [("run_id", transaction.run_id), ("attempt", transaction.attempt), ("previous", transaction.previous)]
    return seal(('{\n "version": 2' + "".join(f',\n "{name}": "{value}"' for name, value in fields)).encode())


def cut_off(store, committed):
    """Leaves the store as a run leaves it that is killed right before or right behind its commit."""
    transaction = Transaction(store, LastRun())
    transaction.__enter__()
    stage(transaction, store)
    if committed:
        files.make_folder(store.runs)
        store.record_of(RUN).write_bytes(record_of(transaction))
    return transaction


def test_a_commit_publishes_all_files_and_leaves_nothing_staged(store):
    with Transaction(store, LastRun()) as transaction:
        stage(transaction, store)
        assert content(store) == {1: "old"}
        transaction.commit(record_of(transaction))
    assert content(store) == {1: "new", 2: "new"}
    assert store.record_of(RUN).read_bytes() == record_of(transaction)
    assert store.staged_runs() == []


def test_a_run_has_the_number_behind_the_last_one(store):
    assert Transaction(store, LastRun(41, "c")).run_id == "00000042"
    assert Transaction(store, LastRun(41, "c")).previous == "c"
    assert Transaction(store, LastRun(99_999_999, "c")).run_id == "100000000"


def test_no_two_attempts_have_the_same_name(store):
    assert Transaction(store, LastRun()).attempt != Transaction(store, LastRun()).attempt


def test_without_a_commit_nothing_has_happened(store):
    with Transaction(store, LastRun()) as transaction:
        stage(transaction, store)
    assert content(store) == {1: "old"}
    assert store.run_ids() == []
    assert store.staged_runs() == []


def test_an_error_before_the_commit_leaves_the_store_as_it_was(store):
    with pytest.raises(ZeroDivisionError), Transaction(store, LastRun()) as transaction:
        stage(transaction, store)
        raise ZeroDivisionError
    assert content(store) == {1: "old"}
    assert store.staged_runs() == []


def test_what_is_put_aside_is_not_published(store):
    with scratch_folder(store) as scratch, Transaction(store, LastRun()) as transaction:
        (scratch / "totals.arrow").write_text("scratch")
        transaction.commit(record_of(transaction))
        assert (scratch / "totals.arrow").exists()
    assert content(store) == {1: "old"}
    assert not list(store.root.rglob("totals.arrow"))


def test_no_staged_file_lies_below_the_data_at_any_moment(store, monkeypatch):
    seen = []

    def look(*args):
        seen.append(sorted(str(path.relative_to(store.flows)) for path in store.flows.rglob("*.parquet")))
        return real(*args)

    real = os.fsync
    monkeypatch.setattr(os, "fsync", look)
    with Transaction(store, LastRun()) as transaction:
        stage(transaction, store)
        transaction.commit(record_of(transaction))
    assert {name for names in seen for name in names} == {"hour=1/part-0.parquet", "hour=2/part-0.parquet"}


@pytest.mark.parametrize("count", [2, 50])
def test_all_is_durable_before_the_commit_is_and_again_before_the_run_is_over(store, monkeypatch, count):
    """Few files are synced one by one, many at once."""
    steps = []
    fsync, link, rename = os.fsync, os.link, os.replace

    def syncing(descriptor):
        fsync(descriptor)
        steps.append(("sync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "link", lambda source, target: (steps.append(("link", str(target))), link(source, target)))
    monkeypatch.setattr(os, "replace", lambda source, target: (steps.append(("move", str(target))), rename(source, target)))
    with Transaction(store, LastRun()) as transaction:
        for hour in range(1, count + 1):
            transaction.stage(store.partition(hour), b"new")
        transaction.commit(b"{}")
    commit = steps.index(("link", str(store.record_of(transaction.run_id))))
    for hour in range(1, count + 1):
        final = store.partition(hour)
        assert ("sync", str(store.staged(transaction.attempt, final))) in steps[:commit]
        assert ("sync", str(final.parent)) in steps[steps.index(("move", str(final))) :]
    assert {kind for kind, _ in steps[:commit]} == {"sync"}


def test_a_run_that_was_cut_off_before_its_commit_is_cleared_away(store):
    cut_off(store, committed=False)
    assert recover(store) == []
    assert content(store) == {1: "old"}
    assert store.staged_runs() == []


def test_a_run_that_was_cut_off_behind_its_commit_is_finished(store):
    cut_off(store, committed=True)
    assert recover(store) == [RUN]
    assert content(store) == {1: "new", 2: "new"}
    assert store.staged_runs() == []


def test_a_run_that_was_cut_off_while_it_published_is_finished(store):
    transaction = cut_off(store, committed=True)
    store.staged(transaction.attempt, store.partition(1)).replace(store.partition(1))
    assert recover(store) == [RUN]
    assert content(store) == {1: "new", 2: "new"}


def test_recovery_can_be_repeated(store):
    cut_off(store, committed=True)
    recover(store)
    assert recover(store) == []


def test_a_second_record_of_the_same_name_is_refused_not_replaced(store):
    files.make_folder(store.runs)
    store.record_of(RUN).write_bytes(b"first")
    with pytest.raises(OSError, match="exists"):
        store.files.create(store.record_of(RUN), store.partition(1))
    assert store.record_of(RUN).read_bytes() == b"first"


def refuse(monkeypatch, module, name, on_path):
    """Makes an operation fail for one path, as a full disk does."""
    real = getattr(module, name)

    def refusing(*args):
        if on_path in str(args):
            raise OSError(28, "No space left on device", on_path)
        return real(*args)

    monkeypatch.setattr(module, name, refusing)


def test_a_refused_write_before_the_commit_commits_nothing(store, monkeypatch):
    refuse(monkeypatch, files, "write", "record.json")
    with (
        pytest.raises(StoreUnwritable, match=r"No space left.*nothing was committed"),
        Transaction(store, LastRun()) as transaction,
    ):
        stage(transaction, store)
        transaction.commit(record_of(transaction))
    assert content(store) == {1: "old"}
    assert store.run_ids() == store.staged_runs() == []


def test_a_refused_write_behind_the_commit_is_said_to_be_committed(store, monkeypatch):
    refuse(monkeypatch, os, "replace", "part-0")
    with pytest.raises(StoreUnpublished, match="run 00000001 is committed"), Transaction(store, LastRun()) as transaction:
        stage(transaction, store)
        transaction.commit(record_of(transaction))
    monkeypatch.undo()
    assert store.run_ids() == [RUN]
    assert recover(store) == [RUN]
    assert content(store) == {1: "new", 2: "new"}


def test_somebody_elses_file_beside_a_removed_one_stays_and_does_no_harm(store):
    files.make_folder(store.runs)
    (store.partition(1).parent / ".nfs0001").touch()
    with Transaction(store, LastRun()) as transaction:
        transaction.remove(store.partition(1))
        transaction.commit(record_of(transaction))
    assert store.hours() == store.staged_runs() == []


class TestALockThatDidNotHold:
    """As on some network file systems: another run commits under the number that this one has taken."""

    def test_the_run_that_comes_second_commits_nothing_and_harms_nothing(self, store):
        with Transaction(store, LastRun()) as winner:
            stage(winner, store)
            loser = Transaction(store, LastRun())
            loser.__enter__()
            loser.stage(store.partition(1), b"loser")
            winner.commit(record_of(winner))
        with pytest.raises(StoreOvertaken, match=r"00000001\.json meanwhile.*run the command again"):
            loser.commit(record_of(loser))
        loser.__exit__(None, None, None)
        assert content(store) == {1: "new", 2: "new"}
        assert store.record_of(RUN).read_bytes() == record_of(winner)
        assert store.staged_runs() == []

    def test_one_that_was_killed_is_cleared_away_though_its_number_is_taken(self, store):
        cut_off(store, committed=False)
        with Transaction(store, LastRun()) as winner:
            winner.commit(record_of(winner))
        assert recover(store) == []
        assert content(store) == {1: "old"}
        assert store.staged_runs() == []

    def test_a_link_that_is_made_and_then_said_to_exist_already_is_this_runs_own(self, store, monkeypatch):
        """A network file system repeats a link whose answer was lost."""

        def twice(source, target):
            link(source, target)
            raise FileExistsError(17, "File exists", str(target))

        link = os.link
        monkeypatch.setattr(os, "link", twice)
        with Transaction(store, LastRun()) as transaction:
            stage(transaction, store)
            transaction.commit(record_of(transaction))
        assert content(store) == {1: "new", 2: "new"}

    def test_what_is_staged_stays_where_it_cannot_be_seen_whose_the_number_is(self, store, monkeypatch):
        files.make_folder(store.runs)
        refuse(monkeypatch, os, "link", "record.json")
        refuse(monkeypatch, files, "opened", f"{RUN}.json")
        with pytest.raises(OSError, match="No space left"), Transaction(store, LastRun()) as transaction:
            stage(transaction, store)
            transaction.commit(record_of(transaction))
        assert store.staged_runs() == [transaction.attempt]
        monkeypatch.undo()
        assert recover(store) == []
        assert content(store) == {1: "old"}
        assert store.staged_runs() == []


def test_a_damaged_record_keeps_what_is_staged_since_nobody_knows_whose_it_is(store):
    transaction = cut_off(store, committed=True)
    record = store.record_of(RUN)
    record.write_bytes(record.read_bytes().replace(b"version", b"Version"))
    with pytest.raises(StoreDamaged, match="checksum"):
        recover(store)
    assert store.staged_runs() == [transaction.attempt]


def test_staging_folders_are_taken_in_the_order_of_their_numbers(store):
    names = ["99999999-0123456789abcdef", "100000000-0123456789abcdef"]
    for name in reversed(names):
        store.staging_of(name).mkdir(parents=True)
    store.staging_of("somebody's").mkdir()
    assert store.staged_runs() == names
