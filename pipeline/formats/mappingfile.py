"""The mapping file of `--apps`: a CSV file with the columns `cidr` and `app`, and where wanted `vpc_id`, `from`, `until`, `logged`.

A row says which app has the addresses of a network; with a `vpc_id` in that VPC alone, with `from` or `until` in the hours from the
one on and before the other. `logged` says whether the network's interfaces write flow logs, as `--logged` does.
"""

from __future__ import annotations

import csv
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.formats.networks import Network, network_of
from pipeline.formats.rules import Rule, add_rule
from pipeline.hours import LAST_HOUR, SECONDS_PER_HOUR, hours_of
from pipeline.scalars import column_named_twice

_COLUMNS = ("cidr", "app", "vpc_id", "from", "until", "logged")
#: So much is shown of a first line that is not a header.
_SHOWN = 60
#: A name is taken for a column's if it begins the column's with so many letters, or is as much like it as `vpcid` and `UNTIL` are.
_BEGUN, _ALIKE = 3, 0.8
_LOGGED = {"": None, "yes": True, "no": False}

Row = dict[str, str | None]


@dataclass
class _Read:
    """What was read of a file so far.

    Attributes:
        rules: By network and VPC, each with its line.
        ordered: The same as `add_rule` joins them.
        logged: Whether a network is logged, with the line.
    """

    rules: dict[tuple[Network, str | None], list[tuple[Rule, int]]] = field(default_factory=dict)
    ordered: dict[tuple[Network, str | None], list[Rule]] = field(default_factory=dict)
    logged: dict[Network, tuple[bool, int]] = field(default_factory=dict)

    def add(self, rule: Rule, logged: bool | None, line: int) -> None:
        """Adds a row.

        Raises:
            UsageError: It contradicts one before.
        """
        key = rule.network, rule.vpc_id
        others = self.rules.setdefault(key, [])
        if not add_rule(self.ordered.setdefault(key, []), rule):
            other, at = next(known for known in others if _contradict(known[0], rule))
            hours = "" if max(rule.first, other.first) == 0 else ", in some hours"
            raise UsageError(f"{rule.network} is {other.app!r} on line {at} already, not {rule.app!r}{hours}")
        others.append((rule, line))
        if logged is not None:
            known, at = self.logged.setdefault(rule.network, (logged, line))
            if known is not logged:
                raise UsageError(f"{rule.network} is {'' if known else 'not '}logged on line {at} already")


def _contradict(one: Rule, other: Rule) -> bool:
    """Whether two rules for one network and VPC name different apps for some hour."""
    return one.app != other.app and one.first < other.until and other.first < one.until


def read_rules(path: Path) -> list[Rule]:
    """The rules of a mapping file.

    Raises:
        UsageError: It cannot be read, or a row is no rule; the message names the line and the field.
    """
    return [rule for rules in _read(path).rules.values() for rule, _ in rules]


def logged_networks(path: Path) -> tuple[str, ...]:
    """The networks that a mapping file calls logged, without those within them that it does not call so.

    Raises:
        UsageError: As `read_rules`.
    """
    found: set[Network] = set()
    logged = _read(path).logged
    for network in sorted(logged, key=lambda network: network.prefixlen):
        if logged[network][0]:
            found.add(network)
            continue
        for length in range(network.prefixlen + 1):  # what holds it is one of these; to look at all found would take minutes
            if (around := network.supernet(new_prefix=length)) in found:
                found.remove(around)
                found.update(around.address_exclude(network))  # type: ignore[arg-type]
    return tuple(map(str, sorted(found, key=ipaddress.get_mixed_type_key)))


def _read(path: Path) -> _Read:
    read = _Read()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            reader.fieldnames = _columns(path, reader.fieldnames or ())
            for row in reader:
                try:
                    read.add(_rule(row), _logged(row), reader.line_num)
                except UsageError as error:
                    raise UsageError(f"{path}: line {reader.line_num}: {error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the mapping file {path} cannot be read: it is not UTF-8 text") from None
    except (OSError, csv.Error) as error:
        problem = "a quote is opened that is never closed" if "unexpected end" in str(error) else error
        raise UsageError(f"the mapping file {path} cannot be read: {problem}") from None
    return read


def _columns(path: Path, header: Sequence[str]) -> list[str]:
    """The names of a mapping file's columns."""
    names = [name.strip() for name in header]
    if not {"cidr", "app"} <= set(names):
        found = f", not {','.join(header)[:_SHOWN]!r}" if header else ""
        raise UsageError(f"{path}: the first line must be the header cidr,app[,vpc_id,from,until,logged]{found}")
    if problem := column_named_twice(names, _COLUMNS):
        raise UsageError(f"{path}: the header {problem}")
    for name in names:
        if name not in _COLUMNS and (meant := _meant_by(name)) and meant not in names:
            raise UsageError(
                f"{path}: the header has no column {meant}, but {name!r}: write {meant}, or another name if it is not meant"
            )
    return names


def _meant_by(name: str) -> str | None:
    """The column of which a name seems to be a misspelling: to pass over `vpc` would give its rows to all VPCs."""
    from difflib import get_close_matches  # few files have another column

    text = name.lower()
    begun = [column for column in _COLUMNS if len(text) >= _BEGUN and column.startswith(text)]
    return next(iter(begun or get_close_matches(text, _COLUMNS, 1, _ALIKE)), None)


def _rule(row: Row) -> Rule:
    if None in row:
        raise UsageError("more cells than the header has")
    if not (app := _cell(row, "app")):
        raise UsageError("app must not be empty")
    try:
        network = network_of(_cell(row, "cidr"))
    except ValueError as error:
        raise UsageError(f"cidr: {error}") from None
    first, until = _hour(row, "from", 0), _hour(row, "until", LAST_HOUR + 1)
    if first >= until:
        raise UsageError(f"from ({_cell(row, 'from')}) must be before until ({_cell(row, 'until')}), in another hour")
    return Rule(network, app, _cell(row, "vpc_id") or None, first, until)


def _logged(row: Row) -> bool | None:
    text = _cell(row, "logged")
    if text not in _LOGGED:
        raise UsageError(f"logged must be yes, no or empty, not {text!r}")
    return _LOGGED[text]


def _cell(row: Row, name: str) -> str:
    return (row.get(name) or "").strip()


def _hour(row: Row, name: str, otherwise: int) -> int:
    """The hour in which a time lies, in UTC where the time names no zone."""
    text = _cell(row, name)
    if not text:
        return otherwise
    try:
        if text.isdecimal():
            return hours_of(text, latest=lambda: 0).first
        moment = datetime.fromisoformat(text)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from None
    except ValueError:
        raise UsageError(
            f"{name} must be a UTC time (2026-11-24T08:30:00Z), a day (2026-11-24) or an hour's number (498752), not {text!r}"
        ) from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() // SECONDS_PER_HOUR)
