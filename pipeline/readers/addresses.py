"""Which app has an address: the mapping file of `--apps`.

A CSV file with the header `cidr,app` or `cidr,app,vpc_id`. The longest prefix that holds an address names its app; a
rule with a `vpc_id` speaks for that VPC alone, and goes before one of the same length without. An address that no
rule holds is its own app.
"""

from __future__ import annotations

import csv
import ipaddress
import socket
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.readers.interface import Mask

#: How many distinct addresses are remembered between batches.
_CACHED_ADDRESSES = 1 << 17

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class AppMap:
    """Looks up apps by address.

    Args:
        rules: (network, app, VPC or None for all VPCs).
    """

    def __init__(self, rules: Iterable[tuple[Network, str, str | None]] = ()) -> None:
        # family -> prefix length -> network address as a number -> VPC (None: any) -> app
        self._rules: dict[int, dict[int, dict[int, dict[str | None, str]]]] = {socket.AF_INET: {}, socket.AF_INET6: {}}
        for network, app, vpc_id in rules:
            family = int(socket.AF_INET if network.version == 4 else socket.AF_INET6)
            number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            self._rules[family].setdefault(network.prefixlen, {}).setdefault(number, {})[vpc_id] = app
        for family, lengths in self._rules.items():
            self._rules[family] = dict(sorted(lengths.items(), reverse=True))
        self._app = lru_cache(_CACHED_ADDRESSES)(self._look_up)

    def apps_of(self, addresses: pa.Array, vpc_ids: pa.Array) -> tuple[pa.Array, Mask]:
        """Names the apps of a column of addresses.

        Args:
            addresses: IPv4 and IPv6 addresses as text, null where there is none.
            vpc_ids: The VPC of each, for the rules that speak for one VPC.

        Returns:
            The apps, null where the address is null or none; and a mask of the cells that are no addresses.
        """
        address_codes, vpc_codes = pc.dictionary_encode(addresses), pc.dictionary_encode(vpc_ids)
        known_addresses, known_vpcs = address_codes.dictionary.to_pylist(), vpc_codes.dictionary.to_pylist()
        width = len(known_vpcs) + 1  # a null VPC has the code 0
        codes = _codes(address_codes) * width + _codes(vpc_codes)
        pairs, position = np.unique(codes, return_inverse=True)  # look up distinct pairs only: they are few
        names = [
            self._app(known_addresses[pair // width - 1], known_vpcs[pair % width - 1] if pair % width else None)
            if pair >= width
            else None
            for pair in pairs.tolist()
        ]
        apps = pa.array(names, pa.string()).take(pa.array(position))
        invalid = np.array([name is None and pair >= width for name, pair in zip(names, pairs.tolist(), strict=True)], bool)
        return apps, invalid[position]

    def _look_up(self, address: str, vpc_id: str | None) -> str | None:
        """The app of an address; the address itself, written in its shortest form, if no rule holds it; None if it is none."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            packed = socket.inet_pton(family, address)
        except (OSError, ValueError):  # ValueError: a NUL inside
            return None
        number, bits = int.from_bytes(packed, "big"), len(packed) * 8
        for length, networks in self._rules[family].items():
            apps = networks.get(number >> (bits - length), {})
            app = apps.get(vpc_id) or apps.get(None)
            if app:
                return app
        return socket.inet_ntop(family, packed)


def _codes(encoded: pa.DictionaryArray) -> npt.NDArray[np.int64]:
    """A dictionary's indices as numbers, 0 for null."""
    return pc.add(encoded.indices.cast(pa.int64()), 1).fill_null(0).to_numpy(zero_copy_only=False)


def load_app_map(path: Path) -> AppMap:
    """Reads a mapping file.

    Raises:
        UsageError: It cannot be read, or a row is no rule; the message names the line and the field.
    """
    rules: dict[tuple[Network, str | None], tuple[str, int]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            if not {"cidr", "app"} <= set(reader.fieldnames or ()):
                raise UsageError(f"{path}: the first line must be the header cidr,app or cidr,app,vpc_id")
            for row in reader:
                if None in row:
                    raise UsageError(f"{path}: line {reader.line_num}: more cells than the header has")
                network, app, vpc_id = _rule(row, f"{path}: line {reader.line_num}")
                known, line = rules.setdefault((network, vpc_id), (app, reader.line_num))
                if known != app:
                    raise UsageError(
                        f"{path}: line {reader.line_num}: {network} is {known!r} on line {line} already, not {app!r}"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the mapping file {path} cannot be read: {error}") from None
    return AppMap((network, app, vpc_id) for (network, vpc_id), (app, _) in rules.items())


def _rule(row: dict[str, str | None], where: str) -> tuple[Network, str, str | None]:
    app = (row["app"] or "").strip()
    if not app:
        raise UsageError(f"{where}: app must not be empty")
    try:
        network = ipaddress.ip_network((row["cidr"] or "").strip())
    except ValueError as error:
        raise UsageError(f"{where}: cidr: {error}") from None
    return network, app, (row.get("vpc_id") or "").strip() or None
