"""Columns of a log's records on their way to those of flow records."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.kernel.library import kernel

Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


def hours_of(times: npt.NDArray[Any], earliest: int, latest: int) -> Integers | None:
    """The hours since 1970 of times, each in a unit that its size tells (see `syntax.times`).

    Args:
        times: Integers or floating-point numbers.
        earliest: The first second of an hour, before which no time may lie.
        latest: The first second of an hour, before which all times must lie.

    Returns:
        None if a number is no such time.
    """
    is_integer = times.dtype.kind == "i"
    times = np.ascontiguousarray(times, np.int64 if is_integer else np.float64)
    hours = np.empty(len(times), np.int64)
    call = kernel.hours_of_integers if is_integer else kernel.hours_of_decimals
    return None if call(len(times), times.ctypes.data, earliest, latest, hours.ctypes.data) else hours


def answers(src_ports: Integers, dst_ports: Integers, flags: Integers | None, known: int, ephemeral: int) -> Mask:
    """Which records go from the server to the client, as `formats.record.is_answer` has it.

    Args:
        src_ports: The senders' ports; less than 0 where a record has none.
        dst_ports: The receivers'.
        flags: The TCP flags of each record; None where there are none.
        known: Lower ports belong to services.
        ephemeral: From this port on, ports belong to clients.
    """
    src_ports, dst_ports = (np.ascontiguousarray(ports, np.int64) for ports in (src_ports, dst_ports))
    flags = None if flags is None else np.ascontiguousarray(flags, np.int64)
    found = np.empty(len(src_ports), bool)
    flags_at = None if flags is None else flags.ctypes.data
    kernel.find_answers(
        len(found), src_ports.ctypes.data, dst_ports.ctypes.data, flags_at, known, ephemeral, found.ctypes.data
    )
    return found


def exchanged_codes(mask: Mask, these: Codes, others: Codes, shift: int) -> tuple[Codes, Codes]:
    """Both columns of codes, with their cells exchanged where the mask says so, behind one another's texts.

    Args:
        mask: One for each row.
        these: Codes of texts; less than 0 is null.
        others: Codes of other texts.
        shift: What is added to the others: the number of the texts before theirs.
    """
    mask, these, others = np.ascontiguousarray(mask), np.ascontiguousarray(these), np.ascontiguousarray(others)
    first, second = np.empty(len(mask), np.int32), np.empty(len(mask), np.int32)
    kernel.exchange_codes(
        len(mask), mask.ctypes.data, these.ctypes.data, others.ctypes.data, shift, first.ctypes.data, second.ctypes.data
    )
    return first, second


def exchanged_numbers(mask: Mask, these: Integers, others: Integers) -> tuple[Integers, Integers]:
    """Both columns of numbers, with their cells exchanged where the mask says so."""
    mask, these, others = np.ascontiguousarray(mask), np.ascontiguousarray(these), np.ascontiguousarray(others)
    first, second = np.empty(len(mask), np.int64), np.empty(len(mask), np.int64)
    kernel.exchange_numbers(
        len(mask), mask.ctypes.data, these.ctypes.data, others.ctypes.data, first.ctypes.data, second.ctypes.data
    )
    return first, second
