"""The kernel's functions, as ctypes calls them: without the interpreter's lock, but for short ones."""

from __future__ import annotations

import ctypes
import os
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint8, c_void_p
from pathlib import Path
from typing import NoReturn, SupportsIndex

#: What calls return instead of a count; the names are those of the C sources.
OUT_OF_MEMORY, NOT_UTF8, OVERFLOW, MORE_LINES = -1, -2, -3, -4


class Column(ctypes.Structure):
    """`column` of kernel.h."""

    _fields_ = (
        ("kind", c_int32),
        ("forms", c_int32),
        ("texts", c_void_p),
        ("values", c_void_p),
        ("is_valid", c_void_p),
        ("bytes", c_void_p),
    )


class Field(ctypes.Structure):
    """`field` of jsonlines.c."""

    _fields_ = (
        ("key", c_char_p),
        ("key_length", c_int32),
        ("within", c_int32),
        ("number", c_int32),
    )


_PATH = Path(__file__).with_name("_kernel.so")
#: The same, compiled for processors of x86-64 that have AVX2; on other machines there is none.
_AVX2_PATH = Path(__file__).with_name("_kernel_avx2.so")

#: Calls that are over sooner than another thread would give the interpreter's lock back: they keep it.
_SHORT = {
    "pack_bits", "texts_new", "texts_count", "texts_bytes", "totals_new", "totals_count", "totals_hour_count", "totals_memory",
    "totals_names", "totals_key",
}  # fmt: skip


def _load() -> ctypes.CDLL:
    path = _PATH
    try:
        library = ctypes.CDLL(str(path))
        if library.has_avx2() and _AVX2_PATH.exists():
            path = _AVX2_PATH
            library = ctypes.CDLL(str(path))
        locked = ctypes.PyDLL(str(path))
    except OSError as error:
        sentence = f"flowlog's compiled part cannot be loaded ({error}); install flowlog again with pip"
        raise ImportError(sentence, name=__package__) from error
    columns, counter = POINTER(Column), POINTER(c_int64)
    signatures = {
        "kernel_version": (c_char_p,),
        "set_hash_keys": (None, c_char_p),
        "survey": (c_int64, c_char_p, c_int64, POINTER(c_uint8)),
        "find_four": (c_int64, c_char_p, c_int64, c_int64, c_char_p),
        "lines_with": (c_int64, c_char_p, c_int64, c_char_p, c_void_p, c_int64),
        "lines_from": (c_int64, c_char_p, c_int64, c_uint8, c_uint8, c_void_p, c_int64),
        "distinct": (c_int64, c_void_p, c_int64, c_void_p),
        "pack_bits": (c_int64, c_void_p, c_int64, c_void_p),
        "parse_delimited": (
            c_int64, c_char_p, c_int64, c_uint8, c_int32, c_char_p, c_int32, c_int32, columns, c_void_p, counter,
        ),
        "parse_json_lines": (
            c_int64, c_char_p, c_int64, c_int64, c_int32, columns, c_int64, c_int32, POINTER(Field), c_void_p, counter, counter,
        ),
        "split_json": (c_int64, c_char_p, c_int64, c_int32, c_void_p, c_int64, *[c_void_p] * 3),
        "count_newlines": (c_int64, c_char_p, c_int64, c_int64),
        "cut_arrays": (c_int64, c_char_p, c_int64, c_char_p, c_int64, *[c_void_p] * 6),
        "texts_new": (c_void_p,),
        "texts_free": (None, c_void_p),
        "texts_count": (c_int64, c_void_p),
        "texts_bytes": (c_int64, c_void_p),
        "texts_detours": (c_int64, c_void_p),
        "texts_codes": (c_int32, c_void_p, c_int64, c_void_p, c_void_p, c_void_p),
        "texts_index": (c_int64, c_int64, c_void_p, c_void_p, c_char_p, c_int32),
        "texts_export": (c_int32, c_void_p, c_void_p, c_void_p, c_void_p),
        "read_times": (c_int64, c_int64, *[c_void_p] * 5),
        "spread": (c_int64, c_int64, *[c_void_p] * 9),
        "hours_of_integers": (c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p),
        "hours_of_decimals": (c_int64, c_int64, c_void_p, c_int64, c_int64, c_void_p),
        "find_answers": (None, c_int64, *[c_void_p] * 3, c_int64, c_int64, c_void_p),
        "exchange_codes": (None, c_int64, *[c_void_p] * 3, c_int32, *[c_void_p] * 2),
        "exchange_numbers": (None, c_int64, *[c_void_p] * 5),
        "totals_new": (c_void_p,),
        "totals_free": (None, c_void_p),
        "totals_count": (c_int64, c_void_p),
        "totals_memory": (c_int64, c_void_p),
        "totals_detours": (c_int64, c_void_p),
        "totals_names": (c_void_p, c_void_p),
        "totals_add": (c_int32, c_void_p, c_int64, *[c_void_p] * 12),
        "totals_absorb": (c_int32, *[c_void_p] * 3, c_int32, c_void_p),
        "totals_hour_count": (c_int64, c_void_p),
        "totals_hours": (None, *[c_void_p] * 3),
        "totals_sorted": (c_int32, c_void_p, c_int64, c_void_p, c_int64, *[POINTER(c_void_p)] * 2, c_void_p, POINTER(c_void_p)),
        "totals_rows": (None, c_void_p, c_int64, POINTER(c_void_p), POINTER(c_void_p)),
        "totals_key": (None, c_void_p, c_int64, c_int64, c_void_p),
    }  # fmt: skip
    for name, (result, *arguments) in signatures.items():
        function = getattr(locked if name in _SHORT else library, name)
        function.restype, function.argtypes = result, arguments
        setattr(library, name, function)
    library.set_hash_keys(os.urandom(32))
    return library


kernel = _load()


def kernel_version() -> str:
    """The kernel's: a digest of the sources that it was compiled from."""
    return str(kernel.kernel_version().decode())


class KernelMemory:
    """What holds memory of the kernel. A copy would free it a second time, and in another process there is none."""

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuses to be copied or pickled."""
        raise TypeError(f"{type(self).__name__} holds memory of the kernel, and can neither be copied nor pickled")


def check(state: int) -> None:
    """Raises what a call's state says.

    Raises:
        MemoryError: There is no memory left.
    """
    if state == OUT_OF_MEMORY:
        raise MemoryError
