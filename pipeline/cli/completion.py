"""What a shell offers to complete: the store's hours, names and runs, where a parameter takes such.

A shell asks at each press of a key: an answer takes a second at most, and none is an answer, too. Only what a shell takes as it
stands is offered, since names are whatever the logs had in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import signature
from shlex import quote
from threading import Thread
from typing import TYPE_CHECKING, Any, get_args

import typer

from pipeline.hours import LAST_HOUR, hour_to_text
from pipeline.scalars import DEFAULT_STORE

if TYPE_CHECKING:
    from pipeline.flowstore import FlowStore

_SECONDS = 1.0
#: So many are offered; more would fill the screen.
_MOST = 100
_WORDS = ("latest", "today", "yesterday", "-24h", "-7d")
#: The names are those of the newest hours, as long as their files are not larger together.
_HOURS, _HOURS_BYTES = 24, 8_000_000
_DAY = len("2026-11-24")


def completed(command: Callable[..., None]) -> Callable[..., None]:
    """Gives the parameters of a command what a shell offers for them, by their names."""
    parameters = signature(command, eval_str=True).parameters
    for name, known in parameters.items():
        for said in get_args(known.annotation)[1:]:
            said.autocompletion = _OFFERS.get(name)
    command.__annotations__ = {name: known.annotation for name, known in parameters.items()}
    return command


def _offer(find: Callable[[FlowStore, str], Iterable[str]]) -> Callable[[typer.Context, str], list[str]]:
    """What Typer asks: whatever `find` has found within the time, and nothing where there is no store."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        found: list[str] = []

        def work() -> None:
            try:
                from pipeline.cli.arguments import open_store, parse_store

                store = open_store(
                    parse_store(ctx.params.get("store") or DEFAULT_STORE), without=("numpy", "pandas", "cloudpickle")
                )
                fit = (text for text in find(store, incomplete) if text.startswith(incomplete) and quote(text) == text)
                found.extend(text for text, _ in zip(dict.fromkeys(fit), range(_MOST), strict=False))
            except Exception:  # noqa: BLE001 - whatever it is, a traceback would stand in the line that somebody is typing
                found.clear()

        worker = Thread(target=work, daemon=True)
        worker.start()
        worker.join(_SECONDS)
        return list(found)

    return complete


def _hours(store: FlowStore, incomplete: str) -> Iterable[str]:
    """Words and days; behind a whole day its hours."""
    yield from _WORDS
    texts = [hour_to_text(hour) for hour in reversed(store.locations.hours_within(1, LAST_HOUR + 1))]
    yield from dict.fromkeys(text[:_DAY] for text in texts)
    if len(incomplete) >= _DAY:
        yield from texts


def _names(*columns: str) -> Callable[[FlowStore, str], Iterable[str]]:
    def find(store: FlowStore, incomplete: str) -> Iterable[str]:
        """Those with the most bytes in the newest hours."""
        from pipeline.query.query import Query, run_query  # imports Arrow

        newest, size = list[int](), 0
        for hour in reversed(store.locations.hours()[-_HOURS:]):
            size += store.locations.files.size(store.locations.partition(hour))
            if newest and size > _HOURS_BYTES:
                break
            newest.append(hour)
        if newest:
            starting: Any = {columns[0] if len(columns) == 1 else "app": [incomplete.replace("*", r"\*") + "*"]}
            for column in columns:
                query = Query(newest[-1], newest[0] + 1, by=(column,), top=_MOST, **starting)
                yield from run_query(store.locations, query).column(column).to_pylist()

    return find


def _runs(store: FlowStore, incomplete: str) -> Iterable[str]:  # noqa: ARG001 - all are offered
    yield from reversed(store.locations.runs_with_rejects())


_WHEN = _offer(_hours)
_OFFERS = {
    **dict.fromkeys(("when", "hour", "until", "before", "after"), _WHEN),
    "src_app": _offer(_names("src_app")),
    "dest_app": _offer(_names("dest_app")),
    "vpc_id": _offer(_names("vpc_id")),
    "app": _offer(_names("src_app", "dest_app")),
    "run": _offer(_runs),
}
