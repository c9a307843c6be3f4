"""`ingest --metrics-file`: what a scraper finds behind a run, also behind one that failed."""

import re

import pytest

from pipeline.cli import ingest as command
from pipeline.store.lock import locked

LOG = """\
version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status
2 1 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 40 1764144000 1764144060 ACCEPT OK
2 1 eni-1 10.0.0.1 10.0.0.2 1 443 6 1 70 1764144000 1764144060 REJECT OK
2 1 eni-1 - - - - - - - 1764144000 1764144060 - SKIPDATA
"""


@pytest.fixture
def metrics(folder):
    """The values in the file `flowlog.prom`, by name and labels but for the store's."""

    def read():
        lines = (folder / "flowlog.prom").read_text(encoding="utf-8").splitlines()
        samples = (re.fullmatch(r'(\w+)\{store="([^"]*)"(?:,(.*))?\} (\S+)', line) for line in lines if line[0] != "#")
        return {f"{match[1]} {match[3] or ''}".strip(): float(match[4]) for match in samples}

    return read


def ingest(flowlog, *options):
    return flowlog("ingest", *options, "--metrics-file", "flowlog.prom", "--quiet").code


def test_what_a_run_did(folder, flowlog, metrics):
    (folder / "data/raw/aws.log").write_text(LOG)
    (folder / "data/raw/torn.parquet").write_bytes(b"PAR1 torn")
    (folder / "data/raw/bad.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,-1,2,9\na,b,v,1,2,9\n")
    assert ingest(flowlog) == 3
    found = metrics()
    assert found.pop("flowlog_last_attempt_timestamp_seconds") == found.pop("flowlog_last_success_timestamp_seconds") > 1.7e9
    assert found.pop("flowlog_run_seconds") > 0
    sizes = sum(path.stat().st_size for path in (folder / "data/store/flows").rglob("*.parquet"))
    assert found == {
        "flowlog_last_exit_code": 3,
        'flowlog_run_sources outcome="ingested"': 3,
        'flowlog_run_sources outcome="skipped"': 0,
        'flowlog_run_sources outcome="changed"': 0,
        'flowlog_run_sources outcome="failed"': 1,
        'flowlog_run_sources outcome="left_alone"': 0,
        'flowlog_run_rows outcome="valid"': 7,
        'flowlog_run_rows outcome="rejected"': 1,
        'flowlog_run_rows outcome="ignored"': 2,
        'flowlog_run_bytes direction="tx"': 601,
        'flowlog_run_bytes direction="rx"': 2442,
        'flowlog_run_ignored_rows reason="denied"': 1,
        'flowlog_run_ignored_rows reason="lost by the source"': 1,
        'flowlog_run_ignored_bytes reason="denied"': 70,
        "flowlog_run_lost_records": 1,
        "flowlog_store_partitions": 4,
        "flowlog_store_bytes": sizes,
        "flowlog_store_newest_hour_timestamp_seconds": 1764144000 // 3600 * 3600,
    }


def test_a_run_that_finds_nothing_new_is_a_success(folder, flowlog, metrics):
    ingest(flowlog)
    first = metrics()["flowlog_last_success_timestamp_seconds"]
    assert ingest(flowlog) == 0
    assert metrics()["flowlog_last_success_timestamp_seconds"] > first
    assert metrics()['flowlog_run_sources outcome="skipped"'] == 1


def test_the_last_success_stays_where_a_run_fails(folder, flowlog, metrics, store):
    ingest(flowlog)
    before = metrics()
    with locked(store.locations, 0):
        assert ingest(flowlog) == 5
    after = metrics()
    assert after["flowlog_last_exit_code"] == 5
    assert after["flowlog_last_success_timestamp_seconds"] == before["flowlog_last_success_timestamp_seconds"]
    assert after["flowlog_last_attempt_timestamp_seconds"] > before["flowlog_last_attempt_timestamp_seconds"]
    assert after["flowlog_store_partitions"] == 3
    assert not [name for name in after if name.startswith("flowlog_run_")]


def test_the_last_success_stays_also_of_a_store_whose_path_has_a_blank(folder, flowlog, metrics):
    ingest(flowlog, "--store", "my store")
    before = metrics()
    assert ingest(flowlog, "nowhere", "--store", "my store") == 2
    assert metrics()["flowlog_last_success_timestamp_seconds"] == before["flowlog_last_success_timestamp_seconds"]


@pytest.mark.parametrize(("options", "code"), [(["nowhere"], 2), (["--strict"], 4)])
def test_a_first_run_that_fails_has_no_success(folder, flowlog, metrics, options, code):
    (folder / "data/raw/torn.parquet").write_bytes(b"PAR1 torn")
    assert ingest(flowlog, *options) == code
    assert metrics()["flowlog_last_exit_code"] == code
    assert "flowlog_last_success_timestamp_seconds" not in metrics()


def test_a_run_for_which_there_are_no_threads_has_the_exit_code_of_its_command(folder, flowlog, metrics, no_threads):
    assert ingest(flowlog) == 4
    assert metrics()["flowlog_last_exit_code"] == 4


def test_a_bug_is_a_failed_run(folder, flowlog, metrics, monkeypatch):
    monkeypatch.setattr(command.FlowStore, "ingest", lambda *_: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ingest(flowlog)
    assert metrics()["flowlog_last_exit_code"] == 1


def test_the_file_is_written_whole_and_everybody_may_read_it(folder, flowlog):
    (folder / "flowlog.prom").write_text("flowlog_last_success_timestamp_seconds torn")
    (folder / "other").hardlink_to(folder / "flowlog.prom")
    ingest(flowlog)
    assert (folder / "other").read_text() == "flowlog_last_success_timestamp_seconds torn"  # it was not written into
    assert (folder / "flowlog.prom").stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in folder.iterdir()) == ["data", "flowlog.prom", "other"]


def test_names_are_escaped(folder, flowlog):
    ingest(flowlog, "--store", 'a"b\\c\nd')
    assert f'store="{folder}/a\\"b\\\\c\\nd"' in (folder / "flowlog.prom").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["nowhere/flowlog.prom", "data"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_done(folder, flowlog, file):
    done = flowlog("ingest", "--metrics-file", file)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"flowlog: cannot write the metrics to {file}: ")
    assert not (folder / "data" / "store").exists()


def test_what_cannot_be_written_behind_the_commit_changes_no_exit_code(folder, flowlog, monkeypatch):
    monkeypatch.setattr("pipeline.cli.metrics._check_writable", lambda file: None)
    done = flowlog("ingest", "--metrics-file", "nowhere/flowlog.prom")
    assert done.code == 0
    assert (
        "flowlog: cannot write the metrics to nowhere/flowlog.prom: No such file or directory; what was done is done"
        in done.err
    )
