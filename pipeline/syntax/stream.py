"""A stream of bytes that is read by `read`."""

from __future__ import annotations

import io


class ReadStream(io.RawIOBase):
    """What Python reads by `readinto` otherwise. Its subclasses have `read`: so many bytes, or fewer at the end; all that are left if the
    size is negative.
    """

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
