"""Who opened the connection of a one-way record: where the answer is a record of its own, it must be turned round.

AWS logs each direction of a conversation as its own record. The client's belongs to the conversation's `bytes_tx`,
the server's answer to its `bytes_rx`, so that (client, server) has both sums.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.readers.interface import Mask

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
