"""Raw files in, batches of flow records out. One module a format; `FORMATS` is the registry.

    readers.open_source(raw, name) -> the format and the decompressed stream
    format.read(stream, options)   -> batches of flow records, unvalidated

To add a format: write a module like `zeek.py`, and add its `FORMATS` to the line below.
"""

from __future__ import annotations

from typing import BinaryIO

from pipeline.readers import aws, canonical, zeek
from pipeline.readers.compression import decompressed
from pipeline.readers.detection import Head, detect, read_head
from pipeline.readers.interface import Container, Format

FORMATS: tuple[Format, ...] = (*canonical.FORMATS, *aws.FORMATS, *zeek.FORMATS)

#: The values of `--format`.
FORMAT_OPTIONS = ("auto", *dict.fromkeys(known.option for known in FORMATS))


def format_with_header(line: str, option: str = "auto") -> Format | None:
    """The format of all files that start with this line, if that can be told from the line alone and it is no record.

    Args:
        line: The first line of a text.
        option: As of `open_source`, which finds the same format.
    """
    if Head("", line.encode()).container is not Container.TEXT:
        return None
    return next((known for known in FORMATS if option in ("auto", known.option) and known.is_header(line)), None)


def open_source(raw: BinaryIO, name: str, option: str = "auto") -> tuple[Format, BinaryIO]:
    """Finds out what a raw file is, and opens it for its reader.

    Args:
        raw: The file, seekable, at its start.
        name: Its name.
        option: One of `FORMAT_OPTIONS`; anything but "auto" overrides the detection.

    Returns:
        Its format, and its decompressed content.

    Raises:
        UnknownFormat: It is none that flowlog reads, or not the one that `option` names.
        SourceError: It cannot be read at all.
    """
    candidates = [known for known in FORMATS if option in ("auto", known.option)]
    found = detect(read_head(raw, name), candidates, forced=option != "auto")
    return found, decompressed(raw)
