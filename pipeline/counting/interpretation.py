"""How raw files are understood: what, beside its bytes, decides what a source counts as."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import identity
from pipeline.counting.content import digest_of
from pipeline.counting.sources import Source
from pipeline.errors import UnreadableSource, UsageError
from pipeline.scalars import version

if TYPE_CHECKING:
    from pipeline.formats.apps import AppMap
    from pipeline.schema import ZeroBytes


@dataclass(frozen=True)
class Interpretation:
    """What decides, beside its bytes, what a source counts as. The ledger keeps it, so that it can be counted again.

    Attributes:
        format: One of `readers.FORMAT_OPTIONS`.
        apps: The path of the mapping file, if any, and its digest.
        vpc_id: The VPC of records that have none.
        aws_fields: The fields of AWS text without a header, in order; None for AWS's default.
        zero_bytes: Whether a record may have 0 bytes in a direction.
    """

    format: str = "auto"
    apps: str | None = None
    apps_digest: str | None = None
    vpc_id: str | None = None
    aws_fields: tuple[str, ...] | None = None
    zero_bytes: ZeroBytes = "accept"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Interpretation:
        fields = dict(fields)
        if fields["aws_fields"] is not None:
            fields["aws_fields"] = tuple(fields["aws_fields"])
        return cls(**fields)

    def fingerprint(self) -> str:
        """What tells all this, and this version of flowlog, from all others."""
        return identity.digest_of_bytes(json.dumps([version(), self.to_json()]).encode())

    def load_apps(self) -> AppMap | None:
        """Loads the mapping file, if there is one.

        Raises:
            UsageError: It is unfit, or another than it was.
        """
        return None if self.apps is None else _load_apps(Path(self.apps), self.apps_digest)


@lru_cache(maxsize=4)
def _load_apps(path: Path, digest: str | None) -> AppMap:
    from pipeline.formats.apps import load_app_map  # imports Arrow, which a run that finds nothing new does without

    apps = load_app_map(path)
    if digest_of_mapping(path) != digest:
        raise UsageError(
            f"the mapping file {path} has changed since files were counted with it; its names would no longer fit the totals"
        )
    return apps


def digest_of_mapping(path: Path) -> str:
    """What identifies a mapping file: the digest of its bytes.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return digest_of(Source.at(path))
    except UnreadableSource as error:
        reason = str(error).removeprefix("cannot be read: ")
        raise UsageError(f"the mapping file {path} cannot be read: {reason}") from None
