"""A raw format, and what its reader is told beside the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from pipeline.formats.head import Container
from pipeline.syntax.batch import Batch

if TYPE_CHECKING:
    from pipeline.formats.apps import AppMap
    from pipeline.formats.head import Head


@dataclass(frozen=True)
class ReadOptions:
    """What a reader may need to know beside the file.

    Attributes:
        apps: Names the app of an address, for formats that have no apps.
        vpc_id: The VPC of records whose format or row has none.
        aws_fields: The field names of AWS text without a header line; None for AWS's default order.
        is_named: Whether the user has named the format.
    """

    apps: AppMap
    vpc_id: str | None = None
    aws_fields: tuple[str, ...] | None = None
    is_named: bool = False


#: From a whole text to its header and the records behind it; None if it must not be read as one with others.
Split = Callable[[bytes], tuple[bytes, bytes] | None]


class Format(Protocol):
    """One raw format. `readers.FORMATS` lists them; a new one is a module that has an object of this shape.

    Attributes:
        name: What summaries call it, as in "Zeek conn.log, TSV".
        option: The value of `--format` that selects it; several formats may share one.
        container: How its files are written.
    """

    @property
    def name(self) -> str: ...
    @property
    def option(self) -> str: ...
    @property
    def container(self) -> Container: ...

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

    def read(self, stream: BinaryIO, options: ReadOptions) -> Iterator[Batch]:
        """Reads a decompressed stream to its end, as batches of flow records (`schema.FLOW_SCHEMA`, unvalidated).

        Raises:
            SourceError: The file as a whole cannot be counted.
        """
