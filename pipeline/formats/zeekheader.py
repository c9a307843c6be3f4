"""Zeek's tab-separated text: `#` lines say how the records behind them are written, and further ones may follow anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pipeline.errors import UnreadableSource
from pipeline.formats.format import Parser, ReadContext
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.formats.zeeklogs import require_conn, unscoped
from pipeline.kernel.columns import lines_from
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.lines import refuse_packed

#: Such a line names its values behind the separator.
_WITH_VALUES = re.compile(r"#(?:fields|path|unset_field)(?![a-z_])")
_GLUED = re.compile(
    rb"(?<!\n)(?<!\A)#(?:separator|set_separator|empty_field|unset_field|path|open|close|fields|types)(?![a-z_])"
)
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


def read_records(blocks: Iterable[TextBlock], log: Log, context: ReadContext) -> Iterator[tuple[Parser, TextBlock]]:
    """The records of a log, with what parses them.

    Args:
        blocks: The lines of the file.
        log: What the fields say.
        context: What is known beside the file.

    Raises:
        UnreadableSource: A `#` line cannot be understood, is glued to a record, has a packed file behind it, or comes too late.
        SourceError: The file has another log of Zeek's.
    """
    header, parser = _Header(context.options.is_named), None
    for block in blocks:
        for piece in _cut(block):
            if piece.data.startswith(b"#"):
                refuse_packed(piece)
                if header.take(piece.line(piece.first_line)):
                    parser = header.parser(log, context)
            elif parser is not None:
                yield parser, piece
            elif piece.data.strip():
                raise UnreadableSource(
                    f"line {piece.first_line}: a record before the #fields line that names its columns; keep Zeek's # lines in the"
                    " file, or name another format by --format"
                )


def _cut(block: TextBlock) -> Iterator[TextBlock]:
    """Each `#` line of a block alone, and what lies between them.

    Raises:
        UnreadableSource: A `#` line is glued to a record.
    """
    if b"#" not in block.data:  # as in most blocks
        yield block
        return
    for piece in block.cut_at(lines_from(block.data, b"#", b"#")):
        _refuse_glued(piece)
        yield piece


def _refuse_glued(lines: TextBlock) -> None:
    """Joining files makes this where the last line of one has no newline: what the `#` line says would be lost."""
    if b"#" in lines.data and (found := _GLUED.search(lines.data)):
        number = lines.first_line + lines.data.count(b"\n", 0, found.start())
        raise UnreadableSource(
            f"line {number}: {found[0].decode()} is glued to the end of a line; ingest the files that were joined here one by one"
        )


@dataclass
class _Header:
    """What the `#` lines say.

    Attributes:
        is_named: Whether the user says that this is a conn.log.
        has_conn: Whether one of the logs that were joined is.
    """

    is_named: bool
    has_conn: bool = False
    separator: str = "\t"
    unset: str = "-"
    fields: list[str] = field(default_factory=list)

    def parser(self, log: Log, context: ReadContext) -> Parser | None:
        """What parses the records that follow; None while nothing names their fields."""
        if not self.fields:
            return None
        return context.parser(_parser_of, (tuple(self.fields), Dialect(self.separator, null=self.unset), log))

    def take(self, line: bytes) -> bool:
        """Reads one `#` line. Returns whether it changes how the records that follow are read."""
        text = line.decode("utf-8", "replace")
        if text.startswith("#separator"):
            self._begin(text.removeprefix("#separator").strip(" \t"))
            return True
        name, *values = text.split(self.separator)
        if (found := _WITH_VALUES.match(text)) and found[0] != name:
            raise UnreadableSource(f"the line {text[:40]!r} is not written with the separator {self.separator!r}")
        if name == "#unset_field" and values:
            self.unset = values[0]
        elif name == "#path":
            require_conn(values[0] if values else None, self.is_named, self.has_conn)
            self.has_conn = True
        elif name == "#fields":
            self.fields = [unscoped(field) for field in values]
        return name == "#fields"

    def _begin(self, escaped: str) -> None:
        """Begins a log, whose separator may be written as a hexadecimal number."""
        self.unset, self.fields = "-", []
        escaped = escaped or self.separator
        self.separator = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), escaped)
        if len(self.separator) != 1 or not self.separator.isascii() or self.separator in "\n\r\0#":
            raise UnreadableSource(f"the separator {escaped!r} is not a single character that can separate")


def _parser_of(told: tuple[Sequence[str], Dialect, Log], context: ReadContext) -> Parser:
    fields, dialect, log = told
    return FlowParser(DelimitedParser(fields, log.wanted(context.options), dialect), log, context)
