"""What a shell offers: names and hours from the store, in no time, and never a traceback."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pipeline.cli import completion
from pipeline.flowstore import FlowStore
from tests.cli.example import COMMANDS

ROOT = Path(__file__).parents[2]


def ask(folder, *words, **variables):
    """What a shell gets that asks for the last of some words, and what it would print beside it."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv[0] = 'flowlog'; from pipeline.__main__ import main; main()"],
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            "_FLOWLOG_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["flowlog", *words]),
            "COMP_CWORD": str(len(words)),
        }
        | variables,
        cwd=folder,
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["query", "--src-app", ""], ["baz", "foo", "a"]),
        (["query", "--src-app", "f"], ["foo"]),
        (["query", "--dest-app", "q"], ["qux"]),
        (["query", "--app", "b"], ["baz", "bar", "b"]),
        (["query", "--vpc-id", "vpc-1"], ["vpc-1"]),
        (["query", ""], ["latest", "today", "yesterday", "-24h", "-7d", "1970-01-01"]),
        (["query", "1970-01-01T"], ["1970-01-01T09", "1970-01-01T02", "1970-01-01T01"]),
        (["query", "latest", "--until", "1970-01-01T09"], ["1970-01-01T09"]),
        (["diff", "1970-01-01T0", "1970-01-01T02"], ["1970-01-01T02"]),
        (["drop", "--before", "19"], ["1970-01-01"]),
        (["rejects", "--run", ""], ["00000002"]),
        (["que"], ["query"]),
        (["query", "--format", "p"], ["parquet"]),
        (["query", "--store", "nowhere", "--src-app", ""], []),
    ],
)
def test_what_is_offered(filled, words, offered):
    assert ask(filled, *words) == offered


def test_the_store_is_the_variable_s_and_an_empty_one_is_no_traceback(filled, tmp_path):
    assert ask(tmp_path, "query", "--src-app", "f", FLOWLOG_STORE=str(filled / "data" / "store")) == ["foo"]
    assert ask(tmp_path, "query", "--src-app", "f", FLOWLOG_STORE="") == []


class Context:
    def __init__(self, store):
        self.params = {"store": store}


def offered(store, name, incomplete=""):
    return completion._OFFERS[name](Context(store), incomplete)


def test_names_that_a_shell_would_take_for_something_else_are_not_offered(ingested):
    store = ingested(
        "$(reboot),b,v,1,1,1", "two words,b,v,1,1,1", "it's,b,v,1,1,1", "a*,b,v,1,1,1", "fine-1.2/x:y,b,v,1,1,1"
    ).locations.root
    assert offered(store, "src_app") == ["fine-1.2/x:y"]
    assert offered(store, "src_app", "a*") == []


def test_no_more_than_a_screenful(ingested):
    store = ingested(*(f"app{number},b,v,1,1,1" for number in range(300))).locations.root
    assert len(offered(store, "src_app")) == 100


def test_names_are_those_of_the_newest_hours(ingested, monkeypatch):
    store = ingested("old,b,v,9,9,1", "new,b,v,1,1,7").locations.root
    assert offered(store, "src_app") == ["old", "new"]
    monkeypatch.setattr(completion, "_HOURS_BYTES", 1)
    assert offered(store, "src_app") == ["new"]


def test_a_damaged_store_offers_nothing(ingested):
    store = ingested("a,b,v,9,9,1")
    store.locations.partition(1).write_bytes(b"PAR1 torn")
    assert offered(store.locations.root, "src_app") == []


def test_a_store_that_does_not_answer_is_not_waited_for(ingested, monkeypatch):
    store, never = ingested("a,b,v,9,9,1").locations.root, threading.Event()
    monkeypatch.setattr(FlowStore, "__init__", lambda *_: never.wait(30))
    monkeypatch.setattr(completion, "_SECONDS", 0.01)
    assert offered(store, "src_app") == []
    never.set()


def test_each_parameter_with_an_offer_is_one_of_a_command():
    names = {parameter.name for command in COMMANDS.values() for parameter in command.params}
    assert completion._OFFERS.keys() <= names


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_no_line_of_help_is_cut_or_wider_than_a_terminal(flowlog, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    _usage, *lines = flowlog(*filter(None, [command]), "--help").out.splitlines()
    assert [line for line in lines if len(line) > 80 or line.endswith(("...", "…"))] == []
