"""Answers for people: a page of rows with shares, what is not shown, and the total."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING

from pipeline.cli.output import say, write_text
from pipeline.cli.table import Column, Foot, aligned, left_out, name_columns
from pipeline.scalars import bytes_to_text, count_to_text

if TYPE_CHECKING:
    from pipeline.query.page import Page, Total


def write_answer(page: Page, target: Path | None, *, exact: bool) -> None:
    """Writes a page as a table.

    Args:
        page: The first rows of an answer.
        target: A file; None for standard output.
        exact: Whether sizes have all their digits. In a file and in a pipe they have them anyway.
    """
    if not page.count:
        write_text("none\n", target)
        return
    size = size_writer(target, exact=exact)
    write_table(_columns(page, size), _feet(page, size), target)


def size_writer(target: Path | None = None, *, exact: bool) -> Callable[[int], str]:
    """How bytes are written: on a terminal for people, unless these want all digits."""
    return digits if exact or not _is_terminal(target) else bytes_to_text


def write_table(columns: Sequence[Column], feet: Sequence[Foot], target: Path | None = None) -> None:
    """Writes a table, as wide as the terminal at the most, and says for what that has no room."""
    width = get_terminal_size().columns if _is_terminal(target) else None
    write_text(aligned(columns, feet, width), target)
    if width and (names := left_out(columns, feet, width)):
        say([f"the terminal is too narrow for {', '.join(names)}"])


def _is_terminal(target: Path | None) -> bool:
    return target is None and sys.stdout.isatty()


def rows_cut(page: Page, top: int | None) -> Iterator[str]:
    """Says that a page lacks some of the rows that were asked for."""
    more = min(page.count, top or page.count) - page.rows.num_rows
    if more > 0:
        yield f"{more:,} more rows: --top N shows the largest, --by sums them up, --output FILE or --format csv has all"


def digits(number: int) -> str:
    """A number with all its digits."""
    return f"{number:,}"


def label(name: str, count: int, noun: str = "row") -> str:
    """What stands before the sums of some rows."""
    return f"{name} ({count_to_text(count, noun)})"


def _columns(page: Page, size: Callable[[int], str]) -> list[Column]:
    cells = page.rows.to_pydict()
    sent, received, flows = (cells.pop(name) for name in ("bytes_tx", "bytes_rx", "flows"))
    shares = [_share(one + other, page.total.bytes) for one, other in zip(sent, received, strict=True)]
    return [
        *name_columns(cells),
        Column("bytes_tx", list(map(size, sent)), is_number=True),
        Column("bytes_rx", list(map(size, received)), is_number=True),
        Column("flows", list(map(digits, flows)), is_number=True),
        Column("share", shares, is_number=True),
    ]


def _feet(page: Page, size: Callable[[int], str]) -> list[Foot]:
    def foot(name: str, count: int, total: Total) -> Foot:
        cells = {"bytes_tx": size(total.bytes_tx), "bytes_rx": size(total.bytes_rx), "flows": digits(total.flows)}
        return Foot(label(name, count), cells | {"share": _share(total.bytes, page.total.bytes)})

    others = [foot("other", page.others, page.other)] if page.others else []
    return [*others, foot("total", page.count, page.total)]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}%" if whole else "-"
