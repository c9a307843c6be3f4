"""`flowlog diff`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.arguments import JsonOption, StoreOption, open_store
from pipeline.cli.output import PAGE_ROWS, say, write_object_with_rows
from pipeline.cli.pages import digits, label, size_writer, write_table
from pipeline.cli.table import Column, Foot, name_columns
from pipeline.scalars import DEFAULT_STORE, count_to_text, parse_bytes

if TYPE_CHECKING:
    from pipeline.query.diff import Difference, PairBytes, Span

#: The exit code of `--fail-on-new`: done, but there is something to look at.
_FOUND_NEW = 3


def diff(
    before: Annotated[str, typer.Argument(help="The hours to compare with, as WHEN of query.", metavar="BEFORE")],
    after: Annotated[str, typer.Argument(help="The hours that are compared, alike.", metavar="AFTER")],
    store: StoreOption = DEFAULT_STORE,
    min_bytes: Annotated[str, typer.Option(help="Leave smaller changes out, as 20MB.", metavar="SIZE")] = "0",
    factor: Annotated[
        float, typer.Option(help="A pair has stepped if its bytes are F times as many, or as few.", metavar="F")
    ] = 2.0,
    fail_on_new: Annotated[bool, typer.Option("--fail-on-new", help="Exit with code 3 if a pair is new.")] = False,
    exact: Annotated[bool, typer.Option("--exact", help="All digits of sizes on a terminal.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare two spans of hours: what is new, vanished or stepped.

    A span is an hour, a day, or what else WHEN of query may be. A pair is a source app, a destination app and a VPC, its bytes those of both directions. What both spans have belongs
    to the second. If the spans have totals for different numbers of hours, bytes an hour are compared.

    \b
    Example:
      flowlog diff yesterday today --min-bytes 20MB
    """
    opened = open_store(store, without=("numpy", "pandas", "cloudpickle"))
    difference = opened.diff(before, after, min_bytes=parse_bytes(min_bytes), factor=factor)
    if as_json:
        write_object_with_rows(_to_json(difference), "changes", [difference.changes])
    else:
        _write_changes(difference, exact=exact)
        say(_lines(difference))
    if fail_on_new and difference.count("new"):
        raise typer.Exit(_FOUND_NEW)


def _write_changes(difference: Difference, *, exact: bool) -> None:
    size = size_writer(exact=exact)
    shown = difference.changes.slice(0, PAGE_ROWS)
    cells = shown.to_pydict()
    figures = {name: cells.pop(name) for name in ("before", "after", "change")}
    columns = [
        *name_columns(cells),
        *(Column(name, list(map(size, figures[name])), is_number=True) for name in ("before", "after")),
        Column("change", [_signed(size(change)) for change in figures["change"]], is_number=True),
    ]

    def foot(name: str, count: int, figures: PairBytes) -> Foot:
        cells = {"before": size(figures.before), "after": size(figures.after), "change": _signed(size(figures.change))}
        return Foot(label(name, count, "pair"), cells)

    others = difference.pairs - shown.num_rows
    feet = [foot("other", others, difference.other_than(shown))] if others else []
    write_table(columns, [*feet, foot("total", difference.pairs, difference.total)])


def _signed(size: str) -> str:
    return size if size.startswith(("-", "0")) else f"+{size}"


def _lines(difference: Difference) -> Iterator[str]:
    """What stands beside the table."""
    for name, span in (("before", difference.before), ("after", difference.after)):
        yield f"{name:8} {span}: {count_to_text(span.hours, 'hour')} with totals"
    kinds = ", ".join(f"{digits(difference.count(kind))} {kind}" for kind in ("new", "vanished", "stepped"))
    yield f"pairs    {kinds}, of {digits(difference.pairs)}"
    if difference.per_hour:
        yield "note     all figures are bytes an hour: the spans have totals for different numbers of hours"
    if (more := difference.changes.num_rows - PAGE_ROWS) > 0:
        yield f"note     {more:,} more changes: --json has all, --min-bytes and --factor leave small ones out"


def _to_json(difference: Difference) -> dict[str, Any]:
    def figures(pairs: int, bytes_: PairBytes) -> dict[str, int]:
        return {"pairs": pairs, **bytes_._asdict(), "change": bytes_.change}

    def span(of: Span) -> dict[str, Any]:
        return {"ranges": of.ranges, "hours": of.hours}

    changes = difference.changes
    return {
        "before": span(difference.before),
        "after": span(difference.after),
        "per_hour": difference.per_hour,
        "other": figures(difference.pairs - changes.num_rows, difference.other_than(changes)),
        "total": figures(difference.pairs, difference.total),
    }
