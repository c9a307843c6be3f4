"""What `ingest` says of totals that are too small, estimated, or counted twice."""

from collections import Counter

import pytest

from pipeline.cli.reporting import SAME_TRAFFIC, ingest_lines, ingest_notes
from pipeline.counting.reports import BothEnds
from pipeline.formats import FORMATS
from pipeline.jobs.summary import IngestSummary


def notes(**found):
    return [
        line.removeprefix("note     ") for line in ingest_notes(IngestSummary(bytes_tx=600_000, bytes_rx=400_000, **found))
    ]


def test_a_run_without_any_of_this_says_nothing():
    assert notes() == notes(both_ends=BothEnds(0)) == []


@pytest.mark.parametrize(
    ("both_ends", "part"),
    [
        (BothEnds(310_000), "31 % of the bytes (310.0 kB)"),
        (BothEnds(9_999), "less than 1 % of the bytes (10.0 kB)"),
        (BothEnds(500_000, is_exact=False), "about 50 % of the bytes (500.0 kB)"),
    ],
)
def test_what_part_of_the_bytes_is_reported_from_both_ends(both_ends, part):
    assert notes(both_ends=both_ends) == [f"{part} are reported from both ends: see --logged"]


def test_what_was_lost_and_what_was_scaled():
    assert notes(ignored=Counter({"lost by the source": 4}), scaled=1234) == [
        "4 records say that the source lost some (AWS's SKIPDATA): the totals are too small there",
        "1,234 rows scaled by a sampling rate: their bytes are estimates",
    ]


def test_hops_that_no_record_has():
    assert notes(unmet_hops=["eni-1", "eni-2"]) == ["no record is a report of eni-1, eni-2: is --hop right?"]
    assert notes(unmet_hops=list(map(str, range(1008))))[0].endswith("6, 7 and 1,000 more: is --hop right?")


def test_two_kinds_of_logs_that_have_the_same_traffic():
    vpc, gateway = "AWS VPC Flow Logs, text", "AWS Transit Gateway Flow Logs, Parquet"
    said = "flow logs of VPCs and of a Transit Gateway were read: traffic that is in both counts twice; leave out one kind"
    assert notes(formats={vpc, gateway}) == [said]
    assert notes(formats={vpc}) == notes(formats={gateway, "Azure NSG flow log"}) == []


def test_these_kinds_are_formats_that_there_are():
    for _, *names in SAME_TRAFFIC:
        assert all(any(known.name.startswith(name) for known in FORMATS) for name in names)


def test_what_is_ignored_is_told_with_its_bytes(tmp_path):
    ignored = Counter({"other reporter": 1234, "no traffic": 5})
    summary = IngestSummary("00000001", read=1239, ignored=ignored, ignored_bytes=Counter({"other reporter": 5_600_000_000}))
    assert "1,239 ignored (5 no traffic, 1,234 other reporter with 5.6 GB)" in "\n".join(ingest_lines(summary, tmp_path))
