"""Which format a file is of, told from its first bytes, never from its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from pipeline.errors import UnknownFormat
from pipeline.formats.foreign import refuse_columns, refuse_foreign, refuse_unnamed
from pipeline.formats.format import Format
from pipeline.formats.head import Container, Head, is_utf_16

_TEXT_LINES = 50
#: What can be done with a file of which nothing is known.
NAME_THE_FORMAT = (
    "name the format with --format if you know it to be one that flowlog reads, or leave the file out (--exclude)"
)


def detect(head: Head, formats: Iterable[Format], otherwise: Format | None = None) -> Format:
    """The format of a file that starts so.

    Args:
        head: The file's start.
        formats: Those that come into question; as many are taken as it needs.
        otherwise: What it is, if it is written so, and nobody recognises it.

    Raises:
        UnknownFormat: It is none of these; the message names what it is, where that can be told.
    """
    _refuse_archive(head)
    container = head.container
    candidates = (known for known in formats if known.container is container)
    first = None
    for known in candidates:
        if known.recognises(head):
            return known
        first = first or known
    if head.is_named and first:  # the user says that it is one of these
        return first
    if container is Container.TEXT and head.json_objects:  # of a log that is read: else a word for it would mislead
        raise UnknownFormat(
            f"JSON objects behind something else, {head.first_line[:80]!r}", "remove what is before the first"
        )
    refuse_foreign(head.json_objects)
    refuse_columns(head.parquet_columns or [head.first_line], is_read_otherwise=head.is_named)
    for foreign, (is_it, advice) in _FOREIGN.items():
        if is_it(head):
            raise UnknownFormat(foreign, advice)
    if otherwise and otherwise.container is container and b"\0" not in head.data:
        return otherwise
    if head.is_named:
        raise UnknownFormat(_described(head), "the format that --format names is not written so; leave out --format")
    if container is Container.TEXT:
        refuse_unnamed(head.text.splitlines()[:_TEXT_LINES])
    raise UnknownFormat(_described(head), NAME_THE_FORMAT)


def _described(head: Head) -> str:
    if head.parquet_columns:
        return f"a Parquet file with the columns {_listed(head.parquet_columns)}"
    if head.json_keys:
        broken = head.json_fault and f", which is broken ({head.json_fault})"
        return f"JSON with the keys {_listed(head.json_keys)}{broken}"
    if b"\0" in head.data:
        return "binary data"
    return f"text that starts with {head.first_line[:80]!r}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(name[:80] for name in names[:20])


def _starts(*signatures: bytes) -> Callable[[Head], bool]:
    return lambda head: head.data.startswith(signatures)


_FLOWS_ONLY = "flowlog reads flows as CSV or JSON with the six fields of a flow record"


def _refuse_archive(head: Head) -> None:
    """Refuses an archive of tar, which begins with a name that is padded with NUL bytes, and has the format's own name behind it
    (POSIX, "ustar Interchange Format"). Logs within may be recognised, and be read but for the first line of each.
    """
    if head.data.startswith(b"ustar", 257) and b"\0" in head.data[:257]:
        raise UnknownFormat("a tar archive", "unpack it, and ingest what was in it")


def _is_ipfix(head: Head) -> bool:
    """RFC 7011, section 3.1: the version, and behind the message's header a set of templates."""
    return head.data.startswith(b"\0\x0a") and head.data.startswith((b"\0\2", b"\0\3"), 16)


#: What people try that flowlog does not read: how it is told, and what to do instead.
_FOREIGN: dict[str, tuple[Callable[[Head], bool], str]] = {
    "a packet capture": (
        _starts(b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x0a\x0d\x0d\x0a", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d"),
        "let Zeek make a conn.log of it",
    ),
    "a file of nfcapd": (
        _starts(b"\x0c\xa5\1\0", b"\x0c\xa5\2\0"),
        "print its flows with nfdump -o ndjson, which flowlog reads",
    ),
    "a file of IPFIX messages": (_is_ipfix, "let goflow2 or nfdump print their flows as JSON, which flowlog reads"),
    "a SiLK file": (_starts(b"\xde\xad\xbe\xef"), f"rwcut prints its flows; {_FLOWS_ONLY}"),
    "UTF-16 or UTF-32 text": (
        lambda head: head.data.startswith((b"\xff\xfe", b"\xfe\xff")) or is_utf_16(head.data),
        "convert it to UTF-8",
    ),
    "an Avro file": (_starts(b"Obj\x01"), "convert it to Parquet"),
    "an ORC file": (_starts(b"ORC"), "convert it to Parquet"),
    "an Arrow file": (_starts(b"ARROW1"), "convert it to Parquet"),
    "a SQLite database": (_starts(b"SQLite format 3\0"), "export a table as CSV or Parquet"),
}
