"""What identifies content: the digest of its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import xxhash


@dataclass(frozen=True)
class Content:
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


def digest_of_bytes(data: bytes) -> str:
    """XXH3-128 of some bytes, in hexadecimal."""
    import xxhash  # as above

    return xxhash.xxh3_128_hexdigest(data)
