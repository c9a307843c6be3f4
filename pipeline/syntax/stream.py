"""The base of all streams that this project makes: what they have is `read`."""

from __future__ import annotations

import io


class ReadStream(io.RawIOBase):
    """A raw stream of which a subclass defines `read`, where Python wants `readinto`. `read` gives so many bytes, or fewer at the end;
    all that are left if the size is negative.
    """

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
