"""What a run says of itself: the plan, what counting added to it, and the run's record."""

import pytest

from pipeline.counting.reports import BothEnds
from pipeline.counting.sources import Failure, Source
from pipeline.digests import Content
from pipeline.jobs.outcome import Outcome
from pipeline.jobs.plan import Plan
from pipeline.jobs.summary import IngestSummary, summary_of
from pipeline.store.index import Known
from pipeline.store.ledger import RunRecord, SourceRecord


def source(name):
    return Source(name, 1, 1)


def record(name, **numbers):
    fields = dict.fromkeys(("size", "packed_size", "mtime_ns", "read", "valid", "rejected", "bytes_tx", "bytes_rx"), 0)
    texts = dict.fromkeys(("digest", "head", "packed_digest", "format"), "")
    return SourceRecord(name, **(fields | texts | {"ignored": {}} | numbers))


def summary(plan, outcome=None, run=None):
    circumstances = {"recovered": [], "seconds": 1.0, "store": "/store", "started": "2026", "ended": "2027"}
    return summary_of(plan, outcome or Outcome(), run, **circumstances)


def test_what_counting_has_found_stands_behind_what_was_planned():
    plan = Plan(
        duplicates=[(source("a"), "x")],
        starts=[(source("b"), "x")],
        empty=[source("c")],
        left_alone={"d": "a link"},
        failed=[Failure("e", "why")],
    )
    outcome = Outcome(
        duplicates=[(source("f"), "x")],
        starts=[(source("g"), "x")],
        empty=[source("h")],
        left_alone={"i": "a Zeek dns log"},
        failures=[Failure("j", "why")],
    )
    made = summary(plan, outcome)
    assert [found.name for found, _ in (*made.duplicates, *made.starts)] == ["a", "f", "b", "g"]
    assert [found.name for found in made.empty] == ["c", "h"]
    assert made.left_alone == {"d": "a link", "i": "a Zeek dns log"}
    assert [failure.source for failure in made.failures] == ["e", "j"]
    assert (made.skipped, made.run_id, made.hours) == (6, None, ())


def test_a_changed_source_that_was_replaced_is_changed_no_more():
    superseded = {
        "a": [Known("a", Content("d1", 1, ""), "d1", has_rows=True)],
        "b": [Known("c", Content("d2", 1, ""), "d2", has_rows=True)],
    }
    plan = Plan(changed=[source("a"), source("b")], superseded=superseded)
    assert summary(plan).why_changed == {
        "a": "it was counted with other content",
        "b": "it starts with all that was counted from c, and has grown since",
    }
    assert summary(plan, Outcome(replaced=["a"])).changed == [source("b")]


def test_its_numbers_are_those_of_the_runs_record():
    sources = [
        record("a", read=3, valid=1, ignored={"no traffic": 2}, notes={"have no name": 1}, bytes_tx=5),
        record("b", read=2, rejected=1, ignored={"no traffic": 1}, notes={"have no name": 2}),
    ]
    run = RunRecord("00000007", "", "", sources, {9: {}, 8: {}})
    made = summary(Plan(), run=run)
    assert (made.run_id, made.ingested, made.hours) == ("00000007", 2, [8, 9])
    assert made.notes == made.to_json()["notes"] == {"have no name": 3}
    assert (made.read, made.valid, made.rejected, made.ignored, made.bytes_tx) == (5, 1, 1, {"no traffic": 3}, 5)


def test_each_reason_why_files_were_left_alone_is_told_once_with_the_first_of_them():
    made = IngestSummary(left_alone={"a": "a link", "b": "a marker", "c": "a link"})
    assert made.kinds_left_alone() == [("a link", 2, "a"), ("a marker", 1, "b")]


@pytest.mark.parametrize("value", [Plan(), Outcome(), IngestSummary()])
def test_nobody_rewrites_a_plan_an_outcome_or_a_summary(value):
    with pytest.raises(AttributeError):
        value.empty = []


def test_what_is_ignored_has_its_bytes_by_reason_where_they_are_known():
    sources = [
        record("a", ignored={"denied": 2, "no traffic": 1}, ignored_bytes={"denied": 70}),
        record("b", ignored={"denied": 1}, ignored_bytes={"denied": 2**63}),
        record("c", ignored={"denied": 1}),
    ]
    made = summary(Plan(), run=RunRecord("00000001", "", "", sources))
    assert made.ignored == {"denied": 4, "no traffic": 1}
    assert made.ignored_bytes == made.to_json()["ignored_bytes"] == {"denied": 70 + 2**63}


@pytest.mark.parametrize(
    ("both_ends", "told"),
    [
        (None, None),
        (BothEnds(25), {"bytes": 25, "is_exact": True, "share": 0.25}),
        (BothEnds(0, is_exact=False), {"bytes": 0, "is_exact": False, "share": 0.0}),
    ],
)
def test_what_is_reported_from_both_ends_is_told_with_its_part_of_the_bytes(both_ends, told):
    run = RunRecord("00000001", "", "", [record("a", bytes_tx=60, bytes_rx=40)])
    made = summary(Plan(), Outcome(scaled=3, both_ends=both_ends), run)
    assert (made.to_json()["scaled"], made.to_json()["both_ends"]) == (3, told)
