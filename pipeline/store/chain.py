"""A run's record as a file: numbered, sealed with a checksum, and chained to the record before it.

`runs/00000042.json` is the record of the 42nd run. Its last field is the checksum of all bytes before that field, and one of
its first is the checksum of `runs/00000041.json`: a flipped bit, a missing, a swapped or an added record shows.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import NamedTuple

from pipeline import digests
from pipeline.errors import StoreDamaged, StoreUnreadable, StoreVersion
from pipeline.store.layout import Locations, run_id_of, run_id_of_attempt

#: The version of the store's format. Each record says it, and no other version is read.
STORE_VERSION = 2


class LastRun(NamedTuple):
    """The last committed run, behind which the next one is committed.

    Attributes:
        number: Its number; 0 where there is none.
        checksum: Its record's checksum; "" where there is none.
    """

    number: int = 0
    checksum: str = ""


def seal(fields: bytes) -> bytes:
    """A record's content.

    Args:
        fields: A JSON object, without the newline and the brace at its end.
    """
    return fields + _end(digests.digest_of_bytes(fields))


def _end(checksum: str) -> bytes:
    return f',\n "checksum": "{checksum}"\n}}\n'.encode()


_END_BYTES = len(_end("0" * 32))


def checksum_of(content: bytes) -> str | None:
    """The checksum with which a record ends; None if this is not the checksum of all bytes before it."""
    checksum = digests.digest_of_bytes(memoryview(content)[:-_END_BYTES])
    return checksum if content.endswith(_end(checksum)) else None


def read_sealed(store: Locations, run_id: str) -> tuple[bytes, str]:
    """A record's content, and its checksum, which was checked.

    Raises:
        FileNotFoundError: There is no such run.
        StoreDamaged: The record's checksum is wrong, or it is not a file.
        StoreUnreadable: The record cannot be read.
        StoreVersion: Another version of flowlog wrote the record.
    """
    path = store.record_of(run_id)
    content = store.files.read(path)
    checksum = checksum_of(content)
    if checksum is None or not content.startswith(_HEAD):
        version = _version_of(content)
        if version == 1 or (checksum is not None and version is not None):
            raise StoreVersion(str(path), version)
        raise StoreDamaged(str(path), "is not a run's record: its checksum is not that of its content")
    return content, checksum


def check_version(store: Locations) -> bool:
    """Refuses a store that another version of flowlog made. A store without any run is of this version.

    Returns:
        Whether there is a first run: in a bucket this alone tells that there is a store.

    Raises:
        StoreVersion: Its first record says so, or its records are named by times, as those of flowlog 0.1 were.
    """
    with suppress(StoreDamaged, StoreUnreadable):  # what reads the records will say so
        try:
            with store.files.opened(store.record_of(run_id_of(1))) as file:
                is_ours = file.read(len(_HEAD)) == _HEAD
            if not is_ours:
                read_sealed(store, run_id_of(1))
        except FileNotFoundError:
            if any(re.fullmatch(_NAME_IN_VERSION_1, name) for name in store.files.list(store.runs)):
                raise StoreVersion(str(store.runs), 1) from None
        else:
            return True
    return False


_NAME_IN_VERSION_1 = r"[0-9]{8}T[0-9A-Za-z-]+\.json"

#: How each record starts.
_HEAD = f'{{\n "version": {STORE_VERSION},\n'.encode()


def _version_of(content: bytes) -> int | None:
    """The other version that a record names; None where it names none. Flowlog 0.1 wrote records without a checksum."""
    import json  # a query reads no record

    try:
        version = json.loads(content)["version"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if type(version) is int and version != STORE_VERSION else None


def is_last(store: Locations, last: LastRun) -> bool:
    """Whether a run is still in the store as it was when it was the last; raises what `read_sealed` raises."""
    try:
        return read_sealed(store, run_id_of(last.number))[1] == last.checksum
    except FileNotFoundError:
        return False


def is_committed(store: Locations, attempt: str) -> bool:
    """Whether an attempt is the one that committed its run; raises what `has_won` raises."""
    return has_won(store, attempt) is True


def has_won(store: Locations, attempt: str) -> bool | None:
    """Whether an attempt has committed its run, or another has; None as long as nobody has.

    Raises:
        StoreDamaged: The run's record is damaged; StoreUnreadable and StoreVersion alike.
    """
    try:
        content, _ = read_sealed(store, run_id_of_attempt(attempt))
    except FileNotFoundError:
        return None
    return attempt_line(attempt) in content


def attempt_line(attempt: str) -> bytes:
    """The line of a record that says which attempt it is. No text of a record has a line break, so no other line is this."""
    return f'\n "attempt": "{attempt}",\n'.encode()
