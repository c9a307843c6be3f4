"""A number of bytes that requests share: who needs some waits until there is room, in the order of coming."""

from __future__ import annotations

import asyncio
from collections import deque


class Budget:
    """Some bytes, of which each request takes a part for a time. In the event loop's thread.

    Args:
        size: How many there are. Who needs more than all of it has its turn alone.

    Attributes:
        used: How many are taken.
    """

    def __init__(self, size: int) -> None:
        self.used = 0
        self._size = size
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def is_short(self) -> bool:
        """Whether somebody waits."""
        return bool(self._waiting)

    def take_now(self, size: int) -> bool:
        """Takes some, if there is room and nobody waits."""
        if self._waiting or not self._has_room(size):
            return False
        self.used += size
        return True

    async def take(self, size: int, seconds: float) -> None:
        """Takes some as soon as there is room.

        Raises:
            TimeoutError: There was none in so many seconds.
        """
        if self.take_now(size):
            return
        granted = asyncio.get_running_loop().create_future()
        entry = (size, granted)
        self._waiting.append(entry)
        try:
            await asyncio.wait_for(granted, seconds)
        except BaseException:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._grant()
            elif not granted.cancelled():
                self.give(size)  # it was granted in the same moment
            raise

    def give(self, size: int) -> None:
        """Gives some back."""
        self.used -= size
        self._grant()

    def _has_room(self, size: int) -> bool:
        return self.used == 0 or self.used + size <= self._size

    def _grant(self) -> None:
        while self._waiting and self._has_room(self._waiting[0][0]):
            size, granted = self._waiting.popleft()
            if not granted.cancelled():
                self.used += size
                granted.set_result(None)
