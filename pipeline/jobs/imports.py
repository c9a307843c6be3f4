"""The imports of a run that counts, which take half a second: they begin while others read files."""

from __future__ import annotations

import atexit
from contextlib import suppress
from functools import cache
from threading import Thread


def begin() -> None:
    """Has a thread import what counting needs, unless one does."""
    _begun()


def finish() -> None:
    """Waits until that is imported: the process has a thread less then, and a copy of it all that it needs."""
    _begun().join()


@cache
def _begun() -> Thread:
    # A daemon, so that a command that is done need not wait for it. But where Python itself ends the process, it would cut
    # the thread off, and Arrow's threads with it, for which it may be waiting: the process would hang.
    thread = Thread(target=_import, daemon=True)
    thread.start()
    atexit.register(thread.join)
    return thread


def _import() -> None:
    """Imports first what is needed first."""
    with suppress(ImportError):  # the command meets it as well, and says it
        from pipeline.counting import validation
        from pipeline.jobs import replace  # noqa: F401 - and with it all that counts

        validation.prepare()
        import pyarrow.parquet  # noqa: F401 - the hours are written last
