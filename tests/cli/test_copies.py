"""What a command reads of many hours in copies of its process: to the byte the answer that threads give."""

import re
import subprocess
import sys
from itertools import product

import pytest

from tests.query.test_query import stored

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")

#: The command line, where all is worth copies and no thread may stand in, and where no copy may be made.
START = (
    "from pipeline.__main__ import main; from pipeline import flowstore, forks; from pipeline.query import query;"
    "query._BYTES_AT_ONCE = 4096; flowstore._WORTH_COPIES, flowstore._PART = 1, 4; "
)
IN_COPIES = START + "query._WORTH_PARTS = query._WORTH_HOURS = 0; query._by_threads = None; main()"
IN_THREADS = START + "forks.may_copy = lambda: False; main()"
COMMANDS = [
    ("query", "1", "--until", "31", "--by", "day", "--format", "csv"),
    ("query", "1", "--until", "31", "--by", "src_app,hour", "--format", "csv"),
    ("query", "1", "--until", "31", "--src-app", "a*", "--by", "dest_app", "--format", "csv"),
    ("query", "500", "--until", "600", "--by", "day", "--format", "csv"),
    ("report", "1", "--until", "31"),
]


@pytest.fixture
def store(tmp_path):
    return stored(tmp_path, [(hour, f"a{hour % 7}", f"b{hour % 3}", "v", hour, 2**50, 1) for hour in range(1, 31)])


def said(program, command, store):
    done = subprocess.run(
        [sys.executable, "-c", program, *command, "--store", str(store.root)], capture_output=True, check=False
    )
    return done.returncode, re.sub(rb"read [\d-]+ [\d:]+ UTC", b"", done.stdout), done.stderr


def delete(partition):
    partition.unlink()


def tear(partition):
    partition.write_bytes(b"torn")


DAMAGES = {"missing": (delete, 0), "torn": (tear, 5)}


@pytest.mark.parametrize(
    ("command", "damage"),
    [*((command, None) for command in COMMANDS), *product([COMMANDS[0], COMMANDS[-1]], DAMAGES)],
    ids=lambda value: f"{value[0]} {value[1]} by {value[-3]}" if isinstance(value, tuple) else value or "sound",
)
def test_copies_give_the_answer_that_threads_give(store, command, damage):
    spoil, code = DAMAGES.get(damage, (lambda _: None, 0))
    spoil(store.partition(9))
    in_copies = said(IN_COPIES, command, store)
    assert in_copies == said(IN_THREADS, command, store)
    assert in_copies[0] == (code if command[1] == "1" else 0)


@pytest.mark.parametrize("damage", [None, *DAMAGES])
def test_they_list_the_hours(store, damage):
    spoil, code = DAMAGES.get(damage, (lambda _: None, 0))
    spoil(store.partition(9))
    in_copies = said(IN_COPIES, ["hours", "--json"], store)
    assert in_copies == said(IN_THREADS, ["hours", "--json"], store)
    assert in_copies[0] == code
