"""Every exception that a user of flowlog can meet.

    FlowlogError
    ├── UsageError               a request that cannot be carried out as it stands      exit code 2
    │   └── BadQuery             a query breaks some rules, each of which is named
    ├── SourceError              one raw file cannot be counted; the others go on       exit code 3
    │   ├── UnknownFormat        its content is none of the formats that flowlog reads
    │   │   └── OtherLog         it is recognised as another log, which a folder may hold beside the ones meant
    │   ├── MissingColumns       its format is known, but columns that it needs are not there
    │   ├── UnreadableSource     it cannot be read to its end
    │   ├── EmptySource          it has no content, or blank lines alone; nothing is wrong with that
    │   ├── NoValidRow           rows were rejected, and none was valid
    │   └── SourceChanged        it changed while it was being read
    ├── RunStopped               the run was given up; nothing was committed            exit code 4
    │   ├── StrictRunStopped     --strict met a rejected row or a failed source
    │   ├── TooManyRejects       more rows were rejected than --max-reject-ratio allows
    │   ├── SumOverflow          a sum would not fit into 64 bits
    │   ├── TooManyNames         the names of an hour do not fit into memory, or into a file
    │   ├── ClusterFailed        the machines that counted are gone, or do not work as they must
    │   ├── OtherBuild           a worker has another flowlog than the run
    │   └── FolderNotShared      a worker does not see the folder for partial totals
    ├── BucketError              a bucket does not do what is asked of it               exit code 5
    │   ├── BucketUnusable       it is not there, is in another region, or nobody's credentials are set
    │   ├── BucketDenied         the credentials are unknown, have expired, or do not allow the request
    │   ├── BucketUnreachable    it gave no answer, or refused for its load; a write may have landed
    │   └── ObjectChanged        another object took the place of the one that was meant
    └── StoreError               the store cannot be used                               exit code 5
        ├── StoreLocked          another run holds it
        ├── StoreServed          another service holds its log
        ├── StoreVersion         another version of flowlog made it
        ├── StoreDamaged         its files contradict its format or its ledger
        ├── StoreUnreadable      the medium refused to read one of its files or folders
        ├── StoreOvertaken       another run took this run's number; nothing was committed
        ├── StoreBusy            others did so again and again; nothing was committed
        ├── StoreUncertain       it is not known whether the run is committed; the next run finds out
        ├── StoreUnwritable      the medium refused a write; nothing was committed
        └── StoreUnpublished     it refused one behind the commit; the next run goes on from there

Each hands its fields to `Exception.__init__` and builds its sentence in `__str__`, so that it survives pickling.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

__all__ = [
    "BadQuery",
    "BucketDenied",
    "BucketError",
    "BucketUnreachable",
    "BucketUnusable",
    "ClusterFailed",
    "EmptySource",
    "FlowlogError",
    "FolderNotShared",
    "MissingColumns",
    "NoValidRow",
    "ObjectChanged",
    "OtherBuild",
    "OtherLog",
    "RunStopped",
    "SourceChanged",
    "SourceError",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreLocked",
    "StoreOvertaken",
    "StoreServed",
    "StoreUncertain",
    "StoreUnpublished",
    "StoreUnreadable",
    "StoreUnwritable",
    "StoreVersion",
    "StrictRunStopped",
    "SumOverflow",
    "TooManyNames",
    "TooManyRejects",
    "UnknownFormat",
    "UnreadableSource",
    "UsageError",
]


#: Where a user reads what to do with a damaged store.
MENDING = 'docs/operations.md says how to mend it, under "When something is wrong"'


class FlowlogError(Exception):
    """Base of all errors that are the input's or the caller's, not flowlog's."""

    exit_code: ClassVar[int] = 1

    @property
    def told(self) -> str:
        """What is wrong, for a list that says once for all its errors what to do with a damaged store."""
        return str(self)


class UsageError(FlowlogError):
    """A request that cannot be carried out as it stands; the sentence says what to change."""

    exit_code = 2


class BadQuery(UsageError):
    """A query cannot be answered as it stands.

    Attributes:
        broken: The rules that it breaks, each as the attribute of the query, the name of the rule, and a sentence for the user.
    """

    def __init__(self, broken: Sequence[tuple[str, str, str]]) -> None:
        super().__init__(broken)
        self.broken = broken

    def __str__(self) -> str:
        return "; ".join(told for _, _, told in self.broken)


class SourceError(FlowlogError):
    """One raw file cannot be counted. None of it is; the run goes on with the others."""

    exit_code = 3


class UnknownFormat(SourceError):
    """The content is none of the formats that flowlog reads."""

    def __init__(self, found: str, advice: str = "") -> None:
        super().__init__(found, advice)
        self.found = found
        self.advice = advice

    def __str__(self) -> str:
        return f"unknown format: {self.found}" + (f"; {self.advice}" if self.advice else "")


class OtherLog(UnknownFormat):
    """The content is positively recognised as another log: a dns.log beside a conn.log, a Transit Gateway log.

    `found` names the kind of log ("a Zeek dns log"). A folder leaves such a file alone; a file that was named fails.
    """


class MissingColumns(SourceError):
    """A known format, but columns that it needs are not there."""

    def __init__(self, missing: list[str], found: list[str]) -> None:
        super().__init__(missing, found)
        self.missing = missing
        self.found = found

    def __str__(self) -> str:
        shown = ", ".join(self.found[:40]) + (", …" if len(self.found) > 40 else "")
        are_many = len(self.missing) > 1
        return (
            f"missing column{'s' * are_many} {', '.join(self.missing)}; the file has: {shown}; have the log written with"
            f" {'them' if are_many else 'it'}, or name another format by --format"
        )


class UnreadableSource(SourceError):
    """The file cannot be read to its end; the sentence says where and why."""


class EmptySource(SourceError):
    """The file has no content, or blank lines alone: there is nothing to count yet, and nothing wrong."""

    def __str__(self) -> str:
        return "it is empty"


class NoValidRow(SourceError):
    """Rows were rejected, and none was valid: the file is read in a wrong way, or is in a dialect that flowlog does not read.

    Attributes:
        rows: How many rows were read.
        read_as: The name of the format in which they were read, and whether the user chose it.
        reason: Why the first was rejected.
        advice: What to do.
    """

    def __init__(self, rows: int, read_as: str, reason: str, advice: str) -> None:
        super().__init__(rows, read_as, reason, advice)
        self.rows = rows
        self.read_as = read_as
        self.reason = reason
        self.advice = advice

    def __str__(self) -> str:
        rows = f"none of its {self.rows:,} rows is" if self.rows > 1 else "its only row is not"
        return f"{rows} valid as {self.read_as}: {self.reason}; {self.advice}"


class SourceChanged(SourceError):
    """The file changed while it was being read, so what was read is no state that it ever had."""

    def __str__(self) -> str:
        return "the file changed while it was being read; it will be tried again by the next run"


class RunStopped(FlowlogError):
    """The run was given up before its commit: the store is as it was."""

    exit_code = 4


class StrictRunStopped(RunStopped):
    """`--strict` met a rejected row or a failed source."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"stopped by --strict, nothing was committed: {self.source}: {self.problem}; mend this file or leave it out, or run the "
            "command without --strict"
        )


class TooManyRejects(RunStopped):
    """More rows were rejected than `--max-reject-ratio` allows."""

    def __init__(self, rejected: int, read: int, limit: float, example: str) -> None:
        super().__init__(rejected, read, limit, example)
        self.rejected = rejected
        self.read = read
        self.limit = limit
        self.example = example

    def __str__(self) -> str:
        return (
            f"stopped by --max-reject-ratio {self.limit:g}, nothing was committed: "
            f"{self.rejected:,} of {self.read:,} rows were rejected ({self.rejected / self.read:.2%}); "
            f"the first: {self.example}; mend the files or leave them out, or allow more"
        )


class SumOverflow(RunStopped):
    """A sum would pass the largest 64-bit integer."""

    def __init__(self, column: str, key: str) -> None:
        super().__init__(column, key)
        self.column = column
        self.key = key

    def __str__(self) -> str:
        return (
            f"the sum of {self.column} for {self.key} does not fit into 64 bits, so it can be neither stored nor shown: leave out the"
            " source that has such numbers; a query may ask for fewer hours, or by more columns"
        )


class TooManyNames(RunStopped):
    """The distinct names of one hour are too many, or too long."""

    def __init__(self, hour: int, size: int, limit: int) -> None:
        super().__init__(hour, size, limit)
        self.hour = hour
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the distinct names of the hour {self.hour} have {self.size:,} bytes or more, and here an hour's names must have"
            f" at most {self.limit:,} together, a quarter of the memory and at most 2 GiB; nothing was committed: leave out the"
            " source that has such names"
        )


class ClusterFailed(RunStopped):
    """The machines that counted are gone, or do not work as they must."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"{self.problem}; nothing was committed: repeat the run once the cluster works, or count on this machine alone"
        )


class OtherBuild(RunStopped):
    """A worker has another flowlog than the run, and might count otherwise.

    Attributes:
        host: The worker's machine.
        found: The versions of the flowlog there, and of its kernel; wanted: those of the run's.
    """

    def __init__(self, host: str, found: Sequence[str], wanted: Sequence[str]) -> None:
        super().__init__(host, found, wanted)
        self.host = host
        self.found = found
        self.wanted = wanted

    def __str__(self) -> str:
        found, wanted = ("flowlog {} with kernel {}".format(*build) for build in (self.found, self.wanted))
        return (
            f"the worker on the machine {self.host} has {found}, and the run has {wanted}; nothing was committed: install the same"
            " flowlog on all machines"
        )


class FolderNotShared(RunStopped):
    """A worker does not see the folder into which it is to write partial totals."""

    def __init__(self, host: str, folder: str) -> None:
        super().__init__(host, folder)
        self.host = host
        self.folder = folder

    def __str__(self) -> str:
        return (
            f"the worker on the machine {self.host} does not see the folder {self.folder}; nothing was committed: the"
            " store, or for a store in a bucket the folder that XDG_CACHE_HOME names, must lie on a disk that all machines share, under"
            " the same path"
        )


class BucketError(FlowlogError):
    """A bucket does not do what is asked of it.

    Attributes:
        path: The URL of the object, the prefix or the bucket.
        problem: What happened, and what to do.
    """

    exit_code = 5

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"cannot use {self.path}: {self.problem}"


class BucketUnusable(BucketError):
    """The bucket is not there, is in another region, or no credentials are set."""


class BucketDenied(BucketError):
    """The credentials are unknown, have expired, or do not allow the request."""


class BucketUnreachable(BucketError):
    """The bucket gave no answer, or refused for its load, more often than is tried; a write may have landed nevertheless."""


class ObjectChanged(BucketError):
    """Another object has taken the place of the one that was meant."""


class StoreError(FlowlogError):
    """The store cannot be used as it is."""

    exit_code = 5


class StoreLocked(StoreError):
    """Another run holds the store's lock."""

    def __init__(self, store: str, holder: str) -> None:
        super().__init__(store, holder)
        self.store = store
        self.holder = holder

    def __str__(self) -> str:
        return f"the store {self.store} is in use by {self.holder}; try again later, or wait for it with --wait SECONDS"


class StoreServed(StoreError):
    """Another service holds the store's log."""

    def __init__(self, store: str, holder: str) -> None:
        super().__init__(store, holder)
        self.store = store
        self.holder = holder

    def __str__(self) -> str:
        return f"the store {self.store} is served by {self.holder}; one service at a time writes its log: stop that one first, or send the records to it"


class StoreVersion(StoreError):
    """Another version of flowlog made the store, in a format that this one does not read."""

    def __init__(self, path: str, version: int) -> None:
        super().__init__(path, version)
        self.path = path
        self.version = version

    def __str__(self) -> str:
        if self.version == 1:
            made = "was made by flowlog 0.1 (store version 1)"
        else:
            made = f"was made by another flowlog (store version {self.version})"
        return f"the store {made}, which this flowlog does not read: {self.path}; ingest the raw files into a new folder"


class StoreDamaged(StoreError):
    """A file of the store contradicts the store's format or its ledger.

    Attributes:
        path: The file.
        problem: What is wrong with it.
        advice: What to do.
    """

    def __init__(
        self, path: str, problem: str, advice: str = f"`flowlog verify` names all that is damaged, and {MENDING}"
    ) -> None:
        super().__init__(path, problem, advice)
        self.path = path
        self.problem = problem
        self.advice = advice

    @property
    def told(self) -> str:
        return f"the store is damaged: {self.path}: {self.problem}"

    def __str__(self) -> str:
        return f"{self.told}; {self.advice}"


class StoreUnreadable(StoreError):
    """The medium refused to read a file or a folder of the store."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        told = f"cannot read the store: {self.path}: {self.problem}"
        if "://" in self.path:  # of a bucket, the problem says what to do
            return told
        return f"{told}; once this user may and can read it, run the command again"


class StoreOvertaken(StoreError):
    """Another run committed under this run's number; nothing was committed. In a bucket the run is done again, and nobody sees this."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path

    def __str__(self) -> str:
        return (
            f"another run has committed {self.path} meanwhile, although this run held the store's lock, as happens on "
            "network file systems that do not keep locks; nothing of this run was committed: run the command again"
        )


class StoreBusy(StoreError):
    """Runs of other machines have committed first, again and again; nothing was committed."""

    def __init__(self, store: str, times: int) -> None:
        super().__init__(store, times)
        self.store = store
        self.times = times

    def __str__(self) -> str:
        return (
            f"runs of other machines have committed to the store {self.store} first, {self.times} times in a row; nothing of this "
            "run was committed: run the command again, and let fewer machines write to this store at once"
        )


class StoreUncertain(StoreError):
    """It is not known whether a run is committed: no answer came back."""

    def __init__(self, run_id: str, path: str, problem: str) -> None:
        super().__init__(run_id, path, problem)
        self.run_id = run_id
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"it is not known whether the run {self.run_id} is committed: {self.path}: {self.problem}; run the command again: it "
            "finishes this run or counts anew, and nothing is counted twice"
        )


class StoreUnwritable(StoreError):
    """The medium refused a write (no space, no permission, an I/O error); nothing was committed."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"cannot write to the store: {self.path}: {self.problem}; nothing was committed, the store is as it was: once this user "
            "may and can write there, run the command again"
        )


class StoreUnpublished(StoreError):
    """A run is committed, but its files could not all be moved into place yet."""

    def __init__(self, run_id: str, path: str, problem: str) -> None:
        super().__init__(run_id, path, problem)
        self.run_id = run_id
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return (
            f"the run {self.run_id} is committed, but cannot be published: {self.path}: {self.problem}; "
            "once that is mended, any ingest into this store finishes it"
        )
