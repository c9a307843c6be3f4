"""Which app has an address: the mapping file of `--apps`.

A CSV file with the header `cidr,app` or `cidr,app,vpc_id`. The longest prefix that holds an address names its app; a
rule with a `vpc_id` speaks for that VPC alone, and goes before one of the same length without. An address that no
rule holds has the app that the log names, and else is its own app: the user's word goes before the log's. An IPv4 address that
is written as an IPv6 one (`::ffff:10.1.2.3`) is that IPv4 address.
"""

from __future__ import annotations

import csv
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.formats.networks import Network, network_of, packed_address
from pipeline.syntax.batch import Mask
from pipeline.syntax.dictionary import Renaming, choose, codes_of, first_of, renamed

#: How many distinct addresses are remembered between batches.
_CACHED_ADDRESSES = 1 << 17

#: And in each thread, how many arrays of distinct ones: a source has two columns, and a record may have two addresses an end.
_REMEMBERED_ARRAYS = 4


@dataclass(frozen=True)
class _Names:
    """The apps of distinct addresses.

    Attributes:
        apps: The app that a rule names, else the address itself, written in its shortest form; none where it is no address.
        ruled: Which of them a rule names.
    """

    apps: Renaming
    ruled: Mask

    def and_of(self, more: _Names) -> _Names:
        """The same for further distinct addresses, behind these."""
        return _Names(self.apps.and_of(more.apps), np.concatenate([self.ruled, more.ruled]))


class AppMap:
    """Looks up apps by address.

    Args:
        rules: (network, app, VPC or None for all VPCs).
    """

    def __init__(self, rules: Iterable[tuple[Network, str, str | None]] = ()) -> None:
        rules = list(rules)
        # family -> prefix length -> network address as a number -> VPC (None: any) -> app
        self._rules: dict[int, dict[int, dict[int, dict[str | None, str]]]] = {socket.AF_INET: {}, socket.AF_INET6: {}}
        for network, app, vpc_id in rules:
            family = int(socket.AF_INET if network.version == 4 else socket.AF_INET6)
            number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            self._rules[family].setdefault(network.prefixlen, {}).setdefault(number, {})[vpc_id] = app
        for family, lengths in self._rules.items():
            self._rules[family] = dict(sorted(lengths.items(), reverse=True))
        self._has_vpcs = any(vpc_id is not None for _, _, vpc_id in rules)
        self._known = threading.local()  # the last arrays of addresses, and their apps
        self._app = lru_cache(_CACHED_ADDRESSES)(self._look_up)

    def apps_of(
        self, addresses: pa.DictionaryArray, vpc_ids: pa.DictionaryArray, named: pa.DictionaryArray | None = None
    ) -> tuple[pa.DictionaryArray, Mask]:
        """Names the apps of a column of addresses.

        Args:
            addresses: IPv4 and IPv6 addresses as dictionary-encoded text, null where there is none.
            vpc_ids: The VPC of each, for the rules that speak for one VPC.
            named: The apps that the log names, null where it names none; None if it never does. They count where no rule holds
                the address, or there is no address.

        Returns:
            The apps, null where the address is null or none and the log names no app; and a mask of the cells that are no
            addresses.
        """
        distinct, names = self._distinct(addresses, vpc_ids)
        apps, invalid = renamed(distinct, names.apps)
        if named is not None:
            codes = codes_of(distinct)
            ruled = (codes >= 0) & names.ruled[codes] if names.ruled.any() else np.zeros(len(codes), bool)
            apps = choose(ruled, apps, first_of(named, apps)) if ruled.any() else first_of(named, apps)
        return apps, invalid

    def _distinct(self, addresses: pa.DictionaryArray, vpc_ids: pa.DictionaryArray) -> tuple[pa.DictionaryArray, _Names]:
        """The column whose distinct values decide the apps, and the apps of these."""
        if not self._has_vpcs:
            return addresses, self._remembered(addresses.dictionary)
        address_of, vpc_of = addresses.dictionary.to_pylist(), [*vpc_ids.dictionary.to_pylist(), None]  # the code -1 is None
        pairs = codes_of(addresses).astype(np.int64) * len(vpc_of) + codes_of(vpc_ids) % len(vpc_of)
        distinct = pa.array(pairs, mask=codes_of(addresses) < 0).dictionary_encode()

        looked_up = [
            self._app(address_of[pair // len(vpc_of)], vpc_of[pair % len(vpc_of)])
            for pair in distinct.dictionary.to_pylist()
        ]
        return distinct, _names(looked_up)

    def _remembered(self, addresses: pa.StringArray) -> _Names:
        """The apps of distinct addresses. The blocks of a file have mostly the same, or those of the block before and some more:
        only these are looked up.
        """
        known: list[tuple[pa.StringArray, _Names]] = self._known.__dict__.setdefault("arrays", [])
        for i, (before, apps) in enumerate(known):
            if len(before) and addresses[: len(before)].equals(before):
                if len(addresses) > len(before):
                    known[i] = addresses, apps.and_of(self._names_of(addresses[len(before) :]))
                return known[i][1]
        known.append((addresses, self._names_of(addresses)))
        del known[:-_REMEMBERED_ARRAYS]
        return known[-1][1]

    def _names_of(self, addresses: pa.StringArray) -> _Names:
        return _names([self._app(address, None) for address in addresses.to_pylist()])

    def _look_up(self, address: str, vpc_id: str | None) -> tuple[str | None, bool]:
        """The app of an address, and whether a rule names it; else the address itself, written in its shortest form, or None if it
        is none.
        """
        packed = packed_address(address)
        if packed is None:
            return None, False
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        number, bits = int.from_bytes(packed, "big"), len(packed) * 8
        for length, networks in self._rules[family].items():
            apps = networks.get(number >> (bits - length), {})
            app = apps.get(vpc_id) or apps.get(None)
            if app:
                return app, True
        return socket.inet_ntop(family, packed), False


def _names(looked_up: list[tuple[str | None, bool]]) -> _Names:
    return _Names(Renaming.of([app for app, _ in looked_up]), np.array([is_ruled for _, is_ruled in looked_up], bool))


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
        network = network_of((row["cidr"] or "").strip())
    except ValueError as error:
        raise UsageError(f"{where}: cidr: {error}") from None
    return network, app, (row.get("vpc_id") or "").strip() or None
