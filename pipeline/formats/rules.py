"""Which app the addresses of a network have: a rule, and in which hours the rules for one network speak.

An address that changes hands every day has thousands of rules for one network, so that rules are found by their hours, and not by a
look at each.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

from pipeline.formats.networks import Network
from pipeline.hours import LAST_HOUR


class Rule(NamedTuple):
    """Which app has some addresses.

    Attributes:
        network: The addresses.
        app: Their app.
        vpc_id: The VPC for which the rule speaks; None for all.
        first: The first hour for which it speaks.
        until: The first hour behind these.
    """

    network: Network
    app: str
    vpc_id: str | None = None
    first: int = 0
    until: int = LAST_HOUR + 1


_FIRST, _UNTIL = attrgetter("first"), attrgetter("until")


def add_rule(rules: list[Rule], rule: Rule) -> bool:
    """Adds a rule to others for its network and VPC, and joins it with those of the same app that speak for some of its hours.

    Args:
        rules: In the order of their hours, no two for the same hour, as this function leaves them.
        rule: The one to be added.

    Returns:
        Whether the rule is added; not if one of another app speaks for some of its hours.
    """
    begin, end = bisect_right(rules, rule.first, key=_UNTIL), bisect_left(rules, rule.until, key=_FIRST)
    overlapping = rules[begin:end]
    if any(other.app != rule.app for other in overlapping):
        return False
    first, until = min(map(_FIRST, (rule, *overlapping))), max(map(_UNTIL, (rule, *overlapping)))
    rules[begin:end] = [rule._replace(first=first, until=until)]
    return True


def rule_at(rules: Sequence[Rule], hour: int) -> Rule | None:
    """The rule that speaks for an hour, among some that `add_rule` has put in order; None if there is none."""
    place = bisect_right(rules, hour, key=_FIRST) - 1
    return rules[place] if place >= 0 and hour < rules[place].until else None
