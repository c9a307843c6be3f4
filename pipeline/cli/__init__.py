"""The command line: parses, calls, prints. What it does stands in `ingest`, `query`, `verify` and their like.

A command's module is imported when that command is asked for, and none for `flowlog --help`. Nothing heavy is imported at
the top of any of them: `flowlog query --help` needs neither Arrow nor pandas, a query no pandas.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer
import typer.main
from typer.core import TyperGroup

from pipeline.cli.arguments import Command
from pipeline.cli.completion import completed
from pipeline.cli.endings import ending_of
from pipeline.cli.output import say, standard_output, write_text

_INTERRUPTED = 130
_SETTINGS: Any = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"]},
}


class _Home(NamedTuple):
    """Where a command is: the function that has its name, in a module of this package; and what `flowlog --help` says of it."""

    module: str
    help: str


_HOMES = {
    "ingest": _Home("ingest", "Count raw flow logs, each exactly once, into hourly totals."),
    "query": _Home("query", "Read the totals of an hour, or of a range of hours."),
    "diff": _Home("diff", "Compare two spans of hours: what is new, vanished or stepped."),
    "report": _Home("report", "Show the totals as pictures, in one HTML file."),
    "sql": _Home("sql", "Ask the totals and the ledger in SQL."),
    "hours": _Home("inspect", "List the hours that have totals."),
    "runs": _Home("inspect", "List the committed runs: what was counted."),
    "rejects": _Home("inspect", "Show the rows that were rejected, and why."),
    "verify": _Home("inspect", "Prove that the totals are what was counted."),
    "apps": _Home("apps", "Make a mapping file for --apps, or show what has no name."),
    "forget": _Home("undo", "Take counted files back, as if never counted."),
    "drop": _Home("undo", "Drop old hours."),
    "serve": _Home("serve", "Serve the store over HTTP."),
}


class _Commands(Mapping[str, Any]):
    """The commands by name, each made when it is asked for."""

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            function = getattr(import_module(f"{__name__}.{_HOMES[name].module}"), name)
            alone = typer.Typer(**_SETTINGS)
            alone.command(name, cls=Command)(completed(function))
            self._made[name] = typer.main.get_command(alone)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


class _Group(TyperGroup):
    """All commands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands: Any = _Commands()

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - Typer's, which would make each of them
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, home.help) for name, home in _HOMES.items()])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with standard_output():  # on which Typer writes the help
            return super().parse_args(ctx, args)
        raise typer.Exit  # the reader of the help has gone


app = typer.Typer(
    name="flowlog",
    cls=_Group,
    help="""Turns raw network flow logs into hourly totals that people trust.

    \b
    Example:
      flowlog ingest /var/log/flows
      flowlog query latest --top 10
      flowlog verify
    """,
    no_args_is_help=True,
    **(_SETTINGS | {"add_completion": True}),
)


def _print_version(is_asked_for: bool) -> None:
    if is_asked_for:
        from pipeline import __version__  # looked up when it is asked for

        write_text(f"flowlog {__version__}\n")
        raise typer.Exit


@app.callback()
def _all(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version, and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """Runs the command line. Errors that are no bugs become a sentence and an exit code."""
    try:
        app()
    except Exception as error:
        ending = ending_of(error)
        if ending is None:
            raise
        say([f"flowlog: {ending.sentence}"])
        sys.exit(ending.exit_code)
    except SystemExit as exit_:
        if exit_.code == _INTERRUPTED:
            say(["flowlog: interrupted; a run is there whole, or not at all"])
        raise
