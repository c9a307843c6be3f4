"""GET /: the totals as a page for people, as `flowlog report` makes it, with the choice of hours and apps in its address."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import parse_qsl

from pipeline.errors import UsageError
from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.query.query import FILTERS, Selection
from pipeline.report.figures import figures_of, hours_before
from pipeline.report.page import CHOICES, Controls, render, render_problem
from pipeline.scalars import command_line
from pipeline.service import limits
from pipeline.service.answers import Answers
from pipeline.service.budget import Budget
from pipeline.service.pending import Pending
from pipeline.service.problem import too_many_answers
from pipeline.store.layout import Locations
from pipeline.store.partitions import extent_of_partition

#: What a browser may do with the page: show it, with the styles and the empty icon in it, and ask for it with other choices.
_POLICY = b"default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
_HEADERS = [
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", _POLICY),
    (b"cache-control", b"no-store"),
]


class Page:
    """Makes the page, one at a time.

    Args:
        store: The store.
        pending: What is in the log; the page tells how much that is, and does not have it.
        room: The room for answers.
    """

    def __init__(self, store: FlowStore, pending: Pending, room: Budget) -> None:
        self._store = store
        self._pending = pending
        self._room = room
        self._turn = asyncio.Lock()

    async def answer(self, query_string: bytes, answers: Answers) -> None:
        """Answers with the page, or with one that says what is wrong with the choice.

        Raises:
            Problem: The page does not get its turn.
            StoreError, RunStopped: The hours cannot be read, or summed.
        """
        # Fields of the form that are empty are not among these.
        given = parse_qsl(query_string.decode("latin-1"), errors="surrogateescape")
        controls = Controls({name: text for name, text in given if name in CHOICES}, self._pending.records)
        try:
            _check_names([name for name, _ in given])
            status, page = 200, await self._made(controls, answers)
        except UsageError as error:
            status, page = 400, render_problem(str(error), controls)
        answers.respond(status, _HEADERS, page.encode("utf-8", "backslashreplace"))

    async def _made(self, controls: Controls, answers: Answers) -> str:
        span = await asyncio.to_thread(self._span, controls)
        needed = await asyncio.to_thread(_room_for, self._store.locations, span)
        async with self._turn_with_room(needed, answers):
            return await asyncio.to_thread(self._render, span, controls)

    @asynccontextmanager
    async def _turn_with_room(self, needed: int, answers: Answers) -> AsyncIterator[None]:
        """Waits for the page's turn, and for so many bytes of room, which `answers` holds meanwhile."""
        ticket = self._room.ticket()
        try:
            await asyncio.wait_for(self._turn.acquire(), limits.ROOM_SECONDS)
        except TimeoutError:
            raise too_many_answers() from None
        try:
            try:
                await self._room.take(needed, limits.ROOM_SECONDS, ticket)
            except TimeoutError:
                raise too_many_answers() from None
            answers.holds = needed
            yield
        finally:
            self._turn.release()
            self._room.give(answers.holds)
            answers.holds = 0

    def _span(self, controls: Controls) -> HourRange:
        return self._store.hours_of(controls.chosen.get("when", "latest"), controls.chosen.get("until"))

    def _render(self, span: HourRange, controls: Controls) -> str:
        selection: Selection = {name: text for name, text in controls.chosen.items() if name in FILTERS}  # type: ignore[assignment]
        return render(str(self._store.locations.root), figures_of(self._store, span, selection), controls=controls)


def _check_names(names: list[str]) -> None:
    """Refuses what would be ignored, so that the figures would not be those that were asked for."""
    for name in names:
        if name not in CHOICES:
            raise UsageError(f"there is no choice {name[:40]!r}; the choices are {', '.join(CHOICES)}")
        if names.count(name) > 1:
            raise UsageError(f"the choice {name} must be there once")


def _room_for(store: Locations, span: HourRange) -> int:
    """What a page takes in memory, in bytes, by the footers of its hours and of those before.

    Raises:
        UsageError: It is more than there is.
    """
    before = hours_before(span)
    needed = limits.PAGE_BYTES
    hours = store.hours_within(before.first, span.until)
    for rows, unpacked in store.map_many(partial(extent_of_partition, store), hours):
        needed += rows * limits.BYTES_A_PAGE_ROW + unpacked
        if needed > limits.ANSWERS_BYTES:
            made_by = command_line("report", str(span.first), "--until", str(span.until), store=store.root)
            raise UsageError(
                f"these hours and those before have too many rows for a page of the service: choose fewer, or let `{made_by}`"
                " make the page"
            )
    return needed
