"""What the formats of logs have in common on their way from a log's record to a flow record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import MISSING, Batch, Fault, Mask

NOT_ADDRESS = "must be an IP address"


def column_of(batch: Batch, name: str, type_: pa.DataType) -> pa.Array:
    """A column in one piece; all null where the file does not have it."""
    if name not in batch.table.column_names:
        return pa.nulls(batch.table.num_rows, type_)
    column = batch.table.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies, in any case


def texts_of(batch: Batch, name: str) -> pa.DictionaryArray:
    """A column of dictionary-encoded text."""
    return column_of(batch, name, DICTIONARY_TEXT)


def integers_of(batch: Batch, name: str, missing: int) -> Integers:
    """A column of integers, with a number for what is missing."""
    column = column_of(batch, name, pa.int64())
    return (column.fill_null(missing) if column.null_count else column).to_numpy()


def missing(batch: Batch, *names: str) -> list[Fault]:
    """The faults of the rows that lack one of these columns, which the file has."""
    columns = {name: batch.table.column(name) for name in names}
    return [
        Fault(name, MISSING, column.is_null().to_numpy(), column) for name, column in columns.items() if column.null_count
    ]


# RFC 9293; AWS keeps the flags that were seen in an interval OR-ed together, and an ACK only beside a SYN.
_SYN, _ACK = 0x02, 0x10
_WELL_KNOWN_PORTS = 1024  # RFC 6335: 0 to 1023 belong to services
_EPHEMERAL_PORTS = 32768  # where Linux starts to number its clients' ports
Integers = npt.NDArray[np.int64]


def is_answer(src_port: Integers, dst_port: Integers, tcp_flags: Integers | None = None) -> Mask:
    """Which records go from the server to the client.

    Args:
        src_port: The sender's port; -1 where the log has none.
        dst_port: The receiver's port; -1 where the log has none.
        tcp_flags: The record's TCP flags, 0 where it has none; None where the log has none.

    Returns:
        True where the flags say so (a SYN with its ACK comes from the server, a SYN alone from the client), or, where
        they say nothing, the ports: the server has the smaller one, if that is well-known or the other is ephemeral.
    """
    telling = (src_port < _WELL_KNOWN_PORTS) | (dst_port >= _EPHEMERAL_PORTS)
    by_ports = telling & (src_port < dst_port) & (src_port >= 0)
    if tcp_flags is None:
        return by_ports
    opened = tcp_flags & (_SYN | _ACK)
    return (opened == _SYN | _ACK) | (((opened & _SYN) == 0) & by_ports)
