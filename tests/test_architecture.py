"""Small guards over the whole: what starts fast, and names that stand in two places. Who imports whom, the linter knows."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pyarrow.acero
import pyarrow.compute
import pyarrow.parquet
import pytest
import typer.main

from pipeline import cli, formats, options
from pipeline.cli import arguments, inspect, output
from pipeline.query import rejects, sums
from pipeline.store import partitions

ROOT = Path(__file__).parents[1]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "pipeline").rglob("*.py")
}


def is_for_types_only(node):
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imports(tree, at_start=False):
    """The modules that some code imports. `at_start`: only those that it imports when it is itself imported."""
    for node in ast.iter_child_nodes(tree):
        if at_start and (isinstance(node, ast.FunctionDef) or is_for_types_only(node)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            full = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in full)
        else:
            yield from imports(node, at_start)


class TestImports:
    @pytest.mark.parametrize("name", MODULES)
    def test_pandas_and_pandera_are_imported_where_they_are_used(self, name):
        tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
        heavy = {imported.split(".")[0] for imported in imports(tree, at_start=True)} & {"pandas", "pandera"}
        assert not heavy

    def test_the_functions_above_see_what_they_should(self):
        tree = ast.parse(
            "import a.b\nfrom pipeline.store import files\nfrom pipeline.errors import UsageError\n"
            "if TYPE_CHECKING:\n    import c\ntry:\n    import d\nexcept E:\n    import e\n"
            "def f():\n    import g\nclass C:\n    import h\n    def m(self):\n        import i\n"
        )
        at_start = ["a.b", "pipeline.store.files", "pipeline.errors", "d", "e", "h"]
        assert list(imports(tree, at_start=True)) == at_start
        assert sorted(imports(tree)) == sorted([*at_start, "c", "g", "i"])


def loaded_by(*commands):
    """The modules that a new process has loaded when it has run some commands, in full: "pyarrow", "pyarrow.lib"."""
    script = (
        "import json, sys\n"
        "from pipeline.cli import app\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    app(arguments, standalone_mode=False)\n"
        "print(json.dumps(list(sys.modules)), file=sys.stderr)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", script, json.dumps(commands)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
        text=True,
    )
    return set(json.loads(finished.stderr.splitlines()[-1]))


class TestStart:
    def test_help_needs_neither_arrow_nor_pandas(self):
        commands = [["--help"], *([command, "--help"] for command in typer.main.get_command(cli.app).commands)]
        assert not loaded_by(*commands) & {"pyarrow", "numpy", "pandas", "pandera", "rich"}

    @pytest.mark.parametrize(
        ("words", "module"), [(["--help"], None), (["query", "--help"], "query"), (["runs", "--help"], "inspect")]
    )
    def test_a_command_is_imported_alone(self, words, module):
        modules = {f"pipeline.cli.{name}" for name in ("ingest", "query", "diff", "inspect", "undo", "serve")}
        assert loaded_by(words) & modules == ({f"pipeline.cli.{module}"} if module else set())

    def test_a_query_needs_neither_numpy_nor_pandas_in_any_format(self, ingested, tmp_path):
        store = str(ingested("foo,bar,v,1,1,1", "foo,bar,v,1,1,2").locations.root)
        queries = [
            ["query", "--hour", "1", "--format", name, "--output", str(tmp_path / name)] for name in output.OUTPUT_FORMATS
        ]
        grouped = ["query", "--hour", "1", "--until", "9", "--src-app", "foo", "--by", "src_app", "--top", "1"]
        by_day = ["query", "1", "--until", "9", "--by", "day", "--json"]
        diff = ["diff", "1", "2", "--json"]
        loaded = loaded_by(*([*command, "--store", store] for command in [*queries, grouped, by_day, diff]))
        assert "pyarrow" in loaded
        assert not loaded & {"numpy", "pandas", "pandera"}
        # These are Arrow's own, and take as long to import as an hour its answer.
        assert not loaded & {"pyarrow.compute", "pyarrow.acero", "pyarrow.dataset"}

    def test_an_hour_as_it_stands_needs_nothing_that_computes_or_writes(self, ingested):
        store = str(ingested("foo,bar,v,1,1,1").locations.root)
        loaded = loaded_by(["query", "--hour", "1", "--store", store])
        assert not loaded & {"pipeline.query.sums", "pyarrow._compute", "pyarrow.parquet", "pyarrow.fs", "ssl"}

    def test_what_reads_no_raw_files_needs_no_pandas(self, ingested):
        store = str(ingested("foo,bar,v,1,1,1", "x,y,v,-1,1,1").locations.root)
        commands = [["runs"], ["rejects", "--by", "run"], ["verify"], ["drop", "--before", "2", "--all"]]
        loaded = loaded_by(*([*command, "--store", store] for command in commands))
        assert "pyarrow" in loaded
        assert not loaded & {"pandas", "pandera"}

    def test_a_list_of_hours_needs_no_numpy_either(self, ingested):
        store = str(ingested("foo,bar,v,1,1,1").locations.root)
        loaded = loaded_by(["hours", "--store", store], ["hours", "--gaps", "--store", store])
        assert "pyarrow" in loaded
        assert not loaded & {"numpy", "pandas", "pandera", "pyarrow.parquet"}

    def test_a_source_imports_only_the_formats_that_are_asked(self, tmp_path):
        (tmp_path / "raw.csv").write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,2\n")
        loaded = loaded_by(["ingest", str(tmp_path / "raw.csv"), "--store", str(tmp_path / "store")])
        modules = {f"pipeline.formats.{name}" for name in ("canonical", "zeek", "aws", "gcp", "ocsf")}
        assert loaded & modules == {"pipeline.formats.canonical"}

    @pytest.mark.parametrize(("command", "flows"), [(["verify", "--deep"], 2), (["forget", "raw/1.flows"], 1)])
    def test_those_that_count_raw_files_again_have_it(self, ingested, monkeypatch, tmp_path, command, flows):
        ingested("foo,bar,v,1,1,1")
        store = ingested("foo,bar,v,2,2,1")
        monkeypatch.chdir(tmp_path)
        loaded = loaded_by([*command, "--store", "store"])
        assert {"pandas", "pandera"} <= loaded
        assert not loaded & {"obstore", "pipeline.clouds", "pipeline.jobs.listing"}  # which buckets need
        assert store.table(1).column("flows").to_pylist() == [flows]

    def test_an_ingest_that_finds_nothing_new_needs_no_arrow(self, ingested, tmp_path):
        store = str(ingested("foo,bar,v,1,1,1").locations.root)
        loaded = loaded_by(["ingest", str(tmp_path / "raw"), "--store", store])
        assert not loaded & {"pyarrow", "numpy", "pandas", "pandera", "obstore", "pipeline.clouds", "pipeline.jobs.listing"}


class TestNamesInTwoPlaces:
    """The commands have their choices as literals, so that help need not import the modules that know them."""

    def test_raw_formats(self):
        assert sorted(get_args(options.RawFormat)) == sorted(formats.format_options())

    def test_output_formats(self):
        assert get_args(arguments.OutputFormat) == output.OUTPUT_FORMATS

    @pytest.mark.parametrize(
        ("ours", "public", "names"),
        [
            (sums, pyarrow.compute, ["CastOptions", "SortOptions", "call_function"]),
            (sums, pyarrow.acero, ["AggregateNodeOptions", "Declaration", "TableSourceNodeOptions"]),
            (partitions, pyarrow.parquet.core, ["ParquetReader"]),
        ],
    )
    def test_arrow_s_own(self, ours, public, names):
        """They are taken from behind the modules that promise them, whose import takes too long for a query."""
        assert all(getattr(ours, name) is getattr(public, name) for name in names)

    def test_groupings(self):
        assert get_args(inspect.Grouping) == tuple(rejects.GROUPINGS)


README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(cli.app).commands
OPTIONS = [
    (name, option) for name in ("ingest", "query") for parameter in COMMANDS[name].params for option in parameter.opts
]


@pytest.mark.skipif(not README, reason="there is no README yet")
class TestReadme:
    def test_it_has_the_options_of_ingest_as_they_are_declared(self):
        assert options.readme_table() in README, "print the table with `python -m pipeline.options`, and put it into README"

    @pytest.mark.parametrize("command", COMMANDS)
    def test_every_command_stands_there(self, command):
        assert f"flowlog {command}" in README

    @pytest.mark.parametrize(("command", "option"), [pair for pair in OPTIONS if pair[1].startswith("--")])
    def test_every_option_stands_there(self, command, option):
        assert option in README
