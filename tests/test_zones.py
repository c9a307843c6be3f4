"""Time zones as users name them."""

from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import UsageError
from pipeline.zones import zone_of

NOON = datetime(2026, 6, 1, 12)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("name", "hours"),
    [("UTC", 0), ("Europe/Berlin", 2), ("America/New_York", -4), ("+02:00", 2), ("-0330", -3.5), ("+14:00", 14)],
)
def test_names_and_offsets(name, hours):
    assert NOON.replace(tzinfo=zone_of(name)).utcoffset() == timedelta(hours=hours)


def test_utc_is_python_s():
    assert zone_of("UTC") is UTC


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("new york", "America/New_York"),
        *(
            (name, "a name like Europe/Berlin, or an offset like +02:00")
            for name in ("", "/etc/passwd", "../..", "\0", "+25:00")
        ),
        ("localtime", "--timezone"),
        ("Europe", "--timezone"),
        ("Europe/" + "x" * 5000, "--timezone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest_names(name, near):
    with pytest.raises(UsageError) as error:
        zone_of(name)
    assert near in str(error.value)
