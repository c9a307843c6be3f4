"""The ledger: what has been counted, so that nothing is counted twice and everything can be proved.

`runs/NUMBER.json`, one file for each committed run, is the truth. This module has the records' shape, and reads them one by
one in their order. `chain` seals a record and ties it to the one before it; `index` answers "is this source known" without
reading years of records.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from json.encoder import encode_basestring_ascii as _quoted
from typing import Any, NamedTuple

from pipeline.digests import Content
from pipeline.errors import StoreDamaged
from pipeline.store.chain import STORE_VERSION, LastRun, read_sealed, seal
from pipeline.store.layout import Locations, run_id_of

#: What is wrong with a record whose `previous` is not the checksum of the record before it.
NOT_FOLLOWING = "does not follow the record before it; one of the two is not the one that was committed"


@dataclass(slots=True)
class SourceRecord:
    """One raw file that was counted. A run of small files makes very many: to freeze them would take twice as long.

    Attributes:
        path: Where the file was, as `sources.name_of` writes it.
        digest: XXH3-128 of its content, unpacked, in hexadecimal: its identity.
        size: The content's size in bytes; head: what proposes what it may be the start of (see `content.Content`).
        packed_digest: XXH3-128 of its bytes as they lay on the disk; packed_size: how many they were.
        mtime_ns: Its time of modification, in nanoseconds since the epoch.
        format: The name of its format.
        read: Its records. read = valid + rejected + the sum of `ignored`.
        ignored: The records that were left out on purpose, by reason.
        bytes_tx: The sum over its valid records, in bytes; bytes_rx alike.
        hours: The hours to which it added.
        starts: Other contents that were met, with which this one starts, so that what is in them is counted.
        notes: How many valid records have something of which a user should know, by what that is.
        ignored_bytes: The bytes of the records that were left out, sent and received together, by reason, where they are known;
            None in records of before this was kept.
        etag: What the bucket called the object's bytes, where the source was an object; "" for a file.
    """

    path: str
    digest: str
    size: int
    head: str
    packed_digest: str
    packed_size: int
    mtime_ns: int
    format: str
    read: int
    valid: int
    rejected: int
    ignored: dict[str, int]
    bytes_tx: int
    bytes_rx: int
    hours: list[int] = field(default_factory=list)
    starts: list[Content] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)
    ignored_bytes: dict[str, int] | None = None
    etag: str = ""

    @property
    def content(self) -> Content:
        return Content(self.digest, self.size, self.head)

    def to_json(self) -> str:
        """The record's text, on one line, as `json.dumps` writes its fields: that takes twice as long, and these are most of a run."""
        starts = [start._asdict() for start in self.starts]
        return (
            f'{{"path": {_quoted(self.path)}, "digest": {_quoted(self.digest)}, "size": {self.size},'
            f' "head": {_quoted(self.head)}, "packed_digest": {_quoted(self.packed_digest)},'
            f' "packed_size": {self.packed_size}, "mtime_ns": {self.mtime_ns}, "format": {_quoted(self.format)},'
            f' "read": {self.read}, "valid": {self.valid}, "rejected": {self.rejected}, "ignored": {_dumped(self.ignored)},'
            f' "bytes_tx": {self.bytes_tx}, "bytes_rx": {self.bytes_rx}, "hours": {self.hours}, "starts": {_dumped(starts)},'
            f' "notes": {_dumped(self.notes)}, "ignored_bytes": {_dumped(self.ignored_bytes)}, "etag": {_quoted(self.etag)}}}'
        )


def _dumped(value: Mapping[str, int] | Sequence[Any] | None) -> str:
    """A value as JSON; mostly there is nothing in it."""
    return json.dumps(value) if value or value is None else str(value)


@dataclass(frozen=True)
class RunRecord:
    """One committed run.

    Attributes:
        run_id: Its number, in eight digits or more.
        started: When it started, by the clock, ISO 8601 in UTC; finished: when it committed. For people: nothing is decided by
            them, since a clock may be wrong.
        sources: What it counted.
        hours: What it added to each hour: `flows`, `bytes_tx` and `bytes_rx`; less than 0 where it took away.
        interpretation: How the sources' rows were understood (`options.ReadOptions`).
        files: The digest (XXH3-128) of each file that it put in place, by its path in the store.
        forgotten: Sources of earlier runs that it took back, by path and digest.
        dropped: Whether it dropped the hours that it lists, so that they are no part of what earlier sources counted.
        attempt: Which attempt to commit this run it was; no other run's attempt has this name.
        previous: The checksum of the record of the run before it; "" in the first run's.
        version: The version of the store's format.
        checksum: The checksum of its own record, once that was read; "" before.
    """

    run_id: str
    started: str
    finished: str
    sources: list[SourceRecord]
    hours: dict[int, dict[str, int]] = field(default_factory=dict)
    interpretation: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    forgotten: list[dict[str, str]] = field(default_factory=list)
    dropped: bool = False
    attempt: str = ""
    previous: str = ""
    version: int = STORE_VERSION
    checksum: str = field(default="", compare=False)

    def to_json(self) -> bytes:
        """The record's text: a field a line, and a source a line; the version first, and the checksum last."""
        values = {"version": self.version} | vars(self)
        fields = {name: json.dumps(value) for name, value in values.items() if name not in ("sources", "checksum")}
        fields["sources"] = "[" + ",".join(f"\n  {source.to_json()}" for source in self.sources) + "\n ]"
        return seal(("{" + ",".join(f"\n {json.dumps(name)}: {text}" for name, text in fields.items())).encode())

    @classmethod
    def from_json(cls, text: bytes) -> RunRecord:
        """Reads what `to_json` wrote.

        Raises:
            ValueError: The text is not of that shape; KeyError, TypeError, AttributeError and RecursionError alike.
        """
        fields: dict[str, Any] = json.loads(text)
        fields["sources"] = [
            SourceRecord(**{**source, "starts": [Content(**start) for start in source["starts"]]})
            for source in fields["sources"]
        ]
        fields["hours"] = {int(hour): added for hour, added in fields["hours"].items()}
        run = cls(**fields)
        _check_types(run, "run_id started finished attempt previous checksum", str)
        for source in run.sources:
            _check_types(source, "path digest head packed_digest format etag", str)
            _check_types(source, "size packed_size mtime_ns read valid rejected bytes_tx bytes_rx", int)
            _check_integers(source.ignored.values())
            _check_integers(source.notes.values())
            _check_integers((source.ignored_bytes or {}).values())
            _check_integers(source.hours)
            for start in source.starts:
                _check_types(start, "digest head", str)
                _check_types(start, "size", int)
        _check_types(run, "interpretation", dict)
        _check_types(run, "dropped", bool)
        for texts in (run.files, *run.forgotten):
            if any(type(value) is not str for value in texts.values()):
                raise TypeError(f"{texts!r} are no texts")
        if any(set(source) != {"path", "digest"} for source in run.forgotten):
            raise TypeError("a forgotten source has a path and a digest")
        for added in run.hours.values():
            _check_integers(added[name] for name in ("flows", "bytes_tx", "bytes_rx"))
        return run

    def total(self, name: str) -> int:
        """The sum of one number over the run's sources, as `total("read")`."""
        return sum(getattr(source, name) for source in self.sources)

    def by_reason(self, name: str) -> Counter[str]:
        """The sums over the run's sources by reason, of `ignored` or of `ignored_bytes`."""
        total = Counter[str]()
        for source in self.sources:
            if found := getattr(source, name):  # mostly there is nothing
                total.update(found)
        return total


def _check_types(record: object, names: str, kind: type) -> None:
    for name in names.split():
        if type(getattr(record, name)) is not kind:
            raise TypeError(f"{name} is {getattr(record, name)!r}")


def _check_integers(values: Iterable[object]) -> None:
    for value in values:
        if type(value) is not int:
            raise TypeError(f"{value!r} is no integer")


def now() -> str:
    """The time as a record has it: ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_run(store: Locations, run_id: str) -> RunRecord:
    """Reads a committed run's record, and checks its checksum.

    Raises:
        StoreDamaged: It is missing, or not as it was written.
        StoreUnreadable: The operating system refuses to read it.
        StoreVersion: Another version of flowlog wrote it.
    """
    run = _find_run(store, run_id)
    if run is None:
        raise StoreDamaged(str(store.record_of(run_id)), "is missing")
    return run


def _find_run(store: Locations, run_id: str) -> RunRecord | None:
    """Reads the record as `read_run` does; None if the record is missing."""
    try:
        content, _ = read_sealed(store, run_id)
    except FileNotFoundError:
        return None
    try:
        run = RunRecord.from_json(content)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        path = str(store.record_of(run_id))
        raise StoreDamaged(path, f"is not a run's record: {type(error).__name__}: {error}") from error
    if run.run_id != run_id:
        raise StoreDamaged(str(store.record_of(run_id)), f"it is the record of the run {run.run_id}")
    return run


def read_runs(store: Locations, behind: LastRun | None = None) -> Iterator[RunRecord]:
    """The records of committed runs, oldest first, each held against the one before it.

    Args:
        store: The store.
        behind: Only the runs behind this one, without a listing of `runs/`; None for all.

    Raises:
        StoreDamaged: A record is missing, or not as it was written, or does not follow the one before it.
        StoreUnreadable: The operating system refuses to read one; StoreVersion: another version of flowlog wrote one.
    """
    last = behind or LastRun()
    listed = 0 if behind else max(store.run_numbers(), default=0)
    for number, run in _found_runs(store, last.number + 1):
        if run is None:
            if number < listed:
                raise StoreDamaged(str(store.record_of(run_id_of(number))), "is missing, and later runs are there")
            return
        if run.previous != last.checksum:
            raise StoreDamaged(str(store.record_of(run.run_id)), NOT_FOLLOWING)
        yield run
        last = LastRun(number, run.checksum)


#: Where an answer takes its time, so many records are asked for at once at the most, for each thread.
_AHEAD = 2


def _found_runs(store: Locations, first: int) -> Iterator[tuple[int, RunRecord | None]]:
    """The records from a number on, without an end; None for each that is missing. Where each waits for an answer, more and more
    are asked for at once: mostly there is none, and sometimes there are thousands.
    """
    if store.files.threads is None:
        yield from ((number, _find_run(store, run_id_of(number))) for number in count(first))
        return
    window = 1
    while True:
        numbers = range(first, first + window)
        yield from zip(numbers, store.map_many(partial(_find_run, store), list(map(run_id_of, numbers))), strict=True)
        first += window
        window = min(2 * window, _AHEAD * store.files.threads)


class ActiveSource(NamedTuple):
    """A source that counts: no later run took it back.

    Attributes:
        source: Its record.
        interpretation: How its rows were understood.
        hours: The hours in which the source still counts: those that were not dropped since.
    """

    source: SourceRecord
    interpretation: dict[str, Any]
    hours: frozenset[int]

    @property
    def key(self) -> tuple[str, str]:
        """What tells the source from all others: a path, and the digest of what was there."""
        return self.source.path, self.source.digest


def active_sources(runs: Iterable[RunRecord]) -> list[ActiveSource]:
    """The sources that count, in the order in which they were counted.

    Args:
        runs: All committed runs, oldest first.
    """
    active: dict[tuple[str, str], tuple[SourceRecord, dict[str, Any], int]] = {}
    dropped: dict[int, int] = {}  # which run dropped an hour last: to look at all sources at each drop would take minutes
    interpretations: dict[str, dict[str, Any]] = {}  # each record has its own, which are nearly all alike
    for number, run in enumerate(runs):
        interpretation = interpretations.setdefault(str(run.interpretation), run.interpretation)
        for source in run.forgotten:
            active.pop((source["path"], source["digest"]), None)
        if run.dropped:
            dropped |= dict.fromkeys(run.hours, number)
        for record in run.sources:
            active[record.path, record.digest] = record, interpretation, number
    return [
        ActiveSource(record, interpretation, frozenset(hour for hour in record.hours if dropped.get(hour, -1) <= number))
        for record, interpretation, number in active.values()
    ]


class Counted(NamedTuple):
    """What all runs together have counted.

    Attributes:
        sources: The sources that count, in the order in which they were counted.
        sums: What the runs have added to each hour, as `flows`, `bytes_tx` and `bytes_rx`.
    """

    sources: list[ActiveSource]
    sums: Mapping[int, Counter[str]]


def counted_by(runs: Iterable[RunRecord]) -> Counted:
    """What runs have counted, from one pass in which each record is let go: a ledger of years has half a million.

    Args:
        runs: All committed runs, oldest first.
    """
    sums = defaultdict[int, Counter[str]](Counter)

    def summed() -> Iterator[RunRecord]:
        for run in runs:
            add_hours(sums, run)
            yield run

    return Counted(active_sources(summed()), sums)


def sums_by_hour(runs: Iterable[RunRecord]) -> defaultdict[int, Counter[str]]:
    """What some runs together have added to each hour, as `flows`, `bytes_tx` and `bytes_rx`; nothing to an hour that none has."""
    sums = defaultdict[int, Counter[str]](Counter)
    for run in runs:
        add_hours(sums, run)
    return sums


def add_hours(sums: defaultdict[int, Counter[str]], run: RunRecord) -> None:
    """Adds what a run has added to each hour to such sums."""
    for hour, added in run.hours.items():
        sums[hour].update(added)
