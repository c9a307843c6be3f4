"""Whether a medium keeps the conditions on which a store of several machines rests.

Some servers take the conditions of a request, and write as if there were none. There two runs at once would both commit, and one
would be lost without a word. So the first run of a store tries.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import PurePath

from pipeline.errors import UsageError
from pipeline.store.files import Move
from pipeline.store.layout import Locations


def check_conditions(store: Locations, folder: PurePath) -> None:
    """Tries to make a file twice, and to replace a file that is another version.

    Args:
        store: The store, whose files have versions.
        folder: Where the files are made, and removed again.

    Raises:
        UsageError: The server did what it must refuse.
        StoreUnwritable: The server refused what it must do; StoreUnreadable alike.
    """
    files = store.files
    place, other = folder / "place", folder / "other"
    for path in (place, other):
        with suppress(FileExistsError):  # this process' own, where the answer was lost
            files.create(path, path.name.encode())
    with suppress(FileExistsError):
        files.create(place, b"made twice")
    _, version = files.read_with_version(other)
    files.replace([Move(other, place, version)])
    if files.read(place) != b"place":
        raise UsageError(
            f"the server of {store.name} takes no notice of the conditions of a request (If-None-Match and If-Match), so runs of "
            "two machines would lose each other's totals; nothing was committed: see docs/buckets.md"
        )
    files.delete([place])
