"""How wide a text is where letters stand in columns, as on a terminal and in a chart; and texts that are cut to a width."""

from __future__ import annotations

from unicodedata import category, east_asian_width


def columns_of(text: str) -> int:
    """How many columns a text takes (Unicode Standard Annex 11)."""
    if text.isascii():
        return len(text)
    return sum(map(_columns_of_letter, text))


def _columns_of_letter(letter: str) -> int:
    if category(letter) in ("Mn", "Me", "Cf"):  # a mark on the letter before it, or one that is not seen
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1


def cut(text: str, width: int) -> str:
    """A text of at most so many columns: of a longer one, its two ends with … between them."""
    if columns_of(text) <= width:
        return text
    head = _start(text, width // 2)
    tail = _start(text[::-1], width - 1 - columns_of(head))[::-1]
    return f"{head}…{tail}"


def _start(text: str, width: int) -> str:
    """As much of a text's start as so many columns hold."""
    for end, letter in enumerate(text):
        width -= columns_of(letter)
        if width < 0:
            return text[:end]
    return text
