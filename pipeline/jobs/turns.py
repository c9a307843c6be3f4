"""Taking turns with runs of other machines: a run that was overtaken is done again, behind the run that came first."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import StoreBusy, StoreOvertaken
from pipeline.store.layout import Locations

T = TypeVar("T")
#: So often a run is tried. A run that overtakes it has committed: together they get on, and only one of them may be unlucky.
_TURNS = 30
#: The longest pause before the first repetition, and before any, in seconds. Runs that wait equally long would meet again.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


def in_turn(store: Locations, run: Callable[[], T]) -> T:
    """Does a run, and does it again as long as another machine's run commits first.

    Args:
        store: The store.
        run: Opens the index, recovers, and commits behind the last run that the index knows; each time it is called.

    Raises:
        StoreBusy: Others came first every time.
        StoreOvertaken: Another run came first though the store has a lock, as it has on a disk: then the lock does not hold, and
            to go on would not be safe.
    """
    for turn in range(_TURNS):
        try:
            return run()
        except StoreOvertaken:
            if not store.files.has_versions:
                raise
        import random  # next to no run is overtaken

        time.sleep(random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**turn)))  # noqa: S311 - nobody gains by guessing
    raise StoreBusy(store.name, _TURNS)
