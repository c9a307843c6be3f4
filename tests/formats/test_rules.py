"""Which rule speaks for an hour."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.rules import Rule, add_rule, rule_at

NETWORK = ipaddress.ip_network("10.0.0.0/8")


def rule(app, first, until):
    return Rule(NETWORK, app, None, first, until)


def rules_of(*given):
    """The rules that could be added, and those that contradict one before."""
    rules = []
    return rules, [one for one in given if not add_rule(rules, one)]


def test_rules_of_one_app_are_joined_where_they_share_hours():
    assert rules_of(rule("a", 1, 3), rule("a", 5, 7), rule("a", 2, 6)) == ([rule("a", 1, 7)], [])


def test_hours_may_follow_each_other():
    given = rule("b", 3, 5), rule("a", 1, 3), rule("c", 5, 6)
    assert rules_of(*given) == ([given[1], given[0], given[2]], [])


def test_a_rule_for_an_hour_of_another_app_is_refused():
    before, *others = rule("a", 3, 5), rule("b", 1, 4), rule("b", 4, 6), rule("b", 3, 5), rule("b", 1, 9), rule("b", 4, 5)
    assert rules_of(before, *others) == ([before], others)


hours = st.integers(0, 12)


@given(
    st.lists(
        st.builds(lambda app, first, more: rule(app, first, first + more), st.sampled_from("ab"), hours, st.integers(1, 5))
    )
)
def test_the_rules_agree_with_a_table_of_all_hours(given):
    rules, app_at = [], {}
    for one in given:
        span = range(one.first, one.until)
        agrees = all(app_at.get(hour, one.app) == one.app for hour in span)
        assert add_rule(rules, one) == agrees
        if agrees:
            app_at |= dict.fromkeys(span, one.app)
    found = {hour: rule_at(rules, hour) for hour in range(-1, 20)}
    assert {hour: one.app for hour, one in found.items() if one} == app_at


class CountedHour(int):
    """An hour that counts how often it is compared with another."""

    comparisons = 0

    def __lt__(self, other):
        CountedHour.comparisons += 1
        return int(self) < int(other)


def test_a_rule_among_thousands_is_added_and_found_without_a_look_at_each():
    rules = []
    for hour in range(2000):
        assert add_rule(rules, rule(f"app-{hour}", CountedHour(hour), CountedHour(hour + 1)))
    assert [rule_at(rules, CountedHour(hour)).app for hour in range(2000)] == [f"app-{hour}" for hour in range(2000)]
    assert 2000 < CountedHour.comparisons < 2000 * 50
