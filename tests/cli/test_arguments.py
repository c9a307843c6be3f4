"""Every path and every value that an option may be given: what cannot be used is a sentence, never a traceback.

The options are taken from the commands themselves, so that a new one is tried as well.
"""

import pytest
import typer.main

from pipeline import cli
from pipeline.errors import UsageError
from pipeline.flowstore import FlowStore
from pipeline.service import server

COMMANDS = typer.main.get_command(cli.app).commands
#: What a command cannot do without.
NEEDED = {
    "query": ["1", "--json"],
    "forget": ["flows.csv"],
    "drop": ["--before", "1"],
    "diff": ["1", "2"],
    "sql": ["FROM flows", "--json"],
}
PATHS = {"DIR", "FILE", "RAW...", "SOURCE..."}
PARAMETERS = [
    pytest.param(name, parameter, id=f"{name} {parameter.opts[0]}")
    for name, command in COMMANDS.items()
    for parameter in command.params
    if not getattr(parameter, "is_flag", False)
]
#: Names that lead nowhere. No argument of a process can have a NUL; those of a program's call can.
NOWHERE = {
    "links in a circle": "circle",
    "below links in a circle": "circle/below",
    "a pattern of links in a circle": "circ*",
    "a name that is too long": "x" * 300,
    "a path that is too long": "x/" * 3000,
    "below a file": "flows.csv/below",
    "a link to nothing": "dangling",
    "a NUL": "a\0b",
    "nothing": "",
    "not UTF-8": "\udcff",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paths")
    (folder / "circle").symlink_to(folder / "circle2")
    (folder / "circle2").symlink_to(folder / "circle")
    (folder / "dangling").symlink_to(folder / "nothing")
    (folder / "flows.csv").write_text("src_app,dest_app,vpc_id,bytes_tx,bytes_rx,hour\na,b,v,1,2,9\n")
    FlowStore(folder / "data" / "store", create=True).ingest([str(folder / "flows.csv")])
    return folder


def arguments(command, parameter, value):
    """A command line that gives the value to a parameter, and to the others what they need."""
    if parameter.opts[0].startswith("-"):
        needed = [] if parameter.opts[0] in NEEDED.get(command, []) else NEEDED.get(command, [])
        return [command, *needed, f"{parameter.opts[0]}={value}"]
    deep = ["--deep"] if command == "verify" else []
    return [command, *deep, "--", value]


@pytest.mark.parametrize("value", NOWHERE.values(), ids=NOWHERE)
@pytest.mark.parametrize(("command", "parameter"), PARAMETERS)
def test_a_name_that_leads_nowhere_is_a_sentence(folder, flowlog, monkeypatch, command, parameter, value):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(server, "serve", lambda path, *_: FlowStore(path, create=True))  # it would not end
    done = flowlog(*arguments(command, parameter, value))
    assert done.code != 1
    if parameter.metavar in PATHS and value != "circ*":
        expected = {0} if parameter.name == "output" and value in ("dangling", "\udcff") else {2}
        if (
            parameter.name == "store"
            and value in ("dangling", "flows.csv/below", "\udcff")
            and command in ("ingest", "serve")
        ):
            expected = {0, 2, 5}  # a store that cannot be made; a name need not be UTF-8
        assert done.code in expected
        assert done.code == 0 or "flowlog: " in done.err or "Invalid value" in done.err
    for name in ("nothing", "\udcff"):
        (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            ["ingest", "flows.csv", "--store", "circle"],
            "flowlog: cannot look at the store circle: Too many levels of symbolic",
        ),
        (
            ["ingest", "flows.csv", "--store", "flows.csv"],
            "flowlog: the store flows.csv cannot be made: something that is not a folder has its name",
        ),
        (["hours", "--store", "circle"], "flowlog: cannot look at the store circle: Too many levels of symbolic"),
        (["hours", "--store", "flows.csv"], "flowlog: the store flows.csv is not there: something that is not a folder has"),
        (["ingest", "flows.csv", "--apps", "circle"], "flowlog: the mapping file circle cannot be read: Too many levels"),
        (["ingest", "flows.csv", "--apps", "data"], "flowlog: the mapping file data cannot be read: not a regular file"),
        (["ingest", "circle"], "flowlog: there is no file or folder circle"),
        (["ingest", "dangling"], "flowlog: there is no file or folder dangling"),
        (["verify", "--deep", "circle"], "flowlog: there is no file or folder circle"),
        (["forget", "circle"], "flowlog: no source circle counts in this store"),
        (["query", "9", "--output", "circle", "--json"], "flowlog: cannot write circle: Too many levels of symbolic links"),
        (["query", "9", "--output", "data", "--json"], "flowlog: cannot write data: Is a directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_path_is_one_line_that_names_it(folder, flowlog, monkeypatch, line, sentence):
    monkeypatch.chdir(folder)
    done = flowlog(*line)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(sentence)
    assert done.err.count("\n") == 1


@pytest.mark.parametrize("command", ["ingest", "hours"])
def test_a_store_s_url_that_lacks_a_slash_is_no_folder(folder, flowlog, monkeypatch, command):
    monkeypatch.chdir(folder)
    done = flowlog(command, "--store", "s3:/bucket/flowlog")
    assert done.code == 2
    assert "s3:/bucket/flowlog lacks a slash: write s3://BUCKET/" in " ".join(done.err.split())
    assert flowlog("ingest", "flows.csv", "--store", "./s3:/bucket").code == 0


@pytest.mark.parametrize("pattern", ["raw", "raw/*"])
def test_links_in_a_circle_beside_raw_files_fail_by_name_and_the_others_count(
    ingested, flowlog, monkeypatch, tmp_path, pattern
):
    ingested("a,b,v,1,2,9")
    (tmp_path / "raw" / "circle").symlink_to("circle")
    monkeypatch.chdir(tmp_path)
    done = flowlog("ingest", pattern, "--store", "other")
    assert done.code == 3
    assert f"failed {tmp_path / 'raw' / 'circle'}: cannot be read: Too many levels of symbolic links" in done.err
    assert "1 ingested" in done.err


@pytest.mark.parametrize("name", ["a\0b", "x" * 300])
def test_a_program_is_told_as_well(name):
    with pytest.raises(UsageError, match="cannot look at the store"):
        FlowStore(name)
