"""How the command line's arguments are read, as far as Typer does not do so itself."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from inspect import Parameter, Signature, signature
from itertools import islice
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from pipeline.cli.output import standard_output
from pipeline.declarations import QUIET, STORE, WAIT, Option, options_of
from pipeline.errors import UsageError
from pipeline.hours import is_span
from pipeline.process import keep_out

if TYPE_CHECKING:
    from pipeline.counting.pool import Progress
    from pipeline.flowstore import FlowStore


#: Choices that take more letters are told in an option's help: in its place for a value they would make the line too wide.
_LONGEST_METAVAR = 60
#: What Typer's kinds of numbers are called where a text is none of them ("'5%' is not a valid float range").
_NUMBERS = {"int": "whole number", "int range": "whole number", "float": "number", "float range": "number"}


class Command(TyperCommand):
    """A command whose arguments may be spans (`-24h`), and whose environment variables may not be empty."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with standard_output():  # on which Typer writes the help
            for option in self.get_params(ctx):
                option.type.name = _NUMBERS.get(option.type.name, option.type.name)
            ctx.allow_extra_args = True  # are refused here, in a sentence that says more
            rest = super().parse_args(ctx, self._with_spans(ctx, args))
            self._refuse_empty_variables(ctx)
            self._refuse_surplus(ctx, rest)
            return rest
        raise typer.Exit  # the reader of the help has gone

    def _with_spans(self, ctx: Any, args: Sequence[str]) -> list[str]:
        """Puts what is no option behind a `--`, if there is a span, which Typer would take for options; refuses what should be one."""
        if not any(_begins_like_span(arg) for arg in args):
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
            elif _begins_like_span(arg):
                ctx.fail(f"No such option: {arg}; a span up to now is written in hours or days, as -24h or -7d")
            else:
                options += [arg, *islice(rest, arg in valued)]
        return [*options, "--", *words]

    def _refuse_surplus(self, ctx: Any, words: Sequence[str]) -> None:
        """Says which options take what people write there: the store, or the end of a range."""
        if words and not ctx.resilient_parsing:
            names = {option.name for option in self.get_params(ctx)}
            of_range = "; the end of a range is given with --until" if "until" in names else ""
            ctx.fail(f"Got unexpected extra arguments: {' '.join(words)}; the store is given with --store{of_range}")

    def _refuse_empty_variables(self, ctx: Any) -> None:
        """Typer would take them for unset: a job whose store got lost would count into another one."""
        if ctx.resilient_parsing:  # a shell that completes
            return
        for option in self.get_params(ctx):
            source = ctx.get_parameter_source(option.name)
            if source.name == "DEFAULT" and os.environ.get(str(option.envvar)) == "":
                raise typer.BadParameter(f"{option.envvar} is empty; unset it, or give it a value", ctx=ctx, param=option)


def _begins_like_span(arg: str) -> bool:
    """Whether an argument is a minus and a digit, with which no option's name begins."""
    return arg[:1] == "-" and arg[1:2].isdecimal()


def parse_path(path: str | PurePath) -> Path:
    """A path that can be one; Typer has its defaults read, too."""
    text = os.fspath(path)
    if not text:  # Path("") is the current folder
        raise typer.BadParameter("it is empty; is a variable of the shell not set?")
    if "\0" in text:
        raise typer.BadParameter("no path has a NUL in it")
    return Path(text)


def parse_store(path: str | PurePath) -> PurePath:
    """The same of a folder, or of a URL, in which two slashes are no mistake."""
    text = os.fspath(path)
    if text.startswith(("s3:/", "gs:/", "az:/")) and "://" not in text:
        raise typer.BadParameter(f"{text} lacks a slash: write {text[:3]}//BUCKET/…; a folder of that name is ./{text}")
    if "://" not in text:
        return parse_path(text)
    from pipeline.objectpath import is_url, object_path  # a folder needs nothing of buckets

    if not is_url(text):
        return parse_path(text)
    try:
        return object_path(text)
    except UsageError as error:
        raise typer.BadParameter(str(error)) from None


def no_nan(value: float | None) -> float | None:
    """NaN is in every range, as none of its comparisons is true."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


def parameter(option: Option, kind: Any = str) -> Any:
    """What Typer makes a command's parameter of.

    Args:
        option: Its declaration.
        kind: The type of its value.
    """
    kinds = {kind, *get_args(kind)}
    details: dict[str, Any] = {"parser": option.parse or (parse_path if Path in kinds else None)}
    if float in kinds:
        details["callback"] = no_nan
    elif kind == Mapping[str, str]:
        details["callback"] = _words_of_variable
    said, metavar = option.help, option.metavar
    choices = [str(choice) for choice in get_args(kind)] if get_origin(kind) is Literal else []
    if len("|".join(choices)) > _LONGEST_METAVAR:
        said, metavar = f"{said} One of {', '.join(choices)}.", option.name.removeprefix("--").upper()
    return typer.Option(
        option.name,
        help=said + (f"  [default: {option.otherwise}]" if option.otherwise else ""),
        envvar=option.variable,
        metavar=metavar,
        min=option.least,
        max=option.most,
        **details,
    )


def _words_of_variable(ctx: typer.Context, param: typer.CallbackParam, values: list[str] | None) -> list[str] | None:
    """Several values of a variable: Typer splits them at every blank, and here quotes keep together what has blanks."""
    source = ctx.get_parameter_source(str(param.name))
    if source is None or source.name != "ENVIRONMENT" or values is None:
        return values
    from shlex import split  # few use it

    try:
        return split(" ".join(values))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def takes(declared: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of a dataclass: its parameter `options` becomes one parameter for each of them."""
    kinds = get_type_hints(declared)
    defaults = {known.name: known.default for known in fields(declared)}
    made = {
        name: Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            default=None if _is_repeated(kinds[name]) else defaults[name],
            annotation=Annotated[
                list[str] | None if _is_repeated(kinds[name]) else kinds[name], parameter(option, kinds[name])
            ],
        )
        for name, option in options_of(declared).items()
    }

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        def run(**given: Any) -> None:
            values = {name: _value_of(kinds[name], given.pop(name)) for name in made}
            command(**given, options=declared(**values))

        parameters: list[Parameter] = []
        for known in signature(command, eval_str=True).parameters.values():
            parameters += made.values() if known.name == "options" else [known]
        run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {known.name: known.annotation for known in parameters}
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        return run

    return decorate


def _is_repeated(kind: Any) -> bool:
    return kind in (tuple[str, ...], Mapping[str, str])


def _value_of(kind: Any, given: Any) -> Any:
    """A field's value, from what Typer gives."""
    if kind == Mapping[str, str]:
        from pipeline.options import settings_of  # for `ingest` alone

        return settings_of(given or ())
    return tuple(given or ()) if _is_repeated(kind) else given


StoreOption = Annotated[PurePath, parameter(STORE._replace(parse=parse_store), PurePath)]
WaitOption = Annotated[float, parameter(WAIT, float)]
QuietOption = Annotated[bool, parameter(QUIET, bool)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs, and beside it nothing but problems.")]
UntilOption = Annotated[str | None, typer.Option(help="Makes it a range: the first hour that is left out.", metavar="WHEN")]
#: How an answer is printed; `output.written_as` says what the three of them ask for.
OutputFormat = Literal["table", "json", "jsonl", "csv", "parquet"]  # a test holds these against the writers
FormatOption = Annotated[
    OutputFormat | None,
    typer.Option("--format", help="How to print.  [default: as the name of --output ends; else table]"),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        help="Write to a file; its name gives the format: .parquet, .csv, .json, .jsonl, .ndjson.",
        metavar="FILE",
        parser=parse_path,
    ),
]
FormatJsonOption = Annotated[bool, typer.Option("--json", help="Short for --format json.")]


def open_store(store: PurePath, without: Sequence[str] = ("pandas",)) -> FlowStore:
    """Opens a store that is there.

    Args:
        store: Its folder, or its path in a bucket.
        without: What need not be imported from here on, see `process.keep_out`.
    """
    keep_out(without)
    from pipeline.flowstore import FlowStore  # help does without

    return FlowStore(store)


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[Progress | None]:
    """A bar that shows on a terminal how far a command has come; None where nobody would see it."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from pipeline.cli.progress import ProgressBar  # imports rich

    with ProgressBar() as progress:
        yield progress
