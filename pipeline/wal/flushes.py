"""Which attempt to commit a run flushes which segment, and whether it has.

The notes stand in `moves.jsonl`, a sealed JSON object a line. They are durable before an attempt begins: a service that
starts after a crash knows which attempt to ask whether a segment is in `flows/` already.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from pipeline.store import files
from pipeline.store.chain import is_committed
from pipeline.store.layout import Locations
from pipeline.wal.seals import proven, sealed
from pipeline.wal.segments import replace


@dataclass(frozen=True, slots=True)
class Notes:
    """The notes of flushes.

    Attributes:
        attempts: The last attempt to commit a run that was to flush each segment, as far as an attempt is known.
        is_damaged: Whether there may have been other notes.
    """

    attempts: dict[str, str]
    is_damaged: bool


def read_notes(store: Locations) -> Notes:
    """Reads the notes.

    Raises:
        StoreUnreadable: The operating system refuses to read them.
        StoreDamaged: Something else than a file has their name.
    """
    try:
        content = files.PosixFiles().read(store.moves)
    except FileNotFoundError:
        return Notes({}, False)
    notes = [(json.loads(content[start:told] + b"}"), end - start) for start, told, end in proven(content)]
    attempts = {note["segment"]: note["attempt"] for note, _ in notes}
    return Notes(attempts, sum(length for _, length in notes) < len(content))


def note(store: Locations, segment: str, attempt: str) -> None:
    """Notes, durably, which attempt to commit a run is to flush a segment; drops the notes of segments that are gone."""
    present = set(store.segments())
    kept = {name: noted for name, noted in read_notes(store).attempts.items() if name in present}
    write_notes(store, kept | {segment: attempt})


def write_notes(store: Locations, attempts: dict[str, str]) -> None:
    """Makes all notes anew, durably: the attempt to commit a run by each segment."""
    lines = [sealed(f'{{"segment":"{name}","attempt":"{noted}"'.encode(), b"}\n") for name, noted in attempts.items()]
    with files.writing(store.moves):
        replace(store, store.moves, b"".join(lines))


def is_flushed(store: Locations, attempt: str | None, hour: int) -> bool:
    """Whether what an attempt to commit a run adds to an hour is in `flows/`.

    This takes no lock: once it is true it stays true, whichever process finishes the run. A reader that asks before and after
    it reads the partition, and gets the same answer, knows which of the two it has read.
    """
    if attempt is None or not is_committed(store, attempt):
        return False
    return not store.is_waiting(attempt, store.partition(hour))
