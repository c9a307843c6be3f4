"""A raw format, and what its reader is told beside the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from pipeline.formats.head import Container
from pipeline.syntax.batch import Batch

if TYPE_CHECKING:
    from pipeline.formats.apps import AppMap
    from pipeline.formats.head import Head
    from pipeline.options import ReadOptions


@dataclass(frozen=True)
class Setting:
    """Something about a format that only the user can know.

    Attributes:
        name: As `--set` has it, behind the format's option: "aws-vpc.fields".
        help: What it says.
        parse: Reads its value; raises UsageError for one that is unfit.
    """

    name: str
    help: str
    parse: Callable[[str], Any]

    def of(self, options: ReadOptions) -> Any:
        """Its value; None where the user gives none."""
        text = options.settings.get(self.name)
        return None if text is None else self.parse(text)


#: From a whole text to its header and the records behind it; None if it must not be read as one with others.
Split = Callable[[bytes], tuple[bytes, bytes] | None]


class Format(Protocol):
    """One raw format. `readers.FORMATS` lists them; a new one is a module that has an object of this shape.

    Attributes:
        name: What summaries call it, as in "Zeek conn.log, TSV".
        option: The value of `--format` that selects it; several formats may share one.
        container: How its files are written.
        settings: What can be set of it.
    """

    @property
    def name(self) -> str: ...
    @property
    def option(self) -> str: ...
    @property
    def container(self) -> Container: ...
    @property
    def settings(self) -> Sequence[Setting]: ...

    def recognises(self, head: Head) -> bool:
        """Whether a file that is written so, and starts like this, is of this format.

        Raises:
            UnknownFormat: It is a near relation that must not be half-read, as a Zeek log of another kind.
        """

    def split_of(self, head: Head) -> Split | None:
        """How to split a file, if its first line tells that it is of this format, or else refused by `read`, whatever follows.

        Args:
            head: Of that line alone.
        """

    def read(self, stream: BinaryIO, options: ReadOptions, apps: AppMap) -> Iterator[Batch]:
        """Reads a decompressed stream to its end, as batches of flow records (`schema.FLOW_SCHEMA`, unvalidated).

        Args:
            stream: The file.
            options: What the user says of it.
            apps: Names the app of an address, for formats that have no apps.

        Raises:
            SourceError: The file as a whole cannot be counted.
        """
