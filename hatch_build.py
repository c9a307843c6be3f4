"""Compiles the kernel (`pipeline/kernel/*.c`) when the package is built or installed.

The kernel is plain C behind a few functions, loaded with ctypes: one build serves every version of Python. Where the
machine has a C compiler, that is used; where it has none, `dependencies` has pip fetch one, as a package (Zig's).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path("pipeline", "kernel")
_TARGET = _FOLDER / "_kernel.so"
_FLAGS = ("-std=gnu11", "-O3", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")
_ZIG = "ziglang==0.17.1"


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled kernel to a wheel, or to the checkout that is installed as editable."""

    def dependencies(self) -> list[str]:
        return [] if _system_compiler() else [_ZIG]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        sources = sorted(str(path) for path in Path(self.root, _FOLDER).glob("*.c"))
        compiler = _system_compiler() or [sys.executable, "-m", "ziglang", "cc"]
        subprocess.run([*compiler, *_FLAGS, *sources, "-o", str(Path(self.root, _TARGET))], check=True)  # noqa: S603 - the user's own compiler
        build_data["artifacts"].append(f"/{_TARGET.as_posix()}")
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"


def _system_compiler() -> list[str] | None:
    """The compiler that CC names, or `cc`; None if there is none."""
    command = os.environ.get("CC", "cc").split()
    return command if command and shutil.which(command[0]) else None
