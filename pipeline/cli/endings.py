"""How a command ends where an error ends it: its sentence and its exit code."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.errors import FlowlogError, RunStopped, UsageError

#: What Python says where the system refuses a thread, for which it has no type of its own.
_NO_THREAD = "can't start new thread"
#: The name in the error of an import that does not find the kernel compiled.
_KERNEL = "pipeline.kernel"


class Ending(NamedTuple):
    """What a command says, and its exit code."""

    sentence: str
    exit_code: int


def ending_of(error: Exception) -> Ending | None:
    """How a command ends where an error ends it; None where the error is a bug."""
    if isinstance(error, FlowlogError):
        return Ending(str(error), error.exit_code)
    if isinstance(error, ImportError) and error.name == _KERNEL:
        return Ending(str(error), UsageError.exit_code)
    if isinstance(error, MemoryError):  # Arrow's is one, too
        return _without("the memory does not suffice", "a smaller --memory or fewer --workers need less")
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        advice = "a higher limit (`ulimit -u`, or a container's of pids) or fewer --workers mend that"
        return _without("the system starts no further thread", advice)
    return None


def _without(shortage: str, advice: str) -> Ending:
    """The ending of a command that may have come as far as to publish a run that is committed."""
    return Ending(f"{shortage}; a run is there whole, or not at all, and {advice}", RunStopped.exit_code)
