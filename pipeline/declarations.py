"""What an option is, and those that several commands share: each name, its limits and what is said of it stand once.

It is apart from `options`, since every command needs it, and dataclasses take milliseconds to make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, field, fields
from typing import Any, NamedTuple


class Option(NamedTuple):
    """What a user is told of an option, and may give.

    Attributes:
        name: As on the command line: "--min-age".
        help: What it does, in a sentence or two.
        metavar: What stands for its value, as "SIZE"; None for a flag, or where the choices themselves stand there.
        least: The least number that is allowed; most: the largest.
        parse: Reads its value from text; None where the field's type says how.
        otherwise: What is said of its default, where that depends on the machine.
    """

    name: str
    help: str
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    parse: Callable[[str], Any] | None = None
    otherwise: str = ""

    @property
    def variable(self) -> str:
        """The environment variable that sets it: "FLOWLOG_MIN_AGE"."""
        return "FLOWLOG_" + self.name.removeprefix("--").upper().replace("-", "_")


def declared(option: Option, default: Any = MISSING, **details: Any) -> Any:
    """A field of a dataclass that an option sets (see `dataclasses.field`)."""
    return field(default=default, metadata={"option": option}, **details)


def options_of(holder: type) -> dict[str, Option]:
    """The options of a dataclass, by the names of their fields."""
    return {known.name: known.metadata["option"] for known in fields(holder) if "option" in known.metadata}


STORE = Option("--store", "The store: a folder, or the URL of one in a bucket, as s3://bucket/flowlog.", "DIR|URL")
WAIT = Option("--wait", "Seconds to wait for a run that holds the store.", "S", least=0)
QUIET = Option("--quiet", "Print nothing but problems.")
ZERO_BYTES = Option("--zero-bytes", "Whether a record may have 0 bytes in a direction.")
