"""How the command line's arguments are read, as far as Typer does not do so itself."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from pipeline.output import standard_output
from pipeline.scalars import STORE_VARIABLE, is_span


class Command(TyperCommand):
    """A command whose arguments may be spans (`-24h`), and whose environment variables may not be empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with standard_output():  # on which Typer writes the help
            rest = super().parse_args(ctx, self._with_spans(ctx, args))
            self._refuse_empty_variables(ctx)
            return rest
        raise typer.Exit  # who asked for help has gone

    def _with_spans(self, ctx: Any, args: Sequence[str]) -> list[str]:
        """Puts what is no option behind a `--`, if there is a span, which Typer would take for options."""
        if not any(map(is_span, args)):
            return list(args)
        valued = {name for option in self.get_params(ctx) if not getattr(option, "is_flag", True) for name in option.opts}
        options: list[str] = []
        words: list[str] = []
        rest = iter(args)
        for arg in rest:
            if arg == "--":
                words += rest
            elif not arg.startswith("-") or is_span(arg):
                words.append(arg)
            else:
                options += [arg, *islice(rest, arg in valued)]
        return [*options, "--", *words]

    def _refuse_empty_variables(self, ctx: Any) -> None:
        """Typer would take them for unset: a job whose store got lost would count into another one."""
        for option in self.get_params(ctx):
            source = ctx.get_parameter_source(option.name)
            if source.name == "DEFAULT" and os.environ.get(str(option.envvar)) == "":
                raise typer.BadParameter(f"{option.envvar} is empty; unset it, or give it a value", ctx=ctx, param=option)


class Group(TyperGroup):
    """All commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with standard_output():  # as above
            return super().parse_args(ctx, args)
        raise typer.Exit


def parse_path(path: str | Path) -> Path:
    """A path that can be one; Typer has its defaults read, too."""
    text = os.fspath(path)
    if not text:  # Path("") is the current folder
        raise typer.BadParameter("it is empty; is a variable of the shell not set?")
    if "\0" in text:
        raise typer.BadParameter("no path has a NUL in it")
    return Path(text)


def no_nan(value: float | None) -> float | None:
    """NaN is in every range, as none of its comparisons is true."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


StoreOption = Annotated[
    Path,
    typer.Option("--store", help="The store's folder.", envvar=STORE_VARIABLE, metavar="DIR", parser=parse_path),
]
WaitOption = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0,
        callback=no_nan,
        help="Seconds to wait for a run that holds the store.",
        envvar="FLOWLOG_WAIT",
        metavar="S",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and beside it nothing but problems.")]
QuietOption = Annotated[bool, typer.Option("--quiet", help="Print nothing but problems.", envvar="FLOWLOG_QUIET")]
