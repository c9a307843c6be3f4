"""The process's standard streams: whatever becomes of a command's words, its exit code says what it did."""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pipeline.flowstore import FlowStore

ROOT = Path(__file__).parents[1]
HEADER = "src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\n"

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux's full device")

#: How a shell redirects, and whether a result on standard output is lost by a fault.
REDIRECTIONS = {
    ">&-": False,
    "2>&-": False,
    "<&- >&- 2>&-": False,
    ">/dev/full": True,
    "2>/dev/full": False,
    ">/dev/full 2>&1": True,
    ">/dev/full 2>&-": True,
    "| true": False,  # a reader that goes at once
    "2>&1 | true": False,
}
READING = [
    ["query", "1"],
    ["query", "7"],  # nothing is found, which is said
    ["hours"],
    ["verify", "--json"],
    ["drop", "--before", "2", "--dry-run"],
    ["diff", "1", "2"],
    ["diff", "1", "2", "--json"],
    ["--help"],
]
#: Each with its exit code and the hours that are there behind it.
CHANGING = [
    (["ingest", "more.csv", "--json"], 0, [1, 2, 3]),
    (["ingest", "more.csv", "torn.parquet"], 3, [1, 2, 3]),
    (["forget", "flows.csv", "--json"], 0, []),
    (["drop", "--before", "2"], 0, [2]),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A folder with a store, and more raw files."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "flows.csv").write_text(HEADER + "a,b,v,1,2,1\na,b,v,1,2,2\na,b,v,-1,2,2\n")
    (folder / "more.csv").write_text(HEADER + "a,b,v,1,2,3\n")
    (folder / "torn.parquet").write_bytes(b"PAR1 torn")
    FlowStore(folder / "store", create=True).ingest([str(folder / "flows.csv")])
    return folder


@cache
def answer(folder, arguments):
    """What a command says where nothing is redirected."""
    return run(folder, arguments, "").stdout


def run(folder, arguments, redirection, redirected_first=""):
    """Runs a command in a shell that redirects; gives its exit code, and what still came out."""
    command = f'"$@" {redirection}' if "|" not in redirection else f'set -o pipefail; {{ sleep 0.02; "$@"; }} {redirection}'
    store = [] if arguments[0].startswith("-") or "--help" in arguments else ["--store", "store"]
    return subprocess.run(
        ["bash", "-c", redirected_first + command, "bash", sys.executable, "-m", "pipeline", *arguments, *store],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("redirection", REDIRECTIONS)
@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_an_answer_that_cannot_be_written_is_an_error_and_one_that_nobody_wants_is_none(filled, arguments, redirection):
    done = run(filled, arguments, redirection)
    assert done.returncode == (2 if REDIRECTIONS[redirection] else 0)
    assert "Traceback" not in done.stderr
    if redirection == ">/dev/full":
        assert "flowlog: cannot write to standard output: No space left on device" in done.stderr
    if redirection in ("2>&-", "2>/dev/full"):
        assert done.stdout == answer(filled, tuple(arguments))  # and nothing that is no result


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">/dev/full", "2>/dev/full", ">/dev/full 2>&1", "2>&1 | true"])
@pytest.mark.parametrize(
    ("arguments", "code", "hours"), CHANGING, ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else ""
)
def test_a_run_that_is_committed_says_so_by_its_exit_code(filled, tmp_path, arguments, code, hours, redirection):
    folder = shutil.copytree(filled, tmp_path / "copy")
    names = [str(filled / name) if name == "flows.csv" else name for name in arguments]  # it is known by its path
    done = run(folder, names, redirection)
    assert done.returncode == code
    assert [hour.hour for hour in FlowStore(folder / "store").hours()] == hours
    assert "Traceback" not in done.stderr
    if redirection == ">/dev/full" and "--json" in arguments:
        assert done.stderr.startswith(
            "flowlog: cannot write to standard output: No space left on device; what was done is done"
        )


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "2>&1 >/dev/full"])
@pytest.mark.parametrize("arguments", [["query", "nonsense"], ["query", "--nope"]], ids=" ".join)
def test_a_refusal_keeps_its_exit_code(filled, arguments, redirection):
    done = run(filled, arguments, redirection)
    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert done.stdout == "" or redirection.startswith("2>&1")


def test_problems_weigh_more_than_that_they_cannot_be_written(filled, tmp_path):
    folder = shutil.copytree(filled, tmp_path / "copy")
    FlowStore(folder / "store").locations.partition(1).unlink()
    assert run(folder, ["verify", "--json"], ">/dev/full").returncode == 5


def test_no_file_of_the_store_becomes_a_standard_stream(filled, tmp_path):
    """A file that took the number of standard error would get what is written there."""
    folder = shutil.copytree(filled, tmp_path / "copy")
    assert run(folder, ["ingest", "more.csv", "torn.parquet"], "<&- >&- 2>&-").returncode == 3
    assert FlowStore(folder / "store").verify().problems == []
    assert json.loads(run(folder, ["verify", "--json"], "2>&-").stdout)["problems"] == []
