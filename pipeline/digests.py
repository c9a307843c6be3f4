"""What identifies content: its digest, its size, and the digest of its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import xxhash

#: What tells without reading that a source is as it was: its name, its size, and its ETag where it has one, else its time of
#: modification, in nanoseconds.
Appearance: TypeAlias = tuple[str, int, int | str]


class Content(NamedTuple):
    """What identifies a content.

    Attributes:
        digest: XXH3-128 of all its bytes, in hexadecimal.
        size: In bytes.
        head: XXH3-64 of its head, in hexadecimal.
    """

    digest: str
    size: int
    head: str


NO_CONTENT = Content("", 0, "")


def new_digest() -> xxhash.xxh3_128:
    """What takes a digest piece by piece."""
    import xxhash  # a query takes no digest

    return xxhash.xxh3_128()


def digest_of_bytes(data: bytes | memoryview) -> str:
    """XXH3-128 of some bytes, in hexadecimal."""
    import xxhash  # as above

    return xxhash.xxh3_128_hexdigest(data)
