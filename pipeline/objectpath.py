"""The paths of objects in buckets: URLs, as `s3://bucket/a/b`, with all that a path can do."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from pipeline.errors import UsageError
from pipeline.scalars import is_utf8

SCHEMES = ("s3", "gs", "az")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
#: What the three clouds allow in the name of a bucket or container, all together.
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}")


class ObjectPath(PurePosixPath):
    """The path of an object, or of a prefix of objects: `s3://bucket/a/b`. Texts of users go through `object_path`."""

    def __str__(self) -> str:
        text = super().__str__()
        scheme, mark, rest = text.partition(":/")
        return f"{scheme}://{rest}" if mark and scheme in SCHEMES else text

    def __fspath__(self) -> str:
        return str(self)

    @property
    def bucket(self) -> str:
        """The bucket's URL, as `s3://bucket`."""
        return f"{self.parts[0]}//{self.parts[1]}"

    @property
    def key(self) -> str:
        """What follows the bucket: the object's key, or a prefix without a slash at its end; empty for the whole bucket."""
        return "/".join(self.parts[2:])


def is_url(text: str) -> bool:
    """Whether a text is the URL of something, so not a path of this machine."""
    return _URL.match(text) is not None


def object_path(url: str) -> ObjectPath:
    """The path that a user's URL names.

    Raises:
        UsageError: The URL is not one of an object or a prefix, or has a key that cannot be asked for.
    """
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES:
        raise UsageError(f"{url} is no bucket that flowlog reads: write s3://BUCKET/…, gs://BUCKET/… or az://CONTAINER/…")
    name, _, key = rest.partition("/")
    if not _BUCKET.fullmatch(name):
        found = f", as {name!r} is none" if name else ""
        raise UsageError(f"{url} has no name of a bucket behind {scheme}://{found}: write {scheme}://BUCKET/…")
    if fault := fault_of(key.removesuffix("/")):
        raise UsageError(f"{url!r} cannot be asked for: {fault}")
    return ObjectPath(url)


def fault_of(key: str) -> str | None:
    """Why no object of a key can be asked for; None if one can."""
    if any(part in ("", ".", "..") for part in key.split("/")) and key:
        return "a part of the key is empty, a dot, or two dots"
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        return "the key has a control character"
    if not is_utf8(key):
        return "the key is not UTF-8"
    return None
