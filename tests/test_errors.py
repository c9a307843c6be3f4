"""The errors that a user can meet: one tree, and sentences that survive a process boundary."""

import pickle
import re

import pytest

from pipeline import errors

EXAMPLES = [
    (
        errors.BadQuery(
            [("hour", "positive", "the hour 0 must be positive"), ("top", "positive", "top must be at least 1")]
        ),
        "the hour 0 must be positive; top must be at least 1",
    ),
    (errors.FlowlogError("it went wrong"), "it went wrong"),
    (errors.UsageError("there is no store in x"), "there is no store in x"),
    (errors.SourceError("row 1: torn"), "row 1: torn"),
    (errors.UnknownFormat("binary data"), "unknown format: binary data"),
    (errors.UnknownFormat("an ORC file", "convert it to Parquet"), "unknown format: an ORC file; convert it to Parquet"),
    (
        errors.OtherLog("a Zeek dns log", "flowlog reads conn.log only"),
        "unknown format: a Zeek dns log; flowlog reads conn.log only",
    ),
    (
        errors.MissingColumns(["hour"], ["a", "b"]),
        "missing column hour; the file has: a, b; have the log written with it, or name another format by --format",
    ),
    (
        errors.MissingColumns(["hour", "vpc_id"], ["a"]),
        "missing columns hour, vpc_id; the file has: a; have the log written with them, or name another format by --format",
    ),
    (errors.UnreadableSource("line 7: cut off"), "line 7: cut off"),
    (errors.EmptySource(), "it is empty"),
    (
        errors.NoValidRow(159, "CSV", "row 2: hour must be positive", "mend it"),
        "none of its 159 rows is valid as CSV: row 2: hour must be positive; mend it",
    ),
    (errors.NoValidRow(1, "CSV", "row 2: torn", "mend it"), "its only row is not valid as CSV: row 2: torn; mend it"),
    (errors.SourceChanged(), "the file changed while it was being read; it will be tried again by the next run"),
    (errors.RunStopped("stopped"), "stopped"),
    (
        errors.StrictRunStopped("a.csv", "row 3: hour must be positive"),
        (
            "stopped by --strict, nothing was committed: a.csv: row 3: hour must be positive; mend this file or leave it out, or run "
            "the command without --strict"
        ),
    ),
    (
        errors.TooManyRejects(1500, 3000, 0.25, "a.csv: row 3: torn"),
        (
            "stopped by --max-reject-ratio 0.25, nothing was committed: "
            "1,500 of 3,000 rows were rejected (50.00%); the first: a.csv: row 3: torn; mend the files or leave them out, or allow more"
        ),
    ),
    (
        errors.SumOverflow("bytes_tx", "src_app 'a'"),
        "the sum of bytes_tx for src_app 'a' does not fit into 64 bits, so it can be neither stored nor shown: leave out the source that has such numbers; a query may ask for fewer hours, or by more columns",
    ),
    (
        errors.TooManyNames(498752, 3_000_000_000, 1_000_000_000),
        (
            "the distinct names of the hour 498752 have 3,000,000,000 bytes or more, and here an hour's names must have at most "
            "1,000,000,000 together, a quarter of the memory and at most 2 GiB; nothing was committed: leave out the source that "
            "has such names"
        ),
    ),
    (errors.BucketError("s3://b/k", "it is odd"), "cannot use s3://b/k: it is odd"),
    (errors.BucketUnusable("s3://b", "there is none"), "cannot use s3://b: there is none"),
    (errors.BucketDenied("s3://b/k", "no"), "cannot use s3://b/k: no"),
    (errors.BucketUnreachable("s3://b/k", "no"), "cannot use s3://b/k: no"),
    (errors.ObjectChanged("s3://b/k", "no"), "cannot use s3://b/k: no"),
    (
        errors.ClusterFailed("the scheduler is gone"),
        "the scheduler is gone; nothing was committed: repeat the run once the cluster works, or count on this machine alone",
    ),
    (
        errors.OtherBuild("node-7", ("0.1", "aa"), ("0.2", "bb")),
        (
            "the worker on the machine node-7 has flowlog 0.1 with kernel aa, and the run has flowlog 0.2 with kernel bb; nothing was "
            "committed: install the same flowlog on all machines"
        ),
    ),
    (
        errors.FolderNotShared("node-7", "/store/staging/1/scratch"),
        (
            "the worker on the machine node-7 does not see the folder /store/staging/1/scratch; nothing was committed: the store, "
            "or for a store in a bucket the folder that XDG_CACHE_HOME names, must lie on a disk that all machines share, under the same "
            "path"
        ),
    ),
    (errors.StoreError("no"), "no"),
    (
        errors.StoreLocked("s", "process 7 on host"),
        "the store s is in use by process 7 on host; try again later, or wait for it with --wait SECONDS",
    ),
    (
        errors.StoreServed("s", "process 7 on host"),
        "the store s is served by process 7 on host; one service at a time writes its log: stop that one first, or send the records to it",
    ),
    (
        errors.StoreVersion("s/runs", 1),
        (
            "the store was made by flowlog 0.1 (store version 1), which this flowlog does not read: s/runs; "
            "ingest the raw files into a new folder"
        ),
    ),
    (
        errors.StoreVersion("s/runs/00000001.json", 3),
        (
            "the store was made by another flowlog (store version 3), which this flowlog does not read: "
            "s/runs/00000001.json; ingest the raw files into a new folder"
        ),
    ),
    (
        errors.StoreUnreadable("s/x", "Permission denied"),
        "cannot read the store: s/x: Permission denied; once this user may and can read it, run the command again",
    ),
    (
        errors.StoreOvertaken("s/runs/00000042.json"),
        (
            "another run has committed s/runs/00000042.json meanwhile, although this run held the store's lock, as happens "
            "on network file systems that do not keep locks; nothing of this run was committed: run the command again"
        ),
    ),
    (
        errors.StoreBusy("s", 20),
        (
            "runs of other machines have committed to the store s first, 20 times in a row; nothing of this run was committed: "
            "run the command again, and let fewer machines write to this store at once"
        ),
    ),
    (
        errors.StoreUncertain("00000042", "s/runs/00000042.json", "no answer"),
        (
            "it is not known whether the run 00000042 is committed: s/runs/00000042.json: no answer; run the command again: it "
            "finishes this run or counts anew, and nothing is counted twice"
        ),
    ),
    (
        errors.StoreDamaged("s/x", "torn"),
        (
            "the store is damaged: s/x: torn; `flowlog verify` names all that is damaged, and docs/operations.md says how to mend"
            ' it, under "When something is wrong"'
        ),
    ),
    (errors.StoreDamaged("s/x", "torn", "make it anew"), "the store is damaged: s/x: torn; make it anew"),
    (
        errors.StoreUnwritable("s/x", "No space left on device"),
        (
            "cannot write to the store: s/x: No space left on device; nothing was committed, the store is as it was: once this user "
            "may and can write there, run the command again"
        ),
    ),
    (
        errors.StoreUnpublished("run-1", "s/x", "Input/output error"),
        (
            "the run run-1 is committed, but cannot be published: s/x: Input/output error; "
            "once that is mended, any ingest into this store finishes it"
        ),
    ),
]


def tree_below(error, depth=0):
    """The names of an exception and of those below it, each with its depth."""
    yield error.__name__, depth
    for child in error.__subclasses__():
        yield from tree_below(child, depth + 1)


@pytest.mark.parametrize(("error", "sentence"), EXAMPLES, ids=[type(error).__name__ for error, _ in EXAMPLES])
def test_an_error_is_a_sentence_and_survives_pickling(error, sentence):
    assert str(error) == sentence
    revived = pickle.loads(pickle.dumps(error))
    assert type(revived) is type(error)
    assert str(revived) == sentence
    assert vars(revived) == vars(error)


def test_every_error_has_its_example_here_and_is_exported():
    names = {name for name, _ in tree_below(errors.FlowlogError)}
    assert {type(error).__name__ for error, _ in EXAMPLES} == names
    assert set(errors.__all__) == names


def test_the_tree_drawn_at_the_top_is_the_tree():
    drawn = re.findall(r"^    ((?:│   |    |├── |└── )*)([A-Z]\w+)", errors.__doc__, re.MULTILINE)
    assert sorted((name, len(branch) // 4) for branch, name in drawn) == sorted(tree_below(errors.FlowlogError))


def test_the_exit_codes_drawn_at_the_top_are_the_classes_own_and_those_below_them_inherit_them():
    drawn = dict(re.findall(r"── (\w+) .*exit code (\d)", errors.__doc__))
    assert drawn == {"UsageError": "2", "SourceError": "3", "RunStopped": "4", "BucketError": "5", "StoreError": "5"}
    for name, code in drawn.items():
        error = getattr(errors, name)
        assert {getattr(errors, below).exit_code for below, _ in tree_below(error)} == {int(code)}


def test_a_file_with_hundreds_of_columns_is_not_listed_whole():
    sentence = str(errors.MissingColumns(["hour"], [f"c{i}" for i in range(1, 501)]))
    assert ", c39, c40, …; have" in sentence
