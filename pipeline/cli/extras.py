"""What a command says whose packages only an extra installs."""

from __future__ import annotations

from pipeline.errors import UsageError
from pipeline.scalars import DISTRIBUTION


def not_installed(what: str, extra: str, error: ModuleNotFoundError) -> UsageError:
    """The error that says which extra installs a package.

    Args:
        what: What needs the package: "the service".
        extra: The extra.
        error: The import's error. That of a module of flowlog's own is a bug, and raised again.
    """
    if (error.name or "").startswith("pipeline"):
        raise error
    return UsageError(
        f"{what} needs the package {error.name}, which the extra {extra} installs: pip install '{DISTRIBUTION}[{extra}]'"
    )
