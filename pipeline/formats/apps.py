"""Which app has an address, by the rules of the mapping file (see `mappingfile`).

The longest prefix that holds an address names its app; a rule with a VPC speaks for that VPC alone, and goes before one of the same
length without. An address that no rule holds has the app that the log names, and else is its own app: the user's word goes before
the log's. An IPv4 address that is written as an IPv6 one (`::ffff:10.1.2.3`) is that IPv4 address.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.formats.mappingfile import read_rules
from pipeline.formats.networks import Network, packed_address
from pipeline.formats.rules import Rule, add_rule, rule_at
from pipeline.hours import LAST_HOUR
from pipeline.syntax.batch import Integers, Mask
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
        given: The rules: each is a `Rule`, or the first three parts of one. No two of them name different apps for one network in
            one VPC and hour.
    """

    def __init__(self, given: Iterable[Rule | tuple[Network, str, str | None]] = ()) -> None:
        rules = [Rule(*rule) for rule in given]
        # family -> prefix length -> network address as a number -> VPC (None: any) -> the rules, by their hours
        self._rules: dict[int, dict[int, dict[int, dict[str | None, list[Rule]]]]] = {
            socket.AF_INET: {},
            socket.AF_INET6: {},
        }
        for rule in rules:
            network = rule.network
            family = int(socket.AF_INET if network.version == 4 else socket.AF_INET6)
            number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            by_vpc = self._rules[family].setdefault(network.prefixlen, {}).setdefault(number, {})
            add_rule(by_vpc.setdefault(rule.vpc_id, []), rule)
        for family, lengths in self._rules.items():
            self._rules[family] = dict(sorted(lengths.items(), reverse=True))
        self._has_vpcs = any(rule.vpc_id is not None for rule in rules)
        # The hours at which some rule begins or ends: between two of them all rules are the same.
        turns = {hour for rule in rules for hour in (rule.first, rule.until)} - {0, LAST_HOUR + 1}
        self._turns = np.array(sorted(turns), np.int64)
        self._known = threading.local()  # the last arrays of addresses, and their apps
        self._app = lru_cache(_CACHED_ADDRESSES)(self._look_up)

    def apps_of(
        self,
        addresses: pa.DictionaryArray,
        vpc_ids: pa.DictionaryArray,
        hours: Integers,
        named: pa.DictionaryArray | None = None,
    ) -> tuple[pa.DictionaryArray, Mask]:
        """Names the apps of a column of addresses.

        Args:
            addresses: IPv4 and IPv6 addresses as dictionary-encoded text, null where there is none.
            vpc_ids: The VPC of each, for the rules that speak for one VPC.
            hours: The hour of each, for the rules that speak for some hours.
            named: The apps that the log names, null where it names none; None if it never does. They count where no rule holds
                the address, or there is no address.

        Returns:
            The apps, null where the address is null or none and the log names no app; and a mask of the cells that are no
            addresses.
        """
        distinct, names = self._distinct(addresses, vpc_ids, hours)
        apps, invalid = renamed(distinct, names.apps)
        if named is not None:
            codes = codes_of(distinct)
            ruled = (codes >= 0) & names.ruled[codes] if names.ruled.any() else np.zeros(len(codes), bool)
            apps = choose(ruled, apps, first_of(named, apps)) if ruled.any() else first_of(named, apps)
        return apps, invalid

    def _distinct(
        self, addresses: pa.DictionaryArray, vpc_ids: pa.DictionaryArray, hours: Integers
    ) -> tuple[pa.DictionaryArray, _Names]:
        """The column whose distinct values decide the apps, and the apps of these."""
        if not self._has_vpcs and not len(self._turns):
            return addresses, self._remembered(addresses.dictionary)
        address_of, vpc_of = addresses.dictionary.to_pylist(), [*vpc_ids.dictionary.to_pylist(), None]  # the code -1 is None
        pairs = codes_of(addresses).astype(np.int64) * len(vpc_of) + codes_of(vpc_ids) % len(vpc_of)
        turns = len(self._turns) + 1
        keys = pairs * turns + np.searchsorted(self._turns, hours, side="right")
        distinct = pa.array(keys, mask=codes_of(addresses) < 0).dictionary_encode()
        looked_up = []
        for key in distinct.dictionary.to_pylist():
            pair, turn = divmod(key, turns)
            hour = int(self._turns[turn - 1]) if turn else 0
            looked_up.append(self._app(address_of[pair // len(vpc_of)], vpc_of[pair % len(vpc_of)], hour))
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
        return _names([self._app(address, None, 0) for address in addresses.to_pylist()])

    def _look_up(self, address: str, vpc_id: str | None, hour: int) -> tuple[str | None, bool]:
        """The app of an address, and whether a rule names it; else the address itself, written in its shortest form, or None if
        the text is not an address.
        """
        packed = packed_address(address)
        if packed is None:
            return None, False
        family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
        number, bits = int.from_bytes(packed, "big"), len(packed) * 8
        for length, networks in self._rules[family].items():
            by_vpc = networks.get(number >> (bits - length))
            if by_vpc is None:
                continue
            if rule := rule_at(by_vpc.get(vpc_id, ()), hour) or rule_at(by_vpc.get(None, ()), hour):
                return rule.app, True
        return socket.inet_ntop(family, packed), False


def _names(looked_up: list[tuple[str | None, bool]]) -> _Names:
    return _Names(Renaming.of([app for app, _ in looked_up]), np.array([is_ruled for _, is_ruled in looked_up], bool))


def load_app_map(path: Path) -> AppMap:
    """Reads a mapping file.

    Raises:
        UsageError: It cannot be read, or a row is no rule; the message names the line and the field.
    """
    return AppMap(read_rules(path))
