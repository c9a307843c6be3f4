"""A request that is not carried out, and how the client is told: one sentence of text, or RFC 9457's problem details."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

PLAIN = b"text/plain; charset=utf-8"
_PROBLEM_JSON = b"application/problem+json"

#: A header of an answer.
Header = tuple[bytes, bytes]

#: Says when to try again: after as many seconds as a flush that failed.
RETRY: Sequence[Header] = ((b"retry-after", b"5"),)


@dataclass(frozen=True, slots=True)
class Detail:
    """What is wrong with a request.

    Attributes:
        text: A sentence.
        record: The index of the record, from 0; None where it is the request as a whole.
        field: The field of the record, or the parameter, if it is about one.
    """

    text: str
    record: int | None = None
    field: str | None = None

    @property
    def document(self) -> dict[str, Any]:
        """The detail as an entry of the problem's `errors`."""
        told = {"record": self.record, "field": self.field, "detail": self.text}
        return {name: value for name, value in told.items() if value is not None}


@dataclass
class Problem(Exception):
    """Why a request is not carried out.

    Attributes:
        status: The status of the answer.
        details: What is wrong, at least one; a client that takes text is told the first.
        headers: The answer's own headers.
        closes: Whether the connection is of no use any more.
        more: How many further details there are.
    """

    status: int
    details: Sequence[Detail]
    headers: Sequence[Header] = field(default=())
    closes: bool = False
    more: int = 0

    def answer(self, accept: bytes) -> tuple[bytes, bytes]:
        """The content type and the content of the answer, in the form that the client takes.

        Args:
            accept: The client's `Accept`.
        """
        told = self.details[0].text
        if not _accepts_problem_json(accept):
            return PLAIN, told.encode("utf-8", "backslashreplace")
        document: dict[str, Any] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": told,
        }
        errors = [detail.document for detail in self.details if detail.record is not None or detail.field is not None]
        document |= {"errors": errors} if errors else {}
        document |= {"more": self.more} if self.more else {}
        return _PROBLEM_JSON, json.dumps(document).encode()


def problem(
    status: int, text: str, headers: Sequence[Header] = (), *, field: str | None = None, closes: bool = False
) -> Problem:
    """A problem with one detail."""
    return Problem(status, [Detail(text, field=field)], headers, closes)


def too_many_answers() -> Problem:
    """The problem of a request that waited for room for a long answer."""
    return problem(503, "There are too many long answers at once; try again later", RETRY)


def _accepts_problem_json(accept: bytes) -> bool:
    for accepted in accept.lower().split(b","):
        media_type, *parameters = (part.strip() for part in accepted.split(b";"))
        if media_type == _PROBLEM_JSON:
            return not any(re.fullmatch(rb"q=0(\.0*)?", parameter) for parameter in parameters)
    return False
