"""The log seen from outside: how much waits, and what the disk has damaged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.store import files
from pipeline.store.chain import is_committed
from pipeline.store.layout import Locations
from pipeline.wal.flushes import read_notes
from pipeline.wal.segments import read


@dataclass(frozen=True, slots=True)
class Inspection:
    """The state of the log.

    Attributes:
        waiting: How many records are whole and not yet in `flows/`.
        problems: What is wrong, a sentence each.
    """

    waiting: int
    problems: list[str]


def inspect(store: Locations) -> Inspection:
    """Looks at the log and changes nothing. A service may be writing the log meanwhile.

    Raises:
        StoreUnreadable: The operating system refuses to read a file of the log.
        StoreDamaged: Something else than a file has the name of one.
    """
    waiting, problems = 0, damaged_file_problems(store)
    notes = read_notes(store)
    if notes.is_damaged:
        problems.append(f"{store.moves}: a note is damaged; the service asks the ledger instead, when it starts")
    for name in store.segments():
        path = store.segment(name)
        try:
            found = read(files.PosixFiles().read(path))
        except FileNotFoundError:  # it was flushed meanwhile
            continue
        problems += [f"{path}: {_damage(*damage)}" for damage in found.damaged]
        attempt = notes.attempts.get(name)
        if attempt is None or not is_committed(store, attempt):
            waiting += sum(entry.data.count(b"\n") for entry in found.entries)
    return Inspection(waiting, problems)


def damaged_file_problems(store: Locations) -> list[str]:
    """What is wrong with the files that were put aside, a sentence each."""
    return [f"{path}: {problem}" for path in store.damaged_files() for problem in _problems_of(path)]


def _problems_of(path: Path) -> Iterator[str]:
    if ".jsonl." not in path.name:
        yield "a damaged database of Idempotency-Keys: what comes again under a key that it has lost counts again"
        return
    try:
        found = read(path.read_bytes())
    except OSError as error:
        yield f"cannot be read: {error.strerror}"
        return
    if not found.damaged:
        yield "was put aside as damaged"
    yield from (_damage(*damage) for damage in found.damaged)


def _damage(start: int, end: int) -> str:
    return f"the bytes {start:,} to {end - 1:,} are damaged, and what was acknowledged there does not count"
