"""Networks, as a user names them, and which addresses lie in them."""

from __future__ import annotations

import ipaddress
import socket
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.syntax.batch import Mask
from pipeline.syntax.dictionary import codes_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What an IPv6 address starts with that is an IPv4 address (RFC 4291, section 2.5.5.2): sockets that take both write it.
_MAPPED = bytes(10) + b"\xff\xff"
#: How many distinct addresses are remembered between batches.
_CACHED_ADDRESSES = 1 << 17


def packed_address(text: str) -> bytes | None:
    """The 4 or 16 bytes of an address; 4, too, of an IPv6 address that is an IPv4 one; None if the text is no address."""
    try:
        packed = socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)
    except (OSError, ValueError):  # ValueError: a NUL inside
        return None
    return packed.removeprefix(_MAPPED) if len(packed) > len(_MAPPED) else packed


def network_of(text: str) -> Network:
    """A network; that of IPv4 addresses which a network of IPv6 addresses is, if it is one.

    Raises:
        ValueError: The text is no network.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        if not _is_meant_as_network(text):
            raise
        interface = ipaddress.ip_interface(text)
        meant = f"write {interface.network} for the network, or {interface.ip} for the address alone"
        raise ValueError(f"{text} has host bits set: {meant}") from None
    packed, length = network.network_address.packed, network.prefixlen - 8 * len(_MAPPED)
    if len(packed) <= len(_MAPPED) or not packed.startswith(_MAPPED) or length < 0:
        return network
    return ipaddress.IPv4Network((packed.removeprefix(_MAPPED), length))


def networks_given(words: Sequence[str]) -> tuple[str, ...]:
    """The networks that a user names, as the ledger keeps them: without those that lie in others, in order.

    Args:
        words: Each is some networks, split by commas, or a file that has one a line, with comments behind `#`.

    Raises:
        UsageError: One is no network; the message names it, and the line of a file.
    """
    found: list[Network] = []
    for word in words:
        for part in filter(None, map(str.strip, word.split(","))):
            found += [_network(part, "--logged")] if _is_meant_as_network(part) else _networks_in(Path(part))
    if words and not found:
        raise UsageError("--logged names no network")
    four = ipaddress.collapse_addresses(network for network in found if isinstance(network, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(network for network in found if isinstance(network, ipaddress.IPv6Network))
    return tuple(map(str, (*four, *six)))


def _is_meant_as_network(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)  # also 10.0.1.5/16, of which the message is that it has host bits
    except ValueError:
        return False
    return True


def _networks_in(path: Path) -> list[Network]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise UsageError(f"--logged: {str(path)!r} is no network like 10.0.0.0/8, and no file") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a NUL in the path
        raise UsageError(f"--logged: {str(path)!r} cannot be read: {error}") from None
    texts = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    networks = [_network(text, f"--logged: {path}: line {number}") for number, text in texts if text]
    if not networks:
        raise UsageError(f"--logged: {path} has no network")
    return networks


def _network(text: str, where: str) -> Network:
    try:
        return network_of(text)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


class Networks:
    """Tells which addresses lie in some networks.

    Args:
        texts: The networks, as `networks_given` gives them.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # By the number of bytes of an address: the first of each network, in order, and the last of each.
        self._firsts: dict[int, list[bytes]] = {4: [], 16: []}
        self._lasts: dict[int, list[bytes]] = {4: [], 16: []}
        for network in map(network_of, texts):
            first = network.network_address.packed
            self._firsts[len(first)].append(first)
            self._lasts[len(first)].append(network.broadcast_address.packed)
        self._has = lru_cache(_CACHED_ADDRESSES)(self._look_up)

    def have(self, addresses: pa.DictionaryArray) -> Mask:
        """Which cells are addresses in one of the networks; not those that are null, or no addresses."""
        held = [*map(self._has, addresses.dictionary.to_pylist()), False]  # the last is the one of the code -1
        return np.array(held, bool)[codes_of(addresses)]

    def _look_up(self, address: str) -> bool:
        packed = packed_address(address)
        if packed is None:
            return False
        place = bisect_right(self._firsts[len(packed)], packed) - 1
        return place >= 0 and packed <= self._lasts[len(packed)][place]


@lru_cache(maxsize=4)
def networks(texts: tuple[str, ...]) -> Networks:
    """The same for all batches of a reading."""
    return Networks(texts)
