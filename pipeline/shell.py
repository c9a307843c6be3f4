"""Commands and paths as users and their shells have them."""

from __future__ import annotations

import os
from pathlib import Path

#: The store of commands that name none.
DEFAULT_STORE = Path("data/store")
#: What sets another one for all commands.
STORE_VARIABLE = "FLOWLOG_STORE"


def command_line(*words: str, store: os.PathLike[str]) -> str:
    """A command that can be copied into a shell as it stands; it names the store wherever leaving it out may mean another."""
    from shlex import join  # most commands name no other

    is_meant_anyway = Path(store) == DEFAULT_STORE and STORE_VARIABLE not in os.environ
    return join(["flowlog", *words, *([] if is_meant_anyway else ["--store", os.fspath(store)])])


def real_path(path: str | os.PathLike[str]) -> Path:
    """A path without links. One that cannot be followed, as links in a circle, stays: who opens it will be told why.

    Python before 3.13 raises RuntimeError in `Path.resolve` for links in a circle.
    """
    try:
        return Path(os.path.realpath(path))
    except ValueError:  # a NUL
        return Path(path)
