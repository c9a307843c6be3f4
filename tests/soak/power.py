"""A loss of power, simulated: a folder becomes what a disk may have of it when only what was synced is sure to be there."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD, _AT_SYMLINK_NOFOLLOW, _STATX_BASIC_STATS, _STATX_BTIME = -100, 0x100, 0x7FF, 0x800


class Disk:
    """Watches a folder in the processes that run in its `environment`, and makes a loss of power of it.

    Args:
        root: The folder; it need not be there.
        work: A folder for what this needs.
    """

    def __init__(self, root: Path, work: Path) -> None:
        self.root = root
        self._shadow = work / "shadow"
        self._library = work / "power.so"
        source = Path(__file__).with_name("power.c")
        command = ["cc", "-O1", "-Wall", "-Wextra", "-fPIC", "-shared", str(source), "-o", str(self._library), "-ldl"]
        subprocess.run(command, check=True)
        self._begin()

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to be watched."""
        variables = {"LD_PRELOAD": self._library, "POWER_ROOT": self.root, "POWER_SHADOW": self._shadow}
        return os.environ | {name: str(value) for name, value in variables.items()}

    def lose_power(self, chance: random.Random) -> list[str]:
        """Makes the folder what may be left of it. Nothing may run in it.

        Each name that was made or taken away, and each content that was written, behind the last sync is there or is not,
        by chance; content that never was synced may also be cut off.

        Returns:
            What was lost, for a report.
        """
        lost: list[str] = []
        left = self.root.with_name(f"{self.root.name}.left")
        shutil.rmtree(left, ignore_errors=True)
        if self.root.exists():
            self._keep(self.root, _entry_of(self.root), left, chance, lost)
            shutil.rmtree(self.root)
            left.rename(self.root)
        self._begin()
        return lost

    def _begin(self) -> None:
        """All that there is now is durable."""
        shutil.rmtree(self._shadow, ignore_errors=True)
        self._shadow.mkdir(parents=True)
        for path in [self.root, *self.root.rglob("*")] if self.root.exists() else []:
            if path.is_dir():
                names = "".join(f"{_entry_of(inner)} {inner.name}\n" for inner in path.iterdir())
                (self._shadow / f"{_id_of(path)}.names").write_text(names)
            elif path.is_file():
                shutil.copyfile(path, self._shadow / f"{_id_of(path)}.data")

    def _keep(self, now: Path | None, entry: str, target: Path, chance: random.Random, lost: list[str]) -> None:
        """Makes `target` of an inode: of its durable state, or of its present one, which is at `now` if it has a name yet."""
        inode = entry.removesuffix("/")
        names, data = self._shadow / f"{inode}.names", self._shadow / f"{inode}.data"
        if entry != inode:
            target.mkdir()
            lines = names.read_text().splitlines() if names.exists() else []
            before = {name: inner for inner, _, name in (line.partition(" ") for line in lines)}
            after = {path.name: _entry_of(path) for path in now.iterdir()} if now is not None else {}
            for name in sorted(before.keys() | after.keys()):
                kept = chance.choice([before.get(name), after.get(name)])
                if kept != after.get(name):
                    lost.append(f"{target / name}: its name")
                if kept is not None:
                    is_now = now is not None and kept == after.get(name)
                    self._keep(now / name if is_now else None, kept, target / name, chance, lost)
            return
        durable = data.read_bytes() if data.exists() else None
        present = now.read_bytes() if now is not None and now.is_file() else None
        if present is not None and present != durable and chance.random() < 0.5:
            lost.append(f"{target}: what was written last")
            present = None if durable is not None else present[: chance.randrange(len(present) + 1)]
        target.write_bytes(next(content for content in (present, durable, b"") if content is not None))


def _entry_of(path: Path) -> str:
    """What a folder has of an inode in it: its ID, with a slash behind that of a folder."""
    return _id_of(path) + "/" * path.is_dir()


def _id_of(path: Path) -> str:
    """As in power.c: the inode's number and the time of its birth, which Python does not tell (statx(2) has the offsets)."""
    status = ctypes.create_string_buffer(256)
    if _libc.statx(_AT_FDCWD, os.fsencode(path), _AT_SYMLINK_NOFOLLOW, _STATX_BASIC_STATS | _STATX_BTIME, status):
        raise FileNotFoundError(path)
    (number,) = struct.unpack_from("Q", status, 32)
    seconds, nanoseconds = struct.unpack_from("qI", status, 80)
    return f"{number}-{seconds}-{nanoseconds}"
