"""What a raw format is, what its reader is told beside the file, and what the reader gives: pieces, which are parsed together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypeVar

from pipeline.formats.head import Container, Head
from pipeline.syntax.batch import Batch
from pipeline.syntax.blocks import TextBlock

if TYPE_CHECKING:
    from pipeline.formats.apps import AppMap
    from pipeline.options import ReadOptions


Told = TypeVar("Told")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Setting:
    """Something about a format that only the user can know.

    Attributes:
        name: As `--set` has it, behind the format's option: "aws-vpc.fields".
        parse: Reads its value; raises UsageError for one that is unfit.
    """

    name: str
    parse: Callable[[str], Any]

    def of(self, options: ReadOptions) -> Any:
        """Its value; None where the user gives none."""
        text = options.settings.get(self.name)
        return None if text is None else self.parse(text)


@dataclass(frozen=True)
class ReadContext:
    """What a reader may need to know beside the file.

    Attributes:
        options: What the user says of the file.
        apps: Names the app of an address, for formats that have no apps.
        parsers: The parsers that were made so far, by what makes them and of what: ten thousand files with one header have one
            parser. They hold memory of the kernel, and are not for several threads at once; so each reading has a context of
            its own.
    """

    options: ReadOptions
    apps: AppMap
    parsers: dict[tuple[object, object], Any] = field(default_factory=dict, compare=False, repr=False)

    def parser(self, make: Callable[[Told, ReadContext], Made], told: Told) -> Made:
        """The parser that is made of what a file's start has told; the same for all files that told the same.

        Args:
            make: Makes the parser, as a function that is always the same.
            told: The names of the columns, or whatever else decides how the lines are read.
        """
        key = (make, told)
        if key not in self.parsers:
            self.parsers[key] = make(told, self)
        return self.parsers[key]


class Parser(Protocol):
    """Parses lines into flow records. The blocks of several files that have the same parser may be parsed as one."""

    def parse(self, block: TextBlock) -> Batch:
        """One batch of flow records (`schema.FLOW_SCHEMA`, unvalidated) with all the block's records.

        Raises:
            SourceError: The block says that its file as a whole cannot be counted.
        """


#: Lines and what parses them; or, where a record is not a line, records that were parsed.
Piece = tuple[Parser, TextBlock] | Batch


#: Reads a decompressed stream to its end, in pieces; raises SourceError where the file as a whole cannot be counted.
Reader = Callable[[BinaryIO, ReadContext], Iterator[Piece]]


@dataclass(frozen=True)
class Format:
    """A raw format in one of the containers that it comes in. `formats.FORMATS` lists them.

    Attributes:
        name: What summaries call it, as in "Zeek conn.log, TSV".
        option: The value of `--format` that selects it; several formats may share one.
        container: How its files are written.
        recognises: Whether a file that is written so, and starts like this, is of this format; raises UnknownFormat for a near
            relation that must not be half-read, as a Zeek log of another kind.
        read: Reads a file. `syntaxes` makes it for the usual syntaxes.
        settings: What can be set of it.
    """

    name: str
    option: str
    container: Container
    recognises: Callable[[Head], bool]
    read: Reader
    settings: tuple[Setting, ...] = ()
