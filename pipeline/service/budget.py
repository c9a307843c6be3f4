"""A number of bytes that requests share: a request that needs some waits until there is room, the oldest first."""

from __future__ import annotations

import asyncio
from bisect import insort
from dataclasses import dataclass, field
from itertools import count


@dataclass(order=True, slots=True)
class _Waiting:
    ticket: int
    size: int = field(compare=False)
    held: int = field(compare=False)
    granted: asyncio.Future[None] = field(compare=False)


class Budget:
    """Some bytes, of which each request takes parts for a time. In the event loop's thread.

    Where requests that wait for more hold all that is taken, none of them could ever go on: then the oldest may take more
    than there is. So all together take at most the budget, and what the oldest of them needs beside it.

    Args:
        size: How many bytes there are.

    Attributes:
        used: How many are taken.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self._size = size
        self._tickets = count()
        self._waiting: list[_Waiting] = []  # the oldest first

    @property
    def is_short(self) -> bool:
        """Whether a request waits."""
        return bool(self._waiting)

    def ticket(self) -> int:
        """The place of a request that comes now, among those that wait."""
        return next(self._tickets)

    def take_now(self, size: int, ticket: int, held: int = 0) -> bool:
        """Takes some, if there is room and no older request waits.

        Args:
            size: How many bytes.
            ticket: The request's place.
            held: What the request has already.
        """
        is_first = not self._waiting or ticket < self._waiting[0].ticket
        if not is_first or not self._has_room(size, held):
            return False
        self.used += size
        return True

    async def take(self, size: int, seconds: float, ticket: int, held: int = 0) -> None:
        """Takes some as soon as there is room.

        Raises:
            TimeoutError: There was none in so many seconds.
        """
        waiting = _Waiting(ticket, size, held, asyncio.get_running_loop().create_future())
        insort(self._waiting, waiting)
        self._grant()
        try:
            await asyncio.wait_for(waiting.granted, seconds)
        except BaseException:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                self._grant()
            elif not waiting.granted.cancelled():
                self.give(size)  # it was granted in the same moment
            raise

    def give(self, size: int) -> None:
        """Gives some back."""
        self.used -= size
        self._grant()

    def _has_room(self, size: int, held: int = 0) -> bool:
        """Whether the next waiting request may take some, or one that does not wait yet, and holds some."""
        return self.used + size <= self._size or self.used == held + sum(waiting.held for waiting in self._waiting)

    def _grant(self) -> None:
        while self._waiting:
            first = self._waiting[0]
            if not self._has_room(first.size):
                return
            del self._waiting[0]
            if not first.granted.cancelled():
                self.used += first.size
                first.granted.set_result(None)
