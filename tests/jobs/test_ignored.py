"""The bytes of what is ignored: each source has its own, and they can be proved."""

import json
from dataclasses import replace

import pytest

from pipeline.counting.resources import Resources
from pipeline.counting.workers import threads
from pipeline.flowstore import FlowStore
from pipeline.jobs.recount import find_again, recount
from pipeline.jobs.verify import DeepOptions
from pipeline.options import IngestOptions
from pipeline.store.ledger import active_sources
from tests.records import write_record

HEADER = "version interface-id srcaddr dstaddr bytes start action log-status flow-direction\n"
LINE = "5 {} {} 10.0.0.9 {} 1764144000 {} OK {}\n"


@pytest.fixture
def store(tmp_path, unsynced):
    """Small files that are read together, each with other numbers."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for number in range(1, 5):
        lines = [LINE.format("eni-1", "10.0.0.1", number, "ACCEPT", "egress")]
        lines += [LINE.format("eni-9", "10.0.0.1", number * 10, "ACCEPT", "ingress")] * (number % 3)
        lines += [
            LINE.format("eni-nat", "8.8.8.8", 5, "ACCEPT", "ingress"),
            LINE.format("eni-1", "10.0.0.1", 7, "REJECT", "egress"),
        ]
        (raw / f"{number}.log").write_text(HEADER + "".join(lines))
    store = FlowStore(tmp_path / "store", create=True)
    store.ingest([str(raw)], IngestOptions(logged=("10.0.0.0/8",), hop=("eni-nat",)))
    return store


def test_each_of_the_files_that_are_read_together_has_its_own(store):
    assert [(source.ignored, source.ignored_bytes) for source in store.runs()[0].sources] == [
        ({"denied": 1, "other reporter": 2}, {"denied": 7, "other reporter": 15}),
        ({"denied": 1, "other reporter": 3}, {"denied": 7, "other reporter": 45}),
        ({"denied": 1, "other reporter": 1}, {"denied": 7, "other reporter": 5}),
        ({"denied": 1, "other reporter": 2}, {"denied": 7, "other reporter": 45}),
    ]
    assert store.verify(deep=DeepOptions()).problems == []


def test_a_hop_is_told_that_reported_none_of_the_records(store, tmp_path):
    (tmp_path / "more.log").write_text(HEADER + LINE.format("eni-nat", "8.8.8.8", 5, "ACCEPT", "ingress"))
    summary = store.ingest([str(tmp_path / "more.log")], IngestOptions(hop=("eni-Nat,eni-typo", "eni-1")))
    assert summary.unmet_hops == ["eni-1", "eni-typo"] == summary.to_json()["unmet_hops"]
    assert store.ingest([str(tmp_path / "more.log")], IngestOptions(hop=("eni-typo",))).unmet_hops == ()  # nothing was read


def test_other_bytes_do_not_stand_up_to_counting_again(store, tmp_path):
    def problems(**changes):
        active = [one._replace(source=replace(one.source, **changes)) for one in active_sources(store.runs())[:1]]
        with threads(Resources(workers=1)) as workers:
            return recount(active, find_again(active), active[0].hours, tmp_path, workers)[1]

    assert problems() == []
    (problem,) = problems(ignored_bytes={"denied": 7, "other reporter": 16})
    assert problem.endswith("ignored_bytes as 'other reporter' was 16 when it was counted, and is 15 now")
    (problem,) = problems(ignored={"denied": 2, "other reporter": 1})
    assert problem.endswith("ignored as 'denied' was 2 when it was counted, and is 1 now")
    assert problems(ignored={"REJECT": 3}, ignored_bytes=None) == []  # as before the bytes were kept


def test_verify_finds_bytes_that_are_of_no_record(store):
    path = store.locations.record_of("00000001")
    fields = json.loads(path.read_text())
    fields["sources"][0]["ignored_bytes"] = {"denied": -1, "repeated record": 5}
    del fields["checksum"]
    write_record(path, fields)
    problems = "\n".join(store.verify().problems)
    assert "-1 bytes ignored as 'denied' are not those of its records" in problems
    assert "5 bytes ignored as 'repeated record' are not those of its records" in problems
