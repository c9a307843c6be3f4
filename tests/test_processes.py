"""Large runs count in processes: a whole command, and whatever ends it or them. None of them stays, and none says a word of its own."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.jobs.verify import verify
from pipeline.store.layout import Locations
from tests.crash_driver import state

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes as Linux shows them")

#: The command line, where each run is large enough, and no thread may stand in.
COMMAND = """
from pipeline.counting import workers
from pipeline.jobs import where
where._WORTH_BYTES = where._WORTH_FILES = 0
workers.threads = None
from pipeline.__main__ import main
main()
"""
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
MARK = "FLOWLOG_TEST_MARK"
#: What two runs of the same files tell differently.
NOT_ALIKE = dict.fromkeys(("seconds", "store", "started", "ended"))


@pytest.fixture
def raw(tmp_path):
    """Files that take a worker some tenths of a second each, one with rejected rows."""
    (tmp_path / "raw").mkdir()
    for number in range(4):
        rows = "".join(f"{hour % 9 + 1},a{hour % 40},b{number},v,{hour},1\n" for hour in range(2_000)) * 500
        (tmp_path / "raw" / f"{number}.csv").write_text(HEADER + rows + "0,bad,row,v,1,1\n" * number)
    return tmp_path / "raw"


@pytest.fixture
def store(tmp_path):
    return Locations(tmp_path / "store")


@pytest.fixture
def started(raw, store, tmp_path):
    """Starts an ingest as a terminal does, in a process group of its own."""

    def start(*options, **streams):
        command = [sys.executable, "-c", COMMAND, "ingest", str(raw), "--store", str(store.root), "--workers", "2", *options]
        environment = {**os.environ, MARK: str(tmp_path)}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
        return subprocess.Popen(command, text=True, env=environment, process_group=0, **streams)

    return start


@pytest.fixture
def others(tmp_path):
    """The processes of a run, but for its own."""
    mark = f"{MARK}={tmp_path}".encode()

    def find(run):
        return [number for number in numbers() if number != run.pid and mark in environment_of(number)]

    return find


def numbers():
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def environment_of(number):
    try:
        return Path(f"/proc/{number}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return []


def children_of(number):
    try:
        return [*map(int, Path(f"/proc/{number}/task/{number}/children").read_text().split())]
    except OSError:
        return []


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def counting(run):
    """The processes that count, once there are two."""

    def look():
        found = children_of(run.pid)
        return found if len(found) == 2 else []

    return wait_until(look)


def test_the_store_is_that_of_threads(raw, store, started, others, tmp_path):
    run = started("--quiet")
    assert len(counting(run)) == 2
    assert (run.communicate()[1], run.returncode) == ("", 0)
    alone = Locations(tmp_path / "alone")
    ingest([str(raw)], alone, IngestOptions(workers=1))
    assert state(store) == state(alone)
    wait_until(lambda: not others(run))


def test_a_bar_on_a_terminal_keeps_no_run_from_processes(started):
    """It has a thread of its own, and what has two threads is not copied."""
    terminal, stderr = os.openpty()
    run = started(stderr=stderr)
    os.close(stderr)
    assert len(counting(run)) == 2
    shown = b""
    with suppress(OSError):  # which the end of a terminal is
        while block := os.read(terminal, 4096):
            shown += block
    os.close(terminal)
    assert (run.communicate()[1], run.returncode) == (None, 0)
    assert b"reading" in shown


def test_many_small_files_are_looked_at_there_and_come_to_what_threads_make_of_them(store, started, others, tmp_path):
    """Among them is what the looks must tell: files of one content, files that others start with, and files that are none."""
    raw = tmp_path / "raw"
    for number in range(600):
        rows = "".join(f"{hour % 3 + 1},a{hour},b{number % 7},v,{hour},1\n" for hour in range(number % 50))
        (raw / f"{number}.csv").write_text(HEADER + rows)
    for number in range(0, 600, 10):
        content = (raw / f"{number}.csv").read_bytes()
        (raw / f"{number}.copy.csv.gz").write_bytes(gzip.compress(content))
        (raw / f"{number}.longer.csv").write_bytes(content + b"9,later,b,v,1,1\n")
    (raw / "empty.csv").touch()
    (raw / "cut.csv.gz").write_bytes(gzip.compress(b"%d," * 5000)[:-9])
    (raw / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(5000))
    run = started("--json")
    assert len(counting(run)) == 2
    alone = Locations(tmp_path / "alone")
    summary = ingest([str(raw)], alone, IngestOptions(workers=1))
    told = run.communicate()[0]
    assert state(store) == state(alone)
    assert json.loads(told) | NOT_ALIKE == summary.to_json() | NOT_ALIKE
    wait_until(lambda: not others(run))


def test_ctrl_c_which_all_of_them_get_is_one_sentence(store, started, others):
    run = started("--quiet")
    counting(run)
    os.killpg(run.pid, signal.SIGINT)
    told = run.communicate()[1]
    assert (run.returncode, told) == (130, "flowlog: interrupted; a run is there whole, or not at all\n")
    assert store.run_ids() == []
    wait_until(lambda: not others(run))


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_no_process_and_the_next_counts(store, started, others, stop):
    run = started("--quiet")
    counting(run)
    run.send_signal(stop)
    assert (run.communicate()[1], run.returncode) == ("", -stop)
    assert store.run_ids() == []
    wait_until(lambda: not others(run))
    run = started("--quiet")
    assert (run.communicate()[1], run.returncode) == ("", 0)
    assert verify(store).problems == []


def test_a_worker_that_is_killed_stops_nothing(store, started, others):
    run = started("--quiet")
    for worker in counting(run):
        os.kill(worker, signal.SIGKILL)
    assert (run.communicate()[1], run.returncode) == ("", 0)
    assert verify(store).problems == []
    wait_until(lambda: not others(run))


def test_the_first_rejected_row_stops_all_where_none_may_be(store, started, others):
    run = started("--quiet", "--strict")
    told = run.communicate()[1]
    assert run.returncode == 4
    assert told.startswith("flowlog: ")
    assert told.count("\n") == 1
    assert store.run_ids() == []
    wait_until(lambda: not others(run))


def test_a_script_of_a_user_is_not_run_again(raw, store, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from pipeline.jobs import where\n"
        "from pipeline.flowstore import FlowStore\n"
        "where._WORTH_BYTES = 0\n"
        f"print(FlowStore({str(store.root)!r}, create=True).ingest([{str(raw)!r}]).read)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("4000006\n", "")
